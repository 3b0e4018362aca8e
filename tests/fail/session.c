/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - session SOCKET TOPIC: what a program does with the library, once: connect, create, open in each role,
 * publish and receive in each way, wait in each way, inspect, close. run.py lets each of its calls into libc fail.
 *
 * The first error ends it with 1 and a line "session: STEP: text". Messages that don't arrive are an error, too.
 */
#include <aether/aether.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#define SMALL "small"
#define LARGE_BYTES 8000
#define TIMEOUT_NS 2000000000

static aether_client *client;
static aether_publisher *pub;
static aether_subscriber *subs[3];
static aether_waitset *set;
static aether_notifier *notifier;
static aether_inspector *inspector;
static aether_metrics *metrics;
static char large[LARGE_BYTES];

static bool fine(const char *step, int rc) {
    if (rc < 0)
        fprintf(stderr, "session: %s: %s\n", step, aether_errmsg());
    return rc >= 0;
}

static bool arrived(const char *step, int rc) {
    if (rc == 0)
        fprintf(stderr, "session: %s: nothing came within 2 s\n", step);
    return rc != 0 && fine(step, rc);
}

static bool open_all(const char *socket, const char *topic) {
    const aether_connect_options options = {.socket_path = socket};
    const aether_topic_config config = {.max_message = LARGE_BYTES, .type_name = "t"};

    if (!fine("connect", aether_connect(&client, &options)) ||
        !fine("create", aether_topic_create(client, topic, &config)) ||
        !fine("open publisher", aether_publisher_open(client, topic, &config, &pub)))
        return false;
    for (int i = 0; i < 3; i++) {
        const aether_subscribe_options how = {.policy = (aether_policy)i};
        if (!fine("open subscriber", aether_subscriber_open(client, topic, &how, NULL, &subs[i])))
            return false;
    }
    return true;
}

static bool exchange(void) {
    const struct iovec pieces[2] = {{(char[]){'a'}, 1}, {large, 5000}};
    aether_message m;
    aether_loan loan;

    if (!fine("publish", aether_publish_wait(pub, SMALL, sizeof SMALL, TIMEOUT_NS)) ||
        !fine("publish", aether_publish_wait(pub, large, sizeof large, TIMEOUT_NS)) ||
        !fine("gather", aether_publish_gather(pub, pieces, 2)) || !fine("loan", aether_loan_take(pub, 6000, &loan)))
        return false;
    memset(loan.data, 1, 6000);
    if (!fine("commit", aether_loan_commit(pub, &loan)))
        return false;
    for (int i = 0; i < 2; i++) {
        for (int n = 0; n < 4; n++) {
            if (!arrived("receive", aether_receive_wait(subs[i], &m, TIMEOUT_NS)))
                return false;
        }
    }
    return arrived("receive", aether_receive_wait(subs[2], &m, TIMEOUT_NS));
}

/* Each way to wait, for as long as nothing comes, and then for a message. */
static bool wait_for_it(void) {
    aether_message m;
    aether_ready ready;

    for (int i = 0; i < 3; i++) {
        if (!fine("wait", aether_wait(subs[i], 1000000)))
            return false;
    }
    if (!fine("open notifier", aether_notifier_open(subs[0], &notifier)) ||
        !fine("open waitset", aether_waitset_open(&set)) || !fine("add", aether_waitset_add(set, subs[1], NULL)) ||
        !fine("add", aether_waitset_add(set, subs[2], NULL)) || !fine("fd of waitset", aether_waitset_fd(set)) ||
        !fine("waitset", aether_waitset_next(set, &ready, 1000000)))
        return false;
    aether_notifier_arm(notifier);
    if (!fine("publish", aether_publish_wait(pub, SMALL, sizeof SMALL, TIMEOUT_NS)))
        return false;
    return arrived("waitset", aether_waitset_next(set, &ready, TIMEOUT_NS)) &&
           arrived("receive", aether_receive_wait(subs[0], &m, TIMEOUT_NS));
}

static bool inspect(const char *socket, const char *topic) {
    aether_topic_info info;
    aether_topic_metrics figures;
    aether_instance_metrics instance;
    uint32_t cursor = 0;

    if (!fine("inspect", aether_inspect_open(&inspector, socket)) ||
        !arrived("list", aether_inspect_topic(inspector, &cursor, &info)) ||
        !arrived("find", aether_inspect_find(inspector, topic, &info)) ||
        !fine("open metrics", aether_metrics_open(&metrics, socket)) ||
        !fine("begin metrics", aether_metrics_begin(metrics, &instance)))
        return false;
    return arrived("next metrics", aether_metrics_next(metrics, &figures));
}

static bool close_all(const char *topic) {
    aether_notifier_close(notifier);
    aether_waitset_close(set);
    notifier = NULL;
    set = NULL;
    for (int i = 0; i < 3; i++) {
        aether_subscriber_close(subs[i]);
        subs[i] = NULL;
    }
    aether_publisher_close(pub);
    pub = NULL;
    return fine("remove", aether_topic_remove(client, topic));
}

int main(int argc, char **argv) {
    bool done = argc == 3 && open_all(argv[1], argv[2]) && exchange() && wait_for_it() && inspect(argv[1], argv[2]) &&
                close_all(argv[2]);

    aether_notifier_close(notifier);
    aether_waitset_close(set);
    aether_metrics_close(metrics);
    aether_inspect_close(inspector);
    aether_disconnect(client);
    return done ? 0 : 1;
}

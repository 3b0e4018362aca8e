/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waitset.c - one thread reads many topics:  waitset COUNT TOPIC...
 *
 * Prints COUNT messages of the topics, those that their rings hold already first. While none of them has any the
 * process sleeps, and a publish to any of them wakes it.
 */
#include <aether/aether.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUND 64 /* messages of one topic in a row, then the others get a turn */

static uint64_t left; /* messages to print */

/* context: the topic's name, as it was given to aether_waitset_add(). */
static int on_message(void *context, const aether_message *m) {
    const char *topic = context;

    if (m->lost > 0) {
        printf("%s: %" PRIu64 " lost\n", topic, m->lost); /* those that the ring held, but not long enough */
        return 0;
    }
    printf("%s: %.*s\n", topic, (int)m->len, (const char *)m->data);
    return --left == 0; /* not 0: the poll ends */
}

static int add_topic(aether_client *client, aether_waitset *set, char *topic) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE, .from = AETHER_FROM_OLDEST};
    aether_subscriber *sub;
    const int rc = aether_subscriber_open(client, topic, &options, NULL, &sub);

    return rc != 0 ? rc : aether_waitset_add(set, sub, topic);
}

static int read_all(aether_waitset *set) {
    aether_ready ready;
    int rc = 0;

    while (left > 0 && (rc = aether_waitset_next(set, &ready, AETHER_FOREVER)) >= 0) {
        if (rc > 0 && (rc = aether_poll(ready.subscriber, on_message, ready.context, ROUND)) < 0)
            break;
    }
    return rc < 0 ? rc : 0;
}

int main(int argc, char **argv) {
    aether_client *client = NULL;
    aether_waitset *set = NULL;
    int rc;

    if (argc < 3) {
        fprintf(stderr, "usage: waitset COUNT TOPIC...\n");
        return 2;
    }
    left = strtoull(argv[1], NULL, 10);
    rc = aether_connect(&client, NULL);
    if (rc == 0)
        rc = aether_waitset_open(&set);
    for (int i = 2; rc == 0 && i < argc; i++)
        rc = add_topic(client, set, argv[i]);
    if (rc == 0)
        rc = read_all(set);
    if (rc < 0)
        fprintf(stderr, "waitset: %s\n", aether_errmsg());
    aether_waitset_close(set);
    aether_disconnect(client); /* closes the subscribers */
    return rc != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll.c - a subscriber in an event loop that also waits for signals:  epoll
 *
 * Prints greetings until the publisher has closed or died, or SIGINT or SIGTERM comes. The first are those that the
 * ring already holds. While there is nothing to do the process sleeps. Run hello_pub beside it.
 */
#include <aether/aether.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define ROUND 256 /* messages in a row, then the loop handles its other descriptors */

struct app {
    aether_client *client;
    aether_subscriber *sub;
    aether_notifier *notifier;
    int signals, epoll; /* descriptors */
    uint64_t messages;
    bool done;
};

static int system_error(const char *call) {
    fprintf(stderr, "epoll: %s: %s\n", call, strerror(errno));
    return -1;
}

static int aether_error(void) {
    fprintf(stderr, "epoll: %s\n", aether_errmsg());
    return -1;
}

static int on_message(void *context, const aether_message *m) {
    struct app *app = context;

    if (m->lost > 0) {
        printf("%" PRIu64 " lost\n", m->lost); /* retained messages that were overwritten first */
    } else {
        printf("%" PRIu64 " %.*s\n", m->seq, (int)m->len, (const char *)m->data);
        app->messages++;
    }
    return 0;
}

/* Called when the notifier's descriptor is readable. */
static int on_readable(struct app *app) {
    const int n = aether_poll(app->sub, on_message, app, ROUND);

    if (n < 0)
        return aether_error();
    if (n == ROUND)
        return 0; /* there may be more; the descriptor stays readable until the next arm */
    if (aether_subscriber_stream(app->sub) >= AETHER_STREAM_CLOSED)
        app->done = true;
    else
        aether_notifier_arm(app->notifier);
    return 0;
}

static int on_signal(struct app *app) {
    struct signalfd_siginfo info;

    if (read(app->signals, &info, sizeof info) != sizeof info)
        return system_error("signalfd");
    app->done = true;
    return 0;
}

static int add(const struct app *app, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};

    return epoll_ctl(app->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : system_error("epoll_ctl");
}

static int open_all(struct app *app) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE, .from = AETHER_FROM_OLDEST};
    sigset_t stop;

    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    if ((app->signals = signalfd(-1, &stop, SFD_CLOEXEC)) < 0)
        return system_error("signalfd");
    if ((app->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
        return system_error("epoll_create1");
    if (aether_connect(&app->client, NULL) != 0 ||
        aether_subscriber_open(app->client, "greetings", &options, NULL, &app->sub) != 0 ||
        aether_notifier_open(app->sub, &app->notifier) != 0)
        return aether_error();
    if (add(app, app->signals) != 0 || add(app, aether_notifier_fd(app->notifier)) != 0)
        return -1;
    return 0;
}

static int run(struct app *app) {
    int rc = 0;

    while (rc == 0 && !app->done) {
        struct epoll_event event;
        const int n = epoll_wait(app->epoll, &event, 1, -1);
        if (n < 0 && errno != EINTR)
            return system_error("epoll_wait");
        if (n == 1)
            rc = event.data.fd == app->signals ? on_signal(app) : on_readable(app);
    }
    return rc;
}

int main(void) {
    struct app app = {.signals = -1, .epoll = -1};
    int rc = open_all(&app);

    if (rc == 0)
        rc = run(&app);
    if (rc == 0)
        printf("%" PRIu64 " greetings\n", app.messages);
    aether_notifier_close(app.notifier);
    aether_disconnect(app.client); /* closes the subscriber */
    if (app.epoll >= 0)
        close(app.epoll);
    if (app.signals >= 0)
        close(app.signals);
    return rc != 0;
}

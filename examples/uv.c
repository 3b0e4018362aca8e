/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uv.c - a subscriber in libuv's event loop, beside a timer:  uv [SECONDS]   (default 60)
 *
 * Prints greetings until the publisher has closed or died. The first are those that the ring already holds. The timer
 * ends the program when nothing has come for SECONDS. Run hello_pub beside it.
 */
#include <aether/aether.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#define ROUND 256 /* messages in a row, then the loop handles its other events */

struct app {
    aether_client *client;
    aether_subscriber *sub;
    aether_notifier *notifier;
    uv_loop_t loop;
    uv_poll_t readable;
    uv_timer_t patience;
    uint64_t messages;
    int rc;
};

static int aether_error(void) {
    fprintf(stderr, "uv: %s\n", aether_errmsg());
    return -1;
}

static int uv_error(const char *call, int rc) {
    fprintf(stderr, "uv: %s: %s\n", call, uv_strerror(rc));
    return -1;
}

/* The loop ends when its last handle is closed. */
static void stop(struct app *app, int rc) {
    app->rc = rc;
    uv_close((uv_handle_t *)&app->readable, NULL);
    uv_close((uv_handle_t *)&app->patience, NULL);
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

static void on_readable(uv_poll_t *handle, int status, int events) {
    struct app *app = handle->data;
    int n;

    (void)events; /* only UV_READABLE was requested */
    if (status < 0) {
        stop(app, uv_error("uv_poll", status));
        return;
    }
    n = aether_poll(app->sub, on_message, app, ROUND);
    if (n < 0) {
        stop(app, aether_error());
        return;
    }
    uv_timer_again(&app->patience); /* starts the timer anew */
    if (n == ROUND)
        return; /* there may be more; the descriptor stays readable until the next arm */
    if (aether_subscriber_stream(app->sub) >= AETHER_STREAM_CLOSED)
        stop(app, 0);
    else
        aether_notifier_arm(app->notifier);
}

static void on_timer(uv_timer_t *handle) {
    struct app *app = handle->data;

    fprintf(stderr, "uv: nothing has come for %" PRIu64 " s\n", uv_timer_get_repeat(handle) / 1000);
    stop(app, -1);
}

/* After this call stop() may close both handles: uv_close() takes only handles that were initialised. */
static int start_handles(struct app *app, uint64_t seconds) {
    int rc;

    app->readable.data = app;
    app->patience.data = app;
    uv_timer_init(&app->loop, &app->patience);
    rc = uv_poll_init(&app->loop, &app->readable, aether_notifier_fd(app->notifier));
    if (rc != 0) {
        uv_close((uv_handle_t *)&app->patience, NULL);
        return uv_error("uv_poll_init", rc);
    }
    if ((rc = uv_poll_start(&app->readable, UV_READABLE, on_readable)) != 0 ||
        (rc = uv_timer_start(&app->patience, on_timer, seconds * 1000, seconds * 1000)) != 0) {
        stop(app, uv_error("uv_start", rc));
        return -1;
    }
    return 0;
}

static int run(struct app *app, uint64_t seconds) {
    int rc = uv_loop_init(&app->loop);

    if (rc != 0)
        return uv_error("uv_loop_init", rc);
    app->rc = start_handles(app, seconds);
    uv_run(&app->loop, UV_RUN_DEFAULT); /* returns when all handles are closed */
    uv_loop_close(&app->loop);
    return app->rc;
}

int main(int argc, char **argv) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE, .from = AETHER_FROM_OLDEST};
    const uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 60;
    struct app app = {.rc = 0};
    int rc;

    if (aether_connect(&app.client, NULL) != 0 ||
        aether_subscriber_open(app.client, "greetings", &options, NULL, &app.sub) != 0 ||
        aether_notifier_open(app.sub, &app.notifier) != 0)
        rc = aether_error();
    else
        rc = run(&app, seconds);
    if (rc == 0)
        printf("%" PRIu64 " greetings\n", app.messages);
    aether_notifier_close(app.notifier);
    aether_disconnect(app.client); /* closes the subscriber */
    return rc != 0;
}

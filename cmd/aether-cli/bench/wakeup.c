/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wakeup.c - the time until a sleeping subscriber has a message, beside the time for a bare futex.
 *
 * Messages and bare wake-ups alternate, so that both are measured under the same conditions. Each is sent when the
 * other process has been at rest for a while and the kernel says that it sleeps. The time is taken from before the call
 * that sends to after the return of the call that slept.
 */
#include "wakeup.h"
#include "error.h"
#include "floor.h"
#include "measure.h"
#include "output.h"
#include "processes.h"
#include "signals.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REST_NS 1000000u             /* the sleeper's rest before each wake-up */
#define LOST_NS UINT64_C(5000000000) /* a wake-up that takes longer is lost */
#define SPINS 4096u                  /* between two checks of the time */

enum kind { MESSAGE, BARE };

/* ---- the sleeper ---- */

static uint32_t *futex_word(struct bench_arena *arena) {
    return (uint32_t *)(void *)&arena->futex.v; /* the lower half */
}

/*
 * Waits in the library for a message. Returns the time at which it was sent, from the message; 0: the run is over;
 * UINT64_MAX: an error. *now: when the message arrived.
 */
static uint64_t take_message(aether_subscriber *sub, uint64_t *now) {
    aether_message m;
    uint64_t sent;
    int n;

    while ((n = aether_receive_wait(sub, &m, AETHER_FOREVER)) == 0)
        continue;
    *now = cli_now_ns();
    if (n < 0 || m.lost != 0 || m.len < sizeof sent)
        return UINT64_MAX;
    memcpy(&sent, m.data, sizeof sent);
    return sent;
}

static uint64_t take_bare(struct bench_arena *arena, uint32_t seen) {
    uint32_t *word = futex_word(arena);

    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == seen)
        (void)syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
    return cli_now_ns();
}

static bool sleep_run(struct bench_arena *arena, aether_subscriber *sub) {
    uint64_t woken = 0, now = 0, sent;

    while ((sent = take_message(sub, &now)) != 0) {
        if (sent == UINT64_MAX)
            return false;
        const uint32_t seen = __atomic_load_n(futex_word(arena), __ATOMIC_RELAXED);
        arena->wake_ns[MESSAGE][woken / 2] = now - sent;
        __atomic_store_n(&arena->woken.v, ++woken, __ATOMIC_RELEASE);
        now = take_bare(arena, seen);
        arena->wake_ns[BARE][woken / 2] = now - __atomic_load_n(&arena->sent_ns.v, __ATOMIC_RELAXED);
        __atomic_store_n(&arena->woken.v, ++woken, __ATOMIC_RELEASE);
    }
    return true;
}

static int child(struct bench *bench, int index, const struct bench_options *options) {
    const aether_connect_options connect = {.socket_path = bench->socket_path, .name = "aether-cli bench sleeper"};
    uint64_t step = bench_next_step(bench, 0);
    aether_subscriber *sub;
    aether_client *client;

    (void)options;
    if (aether_connect(&client, &connect) != 0 ||
        aether_subscriber_open(client, bench->topic[0], NULL, NULL, &sub) != 0)
        return bench_child_error(bench, index, "%s", aether_errmsg());
    bench_reached(bench, index, step);
    for (;;) {
        step = bench_next_step(bench, step);
        if (!bench_step_is_run(step))
            bench_floor_pong(bench->arena);
        else if (!sleep_run(bench->arena, sub))
            return bench_child_error(bench, index, "a message was lost or has another size");
        bench_reached(bench, index, step);
    }
}

/* ---- the waker ---- */

struct waker {
    aether_publisher *pub;
    unsigned char *message;
    int stat_fd;      /* the sleeper's /proc/PID/stat */
    uint64_t samples; /* of each kind in the last run */
};

/* A process's state is the letter after the last ')' of its stat file. */
static bool is_asleep(int stat_fd) {
    char text[512];
    const ssize_t len = pread(stat_fd, text, sizeof text - 1, 0);

    if (len <= 0)
        return false;
    text[len] = '\0';
    const char *end = strrchr(text, ')');
    return end != NULL && end[1] == ' ' && end[2] == 'S';
}

/* Waits until the sleeper has slept for a while. False: it took too long, or a signal came. */
static bool wait_asleep(const struct waker *w) {
    const uint64_t start = cli_now_ns();
    uint64_t now;

    while ((now = cli_now_ns()) - start < REST_NS)
        continue;
    while (!is_asleep(w->stat_fd)) {
        if (now - start > LOST_NS || cli_signal != 0)
            return false;
        now = cli_now_ns();
    }
    return true;
}

static bool wait_woken(struct bench *bench, uint64_t count) {
    const uint64_t start = cli_now_ns();

    for (unsigned round = 0; __atomic_load_n(&bench->arena->woken.v, __ATOMIC_ACQUIRE) != count; round++) {
        if (round % SPINS == SPINS - 1 &&
            (cli_now_ns() - start > LOST_NS || cli_signal != 0 || bench->arena->child[0].done.v == BENCH_FAILED))
            return false;
    }
    return true;
}

/* sent: the time for the message to state. */
static bool wake_by_message(const struct waker *w, size_t size, uint64_t sent) {
    memcpy(w->message, &sent, sizeof sent);
    return aether_publish(w->pub, w->message, size) == 0;
}

static void wake_bare(struct bench_arena *arena) {
    uint32_t *word = futex_word(arena);

    __atomic_store_n(&arena->sent_ns.v, cli_now_ns(), __ATOMIC_RELAXED);
    __atomic_fetch_add(word, 1, __ATOMIC_RELEASE);
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static int by_value(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static bool wake_run(struct bench *bench, const struct bench_options *options, void *context,
                     struct bench_result *result) {
    struct bench_arena *arena = bench->arena;
    struct waker *w = context;
    const uint64_t end = cli_now_ns() + (uint64_t)(options->seconds * 1e9);
    uint64_t n = 0;
    bool ok;

    __atomic_store_n(&arena->woken.v, 0, __ATOMIC_RELAXED);
    bench_go(bench);
    do {
        ok = wait_asleep(w) && wake_by_message(w, options->size, cli_now_ns()) && wait_woken(bench, 2 * n + 1) &&
             wait_asleep(w);
        if (ok) {
            wake_bare(arena);
            ok = wait_woken(bench, 2 * n + 2);
        }
        n += ok;
    } while (ok && n < BENCH_WAKES_MAX && cli_now_ns() < end && cli_signal == 0);
    if (!ok) {
        if (cli_signal == 0)
            cli_error(CLI_FAILURE, "bench: %s",
                      arena->child[0].done.v == BENCH_FAILED ? arena->child[0].text
                                                             : "the subscriber didn't sleep, or didn't wake, in 5 s");
        return false;
    }
    if (!wake_by_message(w, options->size, 0) || !bench_joined(bench))
        return false;
    w->samples = n;
    qsort(arena->wake_ns[MESSAGE], n, sizeof(uint64_t), by_value);
    qsort(arena->wake_ns[BARE], n, sizeof(uint64_t), by_value);
    const uint64_t median = n / 2, p99 = n * 99 / 100;
    result->p50 = (double)arena->wake_ns[MESSAGE][median];
    result->p99 = (double)arena->wake_ns[MESSAGE][p99];
    result->bare_p50 = (double)arena->wake_ns[BARE][median];
    result->bare_p99 = (double)arena->wake_ns[BARE][p99];
    return true;
}

static double futexes(const struct bench_result *result) {
    return result->p50 / result->bare_p50;
}

/* ---- the command ---- */

static int report(const struct bench_options *options, const struct bench_result *results, uint64_t samples,
                  uint64_t discarded) {
    const struct bench_result *median = &results[options->runs / 2];
    const struct ae_view_wakeup wakeup = {.runs = bench_runs(options, results, discarded),
                                          .size = options->size,
                                          .samples = samples,
                                          .distance_ns = 2 * REST_NS,
                                          .p50_ns = median->p50,
                                          .p99_ns = median->p99,
                                          .futex_p50_ns = median->bare_p50,
                                          .futex_p99_ns = median->bare_p99};

    return out_check(&options->view, ae_view_wakeup(&options->view, &wakeup));
}

static int open_waker(struct bench *bench, const struct bench_options *options, struct waker *w) {
    char path[64];
    const int rc = aether_publisher_open(bench->client, bench->topic[0], NULL, &w->pub);

    if (rc != 0)
        return cli_library_error(rc);
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)bench->pids[0]);
    w->stat_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (w->stat_fd < 0)
        return cli_error(CLI_FAILURE, "bench: %s: %s", path, strerror(errno));
    w->message = calloc(1, options->size);
    return w->message != NULL ? CLI_OK : cli_error(CLI_FAILURE, "out of memory for the messages of the measurement");
}

int bench_wakeup(const struct bench_options *options) {
    struct bench_result *results = calloc(options->runs, sizeof *results);
    struct waker w = {.stat_fd = -1};
    const struct bench_case wakeup = {.run = wake_run, .ratio = futexes, .unit = "x futex", .context = &w};
    struct bench bench = {0};
    uint64_t discarded = 0;
    int status;

    if (results == NULL)
        return cli_error(CLI_FAILURE, "out of memory for the messages of the measurement");
    status = bench_start(&bench, "bench wakeup", options, 1, 1, child);
    if (status == CLI_OK)
        status = open_waker(&bench, options, &w);
    if (status == CLI_OK)
        status = bench_measure(&bench, options, &wakeup, results, &discarded);
    if (status == CLI_OK)
        status = report(options, results, w.samples, discarded);
    aether_publisher_close(w.pub);
    bench_stop(&bench);
    if (w.stat_fd >= 0)
        (void)close(w.stat_fd);
    free(w.message);
    free(results);
    return status;
}

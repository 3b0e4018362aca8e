/* SPDX-License-Identifier: Apache-2.0 */
/* latency.c - round trips: a message to the other process and its answer. Each round trip is timed. */
#include "latency.h"
#include "error.h"
#include "floor.h"
#include "histogram.h"
#include "measure.h"
#include "output.h"
#include "processes.h"
#include "signals.h"
#include "ticks.h"
#include <stdlib.h>
#include <string.h>

#define WARM_UP 1000u      /* trips between two checks of the time; the first WARM_UP trips aren't counted */
#define WARM_UP_SIZE 4096u /* of larger messages there are fewer trips, and the histogram is coarser by as much */

#define BY_SIZE(size, constant, other)                                                                                 \
    switch (size) {                                                                                                    \
    case 8:                                                                                                            \
        constant(8);                                                                                                   \
        break;                                                                                                         \
    case 32:                                                                                                           \
        constant(32);                                                                                                  \
        break;                                                                                                         \
    case 64:                                                                                                           \
        constant(64);                                                                                                  \
        break;                                                                                                         \
    default:                                                                                                           \
        other(size);                                                                                                   \
        break;                                                                                                         \
    }

static uint64_t trips_at_once(uint64_t size) {
    const uint64_t count = size > WARM_UP_SIZE ? (uint64_t)WARM_UP * WARM_UP_SIZE / size : WARM_UP;

    return count > 0 ? count : 1;
}

static unsigned tick_shift(uint64_t size) {
    unsigned shift = 0;

    while (size >> shift > WARM_UP_SIZE)
        shift++;
    return shift;
}

/* Room for two messages and a word. */
static uint64_t *message_words(uint64_t size) {
    return calloc(2 * ((size + 7) / 8 + 1), sizeof(uint64_t));
}

/* Waits for a message with the library's idle strategy, and copies it out. */
static inline int __attribute__((always_inline))
take(aether_subscriber *sub, aether_idle_state *idle, uint64_t *words, size_t size) {
    aether_message m;
    int n;

    while ((n = aether_receive(sub, &m)) == 0)
        aether_idle(idle, 0);
    if (n < 0 || m.len != size || m.lost != 0)
        return -1;
    memcpy(words, m.data, size);
    return 0;
}

static inline int __attribute__((always_inline))
echo_trips(aether_subscriber *sub, aether_publisher *pub, uint64_t *words, size_t size, const uint64_t *stop) {
    aether_idle_state idle;

    aether_idle_init(&idle, AETHER_IDLE_SPIN, 0);
    do {
        if (take(sub, &idle, words, size) != 0)
            return -1;
        while (aether_publish(pub, words, size) != 0)
            continue;
    } while (__atomic_load_n(stop, __ATOMIC_RELAXED) == 0 || aether_subscriber_next(sub) < *stop);
    return 0;
}

struct side {
    aether_publisher *pub;
    aether_subscriber *sub;
    uint64_t *words; /* two messages */
};

/* The steps of the echoing child, which runs until it fails or the parent ends it. */
static int echo(struct bench *bench, int index, const struct bench_options *options, const struct side *side,
                uint64_t step) {
    int rc = 0;

    for (;;) {
        step = bench_next_step(bench, step);
        if (bench_step_is_run(step)) {
#define ECHO(n) rc = echo_trips(side->sub, side->pub, (uint64_t[(n) / 8]){0}, n, &bench->arena->total.v)
#define ECHO_OTHER(n) rc = echo_trips(side->sub, side->pub, side->words, n, &bench->arena->total.v)
            BY_SIZE(options->size, ECHO, ECHO_OTHER)
#undef ECHO_OTHER
#undef ECHO
            if (rc != 0)
                return bench_child_error(bench, index, "a message was lost or has another size");
        } else {
            bench_floor_pong(bench->arena);
        }
        bench_reached(bench, index, step);
    }
}

static int child(struct bench *bench, int index, const struct bench_options *options) {
    const aether_connect_options connect = {.socket_path = bench->socket_path, .name = "aether-cli bench echo"};
    uint64_t step = bench_next_step(bench, 0);
    aether_client *client;
    struct side side;

    if (aether_connect(&client, &connect) != 0 ||
        aether_subscriber_open(client, bench->topic[0], NULL, NULL, &side.sub) != 0 ||
        aether_publisher_open(client, bench->topic[1], NULL, &side.pub) != 0)
        return bench_child_error(bench, index, "%s", aether_errmsg());
    side.words = message_words(options->size);
    if (side.words == NULL)
        return bench_child_error(bench, index, "out of memory for the round trips");
    bench_reached(bench, index, step);
    const int status = echo(bench, index, options, &side, step);
    free(side.words);
    return status;
}

/* False: the answer isn't the message that was sent. */
static inline bool __attribute__((always_inline))
trips(const struct side *side, uint64_t *out, uint64_t *in, size_t size, uint64_t count, struct histogram *h) {
    aether_publisher *pub = side->pub;
    aether_subscriber *sub = side->sub;
    const unsigned shift = tick_shift(size);
    aether_idle_state idle;
    uint64_t last;

    aether_idle_init(&idle, AETHER_IDLE_SPIN, 0);
    last = bench_ticks();
    for (uint64_t i = 0; i < count; i++) {
        out[0] = aether_publisher_next(pub);
        while (aether_publish(pub, out, size) != 0)
            continue;
        if (take(sub, &idle, in, size) != 0 || (size > 0 && memcmp(in, out, size) != 0))
            return false;
        const uint64_t now = bench_ticks();
        histogram_add(h, (now - last) >> shift);
        last = now;
    }
    return true;
}

static bool run_trips(struct bench *bench, const struct bench_options *options, void *context,
                      struct bench_result *result) {
    static struct histogram histogram;
    struct histogram *const h = &histogram;
    const struct side *side = context;
    const uint64_t count = trips_at_once(options->size);
    const double scale = (double)(UINT64_C(1) << tick_shift(options->size));
    uint64_t *const out = side->words, *const in = side->words + (options->size + 7) / 8 + 1;
    const uint64_t end = cli_now_ns() + (uint64_t)(options->seconds * 1e9);
    bool ok = true, last = false, warm = false;

    memset(h, 0, sizeof *h);
    __atomic_store_n(&bench->arena->total.v, 0, __ATOMIC_RELEASE);
    bench_go(bench);
    do {
        if (cli_now_ns() >= end || cli_signal != 0) {
            last = true;
            __atomic_store_n(&bench->arena->total.v, aether_publisher_next(side->pub) + count, __ATOMIC_RELEASE);
        }
#define TRIPS(n) ok = trips(side, (uint64_t[(n) / 8]){0}, (uint64_t[(n) / 8]){0}, n, WARM_UP, h)
#define TRIPS_OTHER(n) ok = trips(side, out, in, n, count, h)
        BY_SIZE(options->size, TRIPS, TRIPS_OTHER)
#undef TRIPS_OTHER
#undef TRIPS
        if (!warm)
            memset(h, 0, sizeof *h);
        warm = true;
    } while (ok && !last);
    if (!ok)
        return cli_error(CLI_FAILURE, "bench: what came back isn't what was sent"), false;
    result->p50 = histogram_ns(h, 0.5) * scale;
    result->p99 = histogram_ns(h, 0.99) * scale;
    result->p999 = histogram_ns(h, 0.999) * scale;
    return bench_joined(bench);
}

static double floors(const struct bench_result *result) {
    return result->p50 / result->floor_ns;
}

static int report(const struct bench_options *options, const struct ae_view_ring *ring,
                  const struct bench_result *results, uint64_t discarded) {
    const struct bench_result *median = &results[options->runs / 2];
    const struct ae_view_latency latency = {.runs = bench_runs(options, results, discarded),
                                            .ring = *ring,
                                            .size = options->size,
                                            .p50_ns = median->p50,
                                            .p99_ns = median->p99,
                                            .p999_ns = median->p999};

    return out_check(&options->view, ae_view_latency(&options->view, &latency));
}

int bench_latency(const struct bench_options *options) {
    struct bench_result *results = calloc(options->runs, sizeof *results);
    struct side side = {0};
    const struct bench_case latency = {.run = run_trips, .ratio = floors, .unit = "x floor", .context = &side};
    struct bench bench = {0};
    struct ae_view_ring ring;
    uint64_t discarded = 0;
    int status;

    side.words = message_words(options->size);
    if (results == NULL || side.words == NULL) {
        status = cli_error(CLI_FAILURE, "out of memory for the round trips");
        goto out;
    }
    status = bench_start(&bench, "bench latency", options, 2, 1, child);
    if (status == CLI_OK &&
        ((status = aether_publisher_open(bench.client, bench.topic[0], NULL, &side.pub)) != 0 ||
         (status = aether_subscriber_open(bench.client, bench.topic[1], NULL, NULL, &side.sub)) != 0))
        status = cli_library_error(status);
    if (status == CLI_OK)
        status = bench_ring(&bench, options, &ring);
    if (status == CLI_OK)
        status = bench_measure(&bench, options, &latency, results, &discarded);
    if (status == CLI_OK)
        status = report(options, &ring, results, discarded);
    aether_subscriber_close(side.sub);
    aether_publisher_close(side.pub);
    bench_stop(&bench);
out:
    free(side.words);
    free(results);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* throughput.c - messages a second from one or several publishers to reliable subscribers. */
#include "throughput.h"
#include "error.h"
#include "measure.h"
#include "message.h"
#include "output.h"
#include "signals.h"
#include "throughput_publisher.h"
#include "throughput_subscriber.h"
#include <stdlib.h>

static int child(struct bench *bench, int index, const struct bench_options *options) {
    return index < (int)options->subscribers ? bench_subscriber_child(bench, index, options)
                                             : bench_publisher_child(bench, index, options);
}

/* ---- a run ---- */

/* Waits for the other publishers, then for the subscribers, and adds up their results. start_ns: when the run began. */
static bool end_run(struct bench *bench, const struct bench_options *options, uint64_t total, uint64_t sum,
                    uint64_t start_ns, struct bench_result *result) {
    const int subscribers = (int)options->subscribers;
    uint64_t end_ns = 0, stall_ns = 0;

    if (!bench_joined_from(bench, subscribers))
        return false;
    for (int i = subscribers; i < bench->children; i++) {
        total += bench->arena->child[i].count;
        sum += bench->arena->child[i].sum;
    }
    __atomic_store_n(&bench->arena->total.v, total, __ATOMIC_RELEASE);
    if (!bench_joined(bench))
        return false;
    result->lost = 0;
    for (int i = 0; i < subscribers; i++) {
        result->lost += bench->arena->child[i].lost;
        end_ns = bench->arena->child[i].ns > end_ns ? bench->arena->child[i].ns : end_ns;
        stall_ns = bench->arena->child[i].stall_ns > stall_ns ? bench->arena->child[i].stall_ns : stall_ns;
        if (bench->arena->child[i].lost == 0 && bench->arena->child[i].sum != sum)
            return cli_error(CLI_FAILURE, "bench: what arrived isn't what was sent: checksums differ"), false;
    }
    result->msgs_per_s = (double)total / ((double)(end_ns - start_ns) * 1e-9);
    result->stall_ns = (double)stall_ns;
    return true;
}

static bool run(struct bench *bench, const struct bench_options *options, void *context, struct bench_result *result) {
    const uint64_t start_ns = cli_now_ns();
    uint64_t total, sum;

    __atomic_store_n(&bench->arena->total.v, UINT64_MAX, __ATOMIC_RELAXED);
    __atomic_store_n(&bench->arena->end_ns.v, start_ns + (uint64_t)(options->seconds * 1e9), __ATOMIC_RELAXED);
    bench_go(bench);
    if (!bench_publisher_run(context, bench, options, &total, &sum))
        return cli_error(CLI_FAILURE, "bench: %s", aether_errmsg()), false;
    return end_run(bench, options, total, sum, start_ns, result);
}

static double messages_per_floor(const struct bench_result *result) {
    return result->msgs_per_s * result->floor_ns * 1e-9;
}

static int report(const struct bench_options *options, const struct ae_view_ring *ring,
                  const struct bench_result *results, uint64_t discarded) {
    const struct bench_result *median = &results[options->runs / 2];
    struct ae_view_throughput throughput = {
        .runs = bench_runs(options, results, discarded),
        .ring = *ring,
        .size = options->size,
        .batch = options->batch,
        .publishers = options->publishers,
        .subscribers = options->subscribers,
        .admits = options->admits,
        .loan = options->loan,
        .touch_first = options->touch == BENCH_TOUCH_FIRST,
        .msgs_per_s = median->msgs_per_s,
        .bytes_per_s = median->msgs_per_s * (double)touched_bytes(options),
    };

    for (uint64_t i = 0; i < options->runs; i++) {
        throughput.lost += results[i].lost;
        if (results[i].stall_ns > throughput.stall_ns)
            throughput.stall_ns = results[i].stall_ns;
    }
    return out_check(&options->view, ae_view_throughput(&options->view, &throughput));
}

int bench_throughput(const struct bench_options *options) {
    struct bench_result *results = calloc(options->runs, sizeof *results);
    struct bench_publisher p = {.pub = NULL};
    const struct bench_case throughput = {
        .run = run, .ratio = messages_per_floor, .unit = "messages a floor trip", .context = &p};
    struct bench bench = {0};
    const char *error = NULL;
    struct ae_view_ring ring;
    uint64_t discarded = 0;
    int status;

    if (results == NULL)
        return cli_error(CLI_FAILURE, "out of memory for the runs");
    status = bench_start(&bench, options->subscribers > 1 ? "bench fanout" : "bench throughput", options, 1,
                         (int)(options->subscribers + options->publishers - 1), child);
    if (status == CLI_OK && (error = bench_publisher_open(&p, &bench, bench.client, options, 0)) != NULL)
        status = cli_error(CLI_FAILURE, "bench: %s", error);
    if (status == CLI_OK)
        status = bench_ring(&bench, options, &ring);
    if (status == CLI_OK)
        status = bench_measure(&bench, options, &throughput, results, &discarded);
    if (status == CLI_OK)
        status = report(options, &ring, results, discarded);
    bench_publisher_close(&p);
    bench_stop(&bench);
    free(results);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* throughput_subscriber.c - receives and sums all messages, and checks that each is the next of its publisher. */
#include "throughput_subscriber.h"
#include "error.h"
#include "floor.h"
#include "message.h"
#include "signals.h"
#include "ticks.h"

#define RECEIVE_MAX 64 /* messages a call, if they are published in batches */
#define ROUND_MAX 256  /* about so many messages between two calls of the idle strategy */
#define PAUSE_BUDGET_NS 20000u

struct subscriber {
    aether_subscriber *sub;
    aether_idle_state idle;
    bool batches; /* many messages a call */
    uint64_t received, lost, sum;
    uint64_t wrong;                     /* messages of another size */
    uint64_t since;                     /* ticks when messages were last received */
    uint64_t quiet;                     /* ticks without a message since then */
    uint64_t stall;                     /* the longest time between two messages, in ticks */
    uint64_t publishers;                /* 0: there is one publisher, and its messages have no publisher's number */
    uint64_t due[BENCH_PUBLISHERS_MAX]; /* of each publisher: the first word of its next message */
    uint64_t unexpected;                /* messages that weren't due */
};

static inline void __attribute__((always_inline)) check_number(struct subscriber *s, const void *data) {
    uint64_t n;

    memcpy(&n, data, sizeof n);
    const uint64_t publisher = n >> PUBLISHER_SHIFT;
    if (__builtin_expect(publisher >= s->publishers || s->due[publisher] != n, 0))
        s->unexpected++;
    else
        s->due[publisher]++;
}

/*
 * received: messages since the last call. A time without messages counts only when a message has ended it, because no
 * message follows after the end of a run.
 */
static void watch_silence(struct subscriber *s, uint64_t received) {
    const uint64_t now = bench_ticks();

    if (received == 0) {
        s->quiet = s->since != 0 ? now - s->since : 0;
        return;
    }
    if (s->quiet > s->stall)
        s->stall = s->quiet;
    s->quiet = 0;
    s->since = now;
}

/* Receives messages, one or many a call, until there is none or the round is full. touched: bytes to read of each. */
static inline int __attribute__((always_inline))
receive_messages(struct subscriber *s, size_t size, size_t touched, bool numbered, bool batches) {
    uint64_t received = 0, sum = 0;
    aether_message messages[RECEIVE_MAX];
    int n = 0;

    while (received < ROUND_MAX &&
           (n = batches ? aether_receive_batch(s->sub, messages, RECEIVE_MAX) : aether_receive(s->sub, messages)) > 0) {
        for (int i = 0; i < (batches ? n : 1); i++) {
            const aether_message *m = &messages[i];
            if (__builtin_expect(m->len != size || m->lost != 0, 0)) {
                s->lost += m->lost;
                s->wrong += m->lost == 0;
                continue;
            }
            if (numbered)
                check_number(s, m->data);
            sum += sum_message(m->data, touched);
            received++;
        }
    }
    watch_silence(s, received);
    s->received += received;
    s->sum += sum;
    aether_idle_after(&s->idle, (int)received, ROUND_MAX);
    return n < 0 ? n : 0;
}

static int receive_numbered(struct subscriber *s, size_t size) {
#define RECEIVE(n) receive_messages(s, n, n, true, false)
    BY_SIZE(size, RECEIVE, RECEIVE)
#undef RECEIVE
}

static int receive_batches(struct subscriber *s, size_t size) {
#define RECEIVE(n) receive_messages(s, n, n, s->publishers != 0, true)
    BY_SIZE(size, RECEIVE, RECEIVE)
#undef RECEIVE
}

static int receive_round(struct subscriber *s, size_t size, size_t touched) {
    if (touched != size)
        return receive_messages(s, size, touched, s->publishers != 0, false);
    if (s->batches)
        return receive_batches(s, size);
    if (s->publishers != 0)
        return receive_numbered(s, size);
#define RECEIVE(n) receive_messages(s, n, n, false, false)
    BY_SIZE(size, RECEIVE, RECEIVE)
#undef RECEIVE
}

/* Reliable subscribers lose nothing: if a message is missing or wrong, the benchmark fails. */
static int check_run(struct bench *bench, int index, const struct subscriber *s, uint64_t total) {
    if (s->wrong != 0)
        return bench_child_error(bench, index, "a message arrived with another size");
    if (s->unexpected != 0)
        return bench_child_error(bench, index, "%llu messages were not the next ones of their publishers",
                                 (unsigned long long)s->unexpected);
    if (s->publishers != 0 && s->received != total)
        return bench_child_error(bench, index, "%llu of %llu messages arrived", (unsigned long long)s->received,
                                 (unsigned long long)total);
    return CLI_OK;
}

static int receive_all(struct bench *bench, int index, struct subscriber *s, const struct bench_options *options) {
    const size_t touched = touched_bytes(options);
    const uint64_t first = aether_subscriber_next(s->sub);
    uint64_t total = 0;
    int rc;

    s->received = s->lost = s->sum = s->since = s->quiet = s->stall = 0;
    do {
        rc = receive_round(s, options->size, touched);
        if (rc < 0)
            return bench_child_error(bench, index, "%s", aether_errmsg());
        total = __atomic_load_n(&bench->arena->total.v, __ATOMIC_ACQUIRE);
    } while (aether_subscriber_next(s->sub) - first < total);
    if ((rc = check_run(bench, index, s, total)) != CLI_OK)
        return rc;
    bench->arena->child[index].count = s->received;
    bench->arena->child[index].lost = s->lost;
    bench->arena->child[index].sum = s->sum;
    bench->arena->child[index].ns = cli_now_ns() - (uint64_t)((double)(bench_ticks() - s->since) * bench_ns_per_tick());
    bench->arena->child[index].stall_ns = (uint64_t)((double)s->stall * bench_ns_per_tick());
    return CLI_OK;
}

int bench_subscriber_child(struct bench *bench, int index, const struct bench_options *options) {
    const aether_connect_options connect = {.socket_path = bench->socket_path, .name = "aether-cli bench reader"};
    struct subscriber s = {.publishers = options->publishers > 1 ? options->publishers : 0,
                           .batches = options->batch > 1};
    uint64_t step = bench_next_step(bench, 0);
    aether_client *client;

    for (uint64_t i = 0; i < s.publishers; i++)
        s.due[i] = i << PUBLISHER_SHIFT;
    if (aether_connect(&client, &connect) != 0 ||
        aether_subscriber_open(client, bench->topic[0], NULL, NULL, &s.sub) != 0)
        return bench_child_error(bench, index, "%s", aether_errmsg());
    aether_idle_init(&s.idle, options->subscribers > 1 ? AETHER_IDLE_YIELD : AETHER_IDLE_SPIN, PAUSE_BUDGET_NS);
    bench_reached(bench, index, step);
    for (;;) {
        step = bench_next_step(bench, step);
        if (bench_step_is_run(step)) {
            if (receive_all(bench, index, &s, options) != CLI_OK)
                return CLI_FAILURE;
        } else if (index == 0) {
            bench_floor_pong(bench->arena);
        }
        bench_reached(bench, index, step);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* bench_throughput.c - publishers, reliable subscribers, every byte written, read and summed. */
#include "bench.h"
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX ((AETHER_INLINE_LIMIT + 7) / 8)
#define RECEIVE_MAX 64                  /* messages a call, where they are published in batches */
#define ROUND_MAX 256                   /* messages between two calls of the idle strategy, and not many more */
#define CHUNK 1024u                     /* messages between two looks at the clock */
#define CHUNK_BYTES (UINT64_C(4) << 20) /* the same for large ones */
#define PAUSE_BUDGET_NS 20000u
#define AUTHOR_SHIFT 48

/* Steps of a run, counted by the arena's step word: 1 joined, then for each run floor, messages, floor. */
enum step { STEP_FLOOR_BEFORE, STEP_MESSAGES, STEP_FLOOR_AFTER, STEPS };

/* The compiler makes one loop of its own for each of these sizes, as in a program that publishes a struct. */
#define BY_SIZE(size, constant, other)                                                                                 \
    switch (size) {                                                                                                    \
    case 8:                                                                                                            \
        return constant(8);                                                                                            \
    case 16:                                                                                                           \
        return constant(16);                                                                                           \
    case 32:                                                                                                           \
        return constant(32);                                                                                           \
    case 64:                                                                                                           \
        return constant(64);                                                                                           \
    case 128:                                                                                                          \
        return constant(128);                                                                                          \
    case 256:                                                                                                          \
        return constant(256);                                                                                          \
    default:                                                                                                           \
        return other(size);                                                                                            \
    }

/* Short loops of a constant count become straight code, as the fields of a struct are; clang does it by itself. */
#ifdef __clang__
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

/* Two words at once: word by word the loops, and not memory, would limit large messages. */
typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));
#define PAIRS_FROM 1024u

/*
 * A message is the words n, n + 1, ...; the last one may be cut. n is its sequence; where there are several publishers,
 * which can't know that beforehand, it is the publisher's number << AUTHOR_SHIFT and a count of its own messages.
 */
static inline uint64_t __attribute__((always_inline)) sum_message(const void *data, size_t size) {
    const unsigned char *bytes = data;
    uint64_t sum = 0;
    size_t at = 0;

    if (size >= PAIRS_FROM) {
        pair sums[4] = {{0}, {0}, {0}, {0}};
        for (; at + sizeof sums <= size; at += sizeof sums) {
            const pair *words = (const pair *)(const void *)(bytes + at);
            sums[0] += words[0];
            sums[1] += words[1];
            sums[2] += words[2];
            sums[3] += words[3];
        }
        sums[0] += sums[1] + sums[2] + sums[3];
        sum = sums[0][0] + sums[0][1];
    }
    UNROLL
    for (; at + 8 <= size; at += 8) {
        uint64_t word;
        memcpy(&word, bytes + at, 8);
        sum += word;
    }
    if (at < size) {
        uint64_t word = 0;
        memcpy(&word, bytes + at, size - at);
        sum += word;
    }
    return sum;
}

/* ---- the publishers' side ---- */

struct writer {
    aether_publisher *pub;
    uint64_t *buffer;       /* of the messages of a call; NULL: loans, and small messages one a call */
    struct iovec *messages; /* of a batch; NULL: one a call */
    uint64_t batch;
    size_t size;
    size_t touched; /* bytes that are written and read */
    bool alone;
    uint64_t word; /* the first one of its next message */
};

/*
 * words: room for one message; of a constant size it becomes registers. own: where the first word is counted; NULL: it
 * is the sequence. Returns the number of messages, 0 for an error, as all of these do.
 */
static inline uint64_t __attribute__((always_inline))
publish_chunk(aether_publisher *pub, aether_idle_state *idle, uint64_t *words, size_t size, uint64_t *own,
              uint64_t *total_sum) {
    uint64_t sum = 0, next = own != NULL ? *own : aether_publisher_next(pub);
    aether_burst burst = aether_burst_begin(pub, size);
    int rc;

    for (unsigned i = 0; i < CHUNK; i++) {
        const uint64_t n = next++;
        UNROLL
        for (size_t w = 0; w < (size + 7) / 8; w++)
            words[w] = n + w;
        while (__builtin_expect((rc = aether_burst_publish(&burst, words)) != 0, 0)) {
            if (rc < 0)
                return 0;
            aether_idle(idle, 0);
        }
        sum += sum_message(words, size);
    }
    if (own != NULL)
        *own = next;
    *total_sum += sum;
    return CHUNK;
}

static uint64_t publish_some(struct writer *w, aether_idle_state *idle, uint64_t *sum) {
    uint64_t words[WORDS_MAX];
#define PUBLISH_CONSTANT(n) publish_chunk(w->pub, idle, (uint64_t[(n) / 8]){0}, n, NULL, sum)
#define PUBLISH_OTHER(n) publish_chunk(w->pub, idle, words, n, NULL, sum)
    BY_SIZE(w->size, PUBLISH_CONSTANT, PUBLISH_OTHER)
#undef PUBLISH_OTHER
#undef PUBLISH_CONSTANT
}

static uint64_t publish_own(struct writer *w, aether_idle_state *idle, uint64_t *sum) {
    uint64_t words[WORDS_MAX];
#define PUBLISH_CONSTANT(n) publish_chunk(w->pub, idle, (uint64_t[(n) / 8]){0}, n, &w->word, sum)
#define PUBLISH_OTHER(n) publish_chunk(w->pub, idle, words, n, &w->word, sum)
    BY_SIZE(w->size, PUBLISH_CONSTANT, PUBLISH_OTHER)
#undef PUBLISH_OTHER
#undef PUBLISH_CONSTANT
}

static inline uint64_t __attribute__((always_inline))
batch_chunk(struct writer *w, aether_idle_state *idle, size_t size, uint64_t *total_sum) {
    const size_t words = (size + 7) / 8;
    uint64_t sum = 0, done = 0;
    int rc;

    for (; done < CHUNK; done += w->batch) {
        uint64_t *message = w->buffer;
        for (uint64_t left = w->batch; left > 0; left--, message += words) {
            UNROLL
            for (size_t i = 0; i < words; i++)
                message[i] = w->word + i;
            w->word++;
            sum += sum_message(message, size);
        }
        while (__builtin_expect((rc = aether_publish_batch(w->pub, w->messages, w->batch)) != 0, 0)) {
            if (rc < 0)
                return 0;
            aether_idle(idle, 0);
        }
    }
    *total_sum += sum;
    return done;
}

static uint64_t batch_some(struct writer *w, aether_idle_state *idle, uint64_t *sum) {
#define BATCH(n) batch_chunk(w, idle, n, sum)
    BY_SIZE(w->size, BATCH, BATCH)
#undef BATCH
}

/* ---- large messages and loans ---- */

/* Writes the message of words n, n + 1, ... and returns its sum, which needs no second look at it. */
static uint64_t write_message(unsigned char *data, uint64_t n, size_t size) {
    const uint64_t words = size / 8;
    uint64_t word = n, rest = 0;
    size_t at = 0;

    for (pair two = {n, n + 1}; at + 2 * sizeof two <= size; at += 2 * sizeof two, word += 4) {
        pair *out = (pair *)(void *)(data + at);
        out[0] = two;
        out[1] = two + 2;
        two += 4;
    }
    for (; at + 8 <= size; at += 8, word++)
        memcpy(data + at, &word, 8);
    memcpy(&rest, &word, size % 8);
    memcpy(data + words * 8, &rest, size % 8);
    return words * n + (words % 2 == 0 ? words / 2 * (words - 1) : (words - 1) / 2 * words) + rest;
}

/* One message; while there is no room it idles. 0 or an error. */
static int write_one(struct writer *w, aether_idle_state *idle, uint64_t *sum) {
    const uint64_t n = w->word++;
    aether_loan loan;
    int rc;

    if (w->buffer != NULL) {
        *sum += write_message((unsigned char *)w->buffer, n, w->size);
        while ((rc = aether_publish(w->pub, w->buffer, w->size)) == AETHER_FULL)
            aether_idle(idle, 0);
        return rc;
    }
    while ((rc = aether_loan_take(w->pub, w->size, &loan)) == AETHER_FULL)
        aether_idle(idle, 0);
    if (rc != 0)
        return rc;
    *sum += write_message(loan.data, n, w->touched);
    while ((rc = aether_loan_commit(w->pub, &loan)) == AETHER_FULL)
        aether_idle(idle, 0);
    return rc;
}

static uint64_t write_some(struct writer *w, aether_idle_state *idle, uint64_t *sum) {
    const uint64_t fit = w->size > 0 ? CHUNK_BYTES / w->size : CHUNK;
    const uint64_t count = fit > CHUNK ? CHUNK : fit > 0 ? fit : 1;

    for (uint64_t i = 0; i < count; i++) {
        if (write_one(w, idle, sum) != 0)
            return 0;
    }
    return count;
}

/* ---- a publisher's run ---- */

static size_t touched_bytes(const struct bench_options *options) {
    return options->touch == BENCH_TOUCH_FIRST && options->size > 8 ? 8 : options->size;
}

static void close_writer(struct writer *w) {
    aether_publisher_close(w->pub);
    free(w->messages);
    free(w->buffer);
}

/* number: among the publishers. NULL, or what is wrong; close_writer() in every case. */
static const char *open_writer(struct writer *w, const struct bench *bench, aether_client *client,
                               const struct bench_options *options, uint64_t number) {
    const size_t words = (options->size + 7) / 8;
    const bool batch = options->batch > 1;

    *w = (struct writer){.size = options->size,
                         .touched = touched_bytes(options),
                         .batch = options->batch,
                         .alone = options->publishers == 1,
                         .word = number << AUTHOR_SHIFT};
    if ((batch || bench_has_lane(options)) && !options->loan &&
        (w->buffer = calloc(options->batch * words + 1, sizeof *w->buffer)) == NULL)
        return "out of memory";
    if (batch && (w->messages = calloc(options->batch, sizeof *w->messages)) == NULL)
        return "out of memory";
    for (uint64_t i = 0; batch && i < options->batch; i++)
        w->messages[i] = (struct iovec){.iov_base = w->buffer + i * words, .iov_len = options->size};
    return aether_publisher_open(client, bench->topic[0], NULL, &w->pub) == 0 ? NULL : aether_errmsg();
}

/* Publishes until the run ends. False: an error of the library. */
static bool publish_run(struct bench *bench, const struct bench_options *options, struct writer *w, uint64_t *total,
                        uint64_t *sum) {
    const uint64_t end_ns = __atomic_load_n(&bench->arena->end_ns.v, __ATOMIC_RELAXED);
    const bool in_place = options->loan || bench_has_lane(options);
    aether_idle_state idle;
    uint64_t count;

    *total = *sum = 0;
    aether_idle_init(&idle, options->subscribers + options->publishers > 2 ? AETHER_IDLE_YIELD : AETHER_IDLE_SPIN, 0);
    do {
        count = w->batch > 1 ? batch_some(w, &idle, sum)
                : in_place   ? write_some(w, &idle, sum)
                : w->alone   ? publish_some(w, &idle, sum)
                             : publish_own(w, &idle, sum);
        *total += count;
    } while (count > 0 && cli_now_ns() < end_ns && cli_signal == 0);
    return count > 0;
}

/* A child that publishes. */
static int publisher(struct bench *bench, int index, const struct bench_options *options) {
    const aether_connect_options connect = {.socket_path = bench->socket_path, .name = "aether-cli bench writer"};
    const uint64_t number = (uint64_t)index - options->subscribers + 1; /* 0 is the parent */
    uint64_t step = bench_next_step(bench, 0);
    const char *error = NULL;
    aether_client *client;
    struct writer w;

    if (aether_connect(&client, &connect) != 0)
        return bench_child_error(bench, index, "%s", aether_errmsg());
    if ((error = open_writer(&w, bench, client, options, number)) != NULL)
        return bench_child_error(bench, index, "%s", error);
    bench_reached(bench, index, step);
    for (;;) {
        step = bench_next_step(bench, step);
        if ((step - 2) % STEPS == STEP_MESSAGES &&
            !publish_run(bench, options, &w, &bench->arena->child[index].count, &bench->arena->child[index].sum))
            return bench_child_error(bench, index, "%s", aether_errmsg());
        bench_reached(bench, index, step);
    }
}

/* ---- the subscribers' side ---- */

struct reader {
    aether_subscriber *sub;
    aether_idle_state idle;
    bool many; /* messages a call */
    uint64_t received, lost, sum;
    uint64_t wrong; /* messages of another size */
    uint64_t since, quiet,
        stall;        /* ticks: the last run's end; the time without messages since; the longest such time */
    uint64_t authors; /* 0: messages don't say whose they are */
    uint64_t due[BENCH_PUBLISHERS_MAX]; /* of each author: the next message's first word */
    uint64_t unexpected;                /* messages that weren't due */
};

static inline void __attribute__((always_inline)) check_turn(struct reader *r, const void *data) {
    uint64_t n;

    memcpy(&n, data, sizeof n);
    const uint64_t author = n >> AUTHOR_SHIFT;
    if (__builtin_expect(author >= r->authors || r->due[author] != n, 0))
        r->unexpected++;
    else
        r->due[author]++;
}

/*
 * After a look that found nothing more. Silence counts when a message has ended it: at the end of a run there is none.
 */
static void watch_silence(struct reader *r, uint64_t received) {
    const uint64_t now = bench_ticks();

    if (received == 0) {
        r->quiet = r->since != 0 ? now - r->since : 0;
        return;
    }
    if (r->quiet > r->stall)
        r->stall = r->quiet;
    r->quiet = 0;
    r->since = now;
}

/* Takes messages, one a call or many, until there is none. touched: bytes of each that are read. */
static inline int __attribute__((always_inline))
receive_run(struct reader *r, size_t size, size_t touched, bool has_authors, bool many) {
    uint64_t received = 0, sum = 0;
    aether_message messages[RECEIVE_MAX];
    int n = 0;

    while (received < ROUND_MAX &&
           (n = many ? aether_receive_batch(r->sub, messages, RECEIVE_MAX) : aether_receive(r->sub, messages)) > 0) {
        for (int i = 0; i < (many ? n : 1); i++) {
            const aether_message *m = &messages[i];
            if (__builtin_expect(m->len != size || m->lost != 0, 0)) {
                r->lost += m->lost;
                r->wrong += m->lost == 0;
                continue;
            }
            if (has_authors)
                check_turn(r, m->data);
            sum += sum_message(m->data, touched);
            received++;
        }
    }
    watch_silence(r, received);
    r->received += received;
    r->sum += sum;
    aether_idle_after(&r->idle, (int)received, ROUND_MAX);
    return n < 0 ? n : 0;
}

static int receive_authors(struct reader *r, size_t size) {
#define RECEIVE(n) receive_run(r, n, n, true, false)
    BY_SIZE(size, RECEIVE, RECEIVE)
#undef RECEIVE
}

static int receive_many(struct reader *r, size_t size) {
#define RECEIVE(n) receive_run(r, n, n, r->authors != 0, true)
    BY_SIZE(size, RECEIVE, RECEIVE)
#undef RECEIVE
}

static int receive_some(struct reader *r, size_t size, size_t touched) {
    if (touched != size)
        return receive_run(r, size, touched, r->authors != 0, false);
    if (r->many)
        return receive_many(r, size);
    if (r->authors != 0)
        return receive_authors(r, size);
#define RECEIVE(n) receive_run(r, n, n, false, false)
    BY_SIZE(size, RECEIVE, RECEIVE)
#undef RECEIVE
}

/* Where no loss is expected, none is let pass. */
static int check_run(struct bench *bench, int index, const struct reader *r, uint64_t total) {
    if (r->wrong != 0)
        return bench_child_error(bench, index, "a message arrived with another size");
    if (r->unexpected != 0)
        return bench_child_error(bench, index, "%llu messages were not the next ones of their publishers",
                                 (unsigned long long)r->unexpected);
    if (r->authors != 0 && r->received != total)
        return bench_child_error(bench, index, "%llu of %llu messages arrived", (unsigned long long)r->received,
                                 (unsigned long long)total);
    return CLI_OK;
}

static int receive_all(struct bench *bench, int index, struct reader *r, const struct bench_options *options) {
    const size_t touched = touched_bytes(options);
    const uint64_t first = aether_subscriber_next(r->sub);
    uint64_t total = 0;
    int rc;

    r->received = r->lost = r->sum = r->since = r->quiet = r->stall = 0;
    do {
        rc = receive_some(r, options->size, touched);
        if (rc < 0)
            return bench_child_error(bench, index, "%s", aether_errmsg());
        total = __atomic_load_n(&bench->arena->total.v, __ATOMIC_ACQUIRE);
    } while (aether_subscriber_next(r->sub) - first < total);
    if ((rc = check_run(bench, index, r, total)) != CLI_OK)
        return rc;
    bench->arena->child[index].count = r->received;
    bench->arena->child[index].lost = r->lost;
    bench->arena->child[index].sum = r->sum;
    bench->arena->child[index].ns = cli_now_ns() - (uint64_t)((double)(bench_ticks() - r->since) * bench_ns_per_tick());
    bench->arena->child[index].stall_ns = (uint64_t)((double)r->stall * bench_ns_per_tick());
    return CLI_OK;
}

/* A child that subscribes. */
static int subscriber(struct bench *bench, int index, const struct bench_options *options) {
    const aether_connect_options connect = {.socket_path = bench->socket_path, .name = "aether-cli bench reader"};
    struct reader r = {.authors = options->publishers > 1 ? options->publishers : 0, .many = options->batch > 1};
    uint64_t step = bench_next_step(bench, 0);
    aether_client *client;

    for (uint64_t i = 0; i < r.authors; i++)
        r.due[i] = i << AUTHOR_SHIFT;
    if (aether_connect(&client, &connect) != 0 ||
        aether_subscriber_open(client, bench->topic[0], NULL, NULL, &r.sub) != 0)
        return bench_child_error(bench, index, "%s", aether_errmsg());
    aether_idle_init(&r.idle, options->subscribers > 1 ? AETHER_IDLE_YIELD : AETHER_IDLE_SPIN, PAUSE_BUDGET_NS);
    bench_reached(bench, index, step);
    for (;;) {
        step = bench_next_step(bench, step);
        if ((step - 2) % STEPS == STEP_MESSAGES) {
            if (receive_all(bench, index, &r, options) != CLI_OK)
                return CLI_FAILURE;
        } else if (index == 0) {
            bench_floor_pong(bench->arena);
        }
        bench_reached(bench, index, step);
    }
}

static int child(struct bench *bench, int index, const struct bench_options *options) {
    return (index < (int)options->subscribers ? subscriber : publisher)(bench, index, options);
}

/* ---- a run ---- */

/* Waits for the other publishers, then for the subscribers, and adds up. start_ns: of the run. */
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
    if (!publish_run(bench, options, context, &total, &sum))
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
    struct writer w = {.pub = NULL};
    const struct bench_case throughput = {
        .run = run, .ratio = messages_per_floor, .unit = "messages a floor trip", .context = &w};
    struct bench bench = {0};
    const char *error = NULL;
    struct ae_view_ring ring;
    uint64_t discarded = 0;
    int status;

    if (results == NULL)
        return cli_error(CLI_FAILURE, "out of memory");
    status = bench_start(&bench, options->subscribers > 1 ? "bench fanout" : "bench throughput", options, 1,
                         (int)(options->subscribers + options->publishers - 1), child);
    if (status == CLI_OK && (error = open_writer(&w, &bench, bench.client, options, 0)) != NULL)
        status = cli_error(CLI_FAILURE, "bench: %s", error);
    if (status == CLI_OK)
        status = bench_ring(&bench, options, &ring);
    if (status == CLI_OK)
        status = bench_measure(&bench, options, &throughput, results, &discarded);
    if (status == CLI_OK)
        status = report(options, &ring, results, discarded);
    close_writer(&w);
    bench_stop(&bench);
    free(results);
    return status;
}

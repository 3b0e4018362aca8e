/* SPDX-License-Identifier: Apache-2.0 */
/* bench_throughput.c - one publisher, one or more reliable subscribers, every byte written, read and summed. */
#include "bench.h"
#include "output.h"
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX ((AETHER_INLINE_LIMIT + 7) / 8)
#define CHUNK 1024u                     /* messages between two looks at the clock */
#define CHUNK_BYTES (UINT64_C(4) << 20) /* the same for large ones */
#define PAUSE_BUDGET_NS 20000u

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

/* Message seq is the words seq, seq + 1, ...; the last one may be cut. */
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

/* words: room for one message; of a constant size it becomes registers. */
static inline uint64_t __attribute__((always_inline))
publish_chunk(aether_publisher *pub, aether_idle_state *idle, uint64_t *words, size_t size, uint64_t *total_sum) {
    uint64_t sum = 0;

    for (unsigned n = 0; n < CHUNK; n++) {
        const uint64_t seq = aether_publisher_next(pub);
        UNROLL
        for (size_t i = 0; i < (size + 7) / 8; i++)
            words[i] = seq + i;
        while (__builtin_expect(aether_publish(pub, words, size) != 0, 0))
            aether_idle(idle, 0);
        sum += sum_message(words, size);
    }
    *total_sum += sum;
    return CHUNK;
}

static uint64_t publish_some(aether_publisher *pub, aether_idle_state *idle, size_t size, uint64_t *sum) {
    uint64_t words[WORDS_MAX];
#define PUBLISH_CONSTANT(n) publish_chunk(pub, idle, (uint64_t[(n) / 8]){0}, n, sum)
#define PUBLISH_OTHER(n) publish_chunk(pub, idle, words, n, sum)
    BY_SIZE(size, PUBLISH_CONSTANT, PUBLISH_OTHER)
#undef PUBLISH_OTHER
#undef PUBLISH_CONSTANT
}

/* ---- large messages and loans ---- */

/* Writes message seq and returns its sum, which needs no second look at it. */
static uint64_t write_message(unsigned char *data, uint64_t seq, size_t size) {
    const uint64_t words = size / 8;
    uint64_t word = seq, rest = 0;
    size_t at = 0;

    for (pair two = {seq, seq + 1}; at + 2 * sizeof two <= size; at += 2 * sizeof two, word += 4) {
        pair *out = (pair *)(void *)(data + at);
        out[0] = two;
        out[1] = two + 2;
        two += 4;
    }
    for (; at + 8 <= size; at += 8, word++)
        memcpy(data + at, &word, 8);
    memcpy(&rest, &word, size % 8);
    memcpy(data + words * 8, &rest, size % 8);
    return words * seq + (words % 2 == 0 ? words / 2 * (words - 1) : (words - 1) / 2 * words) + rest;
}

struct writer {
    aether_publisher *pub;
    unsigned char *buffer; /* of a message; NULL with loans */
    size_t size;
    size_t touched; /* bytes that are written and read */
};

/* One message; while there is no room it idles. 0 or a fault. */
static int write_one(const struct writer *w, aether_idle_state *idle, uint64_t *sum) {
    const uint64_t seq = aether_publisher_next(w->pub);
    aether_loan loan;
    int rc;

    if (w->buffer != NULL) {
        *sum += write_message(w->buffer, seq, w->size);
        while ((rc = aether_publish(w->pub, w->buffer, w->size)) == AETHER_FULL)
            aether_idle(idle, 0);
        return rc;
    }
    while ((rc = aether_loan_take(w->pub, w->size, &loan)) == AETHER_FULL)
        aether_idle(idle, 0);
    if (rc != 0)
        return rc;
    *sum += write_message(loan.data, seq, w->touched);
    while ((rc = aether_loan_commit(w->pub, &loan)) == AETHER_FULL)
        aether_idle(idle, 0);
    return rc;
}

/* Returns the number of messages, 0 for a fault. */
static uint64_t write_some(const struct writer *w, aether_idle_state *idle, uint64_t *sum) {
    const uint64_t fit = w->size > 0 ? CHUNK_BYTES / w->size : CHUNK;
    const uint64_t count = fit > CHUNK ? CHUNK : fit > 0 ? fit : 1;

    for (uint64_t n = 0; n < count; n++) {
        if (write_one(w, idle, sum) != 0)
            return 0;
    }
    return count;
}

/* ---- the subscribers' side ---- */

struct reader {
    aether_subscriber *sub;
    aether_idle_state idle;
    uint64_t received, lost, sum;
    uint64_t wrong; /* messages of another size */
};

/* Takes messages, one a call, until there is none. touched: bytes of each that are read. */
static inline int __attribute__((always_inline)) receive_run(struct reader *r, size_t size, size_t touched) {
    uint64_t received = 0, sum = 0;
    aether_message m;
    int n;

    while ((n = aether_receive(r->sub, &m)) > 0) {
        if (__builtin_expect(m.len != size || m.lost != 0, 0)) {
            r->lost += m.lost;
            r->wrong += m.lost == 0;
            continue;
        }
        sum += sum_message(m.data, touched);
        received++;
    }
    r->received += received;
    r->sum += sum;
    aether_idle(&r->idle, received > INT32_MAX ? INT32_MAX : (int)received);
    aether_idle(&r->idle, 0);
    return n;
}

static int receive_some(struct reader *r, size_t size, size_t touched) {
    if (touched != size)
        return receive_run(r, size, touched);
#define RECEIVE(n) receive_run(r, n, n)
    BY_SIZE(size, RECEIVE, RECEIVE)
#undef RECEIVE
}

static size_t touched_bytes(const struct bench_options *options) {
    return options->touch == BENCH_TOUCH_FIRST && options->size > 8 ? 8 : options->size;
}

static int receive_all(struct bench *bench, int index, struct reader *r, const struct bench_options *options) {
    const size_t touched = touched_bytes(options);
    uint64_t total = 0;
    int rc;

    r->received = r->lost = r->sum = 0;
    do {
        rc = receive_some(r, options->size, touched);
        if (rc < 0)
            return bench_child_fault(bench, index, "%s", aether_errmsg());
        total = __atomic_load_n(&bench->arena->total.v, __ATOMIC_ACQUIRE);
    } while (r->received + r->lost + r->wrong < total);
    if (r->wrong != 0)
        return bench_child_fault(bench, index, "a message arrived with another size");
    bench->arena->child[index].received = r->received;
    bench->arena->child[index].lost = r->lost;
    bench->arena->child[index].sum = r->sum;
    bench->arena->child[index].ns = cli_now_ns();
    return CLI_OK;
}

static int child(struct bench *bench, int index, const struct bench_options *options) {
    aether_client *client;
    struct reader r = {0};
    uint64_t step = bench_next_step(bench, 0);
    const aether_connect_options connect = {.socket_path = bench->socket_path, .name = "aether-cli bench reader"};

    if (aether_connect(&client, &connect) != 0 ||
        aether_subscriber_open(client, bench->topic[0], NULL, NULL, &r.sub) != 0)
        return bench_child_fault(bench, index, "%s", aether_errmsg());
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

static bool publish_run(struct bench *bench, const struct bench_options *options, void *context,
                        struct bench_result *result) {
    const struct writer *w = context;
    const bool small = !bench_has_lane(options) && !options->loan;
    uint64_t total = 0, sum = 0, end = 0, start, count;
    aether_idle_state idle;

    aether_idle_init(&idle, options->subscribers > 1 ? AETHER_IDLE_YIELD : AETHER_IDLE_SPIN, 0);
    __atomic_store_n(&bench->arena->total.v, UINT64_MAX, __ATOMIC_RELAXED);
    bench_go(bench);
    start = cli_now_ns();
    do {
        count = small ? publish_some(w->pub, &idle, options->size, &sum) : write_some(w, &idle, &sum);
        total += count;
    } while (count > 0 && cli_now_ns() - start < (uint64_t)(options->seconds * 1e9) && cli_signal == 0);
    if (count == 0)
        return cli_fault(CLI_FAILURE, "bench: %s", aether_errmsg()), false;
    __atomic_store_n(&bench->arena->total.v, total, __ATOMIC_RELEASE);
    if (!bench_joined(bench))
        return false;
    result->lost = 0;
    for (int i = 0; i < bench->children; i++) {
        result->lost += bench->arena->child[i].lost;
        end = bench->arena->child[i].ns > end ? bench->arena->child[i].ns : end;
        if (bench->arena->child[i].lost == 0 && bench->arena->child[i].sum != sum)
            return cli_fault(CLI_FAILURE, "bench: what arrived isn't what was sent: checksums differ"), false;
    }
    result->msgs_per_s = (double)total / ((double)(end - start) * 1e-9);
    return true;
}

static double messages_per_floor(const struct bench_result *result) {
    return result->msgs_per_s * result->floor_ns * 1e-9;
}

static int report(const struct bench_options *options, const aether_topic_info *info,
                  const struct bench_result *results, uint64_t discarded) {
    const uint64_t count = options->runs;
    const struct bench_result *low = &results[0], *high = &results[count - 1], *mid = &results[count / 2];
    char rate[OUT_AMOUNT], ring[OUT_AMOUNT], messages[OUT_AMOUNT];
    uint64_t lost = 0;

    for (uint64_t i = 0; i < count; i++)
        lost += results[i].lost;
    if (options->json) {
        json_t *o = json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f}", "case",
                              options->subscribers > 1 ? "fanout" : "throughput", "preset", bench_preset_name(options),
                              "msgs_per_s", mid->msgs_per_s, "floor_ns", mid->floor_ns, "msgs_per_floor", mid->ratio,
                              "msgs_per_floor_min", low->ratio, "msgs_per_floor_max", high->ratio);
        json_object_set_new(o, "bytes_per_s", json_real(mid->msgs_per_s * (double)touched_bytes(options)));
        json_object_set_new(o, "lost", out_json_u64(lost));
        json_object_set_new(o, "size", out_json_u64(options->size));
        json_object_set_new(o, "subscribers", out_json_u64(options->subscribers));
        json_object_set_new(o, "capacity", out_json_u64(info->capacity));
        json_object_set_new(o, "slot_size", out_json_u64(info->slot_size));
        json_object_set_new(o, "lane_bytes", out_json_u64(info->lane_bytes));
        json_object_set_new(o, "loan", json_boolean(options->loan));
        json_object_set_new(o, "touch", json_string(options->touch == BENCH_TOUCH_FIRST ? "first" : "all"));
        json_object_set_new(o, "runs", out_json_u64(count));
        json_object_set_new(o, "discarded", out_json_u64(discarded));
        return out_json_line(o) ? CLI_OK : CLI_FAILURE;
    }
    printf("%llu-byte messages, one a call, %s, 1 publisher, %llu reliable subscriber%s\n",
           (unsigned long long)options->size,
           !options->loan                        ? "copied in"
           : options->touch == BENCH_TOUCH_FIRST ? "first 8 bytes written in place and read"
                                                 : "written in place",
           (unsigned long long)options->subscribers, options->subscribers > 1 ? "s, each receives all" : "");
    printf("  throughput      %s, %s/s written and read\n", out_rate(rate, mid->msgs_per_s),
           out_bytes(ring, (uint64_t)(mid->msgs_per_s * (double)touched_bytes(options))));
    printf("  floor           %.0f ns, bare cache-line round trip\n", mid->floor_ns);
    printf("  per floor trip  %.3g messages (%.3g to %.3g in %llu runs, %llu discarded)\n", mid->ratio, low->ratio,
           high->ratio, (unsigned long long)count, (unsigned long long)discarded);
    printf("  lost            %s\n", out_count(messages, lost));
    printf("  ring            %llu slots of %u bytes, %s (preset: %s)\n", (unsigned long long)info->capacity,
           info->slot_size, out_bytes(ring, info->capacity * info->slot_size), bench_preset_name(options));
    if (info->lane_bytes != 0)
        printf("  lane            %s\n", out_bytes(ring, info->lane_bytes));
    return CLI_OK;
}

int bench_throughput(const struct bench_options *options) {
    struct bench_result *results = calloc(options->runs, sizeof *results);
    struct bench_case throughput = {.run = publish_run, .ratio = messages_per_floor, .unit = "messages a floor trip"};
    struct writer w = {.size = options->size, .touched = touched_bytes(options)};
    struct bench bench = {0};
    aether_topic_info info;
    uint64_t discarded = 0;
    int status;

    if (bench_has_lane(options) && !options->loan)
        w.buffer = malloc(options->size);
    if (results == NULL || (w.buffer == NULL && bench_has_lane(options) && !options->loan)) {
        status = cli_fault(CLI_FAILURE, "out of memory");
        goto out;
    }
    status = bench_start(&bench, options->subscribers > 1 ? "bench fanout" : "bench throughput", options, 1,
                         (int)options->subscribers, child);
    if (status == CLI_OK && (status = aether_publisher_open(bench.client, bench.topic[0], NULL, &w.pub)) != 0)
        status = cli_library_fault(status);
    throughput.context = &w;
    if (status == CLI_OK)
        status = bench_topic_info(&bench, &info);
    if (status == CLI_OK)
        status = bench_measure(&bench, options, &throughput, results, &discarded);
    if (status == CLI_OK)
        status = report(options, &info, results, discarded);
    aether_publisher_close(w.pub);
    bench_stop(&bench);
out:
    free(w.buffer);
    free(results);
    return status;
}

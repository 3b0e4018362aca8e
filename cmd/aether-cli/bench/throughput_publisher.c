/* SPDX-License-Identifier: Apache-2.0 */
/* throughput_publisher.c - publishes until the run ends: one message a call, in batches, or in loans. */
#include "throughput_publisher.h"
#include "error.h"
#include "message.h"
#include "signals.h"
#include <stdlib.h>

#define WORDS_MAX ((AETHER_INLINE_LIMIT + 7) / 8)
#define CHUNK 1024u                     /* messages between two checks of the time */
#define CHUNK_BYTES (UINT64_C(4) << 20) /* bytes between two checks, for large messages */

/*
 * Publishes CHUNK messages, one a call. words: room for one message, which the compiler keeps in registers if the size
 * is constant. own: the publisher's count, which gives the first words; NULL: the sequence gives them. This function
 * and those below return the number of messages; 0: the library reported an error.
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

static uint64_t publish_alone(struct bench_publisher *p, aether_idle_state *idle, uint64_t *sum) {
    uint64_t words[WORDS_MAX];
#define PUBLISH_CONSTANT(n) publish_chunk(p->pub, idle, (uint64_t[(n) / 8]){0}, n, NULL, sum)
#define PUBLISH_OTHER(n) publish_chunk(p->pub, idle, words, n, NULL, sum)
    BY_SIZE(p->size, PUBLISH_CONSTANT, PUBLISH_OTHER)
#undef PUBLISH_OTHER
#undef PUBLISH_CONSTANT
}

static uint64_t publish_numbered(struct bench_publisher *p, aether_idle_state *idle, uint64_t *sum) {
    uint64_t words[WORDS_MAX];
#define PUBLISH_CONSTANT(n) publish_chunk(p->pub, idle, (uint64_t[(n) / 8]){0}, n, &p->word, sum)
#define PUBLISH_OTHER(n) publish_chunk(p->pub, idle, words, n, &p->word, sum)
    BY_SIZE(p->size, PUBLISH_CONSTANT, PUBLISH_OTHER)
#undef PUBLISH_OTHER
#undef PUBLISH_CONSTANT
}

static inline uint64_t __attribute__((always_inline))
batch_chunk(struct bench_publisher *p, aether_idle_state *idle, size_t size, uint64_t *total_sum) {
    const size_t words = (size + 7) / 8;
    uint64_t sum = 0, done = 0;
    int rc;

    for (; done < CHUNK; done += p->batch) {
        uint64_t *message = p->buffer;
        for (uint64_t left = p->batch; left > 0; left--, message += words) {
            UNROLL
            for (size_t i = 0; i < words; i++)
                message[i] = p->word + i;
            p->word++;
            sum += sum_message(message, size);
        }
        while (__builtin_expect((rc = aether_publish_batch(p->pub, p->messages, p->batch)) != 0, 0)) {
            if (rc < 0)
                return 0;
            aether_idle(idle, 0);
        }
    }
    *total_sum += sum;
    return done;
}

static uint64_t publish_batches(struct bench_publisher *p, aether_idle_state *idle, uint64_t *sum) {
#define BATCH(n) batch_chunk(p, idle, n, sum)
    BY_SIZE(p->size, BATCH, BATCH)
#undef BATCH
}

/* ---- large messages and loans ---- */

/* Writes the words n, n + 1, ... of a message. Returns their sum, computed without reading them again. */
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

/* Publishes one message, copied or in a loan. Idles while there is no room. 0, or the library's error. */
static int publish_one_large(struct bench_publisher *p, aether_idle_state *idle, uint64_t *sum) {
    const uint64_t n = p->word++;
    aether_loan loan;
    int rc;

    if (p->buffer != NULL) {
        *sum += write_message((unsigned char *)p->buffer, n, p->size);
        while ((rc = aether_publish(p->pub, p->buffer, p->size)) == AETHER_FULL)
            aether_idle(idle, 0);
        return rc;
    }
    while ((rc = aether_loan_take(p->pub, p->size, &loan)) == AETHER_FULL)
        aether_idle(idle, 0);
    if (rc != 0)
        return rc;
    *sum += write_message(loan.data, n, p->touched);
    while ((rc = aether_loan_commit(p->pub, &loan)) == AETHER_FULL)
        aether_idle(idle, 0);
    return rc;
}

static uint64_t publish_large(struct bench_publisher *p, aether_idle_state *idle, uint64_t *sum) {
    const uint64_t fit = p->size > 0 ? CHUNK_BYTES / p->size : CHUNK;
    const uint64_t count = fit > CHUNK ? CHUNK : fit > 0 ? fit : 1;

    for (uint64_t i = 0; i < count; i++) {
        if (publish_one_large(p, idle, sum) != 0)
            return 0;
    }
    return count;
}

/* ---- a publisher's run ---- */

void bench_publisher_close(struct bench_publisher *p) {
    aether_publisher_close(p->pub);
    free(p->messages);
    free(p->buffer);
}

const char *bench_publisher_open(struct bench_publisher *p, const struct bench *bench, aether_client *client,
                                 const struct bench_options *options, uint64_t number) {
    const size_t words = (options->size + 7) / 8;
    const bool batch = options->batch > 1;

    *p = (struct bench_publisher){.size = options->size,
                                  .touched = touched_bytes(options),
                                  .batch = options->batch,
                                  .alone = options->publishers == 1,
                                  .word = number << PUBLISHER_SHIFT};
    if ((batch || bench_has_lane(options)) && !options->loan &&
        (p->buffer = calloc(options->batch * words + 1, sizeof *p->buffer)) == NULL)
        return "out of memory for the messages of the measurement";
    if (batch && (p->messages = calloc(options->batch, sizeof *p->messages)) == NULL)
        return "out of memory for the messages of the measurement";
    for (uint64_t i = 0; batch && i < options->batch; i++)
        p->messages[i] = (struct iovec){.iov_base = p->buffer + i * words, .iov_len = options->size};
    return aether_publisher_open(client, bench->topic[0], NULL, &p->pub) == 0 ? NULL : aether_errmsg();
}

bool bench_publisher_run(struct bench_publisher *p, const struct bench *bench, const struct bench_options *options,
                         uint64_t *total, uint64_t *sum) {
    const uint64_t end_ns = __atomic_load_n(&bench->arena->end_ns.v, __ATOMIC_RELAXED);
    const bool in_place = options->loan || bench_has_lane(options);
    aether_idle_state idle;
    uint64_t count;

    *total = *sum = 0;
    aether_idle_init(&idle, options->subscribers + options->publishers > 2 ? AETHER_IDLE_YIELD : AETHER_IDLE_SPIN, 0);
    do {
        count = p->batch > 1 ? publish_batches(p, &idle, sum)
                : in_place   ? publish_large(p, &idle, sum)
                : p->alone   ? publish_alone(p, &idle, sum)
                             : publish_numbered(p, &idle, sum);
        *total += count;
    } while (count > 0 && cli_now_ns() < end_ns && cli_signal == 0);
    return count > 0;
}

int bench_publisher_child(struct bench *bench, int index, const struct bench_options *options) {
    const aether_connect_options connect = {.socket_path = bench->socket_path, .name = "aether-cli bench writer"};
    const uint64_t number = (uint64_t)index - options->subscribers + 1; /* 0 is the parent */
    uint64_t step = bench_next_step(bench, 0);
    const char *error = NULL;
    aether_client *client;
    struct bench_publisher p;

    if (aether_connect(&client, &connect) != 0)
        return bench_child_error(bench, index, "%s", aether_errmsg());
    if ((error = bench_publisher_open(&p, bench, client, options, number)) != NULL) {
        const int status = bench_child_error(bench, index, "%s", error);
        bench_publisher_close(&p);
        return status;
    }
    bench_reached(bench, index, step);
    for (;;) {
        step = bench_next_step(bench, step);
        if (bench_step_is_run(step) && !bench_publisher_run(&p, bench, options, &bench->arena->child[index].count,
                                                            &bench->arena->child[index].sum))
            return bench_child_error(bench, index, "%s", aether_errmsg());
        bench_reached(bench, index, step);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * throughput.h - the common part of the throughput benchmark's two sides: the content of a message, and loops for each
 * size.
 *
 * A message is the words n, n + 1, ...; the last word may be cut. n is its sequence. Several publishers can't know the
 * sequence beforehand: then n is the publisher's number << PUBLISHER_SHIFT plus a count of its own messages. Every byte
 * is written, read and summed, unless the options ask for the first 8 bytes only.
 */
#ifndef AETHER_CLI_BENCH_THROUGHPUT_H
#define AETHER_CLI_BENCH_THROUGHPUT_H

#include "bench.h"
#include "processes.h"
#include <aether/aether.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#define PUBLISHER_SHIFT 48

/* The compiler makes a separate loop for each of these sizes, as in a program that publishes a struct. */
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

/* Unrolls short loops of a constant count, as if the words were fields of a struct. clang does that by itself. */
#ifdef __clang__
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

/* Two words at a time. Word by word, the loop and not the memory would limit the speed of large messages. */
typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));
#define PAIRS_FROM 1024u

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

/* Bytes of each message that are written and read. */
static inline size_t touched_bytes(const struct bench_options *options) {
    return options->touch == BENCH_TOUCH_FIRST && options->size > 8 ? 8 : options->size;
}

/* ---- the publishers' side: throughput_publisher.c ---- */

struct bench_publisher {
    aether_publisher *pub;
    uint64_t *buffer;       /* for the messages of a call; NULL: for loans, and for small messages one a call */
    struct iovec *messages; /* for a batch; NULL: one message a call */
    uint64_t batch;
    size_t size;
    size_t touched; /* bytes that are written and read */
    bool alone;
    uint64_t word; /* the first word of the next message */
};

/* number: of this publisher, from 0. Returns NULL, or why it failed; call bench_publisher_close() in every case. */
const char *bench_publisher_open(struct bench_publisher *p, const struct bench *bench, aether_client *client,
                                 const struct bench_options *options, uint64_t number);
void bench_publisher_close(struct bench_publisher *p);

/*
 * Publishes until the run ends. *total: the number of messages; *sum: the sum of their words. False: the library
 * reported an error.
 */
bool bench_publisher_run(struct bench_publisher *p, const struct bench *bench, const struct bench_options *options,
                         uint64_t *total, uint64_t *sum);

/* A child that publishes. */
int bench_publisher_child(struct bench *bench, int index, const struct bench_options *options);

/* ---- the subscribers' side: throughput_subscriber.c ---- */

/* A child that subscribes. */
int bench_subscriber_child(struct bench *bench, int index, const struct bench_options *options);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - the content of a message of the throughput benchmark, and loops for each size.
 *
 * A message is the words n, n + 1, ...; the last word may be cut. n is its sequence. Several publishers can't know the
 * sequence beforehand: then n is the publisher's number << PUBLISHER_SHIFT plus a count of its own messages. Every byte
 * is written, read and summed, unless the options ask for the first 8 bytes only.
 */
#ifndef AETHER_CLI_BENCH_MESSAGE_H
#define AETHER_CLI_BENCH_MESSAGE_H

#include "options.h"
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * payload_test.h - random numbers and payloads for tests; the process tests in tests/ use it, too.
 *
 * The bytes of a payload follow from a key, such as the message's sequence. So a check finds a torn message, a byte of
 * another message, and a byte from another place in the same message.
 */
#ifndef AE_RING_PAYLOAD_TEST_H
#define AE_RING_PAYLOAD_TEST_H

#include <aether/subscribe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---- random numbers ---- */

/* A hash of 64 bits that has no collisions. */
static inline uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static inline uint64_t next_random(uint64_t *state) {
    return mix(*state += 0x9e3779b97f4a7c15ull);
}

/* ---- bytes that follow from a key ---- */

static inline uint64_t key_word(uint64_t base, size_t i) {
    const uint64_t x = (base + i) * 0x9e3779b97f4a7c15ull;

    return x ^ x >> 29;
}

static inline void fill_bytes(void *data, uint64_t key, size_t len) {
    const uint64_t base = mix(key);
    unsigned char *bytes = data;
    size_t i = 0;
    uint64_t word;

    for (; len >= 8; bytes += 8, len -= 8) {
        word = key_word(base, i++);
        memcpy(bytes, &word, 8);
    }
    if (len != 0) { /* data may be NULL if there is nothing */
        word = key_word(base, i);
        memcpy(bytes, &word, len);
    }
}

static inline bool right_bytes(const void *data, uint64_t key, size_t len) {
    const uint64_t base = mix(key);
    const unsigned char *bytes = data;
    uint64_t found, wrong = 0;
    size_t i = 0;

    for (; len >= 8; bytes += 8, len -= 8) {
        memcpy(&found, bytes, 8);
        wrong |= found ^ key_word(base, i++);
    }
    if (len != 0) { /* data may be NULL if there is nothing */
        found = key_word(base, i);
        return wrong == 0 && memcmp(bytes, &found, len) == 0;
    }
    return wrong == 0;
}

/* ---- messages whose key is their first word: len is at least 8 ---- */

static inline void fill_after_word(void *data, uint64_t word, size_t len) {
    memcpy(data, &word, 8);
    fill_bytes((unsigned char *)data + 8, word, len - 8);
}

static inline bool right_after_word(const void *data, uint64_t word, size_t len) {
    return memcmp(data, &word, 8) == 0 && right_bytes((const unsigned char *)data + 8, word, len - 8);
}

/* ---- messages whose key is their sequence ---- */

/* 0 to max, and often one of these two. */
static inline size_t mixed_len(uint64_t seq, size_t max) {
    const uint64_t r = mix(seq);

    return r >> 60 == 0 ? 0 : r >> 60 <= 3 ? max : (size_t)(r % (max + 1));
}

/* The length of a sequence's payload. A test may set another function. */
static size_t (*payload_len)(uint64_t seq, size_t max) = mixed_len;

static inline size_t payload_fill(void *data, uint64_t seq, size_t max) {
    const size_t len = payload_len(seq, max);

    fill_bytes(data, seq, len);
    return len;
}

static inline bool payload_right(const aether_message *message, size_t max) {
    return message->len == payload_len(message->seq, max) && right_bytes(message->data, message->seq, message->len);
}

#endif

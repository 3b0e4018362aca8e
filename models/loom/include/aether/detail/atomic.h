/* SPDX-License-Identifier: Apache-2.0 */
/*
 * atomic.h - takes the place of include/aether/detail/atomic.h, so that the production code runs under loom: every
 * access of a shared word is a call of the harness. Same functions, same orders.
 *
 * The functions at the end exist for mutants only.
 */
#ifndef AETHER_DETAIL_ATOMIC_H
#define AETHER_DETAIL_ATOMIC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define AE_LIKELY(x) __builtin_expect(!!(x), 1)
#define AE_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define AE_ALWAYS_INLINE static inline __attribute__((always_inline))

typedef struct ae_u64 {
    uint64_t v;
} ae_u64;

enum loom_order { LOOM_RELAXED, LOOM_ACQUIRE, LOOM_RELEASE, LOOM_ACQ_REL, LOOM_SEQ_CST };
enum loom_rmw { LOOM_OR, LOOM_AND, LOOM_ADD, LOOM_EXCHANGE };

/* What the harness does. Those that change a word return non-zero if the caller's process dies before it. */
struct loom_ops {
    uint64_t (*load)(const void *p, int order);
    int (*store)(void *p, uint64_t v, int order);
    int (*cas)(void *p, uint64_t expected, uint64_t desired, int success, int failure, int *done);
    int (*rmw)(void *p, int what, uint64_t v, int order, uint64_t *old);
    void (*fence)(int order);
    int (*write)(void *p, uint64_t v); /* of a payload */
    uint64_t (*read)(const void *p);   /* of a payload that may be overwritten meanwhile */
    int (*thread)(void);               /* that runs now, 0..4 */
    void (*impossible)(const char *reason);
};

extern struct loom_ops loom_ops;

/* Ends the call of the library that the process died in. */
_Noreturn void loom_die(void);

static inline uint64_t ae_load_relaxed(const ae_u64 *p) {
    return loom_ops.load(p, LOOM_RELAXED);
}

static inline uint64_t ae_load_acquire(const ae_u64 *p) {
    return loom_ops.load(p, LOOM_ACQUIRE);
}

static inline int ae_is_relaxed(const ae_u64 *p, uint64_t v) {
    return ae_load_relaxed(p) == v;
}

/* Of the handle, which is nobody else's. */
static inline int ae_same(const uint64_t *p, uint64_t v) {
    return *p == v;
}

static inline void ae_store_relaxed(ae_u64 *p, uint64_t v) {
    if (loom_ops.store(p, v, LOOM_RELAXED))
        loom_die();
}

static inline void ae_store_release(ae_u64 *p, uint64_t v) {
    if (loom_ops.store(p, v, LOOM_RELEASE))
        loom_die();
}

static inline uint64_t loom_rmw(ae_u64 *p, int what, uint64_t v, int order) {
    uint64_t old;

    if (loom_ops.rmw(p, what, v, order, &old))
        loom_die();
    return old;
}

static inline uint64_t ae_fetch_or(ae_u64 *p, uint64_t v) {
    return loom_rmw(p, LOOM_OR, v, LOOM_ACQ_REL);
}

static inline uint64_t ae_fetch_and(ae_u64 *p, uint64_t v) {
    return loom_rmw(p, LOOM_AND, v, LOOM_ACQ_REL);
}

static inline uint64_t ae_fetch_add(ae_u64 *p, uint64_t v) {
    return loom_rmw(p, LOOM_ADD, v, LOOM_ACQ_REL);
}

static inline uint64_t ae_exchange(ae_u64 *p, uint64_t v) {
    return loom_rmw(p, LOOM_EXCHANGE, v, LOOM_ACQ_REL);
}

static inline int loom_cas(ae_u64 *p, uint64_t expected, uint64_t desired, int success, int failure) {
    int done;

    if (loom_ops.cas(p, expected, desired, success, failure, &done))
        loom_die();
    return done;
}

static inline int ae_cas(ae_u64 *p, uint64_t expected, uint64_t desired) {
    return loom_cas(p, expected, desired, LOOM_ACQ_REL, LOOM_ACQUIRE);
}

static inline void ae_compiler_barrier(void) {
}

static inline void ae_fence_release(void) {
    loom_ops.fence(LOOM_RELEASE);
}

static inline void ae_fence_acquire(void) {
    loom_ops.fence(LOOM_ACQUIRE);
}

static inline void ae_fence_seq_cst(void) {
    loom_ops.fence(LOOM_SEQ_CST);
}

/* Payloads word by word. */
static inline void ae_copy_in(unsigned char *dst, const void *src, size_t len) {
    for (size_t off = 0; off < len; off += 8) {
        uint64_t word = 0;
        memcpy(&word, (const unsigned char *)src + off, len - off < 8 ? len - off : 8);
        if (loom_ops.write(dst + off, word))
            loom_die();
    }
}

#define AE_WORDS_MAX 64u
#define AE_IS_WORD(len) (__builtin_constant_p(len) && (len) == 8)
#define AE_IS_WORDS(len) (__builtin_constant_p(len) && (len) != 0 && (len) <= AE_WORDS_MAX && (len) % 8 == 0)

typedef struct ae_words {
    uint64_t word[AE_WORDS_MAX / 8];
} ae_words;

static inline void ae_load_words(ae_words *words, const void *src, size_t len) {
    memcpy(words->word, src, len);
}

static inline void ae_store_words(unsigned char *dst, const ae_words *words, size_t len) {
    ae_copy_in(dst, words->word, len);
}

static inline void ae_copy_out(void *dst, const unsigned char *src, size_t len) {
    for (size_t off = 0; off < len; off += 8) {
        const uint64_t word = loom_ops.read(src + off);
        memcpy((unsigned char *)dst + off, &word, len - off < 8 ? len - off : 8);
    }
}

/*
 * Nothing: every loop that pauses is bounded by what others have done, and a yield would keep loom from trying what
 * happens if nobody else runs.
 */
static inline void ae_pause(void) {
}

/* ---- weaker ones, for mutants ---- */

static inline int ae_cas_relaxed(ae_u64 *p, uint64_t expected, uint64_t desired) {
    return loom_cas(p, expected, desired, LOOM_RELAXED, LOOM_RELAXED);
}

static inline int ae_cas_acquire(ae_u64 *p, uint64_t expected, uint64_t desired) {
    return loom_cas(p, expected, desired, LOOM_ACQUIRE, LOOM_ACQUIRE);
}

static inline int ae_cas_release(ae_u64 *p, uint64_t expected, uint64_t desired) {
    return loom_cas(p, expected, desired, LOOM_RELEASE, LOOM_RELAXED);
}

static inline uint64_t ae_exchange_relaxed(ae_u64 *p, uint64_t v) {
    return loom_rmw(p, LOOM_EXCHANGE, v, LOOM_RELAXED);
}

static inline uint64_t ae_fetch_or_relaxed(ae_u64 *p, uint64_t v) {
    return loom_rmw(p, LOOM_OR, v, LOOM_RELAXED);
}

static inline uint64_t ae_fetch_and_relaxed(ae_u64 *p, uint64_t v) {
    return loom_rmw(p, LOOM_AND, v, LOOM_RELAXED);
}

#endif

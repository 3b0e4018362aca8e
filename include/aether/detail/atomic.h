/* SPDX-License-Identifier: Apache-2.0 */
/*
 * detail/atomic.h - all accesses to shared memory.
 *
 * Every load and store of a word that another process may write goes through these functions. So the code of the
 * library also runs under a model checker, under a fuzzer that returns any value for any load, and under
 * ThreadSanitizer: each replaces or changes this header only.
 *
 * A word is a struct around a plain uint64_t and not _Atomic, because C++ has no _Atomic members. A load or a store is
 * still one mov on x86-64.
 *
 * Not included directly: use <aether/aether.h>.
 */
#ifndef AETHER_DETAIL_ATOMIC_H
#define AETHER_DETAIL_ATOMIC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__linux__) || !defined(__LP64__)
#error "aether needs 64-bit Linux"
#endif
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "aether's shared-memory layout is little-endian"
#endif

#if defined(__SANITIZE_THREAD__)
#define AE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define AE_TSAN 1
#endif
#endif

#define AE_LIKELY(x) __builtin_expect(!!(x), 1)
#define AE_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define AE_ALWAYS_INLINE static inline __attribute__((always_inline))

#ifdef __cplusplus
extern "C" {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast" /* the inline functions are C */
#endif

/* A 64-bit word in shared memory. Always 8-byte aligned. */
typedef struct ae_u64 {
    uint64_t v;
} ae_u64;

static inline uint64_t ae_load_relaxed(const ae_u64 *p) {
    return __atomic_load_n(&p->v, __ATOMIC_RELAXED);
}

static inline uint64_t ae_load_acquire(const ae_u64 *p) {
    return __atomic_load_n(&p->v, __ATOMIC_ACQUIRE);
}

/*
 * Does the word at p hold v? Relaxed. If both are equal, a compiler may continue with the value that was loaded in
 * place of v, and then all that follows waits for the load. One compare instruction with a memory operand prevents
 * that.
 */
AE_ALWAYS_INLINE int ae_same(const uint64_t *p, uint64_t v) {
#if defined(__x86_64__) && !defined(AE_TSAN)
    int differs;
    __asm__ __volatile__("cmpq %2, %1" : "=@ccne"(differs) : "m"(*p), "r"(v));
    return !differs;
#else
    return __atomic_load_n(p, __ATOMIC_RELAXED) == v;
#endif
}

static inline int ae_is_relaxed(const ae_u64 *p, uint64_t v) {
    return ae_same(&p->v, v);
}

static inline void ae_store_relaxed(ae_u64 *p, uint64_t v) {
    __atomic_store_n(&p->v, v, __ATOMIC_RELAXED);
}

static inline void ae_store_release(ae_u64 *p, uint64_t v) {
    __atomic_store_n(&p->v, v, __ATOMIC_RELEASE);
}

/*
 * All read-modify-writes are acq_rel. These four return the old value. ae_fetch_or() and ae_fetch_and() set and clear
 * one bit of a word whose other bits belong to other processes.
 */
static inline uint64_t ae_fetch_or(ae_u64 *p, uint64_t v) {
    return __atomic_fetch_or(&p->v, v, __ATOMIC_ACQ_REL);
}

static inline uint64_t ae_fetch_and(ae_u64 *p, uint64_t v) {
    return __atomic_fetch_and(&p->v, v, __ATOMIC_ACQ_REL);
}

static inline uint64_t ae_fetch_add(ae_u64 *p, uint64_t v) {
    return __atomic_fetch_add(&p->v, v, __ATOMIC_ACQ_REL);
}

static inline uint64_t ae_exchange(ae_u64 *p, uint64_t v) {
    return __atomic_exchange_n(&p->v, v, __ATOMIC_ACQ_REL);
}

/* Replaces `expected` by `desired`. Returns 1: done, acq_rel. 0: the word held another value; acquire. */
static inline int ae_cas(ae_u64 *p, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n(&p->v, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* The compiler moves no access across it. The processor may. */
static inline void ae_compiler_barrier(void) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/*
 * Fences. ThreadSanitizer doesn't model fences, and gcc refuses to compile them for it. There the copy functions below
 * order every word instead, which is stronger, and the full fence is a seq_cst exchange.
 */
static inline void ae_fence_release(void) {
#ifndef AE_TSAN
    __atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}

static inline void ae_fence_acquire(void) {
#ifndef AE_TSAN
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}

static inline void ae_fence_seq_cst(void) {
#ifdef AE_TSAN
    static uint64_t barrier;
    (void)__atomic_exchange_n(&barrier, 1, __ATOMIC_SEQ_CST);
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/*
 * Copies a payload into a slot. Call it after the store of the BUSY tag and ae_fence_release(). A subscriber that may
 * be overrun can read these bytes half written; it discards them when it loads the tag again. So plain moves are
 * enough: the compiler may split or widen them, but the fences on both sides keep them between the two tag accesses.
 */
AE_ALWAYS_INLINE void ae_copy_in(unsigned char *dst, const void *src, size_t len) {
#ifdef AE_TSAN
    for (size_t off = 0; off < len; off += 8) {
        uint64_t word = 0;
        memcpy(&word, (const unsigned char *)src + off, len - off < 8 ? len - off : 8);
        __atomic_store_n((uint64_t *)(void *)(dst + off), word, __ATOMIC_RELEASE);
    }
#else
    memcpy(dst, src, len); /* NOLINT(*NonNullParamChecker): src is NULL only with len 0, which isn't copied */
#endif
}

/*
 * A payload of a short constant length is held by value, in registers, and moved word by word. A struct that was filled
 * field by field a moment ago is still in the store buffer. A 16-byte load that spans two of those stores waits until
 * both have left it (measured: 32-byte messages at a third of the rate); a load of one word gets its value from the
 * store buffer. And to combine two words in a vector register takes longer than to store one after the other.
 */
#define AE_WORDS_MAX 64u /* bytes */
#define AE_IS_WORD(len) (__builtin_constant_p(len) && (len) == 8)
#define AE_IS_WORDS(len) (__builtin_constant_p(len) && (len) != 0 && (len) <= AE_WORDS_MAX && (len) % 8 == 0)

typedef struct ae_words {
    uint64_t word[AE_WORDS_MAX / 8];
} ae_words;

AE_ALWAYS_INLINE void ae_load_word(ae_words *words, const void *src, size_t i, size_t len) {
    if (8 * i < len) {
        memcpy(&words->word[i], (const unsigned char *)src + 8 * i, 8);
        if (len > 8)
            __asm__("" : "+r"(words->word[i])); /* keeps the compiler from loading two words at once */
    }
}

AE_ALWAYS_INLINE void ae_load_words(ae_words *words, const void *src, size_t len) {
    ae_load_word(words, src, 0, len);
    ae_load_word(words, src, 1, len);
    ae_load_word(words, src, 2, len);
    ae_load_word(words, src, 3, len);
    ae_load_word(words, src, 4, len);
    ae_load_word(words, src, 5, len);
    ae_load_word(words, src, 6, len);
    ae_load_word(words, src, 7, len);
}

AE_ALWAYS_INLINE void ae_store_word(unsigned char *dst, const ae_words *words, size_t i, size_t len) {
    if (8 * i < len) {
#ifdef AE_TSAN
        __atomic_store_n((uint64_t *)(void *)(dst + 8 * i), words->word[i], __ATOMIC_RELEASE);
#else
        __atomic_store_n((uint64_t *)(void *)(dst + 8 * i), words->word[i], __ATOMIC_RELAXED);
#endif
    }
}

AE_ALWAYS_INLINE void ae_store_words(unsigned char *dst, const ae_words *words, size_t len) {
    ae_store_word(dst, words, 0, len);
    ae_store_word(dst, words, 1, len);
    ae_store_word(dst, words, 2, len);
    ae_store_word(dst, words, 3, len);
    ae_store_word(dst, words, 4, len);
    ae_store_word(dst, words, 5, len);
    ae_store_word(dst, words, 6, len);
    ae_store_word(dst, words, 7, len);
}

/* Copies a payload that may be overwritten meanwhile. Call ae_fence_acquire() after it, then check the tag. */
static inline void ae_copy_out(void *dst, const unsigned char *src, size_t len) {
#ifdef AE_TSAN
    for (size_t off = 0; off < len; off += 8) {
        const uint64_t word = __atomic_load_n((const uint64_t *)(const void *)(src + off), __ATOMIC_ACQUIRE);
        memcpy((unsigned char *)dst + off, &word, len - off < 8 ? len - off : 8);
    }
#else
    memcpy(dst, src, len);
#endif
}

/*
 * Stores two words at once, with release order. On x86-64 an aligned 16-byte store is one access on every processor
 * with AVX (Intel SDM vol. 3 9.1.1, AMD APM vol. 2 7.3.2). The caller makes sure that p is 16-byte aligned and that the
 * CPU has AVX.
 */
#if defined(__x86_64__) && !defined(AE_TSAN)
#define AE_STORE16 1
typedef uint64_t ae_pair __attribute__((vector_size(16)));

static inline void ae_store16_release(ae_u64 *p, uint64_t low, uint64_t high) {
    const ae_pair pair = {low, high};
#ifdef __AVX__
    __asm__ __volatile__("vmovaps %1, (%0)" : : "r"(p), "x"(pair) : "memory");
#else
    __asm__ __volatile__("movaps %1, (%0)" : : "r"(p), "x"(pair) : "memory");
#endif
}
#endif

/* Tells the core that this is a spin loop. */
static inline void ae_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#endif
}

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif
#endif

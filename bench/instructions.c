/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instructions - the loops whose instructions instructions.py counts, one function each; `instructions LOOP` runs LOOP.
 *
 * A loop is written as in a user's program, for COUNT messages. NAME_stamped is a loop on a topic that stamps each
 * message; other topics stamp none, because how many are stamped depends on the time. One in 4,096 is, on a topic that
 * is as fast as the ring. The ring is that of the unit tests: in memory, without
 * a daemon. The topic is exclusive, because the bias of a shared topic needs a system call that callgrind may not know;
 * the claim is the same.
 */
#include "ring/ring_test.h"

#define CAPACITY 4096u
#define COUNT CAPACITY
#define BATCH 32u
#define LOOP __attribute__((noinline)) static void

static aether_publisher *pub;
static aether_subscriber *sub;
static uint64_t sum;

/* Fills message n field by field, as a program fills a struct. */
#define FILL(size, n)                                                                                                  \
    uint64_t words[(size) / 8];                                                                                        \
    _Pragma("GCC unroll 8") for (unsigned w = 0; w < (size) / 8; w++) words[w] = (n) + w

#define PUBLISH_LOOP(size)                                                                                             \
    LOOP loop_publish_##size(void) {                                                                                   \
        for (uint64_t n = 0; n < COUNT; n++) {                                                                         \
            FILL(size, n);                                                                                             \
            if (aether_publish(pub, words, size) != 0)                                                                 \
                abort();                                                                                               \
        }                                                                                                              \
    }

#define BURST_LOOP(size)                                                                                               \
    LOOP loop_burst_##size(void) {                                                                                     \
        aether_burst burst = aether_burst_begin(pub, size);                                                            \
        for (uint64_t n = 0; n < COUNT; n++) {                                                                         \
            FILL(size, n);                                                                                             \
            if (aether_burst_publish(&burst, words) != 0)                                                              \
                abort();                                                                                               \
        }                                                                                                              \
    }

/* clang unrolls loops of a constant count by itself, and doesn't know the pragma. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wunknown-pragmas"
#endif
PUBLISH_LOOP(8)
PUBLISH_LOOP(32)
PUBLISH_LOOP(64)
BURST_LOOP(8)
BURST_LOOP(32)
BURST_LOOP(64)

LOOP loop_publish_bytes(void) {
    static const unsigned char bytes[100];
    volatile size_t len = sizeof bytes; /* so that the compiler doesn't know it */

    for (uint64_t n = 0; n < COUNT; n++) {
        if (aether_publish(pub, bytes, len) != 0)
            abort();
    }
}

LOOP loop_array_8(void) {
    static uint64_t words[BATCH];

    for (uint64_t n = 0; n < COUNT; n += BATCH) {
        if (aether_publish_array(pub, words, sizeof *words, BATCH) != 0)
            abort();
    }
}

LOOP loop_batch_8(void) {
    static uint64_t words[BATCH];
    static struct iovec messages[BATCH];

    for (unsigned i = 0; i < BATCH; i++)
        messages[i] = (struct iovec){.iov_base = &words[i], .iov_len = sizeof *words};
    for (uint64_t n = 0; n < COUNT; n += BATCH) {
        if (aether_publish_batch(pub, messages, BATCH) != 0)
            abort();
    }
}

LOOP loop_receive_8(void) {
    aether_message message;

    for (uint64_t n = 0; n < COUNT; n++) {
        if (aether_receive(sub, &message) != 1)
            abort();
        sum += *(const uint64_t *)message.data;
    }
}

static int add(void *context, const aether_message *message) {
    *(uint64_t *)context += *(const uint64_t *)message->data;
    return 0;
}

LOOP loop_poll_8(void) {
    uint64_t added = 0;

    for (uint64_t n = 0; n < COUNT;) {
        const int got = aether_poll(sub, add, &added, 256);
        if (got <= 0)
            abort();
        n += (unsigned)got;
    }
    sum += added;
}

LOOP loop_receive_batch_8(void) {
    aether_message messages[BATCH];

    for (uint64_t n = 0; n < COUNT;) {
        const int got = aether_receive_batch(sub, messages, BATCH);
        if (got <= 0)
            abort();
        for (int i = 0; i < got; i++)
            sum += *(const uint64_t *)messages[i].data;
        n += (unsigned)got;
    }
}

static const struct {
    const char *name;
    void (*run)(void);
    size_t size;
    bool receives, stamped;
} loops[] = {
    {"publish_8", loop_publish_8, 8, false, false},
    {"publish_32", loop_publish_32, 32, false, false},
    {"publish_64", loop_publish_64, 64, false, false},
    {"publish_bytes", loop_publish_bytes, 100, false, false},
    {"publish_8_stamped", loop_publish_8, 8, false, true},
    {"burst_8", loop_burst_8, 8, false, false},
    {"burst_32", loop_burst_32, 32, false, false},
    {"burst_64", loop_burst_64, 64, false, false},
    {"array_8", loop_array_8, 8, false, false},
    {"batch_8", loop_batch_8, 8, false, false},
    {"receive_8", loop_receive_8, 8, true, false},
    {"receive_8_stamped", loop_receive_8, 8, true, true},
    {"poll_8", loop_poll_8, 8, true, false},
    {"receive_batch_8", loop_receive_batch_8, 8, true, false},
};
#define LOOPS (sizeof loops / sizeof loops[0])

int main(int argc, char **argv) {
    static const aether_subscribe_options options;
    struct ring ring;
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    size_t i = 0;

    while (argc == 2 && i < LOOPS && strcmp(argv[1], loops[i].name) != 0)
        i++;
    if (argc != 2 || i == LOOPS) {
        for (i = 0; i < LOOPS; i++)
            printf("%s %u\n", loops[i].name, COUNT);
        return argc == 1 ? 0 : 2;
    }
    const aether_topic_config config = {
        .capacity = CAPACITY,
        .max_message = loops[i].size,
        .publishers = AETHER_PUBLISHERS_EXCLUSIVE,
        .latency = loops[i].stamped ? AETHER_LATENCY_ALL : AETHER_LATENCY_OFF,
    };
    ring_make_as(&ring, &config);
    publisher_open(&publisher, &ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &options);
    pub = publisher.handle;
    sub = subscriber.handle;
    if (loops[i].receives) {
        for (uint64_t n = 0; n < COUNT; n++)
            check_setup(aether_publish(pub, &n, sizeof n) == 0, "publish");
    } else {
        check_setup(aether_publish(pub, "", 1) == 0, "publish"); /* only this publish claims by compare-and-swap */
        subscriber_close(&subscriber);
    }
    loops[i].run();
    return sum == 1;
}

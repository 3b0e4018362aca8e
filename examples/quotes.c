/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quotes.c - a topic of structs, and programs that may be started in any order, also before aetherd:
 *
 *     quotes sub [COUNT]    prints COUNT quotes (else 5), those that the ring holds already first
 *     quotes pub [COUNT]    publishes COUNT quotes (else 5)
 *
 * Both sides open the topic with the same configuration. So it doesn't matter which of them creates it, and a program
 * that was compiled with another version of the struct is refused.
 */
#include <aether/aether.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC "examples/quotes/eurusd"

/* Fixed-width fields, no pointers and no padding: every program sees the same bytes. */
struct quote {
    int64_t bid, ask; /* in 1/100000 */
    uint32_t bid_size, ask_size;
    uint64_t number;
};
_Static_assert(sizeof(struct quote) == 32, "no padding");

/* In a real system: in a header that all programs include. */
static const aether_topic_config quote_topic = {
    .max_message = sizeof(struct quote),
    .type_name = "examples.quote",
    .type_version = 1, /* raise it when the struct changes */
    .type_size = sizeof(struct quote),
};

static int publish(aether_client *client, uint64_t count) {
    aether_publisher *pub;
    int rc = aether_publisher_open(client, TOPIC, &quote_topic, &pub);

    for (uint64_t i = 0; rc == 0 && i < count; i++) {
        const int64_t price = 108000 + (int64_t)(i % 7);
        const struct quote quote = {.bid = price, .ask = price + 2, .bid_size = 100, .ask_size = 200, .number = i};
        rc = aether_publish_wait(pub, &quote, sizeof quote, AETHER_FOREVER);
    }
    return rc; /* aether_disconnect() closes the publisher */
}

static void print_quote(const struct quote *q) {
    printf("quote %" PRIu64 ": %" PRIu32 " at %" PRId64 ", %" PRIu32 " at %" PRId64 "\n", q->number, q->bid_size,
           q->bid, q->ask_size, q->ask);
}

/* Ends after count quotes and not at the end of the stream: another publisher could come after that. */
static int subscribe(aether_client *client, uint64_t count) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE, .from = AETHER_FROM_OLDEST};
    aether_subscriber *sub;
    aether_message m;
    struct quote quote;
    int rc = aether_subscriber_open(client, TOPIC, &options, &quote_topic, &sub);

    for (uint64_t i = 0; rc >= 0 && i < count;) {
        rc = aether_receive_wait(sub, &m, AETHER_FOREVER);
        if (rc <= 0)
            continue; /* 0: the end of a stream, or a signal */
        if (m.lost > 0) {
            printf("%" PRIu64 " quotes lost\n", m.lost); /* those that the ring held, but not long enough */
        } else if (m.len != sizeof quote) {
            printf("a message of %zu bytes is no quote\n", m.len); /* a program that states no type may publish it */
        } else {
            memcpy(&quote, m.data, sizeof quote);
            print_quote(&quote);
            i++;
        }
    }
    return rc < 0 ? rc : 0;
}

int main(int argc, char **argv) {
    const uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 5;
    const aether_connect_options when_ready = {.wait_ns = UINT64_C(10000000000)}; /* for a daemon that starts later */
    aether_client *client = NULL;
    int rc;

    if (argc < 2 || (strcmp(argv[1], "pub") != 0 && strcmp(argv[1], "sub") != 0)) {
        fprintf(stderr, "usage: quotes {pub | sub} [COUNT]\n");
        return 2;
    }
    rc = aether_connect(&client, &when_ready);
    if (rc == 0)
        rc = strcmp(argv[1], "pub") == 0 ? publish(client, count) : subscribe(client, count);
    if (rc < 0)
        fprintf(stderr, "quotes: %s\n", aether_errmsg());
    aether_disconnect(client);
    return rc != 0;
}

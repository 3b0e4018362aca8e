/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll.c - a best-effort subscriber with a callback, and its gap when it is too slow:  poll [COUNT]   (default 200)
 *
 * One process publishes COUNT messages to a ring of 64, and then the subscriber polls for the first time. The publisher
 * didn't wait for it. So it gets a gap first, which says exactly which sequences it has missed, and then the messages.
 */
#include <aether/aether.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TOPIC "examples/poll"
#define ROUND 16

struct tally {
    uint64_t messages, lost;
};

/* Called for each entry, in sequence order. m and its data are valid until it returns. */
static int on_entry(void *context, const aether_message *m) {
    struct tally *tally = context;

    if (m->lost > 0) {
        printf("gap: %" PRIu64 " lost from sequence %" PRIu64 "\n", m->lost, m->seq);
        tally->lost += m->lost;
    } else {
        tally->messages++;
    }
    return 0;
}

static int run(aether_publisher *pub, aether_subscriber *sub, uint64_t count) {
    const uint64_t end = aether_publisher_next(pub) + count;
    struct tally tally = {0, 0};
    aether_subscriber_stats stats;

    for (uint64_t i = 0; i < count; i++) {
        const int rc = aether_publish(pub, &i, sizeof i); /* never AETHER_FULL: no subscriber is reliable */
        if (rc < 0)
            return rc;
    }
    while (aether_subscriber_next(sub) < end) {
        const int n = aether_poll(sub, on_entry, &tally, ROUND);
        if (n < 0)
            return n;
    }
    aether_subscriber_get_stats(sub, &stats);
    printf("%" PRIu64 " messages + %" PRIu64 " lost + %" PRIu64 " aborted = %" PRIu64 " sequences\n", tally.messages,
           tally.lost, stats.aborted, stats.next - stats.joined);
    return 0;
}

int main(int argc, char **argv) {
    const uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 200;
    const aether_topic_config config = {.max_message = sizeof(uint64_t), .capacity = 64};
    const aether_subscribe_options options = {.policy = AETHER_BEST_EFFORT};
    aether_client *client = NULL;
    aether_publisher *pub = NULL;
    aether_subscriber *sub = NULL;
    int rc;

    if ((rc = aether_connect(&client, NULL)) != 0)
        goto out;
    if ((rc = aether_publisher_open(client, TOPIC, &config, &pub)) != 0)
        goto out;
    if ((rc = aether_subscriber_open(client, TOPIC, &options, NULL, &sub)) != 0)
        goto out;
    if ((rc = run(pub, sub, count)) != 0)
        goto out;
    aether_publisher_close(pub);
    aether_subscriber_close(sub);
    rc = aether_topic_remove(client, TOPIC);
out:
    if (rc != 0)
        fprintf(stderr, "poll: %s\n", aether_errmsg());
    aether_disconnect(client);
    return rc != 0;
}

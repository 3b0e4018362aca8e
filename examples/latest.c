/* SPDX-License-Identifier: Apache-2.0 */
/*
 * latest.c - a dashboard that only receives the newest message:  latest [LOOKS]   (default 5)
 *
 * One process is publisher and dashboard. Before each look of the dashboard it publishes more prices than before the
 * last. The messages that the dashboard passes over are skipped, not lost, and are counted.
 */
#include <aether/aether.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC "examples/latest"

static int publish_prices(aether_publisher *pub, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t price = 100 + aether_publisher_next(pub);
        const int rc = aether_publish(pub, &price, sizeof price); /* never AETHER_FULL: no subscriber is reliable */
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int look(aether_subscriber *sub) {
    aether_subscriber_stats before, after;
    aether_message m;
    uint64_t price;
    int rc;

    aether_subscriber_get_stats(sub, &before);
    rc = aether_receive(sub, &m);
    aether_subscriber_get_stats(sub, &after);
    if (rc == 0)
        printf("nothing new\n");
    if (rc <= 0)
        return rc;
    if (m.len != sizeof price) { /* another program may publish here, too: check */
        printf("a message of %zu bytes is no price\n", m.len);
        return rc;
    }
    memcpy(&price, m.data, sizeof price);
    printf("sequence %" PRIu64 ": price %" PRIu64 ", %" PRIu64 " skipped\n", m.seq, price,
           after.skipped - before.skipped);
    return rc;
}

static int run(aether_publisher *pub, aether_subscriber *sub, uint64_t looks) {
    aether_subscriber_stats stats;

    for (uint64_t i = 0; i < looks; i++) {
        int rc = publish_prices(pub, i * i);
        if (rc == 0)
            rc = look(sub);
        if (rc < 0)
            return rc;
    }
    aether_subscriber_get_stats(sub, &stats);
    printf("%" PRIu64 " messages + %" PRIu64 " skipped + %" PRIu64 " lost + %" PRIu64 " aborted = %" PRIu64
           " sequences\n",
           stats.delivered, stats.skipped, stats.lost, stats.aborted, stats.next - stats.joined);
    return 0;
}

int main(int argc, char **argv) {
    const uint64_t looks = argc > 1 ? strtoull(argv[1], NULL, 10) : 5;
    const aether_topic_config config = {.max_message = sizeof(uint64_t), .capacity = 8};
    const aether_subscribe_options options = {.policy = AETHER_LATEST};
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
    if ((rc = run(pub, sub, looks)) != 0)
        goto out;
    aether_publisher_close(pub);
    aether_subscriber_close(sub);
    rc = aether_topic_remove(client, TOPIC);
out:
    if (rc != 0)
        fprintf(stderr, "latest: %s\n", aether_errmsg());
    aether_disconnect(client);
    return rc != 0;
}

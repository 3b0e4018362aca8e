/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch.c - publishes and receives many messages a call:  batch [COUNT]   (default 1000)
 *
 * One process is publisher and subscriber, so that the example runs by itself. All views of a received batch are valid
 * until the next call on the subscriber.
 */
#include <aether/aether.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC "examples/batch"
#define BATCH 32

/* Publishes the numbers first .. first + n - 1 with consecutive sequences, all or none of them. */
static int publish_numbers(aether_publisher *pub, uint64_t first, size_t n) {
    uint64_t numbers[BATCH];

    for (size_t i = 0; i < n; i++)
        numbers[i] = first + i;
    return aether_publish_array(pub, numbers, sizeof numbers[0], n); /* for several lengths: aether_publish_batch() */
}

/* Adds up what has arrived. Returns the number of messages, or an error. */
static int receive_numbers(aether_subscriber *sub, uint64_t *sum) {
    aether_message messages[BATCH];
    const int n = aether_receive_batch(sub, messages, BATCH);

    for (int i = 0; i < n; i++) {
        uint64_t number;
        if (messages[i].len != sizeof number) /* another program may publish here, too: check */
            continue;
        memcpy(&number, messages[i].data, sizeof number);
        *sum += number;
    }
    return n;
}

static int run(aether_publisher *pub, aether_subscriber *sub, uint64_t count) {
    uint64_t sent = 0, received = 0, sum = 0;

    while (received < count) {
        const uint64_t left = count - sent;
        int n = publish_numbers(pub, sent, left < BATCH ? (size_t)left : BATCH);
        if (n < 0)
            return n;
        if (n != AETHER_FULL)
            sent += left < BATCH ? left : BATCH;
        n = receive_numbers(sub, &sum);
        if (n < 0)
            return n;
        received += (uint64_t)n;
    }
    printf("%" PRIu64 " messages, sum %" PRIu64 "\n", received, sum);
    return 0;
}

int main(int argc, char **argv) {
    const uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
    const aether_topic_config config = {.max_message = sizeof(uint64_t), .capacity = 1024};
    aether_client *client = NULL;
    aether_publisher *pub = NULL;
    aether_subscriber *sub = NULL;
    int rc;

    if ((rc = aether_connect(&client, NULL)) != 0)
        goto out;
    if ((rc = aether_subscriber_open(client, TOPIC, NULL, &config, &sub)) != 0)
        goto out;
    if ((rc = aether_publisher_open(client, TOPIC, NULL, &pub)) != 0)
        goto out;
    if ((rc = run(pub, sub, count)) != 0)
        goto out;
    aether_publisher_close(pub);
    aether_subscriber_close(sub);
    rc = aether_topic_remove(client, TOPIC); /* a topic outlives its last handle */
out:
    if (rc != 0)
        fprintf(stderr, "batch: %s\n", aether_errmsg());
    aether_disconnect(client); /* closes what is still open */
    return rc != 0;
}

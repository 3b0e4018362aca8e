/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait.c - the simplest publisher and subscriber that wait for each other, and a topic with a type:
 *
 *     wait sub            prints readings until the publisher has closed or died
 *     wait pub [COUNT]    publishes readings (default 10)
 *
 * Both state the type of the messages. A program that states another type, version or size can't open the topic: it
 * gets an error whose text names both types, and doesn't read one struct as another.
 */
#include <aether/aether.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC "examples/readings"
#define PATIENCE_NS (10 * UINT64_C(1000000000))

struct reading {
    uint64_t number;
    double celsius;
};

static const aether_topic_config config = {
    .max_message = sizeof(struct reading),
    .type_name = "examples.reading",
    .type_version = 1, /* raise it when the struct changes */
    .type_size = sizeof(struct reading),
};

static int publish(aether_client *client, uint64_t count) {
    aether_publisher *pub;
    int rc = aether_publisher_open(client, TOPIC, &config, &pub);

    for (uint64_t i = 0; rc == 0 && i < count; i++) {
        const struct reading reading = {.number = i, .celsius = 20 + (double)(i % 10) / 10};
        rc = aether_publish_wait(pub, &reading, sizeof reading, PATIENCE_NS);
    }
    if (rc == AETHER_FULL)
        fprintf(stderr, "wait: a reliable subscriber has not read for 10 s\n");
    return rc; /* aether_disconnect() closes the publisher: subscribers see the end of the stream */
}

static int print_reading(const aether_message *m) {
    struct reading reading;

    if (m->lost > 0)
        return printf("%" PRIu64 " readings lost\n", m->lost); /* retained messages that were overwritten first */
    if (m->len != sizeof reading)                              /* a program that states no type may publish anything */
        return printf("a message of %zu bytes is no reading\n", m->len);
    memcpy(&reading, m->data, sizeof reading);
    return printf("reading %" PRIu64 ": %.1f degrees\n", reading.number, reading.celsius);
}

static int subscribe(aether_client *client) {
    const aether_subscribe_options options = {.from = AETHER_FROM_OLDEST};
    aether_subscriber *sub;
    aether_message m;
    int rc = aether_subscriber_open(client, TOPIC, &options, &config, &sub);

    if (rc < 0)
        return rc;
    /* 0: the end of the stream, or a signal came; with another timeout also: it is over. */
    while ((rc = aether_receive_wait(sub, &m, AETHER_FOREVER)) >= 0) {
        if (rc > 0)
            print_reading(&m);
        else if (aether_subscriber_stream(sub) >= AETHER_STREAM_CLOSED)
            break;
    }
    if (rc == 0)
        printf("end: the publisher has %s\n", aether_subscriber_stream(sub) == AETHER_STREAM_DIED ? "died" : "closed");
    return rc;
}

int main(int argc, char **argv) {
    const uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 10;
    aether_client *client = NULL;
    int rc;

    if (argc < 2 || (strcmp(argv[1], "pub") != 0 && strcmp(argv[1], "sub") != 0)) {
        fprintf(stderr, "usage: wait {pub [COUNT] | sub}\n");
        return 2;
    }
    rc = aether_connect(&client, NULL);
    if (rc == 0)
        rc = strcmp(argv[1], "pub") == 0 ? publish(client, count) : subscribe(client);
    if (rc < 0)
        fprintf(stderr, "wait: %s\n", aether_errmsg());
    aether_disconnect(client); /* closes what is still open */
    return rc != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* throughput_publisher.h - the publishers' side of the throughput benchmark. */
#ifndef AETHER_CLI_BENCH_THROUGHPUT_PUBLISHER_H
#define AETHER_CLI_BENCH_THROUGHPUT_PUBLISHER_H

#include "options.h"
#include "processes.h"
#include <aether/aether.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct bench_publisher {
    aether_publisher *pub;
    uint64_t *buffer;       /* for the messages of a call; NULL: for loans, and for small messages one a call */
    struct iovec *messages; /* for a batch; NULL: one message a call */
    uint64_t batch;
    size_t size;
    size_t touched; /* bytes that are written and read */
    bool alone;
    uint64_t word; /* the first word of the next message */
};

/* number: of this publisher, from 0. Returns NULL, or why it failed; call bench_publisher_close() in every case. */
const char *bench_publisher_open(struct bench_publisher *p, const struct bench *bench, aether_client *client,
                                 const struct bench_options *options, uint64_t number);
void bench_publisher_close(struct bench_publisher *p);

/*
 * Publishes until the run ends. *total: the number of messages; *sum: the sum of their words. False: the library
 * reported an error.
 */
bool bench_publisher_run(struct bench_publisher *p, const struct bench *bench, const struct bench_options *options,
                         uint64_t *total, uint64_t *sum);

/* A child that publishes. */
int bench_publisher_child(struct bench *bench, int index, const struct bench_options *options);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* throughput_subscriber.h - the subscribers' side of the throughput benchmark. */
#ifndef AETHER_CLI_BENCH_THROUGHPUT_SUBSCRIBER_H
#define AETHER_CLI_BENCH_THROUGHPUT_SUBSCRIBER_H

#include "options.h"
#include "processes.h"

/* A child that subscribes. */
int bench_subscriber_child(struct bench *bench, int index, const struct bench_options *options);

#endif

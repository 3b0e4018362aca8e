/* SPDX-License-Identifier: Apache-2.0 */
/* latency.h - `bench latency`: a round trip of one message there and one back. */
#ifndef AETHER_CLI_BENCH_LATENCY_H
#define AETHER_CLI_BENCH_LATENCY_H

#include "options.h"

/* Measures and shows the result. Returns an exit status; an error is reported. */
int bench_latency(const struct bench_options *options);

#endif

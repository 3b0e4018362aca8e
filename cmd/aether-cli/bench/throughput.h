/* SPDX-License-Identifier: Apache-2.0 */
/* throughput.h - `bench throughput` and `bench fanout`: messages a second from publishers to subscribers. */
#ifndef AETHER_CLI_BENCH_THROUGHPUT_H
#define AETHER_CLI_BENCH_THROUGHPUT_H

#include "options.h"

/* Measures and shows the result. Returns an exit status; an error is reported. */
int bench_throughput(const struct bench_options *options);

#endif

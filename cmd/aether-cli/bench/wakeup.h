/* SPDX-License-Identifier: Apache-2.0 */
/* wakeup.h - `bench wakeup`: how long a sleeping subscriber takes to receive. */
#ifndef AETHER_CLI_BENCH_WAKEUP_H
#define AETHER_CLI_BENCH_WAKEUP_H

#include "options.h"

/* Measures and shows the result. Returns an exit status; an error is reported. */
int bench_wakeup(const struct bench_options *options);

#endif

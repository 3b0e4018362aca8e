/* SPDX-License-Identifier: Apache-2.0 */
/* amount.h - amounts as people write them: three significant digits and a unit. Each is written to buf and returned. */
#ifndef AE_VIEW_AMOUNT_H
#define AE_VIEW_AMOUNT_H

#include "base/text.h" /* IWYU pragma: export: ae_plural() goes with an amount */
#include <stdint.h>

#define AE_AMOUNT_SIZE 32

char *ae_amount_bytes(char buf[AE_AMOUNT_SIZE], uint64_t bytes);    /* "512 B", "1.50 KiB", "64 MiB" */
char *ae_amount_rate(char buf[AE_AMOUNT_SIZE], double per_second);  /* "950/s", "1.25 M/s" */
char *ae_amount_duration(char buf[AE_AMOUNT_SIZE], double seconds); /* "85 ns", "1.25 us", "2 h 05 min", "3 d 4 h" */
char *ae_amount_count(char buf[AE_AMOUNT_SIZE], uint64_t count);    /* "1,234,567" */

#endif

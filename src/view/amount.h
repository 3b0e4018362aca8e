/* SPDX-License-Identifier: Apache-2.0 */
/*
 * amount.h - amounts as people write them, for all programs: three significant digits and a unit, without decimals if
 * the number is whole. Each function writes to buf and returns it. src/export/page/format.js has the same rules for the
 * page; docs/observability.md lists them.
 */
#ifndef AE_VIEW_AMOUNT_H
#define AE_VIEW_AMOUNT_H

#include "base/text.h" /* ae_plural() goes with an amount */
#include <stdbool.h>
#include <stdint.h>

#define AE_AMOUNT_SIZE 32

/* Microseconds are written as "us", for output that isn't UTF-8; else, and at first, as "\u00b5s". For the process. */
void ae_amount_set_ascii(bool ascii);

char *ae_amount_bytes(char buf[AE_AMOUNT_SIZE], uint64_t bytes);        /* "512 B", "1.50 KiB", "64 MiB" */
char *ae_amount_byte_rate(char buf[AE_AMOUNT_SIZE], double per_second); /* "0 B/s", "1.50 KiB/s" */
char *ae_amount_rate(char buf[AE_AMOUNT_SIZE], double per_second);      /* "<0.01/s", "950/s", "1.25 M/s" */
char *ae_amount_duration(char buf[AE_AMOUNT_SIZE], double seconds); /* "0 s", "85 ns", "1.25 \u00b5s", "2 h 05 min" */
char *ae_amount_count(char buf[AE_AMOUNT_SIZE], uint64_t count);    /* "1,234,567" */
char *ae_amount_brief(char buf[AE_AMOUNT_SIZE], double count);      /* for narrow columns: "999,999", "1.25 M" */
char *ae_amount_percent(char buf[AE_AMOUNT_SIZE], double share);    /* of 0 .. 1: "0 %", "12.3 %", "100 %" */

#endif

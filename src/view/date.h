/* SPDX-License-Identifier: Apache-2.0 */
/* date.h - times of day as text. */
#ifndef AE_VIEW_DATE_H
#define AE_VIEW_DATE_H

#include <stdint.h>

#define AE_DATE_SIZE 32

/* Writes CLOCK_REALTIME nanoseconds as "2026-11-28 01:02:03", in local time, and returns text; "-" if that fails. */
char *ae_date(char text[AE_DATE_SIZE], uint64_t ns);

/* The same by RFC 3339, in UTC, with microseconds: "2026-11-28T00:02:03.000456Z". */
char *ae_date_rfc3339(char text[AE_DATE_SIZE], uint64_t ns);

#endif

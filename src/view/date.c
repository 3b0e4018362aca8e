/* SPDX-License-Identifier: Apache-2.0 */
/* date.c - local time, and UTC. */
#include "view/date.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

char *ae_date(char text[AE_DATE_SIZE], uint64_t ns) {
    const time_t seconds = (time_t)(ns / 1000000000u);
    struct tm tm;

    if (localtime_r(&seconds, &tm) == NULL || strftime(text, AE_DATE_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        memcpy(text, "-", 2);
    return text;
}

char *ae_date_rfc3339(char text[AE_DATE_SIZE], uint64_t ns) {
    const time_t seconds = (time_t)(ns / 1000000000u);
    char date[AE_DATE_SIZE - 8];
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL || strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        memcpy(text, "-", 2);
    else
        snprintf(text, AE_DATE_SIZE, "%s.%06uZ", date, (unsigned)(ns % 1000000000u / 1000u));
    return text;
}

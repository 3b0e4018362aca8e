/* SPDX-License-Identifier: Apache-2.0 */
/* date.c - local time. */
#include "view/date.h"
#include <string.h>
#include <time.h>

char *ae_date(char text[AE_DATE_SIZE], uint64_t ns) {
    const time_t seconds = (time_t)(ns / 1000000000u);
    struct tm tm;

    if (localtime_r(&seconds, &tm) == NULL || strftime(text, AE_DATE_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        memcpy(text, "-", 2);
    return text;
}

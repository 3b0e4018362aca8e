/* SPDX-License-Identifier: Apache-2.0 */
/* amount.c - numbers scaled to a unit. */
#include "view/amount.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* Three significant digits, as a person would write them. */
static char *scaled(char buf[AE_AMOUNT_SIZE], double value, const char *unit) {
    const int decimals = value >= 99.95 || value == floor(value) ? 0 : value >= 9.995 ? 1 : 2;

    snprintf(buf, AE_AMOUNT_SIZE, "%.*f%s", decimals, value, unit);
    return buf;
}

char *ae_amount_bytes(char buf[AE_AMOUNT_SIZE], uint64_t bytes) {
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1023.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    return scaled(buf, value, units[unit]);
}

char *ae_amount_rate(char buf[AE_AMOUNT_SIZE], double per_second) {
    static const char *const units[] = {"/s", " k/s", " M/s", " G/s", " T/s"};
    size_t unit = 0;

    while (per_second >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        per_second /= 1000;
        unit++;
    }
    return scaled(buf, per_second, units[unit]);
}

char *ae_amount_duration(char buf[AE_AMOUNT_SIZE], double seconds) {
    if (seconds < 0.9995e-6)
        return scaled(buf, floor(seconds * 1e9 + 0.5), " ns");
    if (seconds < 0.9995e-3)
        return scaled(buf, seconds * 1e6, " us");
    if (seconds < 0.9995)
        return scaled(buf, seconds * 1e3, " ms");
    if (seconds < 59.95)
        return scaled(buf, seconds, " s");
    const uint64_t whole = seconds < 1e18 ? (uint64_t)seconds : UINT64_C(1000000000000000000);
    const uint64_t minutes = whole / 60, hours = minutes / 60, days = hours / 24;
    if (minutes < 60)
        snprintf(buf, AE_AMOUNT_SIZE, "%" PRIu64 " min %02" PRIu64 " s", minutes, whole % 60);
    else if (hours < 24)
        snprintf(buf, AE_AMOUNT_SIZE, "%" PRIu64 " h %02" PRIu64 " min", hours, minutes % 60);
    else
        snprintf(buf, AE_AMOUNT_SIZE, "%" PRIu64 " d %" PRIu64 " h", days, hours % 24);
    return buf;
}

char *ae_amount_count(char buf[AE_AMOUNT_SIZE], uint64_t count) {
    char digits[24];
    const int len = snprintf(digits, sizeof digits, "%" PRIu64, count);
    size_t used = 0;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            buf[used++] = ',';
        buf[used++] = digits[i];
    }
    buf[used] = '\0';
    return buf;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* amount.c - numbers scaled to a unit. */
#include "view/amount.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static bool is_ascii;

void ae_amount_set_ascii(bool ascii) {
    is_ascii = ascii;
}

/* Three significant digits, as a person would write them. */
static char *scaled(char buf[AE_AMOUNT_SIZE], double value, const char *unit) {
    const int decimals = value >= 99.95 || value == floor(value) ? 0 : value >= 9.995 ? 1 : 2;

    snprintf(buf, AE_AMOUNT_SIZE, "%.*f%s", decimals, value, unit);
    return buf;
}

/* Divides by `step` until the value has at most the digits of a value below `step`. units[0 .. last] */
static char *in_units(char buf[AE_AMOUNT_SIZE], double value, double step, const char *const *units, size_t last) {
    size_t unit = 0;

    while (value >= step - 0.5 && unit < last) {
        value /= step;
        unit++;
    }
    return scaled(buf, value, units[unit]);
}

char *ae_amount_bytes(char buf[AE_AMOUNT_SIZE], uint64_t bytes) {
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};

    return in_units(buf, (double)bytes, 1024, units, 6);
}

char *ae_amount_byte_rate(char buf[AE_AMOUNT_SIZE], double per_second) {
    static const char *const units[] = {" B/s", " KiB/s", " MiB/s", " GiB/s", " TiB/s", " PiB/s", " EiB/s"};

    /* Less than a byte a second is shown as one, so that it differs from nothing at all. */
    return in_units(buf, per_second > 0 && per_second < 1 ? 1 : per_second, 1024, units, 6);
}

char *ae_amount_rate(char buf[AE_AMOUNT_SIZE], double per_second) {
    static const char *const units[] = {"/s", " k/s", " M/s", " G/s", " T/s"};

    if (per_second > 0 && per_second < 0.01)
        snprintf(buf, AE_AMOUNT_SIZE, "<0.01/s");
    else
        in_units(buf, per_second, 1000, units, 4);
    return buf;
}

char *ae_amount_duration(char buf[AE_AMOUNT_SIZE], double seconds) {
    if (seconds <= 0)
        return scaled(buf, 0, " s");
    if (seconds < 0.9995e-6)
        return scaled(buf, floor(seconds * 1e9 + 0.5), " ns");
    if (seconds < 0.9995e-3)
        return scaled(buf, seconds * 1e6, is_ascii ? " us" : " \u00b5s");
    if (seconds < 0.9995)
        return scaled(buf, seconds * 1e3, " ms");
    if (seconds < 59.95)
        return scaled(buf, seconds, " s");
    const uint64_t whole = seconds < 1e18 ? (uint64_t)(seconds + 0.5) : UINT64_C(1000000000000000000);
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

char *ae_amount_brief(char buf[AE_AMOUNT_SIZE], double count) {
    static const char *const units[] = {" M", " G", " T", " P", " E"};

    if (count < 999999.5)
        return ae_amount_count(buf, (uint64_t)(count + 0.5));
    return in_units(buf, count / 1e6 < 1e15 ? count / 1e6 : 1e15, 1000, units, 4);
}

char *ae_amount_percent(char buf[AE_AMOUNT_SIZE], double share) {
    return scaled(buf, share * 100, " %");
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include <inttypes.h>
#include <stdio.h>

void ae_text_clean(char *text) {
    unsigned char *p = (unsigned char *)text;

    for (; *p != 0; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            *p = '?';
        } else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) {
            p[0] = '?';
            p[1] = '?';
        }
    }
}

const char *ae_text_size(char text[AE_TEXT_SIZE_BYTES], uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    uint64_t whole = bytes;
    uint64_t rest = 0; /* of the last division, 0..1023 */

    while (whole >= 1024) {
        rest = whole % 1024;
        whole /= 1024;
        unit++;
    }
    if (rest * 10 / 1024 == 0)
        snprintf(text, AE_TEXT_SIZE_BYTES, "%" PRIu64 " %s", whole, units[unit]);
    else
        snprintf(text, AE_TEXT_SIZE_BYTES, "%" PRIu64 ".%" PRIu64 " %s", whole, rest * 10 / 1024, units[unit]);
    return text;
}

const char *ae_text_count(char text[AE_TEXT_COUNT_BYTES], uint64_t count) {
    char digits[AE_TEXT_COUNT_BYTES];
    const int len = snprintf(digits, sizeof digits, "%" PRIu64, count);
    char *to = text;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return text;
}

const char *ae_text_seconds(char text[AE_TEXT_SECONDS_BYTES], uint64_t ns) {
    const uint64_t thousandths = (ns + 500000) / 1000000; /* %.3g shows no more of a second */

    snprintf(text, AE_TEXT_SECONDS_BYTES, "%.3g second%s", (double)ns / 1e9,
             thousandths >= 1000 && thousandths < 1005 ? "" : "s");
    return text;
}

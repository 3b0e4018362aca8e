/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - numbers for people, for the demo's programs. */
#ifndef AETHER_DEMO_TEXT_H
#define AETHER_DEMO_TEXT_H

#include <inttypes.h>
#include <stdio.h>

#define COUNT_TEXT 32 /* bytes of the longest number's text */

/* Writes count with a comma before each three digits, as "1,234,567", to text, and returns text. */
static inline const char *count_text(char text[COUNT_TEXT], uint64_t count) {
    char digits[24];
    const int len = snprintf(digits, sizeof digits, "%" PRIu64, count);
    int used = 0;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
    return text;
}

#endif

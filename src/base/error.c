/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/export.h"
#include "base/text.h"
#include <aether/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_SIZE 512

#define STRING(x) #x
#define VERSION(major, minor, patch) STRING(major) "." STRING(minor) "." STRING(patch)

/* Static, so that an error on the hot path allocates nothing. */
static _Thread_local char last_text[TEXT_SIZE];

int ae_fail(int code, const char *format, ...) {
    char text[TEXT_SIZE]; /* not last_text itself, because last_text may be an argument */
    va_list args;

    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = '\0';
    va_end(args);
    ae_text_clean(text);
    memcpy(last_text, text, strlen(text) + 1);
    return code;
}

AE_EXPORT const char *aether_errmsg(void) {
    return last_text;
}

AE_EXPORT const char *aether_version(void) {
    return VERSION(AETHER_VERSION_MAJOR, AETHER_VERSION_MINOR, AETHER_VERSION_PATCH);
}

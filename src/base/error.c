/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/export.h"
#include "base/text.h"
#include <aether/error.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define TEXT_SIZE 512

#define STRING(x) #x
#define VERSION(major, minor, patch) STRING(major) "." STRING(minor) "." STRING(patch)

/* Static, so that an error on the hot path allocates nothing. */
static _Thread_local char last_text[TEXT_SIZE];

/* What can be done about a system call's error, or NULL if that depends on what was called. */
static const char *remedy(int code, char *text, size_t size) {
    struct rlimit limit;

    switch (code) {
    case EMFILE:
        if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
            return "raise ulimit -n";
        snprintf(text, size, "this process may open %llu: raise ulimit -n", (unsigned long long)limit.rlim_cur);
        return text;
    case ENFILE:
        return "raise /proc/sys/fs/file-max";
    case ETOOMANYREFS:
        return "too many descriptors are in sockets and not received yet: raise ulimit -n";
    case ENOMEM:
        return "free memory, or raise ulimit -v, the container's memory limit or /proc/sys/vm/max_map_count";
    case ENOSPC:
        return "free some room there";
    case EACCES:
        snprintf(text, size, "this process has uid %u: compare it with owner and mode", (unsigned)geteuid());
        return text;
    case EPERM:
        return "a seccomp filter, a container or the owner of the object forbids it";
    case ENOSYS:
        return "the kernel is too old for it, or a seccomp filter forbids it";
    default:
        return NULL;
    }
}

/* Appends the remedy to a text that ends with the description of its code. */
static void add_remedy(char text[TEXT_SIZE], int code) {
    char buffer[96];
    const size_t len = strlen(text);
    const char *what = remedy(code, buffer, sizeof buffer);

    if (what == NULL)
        return;
    const char *description = strerror(code);
    const size_t tail = strlen(description);
    if (len >= tail && strcmp(text + len - tail, description) == 0)
        snprintf(text + len, TEXT_SIZE - len, ": %s", what);
}

int ae_fail(int code, const char *format, ...) {
    char text[TEXT_SIZE]; /* not last_text itself, because last_text may be an argument */
    va_list args;

    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = '\0';
    va_end(args);
    if (code < 0)
        add_remedy(text, -code);
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

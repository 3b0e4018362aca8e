/* SPDX-License-Identifier: Apache-2.0 */
#include "service/log.h"
#include "base/error.h"
#include "base/socket.h"
#include "base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 1024

const char *const ae_log_levels[] = {
    [AE_LOG_ERROR] = "error", [AE_LOG_WARNING] = "warning", [AE_LOG_INFO] = "info", [AE_LOG_DEBUG] = "debug", NULL};

static int max_level = AE_LOG_INFO;
static int log_fd = STDERR_FILENO;

void ae_log_set_level(enum ae_log_level level) {
    __atomic_store_n(&max_level, (int)level, __ATOMIC_RELAXED);
}

int ae_log_open(const char *path) {
    const int to = __atomic_load_n(&log_fd, __ATOMIC_RELAXED);
    int fd = -1, rc = 0;

    if (path[0] != '\0') {
        /* Non-blocking: a pipe that nobody reads must not stop the program. */
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
        if (fd < 0)
            return ae_fail(-errno, "log file %s: %s", path,
                           errno == ENXIO ? "no program reads this pipe" : strerror(errno));
        if (to == STDERR_FILENO) {
            __atomic_store_n(&log_fd, fd, __ATOMIC_RELAXED);
            return 0;
        }
    }
    /* From now on the descriptor keeps its number, because another thread may be about to write to it. */
    if (to != STDERR_FILENO && dup3(fd >= 0 ? fd : STDERR_FILENO, to, O_CLOEXEC) < 0)
        rc = ae_fail(-errno, "log file %s: %s", path, strerror(errno));
    ae_close(&fd);
    return rc;
}

static size_t format_line(char line[LINE_SIZE], enum ae_log_level level, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static size_t format_line(char line[LINE_SIZE], enum ae_log_level level, const char *format, va_list args) {
    struct timespec now;
    struct tm utc;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t len = strftime(line, LINE_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    len += (size_t)snprintf(line + len, LINE_SIZE - len, ".%03dZ %-7s ", (int)(now.tv_nsec / 1000000),
                            ae_log_levels[level]);
    if (vsnprintf(line + len, LINE_SIZE - len - 1, format, args) < 0) /* - 1: room for the newline */
        line[len] = '\0';
    ae_text_clean(line);
    len = strlen(line);
    line[len++] = '\n';
    return len;
}

/*
 * Doesn't wait: a pipe that nobody reads, or a stopped terminal, must not stop the program. A pipe that is ready has
 * room for a line.
 */
static bool write_line(const char *line, size_t len) {
    struct pollfd entry = {.fd = __atomic_load_n(&log_fd, __ATOMIC_RELAXED), .events = POLLOUT};
    ssize_t rc;

    if (poll(&entry, 1, 0) == 0)
        return false;
    while ((rc = write(entry.fd, line, len)) < 0 && errno == EINTR)
        continue;
    return rc >= 0 || errno != EAGAIN;
}

static unsigned missing; /* lines that could not be written */

static bool put(enum ae_log_level level, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

static bool put(enum ae_log_level level, const char *format, va_list args) {
    char line[LINE_SIZE];

    return write_line(line, format_line(line, level, format, args));
}

static bool put_text(enum ae_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool put_text(enum ae_log_level level, const char *format, ...) {
    va_list args;

    va_start(args, format);
    const bool written = put(level, format, args);
    va_end(args);
    return written;
}

static void say_what_is_missing(void) {
    const unsigned lines = __atomic_exchange_n(&missing, 0, __ATOMIC_RELAXED);

    if (lines != 0 && !put_text(AE_LOG_WARNING, "%u line%s missing here: nobody read the log", lines,
                                ae_plural(lines, " is", "s are")))
        (void)__atomic_fetch_add(&missing, lines, __ATOMIC_RELAXED);
}

void ae_log_line(enum ae_log_level level, const char *format, ...) {
    const int saved = errno;
    va_list args;

    if ((int)level > __atomic_load_n(&max_level, __ATOMIC_RELAXED))
        return;
    say_what_is_missing();
    va_start(args, format);
    if (!put(level, format, args))
        (void)__atomic_fetch_add(&missing, 1, __ATOMIC_RELAXED);
    va_end(args);
    errno = saved;
}

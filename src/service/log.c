/* SPDX-License-Identifier: Apache-2.0 */
#include "service/log.h"
#include "base/error.h"
#include "base/socket.h"
#include "base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
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

void ae_log_line(enum ae_log_level level, const char *format, ...) {
    const int saved = errno;
    char line[LINE_SIZE];
    struct timespec now;
    struct tm utc;
    va_list args;

    if ((int)level > __atomic_load_n(&max_level, __ATOMIC_RELAXED))
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t len = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    len += (size_t)snprintf(line + len, sizeof line - len, ".%03dZ %-7s ", (int)(now.tv_nsec / 1000000),
                            ae_log_levels[level]);
    va_start(args, format);
    if (vsnprintf(line + len, sizeof line - len - 1, format, args) < 0) /* - 1: room for the newline */
        line[len] = '\0';
    va_end(args);
    ae_text_clean(line);
    len = strlen(line);
    line[len++] = '\n';
    while (write(__atomic_load_n(&log_fd, __ATOMIC_RELAXED), line, len) < 0 && errno == EINTR)
        continue;
    errno = saved;
}

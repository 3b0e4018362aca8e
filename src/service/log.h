/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - the log of a program that serves: one line a call on stderr, "2026-01-31T12:00:00.123Z warning text", UTC.
 *
 * Thread-safe: each line is one write(). A line that stderr doesn't take is dropped. A program whose stderr may be a
 * closed pipe ignores SIGPIPE.
 */
#ifndef AE_SERVICE_LOG_H
#define AE_SERVICE_LOG_H

enum ae_log_level {
    AE_LOG_ERROR = 0,
    AE_LOG_WARNING = 1,
    AE_LOG_INFO = 2, /* the default */
    AE_LOG_DEBUG = 3
};

/* Logs the text if level is at most the level set; control characters become '?', and it is cut at 1 KiB. */
void ae_log_line(enum ae_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

void ae_log_set_level(enum ae_log_level level);

/* "error", "warning", "info", "debug": the index is the level, and a NULL ends them. */
extern const char *const ae_log_levels[];

#endif

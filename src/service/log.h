/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - the log of a service: one line a call on stderr or in a file, "2026-01-31T12:00:00.123Z warning text", in
 * UTC.
 *
 * Thread-safe: each line is one write(). It doesn't wait: where nobody reads the log, lines are dropped, and their
 * number is logged when there is room again. The program must ignore SIGPIPE if its stderr may be a closed pipe.
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

/*
 * From now on the log goes to the end of the file, which is created with mode 0640 if it is missing; "": to stderr.
 * Opens the file anew if the log goes there already. 0, or -errno with a text, and then the log goes where it went.
 * One thread at a time calls it; others may write lines meanwhile.
 */
int ae_log_open(const char *path);

/* "error", "warning", "info", "debug", NULL. The index is the level. */
extern const char *const ae_log_levels[];

#endif

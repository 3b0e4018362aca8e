/* SPDX-License-Identifier: Apache-2.0 */
#include "service/log.h"
#include "base/socket.h"
#include <aether/error.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Runs body with stderr in a pipe and returns what it wrote. */
static char *logged(void (*body)(void)) {
    static char text[8192];
    int ends[2];
    int saved = dup(STDERR_FILENO);
    ssize_t len;

    assert_true(saved >= 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    ae_close(&ends[1]);
    body();
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    ae_close(&saved);
    len = read(ends[0], text, sizeof text - 1);
    ae_close(&ends[0]);
    assert_true(len >= 0);
    text[len] = '\0';
    return text;
}

static void assert_matches(const char *text, const char *pattern) {
    regex_t regex;

    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&regex, text, 0, NULL, 0) != 0)
        fail_msg("\"%s\" doesn't match %s", text, pattern);
    regfree(&regex);
}

static void four_levels(void) {
    ae_log_line(AE_LOG_ERROR, "one");
    ae_log_line(AE_LOG_WARNING, "two");
    ae_log_line(AE_LOG_INFO, "three");
    ae_log_line(AE_LOG_DEBUG, "four");
}

static void hostile(void) {
    ae_log_line(AE_LOG_ERROR, "client \"%s\"", "x\n2026-01-01T00:00:00.000Z error   forged\r\x1b[2J");
}

static void endless(void) {
    char text[5000];

    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ae_log_line(AE_LOG_ERROR, "%s", text);
}

#define TIME "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "

static void lines_carry_time_and_level(void **state) {
    (void)state;
    ae_log_set_level(AE_LOG_DEBUG);
    assert_matches(logged(four_levels),
                   "^" TIME "error   one\n" TIME "warning two\n" TIME "info    three\n" TIME "debug   four\n$");
}

/* A pipe has room for 64 KiB. */
static void a_log_that_nobody_reads_stops_nobody(void **state) {
    static char text[1 << 17];
    int ends[2], saved = dup(STDERR_FILENO);
    ssize_t len;

    (void)state;
    ae_log_set_level(AE_LOG_INFO);
    assert_true(saved >= 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    for (int i = 0; i < 300; i++)
        ae_log_line(AE_LOG_INFO, "%0500d", i);
    len = read(ends[0], text, sizeof text - 1);
    assert_true(len > 30000);
    text[len] = '\0';
    assert_null(strstr(text, "missing"));
    ae_log_line(AE_LOG_INFO, "read again");
    len = read(ends[0], text, sizeof text - 1);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    ae_close(&saved);
    ae_close(&ends[0]);
    ae_close(&ends[1]);
    assert_true(len > 0);
    text[len] = '\0';
    assert_matches(text, "^" TIME "warning [0-9]+ lines are missing here: nobody read the log\n" TIME
                         "info    read again\n$");
}

static void level_is_respected(void **state) {
    (void)state;
    ae_log_set_level(AE_LOG_WARNING);
    assert_matches(logged(four_levels), "^" TIME "error   one\n" TIME "warning two\n$");
    ae_log_set_level(AE_LOG_ERROR);
    assert_matches(logged(four_levels), "^" TIME "error   one\n$");
}

static void one_call_is_one_line(void **state) {
    char *text = logged(hostile);

    (void)state;
    assert_matches(text, "^" TIME "error   client \"x\\?2026.*forged\\?\\?\\[2J\"\n$");
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    text = logged(endless);
    assert_int_equal(strlen(text), 1023);
    assert_ptr_equal(strchr(text, '\n'), text + 1022);
}

static void into_one(void) {
    ae_log_line(AE_LOG_ERROR, "first");
}

/* The whole file. */
static const char *content(const char *path) {
    static char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t len = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;

    assert_true(len >= 0);
    ae_close(&fd);
    text[len] = '\0';
    return text;
}

/* A file that was renamed gets lines until the log is opened anew. If that fails, the log goes where it went. */
static void a_file_and_back(void **state) {
    char directory[] = "/tmp/aether-log-XXXXXX", path[64], old[64], wrong[64];

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/log", directory);
    snprintf(old, sizeof old, "%s/old", directory);
    snprintf(wrong, sizeof wrong, "%s/none/log", directory);
    assert_int_equal(ae_log_open(wrong), -ENOENT);
    assert_matches(aether_errmsg(), "^log file /tmp/aether-log-.*/none/log: No such file");
    assert_int_equal(ae_log_open(path), 0);
    assert_string_equal(logged(into_one), "");
    assert_int_equal(rename(path, old), 0);
    ae_log_line(AE_LOG_ERROR, "second");
    assert_int_equal(ae_log_open(wrong), -ENOENT);
    ae_log_line(AE_LOG_ERROR, "third");
    assert_matches(content(old), "^" TIME "error   first\n" TIME "error   second\n" TIME "error   third\n$");
    for (int i = 0; i < 3; i++)
        assert_int_equal(ae_log_open(path), 0);
    ae_log_line(AE_LOG_ERROR, "fourth");
    assert_matches(content(path), "^" TIME "error   fourth\n$");
    assert_int_equal(ae_log_open(""), 0);
    unlink(path);
    unlink(old);
    rmdir(directory);
}

static void full_or_closed_stderr_is_no_error(void **state) {
    const pid_t child = fork();
    int status;

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        errno = EXDEV;
        ae_log_line(AE_LOG_ERROR, "nobody reads this");
        if (errno != EXDEV || open("/dev/full", O_WRONLY) != STDERR_FILENO)
            _exit(1);
        ae_log_line(AE_LOG_ERROR, "nor this");
        _exit(errno == EXDEV ? 0 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_carry_time_and_level),           cmocka_unit_test(level_is_respected),
        cmocka_unit_test(a_log_that_nobody_reads_stops_nobody), cmocka_unit_test(one_call_is_one_line),
        cmocka_unit_test(full_or_closed_stderr_is_no_error),    cmocka_unit_test(a_file_and_back),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}

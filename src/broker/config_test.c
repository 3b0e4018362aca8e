/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/config.h"
#include <aether/error.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static char path[] = "/tmp/aether-config-XXXXXX";

static int setup(void **state) {
    const int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state) {
    (void)state;
    return unlink(path);
}

/* Reads a file with this content over the defaults. */
static int read_text(struct ae_config *config, const char *text) {
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    ae_config_defaults(config);
    return ae_config_read(config, path);
}

static void empty_file_changes_nothing(void **state) {
    struct ae_config config;

    (void)state;
    assert_int_equal(read_text(&config, ""), 0);
    assert_string_equal(config.socket_path, "");
    assert_int_equal(config.log_level, AE_LOG_INFO);
    assert_int_equal(config.limits.topics, 1024);
    assert_int_equal(config.limits.clients, 1024);
    assert_int_equal(config.limits.grants, 8192);
    assert_int_equal(config.limits.ring_bytes, 1u << 30);
}

static void every_key_is_read(void **state) {
    struct ae_config config;

    (void)state;
    assert_int_equal(
        read_text(&config,
                  "[daemon]\nsocket = /run/a b/s\nlog_level = debug\n"
                  "[limits]\ntopics = 65536\nclients=16384 ; remark\ngrants : 262144\nring_bytes = 17592186044416\n"),
        0);
    assert_string_equal(config.socket_path, "/run/a b/s");
    assert_int_equal(config.log_level, AE_LOG_DEBUG);
    assert_int_equal(config.limits.topics, 65536);
    assert_int_equal(config.limits.clients, 16384);
    assert_int_equal(config.limits.grants, 262144);
    assert_true(config.limits.ring_bytes == 1ull << 44);
}

static void longest_socket_path_fits(void **state) {
    char text[160] = "[daemon]\nsocket = ";
    const size_t start = strlen(text);
    struct ae_config config;

    (void)state;
    memset(text + start, 's', AE_SOCKET_PATH_MAX);
    assert_int_equal(read_text(&config, text), 0);
    assert_int_equal(strlen(config.socket_path), AE_SOCKET_PATH_MAX);
    text[start + AE_SOCKET_PATH_MAX] = 's';
    assert_int_equal(read_text(&config, text), -EINVAL);
}

/* The first fault is told, with its file and line. */
static void faults_name_their_line(void **state) {
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"[limits]\ntopics = 0\ngrants = 0\n", ":2: "},
        {"[limits]\n\n\n# x\ngrants = many\n", ":5: "},
        {"[daemon]\nlog_level = info\n[limits\n", ":3: "},
        {"junk\n[limits]\ntopics = 0\n", ":1: "},
        {"[limits]\ntopics = 1\ntopics = 1\n", ":3: "},
        {"\n\n[other]\n", ":3: "},
        {"[limits] topics = 1\n", ":1: "},
        {"[limits]\ntopics = 1\n 2\n", ":3: "},
    };
    struct ae_config config;
    char place[64];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(read_text(&config, cases[i].text), -EINVAL);
        (void)snprintf(place, sizeof place, "%s%s", path, cases[i].place);
        if (strncmp(aether_errmsg(), place, strlen(place)) != 0)
            fail_msg("'%s' doesn't begin with '%s'", aether_errmsg(), place);
    }
}

static void unreadable_files_are_faults(void **state) {
    struct ae_config config;

    (void)state;
    ae_config_defaults(&config);
    assert_int_equal(ae_config_read(&config, "/nonexistent/aetherd.conf"), -ENOENT);
    assert_non_null(strstr(aether_errmsg(), "/nonexistent/aetherd.conf"));
    assert_true(ae_config_read(&config, "/") < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_file_changes_nothing),  cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(longest_socket_path_fits),    cmocka_unit_test(faults_name_their_line),
        cmocka_unit_test(unreadable_files_are_faults),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

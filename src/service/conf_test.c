/* SPDX-License-Identifier: Apache-2.0 */
#include "service/conf.h"
#include <aether/error.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char *const words[] = {"error", "warning", "info", "debug", NULL};

static struct {
    char socket[107];
    unsigned log_level;
    uint32_t topics, grants;
    uint64_t memory;
} got;

enum { KEY_SOCKET, KEY_LOG_LEVEL, KEY_TOPICS };

static const struct ae_conf_key keys[] = {
    [KEY_SOCKET] = {.section = "daemon",
                    .name = "socket",
                    .option = "socket",
                    .kind = AE_CONF_PATH,
                    .target.path = got.socket,
                    .max = 106,
                    .example = "/run/s",
                    .help = "Where it is.\nAnd why."},
    [KEY_LOG_LEVEL] = {.section = "daemon",
                       .name = "log_level",
                       .option = "log-level",
                       .kind = AE_CONF_WORD,
                       .target.word = &got.log_level,
                       .words = words,
                       .value = "info",
                       .help = "How much."},
    [KEY_TOPICS] = {.section = "limits",
                    .name = "topics",
                    .option = "topics",
                    .kind = AE_CONF_U32,
                    .target.u32 = &got.topics,
                    .min = 1,
                    .max = 65536,
                    .value = "1024",
                    .help = "How many."},
    {.section = "limits",
     .name = "grants",
     .kind = AE_CONF_U32,
     .target.u32 = &got.grants,
     .min = 1,
     .max = UINT32_MAX,
     .value = "8192",
     .help = "How many."},
    {.section = "limits",
     .name = "memory",
     .kind = AE_CONF_SIZE,
     .target.u64 = &got.memory,
     .min = 65536,
     .max = 1ull << 44,
     .value = "1G",
     .help = "How much."},
};

static const struct ae_conf conf = {.keys = keys, .count = sizeof keys / sizeof keys[0]};

static char path[] = "/tmp/aether-conf-XXXXXX";

static int setup(void **state) {
    const int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state) {
    (void)state;
    return unlink(path);
}

/* Stores the defaults, then reads a file with this content. */
static int read_text(const char *text) {
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    memset(&got, 0xff, sizeof got);
    assert_int_equal(ae_conf_defaults(&conf), 0);
    return ae_conf_read(&conf, path);
}

static void empty_file_changes_nothing(void **state) {
    (void)state;
    assert_int_equal(read_text(""), 0);
    assert_string_equal(got.socket, "");
    assert_int_equal(got.log_level, 2);
    assert_int_equal(got.topics, 1024);
    assert_int_equal(got.grants, 8192);
    assert_true(got.memory == 1 << 30);
}

static void every_key_is_read(void **state) {
    (void)state;
    assert_int_equal(read_text("[daemon]\nsocket = /run/a b/s\nlog_level = debug\n"
                               "[limits]\ntopics=65536 ; remark\ngrants : 4294967295\nmemory = 1M\n"),
                     0);
    assert_string_equal(got.socket, "/run/a b/s");
    assert_int_equal(got.log_level, 3);
    assert_int_equal(got.topics, 65536);
    assert_int_equal(got.grants, UINT32_MAX);
    assert_true(got.memory == 1 << 20);
}

static int print(char *text, size_t size) {
    FILE *out = fmemopen(text, size, "w");

    assert_non_null(out);
    memset(text, 0, size);
    const int rc = ae_conf_print(&conf, out);
    assert_int_equal(fclose(out), 0);
    return rc;
}

static void sizes_have_suffixes(void **state) {
    static const struct {
        const char *text;
        uint64_t bytes; /* 0: refused */
    } cases[] = {
        {"65536", 65536},
        {"64K", 65536},
        {"64k", 65536},
        {"100K", 102400},
        {"3m", 3 << 20},
        {"2G", 2ull << 30},
        {"16T", 1ull << 44},
        {"65537", 65537},
        {"63K", 0},
        {"17T", 0},
        {"1", 0},
        {"", 0},
        {"K", 0},
        {"64KB", 0},
        {"64 K", 0},
        {"-64K", 0},
        {"+64K", 0},
        {"0x1M", 0},
        {"1.5M", 0},
        {"1P", 0},
        {"64K ", 65536} /* the file's blanks are cut */,
        {"17179869185K", 0},
        {"99999999999999999999999", 0},
        {"99999999999999999999999999999K", 0},
        {"18446744073709551616", 0},
    };
    char text[128];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)snprintf(text, sizeof text, "[limits]\nmemory = %s\n", cases[i].text);
        assert_int_equal(read_text(text), cases[i].bytes == 0 ? -EINVAL : 0);
        assert_true(got.memory == (cases[i].bytes == 0 ? 1 << 30 : cases[i].bytes)); /* a refused one changes nothing */
    }
}

static void sizes_print_with_the_largest_letter(void **state) {
    static const char *const sizes[] = {"65537", "64K", "1536K", "2M", "3G", "16T"};
    char text[4096], line[64];

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        (void)snprintf(line, sizeof line, "[limits]\nmemory = %s\n", sizes[i]);
        assert_int_equal(read_text(line), 0);
        assert_int_equal(print(text, sizeof text), 0);
        assert_non_null(strstr(text, strchr(line, '\n')));
    }
}

static void longest_path_fits(void **state) {
    char text[160] = "[daemon]\nsocket = ";
    const size_t start = strlen(text);

    (void)state;
    memset(text + start, 's', 106);
    assert_int_equal(read_text(text), 0);
    assert_int_equal(strlen(got.socket), 106);
    text[start + 106] = 's';
    assert_int_equal(read_text(text), -EINVAL);
}

static void error_is(const char *text) {
    const size_t len = strlen(path);

    assert_int_equal(strncmp(aether_errmsg(), path, len), 0);
    assert_string_equal(aether_errmsg() + len, text);
}

/* The first error is reported, with its file and line. All words of the texts come from the table. */
static void errors_name_their_line(void **state) {
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"[limits]\ntopics = 0\ngrants = 0\n", ":2: topics = '0' isn't a number from 1 to 65536"},
        {"[limits]\n\n\n# x\ngrants = many\n", ":5: grants = 'many' isn't a number from 1 to 4294967295"},
        {"[limits]\ngrants = 4294967296\n", ":2: grants = '4294967296' isn't a number from 1 to 4294967295"},
        {"[daemon]\nlog_level = info\n[limits\n", ":3: line is neither [section] nor key = value"},
        {"junk\n[limits]\ntopics = 0\n", ":1: line is neither [section] nor key = value"},
        {"[limits]\ntopics = 1\ntopics = 1\n", ":3: topics is set twice: keep one"},
        {"\n\n[other]\n", ":3: section [other] is unknown: use [daemon] or [limits]"},
        {"[limits] topics = 1\n", ":1: text follows [limits]: begin a new line"},
        {"[limits]\ntopics = 1\n 2\n", ":3: line begins with a blank: begin it with a key, [section], ; or #"},
        {"[limits]\n\f[other]\n", ":2: line begins with a blank: begin it with a key, [section], ; or #"},
        {"[limits]\n\v[daemon] x\n", ":2: line begins with a blank: begin it with a key, [section], ; or #"},
        {"[daemon]\nsocket =\n", ":2: socket = '' isn't a path of 1 to 106 bytes"},
        {"[daemon]\nlog_level = loud\n", ":2: log_level = 'loud' is unknown: use error, warning, info or debug"},
        {"[daemon]\ntopics = 1\n",
         ":2: [daemon] topics is unknown: use [daemon] socket, log_level or [limits] topics, grants, memory"},
        {"[limits]\nmemory = 1x\n", ":2: memory = '1x' isn't a size from 64K to 16T: use bytes, or K, M, G or T for "
                                    "powers of 1024"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(read_text(cases[i].text), -EINVAL);
        error_is(cases[i].error);
    }
}

static void lists_of_three_have_commas(void **state) {
    static const struct ae_conf_key three[] = {{.section = "a", .name = "x"},
                                               {.section = "b", .name = "x"},
                                               {.section = "b", .name = "y"},
                                               {.section = "c", .name = "x"}};
    static const struct ae_conf table = {.keys = three, .count = 4};

    (void)state;
    (void)read_text("[d]\n");
    assert_int_equal(ae_conf_read(&table, path), -EINVAL);
    error_is(":1: section [d] is unknown: use [a], [b] or [c]");
    (void)read_text("[a]\ny = 1\n");
    assert_int_equal(ae_conf_read(&table, path), -EINVAL);
    error_is(":2: [a] y is unknown: use [a] x, [b] x, y or [c] x");
}

static void unreadable_files_are_errors(void **state) {
    (void)state;
    assert_int_equal(ae_conf_read(&conf, "/nonexistent/aetherd.conf"), -ENOENT);
    assert_non_null(strstr(aether_errmsg(), "/nonexistent/aetherd.conf"));
    assert_true(ae_conf_read(&conf, "/") < 0);
    /* A line without an end is refused before it takes all memory. */
    assert_int_equal(ae_conf_read(&conf, "/dev/zero"), -EINVAL);
    assert_non_null(strstr(aether_errmsg(), "/dev/zero:1: line holds a NUL byte"));
}

static void options_are_values_too(void **state) {
    (void)state;
    assert_int_equal(read_text("[daemon]\nsocket = /a\nlog_level = debug\n"), 0);
    assert_int_equal(ae_conf_option(&keys[KEY_SOCKET], "/b"), 0);
    assert_int_equal(ae_conf_option(&keys[KEY_LOG_LEVEL], "error"), 0);
    assert_int_equal(ae_conf_option(&keys[KEY_TOPICS], "7"), 0);
    assert_string_equal(got.socket, "/b");
    assert_int_equal(got.log_level, 0);
    assert_int_equal(got.topics, 7);
    assert_int_equal(ae_conf_option(&keys[KEY_SOCKET], ""), -EINVAL);
    assert_string_equal(aether_errmsg(), "--socket '' isn't a path of 1 to 106 bytes");
    assert_int_equal(ae_conf_option(&keys[KEY_LOG_LEVEL], "loud"), -EINVAL);
    assert_string_equal(aether_errmsg(), "\"loud\" isn't a log level: use error, warning, info or debug");
    assert_int_equal(ae_conf_option(&keys[KEY_TOPICS], "x"), -EINVAL);
    assert_string_equal(aether_errmsg(), "--topics 'x' isn't a number from 1 to 65536");
}

static void texts_are_called_what_they_are(void **state) {
    static char place[9];
    static unsigned on;
    static const char *const switches[] = {"off", "on", NULL};
    static const struct ae_conf_key own[] = {{.section = "s",
                                              .name = "listen",
                                              .option = "listen",
                                              .kind = AE_CONF_TEXT,
                                              .target.path = place,
                                              .max = 8,
                                              .what = "ADDRESS:PORT",
                                              .value = "1.2:3",
                                              .help = "Where."},
                                             {.section = "s",
                                              .name = "on",
                                              .option = "on",
                                              .kind = AE_CONF_WORD,
                                              .target.word = &on,
                                              .words = switches,
                                              .what = "value of --on",
                                              .value = "off",
                                              .help = "Whether."}};
    static const struct ae_conf own_conf = {own, 2};
    char printed[512];

    (void)state;
    assert_int_equal(ae_conf_defaults(&own_conf), 0);
    assert_string_equal(place, "1.2:3");
    assert_int_equal(ae_conf_option(&own[0], "12345:678"), -EINVAL);
    assert_string_equal(aether_errmsg(), "--listen '12345:678' isn't ADDRESS:PORT of 1 to 8 bytes");
    assert_int_equal(ae_conf_option(&own[1], "maybe"), -EINVAL);
    assert_string_equal(aether_errmsg(), "\"maybe\" isn't a value of --on: use off or on");
    assert_int_equal(ae_conf_option(&own[0], "a"), 0);
    FILE *out = fmemopen(printed, sizeof printed, "w");
    assert_non_null(out);
    assert_int_equal(ae_conf_print(&own_conf, out), 0);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(printed, "\n[s]\n\n# Where.\n# ADDRESS:PORT of 1 to 8 bytes.\nlisten = a\n"
                                 "\n# Whether.\n# One of off or on.\n#on = off\n");
}

static void impossible_default_is_an_error(void **state) {
    static uint32_t number;
    static const struct ae_conf_key bad[] = {
        {.section = "s", .name = "k", .kind = AE_CONF_U32, .target.u32 = &number, .min = 1, .max = 9, .value = "10"}};
    static const struct ae_conf table = {.keys = bad, .count = 1};

    (void)state;
    assert_int_equal(ae_conf_defaults(&table), -EINVAL);
    assert_string_equal(aether_errmsg(), "the default of [s] k is impossible");
}

static void printed_settings_read_back(void **state) {
    static const char *const paths[] = {"/a b;c", "#x", "=", "\"/q\"", "\xc3\xa4", "[daemon]"};
    char first[4096], second[4096];

    (void)state;
    assert_int_equal(read_text(""), 0);
    assert_int_equal(print(first, sizeof first), 0);
    assert_string_equal(first, "\n[daemon]\n"
                               "\n# Where it is.\n# And why.\n# A path of 1 to 106 bytes.\n#socket = /run/s\n"
                               "\n# How much.\n# One of error, warning, info or debug.\n#log_level = info\n"
                               "\n[limits]\n"
                               "\n# How many.\n# A number from 1 to 65536.\n#topics = 1024\n"
                               "\n# How many.\n# A number from 1 to 4294967295.\n#grants = 8192\n"
                               "\n# How much.\n# A size from 64K to 16T: bytes, or K, M, G or T for powers of 1024.\n"
                               "#memory = 1G\n");
    assert_int_equal(read_text("[daemon]\nlog_level = error\n[limits]\ntopics = 1\nmemory = 64M\n"), 0);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_int_equal(ae_conf_option(&keys[KEY_SOCKET], paths[i]), 0);
        assert_int_equal(print(first, sizeof first), 0);
        assert_int_equal(read_text(first), 0);
        assert_string_equal(got.socket, paths[i]);
        assert_true(got.log_level == 0 && got.topics == 1 && got.grants == 8192 && got.memory == 64 << 20);
        assert_int_equal(print(second, sizeof second), 0);
        assert_string_equal(first, second);
    }
}

static void what_a_file_would_change_is_not_printed(void **state) {
    static const char *const paths[] = {" /a", "/a ", "/a\n[limits]", "/a ;b", ";a", "/a\tb", "/a\x7f"};
    char text[4096];

    (void)state;
    assert_int_equal(read_text(""), 0);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_int_equal(ae_conf_option(&keys[KEY_SOCKET], paths[i]), 0);
        assert_int_equal(print(text, sizeof text), -EINVAL);
        assert_non_null(strstr(aether_errmsg(), "can't stand in a file"));
    }
}

static unsigned kept;

static void count_kept(const struct ae_conf_key *key) {
    assert_string_equal(key->name, "topics");
    kept++;
}

/* A key that can't be reloaded keeps its value; another gets the new one; and all can have the old ones again. */
static void values_are_kept(void **state) {
    struct ae_conf_key some[] = {keys[KEY_SOCKET], keys[KEY_LOG_LEVEL], keys[KEY_TOPICS]};
    const struct ae_conf part = {.keys = some, .count = 3};

    (void)state;
    some[0].reload = some[1].reload = true;
    assert_int_equal(ae_conf_defaults(&part), 0);
    strcpy(got.socket, "/old");
    void *saved = ae_conf_save(&part);
    assert_non_null(saved);
    ae_conf_keep(&part, saved, count_kept);
    assert_int_equal(kept, 0);
    strcpy(got.socket, "/new");
    got.log_level = 3;
    got.topics = 7;
    ae_conf_keep(&part, saved, count_kept);
    assert_int_equal(kept, 1);
    assert_string_equal(got.socket, "/new");
    assert_int_equal(got.log_level, 3);
    assert_int_equal(got.topics, 1024);
    ae_conf_restore(&part, saved);
    assert_string_equal(got.socket, "/old");
    assert_int_equal(got.log_level, 2);
    free(saved);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_file_changes_nothing),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(sizes_have_suffixes),
        cmocka_unit_test(sizes_print_with_the_largest_letter),
        cmocka_unit_test(longest_path_fits),
        cmocka_unit_test(errors_name_their_line),
        cmocka_unit_test(lists_of_three_have_commas),
        cmocka_unit_test(unreadable_files_are_errors),
        cmocka_unit_test(options_are_values_too),
        cmocka_unit_test(impossible_default_is_an_error),
        cmocka_unit_test(printed_settings_read_back),
        cmocka_unit_test(what_a_file_would_change_is_not_printed),
        cmocka_unit_test(texts_are_called_what_they_are),
        cmocka_unit_test(values_are_kept),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* args_test.c - strict values, suggestions, and a whole table of options. */
#include "args.h"
#include "daemon.h"
#include "error.h"
/* cmocka.h needs these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* These replace error.c and daemon.c. */
static char error[1024];
static char socket_set[128];

int cli_error(int status, const char *format, ...) {
    va_list args;

    va_start(args, format);
    vsnprintf(error, sizeof error, format, args);
    va_end(args);
    return status;
}

int cli_set_socket(const char *path) {
    snprintf(socket_set, sizeof socket_set, "%s", path);
    return CLI_OK;
}

static void counts(void **state) {
    static const char *const bad[] = {
        "", " 1", "1 ", "+1", "-1", "0x10", "1e3", "1.0", "1K", "18446744073709551616", "99999999999999999999"};
    uint64_t n = 7;

    (void)state;
    assert_true(args_count("0", &n));
    assert_int_equal(n, 0);
    assert_true(args_count("18446744073709551615", &n));
    assert_true(n == UINT64_MAX);
    assert_true(args_count("0012", &n));
    assert_int_equal(n, 12);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(args_count(bad[i], &n));
    assert_int_equal(n, 12);
}

static void sizes(void **state) {
    static const char *const bad[] = {
        "", "K", "1KB", "1KiB", "1T", "1 K", "-1K", "1.5K", "1KK", "18014398509481984K", "17179869184G"};
    uint64_t n = 7;

    (void)state;
    assert_true(args_size("100", &n) && n == 100);
    assert_true(args_size("4K", &n) && n == 4096);
    assert_true(args_size("4k", &n) && n == 4096);
    assert_true(args_size("3M", &n) && n == 3u << 20);
    assert_true(args_size("2g", &n) && n == UINT64_C(2) << 30);
    assert_true(args_size("18014398509481983K", &n) && n == UINT64_MAX - 1023);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(args_size(bad[i], &n));
}

static void numbers(void **state) {
    static const char *const bad[] = {"",    ".",   "5.",  "-1",    "+1", "1e3", "inf", "-.5",
                                      "nan", "0x1", "1,5", "1.2.3", " 1", "1 ",  "..5", "1."};
    char huge[512];
    double x = 7;

    (void)state;
    assert_true(args_number("0", &x) && x == 0);
    assert_true(args_number("2.50", &x) && x == 2.5);
    assert_true(args_number(".5", &x) && x == 0.5);
    assert_true(args_number("1000000", &x) && x == 1e6);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(args_number(bad[i], &x));
    memset(huge, '9', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    assert_false(args_number(huge, &x));
}

static void times(void **state) {
    static const char *const bad[] = {"",   "s",  "1 s", "1S", "-1s", "1m", "1.s", "1e3", "1..2", "1ss",
                                      "ms", "5.", "+5",  " 5", "0x5", ".",  ".s",  "1.",  "5 ",   "5M"};
    char huge[512];
    double x = 7;

    (void)state;
    assert_true(args_time("0", &x) && x == 0);
    assert_true(args_time("2.5", &x) && x == 2.5);
    assert_true(args_time("3s", &x) && x == 3);
    assert_true(args_time(".5", &x) && x == 0.5);
    assert_true(args_time(".5min", &x) && x == 30);
    assert_true(args_time("20ms", &x) && x == 20 * 1e-3);
    assert_true(args_time("1.5us", &x) && x == 1.5 * 1e-6);
    assert_true(args_time("1.5\u00b5s", &x) && x == 1.5 * 1e-6);
    assert_true(args_time("1.5\u03bcs", &x) && x == 1.5 * 1e-6);
    assert_true(args_time("100ns", &x) && x == 100 * 1e-9);
    assert_true(args_time("2min", &x) && x == 120);
    assert_true(args_time("1h", &x) && x == 3600);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(args_time(bad[i], &x));
    memset(huge, '9', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    assert_false(args_time(huge, &x));
}

static void limits(void **state) {
    static const char *const bad[] = {"", ":", "1:2:3", "1:x", "x:1", "-1:2", "1,2", " 1:2", "1: 2", "1s:2s"};
    struct args_limits l;

    (void)state;
    assert_true(args_limits("10:100", false, &l));
    assert_true(l.has_warning && l.has_critical && l.warning == 10 && l.critical == 100);
    assert_true(args_limits("0.5", false, &l) && l.has_warning && !l.has_critical && l.warning == 0.5);
    assert_true(args_limits("5:", false, &l) && l.has_warning && !l.has_critical && l.warning == 5);
    assert_true(args_limits(":7", false, &l) && !l.has_warning && l.has_critical && l.critical == 7);
    assert_true(args_limits("20ms:1.5", true, &l) && l.warning == 20 * 1e-3 && l.critical == 1.5);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(args_limits(bad[i], false, &l));
    assert_false(args_limits("1:2K", true, &l));
    assert_true(l.warning == 20 * 1e-3);
}

static void nearest(void **state) {
    static const char *const words[] = {"topic", "pub", "sub", "stats", "bench", "shutdown", "help", "rm", NULL};
    char longest[200];

    (void)state;
    assert_string_equal(args_nearest("topc", words), "topic");
    assert_string_equal(args_nearest("stat", words), "stats");
    assert_string_equal(args_nearest("shutodwn", words), "shutdown");
    assert_string_equal(args_nearest("pbu", words), "pub");
    assert_null(args_nearest("x", words));
    assert_null(args_nearest("pub", words)); /* the word itself */
    assert_string_equal(args_nearest("hepl", words), "help");
    assert_null(args_nearest("hexx", words)); /* half of the word */
    assert_string_equal(args_nearest("bxncx", words), "bench");
    assert_null(args_nearest("bxxcx", words)); /* three edits */
    assert_null(args_nearest("", words));
    assert_null(args_nearest("publish-everything", words));
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(args_nearest(longest, words));
}

struct values {
    bool flag;
    const char *text;
    uint64_t count, size;
    double number, interval;
    int choice;
    bool size_given;
    struct args_limits limits;
    struct args_list list;
    char listed[256]; /* its words, each followed by a comma */
    bool takes_rest;
    const char *words[ARGS_WORDS_MAX + 1];
};

/* Copies the words, which are in the stack frame of parse(), so that the tests can read them afterwards. */
static void keep_words(struct values *v) {
    static char kept[ARGS_WORDS_MAX + 1][256];

    for (int i = 0; i <= ARGS_WORDS_MAX && v->words[i] != NULL; i++) {
        snprintf(kept[i], sizeof kept[0], "%s", v->words[i]);
        v->words[i] = kept[i];
    }
    for (size_t i = 0; i < v->list.count; i++) {
        strncat(v->listed, v->list.items[i], sizeof v->listed - strlen(v->listed) - 1);
        strncat(v->listed, ",", sizeof v->listed - strlen(v->listed) - 1);
    }
}

/* Runs args_parse() on the words, NULL after the last. */
static int parse(struct values *v, ...) {
    static const char *const choices[] = {"red", "green", NULL};
    const struct args_option options[] = {
        {.name = "flag", .letter = 'f', .kind = ARGS_FLAG, .target = &v->flag, .help = "-"},
        {.name = "text", .kind = ARGS_TEXT, .target = &v->text, .min = 1, .value = "T", .help = "-"},
        {.name = "count",
         .kind = ARGS_COUNT,
         .target = &v->count,
         .min = 1,
         .max = UINT64_MAX,
         .value = "N",
         .help = "-"},
        {.name = "size",
         .kind = ARGS_SIZE,
         .target = &v->size,
         .max = 4096,
         .value = "B",
         .given = &v->size_given,
         .help = "-"},
        {.name = "number", .kind = ARGS_NUMBER, .target = &v->number, .max = 10, .value = "X", .help = "-"},
        {.name = "every",
         .kind = ARGS_DURATION,
         .target = &v->interval,
         .min = 10000000,
         .max = UINT64_C(3600000000000),
         .optional = true,
         .fallback = 2,
         .value = "S",
         .help = "-"},
        {.name = "colour", .kind = ARGS_CHOICE, .target = &v->choice, .choices = choices, .value = "C", .help = "-"},
        {.name = "lag", .kind = ARGS_LIMITS, .target = &v->limits, .value = "W:C", .help = "-"},
        {.name = "age", .kind = ARGS_TIMES, .target = &v->limits, .value = "W:C", .help = "-"},
        {.name = "file", .kind = ARGS_LIST, .target = &v->list, .value = "F", .help = "-"},
    };
    const struct args_spec spec = {.command = "do",
                                   .words = "A [B]",
                                   .words_min = 1,
                                   .words_max = 2,
                                   .rest = v->takes_rest ? &v->list : NULL,
                                   .summary = "-",
                                   .options = options,
                                   .option_count = sizeof options / sizeof options[0]};
    char copies[16][256];
    char *argv[17];
    int argc = 0;
    va_list args;

    *v = (struct values){.takes_rest = v->takes_rest};
    error[0] = socket_set[0] = '\0';
    snprintf(copies[argc], sizeof copies[0], "do");
    argv[argc] = copies[argc];
    argc++;
    va_start(args, v);
    for (const char *word = va_arg(args, const char *); word != NULL; word = va_arg(args, const char *)) {
        snprintf(copies[argc], sizeof copies[0], "%s", word);
        argv[argc] = copies[argc];
        argc++;
    }
    va_end(args);
    argv[argc] = NULL;
    const int status = args_parse(&spec, argc, argv, v->words);
    if (status == ARGS_RUN)
        keep_words(v);
    if (v->text != NULL) {
        static char kept_text[256];
        snprintf(kept_text, sizeof kept_text, "%s", v->text);
        v->text = kept_text;
    }
    return status;
}

#define END ((const char *)NULL)

static void options_good(void **state) {
    struct values v = {0};

    (void)state;
    assert_int_equal(parse(&v, "a", "--count", "3", "--size=2K", "b", "-f", "--text=x=y", "--colour", "green", END),
                     ARGS_RUN);
    assert_string_equal(v.words[0], "a");
    assert_string_equal(v.words[1], "b");
    assert_null(v.words[2]);
    assert_int_equal(v.count, 3);
    assert_int_equal(v.size, 2048);
    assert_true(v.size_given && v.flag);
    assert_string_equal(v.text, "x=y");
    assert_int_equal(v.choice, 1);

    assert_int_equal(parse(&v, "a", "--every", "--flag", END), ARGS_RUN);
    assert_true(v.interval == 2 && v.flag);
    assert_int_equal(parse(&v, "a", "--every", "0.5", END), ARGS_RUN);
    assert_true(v.interval == 0.5);
    assert_int_equal(parse(&v, "a", "--every", ".5", END), ARGS_RUN);
    assert_true(v.interval == 0.5);
    assert_int_equal(parse(&v, "a", "--every", "10ms", END), ARGS_RUN);
    assert_true(v.interval == 10 * 1e-3);
    assert_int_equal(parse(&v, "a", "--every=3", END), ARGS_RUN);
    assert_true(v.interval == 3);

    assert_int_equal(parse(&v, "a", "--lag", "1:2", END), ARGS_RUN);
    assert_true(v.limits.warning == 1 && v.limits.critical == 2);
    assert_int_equal(parse(&v, "a", "--age=1min:", END), ARGS_RUN);
    assert_true(v.limits.warning == 60 && !v.limits.has_critical);

    assert_int_equal(parse(&v, "--", "--flag", "--", END), ARGS_RUN);
    assert_string_equal(v.words[0], "--flag");
    assert_string_equal(v.words[1], "--");
    assert_false(v.flag);
    assert_int_equal(parse(&v, "-", END), ARGS_RUN);
    assert_string_equal(v.words[0], "-");
    assert_int_equal(parse(&v, "", END), ARGS_RUN);
    assert_string_equal(v.words[0], "");

    assert_int_equal(parse(&v, "a", "--socket", "/s", END), ARGS_RUN);
    assert_string_equal(socket_set, "/s");
}

static void lists(void **state) {
    struct values v = {0};

    (void)state;
    assert_int_equal(parse(&v, "a", "--file", "x", "--flag", "--file=y", END), ARGS_RUN);
    assert_string_equal(v.listed, "x,y,");
    assert_true(v.flag);
    assert_int_equal(parse(&v, "a", "b", "c", END), CLI_USAGE);
    assert_int_equal(parse(&v, "a", "--file", "", END), CLI_USAGE);
    assert_non_null(strstr(error, "--file F"));
    assert_int_equal(parse(&v, "a", "--file", END), CLI_USAGE);

    v.takes_rest = true;
    assert_int_equal(parse(&v, "a", "b", "c", "--file", "d", "e", "--count", "3", "--", "--file", END), ARGS_RUN);
    assert_string_equal(v.words[0], "a");
    assert_string_equal(v.words[1], "b");
    assert_null(v.words[2]);
    assert_string_equal(v.listed, "c,d,e,--file,");
    assert_int_equal(v.count, 3);
    assert_int_equal(parse(&v, "a", "b", "", END), ARGS_RUN);
    assert_string_equal(v.listed, ",");
}

static void options_bad(void **state) {
    struct values v = {0};

    (void)state;
    assert_int_equal(parse(&v, END), CLI_USAGE);
    assert_non_null(strstr(error, "usage: aether-cli do A [B]"));
    assert_int_equal(parse(&v, "a", "b", "c", END), CLI_USAGE);
    assert_non_null(strstr(error, "'c'"));
    assert_int_equal(parse(&v, "a", "--cuont", "3", END), CLI_USAGE);
    assert_non_null(strstr(error, "did you mean --count"));
    assert_int_equal(parse(&v, "a", "--cuont=3", END), CLI_USAGE);
    assert_non_null(strstr(error, "did you mean --count"));
    assert_int_equal(parse(&v, "a", "-5", END), CLI_USAGE);
    assert_non_null(strstr(error, "goes after --"));
    assert_int_equal(parse(&v, "a", "-ff", END), CLI_USAGE);
    assert_int_equal(parse(&v, "a", "--flag=1", END), CLI_USAGE);
    assert_int_equal(parse(&v, "a", "--count", END), CLI_USAGE);
    assert_non_null(strstr(error, "--count N"));
    assert_int_equal(parse(&v, "a", "--count", "0", END), CLI_USAGE);
    assert_non_null(strstr(error, "at least 1"));
    assert_int_equal(parse(&v, "a", "--size", "4097", END), CLI_USAGE);
    assert_non_null(strstr(error, "0 to 4096"));
    assert_int_equal(parse(&v, "a", "--number", "10.5", END), CLI_USAGE);
    for (const char *const *bad = (const char *const[]){"0", "9ms", "61min", "+5", "5.", "5 s", "5S", "1e3", NULL};
         *bad; bad++) {
        char word[64], text[128];
        snprintf(word, sizeof word, "--every=%s", *bad);
        assert_int_equal(parse(&v, "a", word, END), CLI_USAGE);
        snprintf(text, sizeof text, "--every '%s': use a time from 10ms to 1h, such as 500ms, 5s or 2min", *bad);
        assert_string_equal(error, text);
    }
    assert_int_equal(parse(&v, "a", "--colour", "blue", END), CLI_USAGE);
    assert_non_null(strstr(error, "red or green"));
    assert_int_equal(parse(&v, "a", "--lag", "1ms:", END), CLI_USAGE);
    assert_non_null(strstr(error, "--lag '1ms:': use WARNING:CRITICAL, two numbers"));
    assert_int_equal(parse(&v, "a", "--age", "", END), CLI_USAGE);
    assert_non_null(strstr(error, "two times such as 20ms:1.5s"));
    assert_int_equal(parse(&v, "a", "--text", "", END), CLI_USAGE);
    assert_int_equal(parse(&v, "a", "--socket", "", END), CLI_USAGE);
    assert_int_equal(parse(&v, "a", "--=", END), CLI_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),  cmocka_unit_test(sizes),        cmocka_unit_test(numbers),
        cmocka_unit_test(nearest), cmocka_unit_test(options_good), cmocka_unit_test(options_bad),
        cmocka_unit_test(lists),   cmocka_unit_test(times),        cmocka_unit_test(limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/text.h"
#include <aether/error.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void *error_of_another_thread(void *arg) {
    char *first = arg;

    snprintf(first, 16, "%s", aether_errmsg());
    ae_fail(-EIO, "theirs");
    return NULL;
}

/* Runs first, so that this thread has had no error. */
static void no_error_is_an_empty_text(void **state) {
    (void)state;
    assert_string_equal(aether_errmsg(), "");
}

static void returns_code_and_keeps_text(void **state) {
    (void)state;
    assert_int_equal(ae_fail(-ENOSPC, "needs %d of %s", 7, "it"), -ENOSPC);
    assert_string_equal(aether_errmsg(), "needs 7 of it");
    assert_int_equal(ae_fail(-EINVAL, "%s", "other"), -EINVAL);
    assert_string_equal(aether_errmsg(), "other");
}

static void text_may_quote_the_last_text(void **state) {
    (void)state;
    ae_fail(-ENOENT, "inner");
    ae_fail(-ENOENT, "outer: %s: %s", aether_errmsg(), aether_errmsg());
    assert_string_equal(aether_errmsg(), "outer: inner: inner");
}

static void long_text_is_cut(void **state) {
    char text[2000];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ae_fail(-EINVAL, "%s", text);
    assert_int_equal(strlen(aether_errmsg()), 511);
    text[511] = '\0';
    assert_string_equal(aether_errmsg(), text);
}

static void control_characters_are_replaced(void **state) {
    (void)state;
    ae_fail(-EINVAL, "%s", "a\nb\tc\x1b[31m\x7f");
    assert_string_equal(aether_errmsg(), "a?b?c?[31m?");
    ae_fail(-EINVAL, "%s",
            "\xc2\x9b"
            "31m \xc2\x80 \xc2\x9f");
    assert_string_equal(aether_errmsg(), "??31m ?? ??");
    /* All other text stays, also an incomplete character: U+00A0, an umlaut, a euro sign, a single lead byte. */
    ae_fail(-EINVAL, "%s", "\xc2\xa0 \xc3\xa4 \xe2\x82\xac \xc2");
    assert_string_equal(aether_errmsg(), "\xc2\xa0 \xc3\xa4 \xe2\x82\xac \xc2");
}

/* Only behind the description of the code itself: other texts name what would be right. */
static void errors_of_system_calls_end_with_a_remedy(void **state) {
    static const struct {
        int code;
        const char *remedy;
    } cases[] = {
        {EMFILE, "raise ulimit -n"},      {ENFILE, "raise /proc/sys/fs/file-max"},
        {ENOMEM, "raise ulimit -v"},      {ETOOMANYREFS, "raise ulimit -n"},
        {ENOSPC, "free some room there"}, {EACCES, "compare it with owner and mode"},
        {EPERM, "a seccomp filter"},      {ENOSYS, "the kernel is too old"},
    };
    char once[512], longest[512];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *description = strerror(cases[i].code);
        assert_int_equal(ae_fail(-cases[i].code, "socket x: %s", description), -cases[i].code);
        snprintf(once, sizeof once, "socket x: %s: ", description);
        assert_int_equal(strncmp(aether_errmsg(), once, strlen(once)), 0);
        assert_non_null(strstr(aether_errmsg(), cases[i].remedy));
        snprintf(once, sizeof once, "%s", aether_errmsg());
        ae_fail(-cases[i].code, "%s", aether_errmsg()); /* not twice */
        assert_string_equal(aether_errmsg(), once);
        ae_fail(-EINVAL, "socket x: %s", description);
        assert_null(strstr(aether_errmsg(), cases[i].remedy));
        ae_fail(-cases[i].code, "%s is what it said", description);
        assert_null(strstr(aether_errmsg(), cases[i].remedy));
    }
    memset(longest, 'x', sizeof longest);
    ae_fail(-EMFILE, "%.480s%s", longest, strerror(EMFILE));
    assert_int_equal(strlen(aether_errmsg()), 511);
    ae_fail(-EIO, "disk: %s", strerror(EIO));
    assert_string_equal(aether_errmsg(), "disk: Input/output error");
}

static void every_thread_has_its_own_text(void **state) {
    pthread_t thread;
    char first[16] = "unset";

    (void)state;
    ae_fail(-EINVAL, "ours");
    assert_int_equal(pthread_create(&thread, NULL, error_of_another_thread, first), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(first, "");
    assert_string_equal(aether_errmsg(), "ours");
}

static void version_is_the_header_s(void **state) {
    char version[32];

    (void)state;
    snprintf(version, sizeof version, "%d.%d.%d", AETHER_VERSION_MAJOR, AETHER_VERSION_MINOR, AETHER_VERSION_PATCH);
    assert_string_equal(aether_version(), version);
}

static void sizes_have_units(void **state) {
    char text[AE_TEXT_SIZE_BYTES];

    (void)state;
    assert_string_equal(ae_text_size(text, 0), "0 B");
    assert_string_equal(ae_text_size(text, 1023), "1023 B");
    assert_string_equal(ae_text_size(text, 1024), "1 KiB");
    assert_string_equal(ae_text_size(text, 20480), "20 KiB");
    assert_string_equal(ae_text_size(text, 1536ull << 20), "1.5 GiB");
    assert_string_equal(ae_text_size(text, (64ull << 20) + 1), "64 MiB");
    assert_string_equal(ae_text_size(text, UINT64_MAX), "15.9 EiB");
}

static void counts_have_commas(void **state) {
    char text[AE_TEXT_COUNT_BYTES];

    (void)state;
    assert_string_equal(ae_text_count(text, 0), "0");
    assert_string_equal(ae_text_count(text, 999), "999");
    assert_string_equal(ae_text_count(text, 1024), "1,024");
    assert_string_equal(ae_text_count(text, 1234567), "1,234,567");
    assert_string_equal(ae_text_count(text, UINT64_MAX), "18,446,744,073,709,551,615");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_error_is_an_empty_text),
        cmocka_unit_test(returns_code_and_keeps_text),
        cmocka_unit_test(text_may_quote_the_last_text),
        cmocka_unit_test(long_text_is_cut),
        cmocka_unit_test(control_characters_are_replaced),
        cmocka_unit_test(errors_of_system_calls_end_with_a_remedy),
        cmocka_unit_test(every_thread_has_its_own_text),
        cmocka_unit_test(version_is_the_header_s),
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(counts_have_commas),
    };

    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}

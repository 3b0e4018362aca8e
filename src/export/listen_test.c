/* SPDX-License-Identifier: Apache-2.0 */
#include "export/listen.h"
#include <aether/error.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct ae_listen parsed;

static void addresses(void **state) {
    static const struct {
        const char *text, *url;
        bool remote;
    } cases[] = {
        {"127.0.0.1:9477", "http://127.0.0.1:9477/", false},
        {"127.9.9.9:0", "http://127.9.9.9:0/", false},
        {"[::1]:65535", "http://[::1]:65535/", false},
        {"[::ffff:127.0.0.1]:1", "http://[::ffff:127.0.0.1]:1/", false},
        {"0.0.0.0:9477", "http://0.0.0.0:9477/", true},
        {"[::]:9477", "http://[::]:9477/", true},
        {"192.168.1.2:1", "http://192.168.1.2:1/", true},
        {"[2001:db8::1]:80", "http://[2001:db8::1]:80/", true},
        {"unix:/run/a b", "unix:/run/a b", false},
        {"unix:relative", "unix:relative", false},
    };
    char url[AE_LISTEN_URL_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(ae_listen_parse(&parsed, cases[i].text), 0);
        assert_string_equal(ae_listen_url(&parsed, url), cases[i].url);
        assert_int_equal(parsed.remote, cases[i].remote);
    }
}

static void bad_addresses(void **state) {
    static const char *const cases[] = {
        "",
        ":",
        "9477",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:+1",
        "127.1:1",
        "localhost:1",
        "::1:9477",
        "[::1]",
        "[::1]:",
        "[::1]9477",
        "[::1:9477",
        "[1.2.3.4]:1",
        "1.2.3.4:1x",
        "1.2.3.4:00000000001",
        "[fe80::1%lo]:1",
        "unix:",
        "http://127.0.0.1:1",
        "1.2.3.4 :1",
    };
    char path[200] = "unix:";

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (ae_listen_parse(&parsed, cases[i]) != -EINVAL)
            fail_msg("%s", cases[i]);
    memset(path + 5, 'x', AE_SOCKET_PATH_MAX);
    assert_int_equal(ae_listen_parse(&parsed, path), 0);
    path[5 + AE_SOCKET_PATH_MAX] = 'x';
    assert_int_equal(ae_listen_parse(&parsed, path), -EINVAL);
}

static void hosts(void **state) {
    static const char *const own[] = {"localhost", "LocalHost:9477", "127.0.0.1",  "127.0.0.1:1",       "127.1.2.3:80",
                                      "[::1]",     "[::1]:9477",     "localhost:", "[::ffff:127.0.0.1]"};
    static const char *const foreign[] = {"",
                                          "evil.example",
                                          "evil.example:9477",
                                          "localhost.evil.example",
                                          "localhost.",
                                          "evil.example#localhost",
                                          "127.0.0.1.evil.example",
                                          "127.0.0.1:9477.evil.example",
                                          "[::1].evil.example",
                                          "[::1",
                                          "::1",
                                          "[localhost]",
                                          "127.1",
                                          "2130706433",
                                          "0x7f000001",
                                          "localhost:port",
                                          "localhost:99999",
                                          "user@localhost",
                                          " localhost",
                                          "169.254.169.254",
                                          "0.0.0.0",
                                          "[::]"};

    (void)state;
    assert_int_equal(ae_listen_parse(&parsed, "127.0.0.1:9477"), 0);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (!ae_listen_admits(&parsed, own[i]))
            fail_msg("%s", own[i]);
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        if (ae_listen_admits(&parsed, foreign[i]))
            fail_msg("%s", foreign[i]);

    assert_int_equal(ae_listen_parse(&parsed, "192.168.1.2:9477"), 0);
    assert_true(ae_listen_admits(&parsed, "192.168.1.2:9477"));
    assert_true(ae_listen_admits(&parsed, "127.0.0.1"));
    assert_false(ae_listen_admits(&parsed, "192.168.1.3"));
    assert_false(ae_listen_admits(&parsed, "evil.example"));

    assert_int_equal(ae_listen_parse(&parsed, "0.0.0.0:9477"), 0);
    assert_true(ae_listen_admits(&parsed, "192.168.1.3"));
    assert_true(ae_listen_admits(&parsed, "[2001:db8::1]:9477"));
    assert_false(ae_listen_admits(&parsed, "evil.example"));

    assert_int_equal(ae_listen_parse(&parsed, "unix:/run/s"), 0);
    assert_true(ae_listen_admits(&parsed, "evil.example"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(addresses), cmocka_unit_test(bad_addresses),
                                       cmocka_unit_test(hosts)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* notify_test.c - notices of a service; the test is the service manager, too. */
#include "service/notify.h"
#include "base/socket.h"
#include <aether/error.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static char directory[] = "/tmp/aether-notify-XXXXXX";

static int setup_group(void **state) {
    (void)state;
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int teardown_group(void **state) {
    (void)state;
    return rmdir(directory);
}

/* Binds a manager's socket to the name, and sets $NOTIFY_SOCKET. */
static int manager(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t len = strlen(name);
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0 && len <= sizeof address.sun_path);
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    assert_int_equal(
        bind(fd, (const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static void receives(int fd, const char *state) {
    char text[64] = "";

    assert_int_equal(recv(fd, text, sizeof text - 1, 0), strlen(state));
    assert_string_equal(text, state);
}

static void without_a_manager_nothing_happens(void **state) {
    (void)state;
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_int_equal(ae_notify("READY=1"), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", "", 1), 0);
    assert_int_equal(ae_notify("READY=1"), 0);
}

static void managers_are_found(void **state) {
    char names[4][128];

    (void)state;
    (void)snprintf(names[0], sizeof names[0], "%s/s", directory);
    (void)snprintf(names[1], sizeof names[1], "%s/%080d", directory, 7); /* 106 bytes */
    (void)snprintf(names[2], sizeof names[2], "@%s", directory);
    (void)snprintf(names[3], sizeof names[3], "@%s/%080d", directory, 7);
    for (size_t i = 0; i < 4; i++) {
        int fd = manager(names[i]);
        assert_int_equal(ae_notify("READY=1"), 0);
        assert_int_equal(ae_notify("STOPPING=1"), 0);
        receives(fd, "READY=1");
        receives(fd, "STOPPING=1");
        ae_close(&fd);
        if (names[i][0] == '/')
            assert_int_equal(unlink(names[i]), 0);
    }
}

static void unreachable_manager_is_an_error(void **state) {
    char too_long[128];
    const char *const wrong[] = {"relative", "vsock:2:1234", too_long};

    (void)state;
    (void)snprintf(too_long, sizeof too_long, "/%0108d", 7);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", wrong[i], 1), 0);
        assert_int_equal(ae_notify("READY=1"), -EINVAL);
        assert_non_null(strstr(aether_errmsg(), wrong[i]));
    }
    assert_int_equal(setenv("NOTIFY_SOCKET", "/nonexistent/s", 1), 0);
    assert_int_equal(ae_notify("READY=1"), -ENOENT);
    assert_non_null(strstr(aether_errmsg(), "/nonexistent/s"));
}

/* A service doesn't wait for a manager that doesn't read. */
static void full_queue_does_not_block(void **state) {
    char name[128];
    int rc = 0;

    (void)state;
    (void)snprintf(name, sizeof name, "@%s", directory);
    int fd = manager(name);
    for (int i = 0; i < 100000 && rc == 0; i++)
        rc = ae_notify("STATUS=1");
    assert_int_equal(rc, -EAGAIN);
    ae_close(&fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_manager_nothing_happens),
        cmocka_unit_test(managers_are_found),
        cmocka_unit_test(unreachable_manager_is_an_error),
        cmocka_unit_test(full_queue_does_not_block),
    };

    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}

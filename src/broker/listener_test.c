/* SPDX-License-Identifier: Apache-2.0 */
/* listener_test.c - the listening socket is made again after it was removed, also if that fails at first. */
#include "broker/listener.h"
#include "base/clock.h"
#include "base/socket.h"
#include "broker/instance_test.h"
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define LONGEST_NS 60000000000ull /* for anything that must happen */
#define POLL_NS 5000000u

static struct ae_loop loop;
static struct ae_listener listener;
static int lock, connected;
static bool too_late;

static void on_connect(struct ae_source *source, uint32_t events) {
    int fd = accept(source->fd, NULL, NULL);

    (void)events;
    assert_true(fd >= 0);
    ae_close(&fd);
    connected++;
    ae_loop_stop(&loop);
}

static int setup(void **state) {
    (void)state;
    connected = 0;
    too_late = false;
    if (ae_loop_open(&loop) != 0 || ae_instance_lock(&instance, &lock) != 0)
        return -1;
    return ae_listener_open(&listener, &instance, &loop, -1, &lock, on_connect);
}

static int teardown(void **state) {
    (void)state;
    ae_listener_close(&listener);
    ae_loop_close(&loop);
    ae_close(&lock);
    return unlink(instance.lock_path);
}

/* 0, or -errno. */
static int try_to_connect(void) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address;
    const int len = ae_socket_address(&address, instance.socket_path);
    const int rc = connect(fd, (const struct sockaddr *)&address, (socklen_t)len) == 0 ? 0 : -errno;

    ae_close(&fd);
    return rc;
}

static void on_poll(struct ae_timer *timer) {
    (void)try_to_connect(); /* if that succeeds, on_connect() ends the run */
    ae_timer_arm(&loop, timer, ae_now_ns() + POLL_NS);
}

static void on_poll_warned(struct ae_timer *timer) {
    if (listener.warned)
        ae_loop_stop(&loop);
    else
        ae_timer_arm(&loop, timer, ae_now_ns() + POLL_NS);
}

static void on_too_late(struct ae_timer *timer) {
    (void)timer;
    too_late = true;
    ae_loop_stop(&loop);
}

/* Runs the loop until something ends it in time. */
static void run_with(void (*fn)(struct ae_timer *timer)) {
    struct ae_timer poll = {.fn = fn}, end = {.fn = on_too_late};

    ae_timer_arm(&loop, &poll, 0);
    ae_timer_arm(&loop, &end, ae_now_ns() + LONGEST_NS);
    assert_int_equal(ae_loop_run(&loop), 0);
    ae_timer_disarm(&poll);
    ae_timer_disarm(&end);
    assert_false(too_late);
}

static void assert_served(void) {
    run_with(on_poll);
    assert_true(connected > 0);
    connected = 0;
}

static void removed_socket_is_made_again(void **state) {
    (void)state;
    assert_served();
    assert_int_equal(unlink(instance.socket_path), 0);
    assert_served();
}

/* There is no descriptor for a moment, and then nothing changes in the directory. */
static void failed_attempt_is_repeated(void **state) {
    struct rlimit limit;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(unlink(instance.socket_path), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    run_with(on_poll_warned); /* the change is noticed, and the attempt fails */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(try_to_connect() != 0);
    assert_served();
}

/* A socket that the loop doesn't take isn't left behind: programs would connect to it and get no answer. */
static void socket_that_is_not_watched_is_made_again(void **state) {
    const int epoll = loop.epoll;

    (void)state;
    assert_int_equal(unlink(instance.socket_path), 0);
    loop.epoll = -1; /* as if the user had no watch left */
    ae_listener_check(&listener);
    loop.epoll = epoll;
    assert_int_equal(try_to_connect(), -ENOENT);
    assert_served();
}

/* Another file at the path stays. Its removal is noticed. */
static void other_file_is_waited_for(void **state) {
    (void)state;
    assert_int_equal(unlink(instance.socket_path), 0);
    assert_int_equal(mkdir(instance.socket_path, 0700), 0);
    ae_listener_check(&listener);
    assert_int_equal(rmdir(instance.socket_path), 0);
    assert_served();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(removed_socket_is_made_again, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_attempt_is_repeated, setup, teardown),
        cmocka_unit_test_setup_teardown(socket_that_is_not_watched_is_made_again, setup, teardown),
        cmocka_unit_test_setup_teardown(other_file_is_waited_for, setup, teardown),
    };

    return cmocka_run_group_tests_name("listener", tests, setup_group, teardown_group);
}

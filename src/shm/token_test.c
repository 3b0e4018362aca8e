/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/token.h"
#include "base/clock.h"
#include "base/socket.h"
#include "shm/segment.h"
#include <aether/detail/layout.h>
#include <aether/error.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define DEADLINE_NS 20000000000ull

static char name[64];
static uint32_t uid;

static int setup(void **state) {
    (void)state;
    uid = (uint32_t)geteuid();
    snprintf(name, sizeof name, "/aether-token-test-%d", (int)getpid());
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return ae_segment_remove(name);
}

/* The lock ends with the last reference to the open file, which the kernel may drop shortly after the process's end. */
static void assert_becomes_free(void) {
    const uint64_t deadline = ae_now_ns() + DEADLINE_NS;
    int rc;

    while ((rc = ae_token_free(name, uid)) == 0) {
        if (ae_now_ns() > deadline)
            fail_msg("token is still held");
        poll(NULL, 0, 1);
    }
    assert_int_equal(rc, 1);
}

enum then { STAY, EXEC, DROP };

/* A client: receives the token from its socket, holds it, then acts and closes all its fds. Never returns. */
static void client(int sock, enum then then) {
    int fd = -1, fd_count = 1;
    char byte;
    void *map;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ae_socket_wait(sock, POLLIN, ae_now_ns() + DEADLINE_NS) != 0 ||
        ae_packet_receive(sock, &byte, 1, &fd, &fd_count) != 1 || fd_count != 1 || ae_token_hold(fd, &map) != 0)
        _exit(1);
    if (then == DROP)
        ae_token_drop(map);
    if (then == EXEC)
        execl("/bin/sleep", "sleep", "600", (char *)NULL);
    else
        closefrom(0); /* also the socket, from which wait_end() knows that the client has come so far */
    for (;;)
        pause();
}

/* Starts a client with a new token. Returns the socket to it. This process keeps no fd of the token. */
static int start(enum then then, pid_t *child) {
    int pair[2];
    int fd = ae_token_create(name);

    assert_true(fd >= 0);
    assert_int_equal(ae_token_free(name, uid), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    *child = fork();
    assert_true(*child >= 0);
    if (*child == 0) {
        ae_close(&fd); /* the client receives it from the socket */
        ae_close(&pair[0]);
        client(pair[1], then);
    }
    ae_close(&pair[1]);
    assert_int_equal(ae_packet_send(pair[0], "t", 1, &fd, 1), 0);
    ae_close(&fd);
    return pair[0];
}

/* Waits until the client has closed its end. */
static void wait_end(int sock) {
    int fd_count = 0;
    char byte;

    assert_int_equal(ae_socket_wait(sock, POLLIN, ae_now_ns() + DEADLINE_NS), 0);
    assert_int_equal(ae_packet_receive(sock, &byte, 1, NULL, &fd_count), 0);
}

static void end(pid_t child, int *sock) {
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    ae_close(sock);
}

static void held_without_any_fd_until_kill(void **state) {
    pid_t child;
    int sock = start(STAY, &child);

    (void)state;
    wait_end(sock); /* the client has no fd now */
    for (int i = 0; i < 100; i++)
        assert_int_equal(ae_token_free(name, uid), 0);
    end(child, &sock);
    assert_becomes_free();
    assert_int_equal(ae_token_free(name, uid), 1);
}

static void held_by_a_stopped_process(void **state) {
    pid_t child;
    int sock = start(STAY, &child);

    (void)state;
    wait_end(sock);
    assert_int_equal(kill(child, SIGSTOP), 0);
    assert_int_equal(waitpid(child, NULL, WUNTRACED), child);
    assert_int_equal(ae_token_free(name, uid), 0);
    end(child, &sock);
    assert_becomes_free();
}

static void free_after_exec(void **state) {
    pid_t child;
    int sock = start(EXEC, &child);

    (void)state;
    wait_end(sock); /* closed by exec */
    assert_becomes_free();
    assert_int_equal(kill(child, 0), 0); /* the process lives, but it executes another program */
    end(child, &sock);
}

static void free_after_drop(void **state) {
    pid_t child;
    int sock = start(DROP, &child);

    (void)state;
    wait_end(sock);
    assert_becomes_free();
    end(child, &sock);
}

/* A forked child doesn't inherit the mapping, so it doesn't keep the token of its dead parent locked. */
static void free_although_a_child_lives(void **state) {
    int ready[2], life[2];
    char byte;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(life), 0);
    int fd = ae_token_create(name);
    assert_true(fd >= 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        void *map;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(life[1]);
        if (ae_token_hold(fd, &map) != 0)
            _exit(1);
        const pid_t grandchild = fork();
        if (grandchild == 0) {
            if (write(ready[1], "g", 1) == 1 && read(life[0], &byte, 1) == 0) /* until the test closes its end */
                _exit(0);
            _exit(1);
        }
        for (;;)
            pause();
    }
    ae_close(&fd);
    ae_close(&life[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(ae_token_free(name, uid), 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_becomes_free();
    /* The grandchild has been alive all the time: no other process has the reading end of `life`. */
    struct pollfd alive = {.fd = life[1], .events = POLLOUT};
    assert_int_equal(poll(&alive, 1, 0), 1);
    assert_int_equal(alive.revents, POLLOUT);
    for (int i = 0; i < 2; i++) {
        ae_close(&ready[i]);
        ae_close(&life[i]);
    }
}

static void create_hold_drop(void **state) {
    int fd, second;
    void *map;

    (void)state;
    assert_int_equal(ae_token_free(name, uid), 1); /* there is no such token */
    fd = ae_token_create(name);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(ae_token_create(name), -EEXIST);
    assert_int_equal(ae_token_free(name, uid), 0);
    assert_int_equal(ae_token_free(name, uid + 1), -EACCES);
    second = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    assert_true(second >= 0);
    assert_int_equal(ae_token_hold(second, &map), 0);
    assert_int_equal(fcntl(second, F_GETFD), -1); /* hold closed it */
    ae_close(&fd);
    assert_int_equal(ae_token_free(name, uid), 0); /* the mapping suffices */
    ae_token_drop(map);
    assert_int_equal(ae_token_free(name, uid), 1);
    ae_token_drop(NULL);
}

/* What the holder says is read as long as it lives. Without a word from it, and after its death, that is nothing. */
static void says_what_it_disowns(void **state) {
    uint64_t disowned = 1;
    void *map;

    (void)state;
    assert_int_equal(ae_token_check(name, uid, &disowned), 1); /* there is no such token */
    assert_int_equal(disowned, 0);
    const int fd = ae_token_create(name);
    assert_true(fd >= 0);
    assert_int_equal(ae_token_hold(fd, &map), 0);
    disowned = 1;
    assert_int_equal(ae_token_check(name, uid, &disowned), 0);
    assert_int_equal(disowned, 0);
    ae_token_disown(map, 77);
    assert_int_equal(ae_token_check(name, uid, &disowned), 0);
    assert_int_equal(disowned, 77);
    ae_token_disown(map, 0);
    assert_int_equal(ae_token_check(name, uid, &disowned), 0);
    assert_int_equal(disowned, 0);
    ae_token_disown(map, 78);
    ae_token_drop(map);
    assert_int_equal(ae_token_check(name, uid, &disowned), 1);
    assert_int_equal(disowned, 0);
}

static void hold_consumes_a_useless_fd(void **state) {
    int ends[2];
    void *map = NULL;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_true(ae_token_hold(ends[0], &map) < 0);
    assert_null(map);
    assert_int_equal(fcntl(ends[0], F_GETFD), -1);
    ae_close(&ends[1]);
    assert_int_equal(ae_token_hold(-1, &map), -EBADF);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(create_hold_drop),
        TEST(says_what_it_disowns),
        TEST(hold_consumes_a_useless_fd),
        TEST(held_without_any_fd_until_kill),
        TEST(held_by_a_stopped_process),
        TEST(free_after_exec),
        TEST(free_after_drop),
        TEST(free_although_a_child_lives),
    };

    return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}

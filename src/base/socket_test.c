/* SPDX-License-Identifier: Apache-2.0 */
#include "base/socket.h"
#include "base/clock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define FDS 12

static int pair[2];

static int setup(void **state) {
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int teardown(void **state) {
    (void)state;
    ae_close(&pair[0]);
    ae_close(&pair[1]);
    return 0;
}

static int open_fds(void) {
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* Sends a packet with `count` fds of /dev/null in `messages` control messages, as a hostile peer can. */
static void send_raw(int sock, const void *data, size_t len, int count, int messages) {
    char control[CMSG_SPACE(FDS * sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec part = {.iov_len = len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int each = messages > 0 ? count / messages : 0;
    size_t off = 0;

    assert_true(null >= 0);
    memcpy(&part.iov_base, &data, sizeof data);
    for (int i = 0; i < messages; i++) {
        struct cmsghdr header = {
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN((size_t)each * sizeof(int))};
        assert_true(off + CMSG_SPACE((size_t)each * sizeof(int)) <= sizeof control);
        memcpy(control + off, &header, sizeof header);
        for (int j = 0; j < each; j++)
            memcpy(control + off + CMSG_LEN((size_t)j * sizeof(int)), &null, sizeof null);
        off += CMSG_SPACE((size_t)each * sizeof(int));
    }
    message.msg_control = control;
    message.msg_controllen = off;
    assert_int_equal(sendmsg(sock, &message, 0), (ssize_t)len);
    ae_close(&null);
}

static void address(void **state) {
    struct sockaddr_un a;
    char path[200];

    (void)state;
    memset(path, 'p', sizeof path);
    path[107] = '\0';
    assert_int_equal(ae_socket_address(&a, path), offsetof(struct sockaddr_un, sun_path) + 108);
    assert_int_equal(a.sun_family, AF_UNIX);
    assert_string_equal(a.sun_path, path);
    path[107] = 'p';
    path[108] = '\0';
    assert_int_equal(ae_socket_address(&a, path), -ENAMETOOLONG);
    assert_int_equal(ae_socket_address(&a, ""), -ENOENT);
}

static void packet_with_fds(void **state) {
    int ends[2], fds[AE_PACKET_FDS_MAX], fd_count = AE_PACKET_FDS_MAX;
    char buf[16], byte;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(ae_packet_send(pair[0], "hello", 5, ends, 2), 0);
    ae_close(&ends[0]);
    ae_close(&ends[1]);
    assert_int_equal(ae_packet_receive(pair[1], buf, sizeof buf, fds, &fd_count), 5);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(fd_count, 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(fds[1], "z", 1), 1);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(byte, 'z');
    ae_close(&fds[0]);
    ae_close(&fds[1]);
}

static void packets_keep_their_bounds(void **state) {
    int fd_count = 0;
    char buf[16];

    (void)state;
    assert_int_equal(ae_packet_send(pair[0], "ab", 2, NULL, 0), 0);
    assert_int_equal(ae_packet_send(pair[0], "c", 1, NULL, 0), 0);
    assert_int_equal(ae_packet_receive(pair[1], buf, sizeof buf, NULL, &fd_count), 2);
    assert_int_equal(ae_packet_receive(pair[1], buf, sizeof buf, NULL, &fd_count), 1);
    assert_int_equal(ae_packet_receive(pair[1], buf, sizeof buf, NULL, &fd_count), -EAGAIN);
    ae_close(&pair[0]);
    assert_int_equal(ae_packet_receive(pair[1], buf, sizeof buf, NULL, &fd_count), 0);
    assert_int_equal(ae_packet_send(pair[1], "x", 1, NULL, 0), -EPIPE);
}

static void send_is_refused(void **state) {
    const int fds[AE_PACKET_FDS_MAX + 1] = {0};
    char large[1024] = {0};
    int rc = 0;

    (void)state;
    assert_int_equal(ae_packet_send(pair[0], "x", 0, NULL, 0), -EINVAL);
    assert_int_equal(ae_packet_send(pair[0], "x", 1, fds, AE_PACKET_FDS_MAX + 1), -EINVAL);
    assert_int_equal(ae_packet_send(pair[0], "x", 1, fds, -1), -EINVAL);
    for (int i = 0; i < 100000 && rc == 0; i++)
        rc = ae_packet_send(pair[0], large, sizeof large, NULL, 0);
    assert_int_equal(rc, -EAGAIN);
}

/* Receives with room for `room` fds. That must return rc and leave no fd open. */
static void assert_refused(size_t size, int room, int rc) {
    int fds[AE_PACKET_FDS_MAX] = {-1, -1, -1, -1, -1}, fd_count = room;
    const int before = open_fds();
    char buf[64];

    assert_int_equal(ae_packet_receive(pair[1], buf, size, fds, &fd_count), rc);
    assert_int_equal(fd_count, 0);
    assert_int_equal(open_fds(), before);
}

static void cut_packet_leaves_no_fd(void **state) {
    (void)state;
    send_raw(pair[0], "twelve bytes", 12, 3, 1);
    assert_refused(11, AE_PACKET_FDS_MAX, -EMSGSIZE);
    send_raw(pair[0], "twelve bytes", 12, 12, 1);
    assert_refused(11, AE_PACKET_FDS_MAX, -EMSGSIZE);
}

static void too_many_fds_leave_none(void **state) {
    (void)state;
    send_raw(pair[0], "x", 1, AE_PACKET_FDS_MAX + 1, 1);
    assert_refused(64, AE_PACKET_FDS_MAX, -ENFILE);
    send_raw(pair[0], "x", 1, 12, 1);
    assert_refused(64, AE_PACKET_FDS_MAX, -ENFILE);
    send_raw(pair[0], "x", 1, 3, 1);
    assert_refused(64, 2, -ENFILE);
    send_raw(pair[0], "x", 1, 1, 1);
    assert_refused(64, 0, -ENFILE);
    send_raw(pair[0], "", 0, 2, 1);
    assert_refused(64, AE_PACKET_FDS_MAX, 0);
}

static void fds_in_several_control_messages(void **state) {
    int fds[AE_PACKET_FDS_MAX], fd_count = AE_PACKET_FDS_MAX;
    const int before = open_fds();
    char buf[4];

    (void)state;
    send_raw(pair[0], "x", 1, 4, 2);
    assert_int_equal(ae_packet_receive(pair[1], buf, sizeof buf, fds, &fd_count), 1);
    assert_int_equal(fd_count, 4);
    while (fd_count > 0)
        ae_close(&fds[--fd_count]);
    assert_int_equal(open_fds(), before);
}

static void fd_limit_is_a_clear_error(void **state) {
    struct rlimit limit, old;
    int next;

    (void)state;
    send_raw(pair[0], "x", 1, 2, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    next = dup(0);
    assert_true(next >= 0);
    limit = old;
    limit.rlim_cur = (rlim_t)next + 1; /* one more fd can be opened, but not two */
    ae_close(&next);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int fds[AE_PACKET_FDS_MAX], fd_count = AE_PACKET_FDS_MAX;
    char buf[4];
    const int rc = ae_packet_receive(pair[1], buf, sizeof buf, fds, &fd_count);
    const int left = fcntl(next = (int)limit.rlim_cur - 1, F_GETFD);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(rc, -ENFILE);
    assert_int_equal(fd_count, 0);
    assert_int_equal(left, -1);
}

static void on_alarm(int signal) {
    (void)signal;
}

static void waits_until_the_deadline(void **state) {
    const struct sigaction action = {.sa_handler = on_alarm};
    uint64_t start = ae_now_ns();

    (void)state;
    assert_int_equal(ae_socket_wait(pair[1], POLLIN, 0), -ETIMEDOUT);
    assert_int_equal(ae_socket_wait(pair[0], POLLOUT, 0), 0);
    assert_int_equal(ae_socket_wait(pair[1], POLLIN, start + 30000000), -ETIMEDOUT);
    assert_true(ae_now_ns() >= start + 30000000);

    /* Signals neither end a wait early nor delay its end. */
    const struct timeval period = {.tv_usec = 3000};
    const struct itimerval timer = {.it_interval = period, .it_value = period}, none = {0};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    start = ae_now_ns();
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
    const int rc = ae_socket_wait(pair[1], POLLIN, start + 30000000);
    assert_int_equal(setitimer(ITIMER_REAL, &none, NULL), 0);
    assert_int_equal(rc, -ETIMEDOUT);
    assert_true(ae_now_ns() >= start + 30000000);
}

static void waits_for_another_process(void **state) {
    const pid_t child = fork();
    int fd_count = 0, status;
    char buf[4];

    (void)state;
    assert_true(child >= 0);
    if (child == 0)
        _exit(ae_packet_send(pair[0], "go", 2, NULL, 0) == 0 ? 0 : 1);
    assert_int_equal(ae_socket_wait(pair[1], POLLIN, UINT64_MAX), 0);
    assert_int_equal(ae_packet_receive(pair[1], buf, sizeof buf, NULL, &fd_count), 2);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ae_close(&pair[0]); /* the last copy, because the child has ended: the socket is readable, it has reached its end */
    assert_int_equal(ae_socket_wait(pair[1], POLLIN, UINT64_MAX), 0);
    assert_int_equal(ae_socket_wait(-1, POLLIN, 0), -ETIMEDOUT);
}

static void close_is_safe(void **state) {
    int fd = dup(0);

    (void)state;
    assert_true(fd >= 0);
    errno = EXDEV;
    ae_close(&fd);
    assert_int_equal(fd, -1);
    ae_close(&fd);
    assert_int_equal(errno, EXDEV);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(address),
        TEST(packet_with_fds),
        TEST(packets_keep_their_bounds),
        TEST(send_is_refused),
        TEST(cut_packet_leaves_no_fd),
        TEST(too_many_fds_leave_none),
        TEST(fds_in_several_control_messages),
        TEST(fd_limit_is_a_clear_error),
        TEST(waits_until_the_deadline),
        TEST(waits_for_another_process),
        TEST(close_is_safe),
    };

    return cmocka_run_group_tests_name("socket", tests, NULL, NULL);
}

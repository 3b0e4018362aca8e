/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_test.c - the control machine, step by step. The test plays aetherd, on a socket pair or on a listening
 * socket. No case waits.
 */
#include "client/control.h"
#include "base/clock.h"
#include "shm/names.h"
#include <aether/error.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define S 1000000000ull

struct fixture {
    char directory[32], path[64];
    struct ae_control control;
    struct ae_control_wait wait;
    struct ae_msg msg; /* the request of most cases */
    int peer;          /* aetherd's end */
    int listener;      /* -1: no daemon */
    int fds;           /* open before the case */
};

static int open_fds(void) {
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->fds = open_fds();
    f->peer = f->listener = -1;
    snprintf(f->directory, sizeof f->directory, "/tmp/control-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof f->path, "%s/s", f->directory);
    ae_control_init(&f->control, f->path, "test");
    f->control.client_id = 7;
    f->control.nonce[0] = 70;
    f->control.nonce[1] = 71;
    f->control.last_grant = 30;
    f->msg.type = AE_MSG_SHUTDOWN;
    *state = f;
    return 0;
}

/* After every case no descriptor is left open. */
static int teardown(void **state) {
    struct fixture *f = *state;

    ae_control_free(&f->control);
    ae_close(&f->peer);
    ae_close(&f->listener);
    assert_int_equal(open_fds(), f->fds);
    unlink(f->path);
    rmdir(f->directory);
    free(f);
    return 0;
}

/* ---- the peer ---- */

/* Makes a connection on which HELLO and WELCOME are done. */
static void connected(struct fixture *f) {
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    f->control.sock = pair[0];
    f->peer = pair[1];
}

static void listen_at_path(struct fixture *f, int backlog) {
    struct sockaddr_un address;
    const int len = ae_socket_address(&address, f->path);

    f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(f->listener, (const struct sockaddr *)&address, (socklen_t)len), 0);
    assert_int_equal(listen(f->listener, backlog), 0);
}

static void accept_peer(struct fixture *f) {
    ae_close(&f->peer);
    f->peer = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(f->peer >= 0);
}

/* Takes the next request that the machine has sent. */
static struct ae_msg take(const struct fixture *f, uint16_t type) {
    uint8_t packet[AE_PACKET_MAX];
    struct ae_msg msg;
    int fds[1], count = 1;
    const int len = ae_packet_receive(f->peer, packet, sizeof packet, fds, &count);

    assert_true(len > 0);
    assert_int_equal(count, 0);
    assert_int_equal(ae_msg_decode(&msg, packet, (size_t)len), 0);
    assert_int_equal(msg.type, type);
    return msg;
}

static void answer_with(const struct fixture *f, const struct ae_msg *msg, int fd) {
    uint8_t packet[AE_PACKET_MAX];
    const int len = ae_msg_encode(msg, packet, sizeof packet);

    assert_true(len > 0);
    assert_int_equal(ae_packet_send(f->peer, packet, (size_t)len, &fd, fd >= 0), 0);
}

static void answer(const struct fixture *f, uint16_t type) {
    const struct ae_msg msg = {.type = type, .request = f->control.request};

    answer_with(f, &msg, -1);
}

static void answer_error(const struct fixture *f, uint32_t request, int code, const char *text) {
    struct ae_msg msg = {.type = AE_MSG_ERROR, .request = request, .u.error.code = code};

    snprintf(msg.u.error.text, sizeof msg.u.error.text, "%s", text);
    answer_with(f, &msg, -1);
}

static int token(void) {
    const int fd = memfd_create("control-test", MFD_CLOEXEC);

    assert_true(fd >= 0 && ftruncate(fd, AE_PAGE) == 0);
    return fd;
}

static void welcome(const struct fixture *f, uint64_t client_id, bool resumed, bool with_token) {
    struct ae_msg msg = {.type = AE_MSG_WELCOME, .request = f->control.request};
    int fd = with_token ? token() : -1;

    msg.u.welcome.client_id = client_id;
    msg.u.welcome.nonce[0] = client_id * 10;
    msg.u.welcome.nonce[1] = client_id * 10 + 1;
    msg.u.welcome.resumed = resumed;
    answer_with(f, &msg, fd);
    ae_close(&fd);
}

static void queue(struct fixture *f, uint64_t client_id, uint64_t grant_id) {
    struct ae_return *back = malloc(sizeof *back);

    assert_non_null(back);
    *back = (struct ae_return){.grant_id = grant_id, .client_id = client_id};
    ae_control_queue(&f->control, back);
}

/* ---- what the machine is expected to do ---- */

static void start(struct fixture *f, bool again) {
    ae_control_start(&f->control, &f->msg, AE_MSG_DONE, again);
}

/* The machine waits for these events on its socket. A step that comes too early changes nothing. */
static void waits_for(struct fixture *f, short events) {
    const uint64_t now = ae_now_ns();

    for (int i = 0; i < 2; i++) {
        assert_int_equal(ae_control_step(&f->control, &f->wait), AE_CONTROL_WAIT);
        assert_int_equal(f->wait.fd, f->control.sock);
        assert_true(f->wait.fd >= 0);
        assert_int_equal(f->wait.events, events);
        assert_true(f->wait.until_ns > now + 4 * S && f->wait.until_ns < now + 6 * S);
    }
}

static void ends_with(struct fixture *f, int code, const char *text) {
    assert_int_equal(ae_control_step(&f->control, &f->wait), code);
    assert_int_equal(f->control.stage, AE_CONTROL_IDLE);
    if (text != NULL && strstr(aether_errmsg(), text) == NULL)
        fail_msg("'%s' isn't in '%s'", text, aether_errmsg());
}

static bool is_connected(const struct fixture *f) {
    return f->control.sock >= 0;
}

/* ---- a request on a connection ---- */

static void a_request_is_answered(void **state) {
    struct fixture *f = *state;

    connected(f);
    for (uint32_t i = 1; i <= 3; i++) {
        start(f, AE_CONTROL_AGAIN);
        waits_for(f, POLLIN);
        assert_int_equal(take(f, AE_MSG_SHUTDOWN).request, i);
        answer(f, AE_MSG_DONE);
        ends_with(f, 0, NULL);
        assert_int_equal(f->control.reply.msg.type, AE_MSG_DONE);
        assert_int_equal(f->control.reply.fd_count, 0);
    }
    assert_true(is_connected(f));
    ends_with(f, -EINVAL, "no request");
}

static void fds_of_a_reply_are_the_users(void **state) {
    struct fixture *f = *state;
    struct ae_msg reply = {.type = AE_MSG_DONE, .request = 1};
    int fd = token();

    connected(f);
    start(f, AE_CONTROL_AGAIN);
    waits_for(f, POLLIN);
    answer_with(f, &reply, fd);
    ae_close(&fd);
    ends_with(f, 0, NULL);
    assert_int_equal(f->control.reply.fd_count, 1);
    ae_reply_close(&f->control.reply);
    assert_int_equal(f->control.reply.fd_count, 0);
}

/* While the socket is full, the machine waits for room; then it sends the request once. */
static void no_room_to_send(void **state) {
    struct fixture *f = *state;
    uint8_t filler[1000] = {0};
    int fds[1], count, n = 0;

    connected(f);
    while (ae_packet_send(f->control.sock, filler, sizeof filler, NULL, 0) == 0)
        n++;
    start(f, AE_CONTROL_AGAIN);
    waits_for(f, POLLOUT);
    do {
        count = 1;
        assert_int_equal(ae_packet_receive(f->peer, filler, sizeof filler, fds, &count), sizeof filler);
    } while (--n > 0);
    waits_for(f, POLLIN);
    (void)take(f, AE_MSG_SHUTDOWN);
    count = 1;
    assert_int_equal(ae_packet_receive(f->peer, filler, sizeof filler, fds, &count), -EAGAIN);
    answer(f, AE_MSG_DONE);
    ends_with(f, 0, NULL);
}

static void time_is_over(void **state) {
    struct fixture *f = *state;

    connected(f);
    start(f, AE_CONTROL_AGAIN);
    waits_for(f, POLLIN);
    f->control.deadline = ae_now_ns();
    ends_with(f, -ETIMEDOUT, "no answer within 5 seconds; is it stopped?");
    assert_false(is_connected(f));
}

/*
 * A machine that says no HELLO has its patience for the whole: for connections, and for a request that is sent again.
 */
static void anonymous_requests_have_one_limit(void **state) {
    struct fixture *f = *state;

    listen_at_path(f, 4);
    f->control.anonymous = true;
    start(f, AE_CONTROL_AGAIN);
    const uint64_t deadline = f->control.deadline;
    for (int i = 0; i < 2; i++) {
        waits_for(f, POLLIN);
        assert_int_equal(f->control.deadline, deadline);
        accept_peer(f);
        (void)take(f, AE_MSG_SHUTDOWN);
        assert_int_equal(f->control.peer_pid, getpid());
        if (i == 0)
            ae_close(&f->peer);
    }
    answer(f, AE_MSG_DONE);
    ends_with(f, 0, NULL);
    f->control.patience_ns = 50000000;
    start(f, AE_CONTROL_AGAIN);
    assert_int_equal(ae_control_step(&f->control, &f->wait), AE_CONTROL_WAIT);
    f->control.deadline = ae_now_ns();
    ends_with(f, -ETIMEDOUT, "no answer within 0.05 seconds; is it stopped?");
}

static void an_error_is_an_answer(void **state) {
    struct fixture *f = *state;

    connected(f);
    start(f, AE_CONTROL_AGAIN);
    waits_for(f, POLLIN);
    answer_error(f, f->control.request, -EBUSY, "topic 't' is in use");
    ends_with(f, -EBUSY, "topic 't' is in use");
    assert_true(is_connected(f) && f->control.refused);
    /* An ERROR with another request id says that aetherd couldn't read the request. */
    start(f, AE_CONTROL_AGAIN);
    waits_for(f, POLLIN);
    answer_error(f, 0, -EPROTO, "packet is cut");
    ends_with(f, -EPROTO, "packet is cut");
}

static void nonsense_ends_the_connection(void **state) {
    static const struct {
        const char *text;
        struct ae_msg msg;
    } cases[] = {
        {"answered another request", {.type = AE_MSG_DONE, .request = 2}},
        {"answered with message type 5, not 9", {.type = AE_MSG_CLOSE, .request = 1}},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = token();
        connected(f);
        f->control.request = 0;
        start(f, AE_CONTROL_AGAIN);
        waits_for(f, POLLIN);
        answer_with(f, &cases[i].msg, fd);
        ae_close(&fd);
        ends_with(f, -EPROTO, cases[i].text);
        assert_false(is_connected(f));
        assert_int_equal(f->control.reply.fd_count, 0);
        ae_close(&f->peer);
    }
}

static void a_reply_is_cut(void **state) {
    struct fixture *f = *state;
    const struct ae_msg whole = {.type = AE_MSG_ERROR, .request = 1, .u.error = {-EBUSY, "text"}};
    uint8_t packet[AE_PACKET_MAX];
    const int len = ae_msg_encode(&whole, packet, sizeof packet);

    for (int cut = 1; cut < len; cut++) {
        connected(f);
        f->control.request = 0;
        start(f, AE_CONTROL_AGAIN);
        waits_for(f, POLLIN);
        assert_int_equal(ae_packet_send(f->peer, packet, (size_t)cut, NULL, 0), 0);
        ends_with(f, -EPROTO, "");
        assert_false(is_connected(f));
        ae_close(&f->peer);
    }
}

/* ---- aetherd goes away ---- */

static void nobody_listens(void **state) {
    struct fixture *f = *state;

    start(f, AE_CONTROL_AGAIN);
    ends_with(f, -ENOENT, "no aetherd at /tmp/control-");
    listen_at_path(f, 4);
    ae_close(&f->listener);
    start(f, AE_CONTROL_AGAIN);
    ends_with(f, -ECONNREFUSED, "start it with: aetherd --socket /tmp/control-");
}

/* The HELLO states client, nonce and newest grant; then the machine sends the request. */
static void resumes(struct fixture *f) {
    waits_for(f, POLLIN);
    accept_peer(f);
    const struct ae_msg hello = take(f, AE_MSG_HELLO);
    assert_int_equal(hello.u.hello.resume_id, 7);
    assert_int_equal(hello.u.hello.resume_nonce[0], 70);
    assert_int_equal(hello.u.hello.resume_nonce[1], 71);
    assert_int_equal(hello.u.hello.resume_grant, 30);
    assert_string_equal(hello.u.hello.name, "test");
    welcome(f, 7, true, false);
}

static void it_died_between_two_requests(void **state) {
    struct fixture *f = *state;

    connected(f);
    ae_close(&f->peer);
    listen_at_path(f, 4);
    start(f, AE_CONTROL_ONCE);
    resumes(f);
    waits_for(f, POLLIN);
    (void)take(f, AE_MSG_SHUTDOWN);
    answer(f, AE_MSG_DONE);
    ends_with(f, 0, NULL);
    assert_int_equal(f->control.client_id, 7);
    assert_int_equal(f->control.last_grant, 30);
    assert_int_equal(f->control.token_count, 0);
}

/* aetherd has died after the request was sent: the machine sends it to the successor, once, with another request id. */
static void it_dies_before_it_answers(void **state) {
    struct fixture *f = *state;

    connected(f);
    listen_at_path(f, 4);
    start(f, AE_CONTROL_AGAIN);
    waits_for(f, POLLIN);
    (void)take(f, AE_MSG_SHUTDOWN);
    ae_close(&f->peer);
    resumes(f);
    waits_for(f, POLLIN);
    assert_int_equal(take(f, AE_MSG_SHUTDOWN).request, 3);
    ae_close(&f->peer);
    ends_with(f, -ECONNRESET, "ended before it answered");
    assert_false(is_connected(f));
}

static void it_dies_without_a_successor(void **state) {
    struct fixture *f = *state;

    connected(f);
    start(f, AE_CONTROL_AGAIN);
    waits_for(f, POLLIN);
    ae_close(&f->peer);
    ends_with(f, -ECONNRESET, "no aetherd at");
    /* Without AGAIN the request isn't sent again: code and text say that aetherd has died. */
    connected(f);
    start(f, AE_CONTROL_ONCE);
    waits_for(f, POLLIN);
    ae_close(&f->peer);
    ends_with(f, -ECONNRESET, "ended before it answered");
}

static void it_dies_in_the_hello(void **state) {
    struct fixture *f = *state;

    listen_at_path(f, 4);
    start(f, AE_CONTROL_AGAIN);
    waits_for(f, POLLIN);
    accept_peer(f);
    ae_close(&f->peer);
    resumes(f);
    waits_for(f, POLLIN);
    (void)take(f, AE_MSG_SHUTDOWN);
    answer(f, AE_MSG_DONE);
    ends_with(f, 0, NULL);
}

/*
 * aetherd refuses the connection before it has read the HELLO, and closes it. Then the kernel reports a reset first,
 * and a HELLO that comes later can't be sent. The ERROR says why in both cases.
 */
static void it_refuses_before_the_hello(void **state) {
    struct fixture *f = *state;

    for (int early = 0; early < 2; early++) {
        connected(f);
        f->control.stage = AE_CONTROL_IDLE;
        if (early) { /* the request isn't sent yet */
            f->control.request = 0;
            start(f, AE_CONTROL_ONCE);
            f->control.stage = AE_CONTROL_REQUEST;
            f->control.msg->request = f->control.request = 1;
            f->control.packet_len = (size_t)ae_msg_encode(f->control.msg, f->control.packet, sizeof f->control.packet);
            f->control.sent = false;
            f->control.expect = AE_MSG_DONE;
            f->control.deadline = ae_now_ns() + S;
        } else {
            start(f, AE_CONTROL_ONCE);
            waits_for(f, POLLIN);
        }
        answer_error(f, 0, -EACCES, "belongs to uid 5");
        ae_close(&f->peer);
        ends_with(f, -EACCES, "belongs to uid 5");
        ae_close(&f->control.sock);
    }
}

/* Without becoming a client. The next request uses the same connection or, if it has ended, another one. */
static void it_looks_at_an_object(void **state) {
    struct fixture *f = *state;
    struct ae_msg object = {.type = AE_MSG_OBJECT, .u.object = {.pid = 1, .uid = 2, .bytes = 3}};
    int fd = token();

    snprintf(object.u.object.prefix, sizeof object.u.object.prefix, "/p.");
    snprintf(object.u.object.socket_path, sizeof object.u.object.socket_path, "/s");
    f->msg = (struct ae_msg){.type = AE_MSG_LOOK, .u.look = {.kind = AE_LOOK_INSTANCE}};
    f->control.anonymous = true;
    listen_at_path(f, 4);
    for (int i = 0; i < 3; i++) {
        ae_control_start(&f->control, &f->msg, AE_MSG_OBJECT, AE_CONTROL_AGAIN);
        waits_for(f, POLLIN);
        if (i != 1)
            accept_peer(f);
        object.request = take(f, AE_MSG_LOOK).request;
        answer_with(f, &object, fd);
        ends_with(f, 0, NULL);
        assert_int_equal(f->control.reply.fd_count, 1);
        ae_reply_close(&f->control.reply);
        if (i == 1)
            ae_close(&f->peer);
    }
    ae_close(&fd);
}

static void something_else_is_there(void **state) {
    struct fixture *f = *state;
    struct sockaddr_un address;
    const int len = ae_socket_address(&address, f->path);

    f->listener = open(f->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    start(f, AE_CONTROL_ONCE);
    ends_with(f, -ECONNREFUSED, "isn't a socket");
    ae_close(&f->listener);
    assert_int_equal(unlink(f->path), 0);
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (const struct sockaddr *)&address, (socklen_t)len), 0);
    assert_int_equal(listen(f->listener, 1), 0);
    start(f, AE_CONTROL_ONCE);
    ends_with(f, -EPROTOTYPE, "is of another type");
    assert_false(is_connected(f));
}

static void no_descriptor_is_left(void **state) {
    struct fixture *f = *state;
    struct rlimit old, few;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    start(f, AE_CONTROL_ONCE);
    const int rc = ae_control_step(&f->control, &f->wait);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(rc, -EMFILE);
    assert_non_null(strstr(aether_errmsg(), "this process may open 3: raise ulimit -n"));
}

/* The kernel drops the descriptors of an answer for which this program has no room. */
static void a_descriptor_of_the_answer_is_lost(void **state) {
    struct ae_msg reply = {.type = AE_MSG_DONE, .request = 1};
    struct fixture *f = *state;
    struct rlimit old, few;
    int fd = token();

    connected(f);
    start(f, AE_CONTROL_ONCE);
    waits_for(f, POLLIN);
    answer_with(f, &reply, fd);
    ae_close(&fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    const int rc = ae_control_step(&f->control, &f->wait);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(rc, -EMFILE);
    assert_non_null(strstr(aether_errmsg(), "this process may open 3: raise ulimit -n"));
    assert_false(f->control.refused);
}

static void it_refuses_the_hello(void **state) {
    struct fixture *f = *state;

    listen_at_path(f, 4);
    start(f, AE_CONTROL_AGAIN);
    waits_for(f, POLLIN);
    accept_peer(f);
    answer_error(f, f->control.request, -EUSERS, "limit of 64 clients");
    ends_with(f, -EUSERS, "limit of 64 clients");
    assert_false(is_connected(f));
}

static void its_path_is_empty(void **state) {
    struct fixture *f = *state;

    f->control.socket_path[0] = '\0';
    start(f, AE_CONTROL_AGAIN);
    ends_with(f, -ENOENT, "socket path is empty");
    assert_false(is_connected(f));
}

/* The backlog of a stopped daemon is full. No event says when it has room again, so the machine asks for a time. */
static void its_backlog_is_full(void **state) {
    struct fixture *f = *state;
    struct sockaddr_un address;
    const int len = ae_socket_address(&address, f->path);
    int others[8], n = 0;

    listen_at_path(f, 0);
    do {
        others[n] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(n < 7);
    } while (connect(others[n++], (const struct sockaddr *)&address, (socklen_t)len) == 0);
    assert_int_equal(errno, EAGAIN);
    start(f, AE_CONTROL_AGAIN);
    for (int i = 0; i < 3; i++) {
        const uint64_t now = ae_now_ns();
        assert_int_equal(ae_control_step(&f->control, &f->wait), AE_CONTROL_WAIT);
        assert_int_equal(f->wait.fd, -1);
        assert_true(f->wait.until_ns > now && f->wait.until_ns < now + S);
    }
    for (int i = 0; i < n - 1; i++)
        accept_peer(f);
    resumes(f);
    waits_for(f, POLLIN);
    while (n > 0)
        ae_close(&others[--n]);
}

static void its_backlog_stays_full(void **state) {
    struct fixture *f = *state;
    struct sockaddr_un address;
    const int len = ae_socket_address(&address, f->path);
    int others[8], n = 0;

    listen_at_path(f, 0);
    do {
        others[n] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(n < 7);
    } while (connect(others[n++], (const struct sockaddr *)&address, (socklen_t)len) == 0);
    start(f, AE_CONTROL_AGAIN);
    assert_int_equal(ae_control_step(&f->control, &f->wait), AE_CONTROL_WAIT);
    f->control.deadline = ae_now_ns();
    ends_with(f, -ETIMEDOUT, "takes no connection within 5 seconds; is it stopped?");
    assert_false(is_connected(f));
    while (n > 0)
        ae_close(&others[--n]);
}

/* The time that is stated is the one that the machine has waited, also in the singular. */
static void its_patience_is_stated(void **state) {
    static const struct {
        uint64_t ns;
        const char *says;
    } cases[] = {{S, "no answer within 1 second; is"},
                 {S / 20, "no answer within 0.05 seconds; is"},
                 {1500000000, "no answer within 1.5 seconds; is"},
                 {UINT64_MAX, "no answer within 1.84e+10 seconds; is"}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        connected(f);
        f->control.patience_ns = cases[i].ns;
        start(f, AE_CONTROL_AGAIN);
        assert_int_equal(ae_control_step(&f->control, &f->wait), AE_CONTROL_WAIT);
        assert_true(f->control.deadline > ae_now_ns() - S);
        f->control.deadline = ae_now_ns();
        ends_with(f, -ETIMEDOUT, cases[i].says);
        ae_close(&f->peer);
    }
}

/* The instant that is stated ends a request, but a second is always allowed, and the patience still counts. */
static void a_request_ends_at_an_instant(void **state) {
    static const struct {
        int64_t in_ns; /* the instant: from now on */
        uint64_t patience_ns, at_most, at_least;
        const char *says;
    } cases[] = {{2 * S, 5 * S, 2 * S, 1 * S, NULL},
                 {-1, 5 * S, 1 * S, 1 * S, "no answer within 1 second; is"},
                 {-1, S / 20, S / 20, S / 20, "no answer within 0.05 seconds; is"},
                 {9 * S, 5 * S, 5 * S, 5 * S, "no answer within 5 seconds; is"}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        connected(f);
        f->control.patience_ns = cases[i].patience_ns;
        f->control.until_ns = ae_now_ns() + (uint64_t)cases[i].in_ns;
        start(f, AE_CONTROL_AGAIN);
        assert_int_equal(ae_control_step(&f->control, &f->wait), AE_CONTROL_WAIT);
        assert_in_range(f->control.allowed_ns, cases[i].at_least, cases[i].at_most);
        assert_true(cases[i].in_ns != 2 * S || f->control.deadline >= f->control.until_ns);
        f->control.deadline = ae_now_ns();
        ends_with(f, -ETIMEDOUT, cases[i].says != NULL ? cases[i].says : "; is it stopped?");
        ae_close(&f->peer);
    }
}

/* ---- an aetherd that starts ---- */

/* Takes the lock as aetherd does. */
static int lock_instance(const struct fixture *f) {
    struct ae_instance instance;
    int lock = -1;

    assert_int_equal(ae_instance_init(&instance, f->path, (uint32_t)geteuid()), 0);
    assert_int_equal(ae_instance_lock(&instance, &lock), 0);
    return lock;
}

static void unlock_instance(const struct fixture *f, int lock) {
    char path[80];

    ae_close(&lock);
    snprintf(path, sizeof path, "%s.lock", f->path);
    assert_int_equal(unlink(path), 0);
}

/* It has its lock, but no registry yet, and doesn't listen yet: there is no socket, or its killed predecessor's. */
static void it_starts(void **state) {
    struct fixture *f = *state;
    const int lock = lock_instance(f);

    for (int predecessor = 0; predecessor < 2; predecessor++) {
        if (predecessor) {
            ae_close(&f->control.sock);
            ae_close(&f->peer);
            ae_close(&f->listener);
        }
        start(f, AE_CONTROL_AGAIN);
        for (int i = 0; i < 3; i++) {
            const uint64_t now = ae_now_ns();
            assert_int_equal(ae_control_step(&f->control, &f->wait), AE_CONTROL_WAIT);
            assert_int_equal(f->wait.fd, -1);
            assert_true(f->wait.until_ns > now && f->wait.until_ns < now + S);
        }
        unlink(f->path);
        listen_at_path(f, 4);
        resumes(f);
        waits_for(f, POLLIN);
    }
    unlock_instance(f, lock);
}

static void it_never_listens(void **state) {
    struct fixture *f = *state;
    const int lock = lock_instance(f);

    start(f, AE_CONTROL_AGAIN);
    assert_int_equal(ae_control_step(&f->control, &f->wait), AE_CONTROL_WAIT);
    f->control.deadline = ae_now_ns();
    ends_with(f, -ENOENT, "an aetherd runs, but doesn't listen at ");
    assert_false(is_connected(f));
    /* A program that waits for less than that doesn't wait longer. */
    f->control.starts_ns = 0;
    start(f, AE_CONTROL_AGAIN);
    ends_with(f, -ENOENT, "an aetherd runs, but doesn't listen at ");
    unlock_instance(f, lock);
    start(f, AE_CONTROL_AGAIN);
    ends_with(f, -ENOENT, "no aetherd at ");
}

/* ---- the client's identity ---- */

static void a_first_connection(void **state) {
    struct fixture *f = *state;

    memset(f->control.nonce, 0, sizeof f->control.nonce);
    f->control.client_id = f->control.last_grant = 0;
    listen_at_path(f, 4);
    ae_control_start(&f->control, NULL, 0, AE_CONTROL_ONCE);
    waits_for(f, POLLIN);
    accept_peer(f);
    assert_int_equal(take(f, AE_MSG_HELLO).u.hello.resume_id, 0);
    welcome(f, 12, false, true);
    ends_with(f, 0, NULL);
    assert_int_equal(f->control.client_id, 12);
    assert_int_equal(f->control.nonce[1], 121);
    assert_int_equal(f->control.token_count, 1);
    /* The machine is connected already, so there is nothing to do. */
    ae_control_start(&f->control, NULL, 0, AE_CONTROL_ONCE);
    ends_with(f, 0, NULL);
}

static void no_token(void **state) {
    struct fixture *f = *state;

    listen_at_path(f, 4);
    start(f, AE_CONTROL_AGAIN);
    waits_for(f, POLLIN);
    accept_peer(f);
    welcome(f, 8, false, false);
    ends_with(f, -EPROTO, "sent no token (out of file descriptors?)");
    assert_false(is_connected(f));
    assert_int_equal(f->control.client_id, 7);
}

/* ---- grants that were closed without a daemon ---- */

/* Each grant is given back before the request is sent. If aetherd doesn't have it any more, it counts as given back. */
static void what_is_queued_goes_first(void **state) {
    struct fixture *f = *state;

    queue(f, 7, 21);
    queue(f, 7, 22);
    listen_at_path(f, 4);
    start(f, AE_CONTROL_AGAIN);
    resumes(f);
    waits_for(f, POLLIN);
    assert_int_equal(take(f, AE_MSG_CLOSE).u.close.grant_id, 22);
    answer_error(f, f->control.request, -ENOENT, "grant 22 isn't this client's");
    waits_for(f, POLLIN);
    assert_int_equal(take(f, AE_MSG_CLOSE).u.close.grant_id, 21);
    answer(f, AE_MSG_DONE);
    waits_for(f, POLLIN);
    (void)take(f, AE_MSG_SHUTDOWN);
    answer(f, AE_MSG_DONE);
    ends_with(f, 0, NULL);
    assert_null(f->control.returns);
}

/* Without a request the machine only gives grants back. A grant that it couldn't give back stays queued. */
static void what_is_queued_stays_until_it_is_told(void **state) {
    struct fixture *f = *state;

    queue(f, 7, 21);
    ae_control_start(&f->control, NULL, 0, AE_CONTROL_ONCE);
    ends_with(f, -ENOENT, "no aetherd");
    assert_non_null(f->control.returns);
    connected(f);
    ae_control_start(&f->control, NULL, 0, AE_CONTROL_ONCE);
    waits_for(f, POLLIN);
    ae_close(&f->peer);
    ends_with(f, -ECONNRESET, "ended before it answered");
    assert_non_null(f->control.returns);
    connected(f);
    ae_control_start(&f->control, NULL, 0, AE_CONTROL_ONCE);
    waits_for(f, POLLIN);
    assert_int_equal(take(f, AE_MSG_CLOSE).u.close.grant_id, 21);
    answer(f, AE_MSG_DONE);
    ends_with(f, 0, NULL);
    assert_null(f->control.returns);
}

/* aetherd has lost its registry: it gives another client id and a second token, and the old grants are dropped. */
static void a_lost_registry(void **state) {
    struct fixture *f = *state;

    queue(f, 7, 21);
    queue(f, 6, 20);
    listen_at_path(f, 4);
    start(f, AE_CONTROL_AGAIN);
    waits_for(f, POLLIN);
    accept_peer(f);
    (void)take(f, AE_MSG_HELLO);
    welcome(f, 8, false, true);
    waits_for(f, POLLIN);
    (void)take(f, AE_MSG_SHUTDOWN);
    answer(f, AE_MSG_DONE);
    ends_with(f, 0, NULL);
    assert_null(f->control.returns);
    assert_int_equal(f->control.client_id, 8);
    assert_int_equal(f->control.last_grant, 0);
    assert_int_equal(f->control.token_count, 1);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_request_is_answered),
        CASE(fds_of_a_reply_are_the_users),
        CASE(no_room_to_send),
        CASE(time_is_over),
        CASE(anonymous_requests_have_one_limit),
        CASE(an_error_is_an_answer),
        CASE(nonsense_ends_the_connection),
        CASE(a_reply_is_cut),
        CASE(nobody_listens),
        CASE(it_died_between_two_requests),
        CASE(it_dies_before_it_answers),
        CASE(it_dies_without_a_successor),
        CASE(it_dies_in_the_hello),
        CASE(it_refuses_the_hello),
        CASE(it_refuses_before_the_hello),
        CASE(it_looks_at_an_object),
        CASE(something_else_is_there),
        CASE(no_descriptor_is_left),
        CASE(a_descriptor_of_the_answer_is_lost),
        CASE(its_path_is_empty),
        CASE(its_backlog_is_full),
        CASE(its_backlog_stays_full),
        CASE(its_patience_is_stated),
        CASE(a_request_ends_at_an_instant),
        CASE(it_starts),
        CASE(it_never_listens),
        CASE(a_first_connection),
        CASE(no_token),
        CASE(what_is_queued_goes_first),
        CASE(what_is_queued_stays_until_it_is_told),
        CASE(a_lost_registry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "broker/server.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/socket.h"
#include <aether/error.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128
#define HELLO_TIMEOUT_NS 5000000000ull
#define FIRST_LOOK_NS 1000000ull   /* after the end of a connection */
#define LAST_LOOK_NS 1000000000ull /* a client that lives on without a connection is looked at this often */
#define ACCEPT_PAUSE_NS 1000000000ull
#define GREETING_MAX 64u /* connections that haven't said HELLO, beside those of clients */

struct connection {
    struct connection *next, *previous; /* of those that haven't said HELLO */
    int fd;
    uint32_t pid, uid;
    uint32_t client;   /* AE_NO_CLIENT before HELLO */
    uint64_t deadline; /* for HELLO */
};

/* What the server knows about a client record. */
struct presence {
    struct connection *connection; /* NULL: none; the token alone tells */
    int process;                   /* a pidfd, or one of those below */
    uint64_t look_ns;              /* when to look at the token next, while there is no connection; 0: no such client */
    uint64_t delay_ns;
};

#define UNWATCHED (-1)
#define EXITED (-2) /* what there was to be told has been told */

struct server {
    struct ae_broker *broker;
    struct presence *presence;  /* one a client record */
    struct connection greeting; /* ring head */
    uint32_t connections;
    int epoll, listener, signals;
    bool accepting, stop;
    uint64_t accept_ns; /* while not accepting: when to try again, whether or not a connection closes */
};

static char listener_tag, signals_tag; /* addresses that epoll hands back */

/* ---- the socket ---- */

/* A path given by mistake: what isn't a socket is somebody's file. */
static int check_replaceable(const char *path) {
    struct stat st;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : ae_fail(-errno, "socket %s: %s", path, strerror(errno));
    return S_ISSOCK(st.st_mode)
               ? 0
               : ae_fail(-EEXIST, "%s exists and isn't a socket: remove it, or use another path", path);
}

/* Bound and listening under a temporary name, then renamed: whoever finds the socket can connect. */
static int listen_at(const char *path, int *listener) {
    struct sockaddr_un address;
    char temporary[sizeof address.sun_path];
    int len, rc;

    if (snprintf(temporary, sizeof temporary, "%s~", path) >= (int)sizeof temporary)
        return ae_fail(-ENAMETOOLONG, "socket path '%s' is too long: at most %u bytes", path, AE_SOCKET_PATH_MAX);
    if ((rc = check_replaceable(path)) != 0 || (rc = check_replaceable(temporary)) != 0)
        return rc;
    len = ae_socket_address(&address, temporary);
    if (len < 0)
        return ae_fail(len, "socket path '%s' is too long", path);
    *listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*listener < 0)
        return ae_fail(-errno, "socket: %s", strerror(errno));
    (void)unlink(temporary); /* ours alone: we hold the lock */
    if (bind(*listener, (const struct sockaddr *)&address, (socklen_t)len) != 0 || chmod(temporary, 0600) != 0 ||
        listen(*listener, BACKLOG) != 0 || rename(temporary, path) != 0) {
        rc = ae_fail(-errno, "socket %s: %s", path, strerror(errno));
        (void)unlink(temporary);
        ae_close(listener);
        return rc;
    }
    return 0;
}

/* ---- connections ---- */

static int watch(struct server *s, int operation, int fd, uint32_t events, void *tag) {
    struct epoll_event event = {.events = events, .data.ptr = tag};

    return epoll_ctl(s->epoll, operation, fd, &event) == 0 ? 0 : ae_fail(-errno, "epoll: %s", strerror(errno));
}

static void set_accepting(struct server *s, bool accepting) {
    if (s->accepting != accepting && watch(s, EPOLL_CTL_MOD, s->listener, accepting ? EPOLLIN : 0, &listener_tag) == 0)
        s->accepting = accepting;
}

static void schedule_look(struct server *s, uint32_t client, uint64_t delay_ns) {
    struct presence *p = &s->presence[client];

    p->delay_ns = delay_ns;
    p->look_ns = ae_now_ns() + delay_ns;
}

/*
 * The end of a process is a good moment to look at its client's token, and no more than that: the pid may be another
 * one's by now, or one that can't be seen from here, which the end of the connection and the timer make up for; and a
 * forked child may keep the connection open, which this makes up for.
 */
static void watch_process(struct server *s, uint32_t client) {
    struct presence *p = &s->presence[client];
    const uint32_t pid = s->broker->registry.clients[client].pid;

    if (p->process != UNWATCHED || pid == 0)
        return;
    p->process = (int)syscall(SYS_pidfd_open, pid, 0);
    if (p->process < 0)
        p->process = errno == ESRCH ? EXITED : UNWATCHED;
    else if (watch(s, EPOLL_CTL_ADD, p->process, EPOLLIN, p) != 0)
        ae_close(&p->process);
}

static void forget(struct presence *p) {
    ae_close(&p->process);
    *p = (struct presence){.process = UNWATCHED};
}

/*
 * Looks at a client without a connection; again later, ever more rarely, if it lives. A killed process closes its
 * connection a moment before its memory goes, so the first look is often too early; if the process has ended since,
 * there is a second one at once.
 */
static void look(struct server *s, uint32_t client, uint64_t next_delay_ns) {
    struct presence *p = &s->presence[client];
    bool dead = ae_broker_look(s->broker, client);

    if (!dead) {
        watch_process(s, client);
        dead = p->process == EXITED && ae_broker_look(s->broker, client);
    }
    if (dead)
        forget(p);
    else
        schedule_look(s, client, next_delay_ns);
}

static void unlink_greeting(struct connection *c) {
    c->previous->next = c->next;
    c->next->previous = c->previous;
    c->next = c->previous = c;
}

static void close_connection(struct server *s, struct connection *c) {
    const uint32_t client = c->client;

    unlink_greeting(c);
    ae_close(&c->fd);
    free(c);
    s->connections--;
    set_accepting(s, true);
    if (client != AE_NO_CLIENT) {
        s->presence[client].connection = NULL;
        look(s, client, FIRST_LOOK_NS);
    }
}

static void refuse(int fd, int code) {
    struct ae_reply reply = {0};
    uint8_t packet[AE_PACKET_MAX];

    ae_reply_error(&reply, code);
    const int len = ae_msg_encode(&reply.msg, packet, sizeof packet);
    if (len > 0)
        (void)ae_packet_send(fd, packet, (size_t)len, NULL, 0); /* it is closed in any case */
}

static int add_connection(struct server *s, int fd) {
    struct ucred peer;
    socklen_t len = sizeof peer;
    struct connection *c;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return ae_fail(-errno, "peer's identity: %s", strerror(errno));
    if (peer.uid != s->broker->instance.uid && peer.uid != 0)
        return ae_fail(-EACCES, "uid %u may not use the aetherd of uid %u", (unsigned)peer.uid,
                       (unsigned)s->broker->instance.uid);
    if (s->connections >= s->broker->registry.clients_max + GREETING_MAX)
        return ae_fail(-EUSERS, "aetherd's limit of %" PRIu32 " clients is reached: raise [limits] clients",
                       s->broker->registry.clients_max);
    c = calloc(1, sizeof *c);
    if (c == NULL)
        return ae_fail(-ENOMEM, "out of memory");
    *c = (struct connection){.fd = fd,
                             .pid = (uint32_t)peer.pid,
                             .uid = peer.uid,
                             .client = AE_NO_CLIENT,
                             .deadline = ae_now_ns() + HELLO_TIMEOUT_NS};
    const int rc = watch(s, EPOLL_CTL_ADD, fd, EPOLLIN, c);
    if (rc != 0) {
        free(c);
        return rc;
    }
    c->previous = s->greeting.previous;
    c->next = &s->greeting;
    c->previous->next = c;
    s->greeting.previous = c;
    s->connections++;
    return 0;
}

static void accept_connection(struct server *s) {
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            ae_log_line(AE_LOG_WARNING, "no connection can be accepted now: %s", strerror(errno));
            set_accepting(s, false); /* the waiting connection would wake us again and again */
            s->accept_ns = ae_now_ns() + ACCEPT_PAUSE_NS;
        }
        return;
    }
    const int rc = add_connection(s, fd);
    if (rc != 0) {
        ae_log_line(AE_LOG_WARNING, "connection refused: %s", aether_errmsg());
        refuse(fd, rc);
        ae_close(&fd);
    }
}

/* ---- requests ---- */

static void greet(struct server *s, struct connection *c, const struct ae_msg *msg, struct ae_reply *reply) {
    uint32_t client;

    ae_broker_hello(s->broker, msg, c->pid, c->uid, reply, &client);
    if (client == AE_NO_CLIENT)
        return;
    unlink_greeting(c);
    /* The resumed client's old connection, if we haven't seen its end yet, speaks for nobody any more. */
    struct connection *old = s->presence[client].connection;
    if (old != NULL) {
        old->client = AE_NO_CLIENT;
        close_connection(s, old);
    }
    c->client = client;
    forget(&s->presence[client]);
    s->presence[client].connection = c;
    watch_process(s, client);
}

static void answer(struct server *s, struct connection *c, const struct ae_msg *msg, struct ae_reply *reply) {
    if (c->client == AE_NO_CLIENT) {
        if (msg->type == AE_MSG_HELLO && msg->version == AE_PROTOCOL_VERSION)
            greet(s, c, msg, reply);
        else if (msg->type == AE_MSG_HELLO)
            ae_reply_error(reply,
                           ae_fail(-EPROTO,
                                   "client speaks protocol version %u, aetherd version %u: use programs of one release",
                                   msg->version, AE_PROTOCOL_VERSION));
        else
            ae_reply_error(reply, ae_fail(-EPROTO, "the first message must be HELLO"));
    } else if (msg->type == AE_MSG_SHUTDOWN) {
        ae_log_line(AE_LOG_INFO, "stop asked for by pid %" PRIu32, c->pid);
        reply->msg.type = AE_MSG_DONE;
        s->stop = true;
    } else {
        ae_broker_handle(s->broker, c->client, msg, reply);
    }
}

/* One line a request, for --log-level debug. */
static void log_request(const struct connection *c, const struct ae_msg *msg, const struct ae_reply *reply) {
    static const char *const names[] = {
        [AE_MSG_HELLO] = "HELLO",   [AE_MSG_OPEN] = "OPEN",     [AE_MSG_CLOSE] = "CLOSE",
        [AE_MSG_CREATE] = "CREATE", [AE_MSG_REMOVE] = "REMOVE", [AE_MSG_SHUTDOWN] = "SHUTDOWN",
    };
    const char *name = msg->type < sizeof names / sizeof names[0] && names[msg->type] != NULL ? names[msg->type] : "?";
    const char *what = "";

    if (msg->type == AE_MSG_OPEN)
        what = msg->u.open.topic.topic;
    else if (msg->type == AE_MSG_CREATE)
        what = msg->u.create.topic;
    else if (msg->type == AE_MSG_REMOVE)
        what = msg->u.remove.topic;
    else if (msg->type == AE_MSG_HELLO)
        what = msg->u.hello.name;
    ae_log_line(AE_LOG_DEBUG, "pid %" PRIu32 ": request %" PRIu32 " %s '%s': %s", c->pid, msg->request, name, what,
                reply->msg.type == AE_MSG_ERROR ? reply->msg.u.error.text : "done");
}

/* Reads one packet and answers it. False: the connection is to be closed. */
static bool serve_packet(struct server *s, struct connection *c) {
    uint8_t packet[AE_PACKET_MAX];
    int fds[AE_PACKET_FDS_MAX], fd_count = AE_PACKET_FDS_MAX;
    struct ae_reply reply = {0};
    struct ae_msg msg;
    int len = ae_packet_receive(c->fd, packet, sizeof packet, fds, &fd_count);

    if (len == -EAGAIN)
        return true;
    if (len <= 0)
        return false;                  /* its end, or a packet that is no request */
    for (int i = 0; i < fd_count; i++) /* no request carries any */
        ae_close(&fds[i]);
    int rc = ae_msg_decode(&msg, packet, (size_t)len);
    if (rc != 0 || fd_count != 0) {
        if (rc == 0)
            rc = ae_fail(-EPROTO, "a request carries file descriptors");
        ae_log_line(AE_LOG_WARNING, "pid %" PRIu32 ": %s: connection closed", c->pid, aether_errmsg());
        refuse(c->fd, rc);
        return false;
    }
    /*
     * A forked child may have kept the connection of a dead process: it speaks for nobody, and what it got would never
     * be freed.
     */
    if (c->client != AE_NO_CLIENT && ae_broker_look(s->broker, c->client))
        return false;
    answer(s, c, &msg, &reply);
    log_request(c, &msg, &reply);
    reply.msg.request = msg.request;
    len = ae_msg_encode(&reply.msg, packet, sizeof packet);
    rc = len < 0 ? len : ae_packet_send(c->fd, packet, (size_t)len, reply.fds, reply.fd_count);
    for (int i = 0; i < reply.fd_count; i++)
        ae_close(&reply.fds[i]);
    if (rc == -EAGAIN)
        ae_log_line(AE_LOG_WARNING, "pid %" PRIu32 " doesn't read its replies: connection closed", c->pid);
    return rc == 0 && c->client != AE_NO_CLIENT;
}

/* ---- time ---- */

/* Does what is due and returns the milliseconds until something else is; -1: nothing ever, an idle daemon sleeps. */
static int run_timers(struct server *s) {
    const uint64_t now = ae_now_ns();
    uint64_t due = UINT64_MAX;

    while (s->greeting.next != &s->greeting && s->greeting.next->deadline <= now) {
        ae_log_line(AE_LOG_WARNING, "pid %" PRIu32 " said nothing for 5 seconds: connection closed",
                    s->greeting.next->pid);
        close_connection(s, s->greeting.next);
    }
    if (s->greeting.next != &s->greeting)
        due = s->greeting.next->deadline;
    if (!s->accepting && s->accept_ns <= now)
        set_accepting(s, true);
    if (!s->accepting && s->accept_ns < due)
        due = s->accept_ns;
    for (uint32_t i = 0; i < s->broker->registry.clients_max; i++) {
        struct presence *p = &s->presence[i];
        if (p->look_ns == 0)
            continue;
        if (p->look_ns <= now)
            look(s, i, p->delay_ns * 2 < LAST_LOOK_NS ? p->delay_ns * 2 : LAST_LOOK_NS);
        if (p->look_ns != 0 && p->look_ns < due)
            due = p->look_ns;
    }
    if (due == UINT64_MAX)
        return -1;
    return due <= now ? 0 : (int)((due - now + 999999) / 1000000);
}

/* ---- the loop ---- */

static int open_signals(void) {
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int setup(struct server *s) {
    int rc;

    s->presence = calloc(s->broker->registry.clients_max, sizeof *s->presence);
    if (s->presence == NULL)
        return ae_fail(-ENOMEM, "out of memory");
    for (uint32_t i = 0; i < s->broker->registry.clients_max; i++)
        s->presence[i].process = UNWATCHED;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->signals = open_signals();
    if (s->epoll < 0 || s->signals < 0)
        return ae_fail(-errno, "epoll or signalfd: %s", strerror(errno));
    if ((rc = listen_at(s->broker->instance.socket_path, &s->listener)) != 0)
        return rc;
    if ((rc = watch(s, EPOLL_CTL_ADD, s->signals, EPOLLIN, &signals_tag)) != 0)
        return rc;
    s->accepting = true;
    for (uint32_t i = 0; i < s->broker->registry.clients_max; i++)
        look(s, i, LAST_LOOK_NS); /* adopted ones, until they resume or die */
    return watch(s, EPOLL_CTL_ADD, s->listener, EPOLLIN, &listener_tag);
}

static bool is_process(const struct server *s, const void *tag) {
    const uintptr_t first = (uintptr_t)s->presence;

    return (uintptr_t)tag - first < s->broker->registry.clients_max * sizeof *s->presence;
}

static void look_after_exit(struct server *s, struct presence *p) {
    ae_close(&p->process);
    p->process = EXITED;
    if (p->connection != NULL)
        close_connection(s, p->connection); /* and looks */
    else
        look(s, (uint32_t)(p - s->presence), FIRST_LOOK_NS);
}

static void handle_event(struct server *s, void *tag) {
    if (tag == &listener_tag)
        accept_connection(s);
    else if (tag == &signals_tag)
        s->stop = true;
    else if (is_process(s, tag))
        look_after_exit(s, tag);
    else if (!serve_packet(s, tag))
        close_connection(s, tag);
}

int ae_server_run(struct ae_broker *broker) {
    struct server s = {.broker = broker, .epoll = -1, .listener = -1, .signals = -1};
    struct epoll_event event;
    int rc;

    s.greeting.next = s.greeting.previous = &s.greeting;
    rc = setup(&s);
    if (rc == 0)
        ae_log_line(AE_LOG_INFO, "listening at %s", broker->instance.socket_path);
    while (rc == 0 && !s.stop) {
        const int timeout = run_timers(&s);
        /* One event at a time: handling one may close the connection of another. */
        const int n = epoll_wait(s.epoll, &event, 1, timeout);
        if (n < 0 && errno != EINTR)
            rc = ae_fail(-errno, "epoll: %s", strerror(errno));
        else if (n > 0)
            handle_event(&s, event.data.ptr);
    }
    if (s.listener >= 0)
        (void)unlink(broker->instance.socket_path);
    for (struct connection *c = s.greeting.next, *next; c != &s.greeting; c = next) {
        next = c->next;
        close_connection(&s, c);
    }
    for (uint32_t i = 0; s.presence != NULL && i < broker->registry.clients_max; i++) {
        if (s.presence[i].connection != NULL)
            close_connection(&s, s.presence[i].connection);
    }
    ae_close(&s.listener);
    ae_close(&s.signals);
    ae_close(&s.epoll);
    free(s.presence);
    return rc;
}

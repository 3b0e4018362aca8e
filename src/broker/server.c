/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/server.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "base/socket.h"
#include "broker/clients.h"
#include "broker/listener.h"
#include "broker/look.h"
#include "broker/repeats.h"
#include "service/log.h"
#include <aether/error.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HELLO_TIMEOUT_NS 5000000000ull
#define FIRST_CHECK_NS 1000000ull   /* after the end of a connection */
#define LAST_CHECK_NS 1000000000ull /* the longest time between two checks of a client without a connection */
#define ACCEPT_PAUSE_NS 1000000000ull
#define GRANTS_AT_ONCE 64u /* of a dead client: they take some 10 ms */
#define REFUSED_MAX 16u    /* connections of programs that were refused and haven't closed them yet */
#define GREETING_MAX 64u   /* connections that haven't said HELLO, beside those of clients */

/* Why a connection is refused or closed; and what the log says of those that aren't logged one by one. */
enum cause { UNACCEPTED, FOREIGN, CROWDED, FAILED, MALFORMED, SILENT, UNREAD, CAUSES };

static const char *const causes[CAUSES] = {
    [UNACCEPTED] = "no connection can be accepted",
    [FOREIGN] = "connection refused, program of another user",
    [CROWDED] = "connection refused, the limit of clients is reached",
    [FAILED] = "connection refused, no memory or no such peer",
    [MALFORMED] = "connection closed, not a message of the protocol",
    [SILENT] = "connection closed, silent for 5 seconds",
    [UNREAD] = "connection closed, replies not read",
};

struct connection {
    struct ae_server *server;
    struct connection *next, **link; /* in server->connections */
    struct ae_source source;
    struct ae_timer hello; /* armed until HELLO, again by each LOOK before it, and when the connection is refused */
    bool refused;          /* an ERROR was sent, and the peer has to close the connection */
    uint32_t pid, uid;
    uint32_t client; /* AE_NO_CLIENT before HELLO */
};

/* The server's state for the client of a record, if there is one. */
struct presence {
    struct ae_server *server;
    struct connection *connection; /* NULL: none, and then only the token shows whether the client lives */
    struct ae_source process;      /* a pidfd; -1: none */
    bool exited;                   /* the process has ended, or is in a pid namespace that we don't see */
    struct ae_timer check;         /* of the token; armed while the client has no connection */
    uint64_t delay_ns;             /* the delay with which check was armed last */
};

struct ae_server {
    struct ae_broker *broker;
    struct ae_loop *loop;
    struct presence *presence; /* one for each record of a client */
    struct connection *connections;
    uint32_t connection_count;
    uint32_t refused_count;
    struct ae_listener listener;  /* without events while nothing can be accepted */
    struct ae_timer accept_again; /* armed meanwhile, to try again even if no connection is closed */
    struct ae_repeats repeats[CAUSES];
};

/* May a line be logged now for this cause, which programs can bring about as often as they like? */
static bool may_log(struct ae_server *s, enum cause cause) {
    return ae_repeats_admit(&s->repeats[cause]);
}

/* ---- accepting ---- */

static void pause_accepting(struct ae_server *s) {
    if (ae_source_modify(&s->listener.socket, 0) == 0)
        ae_timer_arm(s->loop, &s->accept_again, ae_now_ns() + ACCEPT_PAUSE_NS);
}

static void resume_accepting(struct ae_server *s) {
    if (s->listener.socket.events == 0 && ae_source_modify(&s->listener.socket, EPOLLIN) == 0)
        ae_timer_disarm(&s->accept_again);
}

static void on_accept_again(struct ae_timer *timer) {
    struct ae_server *s = AE_CONTAINER(timer, struct ae_server, accept_again);

    resume_accepting(s);
    if (s->listener.socket.events == 0)
        ae_timer_arm(s->loop, timer, ae_now_ns() + ACCEPT_PAUSE_NS);
}

/* ---- presence ---- */

static uint32_t client_of(const struct presence *p) {
    return (uint32_t)(p - p->server->presence);
}

/*
 * Watches the end of a client's process, only as an occasion to check the client's token. The pid may belong to another
 * process by now, or be in a pid namespace that we don't see; then the other occasions are the end of the connection
 * and the timer. The end of the process is needed if a forked child keeps the connection open.
 */
static void watch_process(struct presence *p) {
    const uint32_t pid = p->server->broker->registry.clients[client_of(p)].pid;

    if (p->process.fd >= 0 || p->exited || pid == 0)
        return;
    p->process.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (p->process.fd < 0)
        p->exited = errno == ESRCH;
    else if (ae_source_add(p->server->loop, &p->process) != 0)
        ae_close(&p->process.fd);
}

static void unwatch_process(struct presence *p) {
    ae_source_remove(&p->process);
    ae_close(&p->process.fd);
}

/* Resets the state to that of a record without a client. */
static void reset_presence(struct presence *p) {
    unwatch_process(p);
    ae_timer_disarm(&p->check);
    p->exited = false;
    p->connection = NULL;
}

/*
 * Checks a client without a connection and, if it lives, arms the next check after next_delay_ns. A killed process
 * closes its connection shortly before its memory is freed, so the first check is often too early. If the process has
 * ended meanwhile, it is checked again at once. If a dead client had many grants, events are handled in between.
 */
static void check_client(struct presence *p, uint64_t next_delay_ns) {
    const uint32_t client = client_of(p);
    enum ae_client_end end = ae_clients_free_some(p->server->broker, client, GRANTS_AT_ONCE);

    if (end == AE_CLIENT_STAYS) {
        watch_process(p);
        if (p->exited)
            end = ae_clients_free_some(p->server->broker, client, GRANTS_AT_ONCE);
    }
    if (end == AE_CLIENT_GONE) {
        reset_presence(p);
        return;
    }
    p->delay_ns = end == AE_CLIENT_GOES ? FIRST_CHECK_NS : next_delay_ns;
    ae_timer_arm(p->server->loop, &p->check, ae_now_ns() + (end == AE_CLIENT_GOES ? 0 : next_delay_ns));
}

static void on_check(struct ae_timer *timer) {
    struct presence *p = AE_CONTAINER(timer, struct presence, check);

    check_client(p, p->delay_ns * 2 < LAST_CHECK_NS ? p->delay_ns * 2 : LAST_CHECK_NS);
}

/* ---- connections ---- */

/* Doesn't check the client. */
static void free_connection(struct connection *c) {
    *c->link = c->next;
    if (c->next != NULL)
        c->next->link = c->link;
    c->server->connection_count--;
    c->server->refused_count -= c->refused;
    ae_timer_disarm(&c->hello);
    ae_source_remove(&c->source);
    ae_close(&c->source.fd);
    resume_accepting(c->server); /* a descriptor is free again */
    free(c);
}

/* The client has no connection any more: it may have died. */
static void check_left(struct ae_server *s, uint32_t client) {
    if (client == AE_NO_CLIENT)
        return;
    s->presence[client].connection = NULL;
    check_client(&s->presence[client], FIRST_CHECK_NS);
}

static void close_connection(struct connection *c) {
    struct ae_server *s = c->server;
    const uint32_t client = c->client;

    free_connection(c);
    check_left(s, client);
}

static void on_process_end(struct ae_source *source, uint32_t events) {
    struct presence *p = AE_CONTAINER(source, struct presence, process);

    (void)events;
    unwatch_process(p);
    p->exited = true;
    if (p->connection != NULL)
        close_connection(p->connection); /* which checks the client */
    else
        check_client(p, FIRST_CHECK_NS);
}

static void on_hello_timeout(struct ae_timer *timer) {
    struct connection *c = AE_CONTAINER(timer, struct connection, hello);

    if (!c->refused && may_log(c->server, SILENT))
        ae_log_line(AE_LOG_WARNING, "pid %" PRIu32 " said nothing for 5 seconds: connection closed", c->pid);
    close_connection(c);
}

/* ---- requests ---- */

static void greet(struct connection *c, const struct ae_msg *msg, struct ae_reply *reply) {
    struct ae_server *s = c->server;
    uint32_t client;

    ae_broker_hello(s->broker, msg, c->pid, c->uid, reply, &client);
    if (client == AE_NO_CLIENT)
        return;
    ae_timer_disarm(&c->hello);
    struct presence *p = &s->presence[client];
    /* The client's old connection may still be open here: its end may not have been handled yet. */
    if (p->connection != NULL)
        free_connection(p->connection);
    reset_presence(p);
    c->client = client;
    p->connection = c;
    watch_process(p);
}

static int send_error(int fd, int code) {
    struct ae_reply reply = {0};
    uint8_t packet[AE_PACKET_MAX];

    ae_reply_error(&reply, code);
    const int len = ae_msg_encode(&reply.msg, packet, sizeof packet);
    return len > 0 ? ae_packet_send(fd, packet, (size_t)len, NULL, 0) : len;
}

/*
 * Ends a connection after an ERROR was sent. If it were closed while a packet of the peer is unread, the peer would get
 * a reset in place of the ERROR. So the peer closes it, within a time.
 */
static void linger(struct connection *c) {
    struct ae_server *s = c->server;
    const uint32_t client = c->client;

    if (s->refused_count >= REFUSED_MAX || shutdown(c->source.fd, SHUT_WR) != 0) {
        close_connection(c);
        return;
    }
    c->client = AE_NO_CLIENT;
    c->refused = true;
    s->refused_count++;
    ae_timer_arm(s->loop, &c->hello, ae_now_ns() + HELLO_TIMEOUT_NS);
    check_left(s, client);
}

/* Drops what a refused program sends. False: it has closed the connection. */
static bool drop_packet(struct connection *c) {
    uint8_t packet[AE_PACKET_MAX];
    int fds[AE_PACKET_FDS_MAX], fd_count = AE_PACKET_FDS_MAX;
    const int len = ae_packet_receive(c->source.fd, packet, sizeof packet, fds, &fd_count);

    for (int i = 0; len > 0 && i < fd_count; i++)
        ae_close(&fds[i]);
    return len > 0 || len == -EAGAIN || len == -EMSGSIZE || len == -ENFILE;
}

static void answer(struct connection *c, const struct ae_msg *msg, struct ae_reply *reply) {
    struct ae_server *s = c->server;

    if (msg->type == AE_MSG_LOOK) {
        ae_broker_look(s->broker, msg, reply);
        if (c->client == AE_NO_CLIENT)
            ae_timer_arm(s->loop, &c->hello, ae_now_ns() + HELLO_TIMEOUT_NS);
    } else if (c->client == AE_NO_CLIENT) {
        if (msg->type == AE_MSG_HELLO && msg->version == AE_PROTOCOL_VERSION)
            greet(c, msg, reply);
        else if (msg->type == AE_MSG_HELLO)
            ae_reply_error(reply,
                           ae_fail(-EPROTO,
                                   "client speaks protocol version %u, aetherd version %u: use programs of one release",
                                   msg->version, AE_PROTOCOL_VERSION));
        else
            ae_reply_error(reply, ae_fail(-EPROTO, "the first message must be HELLO or LOOK"));
    } else if (msg->type == AE_MSG_SHUTDOWN) {
        ae_log_line(AE_LOG_INFO, "stop asked for by pid %" PRIu32, c->pid);
        reply->msg.type = AE_MSG_DONE;
        ae_loop_stop(s->loop); /* ends the loop after this handler, which still sends the reply */
    } else {
        ae_broker_handle(s->broker, c->client, msg, reply);
    }
}

/* One line a request, for --log-level debug. */
static void log_request(const struct connection *c, const struct ae_msg *msg, const struct ae_reply *reply) {
    static const char *const names[] = {
        [AE_MSG_HELLO] = "HELLO",   [AE_MSG_OPEN] = "OPEN",     [AE_MSG_CLOSE] = "CLOSE",
        [AE_MSG_CREATE] = "CREATE", [AE_MSG_REMOVE] = "REMOVE", [AE_MSG_SHUTDOWN] = "SHUTDOWN",
        [AE_MSG_LOOK] = "LOOK",
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

enum next { GO_ON, CLOSE, LINGER };

/* Is the reply all that the request is for? Without a HELLO the connection has no other requests, either. */
static bool needs_reply(const struct ae_msg *msg) {
    return msg->type == AE_MSG_HELLO || msg->type == AE_MSG_OPEN || msg->type == AE_MSG_LOOK;
}

/*
 * Reads one packet and answers it. hung_up: the peer has closed the connection. If it gave up waiting, it asks again on
 * another one; to do all that it has given up would hold up what it asks now.
 */
static enum next serve_packet(struct connection *c, bool hung_up) {
    uint8_t packet[AE_PACKET_MAX];
    int fds[AE_PACKET_FDS_MAX], fd_count = AE_PACKET_FDS_MAX;
    struct ae_reply reply = {0};
    struct ae_msg msg;
    int len = ae_packet_receive(c->source.fd, packet, sizeof packet, fds, &fd_count);

    if (len == -EAGAIN)
        return GO_ON;
    if (len <= 0)
        return CLOSE;                  /* the end of the connection, or a packet that isn't a request */
    for (int i = 0; i < fd_count; i++) /* no request has descriptors */
        ae_close(&fds[i]);
    int rc = ae_msg_decode(&msg, packet, (size_t)len);
    if (rc != 0 || fd_count != 0) {
        if (rc == 0)
            rc = ae_fail(-EPROTO, "a request carries file descriptors");
        if (may_log(c->server, MALFORMED))
            ae_log_line(AE_LOG_WARNING, "pid %" PRIu32 ": %s: connection closed", c->pid, aether_errmsg());
        return send_error(c->source.fd, rc) == 0 ? LINGER : CLOSE;
    }
    /*
     * A forked child may have kept the connection of a dead process. It has no token, so a grant for it would never be
     * freed.
     */
    if (c->client != AE_NO_CLIENT && ae_clients_free_if_dead(c->server->broker, c->client))
        return CLOSE;
    if (hung_up && needs_reply(&msg))
        return msg.type == AE_MSG_HELLO ? CLOSE : GO_ON;
    answer(c, &msg, &reply);
    log_request(c, &msg, &reply);
    reply.msg.request = msg.request;
    len = ae_msg_encode(&reply.msg, packet, sizeof packet);
    rc = len < 0 ? len : ae_packet_send(c->source.fd, packet, (size_t)len, reply.fds, reply.fd_count);
    for (int i = 0; i < reply.fd_count; i++)
        ae_close(&reply.fds[i]);
    if (rc == -EAGAIN && may_log(c->server, UNREAD))
        ae_log_line(AE_LOG_WARNING, "pid %" PRIu32 " doesn't read its replies: connection closed", c->pid);
    if (rc != 0)
        return CLOSE;
    return c->client != AE_NO_CLIENT || msg.type == AE_MSG_LOOK ? GO_ON : LINGER;
}

static void on_packet(struct ae_source *source, uint32_t events) {
    struct connection *c = AE_CONTAINER(source, struct connection, source);

    if (c->refused) {
        if (!drop_packet(c))
            free_connection(c);
        return;
    }
    const enum next next = serve_packet(c, (events & EPOLLHUP) != 0); /* the read finds out the end, or an error */
    if (next == LINGER)
        linger(c);
    else if (next == CLOSE)
        close_connection(c);
}

/* ---- new connections ---- */

/* May the program connect? 0, or -errno with a text. */
static int admit(const struct ae_server *s, const struct ucred *peer) {
    if (peer->uid != s->broker->instance.uid && peer->uid != 0)
        return ae_fail(-EACCES,
                       "aetherd at %s belongs to uid %u; this program is uid %u: it serves its own uid and root",
                       s->broker->instance.socket_path, (unsigned)s->broker->instance.uid, (unsigned)peer->uid);
    if (s->connection_count - s->refused_count >= s->broker->registry.clients_max + GREETING_MAX)
        return ae_fail(-EUSERS, "aetherd's limit of %" PRIu32 " client%s is reached: raise [limits] clients",
                       s->broker->registry.clients_max, ae_plural(s->broker->registry.clients_max, "", "s"));
    return 0;
}

/* NULL with a text: no memory is left. */
static struct connection *add_connection(struct ae_server *s, int fd, const struct ucred *peer) {
    struct connection *c = calloc(1, sizeof *c);

    if (c == NULL) {
        (void)ae_fail(-ENOMEM, "out of memory for a connection: %zu bytes", sizeof *c);
        return NULL;
    }
    *c = (struct connection){.server = s,
                             .source = {.fn = on_packet, .fd = fd, .events = EPOLLIN},
                             .hello = {.fn = on_hello_timeout},
                             .pid = (uint32_t)peer->pid,
                             .uid = peer->uid,
                             .client = AE_NO_CLIENT};
    if (ae_source_add(s->loop, &c->source) != 0) {
        free(c);
        return NULL;
    }
    ae_timer_arm(s->loop, &c->hello, ae_now_ns() + HELLO_TIMEOUT_NS);
    c->next = s->connections;
    c->link = &s->connections;
    if (c->next != NULL)
        c->next->link = &c->next;
    s->connections = c;
    s->connection_count++;
    return c;
}

static void log_accept_error(int code) {
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (code == EMFILE)
        ae_log_line(AE_LOG_WARNING,
                    "no connection can be accepted now: aetherd has its limit of %" PRIu64
                    " open files: raise ulimit -Hn or LimitNOFILE=",
                    (uint64_t)limit.rlim_cur);
    else
        ae_log_line(AE_LOG_WARNING, "no connection can be accepted now: %s%s", strerror(code),
                    code == ENFILE ? ": the machine has no descriptor left: sysctl fs.file-max" : "");
}

static void on_connect(struct ae_source *source, uint32_t events) {
    struct ae_server *s = AE_CONTAINER(source, struct ae_server, listener.socket);
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct connection *c = NULL;
    struct ucred peer;
    socklen_t len = sizeof peer;
    int rc;

    (void)events;
    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            if (may_log(s, UNACCEPTED))
                log_accept_error(errno);
            pause_accepting(s); /* otherwise epoll would report the waiting connection again and again */
        }
        return;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        rc = ae_fail(-errno, "peer's identity: %s", strerror(errno));
    else
        rc = admit(s, &peer);
    if ((rc == 0 || s->refused_count < REFUSED_MAX) && (c = add_connection(s, fd, &peer)) == NULL)
        rc = -ENOMEM;
    if (rc == 0)
        return;
    if (may_log(s, rc == -EACCES ? FOREIGN : rc == -EUSERS ? CROWDED : FAILED))
        ae_log_line(AE_LOG_WARNING, "connection refused: %s", aether_errmsg());
    (void)send_error(fd, rc);
    if (c != NULL)
        linger(c);
    else
        ae_close(&fd);
}

/* ---- start and stop ---- */

int ae_server_open(struct ae_server **server, struct ae_broker *broker, struct ae_loop *loop, int handed, int *lock) {
    const uint32_t clients = broker->registry.clients_max;
    struct ae_server *s = calloc(1, sizeof *s);
    int rc;

    if (s == NULL)
        return ae_fail(-ENOMEM, "out of memory for the server: %zu bytes", sizeof *s);
    *s = (struct ae_server){.broker = broker,
                            .loop = loop,
                            .presence = calloc(clients, sizeof *s->presence),
                            .accept_again = {.fn = on_accept_again}};
    if (s->presence == NULL) {
        free(s);
        return ae_fail(-ENOMEM, "out of memory for the presence of clients: %zu bytes", clients * sizeof *s->presence);
    }
    for (uint32_t i = 0; i < clients; i++)
        s->presence[i] = (struct presence){
            .server = s, .process = {.fn = on_process_end, .fd = -1, .events = EPOLLIN}, .check = {.fn = on_check}};
    for (int i = 0; i < CAUSES; i++)
        ae_repeats_open(&s->repeats[i], loop, causes[i]);
    rc = ae_listener_open(&s->listener, &broker->instance, loop, handed, lock, on_connect);
    if (rc != 0) {
        ae_server_close(s);
        return rc;
    }
    for (uint32_t i = 0; i < clients; i++)
        check_client(&s->presence[i], LAST_CHECK_NS); /* adopted clients, until they resume or die */
    *server = s;
    return 0;
}

void ae_server_check(struct ae_server *s) {
    ae_listener_check(&s->listener);
}

void ae_server_close(struct ae_server *s) {
    for (struct connection *c = s->connections, *next; c != NULL; c = next) {
        next = c->next;
        free_connection(c);
    }
    for (uint32_t i = 0; i < s->broker->registry.clients_max; i++)
        reset_presence(&s->presence[i]);
    ae_timer_disarm(&s->accept_again);
    for (int i = 0; i < CAUSES; i++)
        ae_repeats_close(&s->repeats[i]);
    ae_listener_close(&s->listener);
    free(s->presence);
    free(s);
}

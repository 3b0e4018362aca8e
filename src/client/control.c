/* SPDX-License-Identifier: Apache-2.0 */
#include "client/control.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/number.h"
#include "base/text.h"
#include "client/unreachable.h"
#include "shm/token.h"
#include <aether/error.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_NS 5000000000ull
#define LEAST_NS 1000000000ull /* of a request whose time is over: in it an aetherd that runs answers */
#define ATTEMPT_NS 10000000ull /* between two attempts to connect: no event says that the backlog has room again */

#define GO_ON 2 /* the next stage can begin */

void ae_reply_close(struct ae_reply *reply) {
    for (int i = 0; i < reply->fd_count; i++)
        ae_close(&reply->fds[i]);
    reply->fd_count = 0;
}

static int wait_until(struct ae_control_wait *wait, int fd, short events, uint64_t until_ns) {
    *wait = (struct ae_control_wait){.fd = fd, .events = events, .until_ns = until_ns};
    return AE_CONTROL_WAIT;
}

/* ---- a packet and its reply ---- */

static int lost_connection(struct ae_control *control, int code) {
    char time[AE_TEXT_SECONDS_BYTES];

    ae_close(&control->sock);
    if (code == -ETIMEDOUT)
        return ae_fail(code, "aetherd at %s: no answer within %s; is it stopped?", control->socket_path,
                       ae_text_seconds(time, control->allowed_ns));
    if (code == -ECONNRESET)
        return ae_fail(code, "aetherd at %s ended before it answered: try again", control->socket_path);
    return ae_fail(code, "aetherd at %s: %s", control->socket_path, strerror(-code));
}

static void set_deadline(struct ae_control *control) {
    const uint64_t now = ae_now_ns(), until = control->until_ns != 0 ? control->until_ns : UINT64_MAX;

    control->allowed_ns = ae_least(control->patience_ns, until > now + LEAST_NS ? until - now : LEAST_NS);
    control->deadline = now + control->allowed_ns;
}

/* A stage begins. An anonymous machine has begun all of them at once, in ae_control_start(). */
static void begin_stage(struct ae_control *control) {
    if (!control->anonymous)
        set_deadline(control);
}

static int begin_exchange(struct ae_control *control, struct ae_msg *msg, uint16_t expect) {
    int len;

    msg->request = ++control->request;
    len = ae_msg_encode(msg, control->packet, sizeof control->packet);
    if (len < 0)
        return ae_fail(len, "request can't be encoded");
    control->packet_len = (size_t)len;
    control->expect = expect;
    control->sent = false;
    control->reply.fd_count = 0;
    begin_stage(control);
    return GO_ON;
}

static int wait_for_peer(struct ae_control *control, short events, struct ae_control_wait *wait) {
    if (ae_now_ns() >= control->deadline)
        return lost_connection(control, -ETIMEDOUT);
    return wait_until(wait, control->sock, events, control->deadline);
}

static int receive_reply(struct ae_control *control, struct ae_control_wait *wait) {
    struct ae_reply *reply = &control->reply;
    uint8_t packet[AE_PACKET_MAX];
    int rc, retried = 0;

    do {
        reply->fd_count = AE_PACKET_FDS_MAX;
        rc = ae_packet_receive(control->sock, packet, sizeof packet, reply->fds, &reply->fd_count);
        if (rc <= 0)
            reply->fd_count = 0;
        /*
         * aetherd closed the connection without reading our packet. The kernel says that first, once; then it gives
         * what aetherd sent before, such as an ERROR that says why.
         */
    } while (rc == -ECONNRESET && !retried++);
    if (rc == -EAGAIN)
        return wait_for_peer(control, POLLIN, wait);
    if (rc == -ENFILE) /* it is this program that has no room for the reply's descriptors, and not the machine */
        rc = -EMFILE;
    if (rc <= 0)
        return lost_connection(control, rc == 0 ? -ECONNRESET : rc);
    rc = ae_msg_decode(&reply->msg, packet, (size_t)rc);
    if (rc != 0)
        rc = ae_fail(rc, "what answers at %s isn't an aetherd of this release: %s", control->socket_path,
                     aether_errmsg());
    else if (reply->msg.request != control->request && reply->msg.type != AE_MSG_ERROR)
        rc = ae_fail(-EPROTO, "aetherd at %s answered another request", control->socket_path);
    if (rc != 0) {
        ae_reply_close(reply);
        ae_close(&control->sock);
    }
    return rc;
}

/*
 * Sends the packet of begin_exchange() and takes the reply, which must be of the expected type. -ECONNRESET: the daemon
 * closed the connection before it answered.
 */
static int exchange(struct ae_control *control, struct ae_control_wait *wait) {
    struct ae_reply *reply = &control->reply;
    int rc;

    if (!control->sent) {
        rc = ae_packet_send(control->sock, control->packet, control->packet_len, NULL, 0);
        if (rc == -EAGAIN)
            return wait_for_peer(control, POLLOUT, wait);
        if (rc != 0 && rc != -EPIPE && rc != -ECONNRESET)
            return lost_connection(control, rc);
        control->sent = true; /* also if aetherd has closed the connection: it may have sent an ERROR before */
    }
    if ((rc = receive_reply(control, wait)) != 0 || reply->msg.type == control->expect)
        return rc;
    ae_reply_close(reply);
    control->refused = reply->msg.type == AE_MSG_ERROR && reply->msg.u.error.code < 0;
    if (control->refused)
        return ae_fail(reply->msg.u.error.code, "%s", reply->msg.u.error.text);
    ae_close(&control->sock);
    return ae_fail(-EPROTO, "aetherd at %s answered with message type %u, not %u", control->socket_path,
                   reply->msg.type, control->expect);
}

/* ---- connecting ---- */

/* A new connection. 0, or -EACCES: what listens doesn't serve this program. */
static int check_peer(struct ae_control *control) {
    struct ucred peer = {.pid = 0};
    socklen_t len = sizeof peer;

    if (getsockopt(control->sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return 0;
    control->peer_pid = peer.pid;
    return ae_unreachable_foreign(control->socket_path, (uint32_t)peer.uid);
}

static int connect_socket(struct ae_control *control, struct ae_control_wait *wait) {
    struct sockaddr_un address;
    int len = ae_socket_address(&address, control->socket_path);
    int rc;

    if (len == -ENOENT)
        return ae_fail(len, "socket path is empty: use the path of aetherd's socket, or NULL for the default");
    if (len < 0)
        return ae_fail(len, "socket path '%s' is too long: at most %u bytes", control->socket_path, AE_SOCKET_PATH_MAX);
    if (control->sock < 0)
        control->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->sock < 0)
        return ae_unreachable_socket(control->socket_path, -errno);
    do {
        /* Non-blocking: while the backlog of a stopped daemon is full, a blocking connect would never return. */
        rc = connect(control->sock, (const struct sockaddr *)&address, (socklen_t)len) == 0 ? 0 : -errno;
    } while (rc == -EINTR);
    if (rc == 0)
        return (rc = check_peer(control)) == 0 ? GO_ON : rc;
    const uint64_t now = ae_now_ns(), began = control->deadline - control->allowed_ns;
    const uint64_t starts_ns = ae_least(control->starts_ns, control->allowed_ns);
    uint64_t until = control->deadline, passes_ns;
    if (rc != -EAGAIN) {
        rc = ae_unreachable(control->socket_path, rc, starts_ns, &passes_ns);
        until = began + passes_ns;
    }
    if (now < until)
        return wait_until(wait, -1, 0, now + ae_least(until - now, ATTEMPT_NS));
    return rc != -EAGAIN ? rc : ae_unreachable(control->socket_path, -ETIMEDOUT, control->allowed_ns, &passes_ns);
}

/* Says HELLO as a new client or, if aetherd has been restarted, as the client that we are. */
static int begin_hello(struct ae_control *control) {
    struct ae_msg msg = {.type = AE_MSG_HELLO};

    msg.u.hello.resume_id = control->client_id;
    memcpy(msg.u.hello.resume_nonce, control->nonce, sizeof control->nonce);
    msg.u.hello.resume_grant = control->last_grant;
    memcpy(msg.u.hello.name, control->name, sizeof control->name);
    return begin_exchange(control, &msg, AE_MSG_WELCOME);
}

static int keep_token(struct ae_control *control, int fd) {
    void **tokens = realloc(control->tokens, (control->token_count + 1) * sizeof *tokens);
    int rc;

    if (tokens == NULL) {
        ae_close(&fd);
        return ae_fail(-ENOMEM, "out of memory for the tokens of a client: %zu bytes",
                       (control->token_count + 1) * sizeof *tokens);
    }
    control->tokens = tokens;
    rc = ae_token_hold(fd, &tokens[control->token_count]);
    if (rc == 0)
        control->token_count++;
    return rc;
}

/*
 * Handles the WELCOME. If we had a client_id and get another, aetherd has lost its registry. Open handles still work,
 * but aetherd doesn't know them.
 */
static int take_welcome(struct ae_control *control) {
    struct ae_reply *reply = &control->reply;
    int rc;

    if (reply->msg.u.welcome.resumed) {
        ae_reply_close(reply);
        return GO_ON;
    }
    if (reply->fd_count != 1) {
        ae_reply_close(reply);
        return ae_fail(-EPROTO, "aetherd at %s sent no token (out of file descriptors?)", control->socket_path);
    }
    reply->fd_count = 0;
    if ((rc = keep_token(control, reply->fds[0])) != 0)
        return rc;
    control->client_id = reply->msg.u.welcome.client_id;
    memcpy(control->nonce, reply->msg.u.welcome.nonce, sizeof control->nonce);
    control->last_grant = 0;
    return GO_ON;
}

/* ---- grants that are to be given back ---- */

void ae_control_asks(struct ae_control *control, bool asks) {
    if (control->token_count != 0)
        ae_token_disown(control->tokens[control->token_count - 1], asks ? 0 : control->last_grant + 1);
}

void ae_control_queue(struct ae_control *control, struct ae_return *back) {
    back->next = control->returns;
    control->returns = back;
}

static void drop_return(struct ae_control *control) {
    struct ae_return *back = control->returns;

    control->returns = back->next;
    free(back);
}

static int begin_return(struct ae_control *control) {
    struct ae_msg msg = {.type = AE_MSG_CLOSE};

    msg.u.close.grant_id = control->returns->grant_id;
    control->stage = AE_CONTROL_RETURN;
    return begin_exchange(control, &msg, AE_MSG_DONE);
}

/* On a connection: begins to give back the first queued grant, or begins the request, or ends. */
static int begin_next(struct ae_control *control) {
    /* Drop the grants of a former client id: aetherd has forgotten them, and may have used their numbers again. */
    while (control->returns != NULL && control->returns->client_id != control->client_id)
        drop_return(control);
    if (control->returns != NULL)
        return begin_return(control);
    control->stage = AE_CONTROL_REQUEST;
    return control->msg != NULL ? begin_exchange(control, control->msg, control->msg_expect) : 0;
}

/* ---- the machine ---- */

bool ae_control_connected(const struct ae_control *control) {
    struct pollfd entry = {.fd = control->sock, .events = POLLIN};

    return control->sock >= 0 && poll(&entry, 1, 0) == 0;
}

static int advance(struct ae_control *control, struct ae_control_wait *wait) {
    int rc;

    switch (control->stage) {
    case AE_CONTROL_CHECK:
        if (ae_control_connected(control))
            return begin_next(control);
        ae_close(&control->sock);
        control->stage = AE_CONTROL_CONNECT;
        begin_stage(control);
        return GO_ON;
    case AE_CONTROL_CONNECT:
        if ((rc = connect_socket(control, wait)) != GO_ON) {
            if (rc != AE_CONTROL_WAIT)
                ae_close(&control->sock);
            return rc;
        }
        if (control->anonymous)
            return begin_next(control);
        control->stage = AE_CONTROL_HELLO;
        return begin_hello(control);
    case AE_CONTROL_HELLO:
        if ((rc = exchange(control, wait)) == AE_CONTROL_WAIT)
            return rc;
        if (rc == 0)
            rc = take_welcome(control);
        if (rc == GO_ON)
            return begin_next(control);
        ae_close(&control->sock);
        return rc;
    case AE_CONTROL_RETURN:
        if ((rc = exchange(control, wait)) == AE_CONTROL_WAIT)
            return rc;
        ae_reply_close(&control->reply);
        if (rc != 0 && control->sock < 0)
            return lost_connection(control, -ECONNRESET);
        drop_return(control); /* also after an ERROR: then aetherd doesn't have the grant any more */
        return begin_next(control);
    case AE_CONTROL_REQUEST:
        return exchange(control, wait);
    case AE_CONTROL_IDLE:
        break;
    }
    return ae_fail(-EINVAL, "no request is under way");
}

void ae_control_start(struct ae_control *control, struct ae_msg *msg, uint16_t expect, bool again) {
    control->stage = AE_CONTROL_CHECK;
    control->msg = msg;
    control->msg_expect = expect;
    control->again = again;
    control->resent = control->refused = false;
    set_deadline(control);
}

int ae_control_step(struct ae_control *control, struct ae_control_wait *wait) {
    int rc;

    for (;;) {
        do {
            rc = advance(control, wait);
        } while (rc == GO_ON);
        if (rc == AE_CONTROL_WAIT)
            return rc;
        if (rc != -ECONNRESET || !control->again)
            break;
        /* aetherd has died before it answered: ask its successor. */
        control->again = false;
        control->resent = true;
        control->stage = AE_CONTROL_CHECK;
    }
    /* There is no successor: the code says that aetherd has died, the text says what happened on connecting again. */
    if (rc < 0 && control->resent && control->stage != AE_CONTROL_REQUEST)
        rc = -ECONNRESET;
    control->stage = AE_CONTROL_IDLE;
    return rc;
}

void ae_control_init(struct ae_control *control, const char *socket_path, const char *name) {
    *control = (struct ae_control){.sock = -1, .peer_pid = -1, .patience_ns = PATIENCE_NS, .starts_ns = PATIENCE_NS};
    (void)snprintf(control->socket_path, sizeof control->socket_path, "%s", socket_path);
    (void)snprintf(control->name, sizeof control->name, "%s", name);
}

void ae_control_free(struct ae_control *control) {
    for (size_t i = 0; i < control->token_count; i++)
        ae_token_drop(control->tokens[i]);
    free(control->tokens);
    ae_close(&control->sock);
    while (control->returns != NULL)
        drop_return(control);
}

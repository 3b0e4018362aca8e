/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - the connection to aetherd as a state machine: connect, say HELLO or resume, give back the grants of
 * closed handles, send one request and take its reply.
 *
 * The machine never blocks. Its user starts a request and steps the machine until the request ends. A step that can't
 * continue says when the next step is due: when a descriptor is ready, at a time, or at the earlier of both. A blocking
 * caller waits with poll(2); a program with an event loop adds the descriptor and the time to the loop.
 *
 *     ae_control_start(&control, &msg, AE_MSG_DONE, AE_CONTROL_AGAIN);
 *     while ((rc = ae_control_step(&control, &wait)) == AE_CONTROL_WAIT)
 *         wait until wait.fd has wait.events, or until wait.until_ns;
 *     rc == 0: control.reply has the reply
 *
 * Each connect, HELLO, return and request may take 5 seconds, or what the user states as patience, and ends at the
 * instant that the user states. A machine that is anonymous has its patience for the request as a whole. One thread at a
 * time uses a machine.
 */
#ifndef AE_CLIENT_CONTROL_H
#define AE_CLIENT_CONTROL_H

#include "base/socket.h"
#include "protocol/message.h"
#include <stdbool.h>
#include <sys/types.h>

/*
 * A grant that is to be given back. It is the first member of a handle's memory, so that the memory of a closed handle
 * can wait in the machine's queue until aetherd has taken the grant back.
 */
struct ae_return {
    struct ae_return *next;
    uint64_t grant_id, client_id;
};

struct ae_reply {
    struct ae_msg msg;
    int fds[AE_PACKET_FDS_MAX];
    int fd_count;
};

enum ae_control_stage {
    AE_CONTROL_IDLE,
    AE_CONTROL_CHECK, /* checks whether the connection has ended */
    AE_CONTROL_CONNECT,
    AE_CONTROL_HELLO,
    AE_CONTROL_RETURN, /* gives back the first grant in `returns` */
    AE_CONTROL_REQUEST
};

struct ae_control {
    int sock; /* -1: not connected. Between requests aetherd sends nothing. */
    char socket_path[108];
    char name[AE_CLIENT_NAME_MAX + 1];
    bool anonymous;       /* says no HELLO and becomes no client: it can only send LOOK. The machine's user sets it */
    uint64_t patience_ns; /* 5 seconds unless the machine's user changes it */
    uint64_t until_ns;    /* CLOCK_MONOTONIC: ends what still lasts, but a second is always allowed; 0: none */
    uint64_t starts_ns;   /* the same for an aetherd that starts; at most patience_ns counts */

    /*
     * Of the last connection: the process that listens at the socket, in this program's pid namespace; 0: it isn't in
     * that; -1: there was no connection. Stays when the connection ends.
     */
    pid_t peer_pid;
    bool refused; /* the last request's error is aetherd's answer to it, an ERROR */

    /* The client's identity, from aetherd. client_id 0: none yet. */
    uint64_t client_id, nonce[2];

    /*
     * Set by the machine's user: the newest grant that arrived. aetherd frees later ones, whose reply was lost, when
     * the client resumes or the token says so.
     */
    uint64_t last_grant;

    /*
     * The mapped tokens: while they are mapped, the client is alive for aetherd. There are several only if an aetherd
     * has lost its registry: then the objects of older handles are still mapped, and the old token must be, too.
     */
    void **tokens;
    size_t token_count;

    /* The queue of grants that are to be given back. The machine owns it. */
    struct ae_return *returns;

    /* The present request. */
    enum ae_control_stage stage;
    struct ae_msg *msg; /* NULL: only connect, and give back what is queued */
    uint16_t msg_expect;
    bool again;          /* begin again, once, if aetherd closes the connection before it answers */
    bool resent;         /* the request was begun again */
    uint64_t deadline;   /* of the stage, or of all */
    uint64_t allowed_ns; /* from its begin to the deadline */

    /* The present packet. */
    uint8_t packet[AE_PACKET_MAX];
    size_t packet_len;
    uint32_t request; /* its request id */
    uint16_t expect;
    bool sent;

    /* The reply, after a step that returned 0. Its fds belong to the machine's user. */
    struct ae_reply reply;
};

#define AE_CONTROL_ONCE false
#define AE_CONTROL_AGAIN true

#define AE_CONTROL_WAIT 1

struct ae_control_wait {
    int fd;            /* -1: only a time */
    short events;      /* POLLIN, POLLOUT */
    uint64_t until_ns; /* CLOCK_MONOTONIC: step then at the latest */
};

/* Makes an unconnected machine. socket_path: at most AE_SOCKET_PATH_MAX bytes. name is cut after 63 bytes. */
void ae_control_init(struct ae_control *control, const char *socket_path, const char *name);

/*
 * Drops the tokens, closes the connection, frees the queue. The tokens are dropped first: when aetherd sees the end of
 * the connection, it finds them free, and frees everything that this client held.
 */
void ae_control_free(struct ae_control *control);

/*
 * Starts a request whose reply is of type `expect`. The request before must have ended. msg stays the caller's and is
 * used until the request ends. If msg is NULL, the machine only connects, if necessary, and gives back the queued
 * grants. again: with AE_CONTROL_AGAIN the machine connects and sends once more if aetherd closes the connection before
 * it answers.
 */
void ae_control_start(struct ae_control *control, struct ae_msg *msg, uint16_t expect, bool again);

/*
 * Continues as far as possible without blocking. AE_CONTROL_WAIT: *wait says what to wait for before the next step; an
 * earlier step is allowed. 0: the request is done. An error ends the request, and is one of those of aether_connect();
 * or the code of aetherd's ERROR; or -ECONNRESET: aetherd closed the connection before it answered and, with
 * AE_CONTROL_AGAIN, no successor could be reached.
 */
int ae_control_step(struct ae_control *control, struct ae_control_wait *wait);

/*
 * Call it with true before a request for a grant, and with false when that has ended, after last_grant was set. In
 * between aetherd must expect that the client has a grant which it doesn't know of yet. Afterwards aetherd may free the
 * grants that are newer than last_grant.
 */
void ae_control_asks(struct ae_control *control, bool asks);

/*
 * Queues a grant, which the next request gives back. Its memory, from malloc, is the machine's from now on. A grant of
 * an earlier client_id is dropped: no aetherd has it any more.
 */
void ae_control_queue(struct ae_control *control, struct ae_return *back);

/*
 * Is there a connection that hasn't ended? Between requests aetherd sends nothing: if the socket is readable, the
 * connection has ended. Doesn't block.
 */
bool ae_control_connected(const struct ae_control *control);

/* Closes the fds of a reply. */
void ae_reply_close(struct ae_reply *reply);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - the connection to aetherd as a state machine: connect, say HELLO or resume, give back what was closed
 * without a daemon, send one request and take its reply.
 *
 * The machine never blocks. Its user starts a request and steps the machine until the request ends. A step that can't
 * go on says what it waits for: a descriptor, a time, or whichever comes first. A blocking caller waits with poll(2); a
 * program with an event loop adds the descriptor and the time to the loop.
 *
 *     ae_control_start(&control, &msg, AE_MSG_DONE, AE_CONTROL_AGAIN);
 *     while ((rc = ae_control_step(&control, &wait)) == AE_CONTROL_WAIT)
 *         wait until wait.fd has wait.events, or until wait.until_ns;
 *     rc == 0: control.reply has the reply
 *
 * Each connect, HELLO, return and request may take 5 seconds. One thread at a time uses a machine.
 */
#ifndef AE_CLIENT_CONTROL_H
#define AE_CLIENT_CONTROL_H

#include "base/socket.h"
#include "protocol/message.h"
#include <stdbool.h>

/*
 * A grant: which one, and of which client of aetherd. The first member of what is allocated for a handle, so that a
 * closed handle's memory can wait in the machine's queue until aetherd has been told.
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
    AE_CONTROL_CHECK, /* is there a connection, and is it still one? */
    AE_CONTROL_CONNECT,
    AE_CONTROL_HELLO,
    AE_CONTROL_RETURN, /* of the first grant in `returns` */
    AE_CONTROL_REQUEST
};

struct ae_control {
    int sock; /* -1: not connected; silent between requests */
    char socket_path[108];
    char name[AE_CLIENT_NAME_MAX + 1];

    /* What aetherd knows us by. */
    uint64_t client_id, nonce[2];
    /* Set by the machine's user: the newest grant that arrived. A resume frees later ones, whose reply was lost. */
    uint64_t last_grant;
    /*
     * While these are mapped we are alive for aetherd. More than one only if an aetherd lost its registry: what was
     * opened before is still mapped, so the old token must be, too.
     */
    void **tokens;
    size_t token_count;

    struct ae_return *returns; /* closed and not given back yet; owned */

    /* The request that is under way. */
    enum ae_control_stage stage;
    struct ae_msg *msg; /* NULL: none, only connect and give back */
    uint16_t msg_expect;
    bool again;        /* begin anew, once, if aetherd goes away before it has answered */
    bool resent;       /* it has been begun anew */
    uint64_t deadline; /* of the stage */

    /* The packet that is under way. */
    uint8_t packet[AE_PACKET_MAX];
    size_t packet_len;
    uint32_t request; /* id of the last one */
    uint16_t expect;
    bool sent;

    struct ae_reply reply; /* after a step that returned 0: the reply; its fds are the machine's user's */
};

#define AE_CONTROL_ONCE false
#define AE_CONTROL_AGAIN true

#define AE_CONTROL_WAIT 1

struct ae_control_wait {
    int fd;            /* -1: only a time */
    short events;      /* POLLIN, POLLOUT */
    uint64_t until_ns; /* CLOCK_MONOTONIC: step then at the latest */
};

/* An unconnected machine for the daemon at socket_path (at most AE_SOCKET_PATH_MAX bytes); name: cut after 63 bytes. */
void ae_control_init(struct ae_control *control, const char *socket_path, const char *name);

/*
 * Drops the tokens, closes the connection, frees the queue. The tokens go first: aetherd, prompted by the end of the
 * connection, finds them free and frees all that this client held.
 */
void ae_control_free(struct ae_control *control);

/*
 * Starts a request that is answered by a message of type `expect`. The request before it must have ended. msg stays the
 * caller's and is used until the request ends. NULL: no request; the machine connects if it has to, gives back what is
 * queued, and ends. again: AE_CONTROL_AGAIN: if aetherd goes away before it answers, connect and send once more.
 */
void ae_control_start(struct ae_control *control, struct ae_msg *msg, uint16_t expect, bool again);

/*
 * Goes on as far as it can. AE_CONTROL_WAIT: *wait says until when to wait before the next step; a step that comes too
 * early does no harm. 0: done. Errors end the request: those of aether_connect(); -ECONNRESET: aetherd went away before
 * it answered, or goes on not to be there after it did; or the code of aetherd's ERROR.
 */
int ae_control_step(struct ae_control *control, struct ae_control_wait *wait);

/*
 * Queues a grant to be given back by the next request. The memory, from malloc, is the machine's from now on. A grant
 * of another client_id than the present one is forgotten: no aetherd knows it any more.
 */
void ae_control_queue(struct ae_control *control, struct ae_return *back);

/* Closes the fds of a reply that its user doesn't want. */
void ae_reply_close(struct ae_reply *reply);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - the control protocol's messages (docs/protocol.md): bytes to struct and back, no I/O.
 *
 * One message is one SOCK_SEQPACKET packet. It begins with a 12-byte header: u16 type, u16 protocol version, u32
 * request id, u32 length of the whole packet. The fields follow in the order of the structs below, little-endian and
 * unpadded; a string is a u16 length and its bytes. A message that is cut, too long, or has bytes left over is refused.
 */
#ifndef AE_PROTOCOL_MESSAGE_H
#define AE_PROTOCOL_MESSAGE_H

#include "base/socket.h"
#include <aether/detail/layout.h>
#include <stddef.h>
#include <stdint.h>

#define AE_PROTOCOL_VERSION 5u
#define AE_PACKET_MAX 1024u
#define AE_TEXT_MAX 511u

enum ae_msg_type {
    /* From the client. Each has one reply; a request that fails is answered with ERROR. */
    AE_MSG_HELLO = 1,    /* the first message -> WELCOME */
    AE_MSG_OPEN = 3,     /* open a publisher or subscriber -> OPENED */
    AE_MSG_CLOSE = 5,    /* give a grant back -> DONE */
    AE_MSG_CREATE = 6,   /* create a topic -> DONE */
    AE_MSG_REMOVE = 7,   /* remove a topic -> DONE */
    AE_MSG_SHUTDOWN = 8, /* stop the daemon -> DONE */
    AE_MSG_LOOK = 11,    /* open one of the daemon's objects for reading; also before HELLO -> OBJECT */

    /* From the daemon. */
    AE_MSG_WELCOME = 2, /* with the fd of the token, unless the client is resumed */
    AE_MSG_OPENED = 4,  /* with fds: AE_FD_* */
    AE_MSG_DONE = 9,
    AE_MSG_ERROR = 10, /* a negative errno code and a text */
    AE_MSG_OBJECT = 12 /* with the fd of the object, read-only */
};

/*
 * The fds of an OPENED, in this order. There are no cursors if the role is best effort. If the topic has no slots yet,
 * the registry's follows as the last one, read-only.
 */
enum { AE_FD_LOG, AE_FD_STATS, AE_FD_NOTES, AE_FD_CURSORS };
#define AE_FDS_MAX 5

/* The flags of an OPEN. */
#define AE_OPEN_EXISTING 1u /* doesn't create the topic: -ENOENT if there is none */

/* What LOOK opens. */
#define AE_LOOK_INSTANCE 0u /* the registry; id is 0 */
#define AE_LOOK_LOG 1u      /* id: the topic's */
#define AE_LOOK_CURSORS 2u  /* id: the topic's */
#define AE_LOOK_STATS 3u    /* id: the client's */
#define AE_LOOK_TOTALS 4u   /* id is 0 */

#define AE_PREFIX_MAX 39u /* bytes of the prefix of an instance's objects */
#define AE_SHAPE_MAX 2u   /* the largest shape of a topic */

struct ae_topic_request {
    /* Terminated by a NUL here, not in the packet. The decoder refuses a name that contains a NUL. */
    char topic[AE_TOPIC_NAME_MAX + 1];

    /* As in aether_topic_config. 0: not stated. */
    uint64_t max_message, inline_max, capacity, lane_bytes, evict_lag, start_seq;
    uint32_t preset, publishers, slow, latency;

    /* The messages' type. type_name is "" if the client states none. */
    uint32_t type_version, type_size;
    char type_name[AE_TYPE_NAME_MAX + 1];
};

struct ae_msg {
    uint16_t type;

    /* After decoding: the sender's. HELLO and ERROR are decoded in any version, other messages only in our version. */
    uint16_t version;

    /* Chosen by the client, repeated in the reply. */
    uint32_t request;

    union {
        struct {
            /*
             * resume_id is 0 for a new client. Otherwise the daemon was restarted, and this is the client of that id;
             * the nonce proves it. resume_grant is the newest grant whose reply the client received: the daemon frees
             * later grants, because their replies were lost.
             */
            uint64_t resume_id, resume_nonce[2];
            uint64_t resume_grant;
            char name[AE_CLIENT_NAME_MAX + 1];
        } hello;
        struct {
            uint64_t client_id, nonce[2];
            uint32_t resumed; /* 1: the client keeps its token, and no fd comes with the message */
            uint32_t daemon_pid;
        } welcome;
        struct {
            uint32_t role;  /* AE_ROLE_* */
            uint32_t flags; /* AE_OPEN_* */
            struct ae_topic_request topic;
        } open;
        struct {
            uint64_t grant_id, topic_id;
            uint32_t role, record;
            uint32_t stats;        /* index of the handle's record in the client's statistics */
            uint32_t shape;        /* of the topic, AE_SHAPE_*; below 2 the geometry is zero but for start_seq */
            uint64_t registry_off; /* of the topic's record */
            ae_geometry geometry;
        } opened;
        struct {
            uint64_t grant_id;
        } close;
        struct ae_topic_request create;
        struct {
            char topic[AE_TOPIC_NAME_MAX + 1];
        } remove;
        struct {
            uint32_t kind; /* AE_LOOK_* */
            uint64_t id;
        } look;
        struct {
            uint32_t pid, uid; /* the daemon's */
            uint64_t bytes;    /* size of the object */
            char prefix[AE_PREFIX_MAX + 1];
            char socket_path[AE_SOCKET_PATH_MAX + 1];
        } object;
        struct {
            int32_t code; /* negative errno */
            char text[AE_TEXT_MAX + 1];
        } error;
    } u;
};

/*
 * Writes the packet to buf, for which AE_PACKET_MAX bytes are always enough. Returns its length, or -EMSGSIZE if buf is
 * too small, -EINVAL if the message has an unknown type, a wrong value or a string that is too long. Sets no
 * aether_errmsg().
 */
int ae_msg_encode(const struct ae_msg *msg, uint8_t *buf, size_t size);

/*
 * Reads a packet. Returns 0, or -EPROTO with a text in aether_errmsg(). Never reads beyond len; ends strings by NUL.
 * Control characters in the name of a client, the name of a type and the text of an error become '?'.
 */
int ae_msg_decode(struct ae_msg *msg, const uint8_t *buf, size_t len);

#endif

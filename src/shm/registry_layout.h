/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_layout.h - the layout of the registry object. docs/layout.md describes the same bytes; the assertions below
 * check the sizes and offsets. Each instance of aetherd has one registry. Only aetherd writes it; inspectors read it.
 *
 * All integers are little-endian; there are no pointers, enums, bools, longs or size_ts. The layout's version is that
 * of aether/detail/layout.h. The registry isn't in that header, because programs that publish and subscribe don't need
 * it.
 */
#ifndef AE_SHM_REGISTRY_LAYOUT_H
#define AE_SHM_REGISTRY_LAYOUT_H

#include <aether/detail/layout.h>

#define AE_REGISTRY_MAGIC 0x0031474552524541ull /* "AERREG1\0" */

/*
 * A copy of a record is valid if and only if the state word said LIVE with the same generation before and after the
 * copying. aetherd changes the word before it changes other fields, and stores LIVE after them.
 *
 *   state word = generation << 8 | state
 */
#define AE_RECORD_FREE 0ull
#define AE_RECORD_CREATING 1ull /* its objects may exist, but no client uses them */
#define AE_RECORD_LIVE 2ull
#define AE_RECORD_REMOVING 3ull /* its objects are being unlinked */

typedef struct ae_registry_header {
    uint64_t magic;
    uint32_t layout_major;
    uint32_t layout_minor;
    uint64_t bytes;
    uint32_t topics_max;
    uint32_t clients_max;
    uint32_t grants_max;
    uint32_t daemon_pid; /* of the daemon that runs or ran last; only the lock file shows whether it runs */
    uint64_t started_ns; /* CLOCK_REALTIME of its start */
    ae_u64 next_id;      /* ids of topics, clients and grants are never reused */
    ae_u64 generation;   /* raised after a topic has come, has gone or has got its type; its lower half is a futex */
    uint8_t reserved[64];
    char socket_path[128]; /* NUL-terminated */
    uint8_t reserved2[3840];
} ae_registry_header;

typedef struct ae_registry_topic {
    ae_u64 state;
    uint64_t topic_id;
    uint64_t created_ns; /* CLOCK_REALTIME */
    ae_geometry geometry;
    uint32_t name_len; /* 1..255 */
    uint32_t type_version;
    uint32_t type_size; /* bytes; 0: not stated */
    uint32_t reserved0;
    uint8_t reserved1[64];
    char name[256]; /* NUL-terminated */
    /* NUL-terminated; "": no type yet. The first byte is written last: if it isn't 0, the type is complete. */
    char type_name[64];
} ae_registry_topic;

typedef struct ae_registry_client {
    ae_u64 state;
    uint64_t client_id;
    uint64_t nonce[2];   /* with it the client proves its identity to a successor of aetherd */
    uint64_t created_ns; /* CLOCK_REALTIME */
    uint32_t pid;        /* from the kernel; 0 if it is in a pid namespace that aetherd doesn't see */
    uint32_t uid;
    char name[64]; /* NUL-terminated */
    uint8_t reserved[16];
} ae_registry_client;

/* One open publisher or subscriber: a client that holds a record of a topic. */
typedef struct ae_registry_grant {
    ae_u64 state;
    uint64_t grant_id;
    uint64_t topic_id;
    uint64_t client_id;
    uint32_t role;        /* AE_ROLE_* */
    uint32_t record;      /* index of the publisher or cursor record; 0 for best effort */
    uint32_t stats;       /* index of its record in the client's statistics */
    uint32_t folded;      /* 1: its figures are part of the topic's totals */
    uint64_t granted_ns;  /* CLOCK_MONOTONIC when aetherd granted it; bounds what its holder can have done */
    uint64_t granted_seq; /* the log's `position` then: the topic's end, or a sequence before it; bounds it, too */
} ae_registry_grant;

_Static_assert(sizeof(ae_registry_header) == AE_PAGE, "registry header");
_Static_assert(offsetof(ae_registry_header, generation) == 56, "generation");
_Static_assert(offsetof(ae_registry_header, socket_path) == 128, "socket path");
_Static_assert(sizeof(ae_registry_topic) == 512, "registry topic");
_Static_assert(offsetof(ae_registry_topic, name_len) == 112, "registry topic name length");
_Static_assert(offsetof(ae_registry_topic, name) == 192, "registry topic name");
_Static_assert(sizeof(ae_registry_client) == 128, "registry client");
_Static_assert(sizeof(ae_registry_grant) == 64, "registry grant");

#endif

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
    uint32_t daemon_pid; /* of the daemon that runs or ran last; only the locks of names.h show whether it runs */
    uint64_t started_ns; /* CLOCK_REALTIME of its start */
    ae_u64 next_id;      /* ids of topics, clients and grants are never reused */
    ae_u64 generation;   /* raised after a topic has come, has gone or has got its type; its lower half is a futex */
    uint64_t started_mono_ns; /* CLOCK_MONOTONIC of its start */
    char release[24];         /* of the daemon that runs or ran last, "MAJOR.MINOR.PATCH"; NUL-terminated */
    uint8_t reserved[32];
    char socket_path[128]; /* NUL-terminated */
    uint8_t reserved2[3840];
} ae_registry_header;

/*
 * What a topic has beside its words. Slots come with its first publisher, after which its shape never changes.
 *
 *   shape word = number of changes << 8 | shape
 *
 * aetherd stores OPEN before it changes a geometry, and another shape after it. So a copy of a geometry is valid if and
 * only if the word said the same shape, which isn't OPEN, before and after the copying.
 */
#define AE_SHAPE_OPEN 0ull  /* only subscribers: no slots, and of the geometry only start_seq */
#define AE_SHAPE_MADE 1ull  /* created: the slots are allocated, but what nobody has stated may still change */
#define AE_SHAPE_FIXED 2ull /* a publisher was admitted */

#define AE_SHAPE_MASK 0xffull
#define AE_SHAPE_CHANGE 0x100ull

static inline uint64_t ae_shape_of(uint64_t word) {
    return word & AE_SHAPE_MASK;
}

/* Which values of a topic were stated: a bit each. The others are defaults. */
#define AE_STATED_MAX_MESSAGE (1u << 0)
#define AE_STATED_INLINE_MAX (1u << 1)
#define AE_STATED_CAPACITY (1u << 2)
#define AE_STATED_LANE_BYTES (1u << 3)
#define AE_STATED_EVICT_LAG (1u << 4)
#define AE_STATED_START_SEQ (1u << 5)
#define AE_STATED_PRESET (1u << 6)
#define AE_STATED_PUBLISHERS (1u << 7)
#define AE_STATED_SLOW (1u << 8)
#define AE_STATED_LATENCY (1u << 9)
#define AE_STATED_TYPE (1u << 10)

/* What a client states about a topic, as in aether_topic_config; 0 and "": nothing. */
typedef struct ae_wish {
    uint64_t max_message, inline_max, capacity, lane_bytes, evict_lag, start_seq;
    uint32_t preset, publishers, slow, latency;
    uint32_t type_version, type_size;
    char type_name[64]; /* NUL-terminated */
} ae_wish;

typedef struct ae_registry_topic {
    ae_u64 state;
    uint64_t topic_id;
    uint64_t created_ns; /* CLOCK_REALTIME */
    ae_geometry geometry;
    uint32_t name_len; /* 1..255 */
    uint32_t type_version;
    uint32_t type_size; /* bytes; 0: not stated */
    uint32_t stated;    /* AE_STATED_* */
    ae_u64 shape;
    uint64_t created_mono_ns; /* CLOCK_MONOTONIC */
    uint32_t maker_pid;       /* of the client that gave the topic its shape */
    uint32_t type_pid;        /* of the client that stated the type */
    uint32_t preset;          /* aether_preset, as it was stated; 0: it wasn't */
    uint8_t reserved0[36];
    char name[256]; /* NUL-terminated */
    /* NUL-terminated; "": no type yet. The first byte is written last: if it isn't 0, the type is complete. */
    char type_name[64];
    char maker[64];      /* name of the client that gave the topic its shape, NUL-terminated */
    char type_maker[64]; /* name of the client that stated the type, NUL-terminated */
    ae_wish made;        /* what was stated when it was created by a request, not by a publisher */
    char creator[64];    /* name of the client that requested it, NUL-terminated */
    uint32_t created;    /* 1: it was requested. Until a publisher has come its shape follows from `made` */
    uint32_t creator_pid;
    uint32_t later; /* AE_STATED_*: the values of `made` that another client stated, or raised, after the creator */
    /*
     * AE_STATED_*: the values that a FIXED shape has from the subscribers that were open when its publisher came. Name,
     * NUL-terminated, and pid of the client that asked for them; "" and 0 if there were several.
     */
    uint32_t asked;
    uint32_t asker_pid;
    char asker[64];
    uint32_t raised; /* AE_STATED_*: the values of `made` that the publisher of a FIXED shape stated larger */
    /*
     * 1: the topic begins anew in this record. While that is REMOVING or CREATING, a successor of aetherd completes it:
     * `made` is, or follows from, what the topic states.
     */
    ae_u64 anew;
    uint8_t reserved1[88];
} ae_registry_topic;

typedef struct ae_registry_client {
    ae_u64 state;
    uint64_t client_id;
    uint64_t nonce[2];   /* with it the client proves its identity to a successor of aetherd */
    uint64_t created_ns; /* CLOCK_REALTIME */
    uint32_t pid;        /* from the kernel; 0 if it is in a pid namespace that aetherd doesn't see */
    uint32_t uid;
    char name[64];            /* NUL-terminated */
    uint64_t created_mono_ns; /* CLOCK_MONOTONIC */
    uint8_t reserved[8];
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
    ae_wish wish;         /* of a subscriber; ends with the grant */
    uint8_t reserved1[56];
} ae_registry_grant;

_Static_assert(sizeof(ae_registry_header) == AE_PAGE, "registry header");
_Static_assert(offsetof(ae_registry_header, generation) == 56, "generation");
_Static_assert(offsetof(ae_registry_header, socket_path) == 128, "socket path");
_Static_assert(offsetof(ae_registry_header, started_mono_ns) == 64, "start");
_Static_assert(offsetof(ae_registry_header, release) == 72, "release");
_Static_assert(sizeof(ae_registry_topic) == 1024, "registry topic");
_Static_assert(AE_PAGE % sizeof(ae_registry_topic) == 0, "a topic's record lies in one page");
_Static_assert(offsetof(ae_registry_topic, name_len) == 112, "registry topic name length");
_Static_assert(offsetof(ae_registry_topic, shape) == 128, "registry topic shape");
_Static_assert(offsetof(ae_registry_topic, name) == 192, "registry topic name");
_Static_assert(offsetof(ae_registry_topic, maker) == 512, "registry topic maker");
_Static_assert(offsetof(ae_registry_topic, made) == 640, "registry topic creation");
_Static_assert(offsetof(ae_registry_topic, asked) == 852, "registry topic requests");
_Static_assert(offsetof(ae_registry_topic, anew) == 928, "registry topic begun anew");
_Static_assert(sizeof(ae_registry_client) == 128, "registry client");
_Static_assert(sizeof(ae_wish) == 136, "wish");
_Static_assert(offsetof(ae_registry_grant, wish) == 64, "registry grant wish");
_Static_assert(sizeof(ae_registry_grant) == 256, "registry grant");

#endif

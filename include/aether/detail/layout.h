/* SPDX-License-Identifier: Apache-2.0 */
/*
 * detail/layout.h - the shared-memory layout, version 5. docs/layout.md draws it; the assertions below check it.
 *
 * Three objects a topic. All integers are little-endian; there are no pointers, enums, bools, longs or size_ts.
 *
 *   log       publishers read-write, subscribers read-only
 *   cursors   publishers read-only, reliable subscribers read-write; best-effort observers don't have it
 *   notes     publishers read-only, subscribers read-write
 *
 * Words with different writers never share an AE_BLOCK. The comment of each field names its writers.
 *
 * Nothing in these objects is trusted: each value is loaded once, checked, and the copy is used. Geometry
 * comes from the daemon's reply or the registry. The headers in the objects repeat it for people who read a hex dump;
 * no program uses them.
 *
 * Not included directly: use <aether/aether.h>.
 */
#ifndef AETHER_DETAIL_LAYOUT_H
#define AETHER_DETAIL_LAYOUT_H

#include <aether/detail/atomic.h>

#ifdef __cplusplus
#define AE_STATIC_ASSERT(cond, text) static_assert(cond, text)
extern "C" {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast" /* the inline functions are C */
#else
#define AE_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif

#define AE_LAYOUT_MAJOR 5u /* a program refuses an object of another major version before it uses it */
#define AE_LAYOUT_MINOR 0u /* grows when fields are added in reserved space */

#define AE_BLOCK 128u /* bytes: two cache lines, as x86 prefetches lines in pairs */
#define AE_PAGE 4096u /* bytes */

#define AE_LOG_MAGIC 0x0031474f4c524541ull     /* "AERLOG1\0" */
#define AE_CURSORS_MAGIC 0x0031525543524541ull /* "AERCUR1\0" */
#define AE_NOTES_MAGIC 0x0031544f4e524541ull   /* "AERNOT1\0" */

#define AE_PUBLISHERS_MAX 64u  /* publisher records a topic: one bit each in ae_stream_block.open */
#define AE_SUBSCRIBERS_MAX 64u /* reliable subscribers a topic: one bit each in ae_active_block.active */
#define AE_TOPIC_NAME_MAX 255u /* bytes without the NUL, as the next two */
#define AE_CLIENT_NAME_MAX 63u
#define AE_TYPE_NAME_MAX 63u

/* ---- slots ------------------------------------------------------------------------------------------------------
 *
 * A slot is an 8-byte tag and slot_size - 8 bytes of inline area, on a fixed grid:
 *
 *   tag = (seq + 1) << 16 | kind << 12 | inline_len
 *
 * The upper 48 bits are compared modulo 2^48. A fresh slot is 0, which is no tag: that of BUSY has the length 1. A slot
 * holds message seq if and only if its tag says seq + 1 and its kind is INLINE or LANE.
 */
#define AE_KIND_BUSY 0ull    /* being overwritten */
#define AE_KIND_INLINE 1ull  /* the payload lies in the slot */
#define AE_KIND_LANE 2ull    /* the payload lies in a publisher's lane; the inline area is an ae_lane_descriptor */
#define AE_KIND_ABORTED 3ull /* seq was claimed by a publisher that died before it committed; there is no message */
#define AE_KIND_STAMPED 8ull /* added to INLINE or LANE: the slot's stamp says when the message was published */

#define AE_TAG_SEQ_SHIFT 16
#define AE_TAG_KIND_SHIFT 12
#define AE_TAG_LEN_MASK 0xfffull
#define AE_SEQ48_MASK 0xffffffffffffull

#define AE_SLOT_HEADER 8u    /* bytes: the tag */
#define AE_SLOT_MIN 16u      /* bytes a slot */
#define AE_SLOT_LANE_MIN 24u /* bytes a slot of a topic with lanes */
#define AE_SLOT_MAX 4096u    /* bytes a slot */
#define AE_INLINE_MAX (AE_SLOT_MAX - AE_SLOT_HEADER)
#define AE_CAPACITY_MIN 8u           /* slots */
#define AE_CAPACITY_MAX (1ull << 32) /* slots */

static inline uint64_t ae_tag(uint64_t seq, uint64_t kind, uint64_t inline_len) {
    /* A sum and not an or: where the intent of the same sequence is known, compilers reduce it to one addition. */
    return (seq << AE_TAG_SEQ_SHIFT) + ((1ull << AE_TAG_SEQ_SHIFT) + (kind << AE_TAG_KIND_SHIFT) + inline_len);
}

/* The tag while seq is written into its slot. The length only keeps that of 2^48 - 1 from being a fresh slot's, 0. */
static inline uint64_t ae_tag_busy(uint64_t seq) {
    return ae_tag(seq, AE_KIND_BUSY, 1);
}

static inline uint64_t ae_tag_kind(uint64_t tag) {
    return tag >> AE_TAG_KIND_SHIFT & 0xf;
}

/* By how many sequences the tag is ahead of seq; negative: behind. The signed difference of 48-bit values. */
static inline int64_t ae_tag_ahead(uint64_t tag, uint64_t seq) {
    return (int64_t)((tag & ~0xffffull) - ((seq + 1) << AE_TAG_SEQ_SHIFT)) >> AE_TAG_SEQ_SHIFT;
}

/* Is seq not finished yet? Then the slot is fresh (0), holds an older message, or is being written for seq. */
static inline int ae_tag_pending(uint64_t tag, uint64_t seq) {
    const int64_t ahead = ae_tag_ahead(tag, seq);

    return tag == 0 || ahead < 0 || (ahead == 0 && ae_tag_kind(tag) == AE_KIND_BUSY);
}

/* ---- stamps -----------------------------------------------------------------------------------------------------
 *
 * Slot i of a topic that measures latency has a stamp, the 8 bytes at stamps_off + 8 * i. It belongs to the message in
 * the slot if the tag's kind has STAMPED added; otherwise it is old. It is written and read as the payload is, under
 * the same memory-order edges.
 *
 *   stamp = ns << 5 | weight
 *
 * ns is CLOCK_MONOTONIC just before the message was committed. The message stands for 2^weight messages of its
 * publisher, of which it is the one that was stamped.
 */
#define AE_STAMP_NS_SHIFT 5
#define AE_STAMP_WEIGHT_MASK 0x1full

/* ---- lanes ------------------------------------------------------------------------------------------------------
 *
 * A lane is a ring of lane_bytes bytes, a power of two, that belongs to one publisher record: lane r lies at
 * lanes_off + r * lane_bytes. A position in it is a byte count that only grows, also when the record changes hands. It
 * is a multiple of AE_LANE_UNIT, and its byte lies at position & (lane_bytes - 1). A payload is contiguous: if it would
 * cross the lane's end, the rest of the lane is left out.
 *
 * The bytes at a position may be overwritten as soon as the record's lane_floor is above it. The floor is also all that
 * shared memory says about the lane's end: the record's next holder continues at lane_floor + lane_bytes.
 */
#define AE_LANE_UNIT 64u /* bytes */

/* The inline area of a LANE slot. Written between BUSY and LANE as a payload is, and not trusted either. */
typedef struct ae_lane_descriptor {
    ae_u64 position; /* of the payload's first byte */
    ae_u64 where;    /* lane << 32 | length in bytes */
} ae_lane_descriptor;

/* ---- claim word -------------------------------------------------------------------------------------------------
 *
 *   claim  = seq << 16 | mode << 14 | record of the last claimer
 *   intent = seq << 16 | count, in each publisher's record: the claim that the publisher makes, or made last
 *
 *   SHARED    all sequences below seq are claimed; the record won the claim that ends there
 *   BIASED    only the record's publisher claims, and the end of its intent stands for seq
 *   REVOKING  as BIASED; another publisher is about to end the bias
 *
 * A claimed sequence is committed, aborted, or part of the intent of a publisher whose bit in `open` is set.
 */
#define AE_CLAIM_SEQ_SHIFT 16
#define AE_CLAIM_MODE_SHIFT 14
#define AE_CLAIM_MODE_MASK 0xc000ull
#define AE_CLAIM_RECORD_MASK 0x3fffull
#define AE_CLAIM_NOBODY AE_CLAIM_RECORD_MASK /* as a record: no publisher has claimed yet */
#define AE_MODE_SHARED 0ull
#define AE_MODE_BIASED 1ull
#define AE_MODE_REVOKING 2ull
#define AE_INTENT_COUNT_MAX 0xffffull

static inline uint64_t ae_claim_word(uint64_t seq, uint64_t mode, uint64_t record) {
    return seq << AE_CLAIM_SEQ_SHIFT | mode << AE_CLAIM_MODE_SHIFT | record;
}

static inline uint64_t ae_claim_mode(uint64_t word) {
    return (word & AE_CLAIM_MODE_MASK) >> AE_CLAIM_MODE_SHIFT;
}

static inline uint64_t ae_claim_record(uint64_t word) {
    return word & AE_CLAIM_RECORD_MASK;
}

static inline uint64_t ae_intent(uint64_t seq, uint64_t count) {
    return (seq << AE_CLAIM_SEQ_SHIFT) + count;
}

/* The 64-bit sequence whose lower 48 bits are seq48 and which lies within 2^47 of near_seq. */
static inline uint64_t ae_seq_extend(uint64_t seq48, uint64_t near_seq) {
    return near_seq + (uint64_t)((int64_t)((seq48 - near_seq) << 16) >> 16);
}

/* ---- eviction word ----------------------------------------------------------------------------------------------
 *
 *   word = generation << 32 | units << 2 | reason
 *
 * One for each reliable subscriber's record. aetherd raises the generation with each admission to the record. The
 * publisher that evicts the subscriber adds why, and how much that was.
 */
#define AE_EVICT_LAG 1ull  /* reason: it was too many sequences behind: units */
#define AE_EVICT_LANE 2ull /* reason: it held room in a lane that was needed: units, each of AE_LANE_UNIT bytes */
#define AE_EVICT_REASON_MASK 3ull
#define AE_EVICT_UNITS_SHIFT 2
#define AE_EVICT_UNITS_MAX ((1ull << 30) - 1) /* or more */
#define AE_EVICT_GENERATION_SHIFT 32

/* 0: not evicted. Else the reason. */
static inline uint64_t ae_evicted(uint64_t word) {
    return word & AE_EVICT_REASON_MASK;
}

static inline uint64_t ae_evict_generation(uint64_t word) {
    return word >> AE_EVICT_GENERATION_SHIFT;
}

static inline uint64_t ae_evict_units(uint64_t word) {
    return word >> AE_EVICT_UNITS_SHIFT & AE_EVICT_UNITS_MAX;
}

/* The word of an eviction in the same generation. */
static inline uint64_t ae_evict_word(uint64_t word, uint64_t reason, uint64_t units) {
    return ae_evict_generation(word) << AE_EVICT_GENERATION_SHIFT |
           (units < AE_EVICT_UNITS_MAX ? units : AE_EVICT_UNITS_MAX) << AE_EVICT_UNITS_SHIFT | reason;
}

/* The word of the next generation: not evicted. */
static inline uint64_t ae_evict_next(uint64_t word) {
    return (ae_evict_generation(word) + 1) << AE_EVICT_GENERATION_SHIFT;
}

/* ---- log object ------------------------------------------------------------------------------------------------- */

typedef struct ae_object_header {
    uint64_t magic;        /* aetherd, after all other fields: an object without it is unfinished */
    uint32_t layout_major; /* aetherd */
    uint32_t layout_minor; /* aetherd */
    uint64_t topic_id;     /* aetherd */
    uint64_t bytes;        /* aetherd: size of the object */
    uint64_t capacity;     /* aetherd: slots, a power of two */
    uint32_t slot_size;    /* aetherd: bytes, a multiple of 8 */
    uint32_t max_message;  /* aetherd: bytes */
    uint8_t reserved[80];
} ae_object_header;

typedef struct ae_claim_block {
    /* publishers: the claim word; aetherd, to end the bias of a dead publisher */
    ae_u64 claim;
    /* publishers, whenever they look for room: a 64-bit sequence within 2^47 of the claim's */
    ae_u64 position;
    uint8_t reserved[112];
} ae_claim_block;

typedef struct ae_wake_block {
    /* publishers, to wake sleeping subscribers; aetherd, after a publisher's death. Its lower half is the futex word */
    ae_u64 wake;
    uint8_t reserved[120];
} ae_wake_block;

/*
 * Which publishers are there: bit r stands for publisher record r. A publisher's bit in `open` is cleared after all
 * that it committed, so a clear bit is the end of what it published.
 */
typedef struct ae_stream_block {
    /* set by aetherd before it admits a publisher; cleared by the publisher at its close, by aetherd after its death */
    ae_u64 open;
    /*
     * aetherd: the id of the last death, stored before `open` is cleared; 0: no publisher of the present stream has
     * died. A new stream begins when a publisher comes while there is none
     */
    ae_u64 died;
    /* aetherd: publishers admitted since the topic was created */
    ae_u64 joins;
    /* set by a publisher that membarrier doesn't reach; cleared by aetherd when it gives the record out again */
    ae_u64 unfenced;
    /* aetherd: subscribers that are open, of all policies */
    ae_u64 subscribers;
    uint8_t reserved[88];
} ae_stream_block;

typedef struct ae_publisher_record {
    /* block 0: the publisher that holds the record. The first two stay when the record changes hands */
    ae_u64 intent;     /* the claim that it makes, or made last */
    ae_u64 lane_floor; /* the bytes of its lane at positions below this may be overwritten */
    uint8_t reserved0[112];
    /* block 1: the other publishers */
    ae_u64 proved; /* highest end of a claim that this record is known to have won: a 64-bit sequence */
    uint8_t reserved1[120];
} ae_publisher_record;

typedef struct ae_log {
    ae_object_header header;
    ae_claim_block claim;
    ae_wake_block wake;
    ae_stream_block stream;
    uint8_t reserved0[512];
    /*
     * aetherd, when it admits a subscriber to the record, and when it retires one that isn't evicted; publishers, to
     * evict it
     */
    ae_u64 evict[AE_SUBSCRIBERS_MAX];
    uint8_t reserved1[2560];
    ae_publisher_record publishers[AE_PUBLISHERS_MAX];
    /* slots follow at geometry.slots_off, lanes at geometry.lanes_off */
} ae_log;

/* ---- cursors object --------------------------------------------------------------------------------------------- */

/* Written by the subscriber that holds the record, and by aetherd before it admits a new holder. */
typedef struct ae_cursor_record {
    /* publishers read it when they look for room */
    ae_u64 cursor; /* every sequence below it may be overwritten */
    uint8_t reserved[120];
} ae_cursor_record;

typedef struct ae_active_block {
    /* bit r: record r holds publishers back. Set by its subscriber; cleared by it, or by aetherd after its death */
    ae_u64 active;
    uint8_t reserved[120];
} ae_active_block;

typedef struct ae_cursors {
    ae_object_header header;
    ae_active_block active;
    uint8_t reserved0[256];
    ae_cursor_record records[AE_SUBSCRIBERS_MAX];
    uint8_t reserved1[3584];
} ae_cursors;

/* ---- notes object ----------------------------------------------------------------------------------------------- */

/*
 * It isn't part of the cursors, because a process that may write to these can hold publishers up. A wrong note costs
 * wake-ups that nobody needs, or a sleep that ends late.
 */
typedef struct ae_want_block {
    /* subscribers: the wake word at which a subscriber sleeps */
    ae_u64 want;
    uint8_t reserved[120];
} ae_want_block;

typedef struct ae_notes {
    ae_object_header header;
    ae_want_block want;
    uint8_t reserved[3840];
} ae_notes;

/* ---- geometry and roles ------------------------------------------------------------------------------------------ */

/*
 * The layout of a topic's objects, the publishers that it admits, and the lag at which they evict a subscriber. A
 * geometry from any source is checked as a whole by ae_geometry_check() before it is used.
 */
typedef struct ae_geometry {
    uint64_t log_bytes;     /* size of the file, in which only lanes that a publisher had are allocated */
    uint64_t cursors_bytes; /* size of the file */
    uint64_t slots_off;     /* bytes from the log's beginning */
    uint64_t stamps_off;    /* bytes from the log's beginning: the end of the slots; 0: no stamps, latency is off */
    uint64_t lanes_off;     /* bytes from the log's beginning: the first page after slots and stamps */
    uint64_t lane_bytes;    /* of each of the AE_PUBLISHERS_MAX lanes, a power of two; 0: no lanes */
    uint64_t capacity;      /* slots, a power of two */
    uint64_t start_seq;     /* sequence of the topic's first message */
    uint64_t evict_lag;     /* sequences: the lag at which publishers evict; 0: they wait */
    uint32_t slot_size;     /* bytes, a multiple of 8 */
    uint32_t max_message;   /* bytes */
    uint32_t publishers;    /* AE_PUBLISHERS_*: how many publishers aetherd admits, and how they claim */
    uint32_t latency;       /* AE_LATENCY_*: which messages are stamped */
} ae_geometry;

#define AE_PUBLISHERS_SHARED 0u    /* up to AE_PUBLISHERS_MAX; a publisher that is alone may have the bias */
#define AE_PUBLISHERS_EXCLUSIVE 1u /* one at a time, which has the bias */
#define AE_PUBLISHERS_UNBIASED 2u  /* up to AE_PUBLISHERS_MAX, never with a bias */

#define AE_LATENCY_SAMPLED 0u /* each message of a slow topic, some thousands a second of a fast one */
#define AE_LATENCY_OFF 1u
#define AE_LATENCY_ALL 2u /* each message */

/* The role of a handle on its topic, in the control protocol and in the registry. */
#define AE_ROLE_PUBLISHER 1u
#define AE_ROLE_RELIABLE 2u
#define AE_ROLE_BEST_EFFORT 3u

/* Bytes of the longest message that lies in its slot; longer ones lie in a lane. */
static inline uint64_t ae_inline_max(const ae_geometry *geometry) {
    return geometry->lane_bytes == 0 ? geometry->max_message : geometry->slot_size - AE_SLOT_HEADER;
}

/* ---- the layout, checked ---------------------------------------------------------------------------------------- */

#define AE_LOG_SLOTS_OFF 20480u
#define AE_CURSORS_BYTES 12288u
#define AE_NOTES_BYTES 4096u

AE_STATIC_ASSERT(sizeof(ae_u64) == 8, "shared word");
AE_STATIC_ASSERT(sizeof(ae_object_header) == AE_BLOCK, "object header");
AE_STATIC_ASSERT(sizeof(ae_claim_block) == AE_BLOCK, "claim block");
AE_STATIC_ASSERT(sizeof(ae_wake_block) == AE_BLOCK, "wake block");
AE_STATIC_ASSERT(sizeof(ae_stream_block) == AE_BLOCK, "stream block");
AE_STATIC_ASSERT(sizeof(ae_lane_descriptor) <= AE_SLOT_LANE_MIN - AE_SLOT_HEADER, "lane descriptor");
AE_STATIC_ASSERT(sizeof(ae_active_block) == AE_BLOCK, "active block");
AE_STATIC_ASSERT(sizeof(ae_want_block) == AE_BLOCK, "want block");
AE_STATIC_ASSERT(sizeof(ae_publisher_record) == 2 * AE_BLOCK, "publisher record");
AE_STATIC_ASSERT(offsetof(ae_publisher_record, proved) == AE_BLOCK, "proved has other writers");
AE_STATIC_ASSERT(sizeof(ae_cursor_record) == AE_BLOCK, "cursor record");
AE_STATIC_ASSERT(offsetof(ae_log, claim) == 128, "claim");
AE_STATIC_ASSERT(offsetof(ae_log, wake) == 256, "wake");
AE_STATIC_ASSERT(offsetof(ae_log, stream) == 384, "stream");
AE_STATIC_ASSERT(offsetof(ae_log, evict) == 1024, "evict");
AE_STATIC_ASSERT(offsetof(ae_log, publishers) == 4096, "publishers");
AE_STATIC_ASSERT(sizeof(ae_log) == AE_LOG_SLOTS_OFF, "slots begin on a page");
AE_STATIC_ASSERT(offsetof(ae_cursors, active) == 128, "active");
AE_STATIC_ASSERT(offsetof(ae_cursors, records) == 512, "records");
AE_STATIC_ASSERT(sizeof(ae_cursors) == AE_CURSORS_BYTES, "cursors object");
AE_STATIC_ASSERT(offsetof(ae_notes, want) == 128, "want");
AE_STATIC_ASSERT(sizeof(ae_notes) == AE_NOTES_BYTES, "notes object");
AE_STATIC_ASSERT(sizeof(ae_geometry) == 88, "geometry");

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif
#endif

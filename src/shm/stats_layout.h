/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats_layout.h - the layout of statistics: one object for each client, and one object with the totals of all topics.
 *
 *   stats     one for each client; the client writes its figures, aetherd the identity of each record; all others read
 *   totals    one for each instance; only aetherd writes it; all others read
 *
 * A client's object has a header page and then records, one for each publisher and subscriber that it has open, of
 * every policy. aetherd chooses the record when it grants the handle, and allocates its memory then: AE_STATS_PUBLISHER
 * bytes for a publisher, which has no histogram, and all of it for a subscriber. The rest of the file is holes.
 *
 * When a handle has closed or its client has died, aetherd adds the record's figures to the totals of the topic: it
 * folds the record. So a topic's figures are its totals and the records of its live grants that aren't folded. They
 * never run backwards.
 *
 * All integers are little-endian. Nothing in a client's object is trusted. The layout's version is that of
 * aether/detail/layout.h.
 */
#ifndef AE_SHM_STATS_LAYOUT_H
#define AE_SHM_STATS_LAYOUT_H

#include <aether/detail/layout.h>

#define AE_STATS_MAGIC 0x0031415453524541ull  /* "AERSTA1\0" */
#define AE_TOTALS_MAGIC 0x00314d5553524541ull /* "AERSUM1\0" */

/* Why a subscriber lost messages. */
#define AE_LOST_RING 0u     /* its slot was overwritten before it was read */
#define AE_LOST_LANE 1u     /* its bytes in a lane were overwritten before they were read */
#define AE_LOST_RETAINED 2u /* it was published before the subscriber joined (oldest, last), so nothing kept it */
#define AE_LOST_EVICTED 3u  /* the subscriber had been evicted */
#define AE_LOST_REASONS 4u

/* A histogram of latencies: docs/layout.md. Values from 0 on, in ns; a value of 2^42 or more is an overflow. */
#define AE_HISTOGRAM_BUCKETS 624u

/* The figures of a handle that belong together. */
typedef struct ae_account {
    uint64_t joined; /* sequence from which it accounts */
    uint64_t next;   /* subscriber: all below it is accounted for; publisher: see `messages` */
    uint64_t bytes;  /* payload of the messages */
    /* publisher: messages that it had published when it had claimed up to `next`. Since then it has claimed without
     * another publisher in between, so its intent's end - next more */
    uint64_t messages;
    uint64_t batches;               /* publisher: calls with several messages */
    uint64_t stall_ns;              /* publisher: total of the stalls that have ended */
    uint64_t stalled_since;         /* publisher: CLOCK_MONOTONIC ns: the present stall began; 0: it has room */
    uint64_t lost[AE_LOST_REASONS]; /* subscriber: sequences */
    uint64_t gaps;                  /* subscriber */
    uint64_t aborted;               /* subscriber: sequences */
    uint64_t skipped;               /* subscriber: sequences that a latest subscriber passed over */
    uint64_t evicted;               /* subscriber: 1 after it was evicted and a receive has reported that */
    /* subscriber: 1: its cursor is the record's `position`; 0: it is in the cursors object */
    uint64_t by_position;
} ae_account;

/*
 * They are stored twice, word by word. `flips` counts how often they were stored; copy flips & 1 is complete. Their
 * owner writes the other copy and then raises `flips`, so a complete copy is there also if the owner is killed at any
 * point.
 */
typedef struct ae_stats_account {
    ae_u64 words[sizeof(ae_account) / sizeof(uint64_t)];
} ae_stats_account;

/* What a publisher without room waits for. */
#define AE_WAITS_NOT 0u
#define AE_WAITS_SUBSCRIBER 1u /* cursor record waits_record must reach waits_seq */
#define AE_WAITS_PUBLISHER 2u  /* publisher record waits_record hasn't finished the claim of waits_seq */
#define AE_WAITS_LANE 3u       /* cursor record waits_record must reach waits_seq, so that lane bytes become free */
#define AE_WAITS_LOANS 4u      /* its own open loans hold the lane */
#define AE_WAITS_CLAIM 5u      /* other publishers won each of its tries to claim */

typedef struct ae_stats_record {
    /* ---- identity: aetherd, before it sends the grant to the client ---- */
    ae_u64 grant_id; /* stored last; 0: the record was never used */
    uint64_t topic_id;
    uint32_t role, record;
    uint8_t reserved0[104];

    /* ---- the handle's owner alone writes from here on; aetherd has zeroed it before ---- */

    /* block 1: hot. Subscriber: the cursor if the account says by_position: best effort and latest, and a reliable one
     * that still reads retained messages or was evicted */
    ae_u64 position;
    uint8_t reserved1[120];

    /* blocks 2 to 4 */
    ae_u64 flips;
    ae_u64 policy;  /* subscriber: aether_policy */
    ae_u64 last_ns; /* CLOCK_MONOTONIC of its last stamped message: published, or received */
    ae_u64 closed;  /* CLOCK_MONOTONIC ns: its owner closed it; 0: it didn't. Then it writes nothing more */
    uint8_t reserved2[96];
    ae_stats_account account[2];

    /* block 5: publisher */
    ae_u64 full;          /* calls that found no room */
    ae_u64 stalls;        /* times that it ran out of room; several calls may find one stall */
    ae_u64 stall_longest; /* ns, of the stalls that have ended */
    ae_u64 waits_since;   /* CLOCK_MONOTONIC ns: the present stall began; 0: it has room */
    ae_u64 waits_last;    /* CLOCK_MONOTONIC ns: the last call that found no room */
    ae_u64 waits_for;     /* AE_WAITS_* */
    ae_u64 waits_record;
    ae_u64 waits_seq;
    ae_u64 retries;   /* claims that another publisher won */
    ae_u64 wakes;     /* wake-ups of subscribers */
    ae_u64 loans;     /* open now */
    ae_u64 lane_used; /* bytes of its lane that hold messages or loans, as of the last change */
    uint8_t reserved3[32];

    /* block 6: subscriber */
    ae_u64 sleeps; /* times that it slept until a message comes */
    ae_u64 woken;  /* of these, times that there was a message or an end afterwards */
    uint8_t reserved4[112];

    /* block 7: subscriber, latency */
    ae_u64 samples;  /* stamped messages that it received */
    ae_u64 negative; /* stamps that lay in the future: the clocks of the two processes differ */
    ae_u64 overflow; /* messages, as the buckets: 2^42 ns or more */
    ae_u64 missed;   /* stamped messages whose stamp was overwritten before it was read */
    uint8_t reserved5[96];
    uint8_t reserved6[3200 - 8 * AE_BLOCK];
    /* each sample counts for as many messages as it stands for */
    ae_u64 buckets[AE_HISTOGRAM_BUCKETS];
} ae_stats_record;

typedef struct ae_stats_header {
    uint64_t magic; /* last */
    uint32_t layout_major, layout_minor;
    uint64_t client_id;
    uint64_t records; /* for which the file has room */
    uint8_t reserved[4064];
} ae_stats_header;

#define AE_STATS_RECORDS_OFF AE_PAGE
#define AE_STATS_RECORD 8192u    /* bytes from record to record */
#define AE_STATS_PUBLISHER 4096u /* bytes of a publisher's record that are allocated */

/* ---- totals ------------------------------------------------------------------------------------------------------ */

/* The last figures of a publisher or subscriber that has gone. */
typedef struct ae_departed {
    uint64_t grant_id, client_id;
    uint64_t left_ns; /* CLOCK_REALTIME: it was closed, or aetherd noticed that it had died */
    uint32_t role;
    uint32_t pid;
    uint32_t died; /* 1: its program ended without closing it; 0: it was closed */
    uint32_t evicted;
    uint64_t messages; /* published, or delivered */
    uint64_t lost, aborted, skipped;
    uint64_t full, stall_ns;
    uint64_t left_mono_ns; /* CLOCK_MONOTONIC, as left_ns */
    uint64_t held;         /* evicted: bytes of lane room that it held, if that was the reason */
    uint32_t reason;       /* AE_EVICT_*; 0: not evicted */
    uint8_t reserved[20];
    char client[64]; /* the client's name, NUL-terminated */
} ae_departed;

#define AE_DEPARTED_MAX 8u

/* The figures of all folded records of a topic. Sums; `longest` is a maximum. */
typedef struct ae_totals_topic {
    ae_u64 epoch; /* odd while aetherd changes the rest: then the journal has the whole record */
    uint64_t topic_id;
    uint64_t last_folded;    /* grant id */
    uint64_t departed_count; /* number i is at index i % AE_DEPARTED_MAX */
    uint64_t published, published_bytes, batches, full, stalls, stall_ns, stall_longest, retries, wakes;
    uint64_t delivered, delivered_bytes, lost[AE_LOST_REASONS], gaps, aborted, skipped, evictions, sleeps, woken;
    uint64_t samples, negative, overflow, missed;
    uint64_t accounted; /* sum of next - joined of the subscribers: = delivered + lost + aborted + skipped */
    uint64_t publishers_died, subscribers_died; /* folded after the death of their clients */
    uint8_t reserved[928 - 32 * 8];
    ae_departed departed[AE_DEPARTED_MAX];
    uint8_t reserved1[8192 - 928 - 8 * 192 - 4992];
    uint64_t buckets[AE_HISTOGRAM_BUCKETS];
} ae_totals_topic;

/*
 * One record is changed at a time. aetherd writes the new record to the journal, then sets journal_topic, then copies
 * the journal to the record, marks the grant as folded, and clears journal_topic. A successor of a killed aetherd does
 * the steps after the first again.
 */
typedef struct ae_totals_header {
    uint64_t magic; /* last */
    uint32_t layout_major, layout_minor;
    uint64_t topics;      /* records; record i is that of topic record i of the registry */
    ae_u64 journal_topic; /* 1 + index of the record that is being changed; 0: none */
    uint8_t reserved[4064];
    ae_totals_topic journal;
} ae_totals_header;

#define AE_TOTALS_RECORDS_OFF 12288u
#define AE_TOTALS_RECORD 8192u

_Static_assert(sizeof(ae_stats_account) == AE_BLOCK, "account");
_Static_assert(offsetof(ae_stats_record, position) == 1 * AE_BLOCK, "position");
_Static_assert(offsetof(ae_stats_record, flips) == 2 * AE_BLOCK, "flips");
_Static_assert(offsetof(ae_stats_record, account) == 3 * AE_BLOCK, "account");
_Static_assert(offsetof(ae_stats_record, full) == 5 * AE_BLOCK, "publisher's figures");
_Static_assert(offsetof(ae_stats_record, sleeps) == 6 * AE_BLOCK, "subscriber's figures");
_Static_assert(offsetof(ae_stats_record, samples) == 7 * AE_BLOCK, "samples");
_Static_assert(offsetof(ae_stats_record, buckets) == 3200 && 3200 < AE_STATS_PUBLISHER, "buckets");
_Static_assert(sizeof(ae_stats_record) == AE_STATS_RECORD, "statistics record");
_Static_assert(sizeof(ae_stats_header) == AE_PAGE, "statistics header");
_Static_assert(sizeof(ae_departed) == 192, "departed");
_Static_assert(sizeof(ae_totals_topic) == AE_TOTALS_RECORD, "totals of a topic");
_Static_assert(sizeof(ae_totals_header) == AE_TOTALS_RECORDS_OFF, "totals header");

#endif

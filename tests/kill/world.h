/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h - a small topic, its publishers and subscribers, and a ledger of what every sequence holds.
 *
 * There is one world. All publishers and subscribers are in this process, but each touches the topic only through its
 * own handle, as its process would. A peer makes its call on a fiber (step.h), so that it can be stopped, or killed,
 * after any instruction.
 *
 * The world is saved and restored as a whole: the objects, the handles, the ledger, and the fibers that are stopped.
 * So what follows a death can be tried and undone.
 */
#ifndef AETHER_TESTS_KILL_WORLD_H
#define AETHER_TESTS_KILL_WORLD_H

#include "ring/claim.h"
#include "ring/claimer.h"
#include "ring/figures_test.h"
#include "ring/flow.h"
#include "ring/geometry.h"
#include "ring/join.h"
#include "ring/loan.h"
#include "ring/payload_test.h"
#include "ring/receive.h"
#include "ring/wait.h"
#include "shm/registry_layout.h"
#include "step.h"
#include <setjmp.h>

#define PUBLISHERS_MAX 15u /* publishers in the life of a world: a payload has four bits for the number */
#define SUBSCRIBERS_MAX 10u
#define RECORDS 6u /* publisher records in use */
#define PEERS_MAX 4u
#define LEDGER_MAX 2048u
#define BATCH_MAX 16u
#define LOANS_MAX 8u
#define STAMPS_MAX 8u
#define HELD_MAX 16u
#define LEN_MIN 8u /* a word with the publisher and the message's serial number */
#define LEN_MAX 2048u

enum life {
    ABSENT,  /* has left, and its grant is freed */
    GRANTED, /* aetherd is admitting it */
    ALIVE,   /* between two calls */
    STOPPED, /* in the middle of a call */
    CLOSED,  /* no client has it any more, and aetherd hasn't retired it yet */
    DEAD,    /* killed, and aetherd hasn't retired it yet */
    RETIRED  /* killed, and aetherd has retired it */
};

struct publisher {
    struct ae_publisher pub;
    uint32_t record;
    enum life life;
    uint64_t serial;              /* number of its next message */
    uint64_t inflight;            /* messages of the call that it is in */
    uint64_t seen;                /* bit i: the i-th of those was found in the ring or received */
    uint64_t first;               /* sequence of the first of those, if seen != 0 */
    uint64_t began;               /* tick at which it began the call */
    uint64_t last_seq;            /* of the last message before that call */
    bool has_published;           /* last_seq is valid */
    bool opened;                  /* its join has returned */
    bool retiring;                /* aetherd was stopped while it retired it */
    uint64_t began_ns;            /* clock when it began the call */
    uint64_t bytes;               /* published, by the calls that have returned */
    uint64_t counted;             /* messages, as its figures said last, or when it was retired */
    bool left;                    /* its bit in `open` was clear when it closed or died */
    aether_loan loans[LOANS_MAX]; /* open */
    unsigned loan_count;
};

/* A stamp that a subscriber has taken for that of a message. */
struct stamped {
    uint64_t seq, stamp;
};

struct subscriber {
    struct ae_subscriber sub;
    uint32_t record;
    enum life life;
    bool waits; /* it was granted before the topic's first publisher, and waits if it joins before it, too */
    aether_subscribe_options options;
    uint64_t least_start;  /* everything below was published before its join began */
    uint64_t least_cursor; /* its cursor was never lower */
    uint64_t died[2];      /* the word when its join began, and when it returned */
    uint64_t since;        /* tick at which its join returned; 0: not yet */
    uint64_t start;        /* first sequence that it asked for and that the ring held */
    uint64_t expected;     /* sequence of its next message */
    uint64_t delivered, lost;
    uint64_t inflight; /* entries of the call that it is in */
    uint64_t counted;  /* messages, as its figures said last */
    uint64_t reached;  /* `next`, as they said last; 0: unknown */
    bool evicted;
    struct stamped stamps[STAMPS_MAX]; /* of messages that have been received and aren't in the ledger yet */
    unsigned stamp_count;
    aether_held held[HELD_MAX]; /* its bytes must not change */
    unsigned held_count;
};

enum verb {
    PUBLISH,
    BURST,
    BATCH,
    GATHER,
    LOAN_TAKE,
    LOAN_COMMIT,
    LOAN_DISCARD,
    ADMIT_PUBLISHER,
    JOIN_PUBLISHER,
    LEAVE_PUBLISHER,
    RETIRE_PUBLISHER,
    REFRESH,
    RECEIVE,
    RECEIVE_BATCH,
    ADMIT_SUBSCRIBER,
    JOIN_SUBSCRIBER,
    LEAVE_SUBSCRIBER,
    HOLD,
    RELEASE,
    RETIRE_SUBSCRIBER,
    SLEEP
};

/* A call, with all its arguments and results. It may be run more than once, after the world was restored. */
struct call {
    enum verb verb;
    struct publisher *publisher;
    struct subscriber *subscriber;
    bool died;                   /* RETIRE_PUBLISHER: aetherd has proof of its death */
    uint64_t death;              /* the id of that death */
    size_t count;                /* messages */
    size_t lens[BATCH_MAX];      /* bytes of each */
    struct iovec iov[BATCH_MAX]; /* messages, or the pieces of one */
    size_t pieces;
    aether_loan loan;
    aether_held held; /* HOLD: of messages[0] */
    uint64_t evict_below;
    aether_message messages[BATCH_MAX];
    /* aetherd's steps: words when it began; claim_before counts an intent that may still be taken back */
    uint64_t open_before, joins_before, claim_before, claimed_before, evict_before;
    int rc;
    unsigned char data[BATCH_MAX][LEN_MAX];
};

/* A fiber and the call that it makes. */
struct peer {
    struct fiber fiber;
    struct call call;
};

enum entry_kind { UNKNOWN, PUBLISHED, ABORTED };

struct entry {
    uint8_t kind, publisher;
    uint16_t serial;
    uint32_t len;
    uint64_t began_ns, ended_ns; /* clock when the call that published it began, and when it returned */
};

/* What is left out or done in the wrong order, to prove that the oracle notices it. */
enum broken {
    BROKEN_NOTHING,
    BROKEN_NO_ABORT,    /* the dead publisher's sequences stay pending */
    BROKEN_ABORT_ALL,   /* pending sequences of living publishers are aborted, too */
    BROKEN_NO_RESOLVE,  /* the dead publisher's bias stays */
    BROKEN_NO_PROVED,   /* a won claim is taken for lost once the claim word has moved on */
    BROKEN_ALWAYS_WON,  /* an intent is taken for a won claim */
    BROKEN_BLIND_ABORT, /* committed slots are aborted */
    BROKEN_KEEP_OPEN,   /* a dead publisher's bit in `open` stays */
    BROKEN_LATE_DIED,   /* a dead publisher's bit in `open` is cleared before `died` is set */
    BROKEN_KEEP_CURSOR, /* a dead subscriber holds publishers back for good */
    /* in an admission: */
    BROKEN_KEEP_DIED,     /* `died` stays set when a new stream begins */
    BROKEN_RESET_DIED,    /* `died` is cleared though others publish */
    BROKEN_KEEP_UNFENCED, /* the last holder's bit in `unfenced` stays */
    BROKEN_KEEP_BIT,      /* the last holder's bit in `active` stays */
    /* in the join of a subscriber that came before the first publisher: */
    BROKEN_NO_ENTRY,        /* publishers don't count it */
    BROKEN_NO_SECOND_CHECK, /* it waits, though the topic has a shape by now */
    BROKEN_NO_HOLD,         /* publishers don't wait for what a subscriber holds */
    /* in figures and stamps: */
    BROKEN_ONE_COPY,     /* figures are stored in place */
    BROKEN_LATE_FIGURES, /* figures are stored after the intent that they must precede */
    BROKEN_LATE_STAMP,   /* a stamp is stored after the tag that says so */
    BROKEN_EARLY_STAMP,  /* a stamp is stored while the slot still holds the message before */
    BROKEN_KINDS
};

struct world {
    uint64_t seed;   /* of all choices in this scenario */
    uint64_t random; /* state of the generator */
    ae_geometry geometry;
    ae_log *log; /* as publishers and aetherd map it */
    const ae_log *log_ro;
    ae_cursors *cursors;
    const ae_cursors *cursors_ro;
    ae_notes *notes;
    const ae_notes *notes_ro;
    uint64_t pace; /* ns that pass from one reading of the clock to the next, on the average */
    enum broken broken;
    bool trace;      /* prints what happens on stderr */
    jmp_buf escape;  /* where wrong() jumps to */
    char wrong[256]; /* the text of wrong() */

    /* ---- from here on saved and restored ---- */
    uint64_t tick;
    uint64_t clock_ns;      /* what ae_now_ns() returned last */
    uint64_t top;           /* entries of the ledger in use */
    uint64_t published_end; /* one past the highest sequence whose publish has returned */
    uint64_t aborted;       /* in the ledger */
    unsigned publisher_count, subscriber_count, peer_count;
    uint64_t died;   /* what the word of the stream has to be */
    ae_u64 shape;    /* the topic's shape word in the registry: FIXED from the first publisher on */
    uint64_t deaths; /* ids of deaths that were given out */
    struct entry ledger[LEDGER_MAX];
    struct publisher publishers[PUBLISHERS_MAX];
    struct subscriber subscribers[SUBSCRIBERS_MAX];
    struct peer *peers[PEERS_MAX]; /* peer 0 is the one that is stepped */
};

extern struct world world;

/* ---- choices ---- */

static inline uint64_t any_of(uint64_t n) {
    return next_random(&world.random) % n;
}

static inline bool one_in(uint64_t n) {
    return any_of(n) == 0;
}

/* ---- errors ---- */

/* Stores the text in world.wrong and jumps to world.escape. */
__attribute__((noreturn, format(printf, 1, 2))) void wrong(const char *format, ...);

__attribute__((format(printf, 1, 2))) void trace_line(const char *format, ...);
#define TRACE(...)                                                                                                     \
    do {                                                                                                               \
        if (world.trace)                                                                                               \
            trace_line(__VA_ARGS__);                                                                                   \
    } while (0)

/* ---- the topic ---- */

/* Makes a new topic without publishers and subscribers. The mappings are reused from world to world. */
void world_make(const aether_topic_config *config);

/* The whole world, as bytes. */
struct snapshot {
    size_t bytes; /* of the topic's objects */
    unsigned char *data, *objects;
};
void world_save(struct snapshot *snapshot);
void world_restore(const struct snapshot *snapshot);

/* Do the topic's objects hold the same in both? */
bool world_same_objects(const struct snapshot *a, const struct snapshot *b);

/* One past the last sequence that is claimed, or for which the owner of the bias has stored an intent. */
uint64_t claim_end(void);
uint64_t tag_of(uint64_t seq);
struct entry *entry_of(uint64_t seq);

/* The first sequence below `end` that is in the intent of an open publisher and pending; or end. Skips record `but`. */
uint64_t first_unfinished(uint64_t end, uint32_t but);

/* ---- daemon.c: what aetherd does ---- */

uint32_t free_record(void);

/* Records a grant for a publisher or subscriber, which is to be admitted by a call. */
struct publisher *grant_publisher(uint32_t record);
struct subscriber *grant_subscriber(const aether_subscribe_options *options);
struct subscriber *grant_subscriber_at(uint32_t record, const aether_subscribe_options *options);
struct subscriber *grant_waiting(const aether_subscribe_options *options); /* the topic has had no publisher */

/* Admit it at once; it has to join yet. */
struct publisher *admit_publisher(uint32_t record);
struct subscriber *admit_subscriber(const aether_subscribe_options *options);
struct subscriber *admit_waiting(const aether_subscribe_options *options);

/* Retire at once what is dead or closed. */
void retire_publisher(struct publisher *publisher);
void retire_subscriber(struct subscriber *subscriber);

/* Is this a call that aetherd makes? */
bool is_daemons(const struct call *call);

/* Is aetherd stopped in a call? Then it does nothing else, and must not be asked to. */
bool daemon_stopped(void);

/* The parts of such a call, as call_begin(), perform() and call_end(); and aetherd is killed in it. */
void begin_daemons(struct call *call);
void perform_daemons(const struct call *call);
void end_daemons(struct call *call);
void daemon_dies(struct call *call);

/* ---- calls ---- */

/* Length of a message that fits in a slot, or of one that needs the lane. */
size_t small_len(void);
size_t large_len(void);
bool has_lanes(void);

/* Lengths of a batch that fits in the ring and the lane. large: at least one message needs the lane. */
void any_lens(size_t *lens, size_t count, bool large);

/* Fills in the publisher's next messages, of these lengths. */
void call_messages(struct call *call, enum verb verb, struct publisher *publisher, size_t count, const size_t *lens);

/* Makes the call a GATHER that splits its one message in pieces. */
void call_pieces(struct call *call);

void call_begin(struct call *call);
void perform(void *call);
/* Enters the call's result into the ledger, and checks it. */
void call_end(struct call *call);

/* ---- calls that aren't stopped ---- */

/* What is admitted joins. */
void join_publisher_now(struct publisher *publisher);
void join_subscriber_now(struct subscriber *subscriber);

struct publisher *open_publisher(void);
struct publisher *open_publisher_at(uint32_t record);
/* The publisher closes; aetherd has to retire it yet, or has retired it. */
void leave_now(struct publisher *publisher);
void close_publisher(struct publisher *publisher);

/* One that waits for the topic's shape, has its grant, and hasn't begun to join; or NULL. */
struct subscriber *granted_subscriber(void);

struct subscriber *open_subscriber(aether_policy policy, aether_from from);
void close_subscriber(struct subscriber *subscriber);

/* Publishes `count` messages in one call; returns its result. */
int publish_now(struct publisher *publisher, size_t count, bool large);

/*
 * Receives one message, and begins a call that holds it; or a call that releases one that is held. False: there is no
 * message in place, or none is held.
 */
bool call_hold(struct call *call, struct subscriber *subscriber);
bool call_release(struct call *call, struct subscriber *subscriber);

/* The subscriber receives up to n messages and holds each that it can. All release what they hold. */
void hold_some(struct subscriber *subscriber, uint64_t n);
void release_all(void);

/* What is held is what was published. */
void check_held(void);

/* The subscriber, or each one that is alive, receives up to max entries and checks them. Returns how many. */
uint64_t receive_up_to(struct subscriber *subscriber, uint64_t max);
void all_receive(uint64_t max);

/* Enter into the ledger that the sequence is aborted, or holds this message; and check that against what is known. */
void note_aborted(uint64_t seq);
void note_message(uint64_t seq, const unsigned char *data, size_t len);

/* ---- figures.c: what others read of the figures, and stamps ---- */

/* In shared memory; of every policy and life. */
ae_stats_record *publisher_stats(const struct publisher *publisher);
ae_stats_record *subscriber_stats(const struct subscriber *subscriber);

/* The bytes of a record that are saved. */
#define FIGURES_OFF AE_BLOCK
#define FIGURES_BYTES (7 * AE_BLOCK)

/* The figures of all publishers and subscribers can be read, are right, and have not gone back. */
void check_figures(void);

/* The publisher was repaired, and its record isn't given out again yet: its figures are what remains of it. */
void keep_figures(struct publisher *publisher);

/* All publishers together have published as many messages as the ledger has. */
void check_sum(void);

/* The slot of seq has a stamp if the topic's messages are to have one; and it is that of the message. */
void check_slot_stamp(uint64_t seq, uint64_t tag);

/* The stamps that a subscriber has taken for those of messages are theirs. Call it when the ledger has these. */
void check_stamps(struct subscriber *subscriber);

/* ---- peers ---- */

/* A new peer, whose call the caller fills in. */
struct peer *new_peer(void);

/* Begins the peer's call and stops it after a random instruction. False: the call has returned before that. */
bool stop_anywhere(struct peer *peer);

/* The same after an instruction after which `here` is true. False: there is none, and the call was not begun. */
bool stop_where(struct peer *peer, bool (*here)(const struct peer *peer));

/* The stopped peer goes on, and stops before the instruction after which `there` is true, if there is one. */
void stop_before(struct peer *peer, bool (*there)(const struct peer *peer));

/* Of the publisher or subscriber that makes the peer's call. */
void set_life(const struct peer *peer, enum life life);

void peer_dies(struct peer *peer);
void peer_goes_on(struct peer *peer);
bool peer_stopped(const struct peer *peer);

#endif

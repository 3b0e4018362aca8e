/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h - a small topic, those who publish to it and receive from it, and a ledger of what every sequence holds.
 *
 * There is one world. All of them are in this process, but each touches the topic only through its own handle, as its
 * process would. One that makes a call runs on a fiber (step.h), so that it can be stopped, or killed, after any
 * instruction.
 *
 * The world is saved and restored as a whole: the objects, the handles, the ledger, and where those stand who are
 * stopped. So what would happen after a death can be tried, and forgotten.
 */
#ifndef AETHER_TESTS_KILL_WORLD_H
#define AETHER_TESTS_KILL_WORLD_H

#include "ring/claim.h"
#include "ring/claimer.h"
#include "ring/flow.h"
#include "ring/geometry.h"
#include "ring/join.h"
#include "ring/loan.h"
#include "ring/receive.h"
#include "ring/wait.h"
#include "step.h"
#include <setjmp.h>

#define SPEAKERS_MAX 15u /* publishers in the life of a world: a payload has four bits for its own */
#define LISTENERS_MAX 10u
#define RECORDS 6u /* publisher records in use */
#define PEERS_MAX 4u
#define LEDGER_MAX 2048u
#define BATCH_MAX 16u
#define LOANS_MAX 8u
#define LEN_MIN 8u /* a payload says whose it is and which one */
#define LEN_MAX 2048u

enum fate {
    ABSENT,  /* not there yet, or left */
    ALIVE,   /* makes calls */
    STOPPED, /* in the middle of a call, alive */
    DEAD,    /* and aetherd hasn't noticed */
    BURIED   /* it has */
};

struct speaker {
    struct ae_publisher pub;
    uint32_t record;
    enum fate fate;
    uint64_t serial;              /* of its next message */
    uint64_t inflight;            /* messages of the call that it is in */
    uint64_t seen;                /* of those, bit i for each: found by readers */
    uint64_t first;               /* sequence of the first of those, if one was found */
    uint64_t began;               /* when it began the call */
    uint64_t last_seq;            /* of the last message before that */
    bool spoke;                   /* there is one */
    aether_loan loans[LOANS_MAX]; /* open */
    unsigned loan_count;
};

struct listener {
    struct ae_subscriber sub;
    uint32_t record;
    enum fate fate;
    aether_subscribe_options options;
    uint64_t least_start; /* it may not start before this: returned publishes */
    uint64_t since;       /* when its join had returned; 0: not yet */
    uint64_t start;       /* J, or what it asked for before */
    uint64_t expected;    /* sequence of its next message */
    uint64_t delivered, lost;
    bool evicted;
};

enum verb {
    PUBLISH,
    BURST,
    BATCH,
    GATHER,
    LOAN_TAKE,
    LOAN_COMMIT,
    LOAN_DISCARD,
    JOIN_PUBLISHER,
    LEAVE_PUBLISHER,
    REFRESH,
    RECEIVE,
    RECEIVE_BATCH,
    JOIN_SUBSCRIBER,
    LEAVE_SUBSCRIBER,
    SLEEP,
    REPAIR
};

/* A call that somebody makes; all that it needs is here, since it may be run more than once. */
struct call {
    enum verb verb;
    struct speaker *speaker; /* of a REPAIR: the dead one */
    struct listener *listener;
    size_t count;                /* messages */
    size_t lens[BATCH_MAX];      /* bytes of each */
    struct iovec iov[BATCH_MAX]; /* messages, or the pieces of one */
    size_t pieces;
    aether_loan loan;
    uint64_t evict_below;
    aether_message messages[BATCH_MAX];
    int rc;
    unsigned char data[BATCH_MAX][LEN_MAX];
};

/* Somebody on a fiber. */
struct peer {
    struct fiber fiber;
    struct call call;
};

enum entry_kind { UNKNOWN, PUBLISHED, ABORTED };

struct entry {
    uint8_t kind, speaker;
    uint16_t serial;
    uint32_t len;
};

/* What is broken in recovery, to see that the oracle tells. */
enum broken {
    BROKEN_NOTHING,
    BROKEN_NO_ABORT,    /* what the dead had claimed stays as it is */
    BROKEN_ABORT_ALL,   /* all that isn't committed is aborted, whosever it is */
    BROKEN_NO_RESOLVE,  /* the bias of the dead stays */
    BROKEN_NO_PROVED,   /* only the claim word tells whether the last claim was won */
    BROKEN_ALWAYS_WON,  /* an intent is taken for a claim */
    BROKEN_BLIND_ABORT, /* slots are aborted that were committed */
    BROKEN_KEEP_CURSOR, /* a dead subscriber holds publishers back for good */
    BROKEN_KEEP_OPEN,   /* a dead publisher's bit in `open` stays */
    BROKEN_KINDS
};

struct world {
    uint64_t seed;   /* of all choices in this scenario */
    uint64_t random; /* generator of the one that is being made */
    ae_geometry geometry;
    ae_log *log; /* as publishers and aetherd map it */
    const ae_log *log_ro;
    ae_cursors *cursors;
    const ae_cursors *cursors_ro;
    size_t log_bytes, cursors_bytes;
    enum broken broken;
    bool trace;      /* tells what happens, on stderr */
    jmp_buf escape;  /* to whoever tries the world, when something is wrong */
    char wrong[256]; /* what */

    /* ---- from here on saved and restored ---- */
    uint64_t tick;
    uint64_t top;           /* entries of the ledger in use */
    uint64_t published_end; /* one past the highest sequence whose publish has returned */
    uint64_t aborted;       /* in the ledger */
    unsigned speaker_count, listener_count, peer_count;
    uint32_t died; /* records whose `died` bit has to be set */
    struct entry ledger[LEDGER_MAX];
    struct speaker speakers[SPEAKERS_MAX];
    struct listener listeners[LISTENERS_MAX];
    struct peer *peers[PEERS_MAX]; /* who may be stopped; the first is the one that is stepped */
};

extern struct world world;

/* ---- choices ---- */

static inline uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static inline uint64_t any_of(uint64_t n) {
    return mix(world.random += 0x9e3779b97f4a7c15ull) % n;
}

static inline bool one_in(uint64_t n) {
    return any_of(n) == 0;
}

/* ---- faults ---- */

/* Notes what is wrong, and leaves. */
__attribute__((noreturn, format(printf, 1, 2))) void wrong(const char *format, ...);

__attribute__((format(printf, 1, 2))) void trace_line(const char *format, ...);
#define TRACE(...)                                                                                                     \
    do {                                                                                                               \
        if (world.trace)                                                                                               \
            trace_line(__VA_ARGS__);                                                                                   \
    } while (0)

/* ---- the topic ---- */

/* A new topic with nobody there. Its objects are reused from world to world. */
void world_make(const aether_topic_config *config);

/* Everything, as bytes. */
struct snapshot {
    size_t bytes; /* of the objects */
    unsigned char *data, *objects;
};
void world_save(struct snapshot *snapshot);
void world_restore(const struct snapshot *snapshot);

/* Is all in the topic's objects as it is in the snapshot? */
bool world_same_objects(const struct snapshot *a, const struct snapshot *b);

/* One past the last sequence that is claimed, or is about to be with the bias. */
uint64_t claim_end(void);
uint64_t tag_of(uint64_t seq);
struct entry *entry_of(uint64_t seq);

/* The first sequence below `end` that an open publisher other than `but` has begun, and not finished; or end. */
uint64_t first_unfinished(uint64_t end, uint32_t but);

/* ---- what aetherd does ---- */

/* Admits a publisher, which has to join yet. */
struct speaker *admit_speaker(uint32_t record);
struct listener *admit_listener(const aether_subscribe_options *options);
void bury_speaker(struct speaker *speaker);
void bury_listener(struct listener *listener);

/* What the call REPAIR does: ae_topic_retire_publisher(), or, in a broken world, something like it. */
void repair(uint32_t record);

uint32_t free_record(void);

/* ---- calls ---- */

/* A message that the topic's slots hold, or one that needs the lane. */
size_t small_len(void);
size_t large_len(void);
bool has_lanes(void);

/* Lengths of a batch that fits in a ring and a lane; large: with one that needs the lane, at least. */
void any_lens(size_t *lens, size_t count, bool large);

/* Fills in messages of these lengths; the speaker's next ones. */
void call_messages(struct call *call, enum verb verb, struct speaker *speaker, size_t count, const size_t *lens);

/* Splits its one message in pieces. */
void call_pieces(struct call *call);

void call_begin(struct call *call);
void perform(void *call);
/* What has come of it is entered into the ledger, and checked. */
void call_end(struct call *call);

/* ---- all of a call at once ---- */

struct speaker *open_speaker(void);
struct speaker *open_speaker_at(uint32_t record);
void close_speaker(struct speaker *speaker);
struct listener *open_listener(aether_policy policy, aether_from from);
void close_listener(struct listener *listener);

/* One call that publishes `count` messages: its result. */
int speak(struct speaker *speaker, size_t count, bool large);

/* Receives up to max entries, and checks them. Returns how many. */
uint64_t listen_to(struct listener *listener, uint64_t max);
void listen_all(uint64_t max);

/* A sequence is found to be aborted, or to hold this. */
void note_aborted(uint64_t seq);
void note_heard(uint64_t seq, const unsigned char *data, size_t len);

/* ---- others on fibers ---- */

/* Somebody more who makes a call; the call is to be filled in. */
struct peer *new_peer(void);

/* Begins the peer's call and stops it after a random instruction of it. False: it was done before. */
bool stop_anywhere(struct peer *peer);

/* The same at one of those after which `here` says yes. False: there was none; the peer has done nothing. */
bool stop_where(struct peer *peer, bool (*here)(const struct peer *peer));

/* A stopped one goes on, and stops before the instruction after which `there` says yes, if it comes to that. */
void stop_before(struct peer *peer, bool (*there)(const struct peer *peer));

void peer_dies(struct peer *peer);
void peer_goes_on(struct peer *peer);
bool peer_stopped(const struct peer *peer);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.h - what every topic, publisher, subscriber and client of an instance is doing, and what it did.
 *
 * A reader maps topics and what aetherd writes read-only, and reads the figures of programs by system calls. It finds
 * its objects as an inspector does (inspect.h), can change nothing, and costs the programs that it reads nothing. One
 * thread at a time uses a reader; it must not be used in a forked child.
 *
 *     aether_metrics_open(&metrics, NULL);
 *     for (;;) {
 *         aether_metrics_begin(metrics, &instance);
 *         while (aether_metrics_next(metrics, &topic) > 0)
 *             use topic.published, topic.subscribers[i].lag, aether_latency_quantile(&topic.latency, 0.99) ...
 *         sleep;
 *     }
 *
 * Counters only grow: a topic's counters include the publishers and subscribers that have closed or died. They begin at
 * 0 when the topic is created. A rate is the difference of two passes, divided by the time between them.
 *
 * The figures of one publisher or subscriber belong to one moment, those of different ones to moments up to a pass
 * apart. For each subscriber delivered + lost + aborted + skipped = next - joined, at any moment. Everything that is
 * read from a program is checked: a value that makes no sense is left out or limited, and none can make a call fail,
 * hang, or read out of bounds. A program that cuts or enlarges its statistics loses its own figures only. (If a program
 * cuts a topic's objects short, SIGBUS ends every process that has mapped the topic, readers too.)
 */
#ifndef AETHER_METRICS_H
#define AETHER_METRICS_H

#include <aether/inspect.h>
#include <aether/publish.h>
#include <aether/subscribe.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aether_metrics aether_metrics;

/* ---- latency ---- */

/*
 * Bucket i counts messages with a latency from aether_latency_floor(i) to aether_latency_floor(i + 1) - 1 ns. Below 16
 * ns a bucket is 1 ns wide, above it each power of two has 16 buckets; so the middle of a bucket is at most 1/32 off.
 * The last bucket ends at 2^42 ns, which is 73 minutes.
 */
#define AETHER_LATENCY_BUCKETS 624

/*
 * Latencies from publish to receive. Some messages are stamped when they are published: each message of a slow topic,
 * some thousands a second of a fast one, chosen at random. A stamped message stands for the messages around it, and the
 * buckets count those. So the sum of the buckets estimates the messages delivered, and the quantiles are of messages,
 * not of samples. Two histograms are merged by adding their buckets.
 */
typedef struct aether_latency {
    uint64_t samples;  /* stamped messages that were received: how much the estimate is based on */
    uint64_t negative; /* samples whose stamp lay in the future, which are in no bucket: clocks differ */
    uint64_t missed;   /* samples whose stamp was overwritten before it was read, which are in no bucket */
    uint64_t overflow; /* messages with 2^42 ns or more, which are in no bucket */
    uint64_t buckets[AETHER_LATENCY_BUCKETS];
} aether_latency;

/* The smallest value, in ns, of bucket i, 0 .. AETHER_LATENCY_BUCKETS; for the last one, where the buckets end. */
uint64_t aether_latency_floor(unsigned i);

/* The sum of the buckets. */
uint64_t aether_latency_count(const aether_latency *latency);

/*
 * The latency in ns that the share q of the messages, 0 .. 1, doesn't exceed: the middle of its bucket. 0.5 is the
 * median, 1 the longest of those that were stamped. -1 if there are no messages.
 */
double aether_latency_quantile(const aether_latency *latency, double q);

/* Adds `from` to `to`. */
void aether_latency_add(aether_latency *to, const aether_latency *from);

/* ---- figures ---- */

/* Unknown ages and times. */
#define AETHER_UNKNOWN UINT64_MAX

/* Why messages were lost: index of the arrays `lost_by`. */
typedef enum aether_lost {
    AETHER_LOST_RING = 0,     /* the subscriber was more than the ring behind, and publishers don't wait for it */
    AETHER_LOST_LANE = 1,     /* as above, with the bytes of a lane */
    AETHER_LOST_RETAINED = 2, /* published before it joined (oldest, last), so nothing kept them for it */
    AETHER_LOST_EVICTED = 3   /* after its eviction */
} aether_lost;
#define AETHER_LOST_REASONS 4

/*
 * Where the messages that wait have no stamp, a reader needs two passes, a second or more apart, to see which
 * subscribers are stuck, and how old the messages are at least. A subscriber that is stuck and was evicted is STUCK;
 * `evictions` says that it was evicted.
 */
typedef enum aether_subscriber_state {
    AETHER_SUBSCRIBER_IDLE = 0,   /* has received all that there is */
    AETHER_SUBSCRIBER_BEHIND = 1, /* messages wait, and it receives */
    AETHER_SUBSCRIBER_STUCK = 2,  /* messages wait, and it has received none for a second */
    AETHER_SUBSCRIBER_EVICTED = 3 /* publishers have evicted it; it isn't stuck, and receives as best effort */
} aether_subscriber_state;

/* Why publishers evicted a subscriber. */
typedef enum aether_evict_reason {
    AETHER_EVICT_NOT = 0,
    AETHER_EVICT_LAG = 1, /* it was too many messages behind */
    AETHER_EVICT_LANE = 2 /* it held room in a lane that a publisher needed */
} aether_evict_reason;

/* The client of a publisher or subscriber. */
typedef struct aether_owner {
    uint64_t grant_id; /* names this publisher or subscriber for the life of the instance */
    uint64_t client_id;
    char client[64]; /* the client's name, NUL-terminated */
    uint32_t pid;    /* 0 where the kernel doesn't say */
    /*
     * its state as in /proc/PID/stat: R, S, D, T (stopped), Z ...; X: it has ended, and no aetherd has noticed yet;
     * '?' unknown
     */
    char process;
} aether_owner;

typedef struct aether_publisher_metrics {
    aether_owner owner;
    uint64_t joined;          /* sequence */
    uint64_t next;            /* one more than the last sequence that it published; at first where it joined */
    uint64_t messages;        /* published */
    uint64_t bytes;           /* payload of those, as of its last visit to the slow path: up to a moment old */
    uint64_t batches;         /* calls that published several messages */
    uint64_t full;            /* calls that found no room */
    uint64_t stalls;          /* times that it ran out of room */
    uint64_t stall_ns;        /* total time without room, with the present stall; up to 2 s after the last try */
    uint64_t stall_longest;   /* ns; the present stall counts as long as it is now */
    uint64_t retries;         /* claims that another publisher won */
    uint64_t wakes;           /* wake-ups of sleeping subscribers */
    uint64_t loans;           /* open now */
    uint64_t lane_bytes;      /* size of its lane; 0: none */
    uint64_t lane_used;       /* bytes of its lane that can't be used now: subscribers or loans hold them */
    uint64_t lane_fits;       /* messages of the largest size for which its lane has room now */
    aether_waits waits;       /* what it waits for now */
    uint64_t waited_ns;       /* for how long; 0 if it doesn't wait */
    uint64_t tried_ns;        /* how long ago it last found no room; AETHER_UNKNOWN if it doesn't wait */
    int32_t waits_subscriber; /* index in the topic's subscribers; -1: none */
    int32_t waits_publisher;  /* index in the topic's publishers; -1: none */
} aether_publisher_metrics;

typedef struct aether_subscriber_metrics {
    aether_owner owner;
    aether_policy policy;
    aether_subscriber_state state;
    uint64_t joined;    /* first sequence that it counts */
    uint64_t next;      /* all below it is accounted for: next - joined = delivered + lost + aborted + skipped */
    uint64_t delivered; /* messages */
    uint64_t bytes;     /* payload of those, as of its last visit to the slow path: up to a moment old */
    uint64_t lost;      /* sequences: the sum of lost_by */
    uint64_t lost_by[AETHER_LOST_REASONS];
    uint64_t gaps;      /* in which those were lost */
    uint64_t aborted;   /* sequences that a publisher had claimed, but died before it committed them */
    uint64_t skipped;   /* sequences that a latest subscriber passed over for a newer message */
    uint64_t evictions; /* 1: publishers have evicted it, even if it hasn't noticed yet */
    aether_evict_reason evict_reason;
    uint64_t evict_held; /* AETHER_EVICT_LANE: bytes of lane room that it held when it was evicted */
    uint64_t unread;     /* messages between next and the topic's end */
    /*
     * messages between the topic's end and what publishers may not overwrite: also those that it has received and holds
     * still. Of one for which publishers don't wait: as `unread`
     */
    uint64_t lag;
    uint64_t lane_held;   /* bytes of lanes that it holds: the payload of `lag`, of at most 65,536 messages */
    uint64_t overwritten; /* of `unread`: no longer in the ring, so the next receive counts at least these as lost */
    uint64_t age_ns; /* how long ago the oldest unread message was published, at least; 0: none is; AETHER_UNKNOWN */
    uint64_t received_ns; /* how long ago it last received a stamped message; AETHER_UNKNOWN */
    uint64_t sleeps;      /* times that it slept to wait for a message; a wait in a waitset counts once */
    uint64_t woken;       /* of these, times after which there was one */
    uint64_t holds_up;    /* publishers that wait for it now */
    uint64_t held_up_ns;  /* the longest time that one of them has waited */
    aether_latency latency;
    aether_stated requests; /* what it states about the topic: it binds others for as long as the subscriber is open */
} aether_subscriber_metrics;

/* The last figures of a publisher or subscriber that closed or died. */
typedef struct aether_departed_metrics {
    aether_owner owner; /* process is '?' */
    aether_role role;
    uint32_t died;    /* 1: its program ended without closing it; 0: it was closed, also by aether_disconnect() */
    uint32_t evicted; /* 1: publishers had evicted it */
    aether_evict_reason evict_reason;
    uint64_t evict_held;   /* AETHER_EVICT_LANE: bytes of lane room that it held when it was evicted */
    uint64_t left_ns;      /* CLOCK_REALTIME: it was closed, or aetherd noticed that it had died */
    uint64_t left_mono_ns; /* the same moment by CLOCK_MONOTONIC: of two, the larger one is the later */
    uint64_t ago_ns;       /* how long ago that was */
    uint64_t messages;     /* published, or delivered */
    uint64_t lost, aborted, skipped;
    uint64_t full, stall_ns;
} aether_departed_metrics;

/* A topic. Counters are those of all its publishers and subscribers, also of those that have gone. */
typedef struct aether_topic_metrics {
    aether_topic_info info;

    uint64_t published; /* messages: those that publishers had claimed, without those that were aborted */
    uint64_t published_bytes;
    uint64_t batches, full, stalls, stall_ns, retries, wakes;
    uint64_t stall_longest; /* ns */
    uint64_t waiting;       /* publishers that wait for room now */
    uint64_t waited_ns;     /* the longest time that one of them has waited */

    uint64_t delivered; /* messages; one that three subscribers received counts three times */
    uint64_t delivered_bytes;
    uint64_t lost, lost_by[AETHER_LOST_REASONS], gaps, aborted, skipped, evictions, sleeps, woken;
    /* Publishers and subscribers that have gone, whose programs died, or exited, before they closed them. */
    uint64_t publishers_died, subscribers_died;
    uint64_t accounted;     /* sum of next - joined of the subscribers: = delivered + lost + aborted + skipped */
    uint64_t lag;           /* of the subscriber that is farthest behind */
    uint64_t overwritten;   /* sum of the subscribers' */
    uint64_t age_ns;        /* the longest age_ns of its subscribers; AETHER_UNKNOWN if all that aren't 0 are unknown */
    uint64_t stuck;         /* subscribers that are stuck now */
    aether_latency latency; /* of all subscribers */

    /* In the order in which they were opened. Valid until the next call with this reader. */
    const aether_publisher_metrics *publishers;
    size_t publisher_count;
    const aether_subscriber_metrics *subscribers;
    size_t subscriber_count;
    /* The last ones that have gone, up to 8, the latest first. */
    const aether_departed_metrics *departed;
    size_t departed_count;
} aether_topic_metrics;

typedef struct aether_client_metrics {
    uint64_t client_id;
    char name[64]; /* NUL-terminated */
    uint32_t pid;  /* 0 where the kernel doesn't say */
    uint32_t uid;
    char process;                     /* as in aether_owner */
    uint64_t created_ns;              /* CLOCK_REALTIME */
    uint64_t connected_ns;            /* for how long it has been there */
    uint64_t publishers, subscribers; /* open */
    uint64_t stats_bytes;             /* shared memory of its statistics */
} aether_client_metrics;

typedef struct aether_instance_metrics {
    aether_daemon_info daemon;
    uint64_t now_ns;     /* CLOCK_REALTIME of the pass's beginning */
    uint64_t elapsed_ns; /* CLOCK_MONOTONIC since the beginning of this reader's pass before; 0: this is the first */
    uint64_t publishers, subscribers; /* open; each one takes a grant */
    uint32_t grants_max;              /* publishers and subscribers that aetherd admits, together */
    /* aetherd's state as in /proc/PID/stat; '?' if it doesn't run, or isn't seen, as from another pid namespace */
    char process;
    /* 1: aetherd runs, but its process is stopped, so it answers nothing; 0: it isn't stopped; AETHER_UNKNOWN */
    uint64_t stopped;
} aether_instance_metrics;

/* ---- reading ---- */

/* Opens a reader of the instance at socket_path (NULL: aether_default_socket()). Errors: as aether_inspect_open(). */
int aether_metrics_open(aether_metrics **metrics, const char *socket_path);

/* Closes the reader and frees it, with the figures that it returned. Doesn't block. NULL is allowed. */
void aether_metrics_close(aether_metrics *metrics);

/*
 * Begins a pass over all topics. instance may be NULL. Returns 0. If another aetherd has begun with an empty registry,
 * the pass shows that one. Errors: -EMFILE, -ENFILE, -ENOMEM; and as aether_inspect_open().
 */
int aether_metrics_begin(aether_metrics *metrics, aether_instance_metrics *instance);

/*
 * The next topic of the pass, in no particular order. Returns 1: *topic is filled in; 0: no more. The memory that a
 * pass needs doesn't grow with the number of topics.
 *
 * Errors pass: -ENOMEM; -EMFILE, -ENFILE no descriptor is left; -EAGAIN publishers and subscribers of the topic close
 * faster than their figures can be added up; others of open(), mmap() and pread(). A figure that can't be read now is
 * never shown as 0. After an error the next call goes on with the next topic, so this one is missing in the pass.
 *
 * A reader keeps up to 4096 objects mapped until the next pass, and a descriptor open for each of up to 1024 clients,
 * but for no more than a quarter of RLIMIT_NOFILE. The next pass closes those that it doesn't use. So the memory of a
 * topic that is removed meanwhile is free after the next pass that is read to its end, or after the close.
 */
int aether_metrics_next(aether_metrics *metrics, aether_topic_metrics *topic);

/*
 * One topic by name, outside of a pass or in one. Returns 1, or 0 if there is none. Errors: as aether_metrics_next().
 */
int aether_metrics_find(aether_metrics *metrics, const char *name, aether_topic_metrics *topic);

/*
 * The clients: *cursor starts at 0 and is advanced. Returns 1: *client is filled in; 0: no more. Errors: -EMFILE,
 * -ENFILE, -ENOMEM.
 */
int aether_metrics_client(aether_metrics *metrics, uint32_t *cursor, aether_client_metrics *client);

/*
 * ---- the table of metrics ----
 *
 * One table for all programs that show metrics. Exporters call a metric
 *
 *     aether_SCOPE_NAME_UNIT_total    aether_topic_published_messages_total, aether_publisher_stall_seconds_total
 *
 * SCOPE is "daemon" for AETHER_SCOPE_INSTANCE, else "topic", "publisher", "subscriber" or "client". UNIT is "messages",
 * "bytes" or "seconds", the last for nanoseconds and for times of day; it is left out, with its underscore, for
 * AETHER_UNIT_ONE. "_total" is added to counters only. So name and unit together name a metric of a scope. Rows that
 * differ in their label only, such as the reasons of losses, are one metric.
 *
 * Sequences and ids aren't metrics. Neither is a sum of others: the messages lost for all reasons.
 */

/* What a metric belongs to: the struct that its offset is in. */
typedef enum aether_scope {
    AETHER_SCOPE_INSTANCE = 0,   /* aether_instance_metrics */
    AETHER_SCOPE_TOPIC = 1,      /* aether_topic_metrics */
    AETHER_SCOPE_PUBLISHER = 2,  /* aether_publisher_metrics */
    AETHER_SCOPE_SUBSCRIBER = 3, /* aether_subscriber_metrics */
    AETHER_SCOPE_CLIENT = 4      /* aether_client_metrics */
} aether_scope;

typedef enum aether_kind {
    AETHER_COUNTER = 0,  /* only grows while its topic, publisher or subscriber is there */
    AETHER_GAUGE = 1,    /* goes up and down */
    AETHER_HISTOGRAM = 2 /* an aether_latency */
} aether_kind;

/* The unit of the value in the struct. Exporters convert to base units. */
typedef enum aether_unit {
    AETHER_UNIT_ONE = 0, /* a number of what the name says; a gauge may be AETHER_UNKNOWN: then it has no value */
    AETHER_UNIT_MESSAGES = 1,
    AETHER_UNIT_BYTES = 2,
    AETHER_UNIT_NS = 3, /* may be AETHER_UNKNOWN: then the metric has no value */
    AETHER_UNIT_REALTIME_NS = 4
} aether_unit;

typedef struct aether_metric {
    const char *name; /* in lower case with underscores, without prefix, unit and _total: "published" */
    const char *help; /* one sentence, with a full stop */
    aether_scope scope;
    aether_kind kind;
    aether_unit unit;
    size_t offset;                   /* of the value in the scope's struct */
    size_t size;                     /* bytes: 4 or 8, an unsigned integer; or sizeof(aether_latency) */
    const char *label, *label_value; /* "reason", "ring": one of several rows of this metric; NULL: it stands alone */
} aether_metric;

/* All metrics, ordered by scope, name, unit and label. The table is constant. */
const aether_metric *aether_metrics_table(size_t *count);

/* The value of an integer metric in the struct of its scope. */
uint64_t aether_metric_value(const aether_metric *metric, const void *figures);

/*
 * "stuck", "subscriber", "ring": the words for the enums above, as all programs show them. "?" for other values. The
 * texts have static storage.
 */
const char *aether_state_name(aether_subscriber_state state);
const char *aether_waits_name(aether_waits waits);
const char *aether_lost_name(aether_lost reason);
const char *aether_evict_reason_name(aether_evict_reason reason);

#ifdef __cplusplus
}
#endif
#endif

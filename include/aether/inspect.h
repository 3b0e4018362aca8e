/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect.h - topics, clients and counters of a daemon, read-only; and which topics come and go.
 *
 * An inspector maps the objects by itself and can change nothing. It needs no aetherd: the objects have names in
 * /dev/shm, which derive from the owner's uid and the socket's path. Where these lead to nothing, as in a container
 * with a /dev/shm of its own or where the socket is seen under another path, a running aetherd passes it the objects.
 * Then a call may wait for aetherd, for up to a second in a list or search and for up to 2 s when it is opened. Figures
 * are snapshots: each is exact, but they are not taken at one instant. Everything that is read is checked first; a
 * record that makes no sense is left out.
 *
 * To follow the topics, list all of them, then wait until they may have changed, and list them again:
 *
 *     do {
 *         for (at = 0; aether_inspect_topic(inspector, &at, &info) > 0;)
 *             compare with what is known: info.name, info.id and info.created_ns together name a topic for ever;
 *     } while ((rc = aether_inspect_changed(inspector, AETHER_FOREVER)) >= 0);
 */
#ifndef AETHER_INSPECT_H
#define AETHER_INSPECT_H

#include <aether/error.h>
#include <aether/topic.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aether_inspector aether_inspector;

typedef struct aether_daemon_info {
    uint32_t running;    /* 1: an aetherd holds the instance's lock now; metrics.h says whether it is stopped */
    uint32_t pid;        /* of the daemon that runs or ran last */
    uint64_t started_ns; /* CLOCK_REALTIME of its start */
    uint64_t uptime_ns;  /* for how long it has run; 0 if it doesn't run. By CLOCK_MONOTONIC, as all durations */
    uint32_t topics;     /* live */
    uint32_t topics_max;
    uint32_t topics_waiting; /* only subscribers are there: aether_inspect_waiting(). They count towards topics_max */
    uint32_t clients;        /* in the registry; a dead client is in it until aetherd has noticed */
    uint32_t clients_max;
    uint64_t memory_bytes; /* of all topics' objects */
} aether_daemon_info;

/* What a program has stated about a topic, as in aether_topic_config. 0, and "": it hasn't. */
typedef struct aether_stated {
    uint64_t max_message, inline_max, capacity, lane_bytes, evict_lag, start_seq;
    aether_preset preset;
    aether_publishers publishers;
    aether_slow slow;
    aether_latency_mode latency;
    uint32_t type_version, type_size;
    char type_name[64]; /* NUL-terminated */
} aether_stated;

typedef struct aether_topic_info {
    uint64_t id;
    char name[256];           /* NUL-terminated; may hold any byte that a topic name may */
    uint64_t created_ns;      /* CLOCK_REALTIME */
    uint64_t created_mono_ns; /* the same moment by CLOCK_MONOTONIC, for durations */
    uint64_t start_seq;
    uint64_t next_seq;        /* sequence of the next message */
    uint64_t messages;        /* published since creation: next_seq - start_seq */
    uint64_t capacity;        /* slots */
    uint32_t slot_size;       /* bytes */
    uint32_t max_message;     /* bytes */
    uint32_t inline_max;      /* bytes: longer messages lie in a lane */
    uint64_t lane_bytes;      /* of each publisher's lane; 0: no lanes */
    uint64_t evict_lag;       /* sequences; 0: publishers wait for slow subscribers */
    aether_publishers admits; /* which publishers the topic admits */
    uint64_t memory_bytes;    /* of the topic's objects: what is allocated now */
    char type_name[64];       /* NUL-terminated; "": no type stated yet */
    uint32_t type_version;
    uint32_t type_size;  /* bytes */
    uint64_t joins;      /* publishers that were ever admitted */
    uint32_t publishers; /* attached */
    /* reliable subscribers that have joined: they get, or are evicted from, all that is published from now on */
    uint32_t reliable;
    uint32_t best_effort; /* subscribers attached */
    uint64_t full;        /* times that the publishers attached now found no room: each attempt counts */
    /* sequences between next_seq and the slowest reliable cursor, evicted subscribers left out; at most the capacity */
    uint64_t max_lag;
    aether_latency_mode latency; /* which messages are stamped with the time of their publishing */

    /*
     * Who has stated what binds all others: names, NUL-terminated, and pids of clients, which may have gone. "" and 0:
     * nobody has. What isn't stated is a default.
     */
    aether_stated stated;
    char created_by[64]; /* aether_topic_create() */
    char shaped_by[64];  /* the first publisher */
    char typed_by[64];   /* who stated the type */
    uint32_t created_pid, shaped_pid, typed_pid;
    uint32_t shaped; /* 1: a publisher has come, so nothing of the above can change; 0: what isn't stated still can */
    /*
     * What the shape has because subscribers that were open when the first publisher came asked for it; not in
     * `stated`. Name and pid of the client; "" and 0: several have.
     */
    aether_stated asked;
    char asked_by[64];
    uint32_t asked_pid;
} aether_topic_info;

typedef enum aether_role {
    AETHER_ROLE_PUBLISHER = 1,
    AETHER_ROLE_RELIABLE = 2,
    AETHER_ROLE_BEST_EFFORT = 3
} aether_role;

/*
 * One open publisher or subscriber of a topic. The figures of a best-effort subscriber are 0 here; metrics.h has them.
 */
typedef struct aether_peer_info {
    aether_role role;
    uint32_t pid; /* 0 where the kernel doesn't say */
    uint64_t client_id;
    char client[64]; /* the client's name, NUL-terminated */
    uint64_t joined; /* sequence */
    uint64_t next;   /* publisher: one past what it claimed last; reliable: its cursor */
    /* reliable: sequences that publishers can't overwrite because of it, at most the capacity; 0 if it is evicted */
    uint64_t lag;
    uint64_t lost;    /* reliable: sequences reported as gaps */
    uint64_t aborted; /* reliable: aborted sequences skipped */
    uint64_t full;    /* publisher: times that it found the ring full */
    uint32_t evicted; /* reliable: 1: evicted by a publisher */
} aether_peer_info;

/*
 * Opens the objects of the daemon that listens, or listened, at socket_path (NULL: aether_default_socket()).
 * Errors: -ENOENT no daemon has left anything there; -EACCES it belongs to another user; -EPROTO another layout
 *         version; -EBADMSG damaged, removed, not finished yet, or what answers isn't an aetherd; -ETIMEDOUT aetherd is
 *         stopped and nothing is found by name; -ENOMEM.
 */
int aether_inspect_open(aether_inspector **inspector, const char *socket_path);

/* Closes the inspector and frees it. Doesn't block. NULL is allowed. */
void aether_inspect_close(aether_inspector *inspector);

/* The daemon, and what its registry says in sum. Returns 0. Errors: as aether_inspect_open(). */
int aether_inspect_daemon(aether_inspector *inspector, aether_daemon_info *info);

/*
 * Topics in no particular order: *cursor starts at 0 and is advanced. Returns 1: *info is filled in; 0: no more.
 * A topic that is there all the time is listed once; one that comes, goes or is changed meanwhile may be left out, and
 * aether_inspect_changed() says so afterwards. A topic whose objects are missing or damaged is listed with the figures
 * that the registry has. Errors: as aether_inspect_open(), and -EMFILE or -ENFILE if no descriptor is left, or
 * -ENOTCONN if aetherd would have to pass an object and has ended. After an error the next call goes on with the next
 * topic; such a list isn't complete.
 */
int aether_inspect_topic(aether_inspector *inspector, uint32_t *cursor, aether_topic_info *info);

/*
 * Tells whether topics have come or gone, or got a type, since the last complete list began. A list begins when
 * aether_inspect_topic() is called with *cursor 0, and is complete when it returns 0; one at a time. Waits for such a
 * change for at most timeout_ns nanoseconds (0: returns at once; AETHER_FOREVER: without end).
 *
 * Returns 1: yes, or no list has been completed yet; again and again, until a list is. No change is missed: one that
 * comes during the list counts. It may also return 1 though nothing has changed, as when aetherd has been started anew.
 * The thread that waits here should make the lists, too: between a change and the next complete list this returns at
 * once.
 * 0: no, and timeout_ns is over or a signal came.
 *
 * A sleeper is woken at once. It goes on while aetherd is dead, when nothing changes. A later aetherd that takes over
 * what it finds wakes it; one that begins with an empty registry, because its predecessor had ended in an orderly way
 * without topics, is noticed within 250 ms. From the next list on the inspector shows that one. Ids begin anew there.
 *
 * Errors: those of aether_inspect_open(), which are about the registry of another aetherd than before.
 */
int aether_inspect_changed(aether_inspector *inspector, uint64_t timeout_ns);

/* A topic for which subscribers wait: no publisher has opened it yet, nor has anybody created it. */
typedef struct aether_waiting_info {
    uint64_t id;
    char name[256];       /* NUL-terminated */
    uint64_t created_ns;  /* CLOCK_REALTIME: the first subscriber came */
    uint32_t subscribers; /* that wait */
    uint32_t pid;         /* of the client that has waited longest; 0 where the kernel doesn't say */
    char client[64];      /* its name, NUL-terminated */
    aether_stated asked;  /* what the subscribers that wait ask for together: of sizes the largest */
} aether_waiting_info;

/*
 * Topics for which subscribers wait, which all other functions leave out: *cursor starts at 0 and is advanced. Returns
 * 1: *info is filled in; 0: no more. Errors: -ENOMEM.
 */
int aether_inspect_waiting(aether_inspector *inspector, uint32_t *cursor, aether_waiting_info *info);

/* One topic by name. Returns 1, or 0 if there is none. Errors: -EMFILE, -ENFILE, -ENOMEM. */
int aether_inspect_find(aether_inspector *inspector, const char *topic, aether_topic_info *info);

/*
 * The peers of a topic: *cursor starts at 0 and is advanced. Returns 1: *info is filled in; 0: no more.
 * Errors: -EMFILE, -ENFILE, -ENOMEM.
 */
int aether_inspect_peer(aether_inspector *inspector, uint64_t topic_id, uint32_t *cursor, aether_peer_info *info);

#ifdef __cplusplus
}
#endif
#endif

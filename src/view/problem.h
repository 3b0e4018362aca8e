/* SPDX-License-Identifier: Apache-2.0 */
/*
 * problem.h - what is wrong in a topic and which program it comes from, as a record and as a sentence.
 *
 * src/watch/problems.h finds them. All programs show the same list: the worst first, one sentence for each culprit.
 */
#ifndef AE_VIEW_PROBLEM_H
#define AE_VIEW_PROBLEM_H

#include "view/daemon.h"
#include <aether/metrics.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The worst first. A subscriber with several of these has the first one; its sentence names the others, too. */
enum ae_problem_kind {
    AE_PROBLEM_WAITS = 0,     /* a publisher waits for room */
    AE_PROBLEM_STUCK = 1,     /* messages wait for a subscriber, and it has received none for a second */
    AE_PROBLEM_STOPPED = 2,   /* messages wait for a subscriber, and its process is stopped or dead */
    AE_PROBLEM_LOSES = 3,     /* a subscriber has lost messages since the pass before, or a short time ago */
    AE_PROBLEM_THROTTLED = 4, /* a publisher had no room for much of the time since the pass before */
    AE_PROBLEM_EVICTED = 5,   /* publishers have evicted a subscriber, which receives as best effort now */
    AE_PROBLEM_DIED = 6       /* the process of a publisher or subscriber ended a short time ago without closing it */
};

struct ae_problem {
    char topic[256]; /* its name, NUL-terminated */
    enum ae_problem_kind kind;
    bool has_victim, has_culprit; /* of a topic without culprit its subscribers lose messages */
    aether_owner victim;          /* the publisher that waits or is throttled */
    aether_owner culprit;         /* where it comes from: what the publisher waits for, or what is slow or has died */
    aether_role role;             /* of the culprit */
    uint64_t for_ns;              /* wait, age of the oldest unread message, time since death; AETHER_UNKNOWN */
    uint64_t behind;              /* messages that wait for the culprit, a subscriber */
    uint64_t overwritten;         /* those of them that publishers have overwritten: it will lose them */
    uint64_t tried_ns;            /* how long ago the publisher last found no room; AETHER_UNKNOWN */
    uint64_t loans;               /* open ones of the publisher */
    uint64_t others;              /* more publishers of the topic that wait for the same culprit, for less time */
    uint64_t topics;              /* more topics, at least, in which the culprit has a problem that isn't worse */
    double lost;                  /* messages that the culprit loses a second; 0: none, or unknown */
    uint64_t lost_count;         /* messages that it lost between two passes, the last time that it lost any; 0: none */
    uint64_t lost_ago_ns;        /* how long ago the second of these passes was, if lost_count isn't 0 */
    double share;                /* of the time for which the publisher had no room, 0 .. 1 */
    aether_waits waits;          /* what the publisher waits for */
    aether_lost reason;          /* of most of these messages */
    bool evicted;                /* the culprit has been evicted */
    enum ae_daemon_state daemon; /* without aetherd nothing frees what a dead culprit holds */
};

/* "waits", "stuck", ...; "?" for other values. */
const char *ae_problem_name(enum ae_problem_kind kind);

/*
 * Is a worse than b? The kind decides, then the longer time, of which an unknown one is the least, then messages. A
 * loss that goes on is worse than one that is over; of these, a later one is worse.
 */
bool ae_problem_worse(const struct ae_problem *a, const struct ae_problem *b);

/*
 * Writes the sentence, without the topic and without a full stop, NUL-terminated and escaped for terminals:
 *
 *     publisher feed (pid 812) has waited 3.20 s for subscriber risk (pid 790), which is stopped, 65,536 behind
 *     publisher feed (pid 812) has waited 9 s for subscriber risk (pid 790), which is dead, 8 behind; start aetherd,
 *         which frees its room
 *     subscriber risk (pid 790) is stuck: 12,000 messages wait, the oldest for 2 s; it was evicted
 *     subscriber log (pid 791) loses messages, 70/s: it was more than the ring behind
 *     subscriber log (pid 791) lost 12,345 messages 4 s ago: it was more than the ring behind
 *
 * Returns text. If it is longer than the room, its end is left out.
 */
#define AE_PROBLEM_TEXT 1024
char *ae_problem_text(char text[AE_PROBLEM_TEXT], const struct ae_problem *problem);

#endif

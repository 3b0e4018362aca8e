/* SPDX-License-Identifier: Apache-2.0 */
/* kill.h - the states that a topic is in, the operations in which somebody is killed, and what must hold afterwards. */
#ifndef AETHER_TESTS_KILL_KILL_H
#define AETHER_TESTS_KILL_KILL_H

#include "world.h"

/* What a state or an operation asks of the topic. */
#define LANES 1u     /* messages that don't fit in a slot */
#define UNBIASED 2u  /* never biased */
#define EXCLUSIVE 4u /* one publisher */
#define EVICTS 8u
#define AT_48 16u /* sequences about to exceed 48 bits */
#define AT_64 32u /* 64 bits */

struct state {
    const char *group, *name;
    unsigned topic;
    /* Makes it, in a new topic. Returns the publisher to be killed, which is between two calls. */
    struct speaker *(*make)(void);
};

struct op {
    const char *name;
    unsigned topic;
    /* Fills in the call of peer 0. False: there is no such operation in this state. */
    bool (*prepare)(struct call *call, struct speaker *speaker);
};

extern const struct state states[];
extern const unsigned state_count;
extern const struct op ops[];
extern const unsigned op_count;

/* The topic that a state and an operation are tried on. */
void make_topic(unsigned topic);

/* Any call that publishes. */
void any_publish(struct call *call, struct speaker *speaker, bool batch);

/* Peer 0 stands somewhere in its operation, and goes on afterwards. The others do something in between. */
void meanwhile(void);

/*
 * Peer 0 stands after an instruction of its operation, or has finished it. It is killed, or stays stopped for a while
 * and goes on; the others go on; all that died is recovered, in some order; and then everything has to be right.
 */
void oracle(bool kill);

#endif

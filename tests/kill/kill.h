/* SPDX-License-Identifier: Apache-2.0 */
/* kill.h - the states of a topic, the operations in which a process is killed, and what must hold afterwards. */
#ifndef AETHER_TESTS_KILL_KILL_H
#define AETHER_TESTS_KILL_KILL_H

#include "world.h"

/* What a state or an operation needs of the topic. */
#define LANES 1u     /* messages that don't fit in a slot */
#define UNBIASED 2u  /* never biased */
#define EXCLUSIVE 4u /* one publisher */
#define EVICTS 8u
#define AT_48 16u /* sequences about to exceed 48 bits */
#define AT_64 32u /* 64 bits */

struct state {
    const char *group, *name;
    unsigned topic;
    /* Makes the state in a new topic. Returns the publisher to be killed, which is between two calls. */
    struct publisher *(*make)(void);
};

struct op {
    const char *name;
    unsigned topic;
    /* Fills in the call of peer 0. False: the operation isn't possible in this state. */
    bool (*prepare)(struct call *call, struct publisher *publisher);
};

extern const struct state states[];
extern const unsigned state_count;
extern const struct op ops[];
extern const unsigned op_count;

/* Makes a topic with the properties that a state and an operation need. */
void make_topic(unsigned topic);

/* Fills in some call that publishes. */
void any_publish(struct call *call, struct publisher *publisher, bool batch);

/* While peer 0 is stopped in its operation: others publish, receive and join. It goes on afterwards. */
void meanwhile(void);

/*
 * Peer 0 is stopped in its operation, or has finished it. If it is stopped it is killed, or it goes on after a while.
 * Meanwhile the others work, and aetherd recovers from every death, in some order. Then checks that the topic and all
 * accounts are right, by wrong().
 */
void oracle(bool kill);

#endif

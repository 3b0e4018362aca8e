/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sender.h - publishes messages at a rate, waits for room, and shows progress on stderr.
 *
 * pub fills in the first part of the struct, and opens and owns the publisher. The second part is for sender.c only.
 * Functions that return int return CLI_OK, or a status that ends the command, because of an error, which was reported,
 * or a signal.
 */
#ifndef AETHER_CLI_SENDER_H
#define AETHER_CLI_SENDER_H

#include <aether/aether.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SENDER_WAIT_FOREVER (-1.0)

struct sender {
    const char *topic;
    aether_publisher *publisher;
    uint64_t count; /* messages; 0: no end */
    double rate;    /* messages a second; 0: as fast as possible */
    double wait;    /* seconds for a full ring; SENDER_WAIT_FOREVER */
    bool verbose;

    uint64_t published;
    uint64_t started_ns, reported_ns;
    double due_ns; /* of the next message, since started_ns */
    bool terminal; /* stderr is a terminal */
    bool drawn;    /* a line of progress is on the terminal */
};

/* Starts the clock of the rate and the duration. */
void sender_start(struct sender *s);

/* False: count messages have been published. */
bool sender_has_more(const struct sender *s);

/* Publishes one message when it is due, waiting while the ring is full. */
int sender_publish(struct sender *s, const void *data, size_t len);

/* The same by a loan: when the message is due, waits for room for len bytes. Then commit or discard the loan. */
int sender_take_loan(struct sender *s, size_t len, aether_loan *loan);
int sender_commit_loan(struct sender *s, aether_loan *loan);

/* Show progress on a terminal before a wait for input, and erase it before an error is reported. */
void sender_show_progress(struct sender *s);
void sender_erase_progress(struct sender *s);

/* An aether_stall_handler, whose context is the sender: says on stderr for whom it waits. */
void sender_on_stall(void *context, aether_publisher *publisher, const aether_stall *stall);

/* Shows at the end, on a terminal or if verbose, how many messages were published in what time. */
void sender_show_summary(struct sender *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow.h - the topics whose names patterns admit: those that are there, and those that come later.
 *
 * A thread sleeps in aether_inspect_changed() and lists the topics after each change. When it has found names, it wakes
 * the waitset in which its user waits. Functions other than the thread's are for one thread, the user's.
 */
#ifndef AETHER_CLI_FOLLOW_H
#define AETHER_CLI_FOLLOW_H

#include "args.h"
#include <aether/aether.h>
#include <stdbool.h>

#define FOLLOW_NAME_SIZE 256

struct follow;

/*
 * Lists the topics that are there, and starts the thread. words: patterns, and names, which are left out; they stay the
 * caller's and must outlive the follow, as the set must. CLI_OK; or reports the error, and *follow is NULL.
 */
int follow_open(struct follow **follow, const struct args_list *words, aether_waitset *set);

/* Ends the thread. NULL is allowed. */
void follow_close(struct follow *follow);

/*
 * Takes a name that wasn't taken before. *late: its topic came after follow_open(). Returns 1; 0: there is none now; or
 * a negative errno, with which the thread has ended: *why, which is the follow's, says why.
 */
int follow_take(struct follow *follow, char name[FOLLOW_NAME_SIZE], bool *late, const char **why);

/* The topic was gone when its name had been taken. If it comes again, its name can be taken again. */
void follow_forget(struct follow *follow, const char *name);

#endif

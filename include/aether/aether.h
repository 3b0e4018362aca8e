/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aether.h - publish and subscribe between processes on one machine, through shared memory.
 *
 * Include this file; it brings in the others, which are grouped by what you want to do:
 *
 *   error.h      what a call returns, and the text of what went wrong
 *   connect.h    reach aetherd, once, at start-up
 *   topic.h      topics: configuration, creation, removal
 *   publish.h    publishers
 *   subscribe.h  subscribers
 *   idle.h       what a loop does while there is nothing to do
 *   wait.h       wait for a message without spinning; a file descriptor for event loops
 *   inspect.h    read-only look at topics and counters, with or without a running aetherd
 *
 * Threads  A handle (client, publisher, subscriber, inspector) is used by one thread at a time. Different handles may
 * be used by
 *          different threads at once; opening and closing handles of one client is serialised inside.
 * Fork     A handle belongs to the process that opened it. The shared memory behind it is not inherited by a forked
 * child: a child
 *          that uses its parent's publisher or subscriber gets a segmentation fault, never corrupts a topic. A child
 *          that wants to take part connects for itself. exec drops everything.
 * Signals  Publish and receive take no locks and call nothing; even so they are not reentrant on one handle, so a
 * signal handler
 *          may use only handles that the interrupted code never uses.
 * Memory   The library allocates when handles are opened and frees when they are closed; publish and receive never
 * allocate.
 */
#ifndef AETHER_AETHER_H
#define AETHER_AETHER_H

#include <aether/connect.h>
#include <aether/error.h>
#include <aether/idle.h>
#include <aether/inspect.h>
#include <aether/publish.h>
#include <aether/subscribe.h>
#include <aether/topic.h>
#include <aether/wait.h>

#endif

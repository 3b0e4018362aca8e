/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aether.h - publish and subscribe between processes on one machine, through shared memory.
 *
 * Include this file; it includes the others, which are grouped by what you want to do:
 *
 *   error.h      what a call returns, and the text of the last error
 *   connect.h    connect to aetherd, once, at start-up
 *   topic.h      topics: configuration, creation, removal
 *   publish.h    publishers
 *   subscribe.h  subscribers
 *   idle.h       what a loop does while there is nothing to do
 *   wait.h       wait for a message without spinning; a file descriptor for event loops
 *   waitset.h    the same for many subscribers at once
 *   inspect.h    topics and counters, read-only, with or without a running aetherd
 *
 * Threads  A publisher, subscriber, notifier, waitset or inspector is used by one thread at a time. Different handles
 *          may be used by different threads at the same time. A client may be used by several threads at the same time,
 *          except by aether_disconnect().
 *
 * Fork     A handle belongs to the process that opened it. A forked child doesn't inherit the shared memory: if it uses
 *          a publisher or subscriber of its parent it gets a segmentation fault, and never damages a topic. A child
 *          that wants to take part connects for itself. exec closes everything, as an exit does.
 *
 * Signals  A signal handler may use only handles that the interrupted code never uses. Publish and receive take no
 *          lock, but aren't reentrant on one handle.
 *
 * Memory   The library allocates memory when a handle is opened and frees it when the handle is closed. Publish and
 *          receive never allocate.
 *
 * NULL     is allowed as an argument only where the function's comment says so.
 */
#ifndef AETHER_AETHER_H
#define AETHER_AETHER_H

#include <aether/connect.h>
#include <aether/error.h>
#include <aether/idle.h>
#include <aether/inspect.h>
#include <aether/metrics.h>
#include <aether/publish.h>
#include <aether/subscribe.h>
#include <aether/topic.h>
#include <aether/wait.h>
#include <aether/waitset.h>

#endif

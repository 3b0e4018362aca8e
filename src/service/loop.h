/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - an event loop of one thread: descriptors and timers.
 *
 * Sources and timers are parts of the caller's structures; AE_CONTAINER() gets from the part to the whole. They start
 * zeroed with fn set, and belong to the loop from add or arm until remove or disarm; their memory and the descriptor
 * stay the caller's. A handler may add, change and remove any source or timer, its own too, and free the memory of what
 * it removed: events of a removed source that were already read from the kernel are dropped, also if its descriptor or
 * its memory was used again meanwhile.
 *
 * Threads: all calls from the thread that runs the loop. After fork() the child must not touch the loop, since parent
 * and child share one epoll set.
 */
#ifndef AE_SERVICE_LOOP_H
#define AE_SERVICE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

/* The structure of which *part is the member. */
#define AE_CONTAINER(part, type, member) ((type *)(void *)((char *)(part)-offsetof(type, member)))

struct ae_loop;
struct ae_source;
struct ae_timer;

struct ae_source {
    /*
     * events: those that happened and are asked for; EPOLLERR and EPOLLHUP come unasked. Another handler may have read
     * what had come, so the descriptor should be non-blocking.
     */
    void (*fn)(struct ae_source *source, uint32_t events);
    int fd;          /* open as long as the source is added: remove it first, then close */
    uint32_t events; /* asked for, level-triggered: EPOLLIN, EPOLLOUT; 0 pauses */
    /* The loop's. */
    struct ae_loop *loop;           /* NULL: not added */
    uint32_t happened;              /* read from the kernel, not handled yet */
    struct ae_source *next, **link; /* in loop->happened; link is NULL outside */
};

struct ae_timer {
    void (*fn)(struct ae_timer *timer); /* it is disarmed already, and may arm itself again */
    uint64_t due_ns;                    /* CLOCK_MONOTONIC, which no setting of the time changes */
    /* The loop's. */
    struct ae_loop *loop;             /* NULL: not armed */
    struct ae_timer *child, *sibling; /* in the pairing heap loop->timers */
    struct ae_timer **link;
};

struct ae_loop {
    int epoll;
    bool stop;
    struct ae_source *happened, **happened_end; /* still to be handled, oldest first */
    struct ae_timer *timers;                    /* the earliest */
    uint32_t armed;                             /* how many are in the heap */
};

/* The loop stays where it is until it is closed. 0, or -errno (descriptors, memory). */
int ae_loop_open(struct ae_loop *loop);

/* No source and no timer may be in it any more. */
void ae_loop_close(struct ae_loop *loop);

/*
 * Handles events and timers until ae_loop_stop(): then 0, and what wasn't handled yet stays for the next run. A stop
 * before the run ends the run at once. Sleeps in the kernel while nothing happens and no timer is due. -errno: the
 * kernel refuses to wait.
 */
int ae_loop_run(struct ae_loop *loop);
void ae_loop_stop(struct ae_loop *loop);

/* 0, or -errno: -EPERM a descriptor that can't be waited for, such as a file's; -ENOSPC, -ENOMEM. */
int ae_source_add(struct ae_loop *loop, struct ae_source *source);

/* Asks for other events from now on. Those that had happened and aren't asked for any more are dropped. 0 or -errno. */
int ae_source_modify(struct ae_source *source, uint32_t events);

/* Nothing if it isn't added. */
void ae_source_remove(struct ae_source *source);

/*
 * Sets the time; a timer that is armed moves. It never fires early, and timers fire in the order of their times. Can't
 * fail: no memory is allocated.
 */
void ae_timer_arm(struct ae_loop *loop, struct ae_timer *timer, uint64_t due_ns);

/* Nothing if it isn't armed. */
void ae_timer_disarm(struct ae_timer *timer);

#endif

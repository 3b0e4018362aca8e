/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - an event loop for one thread: descriptors and timers.
 *
 * Sources and timers are members of the caller's structures; AE_CONTAINER() returns the structure of a member. They
 * start zeroed with fn set. Their memory and the descriptor are the caller's; they must not be freed or closed between
 * add and remove, or between arm and disarm. A handler may add, change and remove any source or timer, also its own,
 * and free the memory of what it removed. Events of a removed source that were already read from the kernel are
 * dropped, also if its descriptor or its memory has been used again.
 *
 * Only the thread that runs the loop makes calls. After fork() the child must not use the loop, because parent and
 * child share one epoll set.
 */
#ifndef AE_SERVICE_LOOP_H
#define AE_SERVICE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

/* The structure whose member is *part. */
#define AE_CONTAINER(part, type, member) ((type *)(void *)((char *)(part)-offsetof(type, member)))

struct ae_loop;
struct ae_source;
struct ae_timer;

struct ae_source {
    /*
     * events: those of source->events that have happened, and EPOLLERR and EPOLLHUP in any case. The descriptor should
     * be non-blocking, because another handler may have read the data already.
     */
    void (*fn)(struct ae_source *source, uint32_t events);
    int fd;          /* must be open while the source is added: remove the source first, then close */
    uint32_t events; /* EPOLLIN, EPOLLOUT, level-triggered; 0 pauses the source */

    /* For the loop only. */
    struct ae_loop *loop;           /* NULL: not added */
    uint32_t happened;              /* events that were read from the kernel and aren't handled yet */
    struct ae_source *next, **link; /* in loop->happened; link is NULL if it isn't in there */
};

struct ae_timer {
    void (*fn)(struct ae_timer *timer); /* the timer is disarmed when it is called; it may arm the timer again */
    uint64_t due_ns;                    /* CLOCK_MONOTONIC, which doesn't change when the time of day is set */

    /* For the loop only. */
    struct ae_loop *loop;             /* NULL: not armed */
    struct ae_timer *child, *sibling; /* in the pairing heap loop->timers */
    struct ae_timer **link;
};

struct ae_loop {
    int epoll;
    bool stop;
    struct ae_source *happened, **happened_end; /* sources with events to handle, the oldest first */
    struct ae_timer *timers;                    /* the earliest timer, the root of the heap */
    uint32_t armed;                             /* number of timers in the heap */
};

/* The loop's address must not change until it is closed. 0, or -errno: no descriptor or no memory is left. */
int ae_loop_open(struct ae_loop *loop);

/* All sources must have been removed and all timers disarmed. */
void ae_loop_close(struct ae_loop *loop);

/*
 * Handles events and timers until ae_loop_stop(), and then returns 0. Events that weren't handled yet stay for the next
 * run. A stop before the run ends the run at once. Blocks while there is no event and no timer is due. -errno: the
 * kernel refuses to wait.
 */
int ae_loop_run(struct ae_loop *loop);
void ae_loop_stop(struct ae_loop *loop);

/* 0, or -errno: -EPERM if epoll can't wait for the descriptor, such as a file; -ENOSPC; -ENOMEM. */
int ae_source_add(struct ae_loop *loop, struct ae_source *source);

/* Changes source->events. Events that have happened but aren't among the new events are dropped. 0 or -errno. */
int ae_source_modify(struct ae_source *source, uint32_t events);

/* Does nothing if the source isn't added. */
void ae_source_remove(struct ae_source *source);

/*
 * Arms the timer, or changes its time if it is armed. It never fires early, and timers fire in the order of their
 * times. Can't fail, because it needs no memory.
 */
void ae_timer_arm(struct ae_loop *loop, struct ae_timer *timer, uint64_t due_ns);

/* Does nothing if the timer isn't armed. */
void ae_timer_disarm(struct ae_timer *timer);

#endif

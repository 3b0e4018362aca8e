/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.c - a file descriptor for event loops. The helper thread works on a copy of the subscriber that was made when
 * it was armed, so the two threads share nothing but what is under the lock; the loop's thread receives in the meantime
 * without it.
 */
#include "base/error.h"
#include "base/export.h"
#include "base/socket.h"
#include "ring/receive.h"
#include "ring/wait.h"
#include "ring/wake.h"
#include <aether/wait.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_BYTES 65536u
#define SLEEP_NS 250000000ull

struct aether_notifier {
    struct ae_subscriber *subscriber; /* the loop's thread only */
    pthread_t thread;
    int fd;
    pthread_mutex_t lock; /* for the rest */
    pthread_cond_t changed;
    bool armed, stop;
    struct ae_subscriber watched;
};

static void make_readable(const struct aether_notifier *notifier) {
    /* Fails only if the counter would overflow: then it is readable already. */
    (void)eventfd_write(notifier->fd, 1);
}

static bool something(const struct ae_subscriber *s) {
    return ae_subscriber_ready(s) || ae_subscriber_at_new_end(s);
}

/* Makes fd readable if there is something for the armed copy. An end of the stream is told once. */
static bool tell(struct aether_notifier *notifier) {
    if (!something(&notifier->watched))
        return false;
    ae_subscriber_told(&notifier->watched);
    notifier->armed = false;
    make_readable(notifier);
    return true;
}

/* Sleeps in turns until it has told something or nobody wants to know. The lock is held, but not while it sleeps. */
static void watch(struct aether_notifier *notifier) {
    while (notifier->armed && !notifier->stop && !tell(notifier)) {
        struct ae_subscriber copy = notifier->watched;
        pthread_mutex_unlock(&notifier->lock);
        (void)ae_subscriber_sleep(&copy, SLEEP_NS);
        pthread_mutex_lock(&notifier->lock);
        notifier->watched.naps = copy.naps;
    }
}

static void *run(void *context) {
    struct aether_notifier *notifier = context;

    pthread_mutex_lock(&notifier->lock);
    while (!notifier->stop) {
        if (notifier->armed)
            watch(notifier);
        else
            pthread_cond_wait(&notifier->changed, &notifier->lock);
    }
    pthread_mutex_unlock(&notifier->lock);
    return NULL;
}

/* Signals belong to the program's own threads. */
static int start_thread(struct aether_notifier *notifier) {
    pthread_attr_t attributes;
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&notifier->thread, &attributes, run, notifier);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -rc;
}

AE_EXPORT int aether_notifier_open(aether_subscriber *subscriber, aether_notifier **out) {
    struct aether_notifier *notifier = calloc(1, sizeof *notifier);
    int rc;

    if (notifier == NULL)
        return ae_fail(-ENOMEM, "out of memory");
    notifier->subscriber = ae_subscriber_of(subscriber);
    notifier->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (notifier->fd < 0) {
        rc = ae_fail(-errno, "eventfd: %s", strerror(errno));
        free(notifier);
        return rc;
    }
    pthread_mutex_init(&notifier->lock, NULL);
    pthread_cond_init(&notifier->changed, NULL);
    rc = start_thread(notifier);
    if (rc != 0) {
        pthread_cond_destroy(&notifier->changed);
        pthread_mutex_destroy(&notifier->lock);
        ae_close(&notifier->fd);
        free(notifier);
        return ae_fail(rc, "thread of a notifier: %s", strerror(-rc));
    }
    *out = notifier;
    return 0;
}

AE_EXPORT void aether_notifier_close(aether_notifier *notifier) {
    if (notifier == NULL)
        return;
    pthread_mutex_lock(&notifier->lock);
    notifier->stop = true;
    pthread_cond_signal(&notifier->changed);
    pthread_mutex_unlock(&notifier->lock);
    /* It may sleep on the topic's wake word; others who do look once more and sleep on. */
    ae_wake_futex(&notifier->subscriber->log->wake.wake);
    pthread_join(notifier->thread, NULL);
    pthread_cond_destroy(&notifier->changed);
    pthread_mutex_destroy(&notifier->lock);
    ae_close(&notifier->fd);
    free(notifier);
}

AE_EXPORT int aether_notifier_fd(const aether_notifier *notifier) {
    return notifier->fd;
}

AE_EXPORT void aether_notifier_arm(aether_notifier *notifier) {
    eventfd_t count;

    pthread_mutex_lock(&notifier->lock);
    (void)eventfd_read(notifier->fd, &count); /* -EAGAIN: it isn't readable, which is what is wanted */
    const uint64_t ends_told = notifier->watched.ends_told;
    notifier->watched = *notifier->subscriber;
    notifier->watched.ends_told = ends_told;
    notifier->armed = true;
    if (!tell(notifier))
        pthread_cond_signal(&notifier->changed);
    pthread_mutex_unlock(&notifier->lock);
}

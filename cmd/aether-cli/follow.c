/* SPDX-License-Identifier: Apache-2.0 */
/* follow.c - a set of the names that were found, and a queue of those that weren't taken yet. */
#include "follow.h"
#include "daemon.h"
#include "error.h"
#include "watch/match.h"
#include <errno.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define JOIN_NS 10000000 /* between two attempts to end the thread's wait */

struct found {
    struct found *next; /* in the queue */
    bool late;
    char name[FOLLOW_NAME_SIZE]; /* the key of the set */
};

struct follow {
    const struct args_list *words;
    aether_waitset *set;
    aether_inspector *inspector; /* the user's before the thread starts, then the thread's */
    pthread_t thread;

    pthread_mutex_t lock; /* for all below */
    void *names;          /* set of struct found: tsearch() */
    struct found *first, **last;
    bool started, stop;
    int error; /* the thread has ended with it */
    char why[512];
};

static int compare(const void *a, const void *b) {
    return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

static bool is_wanted(const struct follow *follow, const char *name) {
    bool admitted = false;

    for (size_t i = 0; i < follow->words->count; i++) {
        const char *word = follow->words->items[i];
        if (ae_watch_is_pattern(word))
            admitted |= ae_watch_match_levels(word, name);
        else if (strcmp(word, name) == 0)
            return false; /* its user opens it by its name */
    }
    return admitted;
}

/* The caller holds the lock. 1: it is new; 0: it was found before; -ENOMEM. */
static int note(struct follow *follow, const char *name) {
    struct found *found = calloc(1, sizeof *found);
    struct found **at;

    if (found == NULL)
        return -ENOMEM;
    memcpy(found->name, name, strnlen(name, sizeof found->name - 1));
    found->late = follow->started;
    at = tsearch(found, &follow->names, compare);
    if (at == NULL || *at != found) {
        free(found);
        return at == NULL ? -ENOMEM : 0;
    }
    *follow->last = found;
    follow->last = &found->next;
    return 1;
}

/* Notes the topics that are new. Returns their number. Errors: as aether_inspect_topic(). */
static int list(struct follow *follow) {
    aether_topic_info info;
    uint32_t cursor = 0;
    int count = 0, rc;

    while ((rc = aether_inspect_topic(follow->inspector, &cursor, &info)) > 0) {
        if (!is_wanted(follow, info.name))
            continue;
        pthread_mutex_lock(&follow->lock);
        const int added = note(follow, info.name);
        pthread_mutex_unlock(&follow->lock);
        if (added < 0)
            return added;
        count += added;
    }
    return rc < 0 ? rc : count;
}

static bool must_stop(struct follow *follow) {
    pthread_mutex_lock(&follow->lock);
    const bool stop = follow->stop;
    pthread_mutex_unlock(&follow->lock);
    return stop;
}

static void *run(void *context) {
    struct follow *follow = context;
    int rc = 0;

    while (rc >= 0 && !must_stop(follow)) {
        rc = aether_inspect_changed(follow->inspector, AETHER_FOREVER);
        if (rc > 0)
            rc = list(follow);
        if (rc > 0)
            aether_waitset_wake(follow->set);
    }
    if (rc < 0) {
        pthread_mutex_lock(&follow->lock);
        follow->error = rc;
        strncpy(follow->why, rc == -ENOMEM ? strerror(ENOMEM) : aether_errmsg(), sizeof follow->why - 1);
        pthread_mutex_unlock(&follow->lock);
        aether_waitset_wake(follow->set);
    }
    return NULL;
}

static void ignore(int number) {
    (void)number;
}

/* The thread takes no signal but SIGUSR1, which ends its wait: others end the waits of the user's thread. */
static int start(struct follow *follow) {
    const struct sigaction action = {.sa_handler = ignore}; /* without SA_RESTART */
    sigset_t others, before;

    sigaction(SIGUSR1, &action, NULL);
    sigfillset(&others);
    sigdelset(&others, SIGUSR1);
    follow->started = true;
    pthread_sigmask(SIG_SETMASK, &others, &before);
    const int rc = pthread_create(&follow->thread, NULL, run, follow);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    follow->started = rc == 0;
    return -rc;
}

int follow_open(struct follow **out, const struct args_list *words, aether_waitset *set) {
    struct follow *follow = calloc(1, sizeof *follow);
    int rc;

    *out = NULL;
    if (follow == NULL)
        return cli_error(CLI_FAILURE, "out of memory for the names of topics");
    follow->words = words;
    follow->set = set;
    follow->last = &follow->first;
    pthread_mutex_init(&follow->lock, NULL);
    rc = aether_inspect_open(&follow->inspector, cli_socket());
    if (rc == 0)
        rc = list(follow);
    if (rc < 0) {
        rc = cli_error(CLI_FAILURE, "can't list the topics: %s", rc == -ENOMEM ? strerror(ENOMEM) : aether_errmsg());
        goto failed;
    }
    rc = start(follow);
    if (rc < 0) {
        rc = cli_error(CLI_FAILURE, "no thread to follow topics: %s%s", strerror(-rc),
                       rc == -EAGAIN ? ": raise ulimit -u" : "");
        goto failed;
    }
    *out = follow;
    return CLI_OK;

failed:
    follow_close(follow);
    return rc;
}

/* The signal is repeated, because it may come before the thread sleeps. */
static void stop(struct follow *follow) {
    struct timespec until;

    pthread_mutex_lock(&follow->lock);
    follow->stop = true;
    pthread_mutex_unlock(&follow->lock);
    do {
        pthread_kill(follow->thread, SIGUSR1);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += JOIN_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
    } while (pthread_clockjoin_np(follow->thread, NULL, CLOCK_MONOTONIC, &until) == ETIMEDOUT);
}

void follow_close(struct follow *follow) {
    if (follow == NULL)
        return;
    if (follow->started)
        stop(follow);
    while (follow->names != NULL) {
        struct found *found = *(struct found **)follow->names;
        tdelete(found, &follow->names, compare);
        free(found);
    }
    aether_inspect_close(follow->inspector);
    pthread_mutex_destroy(&follow->lock);
    free(follow);
}

int follow_take(struct follow *follow, char name[FOLLOW_NAME_SIZE], bool *late, const char **why) {
    int rc = 0;

    pthread_mutex_lock(&follow->lock);
    struct found *found = follow->first;
    if (found != NULL) {
        follow->first = found->next;
        if (follow->first == NULL)
            follow->last = &follow->first;
        memcpy(name, found->name, FOLLOW_NAME_SIZE);
        *late = found->late;
        rc = 1;
    } else if (follow->error != 0) {
        rc = follow->error;
        *why = follow->why;
    }
    pthread_mutex_unlock(&follow->lock);
    return rc;
}

void follow_forget(struct follow *follow, const char *name) {
    struct found key = {.next = NULL};

    memcpy(key.name, name, strnlen(name, sizeof key.name - 1));
    pthread_mutex_lock(&follow->lock);
    struct found **at = tfind(&key, &follow->names, compare);
    if (at != NULL) {
        struct found *found = *at;
        tdelete(found, &follow->names, compare);
        free(found);
    }
    pthread_mutex_unlock(&follow->lock);
}

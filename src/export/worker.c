/* SPDX-License-Identifier: Apache-2.0 */
#include "export/worker.h"
#include "base/error.h"
#include <aether/error.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct ae_worker {
    struct ae_reader *reader; /* of the thread */
    pthread_t thread;
    int fd;

    pthread_mutex_t mutex; /* for the rest */
    pthread_cond_t changed;
    bool stop;
    struct ae_ask *asked, **asked_end; /* in the order in which they came */
    struct ae_ask *answered;
};

static void answer(struct ae_reader *reader, struct ae_ask *ask) {
    ask->body = NULL;
    ask->rc = 0;
    switch (ask->kind) {
    case AE_ASK_READY:
        ask->rc = ae_reader_ready(reader);
        (void)snprintf(ask->text, sizeof ask->text, "%s", ask->rc != 0 ? aether_errmsg() : "");
        return;
    case AE_ASK_PROMETHEUS:
    case AE_ASK_OPENMETRICS:
        ask->body = ae_reader_metrics(reader, ask->kind == AE_ASK_OPENMETRICS);
        break;
    case AE_ASK_TOPICS:
    case AE_ASK_TOPIC:
    default:
        ask->body = ae_reader_topics(reader, ask->kind == AE_ASK_TOPIC ? ask->topic : NULL);
        break;
    }
    if (ask->body == NULL) {
        ask->rc = -ENOMEM;
        (void)snprintf(ask->text, sizeof ask->text, "no memory for the answer");
    }
}

static void *run(void *self) {
    struct ae_worker *w = self;
    const uint64_t one = 1;

    (void)pthread_mutex_lock(&w->mutex);
    while (!w->stop) {
        struct ae_ask *ask = w->asked;
        if (ask == NULL) {
            (void)pthread_cond_wait(&w->changed, &w->mutex);
            continue;
        }
        w->asked = ask->next;
        if (w->asked == NULL)
            w->asked_end = &w->asked;
        (void)pthread_mutex_unlock(&w->mutex);
        answer(w->reader, ask);
        (void)pthread_mutex_lock(&w->mutex);
        ask->next = w->answered;
        w->answered = ask;
        if (write(w->fd, &one, sizeof one) < 0)
            continue; /* the counter is full, so the descriptor is readable */
    }
    (void)pthread_mutex_unlock(&w->mutex);
    return NULL;
}

int ae_worker_open(struct ae_worker **worker, const struct ae_reader_options *options) {
    struct ae_worker *w = calloc(1, sizeof *w);
    int rc;

    *worker = NULL;
    if (w == NULL)
        return ae_fail(-ENOMEM, "no memory for the reader's thread");
    w->asked_end = &w->asked;
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->fd < 0) {
        rc = ae_fail(-errno, "eventfd: %s", strerror(errno));
        goto free_worker;
    }
    if ((rc = ae_reader_open(&w->reader, options)) != 0)
        goto close_fd;
    (void)pthread_mutex_init(&w->mutex, NULL);
    (void)pthread_cond_init(&w->changed, NULL);
    rc = -pthread_create(&w->thread, NULL, run, w);
    if (rc == 0) {
        *worker = w;
        return 0;
    }
    (void)ae_fail(rc, "the reader's thread: %s%s", strerror(-rc), rc == -EAGAIN ? ": raise ulimit -u" : "");
    (void)pthread_cond_destroy(&w->changed);
    (void)pthread_mutex_destroy(&w->mutex);
    ae_reader_close(w->reader);
close_fd:
    (void)close(w->fd);
free_worker:
    free(w);
    return rc;
}

struct ae_ask *ae_worker_close(struct ae_worker *worker) {
    if (worker == NULL)
        return NULL;
    (void)pthread_mutex_lock(&worker->mutex);
    worker->stop = true;
    (void)pthread_cond_signal(&worker->changed);
    (void)pthread_mutex_unlock(&worker->mutex);
    (void)pthread_join(worker->thread, NULL);
    *worker->asked_end = worker->answered;
    struct ae_ask *left = worker->asked;
    (void)pthread_cond_destroy(&worker->changed);
    (void)pthread_mutex_destroy(&worker->mutex);
    ae_reader_close(worker->reader);
    (void)close(worker->fd);
    free(worker);
    return left;
}

int ae_worker_fd(const struct ae_worker *worker) {
    return worker->fd;
}

void ae_worker_ask(struct ae_worker *worker, struct ae_ask *ask) {
    ask->next = NULL;
    ask->body = NULL;
    (void)pthread_mutex_lock(&worker->mutex);
    *worker->asked_end = ask;
    worker->asked_end = &ask->next;
    (void)pthread_cond_signal(&worker->changed);
    (void)pthread_mutex_unlock(&worker->mutex);
}

struct ae_ask *ae_worker_answers(struct ae_worker *worker) {
    uint64_t count;

    if (read(worker->fd, &count, sizeof count) < 0 && errno != EAGAIN)
        return NULL;
    (void)pthread_mutex_lock(&worker->mutex);
    struct ae_ask *answered = worker->answered;
    worker->answered = NULL;
    (void)pthread_mutex_unlock(&worker->mutex);
    return answered;
}

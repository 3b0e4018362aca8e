/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h - a thread with the reader, so that the thread that serves connections never waits for a pass.
 *
 * One other thread uses a worker: it asks, waits until the descriptor is readable, and takes the answers. An ask
 * belongs to the worker from ae_worker_ask() until ae_worker_answers() or ae_worker_close() returns it.
 */
#ifndef AE_EXPORT_WORKER_H
#define AE_EXPORT_WORKER_H

#include "export/body.h"
#include "export/reader.h"

struct ae_worker;

enum ae_ask_kind { AE_ASK_READY, AE_ASK_PROMETHEUS, AE_ASK_OPENMETRICS, AE_ASK_TOPICS, AE_ASK_TOPIC };

struct ae_ask {
    struct ae_ask *next;
    enum ae_ask_kind kind;
    char topic[256]; /* AE_ASK_TOPIC: its name */

    /* The answer. The body is held for the owner of the ask; NULL: see rc. */
    struct ae_body *body;
    int rc;         /* 0, or why there is no body or no instance */
    char text[512]; /* of rc */
};

/* Starts the thread. The caller has blocked the signals that it handles. 0, or -errno with a text. */
int ae_worker_open(struct ae_worker **worker, const struct ae_reader_options *options);

/* Ends the thread after the present ask. Returns all asks that are left, answered or not. NULL is allowed. */
struct ae_ask *ae_worker_close(struct ae_worker *worker);

/* Readable when there are answers. */
int ae_worker_fd(const struct ae_worker *worker);

void ae_worker_ask(struct ae_worker *worker, struct ae_ask *ask);

/* The asks that have been answered since the last call; NULL: none. Doesn't block. */
struct ae_ask *ae_worker_answers(struct ae_worker *worker);

#endif

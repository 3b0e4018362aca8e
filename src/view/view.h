/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.h - one interface for the output of programs: records in; text, JSON or another form out.
 *
 * A program fills in the records below and passes them to a view. It formats nothing itself and doesn't depend on the
 * form. A form is a table of functions, one for each kind of record. It keeps no state between two calls. Each call has
 * the whole record, so that a form may write its parts in any order, as OpenMetrics requires. The function is NULL if
 * the form can't show that kind of record. A new form is a new table; programs don't change.
 *
 * The functions return
 *   0                  the record was written to view->out, possibly not flushed yet
 *   AE_VIEW_SKIPPED    this form can't show such a record: the program may report it in another way
 *   -ENOMEM            memory ran out: the part that form->part names was left out
 *   another negative   errno of the stream's first error
 *
 * Records and what they point to belong to the caller and are used only during the call. One thread at a time uses a
 * view. The calls block as long as its streams do.
 */
#ifndef AE_VIEW_VIEW_H
#define AE_VIEW_VIEW_H

#include "view/out.h"
#include <aether/connect.h>
#include <aether/metrics.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define AE_VIEW_SKIPPED 1

/* ---- records ----------------------------------------------------------------------------------------------------- */

struct ae_view_topic {
    aether_topic_info info;
    uint32_t evicted;                    /* number of attached subscribers that publishers have evicted */
    double rate;                         /* messages a second since the sample before; only samples show it */
    const aether_topic_metrics *figures; /* NULL in a list of topics */
};

/* The daemon and all its topics, at one moment. */
struct ae_view_sample {
    uint64_t index;          /* number of samples that were shown before */
    bool watched;            /* on a terminal each sample replaces the sample before */
    const char *socket_path; /* any bytes */
    aether_instance_metrics instance;
    double uptime_s; /* 0 if the daemon doesn't run */
    double seconds;  /* in which the topics' rates were measured */
    const struct ae_view_topic *topics;
    size_t count;
};

/* An aetherd that has answered. */
struct ae_view_pong {
    const char *socket_path; /* where it was asked; any bytes */
    aether_pong pong;
};

/* What an instance is doing: observe.h. */
struct ae_view_latencies;
struct ae_view_lag;
struct ae_view_rates;
struct ae_view_clients;
struct ae_view_departed;
struct ae_view_check;

/* Where and when something was received. */
struct ae_view_origin {
    uint64_t time_ns;  /* CLOCK_REALTIME; 0: isn't shown */
    const char *topic; /* any bytes; NULL: isn't shown */
};

struct ae_view_message {
    struct ae_view_origin origin;
    uint64_t seq;
    const void *data; /* may be NULL if len is 0 */
    size_t len;
    const char *file; /* the payload was written to this file and isn't shown; NULL: it is shown */
};

/* All metrics of an instance at one moment: metrics.h. */
struct ae_view_metrics;

/* The results of measurements: measure.h. */
struct ae_view_run;
struct ae_view_throughput;
struct ae_view_latency;
struct ae_view_wakeup;

/* ---- forms ------------------------------------------------------------------------------------------------------- */

struct ae_view {
    const struct ae_view_form *form;
    struct ae_out *out;
    bool orphaned; /* no aetherd runs: what is shown is what one has left. Forms for programs say so */
    FILE *remarks; /* for progress, which some forms show to people: stderr */
};

struct ae_view_form {
    const char *part; /* the part that is left out if memory runs out: "a line" */

    int (*topics)(const struct ae_view *view, const struct ae_view_topic *topics, size_t count);
    int (*waiting)(const struct ae_view *view, const aether_waiting_info *topics, size_t count);
    int (*topic)(const struct ae_view *view, const struct ae_view_topic *topic);
    int (*sample)(const struct ae_view *view, const struct ae_view_sample *sample);
    int (*metrics)(const struct ae_view *view, const struct ae_view_metrics *metrics);

    int (*pong)(const struct ae_view *view, const struct ae_view_pong *pong);

    int (*latencies)(const struct ae_view *view, const struct ae_view_latencies *latencies);
    int (*lag)(const struct ae_view *view, const struct ae_view_lag *lag);
    int (*rates)(const struct ae_view *view, const struct ae_view_rates *rates);
    int (*clients)(const struct ae_view *view, const struct ae_view_clients *clients);
    int (*departed)(const struct ae_view *view, const struct ae_view_departed *departed);
    int (*check)(const struct ae_view *view, const struct ae_view_check *check);

    int (*message)(const struct ae_view *view, const struct ae_view_message *message);
    int (*gap)(const struct ae_view *view, const struct ae_view_origin *origin, uint64_t first, uint64_t count);
    int (*evicted)(const struct ae_view *view, const struct ae_view_origin *origin, uint64_t seq, const char *why);

    int (*run)(const struct ae_view *view, const struct ae_view_run *run);
    int (*throughput)(const struct ae_view *view, const struct ae_view_throughput *result);
    int (*latency)(const struct ae_view *view, const struct ae_view_latency *result);
    int (*wakeup)(const struct ae_view *view, const struct ae_view_wakeup *result);
};

extern const struct ae_view_form ae_text_form;        /* for people: lines and tables */
extern const struct ae_view_form ae_json_form;        /* one JSON object a line */
extern const struct ae_view_form ae_raw_form;         /* payloads, each followed by a newline, and nothing else */
extern const struct ae_view_form ae_openmetrics_form; /* OpenMetrics 1.0 */
extern const struct ae_view_form ae_prometheus_form;  /* the text format 0.0.4 of Prometheus */

/* ---- showing a record -------------------------------------------------------------------------------------------- */

/* A list of topics, in the order in which they are given. */
static inline int ae_view_topics(const struct ae_view *view, const struct ae_view_topic *topics, size_t count) {
    return view->form->topics != NULL ? view->form->topics(view, topics, count) : AE_VIEW_SKIPPED;
}

/* Topics for which subscribers wait. */
static inline int ae_view_waiting(const struct ae_view *view, const aether_waiting_info *topics, size_t count) {
    return view->form->waiting != NULL ? view->form->waiting(view, topics, count) : AE_VIEW_SKIPPED;
}

/* One topic with all its figures, which it must have, and its publishers and subscribers. */
static inline int ae_view_topic(const struct ae_view *view, const struct ae_view_topic *topic) {
    return view->form->topic != NULL ? view->form->topic(view, topic) : AE_VIEW_SKIPPED;
}

static inline int ae_view_sample(const struct ae_view *view, const struct ae_view_sample *sample) {
    return view->form->sample != NULL ? view->form->sample(view, sample) : AE_VIEW_SKIPPED;
}

static inline int ae_view_metrics(const struct ae_view *view, const struct ae_view_metrics *metrics) {
    return view->form->metrics != NULL ? view->form->metrics(view, metrics) : AE_VIEW_SKIPPED;
}

static inline int ae_view_pong(const struct ae_view *view, const struct ae_view_pong *pong) {
    return view->form->pong != NULL ? view->form->pong(view, pong) : AE_VIEW_SKIPPED;
}

static inline int ae_view_latencies(const struct ae_view *view, const struct ae_view_latencies *latencies) {
    return view->form->latencies != NULL ? view->form->latencies(view, latencies) : AE_VIEW_SKIPPED;
}

/* Subscribers, how far they are behind, and who holds up whom. */
static inline int ae_view_lag(const struct ae_view *view, const struct ae_view_lag *lag) {
    return view->form->lag != NULL ? view->form->lag(view, lag) : AE_VIEW_SKIPPED;
}

static inline int ae_view_rates(const struct ae_view *view, const struct ae_view_rates *rates) {
    return view->form->rates != NULL ? view->form->rates(view, rates) : AE_VIEW_SKIPPED;
}

static inline int ae_view_clients(const struct ae_view *view, const struct ae_view_clients *clients) {
    return view->form->clients != NULL ? view->form->clients(view, clients) : AE_VIEW_SKIPPED;
}

static inline int ae_view_departed(const struct ae_view *view, const struct ae_view_departed *departed) {
    return view->form->departed != NULL ? view->form->departed(view, departed) : AE_VIEW_SKIPPED;
}

/* The result of a check, in text as the line that monitoring systems read. */
static inline int ae_view_check(const struct ae_view *view, const struct ae_view_check *check) {
    return view->form->check != NULL ? view->form->check(view, check) : AE_VIEW_SKIPPED;
}

static inline int ae_view_message(const struct ae_view *view, const struct ae_view_message *message) {
    return view->form->message != NULL ? view->form->message(view, message) : AE_VIEW_SKIPPED;
}

/* count messages from sequence first on were lost. */
static inline int ae_view_gap(const struct ae_view *view, const struct ae_view_origin *origin, uint64_t first,
                              uint64_t count) {
    return view->form->gap != NULL ? view->form->gap(view, origin, first, count) : AE_VIEW_SKIPPED;
}

/* The subscriber was evicted, and is best effort from sequence seq on. why: a sentence. */
static inline int ae_view_evicted(const struct ae_view *view, const struct ae_view_origin *origin, uint64_t seq,
                                  const char *why) {
    return view->form->evicted != NULL ? view->form->evicted(view, origin, seq, why) : AE_VIEW_SKIPPED;
}

/* One run of a measurement, shown as progress. */
static inline int ae_view_run(const struct ae_view *view, const struct ae_view_run *run) {
    return view->form->run != NULL ? view->form->run(view, run) : AE_VIEW_SKIPPED;
}

static inline int ae_view_throughput(const struct ae_view *view, const struct ae_view_throughput *result) {
    return view->form->throughput != NULL ? view->form->throughput(view, result) : AE_VIEW_SKIPPED;
}

static inline int ae_view_latency(const struct ae_view *view, const struct ae_view_latency *result) {
    return view->form->latency != NULL ? view->form->latency(view, result) : AE_VIEW_SKIPPED;
}

static inline int ae_view_wakeup(const struct ae_view *view, const struct ae_view_wakeup *result) {
    return view->form->wakeup != NULL ? view->form->wakeup(view, result) : AE_VIEW_SKIPPED;
}

#endif

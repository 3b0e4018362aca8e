/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.h - the table of metrics for forms: names and values of its rows, and the record that the forms OpenMetrics
 * and Prometheus show.
 *
 * All names are made from the table, so that each is written once. Of the row "published" in messages of a topic:
 *
 *     OpenMetrics, Prometheus   aether_topic_published_messages (with _total, as it is a counter); base units
 *     JSON                      "published"; with _bytes or _ns if that is the row's unit: "age_ns"
 *
 * The functions keep nothing and don't block. The program that uses them is linked with libaether.
 */
#ifndef AE_VIEW_METRICS_H
#define AE_VIEW_METRICS_H

#include "view/json.h"
#include <aether/metrics.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- rows -------------------------------------------------------------------------------------------------------- */

#define AE_METRIC_NAME_SIZE 96 /* a name is cut if it is longer, which a unit test rules out */

/* "aether_topic_published_messages": the name of the row's family of metrics, without _total. Returns name. */
char *ae_metric_family(char name[AE_METRIC_NAME_SIZE], const aether_metric *metric);

/* The row's key in JSON. Returns key. */
char *ae_metric_key(char key[AE_METRIC_NAME_SIZE], const aether_metric *metric);

/* Is the value one that the row's unit allows? An unknown age, time or gauge without unit isn't. */
bool ae_metric_known(const aether_metric *metric, uint64_t value);

/*
 * How many of the `left` rows from `rows` on are of one family: they have the same name and unit, stand together in the
 * table, and differ by their label. At least 1.
 */
size_t ae_metric_family_rows(const aether_metric *rows, size_t left);

/* The rows of one scope, which stand together in the table. */
const aether_metric *ae_metrics_of(aether_scope scope, size_t *count);

#define AE_METRIC_ROWS_MAX 64 /* of one scope; a unit test checks it */

/* ---- histograms -------------------------------------------------------------------------------------------------- */

/* The limits of the buckets of OpenMetrics are 2^6 ns (64 ns) to 2^36 ns (69 s). */
#define AE_POWER_FIRST 6
#define AE_POWER_LAST 36
#define AE_POWERS (AE_POWER_LAST - AE_POWER_FIRST + 1)

/*
 * A histogram with a bucket for each power of two. Both kinds of buckets have the powers of two as limits, so each
 * count is exact, and two histograms are merged by adding their fields. Counts saturate at UINT64_MAX.
 */
struct ae_powers {
    uint64_t
        counts[AE_POWERS + 1]; /* [i]: below 2^(AE_POWER_FIRST + i) ns and in no bucket before; the last: the rest */
    double sum_ns;             /* each message as the middle of its bucket in aether_latency; 2^42 above those */
    uint64_t samples, negative, missed;
};

void ae_powers_from(struct ae_powers *powers, const aether_latency *latency);

/* ---- OpenMetrics and Prometheus ---------------------------------------------------------------------------------- */

/* Sums over topics, which forms show like a topic. */
struct ae_view_sum {
    uint64_t values[AE_METRIC_ROWS_MAX]; /* index: as in ae_metrics_of(AETHER_SCOPE_TOPIC) */
    struct ae_powers latency;
};

/* A metric of the program that shows the record. Its family is aether_metrics_NAME and the unit. */
struct ae_view_own_metric {
    const char *name, *help;
    aether_kind kind; /* no histogram */
    aether_unit unit;
    uint64_t value; /* AETHER_UNKNOWN: it is left out */
};

#define AE_VIEW_OTHER "#other" /* the label topic of the sum: no topic can have this name */

/* All that a scrape shows. */
struct ae_view_metrics {
    const char *version;                     /* of the program */
    const aether_instance_metrics *instance; /* NULL: there is none, so aetherd doesn't run */
    const aether_topic_metrics *const *topics;
    size_t topic_count;
    const struct ae_view_sum *other; /* of all other topics; NULL: there are none */
    size_t peers;                    /* most publishers, and most subscribers, that are shown; 0: none */
    const aether_client_metrics *clients;
    size_t client_count;
    const struct ae_view_own_metric *own;
    size_t own_count;
};

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/*
 * Sets object[key] for each row of the scope; an unknown value is null. Rows that share a name, and differ by their
 * label, are in an object "NAME_by" with the labels' values as keys; of counters "NAME" is their sum. A histogram is as
 * ae_json_latency() makes it.
 */
void ae_json_figures(struct ae_json *object, aether_scope scope, const void *figures);

/*
 * "count", "samples", "negative", "missed", "overflow"; the quantiles "p50_ns", "p90_ns", "p99_ns", "p999_ns",
 * "p9999_ns" and "max_ns", which are null without messages; "powers": [[limit, count], ...], the messages below so many
 * ns that are in no element before. With all: also "buckets", the same with all buckets of aether_latency. Empty
 * buckets are left out.
 */
struct ae_json ae_json_latency(const aether_latency *latency, bool all);

#endif

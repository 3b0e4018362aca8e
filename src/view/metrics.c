/* SPDX-License-Identifier: Apache-2.0 */
#include "view/metrics.h"
#include "base/histogram.h"
#include "view/quantiles.h"
#include <stdio.h>
#include <string.h>

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static const char *scope_word(aether_scope scope) {
    switch (scope) {
    case AETHER_SCOPE_TOPIC:
        return "topic";
    case AETHER_SCOPE_PUBLISHER:
        return "publisher";
    case AETHER_SCOPE_SUBSCRIBER:
        return "subscriber";
    case AETHER_SCOPE_CLIENT:
        return "client";
    case AETHER_SCOPE_INSTANCE:
    default:
        return "daemon";
    }
}

char *ae_metric_family(char name[AE_METRIC_NAME_SIZE], const aether_metric *metric) {
    static const char *const units[] = {[AETHER_UNIT_ONE] = "",
                                        [AETHER_UNIT_MESSAGES] = "_messages",
                                        [AETHER_UNIT_BYTES] = "_bytes",
                                        [AETHER_UNIT_NS] = "_seconds",
                                        [AETHER_UNIT_REALTIME_NS] = "_seconds"};

    (void)snprintf(name, AE_METRIC_NAME_SIZE, "aether_%s_%s%s", scope_word(metric->scope), metric->name,
                   units[metric->unit]);
    return name;
}

char *ae_metric_key(char key[AE_METRIC_NAME_SIZE], const aether_metric *metric) {
    const bool ns = metric->unit == AETHER_UNIT_NS || metric->unit == AETHER_UNIT_REALTIME_NS;
    const char *unit = metric->kind == AETHER_HISTOGRAM ? "" : ns ? "_ns" : "";

    (void)snprintf(key, AE_METRIC_NAME_SIZE, "%s%s", metric->name, metric->unit == AETHER_UNIT_BYTES ? "_bytes" : unit);
    return key;
}

bool ae_metric_known(const aether_metric *metric, uint64_t value) {
    return metric->unit == AETHER_UNIT_NS            ? value != AETHER_UNKNOWN
           : metric->unit == AETHER_UNIT_REALTIME_NS ? value != AETHER_UNKNOWN && value != 0
           : metric->unit == AETHER_UNIT_ONE         ? value != AETHER_UNKNOWN || metric->kind != AETHER_GAUGE
                                                     : true;
}

size_t ae_metric_family_rows(const aether_metric *rows, size_t left) {
    size_t count = 1;

    while (count < left && rows[count].unit == rows->unit && strcmp(rows[count].name, rows->name) == 0)
        count++;
    return count;
}

const aether_metric *ae_metrics_of(aether_scope scope, size_t *count) {
    size_t rows, first = 0;
    const aether_metric *table = aether_metrics_table(&rows);

    while (first < rows && table[first].scope != scope)
        first++;
    for (*count = 0; first + *count < rows && table[first + *count].scope == scope;)
        ++*count;
    return table + first;
}

/* ---- histograms -------------------------------------------------------------------------------------------------- */

void ae_powers_from(struct ae_powers *powers, const aether_latency *latency) {
    const uint64_t end = aether_latency_floor(AETHER_LATENCY_BUCKETS);
    unsigned power = 0;

    *powers = (struct ae_powers){.samples = latency->samples, .negative = latency->negative, .missed = latency->missed};
    for (unsigned i = 0; i < AETHER_LATENCY_BUCKETS; i++) {
        const uint64_t count = latency->buckets[i];
        if (count == 0)
            continue;
        const uint64_t floor = aether_latency_floor(i), ceiling = aether_latency_floor(i + 1);
        while (power < AE_POWERS && ceiling > 1ull << (AE_POWER_FIRST + power))
            power++;
        powers->counts[power] = ae_saturating_add(powers->counts[power], count);
        powers->sum_ns += (double)count * ((double)floor + (double)ceiling) / 2;
    }
    powers->counts[AE_POWERS] = ae_saturating_add(powers->counts[AE_POWERS], latency->overflow);
    powers->sum_ns += (double)latency->overflow * (double)end;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void append_bucket(struct ae_json *array, uint64_t limit, uint64_t count) {
    struct ae_json pair = ae_json_array();

    ae_json_append_u64(&pair, limit);
    ae_json_append_u64(&pair, count);
    ae_json_append(array, pair);
}

static struct ae_json power_buckets(const aether_latency *latency) {
    struct ae_json array = ae_json_array();
    uint64_t limit = 1ull << AE_POWER_FIRST, count = 0;

    for (unsigned i = 0; i < AETHER_LATENCY_BUCKETS; i++) {
        const uint64_t ceiling = aether_latency_floor(i + 1);
        for (; ceiling > limit; limit *= 2, count = 0)
            if (count > 0)
                append_bucket(&array, limit, count);
        count = ae_saturating_add(count, latency->buckets[i]);
    }
    if (count > 0)
        append_bucket(&array, limit, count);
    return array;
}

static struct ae_json all_buckets(const aether_latency *latency) {
    struct ae_json array = ae_json_array();

    for (unsigned i = 0; i < AETHER_LATENCY_BUCKETS; i++)
        if (latency->buckets[i] > 0)
            append_bucket(&array, aether_latency_floor(i + 1), latency->buckets[i]);
    return array;
}

struct ae_json ae_json_latency(const aether_latency *latency, bool all) {
    struct ae_json o = ae_json_object();

    ae_json_u64(&o, "count", aether_latency_count(latency));
    ae_json_u64(&o, "samples", latency->samples);
    ae_json_u64(&o, "negative", latency->negative);
    ae_json_u64(&o, "missed", latency->missed);
    ae_json_u64(&o, "overflow", latency->overflow);
    for (size_t i = 0; i < AE_QUANTILES; i++) {
        const double value = aether_latency_quantile(latency, ae_quantiles[i].share);
        if (value >= 0)
            ae_json_real(&o, ae_quantiles[i].key, value);
        else
            ae_json_null(&o, ae_quantiles[i].key);
    }
    ae_json_nest(&o, "powers", power_buckets(latency));
    if (all)
        ae_json_nest(&o, "buckets", all_buckets(latency));
    return o;
}

static void add_labelled(struct ae_json *object, const aether_metric *rows, size_t count, const void *figures) {
    char key[AE_METRIC_NAME_SIZE], by[AE_METRIC_NAME_SIZE + 3];
    struct ae_json values = ae_json_object();
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        const uint64_t value = aether_metric_value(&rows[i], figures);
        ae_json_u64(&values, rows[i].label_value, value);
        sum = ae_saturating_add(sum, value);
    }
    (void)snprintf(by, sizeof by, "%s_by", ae_metric_key(key, rows));
    if (rows->kind == AETHER_COUNTER)
        ae_json_u64(object, key, sum);
    ae_json_nest(object, by, values);
}

static void add_alone(struct ae_json *object, const aether_metric *row, const void *figures) {
    char key[AE_METRIC_NAME_SIZE];

    ae_metric_key(key, row);
    if (row->kind == AETHER_HISTOGRAM) {
        const unsigned char *at = (const unsigned char *)figures + row->offset;
        ae_json_nest(object, key, ae_json_latency((const aether_latency *)(const void *)at, false));
        return;
    }
    const uint64_t value = aether_metric_value(row, figures);
    if (ae_metric_known(row, value))
        ae_json_u64(object, key, value);
    else
        ae_json_null(object, key);
}

void ae_json_figures(struct ae_json *object, aether_scope scope, const void *figures) {
    size_t count;
    const aether_metric *rows = ae_metrics_of(scope, &count);

    for (size_t i = 0, step; i < count; i += step) {
        step = ae_metric_family_rows(&rows[i], count - i);
        if (rows[i].label != NULL)
            add_labelled(object, &rows[i], step, figures);
        else
            add_alone(object, &rows[i], figures);
    }
}

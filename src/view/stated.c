/* SPDX-License-Identifier: Apache-2.0 */
#include "view/stated.h"
#include "view/amount.h"
#include "view/escape.h"
#include "view/names.h"
#include <inttypes.h>
#include <string.h>

static const char *preset_name(aether_preset preset) {
    static const char *const names[] = {"?", "small", "default", "throughput"};

    return names[preset <= AETHER_PRESET_THROUGHPUT ? preset : 0];
}

static const char *slow_name(aether_slow slow) {
    return slow == AETHER_SLOW_EVICT ? "evict" : slow == AETHER_SLOW_WAIT ? "wait" : "?";
}

bool ae_stated_any(const aether_stated *s) {
    static const aether_stated nothing;

    return memcmp(s, &nothing, sizeof nothing) != 0;
}

static void print_bytes(FILE *f, const char **sep, const char *what, uint64_t bytes) {
    char text[AE_AMOUNT_SIZE];

    if (bytes == 0)
        return;
    fprintf(f, "%s%s %s", *sep, what, ae_amount_bytes(text, bytes));
    *sep = ", ";
}

static void print_count(FILE *f, const char **sep, const char *what, uint64_t count) {
    char text[AE_AMOUNT_SIZE];

    if (count == 0)
        return;
    fprintf(f, "%s%s %s", *sep, what, ae_amount_count(text, count));
    *sep = ", ";
}

static void print_choice(FILE *f, const char **sep, bool stated, const char *before, const char *name,
                         const char *after) {
    if (!stated)
        return;
    fprintf(f, "%s%s%s%s", *sep, before, name, after);
    *sep = ", ";
}

void ae_stated_print(FILE *f, const aether_stated *s) {
    char type[AE_ESCAPED_SIZE(sizeof s->type_name)];
    const char *sep = "";

    print_bytes(f, &sep, "max message", s->max_message);
    print_bytes(f, &sep, "in the ring up to", s->inline_max);
    print_count(f, &sep, "slots", s->capacity);
    print_bytes(f, &sep, "lane", s->lane_bytes);
    print_choice(f, &sep, s->preset != AETHER_PRESET_ANY, "preset ", preset_name(s->preset), "");
    print_choice(f, &sep, s->publishers != AETHER_PUBLISHERS_ANY, "", ae_publishers_name(s->publishers), " publishers");
    print_choice(f, &sep, s->slow != AETHER_SLOW_ANY, "slow ", slow_name(s->slow), "");
    print_count(f, &sep, "evict lag", s->evict_lag);
    print_choice(f, &sep, s->latency != AETHER_LATENCY_ANY, "latency ", ae_latency_name(s->latency), "");
    if (s->start_seq != 0)
        fprintf(f, "%sfirst sequence %" PRIu64, sep, s->start_seq);
    sep = s->start_seq != 0 ? ", " : sep;
    if (s->type_name[0] == '\0')
        return;
    ae_escape(type, s->type_name, strnlen(s->type_name, sizeof s->type_name));
    fprintf(f, "%stype %s:%" PRIu32, sep, type, s->type_version);
    if (s->type_size != 0)
        fprintf(f, ":%" PRIu32, s->type_size);
}

static void set_count(struct ae_json *o, const char *key, uint64_t value) {
    if (value != 0)
        ae_json_u64(o, key, value);
}

struct ae_json ae_stated_json(const aether_stated *s) {
    struct ae_json o = ae_json_object();

    set_count(&o, "max_message", s->max_message);
    set_count(&o, "inline_max", s->inline_max);
    set_count(&o, "capacity", s->capacity);
    set_count(&o, "lane_bytes", s->lane_bytes);
    if (s->preset != AETHER_PRESET_ANY)
        ae_json_text(&o, "preset", preset_name(s->preset));
    if (s->publishers != AETHER_PUBLISHERS_ANY)
        ae_json_text(&o, "publishers", ae_publishers_name(s->publishers));
    if (s->slow != AETHER_SLOW_ANY)
        ae_json_text(&o, "slow", slow_name(s->slow));
    set_count(&o, "evict_lag", s->evict_lag);
    if (s->latency != AETHER_LATENCY_ANY)
        ae_json_text(&o, "latency", ae_latency_name(s->latency));
    set_count(&o, "start_seq", s->start_seq);
    if (s->type_name[0] != '\0') {
        ae_json_bytes(&o, "type_name", s->type_name, strnlen(s->type_name, sizeof s->type_name));
        ae_json_u64(&o, "type_version", s->type_version);
        ae_json_u64(&o, "type_size", s->type_size);
    }
    return o;
}

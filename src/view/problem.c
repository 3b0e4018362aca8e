/* SPDX-License-Identifier: Apache-2.0 */
/* problem.c - the order of problems, and their sentences. */
#include "view/problem.h"
#include "view/amount.h"
#include "view/escape.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

const char *ae_problem_name(enum ae_problem_kind kind) {
    static const char *const names[] = {
        [AE_PROBLEM_WAITS] = "waits", [AE_PROBLEM_STUCK] = "stuck",         [AE_PROBLEM_STOPPED] = "stopped",
        [AE_PROBLEM_LOSES] = "loses", [AE_PROBLEM_THROTTLED] = "throttled", [AE_PROBLEM_EVICTED] = "evicted",
        [AE_PROBLEM_DIED] = "died",
    };

    return (size_t)kind < sizeof names / sizeof names[0] ? names[kind] : "?";
}

bool ae_problem_worse(const struct ae_problem *a, const struct ae_problem *b) {
    const uint64_t times[] = {a->for_ns != AETHER_UNKNOWN ? a->for_ns + 1 : 0,
                              b->for_ns != AETHER_UNKNOWN ? b->for_ns + 1 : 0};

    if (a->kind != b->kind)
        return a->kind < b->kind;
    /* What died last matters most. */
    if (times[0] != times[1])
        return (times[0] > times[1]) != (a->kind == AE_PROBLEM_DIED);
    if (a->lost > b->lost || a->lost < b->lost)
        return a->lost > b->lost;
    if (a->share > b->share || a->share < b->share)
        return a->share > b->share;
    if (a->lost_count > 0 && b->lost_count > 0 && a->lost_ago_ns != b->lost_ago_ns)
        return a->lost_ago_ns < b->lost_ago_ns;
    if (a->lost_count != b->lost_count)
        return a->lost_count > b->lost_count;
    return a->behind > b->behind;
}

/* ---- sentences --------------------------------------------------------------------------------------------------- */

struct text {
    char *at;
    size_t room;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...) {
    va_list args;

    va_start(args, format);
    const int len = vsnprintf(text->at, text->room, format, args);
    va_end(args);
    if (len <= 0)
        return;
    const size_t used = (size_t)len < text->room ? (size_t)len : text->room - 1;
    text->at += used;
    text->room -= used;
}

static bool is_dead(const aether_owner *owner) {
    return owner->process == 'Z' || owner->process == 'X';
}

/* "subscriber risk (pid 790), which is stopped," */
static void put_owner(struct text *text, const char *role, const aether_owner *owner) {
    char name[AE_ESCAPED_SIZE(sizeof owner->client)];

    ae_escape(name, owner->client, strnlen(owner->client, sizeof owner->client));
    if (name[0] != '\0')
        put(text, "%s %s", role, name);
    else
        put(text, "%s of client %" PRIu64, role, owner->client_id);
    if (owner->pid != 0)
        put(text, " (pid %" PRIu32 ")", owner->pid);
    if (owner->process == 'T' || owner->process == 't')
        put(text, ", which is stopped,");
    else if (is_dead(owner))
        put(text, ", which is dead,");
}

/* Ends "which is stopped," where another clause follows, or none. */
static void end_clause(struct text *text) {
    if (text->at[-1] == ',') {
        *--text->at = '\0';
        text->room++;
    }
}

static void put_overwritten(struct text *text, const struct ae_problem *p) {
    char count[AE_AMOUNT_SIZE];

    if (p->overwritten == 0)
        return;
    if (p->overwritten >= p->behind)
        put(text, ", all of them already overwritten, so it will lose them");
    else
        put(text, ", of them %s already overwritten, which it will lose", ae_amount_count(count, p->overwritten));
}

static void put_behind(struct text *text, const struct ae_problem *p) {
    char count[AE_AMOUNT_SIZE];

    put(text, "%s %s behind", text->at[-1] == ',' ? "" : ",", ae_amount_count(count, p->behind));
    put_overwritten(text, p);
}

static void put_cause(struct text *text, const struct ae_problem *p) {
    switch (p->waits) {
    case AETHER_WAITS_SUBSCRIBER:
    case AETHER_WAITS_LANE:
        put(text, p->waits == AETHER_WAITS_LANE ? " for lane bytes of " : " for ");
        if (p->has_culprit) {
            put_owner(text, "subscriber", &p->culprit);
            put_behind(text, p);
        } else {
            put(text, "a reliable subscriber");
        }
        break;
    case AETHER_WAITS_PUBLISHER:
        put(text, " for the unfinished publish of ");
        if (p->has_culprit)
            put_owner(text, "publisher", &p->culprit);
        else
            put(text, "another publisher");
        break;
    case AETHER_WAITS_LOANS:
        put(text, " for its own loans, which fill its lane: %" PRIu64 " open", p->loans);
        break;
    case AETHER_WAITS_CLAIM:
        put(text, " because other publishers were faster at each try");
        break;
    case AETHER_WAITS_NOT:
        break;
    }
}

static void put_waits(struct text *text, const struct ae_problem *p) {
    char amount[AE_AMOUNT_SIZE];

    put_owner(text, "publisher", &p->victim);
    if (p->for_ns != AETHER_UNKNOWN)
        put(text, " has waited %s", ae_amount_duration(amount, (double)p->for_ns / 1e9));
    else
        put(text, " waits");
    put_cause(text, p);
    end_clause(text);
    if (p->tried_ns != AETHER_UNKNOWN && p->tried_ns >= SECOND_NS)
        put(text, ", and last tried %s ago", ae_amount_duration(amount, (double)p->tried_ns / 1e9));
    if (p->others > 0)
        put(text, "; %s more publisher%s for it, too", ae_amount_count(amount, p->others),
            ae_plural(p->others, " waits", "s wait"));
}

static void put_stuck(struct text *text, const struct ae_problem *p) {
    char amount[AE_AMOUNT_SIZE];

    put_owner(text, "subscriber", &p->culprit);
    put(text, " is stuck: %s %s", ae_amount_count(amount, p->behind),
        ae_plural(p->behind, "message waits", "messages wait"));
    if (p->for_ns != AETHER_UNKNOWN)
        put(text, ", %s %s", ae_plural(p->behind, "for", "the oldest for"),
            ae_amount_duration(amount, (double)p->for_ns / 1e9));
    put_overwritten(text, p);
}

static const char *why_lost(const struct ae_problem *p) {
    switch (p->reason) {
    case AETHER_LOST_RING:
        return "it was more than the ring behind";
    case AETHER_LOST_LANE:
        return "publishers needed the bytes of their lane";
    case AETHER_LOST_RETAINED:
        return p->lost > 0 || p->lost_count != 1 ? "they were published before it joined"
                                                 : "it had been published before the subscriber joined";
    case AETHER_LOST_EVICTED:
        return "it had been evicted";
    }
    return "the reason is unknown";
}

/* " loses messages, 70/s", or " lost 12,345 messages 4 s ago", which stays true if it loses no more. */
static void put_loss(struct text *text, const struct ae_problem *p) {
    char amount[2][AE_AMOUNT_SIZE];

    if (p->lost > 0)
        put(text, " lose%s messages, %s", p->has_culprit ? "s" : "", ae_amount_rate(amount[0], p->lost));
    else
        put(text, " lost %s message%s %s ago", ae_amount_count(amount[0], p->lost_count),
            ae_plural(p->lost_count, "", "s"), ae_amount_duration(amount[1], (double)p->lost_ago_ns / 1e9));
    if (p->has_culprit)
        put(text, ": %s", why_lost(p));
}

static void put_loses(struct text *text, const struct ae_problem *p) {
    char amount[AE_AMOUNT_SIZE];

    if (p->has_culprit)
        put_owner(text, "subscriber", &p->culprit);
    else
        put(text, "subscribers");
    put_loss(text, p);
    if (p->overwritten > 0) {
        put(text, "; %s more wait", ae_amount_count(amount, p->behind));
        put_overwritten(text, p);
    }
}

static void put_stopped(struct text *text, const struct ae_problem *p) {
    char amount[AE_AMOUNT_SIZE];

    put_owner(text, "subscriber", &p->culprit);
    put(text, " is %s behind", ae_amount_count(amount, p->behind));
    put_overwritten(text, p);
}

static void put_throttled(struct text *text, const struct ae_problem *p) {
    put_owner(text, "publisher", &p->victim);
    put(text, " has no room for %.0f %% of the time", p->share * 100);
    if (!p->has_culprit)
        return;
    put(text, "; farthest behind is ");
    put_owner(text, "subscriber", &p->culprit);
    put_behind(text, p);
}

static void put_died(struct text *text, const struct ae_problem *p) {
    char amount[AE_AMOUNT_SIZE];

    put_owner(text, p->role == AETHER_ROLE_PUBLISHER ? "publisher" : "subscriber", &p->culprit);
    put(text, " died");
    if (p->for_ns != AETHER_UNKNOWN)
        put(text, " %s ago", ae_amount_duration(amount, (double)p->for_ns / 1e9));
}

/* Only aetherd frees the room of a dead program. */
static void put_remedy(struct text *text, const struct ae_problem *p) {
    const bool dead = p->has_culprit && is_dead(&p->culprit);
    const bool holds = p->kind == AE_PROBLEM_WAITS || p->kind == AE_PROBLEM_STUCK || p->kind == AE_PROBLEM_STOPPED ||
                       p->kind == AE_PROBLEM_THROTTLED;

    if (!dead || !holds || p->role == AETHER_ROLE_BEST_EFFORT)
        return;
    if (p->daemon == AE_DAEMON_GONE)
        put(text, "; start aetherd, which frees its room");
    else if (p->daemon == AE_DAEMON_STOPPED)
        put(text, "; aetherd, which is stopped, frees its room when it goes on");
}

/* What else is wrong with the culprit. */
static void put_rest(struct text *text, const struct ae_problem *p) {
    char amount[AE_AMOUNT_SIZE];

    put_remedy(text, p);
    if (p->lost_count > 0 && p->kind != AE_PROBLEM_LOSES) {
        put(text, "; it");
        put_loss(text, p);
    }
    if (p->evicted && p->kind != AE_PROBLEM_EVICTED)
        put(text, "; it was evicted");
    if (p->topics > 0)
        put(text, "; the same program has problems in %s more topic%s", ae_amount_count(amount, p->topics),
            ae_plural(p->topics, "", "s"));
}

char *ae_problem_text(char text[AE_PROBLEM_TEXT], const struct ae_problem *p) {
    struct text out = {.at = text, .room = AE_PROBLEM_TEXT};

    text[0] = '\0';
    switch (p->kind) {
    case AE_PROBLEM_WAITS:
        put_waits(&out, p);
        break;
    case AE_PROBLEM_STUCK:
        put_stuck(&out, p);
        break;
    case AE_PROBLEM_STOPPED:
        put_stopped(&out, p);
        break;
    case AE_PROBLEM_LOSES:
        put_loses(&out, p);
        break;
    case AE_PROBLEM_THROTTLED:
        put_throttled(&out, p);
        break;
    case AE_PROBLEM_EVICTED:
        put_owner(&out, "subscriber", &p->culprit);
        put(&out, " was evicted because it was too slow; it goes on as best effort");
        break;
    case AE_PROBLEM_DIED:
        put_died(&out, p);
        break;
    }
    put_rest(&out, p);
    return text;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shape.h"
#include "base/error.h"
#include "base/text.h"
#include "ring/geometry.h"
#include "shm/registry.h"
#include <aether/error.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PART_SIZE AE_TYPE_TEXT_SIZE
#define VALUE_SIZE (PART_SIZE + 40)

/* ---- texts ---- */

const char *ae_shape_who(char text[AE_WHO_SIZE], const struct ae_statement *client) {
    if (client->name[0] == '\0')
        (void)snprintf(text, AE_WHO_SIZE, "%s", client->role);
    else if (client->pid != 0)
        (void)snprintf(text, AE_WHO_SIZE, "%s '%s' (pid %" PRIu32 ")", client->role, client->name, client->pid);
    else
        (void)snprintf(text, AE_WHO_SIZE, "%s '%s'", client->role, client->name);
    return text;
}

const char *ae_shape_type_text(char text[AE_TYPE_TEXT_SIZE], const char *name, uint32_t version, uint32_t size) {
    if (size != 0)
        (void)snprintf(text, AE_TYPE_TEXT_SIZE, "'%s' version %" PRIu32 " of %" PRIu32 " bytes", name, version, size);
    else
        (void)snprintf(text, AE_TYPE_TEXT_SIZE, "'%s' version %" PRIu32 " without a fixed size", name, version);
    return text;
}

/* Exact: with a unit only if nothing is rounded. */
static const char *bytes_text(char text[PART_SIZE], uint64_t bytes) {
    char size[AE_TEXT_SIZE_BYTES];

    if (bytes >= 4096 && (bytes & (bytes - 1)) == 0)
        (void)snprintf(text, PART_SIZE, "%s", ae_text_size(size, bytes));
    else
        (void)snprintf(text, PART_SIZE, "%" PRIu64 " byte%s", bytes, ae_plural(bytes, "", "s"));
    return text;
}

static const char *publishers_text(uint32_t stated) {
    return stated == AETHER_PUBLISHERS_EXCLUSIVE  ? "exclusive publishers"
           : stated == AETHER_PUBLISHERS_UNBIASED ? "unbiased publishers"
                                                  : "shared publishers";
}

static const char *slow_text(uint32_t stated) {
    return stated == AETHER_SLOW_EVICT ? "slow policy evict" : "slow policy wait";
}

static const char *latency_text(uint32_t stated) {
    return stated == AETHER_LATENCY_OFF   ? "latency off"
           : stated == AETHER_LATENCY_ALL ? "latency all"
                                          : "latency sampled";
}

static const char *preset_text(uint32_t stated) {
    return stated == AETHER_PRESET_SMALL        ? "preset small"
           : stated == AETHER_PRESET_THROUGHPUT ? "preset throughput"
                                                : "preset default";
}

/* What a client states for one value, after "states". */
static const char *stated_text(char text[VALUE_SIZE], uint32_t field, const ae_wish *says) {
    char part[PART_SIZE];

    switch (field) {
    case AE_STATED_MAX_MESSAGE:
        (void)snprintf(text, VALUE_SIZE, "messages of at least %s",
                       bytes_text(part, says->max_message > says->type_size ? says->max_message : says->type_size));
        break;
    case AE_STATED_INLINE_MAX:
        (void)snprintf(text, VALUE_SIZE, "at least %s of a message in its slot", bytes_text(part, says->inline_max));
        break;
    case AE_STATED_CAPACITY:
        (void)snprintf(text, VALUE_SIZE, "at least %" PRIu64 " slots", says->capacity);
        break;
    case AE_STATED_LANE_BYTES:
        (void)snprintf(text, VALUE_SIZE, "lanes of at least %s", bytes_text(part, says->lane_bytes));
        break;
    case AE_STATED_EVICT_LAG:
        (void)snprintf(text, VALUE_SIZE, "eviction at a lag of %" PRIu64, says->evict_lag);
        break;
    case AE_STATED_START_SEQ:
        (void)snprintf(text, VALUE_SIZE, "a first message of sequence %" PRIu64, says->start_seq);
        break;
    case AE_STATED_TYPE:
        (void)snprintf(text, VALUE_SIZE, "type %s",
                       ae_shape_type_text(part, says->type_name, says->type_version, says->type_size));
        break;
    default:
        (void)snprintf(text, VALUE_SIZE, "%s",
                       field == AE_STATED_PRESET       ? preset_text(says->preset)
                       : field == AE_STATED_PUBLISHERS ? publishers_text(says->publishers)
                       : field == AE_STATED_SLOW       ? slow_text(says->slow)
                                                       : latency_text(says->latency));
        break;
    }
    return text;
}

/* What a FIXED topic has, after its name. */
static const char *topic_text(char text[VALUE_SIZE], uint32_t field, const ae_registry_topic *topic) {
    const ae_geometry *g = &topic->geometry;
    char part[PART_SIZE];

    switch (field) {
    case AE_STATED_MAX_MESSAGE:
        (void)snprintf(text, VALUE_SIZE, "takes messages of at most %s", bytes_text(part, g->max_message));
        break;
    case AE_STATED_INLINE_MAX:
        (void)snprintf(text, VALUE_SIZE, "keeps at most %s of a message in its slot",
                       bytes_text(part, ae_inline_max(g)));
        break;
    case AE_STATED_CAPACITY:
    case AE_STATED_PRESET:
        (void)snprintf(text, VALUE_SIZE, "has %" PRIu64 " slots", g->capacity);
        break;
    case AE_STATED_LANE_BYTES:
        if (g->lane_bytes == 0)
            (void)snprintf(text, VALUE_SIZE, "has no lanes");
        else
            (void)snprintf(text, VALUE_SIZE, "has lanes of %s", bytes_text(part, g->lane_bytes));
        break;
    case AE_STATED_EVICT_LAG:
        (void)snprintf(text, VALUE_SIZE, "evicts at a lag of %" PRIu64, g->evict_lag);
        break;
    case AE_STATED_START_SEQ:
        (void)snprintf(text, VALUE_SIZE, "begins at sequence %" PRIu64, g->start_seq);
        break;
    case AE_STATED_TYPE:
        (void)snprintf(text, VALUE_SIZE, "carries %s",
                       ae_shape_type_text(part, topic->type_name, topic->type_version, topic->type_size));
        break;
    default:
        (void)snprintf(text, VALUE_SIZE, "has %s",
                       field == AE_STATED_PUBLISHERS ? publishers_text(ae_geometry_stated(g->publishers))
                       : field == AE_STATED_SLOW ? slow_text(g->evict_lag != 0 ? AETHER_SLOW_EVICT : AETHER_SLOW_WAIT)
                                                 : latency_text(ae_geometry_stated(g->latency)));
        break;
    }
    return text;
}

/* ---- statements ---- */

ae_wish ae_shape_wish(const struct ae_topic_request *request) {
    ae_wish wish = {
        .max_message = request->max_message,
        .inline_max = request->inline_max,
        .capacity = request->capacity,
        .lane_bytes = request->lane_bytes,
        .evict_lag = request->evict_lag,
        .start_seq = request->start_seq,
        .preset = request->preset,
        .publishers = request->publishers,
        .slow = request->slow,
        .latency = request->latency,
        .type_version = request->type_version,
        .type_size = request->type_size,
    };

    _Static_assert(sizeof wish.type_name == sizeof request->type_name, "a type's name");
    memcpy(wish.type_name, request->type_name, sizeof wish.type_name);
    return wish;
}

uint32_t ae_shape_stated(const ae_wish *wish) {
    return (wish->max_message != 0 ? AE_STATED_MAX_MESSAGE : 0) | (wish->inline_max != 0 ? AE_STATED_INLINE_MAX : 0) |
           (wish->capacity != 0 ? AE_STATED_CAPACITY : 0) | (wish->lane_bytes != 0 ? AE_STATED_LANE_BYTES : 0) |
           (wish->evict_lag != 0 ? AE_STATED_EVICT_LAG : 0) | (wish->start_seq != 0 ? AE_STATED_START_SEQ : 0) |
           (wish->preset != 0 ? AE_STATED_PRESET : 0) | (wish->publishers != 0 ? AE_STATED_PUBLISHERS : 0) |
           (wish->slow != 0 ? AE_STATED_SLOW : 0) | (wish->latency != 0 ? AE_STATED_LATENCY : 0) |
           (wish->type_name[0] != '\0' ? AE_STATED_TYPE : 0);
}

static uint64_t longest(const ae_wish *wish) {
    return wish->max_message > wish->type_size ? wish->max_message : wish->type_size;
}

static bool same_type(const ae_wish *a, const ae_wish *b) {
    return strcmp(a->type_name, b->type_name) == 0 && a->type_version == b->type_version &&
           a->type_size == b->type_size;
}

uint32_t ae_shape_changed(const ae_wish *from, const ae_wish *to) {
    const uint32_t same = (to->inline_max == from->inline_max ? AE_STATED_INLINE_MAX : 0) |
                          (to->capacity == from->capacity ? AE_STATED_CAPACITY : 0) |
                          (to->lane_bytes == from->lane_bytes ? AE_STATED_LANE_BYTES : 0) |
                          (to->evict_lag == from->evict_lag ? AE_STATED_EVICT_LAG : 0) |
                          (to->start_seq == from->start_seq ? AE_STATED_START_SEQ : 0) |
                          (to->preset == from->preset ? AE_STATED_PRESET : 0) |
                          (to->publishers == from->publishers ? AE_STATED_PUBLISHERS : 0) |
                          (to->slow == from->slow ? AE_STATED_SLOW : 0) |
                          (to->latency == from->latency ? AE_STATED_LATENCY : 0) |
                          (same_type(to, from) ? AE_STATED_TYPE : 0) | AE_STATED_MAX_MESSAGE;

    return (ae_shape_stated(to) & ~same) |
           (longest(to) != 0 && longest(to) != longest(from) ? AE_STATED_MAX_MESSAGE : 0);
}

ae_wish ae_shape_part(const ae_wish *wish, uint32_t values) {
    ae_wish part = {
        .max_message = (values & AE_STATED_MAX_MESSAGE) != 0 ? wish->max_message : 0,
        .inline_max = (values & AE_STATED_INLINE_MAX) != 0 ? wish->inline_max : 0,
        .capacity = (values & AE_STATED_CAPACITY) != 0 ? wish->capacity : 0,
        .lane_bytes = (values & AE_STATED_LANE_BYTES) != 0 ? wish->lane_bytes : 0,
        .evict_lag = (values & AE_STATED_EVICT_LAG) != 0 ? wish->evict_lag : 0,
        .start_seq = (values & AE_STATED_START_SEQ) != 0 ? wish->start_seq : 0,
        .preset = (values & AE_STATED_PRESET) != 0 ? wish->preset : 0,
        .publishers = (values & AE_STATED_PUBLISHERS) != 0 ? wish->publishers : 0,
        .slow = (values & AE_STATED_SLOW) != 0 ? wish->slow : 0,
        .latency = (values & AE_STATED_LATENCY) != 0 ? wish->latency : 0,
    };

    if ((values & AE_STATED_TYPE) != 0) {
        part.type_version = wish->type_version;
        part.type_size = wish->type_size;
        memcpy(part.type_name, wish->type_name, sizeof part.type_name);
    }
    return part;
}

void ae_shape_own(const ae_registry_topic *topic, ae_wish *all) {
    const ae_geometry *g = &topic->geometry;
    const uint32_t stated = topic->stated;

    if (ae_shape_of(topic->shape.v) != AE_SHAPE_FIXED) {
        *all = topic->created != 0 ? topic->made : (ae_wish){0};
        return;
    }
    *all = (ae_wish){
        .max_message = (stated & AE_STATED_MAX_MESSAGE) != 0 ? g->max_message : 0,
        .inline_max = (stated & AE_STATED_INLINE_MAX) != 0 ? ae_inline_max(g) : 0,
        .capacity = (stated & AE_STATED_CAPACITY) != 0 ? g->capacity : 0,
        .lane_bytes = (stated & AE_STATED_LANE_BYTES) != 0 ? g->lane_bytes : 0,
        .evict_lag = (stated & AE_STATED_EVICT_LAG) != 0 ? g->evict_lag : 0,
        .start_seq = g->start_seq,
        .preset = topic->preset,
        .publishers = (stated & AE_STATED_PUBLISHERS) != 0 ? ae_geometry_stated(g->publishers) : 0,
        .slow = (stated & AE_STATED_SLOW) == 0 ? 0
                : g->evict_lag != 0            ? AETHER_SLOW_EVICT
                                               : AETHER_SLOW_WAIT,
        .latency = (stated & AE_STATED_LATENCY) != 0 ? ae_geometry_stated(g->latency) : 0,
    };
    /* The geometry's sizes are rounded, and larger if subscribers asked for more. */
    if (topic->created != 0) {
        const uint32_t made = ae_shape_stated(&topic->made) & ~(topic->raised | AE_STATED_TYPE);
        const ae_wish part = ae_shape_part(&topic->made, made);
        *all = ae_shape_part(all, ~made);
        ae_wish_merge(all, &part);
    }
    if (topic->type_name[0] != '\0') {
        all->type_version = topic->type_version;
        all->type_size = topic->type_size;
        memcpy(all->type_name, topic->type_name, sizeof all->type_name);
    }
}

/* ---- merging ---- */

/* What the topic itself states is first in a list: a topic without a publisher has it from its creator. */
static int contradict(const char *topic, uint32_t field, const struct ae_statement *a, const struct ae_statement *b) {
    char who_a[AE_WHO_SIZE], who_b[AE_WHO_SIZE], says_a[VALUE_SIZE], says_b[VALUE_SIZE];
    const bool removable = strstr(a->role, "creator") != NULL;

    return ae_fail(-EEXIST, "topic '%s': %s states %s, %s states %s: let them agree%s", topic, ae_shape_who(who_a, a),
                   stated_text(says_a, field, a->says), ae_shape_who(who_b, b), stated_text(says_b, field, b->says),
                   removable ? ", or remove the topic first (aether-cli topic rm)" : "");
}

/* Which of the values that must be equal differ: one bit, or 0. */
static uint32_t contradiction(const ae_wish *a, const ae_wish *b) {
    const uint32_t both = ae_shape_stated(a) & ae_shape_stated(b);

    return (both & AE_STATED_PUBLISHERS) != 0 && a->publishers != b->publishers ? AE_STATED_PUBLISHERS
           : (both & AE_STATED_SLOW) != 0 && a->slow != b->slow                 ? AE_STATED_SLOW
           : (both & AE_STATED_LATENCY) != 0 && a->latency != b->latency        ? AE_STATED_LATENCY
           : (both & AE_STATED_EVICT_LAG) != 0 && a->evict_lag != b->evict_lag  ? AE_STATED_EVICT_LAG
           : (both & AE_STATED_START_SEQ) != 0 && a->start_seq != b->start_seq  ? AE_STATED_START_SEQ
           : (both & AE_STATED_TYPE) != 0 && !same_type(a, b)                   ? AE_STATED_TYPE
                                                                                : 0;
}

/* max_message: at least; a type's size is also the least size of the topic's longest message. */
static int make(const ae_wish *all, uint64_t max_message, ae_geometry *geometry) {
    const aether_topic_config config = {
        .max_message = longest(all) > max_message ? longest(all) : max_message,
        .inline_max = all->inline_max,
        .capacity = all->capacity,
        .lane_bytes = all->lane_bytes,
        .preset = (aether_preset)all->preset,
        .publishers = (aether_publishers)all->publishers,
        .slow = (aether_slow)all->slow,
        .latency = (aether_latency_mode)all->latency,
        .evict_lag = all->evict_lag,
        .start_seq = all->start_seq,
        .type_size = all->type_size,
    };

    return ae_geometry_make(geometry, &config);
}

static int check_type(const char *topic, const ae_wish *says) {
    char text[AE_TYPE_TEXT_SIZE];

    if (says->type_name[0] == '\0' && (says->type_version != 0 || says->type_size != 0))
        return ae_fail(-EINVAL, "topic '%s': a type's version or size without its name: state type_name, too", topic);
    if (says->max_message != 0 && says->type_size > says->max_message)
        return ae_fail(-EINVAL,
                       "type %s does not fit in the messages of topic '%s', of up to %" PRIu64
                       " bytes: state a larger max_message",
                       ae_shape_type_text(text, says->type_name, says->type_version, says->type_size), topic,
                       says->max_message);
    return 0;
}

/* The values go together in sum, but what they make doesn't: names a client that doesn't go with the one that asks. */
static int refuse_sum(const char *topic, const struct ae_statement *list, size_t count) {
    const struct ae_statement *client = &list[count - 1];
    char who_a[AE_WHO_SIZE], who_b[AE_WHO_SIZE], why[AE_TEXT_MAX + 1];
    const struct ae_statement *other = NULL;
    ae_geometry geometry;

    (void)snprintf(why, sizeof why, "%s", aether_errmsg());
    if (make(client->says, 0, &geometry) != 0)
        return -EINVAL; /* with the text of what this client states itself */
    for (size_t i = 0; i + 1 < count && other == NULL; i++) {
        ae_wish both = *list[i].says;
        ae_wish_merge(&both, client->says);
        if (make(&both, 0, &geometry) != 0)
            other = &list[i];
    }
    return ae_fail(-EEXIST, "topic '%s': what %s states doesn't go with what %s states: %s", topic,
                   ae_shape_who(who_a, client), other != NULL ? ae_shape_who(who_b, other) : "the others", why);
}

int ae_shape_decide(const char *topic, const struct ae_statement *list, size_t count, ae_wish *all,
                    ae_geometry *geometry) {
    uint64_t stated = 0, least = 0;
    ae_geometry made;
    ae_wish sum = {0};
    int rc = check_type(topic, list[count - 1].says);

    if (rc != 0)
        return rc;
    for (size_t i = 0; i < count; i++) {
        if (contradiction(&sum, list[i].says) != 0) {
            for (size_t j = 0; j < i; j++) {
                const uint32_t field = contradiction(list[j].says, list[i].says);
                if (field != 0)
                    return contradict(topic, field, &list[j], &list[i]);
            }
        }
        ae_wish_merge(&sum, list[i].says);
        if (!list[i].asks && longest(list[i].says) > stated)
            stated = longest(list[i].says);
    }
    if (stated == 0 && longest(&sum) != 0 && longest(&sum) <= AETHER_MAX_MESSAGE_DEFAULT) {
        least = AETHER_MAX_MESSAGE_DEFAULT;
        sum.max_message = 0; /* what subscribers ask for decides nothing */
    }
    if (make(&sum, least, &made) != 0)
        return count > 1 ? refuse_sum(topic, list, count) : -EINVAL;
    if (all != NULL)
        *all = sum;
    if (geometry != NULL)
        *geometry = made;
    return 0;
}

int ae_shape_match_types(const char *topic, const struct ae_statement *list, size_t count) {
    const struct ae_statement *client = &list[count - 1];

    for (size_t i = 0; i + 1 < count; i++) {
        if (list[i].says->type_name[0] != '\0' && client->says->type_name[0] != '\0' &&
            !same_type(list[i].says, client->says))
            return contradict(topic, AE_STATED_TYPE, &list[i], client);
    }
    return 0;
}

/* ---- a shape that is fixed ---- */

/* A preset is a size of the ring, for messages as the topic has them. */
static bool preset_differs(const ae_registry_topic *topic, const ae_wish *says) {
    const aether_topic_config config = {
        .max_message = topic->geometry.max_message,
        .inline_max = ae_inline_max(&topic->geometry),
        .preset = (aether_preset)says->preset,
    };
    ae_geometry wanted;

    return says->preset != 0 && says->capacity == 0 && (topic->stated & AE_STATED_CAPACITY) == 0 &&
           ae_geometry_make(&wanted, &config) == 0 && wanted.capacity > topic->geometry.capacity;
}

/* Values that no topic can have, whatever this topic has. */
static int check_values(const ae_registry_topic *topic, const ae_wish *says) {
    const bool waits =
        says->slow == AETHER_SLOW_WAIT || (says->slow == AETHER_SLOW_ANY && topic->geometry.evict_lag == 0);
    const ae_wish values = {
        .preset = says->preset,
        .publishers = says->publishers,
        .slow = says->slow,
        .latency = says->latency,
        .evict_lag = waits ? says->evict_lag : 0,
        .max_message = says->max_message,
    };
    ae_geometry geometry;
    const int rc = check_type(topic->name, says);

    return rc != 0 ? rc : make(&values, 0, &geometry);
}

int ae_shape_differs(const ae_registry_topic *topic, const struct ae_statement *client, uint32_t *differs) {
    const ae_geometry *g = &topic->geometry;
    const ae_wish *says = client->says;
    ae_wish own;
    const int rc = check_values(topic, says);

    *differs = 0;
    if (rc != 0)
        return rc;
    ae_shape_own(topic, &own);
    if (says->max_message > g->max_message || says->type_size > g->max_message)
        *differs |= AE_STATED_MAX_MESSAGE;
    if (says->inline_max > ae_inline_max(g))
        *differs |= AE_STATED_INLINE_MAX;
    if (says->capacity > g->capacity)
        *differs |= AE_STATED_CAPACITY;
    if (says->lane_bytes > g->lane_bytes)
        *differs |= AE_STATED_LANE_BYTES;
    if (preset_differs(topic, says))
        *differs |= AE_STATED_PRESET;
    if (says->publishers != 0 && says->publishers != ae_geometry_stated(g->publishers))
        *differs |= AE_STATED_PUBLISHERS;
    if (says->slow != 0 && (says->slow == AETHER_SLOW_EVICT) != (g->evict_lag != 0))
        *differs |= AE_STATED_SLOW;
    else if (says->evict_lag != 0 && says->evict_lag != g->evict_lag)
        *differs |= AE_STATED_EVICT_LAG;
    if (says->latency != 0 && says->latency != ae_geometry_stated(g->latency))
        *differs |= AE_STATED_LATENCY;
    if (says->start_seq != 0 && says->start_seq != g->start_seq)
        *differs |= AE_STATED_START_SEQ;
    if (says->type_name[0] != '\0' && own.type_name[0] != '\0' && !same_type(says, &own))
        *differs |= AE_STATED_TYPE;
    return 0;
}

/* Which statements decided about the value. A stated capacity leaves a preset nothing to decide. */
static uint32_t decided_by(const ae_registry_topic *topic, uint32_t field) {
    if (field != AE_STATED_PRESET && field != AE_STATED_CAPACITY)
        return field;
    return ((topic->stated | topic->asked) & AE_STATED_CAPACITY) != 0 ? AE_STATED_CAPACITY : AE_STATED_PRESET;
}

static const char *asked_text(char text[AE_WHY_SIZE], const ae_registry_topic *topic) {
    const struct ae_statement asker = {
        .role = topic->asker[0] != '\0' ? "subscriber" : "a subscriber", .name = topic->asker, .pid = topic->asker_pid};
    const struct ae_statement maker = {.role = "publisher", .name = topic->maker, .pid = topic->maker_pid};
    char who[AE_WHO_SIZE], came[AE_WHO_SIZE];

    (void)snprintf(text, AE_WHY_SIZE, "as %s asked for when %s came", ae_shape_who(who, &asker),
                   ae_shape_who(came, &maker));
    return text;
}

const char *ae_shape_why(char text[AE_WHY_SIZE], const ae_registry_topic *topic, uint32_t field) {
    const uint32_t bits = decided_by(topic, field);
    const bool typed = field == AE_STATED_TYPE, stated = typed || (topic->stated & bits) != 0;
    const bool created = topic->created != 0 && (ae_shape_stated(&topic->made) & ~topic->raised & bits) != 0;
    const bool later = created && (topic->later & bits) != 0;
    const struct ae_statement by = {
        .role = typed     ? topic->type_maker[0] != '\0' ? "client" : "a client"
                : later   ? "a later creator"
                : created ? "creator"
                          : "publisher",
        .name = typed     ? topic->type_maker
                : later   ? ""
                : created ? topic->creator
                          : topic->maker,
        .pid = typed     ? topic->type_pid
               : created ? topic->creator_pid
                         : topic->maker_pid,
    };
    char who[AE_WHO_SIZE];

    if (!typed && (topic->asked & bits) != 0)
        return asked_text(text, topic);
    (void)snprintf(text, AE_WHY_SIZE, stated ? "as %s stated" : "the default since %s, which stated no other",
                   ae_shape_who(who, &by));
    return text;
}

int ae_shape_refuse(const ae_registry_topic *topic, const struct ae_statement *client, uint32_t differs,
                    const char *remedy) {
    char has[VALUE_SIZE], says[VALUE_SIZE], why[AE_WHY_SIZE], who[AE_WHO_SIZE];
    const uint32_t stated = topic->stated | topic->asked | AE_STATED_TYPE | AE_STATED_START_SEQ;
    const uint32_t choice = (differs & stated) != 0 ? differs & stated : differs;
    const uint32_t field = choice & -choice;

    return ae_fail(-EEXIST, "topic '%s' %s, %s; %s states %s: %s", topic->name, topic_text(has, field, topic),
                   ae_shape_why(why, topic, field), ae_shape_who(who, client), stated_text(says, field, client->says),
                   remedy);
}

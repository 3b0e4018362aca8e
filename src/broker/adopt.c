/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/adopt.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "broker/clients.h"
#include "broker/grants.h"
#include "broker/objects.h"
#include "broker/remove.h"
#include "broker/shape.h"
#include "broker/topics.h"
#include "broker/totals.h"
#include "ring/geometry.h"
#include "ring/topic.h"
#include "ring/wake.h"
#include "service/log.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 1: the topic is whole. 0: it must be dropped. -errno: that can't be found out now. */
static int check_topic(const struct ae_broker *broker, uint32_t t, ae_registry_topic *copy) {
    if (ae_registry_read_topic(&broker->registry, t, copy) == 0)
        return 0;
    const uint64_t shape = ae_shape_of(copy->shape.v);
    if (shape > AE_SHAPE_FIXED || copy->created > 1 ||
        (shape != AE_SHAPE_OPEN && ae_geometry_check(&copy->geometry) != 0))
        return 0;
    return ae_objects_fit(broker, copy);
}

/* What must differ between two topics. */
struct identity {
    uint64_t topic_id;
    uint32_t record;
    char name[AE_TOPIC_NAME_MAX + 1];
};

/* Both put equal topics in the order of their records, so that the first of them stays. */
static int by_name(const void *a, const void *b) {
    const struct identity *x = a, *y = b;
    const int order = strcmp(x->name, y->name);

    return order != 0 ? order : x->record < y->record ? -1 : x->record > y->record;
}

static int by_id(const void *a, const void *b) {
    const struct identity *x = a, *y = b;

    if (x->topic_id != y->topic_id)
        return x->topic_id < y->topic_id ? -1 : 1;
    return x->record < y->record ? -1 : x->record > y->record;
}

static void drop_topic(struct ae_broker *broker, uint32_t t) {
    ae_log_line(AE_LOG_WARNING, "topic record %" PRIu32 " is damaged: it is dropped with its objects", t);
    ae_record_free(&broker->registry.topics[t].state); /* its objects are removed with all that have no record */
}

/* Drops topics that have the name or the id of another topic. Returns how many are left. */
static uint32_t drop_doubles(struct ae_broker *broker, struct identity *list, uint32_t count) {
    uint32_t kept = count > 0;

    qsort(list, count, sizeof *list, by_name);
    for (uint32_t i = 1; i < count; i++) {
        if (strcmp(list[i].name, list[kept - 1].name) != 0)
            list[kept++] = list[i];
        else
            drop_topic(broker, list[i].record);
    }
    count = kept;
    qsort(list, count, sizeof *list, by_id);
    for (uint32_t i = 1; i < count; i++) {
        if (list[i].topic_id == list[i - 1].topic_id) {
            drop_topic(broker, list[i].record);
            kept--;
        }
    }
    return kept;
}

/*
 * The type that the topic was created with, if it never had a publisher. Another one is of a publisher or a creation
 * that wasn't completed.
 */
static void finish_type(ae_registry_topic *topic) {
    ae_wish *made = &topic->made;

    if (made->type_name[0] == '\0') {
        memset(made->type_name, 0, sizeof made->type_name);
        made->type_version = made->type_size = 0;
    }
    if (topic->created != 0 && made->type_name[0] != '\0' && strcmp(topic->type_name, made->type_name) == 0 &&
        topic->type_version == made->type_version && topic->type_size == made->type_size)
        return; /* with the name of who stated it */
    topic->stated &= ~AE_STATED_TYPE;
    memset(topic->type_name, 0, sizeof topic->type_name);
    if (topic->created == 0 || made->type_name[0] == '\0')
        return;
    const bool later = (topic->later & AE_STATED_TYPE) != 0; /* nobody knows by whom */
    ae_registry_set_type(topic, made->type_name, made->type_version, made->type_size, later ? "" : topic->creator,
                         later ? 0 : topic->creator_pid);
}

/*
 * What a topic has that isn't FIXED is of its creation. What else it has is of a publisher that wasn't admitted: a
 * predecessor was killed before. An OPEN topic that was created gets the shape that it had, or was about to get. 0, or
 * -errno.
 */
static int finish_shape(struct ae_broker *broker, uint32_t t) {
    ae_registry_topic *topic = &broker->registry.topics[t];

    if (ae_shape_of(topic->shape.v) == AE_SHAPE_FIXED)
        return 0;
    finish_type(topic);
    if (ae_shape_of(topic->shape.v) != AE_SHAPE_OPEN) {
        topic->stated = ae_shape_stated(&topic->made);
        topic->preset = topic->made.preset;
        return 0;
    }
    topic->geometry = (ae_geometry){.start_seq = topic->geometry.start_seq};
    topic->stated = 0;
    if (topic->created == 0)
        return 0;
    const int rc = ae_topics_make_again(broker, topic);
    if (rc == 0 || ae_objects_error_passes(rc))
        return rc;
    ae_log_line(AE_LOG_WARNING, "topic '%s' was about to change, and can't be created again: %s", topic->name,
                aether_errmsg());
    topic->created = 0;
    return 0;
}

/* A copy has terminated strings, and no incomplete type. */
static void take_strings(ae_registry_topic *topic, const ae_registry_topic *copy) {
    memcpy(topic->name, copy->name, sizeof topic->name);
    memcpy(topic->type_name, copy->type_name, sizeof topic->type_name);
    memcpy(topic->maker, copy->maker, sizeof topic->maker);
    memcpy(topic->type_maker, copy->type_maker, sizeof topic->type_maker);
    memcpy(topic->creator, copy->creator, sizeof topic->creator);
    memcpy(topic->asker, copy->asker, sizeof topic->asker);
    topic->made = copy->made;
}

/* 1: the topic in the record is whole, and is in *identity. 0: there is none, or it was dropped. -errno. */
static int adopt_topic(struct ae_broker *broker, uint32_t t, struct identity *identity) {
    ae_registry_topic *topic = &broker->registry.topics[t], copy;
    const uint64_t state = ae_record_state(&topic->state);

    if (state == AE_RECORD_FREE)
        return 0;
    if (state != AE_RECORD_LIVE) { /* a predecessor was creating or removing it, or it begins anew: renew_topics() */
        if (ae_registry_read_anew(&broker->registry, t, &copy) == 0 || copy.created > 1)
            ae_record_free(&topic->state);
        return 0;
    }
    ae_store_relaxed(&topic->anew, 0); /* as any other now */
    const int whole = check_topic(broker, t, &copy);
    if (whole < 0)
        return whole;
    if (whole == 0) {
        drop_topic(broker, t);
        return 0;
    }
    take_strings(topic, &copy);
    topic->stated = copy.stated;
    ae_state_skip_id(broker, topic->topic_id);
    *identity = (struct identity){.topic_id = copy.topic_id, .record = t};
    memcpy(identity->name, copy.name, sizeof copy.name);
    const int rc = finish_shape(broker, t);
    return rc != 0 ? rc : 1;
}

/* Returns how many topics stay, or -errno. */
static int64_t adopt_topics(struct ae_broker *broker) {
    struct identity *list = calloc(broker->registry.topics_max, sizeof *list);
    uint32_t count = 0;
    int rc = 0;

    if (list == NULL)
        return ae_fail(-ENOMEM, "out of memory for %" PRIu32 " topic%s", broker->registry.topics_max,
                       ae_plural(broker->registry.topics_max, "", "s"));
    for (uint32_t t = 0; rc >= 0 && t < broker->registry.topics_max; t++) {
        rc = adopt_topic(broker, t, &list[count]);
        count += rc > 0;
    }
    if (rc >= 0)
        count = drop_doubles(broker, list, count);
    for (uint32_t t = 0; rc >= 0 && t < broker->registry.topics_max; t++) {
        if (ae_record_state(&broker->registry.topics[t].state) == AE_RECORD_LIVE)
            ae_index_add_topic(&broker->index, t);
    }
    free(list);
    return rc < 0 ? rc : (int64_t)count;
}

static void drop_renewed(ae_registry_topic *topic) {
    ae_log_line(AE_LOG_WARNING, "topic '%s' was about to begin anew, and can't be created again: %s", topic->name,
                aether_errmsg());
    ae_record_free(&topic->state);
}

/*
 * Completes topics that began anew. For that all ids have to be known. Returns how many there are, or -errno; what is
 * left then, another successor completes.
 */
static int64_t renew_topics(struct ae_broker *broker) {
    int64_t count = 0;
    ae_registry_topic copy;

    for (uint32_t t = 0; t < broker->registry.topics_max; t++) {
        ae_registry_topic *topic = &broker->registry.topics[t];
        if (ae_registry_read_anew(&broker->registry, t, &copy) == 0)
            continue;
        take_strings(topic, &copy);
        int rc = ae_index_topic_named(&broker->index, copy.name) == AE_NO_TOPIC
                     ? ae_topics_renew(broker, t)
                     : ae_fail(-EEXIST, "there is another topic of this name");
        if (rc == 0)
            rc = finish_shape(broker, t);
        if (ae_objects_error_passes(rc))
            return rc;
        if (rc == 0)
            count++;
        else
            drop_renewed(topic);
    }
    return count;
}

static uint32_t adopt_clients(struct ae_broker *broker) {
    uint32_t kept = 0;
    ae_registry_client copy;

    for (uint32_t i = 0; i < broker->registry.clients_max; i++) {
        ae_registry_client *client = &broker->registry.clients[i];
        if (ae_record_state(&client->state) == AE_RECORD_FREE)
            continue;
        if (ae_registry_read_client(&broker->registry, i, &copy) == 0) {
            ae_record_free(&client->state);
            continue;
        }
        client->name[sizeof client->name - 1] = '\0';
        ae_state_skip_id(broker, copy.client_id);
        ae_index_add_client(&broker->index, i);
        kept++;
    }
    return kept;
}

/* Has an earlier grant the same id, the same record of the topic, or the same of the client's statistics? */
static bool grant_taken(const struct ae_broker *broker, uint32_t topic, uint32_t client,
                        const ae_registry_grant *grant) {
    const struct ae_index *index = &broker->index;

    if (ae_index_grant(index, grant->grant_id) != AE_NO_GRANT)
        return true;
    if (client != AE_NO_CLIENT && ae_slots_used(&index->stats[client], grant->stats))
        return true;
    return grant->role != AE_ROLE_BEST_EFFORT &&
           (ae_index_holders(index, topic, grant->role)->records >> grant->record & 1) != 0;
}

static int adopt_grant(struct ae_broker *broker, uint32_t g) {
    ae_registry_grant *grant = &broker->registry.grants[g], copy;
    uint32_t topic = AE_NO_TOPIC, client = AE_NO_CLIENT;
    int rc;

    if (ae_record_state(&grant->state) == AE_RECORD_FREE)
        return 0;
    if (ae_registry_read_grant(&broker->registry, g, &copy) == 1) {
        topic = ae_index_topic(&broker->index, copy.topic_id);
        client = ae_index_client(&broker->index, copy.client_id);
    }
    if (topic == AE_NO_TOPIC || grant_taken(broker, topic, client, &copy)) {
        ae_record_free(&grant->state);
        return 0;
    }
    if (copy.role == AE_ROLE_PUBLISHER && ae_shape_of(broker->registry.topics[topic].shape.v) != AE_SHAPE_FIXED) {
        ae_record_free(&grant->state);
        return 0;
    }
    if (client != AE_NO_CLIENT && (rc = ae_slots_reserve(&broker->index.stats[client], copy.stats + 1)) != 0)
        return rc;
    ae_state_skip_id(broker, copy.grant_id);
    ae_index_add_grant(&broker->index, g);
    return 0;
}

static int adopt_grants(struct ae_broker *broker) {
    int rc = 0;

    for (uint32_t g = 0; rc == 0 && g < broker->registry.grants_max; g++)
        rc = adopt_grant(broker, g);
    /* After all are known, because an OPEN topic ends with its last grant. */
    for (uint32_t g = 0; rc == 0 && g < broker->registry.grants_max; g++) {
        if (ae_record_state(&broker->registry.grants[g].state) == AE_RECORD_LIVE &&
            broker->index.holdings[g].client == AE_NO_CLIENT)
            (void)ae_grants_free(broker, g, true); /* it has no holder, so publishers must not wait for it */
    }
    return rc;
}

/*
 * A predecessor may have been killed before it stored the number of subscribers after its last change of the grants, or
 * before it woke the subscribers that wait for the topic's slots.
 */
static void refresh_topic(const struct ae_broker *broker, uint32_t t) {
    struct ae_objects objects;

    if (ae_objects_map(broker, &broker->registry.topics[t], sizeof(ae_log), false, &objects) != 0)
        return; /* out of descriptors: the next grant of the topic stores its number */
    ae_topic_set_subscribers(objects.log, ae_grants_count_subscribers(broker, t));
    ae_wake_all(&objects.log->wake.wake);
    ae_objects_unmap(&objects);
}

static void refresh_topics(struct ae_broker *broker) {
    for (uint32_t t = 0; t < broker->registry.topics_max; t++) {
        if (ae_record_state(&broker->registry.topics[t].state) != AE_RECORD_LIVE)
            continue;
        ae_topic_remove_if_left(broker, t);
        if (ae_record_state(&broker->registry.topics[t].state) == AE_RECORD_LIVE)
            refresh_topic(broker, t);
    }
}

/* The names of all objects of live records, sorted. */
struct names {
    char (*list)[AE_OBJECT_NAME_SIZE];
    size_t count;
};

static int compare_names(const void *a, const void *b) {
    return strcmp(a, b);
}

static int collect_names(const struct ae_broker *broker, struct names *names) {
    const struct ae_registry *registry = &broker->registry;

    names->count = 0;
    names->list = calloc(2 + 3 * (size_t)registry->topics_max + 2 * (size_t)registry->clients_max, sizeof *names->list);
    if (names->list == NULL)
        return -ENOMEM;
    ae_name_registry(&broker->instance, names->list[names->count++]);
    ae_name_totals(&broker->instance, names->list[names->count++]);
    for (uint32_t t = 0; t < registry->topics_max; t++) {
        if (ae_record_state(&registry->topics[t].state) != AE_RECORD_LIVE)
            continue;
        ae_name_log(&broker->instance, registry->topics[t].topic_id, names->list[names->count++]);
        ae_name_cursors(&broker->instance, registry->topics[t].topic_id, names->list[names->count++]);
        ae_name_notes(&broker->instance, registry->topics[t].topic_id, names->list[names->count++]);
    }
    for (uint32_t i = 0; i < registry->clients_max; i++) {
        if (ae_record_state(&registry->clients[i].state) != AE_RECORD_LIVE)
            continue;
        ae_name_token(&broker->instance, registry->clients[i].client_id, names->list[names->count++]);
        ae_name_stats(&broker->instance, registry->clients[i].client_id, names->list[names->count++]);
    }
    qsort(names->list, names->count, sizeof *names->list, compare_names);
    return 0;
}

static void remove_unaccounted(const struct ae_broker *broker, const struct names *names, DIR *dir) {
    struct dirent *entry;

    while ((entry = readdir(dir)) != NULL) {
        char object[sizeof entry->d_name + 1];
        (void)snprintf(object, sizeof object, "/%s", entry->d_name);
        if (strncmp(object, broker->instance.prefix, strlen(broker->instance.prefix)) != 0 ||
            bsearch(object, names->list, names->count, sizeof *names->list, compare_names) != NULL)
            continue;
        ae_log_line(AE_LOG_INFO, "leftover %s removed", entry->d_name);
        if (ae_segment_remove(object) != 0)
            ae_log_line(AE_LOG_WARNING, "%s", aether_errmsg());
    }
}

static void remove_orphans(const struct ae_broker *broker) {
    struct names names = {NULL, 0};
    DIR *dir = opendir("/dev/shm");

    if (dir != NULL && collect_names(broker, &names) == 0)
        remove_unaccounted(broker, &names, dir);
    else
        ae_log_line(AE_LOG_WARNING, "/dev/shm can't be listed: leftovers of dead instances stay");
    free(names.list);
    if (dir != NULL)
        closedir(dir);
}

int ae_adopt(struct ae_broker *broker) {
    struct ae_registry *registry = &broker->registry;
    uint32_t clients, alive = 0;

    if (registry->topics_max != broker->limits.topics || registry->clients_max != broker->limits.clients ||
        registry->grants_max != broker->limits.grants)
        ae_log_line(AE_LOG_WARNING,
                    "the registry that was found keeps its limits until a clean stop: %" PRIu32 " topic%s, %" PRIu32
                    " client%s, %" PRIu32 " grant%s",
                    registry->topics_max, ae_plural(registry->topics_max, "", "s"), registry->clients_max,
                    ae_plural(registry->clients_max, "", "s"), registry->grants_max,
                    ae_plural(registry->grants_max, "", "s"));
    registry->header->daemon_pid = (uint32_t)getpid();
    registry->header->started_ns = ae_realtime_ns();
    registry->header->started_mono_ns = ae_now_ns();
    int64_t topics = adopt_topics(broker), renewed;
    if (topics < 0)
        return (int)topics;
    int rc = ae_totals_adopt(broker);
    if (rc != 0)
        return rc;
    clients = adopt_clients(broker);
    if ((rc = adopt_grants(broker)) != 0)
        return rc;
    if ((renewed = renew_topics(broker)) < 0)
        return (int)renewed;
    topics += renewed;
    for (uint32_t i = 0; i < registry->clients_max; i++)
        alive += !ae_clients_free_if_dead(broker, i);
    refresh_topics(broker);
    remove_orphans(broker);
    ae_registry_changed(registry); /* also what a predecessor had changed when it was killed */
    if (topics + clients != 0)
        ae_log_line(AE_LOG_INFO, "adopted %" PRId64 " topic%s and %" PRIu32 " living client%s of %" PRIu32, topics,
                    ae_plural((uint64_t)topics, "", "s"), alive, ae_plural(alive, "", "s"), clients);
    return 0;
}

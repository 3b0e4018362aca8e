/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adopt.c - what a successor does with what it finds. The registry is authoritative but not trusted: a record that
 * makes no sense is dropped with its objects. Then come the tokens, and last every object of this instance that no
 * record accounts for.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include "broker/broker.h"
#include "ring/geometry.h"
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

static bool object_fits(const struct ae_broker *broker, const char *name, uint64_t bytes) {
    int fd = ae_segment_open(name, true, broker->instance.uid, bytes, NULL);

    if (fd < 0)
        return false;
    ae_close(&fd);
    return true;
}

/* A whole topic, or false: drop it. */
static bool topic_valid(const struct ae_broker *broker, uint32_t t, ae_registry_topic *copy) {
    char log[AE_OBJECT_NAME_SIZE], cursors[AE_OBJECT_NAME_SIZE];

    if (ae_registry_read_topic(&broker->registry, t, copy) == 0 || ae_geometry_check(&copy->geometry) != 0)
        return false;
    ae_name_log(&broker->instance, copy->topic_id, log);
    ae_name_cursors(&broker->instance, copy->topic_id, cursors);
    return object_fits(broker, log, copy->geometry.log_bytes) &&
           object_fits(broker, cursors, copy->geometry.cursors_bytes);
}

/* What no two topics may share. */
struct identity {
    uint64_t topic_id;
    uint32_t record;
    char name[AE_TOPIC_NAME_MAX + 1];
};

/* Each orders equal ones by their records, so that the first one of them stays. */
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

static void raise_next_id(struct ae_broker *broker, uint64_t id) {
    ae_u64 *next = &broker->registry.header->next_id;

    if (id >= ae_load_relaxed(next) && id != UINT64_MAX)
        ae_store_relaxed(next, id + 1);
}

static void drop_topic(struct ae_broker *broker, uint32_t t) {
    ae_log_line(AE_LOG_WARNING, "topic record %" PRIu32 " is damaged: it is dropped with its objects", t);
    ae_record_free(&broker->registry.topics[t].state); /* its objects go with the orphans */
}

/* Drops topics that have the name or the id of another one. Returns how many are left. */
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

/* Returns how many topics stay, or -ENOMEM. */
static int64_t adopt_topics(struct ae_broker *broker) {
    struct identity *list = calloc(broker->registry.topics_max, sizeof *list);
    uint32_t count = 0;
    ae_registry_topic copy;

    if (list == NULL)
        return ae_fail(-ENOMEM, "out of memory for %" PRIu32 " topics", broker->registry.topics_max);
    for (uint32_t t = 0; t < broker->registry.topics_max; t++) {
        ae_registry_topic *topic = &broker->registry.topics[t];
        const uint64_t state = ae_record_state(&topic->state);
        if (state == AE_RECORD_LIVE && topic_valid(broker, t, &copy)) {
            /* Terminated, and without half a type. */
            memcpy(topic->name, copy.name, sizeof topic->name);
            memcpy(topic->type_name, copy.type_name, sizeof topic->type_name);
            raise_next_id(broker, topic->topic_id);
            list[count] = (struct identity){.topic_id = copy.topic_id, .record = t};
            memcpy(list[count++].name, copy.name, sizeof copy.name);
        } else if (state == AE_RECORD_LIVE) {
            drop_topic(broker, t);
        } else if (state != AE_RECORD_FREE) {
            ae_record_free(&topic->state); /* its objects go with the orphans */
        }
    }
    count = drop_doubles(broker, list, count);
    free(list);
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
        raise_next_id(broker, copy.client_id);
        kept++;
    }
    return kept;
}

/* A publisher's topic and a reliable subscriber's record belong to one grant, and an id to one of all. */
static bool grant_taken(const struct ae_broker *broker, uint32_t before, const ae_registry_grant *grant) {
    ae_registry_grant other;

    for (uint32_t g = 0; g < before; g++) {
        if (ae_registry_read_grant(&broker->registry, g, &other) == 0)
            continue;
        if (other.grant_id == grant->grant_id)
            return true;
        if (other.topic_id == grant->topic_id && other.role == grant->role && other.record == grant->record &&
            grant->role != AE_ROLE_BEST_EFFORT)
            return true;
    }
    return false;
}

static bool grant_valid(const struct ae_broker *broker, const ae_registry_grant *grant) {
    bool topic = false, client = false;

    for (uint32_t t = 0; t < broker->registry.topics_max && !topic; t++)
        topic = ae_record_state(&broker->registry.topics[t].state) == AE_RECORD_LIVE &&
                broker->registry.topics[t].topic_id == grant->topic_id;
    for (uint32_t i = 0; i < broker->registry.clients_max && !client; i++)
        client = ae_record_state(&broker->registry.clients[i].state) == AE_RECORD_LIVE &&
                 broker->registry.clients[i].client_id == grant->client_id;
    return topic && client;
}

static void adopt_grants(struct ae_broker *broker) {
    ae_registry_grant copy;

    for (uint32_t g = 0; g < broker->registry.grants_max; g++) {
        ae_registry_grant *grant = &broker->registry.grants[g];
        if (ae_record_state(&grant->state) == AE_RECORD_FREE)
            continue;
        if (ae_registry_read_grant(&broker->registry, g, &copy) == 0 || grant_taken(broker, g, &copy)) {
            ae_record_free(&grant->state);
            continue;
        }
        if (!grant_valid(broker, &copy)) {
            (void)ae_broker_free_grant(broker, g,
                                       true); /* nobody speaks for it any more: it must not hold publishers back */
            continue;
        }
        raise_next_id(broker, copy.grant_id);
    }
}

/* The names of all objects that a live record accounts for, sorted. */
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
    names->list = calloc(1 + 2 * (size_t)registry->topics_max + registry->clients_max, sizeof *names->list);
    if (names->list == NULL)
        return -ENOMEM;
    ae_name_registry(&broker->instance, names->list[names->count++]);
    for (uint32_t t = 0; t < registry->topics_max; t++) {
        if (ae_record_state(&registry->topics[t].state) != AE_RECORD_LIVE)
            continue;
        ae_name_log(&broker->instance, registry->topics[t].topic_id, names->list[names->count++]);
        ae_name_cursors(&broker->instance, registry->topics[t].topic_id, names->list[names->count++]);
    }
    for (uint32_t i = 0; i < registry->clients_max; i++) {
        if (ae_record_state(&registry->clients[i].state) == AE_RECORD_LIVE)
            ae_name_token(&broker->instance, registry->clients[i].client_id, names->list[names->count++]);
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

int ae_broker_adopt(struct ae_broker *broker) {
    struct ae_registry *registry = &broker->registry;
    uint32_t clients, alive = 0;

    if (registry->topics_max != broker->limits.topics || registry->clients_max != broker->limits.clients ||
        registry->grants_max != broker->limits.grants)
        ae_log_line(AE_LOG_WARNING,
                    "the registry that was found keeps its limits until a clean stop: %" PRIu32 " topics, %" PRIu32
                    " clients, %" PRIu32 " grants",
                    registry->topics_max, registry->clients_max, registry->grants_max);
    registry->header->daemon_pid = (uint32_t)getpid();
    registry->header->started_ns = ae_realtime_ns();
    const int64_t topics = adopt_topics(broker);
    if (topics < 0)
        return (int)topics;
    clients = adopt_clients(broker);
    adopt_grants(broker);
    for (uint32_t i = 0; i < registry->clients_max; i++)
        alive += !ae_broker_look(broker, i);
    remove_orphans(broker);
    if (topics + clients != 0)
        ae_log_line(AE_LOG_INFO, "adopted %" PRId64 " topics and %" PRIu32 " living clients of %" PRIu32, topics, alive,
                    clients);
    return 0;
}

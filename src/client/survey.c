/* SPDX-License-Identifier: Apache-2.0 */
#include "client/survey.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include "ring/claim.h"
#include "ring/figures.h"
#include "ring/geometry.h"
#include "shm/token.h"
#include <aether/error.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

/* ---- the registry ------------------------------------------------------------------------------------------------ */

int ae_survey_open(struct ae_survey *survey, const char *socket_path, uint64_t patience_ns) {
    memset(survey, 0, sizeof *survey);
    const int rc = ae_source_init(&survey->source, socket_path, patience_ns);
    return rc == 0 ? ae_source_registry(&survey->source, &survey->registry) : rc;
}

void ae_survey_close(struct ae_survey *survey) {
    ae_registry_close(&survey->registry);
    ae_source_close(&survey->source);
    free(survey->grants);
    free(survey->clients);
}

int ae_survey_follow(struct ae_survey *survey) {
    struct ae_registry other;

    const int rc = ae_source_follow(&survey->source, &survey->registry, &other);
    if (rc != 1)
        return rc;
    ae_registry_close(&survey->registry);
    survey->registry = other;
    return 1;
}

static int by_topic(const void *a, const void *b) {
    const struct ae_survey_grant *x = a, *y = b;

    if (x->topic_id != y->topic_id)
        return x->topic_id < y->topic_id ? -1 : 1;
    return x->grant_id < y->grant_id ? -1 : x->grant_id > y->grant_id;
}

static int by_client(const void *a, const void *b) {
    const struct ae_survey_client *x = a, *y = b;

    return x->client_id < y->client_id ? -1 : x->client_id > y->client_id;
}

/* Returns the list with room for one more entry of `size` bytes; NULL: out of memory, and the list is as it was. */
static void *grow(void *list, size_t count, size_t *room, size_t size) {
    if (count < *room)
        return list;
    const size_t more = *room > 0 ? *room * 2 : 64;
    void *new = realloc(list, more * size);
    if (new != NULL)
        *room = more;
    return new;
}

static int read_clients(struct ae_survey *survey) {
    ae_registry_client copy;
    size_t count = 0;

    for (uint32_t i = 0; i < survey->registry.clients_max; i++) {
        if (ae_registry_read_client(&survey->registry, i, &copy) != 1)
            continue;
        struct ae_survey_client *clients = grow(survey->clients, count, &survey->client_room, sizeof *clients);
        if (clients == NULL)
            return ae_fail(-ENOMEM, "out of memory for a copy of the clients");
        survey->clients = clients;
        clients[count] = (struct ae_survey_client){.client_id = copy.client_id,
                                                   .created_ns = copy.created_ns,
                                                   .created_mono_ns = copy.created_mono_ns,
                                                   .pid = copy.pid,
                                                   .uid = copy.uid};
        memcpy(clients[count].name, copy.name, sizeof copy.name);
        count++;
    }
    if (count > 0)
        qsort(survey->clients, count, sizeof *survey->clients, by_client);
    survey->client_count = count;
    return 0;
}

static int read_grants(struct ae_survey *survey) {
    ae_registry_grant copy;
    size_t count = 0;

    for (uint32_t i = 0; i < survey->registry.grants_max; i++) {
        if (ae_registry_read_grant(&survey->registry, i, &copy) != 1)
            continue;
        struct ae_survey_grant *grants = grow(survey->grants, count, &survey->grant_room, sizeof *grants);
        if (grants == NULL)
            return ae_fail(-ENOMEM, "out of memory for a copy of the grants");
        survey->grants = grants;
        grants[count++] = (struct ae_survey_grant){.topic_id = copy.topic_id,
                                                   .grant_id = copy.grant_id,
                                                   .client_id = copy.client_id,
                                                   .role = copy.role,
                                                   .record = copy.record,
                                                   .index = i};
        struct ae_survey_client *client = ae_survey_client(survey, copy.client_id);
        if (client != NULL && copy.role == AE_ROLE_PUBLISHER)
            client->publishers++;
        else if (client != NULL)
            client->subscribers++;
    }
    if (count > 0)
        qsort(survey->grants, count, sizeof *survey->grants, by_topic);
    survey->grant_count = count;
    return 0;
}

int ae_survey_read(struct ae_survey *survey) {
    survey->client_count = survey->grant_count = 0;
    int rc = read_clients(survey);
    if (rc == 0)
        rc = read_grants(survey);
    return rc;
}

const struct ae_survey_grant *ae_survey_grants(const struct ae_survey *survey, uint64_t topic_id, size_t *count) {
    size_t low = 0, high = survey->grant_count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (survey->grants[middle].topic_id < topic_id)
            low = middle + 1;
        else
            high = middle;
    }
    for (high = low; high < survey->grant_count && survey->grants[high].topic_id == topic_id;)
        high++;
    *count = high - low;
    return *count > 0 ? survey->grants + low : NULL;
}

struct ae_survey_client *ae_survey_client(const struct ae_survey *survey, uint64_t client_id) {
    const struct ae_survey_client key = {.client_id = client_id};

    return survey->client_count == 0
               ? NULL
               : bsearch(&key, survey->clients, survey->client_count, sizeof *survey->clients, by_client);
}

/*
 * Reads the state and the start of a process from a file like /proc/PID/stat. The path is relative to dir. The start is
 * in CLOCK_MONOTONIC and some 10 ms exact; too early by the time for which the machine has slept since. False: the file
 * can't be read.
 */
static bool read_stat(int dir, const char *path, char *state, uint64_t *start_ns) {
    const long ticks = sysconf(_SC_CLK_TCK);
    struct timespec up;
    unsigned long long start;
    char text[1024], found;
    ssize_t len = -1;
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0)
        len = read(fd, text, sizeof text - 1);
    ae_close(&fd);
    if (len <= 0)
        return false;
    text[len] = '\0';
    /* The second field is the program's name in parentheses, which may hold any character. */
    const char *end = strrchr(text, ')');
    if (end == NULL || ticks <= 0 ||
        /* NOLINTNEXTLINE: the kernel's own numbers */
        sscanf(end + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &found,
               &start) != 2 ||
        !((found >= 'A' && found <= 'Z') || (found >= 'a' && found <= 'z')))
        return false;
    clock_gettime(CLOCK_BOOTTIME, &up);
    *state = found;
    *start_ns =
        ae_now_ns() - ((uint64_t)up.tv_sec * NS_PER_S + (uint64_t)up.tv_nsec) + start * (NS_PER_S / (uint64_t)ticks);
    return true;
}

char ae_survey_process(const struct ae_survey *survey, struct ae_survey_client *client) {
    char path[32], name[AE_OBJECT_NAME_SIZE], state = '?';
    uint64_t start_ns = 0;

    if (client->process != '\0')
        return client->process;
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/stat", client->pid);
    if (client->pid == 0 || survey->source.other_pids) {
        state = '?';
    } else if (!read_stat(AT_FDCWD, path, &state, &start_ns) ||
               (int64_t)(start_ns - client->created_mono_ns) > (int64_t)NS_PER_S) {
        /* Not found, or younger than the client: it is dead, or lives where its pid is another one. Its token knows. */
        ae_name_token(&survey->source.instance, client->client_id, name);
        state = !survey->source.by_request && ae_token_free(name, survey->source.instance.uid) == 1 ? 'X' : '?';
    }
    client->process = state;
    return state;
}

char ae_survey_daemon_process(const struct ae_survey *survey) {
    char path[32], state = '?';
    uint64_t start_ns;

    /*
     * The open directory belongs to one process: if that ends, nothing of a later one with its pid is read through
     * it.
     */
    snprintf(path, sizeof path, "/proc/%" PRIu32, survey->registry.header->daemon_pid);
    int process = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (process >= 0 && !survey->source.other_pids && ae_instance_held_by(&survey->source.instance, process))
        (void)read_stat(process, "stat", &state, &start_ns);
    ae_close(&process);
    return state;
}

int ae_survey_topic(const struct ae_survey *survey, uint32_t i, ae_registry_topic *topic) {
    return ae_registry_read_topic(&survey->registry, i, topic) == 1 && ae_shape_of(topic->shape.v) != AE_SHAPE_OPEN &&
           ae_geometry_check(&topic->geometry) == 0;
}

int ae_survey_waiting(const struct ae_survey *survey, uint32_t i, ae_registry_topic *topic) {
    return ae_registry_read_topic(&survey->registry, i, topic) == 1 && ae_shape_of(topic->shape.v) == AE_SHAPE_OPEN;
}

uint64_t ae_survey_memory(struct ae_survey *survey, const ae_registry_topic *topic) {
    const ae_geometry *geometry = &topic->geometry;
    uint64_t log_bytes = geometry->lanes_off;

    /* All is allocated when the topic is created, except lanes. */
    if (geometry->lane_bytes != 0)
        (void)ae_source_allocated(&survey->source, AE_LOOK_LOG, topic->topic_id, geometry->log_bytes, &log_bytes);
    return log_bytes + geometry->cursors_bytes + AE_NOTES_BYTES;
}

void ae_survey_daemon(struct ae_survey *survey, aether_daemon_info *info) {
    const struct ae_registry *registry = &survey->registry;

    memset(info, 0, sizeof *info);
    info->running = ae_source_running(&survey->source);
    info->pid = registry->header->daemon_pid;
    info->started_ns = registry->header->started_ns;
    const uint64_t now = ae_now_ns(), started = registry->header->started_mono_ns;
    info->uptime_ns = info->running && now > started ? now - started : 0;
    info->topics_max = registry->topics_max;
    info->clients_max = registry->clients_max;
    for (uint32_t i = 0; i < registry->topics_max; i++) {
        ae_registry_topic topic;
        if (!ae_survey_topic(survey, i, &topic)) {
            info->topics_waiting += ae_survey_waiting(survey, i, &topic) == 1;
            continue;
        }
        info->topics++;
        info->memory_bytes += ae_survey_memory(survey, &topic);
    }
    for (uint32_t i = 0; i < registry->clients_max; i++) {
        ae_registry_client client;
        info->clients += ae_registry_read_client(registry, i, &client) == 1;
    }
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

uint64_t ae_survey_next_seq(const ae_log *log, const ae_geometry *geometry) {
    if (log == NULL)
        return geometry->start_seq;
    const uint64_t seq = ae_claim_reach(log, ae_load_relaxed(&log->claim.position));
    return (int64_t)(seq - geometry->start_seq) > 0 ? seq : geometry->start_seq;
}

bool ae_survey_is_active(const ae_cursors *cursors, uint32_t record) {
    return cursors != NULL && (ae_load_acquire(&cursors->active.active) >> record & 1) != 0;
}

static aether_publishers publishers_of(uint32_t stated) {
    return stated <= AETHER_PUBLISHERS_UNBIASED ? (aether_publishers)stated : AETHER_PUBLISHERS_ANY;
}

static aether_latency_mode latency_of(uint32_t stated) {
    return stated <= AETHER_LATENCY_ALL ? (aether_latency_mode)stated : AETHER_LATENCY_ANY;
}

static aether_preset preset_of(uint32_t stated) {
    return stated <= AETHER_PRESET_THROUGHPUT ? (aether_preset)stated : AETHER_PRESET_ANY;
}

aether_stated ae_survey_wish(const ae_wish *wish) {
    aether_stated stated;

    memset(&stated, 0, sizeof stated);
    stated.max_message = wish->max_message;
    stated.inline_max = wish->inline_max;
    stated.capacity = wish->capacity;
    stated.lane_bytes = wish->lane_bytes;
    stated.evict_lag = wish->evict_lag;
    stated.start_seq = wish->start_seq;
    stated.preset = preset_of(wish->preset);
    stated.publishers = publishers_of(wish->publishers);
    stated.slow = wish->slow <= AETHER_SLOW_EVICT ? (aether_slow)wish->slow : AETHER_SLOW_ANY;
    stated.latency = latency_of(wish->latency);
    stated.type_version = wish->type_version;
    stated.type_size = wish->type_size;
    memcpy(stated.type_name, wish->type_name, sizeof stated.type_name);
    stated.type_name[sizeof stated.type_name - 1] = '\0';
    return stated;
}

/* The values of a topic's shape that `bits` names, AE_STATED_*. */
static void fill_values(const ae_registry_topic *topic, const aether_topic_info *info, uint32_t bits,
                        aether_stated *values) {
    const ae_geometry *geometry = &topic->geometry;

    values->max_message = (bits & AE_STATED_MAX_MESSAGE) != 0 ? geometry->max_message : 0;
    values->inline_max = (bits & AE_STATED_INLINE_MAX) != 0 ? ae_inline_max(geometry) : 0;
    values->capacity = (bits & AE_STATED_CAPACITY) != 0 ? geometry->capacity : 0;
    values->lane_bytes = (bits & AE_STATED_LANE_BYTES) != 0 ? geometry->lane_bytes : 0;
    values->evict_lag = (bits & AE_STATED_EVICT_LAG) != 0 ? geometry->evict_lag : 0;
    values->start_seq = (bits & AE_STATED_START_SEQ) != 0 ? geometry->start_seq : 0;
    values->publishers = (bits & AE_STATED_PUBLISHERS) != 0 ? info->admits : AETHER_PUBLISHERS_ANY;
    values->latency = (bits & AE_STATED_LATENCY) != 0 ? info->latency : AETHER_LATENCY_ANY;
    if ((bits & AE_STATED_SLOW) != 0)
        values->slow = geometry->evict_lag != 0 ? AETHER_SLOW_EVICT : AETHER_SLOW_WAIT;
}

/* Fills in who has stated what binds all others. */
static void fill_stated(const ae_registry_topic *topic, aether_topic_info *info) {
    const uint32_t asked = ae_shape_of(topic->shape.v) == AE_SHAPE_FIXED ? topic->asked : 0;
    aether_stated *stated = &info->stated;

    fill_values(topic, info, topic->stated & ~asked, stated);
    stated->preset = (topic->stated & AE_STATED_PRESET) != 0 ? preset_of(topic->preset) : AETHER_PRESET_ANY;
    if (asked != 0) {
        fill_values(topic, info, (asked & AE_STATED_PRESET) != 0 ? asked | AE_STATED_CAPACITY : asked, &info->asked);
        memcpy(info->asked_by, topic->asker, sizeof info->asked_by);
        info->asked_pid = topic->asker_pid;
    }
    if (topic->type_name[0] != '\0') {
        memcpy(stated->type_name, topic->type_name, sizeof stated->type_name);
        stated->type_version = topic->type_version;
        stated->type_size = topic->type_size;
        memcpy(info->typed_by, topic->type_maker, sizeof info->typed_by);
        info->typed_pid = topic->type_pid;
    }
    info->shaped = ae_survey_has_log(topic);
    if (info->shaped) {
        memcpy(info->shaped_by, topic->maker, sizeof info->shaped_by);
        info->shaped_pid = topic->maker_pid;
    }
    if (topic->created != 0) {
        memcpy(info->created_by, topic->creator, sizeof info->created_by);
        info->created_by[sizeof info->created_by - 1] = '\0';
        info->created_pid = topic->creator_pid;
    }
}

/* Fills in what the registry's record states. */
static void fill_record(const ae_registry_topic *topic, aether_topic_info *info) {
    const ae_geometry *geometry = &topic->geometry;

    memset(info, 0, sizeof *info);
    info->id = topic->topic_id;
    memcpy(info->name, topic->name, sizeof info->name);
    info->created_ns = topic->created_ns;
    info->created_mono_ns = topic->created_mono_ns;
    info->start_seq = geometry->start_seq;
    info->capacity = geometry->capacity;
    info->slot_size = geometry->slot_size;
    info->max_message = geometry->max_message;
    info->inline_max = (uint32_t)ae_inline_max(geometry);
    info->lane_bytes = geometry->lane_bytes;
    info->evict_lag = geometry->evict_lag;
    info->admits = (aether_publishers)ae_geometry_stated(geometry->publishers);
    info->latency = (aether_latency_mode)ae_geometry_stated(geometry->latency);
    memcpy(info->type_name, topic->type_name, sizeof info->type_name);
    info->type_version = topic->type_version;
    info->type_size = topic->type_size;
    fill_stated(topic, info);
}

void ae_survey_fill(const ae_registry_topic *topic, const ae_log *log, const ae_cursors *cursors,
                    const struct ae_survey_grant *grants, size_t count, aether_topic_info *info) {
    const ae_geometry *geometry = &topic->geometry;
    uint64_t slowest = UINT64_MAX;

    fill_record(topic, info);
    if (log != NULL)
        info->joins = ae_load_relaxed(&log->stream.joins);
    for (size_t i = 0; i < count; i++) {
        const uint32_t record = grants[i].record;
        if (grants[i].role == AE_ROLE_PUBLISHER) {
            info->publishers++;
        } else if (grants[i].role == AE_ROLE_RELIABLE) {
            const bool evicted = ae_figures_is_evicted(log, geometry, record);
            const bool active = ae_survey_is_active(cursors, record);
            info->reliable += cursors == NULL || active || evicted;
            if (active && !evicted) {
                const uint64_t cursor = ae_load_acquire(&cursors->records[record].cursor);
                slowest = cursor < slowest ? cursor : slowest;
            }
        } else {
            info->best_effort++;
        }
    }
    /* Loaded last, so that it isn't behind the cursors. */
    info->next_seq = ae_survey_next_seq(log, geometry);
    info->messages = info->next_seq - info->start_seq;
    if (slowest < info->next_seq) {
        const uint64_t lag = info->next_seq - slowest;
        info->max_lag = lag < geometry->capacity ? lag : geometry->capacity;
    }
}

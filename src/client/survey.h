/* SPDX-License-Identifier: Apache-2.0 */
/*
 * survey.h - what the registry says about an instance, and the figures in topics' objects that the inspector and the
 * reader of metrics share.
 *
 * Nothing in a topic's objects is trusted: geometry comes from the registry, and each figure is loaded once and limited
 * to the possible range. A survey is used by one thread at a time. Functions with errors return -errno codes and set
 * aether_errmsg(). Nothing blocks, apart from what source.h says.
 */
#ifndef AE_CLIENT_SURVEY_H
#define AE_CLIENT_SURVEY_H

#include "client/source.h"
#include "shm/registry.h"
#include <aether/inspect.h>
#include <stdbool.h>

struct ae_survey_grant {
    uint64_t topic_id, grant_id, client_id;
    uint32_t role, record;
    uint32_t index; /* of its record in the registry */
};

struct ae_survey_client {
    uint64_t client_id;
    uint64_t created_ns, created_mono_ns; /* CLOCK_REALTIME and CLOCK_MONOTONIC */
    uint32_t pid, uid;
    uint32_t publishers, subscribers; /* open */
    char process;                     /* ae_survey_process(); '\0': not read yet */
    char name[64];                    /* NUL-terminated */
};

struct ae_survey {
    struct ae_object_source source;
    struct ae_registry registry;
    struct ae_survey_grant *grants; /* live grants of the last reading, sorted by topic, then by grant */
    size_t grant_count, grant_room;
    struct ae_survey_client *clients; /* clients of the last reading, sorted by id */
    size_t client_count, client_room;
};

/*
 * Maps the registry; socket_path and errors as in aether_inspect_open(), patience_ns as in ae_source_init(). The survey
 * owns the mapping until its close.
 */
int ae_survey_open(struct ae_survey *survey, const char *socket_path, uint64_t patience_ns);
void ae_survey_close(struct ae_survey *survey);

/*
 * If another aetherd has created a new registry, maps that one and returns 1; else 0. Errors are about the new
 * registry; then the old one stays mapped.
 */
int ae_survey_follow(struct ae_survey *survey);

/* Copies clients and grants, so that nothing searches the registry for each topic. -ENOMEM: both lists are empty. */
int ae_survey_read(struct ae_survey *survey);

/* Returns the topic's first grant, and their number in *count. Valid until the next reading. */
const struct ae_survey_grant *ae_survey_grants(const struct ae_survey *survey, uint64_t topic_id, size_t *count);

/* NULL: there is none. Valid until the next reading. */
struct ae_survey_client *ae_survey_client(const struct ae_survey *survey, uint64_t client_id);

/*
 * The state of the client's process: the third field of /proc/PID/stat; X if it has ended and aetherd hasn't freed the
 * client yet, also if its pid is another process's by now; '?' if it can't be seen but lives. It is read once after
 * each reading of the clients.
 */
char ae_survey_process(const struct ae_survey *survey, struct ae_survey_client *client);

/*
 * Copies record i of the registry's topics. Returns 1 if it is live and valid, also its geometry. One for which
 * subscribers wait is no topic.
 */
int ae_survey_topic(const struct ae_survey *survey, uint32_t i, ae_registry_topic *topic);

/* The same for a topic for which subscribers wait: of its geometry there is only start_seq. */
int ae_survey_waiting(const struct ae_survey *survey, uint32_t i, ae_registry_topic *topic);

/*
 * May the log be mapped? Not before the topic's first publisher: until then its slots may go and come back, and a load
 * from one that has gone raises SIGBUS. Without a log a topic has the figures that it has then: it has no message.
 */
static inline bool ae_survey_has_log(const ae_registry_topic *topic) {
    return ae_shape_of(topic->shape.v) == AE_SHAPE_FIXED;
}

/* The topic's shared memory that is allocated now, in bytes. */
uint64_t ae_survey_memory(struct ae_survey *survey, const ae_registry_topic *topic);

/*
 * The state of aetherd's process, as above; '?' if it doesn't run, is in another pid namespace or is another user's.
 */
char ae_survey_daemon_process(const struct ae_survey *survey);

/* Fills in *info. */
void ae_survey_daemon(struct ae_survey *survey, aether_daemon_info *info);

/*
 * Fills in *info, all but memory_bytes and full. log and cursors are those of the topic, mapped at least up to the
 * slots; NULL: the object can't be opened, and what it would say is 0.
 */
void ae_survey_fill(const ae_registry_topic *topic, const ae_log *log, const ae_cursors *cursors,
                    const struct ae_survey_grant *grants, size_t count, aether_topic_info *info);

/* What a subscriber states about its topic. */
aether_stated ae_survey_wish(const ae_wish *wish);

/* The topic's next sequence. If log is NULL or the claim makes no sense: the topic's first sequence. */
uint64_t ae_survey_next_seq(const ae_log *log, const ae_geometry *geometry);

/* Does the subscriber with this cursor record hold publishers back, apart from evictions? */
bool ae_survey_is_active(const ae_cursors *cursors, uint32_t record);

#endif

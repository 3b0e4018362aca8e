/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h - finds records of the registry without going through all of them: by id or name, the lowest free record, and
 * the grants of a topic or a client. Each step takes the same time however many topics, clients and grants there are.
 *
 * It is in aetherd's private memory. An aetherd that adopts a registry builds it anew. It has every live record, and
 * beside that a grant without a client, until that can be freed. Here topics, clients and grants are identified by the
 * index of their record.
 */
#ifndef AE_BROKER_INDEX_H
#define AE_BROKER_INDEX_H

#include "broker/slots.h"
#include "shm/registry.h"

#define AE_NO_TOPIC UINT32_MAX
#define AE_NO_CLIENT UINT32_MAX
#define AE_NO_GRANT UINT32_MAX

/* Records by a hash. Each record is in the table once at most. */
struct ae_table {
    uint32_t *buckets, *next; /* a record's index + 1; 0: none */
    uint64_t *hashes;         /* of each record, kept: a record is removed from where it was added */
    unsigned shift;           /* 64 - log2 of the number of buckets */
};

/* The lists that a grant can be in. */
enum ae_grants_by { AE_BY_TOPIC, AE_BY_CLIENT, AE_CLOSED, AE_GRANT_LISTS };

/* Grants, the oldest first. Index + 1; 0: none. */
struct ae_grant_list {
    uint32_t first, last;
};

/* What a topic grants in one role. */
struct ae_holders {
    struct ae_grant_list list;
    uint32_t count;
    uint64_t records; /* a bit for each record of publishers or reliable subscribers */
};

/* A grant. Its values are copies: so the lists stay whole even if another process damages the registry. */
struct ae_holding {
    uint32_t topic, client; /* or AE_NO_CLIENT */
    uint32_t role, record, stats;
    bool closed; /* its client has closed it, but it could not be freed yet */
    struct {
        uint32_t next, previous;
    } links[AE_GRANT_LISTS];
};

struct ae_index {
    const struct ae_registry *registry;
    struct ae_slots topics, clients, grants;
    struct ae_table topics_by_id, topics_by_name, clients_by_id, grants_by_id;
    struct ae_holders (*holders)[AE_ROLE_BEST_EFFORT]; /* for each topic; [role - 1] */
    struct ae_grant_list *grants_of;                   /* for each client */
    uint64_t *newest;                                  /* for each client: no grant of it has a higher id */
    struct ae_slots *stats;                            /* for each client: records of its statistics */
    uint64_t *listed;                                  /* for each client: see ae_index_holders() */
    uint32_t *list;
    uint64_t lists;
    struct ae_holding *holdings; /* for each grant */
    struct ae_grant_list closed;
};

/* An empty index of a mapped registry, which must outlive it. 0, or -ENOMEM with a text. */
int ae_index_open(struct ae_index *index, const struct ae_registry *registry);
void ae_index_close(struct ae_index *index);

/* Call them after a record has become live, with all values set, and before they change or it is freed. */
void ae_index_add_topic(struct ae_index *index, uint32_t topic);
void ae_index_remove_topic(struct ae_index *index, uint32_t topic);
void ae_index_add_client(struct ae_index *index, uint32_t client);
void ae_index_remove_client(struct ae_index *index, uint32_t client);

/*
 * The grant's values are valid, and its topic is in the index. If its client is, too, there must be room for its record
 * in ae_index.stats. Adding it never fails.
 */
void ae_index_add_grant(struct ae_index *index, uint32_t grant);
void ae_index_remove_grant(struct ae_index *index, uint32_t grant);

/* The lowest free record, or AE_NO_*. */
uint32_t ae_index_free_topic(const struct ae_index *index);
uint32_t ae_index_free_client(const struct ae_index *index);
uint32_t ae_index_free_grant(const struct ae_index *index);

/* The record, or AE_NO_*. */
uint32_t ae_index_topic(const struct ae_index *index, uint64_t topic_id);
uint32_t ae_index_topic_named(const struct ae_index *index, const char *name);
uint32_t ae_index_client(const struct ae_index *index, uint64_t client_id);
uint32_t ae_index_grant(const struct ae_index *index, uint64_t grant_id);

const struct ae_holders *ae_index_holders(const struct ae_index *index, uint32_t topic, uint32_t role);

/*
 * Walk a list. Take the next grant before the present one is removed: only others of the same list must stay meanwhile.
 */
uint32_t ae_index_first(const struct ae_grant_list *list);
uint32_t ae_index_next(const struct ae_index *index, enum ae_grants_by by, uint32_t grant);

/*
 * The clients that have the topic open in this role (0: in any role), each once. The list is valid until the next call.
 * Returns their number.
 */
uint32_t ae_index_clients_of(struct ae_index *index, uint32_t topic, uint32_t role, const uint32_t **clients);

/* Puts a grant of a client that has a record last in the list of that client's. */
void ae_index_put_last(struct ae_index *index, uint32_t grant);

/* Puts a grant into the list of closed ones, until it is removed. */
void ae_index_mark_closed(struct ae_index *index, uint32_t grant);

#endif

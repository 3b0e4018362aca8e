/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/index.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(AE_REGISTRY_TOPICS_LIMIT <= AE_SLOTS_MAX && AE_REGISTRY_CLIENTS_LIMIT <= AE_SLOTS_MAX &&
                   AE_REGISTRY_GRANTS_LIMIT <= AE_SLOTS_MAX,
               "slots for all records");
_Static_assert(AE_ROLE_PUBLISHER == 1 && AE_ROLE_RELIABLE == 2 && AE_ROLE_BEST_EFFORT == 3, "roles are counted");

/* ---- tables ---- */

static bool table_open(struct ae_table *table, uint32_t size) {
    unsigned bits = 1;

    while (1ull << bits < size)
        bits++;
    table->shift = 64 - bits;
    table->buckets = calloc(1ull << bits, sizeof *table->buckets);
    table->next = calloc(size, sizeof *table->next);
    table->hashes = calloc(size, sizeof *table->hashes);
    return table->buckets != NULL && table->next != NULL && table->hashes != NULL;
}

static void table_close(struct ae_table *table) {
    free(table->buckets);
    free(table->next);
    free(table->hashes);
}

static uint32_t *bucket(const struct ae_table *table, uint64_t hash) {
    return &table->buckets[hash * 0x9e3779b97f4a7c15ull >> table->shift]; /* ids are consecutive: this spreads them */
}

static void table_add(struct ae_table *table, uint64_t hash, uint32_t record) {
    uint32_t *head = bucket(table, hash);

    table->hashes[record] = hash;
    table->next[record] = *head;
    *head = record + 1;
}

static void table_remove(struct ae_table *table, uint32_t record) {
    uint32_t *link = bucket(table, table->hashes[record]);

    while (*link != 0 && *link != record + 1)
        link = &table->next[*link - 1];
    if (*link != 0)
        *link = table->next[record];
}

/* FNV-1a. */
static uint64_t hash_of_name(const char *name) {
    uint64_t hash = 0xcbf29ce484222325ull;

    for (size_t i = 0; i <= AE_TOPIC_NAME_MAX && name[i] != '\0'; i++)
        hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3ull;
    return hash;
}

/* ---- lists ---- */

static void list_append(struct ae_index *index, enum ae_grants_by by, struct ae_grant_list *list, uint32_t grant) {
    struct ae_holding *holdings = index->holdings;

    holdings[grant].links[by].next = 0;
    holdings[grant].links[by].previous = list->last;
    *(list->last != 0 ? &holdings[list->last - 1].links[by].next : &list->first) = grant + 1;
    list->last = grant + 1;
}

static void list_remove(struct ae_index *index, enum ae_grants_by by, struct ae_grant_list *list, uint32_t grant) {
    struct ae_holding *holdings = index->holdings;
    const uint32_t next = holdings[grant].links[by].next, previous = holdings[grant].links[by].previous;

    *(previous != 0 ? &holdings[previous - 1].links[by].next : &list->first) = next;
    *(next != 0 ? &holdings[next - 1].links[by].previous : &list->last) = previous;
}

uint32_t ae_index_first(const struct ae_grant_list *list) {
    return list->first - 1;
}

uint32_t ae_index_next(const struct ae_index *index, enum ae_grants_by by, uint32_t grant) {
    return index->holdings[grant].links[by].next - 1;
}

/* ---- the index ---- */

int ae_index_open(struct ae_index *index, const struct ae_registry *registry) {
    const uint32_t topics = registry->topics_max, clients = registry->clients_max, grants = registry->grants_max;

    *index = (struct ae_index){.registry = registry,
                               .holders = calloc(topics, sizeof *index->holders),
                               .grants_of = calloc(clients, sizeof *index->grants_of),
                               .newest = calloc(clients, sizeof *index->newest),
                               .stats = calloc(clients, sizeof *index->stats),
                               .listed = calloc(clients, sizeof *index->listed),
                               .list = calloc(clients, sizeof *index->list),
                               .holdings = calloc(grants, sizeof *index->holdings)};
    if (index->holders != NULL && index->grants_of != NULL && index->newest != NULL && index->stats != NULL &&
        index->listed != NULL && index->list != NULL && index->holdings != NULL &&
        table_open(&index->topics_by_id, topics) && table_open(&index->topics_by_name, topics) &&
        table_open(&index->clients_by_id, clients) && table_open(&index->grants_by_id, grants) &&
        ae_slots_reserve(&index->topics, topics) == 0 && ae_slots_reserve(&index->clients, clients) == 0 &&
        ae_slots_reserve(&index->grants, grants) == 0)
        return 0;
    ae_index_close(index);
    return ae_fail(-ENOMEM, "out of memory for an index of the registry");
}

void ae_index_close(struct ae_index *index) {
    for (uint32_t i = 0; index->stats != NULL && i < index->registry->clients_max; i++)
        ae_slots_close(&index->stats[i]);
    ae_slots_close(&index->topics);
    ae_slots_close(&index->clients);
    ae_slots_close(&index->grants);
    table_close(&index->topics_by_id);
    table_close(&index->topics_by_name);
    table_close(&index->clients_by_id);
    table_close(&index->grants_by_id);
    free(index->holders);
    free(index->grants_of);
    free(index->newest);
    free(index->stats);
    free(index->listed);
    free(index->list);
    free(index->holdings);
    *index = (struct ae_index){0};
}

/* ---- topics ---- */

void ae_index_add_topic(struct ae_index *index, uint32_t topic) {
    const ae_registry_topic *record = &index->registry->topics[topic];

    ae_slots_use(&index->topics, topic);
    table_add(&index->topics_by_id, record->topic_id, topic);
    table_add(&index->topics_by_name, hash_of_name(record->name), topic);
}

void ae_index_remove_topic(struct ae_index *index, uint32_t topic) {
    ae_slots_free(&index->topics, topic);
    table_remove(&index->topics_by_id, topic);
    table_remove(&index->topics_by_name, topic);
}

static uint32_t lowest(const struct ae_slots *slots, uint32_t size) {
    const uint32_t slot = ae_slots_lowest(slots);

    return slot < size ? slot : UINT32_MAX;
}

uint32_t ae_index_free_topic(const struct ae_index *index) {
    return lowest(&index->topics, index->registry->topics_max);
}

uint32_t ae_index_topic(const struct ae_index *index, uint64_t topic_id) {
    uint32_t t = *bucket(&index->topics_by_id, topic_id) - 1;

    while (t != AE_NO_TOPIC && index->registry->topics[t].topic_id != topic_id)
        t = index->topics_by_id.next[t] - 1;
    return t;
}

uint32_t ae_index_topic_named(const struct ae_index *index, const char *name) {
    uint32_t t = *bucket(&index->topics_by_name, hash_of_name(name)) - 1;

    while (t != AE_NO_TOPIC && strcmp(index->registry->topics[t].name, name) != 0)
        t = index->topics_by_name.next[t] - 1;
    return t;
}

const struct ae_holders *ae_index_holders(const struct ae_index *index, uint32_t topic, uint32_t role) {
    return &index->holders[topic][role - 1];
}

/* ---- clients ---- */

void ae_index_add_client(struct ae_index *index, uint32_t client) {
    ae_slots_use(&index->clients, client);
    index->newest[client] = 0;
    table_add(&index->clients_by_id, index->registry->clients[client].client_id, client);
}

void ae_index_remove_client(struct ae_index *index, uint32_t client) {
    ae_slots_free(&index->clients, client);
    ae_slots_close(&index->stats[client]);
    table_remove(&index->clients_by_id, client);
}

uint32_t ae_index_free_client(const struct ae_index *index) {
    return lowest(&index->clients, index->registry->clients_max);
}

uint32_t ae_index_client(const struct ae_index *index, uint64_t client_id) {
    uint32_t i = *bucket(&index->clients_by_id, client_id) - 1;

    while (i != AE_NO_CLIENT && index->registry->clients[i].client_id != client_id)
        i = index->clients_by_id.next[i] - 1;
    return i;
}

uint32_t ae_index_clients_of(struct ae_index *index, uint32_t topic, uint32_t role, const uint32_t **clients) {
    uint32_t count = 0;

    index->lists++;
    for (uint32_t r = role != 0 ? role : AE_ROLE_PUBLISHER; r <= (role != 0 ? role : AE_ROLE_BEST_EFFORT); r++) {
        const struct ae_holders *holders = ae_index_holders(index, topic, r);
        for (uint32_t g = ae_index_first(&holders->list); g != AE_NO_GRANT; g = ae_index_next(index, AE_BY_TOPIC, g)) {
            const uint32_t client = index->holdings[g].client;
            if (client == AE_NO_CLIENT || index->listed[client] == index->lists)
                continue;
            index->listed[client] = index->lists;
            index->list[count++] = client;
        }
    }
    *clients = index->list;
    return count;
}

/* ---- grants ---- */

void ae_index_add_grant(struct ae_index *index, uint32_t grant) {
    const ae_registry_grant *record = &index->registry->grants[grant];
    struct ae_holding *holding = &index->holdings[grant];

    *holding = (struct ae_holding){.topic = ae_index_topic(index, record->topic_id),
                                   .client = ae_index_client(index, record->client_id),
                                   .role = record->role,
                                   .record = record->record,
                                   .stats = record->stats};
    struct ae_holders *holders = &index->holders[holding->topic][holding->role - 1];
    ae_slots_use(&index->grants, grant);
    table_add(&index->grants_by_id, record->grant_id, grant);
    list_append(index, AE_BY_TOPIC, &holders->list, grant);
    holders->count++;
    holders->records |= 1ull << (holding->record & 63);
    if (holding->client == AE_NO_CLIENT)
        return;
    list_append(index, AE_BY_CLIENT, &index->grants_of[holding->client], grant);
    if (record->grant_id > index->newest[holding->client])
        index->newest[holding->client] = record->grant_id;
    ae_slots_use(&index->stats[holding->client], holding->stats);
}

void ae_index_remove_grant(struct ae_index *index, uint32_t grant) {
    const struct ae_holding *holding = &index->holdings[grant];
    struct ae_holders *holders = &index->holders[holding->topic][holding->role - 1];

    ae_slots_free(&index->grants, grant);
    table_remove(&index->grants_by_id, grant);
    list_remove(index, AE_BY_TOPIC, &holders->list, grant);
    holders->count--;
    holders->records &= ~(1ull << (holding->record & 63));
    if (holding->closed)
        list_remove(index, AE_CLOSED, &index->closed, grant);
    if (holding->client == AE_NO_CLIENT)
        return;
    list_remove(index, AE_BY_CLIENT, &index->grants_of[holding->client], grant);
    ae_slots_free(&index->stats[holding->client], holding->stats);
}

void ae_index_put_last(struct ae_index *index, uint32_t grant) {
    struct ae_grant_list *list = &index->grants_of[index->holdings[grant].client];

    list_remove(index, AE_BY_CLIENT, list, grant);
    list_append(index, AE_BY_CLIENT, list, grant);
}

void ae_index_mark_closed(struct ae_index *index, uint32_t grant) {
    index->holdings[grant].closed = true;
    list_append(index, AE_CLOSED, &index->closed, grant);
}

uint32_t ae_index_free_grant(const struct ae_index *index) {
    return lowest(&index->grants, index->registry->grants_max);
}

uint32_t ae_index_grant(const struct ae_index *index, uint64_t grant_id) {
    uint32_t g = *bucket(&index->grants_by_id, grant_id) - 1;

    while (g != AE_NO_GRANT && index->registry->grants[g].grant_id != grant_id)
        g = index->grants_by_id.next[g] - 1;
    return g;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/state.h"

uint64_t ae_state_new_id(struct ae_broker *broker) {
    ae_u64 *next = &broker->registry.header->next_id;
    const uint64_t id = ae_load_relaxed(next);

    ae_store_relaxed(next, id + 1); /* before the id is used anywhere, so that no successor gives it out again */
    return id;
}

void ae_state_skip_id(struct ae_broker *broker, uint64_t id) {
    ae_u64 *next = &broker->registry.header->next_id;

    if (id >= ae_load_relaxed(next) && id != UINT64_MAX)
        ae_store_relaxed(next, id + 1);
}

ae_registry_topic *ae_state_topic(const struct ae_broker *broker, uint64_t topic_id) {
    for (uint32_t t = 0; t < broker->registry.topics_max; t++) {
        ae_registry_topic *topic = &broker->registry.topics[t];
        if (ae_record_state(&topic->state) == AE_RECORD_LIVE && topic->topic_id == topic_id)
            return topic;
    }
    return NULL;
}

uint32_t ae_state_client(const struct ae_broker *broker, uint64_t client_id) {
    for (uint32_t i = 0; i < broker->registry.clients_max; i++) {
        const ae_registry_client *client = &broker->registry.clients[i];
        if (ae_record_state(&client->state) == AE_RECORD_LIVE && client->client_id == client_id)
            return i;
    }
    return AE_NO_CLIENT;
}

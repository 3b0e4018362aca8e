/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/state.h"
#include "base/socket.h"
#include <sys/eventfd.h>

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

void ae_state_lend_reserve(struct ae_broker *broker) {
    ae_close(&broker->reserve);
}

void ae_state_keep_reserve(struct ae_broker *broker) {
    if (broker->reserve < 0)
        broker->reserve = eventfd(0, EFD_CLOEXEC);
}

ae_registry_topic *ae_state_topic(const struct ae_broker *broker, uint64_t topic_id) {
    const uint32_t t = ae_index_topic(&broker->index, topic_id);

    return t != AE_NO_TOPIC ? &broker->registry.topics[t] : NULL;
}

ae_registry_topic *ae_state_topic_named(const struct ae_broker *broker, const char *name) {
    const uint32_t t = ae_index_topic_named(&broker->index, name);

    return t != AE_NO_TOPIC ? &broker->registry.topics[t] : NULL;
}

uint32_t ae_state_topic_index(const struct ae_broker *broker, const ae_registry_topic *topic) {
    return (uint32_t)(topic - broker->registry.topics);
}

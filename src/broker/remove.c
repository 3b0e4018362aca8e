/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/remove.h"
#include "broker/objects.h"
#include "broker/totals.h"
#include "service/log.h"

uint32_t ae_topic_users(const struct ae_broker *broker, uint32_t topic) {
    uint32_t users = 0;

    for (uint32_t role = AE_ROLE_PUBLISHER; role <= AE_ROLE_BEST_EFFORT; role++)
        users += ae_index_holders(&broker->index, topic, role)->count;
    return users;
}

void ae_topic_take_down(struct ae_broker *broker, uint32_t topic) {
    ae_registry_topic *record = &broker->registry.topics[topic];

    ae_record_remove(&record->state);
    ae_totals_remove_topic(broker, record);
    ae_objects_remove(broker, record->topic_id);
    ae_index_remove_topic(&broker->index, topic);
}

void ae_topic_remove(struct ae_broker *broker, uint32_t topic) {
    ae_topic_take_down(broker, topic);
    ae_record_free(&broker->registry.topics[topic].state);
    ae_registry_changed(&broker->registry);
}

void ae_topic_remove_if_left(struct ae_broker *broker, uint32_t topic) {
    const ae_registry_topic *record = &broker->registry.topics[topic];

    if (ae_record_state(&record->state) != AE_RECORD_LIVE || ae_shape_of(record->shape.v) != AE_SHAPE_OPEN ||
        ae_topic_users(broker, topic) != 0)
        return;
    ae_log_line(AE_LOG_INFO, "topic '%s': nobody waits for a publisher any more", record->name);
    ae_topic_remove(broker, topic);
}

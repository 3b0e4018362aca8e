/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/near.h"
#include "base/near.h"

const char *ae_topic_near(const struct ae_broker *broker, const char *name) {
    const struct ae_registry *registry = &broker->registry;
    struct ae_near near = ae_near(name);
    const char *nearest = NULL;

    for (uint32_t t = 0; t < registry->topics_max && near.best > 0; t++) {
        const ae_registry_topic *topic = &registry->topics[t];
        if (ae_record_state(&topic->state) == AE_RECORD_LIVE && ae_shape_of(topic->shape.v) != AE_SHAPE_OPEN &&
            ae_near_try(&near, topic->name))
            nearest = topic->name;
    }
    return nearest;
}

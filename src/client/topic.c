/* SPDX-License-Identifier: Apache-2.0 */
#include "client/topic.h"
#include "base/error.h"
#include "base/export.h"
#include "client/client.h"
#include <errno.h>
#include <string.h>

static int fill_type(struct ae_topic_request *wanted, const aether_topic_config *config) {
    const size_t len = config->type_name != NULL ? strlen(config->type_name) : 0;

    if (len > AE_TYPE_NAME_MAX)
        return ae_fail(-EINVAL, "type name of %zu bytes is too long: use at most %u", len, AE_TYPE_NAME_MAX);
    if (len == 0) {
        if (config->type_version != 0 || config->type_size != 0)
            return ae_fail(-EINVAL, "a type's version or size is given without its name");
        return 0;
    }
    memcpy(wanted->type_name, config->type_name, len + 1);
    wanted->type_version = config->type_version;
    wanted->type_size = config->type_size;
    return 0;
}

int ae_topic_fill(struct ae_topic_request *wanted, const char *topic, const aether_topic_config *config) {
    const size_t len = topic != NULL ? strlen(topic) : 0;

    if (len == 0)
        return ae_fail(-EINVAL, "topic name is empty: use 1 to %u bytes", AE_TOPIC_NAME_MAX);
    if (len > AE_TOPIC_NAME_MAX)
        return ae_fail(-EINVAL, "topic name of %zu bytes is too long: use 1 to %u", len, AE_TOPIC_NAME_MAX);
    memcpy(wanted->topic, topic, len + 1);
    if (config == NULL)
        return 0;
    if (config->open != AETHER_OPEN_ANY && config->open != AETHER_OPEN_EXISTING)
        return ae_fail(-EINVAL, "open %u is unknown: use 0 (any) or 1 (existing)", (unsigned)config->open);
    wanted->max_message = config->max_message;
    wanted->inline_max = config->inline_max;
    wanted->capacity = config->capacity;
    wanted->lane_bytes = config->lane_bytes;
    wanted->evict_lag = config->evict_lag;
    wanted->start_seq = config->start_seq;
    wanted->preset = (uint32_t)config->preset;
    wanted->publishers = (uint32_t)config->publishers;
    wanted->slow = (uint32_t)config->slow;
    wanted->latency = (uint32_t)config->latency;
    return fill_type(wanted, config);
}

AE_EXPORT int aether_topic_create(aether_client *client, const char *topic, const aether_topic_config *config) {
    struct ae_msg msg = {.type = AE_MSG_CREATE};
    const int rc = ae_topic_fill(&msg.u.create, topic, config);

    if (rc != 0)
        return rc;
    if (config != NULL && config->open != AETHER_OPEN_ANY)
        return ae_fail(-EINVAL, "topic '%s': `open` isn't for creating a topic: use 0", topic);
    return ae_client_ask(client, &msg);
}

AE_EXPORT int aether_topic_remove(aether_client *client, const char *topic) {
    struct ae_msg msg = {.type = AE_MSG_REMOVE};
    struct ae_topic_request name = {0};
    const int rc = ae_topic_fill(&name, topic, NULL);

    if (rc != 0)
        return rc;
    memcpy(msg.u.remove.topic, name.topic, sizeof name.topic);
    return ae_client_ask(client, &msg);
}

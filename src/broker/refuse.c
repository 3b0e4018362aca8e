/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/refuse.h"
#include "base/error.h"
#include "base/text.h"
#include "broker/near.h"
#include "broker/remove.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define USERS_SIZE 160
#define REMEDY_SIZE (USERS_SIZE + 160)
#define REMEDY_NAME_MAX 64 /* bytes: a longer name leaves no room for the rest of an error's text */

/* Names up to three users: "'a' (pid 12), 'b' (pid 14) and 2 more". */
static void users_text(const struct ae_broker *broker, uint32_t t, char text[USERS_SIZE]) {
    const uint32_t users = ae_topic_users(broker, t), named_max = users < 3 ? users : 3;
    uint32_t named = 0;
    size_t len = 0;

    for (uint32_t role = AE_ROLE_PUBLISHER; role <= AE_ROLE_BEST_EFFORT; role++) {
        const struct ae_holders *holders = ae_index_holders(&broker->index, t, role);
        for (uint32_t g = ae_index_first(&holders->list); g != AE_NO_GRANT && named < named_max;
             g = ae_index_next(&broker->index, AE_BY_TOPIC, g), named++) {
            const uint32_t i = broker->index.holdings[g].client;
            const ae_registry_client *client = i != AE_NO_CLIENT ? &broker->registry.clients[i] : NULL;
            const char *between = named == 0 ? "" : named + 1 == users ? " and " : ", ";
            len += (size_t)snprintf(text + len, USERS_SIZE - len, "%s'%.16s' (pid %" PRIu32 ")", between,
                                    client != NULL ? client->name : "?", client != NULL ? client->pid : 0);
        }
    }
    if (users > named)
        (void)snprintf(text + len, USERS_SIZE - len, " and %" PRIu32 " more", users - named);
}

static void remedy_text(const struct ae_broker *broker, const ae_registry_topic *topic, char text[REMEDY_SIZE]) {
    char name[REMEDY_NAME_MAX + 1] = "TOPIC", users[USERS_SIZE] = "";

    if (topic->name_len <= REMEDY_NAME_MAX)
        memcpy(name, topic->name, topic->name_len + 1);
    users_text(broker, ae_state_topic_index(broker, topic), users);
    if (users[0] != '\0')
        (void)snprintf(text, REMEDY_SIZE,
                       "open it as it is, or end its users, %s, and remove it: aether-cli topic rm %s", users, name);
    else
        (void)snprintf(text, REMEDY_SIZE, "open it as it is, or remove it first: aether-cli topic rm %s", name);
}

int ae_refuse_difference(const struct ae_broker *broker, const ae_registry_topic *topic,
                         const struct ae_statement *asks, uint32_t differs) {
    char remedy[REMEDY_SIZE];

    remedy_text(broker, topic, remedy);
    return ae_shape_refuse(topic, asks, differs, remedy);
}

int ae_refuse_removal(const struct ae_broker *broker, const ae_registry_topic *topic) {
    char users[USERS_SIZE] = "";

    users_text(broker, ae_state_topic_index(broker, topic), users);
    return ae_fail(-EBUSY, "topic '%s' is in use by %s: end them first", topic->name, users);
}

int ae_refuse_missing(const struct ae_broker *broker, const char *name, const ae_registry_topic *topic) {
    const uint32_t users = topic != NULL ? ae_topic_users(broker, ae_state_topic_index(broker, topic)) : 0;

    if (users == 0) {
        const char *near = ae_topic_near(broker, name);
        return near == NULL ? ae_fail(-ENOENT, "there is no topic '%s'", name)
                            : ae_fail(-ENOENT, "there is no topic '%s': did you mean '%s'?", name, near);
    }
    return ae_fail(-ENOENT, "there is no topic '%s'; %" PRIu32 " %s for it", name, users,
                   ae_plural(users, "subscriber waits", "subscribers wait"));
}

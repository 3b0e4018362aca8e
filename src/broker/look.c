/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/look.h"
#include "base/error.h"
#include "shm/segment.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

_Static_assert(AE_PREFIX_MAX + 1 == sizeof(((struct ae_instance *)0)->prefix), "the longest prefix");

/* 0, or -ENOENT with a text. */
static int set_name(const struct ae_broker *broker, uint32_t kind, uint64_t id, char name[AE_OBJECT_NAME_SIZE]) {
    switch (kind) {
    case AE_LOOK_LOG:
    case AE_LOOK_CURSORS:
        if (ae_state_topic(broker, id) == NULL)
            return ae_fail(-ENOENT, "there is no topic of id %" PRIu64, id);
        if (kind == AE_LOOK_LOG)
            ae_name_log(&broker->instance, id, name);
        else
            ae_name_cursors(&broker->instance, id, name);
        return 0;
    case AE_LOOK_STATS:
        if (ae_index_client(&broker->index, id) == AE_NO_CLIENT)
            return ae_fail(-ENOENT, "there is no client of id %" PRIu64, id);
        ae_name_stats(&broker->instance, id, name);
        return 0;
    case AE_LOOK_TOTALS:
        ae_name_totals(&broker->instance, name);
        return 0;
    default:
        ae_name_registry(&broker->instance, name);
        return 0;
    }
}

void ae_broker_look(const struct ae_broker *broker, const struct ae_msg *msg, struct ae_reply *reply) {
    const struct ae_instance *instance = &broker->instance;
    char name[AE_OBJECT_NAME_SIZE];
    uint64_t bytes = 0;
    int fd = set_name(broker, msg->u.look.kind, msg->u.look.id, name);

    if (fd == 0)
        fd = ae_segment_open(name, false, instance->uid, 0, &bytes);
    if (fd < 0) {
        ae_reply_error(reply, fd);
        return;
    }
    reply->msg.type = AE_MSG_OBJECT;
    reply->msg.u.object.pid = (uint32_t)getpid();
    reply->msg.u.object.uid = instance->uid;
    reply->msg.u.object.bytes = bytes;
    memcpy(reply->msg.u.object.prefix, instance->prefix, sizeof instance->prefix);
    memcpy(reply->msg.u.object.socket_path, instance->socket_path, strnlen(instance->socket_path, AE_SOCKET_PATH_MAX));
    reply->fds[reply->fd_count++] = fd;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/look.h"
#include "base/error.h"
#include "client/client.h"
#include <errno.h>
#include <string.h>

void ae_look_init(struct ae_control *control, const char *socket_path) {
    ae_control_init(control, socket_path, "");
    control->anonymous = true;
}

int ae_look(struct ae_control *control, uint32_t kind, uint64_t id, struct ae_look *look) {
    struct ae_msg msg = {.type = AE_MSG_LOOK, .u.look = {.kind = kind, .id = id}};
    struct ae_reply *reply = &control->reply;

    *look = (struct ae_look){.fd = -1};
    const int rc = ae_control_run(control, &msg, AE_MSG_OBJECT, AE_CONTROL_AGAIN);
    if (rc != 0 && control->refused) {
        look->refusal = rc;
        if (kind == AE_LOOK_INSTANCE && rc == -ENOENT)
            look->refusal =
                ae_fail(-EBADMSG, "the registry of aetherd at %s was removed from /dev/shm: restart aetherd",
                        control->socket_path);
        return AE_LOOK_REFUSED;
    }
    if (rc != 0)
        return rc;
    if (reply->fd_count != 1) {
        ae_reply_close(reply);
        ae_close(&control->sock);
        return ae_fail(-EPROTO, "what answers at %s isn't an aetherd of this release: it sent no object",
                       control->socket_path);
    }
    look->fd = reply->fds[0];
    reply->fd_count = 0;
    look->pid = reply->msg.u.object.pid;
    look->uid = look->instance.uid = reply->msg.u.object.uid;
    look->bytes = reply->msg.u.object.bytes;
    memcpy(look->instance.prefix, reply->msg.u.object.prefix, sizeof look->instance.prefix);
    memcpy(look->instance.socket_path, reply->msg.u.object.socket_path, AE_SOCKET_PATH_MAX);
    return 0;
}

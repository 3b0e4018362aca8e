/* SPDX-License-Identifier: Apache-2.0 */
/*
 * look.h - asks aetherd for an object, without becoming a client: no token, no record, nothing stays behind.
 *
 *     struct ae_control control;
 *     ae_control_init(&control, path, "");
 *     while (ae_look(&control, AE_LOOK_LOG, topic_id, &object) == 0) use and close object.fd;
 *     ae_control_free(&control);
 *
 * One connection serves any number of requests; if it has ended, the next request makes another one.
 */
#ifndef AE_CLIENT_LOOK_H
#define AE_CLIENT_LOOK_H

#include "client/control.h"
#include "shm/names.h"

struct ae_look {
    uint32_t pid, uid;           /* aetherd's */
    uint64_t bytes;              /* of the object */
    struct ae_instance instance; /* aetherd's: uid, socket path and prefix are what aetherd says, lock_path is "" */
    int fd;                      /* the object, read-only, the caller's */
};

/*
 * kind: AE_LOOK_..., id: of the topic or client, else 0. Blocks for at most control->patience_ns a stage. 0, or as
 * aether_connect(); -ENOENT also means that there is no such topic or client. After an error look->fd is -1.
 */
int ae_look(struct ae_control *control, uint32_t kind, uint64_t id, struct ae_look *look);

#endif

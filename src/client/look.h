/* SPDX-License-Identifier: Apache-2.0 */
/*
 * look.h - asks aetherd for an object, without becoming a client: no token, no record, nothing stays behind.
 *
 *     struct ae_control control;
 *     ae_look_init(&control, path);
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
    int refusal;                 /* an error of aetherd's; 0: none */
    struct ae_instance instance; /* aetherd's: uid, socket path and prefix are what aetherd says, lock_path is "" */
    int fd;                      /* the object, read-only, the caller's */
};

/* As ae_control_init(), for requests of ae_look() only. */
void ae_look_init(struct ae_control *control, const char *socket_path);

#define AE_LOOK_REFUSED 1

/*
 * kind: AE_LOOK_..., id: of the topic or client, else 0. Blocks for at most control->patience_ns. Returns 0;
 * AE_LOOK_REFUSED: aetherd has answered that it can't, with the error look->refusal and its text: -ENOENT there is no
 * such topic, client or object, -EBADMSG there is no registry any more, -EMFILE ...; or errors of aether_connect():
 * there is no answer. Only with 0 look->fd isn't -1.
 */
int ae_look(struct ae_control *control, uint32_t kind, uint64_t id, struct ae_look *look);

#endif

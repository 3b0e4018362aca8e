/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

int ae_control_run(struct ae_control *control, struct ae_msg *msg, uint16_t expect, bool again) {
    struct ae_control_wait wait;
    int rc;

    ae_control_start(control, msg, expect, again);
    /* The result of the wait doesn't matter: the next step finds out whether it can continue. */
    while ((rc = ae_control_step(control, &wait)) == AE_CONTROL_WAIT)
        (void)ae_socket_wait(wait.fd, wait.events, wait.until_ns);
    return rc;
}

int ae_client_request(struct aether_client *client, struct ae_msg *msg, uint16_t expect, bool again) {
    return ae_control_run(&client->control, msg, expect, again);
}

int ae_client_ask(struct aether_client *client, struct ae_msg *msg) {
    int rc;

    pthread_mutex_lock(&client->lock);
    rc = ae_client_request(client, msg, AE_MSG_DONE, AE_CONTROL_AGAIN);
    if (rc == 0)
        ae_reply_close(&client->control.reply);
    pthread_mutex_unlock(&client->lock);
    return rc;
}

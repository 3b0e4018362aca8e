/* SPDX-License-Identifier: Apache-2.0 */
/* notify.h - what a service manager wants to know, by the protocol of sd_notify(3). */
#ifndef AE_SERVICE_NOTIFY_H
#define AE_SERVICE_NOTIFY_H

/*
 * Sends a state such as "READY=1" to the socket that $NOTIFY_SOCKET names: a path, or an abstract name behind an @.
 * Never blocks. 0, also where no manager asks; -errno with a text: it can't be sent.
 */
int ae_notify(const char *state);

#endif

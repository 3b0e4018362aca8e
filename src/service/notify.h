/* SPDX-License-Identifier: Apache-2.0 */
/* notify.h - notices to a service manager, by the protocol of sd_notify(3). */
#ifndef AE_SERVICE_NOTIFY_H
#define AE_SERVICE_NOTIFY_H

/*
 * Sends a state such as "READY=1" to the socket that $NOTIFY_SOCKET names: a path, or @ and an abstract name. Never
 * blocks. 0, also if $NOTIFY_SOCKET isn't set; -errno with a text if the state can't be sent.
 */
int ae_notify(const char *state);

#endif

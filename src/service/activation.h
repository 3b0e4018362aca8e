/* SPDX-License-Identifier: Apache-2.0 */
/* activation.h - a listening socket that a service manager has opened, by the protocol of sd_listen_fds(3). */
#ifndef AE_SERVICE_ACTIVATION_H
#define AE_SERVICE_ACTIVATION_H

/*
 * Takes over the socket that $LISTEN_FDS passes to this process. *fd is -1 if there is none; else it is the caller's,
 * is closed by exec, and doesn't block. The variables are removed from the environment. Call it once, before other
 * threads run. 0, or -EINVAL or -EBADF with a text: not exactly one socket was passed.
 */
int ae_activation_take(int *fd);

#endif

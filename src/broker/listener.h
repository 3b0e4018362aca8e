/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.h - aetherd's listening socket. It is made at the instance's path, or a service manager has made it. If its
 * file is removed while aetherd runs, it is made again; so is the lock file.
 *
 * Nothing here blocks. One thread uses a listener, that of its loop.
 */
#ifndef AE_BROKER_LISTENER_H
#define AE_BROKER_LISTENER_H

#include "base/path_watch.h"
#include "service/loop.h"
#include "shm/names.h"
#include <stdbool.h>
#include <sys/stat.h>

struct ae_listener {
    struct ae_source socket; /* with EPOLLIN when a connection can be accepted; its fn is the user's */

    /* For the listener only. */
    const struct ae_instance *instance;
    struct ae_loop *loop;
    int *lock;                       /* the descriptor that holds the instance's lock */
    bool handed;                     /* the service manager owns the socket's file */
    bool warned;                     /* what hinders it was logged */
    struct stat file;                /* the socket's */
    mode_t directory_mode;           /* with which the socket's directory is made again; 0: it isn't */
    struct ae_path_watch watches[2]; /* of the socket's file and of the lock file */
    struct ae_source changes[2];     /* of the watches */
    struct ae_timer check;           /* after a change */
    bool checking;                   /* it is armed */
};

/*
 * Listens at the instance's path. handed: the socket of a service manager, which is the listener's from now on, or -1.
 * lock: see ae_instance_lock(); the descriptor may be replaced. instance, loop and lock are the caller's and outlive
 * the listener. on_connect is called when a connection can be accepted. 0, or -errno with a text; then close it, too.
 */
int ae_listener_open(struct ae_listener *listener, const struct ae_instance *instance, struct ae_loop *loop, int handed,
                     int *lock, void (*on_connect)(struct ae_source *source, uint32_t events));

/* Makes what was removed again, now. What can't be made is logged. */
void ae_listener_check(struct ae_listener *listener);

/* Closes the socket, and removes its file if the listener has made it. */
void ae_listener_close(struct ae_listener *listener);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - the names of an instance's objects and its lock, and the rules for names of topics.
 *
 * An instance is a socket path and the uid of its daemon. Its objects are named "/aether-UID-HASH.KIND". HASH is the
 * 64-bit FNV-1a of the socket's absolute path (with its directory resolved), so that an inspector finds the objects
 * without a daemon. The functions keep no state; those with errors set aether_errmsg().
 */
#ifndef AE_SHM_NAMES_H
#define AE_SHM_NAMES_H

#include "base/socket.h"
#include <stddef.h>
#include <stdint.h>

#define AE_OBJECT_NAME_SIZE 80

struct ae_instance {
    uint32_t uid;
    char socket_path[108]; /* absolute */
    char lock_path[116];   /* socket_path + ".lock": the running daemon holds a lock on it; it is never unlinked */
    char prefix[40];       /* "/aether-UID-HASH." */
};

/*
 * Resolves socket_path (NULL: aether_default_socket()) for the daemon's uid. Errors: -ENAMETOOLONG; -ENOENT if the path
 * is empty or has no file name, or its directory doesn't exist.
 */
int ae_instance_init(struct ae_instance *instance, const char *socket_path, uint32_t uid);

void ae_name_registry(const struct ae_instance *instance, char name[AE_OBJECT_NAME_SIZE]);
void ae_name_log(const struct ae_instance *instance, uint64_t topic_id, char name[AE_OBJECT_NAME_SIZE]);
void ae_name_cursors(const struct ae_instance *instance, uint64_t topic_id, char name[AE_OBJECT_NAME_SIZE]);
void ae_name_notes(const struct ae_instance *instance, uint64_t topic_id, char name[AE_OBJECT_NAME_SIZE]);
void ae_name_token(const struct ae_instance *instance, uint64_t client_id, char name[AE_OBJECT_NAME_SIZE]);
void ae_name_stats(const struct ae_instance *instance, uint64_t client_id, char name[AE_OBJECT_NAME_SIZE]);
void ae_name_totals(const struct ae_instance *instance, char name[AE_OBJECT_NAME_SIZE]);

/*
 * aetherd: takes the instance's lock. *lock is the fd that holds it until the caller closes it. Blocks for up to two
 * seconds while another daemon has the lock, which may have been killed and not be gone yet. Errors: -EBUSY if another
 * daemon runs, also one whose lock file was removed; the text says what to do. -errno.
 */
int ae_instance_lock(const struct ae_instance *instance, int *lock);

/*
 * aetherd, which holds both locks: makes the lock file again if it was removed, and locks it. *lock is then another
 * descriptor. Does nothing if the file is there. Doesn't block. -errno with a text.
 */
int ae_instance_lock_again(const struct ae_instance *instance, int *lock);

/*
 * aetherd, when it has a registry: takes a lock on that, too, which holds when somebody removes the lock file. *guard
 * is the fd that holds it. Doesn't block. Errors: as ae_instance_lock().
 */
int ae_instance_guard(const struct ae_instance *instance, int *guard);

/* 1 if a daemon holds one of the instance's two locks; 0 if none does. */
int ae_instance_running(const struct ae_instance *instance);

/* The pid, in its own pid namespace, of the daemon that runs. 0: none runs, or it is starting and has no registry. */
uint32_t ae_instance_pid(const struct ae_instance *instance);

/*
 * Says that a daemon runs where it can't be reached, and what to do: "aetherd pid N runs, its socket P was removed:
 * kill -HUP N". Returns code.
 */
int ae_instance_fail_hidden(const struct ae_instance *instance, int code);

/*
 * Does the process whose directory in /proc is open as `process` hold the lock file as only aetherd does, open for
 * writing? So a process that merely has the same pid as a daemon, now or in another pid namespace, isn't taken for it.
 * 0 also if that can't be seen, because the process is another user's.
 */
int ae_instance_held_by(const struct ae_instance *instance, int process);

/* Checks a topic's name by the rules of <aether/topic.h>. 0, or -EINVAL with a text. */
int ae_topic_name_check(const char *name, size_t len);

#endif

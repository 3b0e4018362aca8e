/* SPDX-License-Identifier: Apache-2.0 */
#include "client/unreachable.h"
#include "base/error.h"
#include "base/text.h"
#include "shm/names.h"
#include <aether/connect.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESTORE_NS 1000000000ull /* aetherd notices at once that its socket was removed */

static bool is_default(const char *path) {
    char standard[AE_SOCKET_PATH_MAX + 1];

    return aether_default_socket(standard, sizeof standard) == 0 && strcmp(standard, path) == 0;
}

const char *ae_unreachable_start(char command[AE_START_SIZE], const char *path) {
    /* aetherd creates the directory of the default socket by itself; a command with --socket wouldn't. */
    const bool standard = is_default(path);

    (void)snprintf(command, AE_START_SIZE, "aetherd%s%s", standard ? "" : " --socket ", standard ? "" : path);
    return command;
}

/* The instance at the socket, whose uid is that of the lock file or, without one, ours. */
static int find_instance(struct ae_instance *instance, const char *path) {
    struct stat st;
    int rc = ae_instance_init(instance, path, (uint32_t)geteuid());

    if (rc == 0 && lstat(instance->lock_path, &st) == 0 && st.st_uid != instance->uid)
        rc = ae_instance_init(instance, path, (uint32_t)st.st_uid);
    return rc;
}

/* One look decides what is said and how long it may last, because an aetherd may be starting just now. */
static int no_daemon(const char *path, int code, uint64_t patience_ns, uint64_t *passes_ns) {
    char command[AE_START_SIZE];
    struct ae_instance instance;

    if (find_instance(&instance, path) != 0 && !is_default(path))
        return code; /* the text says what is wrong with the directory */
    if (instance.prefix[0] != '\0' && ae_instance_running(&instance)) {
        *passes_ns = ae_instance_pid(&instance) == 0 || patience_ns < RESTORE_NS ? patience_ns : RESTORE_NS;
        return ae_instance_fail_hidden(&instance, code);
    }
    return ae_fail(code, "no aetherd at %s: start it with: %s", path, ae_unreachable_start(command, path));
}

static int refused(const char *path, int code, uint64_t patience_ns, uint64_t *passes_ns) {
    struct stat st;

    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode) && !S_ISLNK(st.st_mode))
        return ae_fail(code, "%s isn't a socket: use the path of aetherd's socket", path);
    return no_daemon(path, code, patience_ns, passes_ns);
}

/* The kernel doesn't let us connect. */
static int forbidden(const char *path, int code) {
    struct stat st;

    if (lstat(path, &st) != 0)
        return ae_fail(code, "uid %u may not enter the directory of aetherd's socket %s", (unsigned)geteuid(), path);
    if (st.st_uid != geteuid())
        return ae_fail(
            code, "aetherd's socket %s belongs to uid %u; this program is uid %u: aetherd serves its own uid and root",
            path, (unsigned)st.st_uid, (unsigned)geteuid());
    return ae_fail(code, "aetherd's socket %s has mode %04o: aetherd makes it with mode 0600", path,
                   (unsigned)st.st_mode & 07777);
}

int ae_unreachable(const char *path, int code, uint64_t patience_ns, uint64_t *passes_ns) {
    char time[AE_TEXT_SECONDS_BYTES];

    *passes_ns = 0;
    switch (-code) {
    case ENOENT:
        return no_daemon(path, code, patience_ns, passes_ns);
    case ECONNREFUSED:
        return refused(path, code, patience_ns, passes_ns);
    case EACCES:
    case EPERM:
        return forbidden(path, code);
    case ETIMEDOUT:
        return ae_fail(code, "aetherd at %s: takes no connection within %s; is it stopped?", path,
                       ae_text_seconds(time, patience_ns));
    case EPROTOTYPE:
        return ae_fail(code, "the socket %s is of another type than aetherd's: use the path of aetherd's socket", path);
    case ENOTDIR:
    case ELOOP:
        return ae_fail(code, "the path of aetherd's socket %s: %s: use the path of another socket", path,
                       strerror(-code));
    default:
        return ae_fail(code, "connecting to aetherd at %s: %s", path, strerror(-code));
    }
}

int ae_unreachable_socket(const char *path, int code) {
    if (code == -EAFNOSUPPORT || code == -EPERM || code == -EACCES)
        return ae_fail(code,
                       "no socket to connect to aetherd at %s: allow this program AF_UNIX (seccomp, "
                       "RestrictAddressFamilies=): %s",
                       path, strerror(-code));
    return ae_fail(code, "no socket to connect to aetherd at %s: %s", path, strerror(-code));
}

int ae_unreachable_foreign(const char *path, uint32_t uid) {
    /*
     * Root is allowed: aetherd may run as root and, if a service manager listens for it, these are the manager's
     * credentials. aetherd asks for ours in any case.
     */
    if (geteuid() == 0 || uid == 0 || uid == geteuid())
        return 0;
    return ae_fail(-EACCES, "aetherd at %s belongs to uid %u; this program is uid %u: it serves its own uid and root",
                   path, uid, (unsigned)geteuid());
}

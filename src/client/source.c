/* SPDX-License-Identifier: Apache-2.0 */
#include "client/source.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include "client/unreachable.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SILENT_NS 1000000000ull /* after an answer that didn't come */

_Static_assert(AE_PREFIX_MAX + 1 == sizeof(((struct ae_instance *)0)->prefix), "the longest prefix");

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/*
 * Whether pids of the process that listens at the socket mean the same here. A service manager may have opened the
 * socket for aetherd, and is then in its pid namespace.
 */
static bool has_other_pids(pid_t peer) {
    struct stat own, other;
    char path[40];

    if (peer == 0)
        return true;
    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)peer);
    return stat(path, &other) == 0 && stat("/proc/self/ns/pid", &own) == 0 &&
           (own.st_dev != other.st_dev || own.st_ino != other.st_ino);
}

/* As ae_look(), but -EBADMSG: what answers isn't an aetherd of this release. */
static int request(struct ae_object_source *source, uint32_t kind, uint64_t id, struct ae_look *look) {
    struct ae_control *control = &source->control;

    *look = (struct ae_look){.fd = -1};
    if (ae_now_ns() < source->silent_ns)
        return ae_fail(-ETIMEDOUT, "aetherd at %s: no answer to the last request; is it stopped?",
                       control->socket_path);
    const int rc = ae_look(control, kind, id, look);
    if (rc == -ETIMEDOUT)
        source->silent_ns = ae_now_ns() + SILENT_NS;
    if (kind == AE_LOOK_INSTANCE && control->peer_pid >= 0)
        source->other_pids = has_other_pids(control->peer_pid);
    return rc == -EPROTO ? -EBADMSG : rc;
}

/* ---- objects ----------------------------------------------------------------------------------------------------- */

static const char *kind_name(uint32_t kind) {
    static const char *const names[] = {[AE_LOOK_INSTANCE] = "registry",
                                        [AE_LOOK_LOG] = "log of a topic",
                                        [AE_LOOK_CURSORS] = "cursors of a topic",
                                        [AE_LOOK_STATS] = "statistics of a client",
                                        [AE_LOOK_TOTALS] = "totals"};

    return names[kind];
}

static int fail_object(const struct ae_object_source *source, uint32_t kind, const char *is) {
    return ae_fail(-EBADMSG, "what aetherd at %s passes as the %s %s", source->control.socket_path, kind_name(kind),
                   is);
}

/* Is it what was asked for? The registry and the totals are checked when they are mapped. */
static bool is_object(int fd, uint32_t kind, uint64_t id) {
    uint64_t words[4]; /* of an object's header: magic, version, id */

    if (kind == AE_LOOK_INSTANCE || kind == AE_LOOK_TOTALS)
        return true;
    const uint64_t magic = kind == AE_LOOK_LOG       ? AE_LOG_MAGIC
                           : kind == AE_LOOK_CURSORS ? AE_CURSORS_MAGIC
                                                     : AE_STATS_MAGIC;
    return pread(fd, words, sizeof words, 0) == (ssize_t)sizeof words && words[0] == magic && words[2] == id;
}

_Static_assert(offsetof(ae_object_header, topic_id) == 16 && offsetof(ae_stats_header, client_id) == 16, "ids");

/*
 * Checks an object that aetherd has passed. A load from a mapped file of another file system, such as one in user
 * space, may block for ever, and so may a question for its status. Only shared memory has seals.
 */
static int check_object(const struct ae_object_source *source, int fd, uint32_t kind, uint64_t id, uint64_t bytes,
                        struct stat *status) {
    char text[80];

    if (fcntl(fd, F_GET_SEALS) < 0)
        return fail_object(source, kind, "isn't shared memory");
    if (fstat(fd, status) != 0)
        return ae_fail(-errno, "what aetherd at %s passes: %s", source->control.socket_path, strerror(errno));
    if (bytes != 0 && (uint64_t)status->st_size != bytes) {
        snprintf(text, sizeof text, "has %" PRIu64 " bytes, not %" PRIu64, (uint64_t)status->st_size, bytes);
        return fail_object(source, kind, text);
    }
    return is_object(fd, kind, id) ? 0 : fail_object(source, kind, "is another object");
}

/*
 * Asks aetherd for an object and checks it. Returns an fd, or an error; look->refusal isn't 0 if that is aetherd's
 * answer. The fd is also look->fd, and the caller's.
 */
static int request_object(struct ae_object_source *source, uint32_t kind, uint64_t id, uint64_t bytes,
                          struct ae_look *look, struct stat *status) {
    int rc = request(source, kind, id, look);

    if (rc != 0)
        return rc == AE_LOOK_REFUSED ? look->refusal : rc;
    rc = check_object(source, look->fd, kind, id, bytes, status);
    if (rc != 0)
        ae_close(&look->fd);
    return rc != 0 ? rc : look->fd;
}

static void set_name(const struct ae_instance *instance, uint32_t kind, uint64_t id, char name[AE_OBJECT_NAME_SIZE]) {
    if (kind == AE_LOOK_LOG)
        ae_name_log(instance, id, name);
    else if (kind == AE_LOOK_CURSORS)
        ae_name_cursors(instance, id, name);
    else if (kind == AE_LOOK_STATS)
        ae_name_stats(instance, id, name);
    else if (kind == AE_LOOK_TOTALS)
        ae_name_totals(instance, name);
    else
        ae_name_registry(instance, name);
}

int ae_source_open(struct ae_object_source *source, uint32_t kind, uint64_t id, uint64_t bytes) {
    char name[AE_OBJECT_NAME_SIZE];
    struct ae_look look;
    struct stat status;

    if (!source->by_request) {
        set_name(&source->instance, kind, id, name);
        return ae_segment_open(name, false, source->instance.uid, bytes, NULL);
    }
    const int fd = request_object(source, kind, id, bytes, &look, &status);
    if (fd >= 0 || look.refusal != 0 || (fd != -ENOENT && fd != -ECONNREFUSED && fd != -EACCES))
        return fd;
    /* Not "there is no such object": there may be one. */
    return ae_fail(-ENOTCONN, "no aetherd runs at %s any more, and this program's /dev/shm doesn't have its objects",
                   source->control.socket_path);
}

int ae_source_allocated(struct ae_object_source *source, uint32_t kind, uint64_t id, uint64_t bytes,
                        uint64_t *allocated) {
    char name[AE_OBJECT_NAME_SIZE];
    struct ae_look look;
    struct stat status;

    if (!source->by_request) {
        set_name(&source->instance, kind, id, name);
        return ae_segment_allocated(name, source->instance.uid, bytes, allocated);
    }
    int fd = request_object(source, kind, id, bytes, &look, &status);
    if (fd < 0)
        return fd;
    *allocated = (uint64_t)status.st_blocks * 512;
    ae_close(&fd);
    return 0;
}

int ae_source_totals(struct ae_object_source *source, uint32_t topics, struct ae_totals *totals) {
    if (!source->by_request)
        return ae_totals_open(totals, &source->instance, topics, false);
    int fd = ae_source_open(source, AE_LOOK_TOTALS, 0, 0);
    if (fd < 0)
        return fd;
    const int rc = ae_totals_map(totals, fd, topics, false, "/totals");
    ae_close(&fd);
    return rc;
}

int ae_source_totals_replaced(struct ae_object_source *source, const struct ae_totals *totals) {
    if (!source->by_request)
        return ae_totals_replaced(totals, &source->instance);
    int fd = ae_source_open(source, AE_LOOK_TOTALS, 0, 0);
    if (fd < 0)
        return 0;
    const uint64_t inode = ae_segment_inode(fd);
    ae_close(&fd);
    return inode != 0 && inode != totals->inode;
}

/* ---- the instance ------------------------------------------------------------------------------------------------ */

/* A socket that is a symbolic link has its names from the path to which the link leads, which aetherd knows. */
static int resolve(struct ae_instance *instance, const char *socket_path) {
    struct stat status;
    int rc = ae_instance_init(instance, socket_path, getuid());

    if (rc != 0 || lstat(instance->socket_path, &status) != 0)
        return rc;
    if (S_ISLNK(status.st_mode)) {
        char *path = realpath(instance->socket_path, NULL);
        if (path != NULL)
            rc = ae_instance_init(instance, path, getuid());
        free(path);
        if (rc != 0 || lstat(instance->socket_path, &status) != 0)
            return rc;
    }
    /* The instance belongs to the user who owns its socket. If there is no socket, it is ours. */
    if (S_ISSOCK(status.st_mode) && status.st_uid != getuid()) {
        const struct ae_instance ours = *instance;
        rc = ae_instance_init(instance, ours.socket_path, status.st_uid);
    }
    return rc;
}

int ae_source_init(struct ae_object_source *source, const char *socket_path, uint64_t patience_ns) {
    *source = (struct ae_object_source){.by_request = false};
    const int rc = resolve(&source->instance, socket_path);
    ae_look_init(&source->control, rc == 0 ? source->instance.socket_path : "");
    source->control.patience_ns = patience_ns;
    return rc;
}

void ae_source_close(struct ae_object_source *source) {
    ae_control_free(&source->control);
}

/* A prefix leads into no other directory. */
static bool is_prefix(const char *prefix) {
    if (strncmp(prefix, "/aether-", strlen("/aether-")) != 0)
        return false;
    for (const char *p = prefix + 1; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '.')
            return false;
    }
    return true;
}

/* The instance as aetherd knows it. */
static int rename_instance(struct ae_instance *instance, const struct ae_instance *its) {
    if (!is_prefix(its->prefix) || its->socket_path[0] != '/')
        return -EBADMSG;
    *instance = *its;
    snprintf(instance->lock_path, sizeof instance->lock_path, "%s.lock", instance->socket_path);
    return 0;
}

/* Do the instance's names lead to the registry of that status? */
static bool leads_to(const struct ae_instance *instance, const struct stat *registry) {
    char name[AE_OBJECT_NAME_SIZE];
    struct stat status;
    bool same;

    ae_name_registry(instance, name);
    int fd = ae_segment_open(name, false, instance->uid, 0, NULL);
    same = fd >= 0 && fstat(fd, &status) == 0 && status.st_dev == registry->st_dev && status.st_ino == registry->st_ino;
    ae_close(&fd);
    return same;
}

/* Finds out how the objects of the aetherd that has answered are opened. */
static int choose(struct ae_object_source *source, const struct ae_instance *stated, const struct stat *registry) {
    struct ae_instance own = source->instance, its;

    source->renamed = source->by_request = false;
    (void)resolve(&own, source->control.socket_path);
    if (leads_to(&own, registry)) {
        source->instance = own;
        ae_close(&source->control.sock);
        return 0;
    }
    if (rename_instance(&its, stated) != 0)
        return ae_fail(-EBADMSG, "what answers at %s states wrong names of its objects", source->control.socket_path);
    source->instance = its;
    source->renamed = true;
    source->by_request = !leads_to(&its, registry);
    return 0;
}

/* No aetherd is at the socket, or it can't or doesn't want to answer: then only names remain. */
static bool is_absent(int rc) {
    return rc == -ENOENT || rc == -ECONNREFUSED || rc == -ENOTSOCK || rc == -EPROTOTYPE || rc == -EACCES ||
           rc == -EPERM || rc == -ETIMEDOUT || rc == -ECONNRESET || rc == -EPROTO || rc == -ENOTDIR || rc == -ELOOP;
}

/* Names the instance by its socket, as the user knows it, and not only the object in /dev/shm. */
static int fail_registry(const struct ae_object_source *source, int rc) {
    const char *path = source->control.socket_path;
    char command[AE_START_SIZE];
    struct stat status;

    if (rc != -ENOENT)
        return ae_fail(rc, "aetherd at %s: %s", source->control.socket_path, aether_errmsg());
    if (stat(path, &status) == 0 && S_ISSOCK(status.st_mode))
        return ae_fail(rc,
                       "no aetherd runs at %s, and this program's /dev/shm has nothing that one left there: start it "
                       "with: %s",
                       path, ae_unreachable_start(command, path));
    return ae_fail(rc, "no aetherd at %s, and none has left topics there: start it with: %s", path,
                   ae_unreachable_start(command, path));
}

static int open_named(struct ae_object_source *source, int asked, struct ae_registry *registry) {
    char why[256];

    snprintf(why, sizeof why, "%s", aether_errmsg());
    const int rc = ae_registry_open(registry, &source->instance, false);
    /* It starts, or runs and doesn't answer or refuses, and names don't help, either: the first says more. */
    const bool runs = (asked != -ENOENT && asked != -ECONNREFUSED) || ae_instance_running(&source->instance) == 1;
    if ((rc == -ENOENT && runs) || (rc == -EACCES && asked == -EACCES))
        return ae_fail(asked, "%s", why);
    return rc != 0 ? fail_registry(source, rc) : 0;
}

int ae_source_registry(struct ae_object_source *source, struct ae_registry *registry) {
    struct ae_look look;
    struct stat status;
    int fd = -ENOENT, rc;

    memset(registry, 0, sizeof *registry);
    if (source->control.patience_ns != 0)
        fd = request_object(source, AE_LOOK_INSTANCE, 0, 0, &look, &status);
    if (fd < 0 && is_absent(fd)) {
        ae_close(&source->control.sock);
        return open_named(source, fd, registry);
    }
    if (fd < 0)
        return fd;
    rc = choose(source, &look.instance, &status);
    if (rc == 0) {
        rc = ae_registry_map(registry, fd, (uint64_t)status.st_size, false, "/the registry");
        rc = rc != 0 ? fail_registry(source, rc) : 0;
    }
    ae_close(&fd);
    return rc;
}

/*
 * Is aetherd's registry another one by now? As long as a connection lasts, aetherd is the same, and its registry too.
 */
static bool has_another(struct ae_object_source *source, const struct ae_registry *registry) {
    struct ae_look look;
    struct stat status;

    if (ae_control_connected(&source->control))
        return false;
    int fd = request_object(source, AE_LOOK_INSTANCE, 0, 0, &look, &status);
    if (fd < 0)
        return false;
    ae_close(&fd);
    return status.st_ino != registry->inode;
}

int ae_source_follow(struct ae_object_source *source, const struct ae_registry *registry, struct ae_registry *other) {
    if (source->by_request ? !has_another(source, registry) : !ae_registry_replaced(registry, &source->instance))
        return 0;
    const int rc =
        source->by_request ? ae_source_registry(source, other) : ae_registry_open(other, &source->instance, false);
    if (rc == -ENOENT || rc == -EBADMSG)
        return 0; /* it isn't finished, or is gone again: try later */
    if (rc != 0)
        return source->by_request ? rc : fail_registry(source, rc);
    return 1;
}

bool ae_source_running(struct ae_object_source *source) {
    struct ae_control_wait wait;

    if (ae_instance_running(&source->instance) == 1)
        return true;
    if (!source->renamed)
        return false;
    ae_control_start(&source->control, NULL, 0, AE_CONTROL_ONCE);
    return ae_control_step(&source->control, &wait) >= 0; /* connected; or the socket has no room now */
}

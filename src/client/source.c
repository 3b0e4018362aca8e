/* SPDX-License-Identifier: Apache-2.0 */
#include "client/source.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#define ANSWER_NS 1000000000ull /* in which aetherd answers a request */
#define SILENT_NS 1000000000ull /* after an answer that didn't come */

_Static_assert(AE_PREFIX_MAX + 1 == sizeof(((struct ae_instance *)0)->prefix), "the longest prefix");

/* ---- the connection ---------------------------------------------------------------------------------------------- */

static int fail_silent(struct ae_object_source *source) {
    ae_close(&source->sock); /* so that a late answer isn't taken for another one */
    source->silent_ns = ae_now_ns() + SILENT_NS;
    return ae_fail(-ETIMEDOUT, "aetherd at %s: no answer within a second; is it stopped?", source->socket_path);
}

/*
 * Whether pids of the process that listens at the socket mean the same here. A service manager may have opened the
 * socket for aetherd, and is then in its pid namespace.
 */
static bool has_other_pids(int sock) {
    struct ucred peer;
    struct stat own, other;
    char path[40];
    socklen_t size = sizeof peer;

    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return false;
    if (peer.pid == 0)
        return true;
    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)peer.pid);
    return stat(path, &other) == 0 && stat("/proc/self/ns/pid", &own) == 0 &&
           (own.st_dev != other.st_dev || own.st_ino != other.st_ino);
}

/* Connects if there is no connection. Doesn't block. -EAGAIN: the socket has no room now. Other errors have a text. */
static int connect_socket(struct ae_object_source *source) {
    struct sockaddr_un address;
    const int len = ae_socket_address(&address, source->socket_path);
    int rc;

    if (source->sock >= 0)
        return 0;
    if (len < 0)
        return ae_fail(len, "socket path '%s': %s", source->socket_path, strerror(-len));
    source->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (source->sock < 0)
        return ae_fail(-errno, "socket: %s", strerror(errno));
    do {
        rc = connect(source->sock, (const struct sockaddr *)&address, (socklen_t)len) == 0 ? 0 : -errno;
    } while (rc == -EINTR);
    if (rc == 0) {
        source->other_pids = has_other_pids(source->sock);
        return 0;
    }
    ae_close(&source->sock);
    return rc == -EAGAIN ? rc : ae_fail(rc, "aetherd at %s: %s", source->socket_path, strerror(-rc));
}

/* Has aetherd closed the connection? It sends nothing that it wasn't asked for. */
static bool has_ended(int sock) {
    struct pollfd entry = {.fd = sock, .events = POLLIN};

    return sock >= 0 && poll(&entry, 1, 0) > 0;
}

/* Takes the answer to a request. Returns what came as one fd, or -EBADMSG, or aetherd's error. */
static int take_answer(struct ae_object_source *source, struct ae_msg *answer) {
    uint8_t packet[AE_PACKET_MAX];
    int fds[AE_PACKET_FDS_MAX], count = AE_PACKET_FDS_MAX, rc;

    const int len = ae_packet_receive(source->sock, packet, sizeof packet, fds, &count);
    if (len <= 0)
        return ae_fail(len == 0 ? -ECONNRESET : len, "aetherd at %s: %s", source->socket_path,
                       strerror(len == 0 ? ECONNRESET : -len));
    rc = ae_msg_decode(answer, packet, (size_t)len);
    if (rc == 0 && answer->type == AE_MSG_ERROR && answer->u.error.code < 0)
        rc = ae_fail(answer->u.error.code, "aetherd at %s: %s", source->socket_path, answer->u.error.text);
    else if (rc != 0 || answer->type != AE_MSG_OBJECT || answer->request != source->request || count != 1)
        rc = ae_fail(-EBADMSG, "what answers at %s isn't an aetherd of this release", source->socket_path);
    if (rc == 0)
        return fds[0];
    while (count > 0)
        ae_close(&fds[--count]);
    return rc;
}

/* Sends a request and waits for its answer, at most until deadline_ns. Returns an fd. -ECONNRESET: try once more. */
static int exchange(struct ae_object_source *source, struct ae_msg *ask, uint64_t deadline_ns, struct ae_msg *answer) {
    uint8_t packet[AE_PACKET_MAX];
    int rc;

    /* A connection that isn't used for some seconds is closed by aetherd. */
    if (has_ended(source->sock))
        ae_close(&source->sock);
    while ((rc = connect_socket(source)) == -EAGAIN) {
        if (ae_now_ns() >= deadline_ns)
            return fail_silent(source);
        (void)poll(NULL, 0, 10); /* no event says that there is room */
    }
    if (rc != 0)
        return rc;
    ask->request = ++source->request;
    const int len = ae_msg_encode(ask, packet, sizeof packet);
    if (len < 0)
        return ae_fail(len, "request can't be encoded");
    rc = ae_packet_send(source->sock, packet, (size_t)len, NULL, 0);
    if (rc == 0)
        rc = ae_socket_wait(source->sock, POLLIN, deadline_ns);
    if (rc == -ETIMEDOUT || rc == -EAGAIN)
        return fail_silent(source);
    if (rc != 0)
        return ae_fail(rc == -EPIPE ? -ECONNRESET : rc, "aetherd at %s: %s", source->socket_path, strerror(-rc));
    return take_answer(source, answer);
}

/* Asks aetherd for an object, which isn't checked. Returns an fd. */
static int look(struct ae_object_source *source, uint32_t kind, uint64_t id, struct ae_msg *answer) {
    struct ae_msg ask = {.type = AE_MSG_LOOK};
    const uint64_t now = ae_now_ns();

    if (now < source->silent_ns)
        return ae_fail(-ETIMEDOUT, "aetherd at %s: no answer to the last request; is it stopped?", source->socket_path);
    ask.u.look.kind = kind;
    ask.u.look.id = id;
    int fd = exchange(source, &ask, now + ANSWER_NS, answer);
    if (fd == -ECONNRESET) {
        ae_close(&source->sock);
        fd = exchange(source, &ask, now + ANSWER_NS, answer);
    }
    if (fd < 0 && answer->type != AE_MSG_ERROR)
        ae_close(&source->sock);
    return fd;
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
    return ae_fail(-EBADMSG, "what aetherd at %s passes as the %s %s", source->socket_path, kind_name(kind), is);
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
 * space, may block for ever.
 */
static int check_object(const struct ae_object_source *source, int fd, uint32_t kind, uint64_t id, uint64_t bytes,
                        struct stat *status) {
    struct statfs fs;
    char text[80];

    if (fstat(fd, status) != 0 || fstatfs(fd, &fs) != 0)
        return ae_fail(-errno, "what aetherd at %s passes: %s", source->socket_path, strerror(errno));
    if (!S_ISREG(status->st_mode))
        return fail_object(source, kind, "isn't a regular file");
    if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
        return fail_object(source, kind, "isn't shared memory");
    if (bytes != 0 && (uint64_t)status->st_size != bytes) {
        snprintf(text, sizeof text, "has %" PRIu64 " bytes, not %" PRIu64, (uint64_t)status->st_size, bytes);
        return fail_object(source, kind, text);
    }
    return is_object(fd, kind, id) ? 0 : fail_object(source, kind, "is another object");
}

/* Asks aetherd for an object and checks it. Returns an fd. */
static int request_object(struct ae_object_source *source, uint32_t kind, uint64_t id, uint64_t bytes,
                          struct ae_msg *answer, struct stat *status) {
    int fd = look(source, kind, id, answer);

    if (fd < 0)
        return fd;
    const int rc = check_object(source, fd, kind, id, bytes, status);
    if (rc != 0)
        ae_close(&fd);
    return rc != 0 ? rc : fd;
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
    struct ae_msg answer = {.type = 0};
    struct stat status;

    if (!source->by_request) {
        set_name(&source->instance, kind, id, name);
        return ae_segment_open(name, false, source->instance.uid, bytes, NULL);
    }
    const int fd = request_object(source, kind, id, bytes, &answer, &status);
    if (fd >= 0 || answer.type == AE_MSG_ERROR || (fd != -ENOENT && fd != -ECONNREFUSED && fd != -EACCES))
        return fd;
    /* Not "there is no such object": there may be one. */
    return ae_fail(-ENOTCONN, "no aetherd runs at %s any more, and this program's /dev/shm doesn't have its objects",
                   source->socket_path);
}

int ae_source_allocated(struct ae_object_source *source, uint32_t kind, uint64_t id, uint64_t bytes,
                        uint64_t *allocated) {
    char name[AE_OBJECT_NAME_SIZE];
    struct ae_msg answer = {.type = 0};
    struct stat status;

    if (!source->by_request) {
        set_name(&source->instance, kind, id, name);
        return ae_segment_allocated(name, source->instance.uid, bytes, allocated);
    }
    int fd = request_object(source, kind, id, bytes, &answer, &status);
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

int ae_source_init(struct ae_object_source *source, const char *socket_path) {
    *source = (struct ae_object_source){.sock = -1};
    const int rc = resolve(&source->instance, socket_path);
    if (rc == 0)
        memcpy(source->socket_path, source->instance.socket_path, sizeof source->socket_path);
    return rc;
}

void ae_source_close(struct ae_object_source *source) {
    ae_close(&source->sock);
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
static int rename_instance(struct ae_instance *instance, const struct ae_msg *answer) {
    const char *path = answer->u.object.socket_path;

    if (!is_prefix(answer->u.object.prefix) || path[0] != '/')
        return -EBADMSG;
    instance->uid = answer->u.object.uid;
    memcpy(instance->prefix, answer->u.object.prefix, sizeof instance->prefix);
    snprintf(instance->socket_path, sizeof instance->socket_path, "%s", path);
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
static int choose(struct ae_object_source *source, const struct ae_msg *answer, const struct stat *registry) {
    struct ae_instance own = source->instance, its = own;

    source->renamed = source->by_request = false;
    (void)resolve(&own, source->socket_path);
    if (leads_to(&own, registry)) {
        source->instance = own;
        ae_close(&source->sock);
        return 0;
    }
    if (rename_instance(&its, answer) != 0)
        return ae_fail(-EBADMSG, "what answers at %s states wrong names of its objects", source->socket_path);
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
    struct stat status;

    if (rc != -ENOENT)
        return ae_fail(rc, "aetherd at %s: %s", source->socket_path, aether_errmsg());
    if (stat(source->socket_path, &status) == 0 && S_ISSOCK(status.st_mode))
        return ae_fail(rc,
                       "no aetherd runs at %s, and this program's /dev/shm has nothing that one left there: start "
                       "aetherd, or use the path of another socket",
                       source->socket_path);
    return ae_fail(rc,
                   "no aetherd at %s, and none has left topics there: start aetherd, or use the path of another socket",
                   source->socket_path);
}

static int open_named(struct ae_object_source *source, int asked, struct ae_registry *registry) {
    char why[256];

    snprintf(why, sizeof why, "%s", aether_errmsg());
    const int rc = ae_registry_open(registry, &source->instance, false);
    /* It runs, but doesn't answer or refuses, and names don't help, either: the first says more. */
    if ((rc == -ENOENT && asked != -ENOENT && asked != -ECONNREFUSED) || (rc == -EACCES && asked == -EACCES))
        return ae_fail(asked, "%s", why);
    return rc != 0 ? fail_registry(source, rc) : 0;
}

int ae_source_registry(struct ae_object_source *source, struct ae_registry *registry) {
    struct ae_msg answer = {.type = 0};
    struct stat status;
    int fd = request_object(source, AE_LOOK_INSTANCE, 0, 0, &answer, &status), rc;

    memset(registry, 0, sizeof *registry);
    if (fd < 0 && is_absent(fd)) {
        ae_close(&source->sock);
        return open_named(source, fd, registry);
    }
    if (fd < 0)
        return fd;
    rc = choose(source, &answer, &status);
    if (rc == 0) {
        rc = ae_registry_map(registry, fd, (uint64_t)status.st_size, false, "/the registry");
        rc = rc != 0 ? fail_registry(source, rc) : 0;
    }
    ae_close(&fd);
    return rc;
}

/* Is aetherd's registry another one by now? As long as a connection lasts, aetherd is the same, and its registry too. */
static bool has_another(struct ae_object_source *source, const struct ae_registry *registry) {
    struct ae_msg answer = {.type = 0};
    struct stat status;

    if (source->sock >= 0 && !has_ended(source->sock))
        return false;
    int fd = request_object(source, AE_LOOK_INSTANCE, 0, 0, &answer, &status);
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
    if (ae_instance_running(&source->instance) == 1)
        return true;
    if (!source->renamed)
        return false;
    if (has_ended(source->sock))
        ae_close(&source->sock);
    const int rc = connect_socket(source);
    return rc == 0 || rc == -EAGAIN;
}

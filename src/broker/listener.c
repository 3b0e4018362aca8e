/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/listener.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include "service/log.h"
#include <aether/error.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128
#define SETTLE_NS 100000000ull /* after a change, so that nothing is made in a directory that is being removed */
#define RETRY_NS 1000000000ull /* what hinders may pass without a change there: no descriptor, no memory, a full disk */

/* ---- making the socket ---- */

/* Refuses to replace a file that isn't a socket: it belongs to another program, and the path may be a mistake. */
static int check_replaceable(const char *path) {
    struct stat st;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : ae_fail(-errno, "socket %s: %s", path, strerror(errno));
    return S_ISSOCK(st.st_mode)
               ? 0
               : ae_fail(-EEXIST, "%s exists and isn't a socket: remove it, or use another path", path);
}

/*
 * Renames the socket to its path when it listens already, so that a program that finds it can connect. *file is the
 * socket's file. It is told from all others by its inode, which lives as long as the socket is open.
 */
static int listen_at(const char *path, int *listener, struct stat *file) {
    struct sockaddr_un address;
    char temporary[sizeof address.sun_path];
    int len, rc;

    if (snprintf(temporary, sizeof temporary, "%s~", path) >= (int)sizeof temporary)
        return ae_fail(-ENAMETOOLONG, "socket path '%s' is too long: at most %u bytes", path, AE_SOCKET_PATH_MAX);
    if ((rc = check_replaceable(path)) != 0 || (rc = check_replaceable(temporary)) != 0)
        return rc;
    len = ae_socket_address(&address, temporary);
    if (len < 0)
        return ae_fail(len, "socket path '%s' is too long", path);
    *listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*listener < 0)
        return ae_fail(-errno, "socket %s: %s", path, strerror(errno));
    (void)unlink(temporary); /* no other aetherd uses it, because we hold the lock */
    if (bind(*listener, (const struct sockaddr *)&address, (socklen_t)len) != 0 || chmod(temporary, 0600) != 0 ||
        listen(*listener, BACKLOG) != 0 || lstat(temporary, file) != 0 || rename(temporary, path) != 0) {
        rc = ae_fail(-errno, "socket %s: %s", path, strerror(errno));
        (void)unlink(temporary);
        ae_close(listener);
        return rc;
    }
    return 0;
}

/* Is the service manager's socket one of ours? 0, or -EINVAL with a text. */
static int check_handed(int fd, const char *path) {
    int domain = 0, type = 0, listens = 0;
    socklen_t size = sizeof domain;
    struct sockaddr_un address = {0};
    socklen_t len = sizeof address - 1; /* so that a NUL follows the path */
    struct ae_instance other;

    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    size = sizeof type;
    (void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    size = sizeof listens;
    (void)getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
    if (domain != AF_UNIX || type != SOCK_SEQPACKET || !listens)
        return ae_fail(-EINVAL,
                       "the service manager's socket isn't a listening AF_UNIX socket of type SOCK_SEQPACKET: use "
                       "ListenSequentialPacket=%s",
                       path);
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 || address.sun_path[0] != '/' ||
        ae_instance_init(&other, address.sun_path, 0) != 0 || strcmp(other.socket_path, path) != 0)
        return ae_fail(-EINVAL,
                       "the service manager listens at '%s', and aetherd is configured for '%s': use one path in "
                       "ListenSequentialPacket= and --socket",
                       address.sun_path, path);
    return 0;
}

static bool is_ours(const struct ae_listener *l, const struct stat *st) {
    return st->st_dev == l->file.st_dev && st->st_ino == l->file.st_ino;
}

static void get_directory(const struct ae_listener *l, char directory[sizeof l->instance->socket_path]) {
    char *slash;

    memcpy(directory, l->instance->socket_path, sizeof l->instance->socket_path);
    slash = strrchr(directory, '/');
    slash[slash == directory] = '\0'; /* "/" stays */
}

/* ---- what was removed ---- */

/* Serves those that wait at the old socket, whose file is gone, before it is closed. */
static void drain(struct ae_listener *l) {
    struct pollfd entry = {.fd = l->socket.fd, .events = POLLIN};

    for (int i = 0; i <= BACKLOG && l->socket.events != 0 && poll(&entry, 1, 0) > 0; i++)
        l->socket.fn(&l->socket, EPOLLIN);
}

static int listen_again(struct ae_listener *l) {
    const char *path = l->instance->socket_path;
    int fd = -1;
    int rc = listen_at(path, &fd, &l->file);

    if (rc != 0)
        return rc;
    drain(l);
    ae_source_remove(&l->socket);
    ae_close(&l->socket.fd);
    l->socket.fd = fd;
    l->socket.events = EPOLLIN;
    rc = ae_source_add(l->loop, &l->socket);
    if (rc != 0) { /* a socket that nobody serves must not stay: the next check would take it for ours */
        (void)unlink(path);
        ae_close(&l->socket.fd);
        return rc;
    }
    ae_log_line(AE_LOG_WARNING, "socket %s was removed: listening there again%s", path,
                l->handed ? "; restart the service manager's socket unit, which has lost it" : "");
    l->handed = false;
    return 0;
}

/* 0, or -errno with a text; -EBUSY: a second aetherd is trying to start, and has the new lock file for a moment. */
static int restore(struct ae_listener *l) {
    const char *path = l->instance->socket_path;
    char directory[sizeof l->instance->socket_path];
    struct stat st;

    get_directory(l, directory);
    if (l->directory_mode != 0 && mkdir(directory, l->directory_mode) == 0)
        ae_log_line(AE_LOG_WARNING, "directory %s was removed: made again", directory);
    const int rc = ae_instance_lock_again(l->instance, l->lock);
    if (rc != 0)
        return rc;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? listen_again(l) : ae_fail(-errno, "socket %s: %s", path, strerror(errno));
    if (!is_ours(l, &st))
        return ae_fail(-EEXIST, "socket %s was replaced by another file: remove that", path);
    return 0;
}

static void check_after(struct ae_listener *l, uint64_t delay_ns) {
    ae_timer_arm(l->loop, &l->check, ae_now_ns() + delay_ns);
    l->checking = true;
}

static void check_later(struct ae_listener *l) {
    if (!l->checking)
        check_after(l, SETTLE_NS);
}

void ae_listener_check(struct ae_listener *l) {
    const int rc = restore(l);

    if (rc == -EBUSY) {
        check_later(l);
        return;
    }
    if (rc != 0 && !l->warned)
        ae_log_line(AE_LOG_WARNING, "%s; until then no program can connect", aether_errmsg());
    l->warned = rc != 0;
    if (rc != 0 && rc != -EEXIST) /* another file is there: its removal is a change */
        check_after(l, RETRY_NS);
}

static void on_settled(struct ae_timer *timer) {
    struct ae_listener *l = AE_CONTAINER(timer, struct ae_listener, check);

    l->checking = false;
    ae_listener_check(l);
}

/* ---- watching ---- */

static void unwatch(struct ae_listener *l, int i) {
    ae_source_remove(&l->changes[i]);
    ae_path_watch_close(&l->watches[i]);
}

static void warn_unwatched(const char *path, int code) {
    ae_log_line(AE_LOG_WARNING, "%s can't be watched: %s%s; if it is removed, send SIGHUP", path, strerror(-code),
                code == -EMFILE   ? " (sysctl fs.inotify.max_user_instances, or ulimit -n)"
                : code == -ENOSPC ? " (sysctl fs.inotify.max_user_watches)"
                                  : "");
}

static void on_change(struct ae_listener *l, int i) {
    const int rc = ae_path_watch_read(&l->watches[i]);

    if (rc < 0) {
        warn_unwatched(l->watches[i].path, rc);
        unwatch(l, i);
    } else if (rc > 0) {
        check_later(l);
    }
}

static void on_socket_change(struct ae_source *source, uint32_t events) {
    (void)events;
    on_change(AE_CONTAINER(source, struct ae_listener, changes[0]), 0);
}

static void on_lock_change(struct ae_source *source, uint32_t events) {
    (void)events;
    on_change(AE_CONTAINER(source, struct ae_listener, changes[1]), 1);
}

static void watch(struct ae_listener *l) {
    const char *const paths[] = {l->instance->socket_path, l->instance->lock_path};
    void (*const fns[])(struct ae_source *, uint32_t) = {on_socket_change, on_lock_change};

    for (int i = 0; i < 2; i++) {
        int rc = ae_path_watch_open(&l->watches[i], paths[i]);
        if (rc == 0) {
            l->changes[i] = (struct ae_source){.fn = fns[i], .fd = l->watches[i].fd, .events = EPOLLIN};
            rc = ae_source_add(l->loop, &l->changes[i]);
        }
        if (rc != 0) {
            warn_unwatched(paths[i], rc);
            unwatch(l, i);
        }
    }
}

/* ---- open and close ---- */

int ae_listener_open(struct ae_listener *l, const struct ae_instance *instance, struct ae_loop *loop, int handed,
                     int *lock, void (*on_connect)(struct ae_source *source, uint32_t events)) {
    char directory[sizeof instance->socket_path];
    struct stat st;
    int rc;

    *l = (struct ae_listener){.socket = {.fn = on_connect, .fd = handed, .events = EPOLLIN},
                              .instance = instance,
                              .loop = loop,
                              .lock = lock,
                              .handed = handed >= 0,
                              .watches = {{.fd = -1}, {.fd = -1}},
                              .check = {.fn = on_settled}};
    rc = l->handed ? check_handed(handed, instance->socket_path)
                   : listen_at(instance->socket_path, &l->socket.fd, &l->file);
    if (rc != 0)
        return rc;
    if (l->handed)
        (void)lstat(instance->socket_path, &l->file);
    if ((rc = ae_source_add(loop, &l->socket)) != 0)
        return rc;
    get_directory(l, directory);
    /* Others must not have been able to write there: then a directory that we make isn't worse. */
    if (lstat(directory, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 022) == 0)
        l->directory_mode = st.st_mode & 07777;
    watch(l);
    check_later(l); /* the file may have been removed before it was watched */
    return 0;
}

void ae_listener_close(struct ae_listener *l) {
    struct stat st;

    for (int i = 0; i < 2; i++)
        unwatch(l, i);
    ae_timer_disarm(&l->check);
    if (l->socket.fd >= 0 && !l->handed && lstat(l->instance->socket_path, &st) == 0 && is_ours(l, &st))
        (void)unlink(l->instance->socket_path);
    ae_source_remove(&l->socket);
    ae_close(&l->socket.fd);
}

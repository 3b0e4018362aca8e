/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path_watch.h"
#include "base/socket.h"
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define CHANGES                                                                                                        \
    (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define TRIES 16 /* directories may come and go while the watch is placed */

/*
 * Writes the directory that holds the path's first `len` bytes, and finds the entry's name in it. False: there is
 * none, because the path is "/" or empty.
 */
static bool split(const char *path, size_t len, char directory[PATH_MAX], size_t *entry, size_t *entry_len) {
    while (len > 0 && path[len - 1] == '/')
        len--;
    size_t begin = len;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    if (begin == len)
        return false;
    *entry = begin;
    *entry_len = len - begin;
    if (begin == 0)
        strcpy(directory, ".");
    else
        (void)snprintf(directory, PATH_MAX, "%.*s", (int)begin, path);
    return true;
}

/* Does the entry that the watch waits for exist? Then a directory below the watched one can be watched. */
static bool entry_exists(const struct ae_path_watch *watch) {
    char path[AE_PATH_WATCH_MAX + 1];

    (void)snprintf(path, sizeof path, "%.*s", (int)(watch->entry + watch->entry_len), watch->path);
    return access(path, F_OK) == 0;
}

/* Watches the nearest directory that exists. */
static int place_once(struct ae_path_watch *watch) {
    size_t len = strlen(watch->path);
    char directory[PATH_MAX];
    size_t entry, entry_len;

    while (split(watch->path, len, directory, &entry, &entry_len)) {
        const int id = inotify_add_watch(watch->fd, directory, CHANGES);
        if (id >= 0) {
            /* It is the same descriptor if the directory is the same. */
            if (watch->directory >= 0 && watch->directory != id)
                (void)inotify_rm_watch(watch->fd, watch->directory);
            watch->directory = id;
            watch->entry = entry;
            watch->entry_len = entry_len;
            return 0;
        }
        if (errno != ENOENT && errno != ENOTDIR)
            return -errno;
        len = entry;
    }
    return -ENOENT;
}

static int place(struct ae_path_watch *watch) {
    int rc = 0;

    for (int i = 0; i < TRIES && rc == 0; i++) {
        rc = place_once(watch);
        /* The entry of an outer directory may have come before that directory was watched. */
        if (rc != 0 || watch->entry + watch->entry_len == strlen(watch->path) || !entry_exists(watch))
            return rc;
    }
    return rc;
}

int ae_path_watch_open(struct ae_path_watch *watch, const char *path) {
    *watch = (struct ae_path_watch){.fd = -1, .directory = -1};
    if (strlen(path) > AE_PATH_WATCH_MAX)
        return -ENAMETOOLONG;
    (void)snprintf(watch->path, sizeof watch->path, "%s", path);
    watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->fd < 0)
        return -errno;
    const int rc = place(watch);
    if (rc != 0)
        ae_path_watch_close(watch);
    return rc;
}

/* Events without a name are about the directory itself. */
static bool concerns(const struct ae_path_watch *watch, const struct inotify_event *event) {
    if ((event->mask & IN_Q_OVERFLOW) != 0)
        return true;
    if (event->wd != watch->directory)
        return false; /* of a directory that was watched before */
    return event->len == 0 || (strlen(event->name) == watch->entry_len &&
                               memcmp(event->name, watch->path + watch->entry, watch->entry_len) == 0);
}

int ae_path_watch_read(struct ae_path_watch *watch) {
    _Alignas(struct inotify_event) char events[4096];
    bool changed = false;
    ssize_t len;

    while ((len = read(watch->fd, events, sizeof events)) > 0 || (len < 0 && errno == EINTR)) {
        for (const char *at = events; len > 0 && at < events + len;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
            changed |= concerns(watch, event);
            at += sizeof *event + event->len;
        }
    }
    if (len < 0 && errno != EAGAIN)
        return -errno;
    if (!changed)
        return 0;
    const int rc = place(watch);
    return rc < 0 ? rc : 1;
}

void ae_path_watch_close(struct ae_path_watch *watch) {
    ae_close(&watch->fd);
    watch->directory = -1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path_watch.h - notices that a file appears at a path, is replaced or goes away, also while its directory doesn't
 * exist.
 *
 * It watches the nearest directory that exists, and only what happens to the entry that leads to the path. So a file
 * that comes and goes beside it wakes nobody. Not noticed: that a directory above the watched one is renamed, and
 * changes by other machines on a network file system. Whoever waits for a change should check now and then, too.
 *
 * Nothing blocks. One thread at a time uses a watch. The functions return -errno codes without setting
 * aether_errmsg().
 */
#ifndef AE_BASE_PATH_WATCH_H
#define AE_BASE_PATH_WATCH_H

#include <stddef.h>

#define AE_PATH_WATCH_MAX 255u /* bytes of the longest path */

struct ae_path_watch {
    int fd;                  /* readable when something may have changed; -1: the watch isn't open */
    int directory;           /* inotify's descriptor of the watched directory; -1: none */
    size_t entry, entry_len; /* what of the path names the entry of that directory */
    char path[AE_PATH_WATCH_MAX + 1];
};

/*
 * Watches a path. A change after the return isn't missed. 0, or -errno: -EMFILE and -ENOSPC the user has no inotify
 * instance or watch left; -EACCES the directory can't be read; -ENAMETOOLONG. After an error watch->fd is -1.
 */
int ae_path_watch_open(struct ae_path_watch *watch, const char *path);

/*
 * Reads what has happened. 1: the path may have changed, and a change after this return isn't missed; 0: it hasn't;
 * -errno as ae_path_watch_open(): this watch notices nothing any more.
 */
int ae_path_watch_read(struct ae_path_watch *watch);

/* Also after an error, and more than once. */
void ae_path_watch_close(struct ae_path_watch *watch);

#endif

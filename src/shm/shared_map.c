/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/shared_map.h"
#include <aether/detail/atomic.h>
#ifdef AE_TSAN
#include "base/socket.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct entry {
    struct entry *next;
    dev_t dev;
    ino_t ino;
    void *base;
    size_t bytes;
    unsigned int count;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries;
static pid_t owner; /* the process to which the entries belong */

/* A forked child has a copy of the table but none of the mappings. */
static void forget_parents(void) {
    if (owner != getpid())
        entries = NULL;
    owner = getpid();
}

/*
 * Maps a whole object read-write, also if fd is read-only: another handle of this process may need to write through the
 * same mapping.
 */
static int map_new(int fd, const struct stat *status, struct entry **entry) {
    char path[40];
    int writable = -1;
    int rc = 0;

    *entry = calloc(1, sizeof **entry);
    if (*entry == NULL)
        return -ENOMEM;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    writable = open(path, O_RDWR | O_CLOEXEC);
    if (writable < 0) {
        rc = -errno;
        goto free_entry;
    }
    (*entry)->bytes = (size_t)status->st_size;
    (*entry)->base = mmap(NULL, (*entry)->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, writable, 0);
    if ((*entry)->base == MAP_FAILED)
        rc = -errno;
    ae_close(&writable);
    if (rc == 0) {
        (*entry)->dev = status->st_dev;
        (*entry)->ino = status->st_ino;
        return 0;
    }
free_entry:
    free(*entry);
    return rc;
}

static struct entry *find(dev_t dev, ino_t ino, uint64_t bytes) {
    struct entry *entry = entries;

    while (entry != NULL && (entry->dev != dev || entry->ino != ino || entry->bytes != bytes))
        entry = entry->next;
    return entry;
}

static void *use(struct entry *entry) {
    if (entry->count++ == 0) {
        entry->next = entries;
        entries = entry;
    }
    return entry->base;
}

int ae_shared_map(int fd, const struct stat *status, void **base) {
    int rc = 0;

    pthread_mutex_lock(&lock);
    forget_parents();
    struct entry *entry = find(status->st_dev, status->st_ino, (uint64_t)status->st_size);
    if (entry == NULL)
        rc = map_new(fd, status, &entry);
    if (rc == 0)
        *base = use(entry);
    pthread_mutex_unlock(&lock);
    return rc;
}

static bool holds(const struct entry *entry, const void *at) {
    const unsigned char *base = entry->base, *byte = at;

    return byte >= base && byte < base + entry->bytes;
}

/* Maps the object of an entry once more, as large as it is now. */
static int map_grown(const struct entry *old, uint64_t bytes, struct entry **entry) {
    *entry = calloc(1, sizeof **entry);
    if (*entry == NULL)
        return -ENOMEM;
    **entry = (struct entry){.dev = old->dev, .ino = old->ino, .bytes = bytes};
    (*entry)->base = mremap(old->base, 0, bytes, MREMAP_MAYMOVE);
    if ((*entry)->base != MAP_FAILED)
        return 0;
    const int rc = -errno;
    free(*entry);
    return rc;
}

int ae_shared_map_again(const void *base, uint64_t bytes, void **again) {
    int rc = -EINVAL;

    pthread_mutex_lock(&lock);
    forget_parents();
    const struct entry *old = entries;
    while (old != NULL && !holds(old, base))
        old = old->next;
    struct entry *entry = old != NULL ? find(old->dev, old->ino, bytes) : NULL;
    if (old != NULL)
        rc = entry != NULL ? 0 : map_grown(old, bytes, &entry);
    if (rc == 0)
        *again = use(entry);
    pthread_mutex_unlock(&lock);
    return rc;
}

void ae_shared_unmap(const void *at) {
    struct entry **link = &entries;

    pthread_mutex_lock(&lock);
    forget_parents();
    while (*link != NULL && !holds(*link, at))
        link = &(*link)->next;
    struct entry *entry = *link;
    if (entry != NULL && --entry->count == 0) {
        *link = entry->next;
        munmap(entry->base, entry->bytes);
        free(entry);
    }
    pthread_mutex_unlock(&lock);
}

#endif

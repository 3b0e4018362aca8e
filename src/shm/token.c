/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/token.h"
#include "base/error.h"
#include "base/socket.h"
#include "shm/segment.h"
#include <aether/detail/layout.h>
#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

int ae_token_create(const char *name) {
    int rc;
    /* If aetherd dies before it takes the lock, it leaves a free token. That is right, because no client holds it. */
    int fd = ae_segment_create(name, AE_PAGE, AE_PAGE);

    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        rc = ae_fail(-errno, "cannot lock token %s: %s", name + 1, strerror(errno));
        ae_segment_remove(name);
        ae_close(&fd);
        return rc;
    }
    return fd;
}

int ae_token_hold(int fd, void **map) {
    void *base = mmap(NULL, AE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int rc = 0;

    if (base == MAP_FAILED) {
        rc = ae_segment_fail_map("map the token", -errno);
    } else if (madvise(base, AE_PAGE, MADV_DONTFORK) != 0) {
        rc = ae_segment_fail_map("keep the token from forked children", -errno);
        munmap(base, AE_PAGE);
    } else {
        *map = base;
    }
    ae_close(&fd);
    return rc;
}

void ae_token_drop(void *map) {
    if (map != NULL)
        munmap(map, AE_PAGE);
}

void ae_token_disown(void *map, uint64_t from) {
    /* Orders nothing: 0 is stored before the request is sent, and any other value only after its reply was awaited. */
    ae_store_relaxed((ae_u64 *)map, from);
}

int ae_token_free(const char *name, uint32_t uid) {
    return ae_token_check(name, uid, NULL);
}

int ae_token_check(const char *name, uint32_t uid, uint64_t *disowned) {
    int fd = ae_segment_open(name, false, uid, 0, NULL);
    int rc;

    if (disowned != NULL)
        *disowned = 0;
    if (fd < 0)
        return fd == -ENOENT ? 1 : fd;
    /* Shared, so that two processes that ask at the same time don't take each other for the holder. */
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        rc = 1;
    else if (errno == EWOULDBLOCK)
        rc = 0;
    else
        rc = ae_fail(-errno, "cannot look at the lock of token %s: %s", name + 1, strerror(errno));
    if (rc == 0 && disowned != NULL && pread(fd, disowned, sizeof *disowned, 0) != (ssize_t)sizeof *disowned)
        *disowned = 0;
    ae_close(&fd);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/segment.h"
#include "base/error.h"
#include "base/socket.h"
#include "base/text.h"
#include "shm/shared_map.h"
#include <aether/detail/layout.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Where the C library keeps what shm_open() makes. */
#define SHM_DIRECTORY "/dev/shm"

/* Linux 5.14; the C library's headers may be older. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

static int fail_no_space(const char *name, uint64_t bytes, const struct statvfs *fs) {
    char need[AE_TEXT_SIZE_BYTES], left[AE_TEXT_SIZE_BYTES], all[AE_TEXT_SIZE_BYTES];

    if (fs->f_files != 0 && fs->f_favail == 0)
        return ae_fail(-ENOSPC,
                       "cannot create %s: " SHM_DIRECTORY " has no room for another file (its limit is %" PRIu64 ")",
                       name + 1, (uint64_t)fs->f_files);
    return ae_fail(-ENOSPC, "cannot create %s: needs %s, %s free of %s in " SHM_DIRECTORY, name + 1,
                   ae_text_size(need, bytes), ae_text_size(left, fs->f_bavail * fs->f_frsize),
                   ae_text_size(all, fs->f_blocks * fs->f_frsize));
}

/* Is there room, before anything is made? A file system without a limit of its own says 0 blocks. */
static int check_space(const char *name, uint64_t bytes) {
    struct statvfs fs;

    if (statvfs(SHM_DIRECTORY, &fs) != 0)
        return 0;
    if ((fs.f_blocks != 0 && bytes > fs.f_bavail * fs.f_frsize) || (fs.f_files != 0 && fs.f_favail == 0))
        return fail_no_space(name, bytes, &fs);
    return 0;
}

/* The text for an object that couldn't be made or allocated. */
static int fail_create(int code, const char *name, uint64_t bytes) {
    char need[AE_TEXT_SIZE_BYTES], have[AE_TEXT_SIZE_BYTES];
    struct statvfs fs;
    struct rlimit limit;

    if (code == ENOSPC && statvfs(SHM_DIRECTORY, &fs) == 0)
        return fail_no_space(name, bytes, &fs);
    if (code == EFBIG && getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        bytes > limit.rlim_cur)
        return ae_fail(-EFBIG, "cannot create %s: needs %s, but this process may write files of at most %s (ulimit -f)",
                       name + 1, ae_text_size(need, bytes), ae_text_size(have, limit.rlim_cur));
    return ae_fail(-code, "cannot create %s with %s in " SHM_DIRECTORY ": %s", name + 1, ae_text_size(need, bytes),
                   strerror(code));
}

int ae_segment_create(const char *name, uint64_t bytes) {
    int fd = -1;
    int rc;

    if (bytes == 0 || bytes > INT64_MAX)
        return ae_fail(-EINVAL, "cannot create %s with %" PRIu64 " bytes", name + 1, bytes);
    rc = check_space(name, bytes);
    if (rc != 0)
        return rc;
    rc = ae_memory_check(bytes);
    if (rc != 0)
        return rc;
    fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_create(errno, name, bytes);
    if (fchmod(fd, 0600) != 0) { /* whatever the umask is */
        rc = fail_create(errno, name, bytes);
        goto remove;
    }
    do {
        rc = posix_fallocate(fd, 0, (off_t)bytes);
    } while (rc == EINTR);
    if (rc != 0) {
        rc = fail_create(rc, name, bytes);
        goto remove;
    }
    return fd;

remove:
    shm_unlink(name);
    ae_close(&fd);
    return rc;
}

static int check_object(const struct stat *status, const char *name, uint32_t uid, uint64_t bytes) {
    if (!S_ISREG(status->st_mode))
        return ae_fail(-EBADMSG, "%s in " SHM_DIRECTORY " isn't a regular file: remove it", name + 1);
    if (status->st_uid != uid)
        return ae_fail(-EACCES, "%s in " SHM_DIRECTORY " belongs to user %u, not to %" PRIu32, name + 1,
                       (unsigned)status->st_uid, uid);
    if (bytes != 0 && (uint64_t)status->st_size != bytes)
        return ae_fail(-EBADMSG, "%s in " SHM_DIRECTORY " has %" PRIu64 " bytes, not %" PRIu64, name + 1,
                       (uint64_t)status->st_size, bytes);
    return 0;
}

int ae_segment_open(const char *name, bool writable, uint32_t uid, uint64_t bytes, uint64_t *size) {
    struct stat status;
    int rc;
    /* Non-blocking: somebody may have put a pipe there. */
    int fd = shm_open(name, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);

    if (fd < 0) {
        rc = errno;
        /* A symbolic link, a socket or a directory (which shm_open() calls EINVAL): nothing that aetherd put there. */
        if (rc == ELOOP || rc == ENXIO || rc == EISDIR || rc == EINVAL)
            return ae_fail(-EBADMSG, "%s in " SHM_DIRECTORY " isn't a regular file: remove it", name + 1);
        return ae_fail(-rc, "cannot open %s in " SHM_DIRECTORY ": %s", name + 1, strerror(rc));
    }
    if (fstat(fd, &status) != 0)
        rc = ae_fail(-errno, "cannot look at %s in " SHM_DIRECTORY ": %s", name + 1, strerror(errno));
    else
        rc = check_object(&status, name, uid, bytes);
    if (rc != 0) {
        ae_close(&fd);
        return rc;
    }
    if (size != NULL)
        *size = (uint64_t)status.st_size;
    return fd;
}

int ae_segment_remove(const char *name) {
    if (shm_unlink(name) != 0 && errno != ENOENT)
        return ae_fail(-errno, "cannot remove %s from " SHM_DIRECTORY ": %s", name + 1, strerror(errno));
    return 0;
}

/* Older kernels can't populate with an error: every page must be there already, then touching it can't fail. */
static int touch(int fd, const void *base, uint64_t bytes) {
    struct stat status;

    if (fstat(fd, &status) != 0)
        return -errno;
    if ((uint64_t)status.st_blocks * 512 < bytes)
        return -ENOMEM;
    for (uint64_t off = 0; off < bytes; off += AE_PAGE)
        (void)ae_load_relaxed((const ae_u64 *)(const void *)((const unsigned char *)base + off));
    return 0;
}

static int populate(int fd, void *base, uint64_t bytes, bool writable) {
    int rc;

    do {
        rc = madvise(base, bytes, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0 ? 0 : -errno;
    } while (rc == -EINTR);
    if (rc == -EINVAL)
        rc = touch(fd, base, bytes);
    return rc == -EFAULT || rc == -EHWPOISON ? -ENOMEM : rc;
}

int ae_segment_map(int fd, uint64_t bytes, bool writable, bool populated, void **base) {
    char size[AE_TEXT_SIZE_BYTES];
    struct stat status;
    void *map;
    int rc;

    if (fstat(fd, &status) != 0)
        return ae_fail(-errno, "cannot look at a shared-memory object: %s", strerror(errno));
    if (bytes == 0 || bytes > INT64_MAX || (uint64_t)status.st_size < bytes)
        return ae_fail(-EBADMSG, "shared-memory object has %" PRIu64 " bytes where %" PRIu64 " are needed",
                       (uint64_t)status.st_size, bytes);
#ifdef AE_TSAN
    rc = ae_shared_map(fd, &status, &map);
#else
    map = mmap(NULL, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    rc = map == MAP_FAILED ? -errno : 0;
#endif
    if (rc != 0)
        return ae_fail(rc, "cannot map %s of shared memory: %s", ae_text_size(size, bytes), strerror(-rc));
    if (madvise(map, bytes, MADV_DONTFORK) != 0)
        rc = -errno;
    else if (populated)
        rc = populate(fd, map, bytes, writable);
    if (rc != 0) {
        ae_segment_unmap(map, bytes);
        return ae_fail(rc, "cannot map and populate %s of shared memory: %s", ae_text_size(size, bytes), strerror(-rc));
    }
    *base = map;
    return 0;
}

void ae_segment_unmap(void *base, uint64_t bytes) {
    if (base == NULL)
        return;
#ifdef AE_TSAN
    (void)bytes;
    ae_shared_unmap(base);
#else
    munmap(base, bytes);
#endif
}

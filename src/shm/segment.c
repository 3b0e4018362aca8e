/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/segment.h"
#include "base/error.h"
#include "base/socket.h"
#include "base/text.h"
#include "shm/memory.h"
#include "shm/shared_map.h"
#include <aether/detail/layout.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The directory in which shm_open() of the C library creates objects. */
#define SHM_DIRECTORY "/dev/shm"

/* Linux 5.14; the C library's headers may be older. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/* doing: the verb of the text, such as "create". */
static int fail_no_space(const char *doing, const char *name, uint64_t bytes, const struct statvfs *fs) {
    char need[AE_TEXT_SIZE_BYTES], left[AE_TEXT_SIZE_BYTES], all[AE_TEXT_SIZE_BYTES];

    if (fs->f_files != 0 && fs->f_favail == 0)
        return ae_fail(-ENOSPC,
                       "cannot %s %s: " SHM_DIRECTORY " has no room for another file (its limit is %" PRIu64 ")", doing,
                       name + 1, (uint64_t)fs->f_files);
    return ae_fail(-ENOSPC, "cannot %s %s: needs %s, %s free of %s in " SHM_DIRECTORY, doing, name + 1,
                   ae_text_size(need, bytes), ae_text_size(left, fs->f_bavail * fs->f_frsize),
                   ae_text_size(all, fs->f_blocks * fs->f_frsize));
}

/*
 * Checks before an allocation whether there is room for it, and for a new file if new_file. A file system without a
 * limit states 0 blocks.
 */
static int check_room(const char *doing, bool new_file, const char *name, uint64_t bytes) {
    struct statvfs fs;

    if (statvfs(SHM_DIRECTORY, &fs) == 0) {
        if (!new_file)
            fs.f_files = 0;
        if ((fs.f_blocks != 0 && bytes > fs.f_bavail * fs.f_frsize) || (fs.f_files != 0 && fs.f_favail == 0))
            return fail_no_space(doing, name, bytes, &fs);
    }
    return ae_memory_check(bytes);
}

/* Sets the text for an object that couldn't be created or allocated. */
static int fail_to(const char *doing, int code, const char *name, uint64_t bytes) {
    char need[AE_TEXT_SIZE_BYTES], have[AE_TEXT_SIZE_BYTES];
    struct statvfs fs;
    struct rlimit limit;

    if (code == ENOSPC && statvfs(SHM_DIRECTORY, &fs) == 0)
        return fail_no_space(doing, name, bytes, &fs);
    if (code == EFBIG && getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        return ae_fail(-EFBIG, "cannot %s %s: needs %s, but this process may write files of at most %s (ulimit -f)",
                       doing, name + 1, ae_text_size(need, bytes), ae_text_size(have, limit.rlim_cur));
    return ae_fail(-code, "cannot %s %s with %s in " SHM_DIRECTORY ": %s", doing, name + 1, ae_text_size(need, bytes),
                   strerror(code));
}

/* 0 or a positive errno code. */
static int allocate(int fd, uint64_t offset, uint64_t bytes) {
    int code;

    do {
        code = posix_fallocate(fd, (off_t)offset, (off_t)bytes);
    } while (code == EINTR);
    return code;
}

int ae_segment_create(const char *name, uint64_t size, uint64_t allocated) {
    int fd = -1;
    int code, rc;

    if (size == 0 || size > INT64_MAX || allocated == 0 || allocated > size)
        return ae_fail(-EINVAL, "cannot create %s with %" PRIu64 " bytes, %" PRIu64 " of them allocated", name + 1,
                       size, allocated);
    rc = check_room("create", true, name, allocated);
    if (rc != 0)
        return rc;
    fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_to("create", errno, name, size);
    code = fchmod(fd, 0600) == 0 ? 0 : errno; /* the umask may have removed bits */
    if (code == 0)
        code = allocate(fd, 0, allocated);
    if (code == 0 && size > allocated && ftruncate(fd, (off_t)size) != 0)
        code = errno;
    if (code == 0)
        return fd;
    rc = fail_to("create", code, name, code == EFBIG ? size : allocated);
    shm_unlink(name);
    ae_close(&fd);
    return rc;
}

int ae_segment_allocate(int fd, uint64_t offset, uint64_t bytes, const char *name) {
    struct stat status;
    int rc;

    if (fstat(fd, &status) != 0)
        return ae_fail(-errno, "cannot look at %s in " SHM_DIRECTORY ": %s", name + 1, strerror(errno));
    const uint64_t size = (uint64_t)status.st_size;
    if (bytes == 0 || offset > size || bytes > size - offset)
        return ae_fail(-EBADMSG,
                       "%s in " SHM_DIRECTORY " has %" PRIu64 " bytes where %" PRIu64 " are needed from %" PRIu64,
                       name + 1, size, bytes, offset);
    /*
     * No room is needed if all pages were written to. Pages that were only allocated still count as a hole: for them
     * the check asks for more room than is needed.
     */
    if (lseek(fd, (off_t)offset, SEEK_HOLE) >= (off_t)(offset + bytes))
        return 0;
    rc = check_room("extend", false, name, bytes);
    if (rc != 0)
        return rc;
    rc = allocate(fd, offset, bytes);
    return rc == 0 ? 0 : fail_to("extend", rc, name, bytes);
}

int ae_segment_resize(int fd, uint64_t bytes, const char *name) {
    if (bytes == 0 || bytes > INT64_MAX)
        return ae_fail(-EINVAL, "cannot make %s have %" PRIu64 " bytes", name + 1, bytes);
    return ftruncate(fd, (off_t)bytes) == 0 ? 0 : fail_to("resize", errno, name, bytes);
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
    /* Non-blocking, because another process may have put a pipe there. */
    int fd = shm_open(name, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);

    if (fd < 0) {
        rc = errno;
        /* A symbolic link, a socket or a directory (EINVAL of shm_open()): aetherd creates none of them. */
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

int ae_segment_allocated(const char *name, uint32_t uid, uint64_t bytes, uint64_t *allocated) {
    char path[sizeof SHM_DIRECTORY + NAME_MAX];
    struct stat status;

    snprintf(path, sizeof path, SHM_DIRECTORY "%s", name);
    if (lstat(path, &status) != 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || (bytes != 0 && (uint64_t)status.st_size != bytes))
        return -EBADMSG;
    if (status.st_uid != uid)
        return -EACCES;
    *allocated = (uint64_t)status.st_blocks * 512;
    return 0;
}

uint64_t ae_segment_inode(int fd) {
    struct stat status;

    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

int ae_segment_replaced(const char *name, uint32_t uid, uint64_t inode) {
    int fd = ae_segment_open(name, false, uid, 0, NULL);

    if (fd < 0)
        return 0;
    const uint64_t now = ae_segment_inode(fd);
    ae_close(&fd);
    return now != 0 && now != inode;
}

int ae_segment_remove(const char *name) {
    if (shm_unlink(name) != 0 && errno != ENOENT)
        return ae_fail(-errno, "cannot remove %s from " SHM_DIRECTORY ": %s", name + 1, strerror(errno));
    return 0;
}

/*
 * Populates a mapping on kernels before 5.14. A system call that reads from a page makes it present, too, and returns
 * EFAULT if a load would raise SIGBUS.
 */
static int touch(const unsigned char *base, uint64_t bytes) {
    unsigned char unused[64];
    int ends[2], rc = 0;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    for (uint64_t off = 0; rc == 0 && off < bytes; off += AE_PAGE) {
        while (write(ends[1], base + off, 1) != 1) {
            if (errno != EINTR) {
                rc = -errno;
                break;
            }
        }
        while (rc == 0 && read(ends[0], unused, sizeof unused) < 0 && errno == EINTR)
            continue;
    }
    ae_close(&ends[0]);
    ae_close(&ends[1]);
    return rc;
}

/* 0 or -errno without a text. */
static int populate(void *base, uint64_t bytes, bool writable) {
    int rc;

    do {
        rc = madvise(base, bytes, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0 ? 0 : -errno;
    } while (rc == -EINTR);
    if (rc == -EINVAL)
        rc = touch(base, bytes);
    return rc == -EFAULT || rc == -EHWPOISON ? -ENOMEM : rc;
}

int ae_segment_fail_map(const char *doing, int code) {
    char size[AE_TEXT_SIZE_BYTES];
    struct rlimit limit;

    if (code == -EAGAIN && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        return ae_fail(code,
                       "cannot %s: this program locks its memory (mlockall) and its limit of %s is used up: ulimit -l",
                       doing, ae_text_size(size, limit.rlim_cur));
    return ae_fail(code, "cannot %s: %s", doing, strerror(-code));
}

/* As above, for so many bytes of shared memory. */
static int fail_map(const char *verb, uint64_t bytes, const char *after, int code) {
    char size[AE_TEXT_SIZE_BYTES], doing[96];

    (void)snprintf(doing, sizeof doing, "%s %s of shared memory%s", verb, ae_text_size(size, bytes), after);
    return ae_segment_fail_map(doing, code);
}

int ae_segment_populate(void *base, uint64_t offset, uint64_t bytes, bool writable) {
    const int rc = populate((unsigned char *)base + offset, bytes, writable);

    return rc == 0 ? 0 : fail_map("populate", bytes, "", rc);
}

int ae_segment_map_part(int fd, uint64_t offset, uint64_t bytes, bool writable, bool populated, void **base) {
    struct stat status;
    void *map;
    int rc;

    if (fstat(fd, &status) != 0)
        return ae_fail(-errno, "cannot look at a shared-memory object: %s", strerror(errno));
    const uint64_t has = (uint64_t)status.st_size;
    if (bytes == 0 || offset > has || bytes > has - offset)
        return ae_fail(-EBADMSG, "shared-memory object has %" PRIu64 " bytes where %" PRIu64 " are needed", has,
                       offset + bytes);
#ifdef AE_TSAN
    rc = ae_shared_map(fd, &status, &map);
    if (rc == 0)
        map = (unsigned char *)map + offset;
#else
    map = mmap(NULL, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, (off_t)offset);
    rc = map == MAP_FAILED ? -errno : 0;
#endif
    if (rc != 0)
        return fail_map("map", bytes, "", rc);
    if (madvise(map, bytes, MADV_DONTFORK) != 0)
        rc = -errno;
    else if (populated)
        rc = populate(map, bytes, writable);
    if (rc != 0) {
        ae_segment_unmap(map, bytes);
        return fail_map("map and populate", bytes, "", rc);
    }
    *base = map;
    return 0;
}

int ae_segment_map(int fd, uint64_t bytes, bool writable, bool populated, void **base) {
    return ae_segment_map_part(fd, 0, bytes, writable, populated, base);
}

int ae_segment_map_again(void *base, uint64_t bytes, void **again) {
    void *map;
    int rc;

#ifdef AE_TSAN
    rc = ae_shared_map_again(base, bytes, &map);
#else
    /* With an old length of 0 a shared mapping stays, and its object is mapped once more, as large as it is now. */
    map = mremap(base, 0, bytes, MREMAP_MAYMOVE);
    rc = map == MAP_FAILED ? -errno : 0;
#endif
    if (rc == 0 && madvise(map, bytes, MADV_DONTFORK) != 0) {
        rc = -errno;
        ae_segment_unmap(map, bytes);
    }
    if (rc != 0)
        return fail_map("map", bytes, " again", rc);
    *again = map;
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

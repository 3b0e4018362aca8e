/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/segment.h"
#include "base/socket.h"
#include <aether/detail/layout.h>
#include <aether/error.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define SKIPPED 77

static char name[64], path[96]; /* of the object under test */

/* Creates an object without a hole. */
static int create(const char *object, uint64_t bytes) {
    return ae_segment_create(object, bytes, bytes);
}

static int setup(void **state) {
    (void)state;
    snprintf(name, sizeof name, "/aether-segment-test-%d", (int)getpid());
    snprintf(path, sizeof path, "/dev/shm%s", name);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    remove(path);
    return 0;
}

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s; \"%s\"\n", __FILE__, __LINE__, #condition, aether_errmsg());                   \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

/* Runs body in a child process, which it may change as a whole. Skips the test if body ends with SKIPPED. */
static void in_child(void (*body)(void)) {
    int status;

    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        skip();
    assert_int_equal(status, 0);
}

/* Mounts a small tmpfs on /dev/shm that no other process sees. */
static void private_shm(const char *options) {
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/dev/shm", "tmpfs", 0, options) != 0)
        _exit(SKIPPED);
}

/* The number of pages of a mapping that are in this process's page table. */
static size_t pages_present(const void *base, size_t bytes) {
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    size_t present = 0;

    for (size_t off = 0; off < bytes; off += AE_PAGE) {
        uint64_t entry = 0;
        const off_t at = (off_t)(((uintptr_t)base + off) / AE_PAGE * sizeof entry);
        if (pread(fd, &entry, sizeof entry, at) == (ssize_t)sizeof entry)
            present += entry >> 63;
    }
    ae_close(&fd);
    return present;
}

static void created_object(void **state) {
    const mode_t old = umask(0777);
    struct stat status;
    int fd = create(name, 3 * AE_PAGE + 8);

    (void)state;
    umask(old);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0600);
    assert_int_equal(status.st_size, 3 * AE_PAGE + 8);
    assert_int_equal(status.st_blocks * 512, 4 * AE_PAGE); /* allocated, not a hole */

    assert_int_equal(create(name, AE_PAGE), -EEXIST);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 3 * AE_PAGE + 8);
    ae_close(&fd);
    assert_int_equal(ae_segment_remove(name), 0);
    assert_int_equal(ae_segment_remove(name), 0);
    assert_int_equal(stat(path, &status), -1);
}

static void impossible_sizes(void **state) {
    struct stat status;

    (void)state;
    assert_int_equal(create(name, 0), -EINVAL);
    assert_int_equal(create(name, UINT64_MAX), -EINVAL);
    assert_true(create(name, 1ull << 60) < 0);
    assert_int_equal(ae_segment_create(name, AE_PAGE, 0), -EINVAL);
    assert_int_equal(ae_segment_create(name, AE_PAGE, AE_PAGE + 1), -EINVAL);
    assert_int_equal(stat(path, &status), -1);
}

static uint64_t allocated(int fd) {
    struct stat status;

    assert_int_equal(fstat(fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

/* Only the requested part of a hole is allocated, and allocated bytes keep their content. */
static void sparse_object(void **state) {
    const uint64_t size = 128ull << 30; /* the largest size of lanes, which may be more memory than the machine has */
    unsigned char byte = 7;
    int fd = ae_segment_create(name, size, 3 * AE_PAGE);

    (void)state;
    assert_true(fd >= 0);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    assert_true((uint64_t)status.st_size == size);
    assert_int_equal(allocated(fd), 3 * AE_PAGE);
    assert_int_equal(ae_segment_allocate(fd, size - 2 * AE_PAGE, 2 * AE_PAGE, name), 0);
    assert_int_equal(allocated(fd), 5 * AE_PAGE);
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)(size - 1)), 1);
    assert_int_equal(ae_segment_allocate(fd, size - 2 * AE_PAGE, 2 * AE_PAGE, name), 0);
    byte = 0;
    assert_int_equal(pread(fd, &byte, 1, (off_t)(size - 1)), 1);
    assert_int_equal(byte, 7);
    assert_int_equal(allocated(fd), 5 * AE_PAGE);

    assert_int_equal(ae_segment_allocate(fd, size - AE_PAGE, 2 * AE_PAGE, name), -EBADMSG);
    assert_int_equal(ae_segment_allocate(fd, size + AE_PAGE, 1, name), -EBADMSG);
    assert_int_equal(ae_segment_allocate(fd, AE_PAGE, UINT64_MAX, name), -EBADMSG);
    assert_int_equal(ae_segment_allocate(fd, AE_PAGE, 0, name), -EBADMSG);
    assert_int_equal(ae_segment_allocate(-1, 0, AE_PAGE, name), -EBADF);
    assert_int_equal(fstat(fd, &status), 0);
    assert_true((uint64_t)status.st_size == size);
    ae_close(&fd);
}

/* Only the requested part is populated. */
static void populated_part(void **state) {
    int fd = ae_segment_create(name, 64 * AE_PAGE, 16 * AE_PAGE);
    void *base = NULL;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ae_segment_map(fd, 64 * AE_PAGE, true, false, &base), 0);
    const size_t before = pages_present((unsigned char *)base + 8 * AE_PAGE, 4 * AE_PAGE);
    assert_int_equal(before, 0);
    assert_int_equal(ae_segment_populate(base, 8 * AE_PAGE, 4 * AE_PAGE, true), 0);
    assert_int_equal(pages_present((unsigned char *)base + 8 * AE_PAGE, 4 * AE_PAGE), 4);
    assert_int_equal(allocated(fd), 16 * AE_PAGE);
    assert_int_equal(ae_segment_allocate(fd, 32 * AE_PAGE, 8 * AE_PAGE, name), 0);
    assert_int_equal(ae_segment_populate(base, 32 * AE_PAGE, 8 * AE_PAGE, false), 0);
    assert_int_equal(pages_present((unsigned char *)base + 32 * AE_PAGE, 8 * AE_PAGE), 8);
    assert_int_equal(allocated(fd), 24 * AE_PAGE);
    assert_int_equal(ftruncate(fd, 8 * AE_PAGE), 0); /* as a hostile client can do */
    assert_int_equal(ae_segment_populate(base, 32 * AE_PAGE, 8 * AE_PAGE, false), -ENOMEM);
    assert_non_null(strstr(aether_errmsg(), "32 KiB"));
    ae_segment_unmap(base, 64 * AE_PAGE);
    ae_close(&fd);
}

static void opened_object(void **state) {
    int fd = create(name, AE_PAGE);
    const uint32_t uid = (uint32_t)geteuid();
    uint64_t size = 0;

    (void)state;
    assert_true(fd >= 0);
    ae_close(&fd);
    fd = ae_segment_open(name, false, uid, AE_PAGE, &size);
    assert_true(fd >= 0);
    assert_int_equal(size, AE_PAGE);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    ae_close(&fd);
    fd = ae_segment_open(name, true, uid, 0, NULL);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    ae_close(&fd);
    assert_int_equal(ae_segment_open(name, false, uid, AE_PAGE - 1, NULL), -EBADMSG);
    assert_int_equal(ae_segment_open(name, false, uid, AE_PAGE + 1, NULL), -EBADMSG);
    assert_int_equal(ae_segment_open(name, false, uid + 1, AE_PAGE, NULL), -EACCES);
    assert_int_equal(ae_segment_remove(name), 0);
    assert_int_equal(ae_segment_open(name, false, uid, 0, NULL), -ENOENT);
}

static void allocated_bytes(void **state) {
    const uint32_t uid = (uint32_t)geteuid();
    uint64_t bytes = 0;
    int fd = ae_segment_create(name, 16 * AE_PAGE, 2 * AE_PAGE);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ae_segment_allocated(name, uid, 16 * AE_PAGE, &bytes), 0);
    assert_int_equal(bytes, 2 * AE_PAGE);
    assert_int_equal(ae_segment_allocate(fd, 8 * AE_PAGE, AE_PAGE, name), 0);
    assert_int_equal(ae_segment_allocated(name, uid, 0, &bytes), 0);
    assert_int_equal(bytes, 3 * AE_PAGE);
    ae_close(&fd);
    assert_int_equal(ae_segment_allocated(name, uid, AE_PAGE, &bytes), -EBADMSG);
    assert_int_equal(ae_segment_allocated(name, uid + 1, 0, &bytes), -EACCES);
    assert_int_equal(ae_segment_remove(name), 0);
    assert_int_equal(ae_segment_allocated(name, uid, 0, &bytes), -ENOENT);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(ae_segment_allocated(name, uid, 0, &bytes), -EBADMSG);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(bytes, 3 * AE_PAGE);
}

static void planted_objects(void **state) {
    const uint32_t uid = (uint32_t)geteuid();

    (void)state;
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(ae_segment_open(name, false, uid, 0, NULL), -EBADMSG);
    assert_int_equal(create(name, AE_PAGE), -EEXIST);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* no process has opened it for writing: the open must not block */
    assert_int_equal(ae_segment_open(name, false, uid, 0, NULL), -EBADMSG);
    assert_int_equal(ae_segment_open(name, true, uid, 0, NULL), -EBADMSG);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(ae_segment_open(name, false, uid, 0, NULL), -EBADMSG);
    assert_int_equal(ae_segment_open(name, true, uid, 0, NULL), -EBADMSG);
    assert_true(ae_segment_remove(name) < 0);
    assert_int_equal(rmdir(path), 0);
}

static void mapped_object(void **state) {
    int fd = create(name, 16 * AE_PAGE);
    int reader = ae_segment_open(name, false, (uint32_t)geteuid(), 16 * AE_PAGE, NULL);
    void *writable = NULL, *readable = NULL;

    (void)state;
    assert_true(fd >= 0 && reader >= 0);
    assert_int_equal(ae_segment_map(fd, 16 * AE_PAGE, true, true, &writable), 0);
    assert_int_equal(pages_present(writable, 16 * AE_PAGE), 16);
    for (size_t i = 0; i < 16 * AE_PAGE; i++)
        assert_int_equal(((unsigned char *)writable)[i], 0);
    assert_int_equal(ae_segment_map(reader, 16 * AE_PAGE, false, true, &readable), 0);
    assert_int_equal(pages_present(readable, 16 * AE_PAGE), 16);
    ae_close(&fd);
    ae_close(&reader);
    ae_store_release((ae_u64 *)writable + 100, 42);
    assert_int_equal(ae_load_acquire((const ae_u64 *)readable + 100), 42);
#ifdef AE_TSAN
    assert_ptr_equal(writable, readable);
#else
    assert_ptr_not_equal(writable, readable);
    assert_int_equal(mprotect(writable, AE_PAGE, PROT_READ | PROT_WRITE), 0);
    assert_int_equal(mprotect(readable, AE_PAGE, PROT_READ | PROT_WRITE), -1);
#endif
    ae_segment_unmap(writable, 16 * AE_PAGE);
    assert_int_equal(ae_load_acquire((const ae_u64 *)readable + 100), 42);
    assert_int_equal(msync(readable, AE_PAGE, MS_ASYNC), 0);
    ae_segment_unmap(readable, 16 * AE_PAGE);
    assert_int_equal(msync(readable, AE_PAGE, MS_ASYNC), -1);
    ae_segment_unmap(NULL, AE_PAGE);
}

static void mapped_part(void **state) {
    int fd = ae_segment_create(name, 64 * AE_PAGE, AE_PAGE);
    void *whole = NULL, *part = NULL;
    struct stat status;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ae_segment_map(fd, 64 * AE_PAGE, true, false, &whole), 0);
    assert_int_equal(ae_segment_map_part(fd, 8 * AE_PAGE, 2 * AE_PAGE, true, true, &part), 0);
    assert_int_equal(pages_present(part, 2 * AE_PAGE), 2);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_blocks * 512, 3 * AE_PAGE); /* the rest is still a hole */
    ae_store_release(part, 42);
    assert_int_equal(ae_load_acquire((const ae_u64 *)(void *)((unsigned char *)whole + 8 * AE_PAGE)), 42);
    ae_segment_unmap(part, 2 * AE_PAGE);
    assert_int_equal(ae_load_acquire((const ae_u64 *)(void *)((unsigned char *)whole + 8 * AE_PAGE)), 42);
    ae_segment_unmap(whole, 64 * AE_PAGE);
    part = NULL;
    assert_int_equal(ae_segment_map_part(fd, 63 * AE_PAGE, 2 * AE_PAGE, true, true, &part), -EBADMSG);
    assert_int_equal(ae_segment_map_part(fd, 65 * AE_PAGE, AE_PAGE, true, true, &part), -EBADMSG);
    assert_int_equal(ae_segment_map_part(fd, 0 - (uint64_t)AE_PAGE, 2 * AE_PAGE, true, true, &part), -EBADMSG);
    assert_null(part);
    ae_close(&fd);
}

/* An object that grows: a second mapping reaches what came, without a descriptor; both have the same pages. */
static void mapped_again(void **state) {
    unsigned char *rw, *ro, *grown;
    void *base;
    int fd = create(name, 2 * AE_PAGE), reader = ae_segment_open(name, false, (uint32_t)geteuid(), 0, NULL);

    (void)state;
    assert_true(fd >= 0 && reader >= 0);
    assert_int_equal(ae_segment_map(reader, 2 * AE_PAGE, false, false, &base), 0);
    ae_close(&reader);
    ro = base;
    assert_int_equal(ae_segment_resize(fd, 16 * AE_PAGE, name), 0);
    assert_int_equal(ae_segment_allocate(fd, 0, 16 * AE_PAGE, name), 0);
    assert_int_equal(ae_segment_map(fd, 16 * AE_PAGE, true, false, &base), 0);
    rw = base;
    ae_close(&fd);
    rw[5] = 1;
    rw[15 * AE_PAGE] = 2;
    assert_int_equal(ae_segment_map_again(ro, 16 * AE_PAGE, &base), 0);
    grown = base;
    assert_true(grown[5] == 1 && grown[15 * AE_PAGE] == 2 && ro[5] == 1);
    rw[6] = 3;
    assert_true(grown[6] == 3 && ro[6] == 3);
#ifndef AE_TSAN
    assert_int_equal(mprotect(grown, AE_PAGE, PROT_READ | PROT_WRITE), -1); /* as the first one, read-only */
#endif
    ae_segment_unmap(ro, 2 * AE_PAGE);
    assert_int_equal(grown[15 * AE_PAGE], 2);
    ae_segment_unmap(grown, 16 * AE_PAGE);
    ae_segment_unmap(rw, 16 * AE_PAGE);
}

static void child_body_mapped_again(void) {
    void *base, *again;
    int fd = create(name, AE_PAGE);

    CHECK(fd >= 0 && ae_segment_map(fd, AE_PAGE, false, false, &base) == 0);
    CHECK(ae_segment_map_again(base, AE_PAGE, &again) == 0);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        unsigned char present;
        _exit(mincore(base, AE_PAGE, &present) != 0 && mincore(again, AE_PAGE, &present) != 0 ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void mapped_again_is_not_inherited(void **state) {
    (void)state;
    in_child(child_body_mapped_again);
}

/* What is cut off has no memory any more and is zero if the object grows again. */
static void resized_object(void **state) {
    unsigned char byte = 7;
    struct stat status;
    int fd = create(name, 4 * AE_PAGE);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &byte, 1, 3 * AE_PAGE), 1);
    assert_int_equal(ae_segment_resize(fd, AE_PAGE, name), 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_true(status.st_size == AE_PAGE && status.st_blocks * 512 == AE_PAGE);
    assert_int_equal(ae_segment_resize(fd, 4 * AE_PAGE, name), 0);
    assert_int_equal(pread(fd, &byte, 1, 3 * AE_PAGE), 1);
    assert_int_equal(byte, 0);
    assert_int_equal(ae_segment_resize(fd, 0, name), -EINVAL);
    assert_int_equal(ae_segment_resize(fd, UINT64_MAX, name), -EINVAL);
    ae_close(&fd);
}

static void wrong_maps(void **state) {
    int fd = create(name, 2 * AE_PAGE);
    void *base = NULL;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ae_segment_map(fd, 2 * AE_PAGE + 1, true, true, &base), -EBADMSG);
    assert_int_equal(ae_segment_map(fd, 0, true, true, &base), -EBADMSG);
    assert_int_equal(ae_segment_map(fd, UINT64_MAX, true, true, &base), -EBADMSG);
    assert_int_equal(ae_segment_map(-1, AE_PAGE, true, true, &base), -EBADF);
    assert_null(base);
    ae_close(&fd);
}

static void child_body_not_inherited(void) {
    int fd = create(name, AE_PAGE);
    void *base = NULL;
    int status;

    CHECK(fd >= 0 && ae_segment_map(fd, AE_PAGE, true, true, &base) == 0);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        _exit(msync(base, AE_PAGE, MS_ASYNC) == -1 && errno == ENOMEM ? 0 : 1); /* nothing is mapped there */
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(msync(base, AE_PAGE, MS_ASYNC) == 0);
}

static void not_inherited(void **state) {
    (void)state;
    in_child(child_body_not_inherited);
}

static void child_body_full(void) {
    private_shm("size=1m");
    CHECK(create(name, 2 * MIB) == -ENOSPC);
    CHECK(strstr(aether_errmsg(), "needs 2 MiB, 1 MiB free of 1 MiB in /dev/shm") != NULL);
    CHECK(access(path, F_OK) != 0);
    CHECK(create(name, 512 * KIB) >= 0);
    CHECK(create("/aether-second", 768 * KIB) == -ENOSPC);
    CHECK(strstr(aether_errmsg(), "needs 768 KiB, 512 KiB free of 1 MiB in /dev/shm") != NULL);
    CHECK(access("/dev/shm/aether-second", F_OK) != 0);
    CHECK(create("/aether-second", 512 * KIB) >= 0);
    CHECK(create("/aether-third", 1) == -ENOSPC);
}

static void child_body_hole_full(void) {
    private_shm("size=1m");
    int fd = ae_segment_create(name, 64 * MIB, 768 * KIB);
    CHECK(fd >= 0);
    CHECK(ae_segment_allocate(fd, 32 * MIB, 512 * KIB, name) == -ENOSPC);
    CHECK(strstr(aether_errmsg(), "cannot extend ") != NULL);
    CHECK(strstr(aether_errmsg(), "needs 512 KiB, 256 KiB free of 1 MiB in /dev/shm") != NULL);
    CHECK(ae_segment_allocate(fd, 32 * MIB, 256 * KIB, name) == 0);
    /* The file system is full now, but bytes that were written to need no more room. */
    void *base = NULL;
    CHECK(ae_segment_map(fd, 64 * MIB, true, false, &base) == 0);
    CHECK(ae_segment_populate(base, 32 * MIB, 256 * KIB, true) == 0);
    CHECK(ae_segment_allocate(fd, 32 * MIB, 256 * KIB, name) == 0);
    CHECK(ae_segment_allocate(fd, 33 * MIB, AE_PAGE, name) == -ENOSPC);
    CHECK(ae_segment_populate(base, 33 * MIB, AE_PAGE, true) == -ENOMEM);
    CHECK(ae_segment_populate(base, 33 * MIB, AE_PAGE, false) == -ENOMEM);
}

static void full_shm_is_a_clear_error(void **state) {
    (void)state;
    in_child(child_body_full);
    in_child(child_body_hole_full);
}

static void child_body_no_inodes(void) {
    private_shm("size=1m,nr_inodes=2"); /* one inode is the directory's */
    int fd = ae_segment_create(name, 2 * AE_PAGE, AE_PAGE);
    CHECK(fd >= 0);
    CHECK(ae_segment_allocate(fd, AE_PAGE, AE_PAGE, name) == 0); /* needs no inode */
    CHECK(create("/aether-second", AE_PAGE) == -ENOSPC);
    CHECK(strstr(aether_errmsg(), "no room for another file") != NULL);
}

static void too_many_files_are_a_clear_error(void **state) {
    (void)state;
    in_child(child_body_no_inodes);
}

/* If there is no room for a page of a punched hole, populating it is an error; an access would raise SIGBUS. */
static void child_body_populate_fails(void) {
    void *base = NULL;

    private_shm("size=1m");
    int fd = create(name, 512 * KIB);
    CHECK(fd >= 0);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, AE_PAGE) == 0);
    CHECK(create("/aether-second", 512 * KIB + AE_PAGE) >= 0);
    CHECK(ae_segment_map(fd, 512 * KIB, true, true, &base) == -ENOMEM);
    CHECK(base == NULL);
    CHECK(ae_segment_map(fd, 512 * KIB, true, false, &base) == 0);
}

static void failed_populate_is_no_signal(void **state) {
    (void)state;
    in_child(child_body_populate_fails);
}

/* Makes madvise(MADV_POPULATE_*) fail as Linux before 5.14 does. */
static void forget_populate(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 22, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 23, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(SKIPPED);
}

static void child_body_old_kernel(void) {
    private_shm("size=1m");
    int fd = create(name, 16 * AE_PAGE);
    void *base = NULL;

    forget_populate();
    CHECK(fd >= 0);
    CHECK(ae_segment_map(fd, 16 * AE_PAGE, false, true, &base) == 0);
    CHECK(pages_present(base, 16 * AE_PAGE) == 16);
    ae_segment_unmap(base, 16 * AE_PAGE);
    CHECK(ae_segment_map(fd, 16 * AE_PAGE, true, true, &base) == 0);
    CHECK(pages_present(base, 16 * AE_PAGE) == 16);
    ae_segment_unmap(base, 16 * AE_PAGE);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5 * AE_PAGE, AE_PAGE) == 0);
    CHECK(ae_segment_map(fd, 16 * AE_PAGE, true, true, &base) == 0); /* allocates the hole */
    ae_segment_unmap(base, 16 * AE_PAGE);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5 * AE_PAGE, AE_PAGE) == 0);
    CHECK(create("/aether-second", MIB - 15 * AE_PAGE) >= 0); /* takes the room: an access would raise SIGBUS */
    CHECK(ae_segment_map(fd, 16 * AE_PAGE, false, true, &base) == -ENOMEM);
    CHECK(ae_segment_map(fd, 16 * AE_PAGE, true, true, &base) == -ENOMEM);
}

static void old_kernels_touch(void **state) {
    (void)state;
    in_child(child_body_old_kernel);
}

/* Without the privilege that lifts the limit. */
static void child_body_memory_lock(void) {
    const struct rlimit limit = {.rlim_cur = 1 * MIB, .rlim_max = 1 * MIB};
    int fd = create(name, 8 * MIB);
    void *map = NULL, *again = NULL;

    CHECK(fd >= 0);
    CHECK(ae_segment_map(fd, AE_PAGE, true, true, &map) == 0);
    /* The call itself, because sanitizers replace the function by one that does nothing. */
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || (getuid() == 0 && setresuid(65534, 65534, 65534) != 0) ||
        syscall(SYS_mlockall, MCL_FUTURE) != 0)
        _exit(SKIPPED);
    CHECK(ae_segment_map(fd, 8 * MIB, true, true, &again) == -EAGAIN);
    CHECK(strstr(aether_errmsg(), "cannot map 8 MiB of shared memory: this program locks its memory (mlockall) and its "
                                  "limit of 1 MiB is used up: ulimit -l") != NULL);
    CHECK(ae_segment_fail_map("map the token", -ENOMEM) == -ENOMEM);
    CHECK(strstr(aether_errmsg(), "max_map_count") != NULL);
}

static void locked_memory_is_a_clear_error(void **state) {
    (void)state;
    in_child(child_body_memory_lock);
}

static void child_body_file_size(void) {
    const struct rlimit limit = {.rlim_cur = 64 * KIB, .rlim_max = RLIM_INFINITY};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};

    CHECK(sigaction(SIGXFSZ, &ignore, NULL) == 0); /* as aetherd does */
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(SKIPPED);
    CHECK(create(name, MIB) == -EFBIG);
    CHECK(strstr(aether_errmsg(), "needs 1 MiB, but this process may write files of at most 64 KiB") != NULL);
    CHECK(access(path, F_OK) != 0);
    CHECK(ae_segment_create(name, MIB, 4 * KIB) == -EFBIG);
    CHECK(strstr(aether_errmsg(), "needs 1 MiB, but this process may write files of at most 64 KiB") != NULL);
    CHECK(access(path, F_OK) != 0);
    CHECK(create(name, 64 * KIB) >= 0);
}

static void file_size_limit_is_a_clear_error(void **state) {
    (void)state;
    in_child(child_body_file_size);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal) {
    (void)signal;
    alarms = alarms + 1;
}

/* A signal during the allocation doesn't make it fail. */
static void child_body_signals(void) {
    const struct sigaction action = {.sa_handler = on_alarm};
    const struct itimerval once = {.it_value = {.tv_usec = 1000}};

    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &once, NULL) == 0);
    while (alarms == 0) {
        int fd = create(name, 4 * MIB);
        CHECK(fd >= 0);
        ae_close(&fd);
        CHECK(ae_segment_remove(name) == 0);
    }
}

static void signals_do_not_disturb(void **state) {
    (void)state;
    in_child(child_body_signals);
}

static int write_file(const char *directory, const char *file, const char *text) {
    char full[PATH_MAX];
    int fd;

    if (snprintf(full, sizeof full, "%s/%s", directory, file) >= (int)sizeof full)
        return -1;
    fd = open(full, O_WRONLY | O_CLOEXEC);
    const ssize_t len = fd < 0 ? -1 : write(fd, text, strlen(text));
    ae_close(&fd);
    return len == (ssize_t)strlen(text) ? 0 : -1;
}

/*
 * Creates a control group of 16 MiB below this process's own. Allocating 64 MiB in it would end in the OOM killer.
 * Skipped if this process may not create a group.
 */
static void small_control_group(void **state) {
    char own[PATH_MAX - 64] = "", group[PATH_MAX], line[PATH_MAX];
    FILE *groups = fopen("/proc/self/cgroup", "re");
    const char *limit_file = "memory.max";
    int status = -1;

    (void)state;
    assert_non_null(groups);
    while (fgets(line, sizeof line, groups) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        const char *v1 = strstr(line, ":memory:");
        if (v1 == NULL && (strncmp(line, "0::", 3) != 0 || own[0] != '\0'))
            continue;
        snprintf(own, sizeof own, "/sys/fs/cgroup%s%.2000s", v1 != NULL ? "/memory" : "",
                 v1 != NULL ? v1 + 8 : line + 3);
        limit_file = v1 != NULL ? "memory.limit_in_bytes" : "memory.max";
    }
    fclose(groups);
    snprintf(group, sizeof group, "%s/aether-test-%d", own, (int)getpid());
    if (mkdir(group, 0755) != 0)
        skip();
    if (write_file(group, limit_file, "16777216") != 0) {
        rmdir(group);
        skip();
    }
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        CHECK(write_file(group, "cgroup.procs", "0") == 0);
        CHECK(create(name, 64 * MIB) == -ENOMEM);
        CHECK(strstr(aether_errmsg(), "needs 65 MiB") != NULL && strstr(aether_errmsg(), group) != NULL);
        CHECK(access(path, F_OK) != 0);
        int fd = ae_segment_create(name, 128 * MIB, 2 * MIB);
        CHECK(fd >= 0);
        CHECK(ae_segment_allocate(fd, 64 * MIB, 64 * MIB, name) == -ENOMEM);
        CHECK(strstr(aether_errmsg(), "needs 65 MiB") != NULL && strstr(aether_errmsg(), group) != NULL);
        CHECK(ae_segment_remove(name) == 0);
        _exit(0);
    }
    const pid_t waited = child < 0 ? -1 : waitpid(child, &status, 0);
    rmdir(group);
    assert_true(child > 0 && waited == child);
    assert_int_equal(status, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(created_object),
        TEST(impossible_sizes),
        TEST(sparse_object),
        TEST(populated_part),
        TEST(opened_object),
        TEST(allocated_bytes),
        TEST(planted_objects),
        TEST(mapped_object),
        TEST(mapped_part),
        TEST(mapped_again),
        TEST(mapped_again_is_not_inherited),
        TEST(resized_object),
        TEST(wrong_maps),
        TEST(not_inherited),
        TEST(full_shm_is_a_clear_error),
        TEST(too_many_files_are_a_clear_error),
        TEST(failed_populate_is_no_signal),
        TEST(old_kernels_touch),
        TEST(locked_memory_is_a_clear_error),
        TEST(file_size_limit_is_a_clear_error),
        TEST(signals_do_not_disturb),
        TEST(small_control_group),
    };

    return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * preload.c - for run.py: a library for LD_PRELOAD that counts the calls of a program into libc, and lets one fail.
 *
 * FAIL_COUNTS=FILE     the calls are counted in FILE, an array of struct call, which must be there
 * FAIL=NAME:N:ERRNO    the Nth call of NAME (from 1) fails once with that errno, without being made
 *
 * Only calls from the program itself and from libaether count: no program can mend those that libc or the loader makes.
 * "open" also stands for open64, as for all such pairs. Calls of syscall(2) are counted by the number: futex_wait,
 * futex_waitv, pidfd_open, membarrier; waking a futex can't fail.
 *
 * All functions are declared with seven longs, as the calling conventions pass integers and pointers alike. The labels
 * keep the compiler from comparing them with the functions that it knows.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RANGES_MAX 16
#define EXPORT __attribute__((visibility("default")))

typedef long (*real_function)(long, long, long, long, long, long, long);

/* How a function fails. */
enum kind {
    MINUS_ONE, /* returns -1, or MAP_FAILED, and sets errno */
    NOTHING,   /* returns NULL and sets errno */
    CODE,      /* returns the code */
};

/* A function, a second name that is the same one, and how it fails. */
#define FUNCTIONS(X)                                                                                                   \
    X(accept4, accept4, MINUS_ONE)                                                                                     \
    X(access, access, MINUS_ONE)                                                                                       \
    X(bind, bind, MINUS_ONE)                                                                                           \
    X(connect, connect, MINUS_ONE)                                                                                     \
    X(epoll_create1, epoll_create1, MINUS_ONE)                                                                         \
    X(epoll_ctl, epoll_ctl, MINUS_ONE)                                                                                 \
    X(epoll_wait, epoll_wait, MINUS_ONE)                                                                               \
    X(eventfd, eventfd, MINUS_ONE)                                                                                     \
    X(fchmod, fchmod, MINUS_ONE)                                                                                       \
    X(fcntl, fcntl64, MINUS_ONE)                                                                                       \
    X(fflush, fflush, MINUS_ONE)                                                                                       \
    X(flock, flock, MINUS_ONE)                                                                                         \
    X(fopen, fopen64, NOTHING)                                                                                         \
    X(fork, fork, MINUS_ONE)                                                                                           \
    X(fstat, fstat64, MINUS_ONE)                                                                                       \
    X(fstatat, fstatat64, MINUS_ONE)                                                                                   \
    X(ftruncate, ftruncate64, MINUS_ONE)                                                                               \
    X(getrandom, getrandom, MINUS_ONE)                                                                                 \
    X(getrlimit, getrlimit64, MINUS_ONE)                                                                               \
    X(getsockopt, getsockopt, MINUS_ONE)                                                                               \
    X(inotify_add_watch, inotify_add_watch, MINUS_ONE)                                                                 \
    X(inotify_init1, inotify_init1, MINUS_ONE)                                                                         \
    X(kill, kill, MINUS_ONE)                                                                                           \
    X(linkat, linkat, MINUS_ONE)                                                                                       \
    X(listen, listen, MINUS_ONE)                                                                                       \
    X(lseek, lseek64, MINUS_ONE)                                                                                       \
    X(lstat, lstat64, MINUS_ONE)                                                                                       \
    X(madvise, madvise, MINUS_ONE)                                                                                     \
    X(mkdir, mkdir, MINUS_ONE)                                                                                         \
    X(mmap, mmap64, MINUS_ONE)                                                                                         \
    X(mremap, mremap, MINUS_ONE)                                                                                       \
    X(nanosleep, nanosleep, MINUS_ONE)                                                                                 \
    X(open, open64, MINUS_ONE)                                                                                         \
    X(open_memstream, open_memstream, NOTHING)                                                                         \
    X(openat, openat64, MINUS_ONE)                                                                                     \
    X(opendir, opendir, NOTHING)                                                                                       \
    X(pipe2, pipe2, MINUS_ONE)                                                                                         \
    X(poll, poll, MINUS_ONE)                                                                                           \
    X(posix_fallocate, posix_fallocate64, CODE)                                                                        \
    X(ppoll, ppoll, MINUS_ONE)                                                                                         \
    X(prctl, prctl, MINUS_ONE)                                                                                         \
    X(pread, pread64, MINUS_ONE)                                                                                       \
    X(pthread_create, pthread_create, CODE)                                                                            \
    X(pwrite, pwrite64, MINUS_ONE)                                                                                     \
    X(read, read, MINUS_ONE)                                                                                           \
    X(readlink, readlink, MINUS_ONE)                                                                                   \
    X(realpath, realpath, NOTHING)                                                                                     \
    X(recvmsg, recvmsg, MINUS_ONE)                                                                                     \
    X(rename, rename, MINUS_ONE)                                                                                       \
    X(renameat2, renameat2, MINUS_ONE)                                                                                 \
    X(sendmsg, sendmsg, MINUS_ONE)                                                                                     \
    X(sendto, sendto, MINUS_ONE)                                                                                       \
    X(setrlimit, setrlimit64, MINUS_ONE)                                                                               \
    X(setsockopt, setsockopt, MINUS_ONE)                                                                               \
    X(shm_open, shm_open, MINUS_ONE)                                                                                   \
    X(shm_unlink, shm_unlink, MINUS_ONE)                                                                               \
    X(signalfd, signalfd, MINUS_ONE)                                                                                   \
    X(socket, socket, MINUS_ONE)                                                                                       \
    X(stat, stat64, MINUS_ONE)                                                                                         \
    X(statvfs, statvfs64, MINUS_ONE)                                                                                   \
    X(unlink, unlink, MINUS_ONE)                                                                                       \
    X(unlinkat, unlinkat, MINUS_ONE)                                                                                   \
    X(write, write, MINUS_ONE)

/* Counted by the number of the system call, and memory, which needs real functions that work without dlsym(). */
#define OTHERS(X)                                                                                                      \
    X(syscall, syscall, MINUS_ONE)                                                                                     \
    X(futex_wait, futex_wait, MINUS_ONE)                                                                               \
    X(futex_waitv, futex_waitv, MINUS_ONE)                                                                             \
    X(membarrier, membarrier, MINUS_ONE)                                                                               \
    X(pidfd_open, pidfd_open, MINUS_ONE)                                                                               \
    X(malloc, malloc, NOTHING)                                                                                         \
    X(calloc, calloc, NOTHING)                                                                                         \
    X(realloc, realloc, NOTHING)                                                                                       \
    X(aligned_alloc, aligned_alloc, NOTHING)

enum {
#define X(name, other, kind) CALL_##name,
    FUNCTIONS(X) OTHERS(X)
#undef X
        CALLS
};

/* In the file of the counts. */
struct call {
    char name[24];
    _Atomic uint32_t count, failed;
};

static const char *const names[CALLS] = {
#define X(name, other, kind) #name,
    FUNCTIONS(X) OTHERS(X)
#undef X
};

static struct call own[CALLS], *calls = own;
static struct { uintptr_t begin, end; } ranges[RANGES_MAX];
static int range_count;
static int fail_call = -1, fail_code;
static uint32_t fail_number;
static real_function functions[CALLS];
static atomic_bool ready;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

/* Notes where the code of the program and of libaether lies. */
static int note_object(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size, (void)unused;
    if (info->dlpi_name[0] != '\0' && strstr(info->dlpi_name, "/libaether.so") == NULL)
        return 0;
    for (int i = 0; i < info->dlpi_phnum && range_count < RANGES_MAX; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || (part->p_flags & PF_X) == 0)
            continue;
        ranges[range_count].begin = info->dlpi_addr + part->p_vaddr;
        ranges[range_count++].end = info->dlpi_addr + part->p_vaddr + part->p_memsz;
    }
    return 0;
}

static real_function real_of(int call) {
    if (functions[call] == NULL)
        *(void **)&functions[call] = dlsym(RTLD_NEXT, names[call]);
    return functions[call];
}

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("FAIL_COUNTS"), *what = getenv("FAIL");

    for (int i = 0; i < CALL_futex_wait; i++)
        (void)real_of(i);
    if (file != NULL) {
        const int fd = (int)real_of(CALL_open)((long)file, O_RDWR | O_CLOEXEC, 0, 0, 0, 0, 0);
        if (fd >= 0 && real_of(CALL_ftruncate)(fd, sizeof own, 0, 0, 0, 0, 0) == 0)
            calls = (struct call *)real_of(CALL_mmap)(0, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0, 0);
        close(fd);
        for (int i = 0; i < CALLS; i++)
            memcpy(calls[i].name, names[i], strlen(names[i]));
    }
    for (int i = 0; what != NULL && i < CALLS; i++) {
        const size_t len = strlen(names[i]);
        if (strncmp(what, names[i], len) == 0 && what[len] == ':' &&
            sscanf(what + len, ":%u:%d", &fail_number, &fail_code) == 2)
            fail_call = i;
    }
    dl_iterate_phdr(note_object, NULL);
    ready = true;
}

/* Counts a call from address. True: it must fail; errno is set. */
static bool fails(int call, const void *address) {
    if (!ready)
        return false;
    for (int i = 0; i < range_count; i++) {
        if ((uintptr_t)address < ranges[i].begin || (uintptr_t)address >= ranges[i].end)
            continue;
        if (atomic_fetch_add(&calls[call].count, 1) + 1 != fail_number || call != fail_call ||
            atomic_exchange(&calls[call].failed, 1) != 0)
            return false;
        errno = fail_code;
        return true;
    }
    return false;
}

static long failure(enum kind kind) {
    return kind == MINUS_ONE ? -1 : kind == NOTHING ? 0 : fail_code;
}

#define DEFINE(symbol, call, kind)                                                                                     \
    EXPORT long fail_##symbol(long a, long b, long c, long d, long e, long f, long g) __asm__(#symbol);                \
    long fail_##symbol(long a, long b, long c, long d, long e, long f, long g) {                                       \
        return fails(call, __builtin_return_address(0)) ? failure(kind) : real_of(call)(a, b, c, d, e, f, g);          \
    }

#define X(name, other, kind) DEFINE(name, CALL_##name, kind)
FUNCTIONS(X)
#undef X

/* The second names of those that have one. */
#define BOTH(X)                                                                                                        \
    X(fcntl, fcntl64, MINUS_ONE)                                                                                       \
    X(fopen, fopen64, NOTHING)                                                                                         \
    X(fstat, fstat64, MINUS_ONE)                                                                                       \
    X(fstatat, fstatat64, MINUS_ONE)                                                                                   \
    X(ftruncate, ftruncate64, MINUS_ONE)                                                                               \
    X(getrlimit, getrlimit64, MINUS_ONE)                                                                               \
    X(lseek, lseek64, MINUS_ONE)                                                                                       \
    X(lstat, lstat64, MINUS_ONE)                                                                                       \
    X(mmap, mmap64, MINUS_ONE)                                                                                         \
    X(open, open64, MINUS_ONE)                                                                                         \
    X(openat, openat64, MINUS_ONE)                                                                                     \
    X(posix_fallocate, posix_fallocate64, CODE)                                                                        \
    X(pread, pread64, MINUS_ONE)                                                                                       \
    X(pwrite, pwrite64, MINUS_ONE)                                                                                     \
    X(setrlimit, setrlimit64, MINUS_ONE)                                                                               \
    X(stat, stat64, MINUS_ONE)                                                                                         \
    X(statvfs, statvfs64, MINUS_ONE)
#define X(name, other, kind) DEFINE(other, CALL_##name, kind)
BOTH(X)
#undef X

static int call_of_number(long number, long operation) {
    switch (number) {
    case SYS_futex:
        return (operation & FUTEX_CMD_MASK) == FUTEX_WAIT ? CALL_futex_wait : CALL_syscall;
    case SYS_futex_waitv:
        return CALL_futex_waitv;
    case SYS_membarrier:
        return CALL_membarrier;
    case SYS_pidfd_open:
        return CALL_pidfd_open;
    default:
        return CALL_syscall;
    }
}

EXPORT long fail_syscall(long number, long a, long b, long c, long d, long e, long f) __asm__("syscall");
long fail_syscall(long number, long a, long b, long c, long d, long e, long f) {
    return fails(call_of_number(number, b), __builtin_return_address(0))
               ? -1
               : real_of(CALL_syscall)(number, a, b, c, d, e, f);
}

EXPORT void *fail_malloc(size_t size) __asm__("malloc");
void *fail_malloc(size_t size) {
    return fails(CALL_malloc, __builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

EXPORT void *fail_calloc(size_t count, size_t size) __asm__("calloc");
void *fail_calloc(size_t count, size_t size) {
    return fails(CALL_calloc, __builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

EXPORT void *fail_realloc(void *block, size_t size) __asm__("realloc");
void *fail_realloc(void *block, size_t size) {
    return fails(CALL_realloc, __builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}

EXPORT void *fail_aligned_alloc(size_t alignment, size_t size) __asm__("aligned_alloc");
void *fail_aligned_alloc(size_t alignment, size_t size) {
    return fails(CALL_aligned_alloc, __builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

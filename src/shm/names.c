/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/names.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/export.h"
#include "base/socket.h"
#include "shm/registry_layout.h"
#include <aether/connect.h>
#include <aether/detail/layout.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HELD_FDS 256 /* descriptors of a process that are searched for the lock */
#define SOCKET_PATH_SIZE sizeof(((struct ae_instance *)0)->socket_path)
_Static_assert(AE_SOCKET_PATH_MAX < SOCKET_PATH_SIZE, "a socket's path fits");

#define FNV_OFFSET 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull

AE_EXPORT int aether_default_socket(char *path, size_t size) {
    const char *named = getenv("AETHER_SOCKET");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char text[SOCKET_PATH_SIZE];
    int len;

    if (named != NULL && named[0] != '\0')
        len = snprintf(text, sizeof text, "%s", named);
    else if (runtime != NULL && runtime[0] != '\0')
        len = snprintf(text, sizeof text, "%s/aether/aetherd.sock", runtime);
    else
        len = snprintf(text, sizeof text, "/tmp/aether-%u/aetherd.sock", (unsigned)getuid());
    if (len < 0 || (size_t)len > AE_SOCKET_PATH_MAX)
        return ae_fail(-ENAMETOOLONG, "the default socket's path has %d bytes: set AETHER_SOCKET to one of at most %u",
                       len, AE_SOCKET_PATH_MAX);
    if ((size_t)len >= size)
        return ae_fail(-ENAMETOOLONG, "the default socket's path has %d bytes: it doesn't fit in a buffer of %zu", len,
                       size);
    memcpy(path, text, (size_t)len + 1);
    return 0;
}

static uint64_t hash(const char *text) {
    uint64_t value = FNV_OFFSET;

    for (; *text != '\0'; text++) {
        value ^= (unsigned char)*text;
        value *= FNV_PRIME;
    }
    return value;
}

/* Both aetherd and its clients say this. */
static int fail_directory(const char *path, const char *directory, int error) {
    if (error == ENOENT)
        return ae_fail(-error,
                       "there is no directory '%s' for aetherd's socket '%s': create it and start aetherd, or use the "
                       "path of another socket",
                       directory, path);
    return ae_fail(-error,
                   "'%s', the directory of aetherd's socket '%s', can't be used; use the path of another socket: %s",
                   directory, path, strerror(error));
}

/* Makes a socket's path absolute, with its directory resolved. absolute: SOCKET_PATH_SIZE bytes. */
static int resolve(char *absolute, const char *path) {
    char directory[PATH_MAX], resolved[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *file = slash != NULL ? slash + 1 : path;
    const size_t directory_len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);

    if (path[0] == '\0')
        return ae_fail(-ENOENT, "socket path is empty: use the path of aetherd's socket, or NULL for the default");
    if (file[0] == '\0' || strcmp(file, ".") == 0 || strcmp(file, "..") == 0)
        return ae_fail(-ENOENT, "socket path \"%s\" doesn't end with a file's name", path);
    if (directory_len >= sizeof directory)
        return ae_fail(-ENAMETOOLONG, "socket path has %zu bytes: use at most %u", strlen(path), AE_SOCKET_PATH_MAX);
    memcpy(directory, path, directory_len);
    directory[directory_len] = '\0';
    if (directory_len == 0)
        strcpy(directory, ".");
    if (realpath(directory, resolved) == NULL)
        return fail_directory(path, directory, errno);
    const int len = snprintf(absolute, SOCKET_PATH_SIZE, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved, file);
    if (len < 0 || (size_t)len > AE_SOCKET_PATH_MAX)
        return ae_fail(-ENAMETOOLONG, "socket path \"%s\" has %d bytes from the root: use at most %u", path, len,
                       AE_SOCKET_PATH_MAX);
    return 0;
}

int ae_instance_init(struct ae_instance *instance, const char *socket_path, uint32_t uid) {
    char fallback[SOCKET_PATH_SIZE] = "";
    int rc;

    memset(instance, 0, sizeof *instance);
    if (socket_path == NULL) {
        rc = aether_default_socket(fallback, sizeof fallback);
        if (rc != 0)
            return rc;
        socket_path = fallback;
    }
    rc = resolve(instance->socket_path, socket_path);
    if (rc != 0)
        return rc;
    instance->uid = uid;
    snprintf(instance->lock_path, sizeof instance->lock_path, "%s.lock", instance->socket_path);
    snprintf(instance->prefix, sizeof instance->prefix, "/aether-%" PRIu32 "-%016" PRIx64 ".", uid,
             hash(instance->socket_path));
    return 0;
}

void ae_name_registry(const struct ae_instance *instance, char name[AE_OBJECT_NAME_SIZE]) {
    snprintf(name, AE_OBJECT_NAME_SIZE, "%sregistry", instance->prefix);
}

void ae_name_log(const struct ae_instance *instance, uint64_t topic_id, char name[AE_OBJECT_NAME_SIZE]) {
    snprintf(name, AE_OBJECT_NAME_SIZE, "%slog-%" PRIu64, instance->prefix, topic_id);
}

void ae_name_cursors(const struct ae_instance *instance, uint64_t topic_id, char name[AE_OBJECT_NAME_SIZE]) {
    snprintf(name, AE_OBJECT_NAME_SIZE, "%scursors-%" PRIu64, instance->prefix, topic_id);
}

void ae_name_notes(const struct ae_instance *instance, uint64_t topic_id, char name[AE_OBJECT_NAME_SIZE]) {
    snprintf(name, AE_OBJECT_NAME_SIZE, "%snotes-%" PRIu64, instance->prefix, topic_id);
}

void ae_name_token(const struct ae_instance *instance, uint64_t client_id, char name[AE_OBJECT_NAME_SIZE]) {
    snprintf(name, AE_OBJECT_NAME_SIZE, "%stoken-%" PRIu64, instance->prefix, client_id);
}

void ae_name_stats(const struct ae_instance *instance, uint64_t client_id, char name[AE_OBJECT_NAME_SIZE]) {
    snprintf(name, AE_OBJECT_NAME_SIZE, "%sstats-%" PRIu64, instance->prefix, client_id);
}

void ae_name_totals(const struct ae_instance *instance, char name[AE_OBJECT_NAME_SIZE]) {
    snprintf(name, AE_OBJECT_NAME_SIZE, "%stotals", instance->prefix);
}

#define ENDING_NS 2000000000ull /* a killed daemon holds its locks until the kernel has taken it down */
#define NAP_NS 5000000

/*
 * An open-file-description lock. Unlike flock() it can be tested without being taken, so a test never prevents a daemon
 * from starting.
 */
static struct flock whole_file(void) {
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

/* 1 if another process holds a lock on the file. */
static int is_locked(int fd) {
    struct flock answer = whole_file();

    return fcntl(fd, F_OFD_GETLK, &answer) == 0 && answer.l_type != F_UNLCK;
}

/* The registry of a daemon that runs, opened for reading; -1: none runs. */
static int open_guarded(const struct ae_instance *instance) {
    char name[AE_OBJECT_NAME_SIZE];
    int fd;

    ae_name_registry(instance, name);
    fd = shm_open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    if (fd >= 0 && !is_locked(fd))
        ae_close(&fd);
    return fd;
}

uint32_t ae_instance_pid(const struct ae_instance *instance) {
    int fd = open_guarded(instance);
    uint32_t pid = 0;

    if (fd >= 0 && pread(fd, &pid, sizeof pid, offsetof(ae_registry_header, daemon_pid)) != (ssize_t)sizeof pid)
        pid = 0;
    ae_close(&fd);
    return pid;
}

int ae_instance_fail_hidden(const struct ae_instance *instance, int code) {
    const uint32_t pid = ae_instance_pid(instance);
    struct stat st;
    const int removed = lstat(instance->socket_path, &st) != 0;
    const char *what = removed && pid != 0 ? "its socket" : "but doesn't listen at";
    const char *then = removed && pid != 0 ? " was removed" : "";

    if (pid == 0)
        return ae_fail(code, "an aetherd runs, %s %s%s: if it isn't starting, send it SIGHUP: `fuser %s` names its pid",
                       what, instance->socket_path, then, instance->lock_path);
    return ae_fail(code, "aetherd pid %" PRIu32 " runs, %s %s%s: kill -HUP %" PRIu32, pid, what, instance->socket_path,
                   then, pid);
}

/* Another daemon runs: says so, and what to do if its socket can't be found. */
static int fail_running(const struct ae_instance *instance) {
    const uint32_t pid = ae_instance_pid(instance);
    struct stat st;

    if (lstat(instance->socket_path, &st) != 0)
        return ae_instance_fail_hidden(instance, -EBUSY);
    if (pid == 0)
        return ae_fail(-EBUSY, "another aetherd runs at %s", instance->socket_path);
    return ae_fail(-EBUSY, "another aetherd (pid %" PRIu32 ") runs at %s", pid, instance->socket_path);
}

/* Takes the lock on an open file. */
static int take_lock(const struct ae_instance *instance, const char *path, int fd) {
    struct flock request = whole_file();

    if (fcntl(fd, F_OFD_SETLK, &request) == 0)
        return 0;
    return errno == EAGAIN || errno == EACCES
               ? fail_running(instance)
               : ae_fail(-errno, "lock on %s: %s%s", path, strerror(errno),
                         errno == ENOLCK ? ": the file system has no locks: use a socket in another directory" : "");
}

/* Opens and locks the lock file, and makes it if it is missing. */
static int lock_file(const struct ae_instance *instance, int *lock) {
    int rc;

    *lock = open(instance->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (*lock < 0)
        return ae_fail(-errno, "lock file %s: %s", instance->lock_path, strerror(errno));
    rc = take_lock(instance, instance->lock_path, *lock);
    if (rc != 0)
        ae_close(lock);
    return rc;
}

static int try_lock(const struct ae_instance *instance, int *lock) {
    int rc = lock_file(instance, lock);
    int guarded;

    if (rc == 0 && (guarded = open_guarded(instance)) >= 0) {
        ae_close(&guarded);
        ae_close(lock);
        rc = fail_running(instance);
    }
    return rc;
}

int ae_instance_lock(const struct ae_instance *instance, int *lock) {
    static const struct timespec nap = {.tv_nsec = NAP_NS};
    const uint64_t start = ae_now_ns();
    int rc;

    while ((rc = try_lock(instance, lock)) == -EBUSY && ae_now_ns() - start < ENDING_NS)
        nanosleep(&nap, NULL);
    return rc;
}

int ae_instance_lock_again(const struct ae_instance *instance, int *lock) {
    struct stat held, there;
    int again, rc;

    if (fstat(*lock, &held) == 0 && lstat(instance->lock_path, &there) == 0 && held.st_dev == there.st_dev &&
        held.st_ino == there.st_ino)
        return 0;
    rc = lock_file(instance, &again);
    if (rc == 0) {
        ae_close(lock);
        *lock = again;
    }
    return rc;
}

int ae_instance_guard(const struct ae_instance *instance, int *guard) {
    char name[AE_OBJECT_NAME_SIZE];
    int rc;

    ae_name_registry(instance, name);
    *guard = shm_open(name, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    if (*guard < 0)
        return ae_fail(-errno, "cannot open %s for its lock: %s", name + 1, strerror(errno));
    rc = take_lock(instance, name + 1, *guard);
    if (rc != 0)
        ae_close(guard);
    return rc;
}

int ae_instance_running(const struct ae_instance *instance) {
    int fd = open(instance->lock_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    int running = fd >= 0 && is_locked(fd);

    ae_close(&fd);
    if (!running) {
        fd = open_guarded(instance);
        running = fd >= 0;
        ae_close(&fd);
    }
    return running;
}

int ae_instance_held_by(const struct ae_instance *instance, int process) {
    struct stat lock, file, link;
    char path[24];

    if (lstat(instance->lock_path, &lock) != 0)
        return 0;
    /* aetherd takes the lock before it has clients, so its descriptor is one of the first. */
    for (int fd = 0; fd < HELD_FDS; fd++) {
        snprintf(path, sizeof path, "fd/%d", fd);
        if (fstatat(process, path, &file, 0) == 0 && file.st_dev == lock.st_dev && file.st_ino == lock.st_ino &&
            fstatat(process, path, &link, AT_SYMLINK_NOFOLLOW) == 0 && (link.st_mode & S_IWUSR) != 0)
            return 1;
    }
    return 0;
}

int ae_topic_name_check(const char *name, size_t len) {
    if (len == 0)
        return ae_fail(-EINVAL, "topic name is empty: use 1 to %u bytes", AE_TOPIC_NAME_MAX);
    if (len > AE_TOPIC_NAME_MAX)
        return ae_fail(-EINVAL, "topic name has %zu bytes: use at most %u", len, AE_TOPIC_NAME_MAX);
    if (memchr(name, '\0', len) != NULL)
        return ae_fail(-EINVAL, "topic name holds a NUL byte");
    if (memchr(name, '+', len) != NULL || memchr(name, '#', len) != NULL)
        return ae_fail(-EINVAL, "topic name \"%.*s\" holds '+' or '#', which are reserved for wildcards", (int)len,
                       name);
    for (size_t i = 0; i < len; i++) {
        if (name[i] == '/' && (i == 0 || i == len - 1 || name[i + 1] == '/'))
            return ae_fail(-EINVAL, "topic name \"%.*s\" has an empty level: put one '/' between two levels", (int)len,
                           name);
    }
    return 0;
}

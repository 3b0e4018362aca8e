/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/names.h"
#include "shm/registry_layout.h"
#include <aether/connect.h>
#include <aether/error.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static char directory[] = "/tmp/aether-names-XXXXXX";

static int setup(void **state) {
    (void)state;
    return mkdtemp(directory) != NULL && chdir(directory) == 0 ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    unlink("s.lock");
    unlink("link");
    rmdir("sub");
    return chdir("/") == 0 && rmdir(directory) == 0 ? 0 : -1;
}

static void names_derive_from_path_and_uid(void **state) {
    struct ae_instance instance;
    char name[AE_OBJECT_NAME_SIZE];

    (void)state;
    /* FNV-1a of "/tmp/a.sock". */
    assert_int_equal(ae_instance_init(&instance, "/tmp/a.sock", 1000), 0);
    assert_int_equal(instance.uid, 1000);
    assert_string_equal(instance.socket_path, "/tmp/a.sock");
    assert_string_equal(instance.lock_path, "/tmp/a.sock.lock");
    assert_string_equal(instance.prefix, "/aether-1000-1ed3bdc987000cbb.");
    ae_name_registry(&instance, name);
    assert_string_equal(name, "/aether-1000-1ed3bdc987000cbb.registry");
    ae_name_log(&instance, 7, name);
    assert_string_equal(name, "/aether-1000-1ed3bdc987000cbb.log-7");
    ae_name_token(&instance, 8, name);
    assert_string_equal(name, "/aether-1000-1ed3bdc987000cbb.token-8");
    ae_name_stats(&instance, 9, name);
    assert_string_equal(name, "/aether-1000-1ed3bdc987000cbb.stats-9");
    ae_name_totals(&instance, name);
    assert_string_equal(name, "/aether-1000-1ed3bdc987000cbb.totals");

    assert_int_equal(ae_instance_init(&instance, "/tmp/a.sock", UINT32_MAX), 0);
    ae_name_cursors(&instance, UINT64_MAX, name);
    assert_string_equal(name, "/aether-4294967295-1ed3bdc987000cbb.cursors-18446744073709551615");
}

static void one_socket_has_one_name(void **state) {
    static const char *const spellings[] = {"s", "./s", "sub/../s", "link/s", "sub/.././s"};
    struct ae_instance first, other;
    char path[64];

    (void)state;
    assert_int_equal(mkdir("sub", 0700), 0);
    assert_int_equal(symlink(".", "link"), 0);
    snprintf(path, sizeof path, "%s/s", directory);
    assert_int_equal(ae_instance_init(&first, path, 1), 0);
    assert_string_equal(first.socket_path, path);
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        assert_int_equal(ae_instance_init(&other, spellings[i], 1), 0);
        assert_memory_equal(&first, &other, sizeof first);
    }
    assert_int_equal(ae_instance_init(&other, "t", 1), 0);
    assert_string_not_equal(first.prefix, other.prefix);
    assert_int_equal(ae_instance_init(&other, "/s", 1), 0);
    assert_string_equal(other.socket_path, "/s");
}

static void wrong_paths(void **state) {
    static const char *const nowhere[] = {"", "/", "a/", ".", "..", "sub/..", "/nonexistent/dir/s", "missing/s"};
    struct ae_instance instance;
    char path[6000];

    (void)state;
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++) {
        assert_int_equal(ae_instance_init(&instance, nowhere[i], 0), -ENOENT);
        assert_string_not_equal(aether_errmsg(), "");
    }
    assert_int_equal(ae_instance_init(&instance, "", 0), -ENOENT);
    assert_non_null(strstr(aether_errmsg(), "is empty"));
    assert_int_equal(ae_instance_init(&instance, "/nonexistent/dir/s", 0), -ENOENT);
    assert_string_equal(aether_errmsg(), "there is no directory '/nonexistent/dir' for aetherd's socket "
                                         "'/nonexistent/dir/s': create it and start aetherd, or use the path of "
                                         "another socket");
    assert_int_equal(ae_instance_init(&instance, "/dev/null/x/s", 0), -ENOTDIR);
    assert_string_equal(
        aether_errmsg(),
        "'/dev/null/x', the directory of aetherd's socket '/dev/null/x/s', can't be used; use the path of "
        "another socket: Not a directory");
    memset(path, 'p', sizeof path);
    memcpy(path, "/tmp/", 5);
    path[AE_SOCKET_PATH_MAX] = '\0';
    assert_int_equal(ae_instance_init(&instance, path, 0), 0);
    assert_string_equal(instance.socket_path, path);
    assert_int_equal(strlen(instance.lock_path), AE_SOCKET_PATH_MAX + 5);
    path[AE_SOCKET_PATH_MAX] = 'p';
    path[AE_SOCKET_PATH_MAX + 1] = '\0';
    assert_int_equal(ae_instance_init(&instance, path, 0), -ENAMETOOLONG);
    path[AE_SOCKET_PATH_MAX + 1] = 'p';
    path[sizeof path - 1] = '\0';
    assert_int_equal(ae_instance_init(&instance, path, 0), -ENAMETOOLONG);
    path[sizeof path - 3] = '/';
    assert_int_equal(ae_instance_init(&instance, path, 0), -ENAMETOOLONG);
    /* The given path is short, but its absolute path is too long. */
    path[0] = 'p';
    path[1] = 'p';
    path[4] = 'p';
    path[100] = '\0';
    assert_int_equal(ae_instance_init(&instance, path, 0), -ENAMETOOLONG);
}

static void default_socket(void **state) {
    struct ae_instance instance;
    char path[256], want[128];

    (void)state;
    unsetenv("XDG_RUNTIME_DIR");
    setenv("AETHER_SOCKET", "", 1);
    snprintf(want, sizeof want, "/tmp/aether-%u/aetherd.sock", (unsigned)getuid());
    assert_int_equal(aether_default_socket(path, sizeof path), 0);
    assert_string_equal(path, want);
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    assert_int_equal(aether_default_socket(path, sizeof path), 0);
    assert_string_equal(path, "/run/user/7/aether/aetherd.sock");
    setenv("AETHER_SOCKET", "s", 1);
    assert_int_equal(aether_default_socket(path, sizeof path), 0);
    assert_string_equal(path, "s");
    assert_int_equal(aether_default_socket(path, 2), 0);
    assert_int_equal(aether_default_socket(path, 1), -ENAMETOOLONG);
    assert_int_equal(aether_default_socket(path, 0), -ENAMETOOLONG);
    assert_int_equal(ae_instance_init(&instance, NULL, 5), 0);
    snprintf(want, sizeof want, "%s/s", directory);
    assert_string_equal(instance.socket_path, want);
    memset(path, 'p', sizeof path);
    path[AE_SOCKET_PATH_MAX + 1] = '\0';
    setenv("AETHER_SOCKET", path, 1);
    assert_int_equal(aether_default_socket(path, sizeof path), -ENAMETOOLONG);
    assert_int_equal(ae_instance_init(&instance, NULL, 5), -ENAMETOOLONG);
}

static void the_lock_shows_a_running_daemon(void **state) {
    struct ae_instance instance;
    int ends[2];
    char byte;

    (void)state;
    assert_int_equal(ae_instance_init(&instance, "s", 0), 0);
    assert_int_equal(ae_instance_running(&instance), 0); /* no lock file */
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int lock;
        if (ae_instance_lock(&instance, &lock) != 0 || write(ends[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(ae_instance_running(&instance), 1);
    assert_int_equal(ae_instance_running(&instance), 1);
    int second;
    assert_int_equal(ae_instance_lock(&instance, &second), -EBUSY);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(ae_instance_running(&instance), 0);
    close(ends[0]);
    close(ends[1]);
}

/* A daemon whose lock file was removed still holds its registry. */
static void the_registry_guards_too(void **state) {
    struct ae_instance instance;
    char name[AE_OBJECT_NAME_SIZE];
    ae_registry_header header = {.daemon_pid = 77};
    int lock, second, guard = -1;

    (void)state;
    assert_int_equal(ae_instance_init(&instance, "guarded", (uint32_t)getuid()), 0);
    assert_int_equal(ae_instance_guard(&instance, &guard), -ENOENT);
    assert_int_equal(ae_instance_lock(&instance, &lock), 0);
    ae_name_registry(&instance, name);
    const int registry = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(registry >= 0 && write(registry, &header, sizeof header) == (ssize_t)sizeof header);
    assert_int_equal(ae_instance_pid(&instance), 0); /* what is there may be a dead daemon's */
    assert_int_equal(ae_instance_guard(&instance, &guard), 0);
    assert_int_equal(ae_instance_pid(&instance), 77);
    assert_int_equal(unlink(instance.lock_path), 0);
    assert_int_equal(ae_instance_running(&instance), 1);
    assert_int_equal(ae_instance_lock(&instance, &second), -EBUSY);
    assert_int_equal(second, -1);
    assert_non_null(strstr(aether_errmsg(), "aetherd pid 77 runs, its socket "));
    assert_non_null(strstr(aether_errmsg(), "guarded was removed: kill -HUP 77"));
    const int file = open(instance.socket_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(ae_instance_lock(&instance, &second), -EBUSY);
    assert_non_null(strstr(aether_errmsg(), "another aetherd (pid 77) runs at "));
    close(file);
    close(lock);
    close(guard);
    close(registry);
    assert_int_equal(ae_instance_running(&instance), 0);
    assert_int_equal(shm_unlink(name), 0);
    unlink(instance.socket_path);
    unlink(instance.lock_path);
}

static void topic_names(void **state) {
    static const char *const right[] = {"a", "a/b", "market/eur/usd", " ", "a b", "\xff", "..", "-", "$SYS", "a\nb"};
    static const char *const wrong[] = {"", "/", "/a", "a/", "a//b", "//", "+", "a/+/b", "#", "a#"};
    char name[257];

    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        assert_int_equal(ae_topic_name_check(right[i], strlen(right[i])), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(ae_topic_name_check(wrong[i], strlen(wrong[i])), -EINVAL);
    assert_int_equal(ae_topic_name_check("a\0b", 3), -EINVAL);
    memset(name, 'n', sizeof name);
    assert_int_equal(ae_topic_name_check(name, 255), 0);
    assert_int_equal(ae_topic_name_check(name, 256), -EINVAL);
    assert_string_equal(aether_errmsg(), "topic name has 256 bytes: use at most 255");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_derive_from_path_and_uid),
        cmocka_unit_test(one_socket_has_one_name),
        cmocka_unit_test(wrong_paths),
        cmocka_unit_test(default_socket),
        cmocka_unit_test(the_lock_shows_a_running_daemon),
        cmocka_unit_test(the_registry_guards_too),
        cmocka_unit_test(topic_names),
    };

    return cmocka_run_group_tests_name("names", tests, setup, teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* path_watch_test.c - what a watch notices and what it doesn't. No case waits: inotify's events are there at once. */
#include "base/path_watch.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct ae_path_watch watch;
    char top[32], a[48], b[64], file[80];
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    snprintf(f->top, sizeof f->top, "/tmp/path-watch-XXXXXX");
    assert_non_null(mkdtemp(f->top));
    snprintf(f->a, sizeof f->a, "%s/a", f->top);
    snprintf(f->b, sizeof f->b, "%s//b", f->a);
    snprintf(f->file, sizeof f->file, "%s/file", f->b);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    ae_path_watch_close(&f->watch);
    unlink(f->file);
    rmdir(f->b);
    rmdir(f->a);
    rmdir(f->top);
    free(f);
    return 0;
}

static void touch(const char *path) {
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static void changed(struct fixture *f) {
    assert_int_equal(ae_path_watch_read(&f->watch), 1);
    assert_int_equal(ae_path_watch_read(&f->watch), 0);
}

static void a_file_comes_and_goes(void **state) {
    struct fixture *f = *state;
    char other[96];

    assert_int_equal(mkdir(f->a, 0700), 0);
    assert_int_equal(mkdir(f->b, 0700), 0);
    assert_int_equal(ae_path_watch_open(&f->watch, f->file), 0);
    assert_int_equal(ae_path_watch_read(&f->watch), 0);
    snprintf(other, sizeof other, "%s~", f->file);
    touch(other);
    assert_int_equal(ae_path_watch_read(&f->watch), 0); /* a neighbour */
    assert_int_equal(rename(other, f->file), 0);
    changed(f);
    assert_int_equal(chmod(f->file, 0644), 0);
    changed(f);
    touch(other);
    assert_int_equal(rename(other, f->file), 0); /* replaced */
    changed(f);
    assert_int_equal(unlink(f->file), 0);
    changed(f);
}

static void the_directory_comes_later(void **state) {
    struct fixture *f = *state;
    char other[64];

    assert_int_equal(ae_path_watch_open(&f->watch, f->file), 0);
    snprintf(other, sizeof other, "%s/other", f->top);
    touch(other);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(ae_path_watch_read(&f->watch), 0);
    assert_int_equal(mkdir(f->a, 0700), 0);
    changed(f);
    assert_int_equal(mkdir(f->b, 0700), 0);
    changed(f);
    touch(f->file);
    changed(f);
}

/* Both directories come before the first event is read: the watch must not stop at the outer one. */
static void directories_come_at_once(void **state) {
    struct fixture *f = *state;

    assert_int_equal(ae_path_watch_open(&f->watch, f->file), 0);
    assert_int_equal(mkdir(f->a, 0700), 0);
    assert_int_equal(mkdir(f->b, 0700), 0);
    changed(f);
    touch(f->file);
    changed(f);
}

static void the_directory_goes_and_comes_back(void **state) {
    struct fixture *f = *state;

    assert_int_equal(mkdir(f->a, 0700), 0);
    assert_int_equal(mkdir(f->b, 0700), 0);
    touch(f->file);
    assert_int_equal(ae_path_watch_open(&f->watch, f->file), 0);
    assert_int_equal(unlink(f->file), 0);
    assert_int_equal(rmdir(f->b), 0);
    assert_int_equal(rmdir(f->a), 0);
    while (ae_path_watch_read(&f->watch) == 1)
        continue;
    assert_int_equal(mkdir(f->a, 0700), 0);
    assert_int_equal(mkdir(f->b, 0700), 0);
    assert_int_equal(ae_path_watch_read(&f->watch), 1);
    touch(f->file);
    changed(f);
}

static void relative_and_impossible_paths(void **state) {
    struct fixture *f = *state;
    char here[4096], path[AE_PATH_WATCH_MAX + 2];

    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(f->top), 0);
    assert_int_equal(ae_path_watch_open(&f->watch, "here"), 0);
    touch("here");
    changed(f);
    assert_int_equal(unlink("here"), 0);
    ae_path_watch_close(&f->watch);
    assert_int_equal(ae_path_watch_open(&f->watch, "a/b"), 0);
    assert_int_equal(mkdir("a", 0700), 0);
    changed(f);
    ae_path_watch_close(&f->watch);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(ae_path_watch_open(&f->watch, "/"), -ENOENT);
    assert_int_equal(f->watch.fd, -1);
    assert_int_equal(ae_path_watch_open(&f->watch, ""), -ENOENT);
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(ae_path_watch_open(&f->watch, path), -ENAMETOOLONG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_file_comes_and_goes),         TEST(the_directory_comes_later),
        TEST(directories_come_at_once),      TEST(the_directory_goes_and_comes_back),
        TEST(relative_and_impossible_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

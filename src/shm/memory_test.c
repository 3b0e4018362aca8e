/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/memory.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define MIB (1ull << 20)

static char root[64];

static int setup(void **state) {
    (void)state;
    strcpy(root, "/tmp/aether-memory-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw) {
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state) {
    (void)state;
    return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file below the root, and creates its directories. */
static void put(const char *path, const char *text) {
    char full[PATH_MAX];
    FILE *stream;

    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        mkdir(full, 0700);
        *p = '/';
    }
    stream = fopen(full, "w");
    assert_non_null(stream);
    assert_true(fputs(text, stream) >= 0);
    assert_int_equal(fclose(stream), 0);
}

static void put_group(const char *directory, const char *limit, const char *usage, const char *stat, int version) {
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", directory, version == 2 ? "memory.max" : "memory.limit_in_bytes");
    put(path, limit);
    snprintf(path, sizeof path, "%s/%s", directory, version == 2 ? "memory.current" : "memory.usage_in_bytes");
    put(path, usage);
    snprintf(path, sizeof path, "%s/memory.stat", directory);
    put(path, stat);
}

/* Without what was read before. */
static int check(uint64_t bytes) {
    struct ae_memory_kept kept = {0};

    return ae_memory_check_at(root, &kept, bytes, 1);
}

static void assert_room(uint64_t bytes) {
    if (check(bytes) != 0)
        fail_msg("%s", aether_errmsg());
}

/* Asserts that there is no room, and that the text contains all three words. */
static void assert_no_room(uint64_t bytes, const char *need, const char *available, const char *limit) {
    assert_int_equal(check(bytes), -ENOMEM);
    if (strstr(aether_errmsg(), need) == NULL || strstr(aether_errmsg(), available) == NULL ||
        strstr(aether_errmsg(), limit) == NULL)
        fail_msg("\"%s\" lacks %s, %s or %s", aether_errmsg(), need, available, limit);
}

#define V1_MOUNTS                                                                                                      \
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"                                                                  \
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"                                             \
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"                              \
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
#define V1_GROUPS "9:name=systemd:/\n4:memory:/a/b\n3:cpu,cpuacct:/x\n0::/\n"
#define V2_MOUNTS                                                                                                      \
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"                                                                  \
    "30 25 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate\n"

static void nothing_known_is_no_limit(void **state) {
    (void)state;
    assert_room(0);
    assert_room(UINT64_MAX);
    put("/proc/self/cgroup", V1_GROUPS);
    assert_room(UINT64_MAX);
    put("/proc/self/mountinfo", V1_MOUNTS);
    assert_room(UINT64_MAX);
}

static void machine(void **state) {
    (void)state;
    put("/proc/meminfo", "MemTotal:       16384 kB\nMemFree:         1 kB\nMemAvailable:    8192 kB\n");
    assert_room(0);
    assert_room(7 * MIB);
    assert_no_room(7 * MIB + 1, "needs 8 MiB", "8 MiB available", "MemAvailable");
    assert_no_room(UINT64_MAX, "needs 15.9 EiB", "8 MiB available", "MemAvailable");
    put("/proc/meminfo", "MemTotal:       16384 kB\n");
    assert_room(UINT64_MAX);
}

static void margin_grows_with_the_need(void **state) {
    (void)state;
    put("/proc/meminfo", "MemAvailable:    1064960 kB\n"); /* 1024 + 16 MiB */
    assert_room(1024 * MIB);
    assert_no_room(1024 * MIB + 64, "needs 1 GiB", "1 GiB available", "MemAvailable");
}

static void version_1(void **state) {
    (void)state;
    put("/proc/self/cgroup", V1_GROUPS);
    put("/proc/self/mountinfo", V1_MOUNTS);
    put_group("/sys/fs/cgroup/memory/a/b", "33554432\n", "25165824\n",
              "cache 1\ninactive_file 20971520\ntotal_inactive_file 4194304\n", 1);
    assert_room(11 * MIB); /* 32 - 24 + 4 */
    assert_no_room(11 * MIB + 1, "needs 12 MiB", "12 MiB available",
                   "/sys/fs/cgroup/memory/a/b (memory.limit_in_bytes: 32 MiB)");
    /* The group above allows less. */
    put_group("/sys/fs/cgroup/memory/a", "67108864\n", "62914560\n", "total_inactive_file 0\n", 1);
    assert_room(3 * MIB);
    assert_no_room(4 * MIB, "needs 5 MiB", "4 MiB available",
                   "/sys/fs/cgroup/memory/a (memory.limit_in_bytes: 64 MiB)");
    /* And the root even less. */
    put_group("/sys/fs/cgroup/memory", "1048576\n", "1048576\n", "", 1);
    assert_no_room(1, "needs 1 MiB", "0 B available", "/sys/fs/cgroup/memory (");
}

static void version_1_unlimited(void **state) {
    (void)state;
    put("/proc/self/cgroup", V1_GROUPS);
    put("/proc/self/mountinfo", V1_MOUNTS);
    put_group("/sys/fs/cgroup/memory/a/b", "9223372036854771712\n", "1\n", "", 1);
    put_group("/sys/fs/cgroup/memory", "18446744073709551615\n", "1\n", "", 1);
    assert_room(1ull << 50);
}

static void version_2(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/user.slice/my app.service\n");
    put("/proc/self/mountinfo", V2_MOUNTS);
    put_group("/sys/fs/cgroup/user.slice/my app.service", "max\n", "25165824\n", "anon 1\ninactive_file 0\n", 2);
    assert_room(1ull << 50);
    put_group("/sys/fs/cgroup/user.slice", "33554432\n", "33554432\n",
              "inactive_file_x 5\nanon 1\nactive_file 1\ninactive_file 8388608\n", 2);
    assert_room(7 * MIB);
    assert_no_room(8 * MIB, "needs 9 MiB", "8 MiB available", "/sys/fs/cgroup/user.slice (memory.max: 32 MiB)");
    /* The limit was lowered below the usage. */
    put_group("/sys/fs/cgroup/user.slice/my app.service", "1048576\n", "2097152\n", "", 2);
    assert_no_room(1, "needs 1 MiB", "0 B available", "my app.service (memory.max: 1 MiB)");
}

/* Both versions are mounted, as in systemd's hybrid mode, and either can have the limit. */
static void both_versions(void **state) {
    (void)state;
    put("/proc/self/cgroup", "4:memory:/one\n0::/two\n");
    put("/proc/self/mountinfo", V1_MOUNTS);
    put_group("/sys/fs/cgroup/memory/one", "8388608\n", "0\n", "", 1);
    assert_room(7 * MIB);
    assert_no_room(8 * MIB, "needs 9 MiB", "8 MiB available", "/sys/fs/cgroup/memory/one");
    put_group("/sys/fs/cgroup/unified/two", "4194304\n", "0\n", "", 2);
    assert_no_room(4 * MIB, "needs 5 MiB", "4 MiB available", "/sys/fs/cgroup/unified/two");
}

/* In a container the mount shows only a part of the tree, and the group may be outside of it. */
static void part_of_the_tree(void **state) {
    (void)state;
    put("/proc/self/cgroup", "4:memory:/docker/abc/inner\n");
    put("/proc/self/mountinfo", "1 2 0:1 /docker/abc /sys/fs/cgroup/mem\\040ory ro - cgroup cgroup rw,memory\n");
    put_group("/sys/fs/cgroup/mem ory/inner", "8388608\n", "0\n", "", 1);
    assert_no_room(8 * MIB, "needs 9 MiB", "8 MiB available", "/sys/fs/cgroup/mem ory/inner (");
    put_group("/sys/fs/cgroup/mem ory", "4194304\n", "0\n", "", 1);
    assert_no_room(4 * MIB, "needs 5 MiB", "4 MiB available", "/sys/fs/cgroup/mem ory (");
    /* Not below the mount's root, although its path begins with the same text. */
    put("/proc/self/cgroup", "4:memory:/docker/abcdef\n");
    assert_no_room(4 * MIB, "needs 5 MiB", "4 MiB available", "/sys/fs/cgroup/mem ory (");
    /* A group above the namespace's root. */
    put("/proc/self/cgroup", "4:memory:/docker/abc/../../inner\n");
    assert_no_room(4 * MIB, "needs 5 MiB", "4 MiB available", "/sys/fs/cgroup/mem ory (");
}

static void mount_that_shows_most_is_used(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/proc/self/mountinfo", "1 2 0:1 /other /mnt/other rw - cgroup2 cgroup2 rw\n"
                                "1 2 0:1 /a/b /mnt/b rw - cgroup2 cgroup2 rw\n"
                                "1 2 0:1 / /mnt/all rw - cgroup2 cgroup2 rw\n"
                                "1 2 0:1 /a /mnt/a rw - cgroup2 cgroup2 rw\n");
    put_group("/mnt/all/a", "4194304\n", "0\n", "", 2);
    assert_no_room(4 * MIB, "needs 5 MiB", "4 MiB available", "/mnt/all/a (");
}

static void malformed(void **state) {
    static const char *const mounts[] = {
        "",
        "\n\n",
        " - \n",
        "1 2 3 - cgroup2\n",
        "1 2 0:1 / - cgroup2 cgroup2 rw\n",
        "1 2 0:1 / /sys/fs/cgroup rw - cgroup2\n",
        "1 2 0:1 / /sys/fs/cgroup rw cgroup2 cgroup2 rw\n",
        "1 2 0:1 \\0 \\777 rw - cgroup2 cgroup2 rw",
    };
    static const char *const groups[] = {"", ":", "::", "0:", "0::", "0::a\n", "0:/a\n", "memory\n", "4:mem:/a\n"};
    static const char *const limits[] = {"", "\n", "-1\n", "x\n", "12x\n", " 1\n", "99999999999999999999999\n", "max"};
    char long_line[6000];

    (void)state;
    put("/proc/self/cgroup", "0::/a\n");
    put_group("/sys/fs/cgroup/a", "1\n", "1\n", "", 2);
    for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
        put("/proc/self/mountinfo", mounts[i]);
        assert_room(MIB);
    }
    put("/proc/self/mountinfo", V2_MOUNTS);
    assert_no_room(MIB, "needs 2 MiB", "0 B", "/sys/fs/cgroup/a (");
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        put("/proc/self/cgroup", groups[i]);
        assert_room(MIB);
    }
    memset(long_line, 'x', sizeof long_line);
    memcpy(long_line, "0::/", 4);
    long_line[sizeof long_line - 1] = '\0';
    put("/proc/self/cgroup", long_line);
    assert_room(MIB);
    long_line[4090] = '\0'; /* the path fits, but not after the mount's point */
    put("/proc/self/cgroup", long_line);
    assert_room(MIB);

    put("/proc/self/cgroup", "0::/a\n");
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        put_group("/sys/fs/cgroup/a", limits[i], "1\n", "", 2);
        assert_room(MIB);
        put_group("/sys/fs/cgroup/a", "1\n", limits[i], "", 2);
        assert_room(MIB);
    }
    put_group("/sys/fs/cgroup/a", "1\n", "1\n", "inactive_file\ninactive_file x\ninactive_file -9999999\n", 2);
    assert_no_room(MIB, "needs 2 MiB", "0 B", "/sys/fs/cgroup/a (");
}

#define SECOND 1000000000ull

/* What was read serves small needs for a second: a burst of opens doesn't read all files again and again. */
static void what_was_read_is_used_again(void **state) {
    struct ae_memory_kept kept = {0};

    (void)state;
    put("/proc/meminfo", "MemAvailable:    65536 kB\n");
    assert_int_equal(ae_memory_check_at(root, &kept, MIB, SECOND), 0);
    put("/proc/meminfo", "MemAvailable:    0 kB\n");
    assert_int_equal(ae_memory_check_at(root, &kept, MIB / 4, 2 * SECOND - 1), 0);
    assert_int_equal(kept.left, 63 * MIB - MIB / 4);
    assert_int_equal(ae_memory_check_at(root, &kept, MIB / 4 + 1, 2 * SECOND - 1), -ENOMEM); /* large */
    assert_int_equal(ae_memory_check_at(root, &kept, 1, 2 * SECOND - 1), -ENOMEM);           /* an error isn't kept */

    put("/proc/meminfo", "MemAvailable:    2560 kB\n");
    assert_int_equal(ae_memory_check_at(root, &kept, 1, SECOND), 0);
    assert_int_equal(ae_memory_check_at(root, &kept, 1, SECOND), 0);
    put("/proc/meminfo", "MemAvailable:    0 kB\n");
    assert_int_equal(ae_memory_check_at(root, &kept, MIB / 4, SECOND), -ENOMEM); /* more than half, with the margin */
    kept = (struct ae_memory_kept){0};

    put("/proc/meminfo", "MemAvailable:    65536 kB\n");
    assert_int_equal(ae_memory_check_at(root, &kept, 1, 2 * SECOND), 0);
    put("/proc/meminfo", "MemAvailable:    0 kB\n");
    assert_int_equal(ae_memory_check_at(root, &kept, 1, 3 * SECOND - 1), 0);
    assert_int_equal(ae_memory_check_at(root, &kept, 1, 3 * SECOND), -ENOMEM);
}

static void this_machine(void **state) {
    (void)state;
    assert_int_equal(ae_memory_check(0), 0);
    assert_int_equal(ae_memory_check(1ull << 60), -ENOMEM);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(nothing_known_is_no_limit),
        TEST(machine),
        TEST(margin_grows_with_the_need),
        TEST(version_1),
        TEST(version_1_unlimited),
        TEST(version_2),
        TEST(both_versions),
        TEST(part_of_the_tree),
        TEST(mount_that_shows_most_is_used),
        TEST(malformed),
        TEST(what_was_read_is_used_again),
        TEST(this_machine),
    };

    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}

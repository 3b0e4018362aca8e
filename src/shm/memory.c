/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/memory.h"
#include "base/error.h"
#include "base/text.h"
#include "shm/segment.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN_MIN (1ull << 20)
#define MARGIN_DIVISOR 64

/* Version 1 writes "no limit" as the largest multiple of a page. */
#define UNLIMITED (1ull << 62)

/* Where a version of control groups keeps its figures. */
struct kind {
    const char *fstype;
    const char *option;     /* mount option of the hierarchy that accounts memory; NULL: none is needed */
    const char *controller; /* in /proc/self/cgroup */
    const char *limit;
    const char *usage;
    const char *reclaimable; /* key in memory.stat */
};

static const struct kind kinds[] = {
    {"cgroup2", NULL, "", "memory.max", "memory.current", "inactive_file"},
    {"cgroup", "memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

/* A mounted hierarchy: the group `root` and what is below it can be seen at `point`. */
struct mount {
    char root[PATH_MAX];
    char point[PATH_MAX];
};

static FILE *open_file(const char *root, const char *directory, const char *file) {
    char path[PATH_MAX];
    const int len = snprintf(path, sizeof path, "%s%s/%s", root, directory, file);

    return len > 0 && (size_t)len < sizeof path ? fopen(path, "re") : NULL;
}

/* A decimal number that ends at a white space or the end of the text. */
static bool parse_number(const char *text, uint64_t *value) {
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || (*end != '\0' && strchr(" \t\n", *end) == NULL))
        return false;
    *value = number;
    return true;
}

/* The number that a file consists of. False: there is none, as in a file that says "max". */
static bool read_number(const char *root, const char *directory, const char *file, uint64_t *value) {
    char text[32];
    FILE *stream = open_file(root, directory, file);
    bool found;

    if (stream == NULL)
        return false;
    found = fgets(text, sizeof text, stream) != NULL && parse_number(text, value);
    fclose(stream);
    return found;
}

/* The number that follows a key and white space at the beginning of a line. */
static bool read_key(const char *root, const char *directory, const char *file, const char *key, uint64_t *value) {
    const size_t key_len = strlen(key);
    char line[256];
    FILE *stream = open_file(root, directory, file);
    bool found = false;

    if (stream == NULL)
        return false;
    while (!found && fgets(line, sizeof line, stream) != NULL) {
        if (strncmp(line, key, key_len) == 0 && strchr(" \t", line[key_len]) != NULL && line[key_len] != '\0')
            found = parse_number(line + key_len + strspn(line + key_len, " \t"), value);
    }
    fclose(stream);
    return found;
}

/* True if word is one of the words in list, which are separated by commas. "" is in the empty list alone. */
static bool list_has(const char *list, const char *word) {
    const size_t word_len = strlen(word);

    for (;;) {
        const size_t len = strcspn(list, ",");
        if (len == word_len && memcmp(list, word, len) == 0)
            return true;
        if (list[len] == '\0')
            return false;
        list += len + 1;
    }
}

/* The process's group in a hierarchy, from lines "id:controllers:path". */
static bool find_group(const char *root, const struct kind *kind, char group[PATH_MAX]) {
    FILE *stream = open_file(root, "/proc/self", "cgroup");
    char *line = NULL;
    size_t size = 0;
    bool found = false;

    if (stream == NULL)
        return false;
    while (!found && getline(&line, &size, stream) > 0) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL || path[1] != '/' || strlen(path + 1) >= PATH_MAX)
            continue;
        *path++ = '\0';
        found = list_has(controllers + 1, kind->controller);
        if (found)
            strcpy(group, path);
    }
    free(line);
    fclose(stream);
    return found;
}

/* Copies a field of mountinfo, where white space and backslashes are octal: "\040". False if it doesn't fit. */
static bool unescape(char out[PATH_MAX], const char *in) {
    size_t len = 0;

    while (*in != '\0') {
        if (len == PATH_MAX - 1)
            return false;
        if (in[0] == '\\' && strspn(in + 1, "01234567") >= 3) {
            out[len++] = (char)(((in[1] - '0') & 3) << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
            in += 4;
        } else {
            out[len++] = *in++;
        }
    }
    out[len] = '\0';
    return true;
}

/* What follows a group's path where it goes on below `root`; NULL if it isn't there. */
static const char *below(const char *group, const char *root) {
    const size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);

    if (strncmp(group, root, len) != 0 || (group[len] != '\0' && group[len] != '/'))
        return NULL;
    return group + len;
}

/* Reads a line of mountinfo: "id parent major:minor ROOT POINT options [fields] - FSTYPE source SUPEROPTIONS". */
static bool parse_mount(char *line, const struct kind *kind, struct mount *mount) {
    char *fields[5], *save = NULL;
    char *tail = strstr(line, " - ");

    if (tail == NULL)
        return false;
    *tail = '\0';
    for (size_t i = 0; i < 5; i++) {
        fields[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
        if (fields[i] == NULL)
            return false;
    }
    const char *fstype = strtok_r(tail + 3, " \n", &save);
    const char *source = strtok_r(NULL, " \n", &save);
    const char *options = strtok_r(NULL, " \n", &save);
    if (fstype == NULL || source == NULL || options == NULL || strcmp(fstype, kind->fstype) != 0)
        return false;
    if (kind->option != NULL && !list_has(options, kind->option))
        return false;
    return unescape(mount->root, fields[3]) && unescape(mount->point, fields[4]);
}

/*
 * The mount that shows most of the groups above this one; if none shows the group itself (a container's view), the
 * first of its kind.
 */
static bool find_mount(const char *root, const struct kind *kind, const char *group, struct mount *best) {
    FILE *stream = open_file(root, "/proc/self", "mountinfo");
    struct mount mount;
    char *line = NULL;
    size_t size = 0;
    bool found = false, shows = false;

    if (stream == NULL)
        return false;
    while (getline(&line, &size, stream) > 0) {
        if (!parse_mount(line, kind, &mount))
            continue;
        const bool here = below(group, mount.root) != NULL;
        if (!found || (here && (!shows || strlen(mount.root) < strlen(best->root)))) {
            *best = mount;
            shows = here;
            found = true;
        }
    }
    free(line);
    fclose(stream);
    return found;
}

static bool has_parent_level(const char *path) {
    for (const char *p = strstr(path, "/.."); p != NULL; p = strstr(p + 1, "/..")) {
        if (p[3] == '/' || p[3] == '\0')
            return true;
    }
    return false;
}

/* bytes and what the allocation costs beside them: page tables, the daemon's own growth. */
static uint64_t with_margin(uint64_t bytes) {
    const uint64_t part = bytes / MARGIN_DIVISOR;
    const uint64_t margin = part > MARGIN_MIN ? part : MARGIN_MIN;
    uint64_t sum;

    return __builtin_add_overflow(bytes, margin, &sum) ? UINT64_MAX : sum;
}

/* Checks one group, whose files lie in directory. */
static int check_group(const char *root, const struct kind *kind, const char *directory, uint64_t bytes) {
    char need_text[AE_TEXT_SIZE_BYTES], left_text[AE_TEXT_SIZE_BYTES], limit_text[AE_TEXT_SIZE_BYTES];
    uint64_t limit, usage, reclaimable = 0;

    if (!read_number(root, directory, kind->limit, &limit) || limit >= UNLIMITED ||
        !read_number(root, directory, kind->usage, &usage))
        return 0;
    (void)read_key(root, directory, "memory.stat", kind->reclaimable, &reclaimable); /* stays 0 where it isn't told */
    const uint64_t kept = usage > reclaimable ? usage - reclaimable : 0;
    const uint64_t left = limit > kept ? limit - kept : 0;
    const uint64_t need = with_margin(bytes);
    if (need <= left)
        return 0;
    return ae_fail(-ENOMEM, "not enough memory: needs %s, %s available in control group %s (%s: %s)",
                   ae_text_size(need_text, need), ae_text_size(left_text, left), directory, kind->limit,
                   ae_text_size(limit_text, limit));
}

/* Checks the process's group of one hierarchy and every group above it that can be seen. */
static int check_groups(const char *root, const struct kind *kind, uint64_t bytes) {
    char group[PATH_MAX], directory[PATH_MAX];
    struct mount mount;
    const char *rest;
    int rc;

    if (!find_group(root, kind, group) || !find_mount(root, kind, group, &mount))
        return 0;
    /* A group outside of what this process may see: the nearest that it sees is the mount's own. */
    rest = below(group, mount.root);
    if (rest == NULL || has_parent_level(rest))
        rest = "";
    const size_t point_len = strlen(mount.point);
    const int len = snprintf(directory, sizeof directory, "%s%s", mount.point, rest);
    if (len < 0 || (size_t)len >= sizeof directory)
        return 0;
    for (;;) {
        rc = check_group(root, kind, directory, bytes);
        if (rc != 0 || strlen(directory) <= point_len)
            return rc;
        char *slash = strrchr(directory + point_len, '/');
        if (slash == NULL)
            return 0;
        *slash = '\0';
    }
}

int ae_memory_check_at(const char *root, uint64_t bytes) {
    char need_text[AE_TEXT_SIZE_BYTES], left_text[AE_TEXT_SIZE_BYTES];
    uint64_t available_kib, available;
    int rc;

    for (size_t i = 0; i < KIND_COUNT; i++) {
        rc = check_groups(root, &kinds[i], bytes);
        if (rc != 0)
            return rc;
    }
    if (!read_key(root, "/proc", "meminfo", "MemAvailable:", &available_kib) ||
        __builtin_mul_overflow(available_kib, 1024u, &available) || with_margin(bytes) <= available)
        return 0;
    return ae_fail(-ENOMEM, "not enough memory: needs %s, %s available on this machine (MemAvailable)",
                   ae_text_size(need_text, with_margin(bytes)), ae_text_size(left_text, available));
}

int ae_memory_check(uint64_t bytes) {
    return ae_memory_check_at("", bytes);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/memory.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN_MIN (1ull << 20)
#define MARGIN_DIVISOR 64
#define KEPT_NS 1000000000ull /* how long what was read is used again, for needs of at most KEPT_BYTES */
#define KEPT_BYTES (1ull << 18)

/* Control groups of version 1 write "no limit" as the largest multiple of a page. */
#define UNLIMITED (1ull << 62)

/* Where a version of control groups has its figures. */
struct kind {
    const char *fstype;
    const char *option;     /* mount option of the hierarchy that accounts for memory; NULL: none is needed */
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

/* A mounted hierarchy: the group `root` and the groups below it are visible at `point`. */
struct mount {
    char root[PATH_MAX];
    char point[PATH_MAX];
};

static FILE *open_file(const char *root, const char *directory, const char *file) {
    char path[PATH_MAX];
    const int len = snprintf(path, sizeof path, "%s%s/%s", root, directory, file);

    return len > 0 && (size_t)len < sizeof path ? fopen(path, "re") : NULL;
}

/* Reads a decimal number, which ends at white space or the end of the text. */
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

/* Reads the number that is the file's content. False if there is none: the file may be missing or contain "max". */
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

/* Reads the number after a key and white space at the beginning of a line. */
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

/* True if list, words separated by commas, contains word. "" is only in the empty list. */
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

/* Finds the process's group in a hierarchy, from lines "id:controllers:path". */
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

/* Copies a field of mountinfo, which has white space and backslashes in octal: "\040". False if it doesn't fit. */
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

/* The part of a group's path below `root`, or NULL if the group isn't below it. */
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
 * Finds the mount in which most of the groups above this group are visible. If no mount shows the group itself, as in a
 * container, it is the first mount of the kind.
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

/* bytes, and some more for page tables and for the daemon itself. */
static uint64_t with_margin(uint64_t bytes) {
    const uint64_t part = bytes / MARGIN_DIVISOR;
    const uint64_t margin = part > MARGIN_MIN ? part : MARGIN_MIN;
    uint64_t sum;

    return __builtin_add_overflow(bytes, margin, &sum) ? UINT64_MAX : sum;
}

static void lower(uint64_t *least, uint64_t value) {
    if (value < *least)
        *least = value;
}

/* Checks one group, whose files are in directory. Lowers *least to the bytes that it has left. */
static int check_group(const char *root, const struct kind *kind, const char *directory, uint64_t bytes,
                       uint64_t *least) {
    char need_text[AE_TEXT_SIZE_BYTES], left_text[AE_TEXT_SIZE_BYTES], limit_text[AE_TEXT_SIZE_BYTES];
    uint64_t limit, usage, reclaimable = 0;

    if (!read_number(root, directory, kind->limit, &limit) || limit >= UNLIMITED ||
        !read_number(root, directory, kind->usage, &usage))
        return 0;
    (void)read_key(root, directory, "memory.stat", kind->reclaimable, &reclaimable); /* stays 0 if there is no figure */
    const uint64_t kept = usage > reclaimable ? usage - reclaimable : 0;
    const uint64_t left = limit > kept ? limit - kept : 0;
    const uint64_t need = with_margin(bytes);
    lower(least, left);
    if (need <= left)
        return 0;
    return ae_fail(-ENOMEM, "not enough memory: needs %s, %s available in control group %s (%s: %s)",
                   ae_text_size(need_text, need), ae_text_size(left_text, left), directory, kind->limit,
                   ae_text_size(limit_text, limit));
}

/* Checks the process's group in one hierarchy and every visible group above it. */
static int check_groups(const char *root, const struct kind *kind, uint64_t bytes, uint64_t *least) {
    char group[PATH_MAX], directory[PATH_MAX];
    struct mount mount;
    const char *rest;
    int rc;

    if (!find_group(root, kind, group) || !find_mount(root, kind, group, &mount))
        return 0;
    /* If the group itself isn't visible to this process, the nearest visible group is the mount's root. */
    rest = below(group, mount.root);
    if (rest == NULL || has_parent_level(rest))
        rest = "";
    const size_t point_len = strlen(mount.point);
    const int len = snprintf(directory, sizeof directory, "%s%s", mount.point, rest);
    if (len < 0 || (size_t)len >= sizeof directory)
        return 0;
    for (;;) {
        rc = check_group(root, kind, directory, bytes, least);
        if (rc != 0 || strlen(directory) <= point_len)
            return rc;
        char *slash = strrchr(directory + point_len, '/');
        if (slash == NULL)
            return 0;
        *slash = '\0';
    }
}

/* *least: the bytes that the smallest limit has left. */
static int check_all(const char *root, uint64_t bytes, uint64_t *least) {
    char need_text[AE_TEXT_SIZE_BYTES], left_text[AE_TEXT_SIZE_BYTES];
    uint64_t available_kib, available;
    int rc;

    *least = UINT64_MAX;
    for (size_t i = 0; i < KIND_COUNT; i++) {
        rc = check_groups(root, &kinds[i], bytes, least);
        if (rc != 0)
            return rc;
    }
    if (!read_key(root, "/proc", "meminfo", "MemAvailable:", &available_kib) ||
        __builtin_mul_overflow(available_kib, 1024u, &available))
        return 0;
    lower(least, available);
    if (with_margin(bytes) <= available)
        return 0;
    return ae_fail(-ENOMEM, "not enough memory: needs %s, %s available on this machine (MemAvailable)",
                   ae_text_size(need_text, with_margin(bytes)), ae_text_size(left_text, available));
}

int ae_memory_check_at(const char *root, struct ae_memory_kept *kept, uint64_t bytes, uint64_t now_ns) {
    uint64_t left;

    /*
     * Half: other processes allocate, too, since it was read. Only for small needs, of which an open has several: the
     * limits may be others by now, as those of another control group, and a large need that exceeds them is fatal.
     */
    if (now_ns < kept->until_ns && bytes <= KEPT_BYTES && with_margin(bytes) <= kept->left / 2) {
        kept->left -= bytes;
        return 0;
    }
    const int rc = check_all(root, bytes, &left);
    *kept = rc == 0 ? (struct ae_memory_kept){.until_ns = now_ns + KEPT_NS, .left = left - bytes}
                    : (struct ae_memory_kept){0};
    return rc;
}

int ae_memory_check(uint64_t bytes) {
    static _Thread_local struct ae_memory_kept kept;

    return ae_memory_check_at("", &kept, bytes, ae_now_ns());
}

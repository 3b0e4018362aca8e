/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/config.h"
#include "base/error.h"
#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 200 /* what every libinih takes; a longer line would be cut without a word */

enum key { KEY_SOCKET, KEY_LOG_LEVEL, KEY_TOPICS, KEY_CLIENTS, KEY_GRANTS, KEY_RING_BYTES, KEYS };

static const struct {
    const char *section, *name;
    uint64_t min, max; /* of numbers */
} keys[KEYS] = {
    [KEY_SOCKET] = {"daemon", "socket", 0, 0},
    [KEY_LOG_LEVEL] = {"daemon", "log_level", 0, 0},
    [KEY_TOPICS] = {"limits", "topics", 1, AE_REGISTRY_TOPICS_LIMIT},
    [KEY_CLIENTS] = {"limits", "clients", 1, AE_REGISTRY_CLIENTS_LIMIT},
    [KEY_GRANTS] = {"limits", "grants", 1, AE_REGISTRY_GRANTS_LIMIT},
    [KEY_RING_BYTES] = {"limits", "ring_bytes", 65536, 1ull << 44},
};

struct reading {
    struct ae_config *config;
    const char *path;
    FILE *file;
    unsigned line;
    bool seen[KEYS];
    int rc;
    unsigned rc_line; /* of rc */
};

void ae_config_defaults(struct ae_config *config) {
    *config = (struct ae_config){
        .log_level = AE_LOG_INFO,
        .limits = {.topics = 1024, .clients = 1024, .grants = 8192, .ring_bytes = 1ull << 30},
    };
}

/* Decimal digits, and nothing else. */
static bool parse_number(const char *text, uint64_t *value) {
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

static int set_number(struct reading *r, enum key key, const char *text, uint64_t *value) {
    if (parse_number(text, value) && *value >= keys[key].min && *value <= keys[key].max)
        return 0;
    return ae_fail(-EINVAL, "%s:%u: %s = '%s' isn't a number from %" PRIu64 " to %" PRIu64, r->path, r->line,
                   keys[key].name, text, keys[key].min, keys[key].max);
}

static int set_key(struct reading *r, enum key key, const char *text) {
    struct ae_config *config = r->config;
    uint64_t number = 0;
    int rc;

    if (key == KEY_SOCKET) {
        if (text[0] == '\0' || strlen(text) > AE_SOCKET_PATH_MAX)
            return ae_fail(-EINVAL, "%s:%u: socket = '%s' isn't a path of 1 to %u bytes", r->path, r->line, text,
                           AE_SOCKET_PATH_MAX);
        memcpy(config->socket_path, text, strlen(text) + 1);
        return 0;
    }
    if (key == KEY_LOG_LEVEL) {
        if (ae_log_level_parse(text, &config->log_level) != 0)
            return ae_fail(-EINVAL, "%s:%u: log_level = '%s' is unknown: use error, warning, info or debug", r->path,
                           r->line, text);
        return 0;
    }
    if ((rc = set_number(r, key, text, &number)) != 0)
        return rc;
    if (key == KEY_TOPICS)
        config->limits.topics = (uint32_t)number;
    else if (key == KEY_CLIENTS)
        config->limits.clients = (uint32_t)number;
    else if (key == KEY_GRANTS)
        config->limits.grants = (uint32_t)number;
    else
        config->limits.ring_bytes = number;
    return 0;
}

static int handle(void *user, const char *section, const char *name, const char *value) {
    struct reading *r = user;

    if (r->rc != 0)
        return 0; /* the first fault is the one that is told */
    r->rc_line = r->line;
    for (int key = 0; key < KEYS; key++) {
        if (strcmp(section, keys[key].section) != 0 || strcmp(name, keys[key].name) != 0)
            continue;
        if (r->seen[key])
            r->rc = ae_fail(-EINVAL, "%s:%u: %s is set twice: keep one", r->path, r->line, name);
        else
            r->rc = set_key(r, (enum key)key, value);
        r->seen[key] = true;
        return r->rc == 0;
    }
    r->rc = ae_fail(
        -EINVAL,
        "%s:%u: [%s] %s is unknown: use [daemon] socket, log_level or [limits] topics, clients, grants, ring_bytes",
        r->path, r->line, section, name);
    return 0;
}

static bool section_known(const char *name, size_t len) {
    for (int key = 0; key < KEYS; key++) {
        if (strlen(keys[key].section) == len && memcmp(keys[key].section, name, len) == 0)
            return true;
    }
    return false;
}

/* libinih ignores what follows a section's name and tells nothing of a section without keys. */
static int check_section(const struct reading *r, const char *text) {
    const size_t len = strcspn(text + 1, "]");
    const char *rest = text + 1 + len;

    if (*rest == '\0')
        return 0; /* not a section: libinih says so */
    if (!section_known(text + 1, len))
        return ae_fail(-EINVAL, "%s:%u: section [%.*s] is unknown: use [daemon] or [limits]", r->path, r->line,
                       (int)len, text + 1);
    rest += 1 + strspn(rest + 1, " \t\r\n");
    if (*rest != '\0' && *rest != ';' && *rest != '#')
        return ae_fail(-EINVAL, "%s:%u: text follows [%.*s]: begin a new line", r->path, r->line, (int)len, text + 1);
    return 0;
}

/* A line as getline() gives it. */
static int check_line(const struct reading *r, const char *text, size_t len) {
    if (strlen(text) != len)
        return ae_fail(-EINVAL, "%s:%u: line holds a NUL byte: this isn't a text file", r->path, r->line);
    if (len >= LINE_MAX_BYTES - 1)
        return ae_fail(-EINVAL, "%s:%u: line is too long: at most %d bytes", r->path, r->line, LINE_MAX_BYTES - 2);
    if ((text[0] == ' ' || text[0] == '\t') && strspn(text, " \t\r\n") != len)
        return ae_fail(-EINVAL, "%s:%u: line begins with a blank: begin it with a key, [section], ; or #", r->path,
                       r->line);
    return text[0] == '[' ? check_section(r, text) : 0;
}

/* libinih's view of the file: counts lines, since its handler isn't told, and refuses what it would cut. */
static char *read_line(char *text, int size, void *stream) {
    struct reading *r = stream;
    char *line = NULL;
    size_t capacity = 0;

    if (r->rc != 0)
        return NULL;
    const ssize_t len = getline(&line, &capacity, r->file);
    if (len >= 0) {
        r->line++;
        r->rc_line = r->line;
        r->rc = check_line(r, line, (size_t)len);
        if (r->rc == 0)
            (void)snprintf(text, (size_t)size, "%s", line);
    }
    free(line);
    return len < 0 || r->rc != 0 ? NULL : text;
}

int ae_config_read(struct ae_config *config, const char *path) {
    struct reading r = {.config = config, .path = path};
    struct reading *reader = &r;
    int bad;

    r.file = fopen(path, "re");
    if (r.file == NULL)
        return ae_fail(-errno, "config file %s: %s", path, strerror(errno));
    bad = ini_parse_stream(read_line, reader, handle, reader);
    if (r.rc == 0 && ferror(r.file))
        r.rc = ae_fail(-EIO, "config file %s: can't be read", path);
    (void)fclose(r.file);
    if (bad != 0 && (r.rc == 0 || (bad > 0 && (unsigned)bad < r.rc_line)))
        r.rc = ae_fail(-EINVAL, "%s:%d: line is neither [section] nor key = value", path, bad > 0 ? bad : (int)r.line);
    return r.rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "service/conf.h"
#include "base/error.h"
#include <aether/error.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 200 /* every libinih accepts that; it would cut a longer line without an error */
#define LIST_SIZE 512      /* no error text is longer */

/* ---- lists for texts ---- */

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t size, const char *format, ...) {
    const size_t len = strlen(text);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text + len, size - len, format, args);
    va_end(args);
}

void ae_conf_join_words(const char *const *words, const char *between, const char *last, char *text, size_t size) {
    text[0] = '\0';
    for (size_t i = 0; words[i] != NULL; i++)
        append(text, size, "%s%s", i == 0 ? "" : words[i + 1] == NULL ? last : between, words[i]);
}

static bool begins_section(const struct ae_conf *conf, size_t i) {
    return i == 0 || strcmp(conf->keys[i].section, conf->keys[i - 1].section) != 0;
}

/* Writes "[daemon] or [limits]" or, with the names of the keys, "[daemon] socket, log_level or [limits] topics". */
static void list_keys(const struct ae_conf *conf, bool names, char text[LIST_SIZE]) {
    size_t left = 0;

    for (size_t i = 0; i < conf->count; i++)
        left += begins_section(conf, i);
    text[0] = '\0';
    for (size_t i = 0; i < conf->count; i++) {
        const struct ae_conf_key *key = &conf->keys[i];
        const bool begins = begins_section(conf, i);
        if (begins)
            append(text, LIST_SIZE, "%s[%s]", i == 0 ? "" : left == 1 ? " or " : ", ", key->section);
        left -= begins;
        if (names)
            append(text, LIST_SIZE, "%s%s", begins ? " " : ", ", key->name);
    }
}

/* ---- values ---- */

/* Reads decimal digits, which must be the whole text. */
static bool parse_number(const char *text, uint64_t *value) {
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* Reads bytes: decimal digits and, for powers of 1024, a letter. */
static bool parse_size(const char *text, uint64_t *bytes) {
    static const char letters[] = "KMGT";
    const size_t digits = strspn(text, "0123456789");
    char number[24];
    unsigned shift = 0;

    if (digits >= sizeof number)
        return false;
    memcpy(number, text, digits);
    number[digits] = '\0';
    if (text[digits] != '\0') {
        const char *letter = strchr(letters, toupper((unsigned char)text[digits]));
        if (letter == NULL || text[digits + 1] != '\0')
            return false;
        shift = 10 * (unsigned)(letter - letters + 1);
    }
    if (!parse_number(number, bytes) || *bytes > UINT64_MAX >> shift)
        return false;
    *bytes <<= shift;
    return true;
}

/* Writes a size with the largest letter that gives a whole number. */
static void print_size(uint64_t bytes, char text[24]) {
    static const char letters[] = " KMGT";
    size_t letter = 0;

    for (; bytes != 0 && bytes % 1024 == 0 && letters[letter + 1] != '\0'; bytes /= 1024)
        letter++;
    (void)snprintf(text, 24, "%" PRIu64 "%.*s", bytes, letter != 0, letters + letter);
}

static bool find_word(const struct ae_conf_key *key, const char *text, unsigned *word) {
    for (unsigned i = 0; key->words[i] != NULL; i++) {
        if (strcmp(text, key->words[i]) == 0) {
            *word = i;
            return true;
        }
    }
    return false;
}

static int set_number(const struct ae_conf_key *key, const char *text, const char *place) {
    uint64_t number;

    if (!parse_number(text, &number) || number < key->min || number > key->max)
        return ae_fail(-EINVAL, "%s'%s' isn't a number from %" PRIu64 " to %" PRIu64, place, text, key->min, key->max);
    *key->target.u32 = (uint32_t)number;
    return 0;
}

static int set_size(const struct ae_conf_key *key, const char *text, const char *place) {
    char min[24], max[24];
    uint64_t bytes;

    if (parse_size(text, &bytes) && bytes >= key->min && bytes <= key->max) {
        *key->target.u64 = bytes;
        return 0;
    }
    print_size(key->min, min);
    print_size(key->max, max);
    return ae_fail(-EINVAL, "%s'%s' isn't a size from %s to %s: use bytes, or K, M, G or T for powers of 1024", place,
                   text, min, max);
}

/* place: the beginning of an error text about the value. */
static int set_value(const struct ae_conf_key *key, const char *text, const char *place) {
    char words[LIST_SIZE];

    switch (key->kind) {
    case AE_CONF_PATH:
    case AE_CONF_TEXT:
        if (text[0] == '\0' || strlen(text) > key->max)
            return ae_fail(-EINVAL, "%s'%s' isn't %s of 1 to %" PRIu64 " bytes", place, text,
                           key->kind == AE_CONF_PATH ? "a path" : key->what, key->max);
        memcpy(key->target.path, text, strlen(text) + 1);
        return 0;
    case AE_CONF_WORD:
        if (find_word(key, text, key->target.word))
            return 0;
        ae_conf_join_words(key->words, ", ", " or ", words, sizeof words);
        return ae_fail(-EINVAL, "%s'%s' is unknown: use %s", place, text, words);
    case AE_CONF_SIZE:
        return set_size(key, text, place);
    case AE_CONF_U32:
    default:
        return set_number(key, text, place);
    }
}

static bool is_text(const struct ae_conf_key *key) {
    return key->kind == AE_CONF_PATH || key->kind == AE_CONF_TEXT;
}

int ae_conf_defaults(const struct ae_conf *conf) {
    for (size_t i = 0; i < conf->count; i++) {
        const struct ae_conf_key *key = &conf->keys[i];
        if (key->value == NULL && is_text(key))
            key->target.path[0] = '\0';
        else if (key->value == NULL || set_value(key, key->value, "") != 0)
            return ae_fail(-EINVAL, "the default of [%s] %s is impossible", key->section, key->name);
    }
    return 0;
}

int ae_conf_option(const struct ae_conf_key *key, const char *text) {
    char place[LIST_SIZE], words[LIST_SIZE];
    unsigned word;

    if (key->kind == AE_CONF_WORD && !find_word(key, text, &word)) {
        (void)snprintf(place, sizeof place, "%s", key->what != NULL ? key->what : key->name);
        for (char *p = place; (p = strchr(p, '_')) != NULL;)
            *p = ' ';
        ae_conf_join_words(key->words, ", ", " or ", words, sizeof words);
        return ae_fail(-EINVAL, "\"%s\" isn't a %s: use %s", text, place, words);
    }
    (void)snprintf(place, sizeof place, "--%s ", key->option);
    return set_value(key, text, place);
}

/* ---- keeping values ---- */

/* The bytes of a key's value. *size: how many. */
static void *value_of(const struct ae_conf_key *key, size_t *size) {
    switch (key->kind) {
    case AE_CONF_PATH:
    case AE_CONF_TEXT:
        *size = (size_t)key->max + 1;
        return key->target.path;
    case AE_CONF_WORD:
        *size = sizeof *key->target.word;
        return key->target.word;
    case AE_CONF_SIZE:
        *size = sizeof *key->target.u64;
        return key->target.u64;
    case AE_CONF_U32:
    default:
        *size = sizeof *key->target.u32;
        return key->target.u32;
    }
}

void *ae_conf_save(const struct ae_conf *conf) {
    size_t size, total = 0;

    for (size_t i = 0; i < conf->count; i++) {
        (void)value_of(&conf->keys[i], &size);
        total += size;
    }
    unsigned char *saved = malloc(total + 1), *at = saved;
    for (size_t i = 0; saved != NULL && i < conf->count; i++) {
        const void *value = value_of(&conf->keys[i], &size);
        memcpy(at, value, size);
        at += size;
    }
    return saved;
}

void ae_conf_restore(const struct ae_conf *conf, const void *saved) {
    const unsigned char *at = saved;
    size_t size;

    for (size_t i = 0; i < conf->count; i++) {
        void *value = value_of(&conf->keys[i], &size);
        memcpy(value, at, size);
        at += size;
    }
}

void ae_conf_keep(const struct ae_conf *conf, const void *saved, void (*changed)(const struct ae_conf_key *key)) {
    const unsigned char *at = saved;
    size_t size;

    for (size_t i = 0; i < conf->count; i++) {
        const struct ae_conf_key *key = &conf->keys[i];
        void *value = value_of(key, &size);
        /* A text is compared up to its end. */
        const bool same = is_text(key) ? strcmp(value, (const char *)at) == 0 : memcmp(value, at, size) == 0;
        if (!key->reload && !same) {
            memcpy(value, at, size);
            changed(key);
        }
        at += size;
    }
}

/* ---- reading ---- */

struct reading {
    const struct ae_conf *conf;
    const char *path;
    FILE *file;
    unsigned line;
    bool seen[AE_CONF_KEYS_MAX];
    int rc;           /* of the first error */
    unsigned rc_line; /* the line of the first error or, without an error, the line that was read last */
};

static int set_from_file(struct reading *r, size_t i, const char *text) {
    const struct ae_conf_key *key = &r->conf->keys[i];
    char place[LIST_SIZE];

    if (r->seen[i])
        return ae_fail(-EINVAL, "%s:%u: %s is set twice: keep one", r->path, r->line, key->name);
    r->seen[i] = true;
    (void)snprintf(place, sizeof place, "%s:%u: %s = ", r->path, r->line, key->name);
    return set_value(key, text, place);
}

static int handle(void *user, const char *section, const char *name, const char *value) {
    struct reading *r = user;
    char known[LIST_SIZE];

    if (r->rc != 0)
        return 0; /* only the first error is reported */
    for (size_t i = 0; i < r->conf->count; i++) {
        if (strcmp(section, r->conf->keys[i].section) != 0 || strcmp(name, r->conf->keys[i].name) != 0)
            continue;
        r->rc = set_from_file(r, i, value);
        return r->rc == 0;
    }
    list_keys(r->conf, true, known);
    r->rc = ae_fail(-EINVAL, "%s:%u: [%s] %s is unknown: use %s", r->path, r->line, section, name, known);
    return 0;
}

static bool section_known(const struct ae_conf *conf, const char *name, size_t len) {
    for (size_t i = 0; i < conf->count; i++) {
        if (strlen(conf->keys[i].section) == len && memcmp(conf->keys[i].section, name, len) == 0)
            return true;
    }
    return false;
}

/* Checks a section, because libinih ignores text after its name and doesn't report a section without keys. */
static int check_section(const struct reading *r, const char *text) {
    const size_t len = strcspn(text + 1, "]");
    const char *rest = text + 1 + len;
    char known[LIST_SIZE];

    if (*rest == '\0')
        return 0; /* without a ], which libinih reports */
    if (!section_known(r->conf, text + 1, len)) {
        list_keys(r->conf, false, known);
        return ae_fail(-EINVAL, "%s:%u: section [%.*s] is unknown: use %s", r->path, r->line, (int)len, text + 1,
                       known);
    }
    rest += 1 + strspn(rest + 1, " \t\r\n");
    if (*rest != '\0' && *rest != ';' && *rest != '#')
        return ae_fail(-EINVAL, "%s:%u: text follows [%.*s]: begin a new line", r->path, r->line, (int)len, text + 1);
    return 0;
}

/* Reads at most so much of a line that check_line() sees whether it is too long. Returns 0 at the end of the file. */
static size_t next_line(FILE *file, char line[LINE_MAX_BYTES + 1]) {
    size_t len = 0;
    int c;

    while (len < LINE_MAX_BYTES && (c = getc(file)) != EOF) {
        line[len++] = (char)c;
        if (c == '\n')
            break;
    }
    line[len] = '\0';
    return len;
}

/* Checks a line from next_line(). */
static int check_line(const struct reading *r, const char *text, size_t len) {
    if (strlen(text) != len)
        return ae_fail(-EINVAL, "%s:%u: line holds a NUL byte: this isn't a text file", r->path, r->line);
    if (len >= LINE_MAX_BYTES - 1)
        return ae_fail(-EINVAL, "%s:%u: line is too long: at most %d bytes", r->path, r->line, LINE_MAX_BYTES - 2);
    if (isspace((unsigned char)text[0]) && strspn(text, " \t\r\n\v\f") != len)
        return ae_fail(-EINVAL, "%s:%u: line begins with a blank: begin it with a key, [section], ; or #", r->path,
                       r->line);
    return text[0] == '[' ? check_section(r, text) : 0;
}

/* Reads a line for libinih. Counts the lines, for error texts, and refuses lines that libinih would cut. */
static char *read_line(char *text, int size, void *stream) {
    struct reading *r = stream;
    char line[LINE_MAX_BYTES + 1];

    if (r->rc != 0)
        return NULL;
    const size_t len = next_line(r->file, line);
    if (len == 0)
        return NULL;
    r->line++;
    r->rc_line = r->line;
    r->rc = check_line(r, line, len);
    if (r->rc != 0)
        return NULL;
    (void)snprintf(text, (size_t)size, "%s", line);
    return text;
}

int ae_conf_read(const struct ae_conf *conf, const char *path) {
    struct reading r = {.conf = conf, .path = path};
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

/* ---- printing ---- */

/*
 * Would ae_conf_read() give the same text? A control character could end the line, outer blanks are cut, and a ; after
 * a blank begins a comment.
 */
static bool survives_file(const char *text) {
    char before = ' '; /* at first the blank after the equals sign */

    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f || (*p == ';' && before == ' '))
            return false;
        before = *p;
    }
    return text[0] != ' ' && before != ' ';
}

static const char *present_value(const struct ae_conf_key *key, char number[24]) {
    switch (key->kind) {
    case AE_CONF_PATH:
    case AE_CONF_TEXT:
        return key->target.path;
    case AE_CONF_WORD:
        return key->words[*key->target.word];
    case AE_CONF_SIZE:
        print_size(*key->target.u64, number);
        return number;
    case AE_CONF_U32:
    default:
        (void)snprintf(number, 24, "%" PRIu32, *key->target.u32);
        return number;
    }
}

/* Writes the help as comments, and a comment on the possible values. */
static void print_help(const struct ae_conf_key *key, FILE *out) {
    char words[LIST_SIZE], min[24], max[24];

    (void)fputs("# ", out);
    for (const char *p = key->help; *p != '\0'; p++)
        (void)fputs(*p == '\n' ? "\n# " : (const char[]){*p, '\0'}, out);
    if (is_text(key)) {
        (void)fprintf(out, "\n# %s of 1 to %" PRIu64 " bytes.\n", key->kind == AE_CONF_PATH ? "A path" : key->what,
                      key->max);
    } else if (key->kind == AE_CONF_WORD) {
        ae_conf_join_words(key->words, ", ", " or ", words, sizeof words);
        (void)fprintf(out, "\n# One of %s.\n", words);
    } else if (key->kind == AE_CONF_SIZE) {
        print_size(key->min, min);
        print_size(key->max, max);
        (void)fprintf(out, "\n# A size from %s to %s: bytes, or K, M, G or T for powers of 1024.\n", min, max);
    } else {
        (void)fprintf(out, "\n# A number from %" PRIu64 " to %" PRIu64 ".\n", key->min, key->max);
    }
}

int ae_conf_print(const struct ae_conf *conf, FILE *out) {
    char number[24];

    for (size_t i = 0; i < conf->count; i++) {
        const struct ae_conf_key *key = &conf->keys[i];
        const char *value = present_value(key, number);
        const bool is_default = strcmp(value, key->value != NULL ? key->value : "") == 0;
        if (!is_default && !survives_file(value))
            return ae_fail(-EINVAL,
                           "%s = '%s' can't stand in a file: control characters, outer blanks or a remark in it",
                           key->name, value);
        if (begins_section(conf, i))
            (void)fprintf(out, "\n[%s]\n", key->section);
        (void)fputc('\n', out);
        print_help(key, out);
        (void)fprintf(out, "%s%s = %s\n", is_default ? "#" : "", key->name,
                      is_default && key->value == NULL ? key->example : value);
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf.h - the settings of a program. One table has the keys of its INI file, their defaults and limits, and the
 * options of its command line. All error texts and the sample file are made from it.
 *
 * The table and what it points to belong to the caller and outlive the calls. The values are stored in the targets of
 * the table. The functions block only for the file, and one thread calls them.
 */
#ifndef AE_SERVICE_CONF_H
#define AE_SERVICE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define AE_CONF_KEYS_MAX 64

enum ae_conf_kind {
    AE_CONF_PATH, /* 1 to max bytes; target.path: char[max + 1] */
    AE_CONF_TEXT, /* as a path, but it is called `what`; the service checks it further */
    AE_CONF_WORD, /* one of `words`; target.word: its index */
    AE_CONF_U32,  /* a decimal number from min to max */
    AE_CONF_SIZE, /* bytes from min to max, a decimal number and, for a power of 1024, K, M, G or T: 64M; target.u64 */
};

struct ae_conf_key {
    const char *section, *name; /* the keys of a section stand together */
    const char *option;         /* "socket": --socket on the command line sets it, too; NULL: no option does */
    enum ae_conf_kind kind;
    union {
        char *path;
        unsigned *word;
        uint32_t *u32;
        uint64_t *u64;
    } target;
    uint64_t min, max;
    const char *const *words; /* ends with NULL */
    const char *what;         /* for error texts and the usage, what a text or word is; NULL: a word is its name */
    const char *value;        /* the default, as it is written in a file; NULL: an empty path */
    const char *example;      /* for the sample, if there is no default */
    const char *help;         /* for the sample; '\n' begins a new line */
    bool reload;              /* a new value is used at once when the file is read again; else by the next start */
};

struct ae_conf {
    const struct ae_conf_key *keys;
    size_t count; /* at most AE_CONF_KEYS_MAX */
};

/* Stores every key's default. 0, or -EINVAL if a default isn't a possible value. */
int ae_conf_defaults(const struct ae_conf *conf);

/*
 * Stores the values of a file. 0, or -EINVAL or -errno with a text that names file and line and says what is wrong and
 * what would be right. An unknown or repeated key is an error, too. Values before the error have been stored.
 */
int ae_conf_read(const struct ae_conf *conf, const char *path);

/* Stores the value of the key's option. 0, or -EINVAL with a text. */
int ae_conf_option(const struct ae_conf_key *key, const char *text);

/*
 * Writes the settings as a file for ae_conf_read(): every key with its help and its present value, behind a # if that
 * is the default. 0, or -EINVAL if a value from the command line can't be written in a file.
 */
int ae_conf_print(const struct ae_conf *conf, FILE *out);

/*
 * The values of all keys, to have them back after a new file was read. NULL: no memory is left. free() it.
 */
void *ae_conf_save(const struct ae_conf *conf);

/* Gives all keys the saved values. */
void ae_conf_restore(const struct ae_conf *conf, const void *saved);

/*
 * For the keys that can't be reloaded: gives them the saved value again where it has changed, and calls changed() with
 * each of them.
 */
void ae_conf_keep(const struct ae_conf *conf, const void *saved, void (*changed)(const struct ae_conf_key *key));

/* Writes the words with `between` between them, and `last` before the last one; cut if it doesn't fit. */
void ae_conf_join_words(const char *const *words, const char *between, const char *last, char *text, size_t size);

#endif

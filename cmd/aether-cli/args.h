/* SPDX-License-Identifier: Apache-2.0 */
/* args.h - the words of a command line, by a table of what the command takes. Error texts say what would be right. */
#ifndef AETHER_CLI_ARGS_H
#define AETHER_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum args_kind {
    ARGS_FLAG,     /* bool *: present or not */
    ARGS_TEXT,     /* const char **: any word; empty only if min is 0 */
    ARGS_COUNT,    /* uint64_t *: decimal digits */
    ARGS_SIZE,     /* uint64_t *: decimal digits and K, M or G for powers of 1024: bytes */
    ARGS_NUMBER,   /* double *: decimal with a fraction */
    ARGS_DURATION, /* double *: a number with ns, us, ms, s, min or h, else seconds: seconds */
    ARGS_CHOICE,   /* int *: index into choices */
    ARGS_LIMITS,   /* struct args_limits *: WARNING:CRITICAL, two numbers */
    ARGS_TIMES,    /* struct args_limits *: the same of times: numbers with ns, us, ms, s, min or h, else seconds */
    ARGS_LIST      /* struct args_list *: any word that isn't empty; the option may be repeated */
};

/* Two limits, of which one may be missing. */
struct args_limits {
    bool has_warning, has_critical;
    double warning, critical; /* times are in seconds */
};

/* Words in the order in which they were given. items point into argv. */
struct args_list {
    char **items;
    size_t count;
};

struct args_option {
    const char *name; /* without the dashes */
    char letter;      /* short form, 0 for none */
    enum args_kind kind;
    void *target;      /* holds the default before args_parse() */
    uint64_t min, max; /* COUNT, SIZE, NUMBER: the range, both ends allowed; DURATION: in ns, and max 0 is no limit */
    bool optional;     /* COUNT, DURATION: the value may be left out, and the target is then set to fallback */
    double fallback;
    const char *const *choices; /* CHOICE: the values; TEXT: values that completions suggest, or NULL. Ends with NULL */
    const char *value;          /* the value's name in help: "BYTES"; NULL for flags */
    const char *help;           /* one line */
    bool *given;                /* set to true when the option is present; may be NULL */
};

/* The range of a DURATION between two measurements. */
#define ARGS_INTERVAL_RANGE .min = 10000000, .max = UINT64_C(86400000000000)

/* Options that several commands have. */
#define OPTION_COUNT(variable, text)                                                                                   \
    {                                                                                                                  \
        .name = "count", .kind = ARGS_COUNT, .target = &(variable), .min = 1, .max = UINT64_MAX, .value = "N",         \
        .help = (text)                                                                                                 \
    }
#define OPTION_WATCH(seconds, present, text)                                                                           \
    {                                                                                                                  \
        .name = "watch", .kind = ARGS_DURATION, .target = &(seconds), ARGS_INTERVAL_RANGE, .optional = true,           \
        .fallback = 1, .value = "TIME", .given = &(present), .help = (text)                                            \
    }

struct args_spec {
    const char *command; /* "pub", "topic create" */
    const char *words;   /* "TOPIC [MESSAGE]"; "" if it takes none */
    int words_min, words_max;
    struct args_list *rest; /* receives the words after words_max; NULL: they are refused */
    const char *summary;    /* first paragraph of its help */
    const char *notes;      /* last paragraph of its help; may be NULL */
    const struct args_option *options;
    size_t option_count;
    const char *const *others; /* options that other_command has instead; ends with NULL. May be NULL */
    const char *other_command;
};

#define ARGS_WORDS_MAX 4
#define ARGS_RUN (-1)

/*
 * Reads a command's words. Options may be in any place until "--", as "--name value" or "--name=value"; every command
 * has --socket and --help. words receives all other words, and NULL after the last. Returns ARGS_RUN, or the status
 * with which the command must end, because help was printed or an error was reported.
 */
int args_parse(const struct args_spec *spec, int argc, char **argv, const char *words[ARGS_WORDS_MAX + 1]);

/* For a list of all options: from now on args_parse() reads no words, but returns what print returns. */
void args_list_options(int (*print)(const struct args_spec *spec));

/*
 * Read the whole text. False: it doesn't have that form, or the value doesn't fit in the type. Digits are decimal, "5",
 * "0.5" and ".5" are numbers, and a unit follows at once. Signs, blanks, exponents and "5." are refused.
 */
bool args_count(const char *text, uint64_t *value);
bool args_size(const char *text, uint64_t *bytes);
bool args_number(const char *text, double *value);
bool args_time(const char *text, double *seconds);
bool args_limits(const char *text, bool times, struct args_limits *limits);

/*
 * The candidate that was probably meant by text, by ae_near_try(). NULL if there is none, or text is a candidate
 * itself. candidates ends with NULL.
 */
const char *args_nearest(const char *text, const char *const *candidates);

/* Prints a command's help. */
void args_help(const struct args_spec *spec);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* args.c - reads the words of a command line strictly; error texts say what would be right. */
#include "args.h"
#include "base/near.h"
#include "daemon.h"
#include "error.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 32 /* of a longer name of an option the rest isn't compared for a suggestion */

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* Reads decimal digits at *text and moves *text behind them. False: no digit, or the number is too large. */
static bool digits(const char **text, uint64_t *value) {
    const char *p = *text;
    uint64_t n = 0;

    for (; *p >= '0' && *p <= '9'; p++) {
        const uint64_t digit = (uint64_t)(*p - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (p == *text)
        return false;
    *text = p;
    *value = n;
    return true;
}

bool args_count(const char *text, uint64_t *value) {
    uint64_t n;

    if (!digits(&text, &n) || *text != '\0')
        return false;
    *value = n;
    return true;
}

bool args_size(const char *text, uint64_t *bytes) {
    uint64_t n;
    unsigned shift = 0;

    if (!digits(&text, &n))
        return false;
    if (*text == 'K' || *text == 'k')
        shift = 10;
    else if (*text == 'M' || *text == 'm')
        shift = 20;
    else if (*text == 'G' || *text == 'g')
        shift = 30;
    if (text[shift != 0] != '\0' || n > UINT64_MAX >> shift)
        return false;
    *bytes = n << shift;
    return true;
}

/* The length of the number at the start of the text; 0: there is none. */
static size_t number_length(const char *text) {
    const size_t whole = strspn(text, "0123456789");

    if (text[whole] != '.')
        return whole;
    const size_t fraction = strspn(text + whole + 1, "0123456789");
    return fraction > 0 ? whole + 1 + fraction : 0;
}

bool args_number(const char *text, double *value) {
    const size_t len = number_length(text);

    if (len == 0 || text[len] != '\0')
        return false;
    *value = strtod(text, NULL);
    return isfinite(*value);
}

bool args_time(const char *text, double *seconds) {
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"\u00b5s", 1e-6}, {"\u03bcs", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"min", 60},
                 {"h", 3600},  {"", 1}};
    const size_t len = number_length(text);
    char number[64];

    if (len == 0 || len >= sizeof number)
        return false;
    memcpy(number, text, len);
    number[len] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text + len, units[i].name) == 0) {
            if (!args_number(number, seconds))
                return false;
            *seconds *= units[i].seconds;
            return true;
        }
    }
    return false;
}

bool args_limits(const char *text, bool times, struct args_limits *limits) {
    const size_t len = strcspn(text, ":");
    const char *second = text[len] == ':' ? text + len + 1 : "";
    struct args_limits read = {.has_warning = len > 0, .has_critical = second[0] != '\0'};
    char first[64];

    if (strcmp(text, "none") == 0) {
        *limits = (struct args_limits){.has_warning = false};
        return true;
    }
    if (len >= sizeof first || (!read.has_warning && !read.has_critical))
        return false;
    memcpy(first, text, len);
    first[len] = '\0';
    if (read.has_warning && !(times ? args_time(first, &read.warning) : args_number(first, &read.warning)))
        return false;
    if (read.has_critical && !(times ? args_time(second, &read.critical) : args_number(second, &read.critical)))
        return false;
    *limits = read;
    return true;
}

/* ---- suggestions ------------------------------------------------------------------------------------------------- */

const char *args_nearest(const char *text, const char *const *candidates) {
    struct ae_near near = ae_near(text);
    const char *nearest = NULL;

    for (; *candidates != NULL; candidates++) {
        if (strcmp(*candidates, text) == 0)
            return NULL;
        if (ae_near_try(&near, *candidates))
            nearest = *candidates;
    }
    return nearest;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

/* A time as a user would type it: "10ms", "24h". */
static const char *time_text(char text[32], uint64_t ns) {
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"h", UINT64_C(3600000000000)},
                 {"min", UINT64_C(60000000000)},
                 {"s", 1000000000},
                 {"ms", 1000000},
                 {"us", 1000},
                 {"ns", 1}};
    size_t i = 0;

    while (ns % units[i].ns != 0)
        i++;
    snprintf(text, 32, "%" PRIu64 "%s", ns / units[i].ns, units[i].name);
    return text;
}

static int bad_time(const struct args_option *option, const char *text) {
    char least[32], most[32];

    if (option->max != 0)
        return cli_error(CLI_USAGE, "--%s '%s': use a time from %s to %s, such as 500ms, 5s or 2min", option->name,
                         text, time_text(least, option->min), time_text(most, option->max));
    return cli_error(CLI_USAGE, "--%s '%s': use a time%s, such as 500ms, 5s or 2min", option->name, text,
                     option->min > 0 ? " above 0" : "");
}

static int bad_value(const struct args_option *option, const char *text) {
    const bool size = option->kind == ARGS_SIZE;

    switch (option->kind) {
    case ARGS_TEXT:
    case ARGS_LIST:
        return cli_error(CLI_USAGE, "--%s: the value is empty: use --%s %s", option->name, option->name, option->value);
    case ARGS_CHOICE: {
        char list[128] = "";
        for (const char *const *c = option->choices; *c != NULL; c++) {
            strncat(list, c == option->choices ? "" : c[1] == NULL ? " or " : ", ", sizeof list - strlen(list) - 1);
            strncat(list, *c, sizeof list - strlen(list) - 1);
        }
        return cli_error(CLI_USAGE, "--%s '%s': use %s", option->name, text, list);
    }
    case ARGS_DURATION:
        return bad_time(option, text);
    case ARGS_LIMITS:
    case ARGS_TIMES:
        return cli_error(CLI_USAGE, "--%s '%s': use WARNING:CRITICAL, two %s, of which one may be left out",
                         option->name, text,
                         option->kind == ARGS_TIMES ? "times such as 20ms:1.5s" : "numbers such as 10:100");
    default:
        break;
    }
    const char *kind = size                         ? "a size in bytes (K, M, G: powers of 1024)"
                       : option->kind == ARGS_COUNT ? "a whole number"
                                                    : "a number";
    if (option->max == UINT64_MAX)
        return cli_error(CLI_USAGE, "--%s '%s': use %s of at least %" PRIu64, option->name, text, kind, option->min);
    return cli_error(CLI_USAGE, "--%s '%s': use %s from %" PRIu64 " to %" PRIu64, option->name, text, kind, option->min,
                     option->max);
}

/* The list is stored in argv itself. It overwrites only words that were read, as each added word was read before. */
static void add_word(struct args_list *list, char **argv, char *word) {
    list->items = argv;
    list->items[list->count++] = word;
}

static bool set_value(const struct args_option *option, char **argv, char *text) {
    uint64_t n;
    double x;

    switch (option->kind) {
    case ARGS_FLAG:
        return false;
    case ARGS_LIST:
        if (text[0] == '\0')
            return false;
        add_word(option->target, argv, text);
        return true;
    case ARGS_TEXT:
        if (text[0] == '\0' && option->min > 0)
            return false;
        *(const char **)option->target = text;
        return true;
    case ARGS_COUNT:
    case ARGS_SIZE:
        if (!(option->kind == ARGS_COUNT ? args_count(text, &n) : args_size(text, &n)) || n < option->min ||
            n > option->max)
            return false;
        *(uint64_t *)option->target = n;
        return true;
    case ARGS_NUMBER:
        if (!args_number(text, &x) || x < (double)option->min || x > (double)option->max)
            return false;
        *(double *)option->target = x;
        return true;
    case ARGS_DURATION:
        if (!args_time(text, &x) || x * 1e9 < (double)option->min ||
            (option->max != 0 && x * 1e9 > (double)option->max))
            return false;
        *(double *)option->target = x;
        return true;
    case ARGS_LIMITS:
    case ARGS_TIMES:
        return args_limits(text, option->kind == ARGS_TIMES, option->target);
    case ARGS_CHOICE:
        for (int i = 0; option->choices[i] != NULL; i++) {
            if (strcmp(text, option->choices[i]) == 0) {
                *(int *)option->target = i;
                return true;
            }
        }
        return false;
    }
    return false;
}

/* name: len bytes without dashes, or one letter. */
static const struct args_option *find_option(const struct args_spec *spec, const char *name, size_t len,
                                             bool is_letter) {
    for (size_t i = 0; i < spec->option_count; i++) {
        const struct args_option *option = &spec->options[i];
        if (is_letter ? option->letter != 0 && option->letter == name[0]
                      : strlen(option->name) == len && memcmp(option->name, name, len) == 0)
            return option;
    }
    return NULL;
}

static int unknown_option(const struct args_spec *spec, const char *word) {
    const char *names[32];
    char name[WORD_MAX + 1];
    size_t count = 0;
    const char *const *other = spec->others;

    if (word[0] == '-' && word[1] != '-')
        return cli_error(
            CLI_USAGE, "unknown option '%s' of %s: see aether-cli help %s (a word that begins with '-' goes after --)",
            word, spec->command, spec->command);
    for (; count < spec->option_count; count++)
        names[count] = spec->options[count].name;
    names[count++] = "socket";
    names[count++] = "help";
    names[count] = NULL;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    while (other != NULL && *other != NULL && strcmp(name, *other) != 0)
        other++;
    if (other != NULL && *other != NULL)
        return cli_error(CLI_USAGE, "unknown option '%s' of %s: aether-cli %s has it", word, spec->command,
                         spec->other_command);
    const char *nearest = args_nearest(name, names);
    if (nearest != NULL)
        return cli_error(CLI_USAGE, "unknown option '%s' of %s: did you mean --%s?", word, spec->command, nearest);
    return cli_error(CLI_USAGE, "unknown option '%s' of %s: see aether-cli help %s", word, spec->command,
                     spec->command);
}

/* Does the word begin as a number? So it is the value of the option before it. */
static bool is_numeric(const char *word) {
    return strspn(word + (word[0] == '.'), "0123456789") > 0;
}

/* Reads the option at argv[*i] and moves *i to its last word. ARGS_RUN, or the status to end with. */
static int read_option(const struct args_spec *spec, int argc, char **argv, int *i) {
    static const char *path;
    static const struct args_option socket_option = {
        .name = "socket", .kind = ARGS_TEXT, .target = &path, .min = 1, .value = "PATH"};
    char *word = argv[*i];
    const bool is_letter = word[1] != '-';
    char *name = word + (is_letter ? 1 : 2);
    const size_t len = is_letter ? 1 : strcspn(name, "=");
    char *text = name[len] == '=' && !is_letter ? name + len + 1 : NULL;

    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        args_help(spec);
        return CLI_OK;
    }
    const struct args_option *option = find_option(spec, name, len, is_letter);
    if (option == NULL && !is_letter && len == 6 && memcmp(name, "socket", 6) == 0)
        option = &socket_option;
    if (option == NULL && !is_letter && len == 4 && memcmp(name, "help", 4) == 0)
        return cli_error(CLI_USAGE, "--help takes no value");
    if (option == NULL || (is_letter && name[1] != '\0'))
        return unknown_option(spec, word);
    if (option->given != NULL)
        *option->given = true;
    if (option->kind == ARGS_FLAG) {
        if (text != NULL)
            return cli_error(CLI_USAGE, "--%s takes no value", option->name);
        *(bool *)option->target = true;
        return ARGS_RUN;
    }
    if (text == NULL && option->optional && (*i + 1 == argc || !is_numeric(argv[*i + 1]))) {
        if (option->kind == ARGS_COUNT)
            *(uint64_t *)option->target = (uint64_t)option->fallback;
        else
            *(double *)option->target = option->fallback;
        return ARGS_RUN;
    }
    if (text == NULL) {
        if (*i + 1 == argc)
            return cli_error(CLI_USAGE, "--%s needs a value: --%s %s", option->name, option->name, option->value);
        text = argv[++*i];
    }
    if (!set_value(option, argv, text))
        return bad_value(option, text);
    if (option == &socket_option) {
        const int status = cli_set_socket(path);
        return status == CLI_OK ? ARGS_RUN : status;
    }
    return ARGS_RUN;
}

static int (*print_table)(const struct args_spec *spec);

void args_list_options(int (*print)(const struct args_spec *spec)) {
    print_table = print;
}

int args_parse(const struct args_spec *spec, int argc, char **argv, const char *words[ARGS_WORDS_MAX + 1]) {
    bool options = true;
    int count = 0;

    if (print_table != NULL)
        return print_table(spec);
    for (int i = 1; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1] != '\0') {
            const int status = read_option(spec, argc, argv, &i);
            if (status != ARGS_RUN)
                return status;
        } else if (count == spec->words_max && spec->rest != NULL) {
            add_word(spec->rest, argv, argv[i]);
        } else if (count == spec->words_max) {
            return cli_error(CLI_USAGE, "'%s' is one word too many: usage: aether-cli %s%s%s", argv[i], spec->command,
                             spec->words[0] != '\0' ? " " : "", spec->words);
        } else {
            words[count++] = argv[i];
        }
    }
    if (count < spec->words_min)
        return cli_error(CLI_USAGE, "%s needs more words: usage: aether-cli %s %s", spec->command, spec->command,
                         spec->words);
    words[count] = NULL;
    return ARGS_RUN;
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

static int option_title(const struct args_option *option, char *text, size_t size) {
    char letter[8] = "";
    const bool optional = option->optional;
    const bool flag = option->kind == ARGS_FLAG;

    if (option->letter != 0)
        snprintf(letter, sizeof letter, ", -%c", option->letter);
    return snprintf(text, size, "--%s%s%s%s%s%s", option->name, letter, flag ? "" : " ", optional ? "[" : "",
                    flag ? "" : option->value, optional ? "]" : "");
}

void args_help(const struct args_spec *spec) {
    char title[64];
    int width = 13; /* --socket PATH */

    for (size_t i = 0; i < spec->option_count; i++) {
        const int len = option_title(&spec->options[i], title, sizeof title);
        if (len > width)
            width = len;
    }
    printf("usage: aether-cli %s [OPTIONS]%s%s\n\n%s\n\nOptions:\n", spec->command, spec->words[0] != '\0' ? " " : "",
           spec->words, spec->summary);
    for (size_t i = 0; i < spec->option_count; i++) {
        option_title(&spec->options[i], title, sizeof title);
        printf("  %-*s  %s\n", width, title, spec->options[i].help);
    }
    printf("  %-*s  %s\n", width, "--socket PATH", "the daemon's socket");
    printf("  %-*s  %s\n", width, "--help, -h", "print this");
    if (spec->notes != NULL)
        printf("\n%s\n", spec->notes);
}

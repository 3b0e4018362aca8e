/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli.h - what the commands of aether-cli share: exit codes, fault lines, options, the connection, signals.
 *
 * A command is a function of its own words, argv[0] being its name, that returns an exit status. It begins with
 * args_parse() and reaches the daemon with cli_connect(). main() flushes stdout after it and reports a failed write.
 */
#ifndef AETHER_CLI_H
#define AETHER_CLI_H

#include <aether/aether.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Exit codes, listed in aether-cli(1) and in `aether-cli help`. A command that a signal ended returns 128 + its number.
 */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILURE = 1,
    CLI_USAGE = 2,
    CLI_NO_DAEMON = 3,
    CLI_NO_TOPIC = 4,
    CLI_TOO_LARGE = 5,
    CLI_FULL = 6
};

/* ---- commands ---------------------------------------------------------------------------------------------------- */

struct cli_command {
    const char *name;
    const char *args;    /* as usage lines show it: "TOPIC [MESSAGE]" */
    const char *summary; /* one line for `help` */
    int (*run)(int argc, char **argv);
};

int cmd_topic(int argc, char **argv);
int cmd_pub(int argc, char **argv);
int cmd_sub(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_shutdown(int argc, char **argv);

/*
 * Runs the command of a table that argv[1] names, with argv + 1: for commands that have sub-commands. parent: "" or
 * "topic". No word or a wrong one is answered with one line that says what is right; "--help" and "-h" list the table.
 */
int cli_dispatch(const struct cli_command *commands, size_t count, const char *parent, int argc, char **argv);

/* ---- faults ------------------------------------------------------------------------------------------------------ */

/* Prints exactly one line, "aether-cli: ...", on stderr (ae_escape() makes it one) and returns status. */
int cli_fault(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reports the library's last fault, rc being what it returned, and returns the exit status that fits it. */
int cli_library_fault(int rc);

/* ---- the daemon -------------------------------------------------------------------------------------------------- */

/*
 * Path of the daemon's socket: --socket, else $AETHER_SOCKET, else the default. Resolved before a command runs; never
 * NULL.
 */
const char *cli_socket(void);

/*
 * Makes path (static or from argv; up to 107 bytes) the daemon's socket; NULL: the default. CLI_OK, or reports the
 * fault.
 */
int cli_set_socket(const char *path);

/* The command that starts a daemon at cli_socket(), for fault lines. Static storage. */
const char *cli_start_command(void);

/* Connects as "aether-cli COMMAND". CLI_OK, or reports the fault and returns its status; *client is then NULL. */
int cli_connect(const char *command, aether_client **client);

/* ---- signals and time -------------------------------------------------------------------------------------------- */

/*
 * The first SIGINT or SIGTERM since cli_catch_signals(), 0 before. Loops look at it and end cleanly with
 * cli_signal_status().
 */
extern volatile sig_atomic_t cli_signal;

/*
 * From now on the first SIGINT or SIGTERM sets cli_signal, and a second one kills. System calls are restarted, so that
 * output isn't cut; the waits below return. SIGPIPE is ignored from the start of main().
 */
void cli_catch_signals(void);
int cli_signal_status(void); /* 128 + cli_signal */

uint64_t cli_now_ns(void); /* CLOCK_MONOTONIC */

/* Sleeps until an instant of cli_now_ns(), or until a signal has been caught. */
void cli_sleep_until(uint64_t deadline_ns);

/* Waits until fd can be read (at once if it is a file or has ended), or until a signal has been caught: false. */
bool cli_wait_readable(int fd);

/* ---- options ----------------------------------------------------------------------------------------------------- */

enum args_kind {
    ARGS_FLAG,     /* bool *: present or not */
    ARGS_TEXT,     /* const char **: any word; empty only if min is 0 */
    ARGS_COUNT,    /* uint64_t *: decimal digits */
    ARGS_SIZE,     /* uint64_t *: decimal digits and K, M or G for powers of 1024: bytes */
    ARGS_NUMBER,   /* double *: decimal with a fraction */
    ARGS_CHOICE,   /* int *: index into choices */
    ARGS_INTERVAL, /* double *: as ARGS_NUMBER, but the value may be left out: the target is then set to fallback */
    ARGS_LIST      /* struct args_list *: any word that isn't empty, and again for each one more */
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
    uint64_t min, max; /* COUNT, SIZE, NUMBER, INTERVAL: the range, both ends allowed */
    double fallback;
    const char *const *choices; /* ends with NULL */
    const char *value;          /* the value's name in help: "BYTES"; NULL for flags */
    const char *help;           /* one line */
    bool *given;                /* set to true when the option is present; may be NULL */
};

struct args_spec {
    const char *command; /* "pub", "topic create" */
    const char *words;   /* "TOPIC [MESSAGE]"; "" if it takes none */
    int words_min, words_max;
    struct args_list *rest; /* takes the words past words_max; NULL: they are refused */
    const char *summary;    /* first paragraph of its help */
    const char *notes;      /* last paragraph of its help; may be NULL */
    const struct args_option *options;
    size_t option_count;
};

#define ARGS_WORDS_MAX 4
#define ARGS_RUN (-1)

/*
 * Reads a command's words: options in any place until "--", "--name value" or "--name=value"; --socket and --help
 * everywhere. words receives the others, NULL after the last. Returns ARGS_RUN, or the status with which the command
 * ends at once: help was printed, or a fault.
 */
int args_parse(const struct args_spec *spec, int argc, char **argv, const char *words[ARGS_WORDS_MAX + 1]);

/* Strict readers: the whole text or nothing. False: not of that form, or it doesn't fit in the type. */
bool args_count(const char *text, uint64_t *value);
bool args_size(const char *text, uint64_t *bytes);
bool args_number(const char *text, double *value);

/* The candidate that text was probably meant to be, NULL if none is near. Ends with NULL. */
const char *args_nearest(const char *text, const char *const *candidates);

/* The lines of a command's help. */
void args_help(const struct args_spec *spec);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the table of commands, and what all of them share. */
#include "cli.h"
#include "output.h"
#include "view/escape.h"
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SOCKET_PATH_SIZE 108 /* room for a socket address and its NUL */
#define FAULT_MAX 1024

volatile sig_atomic_t cli_signal;

static char socket_path[SOCKET_PATH_SIZE];
static bool socket_named;  /* on the command line */
static sigset_t wait_mask; /* signals blocked while a wait is under way: those of the start */

static const struct cli_command all_commands[] = {
    {"topic", "ls|info|create|rm", "list, show, create and remove topics", cmd_topic},
    {"pub", "TOPIC [MESSAGE]", "publish a message, files, or each line of stdin", cmd_pub},
    {"sub", "TOPIC", "print the messages of a topic", cmd_sub},
    {"stats", "", "counters of the daemon and its topics", cmd_stats},
    {"bench", "throughput|latency|fanout|wakeup", "measure this machine", cmd_bench},
    {"shutdown", "", "stop the daemon", cmd_shutdown},
};
#define COMMAND_COUNT (sizeof all_commands / sizeof all_commands[0])

/* ---- faults ------------------------------------------------------------------------------------------------------ */

int cli_fault(int status, const char *format, ...) {
    char text[FAULT_MAX], line[AE_ESCAPED_SIZE(FAULT_MAX)];
    va_list args;

    va_start(args, format);
    const int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0)
        text[0] = '\0';
    ae_escape(line, text, strlen(text));
    fprintf(stderr, "aether-cli: %s\n", line);
    return status;
}

int cli_library_fault(int rc) {
    switch (rc) {
    case -EINVAL:
        return cli_fault(CLI_USAGE, "%s", aether_errmsg());
    case -ECONNREFUSED:
        return cli_fault(CLI_NO_DAEMON, "%s", aether_errmsg());
    case -ENOENT:
        return cli_fault(CLI_NO_TOPIC, "%s", aether_errmsg());
    case -EMSGSIZE:
        return cli_fault(CLI_TOO_LARGE, "%s", aether_errmsg());
    default:
        return cli_fault(CLI_FAILURE, "%s", aether_errmsg());
    }
}

/* ---- the daemon -------------------------------------------------------------------------------------------------- */

const char *cli_socket(void) {
    return socket_path;
}

const char *cli_start_command(void) {
    static char command[SOCKET_PATH_SIZE + 24];

    /* aetherd makes the directory of its default socket, and only that one: named, the path would be refused. */
    snprintf(command, sizeof command, "aetherd%s%s", socket_named ? " --socket " : "", socket_named ? socket_path : "");
    return command;
}

int cli_set_socket(const char *path) {
    socket_named = path != NULL;
    if (path == NULL) {
        const int rc = aether_default_socket(socket_path, sizeof socket_path);
        return rc < 0 ? cli_fault(CLI_USAGE, "%s", aether_errmsg()) : CLI_OK;
    }
    if (path[0] == '\0')
        return cli_fault(CLI_USAGE, "--socket: the path is empty: name the socket of an aetherd");
    if (strlen(path) >= sizeof socket_path)
        return cli_fault(CLI_USAGE, "--socket: a path of %zu bytes doesn't fit in a socket address: use at most %d",
                         strlen(path), SOCKET_PATH_SIZE - 1);
    memcpy(socket_path, path, strlen(path) + 1);
    return CLI_OK;
}

int cli_connect(const char *command, aether_client **client) {
    char name[64];

    snprintf(name, sizeof name, "aether-cli %s", command);
    const aether_connect_options options = {.socket_path = socket_path, .name = name};
    const int rc = aether_connect(client, &options);
    if (rc == 0)
        return CLI_OK;
    *client = NULL;
    if (rc == -ECONNREFUSED || rc == -ENOENT)
        return cli_fault(CLI_NO_DAEMON, "no aetherd at %s: start it with: %s", socket_path, cli_start_command());
    return cli_fault(CLI_FAILURE, "%s", aether_errmsg());
}

/* ---- signals and time -------------------------------------------------------------------------------------------- */

static void on_signal(int number) {
    if (cli_signal == 0)
        cli_signal = number;
}

static void stop_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

void cli_catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    struct sigaction old;

    stop_signals(&action.sa_mask);
    /* A SIGINT that is ignored stays so: that is how a shell starts background jobs. */
    if (sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int cli_signal_status(void) {
    return 128 + (int)cli_signal;
}

uint64_t cli_now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* poll() that no signal can slip past: they are blocked from the look at cli_signal until the kernel waits. */
static bool wait_for(int fd, const struct timespec *timeout) {
    struct pollfd item = {.fd = fd, .events = POLLIN};
    sigset_t set, saved;
    bool ready = false;

    stop_signals(&set);
    sigprocmask(SIG_BLOCK, &set, &saved);
    if (cli_signal == 0)
        ready = ppoll(&item, 1, timeout, &wait_mask) > 0;
    sigprocmask(SIG_SETMASK, &saved, NULL);
    return ready;
}

void cli_sleep_until(uint64_t deadline_ns) {
    for (uint64_t now = cli_now_ns(); now < deadline_ns && cli_signal == 0; now = cli_now_ns()) {
        const uint64_t left = deadline_ns - now;
        const struct timespec timeout = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
        wait_for(-1, &timeout);
    }
}

bool cli_wait_readable(int fd) {
    while (cli_signal == 0) {
        if (wait_for(fd, NULL))
            return true;
    }
    return false;
}

/* ---- dispatch ---------------------------------------------------------------------------------------------------- */

/* The width of the first column, for what the caller adds. */
static int list_commands(const struct cli_command *table, size_t count) {
    size_t width = 0;

    for (size_t i = 0; i < count; i++) {
        const size_t len = strlen(table[i].name) + 1 + strlen(table[i].args);
        if (len > width)
            width = len;
    }
    for (size_t i = 0; i < count; i++) {
        const int used = printf("  %s %s", table[i].name, table[i].args);
        printf("%*s%s\n", (int)width + 4 - used, "", table[i].summary);
    }
    return (int)width;
}

static void print_help(void) {
    printf("usage: aether-cli [--socket PATH] COMMAND ...\n\n"
           "Publish, subscribe and look around on an aetherd.\n\nCommands:\n");
    const int width = list_commands(all_commands, COMMAND_COUNT);
    printf("  %-*s  %s\n\n", width, "help [COMMAND]", "this list, or a command's options");
    printf("Options:\n"
           "  --socket PATH  the daemon's socket; default: $AETHER_SOCKET, else\n"
           "                 $XDG_RUNTIME_DIR/aether/aetherd.sock, else /tmp/aether-UID/aetherd.sock\n"
           "  --version      print the version\n"
           "  --help, -h     print help, also after a command\n\n"
           "Exit codes:\n"
           "  0  done\n"
           "  1  failed; one line on stderr says why\n"
           "  2  wrong words on the command line\n"
           "  3  no daemon\n"
           "  4  no such topic\n"
           "  5  a message is larger than the topic takes\n"
           "  6  the ring was full for longer than --wait\n"
           "  130, 143  ended by SIGINT, SIGTERM\n");
}

/* What other tools call it. */
static const char *synonym(const char *parent, const char *word) {
    static const char *const words[][3] = {
        {"", "publish", "pub"},         {"", "subscribe", "sub"},      {"", "stop", "shutdown"},
        {"", "list", "topic ls"},       {"", "ls", "topic ls"},        {"", "info", "topic info"},
        {"", "create", "topic create"}, {"", "rm", "topic rm"},        {"topic", "list", "ls"},
        {"topic", "show", "info"},      {"topic", "describe", "info"}, {"topic", "remove", "rm"},
        {"topic", "delete", "rm"},      {"topic", "add", "create"},    {"topic", "new", "create"},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(parent, words[i][0]) == 0 && strcmp(word, words[i][1]) == 0)
            return words[i][2];
    }
    return NULL;
}

static int unknown_word(const struct cli_command *table, size_t count, const char *parent, const char *word) {
    const char *names[16];
    char list[256] = "";
    const char *space = parent[0] != '\0' ? " " : "";
    const char *kind = word[0] == '-' ? "option" : "command";

    for (size_t i = 0; i < count; i++)
        names[i] = table[i].name;
    if (parent[0] == '\0')
        names[count++] = "help";
    names[count] = NULL;
    for (size_t i = 0; i < count; i++) {
        strncat(list, i == 0 ? "" : i + 1 == count ? " or " : ", ", sizeof list - strlen(list) - 1);
        strncat(list, names[i], sizeof list - strlen(list) - 1);
    }
    const char *nearest = synonym(parent, word);
    if (nearest == NULL)
        nearest = args_nearest(word, names);
    if (nearest != NULL)
        return cli_fault(CLI_USAGE, "unknown %s '%s%s%s': did you mean '%s%s%s'?", kind, parent, space, word, parent,
                         space, nearest);
    return cli_fault(CLI_USAGE, "unknown %s '%s%s%s': use %s", kind, parent, space, word, list);
}

int cli_dispatch(const struct cli_command *commands, size_t count, const char *parent, int argc, char **argv) {
    const char *space = parent[0] != '\0' ? " " : "";

    if (argc < 2)
        return cli_fault(CLI_USAGE, "%s%sneeds a command: see aether-cli help%s%s", parent, space, space, parent);
    if (parent[0] != '\0' && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        printf("usage: aether-cli %s COMMAND ...\n\nCommands:\n", parent);
        list_commands(commands, count);
        printf("\nSee aether-cli %s COMMAND --help for its options.\n", parent);
        return CLI_OK;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return unknown_word(commands, count, parent, argv[1]);
}

/* `help pub` is `pub --help`; `help topic create` is `topic create --help`. */
static int run_help(int argc, char **argv) {
    char flag[] = "--help";
    char *words[4];
    int count = 0;

    if (argc == 1) {
        print_help();
        return CLI_OK;
    }
    if (argc > 3)
        return cli_fault(CLI_USAGE, "help takes a command, such as: aether-cli help topic create");
    for (int i = 0; i < argc; i++)
        words[count++] = argv[i];
    words[count++] = flag;
    return cli_dispatch(all_commands, COMMAND_COUNT, "", count, words);
}

/* Reads the options before the command. Returns ARGS_RUN and the index of the command, or the status to end with. */
static int read_globals(int argc, char **argv, int *first) {
    const char *path = NULL;
    int i = 1;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help();
            return CLI_OK;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("aether-cli %s\n", aether_version());
            return CLI_OK;
        }
        if (strncmp(argv[i], "--socket=", 9) == 0) {
            path = argv[i] + 9;
        } else if (strcmp(argv[i], "--socket") == 0) {
            if (i + 1 == argc)
                return cli_fault(CLI_USAGE, "--socket needs a value: --socket PATH");
            path = argv[++i];
        } else {
            return cli_fault(CLI_USAGE, "unknown option %s: before the command use --socket PATH, --help or --version",
                             argv[i]);
        }
    }
    *first = i;
    const int status = cli_set_socket(path);
    return status == CLI_OK ? ARGS_RUN : status;
}

int main(int argc, char **argv) {
    int first = 0;
    int status;

    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, NULL, &wait_mask);
    out_init();
    if (argc < 1)
        return cli_fault(CLI_USAGE, "needs a command: see aether-cli help");
    status = read_globals(argc, argv, &first);
    if (status == ARGS_RUN) {
        if (first < argc && strcmp(argv[first], "help") == 0)
            status = run_help(argc - first, argv + first);
        else
            status = cli_dispatch(all_commands, COMMAND_COUNT, "", argc - first + 1, argv + first - 1);
    }
    const int written = out_status();
    return status == CLI_OK ? written : status;
}

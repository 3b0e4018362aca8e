/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the commands, help, and the options before a command. */
#include "args.h"
#include "commands.h"
#include "complete.h"
#include "daemon.h"
#include "dispatch.h"
#include "error.h"
#include "output.h"
#include "signals.h"
#include "view/amount.h"
#include <stdio.h>
#include <string.h>

static const struct cli_command all_commands[] = {
    {"topic", "ls|info|create|rm", "list, show, create and remove topics", cmd_topic},
    {"pub", "TOPIC [MESSAGE]", "publish a message, files, or each line of stdin", cmd_pub},
    {"sub", "TOPIC", "print the messages of a topic", cmd_sub},
    {"stats", "", "counters of the daemon and its topics", cmd_stats},
    {"top", "", "what all topics are doing, on a screen", cmd_top},
    {"latency", "TOPIC", "how long messages take from publish to receive", cmd_latency},
    {"lag", "[TOPIC ...]", "how far subscribers are behind, and who holds up whom", cmd_lag},
    {"hz", "[TOPIC ...]", "how fast topics are published, and by whom", cmd_hz},
    {"clients", "", "the connected programs", cmd_clients},
    {"check", "[TOPIC ...]", "one line and an exit code for a monitoring system", cmd_check},
    {"bench", "throughput|latency|fanout|wakeup", "measure this machine", cmd_bench},
    {"ping", "", "ask whether a daemon answers, and wait for one", cmd_ping},
    {"shutdown", "", "stop the daemon", cmd_shutdown},
};
#define COMMAND_COUNT (sizeof all_commands / sizeof all_commands[0])

static void print_help(void) {
    printf("usage: aether-cli [--socket PATH] COMMAND ...\n\n"
           "Publish, subscribe and look around on an aetherd.\n\nCommands:\n");
    const int width = cli_list_commands(all_commands, COMMAND_COUNT);
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
           "  7  a time was over before what was asked for had come\n"
           "  129, 130, 143  ended by SIGHUP (only top), SIGINT, SIGTERM\n");
}

/* `help pub` is `pub --help`; `help topic create` is `topic create --help`. */
static int run_help(int argc, char **argv) {
    char flag[] = "--help";
    char *words[4];
    int count = 0;

    if (argc == 1 || (argc == 2 && strcmp(argv[1], "help") == 0)) {
        print_help();
        return CLI_OK;
    }
    if (argc > 3)
        return cli_error(CLI_USAGE, "help takes a command, such as: aether-cli help topic create");
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
        if (strcmp(argv[i], "--options-json") == 0)
            return complete_print_tables(all_commands, COMMAND_COUNT);
        if (strcmp(argv[i], "--topics") == 0) {
            const int set = cli_set_socket(path);
            return set == CLI_OK ? complete_print_topics() : set;
        }
        if (strncmp(argv[i], "--socket=", 9) == 0) {
            path = argv[i] + 9;
        } else if (strcmp(argv[i], "--socket") == 0) {
            if (i + 1 == argc)
                return cli_error(CLI_USAGE, "--socket needs a value: --socket PATH");
            path = argv[++i];
        } else {
            return cli_error(CLI_USAGE, "unknown option %s: before the command use --socket PATH, --help or --version",
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

    cli_init_signals();
    out_init();
    ae_amount_set_ascii(!out_utf8());
    if (argc < 1)
        return cli_error(CLI_USAGE, "needs a command: see aether-cli help");
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

/* SPDX-License-Identifier: Apache-2.0 */
/* dispatch.h - tables of commands, which are run by their name. */
#ifndef AETHER_CLI_DISPATCH_H
#define AETHER_CLI_DISPATCH_H

#include <stddef.h>

struct cli_command {
    const char *name;
    const char *args;    /* as usage lines show it: "TOPIC [MESSAGE]" */
    const char *summary; /* one line for `help` */
    int (*run)(int argc, char **argv);
};

/*
 * Runs the command that argv[1] names, with argv + 1, and returns its status. parent: "" for the commands of
 * aether-cli, or the command to which these sub-commands belong. If argv[1] is missing or not in the table, an error
 * says what would be right. "--help" and "-h" print a table of sub-commands.
 */
int cli_dispatch(const struct cli_command *commands, size_t count, const char *parent, int argc, char **argv);

/* For a list of all commands: from now on cli_dispatch() runs none of them, but returns what print returns. */
void cli_walk_commands(int (*print)(const struct cli_command *commands, size_t count, const char *parent));

/* Prints the table for a help text. Returns the width of the first column, for lines that the caller adds. */
int cli_list_commands(const struct cli_command *commands, size_t count);

#endif

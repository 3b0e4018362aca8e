/* SPDX-License-Identifier: Apache-2.0 */
/* dispatch.c - finds a command in its table, or suggests the command that was probably meant. */
#include "dispatch.h"
#include "args.h"
#include "error.h"
#include <stdio.h>
#include <string.h>

int cli_list_commands(const struct cli_command *commands, size_t count) {
    size_t width = 0;

    for (size_t i = 0; i < count; i++) {
        const size_t len = strlen(commands[i].name) + 1 + strlen(commands[i].args);
        if (len > width)
            width = len;
    }
    for (size_t i = 0; i < count; i++) {
        const int used = printf("  %s %s", commands[i].name, commands[i].args);
        printf("%*s%s\n", (int)width + 4 - used, "", commands[i].summary);
    }
    return (int)width;
}

/* The command for which other tools use this word, or NULL. */
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

static int unknown_word(const struct cli_command *commands, size_t count, const char *parent, const char *word) {
    const char *names[16];
    char list[256] = "";
    const char *space = parent[0] != '\0' ? " " : "";
    const char *kind = word[0] == '-' ? "option" : "command";

    for (size_t i = 0; i < count; i++)
        names[i] = commands[i].name;
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
        return cli_error(CLI_USAGE, "unknown %s '%s%s%s': did you mean '%s%s%s'?", kind, parent, space, word, parent,
                         space, nearest);
    return cli_error(CLI_USAGE, "unknown %s '%s%s%s': use %s", kind, parent, space, word, list);
}

static int (*print_commands)(const struct cli_command *commands, size_t count, const char *parent);

void cli_walk_commands(int (*print)(const struct cli_command *commands, size_t count, const char *parent)) {
    print_commands = print;
}

int cli_dispatch(const struct cli_command *commands, size_t count, const char *parent, int argc, char **argv) {
    const char *space = parent[0] != '\0' ? " " : "";

    if (print_commands != NULL)
        return print_commands(commands, count, parent);
    if (argc < 2)
        return cli_error(CLI_USAGE, "%s%sneeds a command: see aether-cli help%s%s", parent, space, space, parent);
    if (parent[0] != '\0' && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        printf("usage: aether-cli %s COMMAND ...\n\nCommands:\n", parent);
        cli_list_commands(commands, count);
        printf("\nSee aether-cli %s COMMAND --help for its options.\n", parent);
        return CLI_OK;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return unknown_word(commands, count, parent, argv[1]);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * complete.h - what the completions for shells are made from. tools/completion.py reads the option tables, and the
 * completions ask for the topics when the user presses Tab. Neither is listed in a help text.
 */
#ifndef AETHER_CLI_COMPLETE_H
#define AETHER_CLI_COMPLETE_H

#include "dispatch.h"

/*
 * Prints the tables of the commands, one JSON object a line: {"command": "topic", "commands": [...]} for a command that
 * has sub-commands ("": aether-cli itself), {"command": "topic ls", "options": [...], ...} for one that runs. Returns
 * the exit status. Afterwards no command can be run.
 */
int complete_print_tables(const struct cli_command *commands, size_t count);

/*
 * Prints the names of the topics of the daemon that runs, one a line; those with control characters are left out. Says
 * nothing else, also on errors: nobody wants an error text in the middle of a command line.
 */
int complete_print_topics(void);

#endif

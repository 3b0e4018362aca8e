/* SPDX-License-Identifier: Apache-2.0 */
/* no_screen.c - in place of interactive.c, in a build without ncurses. */
#include "error.h"
#include "interactive.h"

int top_interactive(struct top_run *run, struct top_state *state, uint64_t count) {
    (void)run;
    (void)state;
    (void)count;
    return cli_error(CLI_FAILURE, "this aether-cli was built without ncurses: use top --batch or --json");
}

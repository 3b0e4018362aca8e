/* SPDX-License-Identifier: Apache-2.0 */
/*
 * screen.h - the terminal, by ncurses: draws pages, reads keys, and is restored whatever ends the process.
 *
 * One for the process. Between begin and end every signal that ends the process, such as SIGSEGV, SIGQUIT or a
 * real-time signal, first restores the terminal. For the signals of events.h, the caller must call top_screen_end().
 */
#ifndef AETHER_CLI_TOP_SCREEN_H
#define AETHER_CLI_TOP_SCREEN_H

#include "page.h"
#include <stdbool.h>
#include <stddef.h>

/* Takes the terminal. CLI_OK, or reports the error and returns its status. */
int top_screen_begin(void);
void top_screen_end(void); /* gives it back; without begin it does nothing */

/* Gives the terminal back for a while; the next drawing takes it again. */
void top_screen_leave(void);

int top_screen_fd(void);  /* that keys come from */
int top_screen_key(void); /* the next key that can be read, an enum top_key; TOP_KEY_NONE: there is none */

/* Asks the terminal for its size, after SIGWINCH. */
void top_screen_resize(void);
void top_screen_size(unsigned *width, unsigned *height);

/*
 * Draws the fixed lines of the page, the others from `scroll` on, and `bottom` in the last line of the screen. cursor:
 * the line behind the fixed ones that is marked. typing: the terminal's cursor is shown behind `bottom`.
 */
void top_screen_draw(const struct top_page *page, size_t scroll, size_t cursor, const char *bottom, bool typing);

#endif

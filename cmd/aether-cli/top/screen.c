/* SPDX-License-Identifier: Apache-2.0 */
/* screen.c - ncurses. */
#include "screen.h"
#include "error.h"
#include "output.h"
#include "state.h"
#include "text.h"
#include <errno.h>
#include <ncurses.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

/* ncurses has macros for these names. */
#undef lines
#undef columns

/*
 * The part of a larger terminal that is used. Ncurses keeps sizes as shorts and crashes beyond, and it has three copies
 * of the screen with 28 bytes a cell.
 */
#define ROWS_MAX 500
#define COLUMNS_MAX 2000

static SCREEN *screen;
static FILE *keyboard; /* stdin, or /dev/tty */
static bool colours;

/* ---- restoring the terminal in a signal handler ------------------------------------------------------------------ */

/* The handlers before top_screen_begin(); index: the signal's number. */
static struct sigaction before[NSIG];
static bool caught[NSIG];
static struct termios modes; /* before top_screen_begin() */
static bool has_modes;
static char reset[256]; /* what makes the terminal as it was, for write() */
static size_t reset_len;

/* Appends a capability without its padding, which is written as $<5>. */
static void add_reset(const char *capability) {
    const char *text = tigetstr(capability);

    if (text == NULL || text == (const char *)-1)
        return;
    while (*text != '\0' && reset_len < sizeof reset) {
        const char *end = text[0] == '$' && text[1] == '<' ? strchr(text, '>') : NULL;
        if (end != NULL)
            text = end + 1;
        else
            reset[reset_len++] = *text++;
    }
}

/* Only async-signal-safe calls. The modes are set first: a terminal that has gone would block the write. */
static void on_fatal(int number) {
    if (has_modes)
        (void)tcsetattr(fileno(keyboard), TCSANOW, &modes);
    const ssize_t written = write(STDOUT_FILENO, reset, reset_len);
    (void)written;
    raise(number); /* its default action, by SA_RESETHAND */
}

/* Does the signal end a process by default? Those of events.h are left to their handlers; SIGPIPE is ignored. */
static bool is_fatal(int number) {
    switch (number) {
    case SIGHUP:
    case SIGINT:
    case SIGTERM:
    case SIGKILL:
    case SIGPIPE:
    /* These stop or continue it, or do nothing. */
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
    case SIGCONT:
    case SIGCHLD:
    case SIGURG:
    case SIGWINCH:
        return false;
    default:
        return true; /* also all real-time signals */
    }
}

/*
 * The handler has a stack of its own, as the other may be what overflowed. sigaction() refuses the numbers that the C
 * library keeps for itself.
 */
static void catch_fatal(void) {
    static char stack[32768];
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = on_fatal, .sa_flags = (int)SA_RESETHAND | SA_NODEFER | SA_ONSTACK};

    sigemptyset(&action.sa_mask);
    sigaltstack(&other, NULL);
    for (int number = 1; number < NSIG; number++)
        caught[number] = is_fatal(number) && sigaction(number, NULL, &before[number]) == 0 &&
                         before[number].sa_handler != SIG_IGN && sigaction(number, &action, NULL) == 0;
}

static void release_fatal(void) {
    const stack_t none = {.ss_flags = SS_DISABLE};

    for (int number = 1; number < NSIG; number++) {
        if (caught[number])
            sigaction(number, &before[number], NULL);
    }
    sigaltstack(&none, NULL);
}

/* ---- the terminal ------------------------------------------------------------------------------------------------ */

static bool can(const char *capability) {
    const char *text = tigetstr(capability);

    return text != NULL && text != (const char *)-1;
}

static int at_most(int value, int limit) {
    return value < limit ? value : limit;
}

/* Ncurses takes a size from the environment rather than from the terminal, and fails if it is too large. */
static void limit_size(const char *variable, int terminal, int limit) {
    const char *set = getenv(variable);
    const long size = set != NULL ? strtol(set, NULL, 10) : terminal;
    char text[16];

    if (size <= limit)
        return;
    snprintf(text, sizeof text, "%d", limit);
    setenv(variable, text, 1);
}

static void limit_sizes(void) {
    struct winsize size = {.ws_row = 0};

    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    limit_size("LINES", size.ws_row, ROWS_MAX);
    limit_size("COLUMNS", size.ws_col, COLUMNS_MAX);
}

static void begin_colours(void) {
    colours = has_colors() && start_color() == OK && use_default_colors() == OK;
    if (!colours)
        return;
    init_pair(TOP_WARN, COLOR_YELLOW, -1);
    init_pair(TOP_BAD, COLOR_RED, -1);
}

int top_screen_begin(void) {
    const char *term = getenv("TERM");
    int error = 0;

    keyboard = isatty(STDIN_FILENO) ? stdin : fopen("/dev/tty", "r");
    if (keyboard == NULL)
        return cli_error(CLI_FAILURE, "top reads its keys from a terminal, and there is none: use --batch");
    has_modes = tcgetattr(fileno(keyboard), &modes) == 0;
    limit_sizes();
    if (setupterm(NULL, STDOUT_FILENO, &error) != OK || !can("cup") || !can("clear"))
        return cli_error(CLI_FAILURE, "the terminal type '%s' (TERM) is unknown, or can't move its cursor: use --batch",
                         term != NULL ? term : "");
    reset_len = 0;
    add_reset("sgr0");
    add_reset("rmcup");
    add_reset("cnorm");
    add_reset("rmkx");
    catch_fatal();
    screen = newterm(NULL, out_terminal(), keyboard);
    if (screen == NULL) {
        release_fatal();
        return cli_error(CLI_FAILURE, "ncurses can't use this terminal: use --batch");
    }
    begin_colours();
    set_escdelay(50);
    cbreak();
    noecho();
    nonl();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    curs_set(0);
    return CLI_OK;
}

void top_screen_leave(void) {
    /* Without a second screen the shell's prompt comes to the last line. */
    move(getmaxy(stdscr) - 1, 0);
    clrtoeol();
    refresh();
    curs_set(1);
    endwin();
}

void top_screen_end(void) {
    if (screen == NULL)
        return;
    top_screen_leave();
    delscreen(screen);
    screen = NULL;
    release_fatal();
}

int top_screen_fd(void) {
    return fileno(keyboard);
}

int top_screen_key(void) {
    const int key = getch();

    switch (key) {
    case ERR:
        return TOP_KEY_NONE;
    case KEY_UP:
        return TOP_KEY_UP;
    case KEY_DOWN:
        return TOP_KEY_DOWN;
    case KEY_PPAGE:
        return TOP_KEY_PAGE_UP;
    case KEY_NPAGE:
        return TOP_KEY_PAGE_DOWN;
    case KEY_HOME:
        return TOP_KEY_HOME;
    case KEY_END:
        return TOP_KEY_END;
    case KEY_ENTER:
    case '\r':
    case '\n':
        return TOP_KEY_ENTER;
    case KEY_BACKSPACE:
    case 127:
    case 8:
        return TOP_KEY_BACKSPACE;
    case '\t':
        return TOP_KEY_TAB;
    default:
        return key < 256 ? key : 0;
    }
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

void top_screen_resize(void) {
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
        resizeterm(at_most(size.ws_row, ROWS_MAX), at_most(size.ws_col, COLUMNS_MAX));
    clearok(curscr, TRUE); /* the terminal may have moved what it showed */
}

void top_screen_size(unsigned *width, unsigned *height) {
    int rows, cols;

    getmaxyx(stdscr, rows, cols);
    *width = cols > 0 ? (unsigned)cols : 1;
    *height = rows > 0 ? (unsigned)rows : 1;
}

static attr_t attributes(enum top_style style) {
    switch (style) {
    case TOP_STRONG:
        return A_BOLD;
    case TOP_TITLES:
        return A_REVERSE;
    case TOP_WARN:
        return colours ? (attr_t)COLOR_PAIR(TOP_WARN) : A_BOLD;
    case TOP_BAD:
        return colours ? (attr_t)COLOR_PAIR(TOP_BAD) | A_BOLD : A_BOLD;
    case TOP_DIM:
        return A_DIM;
    default:
        return A_NORMAL;
    }
}

static void draw_line(int y, const char *text, attr_t attribute, bool whole) {
    attrset((int)attribute);
    mvaddstr(y, 0, text);
    if (whole) {
        for (int x = getcurx(stdscr); getcury(stdscr) == y && x < getmaxx(stdscr) - 1; x++)
            addch(' ');
    }
}

void top_screen_draw(const struct top_page *page, size_t scroll, size_t cursor, const char *bottom, bool typing) {
    unsigned width, height;
    char last[4096];

    top_screen_size(&width, &height);
    erase();
    for (unsigned y = 0; y + 1 < height; y++) {
        const size_t i = y < page->fixed ? y : y + scroll;
        if (i >= page->count)
            break;
        const struct top_line *line = &page->lines[i];
        const bool marked = i >= page->fixed && i - page->fixed == cursor;
        draw_line((int)y, line->text, attributes(line->style) | (marked ? A_REVERSE : 0),
                  marked || line->style == TOP_TITLES);
    }
    unsigned cells = top_text_cells(bottom);
    if (cells > width - 1) /* the last cell of the screen would make some terminals scroll */
        cells = width - 1;
    top_text_crop(last, sizeof last, bottom, cells);
    draw_line((int)height - 1, last, typing ? A_BOLD : A_DIM, false);
    curs_set(typing ? 1 : 0);
    refresh();
}

/* SPDX-License-Identifier: Apache-2.0 */
/* output.c - stdout, and the choice of the form in which records are shown. */
#include "output.h"
#include "error.h"
#include "signals.h"
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BUFFER_BYTES 65536
#define GRACE_NS 1000000000u /* for a reader that takes nothing when the command must end */

static struct ae_out out;
static FILE *terminal;

/*
 * If a program is started with a standard descriptor closed, its first open would get that number, and its output would
 * go into a socket or a shared object. So such a descriptor is opened, but in the direction in which it isn't used:
 * reads and writes fail with EBADF, as they should.
 */
static void occupy_standard_descriptors(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            (void)open("/", O_PATH);
    }
}

static bool is_stuck(uint64_t since_ns) {
    return cli_must_end() && cli_now_ns() - since_ns >= GRACE_NS;
}

/* Ticks interrupt a write, or a wait, that blocks: a signal alone, which may come before the call, wouldn't end it. */
static int write_all(int fd, const char *next, size_t len) {
    uint64_t since_ns = cli_now_ns(); /* of the last progress, or of the first tick of the command's end */
    bool ending = cli_must_end();

    while (len > 0) {
        const ssize_t n = write(fd, next, len);
        if (n > 0) {
            next += n;
            len -= (size_t)n;
            since_ns = cli_now_ns();
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd item = {.fd = fd, .events = POLLOUT};
            (void)poll(&item, 1, -1);
        } else if (n == 0 || errno != EINTR) {
            return n == 0 ? -EIO : -errno;
        }
        if (!ending && cli_must_end()) {
            ending = true;
            since_ns = cli_now_ns();
        } else if (len > 0 && is_stuck(since_ns)) {
            return -EINTR;
        }
    }
    return 0;
}

int out_write_all(int fd, const void *data, size_t len) {
    cli_begin_ticks();
    const int rc = write_all(fd, data, len);
    cli_end_ticks();
    return rc;
}

/* The buffer's content, when it is full or flushed. After an error nothing more is written, so output has no hole. */
static ssize_t write_out(void *cookie, const char *data, size_t len) {
    (void)cookie;
    if (out.error == 0)
        out.error = -out_write_all(STDOUT_FILENO, data, len);
    return out.error == 0 ? (ssize_t)len : 0;
}

/* Without a buffer. After a write that was given up nothing more is written, so that not each line takes its time. */
static ssize_t write_error(void *cookie, const char *data, size_t len) {
    static bool given_up;

    (void)cookie;
    if (!given_up && out_write_all(STDERR_FILENO, data, len) == -EINTR)
        given_up = true;
    return (ssize_t)len;
}

/* stdio itself gives up, and loses what it can't write, if stdout is non-blocking and full. */
void out_init(void) {
    static char buffer[BUFFER_BYTES];

    occupy_standard_descriptors();
    terminal = stdout;
    FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_out});
    if (stream != NULL)
        stdout = stream;
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_error});
    if (stream != NULL) {
        setvbuf(stream, NULL, _IONBF, 0);
        stderr = stream;
    }
    ae_out_init(&out, stdout);
    out.terminal = isatty(STDOUT_FILENO) == 1;
}

FILE *out_terminal(void) {
    return terminal;
}

bool out_failed(void) {
    return ae_out_failed(&out);
}

bool out_closed(void) {
    struct pollfd item = {.fd = STDOUT_FILENO};

    return poll(&item, 1, 0) == 1 && (item.revents & (POLLERR | POLLHUP)) != 0;
}

bool out_flush(void) {
    return ae_out_flush(&out);
}

bool out_utf8(void) {
    setlocale(LC_CTYPE, ""); /* only this category, so that numbers keep their dots */
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

unsigned out_columns(void) {
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool out_given_up(void) {
    return out.error == EINTR;
}

int out_status(void) {
    /* A socket whose other end was closed with something unread in it says ECONNRESET. */
    if (ae_out_flush(&out) || out.error == EPIPE || out.error == ECONNRESET)
        return CLI_OK;
    if (out_given_up() && cli_signal != 0)
        return cli_signal_status();
    if (out_given_up())
        return cli_error(CLI_FAILURE, "can't write the output: nobody reads it, and the command's time is over");
    return cli_error(CLI_FAILURE, "can't write the output: %s%s",
                     out.error == EBADF ? "stdout isn't open for writing" : strerror(out.error),
                     out.error == ENOSPC ? ": free some room there" : "");
}

struct ae_view out_view(const struct out_options *options) {
    const struct ae_view_form *form = options->json ? &ae_json_form : options->raw ? &ae_raw_form : &ae_text_form;

    return (struct ae_view){.form = form, .out = &out, .remarks = stderr};
}

int out_check(const struct ae_view *view, int rc) {
    return rc == -ENOMEM ? cli_error(CLI_FAILURE, "out of memory: %s is left out", view->form->part) : CLI_OK;
}

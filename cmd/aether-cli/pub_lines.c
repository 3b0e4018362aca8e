/* SPDX-License-Identifier: Apache-2.0 */
/* pub_lines.c - reads stdin in large pieces and finds the newlines. */
#include "pub_lines.h"
#include "error.h"
#include "signals.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES 65536 /* least room for a read from stdin */

struct lines {
    char *buf;
    size_t size;       /* of buf: room for the longest line and READ_BYTES */
    size_t start, end; /* the bytes in buf that aren't published yet */
    size_t scanned;    /* number of bytes from start on without a newline */
    bool ended;
};

static int too_long(const struct sender *s) {
    return cli_error(CLI_TOO_LARGE,
                     "line %" PRIu64
                     " is longer than the %zu bytes that topic '%s' takes: published the lines before it",
                     s->published + 1, aether_publisher_max_message(s->publisher), s->topic);
}

/* Appends to buf what can be read. CLI_OK; or a status that ends the command. */
static int read_more(struct lines *lines) {
    memmove(lines->buf, lines->buf + lines->start, lines->end - lines->start);
    lines->end -= lines->start;
    lines->start = 0;
    if (!cli_wait_readable(STDIN_FILENO))
        return cli_signal_status();
    const ssize_t n = read(STDIN_FILENO, lines->buf + lines->end, lines->size - lines->end);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? CLI_OK
                                                 : cli_error(CLI_FAILURE, "can't read stdin: %s", strerror(errno));
    lines->end += (size_t)n;
    lines->ended = n == 0;
    return CLI_OK;
}

static int publish_each_line(struct sender *s, struct lines *lines) {
    const size_t limit = aether_publisher_max_message(s->publisher);

    while (sender_has_more(s)) {
        const char *line = lines->buf + lines->start;
        const size_t held = lines->end - lines->start;
        const char *newline = memchr(line + lines->scanned, '\n', held - lines->scanned);
        const size_t len = newline != NULL ? (size_t)(newline - line) : held;
        int status;

        if (len > limit) {
            sender_erase_progress(s);
            return too_long(s);
        }
        if (newline != NULL || (lines->ended && held > 0)) {
            status = sender_publish(s, line, len);
            lines->start += len + (newline != NULL);
            lines->scanned = 0;
        } else if (lines->ended) {
            return CLI_OK;
        } else {
            lines->scanned = held;
            sender_show_progress(s);
            status = read_more(lines);
        }
        if (status != CLI_OK)
            return status;
    }
    return CLI_OK;
}

int pub_lines(struct sender *s) {
    struct lines lines = {.size = aether_publisher_max_message(s->publisher) + READ_BYTES};

    lines.buf = malloc(lines.size);
    if (lines.buf == NULL)
        return cli_error(CLI_FAILURE, "out of memory for lines of %zu bytes", lines.size);
    const int status = publish_each_line(s, &lines);
    free(lines.buf);
    return status;
}

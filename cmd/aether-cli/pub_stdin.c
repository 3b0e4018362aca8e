/* SPDX-License-Identifier: Apache-2.0 */
/* pub_stdin.c - reads stdin in large pieces and publishes what is whole. */
#include "pub_stdin.h"
#include "error.h"
#include "input.h"
#include "signals.h"
#include <errno.h>
#include <inttypes.h>

#define LARGER "--max-message makes a new topic larger"

static int too_long(struct sender *s, const struct frames *frames) {
    const size_t limit = aether_publisher_max_message(s->publisher);
    const uint64_t number = frames->count + 1;

    sender_erase_progress(s);
    if (frames->kind == FRAMES_LENGTHS)
        return cli_error(CLI_TOO_LARGE,
                         "frame %" PRIu64 " at byte %" PRIu64 " states %" PRIu64
                         " bytes: topic '%s' takes at most %zu: published the frames before it: " LARGER,
                         number, frames->begin_off, frames->stated, s->topic, limit);
    return cli_error(CLI_TOO_LARGE,
                     "%s %" PRIu64
                     " is longer than the %zu bytes that topic '%s' takes: published the %ss before it: " LARGER,
                     frames->kind == FRAMES_LINES ? "line" : "message", number, limit, s->topic,
                     frames->kind == FRAMES_LINES ? "line" : "message");
}

static int cut(struct sender *s, const struct frames *frames) {
    sender_erase_progress(s);
    if (frames->end_off - frames->begin_off < FRAMES_HEADER)
        return cli_error(CLI_FAILURE,
                         "stdin ends at byte %" PRIu64 ", inside the length of frame %" PRIu64
                         ", which begins at byte %" PRIu64 ": published the frames before it",
                         frames->end_off, frames->count + 1, frames->begin_off);
    return cli_error(CLI_FAILURE,
                     "stdin ends at byte %" PRIu64 ", inside frame %" PRIu64 ", which begins at byte %" PRIu64
                     " and states %" PRIu64 " bytes: published the frames before it",
                     frames->end_off, frames->count + 1, frames->begin_off, frames->stated);
}

/* Adds what can be read. CLI_OK; or a status that ends the command. */
static int read_more(struct sender *s, struct frames *frames) {
    size_t room, got;
    void *data = frames_room(frames, &room);

    sender_show_progress(s);
    const int rc = input_read(STDIN_FILENO, data, room, &got);
    if (rc == -EINTR)
        return cli_signal_status();
    if (rc < 0) {
        sender_erase_progress(s);
        return cli_error(CLI_FAILURE, "can't read stdin: %s", input_error(rc));
    }
    frames_add(frames, got);
    return CLI_OK;
}

static int publish_each(struct sender *s, struct frames *frames) {
    int status = CLI_OK;

    while (status == CLI_OK && sender_has_more(s)) {
        const void *data;
        size_t len;

        switch (frames_next(frames, &data, &len)) {
        case FRAMES_MESSAGE:
            status = sender_publish(s, data, len);
            break;
        case FRAMES_MORE:
            status = read_more(s, frames);
            break;
        case FRAMES_END:
            return CLI_OK;
        case FRAMES_TOO_LONG:
            return too_long(s, frames);
        case FRAMES_CUT:
            return cut(s, frames);
        }
    }
    return status;
}

int pub_stdin(struct sender *s, enum frames_kind kind) {
    const size_t limit = aether_publisher_max_message(s->publisher);
    struct frames frames;
    int status;

    if (frames_open(&frames, kind, limit))
        status = publish_each(s, &frames);
    else
        status = cli_error(CLI_FAILURE, "out of memory for messages of %zu bytes", limit);
    frames_close(&frames);
    return status;
}

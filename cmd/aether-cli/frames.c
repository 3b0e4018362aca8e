/* SPDX-License-Identifier: Apache-2.0 */
/* frames.c - one buffer with room for the longest message, and what ends a message in it. */
#include "frames.h"
#include <stdlib.h>
#include <string.h>

#define ROOM_BYTES 65536u /* least room for a read */

bool frames_open(struct frames *frames, enum frames_kind kind, size_t limit) {
    *frames = (struct frames){.kind = kind, .limit = limit, .size = FRAMES_HEADER + limit + ROOM_BYTES};
    frames->buf = malloc(frames->size);
    return frames->buf != NULL;
}

void frames_close(struct frames *frames) {
    free(frames->buf);
    frames->buf = NULL;
}

unsigned char *frames_room(struct frames *frames, size_t *len) {
    /* Not while a long message grows, which would be moved again and again. */
    if (frames->start > 0 && frames->size - frames->end < ROOM_BYTES) {
        memmove(frames->buf, frames->buf + frames->start, frames->end - frames->start);
        frames->end -= frames->start;
        frames->start = 0;
    }
    *len = frames->size - frames->end;
    return frames->buf + frames->end;
}

void frames_add(struct frames *frames, size_t len) {
    frames->end += len;
    frames->end_off += len;
    frames->ended = len == 0;
}

static enum frames_result take(struct frames *frames, size_t before, size_t len, size_t after) {
    const size_t used = before + len + after;

    frames->start += used;
    frames->begin_off += used;
    frames->scanned = 0;
    frames->count++;
    return FRAMES_MESSAGE;
}

/* A message that the byte `end` ends, or the end of the input. */
static enum frames_result next_piece(struct frames *frames, int end, const void **data, size_t *len) {
    const unsigned char *piece = frames->buf + frames->start;
    const size_t held = frames->end - frames->start;
    const unsigned char *found = memchr(piece + frames->scanned, end, held - frames->scanned);

    *data = piece;
    *len = found != NULL ? (size_t)(found - piece) : held;
    if (*len > frames->limit)
        return FRAMES_TOO_LONG;
    if (found != NULL)
        return take(frames, 0, *len, 1);
    if (frames->ended)
        return held > 0 ? take(frames, 0, *len, 0) : FRAMES_END;
    frames->scanned = held;
    return FRAMES_MORE;
}

static enum frames_result next_frame(struct frames *frames, const void **data, size_t *len) {
    const unsigned char *frame = frames->buf + frames->start;
    const size_t held = frames->end - frames->start;

    if (held == 0 && frames->ended)
        return FRAMES_END;
    if (held < FRAMES_HEADER)
        return frames->ended ? FRAMES_CUT : FRAMES_MORE;
    frames->stated = (uint32_t)frame[0] | (uint32_t)frame[1] << 8 | (uint32_t)frame[2] << 16 | (uint32_t)frame[3] << 24;
    if (frames->stated > frames->limit)
        return FRAMES_TOO_LONG;
    if (held - FRAMES_HEADER < frames->stated)
        return frames->ended ? FRAMES_CUT : FRAMES_MORE;
    *data = frame + FRAMES_HEADER;
    *len = (size_t)frames->stated;
    return take(frames, FRAMES_HEADER, *len, 0);
}

enum frames_result frames_next(struct frames *frames, const void **data, size_t *len) {
    if (frames->kind == FRAMES_LENGTHS)
        return next_frame(frames, data, len);
    return next_piece(frames, frames->kind == FRAMES_LINES ? '\n' : '\0', data, len);
}

void frames_write(FILE *file, enum frames_kind kind, const void *data, size_t len) {
    const unsigned char header[FRAMES_HEADER] = {(unsigned char)len, (unsigned char)(len >> 8),
                                                 (unsigned char)(len >> 16), (unsigned char)(len >> 24)};

    if (kind == FRAMES_LENGTHS)
        fwrite(header, 1, sizeof header, file);
    if (len > 0)
        fwrite(data, 1, len, file);
    if (kind != FRAMES_LENGTHS)
        fputc(kind == FRAMES_LINES ? '\n' : '\0', file);
}

static int show_null(const struct ae_view *view, const struct ae_view_message *message) {
    frames_write(view->out->file, FRAMES_NULLS, message->data, message->len);
    return ae_out_result(view->out);
}

static int show_length(const struct ae_view *view, const struct ae_view_message *message) {
    frames_write(view->out->file, FRAMES_LENGTHS, message->data, message->len);
    return ae_out_result(view->out);
}

const struct ae_view_form frames_null_form = {.part = "a message", .message = show_null};
const struct ae_view_form frames_length_form = {.part = "a message", .message = show_length};

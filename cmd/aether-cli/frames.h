/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames.h - messages in a stream of bytes: lines, pieces ended by NUL, or frames with a length.
 *
 *   lines    each message is followed by a newline
 *   nulls    each message is followed by a NUL byte
 *   lengths  each message is preceded by its length in bytes, 32 bits, little-endian; it may hold any byte
 *
 * The end of the input also ends a last line, or piece, that isn't empty. A frame must be whole.
 *
 * A decoder owns its buffer and reads nothing itself: its user asks for room, reads into it, says how much there is
 * now, and takes the messages. One thread at a time uses it. Nothing here blocks but frames_write(), on its stream.
 */
#ifndef AETHER_CLI_FRAMES_H
#define AETHER_CLI_FRAMES_H

#include "view/view.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum frames_kind { FRAMES_LINES, FRAMES_NULLS, FRAMES_LENGTHS };

enum frames_result {
    FRAMES_MESSAGE,
    FRAMES_MORE,     /* more input is needed */
    FRAMES_END,      /* the input has ended after a whole message */
    FRAMES_TOO_LONG, /* the next message is longer than the limit */
    FRAMES_CUT       /* the input has ended inside a frame */
};

struct frames {
    enum frames_kind kind;
    size_t limit;       /* of a message: bytes */
    uint64_t count;     /* messages that were taken */
    uint64_t begin_off; /* where the next message, or the frame that is cut or too long, begins in the input */
    uint64_t end_off;   /* where the bytes that were added end in the input */
    uint64_t stated; /* FRAMES_TOO_LONG, FRAMES_CUT: the length that the frame states; it has none if it is cut in it */
    /* Only for frames.c. */
    unsigned char *buf;
    size_t size, start, end; /* the bytes from start to end aren't taken yet */
    size_t scanned;          /* number of bytes from start on without an end of a message */
    bool ended;
};

#define FRAMES_HEADER 4u /* bytes of a frame's length */

/* Begins with an empty input. False: out of memory. Call frames_close() in both cases. */
bool frames_open(struct frames *frames, enum frames_kind kind, size_t limit);
void frames_close(struct frames *frames);

/* Room for input, of at least 64 KiB unless FRAMES_MESSAGE was returned last. Ends the messages that were taken. */
unsigned char *frames_room(struct frames *frames, size_t *len);

/* len bytes were read into the room; 0: the input has ended. */
void frames_add(struct frames *frames, size_t len);

/* Takes the next message. *data is valid until frames_room() or frames_close(). */
enum frames_result frames_next(struct frames *frames, const void **data, size_t *len);

/* Writes a message of at most UINT32_MAX bytes. */
void frames_write(FILE *file, enum frames_kind kind, const void *data, size_t len);

/* Views that show payloads by frames_write() and skip other records. Lines: ae_raw_form. */
extern const struct ae_view_form frames_null_form, frames_length_form;

/* target: bool */
#define OPTION_NULL(variable, text)                                                                                    \
    { .name = "null", .letter = '0', .kind = ARGS_FLAG, .target = &(variable), .help = (text) }
#define OPTION_FRAME(variable, text)                                                                                   \
    { .name = "frame", .kind = ARGS_FLAG, .target = &(variable), .help = (text) }

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* frames_test.c - messages out of a stream that arrives in pieces of any size, and back. */
#include "frames.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT 300

/* Decodes the input, which arrives in pieces of `piece` bytes. Appends each message to *out, followed by '|'. */
static enum frames_result decode(struct frames *frames, const char *input, size_t len, size_t piece, FILE *out) {
    enum frames_result result;
    size_t at = 0;

    for (;;) {
        const void *data = NULL;
        size_t message = 0, room;

        while ((result = frames_next(frames, &data, &message)) == FRAMES_MESSAGE) {
            fwrite(data, 1, message, out);
            fputc('|', out);
        }
        if (result != FRAMES_MORE)
            return result;
        unsigned char *buf = frames_room(frames, &room);
        assert_true(room >= 65536);
        const size_t n = len - at < piece ? len - at : piece;
        if (n > 0)
            memcpy(buf, input + at, n);
        frames_add(frames, n);
        at += n;
    }
}

/* For pieces of each size: these messages, each followed by '|', and then this result at these offsets. */
static void expect(enum frames_kind kind, const char *input, size_t len, const char *messages, size_t messages_len,
                   enum frames_result wanted, uint64_t begin, uint64_t end) {
    for (size_t piece = 1; piece <= len + 1; piece++) {
        struct frames frames;
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        assert_non_null(out);
        assert_true(frames_open(&frames, kind, LIMIT));
        assert_int_equal(decode(&frames, input, len, piece, out), wanted);
        assert_int_equal(frames.begin_off, begin);
        if (wanted != FRAMES_TOO_LONG)
            assert_int_equal(frames.end_off, end);
        fclose(out);
        assert_int_equal(size, messages_len);
        assert_memory_equal(text, messages, messages_len);
        free(text);
        frames_close(&frames);
    }
}
#define BYTES(text) text, sizeof(text) - 1

static void lines(void **state) {
    char long_line[LIMIT + 2];

    (void)state;
    expect(FRAMES_LINES, BYTES(""), BYTES(""), FRAMES_END, 0, 0);
    expect(FRAMES_LINES, BYTES("\n"), BYTES("|"), FRAMES_END, 1, 1);
    expect(FRAMES_LINES, BYTES("a\n\nb\0c\r\n"), BYTES("a||b\0c\r|"), FRAMES_END, 8, 8);
    expect(FRAMES_LINES, BYTES("one\ntwo"), BYTES("one|two|"), FRAMES_END, 7, 7);
    memset(long_line, 'x', sizeof long_line);
    long_line[LIMIT] = '\n';
    expect(FRAMES_LINES, BYTES("a\nb"), BYTES("a|b|"), FRAMES_END, 3, 3);
    long_line[LIMIT] = 'x';
    expect(FRAMES_LINES, long_line, LIMIT + 1, BYTES(""), FRAMES_TOO_LONG, 0, 0);
}

static void nulls(void **state) {
    (void)state;
    expect(FRAMES_NULLS, BYTES(""), BYTES(""), FRAMES_END, 0, 0);
    expect(FRAMES_NULLS, BYTES("a\nb\0\0c"), BYTES("a\nb||c|"), FRAMES_END, 6, 6);
    expect(FRAMES_NULLS, BYTES("a\0"), BYTES("a|"), FRAMES_END, 2, 2);
}

static void lengths(void **state) {
    (void)state;
    expect(FRAMES_LENGTHS, BYTES(""), BYTES(""), FRAMES_END, 0, 0);
    expect(FRAMES_LENGTHS, BYTES("\0\0\0\0\3\0\0\0a\0\n\0\0\0\0"), BYTES("|a\0\n||"), FRAMES_END, 15, 15);
    expect(FRAMES_LENGTHS, BYTES("\1\0\0\0a\2\0\0\0b"), BYTES("a|"), FRAMES_CUT, 5, 10);
    expect(FRAMES_LENGTHS, BYTES("\1\0\0\0a\2\0"), BYTES("a|"), FRAMES_CUT, 5, 7);
    expect(FRAMES_LENGTHS, BYTES("\1\0\0\0a\x2d\1\0\0"), BYTES("a|"), FRAMES_TOO_LONG, 5, 9);
    expect(FRAMES_LENGTHS, BYTES("\0\0\0\x80"), BYTES(""), FRAMES_TOO_LONG, 0, 4);
}

/* What frames_write() has written comes out again: the largest message, all bytes, empty ones. */
static void round_trip(void **state) {
    unsigned char all[LIMIT], wanted[3 * LIMIT];
    size_t wanted_len = 0;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    assert_non_null(out);
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (unsigned char)i;
    static const size_t lens[] = {0, LIMIT, 1, 256, 0};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        frames_write(out, FRAMES_LENGTHS, all, lens[i]);
        memcpy(wanted + wanted_len, all, lens[i]);
        wanted_len += lens[i];
        wanted[wanted_len++] = '|';
    }
    fclose(out);
    expect(FRAMES_LENGTHS, text, size, (const char *)wanted, wanted_len, FRAMES_END, size, size);
    free(text);
}

/* A message of many reads isn't moved while it grows, and messages behind it find room. */
static void large(void **state) {
    const size_t limit = 1u << 20;
    struct frames frames;
    const void *data = NULL;
    size_t len = 0, room, at = 0;
    char *text = NULL;
    size_t size = 0;
    unsigned found = 0;
    enum frames_result result;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    assert_non_null(out);
    unsigned char *message = calloc(1, limit);
    assert_non_null(message);
    for (unsigned i = 0; i < 5; i++) {
        message[0] = (unsigned char)i;
        message[limit - 1] = (unsigned char)(i + 7);
        frames_write(out, FRAMES_LENGTHS, message, limit - i);
    }
    fclose(out);
    assert_true(frames_open(&frames, FRAMES_LENGTHS, limit));
    while ((result = frames_next(&frames, &data, &len)) != FRAMES_END) {
        if (result == FRAMES_MORE) {
            unsigned char *buf = frames_room(&frames, &room);
            const size_t n = size - at < room ? size - at : room;
            memcpy(buf, text + at, n);
            frames_add(&frames, n);
            at += n;
            continue;
        }
        assert_int_equal(result, FRAMES_MESSAGE);
        assert_int_equal(len, limit - found);
        assert_int_equal(((const unsigned char *)data)[0], found);
        found++;
    }
    assert_int_equal(found, 5);
    frames_close(&frames);
    free(message);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(nulls), cmocka_unit_test(lengths),
                                       cmocka_unit_test(round_trip), cmocka_unit_test(large)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

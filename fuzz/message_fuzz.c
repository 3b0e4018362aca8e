/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message_fuzz.c - gives any bytes to the control protocol's decoder. A message that it accepts must be the same after
 * encoding and decoding.
 *
 * From the top of the source tree:
 *     clang -std=gnu17 -g -O1 -fsanitize=fuzzer,address,undefined -I src -I include fuzz/message_fuzz.c \
 *         src/protocol/message.c src/protocol/wire.c src/base/error.c src/base/text.c -o message_fuzz
 *     ./message_fuzz -max_len=1100 -max_total_time=60
 */
#include "protocol/message.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Encodes msg to buf, and decodes that to *again. Returns the packet's length. */
static int round_trip(const struct ae_msg *msg, uint8_t *buf, struct ae_msg *again) {
    const int len = ae_msg_encode(msg, buf, AE_PACKET_MAX);

    if (len < 0 || ae_msg_decode(again, buf, (size_t)len) != 0)
        abort();
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t first[AE_PACKET_MAX], second[AE_PACKET_MAX];
    struct ae_msg msg, again;

    if (ae_msg_decode(&msg, data, size) != 0)
        return 0;
    /* Decoding replaces control characters byte for byte, so the length stays; the second time it changes nothing. */
    const int len = round_trip(&msg, first, &again);
    if ((size_t)len != size || round_trip(&again, second, &msg) != len || memcmp(first, second, size) != 0)
        abort();
    return 0;
}

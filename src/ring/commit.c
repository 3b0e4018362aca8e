/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/commit.h"
#include "ring/stats.h"

void ae_copy_pieces(unsigned char *dst, const struct iovec *pieces, size_t count) {
#ifdef AE_TSAN
    /* Under ThreadSanitizer ae_copy_in() stores whole words, so this joins pieces of any length into words. */
    unsigned char word[8] = {0};
    size_t off = 0;

    for (size_t i = 0; i < count; i++) {
        for (size_t n = 0; n < pieces[i].iov_len; n++) {
            word[off % 8] = ((const unsigned char *)pieces[i].iov_base)[n];
            if (++off % 8 == 0)
                ae_copy_in(dst + off - 8, word, 8);
        }
    }
    if (off % 8 != 0)
        ae_copy_in(dst + off - off % 8, word, off % 8);
#else
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].iov_len != 0)
            ae_copy_in(dst, pieces[i].iov_base, pieces[i].iov_len);
        dst += pieces[i].iov_len;
    }
#endif
}

void ae_commit_pieces(struct ae_publisher *p, uint64_t seq, const struct iovec *pieces, size_t count, uint64_t len) {
    unsigned char *slot = p->hot.slots + (seq & p->hot.mask) * p->hot.slot_size;
    ae_u64 *tag = (ae_u64 *)(void *)slot;

    /* W1 and W2 as in ae_write_bytes(). They hold for the stamp, too. */
    ae_store_relaxed(tag, ae_tag_busy(seq));
    ae_fence_release();
    ae_copy_pieces(slot + AE_SLOT_HEADER, pieces, count);
    p->hot.bytes += len; /* before ae_stamp(), which stores the figures */
    ae_store_release(tag, ae_tag(seq, AE_KIND_INLINE + ae_stamp(p, seq), len));
}

void ae_commit_message(struct ae_publisher *p, uint64_t seq, const void *data, size_t len) {
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};

    if (ae_stamp_due(p, seq)) {
        ae_commit_pieces(p, seq, &piece, 1, len);
        return;
    }
    ae_write_slot(&p->hot, seq, data, len);
    p->hot.bytes += len;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/slots.h"
#include "base/error.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MIN 8u /* also keeps a client with few handles at one allocation */

int ae_slots_reserve(struct ae_slots *slots, uint32_t size) {
    const uint32_t needed = (size + 63) / 64;
    uint32_t count = slots->count != 0 ? slots->count : WORDS_MIN;
    uint64_t *words;

    if (needed <= slots->count)
        return 0;
    while (count < needed)
        count *= 2;
    words = realloc(slots->words, count * sizeof *words);
    if (words == NULL)
        return ae_fail(-ENOMEM, "out of memory for an index of the registry");
    memset(&words[slots->count], 0, (count - slots->count) * sizeof *words);
    slots->words = words;
    slots->count = count;
    return 0;
}

void ae_slots_close(struct ae_slots *slots) {
    free(slots->words);
    *slots = (struct ae_slots){0};
}

uint32_t ae_slots_lowest(const struct ae_slots *slots) {
    if (slots->full == UINT64_MAX)
        return AE_SLOTS_MAX;
    const uint32_t part = (uint32_t)__builtin_ctzll(~slots->full);
    const uint32_t word = part * 64 + (uint32_t)__builtin_ctzll(~slots->parts[part]);
    const uint64_t used = word < slots->count ? slots->words[word] : 0;

    return word * 64 + (uint32_t)__builtin_ctzll(~used);
}

bool ae_slots_used(const struct ae_slots *slots, uint32_t slot) {
    return slot / 64 < slots->count && (slots->words[slot / 64] >> slot % 64 & 1) != 0;
}

void ae_slots_use(struct ae_slots *slots, uint32_t slot) {
    const uint32_t word = slot / 64, part = word / 64;

    slots->words[word] |= 1ull << slot % 64;
    if (slots->words[word] == UINT64_MAX)
        slots->parts[part] |= 1ull << word % 64;
    if (slots->parts[part] == UINT64_MAX)
        slots->full |= 1ull << part;
}

void ae_slots_free(struct ae_slots *slots, uint32_t slot) {
    const uint32_t word = slot / 64, part = word / 64;

    slots->words[word] &= ~(1ull << slot % 64);
    slots->parts[part] &= ~(1ull << word % 64);
    slots->full &= ~(1ull << part);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slots.h - which of up to 262,144 numbers are used, in private memory. Finds the lowest unused number in three steps,
 * however many are used.
 */
#ifndef AE_BROKER_SLOTS_H
#define AE_BROKER_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#define AE_SLOTS_MAX 262144u /* 64 * 64 * 64 */

/* All zero: no number is used. Owns its memory until ae_slots_close(). */
struct ae_slots {
    uint64_t *words;    /* a bit for each number: it is used */
    uint32_t count;     /* of words; numbers beyond them are unused */
    uint64_t full;      /* a bit for each word below: all its bits are set */
    uint64_t parts[64]; /* a bit for each word above: all its bits are set */
};

/* Makes room for marking the numbers below `size`, AE_SLOTS_MAX at most. 0, or -ENOMEM with a text. */
int ae_slots_reserve(struct ae_slots *slots, uint32_t size);
void ae_slots_close(struct ae_slots *slots);

/* AE_SLOTS_MAX: all are used. */
uint32_t ae_slots_lowest(const struct ae_slots *slots);
bool ae_slots_used(const struct ae_slots *slots, uint32_t slot);

/* There is room for the number. */
void ae_slots_use(struct ae_slots *slots, uint32_t slot);
void ae_slots_free(struct ae_slots *slots, uint32_t slot);

#endif

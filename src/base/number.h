/* SPDX-License-Identifier: Apache-2.0 */
/* number.h - the smaller and the larger of two numbers. */
#ifndef AE_BASE_NUMBER_H
#define AE_BASE_NUMBER_H

#include <stdint.h>

static inline uint64_t ae_least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static inline uint64_t ae_most(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

#endif

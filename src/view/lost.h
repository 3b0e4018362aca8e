/* SPDX-License-Identifier: Apache-2.0 */
/* lost.h - lost messages and why they were lost, as text. */
#ifndef AE_VIEW_LOST_H
#define AE_VIEW_LOST_H

#include <aether/metrics.h>
#include <stdint.h>

#define AE_LOST_SIZE 192

/* "0", "12 (ring)", "1,204 (ring 1,200, retained 4)". Writes to text and returns it. */
char *ae_lost_text(char text[AE_LOST_SIZE], uint64_t lost, const uint64_t lost_by[AETHER_LOST_REASONS]);

#endif

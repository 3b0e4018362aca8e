/* SPDX-License-Identifier: Apache-2.0 */
/* negotiate.h - which form of the metrics a request wants. No state, no errors. */
#ifndef AE_EXPORT_NEGOTIATE_H
#define AE_EXPORT_NEGOTIATE_H

#include <stdbool.h>

/*
 * Does the value of a header Accept (NULL: there is none) prefer OpenMetrics 1.0 to text/plain? Only if it names
 * application/openmetrics-text, without a version or with 1.0.0, and with a q that isn't 0 and not below that of
 * text/plain. What it has beside that, or wrong, is ignored.
 */
bool ae_accepts_openmetrics(const char *accept);

#endif

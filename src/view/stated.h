/* SPDX-License-Identifier: Apache-2.0 */
/* stated.h - what a program has stated about a topic, as text and as JSON. */
#ifndef AE_VIEW_STATED_H
#define AE_VIEW_STATED_H

#include "view/json.h"
#include <aether/inspect.h>
#include <stdbool.h>
#include <stdio.h>

/* Is anything stated? */
bool ae_stated_any(const aether_stated *stated);

/* Writes "max message 8 MiB, exclusive publishers, type frame:1"; nothing if nothing is stated. */
void ae_stated_print(FILE *file, const aether_stated *stated);

/* An object with what is stated: the keys are the names of the members of aether_topic_config. */
struct ae_json ae_stated_json(const aether_stated *stated);

#endif

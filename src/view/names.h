/* SPDX-License-Identifier: Apache-2.0 */
/* names.h - the words for the enumerations of the public headers, as all forms and command lines use them. */
#ifndef AE_VIEW_NAMES_H
#define AE_VIEW_NAMES_H

#include <aether/inspect.h>

extern const char *const ae_publishers_names[]; /* index: aether_publishers; ends with NULL */
extern const char *const ae_slow_names[];       /* index: aether_slow; ends with NULL */

/* "?" for a value that isn't one: the records come from shared memory. */
const char *ae_publishers_name(aether_publishers admits);
const char *ae_role_name(aether_role role);

#endif

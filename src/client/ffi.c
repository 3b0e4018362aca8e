/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ffi.c - exports the inline functions of the public headers, too, for bindings without a C compiler.
 */
#include "base/export.h"
#define AETHER_INLINE AE_EXPORT
#include <aether/aether.h>

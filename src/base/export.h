/* SPDX-License-Identifier: Apache-2.0 */
/* export.h - marks the functions that are the library's API; everything else is hidden. */
#ifndef AE_BASE_EXPORT_H
#define AE_BASE_EXPORT_H

#define AE_EXPORT __attribute__((visibility("default")))

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* export.h - AE_EXPORT marks the library's public functions; all other symbols are hidden. */
#ifndef AE_BASE_EXPORT_H
#define AE_BASE_EXPORT_H

#define AE_EXPORT __attribute__((visibility("default")))

#endif

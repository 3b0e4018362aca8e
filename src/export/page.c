/* SPDX-License-Identifier: Apache-2.0 */
/* page.c - the files of the web page. */
#include "export/page.h"
#include <string.h>

const struct ae_page_file *ae_page_find(const char *path) {
    for (size_t i = 0; i < ae_page_file_count; i++)
        if (strcmp(ae_page_files[i].path, path) == 0)
            return &ae_page_files[i];
    return NULL;
}

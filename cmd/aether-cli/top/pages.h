/* SPDX-License-Identifier: Apache-2.0 */
/* pages.h - the list of topics, and help. */
#ifndef AETHER_CLI_TOP_PAGES_H
#define AETHER_CLI_TOP_PAGES_H

#include "page.h"
#include "show.h"

/* Both append to *page, which top_page_clear() has emptied. */
void top_list_page(struct top_page *page, const struct top_show *show);
void top_help_page(struct top_page *page);

#endif

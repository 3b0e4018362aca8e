/* SPDX-License-Identifier: Apache-2.0 */
/* client_page.h - one client: its process, and its publishers and subscribers of all topics. */
#ifndef AETHER_CLI_TOP_CLIENT_PAGE_H
#define AETHER_CLI_TOP_CLIENT_PAGE_H

#include "page.h"
#include "show.h"
#include <stdint.h>

/* Appends to *page, which top_page_clear() has emptied. The pass must have been asked for the client. */
void top_client_page(struct top_page *page, const struct top_show *show, uint64_t client_id);

#endif

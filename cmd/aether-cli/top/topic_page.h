/* SPDX-License-Identifier: Apache-2.0 */
/* topic_page.h - one topic: its shape, counters, latencies, publishers and subscribers, and who holds up whom. */
#ifndef AETHER_CLI_TOP_TOPIC_PAGE_H
#define AETHER_CLI_TOP_TOPIC_PAGE_H

#include "page.h"
#include "show.h"

/* Appends to *page, which top_page_clear() has emptied. The pass must have pinned or selected the topic. */
void top_topic_page(struct top_page *page, const struct top_show *show, const char *name);

#endif

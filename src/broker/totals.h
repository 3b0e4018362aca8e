/* SPDX-License-Identifier: Apache-2.0 */
/*
 * totals.h - the totals of each topic: the figures of the publishers and subscribers that have gone.
 *
 * When a grant ends, the figures of its statistics record are added to the totals of its topic: the record is folded.
 * This happens once for each grant, however often aetherd is killed. Figures that make no sense are left out.
 */
#ifndef AE_BROKER_TOTALS_H
#define AE_BROKER_TOTALS_H

#include "broker/state.h"

/*
 * Maps the totals that a predecessor left, or creates them. What is damaged is dropped, with a line in the log: then
 * the totals begin at 0. Errors: those of ae_segment_create() and ae_segment_map().
 */
int ae_totals_start(struct ae_broker *broker);

/*
 * After a predecessor: finishes the fold that it had begun, so call it before the first grant is freed. Then gives each
 * live topic a record, if it has none. Errors: those of ae_segment_allocate().
 */
int ae_totals_adopt(struct ae_broker *broker);

/* Makes the record of a topic that is about to be created. Errors: those of ae_segment_allocate(). */
int ae_totals_add_topic(struct ae_broker *broker, const ae_registry_topic *topic);

void ae_totals_remove_topic(struct ae_broker *broker, const ae_registry_topic *topic);

/*
 * Folds a grant that ends, if it isn't folded. Its publisher or subscriber must still be as it left the topic: it isn't
 * retired yet. False: descriptors or memory ran out, so the call must be repeated.
 */
bool ae_totals_fold(struct ae_broker *broker, uint32_t grant, bool died);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_topic.h - how the reader of <aether/metrics.h> reads one topic. */
#ifndef AE_CLIENT_METRICS_TOPIC_H
#define AE_CLIENT_METRICS_TOPIC_H

#include "client/metrics_reading.h"

/*
 * Fills in *out with the topic of registry record `index`, which the caller has read. Returns 1; 0: it was removed
 * meanwhile; or an error with a text that passes: -EMFILE, -ENFILE, -ENOMEM, -EAGAIN ...
 */
int ae_metrics_read_topic(aether_metrics *metrics, uint32_t index, const ae_registry_topic *topic,
                          aether_topic_metrics *out);

#endif

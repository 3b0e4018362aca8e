/* SPDX-License-Identifier: Apache-2.0 */
/* instance_test.h - the broker of a unit test, in an instance of its own below /tmp. */
#ifndef AE_BROKER_INSTANCE_TEST_H
#define AE_BROKER_INSTANCE_TEST_H

#include "broker/broker.h"
#include "service/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char directory[] = "/tmp/aether-broker-XXXXXX";
static struct ae_instance instance;
static struct ae_broker broker;

static inline int setup_group(void **state) {
    char path[64];

    (void)state;
    ae_log_set_level(AE_LOG_ERROR);
    if (mkdtemp(directory) == NULL)
        return -1;
    (void)snprintf(path, sizeof path, "%s/s", directory);
    return ae_instance_init(&instance, path, (uint32_t)geteuid());
}

static inline int teardown_group(void **state) {
    (void)state;
    return rmdir(directory);
}

/* As if aetherd was killed: its mappings are gone, the objects stay. */
static inline void vanish(void) {
    ae_index_close(&broker.index);
    ae_state_lend_reserve(&broker);
    ae_registry_close(&broker.registry);
    ae_totals_close(&broker.totals);
}

#endif

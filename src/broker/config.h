/* SPDX-License-Identifier: Apache-2.0 */
/* config.h - aetherd's configuration file, aetherd.conf(5). */
#ifndef AE_BROKER_CONFIG_H
#define AE_BROKER_CONFIG_H

#include "broker/broker.h"
#include "service/log.h"

struct ae_config {
    char socket_path[108]; /* "": the default */
    enum ae_log_level log_level;
    struct ae_limits limits;
};

void ae_config_defaults(struct ae_config *config);

/*
 * Reads an INI file over what *config holds. 0, or -EINVAL / -errno with a text that names file, line, what is wrong
 * and what would be right; an unknown or repeated key is wrong too.
 */
int ae_config_read(struct ae_config *config, const char *path);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.h - proof of death.
 *
 * For each client aetherd creates a small file and flocks it, and passes that open file to the client, which maps it
 * and closes the fd; aetherd closes its own. The lock belongs to the open file and the mapping keeps that open, so the
 * lock lives exactly as long as the client's memory: through closefrom(), without any connection or daemon, until exit,
 * exec or kill -9. A free lock proves that the client can't touch shared memory any more. The mapping isn't inherited
 * by a forked child.
 */
#ifndef AE_SHM_TOKEN_H
#define AE_SHM_TOKEN_H

#include <stdint.h>

/* aetherd: creates the named token, locked, and returns its fd; nothing is left behind on failure. */
int ae_token_create(const char *name);

/*
 * Client: takes the token into its memory; *map receives the mapping. Consumes (closes) fd in every case. 0 or -errno.
 */
int ae_token_hold(int fd, void **map);
void ae_token_drop(void *map);

/*
 * aetherd: 1 the holder is dead (or the token is gone), 0 it lives, -errno it can't be told (then treat it as alive).
 */
int ae_token_free(const char *name, uint32_t uid);

#endif

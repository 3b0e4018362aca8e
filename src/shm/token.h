/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.h - proof of death.
 *
 * For each client aetherd creates a small file, takes a flock() on the open file, and passes the open file to the
 * client. The client maps it and closes the fd; aetherd closes its own fd. The lock belongs to the open file, and the
 * mapping keeps the file open. So the lock lives exactly as long as the client's memory: it needs no fd, connection or
 * daemon, and ends with exit, exec or kill -9. A free lock proves that the client can't access shared memory any more.
 * A forked child doesn't inherit the mapping.
 *
 * The token's first word is the client's: it says which grants the client doesn't have. So aetherd can free a grant
 * whose reply was lost, also if the client makes no further request. Without a word from the client it frees nothing.
 */
#ifndef AE_SHM_TOKEN_H
#define AE_SHM_TOKEN_H

#include <stdint.h>

/* aetherd: creates the named token and locks it. Returns its fd, or -errno; then it leaves nothing behind. */
int ae_token_create(const char *name);

/* Client: maps the token; *map receives the mapping. Closes fd in every case. 0 or -errno. */
int ae_token_hold(int fd, void **map);

/* Client: unmaps the token. map may be NULL. */
void ae_token_drop(void *map);

/*
 * Client: says that it has no grant with the id `from` or a higher one, and uses none that was sent before. 0: it may
 * have some. A client says 0 before it asks for a grant, and until it has the reply or has given it up.
 */
void ae_token_disown(void *map, uint64_t from);

/*
 * Any process: 1 if the holder is dead or the token doesn't exist; 0 if the holder lives; -errno if the test failed,
 * and then the caller must assume that the holder lives. Doesn't block.
 */
int ae_token_free(const char *name, uint32_t uid);

/* The same. *disowned: what the holder has said last by ae_token_disown(); 0 if it is dead or that can't be read. */
int ae_token_check(const char *name, uint32_t uid, uint64_t *disowned);

#endif

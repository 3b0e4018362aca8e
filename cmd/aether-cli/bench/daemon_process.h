/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_process.h - a private aetherd, for a benchmark on a machine where none runs. */
#ifndef AETHER_CLI_BENCH_DAEMON_PROCESS_H
#define AETHER_CLI_BENCH_DAEMON_PROCESS_H

#include <sys/types.h>

/* All zero: no daemon was started. */
struct bench_daemon {
    pid_t pid;
    char directory[80]; /* for this daemon only */
    char socket[96];    /* in that directory */
};

/*
 * Starts a daemon and waits until it listens, at most 30 s. CLI_OK, or reports the error. Call bench_daemon_stop() in
 * every case.
 */
int bench_daemon_start(struct bench_daemon *daemon);

/* Ends the daemon, waits until it has ended, and removes its directory. */
void bench_daemon_stop(struct bench_daemon *daemon);

#endif

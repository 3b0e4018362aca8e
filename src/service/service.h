/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h - what every program that serves has beside its own work: command line and configuration file, log,
 * signals, limits of the process, the event loop, notice to a service manager, and exit codes.
 *
 * Such a program describes itself in a struct ae_service, and its main() calls ae_service_main(), once. It runs in one
 * thread. Threads of its own begin in start, where SIGTERM and SIGINT are blocked already.
 */
#ifndef AE_SERVICE_SERVICE_H
#define AE_SERVICE_SERVICE_H

#include "base/socket.h"
#include "service/conf.h"
#include "service/loop.h"

/* Exit codes of every service. */
enum {
    AE_EXIT_STOPPED = 0, /* as asked */
    AE_EXIT_FAILED = 1,  /* can't start, or can't go on */
    AE_EXIT_USAGE = 2,   /* bad command line or configuration file */
    AE_EXIT_RUNNING = 3, /* another one runs already */
};

struct ae_service_run {
    struct ae_loop loop;
    char socket_path[AE_SOCKET_PATH_MAX + 2]; /* --socket, else the file's; "": neither says */
    char ready[256];                          /* for the log, written by start: "listening at ..." */
};

struct ae_service {
    const char *name;
    const char *summary; /* for --help: what the program does, in whole lines */
    const char *running; /* for --help: what exit code 3 means; NULL: it is never used */
    const char *section; /* of the configuration file, for the settings socket and log_level, which all services have */
    const char *socket_help, *socket_example; /* for the sample of a configuration file */
    const struct ae_conf_key *keys;           /* its own settings */
    size_t key_count;

    /*
     * Adds sources and timers to run->loop, and returns when it is ready to serve. 0, or -errno with a text; -EALREADY:
     * another one runs already.
     */
    int (*start)(struct ae_service_run *run);

    /* Undoes what start did, also if start failed half-way. The loop has ended. */
    void (*stop)(struct ae_service_run *run);
};

/*
 * Runs the service until SIGTERM, SIGINT or ae_loop_stop(), and returns its exit code; one line on stderr says why it
 * isn't 0. Every service has the options --config, --print-config, --help and --version, and one for each key that names
 * one; --socket and --log-level are such.
 */
int ae_service_main(const struct ae_service *service, int argc, char **argv);

#endif

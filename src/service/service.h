/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h - what all services have in common: command line and configuration file, log, signals, limits of the
 * process, the event loop, notices to a service manager, and exit codes.
 *
 * A service describes itself in a struct ae_service, and its main() calls ae_service_main() once. It runs in one
 * thread. If it has other threads, its start function starts them, because its signals are blocked there.
 */
#ifndef AE_SERVICE_SERVICE_H
#define AE_SERVICE_SERVICE_H

#include "base/socket.h"
#include "service/conf.h"
#include "service/loop.h"

/* Exit codes of every service. */
enum {
    AE_EXIT_STOPPED = 0, /* by a signal or a request */
    AE_EXIT_FAILED = 1,  /* it couldn't start or continue */
    AE_EXIT_USAGE = 2,   /* bad command line or configuration file */
    AE_EXIT_RUNNING = 3, /* the same service runs already */
};

struct ae_service_run {
    struct ae_loop loop;
    char socket_path[AE_SOCKET_PATH_MAX + 2]; /* from --socket, else from the file; "": from neither */
    char ready[256];                          /* start writes it, for the log: "listening at ..." */
};

struct ae_service {
    const char *name;
    const char *summary;                      /* for --help: what the program does, in whole lines */
    const char *running;                      /* for --help: what exit code 3 means; NULL: it is never used */
    const char *section;                      /* of the configuration file, for the settings that all services have */
    const char *socket_help, *socket_example; /* for the sample of a configuration file */
    const char *log_example;
    const struct ae_conf_key *keys; /* the service's own settings */
    size_t key_count;

    /*
     * Checks, before the start, settings that depend on each other. None of them may be marked for reloading. 0, or
     * -EINVAL with a text. NULL: there are none.
     */
    int (*check)(void);

    /*
     * Adds sources and timers to run->loop, and returns when the service is ready. 0, or -errno with a text: -EALREADY
     * if the same service runs already.
     */
    int (*start)(struct ae_service_run *run);

    /*
     * Called by SIGHUP, after the settings that are marked for reloading have got new values. It can't fail, and logs
     * what it can't do. NULL: nothing else is to be done.
     */
    void (*reload)(struct ae_service_run *run);

    /* Undoes what start did, also if start failed half-way. The loop has ended. */
    void (*stop)(struct ae_service_run *run);
};

/*
 * Runs the service until SIGTERM, SIGINT or ae_loop_stop(). Returns its exit code; if it isn't 0, one line on stderr
 * says why, and one in the log if that is a file. Every service has the options --config, --print-config, --socket,
 * --log-level, --log, --help and --version, and those that its keys name.
 *
 * SIGHUP reads the configuration file again: a new value of a setting that is marked for reloading is used, another one
 * is only logged. If the file has an error, the settings stay as they are. SIGUSR1 opens the log file anew, so that it
 * can be renamed before. A service manager gets READY=1, RELOADING=1 and STOPPING=1 by the protocol of sd_notify(3).
 */
int ae_service_main(const struct ae_service *service, int argc, char **argv);

#endif

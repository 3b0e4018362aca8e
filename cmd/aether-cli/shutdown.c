/* SPDX-License-Identifier: Apache-2.0 */
/* shutdown.c - asks the daemon to stop and waits until it has. */
#include "args.h"
#include "commands.h"
#include "daemon.h"
#include "error.h"
#include "inspect.h"
#include "signals.h"
#include <inttypes.h>

/* The daemon closes an inotify descriptor, for which the kernel needs seconds if all cores are busy. */
#define DEADLINE_NS UINT64_C(60000000000)
#define CHECK_NS 5000000u

/* Waits until the daemon has ended. Then info.running is false in any case, because the kernel has freed its lock. */
static int wait_end(aether_inspector *inspector) {
    const uint64_t deadline = cli_now_ns() + DEADLINE_NS;
    aether_daemon_info info;

    for (;;) {
        const int rc = aether_inspect_daemon(inspector, &info);
        if (rc < 0)
            return cli_library_error(rc);
        if (!info.running)
            return CLI_OK;
        if (cli_signal != 0)
            return cli_signal_status();
        if (cli_now_ns() >= deadline)
            return cli_error(CLI_FAILURE, "aetherd (pid %" PRIu32 ") was asked to stop and still runs after 60 s",
                             info.pid);
        cli_sleep_until(cli_now_ns() + CHECK_NS);
    }
}

int cmd_shutdown(int argc, char **argv) {
    const struct args_spec spec = {.command = "shutdown",
                                   .words = "",
                                   .summary = "Stops the daemon and waits until it has ended (at most 60 s). Topics "
                                              "that somebody is attached to stay and\n"
                                              "are adopted by the next daemon; the others end."};
    const char *words[ARGS_WORDS_MAX + 1];
    aether_client *client;
    aether_inspector *inspector;

    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    status = cli_connect("shutdown", NULL, &client);
    if (status != CLI_OK)
        return status;
    /* Opened before the request, because the daemon may remove its objects when it stops. */
    status = inspect_open(&inspector);
    if (status != CLI_OK)
        goto out;
    cli_catch_signals();
    const int rc = aether_shutdown(client);
    if (rc < 0)
        status = cli_library_error(rc);
out:
    aether_disconnect(client);
    if (status == CLI_OK)
        status = wait_end(inspector);
    aether_inspect_close(inspector);
    return status;
}

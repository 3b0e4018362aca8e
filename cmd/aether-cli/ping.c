/* SPDX-License-Identifier: Apache-2.0 */
/* ping.c - asks whether a daemon runs and answers, and waits for one. */
#include "args.h"
#include "commands.h"
#include "daemon.h"
#include "error.h"
#include "output.h"
#include "signals.h"
#include <errno.h>

int cmd_ping(int argc, char **argv) {
    struct out_options output = {0};
    double wait = 0;
    const struct args_option options[] = {
        {.name = "wait",
         .kind = ARGS_DURATION,
         .target = &wait,
         .value = "TIME",
         .help = "wait so long for a daemon that isn't there yet or doesn't answer, such as 5s"},
        OPTION_JSON(output, "one object"),
    };
    const struct args_spec spec = {
        .command = "ping",
        .words = "",
        .summary = "Asks whether a daemon runs and answers, and says which and how fast.",
        .notes =
            "Without --wait it ends at once if no daemon is there, and waits 5 seconds for the answer of one that\n"
            "is. Exit codes: 0 it answers, 1 it runs and doesn't answer in time, as one that is stopped, or\n"
            "refuses this user, 3 none runs.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
    };
    const char *words[ARGS_WORDS_MAX + 1];
    struct ae_view_pong pong = {0};

    const int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    pong.socket_path = cli_socket();
    const aether_connect_options connect = {.socket_path = cli_socket(), .wait_ns = cli_nanoseconds(wait)};
    cli_catch_signals();
    const int rc = aether_ping(&connect, &pong.pong);
    if (rc == -EINTR && cli_signal != 0)
        return cli_signal_status();
    if (rc != 0)
        return cli_error(cli_is_absent(rc) ? CLI_NO_DAEMON : CLI_FAILURE, "%s", aether_errmsg());
    const struct ae_view view = out_view(&output);
    return out_check(&view, ae_view_pong(&view, &pong));
}

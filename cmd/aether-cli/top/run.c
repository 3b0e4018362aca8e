/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - passes, and their cost. */
#include "run.h"
#include "daemon.h"
#include "error.h"
#include "inspect.h"
#include "signals.h"
#include "text.h"
#include <errno.h>
#include <string.h>
#include <time.h>

static uint64_t cpu_now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int top_run_open(struct top_run *run) {
    memset(run, 0, sizeof *run);
    run->cost_percent = run->pass_s = -1;
    const int rc = aether_metrics_open(&run->metrics, cli_socket());
    if (rc != 0)
        return inspect_error(rc);
    if (ae_watch_open(&run->watch, ae_watch_metrics_source(run->metrics)) != 0)
        return cli_error(CLI_FAILURE, "out of memory for the figures of topics");
    return CLI_OK;
}

void top_run_close(struct top_run *run) {
    ae_watch_close(run->watch);
    aether_metrics_close(run->metrics);
}

int top_run_pass(struct top_run *run, const struct ae_watch_options *options) {
    const uint64_t now = cli_now_ns(), cpu = cpu_now_ns();

    if (run->passed_ns != 0 && now > run->passed_ns)
        run->cost_percent = 100.0 * (double)(cpu - run->cpu_ns) / (double)(now - run->passed_ns);
    run->passed_ns = now;
    run->cpu_ns = cpu;
    const int rc = ae_watch_pass(run->watch, options, &run->pass);
    run->pass_s = (double)(cpu_now_ns() - cpu) / 1e9;
    run->error[0] = '\0';
    if (rc != 0) {
        const char *why = rc == -ENOMEM ? "out of memory for the figures of topics" : aether_errmsg();
        top_text_escape(run->error, sizeof run->error, why, strlen(why));
    }
    return rc;
}

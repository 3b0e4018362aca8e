/* SPDX-License-Identifier: Apache-2.0 */
/* batch.c - passes as text. */
#include "batch.h"
#include "daemon.h"
#include "error.h"
#include "json.h"
#include "output.h"
#include "pages.h"
#include "show.h"
#include "signals.h"
#include <stdio.h>

#define FIRST_NS UINT64_C(250000000) /* the time for which the first rates are measured */
#define WIDTH 2000                   /* cells, so that nothing is left out */

static int print_page(const struct top_run *run, const struct top_state *state, bool first) {
    const struct top_show show = {
        .pass = run->pass,
        .socket_path = cli_socket(),
        .filter = state->filter,
        .order = state->order,
        .reverse = state->reverse,
        .total_latency = state->total_latency,
        .interval_s = state->interval_s,
        .cost_percent = run->cost_percent,
        .pass_s = run->pass_s,
        .problems = AE_WATCH_PROBLEMS_MAX,
    };
    struct top_page page = {0};

    top_page_clear(&page, WIDTH);
    top_list_page(&page, &show);
    const bool whole = !page.failed;
    if (!first)
        putchar('\n');
    for (size_t i = 0; i < page.count; i++)
        puts(page.lines[i].text);
    top_page_clear(&page, 0);
    return whole ? CLI_OK : cli_error(CLI_FAILURE, "out of memory: lines are missing");
}

static int print_json(const struct top_run *run) {
    const struct ae_view view = out_view(&(struct out_options){.json = true});

    return out_check(&view, top_json_pass(run, view.out));
}

int top_batch(struct top_run *run, const struct top_state *state, bool json, size_t topics, uint64_t count) {
    struct ae_watch_options options = top_state_options(state, 0);
    uint64_t due_ns = 0;

    options.topics = topics;
    options.history = 0;
    cli_catch_signals();
    for (uint64_t i = 0; count == 0 || i <= count; i++) {
        cli_sleep_until(due_ns);
        if (cli_signal != 0)
            return cli_signal_status();
        if (top_run_pass(run, &options) != 0)
            return cli_error(CLI_FAILURE, "%s", run->error);
        const uint64_t interval_ns = (uint64_t)(state->interval_s * 1e9);
        due_ns = run->passed_ns + (i == 0 && interval_ns > FIRST_NS ? FIRST_NS : interval_ns);
        if (i == 0) /* it has no rates */
            continue;
        const int status = json ? print_json(run) : print_page(run, state, i == 1);
        if (status != CLI_OK)
            return status;
        if (!out_flush())
            break;
    }
    return CLI_OK;
}

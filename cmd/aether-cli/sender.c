/* SPDX-License-Identifier: Apache-2.0 */
/* sender.c - publishes messages at a rate, with progress. */
#include "sender.h"
#include "error.h"
#include "signals.h"
#include "stall.h"
#include "view/amount.h"
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define SLICE_NS UINT64_C(100000000) /* of a wait, between two checks for signals */
#define PROGRESS_NS 500000000u       /* between two lines of progress */
#define CATCH_UP_NS 100000000.0      /* the most delay, by slow input or a full ring, that later messages make up for */

void sender_start(struct sender *s) {
    s->terminal = isatty(STDERR_FILENO) == 1;
    s->started_ns = s->reported_ns = cli_now_ns();
}

bool sender_has_more(const struct sender *s) {
    return s->count == 0 || s->published < s->count;
}

/* ---- progress ---------------------------------------------------------------------------------------------------- */

/* Shows the progress, at most once in PROGRESS_NS. */
static void progress(struct sender *s, const char *note) {
    char count[AE_AMOUNT_SIZE];
    const uint64_t now = cli_now_ns();

    if (!s->terminal || now - s->reported_ns < PROGRESS_NS)
        return;
    s->reported_ns = now;
    s->drawn = true;
    fprintf(stderr, "\r%s published%s\033[K", ae_amount_count(count, s->published), note);
}

void sender_show_progress(struct sender *s) {
    progress(s, "");
}

void sender_erase_progress(struct sender *s) {
    if (s->drawn)
        fprintf(stderr, "\r\033[K");
    s->drawn = false;
}

void sender_show_summary(struct sender *s) {
    char count[AE_AMOUNT_SIZE], took[AE_AMOUNT_SIZE], rate[AE_AMOUNT_SIZE];
    const double seconds = (double)(cli_now_ns() - s->started_ns) / 1e9;

    sender_erase_progress(s);
    if (!s->terminal && !s->verbose)
        return;
    fprintf(stderr, "published %s message%s in %s (%s)\n", ae_amount_count(count, s->published),
            ae_plural(s->published, "", "s"), ae_amount_duration(took, seconds),
            ae_amount_rate(rate, seconds > 0 ? (double)s->published / seconds : 0));
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* Waits until the next message is due. Message i is due at i / rate, so that a late message delays no later one. */
static void pace(struct sender *s) {
    const double now = (double)(cli_now_ns() - s->started_ns);

    if (now < s->due_ns)
        cli_sleep_until(s->started_ns + (uint64_t)s->due_ns);
    else if (now - s->due_ns > CATCH_UP_NS)
        s->due_ns = now - CATCH_UP_NS;
    s->due_ns += 1e9 / s->rate;
}

/* Before each message. CLI_OK, or the status after a signal. */
static int begin_message(struct sender *s) {
    if (s->rate > 0)
        pace(s);
    return cli_signal != 0 ? cli_signal_status() : CLI_OK;
}

/* After each message; rc: what publishing it returned. CLI_OK, or reports the error. */
static int end_message(struct sender *s, int rc) {
    if (rc < 0) {
        sender_erase_progress(s);
        return cli_library_error(rc);
    }
    s->published++;
    if ((s->published & 1023) == 0 || s->rate > 0)
        progress(s, "");
    return CLI_OK;
}

/*
 * Waits until len bytes have room. *since: when the wait of this message began; 0 before. CLI_OK; or a status that ends
 * the command.
 */
static int wait_for_room(struct sender *s, size_t len, uint64_t *since) {
    const uint64_t limit = s->wait < 0 ? AETHER_FOREVER : cli_nanoseconds(s->wait);
    char took[AE_AMOUNT_SIZE];

    if (*since == 0)
        *since = cli_now_ns();
    for (;;) {
        const uint64_t waited = cli_now_ns() - *since;
        const uint64_t left = waited < limit ? limit - waited : 0;
        if (cli_signal != 0)
            return cli_signal_status();
        const int rc = aether_publisher_wait(s->publisher, len, left < SLICE_NS ? left : SLICE_NS);
        if (rc == 0)
            return CLI_OK;
        if (rc < 0) {
            sender_erase_progress(s);
            return cli_library_error(rc);
        }
        if (left == 0) {
            sender_erase_progress(s);
            return cli_error(CLI_FULL,
                             "topic '%s' was full for %s: published %" PRIu64
                             " before: aether-cli lag shows which subscriber lags",
                             s->topic, ae_amount_duration(took, s->wait), s->published);
        }
        progress(s, ", waiting: the ring is full");
    }
}

void sender_on_stall(void *context, aether_publisher *publisher, const aether_stall *stall) {
    struct sender *s = context;
    char text[STALL_TEXT];

    (void)publisher;
    sender_erase_progress(s);
    cli_error(CLI_OK, "topic '%s' full for %.1f s: %s", s->topic, (double)stall->waited_ns / 1e9,
              stall_text(text, stall));
}

int sender_publish(struct sender *s, const void *data, size_t len) {
    uint64_t since = 0;
    int status = begin_message(s);
    int rc = AETHER_FULL;

    while (status == CLI_OK && (rc = aether_publish(s->publisher, data, len)) == AETHER_FULL)
        status = wait_for_room(s, len, &since);
    return status == CLI_OK ? end_message(s, rc) : status;
}

int sender_take_loan(struct sender *s, size_t len, aether_loan *loan) {
    uint64_t since = 0;
    int status = begin_message(s), rc = AETHER_FULL;

    while (status == CLI_OK && (rc = aether_loan_take(s->publisher, len, loan)) == AETHER_FULL)
        status = wait_for_room(s, len, &since);
    if (status != CLI_OK || rc == 0)
        return status;
    sender_erase_progress(s);
    return cli_library_error(rc);
}

int sender_commit_loan(struct sender *s, aether_loan *loan) {
    uint64_t since = 0;
    int status = CLI_OK, rc = AETHER_FULL;

    while (status == CLI_OK && (rc = aether_loan_commit(s->publisher, loan)) == AETHER_FULL)
        status = wait_for_room(s, 0, &since);
    return status == CLI_OK ? end_message(s, rc) : status;
}

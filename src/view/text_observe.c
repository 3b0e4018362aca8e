/* SPDX-License-Identifier: Apache-2.0 */
/* text_observe.c - what an instance is doing, as lines and tables. */
#include "view/text_observe.h"
#include "view/amount.h"
#include "view/date.h"
#include "view/escape.h"
#include "view/lost.h"
#include "view/names.h"
#include "view/quantiles.h"
#include "view/table.h"
#include <inttypes.h>
#include <string.h>

#define BUCKETS_A_ROW 16u /* so many make a power of two */
#define ROWS (AETHER_LATENCY_BUCKETS / BUCKETS_A_ROW)
#define BAR_MIN 10u
#define BAR_MAX 200u

/* ---- cells ------------------------------------------------------------------------------------------------------- */

static void cell_count(struct ae_table *table, uint64_t count) {
    char text[AE_AMOUNT_SIZE];

    ae_table_cell(table, "%s", ae_amount_count(text, count));
}

static void cell_bytes(struct ae_table *table, uint64_t bytes) {
    char text[AE_AMOUNT_SIZE];

    ae_table_cell(table, "%s", ae_amount_bytes(text, bytes));
}

static void cell_ns(struct ae_table *table, uint64_t ns) {
    char text[AE_AMOUNT_SIZE];

    ae_table_cell(table, "%s", ns != AETHER_UNKNOWN ? ae_amount_duration(text, (double)ns * 1e-9) : "-");
}

static void cell_quantile(struct ae_table *table, const aether_latency *latency, double share) {
    const double ns = aether_latency_quantile(latency, share);
    char text[AE_AMOUNT_SIZE];

    ae_table_cell(table, "%s", ns >= 0 ? ae_amount_duration(text, ns * 1e-9) : "-");
}

/* "159", "159 (31 overwritten)": those of the messages that wait that the ring no longer holds. */
static void cell_lag(struct ae_table *table, const aether_subscriber_metrics *s) {
    char lag[AE_AMOUNT_SIZE], gone[AE_AMOUNT_SIZE];

    if (s->overwritten > 0)
        ae_table_cell(table, "%s (%s overwritten)", ae_amount_count(lag, s->lag),
                      ae_amount_count(gone, s->overwritten));
    else
        ae_table_cell(table, "%s", ae_amount_count(lag, s->lag));
}

static void cell_lost(struct ae_table *table, const aether_subscriber_metrics *s) {
    char text[AE_LOST_SIZE];

    ae_table_cell(table, "%s", ae_lost_text(text, s->lost, s->lost_by));
}

static void cell_pid(struct ae_table *table, uint32_t pid) {
    if (pid != 0)
        ae_table_cell(table, "%" PRIu32, pid);
    else
        ae_table_cell(table, "-");
}

static void cell_text(struct ae_table *table, const char *text) {
    ae_table_text(table, text, strlen(text));
}

void ae_text_begin(const struct ae_view *view, uint64_t index, bool watched) {
    fputs(watched && view->out->terminal ? "\033[H\033[J" : index > 0 ? "\n" : "", view->out->file);
}

/* ---- a topic's totals -------------------------------------------------------------------------------------------- */

static void print_room(FILE *f, const aether_topic_metrics *t) {
    char total[AE_AMOUNT_SIZE], longest[AE_AMOUNT_SIZE], now[AE_AMOUNT_SIZE], count[AE_AMOUNT_SIZE];

    fprintf(f, "stalls        %s without room, %s in total, the longest %s", ae_amount_count(count, t->stalls),
            ae_amount_duration(total, (double)t->stall_ns * 1e-9),
            ae_amount_duration(longest, (double)t->stall_longest * 1e-9));
    if (t->waiting > 0)
        fprintf(f, "; %" PRIu64 " publisher%s now, for up to %s", t->waiting, ae_plural(t->waiting, " waits", "s wait"),
                ae_amount_duration(now, (double)t->waited_ns * 1e-9));
    fputc('\n', f);
}

static void print_lost(FILE *f, const aether_topic_metrics *t) {
    char lost[AE_LOST_SIZE], amount[AE_AMOUNT_SIZE];

    fprintf(f, "lost          %s in %s gap%s\n", ae_lost_text(lost, t->lost, t->lost_by),
            ae_amount_count(amount, t->gaps), ae_plural(t->gaps, "", "s"));
    fprintf(f, "passed over   %s skipped by latest subscribers", ae_amount_count(amount, t->skipped));
    fprintf(f, ", %s aborted by a publisher's death\n", ae_amount_count(amount, t->aborted));
}

static void print_unread(FILE *f, const aether_topic_metrics *t) {
    char age[AE_AMOUNT_SIZE];

    fprintf(f, "unread        ");
    if (t->age_ns == AETHER_UNKNOWN)
        fprintf(f, "for an unknown time");
    else if (t->age_ns > 0)
        fprintf(f, "for up to %s", ae_amount_duration(age, (double)t->age_ns * 1e-9));
    else
        fprintf(f, "nothing");
    fprintf(f, "; %" PRIu64 " subscriber%s stuck\n", t->stuck, ae_plural(t->stuck, " is", "s are"));
}

static void print_quantiles(FILE *f, const aether_latency *latency) {
    char amount[AE_AMOUNT_SIZE];

    if (aether_latency_count(latency) == 0)
        return;
    fprintf(f, "latencies     since the topic was created:");
    for (size_t i = 0; i < AE_QUANTILES; i++)
        fprintf(f, " %s %s%s", ae_quantiles[i].word,
                ae_amount_duration(amount, aether_latency_quantile(latency, ae_quantiles[i].share) * 1e-9),
                i + 1 < AE_QUANTILES ? "," : "");
    fprintf(f, "; from %s sample%s\n", ae_amount_count(amount, latency->samples), ae_plural(latency->samples, "", "s"));
}

void ae_text_totals(FILE *file, const aether_topic_metrics *topic) {
    char count[AE_AMOUNT_SIZE], bytes[AE_AMOUNT_SIZE];

    print_room(file, topic);
    fprintf(file, "published     %s message%s, %s\n", ae_amount_count(count, topic->published),
            ae_plural(topic->published, "", "s"), ae_amount_bytes(bytes, topic->published_bytes));
    fprintf(file, "delivered     %s message%s, %s, to all subscribers together\n",
            ae_amount_count(count, topic->delivered), ae_plural(topic->delivered, "", "s"),
            ae_amount_bytes(bytes, topic->delivered_bytes));
    print_lost(file, topic);
    print_unread(file, topic);
    print_quantiles(file, &topic->latency);
}

/* ---- a topic's publishers and subscribers ------------------------------------------------------------------------ */

/* What it waits for, and for how long: "subscriber risk (pid 790), 3.20 s". */
static void cell_waits(struct ae_table *table, const aether_topic_metrics *topic, const aether_publisher_metrics *p) {
    const aether_owner *owner = NULL;
    char pid[24] = "", time[AE_AMOUNT_SIZE];
    char name[AE_ESCAPED_SIZE(sizeof owner->client)];

    if (p->waits == AETHER_WAITS_NOT) {
        ae_table_cell(table, "-");
        return;
    }
    if (p->waits_subscriber >= 0 && (size_t)p->waits_subscriber < topic->subscriber_count)
        owner = &topic->subscribers[p->waits_subscriber].owner;
    else if (p->waits_publisher >= 0 && (size_t)p->waits_publisher < topic->publisher_count)
        owner = &topic->publishers[p->waits_publisher].owner;
    ae_amount_duration(time, (double)p->waited_ns * 1e-9);
    if (owner != NULL) {
        ae_escape(name, owner->client, strlen(owner->client));
        if (owner->pid != 0)
            (void)snprintf(pid, sizeof pid, " (pid %" PRIu32 ")", owner->pid);
        ae_table_cell(table, "%s %s%s, %s", aether_waits_name(p->waits), name, pid, time);
    } else {
        ae_table_cell(table, "%s, %s", aether_waits_name(p->waits), time);
    }
}

static int show_publishers(const struct ae_view *view, const aether_topic_metrics *topic) {
    struct ae_table table;
    char used[AE_AMOUNT_SIZE], size[AE_AMOUNT_SIZE];

    if (topic->publisher_count == 0)
        return 0;
    ae_table_init(&table, "PUBLISHER|>PID|PROCESS|>MESSAGES|>BYTES|>BATCHES|>STALLS|>STALLED|>LONGEST|>RETRIES|>WAKES|"
                          ">LOANS|LANE|WAITS FOR");
    for (size_t i = 0; i < topic->publisher_count; i++) {
        const aether_publisher_metrics *p = &topic->publishers[i];
        cell_text(&table, p->owner.client);
        cell_pid(&table, p->owner.pid);
        cell_text(&table, ae_process_name(p->owner.process));
        cell_count(&table, p->messages);
        cell_bytes(&table, p->bytes);
        cell_count(&table, p->batches);
        cell_count(&table, p->stalls);
        cell_ns(&table, p->stall_ns);
        cell_ns(&table, p->stall_longest);
        cell_count(&table, p->retries);
        cell_count(&table, p->wakes);
        cell_count(&table, p->loans);
        if (p->lane_bytes > 0)
            ae_table_cell(&table, "%s of %s", ae_amount_bytes(used, p->lane_used),
                          ae_amount_bytes(size, p->lane_bytes));
        else
            ae_table_cell(&table, "-");
        cell_waits(&table, topic, p);
    }
    fprintf(view->out->file, "\nPublishers since each was opened; LANE and WAITS FOR are of now:\n");
    return ae_table_print(&table, view->out);
}

/* The state, and what its process is, if that is why it doesn't receive: "stuck, stopped". */
static void cell_state(struct ae_table *table, const aether_subscriber_metrics *s) {
    const bool halted = ae_process_halted(s->owner.process);

    ae_table_cell(table, "%s%s%s", aether_state_name(s->state), halted ? ", " : "",
                  halted ? ae_process_name(s->owner.process) : "");
}

static int show_subscribers(const struct ae_view *view, const aether_topic_metrics *topic) {
    struct ae_table table;

    if (topic->subscriber_count == 0)
        return 0;
    ae_table_init(&table,
                  "SUBSCRIBER|>PID|POLICY|STATE|>MESSAGES|>BYTES|>LAG|>AGE|LOST|>SKIPPED|>SLEEPS|>HOLDS UP|>P50|>P99|"
                  ">MAX");
    for (size_t i = 0; i < topic->subscriber_count; i++) {
        const aether_subscriber_metrics *s = &topic->subscribers[i];
        cell_text(&table, s->owner.client);
        cell_pid(&table, s->owner.pid);
        cell_text(&table, ae_policy_name(s->policy));
        cell_state(&table, s);
        cell_count(&table, s->delivered);
        cell_bytes(&table, s->bytes);
        cell_lag(&table, s);
        cell_ns(&table, s->age_ns);
        cell_lost(&table, s);
        cell_count(&table, s->skipped);
        cell_count(&table, s->sleeps);
        cell_count(&table, s->holds_up);
        cell_quantile(&table, &s->latency, 0.5);
        cell_quantile(&table, &s->latency, 0.99);
        cell_quantile(&table, &s->latency, 1);
    }
    fprintf(view->out->file, "\nSubscribers since each was opened; STATE, LAG, AGE and HOLDS UP are of now:\n");
    return ae_table_print(&table, view->out);
}

char *ae_text_eviction(char text[AE_TEXT_EVICTION], aether_evict_reason reason, uint64_t held) {
    char amount[AE_AMOUNT_SIZE];

    if (reason == AETHER_EVICT_LANE)
        snprintf(text, AE_TEXT_EVICTION, ": held %s of lane room", ae_amount_bytes(amount, held));
    else
        snprintf(text, AE_TEXT_EVICTION, "%s", reason == AETHER_EVICT_LAG ? ": too far behind" : "");
    return text;
}

/* Adds the cells of a publisher or subscriber that has gone, from its role on. A figure that it doesn't have is "-". */
static void add_departed(struct ae_table *table, const aether_departed_metrics *d) {
    const bool publisher = d->role == AETHER_ROLE_PUBLISHER;
    char date[AE_DATE_SIZE], why[AE_TEXT_EVICTION];

    cell_text(table, ae_role_name(d->role));
    cell_pid(table, d->owner.pid);
    cell_text(table, d->owner.client);
    cell_text(table, ae_date(date, d->left_ns));
    ae_table_cell(table, "%s%s%s", d->died ? "died" : "closed", d->evicted ? ", evicted" : "",
                  d->evicted ? ae_text_eviction(why, d->evict_reason, d->evict_held) : "");
    cell_count(table, d->messages);
    if (publisher) {
        for (int j = 0; j < 3; j++)
            ae_table_cell(table, "-");
        cell_ns(table, d->stall_ns);
        cell_count(table, d->full);
    } else {
        cell_count(table, d->lost);
        cell_count(table, d->aborted);
        cell_count(table, d->skipped);
        ae_table_cell(table, "-");
        ae_table_cell(table, "-");
    }
}

#define DEPARTED "DEPARTED|>PID|CLIENT|LEFT|HOW|>MESSAGES|>LOST|>ABORTED|>SKIPPED|>STALLED|>FULL"

static int show_departed(const struct ae_view *view, const aether_topic_metrics *topic) {
    struct ae_table table;

    if (topic->departed_count == 0)
        return 0;
    ae_table_init(&table, DEPARTED);
    for (size_t i = 0; i < topic->departed_count; i++)
        add_departed(&table, &topic->departed[i]);
    fputc('\n', view->out->file);
    return ae_table_print(&table, view->out);
}

int ae_text_show_departed(const struct ae_view *view, const struct ae_view_departed *departed) {
    struct ae_table table;

    if (departed->count == 0) {
        fprintf(view->out->file, "No publisher or subscriber has gone.\n");
        return ae_out_result(view->out);
    }
    ae_table_init(&table, DEPARTED "|TOPIC");
    for (size_t i = 0; i < departed->count; i++) {
        add_departed(&table, &departed->rows[i].figures);
        cell_text(&table, departed->rows[i].topic);
    }
    return ae_table_print(&table, view->out);
}

int ae_text_peers(const struct ae_view *view, const aether_topic_metrics *topic) {
    int rc = show_publishers(view, topic);

    if (rc == 0)
        rc = show_subscribers(view, topic);
    return rc == 0 ? show_departed(view, topic) : rc;
}

/* ---- latencies --------------------------------------------------------------------------------------------------- */

static void latency_row(struct ae_table *table, const aether_latency *latency) {
    cell_count(table, aether_latency_count(latency));
    cell_count(table, latency->samples);
    for (size_t i = 0; i < AE_QUANTILES; i++)
        cell_quantile(table, latency, ae_quantiles[i].share);
    cell_count(table, latency->missed);
    cell_count(table, latency->negative);
    cell_count(table, latency->overflow);
}

static uint64_t row_count(const aether_latency *latency, unsigned row) {
    uint64_t count = 0;

    for (unsigned i = 0; i < BUCKETS_A_ROW; i++)
        count += latency->buckets[row * BUCKETS_A_ROW + i];
    return count;
}

/* "512 ns to 1.02 us" */
static size_t row_title(char title[2 * AE_AMOUNT_SIZE], unsigned row) {
    char from[AE_AMOUNT_SIZE], to[AE_AMOUNT_SIZE];

    return (size_t)snprintf(title, 2 * AE_AMOUNT_SIZE, "%s to %s",
                            ae_amount_duration(from, (double)aether_latency_floor(row * BUCKETS_A_ROW) * 1e-9),
                            ae_amount_duration(to, (double)aether_latency_floor((row + 1) * BUCKETS_A_ROW) * 1e-9));
}

/* Powers of two, from the first to the last that holds messages; the longest bar ends at the last column. */
static int show_histogram(const struct ae_view *view, const aether_latency *latency, unsigned columns) {
    char title[2 * AE_AMOUNT_SIZE], amount[AE_AMOUNT_SIZE], bar[BAR_MAX + 1];
    unsigned first = ROWS, last = 0;
    size_t title_width = strlen("LATENCY"), count_width = strlen("MESSAGES");
    uint64_t most = 1, sum = 0;
    struct ae_table table;
    const uint64_t total = aether_latency_count(latency);

    for (unsigned row = 0; row < ROWS; row++) {
        const uint64_t count = row_count(latency, row);
        if (count == 0)
            continue;
        first = first < row ? first : row;
        last = row;
        most = most > count ? most : count;
    }
    if (total == 0)
        return 0;
    for (unsigned row = first; row <= last; row++) {
        const size_t width = row_title(title, row), digits = strlen(ae_amount_count(amount, row_count(latency, row)));
        title_width = title_width > width ? title_width : width;
        count_width = count_width > digits ? count_width : digits;
    }
    const size_t used = title_width + 2 + count_width + 2 + strlen("CUMULATIVE") + 2;
    size_t room = columns > used + BAR_MIN ? columns - used : BAR_MIN;
    room = room < BAR_MAX ? room : BAR_MAX;
    memset(bar, '#', sizeof bar - 1);
    bar[sizeof bar - 1] = '\0';

    ae_table_init(&table, "LATENCY|>MESSAGES|>CUMULATIVE|");
    for (unsigned row = first; row <= last; row++) {
        const uint64_t count = row_count(latency, row);
        const double part = (double)count / (double)most;
        size_t length = (size_t)(part * (double)room + 0.5);
        length = length == 0 && count > 0 ? 1 : length;
        sum += count;
        row_title(title, row);
        ae_table_cell(&table, "%s", title);
        cell_count(&table, count);
        ae_table_cell(&table, "%.3f %%", 100 * (double)sum / (double)total);
        ae_table_cell(&table, "%.*s", (int)(length < room ? length : room), bar);
    }
    fputc('\n', view->out->file);
    return ae_table_print(&table, view->out);
}

int ae_text_show_latencies(const struct ae_view *view, const struct ae_view_latencies *latencies) {
    const aether_topic_info *info = latencies->info;
    char name[AE_ESCAPED_SIZE(sizeof info->name)], amount[AE_AMOUNT_SIZE];
    FILE *f = view->out->file;
    struct ae_table table;

    ae_text_begin(view, latencies->repeat.index, latencies->repeat.watched);
    ae_escape(name, info->name, strlen(info->name));
    fprintf(f, "%s: time from publish to receive, of %s", name,
            info->latency == AETHER_LATENCY_ALL ? "all messages" : "sampled messages");
    if (latencies->seconds > 0)
        fprintf(f, ", in the last %s\n", ae_amount_duration(amount, latencies->seconds));
    else
        fprintf(f, "%s since the topic was created\n",
                latencies->count > 0 ? ", since each subscriber was opened; together," : ",");
    ae_table_init(&table,
                  "SUBSCRIBER|>PID|POLICY|>MESSAGES|>SAMPLES|>P50|>P90|>P99|>P99.9|>P99.99|>MAX|>MISSED|>NEGATIVE|"
                  ">OVERFLOW");
    for (size_t i = 0; i < latencies->count; i++) {
        const aether_subscriber_metrics *s = &latencies->subscribers[i];
        cell_text(&table, s->owner.client);
        cell_pid(&table, s->owner.pid);
        cell_text(&table, ae_policy_name(s->policy));
        latency_row(&table, &s->latency);
    }
    ae_table_cell(&table, "together");
    ae_table_cell(&table, "-");
    ae_table_cell(&table, "-");
    latency_row(&table, latencies->together);
    const int rc = ae_table_print(&table, view->out);
    if (rc != 0 || !latencies->histogram)
        return rc;
    return show_histogram(view, latencies->together, latencies->columns);
}

/* ---- lag and rates ----------------------------------------------------------------------------------------------- */

int ae_text_show_lag(const struct ae_view *view, const struct ae_view_lag *lag) {
    char topic[AE_ESCAPED_SIZE(sizeof((aether_topic_info *)0)->name)], text[AE_PROBLEM_TEXT];
    FILE *f = view->out->file;
    struct ae_table table;

    if (lag->count == 0)
        fprintf(f, "No subscriber.\n");
    ae_table_init(&table, "TOPIC|SUBSCRIBER|>PID|POLICY|STATE|>LAG|>UNREAD|>LANE|>AGE|LOST|>HOLDS UP");
    for (size_t i = 0; i < lag->count; i++) {
        const aether_subscriber_metrics *s = lag->rows[i].subscriber;
        cell_text(&table, lag->rows[i].topic);
        cell_text(&table, s->owner.client);
        cell_pid(&table, s->owner.pid);
        cell_text(&table, ae_policy_name(s->policy));
        cell_state(&table, s);
        cell_lag(&table, s);
        cell_count(&table, s->unread);
        if (s->lane_held > 0)
            cell_bytes(&table, s->lane_held);
        else
            ae_table_cell(&table, "-");
        cell_ns(&table, s->age_ns);
        cell_lost(&table, s);
        cell_count(&table, s->holds_up);
    }
    const int rc = lag->count > 0 ? ae_table_print(&table, view->out) : 0;
    if (rc == 0 && lag->problem_count > 0)
        fputc('\n', f);
    for (size_t i = 0; i < lag->problem_count && rc == 0; i++) {
        const struct ae_problem *problem = &lag->problems[i];
        ae_escape(topic, problem->topic, strnlen(problem->topic, sizeof problem->topic));
        fprintf(f, "%s: %s\n", topic, ae_problem_text(text, problem));
    }
    return rc != 0 ? rc : ae_out_result(view->out);
}

static void cell_rate(struct ae_table *table, const struct ae_view_rate *rate) {
    char amount[AE_AMOUNT_SIZE];

    if (!rate->known) {
        ae_table_cell(table, "-");
        ae_table_cell(table, "-");
        return;
    }
    ae_table_cell(table, "%s", ae_amount_rate(amount, rate->messages));
    ae_table_cell(table, "%s", ae_amount_byte_rate(amount, rate->bytes));
}

/* A topic, and below it each of its publishers. */
static void add_rates(struct ae_table *table, const struct ae_view_topic_rates *topic) {
    const aether_topic_metrics *t = topic->figures;

    cell_text(table, t->info.name);
    ae_table_cell(table, "%zu", t->publisher_count);
    ae_table_cell(table, "-");
    cell_rate(table, &topic->published);
    cell_rate(table, &topic->delivered);
    for (size_t i = 0; i < t->publisher_count; i++) {
        ae_table_cell(table, "  by");
        cell_text(table, t->publishers[i].owner.client);
        cell_pid(table, t->publishers[i].owner.pid);
        cell_rate(table, &topic->publishers[i]);
        ae_table_cell(table, "-");
        ae_table_cell(table, "-");
    }
}

int ae_text_show_rates(const struct ae_view *view, const struct ae_view_rates *rates) {
    struct ae_table table;

    ae_text_begin(view, rates->repeat.index, rates->repeat.watched);
    if (rates->count == 0) {
        fprintf(view->out->file, "No topic.\n");
        return ae_out_result(view->out);
    }
    ae_table_init(&table, "TOPIC|PUBLISHERS|>PID|>PUBLISHED|>BYTES|>DELIVERED|>BYTES");
    for (size_t i = 0; i < rates->count; i++)
        add_rates(&table, &rates->topics[i]);
    return ae_table_print(&table, view->out);
}

/* ---- clients and checks ------------------------------------------------------------------------------------------ */

int ae_text_show_clients(const struct ae_view *view, const struct ae_view_clients *clients) {
    struct ae_table table;
    char amount[AE_AMOUNT_SIZE];

    if (clients->count == 0) {
        fprintf(view->out->file, "No client.\n");
        return ae_out_result(view->out);
    }
    ae_table_init(&table, ">ID|CLIENT|>PID|>UID|PROCESS|>PUBLISHERS|>SUBSCRIBERS|>SINCE|>MEMORY");
    for (size_t i = 0; i < clients->count; i++) {
        const aether_client_metrics *c = &clients->list[i];
        ae_table_cell(&table, "%" PRIu64, c->client_id);
        cell_text(&table, c->name);
        cell_pid(&table, c->pid);
        ae_table_cell(&table, "%" PRIu32, c->uid);
        cell_text(&table, ae_process_name(c->process));
        ae_table_cell(&table, "%" PRIu64, c->publishers);
        ae_table_cell(&table, "%" PRIu64, c->subscribers);
        ae_table_cell(&table, "%s", ae_amount_duration(amount, (double)c->connected_ns * 1e-9));
        cell_bytes(&table, c->stats_bytes);
    }
    return ae_table_print(&table, view->out);
}

/* Without an exponent, which not every monitoring system reads. */
static void print_number(FILE *f, double value) {
    char text[400];
    const int len = snprintf(text, sizeof text, "%.9f", value);
    size_t end = len > 0 && (size_t)len < sizeof text ? (size_t)len : 0;

    while (end > 0 && text[end - 1] == '0')
        end--;
    if (end > 0 && text[end - 1] == '.')
        end--;
    fprintf(f, "%.*s", (int)end, text);
}

/* A limit as a range of monitoring plugins: "10" is bad above it, "10:" below it. */
static void print_limit(FILE *f, bool has, double limit, bool floor) {
    fputc(';', f);
    if (!has)
        return;
    print_number(f, limit);
    fputs(floor ? ":" : "", f);
}

int ae_text_show_check(const struct ae_view *view, const struct ae_view_check *check) {
    FILE *f = view->out->file;

    fprintf(f, "AETHER %s - ", ae_health_name(check->health));
    /* A '|' begins the figures. */
    for (const char *c = check->text; *c != '\0'; c++) {
        if (*c == '|')
            fputs("\\x7c", f);
        else
            fputc(*c, f);
    }
    for (size_t i = 0; i < check->count; i++) {
        const struct ae_view_limit *limit = &check->limits[i];
        fprintf(f, "%s%s=", i == 0 ? " | " : " ", limit->name);
        if (limit->known) {
            print_number(f, limit->value);
            fputs(limit->unit, f);
        } else {
            fputc('U', f);
        }
        print_limit(f, limit->has_warning, limit->warning, limit->floor);
        print_limit(f, limit->has_critical, limit->critical, limit->floor);
        fputs(";0", f);
    }
    fputc('\n', f);
    return ae_out_result(view->out);
}

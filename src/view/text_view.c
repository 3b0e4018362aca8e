/* SPDX-License-Identifier: Apache-2.0 */
/* text_view.c - the form for people: lines and tables. */
#include "view/amount.h"
#include "view/daemon.h"
#include "view/date.h"
#include "view/escape.h"
#include "view/measure.h"
#include "view/names.h"
#include "view/stated.h"
#include "view/table.h"
#include "view/text_observe.h"
#include "view/view.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_SIZE (sizeof((aether_topic_info *)0)->type_name + 24)
#define PAYLOAD_BYTES 4096u /* shown of a message */

/* ---- topics ------------------------------------------------------------------------------------------------------ */

/* NAME:VERSION[:SIZE]; "-" if the topic has no type. */
static void type_text(char text[TYPE_SIZE], const aether_topic_info *t) {
    if (t->type_name[0] == '\0')
        (void)snprintf(text, TYPE_SIZE, "-");
    else if (t->type_size == 0)
        (void)snprintf(text, TYPE_SIZE, "%s:%" PRIu32, t->type_name, t->type_version);
    else
        (void)snprintf(text, TYPE_SIZE, "%s:%" PRIu32 ":%" PRIu32, t->type_name, t->type_version, t->type_size);
}

static int show_topics(const struct ae_view *view, const struct ae_view_topic *topics, size_t count) {
    char size[AE_AMOUNT_SIZE], memory[AE_AMOUNT_SIZE], number[AE_AMOUNT_SIZE], type[TYPE_SIZE];
    struct ae_table table;

    ae_table_init(&table, "TOPIC|>MESSAGES|>NEXT|>PUB|>RELIABLE|>BEST EFFORT|>MAX MESSAGE|>SLOTS|>MEMORY|SLOW|TYPE");
    for (size_t i = 0; i < count; i++) {
        const aether_topic_info *t = &topics[i].info;
        ae_table_text(&table, t->name, strlen(t->name));
        ae_table_cell(&table, "%s", ae_amount_count(number, t->messages));
        ae_table_cell(&table, "%" PRIu64, t->next_seq);
        ae_table_cell(&table, "%" PRIu32, t->publishers);
        ae_table_cell(&table, "%" PRIu32, t->reliable);
        ae_table_cell(&table, "%" PRIu32, t->best_effort);
        ae_table_cell(&table, "%s", ae_amount_bytes(size, t->max_message));
        ae_table_cell(&table, "%s", ae_amount_count(number, t->capacity));
        ae_table_cell(&table, "%s", ae_amount_bytes(memory, t->memory_bytes));
        ae_table_cell(&table, "%s", ae_slow_names[t->evict_lag != 0]);
        type_text(type, t);
        ae_table_text(&table, type, strlen(type));
    }
    return ae_table_print(&table, view->out);
}

static int show_waiting(const struct ae_view *view, const aether_waiting_info *topics, size_t count) {
    char name[AE_ESCAPED_SIZE(sizeof topics->name)], client[AE_ESCAPED_SIZE(sizeof topics->client)];
    FILE *f = view->out->file;

    for (size_t i = 0; i < count; i++) {
        const aether_waiting_info *t = &topics[i];
        ae_escape(name, t->name, strnlen(t->name, sizeof t->name));
        ae_escape(client, t->client, strnlen(t->client, sizeof t->client));
        fprintf(f, "waiting for a publisher: %s (%s", name, client);
        if (t->pid != 0)
            fprintf(f, ", pid %" PRIu32, t->pid);
        if (t->subscribers > 1)
            fprintf(f, ", and %" PRIu32 " more", t->subscribers - 1);
        fputc(')', f);
        if (ae_stated_any(&t->asked)) {
            fputs(": asked for ", f);
            ae_stated_print(f, &t->asked);
        }
        fputc('\n', f);
    }
    return ae_out_result(view->out);
}

/* ---- one topic --------------------------------------------------------------------------------------------------- */

static void print_sizes(FILE *f, const aether_topic_info *t) {
    char largest[AE_AMOUNT_SIZE], ring[AE_AMOUNT_SIZE], lane[AE_AMOUNT_SIZE];

    fprintf(f, "max message   %s", ae_amount_bytes(largest, t->max_message));
    if (t->lane_bytes == 0)
        fprintf(f, ", in the ring\n");
    else
        fprintf(f, ", up to %" PRIu32 " B in the ring, longer ones in a lane of %s a publisher\n", t->inline_max,
                ae_amount_bytes(lane, t->lane_bytes));
    fprintf(f, "ring          %s slots of %" PRIu32 " B, %s\n", ae_amount_count(largest, t->capacity), t->slot_size,
            ae_amount_bytes(ring, t->capacity * t->slot_size));
    fprintf(f, "memory        %s allocated now\n", ae_amount_bytes(largest, t->memory_bytes));
}

static const char *admits_text(aether_publishers admits) {
    static const char *const texts[] = {"?", "up to 64 (shared)", "one at a time (exclusive)", "up to 64, unbiased"};

    return admits <= AETHER_PUBLISHERS_UNBIASED ? texts[admits] : "?";
}

static const char *latency_text(aether_latency_mode mode) {
    static const char *const texts[] = {"?", "measured with samples of the messages", "not measured",
                                        "measured with each message"};

    return mode <= AETHER_LATENCY_ALL ? texts[mode] : "?";
}

/* "BEFORE 'camera' (pid 12)"; nothing if there is no such client. */
static void print_client(FILE *f, const char *before, const char client[64], uint32_t pid) {
    char name[AE_ESCAPED_SIZE(64)];

    if (client[0] == '\0' && pid == 0)
        return;
    ae_escape(name, client, strnlen(client, 64));
    fprintf(f, "%s '%s'", before, name);
    if (pid != 0)
        fprintf(f, " (pid %" PRIu32 ")", pid);
}

/* What binds all others, and who has stated it. */
static void print_shape(FILE *f, const aether_topic_info *t) {
    fprintf(f, "stated        ");
    if (ae_stated_any(&t->stated))
        ae_stated_print(f, &t->stated);
    else
        fputs("nothing", f);
    if (ae_stated_any(&t->asked)) {
        fputs("\nasked for     ", f);
        ae_stated_print(f, &t->asked);
        if (t->asked_by[0] == '\0')
            fputs(", by subscribers", f);
        print_client(f, ", by subscriber", t->asked_by, t->asked_pid);
    }
    fprintf(f, "\nshape         %s", t->shaped ? "fixed" : "what isn't stated is open until a publisher comes");
    print_client(f, " by", t->shaped_by, t->shaped_pid);
    print_client(f, ", created by", t->created_by, t->created_pid);
    fputc('\n', f);
}

static void print_topic(FILE *f, const struct ae_view_topic *topic) {
    const aether_topic_info *t = &topic->info;
    char name[AE_ESCAPED_SIZE(sizeof t->name)], created[AE_DATE_SIZE], lag[AE_AMOUNT_SIZE];
    char type[TYPE_SIZE], type_escaped[AE_ESCAPED_SIZE(TYPE_SIZE)];

    ae_escape(name, t->name, strlen(t->name));
    type_text(type, t);
    ae_escape(type_escaped, type, strlen(type));
    fprintf(f, "topic         %s\n", name);
    fprintf(f, "created       %s\n", ae_date(created, t->created_ns));
    fprintf(f, "type          %s", t->type_name[0] != '\0' ? type_escaped : "none stated yet");
    print_client(f, ", stated by", t->typed_by, t->typed_pid);
    fputc('\n', f);
    print_shape(f, t);
    fprintf(f, "messages      %s (sequences from %" PRIu64 ", next %" PRIu64 ")\n", ae_amount_count(lag, t->messages),
            t->start_seq, t->next_seq);
    print_sizes(f, t);
    if (t->evict_lag == 0)
        fprintf(f, "slow          publishers wait for slow reliable subscribers\n");
    else
        fprintf(f,
                "slow          reliable subscribers are evicted from a lag of %" PRIu64 " on; %" PRIu32
                " of those attached %s evicted\n",
                t->evict_lag, topic->evicted, ae_plural(topic->evicted, "is", "are"));
    fprintf(f, "latency       %s\n", latency_text(t->latency));
    fprintf(f, "lag           %s of the slowest subscriber\n", ae_amount_count(lag, topic->figures->lag));
    fprintf(f, "publishers    %s; %" PRIu32 " attached, %" PRIu64 " since the topic was created\n",
            admits_text(t->admits), t->publishers, t->joins);
    fprintf(f, "subscribers   %" PRIu32 " attached, %" PRIu32 " reliable\n", t->reliable + t->best_effort, t->reliable);
    fprintf(f, "found full    %s time%s\n", ae_amount_count(lag, topic->figures->full),
            ae_plural(topic->figures->full, "", "s"));
}

/* "52 of 64 MiB", "512 B of 64 MiB" */
static void print_part(FILE *f, uint64_t part, uint64_t whole) {
    char first[AE_AMOUNT_SIZE], second[AE_AMOUNT_SIZE];
    const char *unit = strrchr(ae_amount_bytes(second, whole), ' ');
    char *first_unit = strrchr(ae_amount_bytes(first, part), ' ');

    if (unit != NULL && first_unit != NULL && strcmp(unit, first_unit) == 0)
        *first_unit = '\0';
    fprintf(f, "%s of %s", first, second);
}

/* How full each publisher's lane is. */
static void print_lanes(FILE *f, const aether_topic_metrics *topic) {
    char count[AE_AMOUNT_SIZE];

    for (size_t i = 0; i < topic->publisher_count; i++) {
        const aether_publisher_metrics *p = &topic->publishers[i];
        if (p->lane_bytes == 0)
            continue;
        print_client(f, "lane of", p->owner.client, p->owner.pid);
        fputs("  ", f);
        print_part(f, p->lane_used, p->lane_bytes);
        fprintf(f, " used, room for %s of the largest\n", ae_amount_count(count, p->lane_fits));
    }
}

/* What subscribers state: it binds others only as long as they are open. */
static void print_requests(FILE *f, const aether_topic_metrics *topic) {
    for (size_t i = 0; i < topic->subscriber_count; i++) {
        const aether_subscriber_metrics *s = &topic->subscribers[i];
        if (!ae_stated_any(&s->requests))
            continue;
        print_client(f, "request of", s->owner.client, s->owner.pid);
        fputs("  ", f);
        ae_stated_print(f, &s->requests);
        fputc('\n', f);
    }
}

/* A row of the table of all publishers and subscribers. A figure that the role doesn't have is "-". */
static void add_peer(struct ae_table *table, const aether_owner *owner, aether_role role, const uint64_t values[6]) {
    const bool publisher = role == AETHER_ROLE_PUBLISHER;
    char count[AE_AMOUNT_SIZE];

    ae_table_cell(table, "%s", ae_role_name(role));
    if (owner->pid != 0)
        ae_table_cell(table, "%" PRIu32, owner->pid);
    else
        ae_table_cell(table, "-");
    ae_table_text(table, owner->client, strlen(owner->client));
    for (size_t i = 0; i < 6; i++) {
        if (i < 2) /* sequences */
            ae_table_cell(table, "%" PRIu64, values[i]);
        else if (publisher == (i == 5))
            ae_table_cell(table, "%s", ae_amount_count(count, values[i]));
        else
            ae_table_cell(table, "-");
    }
}

static int show_topic(const struct ae_view *view, const struct ae_view_topic *topic) {
    const aether_topic_metrics *figures = topic->figures;
    char why[AE_TEXT_EVICTION];
    FILE *f = view->out->file;
    struct ae_table table;

    print_topic(f, topic);
    ae_text_totals(f, figures);
    print_lanes(f, figures);
    print_requests(f, figures);
    if (figures->publisher_count + figures->subscriber_count == 0) {
        fprintf(f, "\nNobody is attached.\n");
        return ae_text_peers(view, figures);
    }
    fputc('\n', f);
    ae_table_init(&table, "ROLE|>PID|CLIENT|>JOINED|>NEXT|>LAG|>LOST|>ABORTED|>FULL|EVICTED");
    for (size_t i = 0; i < figures->publisher_count; i++) {
        const aether_publisher_metrics *p = &figures->publishers[i];
        add_peer(&table, &p->owner, AETHER_ROLE_PUBLISHER, (const uint64_t[6]){p->joined, p->next, 0, 0, 0, p->full});
        ae_table_cell(&table, "-");
    }
    for (size_t i = 0; i < figures->subscriber_count; i++) {
        const aether_subscriber_metrics *s = &figures->subscribers[i];
        const bool reliable = s->policy == AETHER_RELIABLE;
        add_peer(&table, &s->owner, reliable ? AETHER_ROLE_RELIABLE : AETHER_ROLE_BEST_EFFORT,
                 (const uint64_t[6]){s->joined, s->next, s->lag, s->lost, s->aborted, 0});
        if (reliable && s->evictions != 0)
            ae_table_cell(&table, "yes%s", ae_text_eviction(why, s->evict_reason, s->evict_held));
        else
            ae_table_cell(&table, "%s", reliable ? "no" : "-");
    }
    const int rc = ae_table_print(&table, view->out);
    return rc == 0 ? ae_text_peers(view, figures) : rc;
}

/* ---- the daemon and its topics ----------------------------------------------------------------------------------- */

/* Returns -ENOMEM if there was no memory for the escaped path; then nothing was written. */
static int print_daemon(FILE *f, const struct ae_view_sample *sample) {
    const aether_daemon_info *d = &sample->instance.daemon;
    const size_t len = strlen(sample->socket_path);
    char amount[AE_AMOUNT_SIZE], remedy[AE_DAEMON_REMEDY];
    char *path = malloc(AE_ESCAPED_SIZE(len));

    if (path == NULL)
        return -ENOMEM;
    ae_escape(path, sample->socket_path, len);
    switch (ae_daemon_state(&sample->instance)) {
    case AE_DAEMON_RUNS:
        fprintf(f, "aetherd at %s: pid %" PRIu32 ", up %s", path, d->pid, ae_amount_duration(amount, sample->uptime_s));
        break;
    case AE_DAEMON_STOPPED:
        fprintf(f, "aetherd at %s: stopped (pid %" PRIu32 ": %s)", path, d->pid,
                ae_daemon_remedy(remedy, &sample->instance));
        break;
    case AE_DAEMON_GONE:
        fprintf(f, "aetherd at %s: not running (last: pid %" PRIu32 ")", path, d->pid);
        break;
    }
    fprintf(f, ", %" PRIu32 " of %" PRIu32 " topics", d->topics, d->topics_max);
    if (d->topics_waiting > 0)
        fprintf(f, " and %" PRIu32 " without a publisher", d->topics_waiting);
    fprintf(f, ", %" PRIu32 " of %" PRIu32 " clients, %s\n", d->clients, d->clients_max,
            ae_amount_bytes(amount, d->memory_bytes));
    free(path);
    return 0;
}

static int show_sample(const struct ae_view *view, const struct ae_view_sample *sample) {
    struct ae_table table;
    char amount[AE_AMOUNT_SIZE];

    ae_text_begin(view, sample->index, sample->watched);
    const int rc = print_daemon(view->out->file, sample);
    if (rc != 0 || sample->count == 0)
        return rc != 0 ? rc : ae_out_result(view->out);
    fprintf(view->out->file, "Rates of the last %s; messages, stalls, losses and P99 since each topic was created\n",
            ae_amount_duration(amount, sample->seconds));
    ae_table_init(&table,
                  "TOPIC|>MESSAGES|>RATE|>PUB|>RELIABLE|>BEST EFFORT|>EVICTED|>LAG|>SLOTS|>STALLED|>LOST|>P99|>MEMORY");
    for (size_t i = 0; i < sample->count; i++) {
        const struct ae_view_topic *topic = &sample->topics[i];
        const aether_topic_info *t = &topic->info;
        ae_table_text(&table, t->name, strlen(t->name));
        ae_table_cell(&table, "%s", ae_amount_count(amount, t->messages));
        ae_table_cell(&table, "%s", ae_amount_rate(amount, topic->rate));
        ae_table_cell(&table, "%" PRIu32, t->publishers);
        ae_table_cell(&table, "%" PRIu32, t->reliable);
        ae_table_cell(&table, "%" PRIu32, t->best_effort);
        ae_table_cell(&table, "%" PRIu32, topic->evicted);
        ae_table_cell(&table, "%s", ae_amount_count(amount, topic->figures->lag));
        ae_table_cell(&table, "%s", ae_amount_count(amount, t->capacity));
        ae_table_cell(&table, "%s", ae_amount_duration(amount, (double)topic->figures->stall_ns * 1e-9));
        ae_table_cell(&table, "%s", ae_amount_count(amount, topic->figures->lost));
        const double p99 = aether_latency_quantile(&topic->figures->latency, 0.99);
        ae_table_cell(&table, "%s", p99 >= 0 ? ae_amount_duration(amount, p99 * 1e-9) : "-");
        ae_table_cell(&table, "%s", ae_amount_bytes(amount, t->memory_bytes));
    }
    return ae_table_print(&table, view->out);
}

static int show_pong(const struct ae_view *view, const struct ae_view_pong *p) {
    const size_t len = strlen(p->socket_path);
    char amount[AE_AMOUNT_SIZE], version[AE_ESCAPED_SIZE(sizeof p->pong.version)];
    char *path = malloc(AE_ESCAPED_SIZE(len));

    if (path == NULL)
        return -ENOMEM;
    ae_escape(path, p->socket_path, len);
    ae_escape(version, p->pong.version, strlen(p->pong.version));
    fprintf(view->out->file, "aetherd %s (pid %" PRIu32 ", uid %" PRIu32 ") answers at %s in %s\n", version,
            p->pong.pid, p->pong.uid, path, ae_amount_duration(amount, (double)p->pong.round_trip_ns * 1e-9));
    free(path);
    return ae_out_result(view->out);
}

/* ---- what a subscriber receives ---------------------------------------------------------------------------------- */

/* The length at which a payload is cut, so that no character is cut. */
static size_t shown_length(const unsigned char *data, size_t len) {
    size_t cut = PAYLOAD_BYTES;

    if (len <= PAYLOAD_BYTES)
        return len;
    while (cut > PAYLOAD_BYTES - 3 && (data[cut] & 0xc0) == 0x80)
        cut--;
    return cut;
}

/* The columns that come first. A topic's name has at most 255 bytes. */
static void show_origin(FILE *f, const struct ae_view_origin *origin) {
    char text[AE_ESCAPED_SIZE(255)], date[AE_DATE_SIZE];

    if (origin->time_ns != 0)
        fprintf(f, "%s  ", ae_date_rfc3339(date, origin->time_ns));
    if (origin->topic != NULL) {
        ae_escape(text, origin->topic, strnlen(origin->topic, 255));
        fprintf(f, "%s  ", text);
    }
}

static int show_message(const struct ae_view *view, const struct ae_view_message *message) {
    char text[AE_ESCAPED_SIZE(PAYLOAD_BYTES)];
    FILE *f = view->out->file;

    show_origin(f, &message->origin);
    fprintf(f, "%12" PRIu64 "  %5zu  ", message->seq, message->len);
    if (message->file != NULL) {
        fprintf(f, "%s\n", message->file);
        return ae_out_result(view->out);
    }
    const size_t shown = shown_length(message->data, message->len);
    fwrite(text, 1, ae_escape(text, message->data, shown), f);
    if (shown < message->len)
        fprintf(f, "... (%zu bytes)", message->len);
    fputc('\n', f);
    return ae_out_result(view->out);
}

static int show_gap(const struct ae_view *view, const struct ae_view_origin *origin, uint64_t first, uint64_t count) {
    show_origin(view->out->file, origin);
    fprintf(view->out->file, "%12" PRIu64 "  %5s  %" PRIu64 " message%s lost\n", first, "gap", count,
            ae_plural(count, "", "s"));
    return ae_out_result(view->out);
}

/* ---- measurements ------------------------------------------------------------------------------------------------ */

static int show_run(const struct ae_view *view, const struct ae_view_run *run) {
    char stall[AE_AMOUNT_SIZE];

    if (view->remarks == NULL)
        return AE_VIEW_SKIPPED;
    fprintf(view->remarks, "run %" PRIu64 " of %" PRIu64 ": %.4g %s, floor %.0f ns", run->number, run->of, run->ratio,
            run->unit, run->floor_ns);
    if (run->stall_ns > 0)
        fprintf(view->remarks, ", longest stall %s", ae_amount_duration(stall, run->stall_ns * 1e-9));
    fputc('\n', view->remarks);
    return 0;
}

static void print_processes(FILE *f, const struct ae_view_throughput *r) {
    fprintf(f, "  publishers      %" PRIu64 "%s, %s topic\n", r->publishers,
            r->publishers > 1 ? ", which share a core" : "",
            r->admits == AETHER_PUBLISHERS_UNBIASED ? "shared, unbiased" : ae_publishers_name(r->admits));
    fprintf(f, "  subscribers     %" PRIu64 "%s, reliable\n", r->subscribers,
            r->subscribers > 1 ? ", which share a core; each receives all" : "");
}

static int show_throughput(const struct ae_view *view, const struct ae_view_throughput *r) {
    char rate[AE_AMOUNT_SIZE], bytes[AE_AMOUNT_SIZE], amount[AE_AMOUNT_SIZE];
    FILE *f = view->out->file;

    fprintf(f, "%" PRIu64 "-byte messages, %s a call, %s\n", r->size,
            r->batch > 1 ? ae_amount_count(amount, r->batch) : "one",
            !r->loan         ? "copied in"
            : r->touch_first ? "first 8 bytes written in place and read"
                             : "written in place");
    print_processes(f, r);
    fprintf(f, "  throughput      %s, %s written and read\n", ae_amount_rate(rate, r->msgs_per_s),
            ae_amount_byte_rate(bytes, r->bytes_per_s));
    fprintf(f, "  floor           %.0f ns, bare cache-line round trip\n", r->runs.floor_ns);
    fprintf(f, "  per floor trip  %.3g messages (%.3g to %.3g in %" PRIu64 " runs, %" PRIu64 " discarded)\n",
            r->runs.ratio, r->runs.ratio_min, r->runs.ratio_max, r->runs.count, r->runs.discarded);
    fprintf(f, "  lost            %s\n", ae_amount_count(amount, r->lost));
    fprintf(f, "  longest stall   %s in which a subscriber had nothing to receive, in all runs\n",
            ae_amount_duration(amount, r->stall_ns * 1e-9));
    fprintf(f, "  ring            %" PRIu64 " slots of %u bytes, %s (preset: %s)\n", r->ring.capacity,
            r->ring.slot_size, ae_amount_bytes(bytes, r->ring.capacity * r->ring.slot_size), r->ring.preset);
    if (r->ring.lane_bytes != 0)
        fprintf(f, "  lane            %s%s\n", ae_amount_bytes(bytes, r->ring.lane_bytes),
                r->publishers > 1 ? " each" : "");
    return ae_out_result(view->out);
}

static int show_latency(const struct ae_view *view, const struct ae_view_latency *r) {
    char lane[AE_AMOUNT_SIZE];
    FILE *f = view->out->file;

    fprintf(f, "%" PRIu64 "-byte messages, round trip over two topics, spinning\n", r->size);
    fprintf(f, "  p50    %6.0f ns   %.2f x floor (%.2f to %.2f in %" PRIu64 " runs, %" PRIu64 " discarded)\n",
            r->p50_ns, r->runs.ratio, r->runs.ratio_min, r->runs.ratio_max, r->runs.count, r->runs.discarded);
    fprintf(f, "  p99    %6.0f ns\n", r->p99_ns);
    fprintf(f, "  p99.9  %6.0f ns\n", r->p999_ns);
    fprintf(f, "  floor  %6.0f ns, bare cache-line round trip\n", r->runs.floor_ns);
    fprintf(f, "  rings  %" PRIu64 " slots of %u bytes (preset: %s)\n", r->ring.capacity, r->ring.slot_size,
            r->ring.preset);
    if (r->ring.lane_bytes != 0)
        fprintf(f, "  lanes  %s each\n", ae_amount_bytes(lane, r->ring.lane_bytes));
    return ae_out_result(view->out);
}

static int show_wakeup(const struct ae_view *view, const struct ae_view_wakeup *r) {
    char p50[AE_AMOUNT_SIZE], p99[AE_AMOUNT_SIZE];
    FILE *f = view->out->file;

    fprintf(f, "%" PRIu64 "-byte messages to a subscriber that sleeps, %" PRIu64 " in a run, %.0f ms or more apart\n",
            r->size, r->samples, r->distance_ns / 1e6);
    fprintf(f, "  wake-up     p50 %s, p99 %s\n", ae_amount_duration(p50, r->p50_ns * 1e-9),
            ae_amount_duration(p99, r->p99_ns * 1e-9));
    fprintf(f, "  bare futex  p50 %s, p99 %s\n", ae_amount_duration(p50, r->futex_p50_ns * 1e-9),
            ae_amount_duration(p99, r->futex_p99_ns * 1e-9));
    fprintf(f, "  ratio       %.2f of the medians (%.2f to %.2f in %" PRIu64 " runs, %" PRIu64 " discarded)\n",
            r->runs.ratio, r->runs.ratio_min, r->runs.ratio_max, r->runs.count, r->runs.discarded);
    fprintf(f, "  floor       %.0f ns, bare cache-line round trip\n", r->runs.floor_ns);
    return ae_out_result(view->out);
}

const struct ae_view_form ae_text_form = {
    .part = "the table",
    .topics = show_topics,
    .waiting = show_waiting,
    .topic = show_topic,
    .sample = show_sample,
    .pong = show_pong,
    .latencies = ae_text_show_latencies,
    .lag = ae_text_show_lag,
    .rates = ae_text_show_rates,
    .clients = ae_text_show_clients,
    .departed = ae_text_show_departed,
    .check = ae_text_show_check,
    .message = show_message,
    .gap = show_gap,
    .run = show_run,
    .throughput = show_throughput,
    .latency = show_latency,
    .wakeup = show_wakeup,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observe.c - a publisher and subscribers that misbehave on purpose, and what the shared figures say about them.
 *
 *     observe publish RATE                publishes RATE messages a second, until SIGTERM
 *     observe subscribe NAME POLICY TOPIC receives to the end of the stream, and compares its own account of it with
 *                                         the shared figures. POLICY: reliable or best-effort. After SIGUSR1 it sleeps
 *                                         for 5 ms after every 1,000 messages
 *     observe watch                       shows the figures once a second and checks in each pass that all accounts add
 *                                         up, until SIGTERM
 *     observe await NAME STATE            waits until the figures say that a publisher waits for the subscriber NAME,
 *                                         whose process is in any STATE, or stopped; and prints when that was:
 *                                         nanoseconds of CLOCK_REALTIME
 *
 * Each message carries the time at which the program passed it to aether_publish(), so each subscriber knows the
 * latency of every message that it got. The instance is that of $AETHER_SOCKET. The exit status is 1 if something isn't
 * as it should be. observe.sh runs it.
 */
#include "text.h"
#include <aether/aether.h>
#include <aether/metrics.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)
#define NAP_NS 5000000u
#define NAP_MESSAGES 1000u
#define LATE_NS (SECOND_NS / 10) /* a publisher that is later than this doesn't make up for it */
#define TEXT 32

/* The same messages go to both. The rings are small, so that a publisher soon waits for a subscriber that naps. */
static const struct topic {
    const char *name;
    aether_topic_config config;
} topics[] = {
    {"observe/every", {.max_message = 64, .capacity = 128, .latency = AETHER_LATENCY_ALL}},
    {"observe/sampled", {.max_message = 64, .capacity = 128, .latency = AETHER_LATENCY_SAMPLED}},
};
#define TOPICS (sizeof topics / sizeof topics[0])

struct message {
    uint64_t sent_ns; /* CLOCK_MONOTONIC */
    unsigned char rest[56];
};

static volatile sig_atomic_t ended, napping;

static void on_signal(int number) {
    if (number == SIGUSR1)
        napping = 1;
    else
        ended = 1;
}

static uint64_t clock_ns(clockid_t id) {
    struct timespec now;

    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static uint64_t now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

static void sleep_ns(uint64_t ns) {
    const struct timespec span = {.tv_sec = (time_t)(ns / SECOND_NS), .tv_nsec = (long)(ns % SECOND_NS)};

    nanosleep(&span, NULL);
}

static int fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int fault(const char *format, ...) {
    va_list args;

    fputs("observe: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return -1;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static const char *time_text(char text[TEXT], double ns) {
    if (ns < 0)
        snprintf(text, TEXT, "-");
    else if (ns < 1e3)
        snprintf(text, TEXT, "%.0f ns", ns);
    else if (ns < 1e6)
        snprintf(text, TEXT, "%.1f us", ns / 1e3);
    else if (ns < 1e9)
        snprintf(text, TEXT, "%.1f ms", ns / 1e6);
    else
        snprintf(text, TEXT, "%.2f s", ns / 1e9);
    return text;
}

static const char *age_text(char text[TEXT], uint64_t ns) {
    return time_text(text, ns == AETHER_UNKNOWN ? -1 : (double)ns);
}

/* ---- publish ----------------------------------------------------------------------------------------------------- */

/* The message is stamped anew for each try, so its time doesn't include the wait for room. */
static int publish_to(aether_publisher *publisher, aether_idle_state *idle) {
    struct message message = {0};
    int rc;

    do {
        message.sent_ns = now_ns();
        rc = aether_publish(publisher, &message, sizeof message);
        aether_idle(idle, rc == 0);
    } while (rc == AETHER_FULL && !ended);
    return rc < 0 ? fault("publish: %s", aether_errmsg()) : 0;
}

static int publish_all(aether_publisher *const publishers[TOPICS], uint64_t rate) {
    aether_idle_state idle;
    uint64_t due_ns = now_ns();

    aether_idle_init(&idle, AETHER_IDLE_ADAPTIVE, 0);
    while (!ended) {
        const uint64_t now = now_ns();
        if (now < due_ns)
            sleep_ns(due_ns - now);
        else if (now - due_ns > LATE_NS)
            due_ns = now - LATE_NS;
        for (size_t i = 0; i < TOPICS; i++) {
            if (publish_to(publishers[i], &idle) != 0)
                return -1;
        }
        due_ns += SECOND_NS / rate;
    }
    return 0;
}

static int cmd_publish(char **argv) {
    const aether_connect_options options = {.name = "feed"};
    const uint64_t rate = strtoull(argv[2], NULL, 10);
    aether_publisher *publishers[TOPICS];
    aether_client *client;
    int rc = -1;

    if (rate == 0 || rate > SECOND_NS)
        return fault("a rate is a number of messages a second");
    if (aether_connect(&client, &options) < 0)
        return fault("%s", aether_errmsg());
    for (size_t i = 0; i < TOPICS; i++) {
        if (aether_publisher_open(client, topics[i].name, &topics[i].config, &publishers[i]) < 0) {
            fault("%s", aether_errmsg());
            goto out;
        }
    }
    rc = publish_all(publishers, rate);
out:
    aether_disconnect(client);
    return rc;
}

/* ---- subscribe --------------------------------------------------------------------------------------------------- */

/* What a subscriber knows about itself, from the messages alone. */
struct account {
    uint64_t *latencies; /* ns */
    size_t count, room;
    uint64_t lost;
};

static int note_latency(struct account *account, uint64_t ns) {
    if (account->count == account->room) {
        const size_t room = account->room != 0 ? 2 * account->room : 1 << 20;
        uint64_t *more = realloc(account->latencies, room * sizeof *more);
        if (more == NULL)
            return fault("out of memory for the latencies");
        account->latencies = more;
        account->room = room;
    }
    account->latencies[account->count++] = ns;
    return 0;
}

static int take(struct account *account, const aether_message *m) {
    uint64_t sent_ns;

    if (m->lost != 0) {
        account->lost += m->lost;
        return 0;
    }
    const uint64_t now = now_ns();
    memcpy(&sent_ns, m->data, sizeof sent_ns);
    if (now < sent_ns)
        return fault("a message from the future");
    if (napping && (account->count + 1) % NAP_MESSAGES == 0)
        sleep_ns(NAP_NS);
    return note_latency(account, now - sent_ns);
}

static int receive_to_end(aether_subscriber *subscriber, struct account *account) {
    aether_stream stream;
    aether_message m;
    int rc;

    do {
        rc = aether_receive_wait(subscriber, &m, SECOND_NS / 10);
        if (rc < 0)
            return fault("receive: %s", aether_errmsg());
        if (rc > 0 && take(account, &m) != 0)
            return -1;
        stream = rc > 0 ? AETHER_STREAM_OPEN : aether_subscriber_stream(subscriber);
    } while (stream != AETHER_STREAM_CLOSED && stream != AETHER_STREAM_DIED);
    return 0;
}

static int compare_ns(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* The duration of a reading of the clock: the shortest of many pairs, without the ones that were interrupted. */
static uint64_t clock_cost_ns(void) {
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 100; i++) {
        const uint64_t start = now_ns();
        for (int k = 0; k < 100; k++)
            (void)now_ns();
        const uint64_t took = (now_ns() - start) / 101;
        best = took < best ? took : best;
    }
    return best;
}

/*
 * Compares quantiles of the histogram with exact ones. A histogram's are at most 1/32 off. Beyond that,
 *
 *   - the program reads its clock outside of the calls, the library inside: two readings of the clock, and the calls;
 *   - a process may lose its core between both readings, which makes a message longer for the program only. So ranks
 *     are compared to within one in 10,000.
 */
static int compare_quantiles(const char *name, struct account *account, const aether_latency *latency, bool judged) {
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};
    const double outside_ns = 4 * (double)clock_cost_ns() + 100;
    const size_t n = account->count, slack = 1 + n / 10000;
    int rc = 0;

    qsort(account->latencies, n, sizeof account->latencies[0], compare_ns);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        const double share = quantiles[i].q * (double)n;
        const size_t rank = (size_t)share + ((double)(size_t)share < share ? 1 : 0) - 1;
        const double exact = (double)account->latencies[rank], shown = aether_latency_quantile(latency, quantiles[i].q),
                     low = (double)account->latencies[rank > slack ? rank - slack : 0],
                     high = (double)account->latencies[rank + slack < n ? rank + slack : n - 1];
        const bool right = shown >= low * (1 - 1.0 / 32) - outside_ns && shown <= high * (1 + 1.0 / 32);
        char text[2][TEXT];

        printf("%-14s %-6s exact %10s   figures %10s   %+6.2f %%%s\n", name, quantiles[i].name,
               time_text(text[0], exact), time_text(text[1], shown), 100 * (shown - exact) / exact,
               !judged ? "   (estimate)"
               : right ? "   within 1/32"
                       : "   WRONG");
        if (judged && !right)
            rc = fault("%s: %s is too far off", name, quantiles[i].name);
    }
    return rc;
}

/* The figures of this process, which has received all that there was. */
static int compare_account(const char *name, struct account *account, const aether_subscriber_metrics *figures,
                           bool judged) {
    const aether_latency *latency = &figures->latency;
    const uint64_t counted = aether_latency_count(latency);
    const uint64_t stamped = counted + latency->negative + latency->missed + latency->overflow;
    char text[4][TEXT];

    printf("%-14s received %s, lost %s; figures: %s and %s; latencies of %s messages, from %" PRIu64 " samples\n", name,
           count_text(text[0], account->count), count_text(text[1], account->lost),
           count_text(text[2], figures->delivered), count_text(text[3], figures->lost),
           count_text((char[TEXT]){0}, counted), latency->samples);
    if (figures->delivered != account->count || figures->lost != account->lost)
        return fault("%s: the figures aren't what it received and lost", name);
    if (figures->delivered + figures->lost + figures->aborted + figures->skipped != figures->next - figures->joined)
        return fault("%s: the account doesn't add up", name);
    if (judged && stamped != figures->delivered)
        return fault("%s: %" PRIu64 " of its messages are in the histogram or have a reason, not all", name, stamped);
    if (account->count == 0)
        return fault("%s: no message", name);
    return compare_quantiles(name, account, latency, judged);
}

static int compare_with_figures(const struct topic *topic, const char *name, struct account *account) {
    aether_topic_metrics figures;
    aether_metrics *metrics;
    int rc = -1;

    if (aether_metrics_open(&metrics, NULL) < 0)
        return fault("%s", aether_errmsg());
    if (aether_metrics_find(metrics, topic->name, &figures) != 1) {
        fault("there are no figures of %s", topic->name);
        goto out;
    }
    for (size_t i = 0; i < figures.subscriber_count; i++) {
        if (strcmp(figures.subscribers[i].owner.client, name) == 0) {
            rc = compare_account(name, account, &figures.subscribers[i], topic->config.latency == AETHER_LATENCY_ALL);
            goto out;
        }
    }
    fault("there are no figures of %s", name);
out:
    aether_metrics_close(metrics);
    return rc;
}

static int cmd_subscribe(char **argv) {
    const char *name = argv[2];
    const aether_connect_options options = {.name = name};
    const aether_subscribe_options how = {.policy = strcmp(argv[3], "reliable") ? AETHER_BEST_EFFORT : AETHER_RELIABLE};
    const struct topic *topic = NULL;
    struct account account = {0};
    aether_subscriber *subscriber;
    aether_client *client;
    int rc = -1;

    for (size_t i = 0; i < TOPICS; i++) {
        if (strcmp(topics[i].name, argv[4]) == 0)
            topic = &topics[i];
    }
    if (topic == NULL)
        return fault("there is no topic %s in this demo", argv[4]);
    if (aether_connect(&client, &options) < 0)
        return fault("%s", aether_errmsg());
    if (aether_subscriber_open(client, topic->name, &how, &topic->config, &subscriber) < 0) {
        fault("%s", aether_errmsg());
        goto out;
    }
    while (aether_subscriber_stream(subscriber) == AETHER_STREAM_NONE)
        sleep_ns(SECOND_NS / 1000);
    rc = receive_to_end(subscriber, &account);
    if (rc == 0)
        rc = compare_with_figures(topic, name, &account);
out:
    aether_disconnect(client);
    free(account.latencies);
    return rc;
}

/* ---- watch ------------------------------------------------------------------------------------------------------- */

#define PASS_NS 2000000u
#define SHOWN 8 /* subscribers in the table */

struct watch {
    aether_metrics *metrics;
    uint64_t passes, accounts, wrong;
    uint64_t shown_ns;                                         /* when the table was drawn last */
    uint64_t published[TOPICS];                                /* then */
    uint64_t topic_published[TOPICS], topic_delivered[TOPICS]; /* in the pass before */
    struct {
        char name[64];
        uint64_t passes;
    } holders[SHOWN]; /* for whom the publisher waited, and in how many passes */
    uint64_t shown_count;
    struct {
        uint64_t grant_id, delivered;
        aether_latency latency;
    } shown[SHOWN]; /* then */
};

static void wrong(struct watch *watch, const char *topic, const char *who, const char *what) {
    if (watch->wrong++ < 10)
        fault("%s, %s: %s", topic, who, what);
}

/* The subscriber that the publisher waits for; NULL: none. */
static const aether_owner *waited_for(const aether_topic_metrics *topic, const aether_publisher_metrics *publisher) {
    return publisher->waits_subscriber >= 0 ? &topic->subscribers[publisher->waits_subscriber].owner : NULL;
}

static void count_holder(struct watch *watch, const aether_owner *by) {
    size_t i = 0;

    while (i < SHOWN && watch->holders[i].passes != 0 && strcmp(watch->holders[i].name, by->client) != 0)
        i++;
    if (i == SHOWN)
        return;
    memcpy(watch->holders[i].name, by->client, sizeof by->client);
    watch->holders[i].passes++;
}

/* What must hold at any moment. */
static void check_topic(struct watch *watch, size_t i, const aether_topic_metrics *topic) {
    for (size_t k = 0; k < topic->subscriber_count; k++) {
        const aether_subscriber_metrics *s = &topic->subscribers[k];
        uint64_t lost = 0;

        for (size_t reason = 0; reason < AETHER_LOST_REASONS; reason++)
            lost += s->lost_by[reason];
        if (s->delivered + s->lost + s->aborted + s->skipped != s->next - s->joined || lost != s->lost)
            wrong(watch, topic->info.name, s->owner.client, "the account doesn't add up");
        watch->accounts++;
    }
    if (topic->delivered + topic->lost + topic->aborted + topic->skipped != topic->accounted)
        wrong(watch, topic->info.name, "all subscribers", "the account doesn't add up");
    if (topic->published < watch->topic_published[i] || topic->delivered < watch->topic_delivered[i])
        wrong(watch, topic->info.name, "the topic", "a counter went back");
    watch->topic_published[i] = topic->published;
    watch->topic_delivered[i] = topic->delivered;
    for (size_t k = 0; k < topic->publisher_count; k++) {
        const aether_owner *by = waited_for(topic, &topic->publishers[k]);
        if (by != NULL)
            count_holder(watch, by);
    }
}

static void draw_publisher(struct watch *watch, size_t i, const aether_topic_metrics *topic, double seconds) {
    char rate[TEXT], waited[TEXT];

    printf("%-16s %9s/s", topic->info.name,
           count_text(rate, (uint64_t)((double)(topic->published - watch->published[i]) / seconds)));
    for (size_t k = 0; k < topic->publisher_count; k++) {
        const aether_publisher_metrics *p = &topic->publishers[k];
        const aether_owner *by = waited_for(topic, p);
        if (by != NULL)
            printf("   %s has waited %s for %s%s", p->owner.client, age_text(waited, p->waited_ns), by->client,
                   by->process == 'T' ? ", which is stopped" : "");
    }
    putchar('\n');
    watch->published[i] = topic->published;
}

/* Percentiles are those of the time since the table was drawn last. */
static void draw_subscriber(struct watch *watch, const aether_subscriber_metrics *s, double seconds) {
    char rate[TEXT], lag[TEXT], age[TEXT], p50[TEXT], p99[TEXT], lost[TEXT];
    aether_latency recent = s->latency;
    uint64_t delivered = 0, k = 0;

    while (k < watch->shown_count && watch->shown[k].grant_id != s->owner.grant_id)
        k++;
    if (k == SHOWN)
        return;
    if (k < watch->shown_count) {
        delivered = watch->shown[k].delivered;
        for (size_t i = 0; i < AETHER_LATENCY_BUCKETS; i++)
            recent.buckets[i] -= watch->shown[k].latency.buckets[i];
    } else {
        watch->shown_count++;
    }
    printf("  %-14s %9s/s   %-7s lag %4s   oldest %9s   p50 %9s   p99 %9s   lost %s\n", s->owner.client,
           count_text(rate, (uint64_t)((double)(s->delivered - delivered) / seconds)), aether_state_name(s->state),
           count_text(lag, s->lag), age_text(age, s->age_ns), time_text(p50, aether_latency_quantile(&recent, 0.5)),
           time_text(p99, aether_latency_quantile(&recent, 0.99)), count_text(lost, s->lost));
    watch->shown[k].grant_id = s->owner.grant_id;
    watch->shown[k].delivered = s->delivered;
    watch->shown[k].latency = s->latency;
}

static int pass(struct watch *watch) {
    aether_instance_metrics instance;
    aether_topic_metrics topic;
    const uint64_t now = now_ns();
    const bool draw = now - watch->shown_ns >= SECOND_NS;

    if (aether_metrics_begin(watch->metrics, &instance) < 0)
        return fault("%s", aether_errmsg());
    if (draw)
        printf("-- aetherd %s\n", instance.daemon.running ? "runs" : "DOESN'T RUN");
    for (size_t i = 0; i < TOPICS; i++) {
        if (aether_metrics_find(watch->metrics, topics[i].name, &topic) != 1)
            continue;
        check_topic(watch, i, &topic);
        if (!draw)
            continue;
        const double seconds = (double)(now - watch->shown_ns) / 1e9;
        draw_publisher(watch, i, &topic, seconds);
        for (size_t k = 0; k < topic.subscriber_count; k++)
            draw_subscriber(watch, &topic.subscribers[k], seconds);
    }
    if (draw) {
        fflush(stdout);
        watch->shown_ns = now;
    }
    watch->passes++;
    return 0;
}

static int cmd_watch(char **argv) {
    static struct watch watch;
    char passes[TEXT], accounts[TEXT];
    int rc = 0;

    (void)argv;
    if (aether_metrics_open(&watch.metrics, NULL) < 0)
        return fault("%s", aether_errmsg());
    watch.shown_ns = now_ns();
    while (!ended && rc == 0) {
        rc = pass(&watch);
        sleep_ns(PASS_NS);
    }
    aether_metrics_close(watch.metrics);
    if (rc != 0)
        return -1;
    printf("%s passes over the figures, %s accounts of a subscriber: %" PRIu64 " didn't add up\n",
           count_text(passes, watch.passes), count_text(accounts, watch.accounts), watch.wrong);
    printf("feed waited");
    for (size_t i = 0; i < SHOWN && watch.holders[i].passes != 0; i++)
        printf("%s for %s in %s of them", i == 0 ? "" : ",", watch.holders[i].name,
               count_text(passes, watch.holders[i].passes));
    putchar('\n');
    return watch.wrong != 0 || watch.accounts == 0 ? -1 : 0;
}

/* ---- await ------------------------------------------------------------------------------------------------------- */

static bool waits_for(const aether_topic_metrics *topic, const char *name, bool stopped) {
    for (size_t i = 0; i < topic->publisher_count; i++) {
        const aether_owner *by = waited_for(topic, &topic->publishers[i]);
        if (by != NULL && strcmp(by->client, name) == 0 && (!stopped || by->process == 'T'))
            return true;
    }
    return false;
}

static int cmd_await(char **argv) {
    const bool stopped = strcmp(argv[3], "stopped") == 0;
    aether_topic_metrics topic;
    aether_metrics *metrics;
    bool found = false;

    if (aether_metrics_open(&metrics, NULL) < 0)
        return fault("%s", aether_errmsg());
    while (!ended && !found) {
        for (size_t i = 0; i < TOPICS && !found; i++)
            found = aether_metrics_find(metrics, topics[i].name, &topic) == 1 && waits_for(&topic, argv[2], stopped);
        if (!found)
            sleep_ns(SECOND_NS / 1000);
    }
    printf("%" PRIu64 "\n", clock_ns(CLOCK_REALTIME));
    aether_metrics_close(metrics);
    return found ? 0 : -1;
}

/* ------------------------------------------------------------------------------------------------------------------ */

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int words;
        int (*run)(char **argv);
    } commands[] = {
        {"publish", 1, cmd_publish}, {"subscribe", 3, cmd_subscribe}, {"watch", 0, cmd_watch}, {"await", 2, cmd_await}};
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (argc > 1 && strcmp(argv[1], commands[i].name) == 0 && argc == commands[i].words + 2)
            return commands[i].run(argv) == 0 ? 0 : 1;
    }
    fprintf(stderr, "usage: observe publish RATE | subscribe NAME POLICY TOPIC | watch | await NAME STATE\n");
    return 2;
}

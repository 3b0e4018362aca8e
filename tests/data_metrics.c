/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What metrics.h says is what happened: processes that count by themselves publish and receive in every form, close,
 * are killed, and so is aetherd. A process of its own makes passes all the time: every counter of the topic only grows,
 * each subscriber has accounted for each sequence at any moment, and no more was published than was claimed. When
 * nothing moves, the figures are equal to those that the processes have counted; what a killed process didn't come to
 * count lies between what it had counted and what it was about to do.
 *
 * usage: data_metrics [KILLS [SEED]]; without arguments AETHER_TEST_KILLS and AETHER_TEST_SEED say the same.
 */
#include "lib/traffic.h"

#define PUBLISHERS 3u
#define SUBSCRIBERS 5u
#define STEADY 0u /* this subscriber is never killed, and so knows of each aborted sequence */
#define HANDLES (PUBLISHERS + SUBSCRIBERS)
#define KILLS (SANITIZED ? 40u : 150u)
#define BATCH 16u
#define HISTORY 64u

static const struct act {
    const char *name;
    bool kills;
    aether_topic_config config;
} acts[] = {
    {"closes",
     false,
     {.max_message = 2000,
      .inline_max = 56,
      .lane_bytes = 16384,
      .capacity = 64,
      .latency = AETHER_LATENCY_ALL,
      .start_seq = (1ull << 48) - 200}},
    {"no stamps", false, {.max_message = 56, .capacity = 32, .latency = AETHER_LATENCY_OFF}},
    {"kills", true, {.max_message = 2000, .inline_max = 56, .lane_bytes = 16384, .capacity = 64}},
    {"kills of one that has the bias", true, {.max_message = 56, .capacity = 256}},
    {"kills and evictions",
     true,
     {.max_message = 2000, .inline_max = 56, .lane_bytes = 16384, .capacity = 64, .slow = AETHER_SLOW_EVICT}},
    {"kills, unbiased", true, {.max_message = 200, .capacity = 64, .publishers = AETHER_PUBLISHERS_UNBIASED}},
};
#define ACTS (sizeof acts / sizeof acts[0])

/* What a process has counted of its publisher or subscriber. */
struct count {
    uint64_t open;    /* 1: it has a handle */
    uint64_t rests;   /* the number of the rest in which it is */
    uint64_t in_call; /* publisher: messages of the call that it is in; bytes of them */
    uint64_t in_call_bytes;
    uint64_t messages, bytes, batches, full;
    aether_subscriber_stats stats; /* as of its last rest, or its close */
};

static struct stage {
    char topic[32];
    uint64_t rest; /* an odd number: publishers rest, and subscribers when they have received all */
    uint64_t end[HANDLES];
    struct count count[HANDLES];
    uint64_t passes, stop_watching;
} * stage;

static const struct act *act;
static uint64_t seed;
static pid_t pids[HANDLES], watcher;
/* Of those that have gone. `most` is more than that if some were killed. */
static struct sum {
    uint64_t messages, most, bytes, most_bytes, batches, full, delivered, delivered_bytes, lost, gaps, skipped;
} gone;

/* ---- publishers ---- */

static int publish(aether_publisher *pub, const struct iovec *messages, size_t count) {
    aether_loan loan;
    int rc;

    if (count > 1)
        return aether_publish_batch(pub, messages, count);
    if (messages[0].iov_len % 2 == 0)
        return aether_publish(pub, messages[0].iov_base, messages[0].iov_len);
    rc = aether_loan_take(pub, messages[0].iov_len, &loan);
    if (rc != 0)
        return rc;
    memcpy(loan.data, messages[0].iov_base, messages[0].iov_len);
    rc = aether_loan_commit(pub, &loan);
    if (rc != 0)
        REQUIRE(aether_loan_discard(pub, &loan) == 0);
    return rc;
}

static void publish_some_messages(aether_publisher *pub, struct count *count, uint64_t *random) {
    static unsigned char data[4096];
    const uint64_t n = next_random(random) % 4 == 0 ? 1 + next_random(random) % BATCH : 1;
    struct iovec messages[BATCH];
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < n; i++) {
        const size_t most = n > 1 ? 100 : act->config.max_message, max = aether_publisher_max_message(pub);
        messages[i] = (struct iovec){data, next_random(random) % ((most < max ? most : max) + 1)};
        bytes += messages[i].iov_len;
    }
    set(&count->in_call_bytes, bytes);
    set(&count->in_call, n);
    const int rc = publish(pub, messages, n);
    REQUIRE(rc >= 0);
    if (rc == 0) {
        count->bytes += bytes;
        set(&count->messages, count->messages + n);
        made_step();
        count->batches += n > 1;
    } else {
        count->full++;
    }
    set(&count->in_call, 0);
    if (rc == AETHER_FULL)
        sched_yield();
}

static void play_publisher(unsigned slot) {
    struct count *count = &stage->count[slot];
    aether_client *client = connect_patiently("publisher");
    uint64_t random = seed ^ mix((uint64_t)getpid());
    aether_publisher *pub;
    int rc;

    AWAIT(!no_daemon(rc = aether_publisher_open(client, stage->topic, &act->config, &pub)));
    REQUIRE(rc == 0);
    set(&count->open, 1);
    while (get(&stage->end[slot]) == 0) {
        const uint64_t rest = get(&stage->rest);
        if (rest % 2 == 1) {
            set(&count->rests, rest);
            sched_yield();
            continue;
        }
        publish_some_messages(pub, count, &random);
        if (next_random(&random) % 64 == 0)
            random_delay(&random, 300000);
    }
    aether_publisher_close(pub);
    aether_disconnect(client);
}

/* ---- subscribers ---- */

static const aether_subscribe_options *options_of(unsigned slot) {
    static const aether_subscribe_options options[SUBSCRIBERS] = {
        {.policy = AETHER_RELIABLE},
        {.policy = AETHER_RELIABLE, .from = AETHER_FROM_OLDEST},
        {.policy = AETHER_BEST_EFFORT},
        {.policy = AETHER_LATEST},
        {.policy = AETHER_BEST_EFFORT, .from = AETHER_FROM_LAST, .last = 20, .views = AETHER_VIEWS_IN_PLACE},
    };

    return &options[slot - PUBLISHERS];
}

static void take(struct count *count, const aether_message *messages, int n) {
    for (int i = 0; i < n; i++) {
        if (messages[i].lost == 0) {
            count->messages++;
            count->bytes += messages[i].len;
        }
    }
}

/* Receives what there is. False: nothing. */
static bool receive_some_messages(aether_subscriber *sub, struct count *count, unsigned form) {
    aether_message messages[7];
    const int n = form % 2 == 0 ? aether_receive(sub, messages) : aether_receive_batch(sub, messages, 7);

    REQUIRE(n >= 0 || n == -EOVERFLOW);
    take(count, messages, n);
    return n != 0;
}

static void play_subscriber(unsigned slot) {
    struct count *count = &stage->count[slot];
    aether_client *client = connect_patiently("subscriber");
    uint64_t random = seed ^ mix((uint64_t)getpid());
    aether_subscriber *sub;
    int rc;

    AWAIT(!no_daemon(rc = aether_subscriber_open(client, stage->topic, options_of(slot), &act->config, &sub)));
    REQUIRE(rc == 0);
    set(&count->open, 1);
    for (unsigned form = 0; get(&stage->end[slot]) == 0; form++) {
        const uint64_t rest = get(&stage->rest);
        if (receive_some_messages(sub, count, form)) {
            if (next_random(&random) % 256 == 0)
                random_delay(&random, 2000000); /* so that some lose messages, and publishers wait for others */
            continue;
        }
        if (rest % 2 == 1 && get(&count->rests) != rest) {
            bool rested = true;
            for (unsigned p = 0; p < PUBLISHERS; p++)
                rested = rested && (get(&stage->count[p].open) == 0 || get(&stage->count[p].rests) == rest);
            /* A batch that finds nothing stores all figures, also the bytes, which lag behind otherwise. */
            if (!rested || receive_some_messages(sub, count, 1))
                continue;
            aether_subscriber_get_stats(sub, &count->stats);
            set(&count->rests, rest);
        }
        if (form % 8 == 0)
            sched_yield();
        else
            (void)aether_wait(sub, 1000000);
    }
    aether_subscriber_get_stats(sub, &count->stats);
    aether_subscriber_close(sub);
    aether_disconnect(client);
}

/* ---- the process that makes passes ---- */

struct seen {
    uint64_t id;
    uint64_t values[64];
};

/* No counter of these figures is lower than the last time. */
static void check_growth(aether_scope scope, const void *figures, struct seen *seen, uint64_t id, const char *what) {
    size_t count;
    const aether_metric *table = aether_metrics_table(&count);

    for (size_t i = 0, n = 0; i < count; i++) {
        if (table[i].scope != scope || table[i].kind != AETHER_COUNTER)
            continue;
        const uint64_t value = aether_metric_value(&table[i], figures);
        REQUIRE(n < 64);
        if (seen->id == id && value < seen->values[n])
            fail("%s %llu: %s went from %llu back to %llu", what, (unsigned long long)id, table[i].name,
                 (unsigned long long)seen->values[n], (unsigned long long)value);
        seen->values[n++] = value;
    }
    seen->id = id;
}

static void check_buckets(const aether_latency *latency, aether_latency *seen) {
    for (unsigned i = 0; i < AETHER_LATENCY_BUCKETS; i++) {
        if (latency->buckets[i] < seen->buckets[i])
            fail("bucket %u went back", i);
    }
    REQUIRE(latency->samples >= seen->samples && latency->missed >= seen->missed);
    *seen = *latency;
}

static void check_topic(const aether_topic_metrics *topic) {
    static struct seen history[HISTORY], whole;
    static aether_latency latency;

    REQUIRE(topic->accounted == topic->delivered + topic->lost + topic->aborted + topic->skipped);
    if (topic->published > topic->info.messages)
        fail("%llu messages published, %llu claimed", (unsigned long long)topic->published,
             (unsigned long long)topic->info.messages);
    for (size_t i = 0; i < topic->subscriber_count; i++) {
        const aether_subscriber_metrics *s = &topic->subscribers[i];
        REQUIRE(s->next - s->joined == s->delivered + s->lost + s->aborted + s->skipped);
        /* The topic's end is read last. A subscriber that is a ring behind has no more unread: publishers wait. */
        REQUIRE(s->next + s->unread == topic->info.next_seq || s->unread == 0 || s->unread == act->config.capacity);
        REQUIRE(s->lag >= s->unread);
        check_growth(AETHER_SCOPE_SUBSCRIBER, s, &history[s->owner.grant_id % HISTORY], s->owner.grant_id,
                     "subscriber");
    }
    for (size_t i = 0; i < topic->publisher_count; i++)
        check_growth(AETHER_SCOPE_PUBLISHER, &topic->publishers[i],
                     &history[topic->publishers[i].owner.grant_id % HISTORY], topic->publishers[i].owner.grant_id,
                     "publisher");
    if (whole.id != topic->info.id)
        memset(&latency, 0, sizeof latency);
    check_growth(AETHER_SCOPE_TOPIC, topic, &whole, topic->info.id, "topic");
    check_buckets(&topic->latency, &latency);
}

static void watch(unsigned arg) {
    static aether_topic_metrics topic;
    aether_metrics *metrics;

    (void)arg;
    REQUIRE(aether_metrics_open(&metrics, test.socket) == 0);
    while (get(&stage->stop_watching) == 0) {
        int rc;
        REQUIRE(aether_metrics_begin(metrics, NULL) == 0);
        while ((rc = aether_metrics_next(metrics, &topic)) > 0) {
            if (strcmp(topic.info.name, stage->topic) == 0)
                check_topic(&topic);
        }
        REQUIRE(rc == 0);
        add(&stage->passes, 1);
        sched_yield();
    }
    aether_metrics_close(metrics);
}

/* ---- what the processes have counted ---- */

static void await_rest(void) {
    const uint64_t rest = get(&stage->rest) + 1;

    REQUIRE(rest % 2 == 1);
    set(&stage->rest, rest);
    for (unsigned slot = 0; slot < HANDLES; slot++)
        AWAIT_PROGRESS(all_steps(), get(&stage->count[slot].rests) == rest);
}

static void add_publisher(struct sum *sum, const struct count *count, bool killed) {
    sum->messages += get(&count->messages);
    sum->most += get(&count->messages) + (killed ? get(&count->in_call) : 0);
    sum->bytes += count->bytes;
    sum->most_bytes += count->bytes + (killed ? get(&count->in_call_bytes) : 0);
    sum->batches += count->batches;
    sum->full += count->full;
}

static void add_subscriber(struct sum *sum, const struct count *count) {
    sum->delivered += count->stats.delivered;
    sum->delivered_bytes += count->bytes;
    sum->lost += count->stats.lost;
    sum->gaps += count->stats.gaps;
    sum->skipped += count->stats.skipped;
}

/* A process starts with figures of its own. */
static void start(unsigned slot) {
    memset(&stage->count[slot], 0, sizeof stage->count[slot]);
    set(&stage->end[slot], 0);
    pids[slot] = spawn(slot < PUBLISHERS ? play_publisher : play_subscriber, slot);
    AWAIT_PROGRESS(steps_of(pids[slot]), get(&stage->count[slot].open) == 1);
}

static void end(unsigned slot, bool killed) {
    struct count *count = &stage->count[slot];

    if (killed) {
        kill_child(pids[slot]);
    } else {
        set(&stage->end[slot], 1);
        join_child(pids[slot]);
    }
    if (slot < PUBLISHERS)
        add_publisher(&gone, count, killed);
    else
        add_subscriber(&gone, count);
    set(&count->open, 0);
}

/* ---- checks ---- */

static const aether_topic_metrics *read_topic(aether_metrics *metrics) {
    static aether_topic_metrics topic;

    REQUIRE(aether_metrics_find(metrics, stage->topic, &topic) == 1);
    check_topic(&topic);
    return &topic;
}

#define EQUAL(a, b)                                                                                                    \
    do {                                                                                                               \
        if ((a) != (b))                                                                                                \
            fail("%s:%d: " #a " is %llu, " #b " %llu", __FILE__, __LINE__, (unsigned long long)(a),                    \
                 (unsigned long long)(b));                                                                             \
    } while (0)

/* Each subscriber that is open has the figures that it has counted by itself. */
static void check_subscribers(const aether_topic_metrics *topic) {
    for (unsigned slot = PUBLISHERS; slot < HANDLES; slot++) {
        const struct count *count = &stage->count[slot];
        const aether_subscriber_metrics *s = NULL;
        for (size_t i = 0; i < topic->subscriber_count; i++) {
            if (topic->subscribers[i].owner.pid == (uint32_t)pids[slot])
                s = &topic->subscribers[i];
        }
        REQUIRE(s != NULL);
        EQUAL(s->policy, options_of(slot)->policy);
        EQUAL(s->joined, count->stats.joined);
        EQUAL(s->next, count->stats.next);
        EQUAL(s->delivered, count->stats.delivered);
        EQUAL(s->delivered, count->messages);
        EQUAL(s->bytes, count->bytes);
        EQUAL(s->lost, count->stats.lost);
        EQUAL(s->gaps, count->stats.gaps);
        EQUAL(s->aborted, count->stats.aborted);
        EQUAL(s->skipped, count->stats.skipped);
        EQUAL(s->evictions, count->stats.evicted);
        EQUAL(s->lag, 0);
        EQUAL(s->age_ns, 0);
    }
}

static bool all_folded(aether_metrics *metrics, size_t open) {
    const aether_topic_metrics *topic = read_topic(metrics);

    return topic->publisher_count + topic->subscriber_count == open;
}

/* Nothing moves. */
static void check_at_rest(aether_metrics *metrics) {
    struct sum sum = gone;

    await_rest();
    AWAIT(all_folded(metrics, HANDLES));
    const aether_topic_metrics *topic = read_topic(metrics);
    for (unsigned slot = 0; slot < PUBLISHERS; slot++)
        add_publisher(&sum, &stage->count[slot], false);
    check_subscribers(topic);
    if (topic->published < sum.messages || topic->published > sum.most)
        fail("%llu messages published, and not %llu to %llu", (unsigned long long)topic->published,
             (unsigned long long)sum.messages, (unsigned long long)sum.most);
    /* Each sequence was published or aborted. This subscriber has seen all, but for those that it lost when evicted. */
    const aether_subscriber_stats *steady = &stage->count[PUBLISHERS + STEADY].stats;
    const uint64_t seen = topic->published + steady->aborted;
    if (seen > topic->info.messages || topic->info.messages - seen > steady->lost)
        fail("%llu messages published and %llu aborted of %llu claimed; %llu were lost",
             (unsigned long long)topic->published, (unsigned long long)steady->aborted,
             (unsigned long long)topic->info.messages, (unsigned long long)steady->lost);
    EQUAL(topic->stuck + topic->lag + topic->age_ns, 0);
    set(&stage->rest, get(&stage->rest) + 1);
}

/* All have closed; none was killed. */
static void check_exactly(aether_metrics *metrics) {
    const aether_topic_metrics *topic;

    AWAIT(all_folded(metrics, 0));
    topic = read_topic(metrics);
    EQUAL(topic->published, gone.messages);
    EQUAL(topic->published_bytes, gone.bytes);
    EQUAL(topic->batches, gone.batches);
    EQUAL(topic->full, gone.full);
    EQUAL(topic->delivered, gone.delivered);
    EQUAL(topic->delivered_bytes, gone.delivered_bytes);
    EQUAL(topic->lost, gone.lost);
    EQUAL(topic->gaps, gone.gaps);
    EQUAL(topic->skipped, gone.skipped);
    EQUAL(topic->aborted, 0);
    EQUAL(topic->departed_count, HANDLES);
    const uint64_t counted = aether_latency_count(&topic->latency) + topic->latency.overflow + topic->latency.negative +
                             topic->latency.missed;
    if (act->config.latency == AETHER_LATENCY_OFF)
        EQUAL(counted + topic->latency.samples, 0);
    if (act->config.latency == AETHER_LATENCY_ALL) {
        EQUAL(topic->latency.samples, gone.delivered);
        EQUAL(counted, gone.delivered);
    }
}

/* ---- acts ---- */

/* Ends one process and starts another one in its place; now and then aetherd, too. */
static void shake(unsigned round) {
    const unsigned slot = (unsigned)(next_random(&seed) % HANDLES);

    random_delay(&seed, 5000000);
    if (act->kills && round % 8 == 7)
        daemon_kill();
    if (slot != PUBLISHERS + STEADY)
        end(slot, act->kills && next_random(&seed) % 4 != 0);
    if (act->kills && round % 8 == 7)
        daemon_start();
    if (slot != PUBLISHERS + STEADY)
        start(slot);
}

static void play(unsigned number, unsigned rounds) {
    aether_metrics *metrics;

    act = &acts[number];
    snprintf(stage->topic, sizeof stage->topic, "metrics/%u", number);
    memset(&gone, 0, sizeof gone);
    set(&stage->passes, 0);
    set(&stage->stop_watching, 0);
    aether_client *client = connect_patiently("creator");
    REQUIRE(aether_topic_create(client, stage->topic, &act->config) == 0);
    aether_disconnect(client);
    start(PUBLISHERS + STEADY);
    for (unsigned slot = 0; slot < HANDLES; slot++) {
        if (slot != PUBLISHERS + STEADY)
            start(slot);
    }
    watcher = spawn(watch, 0);
    REQUIRE(aether_metrics_open(&metrics, test.socket) == 0);
    for (unsigned round = 0; round < rounds; round++) {
        shake(round);
        if (round % 10 == 9)
            check_at_rest(metrics);
    }
    check_at_rest(metrics);
    for (unsigned slot = 0; slot < HANDLES; slot++)
        end(slot, false);
    if (act->kills)
        AWAIT(all_folded(metrics, 0));
    else
        check_exactly(metrics);
    set(&stage->stop_watching, 1);
    join_child(watcher);
    aether_metrics_close(metrics);
    ok("%s: %u rounds, %llu messages, %llu passes", act->name, rounds, (unsigned long long)gone.most,
       (unsigned long long)get(&stage->passes));
}

int main(int argc, char **argv) {
    const uint64_t kills = argc > 1 ? strtoull(argv[1], NULL, 0) : setting("AETHER_TEST_KILLS", KILLS);

    seed = argc > 2 ? strtoull(argv[2], NULL, 0) : setting("AETHER_TEST_SEED", (uint64_t)getpid());
    test_begin(ACTS);
    stage = share(sizeof *stage);
    for (unsigned number = 0; number < ACTS; number++)
        play(number, acts[number].kills ? (unsigned)kills / 4 : 10);
    return 0;
}

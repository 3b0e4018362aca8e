/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several publishers of one topic, each a process: all subscribers see the same order, which keeps the order of each
 * publisher's messages. The bias and its revocation; publishers that are stopped in the middle of a publish; joins,
 * eviction, a sandbox without membarrier, and the end of the stream. AETHER_TEST_SEED repeats a run.
 */
#include "lib/traffic.h"
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

#define MANY 64u /* publishers: as many as a topic can have */
#define MESSAGES (SANITIZED ? 10000u : 60000u)
#define SUBSCRIBERS 6u
#define JOINERS 3u
#define LARGE 4088u
#define WIDE (SANITIZED ? 128u : 512u) /* messages of a batch that takes long */
#define JOINS (SANITIZED ? 20u : 100u)
#define SLEEPS 12u

struct subscriber_state {
    uint64_t joined; /* 0: not yet; sequence + 1 */
    uint64_t next;   /* it has received everything below */
    uint64_t delivered, lost, skipped, aborted, evicted, joins;
    uint64_t state;    /* how the stream ended */
    uint64_t waiting;  /* it waits for this sequence - 1; 0: it doesn't wait */
    uint64_t woken_ns; /* when its last wait was over */
    uint64_t counters[IDS_MAX];
};

static struct stage {
    char topic[32];
    aether_topic_config config;
    uint64_t share; /* messages of each publisher */
    size_t batch_max;
    uint64_t opened, go, stop;
    uint64_t leave;     /* bit i: publisher i closes */
    uint64_t last;      /* no publisher is left, or the last one closes */
    uint64_t refused;   /* how often a sandboxed publisher got -ENOSYS */
    uint64_t biased[2]; /* whether publisher i had the bias after its last publish */
    struct subscriber_state subscribers[SUBSCRIBERS + JOINERS];
} * stage;

static struct ledger *ledger;
static uint64_t seed;
static unsigned topics;

static size_t all_large(uint64_t word, size_t max) {
    (void)word;
    return max;
}

static void set_stage(aether_publishers publishers, uint64_t start) {
    memset(stage, 0, sizeof *stage);
    ledger_reset(ledger);
    word_len = mixed_word_len;
    snprintf(stage->topic, sizeof stage->topic, "publishers/%u", ++topics);
    stage->batch_max = 24;
    stage->config = (aether_topic_config){.max_message = 4096,
                                          .inline_max = 56,
                                          .lane_bytes = 16384,
                                          .capacity = 64,
                                          .publishers = publishers,
                                          .start_seq = start};
}

/* Large batches of large messages in their slots: most of the time a publisher is in the middle of a claim. */
static void set_wide_stage(void) {
    set_stage(AETHER_PUBLISHERS_SHARED, 0);
    word_len = all_large;
    stage->batch_max = WIDE;
    stage->config = (aether_topic_config){.max_message = LARGE, .capacity = 4 * WIDE};
}

/* ---- publishers ---- */

static struct test_publisher open_publisher(aether_client *client, uint64_t id) {
    struct test_publisher publisher;

    publisher_begin(&publisher, ledger, id, &stage->config, stage->batch_max);
    publisher.waits = true;
    REQUIRE(aether_publisher_open(client, stage->topic, &stage->config, &publisher.pub) == 0);
    add(&stage->opened, 1);
    return publisher;
}

static void wait_for_room(const struct test_publisher *publisher) {
    REQUIRE(aether_publisher_wait(publisher->pub, 8, 1000000) >= 0);
}

static void publish_share(unsigned me) {
    aether_client *client = connect_as("publisher");
    struct test_publisher publisher = open_publisher(client, me);
    uint64_t random = seed + me;

    while (!get(&stage->go)) /* until all have opened; with 64 under a sanitizer that takes long */
        poll_pause();
    while (publisher.counter < stage->share) {
        const uint64_t before = aether_publisher_next(publisher.pub), counter = publisher.counter;
        if (publisher_publish_any(&publisher, next_random(&random), stage->share - counter) == AETHER_FULL)
            wait_for_room(&publisher);
        REQUIRE(aether_publisher_next(publisher.pub) - before >= publisher.counter - counter);
    }
    publisher_end(&publisher);
    aether_disconnect(client);
}

static void publish_until_stopped(unsigned me) {
    aether_client *client = connect_as("publisher");
    struct test_publisher publisher = open_publisher(client, me);
    uint64_t random = seed + me;

    while (!get(&stage->stop) && (get(&stage->leave) >> me & 1) == 0) {
        if (publisher_publish_any(&publisher, next_random(&random), UINT64_MAX) == AETHER_FULL)
            wait_for_room(&publisher);
        if (me < 2)
            set(&stage->biased[me], publisher.pub->biased);
    }
    publisher_end(&publisher);
    aether_disconnect(client);
}

/* In batches whose claims are open for long. Begins each once the subscriber has received the one before. */
static void publish_wide(unsigned me) {
    aether_client *client = connect_as("wide publisher");
    struct test_publisher publisher = open_publisher(client, me);
    uint64_t random = seed + me;

    while (!get(&stage->stop)) {
        if (publisher_batch(&publisher, WIDE / 2 + next_random(&random) % (WIDE / 2)) == AETHER_FULL)
            wait_for_room(&publisher);
        while ((int64_t)(aether_publisher_next(publisher.pub) - get(&stage->subscribers[0].next)) > 0 &&
               !get(&stage->stop))
            sched_yield();
    }
    publisher_end(&publisher);
    aether_disconnect(client);
}

static int publish_one(struct test_publisher *publisher) {
    const size_t len = publisher_fill(publisher, publisher->buffer, 1);

    publisher_enters(publisher, 1);
    return publisher_returns(publisher, 1, aether_publish(publisher->pub, publisher->buffer, len));
}

static void publish_patiently(struct test_publisher *publisher, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        struct patience patience = patience_with(ledger_returned(ledger));
        while (publish_one(publisher) == AETHER_FULL) {
            REQUIRE(!patience_over(&patience, ledger_returned(ledger)));
            wait_for_room(publisher);
        }
    }
}

/* ---- subscribers ---- */

static struct test_subscriber open_subscriber(aether_client *client, unsigned me,
                                              const aether_subscribe_options *options) {
    const bool reliable = options->policy == AETHER_RELIABLE, evicts = stage->config.slow == AETHER_SLOW_EVICT;
    struct test_subscriber subscriber = {.max_message = stage->config.max_message,
                                         .gaps_allowed = !reliable,
                                         .latest = options->policy == AETHER_LATEST,
                                         .in_place = options->views == AETHER_VIEWS_IN_PLACE && (!reliable || evicts),
                                         .evictable = reliable && evicts,
                                         .ledger = ledger,
                                         .counters = stage->subscribers[me].counters};

    REQUIRE(aether_subscriber_open(client, stage->topic, options, &stage->config, &subscriber.sub) == 0);
    subscriber.expected = subscriber.kept_from = aether_subscriber_next(subscriber.sub);
    if (options->from != AETHER_FROM_NEW) /* it joined before this load */
        subscriber.kept_from = stage->config.start_seq + ledger_claimed_most(ledger);
    memset(subscriber.counters, 0, sizeof stage->subscribers[me].counters);
    return subscriber;
}

static void close_subscriber(struct test_subscriber *subscriber, unsigned me) {
    struct subscriber_state *state = &stage->subscribers[me];

    check_conserved(subscriber);
    add(&state->delivered, subscriber->delivered);
    add(&state->lost, subscriber->lost);
    add(&state->skipped, subscriber->skipped);
    add(&state->aborted, subscriber->aborted);
    add(&state->evicted, subscriber->evicted);
    aether_subscriber_close(subscriber->sub);
}

/* Waits for the next message or the end; `waiting` is set meanwhile. */
static void wait_for_more(struct test_subscriber *subscriber, unsigned me) {
    set(&stage->subscribers[me].waiting, subscriber->expected + 1);
    REQUIRE(aether_wait(subscriber->sub, AETHER_FOREVER) == 1); /* each process has an alarm */
    set(&stage->subscribers[me].woken_ns, now_ns());
    set(&stage->subscribers[me].waiting, 0);
}

/* From the topic's first message to the end of the stream; nothing comes after the end. */
static void receive_to_end(unsigned me, const aether_subscribe_options *options, bool sleeps) {
    aether_client *client = connect_as("subscriber");
    struct test_subscriber subscriber = open_subscriber(client, me, options);

    subscriber.strict = options->policy == AETHER_RELIABLE;
    subscriber.aborts_allowed = true; /* the parent checks whether there may be any */
    set(&stage->subscribers[me].next, subscriber.expected);
    set(&stage->subscribers[me].joined, subscriber.expected + 1);
    for (;;) {
        const aether_stream state = aether_subscriber_stream(subscriber.sub);
        const int n = receive_some(&subscriber, me);

        /* Not `expected`: that doesn't count aborted sequences at the end for a latest subscriber. */
        set(&stage->subscribers[me].next, aether_subscriber_next(subscriber.sub));
        if (state >= AETHER_STREAM_CLOSED) {
            REQUIRE(n == 0 && get(&stage->last));
            set(&stage->subscribers[me].state, (uint64_t)state);
            break;
        }
        if (n == 0 && sleeps)
            wait_for_more(&subscriber, me);
        else if (n == 0)
            (void)aether_wait(subscriber.sub, 1000000);
    }
    close_subscriber(&subscriber, me);
    aether_disconnect(client);
}

/* 0 to 2 are reliable, each with another form of receiving; 3 best effort, 4 the same in place, 5 latest. */
static void receive_all(unsigned me) {
    static const aether_policy policies[SUBSCRIBERS] = {AETHER_RELIABLE,    AETHER_RELIABLE,    AETHER_RELIABLE,
                                                        AETHER_BEST_EFFORT, AETHER_BEST_EFFORT, AETHER_LATEST};
    const aether_subscribe_options options = {.policy = policies[me],
                                              .views = me == 4 ? AETHER_VIEWS_IN_PLACE : AETHER_VIEWS_COPY};

    receive_to_end(me, &options, me == 0);
}

static void receive_reliably(unsigned me) {
    receive_to_end(me, &(aether_subscribe_options){0}, false);
}

static void sleep_reliably(unsigned me) {
    receive_to_end(me, &(aether_subscribe_options){0}, true);
}

static void receive_best_effort(unsigned me) {
    receive_to_end(me, &(aether_subscribe_options){.policy = AETHER_BEST_EFFORT}, false);
}

static pid_t start_subscriber(void (*play)(unsigned), unsigned me) {
    const pid_t pid = spawn(play, me);

    AWAIT_PROGRESS(steps_of(pid), get(&stage->subscribers[me].joined) != 0);
    return pid;
}

static pid_t start_publisher(void (*play)(unsigned), unsigned me) {
    const uint64_t opened = get(&stage->opened);
    const pid_t pid = spawn(play, me);

    AWAIT_PROGRESS(steps_of(pid), get(&stage->opened) == opened + 1);
    return pid;
}

static void await_returned(uint64_t publisher, uint64_t messages) {
    const uint64_t returned = get(&ledger->by[publisher].returned);

    AWAIT_PROGRESS(get(&ledger->by[publisher].returned), get(&ledger->by[publisher].returned) >= returned + messages);
}

static void end_publisher(pid_t pid) {
    set(&stage->last, 1);
    set(&stage->stop, 1);
    join_child(pid);
}

/* ---- 1: one order for all ---- */

static void check_refused(const char *name, int code) {
    aether_client *client = connect_as("one too many");
    aether_publisher *pub;

    REQUIRE(aether_publisher_open(client, stage->topic, &stage->config, &pub) == code);
    REQUIRE(strstr(aether_errmsg(), name) != NULL && strstr(aether_errmsg(), stage->topic) != NULL);
    aether_disconnect(client);
}

static void one_order(unsigned count, aether_publishers publishers, uint64_t start) {
    pid_t subscribers[SUBSCRIBERS], pids[MANY];
    uint64_t all, lost = 0;

    set_stage(publishers, start);
    stage->share = MESSAGES / count;
    stage->last = 1;
    all = stage->share * count;
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        subscribers[i] = start_subscriber(receive_all, i);
    for (unsigned i = 0; i < count; i++)
        pids[i] = start_publisher(publish_share, i);
    if (count == MANY)
        check_refused("64 publishers", -EUSERS);
    set(&stage->go, 1);
    for (unsigned i = 0; i < count; i++)
        join_child(pids[i]);
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        const struct subscriber_state *state = &stage->subscribers[i];
        join_child(subscribers[i]);
        REQUIRE(state->joined - 1 == start && state->next == start + all && state->state == AETHER_STREAM_CLOSED);
        REQUIRE(state->aborted == 0 && state->delivered + state->lost + state->skipped == all);
        REQUIRE(i >= 3 || state->delivered == all);
        for (unsigned publisher = 0; i < 3 && publisher < count; publisher++)
            REQUIRE(state->counters[publisher] == stage->share);
        lost += state->lost;
    }
    ok("%u publishers, %s, from %llu: %llu messages in one order for all; best effort accounts for %llu lost%s", count,
       publishers == AETHER_PUBLISHERS_UNBIASED ? "unbiased" : "shared", (unsigned long long)start,
       (unsigned long long)all, (unsigned long long)lost, count == MANY ? "; a 65th is refused" : "");
}

static void exclusive(void) {
    aether_client *client = connect_as("the first");
    struct test_publisher publisher;

    set_stage(AETHER_PUBLISHERS_EXCLUSIVE, 0);
    publisher = open_publisher(client, 0);
    check_refused("the first", -EBUSY);
    REQUIRE(publish_one(&publisher) == 0 && publisher.pub->biased == 1);
    check_refused("the first", -EBUSY);
    publisher_end(&publisher);
    publisher = open_publisher(client, 1); /* the first publisher's bias is no obstacle */
    REQUIRE(publish_one(&publisher) == 0 && publisher.pub->biased == 1 && aether_publisher_next(publisher.pub) == 2);
    publisher_end(&publisher);
    aether_disconnect(client);
    ok("an exclusive topic refuses a second publisher while the first one is there");
}

/* ---- 2: the bias ---- */

#define GUESTS (SANITIZED ? 20u : 1000u)

/*
 * One publisher publishes all the time. A second one opens, publishes a few messages, and closes. Then the first one
 * gets the bias again.
 */
static void bias_comes_and_goes(void) {
    aether_client *client = connect_as("guest");
    uint64_t published = 0;
    pid_t subscriber, host;

    set_stage(AETHER_PUBLISHERS_SHARED, 0);
    stage->config = (aether_topic_config){.max_message = 56, .capacity = 64};
    subscriber = start_subscriber(receive_reliably, 0);
    host = start_publisher(publish_until_stopped, 0);
    for (unsigned guest = 1; guest <= GUESTS; guest++) {
        struct test_publisher publisher;
        AWAIT(get(&stage->biased[0]) == 1);
        publisher = open_publisher(client, guest);
        for (uint64_t n = next_random(&seed) % 20; n > 0; n--) {
            publish_patiently(&publisher, 1);
            REQUIRE(publisher.pub->biased == 0);
            published++;
        }
        publisher_end(&publisher);
        if (guest % 4 == 0)
            await_returned(0, 100);
    }
    AWAIT(get(&stage->biased[0]) == 1);
    end_publisher(host);
    join_child(subscriber);
    REQUIRE(stage->subscribers[0].aborted == 0);
    REQUIRE(stage->subscribers[0].delivered == published + get(&ledger->by[0].returned));
    aether_disconnect(client);
    ok("the bias is taken from a publisher by %u guests with %llu messages, and comes back", GUESTS,
       (unsigned long long)published);
}

/*
 * Publishes up to `left` messages. False: there is no more room, one ring behind the stopped publisher's open claim,
 * and not sooner. A reliable subscriber is at that claim; a best-effort one may have passed over it.
 */
static bool publish_past_stopped(struct test_publisher *publisher, bool reliable, uint64_t *left) {
    struct patience patience = patience_with(get(&stage->subscribers[0].next) - *left);
    const uint64_t capacity = stage->config.capacity;
    uint64_t published = 0;

    for (unsigned stuck = 0; *left > 0; wait_for_room(publisher)) {
        const uint64_t subscriber = get(&stage->subscribers[0].next);
        REQUIRE(!patience_over(&patience, subscriber - *left));
        while (*left > 0 && publish_one(publisher) == 0) {
            REQUIRE(reliable || stuck == 0); /* it waits for the stopped publisher only */
            stuck = 0;
            published++;
            --*left;
        }
        REQUIRE(reliable || *left == 0 || published + WIDE >= capacity);
        stuck += !reliable || subscriber + capacity == aether_publisher_next(publisher->pub);
        if (stuck == 20)
            break;
    }
    return *left == 0;
}

/* Waits until the publisher has been in one call for so long that it has probably claimed, but not for ever. */
static void await_open_claim(uint64_t publisher) {
    const uint64_t patience = now_ns() + 10000000, span = 5000 + next_random(&seed) % 50000;
    uint64_t call = 0, since = 0, now;

    while ((now = now_ns()) < patience) {
        const uint64_t current = get(&ledger->by[publisher].in_call);
        if (current == 0 || current != call) {
            call = current;
            since = now;
        } else if (now - since > span) {
            return;
        }
    }
}

static void one_is_stopped(bool reliable) {
    const unsigned rounds = SANITIZED ? 20 : 60;
    aether_client *client = connect_as("the other");
    struct test_publisher publisher;
    pid_t subscriber, stopped;
    unsigned stuck = 0;

    set_wide_stage();
    subscriber = start_subscriber(reliable ? receive_reliably : receive_best_effort, 0);
    stopped = start_publisher(publish_wide, 0);
    publisher = open_publisher(client, 1);
    for (unsigned round = 0; round < rounds || stuck < 3; round++) {
        uint64_t left = 2 * stage->config.capacity;
        REQUIRE(round < 100 * rounds);
        await_returned(0, 1 + next_random(&seed) % WIDE);
        await_open_claim(0);
        freeze_child(stopped);
        if (!publish_past_stopped(&publisher, reliable, &left))
            stuck++;
        thaw_child(stopped);
        publish_patiently(&publisher, left);
    }
    publisher_end(&publisher);
    end_publisher(stopped);
    join_child(subscriber);
    REQUIRE(stage->subscribers[0].aborted == 0);
    REQUIRE(!reliable || stage->subscribers[0].delivered == ledger_returned(ledger));
    aether_disconnect(client);
    ok("a publisher is stopped %u times, with an open claim at least %u of them: it goes on, %s", rounds, stuck,
       reliable ? "and keeps its sequences" : "and the other publisher waited only a ring behind it");
}

/* ---- 3: joiners ---- */

static void join_and_leave(unsigned me) {
    aether_client *client = connect_as("joiner");
    uint64_t random = seed + me;

    while (!get(&stage->stop)) {
        const uint64_t r = next_random(&random), returned = ledger_returned(ledger);
        const aether_subscribe_options options = {.policy =
                                                      (r & 3) < 2 ? AETHER_RELIABLE : (aether_policy)((r & 3) - 1),
                                                  .from = (aether_from)((r >> 2) % 3),
                                                  .last = (r >> 2) % 3 == AETHER_FROM_LAST ? r >> 16 & 127 : 0,
                                                  .views = (aether_views)(r >> 8 & 1)};
        struct test_subscriber subscriber = open_subscriber(client, me, &options);

        /* Publishes that returned before the open are before the join; those that begin after it aren't. */
        if (options.from == AETHER_FROM_NEW)
            REQUIRE(subscriber.expected - stage->config.start_seq >= returned &&
                    subscriber.expected - stage->config.start_seq <= ledger_claimed_most(ledger));
        for (uint64_t left = r >> 32 & 255; left > 0; left--) {
            if (receive_some(&subscriber, (unsigned)(r >> 24)) == 0)
                (void)aether_wait(subscriber.sub, 1000000);
        }
        close_subscriber(&subscriber, me);
        add(&stage->subscribers[me].joins, 1);
    }
    aether_disconnect(client);
}

static void joiners(aether_publishers publishers) {
    pid_t subscriber, joining[JOINERS], pids[2];
    uint64_t joins = 0;

    set_stage(publishers, (1ull << 48) - 1000);
    subscriber = start_subscriber(receive_reliably, 0);
    for (unsigned i = 0; i < 2; i++)
        pids[i] = start_publisher(publish_until_stopped, i);
    for (unsigned i = 0; i < JOINERS; i++)
        joining[i] = spawn(join_and_leave, 1 + i);
    for (unsigned i = 0; i < JOINERS; i++)
        AWAIT_PROGRESS(get(&stage->subscribers[1 + i].joins), get(&stage->subscribers[1 + i].joins) >= JOINS);
    end_publisher(pids[0]);
    join_child(pids[1]);
    for (unsigned i = 0; i < JOINERS; i++) {
        join_child(joining[i]);
        joins += stage->subscribers[1 + i].joins;
    }
    join_child(subscriber);
    REQUIRE(stage->subscribers[0].delivered == ledger_returned(ledger) && stage->subscribers[0].aborted == 0);
    ok("two publishers, %s: %llu joins and leaves of every kind, exact accounts",
       publishers == AETHER_PUBLISHERS_UNBIASED ? "unbiased" : "shared", (unsigned long long)joins);
}

/* ---- 4: a topic that evicts ---- */

/* Opens another subscription after each eviction. */
static void receive_evicted(unsigned me) {
    aether_client *client = connect_as("slow subscriber");
    struct test_subscriber subscriber = open_subscriber(client, me, &(aether_subscribe_options){0});

    set(&stage->subscribers[me].joined, subscriber.expected + 1);
    while (!get(&stage->stop)) {
        if (receive_some(&subscriber, (unsigned)subscriber.delivered) == 0)
            (void)aether_wait(subscriber.sub, 1000000);
        set(&stage->subscribers[me].next, subscriber.expected);
        if (subscriber.evicted && subscriber.lost != 0) {
            close_subscriber(&subscriber, me);
            subscriber = open_subscriber(client, me, &(aether_subscribe_options){0});
        }
    }
    close_subscriber(&subscriber, me);
    aether_disconnect(client);
}

static void evicted(void) {
    const unsigned rounds = 10;
    pid_t subscriber, pids[2];

    set_stage(AETHER_PUBLISHERS_SHARED, 0);
    stage->config.slow = AETHER_SLOW_EVICT;
    subscriber = start_subscriber(receive_evicted, 0);
    for (unsigned i = 0; i < 2; i++)
        pids[i] = start_publisher(publish_until_stopped, i);
    for (unsigned round = 0; round < rounds; round++) {
        const uint64_t was = get(&stage->subscribers[0].evicted);
        freeze_child(subscriber);
        for (unsigned i = 0; i < 2; i++)
            await_returned(i, 5 * stage->config.capacity);
        thaw_child(subscriber);
        AWAIT(get(&stage->subscribers[0].evicted) > was);
    }
    end_publisher(pids[0]);
    join_child(pids[1]);
    join_child(subscriber);
    REQUIRE(stage->subscribers[0].aborted == 0 && stage->subscribers[0].lost > 0);
    ok("two publishers go on without a stopped subscriber, which finds %llu evictions and exact gaps of %llu",
       (unsigned long long)stage->subscribers[0].evicted, (unsigned long long)stage->subscribers[0].lost);
}

/* ---- 5: a sandbox ---- */

/* Forbids membarrier in this process from now on. False: seccomp isn't allowed. */
static bool forbid_membarrier(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {.len = sizeof code / sizeof code[0], .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static void publish_in_sandbox(unsigned me) {
    aether_client *client;
    struct test_publisher publisher;
    int rc;

    REQUIRE(forbid_membarrier());
    client = connect_as("sandboxed");
    publisher = open_publisher(client, me);
    while (publisher.counter < stage->share) {
        const size_t len = publisher_fill(&publisher, publisher.buffer, 1);
        publisher_enters(&publisher, 1);
        rc = aether_publish(publisher.pub, publisher.buffer, len);
        if (rc == -ENOSYS) {
            REQUIRE(strstr(aether_errmsg(), "membarrier") != NULL && strstr(aether_errmsg(), "unbiased") != NULL);
            add(&stage->refused, 1);
            poll_pause();
        } else if (publisher_returns(&publisher, 1, rc) == AETHER_FULL) {
            wait_for_room(&publisher);
        }
        REQUIRE(publisher.pub->biased == 0);
    }
    publisher_end(&publisher);
    aether_disconnect(client);
}

static void sandbox(void) {
    aether_client *client = connect_as("outside");
    struct test_publisher publisher;
    pid_t subscriber, other, boxed;

    set_stage(AETHER_PUBLISHERS_UNBIASED, 0);
    stage->share = 1000;
    subscriber = start_subscriber(sleep_reliably, 0);
    other = start_publisher(publish_until_stopped, 0);
    boxed = start_publisher(publish_in_sandbox, 1);
    join_child(boxed);
    end_publisher(other);
    join_child(subscriber);
    REQUIRE(stage->refused == 0 && stage->subscribers[0].counters[1] == 1000);
    REQUIRE(stage->subscribers[0].delivered == ledger_returned(ledger));
    ok("in a sandbox without membarrier: on an unbiased topic, together with another one");

    set_stage(AETHER_PUBLISHERS_SHARED, 0);
    stage->share = 1000;
    subscriber = start_subscriber(sleep_reliably, 0);
    set(&stage->last, 1);
    boxed = start_publisher(publish_in_sandbox, 0);
    join_child(boxed);
    join_child(subscriber);
    REQUIRE(stage->refused == 0 && stage->subscribers[0].delivered == 1000);
    ok("in a sandbox without membarrier: alone on a shared topic");

    set_stage(AETHER_PUBLISHERS_SHARED, 0);
    stage->share = 1000;
    subscriber = start_subscriber(sleep_reliably, 0);
    publisher = open_publisher(client, 1);
    publish_patiently(&publisher, 2 * stage->config.capacity);
    REQUIRE(publisher.pub->biased == 1); /* and doesn't publish for now */
    boxed = start_publisher(publish_in_sandbox, 2);
    AWAIT_PROGRESS(steps_of(boxed) + get(&stage->refused), get(&stage->refused) >= 3);
    REQUIRE(get(&ledger->by[2].returned) == 0 && publisher.pub->biased == 1);
    publish_patiently(&publisher, 1); /* it finds that another publisher wants to publish */
    REQUIRE(publisher.pub->biased == 0);
    AWAIT(get(&ledger->by[2].returned) > 0);
    publish_patiently(&publisher, 2 * stage->config.capacity);
    join_child(boxed);
    set(&stage->last, 1);
    publisher_end(&publisher);
    join_child(subscriber);
    REQUIRE(stage->subscribers[0].counters[2] == 1000);
    REQUIRE(stage->subscribers[0].delivered == ledger_returned(ledger) && stage->subscribers[0].aborted == 0);
    aether_disconnect(client);
    ok("in a sandbox without membarrier: refused while another publisher has the bias, until that one publishes");
}

/* ---- 6: the end of the stream ---- */

#define ENDS 4u /* publishers */

static void leave(pid_t pid, unsigned publisher, bool killed) {
    if (killed) {
        kill_child(pid);
        return;
    }
    set(&stage->leave, get(&stage->leave) | 1ull << publisher);
    join_child(pid);
}

/*
 * All published messages were received, and of the last call of a killed publisher a first part. All subscribers got
 * the same.
 */
static void check_ended(const struct subscriber_state *state, bool reliable) {
    const struct subscriber_state *first = &stage->subscribers[0];

    REQUIRE(state->state == AETHER_STREAM_DIED && state->next == first->next);
    REQUIRE(!reliable || (state->aborted == first->aborted && state->lost == 0));
    for (unsigned i = 0; reliable && i < ENDS; i++) {
        const uint64_t returned = get(&ledger->by[i].returned);
        REQUIRE(state->counters[i] >= returned && state->counters[i] <= returned + ledger_in_call(ledger, i));
        REQUIRE(state->counters[i] == first->counters[i]);
    }
}

/* Publishers end one after the other, every second one killed. The stream is open until the last one ends. */
static void ends(bool last_is_killed) {
    const unsigned rounds = SANITIZED ? 5 : 20;
    uint64_t aborted = 0;

    for (unsigned round = 0; round < rounds; round++) {
        const unsigned first = (unsigned)(next_random(&seed) % ENDS), last = (first + ENDS - 1) % ENDS;
        pid_t subscribers[SUBSCRIBERS], pids[ENDS];

        set_stage(round % 2 ? AETHER_PUBLISHERS_UNBIASED : AETHER_PUBLISHERS_SHARED, 0);
        for (unsigned i = 0; i < SUBSCRIBERS; i++)
            subscribers[i] = start_subscriber(receive_all, i);
        for (unsigned i = 0; i < ENDS; i++)
            pids[i] = start_publisher(publish_until_stopped, i);
        for (unsigned i = 0; i < ENDS; i++)
            await_returned(i, 10);
        for (unsigned i = 0; i < ENDS - 1; i++) {
            leave(pids[(first + i) % ENDS], (first + i) % ENDS, i % 2 == 0);
            await_returned(
                last, 3 * stage->config.capacity); /* the last one goes on, and the stream is open for subscribers */
        }
        set(&stage->last, 1);
        leave(pids[last], last, last_is_killed);
        for (unsigned i = 0; i < SUBSCRIBERS; i++) {
            join_child(subscribers[i]);
            check_ended(&stage->subscribers[i], i < 3);
        }
        aborted += stage->subscribers[0].aborted;
    }
    ok("%u streams of %u publishers end when the last one %s: all was received, %llu aborted", rounds, ENDS,
       last_is_killed ? "is killed" : "closes", (unsigned long long)aborted);
}

/*
 * A publisher is stopped with an open claim, a subscriber sleeps until that is committed, and then the publisher is
 * killed. If the repair didn't wake the subscriber, most sleeps would last to the end of their 250 ms.
 */
static void sleepers_are_woken(void) {
    aether_client *client = connect_as("the other");
    uint64_t worst = 0, repaired = 0;
    unsigned slept = 0, late = 0, next_id = 1;
    struct test_publisher publisher;
    pid_t subscriber;

    set_wide_stage();
    subscriber = start_subscriber(sleep_reliably, 0);
    publisher = open_publisher(client, 0);
    for (unsigned round = 0; slept < SLEEPS; round++) {
        const pid_t wide = start_publisher(publish_wide, next_id++);
        uint64_t seq, killed, held, delay;
        REQUIRE(round < 40 * SLEEPS && next_id < IDS_MAX);
        await_returned(next_id - 1, 1 + next_random(&seed) % WIDE);
        await_open_claim(next_id - 1);
        freeze_child(wide);
        for (int rc = AETHER_FULL;
             rc != 0;) { /* there is room once the subscriber has received everything before the claim */
            rc = publish_one(&publisher);
            if (rc != 0)
                wait_for_room(&publisher);
            if (rc != 0 &&
                get(&stage->subscribers[0].next) + stage->config.capacity == aether_publisher_next(publisher.pub))
                break;
        }
        seq = aether_publisher_next(publisher.pub);
        AWAIT_PROGRESS(get(&stage->subscribers[0].next),
                       get(&stage->subscribers[0].next) == seq || get(&stage->subscribers[0].waiting) != 0);
        for (unsigned i = 0; i < 5 && get(&stage->subscribers[0].next) != seq; i++) /* long enough to fall asleep */
            poll_pause();
        held = process_held_up_ns(subscriber) + process_held_up_ns(test.daemon);
        killed = now_ns();
        kill_child(wide);
        if (get(&stage->subscribers[0].next) == seq)
            continue; /* the publisher had no open claim */
        AWAIT_PROGRESS(get(&stage->subscribers[0].next),
                       get(&stage->subscribers[0].next) == seq && get(&stage->subscribers[0].waiting) != 0);
        delay = get(&stage->subscribers[0].woken_ns) - killed;
        slept++;
        late += delay > 200000000ull + process_held_up_ns(subscriber) + process_held_up_ns(test.daemon) - held;
        worst = delay > worst ? delay : worst;
        repaired += delay;
    }
    set(&stage->last, 1);
    publisher_end(&publisher);
    join_child(subscriber);
    printf("# from the kill to the wake-up: mean %llu us, worst %llu us\n",
           (unsigned long long)repaired / SLEEPS / 1000, (unsigned long long)worst / 1000);
    REQUIRE(late <= SLEEPS / 2);
    REQUIRE(stage->subscribers[0].aborted > 0);
    aether_disconnect(client);
    ok("a sleeper that waits for a dead publisher's claim is woken by the repair, %u times", slept);
}

int main(void) {
    static const unsigned counts[] = {2, 8, MANY};

    stage = share(sizeof *stage);
    ledger = share(sizeof *ledger);
    test_begin(19);
    seed = setting("AETHER_TEST_SEED", 1);
    for (unsigned i = 0; i < 3; i++) {
        one_order(counts[i], AETHER_PUBLISHERS_SHARED, i % 2 ? 0 : (1ull << 48) - 3);
        one_order(SANITIZED ? 4 : counts[i], AETHER_PUBLISHERS_UNBIASED, i % 2 ? (1ull << 48) - 3 : 0);
    }
    exclusive();
    bias_comes_and_goes();
    one_is_stopped(true);
    one_is_stopped(false);
    joiners(AETHER_PUBLISHERS_SHARED);
    joiners(AETHER_PUBLISHERS_UNBIASED);
    evicted();
    sandbox();
    ends(false);
    ends(true);
    sleepers_are_woken();
    return 0;
}

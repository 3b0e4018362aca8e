/* SPDX-License-Identifier: Apache-2.0 */
/* kill -9 of the daemon, of subscribers and of publishers under load. Delays are random with a fixed seed. */
#include "lib/traffic.h"

#define MAX_MESSAGE 200u
#define CAPACITY 256u
#define SUBSCRIBERS_MAX 4u
#define PROGRESS 2000u /* messages that prove that publisher and subscribers go on */
#define DAEMON_ROUNDS 12u
#define SUBSCRIBER_ROUNDS 20u
#define PUBLISHER_ROUNDS 60u

struct subscriber_state {
    uint64_t joined; /* 0: not yet; sequence + 1 */
    uint64_t next;   /* it has received and checked everything below */
    uint64_t lost;
    uint64_t done;
};
#define DELAY_NS 4000000u

static struct stage {
    char topic[32];
    uint64_t stop;      /* publishers stop */
    uint64_t end;       /* subscribers stop at this sequence; UINT64_MAX: not yet */
    uint64_t opened;    /* publishers that have opened */
    uint64_t first;     /* sequence at which the newest one began */
    uint64_t published; /* next sequence, of the newest one */
    uint64_t full;      /* times that it found the ring full */
    struct subscriber_state subscribers[SUBSCRIBERS_MAX];
} * stage;

static uint64_t seed = 20260202;

static void set_stage(const char *topic) {
    memset(stage, 0, sizeof *stage);
    snprintf(stage->topic, sizeof stage->topic, "kill/%s", topic);
    stage->end = UINT64_MAX;
}

static aether_topic_config topic_config(void) {
    return (aether_topic_config){
        .max_message = MAX_MESSAGE, .capacity = CAPACITY, .publishers = AETHER_PUBLISHERS_EXCLUSIVE};
}

/* Opens the publisher; a predecessor that was killed may be believed alive for a moment. */
static aether_publisher *open_publisher(aether_client *client) {
    const aether_topic_config config = topic_config();
    aether_publisher *pub = NULL;
    int rc;

    AWAIT((rc = aether_publisher_open(client, stage->topic, &config, &pub)) != -EBUSY);
    if (rc != 0)
        fail("publisher isn't opened: %s", aether_errmsg());
    return pub;
}

static void publish_until_stopped(unsigned me) {
    aether_client *client;
    aether_publisher *pub;
    char name[32];

    snprintf(name, sizeof name, "holder-%u", me);
    client = connect_as(name);
    pub = open_publisher(client);
    set(&stage->first, aether_publisher_next(pub));
    set(&stage->published, aether_publisher_next(pub));
    set(&stage->opened, stage->opened + 1);
    while (!get(&stage->stop)) {
        if (publish_some(pub, UINT64_MAX) == AETHER_FULL) {
            set(&stage->full, stage->full + 1);
            sched_yield();
        }
        set(&stage->published, aether_publisher_next(pub));
    }
    aether_publisher_close(pub);
    aether_disconnect(client);
}

static struct test_subscriber open_subscriber(aether_client *client, aether_policy policy) {
    const aether_subscribe_options options = {.policy = policy};
    const aether_topic_config config = topic_config();
    struct test_subscriber subscriber = {
        .max_message = MAX_MESSAGE, .gaps_allowed = policy == AETHER_BEST_EFFORT, .aborts_allowed = true};

    REQUIRE(aether_subscriber_open(client, stage->topic, &options, &config, &subscriber.sub) == 0);
    subscriber.expected = aether_subscriber_next(subscriber.sub);
    return subscriber;
}

static void receive_until_end(unsigned me, aether_policy policy) {
    aether_client *client = connect_as("subscriber");
    struct test_subscriber subscriber = open_subscriber(client, policy);
    struct subscriber_state *state = &stage->subscribers[me];

    set(&state->next, subscriber.expected);
    set(&state->joined, subscriber.expected + 1);
    while (subscriber.expected != get(&stage->end)) {
        if (receive_some(&subscriber, me) == 0)
            sched_yield();
        set(&state->next, subscriber.expected);
    }
    check_conserved(&subscriber);
    set(&state->lost, subscriber.lost);
    set(&state->done, 1);
    aether_subscriber_close(subscriber.sub);
    aether_disconnect(client);
}

static void receive_reliably(unsigned me) {
    receive_until_end(me, AETHER_RELIABLE);
}

static void receive_best_effort(unsigned me) {
    receive_until_end(me, AETHER_BEST_EFFORT);
}

/* Joins, and receives nothing. */
static void sit_still(unsigned me) {
    aether_client *client = connect_as("sitter");
    struct test_subscriber subscriber = open_subscriber(client, AETHER_RELIABLE);

    set(&stage->subscribers[me].joined, subscriber.expected + 1);
    for (;;)
        pause();
}

static void await_progress(const uint64_t *word, uint64_t messages) {
    const uint64_t from = get(word);

    AWAIT_PROGRESS(get(word), get(word) - from >= messages);
}

/* The word's value once it has stopped changing. */
static uint64_t settled(const uint64_t *word) {
    uint64_t before, now = get(word);

    do {
        before = now;
        poll_pause();
        poll_pause();
        now = get(word);
    } while (now != before);
    return now;
}

/* Two reliable ones and a best-effort one. */
static void start_subscribers(pid_t *pids) {
    pids[0] = spawn(receive_reliably, 0);
    pids[1] = spawn(receive_reliably, 1);
    pids[2] = spawn(receive_best_effort, 2);
    for (unsigned i = 0; i < 3; i++)
        AWAIT(get(&stage->subscribers[i].joined) != 0);
}

/* Ends the subscribers at the last message. */
static void end_subscribers(const pid_t *pids, unsigned count) {
    set(&stage->end, get(&stage->published));
    for (unsigned i = 0; i < count; i++)
        join_child(pids[i]);
}

static void check_newcomer(void) {
    aether_client *client = connect_as("newcomer");
    const uint64_t before = get(&stage->published);
    struct test_subscriber subscriber = open_subscriber(client, AETHER_RELIABLE);
    const uint64_t joined = subscriber.expected;

    /* A publisher claims before it stores `published`, so that is at most one batch behind. */
    REQUIRE(joined >= before && joined <= get(&stage->published) + BATCH_MAX);
    while (subscriber.delivered < PROGRESS)
        (void)receive_some(&subscriber, (unsigned)joined);
    check_conserved(&subscriber);
    aether_subscriber_close(subscriber.sub);
    aether_disconnect(client);
}

/* (a) The daemon is killed and started again while all others go on. In every third round the publisher dies, too. */
static void daemon_dies(void) {
    pid_t subscribers[3], publisher;

    set_stage("daemon");
    start_subscribers(subscribers);
    publisher = spawn(publish_until_stopped, 0);
    for (unsigned round = 0; round < DAEMON_ROUNDS; round++) {
        await_progress(&stage->published, next_random(&seed) % PROGRESS + 1);
        random_delay(&seed, DELAY_NS);
        daemon_kill();
        await_progress(&stage->published, PROGRESS);
        for (unsigned i = 0; i < 3; i++)
            await_progress(&stage->subscribers[i].next, PROGRESS);
        if (round % 3 == 2) {
            kill_child(publisher);
            daemon_start();
            publisher = spawn(publish_until_stopped, round);
            AWAIT(get(&stage->opened) == 1 + round / 3 + 1);
        } else {
            daemon_start();
        }
        check_newcomer();
        for (unsigned i = 0; i < 3; i++)
            await_progress(&stage->subscribers[i].next, PROGRESS);
    }
    set(&stage->stop, 1);
    join_child(publisher);
    end_subscribers(subscribers, 3);
    REQUIRE(stage->subscribers[0].lost == 0 && stage->subscribers[1].lost == 0);
    ok("daemon killed %u times under load: all others go on, its successor adopts them, and newcomers join",
       DAEMON_ROUNDS);
}

/* Handles that are closed while no daemon runs are closed at the next daemon, whatever request comes first. */
static void close_without_daemon(bool close_late) {
    const aether_topic_config config = topic_config();
    aether_client *client, *other;
    struct test_subscriber subscribers[3];
    aether_publisher *pub;

    set_stage(close_late ? "closed-after" : "closed-during");
    client = connect_as("closer");
    other = connect_as("other");
    pub = open_publisher(client);
    for (unsigned i = 0; i < 3; i++)
        subscribers[i] = open_subscriber(client, i == 2 ? AETHER_BEST_EFFORT : AETHER_RELIABLE);
    REQUIRE(publish_some(pub, UINT64_MAX) == 0);
    daemon_kill();
    if (close_late)
        daemon_start(); /* its first request from this client is a close */
    aether_publisher_close(pub);
    for (unsigned i = 0; i < 3; i++)
        aether_subscriber_close(subscribers[i].sub);
    if (!close_late)
        daemon_start();
    subscribers[0] =
        open_subscriber(client, AETHER_RELIABLE); /* a request: everything that the client has closed is free now */
    REQUIRE(aether_publisher_open(other, stage->topic, &config, &pub) == 0);
    REQUIRE(aether_publisher_next(pub) == subscribers[0].expected);
    for (unsigned i = 0; i < 1000; i++) { /* and no closed subscriber holds the publisher back */
        REQUIRE(publish_some(pub, UINT64_MAX) == 0);
        while (subscribers[0].expected != aether_publisher_next(pub))
            REQUIRE(receive_some(&subscribers[0], i) > 0);
        (void)receive_some(&subscribers[0], i);
    }
    check_conserved(&subscribers[0]);
    aether_publisher_close(pub);
    aether_subscriber_close(subscribers[0].sub);
    REQUIRE(aether_topic_remove(client, stage->topic) == 0); /* for the daemon nothing of the topic is open */
    aether_disconnect(other);
    aether_disconnect(client);
}

/* (b) A reliable subscriber dies while the ring is full because of it. */
static void subscriber_dies(void) {
    pid_t subscriber, publisher;

    set_stage("subscriber");
    subscriber = spawn(receive_reliably, 0);
    AWAIT(get(&stage->subscribers[0].joined) != 0);
    publisher = spawn(publish_until_stopped, 0);
    AWAIT(get(&stage->opened) == 1);
    for (unsigned round = 0; round < SUBSCRIBER_ROUNDS; round++) {
        const pid_t sitter = spawn(sit_still, 1);
        uint64_t joined, full;

        AWAIT(get(&stage->subscribers[1].joined) != 0);
        joined = get(&stage->subscribers[1].joined) - 1;
        full = get(&stage->full);
        /*
         * The ring is full because of it: the other subscriber has received everything, and the publisher still tries.
         */
        AWAIT_PROGRESS(get(&stage->published) + get(&stage->subscribers[0].next) + get(&stage->full),
                       get(&stage->published) + BATCH_MAX > joined + CAPACITY &&
                           get(&stage->subscribers[0].next) == get(&stage->published) &&
                           get(&stage->full) > full + 100);
        REQUIRE(get(&stage->published) <= joined + CAPACITY);
        random_delay(&seed, DELAY_NS);
        REQUIRE(get(&stage->published) <= joined + CAPACITY);
        kill_child(sitter);
        set(&stage->subscribers[1].joined, 0);
        await_progress(&stage->published, PROGRESS);
    }
    set(&stage->stop, 1);
    join_child(publisher);
    end_subscribers(&subscriber, 1);
    ok("reliable subscriber killed %u times with the ring full because of it: the publisher goes on",
       SUBSCRIBER_ROUNDS);
}

static void second_publisher_is_refused(aether_client *client, unsigned holder) {
    const aether_topic_config config = topic_config();
    aether_publisher *pub;
    char name[32];

    snprintf(name, sizeof name, "holder-%u", holder);
    REQUIRE(aether_publisher_open(client, stage->topic, &config, &pub) == -EBUSY);
    REQUIRE(strstr(aether_errmsg(), name) != NULL);
}

/* (c) Publishers die one after another; subscribers see one unbroken stream. */
static void publisher_dies(void) {
    aether_client *rival = connect_as("rival");
    pid_t subscribers[3], publisher;

    set_stage("publisher");
    start_subscribers(subscribers);
    for (unsigned round = 0; round < PUBLISHER_ROUNDS; round++) {
        const uint64_t published = get(&stage->published), seen = settled(&stage->subscribers[0].next);

        publisher = spawn(publish_until_stopped, round);
        AWAIT(get(&stage->opened) == round + 1);
        /* The successor begins behind all that was published or received; `published` may be one batch behind. */
        REQUIRE(get(&stage->first) >= published && get(&stage->first) >= seen &&
                get(&stage->first) <= published + BATCH_MAX);
        if (round % 8 == 0)
            second_publisher_is_refused(rival, round);
        await_progress(&stage->published, next_random(&seed) % PROGRESS + 1);
        random_delay(&seed, DELAY_NS);
        kill_child(publisher);
    }
    set(&stage->published, 0);
    publisher = spawn(publish_until_stopped, 1000); /* stores where its predecessor has ended */
    AWAIT(get(&stage->opened) == PUBLISHER_ROUNDS + 1);
    set(&stage->stop, 1);
    join_child(publisher);
    end_subscribers(subscribers, 3);
    REQUIRE(stage->subscribers[0].lost == 0 && stage->subscribers[1].lost == 0);
    REQUIRE(stage->subscribers[0].joined == 1 && stage->subscribers[0].next == get(&stage->published));
    aether_disconnect(rival);
    ok("publisher killed %u times under load: its successor goes on without gap or reuse; a rival gets the holder's "
       "name",
       PUBLISHER_ROUNDS);
}

/* A stopped best-effort subscriber doesn't hold the publisher back, and gets exact gaps. */
static void best_effort_is_stopped(void) {
    pid_t subscriber, publisher;

    set_stage("stopped");
    subscriber = spawn(receive_best_effort, 0);
    AWAIT(get(&stage->subscribers[0].joined) != 0);
    publisher = spawn(publish_until_stopped, 0);
    await_progress(&stage->subscribers[0].next, PROGRESS);
    for (unsigned round = 0; round < 5; round++) {
        freeze_child(subscriber);
        await_progress(&stage->published, 100 * CAPACITY);
        thaw_child(subscriber);
        await_progress(&stage->subscribers[0].next, 100 * CAPACITY);
    }
    set(&stage->stop, 1);
    join_child(publisher);
    REQUIRE(get(&stage->full) == 0);
    end_subscribers(&subscriber, 1);
    REQUIRE(stage->subscribers[0].lost > 4 * 99 * CAPACITY);
    ok("a stopped best-effort subscriber doesn't hold the publisher back, and accounts for %llu lost",
       (unsigned long long)stage->subscribers[0].lost);
}

int main(void) {
    stage = share(sizeof *stage);
    test_begin(6);
    daemon_dies();
    close_without_daemon(false);
    ok("handles that are closed while the daemon is dead are closed at its successor");
    close_without_daemon(true);
    ok("handles that are closed right after the daemon was restarted are closed");
    subscriber_dies();
    publisher_dies();
    best_effort_is_stopped();
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* kill -9 of the daemon, of subscribers and of publishers under load. Delays are random with a fixed seed. */
#include "lib/process.h"

#define MAX_MESSAGE 200u
#define CAPACITY 256u
#define READERS_MAX 4u
#define PROGRESS 2000u /* messages that prove that somebody moves */
#define DAEMON_ROUNDS 12u
#define SUBSCRIBER_ROUNDS 20u
#define PUBLISHER_ROUNDS 60u

struct reader_state {
    uint64_t joined; /* 0: not yet; sequence + 1 */
    uint64_t next;   /* sequences below it were received and are right */
    uint64_t lost;
    uint64_t done;
};

static struct stage {
    char topic[32];
    uint64_t stop;      /* publishers stop */
    uint64_t end;       /* readers stop at this sequence; UINT64_MAX: not yet */
    uint64_t opened;    /* publishers that were opened */
    uint64_t first;     /* sequence at which the newest one began */
    uint64_t published; /* next sequence, of the newest one */
    uint64_t full;      /* times that it found the ring full */
    struct reader_state readers[READERS_MAX];
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

static struct reading open_reading(aether_client *client, aether_policy policy) {
    const aether_subscribe_options options = {.policy = policy};
    const aether_topic_config config = topic_config();
    struct reading reading = {
        .max_message = MAX_MESSAGE, .gaps_allowed = policy == AETHER_BEST_EFFORT, .aborts_allowed = true};

    REQUIRE(aether_subscriber_open(client, stage->topic, &options, &config, &reading.sub) == 0);
    reading.expected = aether_subscriber_next(reading.sub);
    return reading;
}

static void read_until_end(unsigned me, aether_policy policy) {
    aether_client *client = connect_as("reader");
    struct reading reading = open_reading(client, policy);
    struct reader_state *state = &stage->readers[me];

    set(&state->next, reading.expected);
    set(&state->joined, reading.expected + 1);
    while (reading.expected != get(&stage->end)) {
        if (read_some(&reading, me) == 0)
            sched_yield();
        set(&state->next, reading.expected);
    }
    check_conserved(&reading);
    set(&state->lost, reading.lost);
    set(&state->done, 1);
    aether_subscriber_close(reading.sub);
    aether_disconnect(client);
}

static void read_reliably(unsigned me) {
    read_until_end(me, AETHER_RELIABLE);
}

static void read_best_effort(unsigned me) {
    read_until_end(me, AETHER_BEST_EFFORT);
}

/* Joins and then reads nothing. */
static void sit_still(unsigned me) {
    aether_client *client = connect_as("sitter");
    struct reading reading = open_reading(client, AETHER_RELIABLE);

    set(&stage->readers[me].joined, reading.expected + 1);
    for (;;)
        pause();
}

static void await_progress(const uint64_t *word, uint64_t messages) {
    const uint64_t from = get(word);

    AWAIT(get(word) - from >= messages);
}

/* The word's value once it has stopped changing. */
static uint64_t settled(const uint64_t *word) {
    uint64_t before, now = get(word);

    do {
        before = now;
        look_again();
        look_again();
        now = get(word);
    } while (now != before);
    return now;
}

static void random_delay(void) {
    const struct timespec delay = {.tv_nsec = (long)(next_random(&seed) % 4000000)};

    nanosleep(&delay, NULL);
}

/* Ends the readers where the publisher ended. */
static void end_readers(const pid_t *pids, unsigned count) {
    set(&stage->end, get(&stage->published));
    for (unsigned i = 0; i < count; i++)
        join_child(pids[i]);
}

static void check_newcomer(void) {
    aether_client *client = connect_as("newcomer");
    const uint64_t before = get(&stage->published);
    struct reading reading = open_reading(client, AETHER_RELIABLE);
    const uint64_t joined = reading.expected;

    /* A claim is stored before the publisher tells `published`; at most one batch lies between. */
    REQUIRE(joined >= before && joined <= get(&stage->published) + BATCH_MAX);
    while (reading.delivered < PROGRESS)
        (void)read_some(&reading, (unsigned)joined);
    check_conserved(&reading);
    aether_subscriber_close(reading.sub);
    aether_disconnect(client);
}

/* (a) The daemon dies and comes back while all go on; in every third round the publisher dies while there is none. */
static void daemon_dies(void) {
    pid_t readers[3], publisher;

    set_stage("daemon");
    readers[0] = spawn(read_reliably, 0);
    readers[1] = spawn(read_reliably, 1);
    readers[2] = spawn(read_best_effort, 2);
    for (unsigned i = 0; i < 3; i++)
        AWAIT(get(&stage->readers[i].joined) != 0);
    publisher = spawn(publish_until_stopped, 0);
    for (unsigned round = 0; round < DAEMON_ROUNDS; round++) {
        await_progress(&stage->published, next_random(&seed) % PROGRESS + 1);
        random_delay();
        daemon_kill();
        await_progress(&stage->published, PROGRESS);
        for (unsigned i = 0; i < 3; i++)
            await_progress(&stage->readers[i].next, PROGRESS);
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
            await_progress(&stage->readers[i].next, PROGRESS);
    }
    set(&stage->stop, 1);
    join_child(publisher);
    end_readers(readers, 3);
    REQUIRE(stage->readers[0].lost == 0 && stage->readers[1].lost == 0);
    ok("daemon killed %u times under load: everybody goes on, its successor adopts, newcomers join in place",
       DAEMON_ROUNDS);
}

/* Handles closed while no daemon runs are given back to the next one, whatever is asked of it first. */
static void close_without_daemon(bool close_late) {
    const aether_topic_config config = topic_config();
    aether_client *client, *other;
    struct reading readings[3];
    aether_publisher *pub;

    set_stage(close_late ? "closed-after" : "closed-during");
    client = connect_as("closer");
    other = connect_as("other");
    pub = open_publisher(client);
    for (unsigned i = 0; i < 3; i++)
        readings[i] = open_reading(client, i == 2 ? AETHER_BEST_EFFORT : AETHER_RELIABLE);
    REQUIRE(publish_some(pub, UINT64_MAX) == 0);
    daemon_kill();
    if (close_late)
        daemon_start(); /* the first thing that it hears from this client is a close */
    aether_publisher_close(pub);
    for (unsigned i = 0; i < 3; i++)
        aether_subscriber_close(readings[i].sub);
    if (!close_late)
        daemon_start();
    readings[0] = open_reading(client, AETHER_RELIABLE); /* the client speaks again: all that it closed is free */
    REQUIRE(aether_publisher_open(other, stage->topic, &config, &pub) == 0);
    REQUIRE(aether_publisher_next(pub) == readings[0].expected);
    for (unsigned i = 0; i < 1000; i++) { /* and no reader from before holds the ring */
        REQUIRE(publish_some(pub, UINT64_MAX) == 0);
        while (readings[0].expected != aether_publisher_next(pub))
            REQUIRE(read_some(&readings[0], i) > 0);
        (void)read_some(&readings[0], i);
    }
    check_conserved(&readings[0]);
    aether_publisher_close(pub);
    aether_subscriber_close(readings[0].sub);
    REQUIRE(aether_topic_remove(client, stage->topic) == 0); /* nobody is attached, as far as the daemon knows */
    aether_disconnect(other);
    aether_disconnect(client);
}

/* (b) A reliable subscriber dies while the ring is full because of it. */
static void subscriber_dies(void) {
    pid_t reader, publisher;

    set_stage("subscriber");
    reader = spawn(read_reliably, 0);
    AWAIT(get(&stage->readers[0].joined) != 0);
    publisher = spawn(publish_until_stopped, 0);
    AWAIT(get(&stage->opened) == 1);
    for (unsigned round = 0; round < SUBSCRIBER_ROUNDS; round++) {
        const pid_t sitter = spawn(sit_still, 1);
        uint64_t joined, full;

        AWAIT(get(&stage->readers[1].joined) != 0);
        joined = get(&stage->readers[1].joined) - 1;
        full = get(&stage->full);
        /* Full, and for its sake: the other reader has read everything and the publisher still tries. */
        AWAIT(get(&stage->published) + BATCH_MAX > joined + CAPACITY &&
              get(&stage->readers[0].next) == get(&stage->published) && get(&stage->full) > full + 100);
        REQUIRE(get(&stage->published) <= joined + CAPACITY);
        random_delay();
        REQUIRE(get(&stage->published) <= joined + CAPACITY);
        kill_child(sitter);
        set(&stage->readers[1].joined, 0);
        await_progress(&stage->published, PROGRESS);
    }
    set(&stage->stop, 1);
    join_child(publisher);
    end_readers(&reader, 1);
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

/* (c) Publishers die one after another; readers see one unbroken stream. */
static void publisher_dies(void) {
    aether_client *rival = connect_as("rival");
    pid_t readers[3], publisher;

    set_stage("publisher");
    readers[0] = spawn(read_reliably, 0);
    readers[1] = spawn(read_reliably, 1);
    readers[2] = spawn(read_best_effort, 2);
    for (unsigned i = 0; i < 3; i++)
        AWAIT(get(&stage->readers[i].joined) != 0);
    for (unsigned round = 0; round < PUBLISHER_ROUNDS; round++) {
        const uint64_t told = get(&stage->published), seen = settled(&stage->readers[0].next);

        publisher = spawn(publish_until_stopped, round);
        AWAIT(get(&stage->opened) == round + 1);
        /* Nothing that was told or seen is taken back; what wasn't told is one batch at most. */
        REQUIRE(get(&stage->first) >= told && get(&stage->first) >= seen && get(&stage->first) <= told + BATCH_MAX);
        if (round % 8 == 0)
            second_publisher_is_refused(rival, round);
        await_progress(&stage->published, next_random(&seed) % PROGRESS + 1);
        random_delay();
        kill_child(publisher);
    }
    set(&stage->published, 0);
    publisher = spawn(publish_until_stopped, 1000); /* tells where the last one got to */
    AWAIT(get(&stage->opened) == PUBLISHER_ROUNDS + 1);
    set(&stage->stop, 1);
    join_child(publisher);
    end_readers(readers, 3);
    REQUIRE(stage->readers[0].lost == 0 && stage->readers[1].lost == 0);
    REQUIRE(stage->readers[0].joined == 1 && stage->readers[0].next == get(&stage->published));
    aether_disconnect(rival);
    ok("publisher killed %u times under load: its successor goes on without gap or reuse; a rival is told who holds it",
       PUBLISHER_ROUNDS);
}

/* A best-effort subscriber that is stopped holds nobody back and is told exactly what it missed. */
static void best_effort_is_stopped(void) {
    pid_t reader, publisher;
    int status;

    set_stage("stopped");
    reader = spawn(read_best_effort, 0);
    AWAIT(get(&stage->readers[0].joined) != 0);
    publisher = spawn(publish_until_stopped, 0);
    await_progress(&stage->readers[0].next, PROGRESS);
    for (unsigned round = 0; round < 5; round++) {
        REQUIRE(kill(reader, SIGSTOP) == 0 && waitpid(reader, &status, WUNTRACED) == reader && WIFSTOPPED(status));
        await_progress(&stage->published, 100 * CAPACITY);
        REQUIRE(kill(reader, SIGCONT) == 0);
        await_progress(&stage->readers[0].next, 100 * CAPACITY);
    }
    set(&stage->stop, 1);
    join_child(publisher);
    REQUIRE(get(&stage->full) == 0);
    end_readers(&reader, 1);
    REQUIRE(stage->readers[0].lost > 4 * 99 * CAPACITY);
    ok("a stopped best-effort subscriber holds nobody back and accounts for %llu lost",
       (unsigned long long)stage->readers[0].lost);
}

int main(void) {
    stage = share(sizeof *stage);
    test_begin(6);
    daemon_dies();
    close_without_daemon(false);
    ok("handles closed while the daemon is dead are given back to its successor");
    close_without_daemon(true);
    ok("handles closed right after the daemon was restarted are given back");
    subscriber_dies();
    publisher_dies();
    best_effort_is_stopped();
    return 0;
}

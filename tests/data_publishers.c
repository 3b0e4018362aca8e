/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several publishers of one topic, each a process: one order for all readers, in which each publisher's messages have
 * theirs; the bias, and what takes it away; publishers that are stopped in the middle of a publish; joiners, eviction,
 * a sandbox without membarrier, and the end of the stream. AETHER_TEST_SEED repeats a run.
 */
#include "lib/process.h"
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

#define MANY 64u /* publishers: as many as a topic can have */
#define MESSAGES (SANITIZED ? 10000u : 60000u)
#define READERS 6u
#define JOINERS 3u
#define LARGE 4088u
#define WIDE (SANITIZED ? 128u : 512u) /* messages of a batch that takes long */
#define JOINS (SANITIZED ? 20u : 100u)
#define SLEEPS 12u

struct reader_state {
    uint64_t joined; /* 0: not yet; sequence + 1 */
    uint64_t next;   /* it has received everything below */
    uint64_t delivered, lost, skipped, aborted, evicted, joins;
    uint64_t state;   /* how the stream ended */
    uint64_t waiting; /* one past the sequence for which it waits; 0: it doesn't */
    uint64_t came_ns; /* when the last wait was over */
    uint64_t heard[AUTHORS_MAX];
};

static struct stage {
    char topic[32];
    aether_topic_config config;
    uint64_t share; /* messages of each publisher */
    size_t batch_max;
    uint64_t opened, go, stop;
    uint64_t leave;     /* a bit for each author: close, and let the others go on */
    uint64_t last;      /* the last publisher may end */
    uint64_t refused;   /* times that a sandboxed publisher was told that it can't */
    uint64_t biased[2]; /* author's: whether it has the bias, as of its last publish */
    struct reader_state readers[READERS + JOINERS];
} * stage;

static struct authors *authors;
static uint64_t seed;
static unsigned topics;

static size_t all_large(uint64_t word, size_t max) {
    (void)word;
    return max;
}

static void set_stage(aether_publishers publishers, uint64_t start) {
    memset(stage, 0, sizeof *stage);
    authors_reset(authors);
    authored_length = authored_mixed;
    snprintf(stage->topic, sizeof stage->topic, "publishers/%u", ++topics);
    stage->batch_max = 24;
    stage->config = (aether_topic_config){.max_message = 4096,
                                          .inline_max = 56,
                                          .lane_bytes = 16384,
                                          .capacity = 64,
                                          .publishers = publishers,
                                          .start_seq = start};
}

/* Only batches of large messages in their slots: most of the time its publisher has claimed what it hasn't written. */
static void set_wide_stage(void) {
    set_stage(AETHER_PUBLISHERS_SHARED, 0);
    authored_length = all_large;
    stage->batch_max = WIDE;
    stage->config = (aether_topic_config){.max_message = LARGE, .capacity = 4 * WIDE};
}

/* ---- publishers ---- */

static struct author open_author(aether_client *client, uint64_t id) {
    struct author author;

    author_begin(&author, authors, id, &stage->config, stage->batch_max);
    author.waits = true;
    REQUIRE(aether_publisher_open(client, stage->topic, &stage->config, &author.pub) == 0);
    add(&stage->opened, 1);
    return author;
}

static void wait_for_room(const struct author *author) {
    REQUIRE(aether_publisher_wait(author->pub, 8, 1000000) >= 0);
}

static void publish_share(unsigned me) {
    aether_client *client = connect_as("publisher");
    struct author author = open_author(client, me);
    uint64_t random = seed + me;

    while (!get(&stage->go)) /* until all are there, which takes long with 64 under a sanitizer */
        look_again();
    while (author.counter < stage->share) {
        const uint64_t before = aether_publisher_next(author.pub), counter = author.counter;
        if (author_publish(&author, next_random(&random), stage->share - counter) == AETHER_FULL)
            wait_for_room(&author);
        REQUIRE(aether_publisher_next(author.pub) - before >= author.counter - counter);
    }
    author_end(&author);
    aether_disconnect(client);
}

static void publish_until_stopped(unsigned me) {
    aether_client *client = connect_as("publisher");
    struct author author = open_author(client, me);
    uint64_t random = seed + me;

    while (!get(&stage->stop) && (get(&stage->leave) >> me & 1) == 0) {
        if (author_publish(&author, next_random(&random), UINT64_MAX) == AETHER_FULL)
            wait_for_room(&author);
        if (me < 2)
            set(&stage->biased[me], author.pub->biased);
    }
    author_end(&author);
    aether_disconnect(client);
}

/* In batches whose claims are open for long, each when the reader has seen the one before. */
static void publish_wide(unsigned me) {
    aether_client *client = connect_as("wide publisher");
    struct author author = open_author(client, me);
    uint64_t random = seed + me;

    while (!get(&stage->stop)) {
        if (author_batch(&author, WIDE / 2 + next_random(&random) % (WIDE / 2)) == AETHER_FULL)
            wait_for_room(&author);
        while ((int64_t)(aether_publisher_next(author.pub) - get(&stage->readers[0].next)) > 0 && !get(&stage->stop))
            sched_yield();
    }
    author_end(&author);
    aether_disconnect(client);
}

static int publish_one(struct author *author) {
    const size_t len = author_fill(author, author->buffer, 1);

    author_calls(author, 1);
    return author_called(author, 1, aether_publish(author->pub, author->buffer, len));
}

static void publish_patiently(struct author *author, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t until = now_ms() + DEADLINE_S * 1000u;
        while (publish_one(author) == AETHER_FULL) {
            REQUIRE(now_ms() < until);
            wait_for_room(author);
        }
    }
}

/* ---- readers ---- */

static struct reading open_reading(aether_client *client, unsigned me, const aether_subscribe_options *options) {
    const bool reliable = options->policy == AETHER_RELIABLE, evicts = stage->config.slow == AETHER_SLOW_EVICT;
    struct reading reading = {.max_message = stage->config.max_message,
                              .gaps_allowed = !reliable,
                              .latest = options->policy == AETHER_LATEST,
                              .in_place = options->views == AETHER_VIEWS_IN_PLACE && (!reliable || evicts),
                              .evictable = reliable && evicts,
                              .authors = authors,
                              .heard = stage->readers[me].heard};

    REQUIRE(aether_subscriber_open(client, stage->topic, options, &stage->config, &reading.sub) == 0);
    reading.expected = reading.kept_from = aether_subscriber_next(reading.sub);
    if (options->from != AETHER_FROM_NEW) /* it joined before this moment */
        reading.kept_from = stage->config.start_seq + authors_claimed_most(authors);
    memset(reading.heard, 0, sizeof stage->readers[me].heard);
    return reading;
}

static void close_reading(struct reading *reading, unsigned me) {
    struct reader_state *state = &stage->readers[me];

    check_conserved(reading);
    add(&state->delivered, reading->delivered);
    add(&state->lost, reading->lost);
    add(&state->skipped, reading->skipped);
    add(&state->aborted, reading->aborted);
    add(&state->evicted, reading->evicted);
    aether_subscriber_close(reading->sub);
}

/* Waits for the next message or the end, and says so meanwhile. */
static void wait_for_more(struct reading *reading, unsigned me) {
    set(&stage->readers[me].waiting, reading->expected + 1);
    REQUIRE(aether_wait(reading->sub, AETHER_FOREVER) == 1); /* each process has an alarm */
    set(&stage->readers[me].came_ns, now_ns());
    set(&stage->readers[me].waiting, 0);
}

/* From the topic's first message to the end of the stream; nothing comes after the end. */
static void read_to_end(unsigned me, const aether_subscribe_options *options, bool sleeps) {
    aether_client *client = connect_as("reader");
    struct reading reading = open_reading(client, me, options);

    reading.strict = options->policy == AETHER_RELIABLE;
    reading.aborts_allowed = true; /* the parent knows better */
    set(&stage->readers[me].next, reading.expected);
    set(&stage->readers[me].joined, reading.expected + 1);
    for (;;) {
        const aether_stream state = aether_subscriber_stream(reading.sub);
        const int n = read_some(&reading, me);

        /* Not what is expected: what was aborted last isn't counted for a latest reader, but passed over all the same. */
        set(&stage->readers[me].next, aether_subscriber_next(reading.sub));
        if (state >= AETHER_STREAM_CLOSED) {
            REQUIRE(n == 0 && get(&stage->last));
            set(&stage->readers[me].state, (uint64_t)state);
            break;
        }
        if (n == 0 && sleeps)
            wait_for_more(&reading, me);
        else if (n == 0)
            (void)aether_wait(reading.sub, 1000000);
    }
    close_reading(&reading, me);
    aether_disconnect(client);
}

/* 0 to 2 reliable, one with each form of receiving; 3 best effort, 4 the same in place, 5 latest. */
static void read_all(unsigned me) {
    static const aether_policy policies[READERS] = {AETHER_RELIABLE,    AETHER_RELIABLE,    AETHER_RELIABLE,
                                                    AETHER_BEST_EFFORT, AETHER_BEST_EFFORT, AETHER_LATEST};
    const aether_subscribe_options options = {.policy = policies[me],
                                              .views = me == 4 ? AETHER_VIEWS_IN_PLACE : AETHER_VIEWS_COPY};

    read_to_end(me, &options, me == 0);
}

static void read_reliably(unsigned me) {
    read_to_end(me, &(aether_subscribe_options){0}, false);
}

static void sleep_reliably(unsigned me) {
    read_to_end(me, &(aether_subscribe_options){0}, true);
}

static void read_best_effort(unsigned me) {
    read_to_end(me, &(aether_subscribe_options){.policy = AETHER_BEST_EFFORT}, false);
}

static pid_t start_reader(void (*play)(unsigned), unsigned me) {
    const pid_t pid = spawn(play, me);

    AWAIT(get(&stage->readers[me].joined) != 0);
    return pid;
}

static pid_t start_publisher(void (*play)(unsigned), unsigned me) {
    const uint64_t opened = get(&stage->opened);
    const pid_t pid = spawn(play, me);

    AWAIT(get(&stage->opened) == opened + 1);
    return pid;
}

static void await_told(uint64_t author, uint64_t messages) {
    const uint64_t told = get(&authors->by[author].told);

    AWAIT(get(&authors->by[author].told) >= told + messages);
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
    pid_t readers[READERS], pids[MANY];
    uint64_t all, lost = 0;

    set_stage(publishers, start);
    stage->share = MESSAGES / count;
    stage->last = 1; /* the end comes when it comes */
    all = stage->share * count;
    for (unsigned i = 0; i < READERS; i++)
        readers[i] = start_reader(read_all, i);
    for (unsigned i = 0; i < count; i++)
        pids[i] = start_publisher(publish_share, i);
    if (count == MANY)
        check_refused("64 publishers", -EUSERS);
    set(&stage->go, 1);
    for (unsigned i = 0; i < count; i++)
        join_child(pids[i]);
    for (unsigned i = 0; i < READERS; i++) {
        const struct reader_state *state = &stage->readers[i];
        join_child(readers[i]);
        REQUIRE(state->joined - 1 == start && state->next == start + all && state->state == AETHER_STREAM_CLOSED);
        REQUIRE(state->aborted == 0 && state->delivered + state->lost + state->skipped == all);
        REQUIRE(i >= 3 || state->delivered == all);
        for (unsigned author = 0; i < 3 && author < count; author++)
            REQUIRE(state->heard[author] == stage->share);
        lost += state->lost;
    }
    ok("%u publishers, %s, from %llu: %llu messages in one order for all; best effort accounts for %llu lost%s", count,
       publishers == AETHER_PUBLISHERS_UNBIASED ? "unbiased" : "shared", (unsigned long long)start,
       (unsigned long long)all, (unsigned long long)lost, count == MANY ? "; a 65th is refused" : "");
}

static void exclusive(void) {
    aether_client *client = connect_as("the first");
    struct author author;

    set_stage(AETHER_PUBLISHERS_EXCLUSIVE, 0);
    author = open_author(client, 0);
    check_refused("the first", -EBUSY);
    REQUIRE(publish_one(&author) == 0 && author.pub->biased == 1);
    check_refused("the first", -EBUSY);
    author_end(&author);
    author = open_author(client, 1); /* the bias that the first one had is no obstacle */
    REQUIRE(publish_one(&author) == 0 && author.pub->biased == 1 && aether_publisher_next(author.pub) == 2);
    author_end(&author);
    aether_disconnect(client);
    ok("an exclusive topic refuses a second publisher while the first one is there");
}

/* ---- 2: the bias ---- */

#define GUESTS (SANITIZED ? 20u : 1000u)

/*
 * One publishes all the time. A second one comes, publishes a few, and leaves; then the first one has the bias again.
 */
static void bias_comes_and_goes(void) {
    aether_client *client = connect_as("guest");
    uint64_t published = 0;
    pid_t reader, host;

    set_stage(AETHER_PUBLISHERS_SHARED, 0);
    stage->config = (aether_topic_config){.max_message = 56, .capacity = 64};
    reader = start_reader(read_reliably, 0);
    host = start_publisher(publish_until_stopped, 0);
    for (unsigned guest = 1; guest <= GUESTS; guest++) {
        struct author author;
        AWAIT(get(&stage->biased[0]) == 1);
        author = open_author(client, guest);
        for (uint64_t n = next_random(&seed) % 20; n > 0; n--) {
            publish_patiently(&author, 1);
            REQUIRE(author.pub->biased == 0);
            published++;
        }
        author_end(&author);
        if (guest % 4 == 0)
            await_told(0, 100);
    }
    AWAIT(get(&stage->biased[0]) == 1);
    end_publisher(host);
    join_child(reader);
    REQUIRE(stage->readers[0].aborted == 0);
    REQUIRE(stage->readers[0].delivered == published + get(&authors->by[0].told));
    aether_disconnect(client);
    ok("the bias is taken from a publisher by %u guests with %llu messages, and comes back", GUESTS,
       (unsigned long long)published);
}

/*
 * Publishes up to `left` messages. False: it is stuck, a ring behind the claim that the stopped publisher hasn't
 * finished, and no sooner. A reliable reader stands there; a best-effort one may have passed it over.
 */
static bool publish_past_stopped(struct author *author, bool reliable, uint64_t *left) {
    const uint64_t until = now_ms() + DEADLINE_S * 1000u, capacity = stage->config.capacity;
    uint64_t published = 0;

    for (unsigned stuck = 0; *left > 0; wait_for_room(author)) {
        const uint64_t reader = get(&stage->readers[0].next);
        REQUIRE(now_ms() < until);
        while (*left > 0 && publish_one(author) == 0) {
            REQUIRE(reliable || stuck == 0); /* the stopped one is all that it waits for, and that doesn't go on */
            stuck = 0;
            published++;
            --*left;
        }
        REQUIRE(reliable || *left == 0 || published + WIDE >= capacity);
        stuck += !reliable || reader + capacity == aether_publisher_next(author->pub);
        if (stuck == 20)
            break;
    }
    return *left == 0;
}

/* For a while, or until the author is in a call for so long that it must have found room. */
static void await_open_claim(uint64_t author) {
    const uint64_t patience = now_ns() + 10000000, span = 5000 + next_random(&seed) % 50000;
    uint64_t call = 0, since = 0, now;

    while ((now = now_ns()) < patience) {
        const uint64_t flying = get(&authors->by[author].flying);
        if (flying == 0 || flying != call) {
            call = flying;
            since = now;
        } else if (now - since > span) {
            return;
        }
    }
}

static void one_is_stopped(bool reliable) {
    const unsigned rounds = SANITIZED ? 20 : 60;
    aether_client *client = connect_as("the other");
    struct author author;
    pid_t reader, stopped;
    unsigned stuck = 0;

    set_wide_stage();
    reader = start_reader(reliable ? read_reliably : read_best_effort, 0);
    stopped = start_publisher(publish_wide, 0);
    author = open_author(client, 1);
    for (unsigned round = 0; round < rounds || stuck < 3; round++) {
        uint64_t left = 2 * stage->config.capacity;
        REQUIRE(round < 100 * rounds);
        await_told(0, 1 + next_random(&seed) % WIDE);
        await_open_claim(0);
        freeze_child(stopped);
        if (!publish_past_stopped(&author, reliable, &left))
            stuck++;
        thaw_child(stopped);
        publish_patiently(&author, left);
    }
    author_end(&author);
    end_publisher(stopped);
    join_child(reader);
    REQUIRE(stage->readers[0].aborted == 0);
    REQUIRE(!reliable || stage->readers[0].delivered == authors_told(authors));
    aether_disconnect(client);
    ok("a publisher is stopped %u times, with an open claim at least %u of them: it goes on, %s", rounds, stuck,
       reliable ? "nobody is robbed" : "and only a ring behind it the other one waited");
}

/* ---- 3: joiners ---- */

static void join_and_leave(unsigned me) {
    aether_client *client = connect_as("joiner");
    uint64_t random = seed + me;

    while (!get(&stage->stop)) {
        const uint64_t r = next_random(&random), told = authors_told(authors);
        const aether_subscribe_options options = {.policy =
                                                      (r & 3) < 2 ? AETHER_RELIABLE : (aether_policy)((r & 3) - 1),
                                                  .from = (aether_from)((r >> 2) % 3),
                                                  .last = (r >> 2) % 3 == AETHER_FROM_LAST ? r >> 16 & 127 : 0,
                                                  .views = (aether_views)(r >> 8 & 1)};
        struct reading reading = open_reading(client, me, &options);

        /* What was told before the open lies before the join; what begins after it doesn't. */
        if (options.from == AETHER_FROM_NEW)
            REQUIRE(reading.expected - stage->config.start_seq >= told &&
                    reading.expected - stage->config.start_seq <= authors_claimed_most(authors));
        for (uint64_t left = r >> 32 & 255; left > 0; left--) {
            if (read_some(&reading, (unsigned)(r >> 24)) == 0)
                (void)aether_wait(reading.sub, 1000000);
        }
        close_reading(&reading, me);
        add(&stage->readers[me].joins, 1);
    }
    aether_disconnect(client);
}

static void joiners(aether_publishers publishers) {
    pid_t reader, joining[JOINERS], pids[2];
    uint64_t joins = 0;

    set_stage(publishers, (1ull << 48) - 1000);
    reader = start_reader(read_reliably, 0);
    for (unsigned i = 0; i < 2; i++)
        pids[i] = start_publisher(publish_until_stopped, i);
    for (unsigned i = 0; i < JOINERS; i++)
        joining[i] = spawn(join_and_leave, 1 + i);
    for (unsigned i = 0; i < JOINERS; i++)
        AWAIT(get(&stage->readers[1 + i].joins) >= JOINS);
    end_publisher(pids[0]);
    join_child(pids[1]);
    for (unsigned i = 0; i < JOINERS; i++) {
        join_child(joining[i]);
        joins += stage->readers[1 + i].joins;
    }
    join_child(reader);
    REQUIRE(stage->readers[0].delivered == authors_told(authors) && stage->readers[0].aborted == 0);
    ok("two publishers, %s: %llu joins and leaves of every kind, exact accounts",
       publishers == AETHER_PUBLISHERS_UNBIASED ? "unbiased" : "shared", (unsigned long long)joins);
}

/* ---- 4: a topic that evicts ---- */

/* Opens another subscription after each eviction. */
static void read_evicted(unsigned me) {
    aether_client *client = connect_as("slow reader");
    struct reading reading = open_reading(client, me, &(aether_subscribe_options){0});

    set(&stage->readers[me].joined, reading.expected + 1);
    while (!get(&stage->stop)) {
        if (read_some(&reading, (unsigned)reading.delivered) == 0)
            (void)aether_wait(reading.sub, 1000000);
        set(&stage->readers[me].next, reading.expected);
        if (reading.evicted && reading.lost != 0) {
            close_reading(&reading, me);
            reading = open_reading(client, me, &(aether_subscribe_options){0});
        }
    }
    close_reading(&reading, me);
    aether_disconnect(client);
}

static void evicted(void) {
    const unsigned rounds = 10;
    pid_t reader, pids[2];

    set_stage(AETHER_PUBLISHERS_SHARED, 0);
    stage->config.slow = AETHER_SLOW_EVICT;
    reader = start_reader(read_evicted, 0);
    for (unsigned i = 0; i < 2; i++)
        pids[i] = start_publisher(publish_until_stopped, i);
    for (unsigned round = 0; round < rounds; round++) {
        const uint64_t was = get(&stage->readers[0].evicted);
        freeze_child(reader);
        for (unsigned i = 0; i < 2; i++)
            await_told(i, 5 * stage->config.capacity);
        thaw_child(reader);
        AWAIT(get(&stage->readers[0].evicted) > was);
    }
    end_publisher(pids[0]);
    join_child(pids[1]);
    join_child(reader);
    REQUIRE(stage->readers[0].aborted == 0 && stage->readers[0].lost > 0);
    ok("two publishers go on without a stopped reader, which is told %llu evictions and exact gaps of %llu",
       (unsigned long long)stage->readers[0].evicted, (unsigned long long)stage->readers[0].lost);
}

/* ---- 5: a sandbox ---- */

/* From now on membarrier isn't allowed in this process. False: neither is this. */
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
    struct author author;
    int rc;

    REQUIRE(forbid_membarrier());
    client = connect_as("sandboxed");
    author = open_author(client, me);
    while (author.counter < stage->share) {
        const size_t len = author_fill(&author, author.buffer, 1);
        author_calls(&author, 1);
        rc = aether_publish(author.pub, author.buffer, len);
        if (rc == -ENOSYS) {
            REQUIRE(strstr(aether_errmsg(), "membarrier") != NULL && strstr(aether_errmsg(), "unbiased") != NULL);
            add(&stage->refused, 1);
            look_again();
        } else if (author_called(&author, 1, rc) == AETHER_FULL) {
            wait_for_room(&author);
        }
        REQUIRE(author.pub->biased == 0);
    }
    author_end(&author);
    aether_disconnect(client);
}

static void sandbox(void) {
    aether_client *client = connect_as("outside");
    struct author author;
    pid_t reader, other, boxed;

    set_stage(AETHER_PUBLISHERS_UNBIASED, 0);
    stage->share = 1000;
    reader = start_reader(sleep_reliably, 0);
    other = start_publisher(publish_until_stopped, 0);
    boxed = start_publisher(publish_in_sandbox, 1);
    join_child(boxed);
    end_publisher(other);
    join_child(reader);
    REQUIRE(stage->refused == 0 && stage->readers[0].heard[1] == 1000);
    REQUIRE(stage->readers[0].delivered == authors_told(authors));
    ok("in a sandbox without membarrier: on an unbiased topic, together with another one");

    set_stage(AETHER_PUBLISHERS_SHARED, 0);
    stage->share = 1000;
    reader = start_reader(sleep_reliably, 0);
    set(&stage->last, 1);
    boxed = start_publisher(publish_in_sandbox, 0);
    join_child(boxed);
    join_child(reader);
    REQUIRE(stage->refused == 0 && stage->readers[0].delivered == 1000);
    ok("in a sandbox without membarrier: alone on a shared topic");

    set_stage(AETHER_PUBLISHERS_SHARED, 0);
    stage->share = 1000;
    reader = start_reader(sleep_reliably, 0);
    author = open_author(client, 1);
    publish_patiently(&author, 2 * stage->config.capacity);
    REQUIRE(author.pub->biased == 1); /* and now it is idle */
    boxed = start_publisher(publish_in_sandbox, 2);
    AWAIT(get(&stage->refused) >= 3);
    REQUIRE(get(&authors->by[2].told) == 0 && author.pub->biased == 1);
    publish_patiently(&author, 1); /* it learns that another one wants to publish */
    REQUIRE(author.pub->biased == 0);
    AWAIT(get(&authors->by[2].told) > 0);
    publish_patiently(&author, 2 * stage->config.capacity);
    join_child(boxed);
    set(&stage->last, 1);
    author_end(&author);
    join_child(reader);
    REQUIRE(stage->readers[0].heard[2] == 1000);
    REQUIRE(stage->readers[0].delivered == authors_told(authors) && stage->readers[0].aborted == 0);
    aether_disconnect(client);
    ok("in a sandbox without membarrier: told of another's bias until that one publishes");
}

/* ---- 6: the end of the stream ---- */

#define ENDS 4u /* publishers */

static void leave(pid_t pid, unsigned author, bool killed) {
    if (killed) {
        kill_child(pid);
        return;
    }
    set(&stage->leave, get(&stage->leave) | 1ull << author);
    join_child(pid);
}

/* What was told has come, of the last call of one that was killed a first part, and all have heard the same. */
static void check_ended(const struct reader_state *state, bool reliable) {
    const struct reader_state *first = &stage->readers[0];

    REQUIRE(state->state == AETHER_STREAM_DIED && state->next == first->next);
    REQUIRE(!reliable || (state->aborted == first->aborted && state->lost == 0));
    for (unsigned i = 0; reliable && i < ENDS; i++) {
        const uint64_t told = get(&authors->by[i].told);
        REQUIRE(state->heard[i] >= told && state->heard[i] <= told + author_flying(authors, i));
        REQUIRE(state->heard[i] == first->heard[i]);
    }
}

/* One after the other goes, every second one killed: the stream is open until the last one goes, too. */
static void ends(bool last_is_killed) {
    const unsigned rounds = SANITIZED ? 5 : 20;
    uint64_t aborted = 0;

    for (unsigned round = 0; round < rounds; round++) {
        const unsigned first = (unsigned)(next_random(&seed) % ENDS), last = (first + ENDS - 1) % ENDS;
        pid_t readers[READERS], pids[ENDS];

        set_stage(round % 2 ? AETHER_PUBLISHERS_UNBIASED : AETHER_PUBLISHERS_SHARED, 0);
        for (unsigned i = 0; i < READERS; i++)
            readers[i] = start_reader(read_all, i);
        for (unsigned i = 0; i < ENDS; i++)
            pids[i] = start_publisher(publish_until_stopped, i);
        for (unsigned i = 0; i < ENDS; i++)
            await_told(i, 10);
        for (unsigned i = 0; i < ENDS - 1; i++) {
            leave(pids[(first + i) % ENDS], (first + i) % ENDS, i % 2 == 0);
            await_told(last, 3 * stage->config.capacity); /* the last one goes on, and readers find the stream open */
        }
        set(&stage->last, 1);
        leave(pids[last], last, last_is_killed);
        for (unsigned i = 0; i < READERS; i++) {
            join_child(readers[i]);
            check_ended(&stage->readers[i], i < 3);
        }
        aborted += stage->readers[0].aborted;
    }
    ok("%u streams of %u publishers end when the last one %s: all was received, %llu aborted", rounds, ENDS,
       last_is_killed ? "is killed" : "closes", (unsigned long long)aborted);
}

/* For how long a process was ready to run without running; 0 where the kernel doesn't count it. */
static uint64_t held_up_ns(pid_t pid) {
    unsigned long long ran, waited;
    char text[96], path[64];
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? waited : 0;
}

/*
 * A publisher is stopped with an open claim, a reader sleeps for that, and then the publisher is killed. Unless the
 * repair woke the reader, it would sleep on until its 250 ms are over: then most are that late.
 */
static void sleepers_are_woken(void) {
    aether_client *client = connect_as("the other");
    uint64_t worst = 0, repaired = 0;
    unsigned slept = 0, late = 0, author_id = 1;
    struct author author;
    pid_t reader;

    set_wide_stage();
    reader = start_reader(sleep_reliably, 0);
    author = open_author(client, 0);
    for (unsigned round = 0; slept < SLEEPS; round++) {
        const pid_t wide = start_publisher(publish_wide, author_id++);
        uint64_t seq, killed, held, delay;
        REQUIRE(round < 40 * SLEEPS && author_id < AUTHORS_MAX);
        await_told(author_id - 1, 1 + next_random(&seed) % WIDE);
        await_open_claim(author_id - 1);
        freeze_child(wide);
        for (int rc = AETHER_FULL; rc != 0;) { /* there is room, once the reader has read what there is */
            rc = publish_one(&author);
            if (rc != 0)
                wait_for_room(&author);
            if (rc != 0 && get(&stage->readers[0].next) + stage->config.capacity == aether_publisher_next(author.pub))
                break;
        }
        seq = aether_publisher_next(author.pub);
        AWAIT(get(&stage->readers[0].next) == seq || get(&stage->readers[0].waiting) != 0);
        for (unsigned i = 0; i < 5 && get(&stage->readers[0].next) != seq; i++) /* it falls asleep */
            look_again();
        held = held_up_ns(reader) + held_up_ns(test.daemon);
        killed = now_ns();
        kill_child(wide);
        if (get(&stage->readers[0].next) == seq)
            continue; /* it had no open claim */
        AWAIT(get(&stage->readers[0].next) == seq && get(&stage->readers[0].waiting) != 0);
        delay = get(&stage->readers[0].came_ns) - killed;
        slept++;
        late += delay > 200000000ull + held_up_ns(reader) + held_up_ns(test.daemon) - held;
        worst = delay > worst ? delay : worst;
        repaired += delay;
    }
    set(&stage->last, 1);
    author_end(&author);
    join_child(reader);
    printf("# from the kill to the wake-up: mean %llu us, worst %llu us\n",
           (unsigned long long)repaired / SLEEPS / 1000, (unsigned long long)worst / 1000);
    REQUIRE(late <= SLEEPS / 2);
    REQUIRE(stage->readers[0].aborted > 0);
    aether_disconnect(client);
    ok("a sleeper that waits for a dead publisher's claim is woken by the repair, %u times", slept);
}

int main(void) {
    static const unsigned counts[] = {2, 8, MANY};

    stage = share(sizeof *stage);
    authors = share(sizeof *authors);
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

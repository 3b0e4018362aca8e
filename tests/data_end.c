/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a stream: after the last message and not before, every subscriber sees that the publisher has closed or
 * died. So do subscribers that lag and subscribers that sleep, also if the daemon is killed and started meanwhile.
 * AETHER_TEST_SEED repeats a run.
 */
#include "lib/traffic.h"
#include <poll.h>

#define CAPACITY 64u
#define MAX_MESSAGE 3000u /* most messages lie in the lane */
#define ROUNDS (SANITIZED ? 8u : 20u)
#define SUBSCRIBERS 6u
#define DELAY_NS 20000000u

static struct stage {
    uint64_t round, opened, first, published;
    uint64_t ending; /* how the publisher is to end, an enum how; 0: it goes on */
    uint64_t stop;
    struct {
        uint64_t joined, asked; /* how often it found nothing and the stream open */
        uint64_t ended;         /* rounds whose end it has seen */
        uint64_t state, next;   /* then */
    } subscribers[SUBSCRIBERS];
} * stage;

static uint64_t seed;

static const aether_topic_config config = {.max_message = MAX_MESSAGE, .inline_max = 56, .capacity = CAPACITY};

/* How a publisher ends. */
enum how { CLOSE = 1, DISCONNECT, EXIT, KILL, CLOSE_WITHOUT_DAEMON, KILL_WITHOUT_DAEMON, KILL_BOTH };

static const char *const names[] = {"",
                                    "closes",
                                    "disconnects",
                                    "exits without a close",
                                    "is killed",
                                    "closes while no daemon runs",
                                    "is killed while no daemon runs",
                                    "is killed together with the daemon"};

static void publish_until_ended(unsigned round) {
    static unsigned char data[MAX_MESSAGE];
    aether_client *client = connect_as("publisher");
    aether_publisher *pub = NULL;
    uint64_t how;
    int rc;

    (void)round;
    AWAIT((rc = aether_publisher_open(client, "end", &config, &pub)) != -EBUSY);
    REQUIRE(rc == 0);
    set(&stage->first, aether_publisher_next(pub));
    set(&stage->published, aether_publisher_next(pub));
    add(&stage->opened, 1);
    while ((how = get(&stage->ending)) == 0) {
        const size_t len = payload_fill(data, aether_publisher_next(pub), MAX_MESSAGE);
        REQUIRE(aether_publish_wait(pub, data, len, 10000000) >= 0);
        made_step();
        set(&stage->published, aether_publisher_next(pub));
        if (mix(aether_publisher_next(pub)) % 16 == 0)
            poll_pause();
    }
    if (how == EXIT)
        _exit(0);
    if (how == CLOSE)
        aether_publisher_close(pub);
    aether_disconnect(client);
}

/* ---- subscribers ---- */

struct waiter {
    struct test_subscriber subscriber;
    aether_notifier *notifier;
    aether_idle_state idle;
};

/* Waits for the next message or the end; each subscriber does that in its own way. */
static void wait_for_more(struct waiter *waiter, unsigned me) {
    struct pollfd event = {.events = POLLIN};

    if (me == 0) {
        sched_yield();
    } else if (me == 4) {
        aether_notifier_arm(waiter->notifier);
        event.fd = aether_notifier_fd(waiter->notifier);
        (void)poll(&event, 1, 300);
    } else if (me == 5) {
        aether_idle(&waiter->idle, 0);
    } else {
        REQUIRE(aether_wait(waiter->subscriber.sub, 300000000) >= 0);
    }
}

/* Receives until the stream has ended; returns how it has ended. */
static aether_stream receive_to_end(struct waiter *waiter, unsigned me) {
    for (;;) {
        const aether_stream state = aether_subscriber_stream(waiter->subscriber.sub);
        const int n =
            receive_some(&waiter->subscriber, me == 0 ? 0 : me); /* subscriber 0 lags: it receives one at a time */

        REQUIRE(state != AETHER_STREAM_NONE);
        if (state >= AETHER_STREAM_CLOSED) {
            REQUIRE(n == 0); /* nothing after the end */
            return state;
        }
        if (me == 0)
            sched_yield();
        if (n > 0)
            continue;
        add(&stage->subscribers[me].asked, 1);
        wait_for_more(waiter, me);
    }
}

static void receive_rounds(unsigned me) {
    static const aether_policy policies[SUBSCRIBERS] = {AETHER_RELIABLE, AETHER_RELIABLE, AETHER_BEST_EFFORT,
                                                        AETHER_LATEST,   AETHER_RELIABLE, AETHER_RELIABLE};
    const aether_subscribe_options options = {.policy = policies[me]};
    const bool reliable = policies[me] == AETHER_RELIABLE;
    struct waiter waiter = {
        .subscriber = {.max_message = MAX_MESSAGE, .gaps_allowed = !reliable, .aborts_allowed = true}};
    aether_client *client = connect_as("subscriber");

    waiter.subscriber.latest = policies[me] == AETHER_LATEST;
    REQUIRE(aether_subscriber_open(client, "end", &options, &config, &waiter.subscriber.sub) == 0);
    REQUIRE(aether_subscriber_stream(waiter.subscriber.sub) == AETHER_STREAM_NONE);
    waiter.subscriber.expected = waiter.subscriber.kept_from = aether_subscriber_next(waiter.subscriber.sub);
    if (me == 4)
        REQUIRE(aether_notifier_open(waiter.subscriber.sub, &waiter.notifier) == 0);
    aether_idle_init(&waiter.idle, AETHER_IDLE_ADAPTIVE, 0);
    aether_idle_watch(&waiter.idle, waiter.subscriber.sub);
    set(&stage->subscribers[me].joined, 1);
    for (uint64_t round = 1; !get(&stage->stop); round++) {
        AWAIT_PARENT(get(&stage->round) == round || get(&stage->stop));
        if (get(&stage->stop))
            break;
        stage->subscribers[me].state = (uint64_t)receive_to_end(&waiter, me);
        /* Its position, not what it expects: a latest subscriber expects what was aborted last, and has passed it. */
        stage->subscribers[me].next = aether_subscriber_next(waiter.subscriber.sub);
        (void)aether_wait(waiter.subscriber.sub, 0); /* returns 1 if it hasn't reported this end yet */
        REQUIRE(aether_wait(waiter.subscriber.sub, 0) == 0);
        set(&stage->subscribers[me].ended, round);
    }
    check_conserved(&waiter.subscriber);
    aether_notifier_close(waiter.notifier);
    aether_subscriber_close(waiter.subscriber.sub);
    aether_disconnect(client);
}

/* ---- ends ---- */

static void await_ends(uint64_t round) {
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        AWAIT_PROGRESS(all_steps(), get(&stage->subscribers[i].ended) == round);
}

/* All subscribers have received everything, and the stream is still open for them. */
static void await_open_at_end(uint64_t round) {
    uint64_t asked[SUBSCRIBERS];

    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        asked[i] = get(&stage->subscribers[i].asked);
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        AWAIT_PROGRESS(all_steps(), get(&stage->subscribers[i].asked) >= asked[i] + 2);
        REQUIRE(get(&stage->subscribers[i].ended) < round);
    }
}

static void end_publisher(enum how how, pid_t publisher, uint64_t round) {
    const bool no_daemon = how >= CLOSE_WITHOUT_DAEMON;

    random_delay(&seed, DELAY_NS);
    if (no_daemon && how != KILL_BOTH)
        daemon_kill();
    if (how == KILL || how == KILL_WITHOUT_DAEMON || how == KILL_BOTH) {
        kill_child(publisher);
    } else {
        set(&stage->ending, how == CLOSE_WITHOUT_DAEMON ? CLOSE : how);
        join_child(publisher);
    }
    if (how == KILL_BOTH)
        daemon_kill();
    if (how == KILL_WITHOUT_DAEMON)
        await_open_at_end(round); /* without a daemon there is no proof of its death */
    if (how == CLOSE_WITHOUT_DAEMON)
        await_ends(round); /* needs no daemon */
    random_delay(&seed, DELAY_NS);
    if (no_daemon)
        daemon_start();
    await_ends(round);
}

static uint64_t rounds;

static pid_t next_publisher(void) {
    pid_t pid;

    set(&stage->ending, 0);
    pid = spawn(publish_until_ended, (unsigned)rounds);
    AWAIT_PROGRESS(steps_of(pid), get(&stage->opened) == rounds + 1);
    return pid;
}

static pid_t run(enum how how, pid_t publisher) {
    const bool died = how == KILL || how == EXIT || how == KILL_WITHOUT_DAEMON || how == KILL_BOTH;

    const unsigned turns =
        how == KILL_WITHOUT_DAEMON ? ROUNDS / 4 : ROUNDS; /* it takes long to wait for nothing to happen */

    for (unsigned i = 0; i < turns; i++) {
        const uint64_t from = get(&stage->published);
        set(&stage->round, ++rounds);
        AWAIT_PROGRESS(get(&stage->published), get(&stage->published) >= from + CAPACITY);
        end_publisher(how, publisher, rounds);
        /* The successor begins where the stream had ended. */
        publisher = next_publisher();
        for (unsigned r = 0; r < SUBSCRIBERS; r++) {
            REQUIRE(stage->subscribers[r].state == (died ? AETHER_STREAM_DIED : AETHER_STREAM_CLOSED));
            REQUIRE(stage->subscribers[r].next == get(&stage->first));
        }
    }
    ok("a publisher %s: seen after the last message by all, %u times", names[how], turns);
    return publisher;
}

int main(void) {
    pid_t subscribers[SUBSCRIBERS], publisher;

    stage = share(sizeof *stage);
    test_begin(KILL_BOTH);
    seed = setting("AETHER_TEST_SEED", 1);
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        subscribers[i] = spawn(receive_rounds, i);
        AWAIT(get(&stage->subscribers[i].joined) != 0);
    }
    publisher = next_publisher();
    for (int how = CLOSE; how <= KILL_BOTH; how++)
        publisher = run((enum how)how, publisher);
    set(&stage->round, ++rounds);
    end_publisher(CLOSE, publisher, rounds);
    set(&stage->stop, 1);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        join_child(subscribers[i]);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A forked child has none of its parent's shared memory: whatever it does with an inherited handle, loan or view ends
 * it with SIGSEGV, and its parent goes on as if nothing had happened.
 */
#include "lib/traffic.h"

#ifdef AE_TSAN

int main(void) {
    printf("1..0 # SKIP ThreadSanitizer maps memory of its own in a forked child, where the parent's was\n");
    return 0;
}

#else

#define SMALL 40u
#define LARGE 9000u
#define LANE 32768u

/* A publisher and subscribers of one process, with views and a loan. */
static struct family {
    aether_client *client;
    aether_publisher *pub;
    struct test_subscriber subscribers[3]; /* reliable, best effort in place, best effort */
    aether_message small, large;           /* views into ring and lane */
    aether_loan loan;
} family;

static unsigned char data[LANE];

static size_t large_or_small(uint64_t seq, size_t max) {
    (void)max;
    return seq % 2 != 0 ? LARGE : SMALL;
}

static void publish_pair(void) {
    for (unsigned i = 0; i < 2; i++)
        REQUIRE(aether_publish(family.pub, data, payload_fill(data, aether_publisher_next(family.pub), LANE)) == 0);
}

static void set_up(void) {
    static const aether_subscribe_options options[3] = {
        {0}, {.policy = AETHER_BEST_EFFORT, .views = AETHER_VIEWS_IN_PLACE}, {.policy = AETHER_BEST_EFFORT}};
    const aether_topic_config config = {.max_message = LANE, .lane_bytes = LANE, .capacity = 16};

    payload_len = large_or_small;
    family.client = connect_as("family");
    REQUIRE(aether_publisher_open(family.client, "fork", &config, &family.pub) == 0);
    for (unsigned i = 0; i < 3; i++) {
        family.subscribers[i] = (struct test_subscriber){.max_message = LANE, .in_place = i == 1};
        REQUIRE(aether_subscriber_open(family.client, "fork", &options[i], NULL, &family.subscribers[i].sub) == 0);
        family.subscribers[i].expected = aether_subscriber_next(family.subscribers[i].sub);
    }
}

/* ---- what a child does ---- */

static int nothing(void) {
    return 0;
}

static int publishes_small(void) {
    return aether_publish(family.pub, data, SMALL);
}

static int publishes_large(void) {
    return aether_publish(family.pub, data, LARGE);
}

static int gathers(void) {
    const struct iovec pieces[2] = {{data, SMALL}, {data, 1}};

    return aether_publish_gather(family.pub, pieces, 2);
}

static int publishes_batch(void) {
    const struct iovec messages[2] = {{data, SMALL}, {data, LARGE}};

    return aether_publish_batch(family.pub, messages, 2);
}

static int writes_to_loan(void) {
    memset(family.loan.data, 1, 1);
    return 0;
}

static int commits_loan(void) {
    return aether_loan_commit(family.pub, &family.loan);
}

static int takes_loan(void) {
    aether_loan loan;

    return aether_loan_take(family.pub, LARGE, &loan);
}

static int reads_small_view(void) {
    return *(const volatile unsigned char *)family.small.data;
}

static int reads_large_view(void) {
    return *(const volatile unsigned char *)family.large.data;
}

static int receives(unsigned subscriber) {
    aether_message message;

    return aether_receive(family.subscribers[subscriber].sub, &message);
}

static int receives_reliable(void) {
    return receives(0);
}

static int receives_in_place(void) {
    return receives(1);
}

static int receives_copies(void) {
    return receives(2);
}

static int receives_batch(void) {
    aether_message messages[4];

    return aether_receive_batch(family.subscribers[0].sub, messages, 4);
}

static int waits(void) {
    return aether_wait(family.subscribers[0].sub, 1);
}

static int asks_for_validity(void) {
    return aether_still_valid(family.subscribers[1].sub, &family.large);
}

static int asks_for_stream(void) {
    return (int)aether_subscriber_stream(family.subscribers[0].sub);
}

static const struct {
    const char *what;
    int (*act)(void);
    int signal;
} acts[] = {
    {"does nothing", nothing, 0},
    {"publishes a small message", publishes_small, SIGSEGV},
    {"publishes a large message", publishes_large, SIGSEGV},
    {"gathers", gathers, SIGSEGV},
    {"publishes a batch", publishes_batch, SIGSEGV},
    {"writes to an open loan", writes_to_loan, SIGSEGV},
    {"commits a loan", commits_loan, SIGSEGV},
    {"takes a loan", takes_loan, SIGSEGV},
    {"looks at a view into the ring", reads_small_view, SIGSEGV},
    {"looks at a view into the lane", reads_large_view, SIGSEGV},
    {"receives, reliable", receives_reliable, SIGSEGV},
    {"receives, best effort in place", receives_in_place, SIGSEGV},
    {"receives, best effort", receives_copies, SIGSEGV},
    {"receives a batch", receives_batch, SIGSEGV},
    {"waits", waits, SIGSEGV},
    {"asks whether a view is valid", asks_for_validity, SIGSEGV},
    {"asks for the stream's state", asks_for_stream, SIGSEGV},
};

#define ACTS (sizeof acts / sizeof acts[0])

static void act(unsigned which) {
    signal(SIGSEGV, SIG_DFL); /* a sanitizer has a handler */
    (void)acts[which].act();
}

/*
 * The parent goes on around a child. It holds a view into the ring and one into the lane, and a loan that is half
 * filled.
 */
static void live_with(unsigned which) {
    const uint64_t next = aether_publisher_next(family.pub);
    aether_message message;
    int status;

    publish_pair();
    publish_pair();
    REQUIRE(aether_loan_take(family.pub, LARGE, &family.loan) == 0);
    memset(family.loan.data, 0xaa, LARGE);
    for (unsigned i = 0; i < 2; i++) { /* reliable, and the topic waits: both views stay valid */
        REQUIRE(aether_receive(family.subscribers[0].sub, &message) == 1);
        check_entry(&family.subscribers[0], &message);
        *(i == 0 ? &family.small : &family.large) = message;
    }
    status = reap(spawn(act, which));
    if (acts[which].signal == 0 ? status != 0 : !WIFSIGNALED(status) || WTERMSIG(status) != acts[which].signal)
        fail("a child that %s: status %#x", acts[which].what, (unsigned)status);
    REQUIRE(payload_right(&family.small, LANE) && payload_right(&family.large, LANE));
    for (unsigned i = 0; i < LARGE; i++)
        REQUIRE(((unsigned char *)family.loan.data)[i] == 0xaa);
    REQUIRE(aether_publisher_next(family.pub) == next + 4);
    REQUIRE(aether_loan_discard(family.pub, &family.loan) == 0);
    for (unsigned i = 0; i < 3; i++) {
        while (receive_some(&family.subscribers[i], which) > 0)
            ;
        REQUIRE(family.subscribers[i].expected == next + 4);
        check_conserved(&family.subscribers[i]);
    }
    ok("a child that %s%s; its parent goes on", acts[which].what, acts[which].signal ? " gets SIGSEGV" : "");
}

/* ---- what a child has ---- */

static unsigned shared_mappings(void) {
    FILE *file = fopen("/proc/self/maps", "re");
    unsigned count = 0;
    char line[512];

    REQUIRE(file != NULL);
    while (fgets(line, sizeof line, file) != NULL)
        count += strstr(line, "/dev/shm/aether-") != NULL || strstr(line, "memfd:aether") != NULL;
    fclose(file);
    return count;
}

static void has_no_mapping(unsigned arg) {
    (void)arg;
    REQUIRE(shared_mappings() == 0);
}

/* A child that connects by itself takes part as any other process does. */
static void takes_part(unsigned arg) {
    aether_client *client = connect_as("child");
    const aether_subscribe_options options = {.from = AETHER_FROM_LAST, .last = 1};
    aether_subscriber *sub;
    aether_message message;

    (void)arg;
    REQUIRE(aether_subscriber_open(client, "fork", &options, NULL, &sub) == 0);
    REQUIRE(aether_receive(sub, &message) == 1 && payload_right(&message, LANE));
    aether_subscriber_close(sub);
    aether_disconnect(client);
}

/* ---- a parent's death while its child lives, which has its connection ---- */

static uint64_t *orphan; /* the child's pid, in shared memory */

static void has_a_child(unsigned arg) {
    aether_client *client = connect_as("parent");
    aether_publisher *pub;
    pid_t child;

    (void)arg;
    REQUIRE(aether_publisher_open(client, "orphan", NULL, &pub) == 0);
    if ((child = fork()) == 0) {
        for (;;)
            pause();
    }
    REQUIRE(child > 0);
    set(orphan, (uint64_t)child);
    for (;;)
        pause();
}

static void death_is_noticed(void) {
    const aether_subscribe_options options = {.policy = AETHER_BEST_EFFORT};
    aether_subscriber *sub;
    pid_t parent;

    orphan = share(sizeof *orphan);
    REQUIRE(aether_subscriber_open(family.client, "orphan", &options, NULL, &sub) == 0);
    parent = spawn(has_a_child, 0);
    AWAIT(get(orphan) != 0);
    REQUIRE(aether_subscriber_stream(sub) == AETHER_STREAM_OPEN);
    kill_child(parent);
    AWAIT(aether_subscriber_stream(sub) == AETHER_STREAM_DIED);
    REQUIRE(kill((pid_t)get(orphan), 0) == 0);
    REQUIRE(kill((pid_t)get(orphan), SIGKILL) == 0);
    aether_subscriber_close(sub);
    ok("a publisher's death is noticed while its child has the connection");
}

int main(void) {
    test_begin(ACTS + 3);
    set_up();
    for (unsigned i = 0; i < ACTS; i++)
        live_with(i);
    REQUIRE(shared_mappings() >= 4); /* token, log, cursors, and a log again */
    join_child(spawn(has_no_mapping, 0));
    ok("a child has no mapping of token, log and cursors");
    join_child(spawn(takes_part, 0));
    ok("a child that connects for itself takes part");
    death_is_noticed();
    aether_disconnect(family.client);
    return 0;
}

#endif

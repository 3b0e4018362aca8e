/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A publisher without room learns whom it waits for: the program's pid, name and state, how far that is behind, and how
 * much of the lane it holds. In each case a program is stopped, killed or stuck, the publisher waits without a time
 * limit, and the client's handler checks what it is told and ends the stall.
 */
#include "lib/process.h"
#include <dirent.h>
#include <poll.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define CAPACITY 16u
#define LANE 65536u
#define LARGE 16384u
#define AFTER_NS 20000000u

static struct stage {
    uint64_t joined; /* children that are ready to be stopped */
    uint64_t stop;   /* children that read end now */
} * stage;

static const aether_topic_config config = {.capacity = CAPACITY, .max_message = 64};
static const aether_topic_config large = {.capacity = 64, .max_message = LARGE, .lane_bytes = LANE};

/* What the handler was told. */
static struct told {
    aether_publisher *pub;
    aether_stall stall;
    unsigned calls;
    void (*end)(void);  /* ends the stall */
    int again_rc;       /* what aether_publisher_stall() fails with; 0: it doesn't */
    unsigned connects;  /* that this process has made until now */
    uint64_t polled_ms; /* the sum of what it asked poll() to wait */
} told;

/* In place of libc's, also for the library: they count what a notice does, which no clock of a busy machine tells. */
__attribute__((visibility("default"))) int connect(int sock, __CONST_SOCKADDR_ARG address, socklen_t len) {
    told.connects++;
    return (int)syscall(SYS_connect, sock, address.__sockaddr__, len);
}

__attribute__((visibility("default"))) int poll(struct pollfd *entries, nfds_t count, int timeout) {
    struct timespec wait = {.tv_sec = timeout / 1000, .tv_nsec = (long)(timeout % 1000) * 1000000};

    if (timeout > 0)
        told.polled_ms += (uint64_t)timeout;
    return (int)syscall(SYS_ppoll, entries, count, timeout < 0 ? NULL : &wait, NULL, (size_t)8);
}

static pid_t culprit;
static const char *topic;

static void on_stall(void *context, aether_publisher *pub, const aether_stall *stall) {
    aether_stall again;

    REQUIRE(context == &told && pub == told.pub);
    told.stall = *stall;
    told.calls++;
    REQUIRE(aether_publisher_stall(pub, &again) == (told.again_rc != 0 ? told.again_rc : 1));
    REQUIRE(again.waits == stall->waits && again.pid == stall->pid && again.waited_ns >= stall->waited_ns);
    if (told.end != NULL)
        told.end();
}

static aether_client *connect_noticing(void) {
    const aether_connect_options options = {.socket_path = test.socket,
                                            .name = "camera",
                                            .on_stall = on_stall,
                                            .stall_context = &told,
                                            .stall_after_ns = AFTER_NS};
    aether_client *client = NULL;

    REQUIRE(aether_connect(&client, &options) == 0);
    return client;
}

/* ---- the culprits ---- */

static void read_for_ever(aether_subscriber *sub) {
    while (get(&stage->stop) == 0) {
        aether_message m;
        REQUIRE(aether_receive_wait(sub, &m, 10000000u) >= 0);
    }
}

static void subscribe(unsigned is_large) {
    aether_client *client = connect_as("viewer");
    aether_subscriber *sub;

    REQUIRE(aether_subscriber_open(client, topic, NULL, is_large ? &large : &config, &sub) == 0);
    add(&stage->joined, 1);
    read_for_ever(sub);
    aether_disconnect(client);
}

/* Stops itself between claim and commit. */
static void claim_and_stop(unsigned unused) {
    aether_client *client = connect_as("other");
    aether_publisher *pub;
    uint64_t word = 7;

    (void)unused;
    REQUIRE(aether_publisher_open(client, topic, &config, &pub) == 0);
    /* The first ones take the slow path: one finds room, another one may be stamped. */
    do
        REQUIRE(aether_publish(pub, &word, sizeof word) == 0);
    while (!ae_claim_inline(pub, 1));
    add(&stage->joined, 1);
    REQUIRE(raise(SIGSTOP) == 0);
    ae_write_slot(pub, aether_publisher_next(pub) - 1, &word, sizeof word);
    while (get(&stage->stop) == 0)
        poll_pause();
    aether_disconnect(client);
}

static pid_t stopped(void (*play)(unsigned), unsigned arg) {
    const uint64_t joined = get(&stage->joined);
    const pid_t pid = spawn(play, arg);

    AWAIT(get(&stage->joined) == joined + 1);
    freeze_child(pid);
    return pid;
}

static void thaw(void) {
    thaw_child(culprit);
}

static void end_child(pid_t pid) {
    set(&stage->stop, 1);
    join_child(pid);
    set(&stage->stop, 0);
}

/* ---- the publisher ---- */

static void publish_until_full(aether_publisher *pub, size_t len) {
    static const unsigned char data[LARGE];
    int rc;

    while ((rc = aether_publish(pub, data, len)) == 0)
        continue;
    REQUIRE(rc == AETHER_FULL);
}

/* Publishes until it is told of a stall, which `end` ends, and the message gets through. */
static void stall_once(aether_publisher *pub, size_t len, void (*end)(void)) {
    static const unsigned char data[LARGE];

    told = (struct told){.pub = pub, .end = end, .again_rc = told.again_rc};
    publish_until_full(pub, len);
    REQUIRE(aether_publish_wait(pub, data, len, AETHER_FOREVER) == 0);
    REQUIRE(told.calls >= 1 && told.stall.waited_ns >= AFTER_NS);
    REQUIRE(strcmp(told.stall.topic, topic) == 0);
}

static void require_named(const char *name, pid_t pid, const char *states) {
    if (told.stall.pid != (uint32_t)pid || strcmp(told.stall.client, name) != 0 ||
        strchr(states, told.stall.process) == NULL)
        fail("told of '%s' (pid %u, %c), not of '%s' (pid %d, %s)", told.stall.client, told.stall.pid,
             told.stall.process, name, (int)pid, states);
    REQUIRE(told.stall.client_id != 0);
}

static aether_publisher *open_on(aether_client *client, const char *name, const aether_topic_config *with) {
    aether_publisher *pub;

    topic = name;
    REQUIRE(aether_publisher_open(client, name, with, &pub) == 0);
    return pub;
}

/* ---- cases ---- */

static void stopped_subscriber(void) {
    aether_client *client = connect_noticing();
    aether_publisher *pub = open_on(client, "stopped", &config);
    aether_stall stall;

    REQUIRE(aether_publisher_stall(pub, &stall) == 0 && stall.waits == AETHER_WAITS_NOT && stall.pid == 0);
    culprit = stopped(subscribe, 0);
    stall_once(pub, 8, thaw);
    require_named("viewer", culprit, "T");
    REQUIRE(told.stall.waits == AETHER_WAITS_SUBSCRIBER && told.stall.lag == CAPACITY && told.stall.others == 0);
    REQUIRE(told.stall.daemon == 1 && told.stall.lane_bytes == 0);
    REQUIRE(aether_publisher_stall(pub, &stall) == 0);
    end_child(culprit);
    aether_disconnect(client);
    ok("a stopped subscriber");
}

static pid_t first;

static void thaw_two(void) {
    thaw_child(first);
    thaw();
}

static void two_subscribers(void) {
    aether_client *client = connect_noticing();
    aether_publisher *pub = open_on(client, "two", &config);

    first = stopped(subscribe, 0);
    culprit = stopped(subscribe, 0);
    stall_once(pub, 8, thaw_two);
    REQUIRE(told.stall.pid == (uint32_t)first || told.stall.pid == (uint32_t)culprit);
    REQUIRE(told.stall.lag == CAPACITY && told.stall.others == 1);
    set(&stage->stop, 1);
    join_child(first);
    end_child(culprit);
    aether_disconnect(client);
    ok("two stopped subscribers: one is named, the other one is counted");
}

static void release_debugger(void) {
    REQUIRE(ptrace(PTRACE_DETACH, culprit, NULL, NULL) == 0);
}

static void debugged_subscriber(void) {
    aether_client *client = connect_noticing();
    aether_publisher *pub = open_on(client, "debugged", &config);
    const uint64_t joined = get(&stage->joined);
    int status;

    culprit = spawn(subscribe, 0);
    AWAIT(get(&stage->joined) == joined + 1);
    if (ptrace(PTRACE_ATTACH, culprit, NULL, NULL) == 0) {
        REQUIRE(waitpid(culprit, &status, __WALL) == culprit && WIFSTOPPED(status));
        stall_once(pub, 8, release_debugger);
        require_named("viewer", culprit, "t");
        ok("a subscriber in a debugger");
    } else {
        ok("a subscriber in a debugger # SKIP no ptrace here");
    }
    end_child(culprit);
    aether_disconnect(client);
}

/* As programs have it. */
static void loop_on_full(void) {
    aether_client *client = connect_noticing();
    aether_publisher *pub = open_on(client, "loop", &config);
    aether_idle_state idle = {0};
    uint64_t word = 1;
    int rc;

    culprit = stopped(subscribe, 0);
    told = (struct told){.pub = pub};
    while (told.calls < 3) {
        REQUIRE((rc = aether_publish(pub, &word, sizeof word)) >= 0);
        aether_idle(&idle, rc == 0);
    }
    require_named("viewer", culprit, "T");
    thaw();
    end_child(culprit);
    aether_disconnect(client);
    ok("a loop on AETHER_FULL is told again and again");
}

static int pipe_end;

static void close_pipe(void) {
    close(pipe_end);
}

static void unread_pipe(void) {
    aether_client *client = connect_noticing();
    aether_publisher *pub = open_on(client, "pipe", &config);
    int ends[2];

    REQUIRE(pipe(ends) == 0);
    culprit = fork_tied();
    if (culprit == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execl(getenv("AETHER_CLI"), "aether-cli", "--socket", test.socket, "sub", "pipe", "--policy", "reliable",
              (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    pipe_end = ends[0];
    AWAIT(aether_publisher_subscribers(pub) == 1);
    /* It may still be opening: until it has joined, publishers don't wait for it. It stops when the pipe is full. */
    told = (struct told){.pub = pub, .end = close_pipe};
    for (uint64_t word = 0; told.calls == 0;)
        REQUIRE(aether_publish_wait(pub, &word, sizeof word, AETHER_FOREVER) == 0);
    if (told.stall.pid != (uint32_t)culprit || strstr(told.stall.client, "aether-cli") == NULL)
        fail("told of '%s' (pid %u)", told.stall.client, told.stall.pid);
    REQUIRE(strchr("SRD", told.stall.process) != NULL && told.stall.daemon == 1);
    REQUIRE(waitpid(culprit, NULL, 0) == culprit);
    aether_disconnect(client);
    ok("a pipe that nobody reads");
}

/* Without a daemon nobody frees what the dead one holds; the names are there all the same. */
static void without_daemon(void) {
    aether_client *client = connect_noticing();
    aether_publisher *pub = open_on(client, "dead", &config);

    culprit = stopped(subscribe, 0);
    daemon_kill();
    kill_child(culprit);
    stall_once(pub, 8, daemon_start);
    require_named("viewer", culprit, "X");
    REQUIRE(told.stall.daemon == 0 && told.stall.lag == CAPACITY);
    aether_disconnect(client);
    ok("a dead subscriber, and no aetherd");
}

/* Finds the name of the test daemon's registry in /dev/shm: the one that states its socket. */
static void registry_path(char path[300]) {
    DIR *dir = opendir("/dev/shm");
    struct dirent *entry;
    char at[128] = "";

    REQUIRE(dir != NULL);
    while (strcmp(at, test.socket) != 0 && (entry = readdir(dir)) != NULL) {
        snprintf(path, 300, "/dev/shm/%s", entry->d_name);
        const int fd = strstr(path, ".registry") != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (fd >= 0 && pread(fd, at, sizeof at, 128) != (ssize_t)sizeof at)
            at[0] = '\0';
        if (fd >= 0)
            close(fd);
    }
    closedir(dir);
    REQUIRE(strcmp(at, test.socket) == 0);
}

/*
 * A stopped aetherd delays no publisher: it isn't asked where names do; and where they don't, and notice and handler
 * ask it each, it has 50 ms to answer, and then there are no names.
 */
static void stopped_daemon(void) {
    aether_client *client = connect_noticing();
    aether_publisher *pub = open_on(client, "halted", &config);
    char path[300], other[sizeof path + 8];

    culprit = stopped(subscribe, 0);
    freeze_child(test.daemon);
    stall_once(pub, 8, thaw);
    require_named("viewer", culprit, "T");
    REQUIRE(told.stall.daemon == 1 && told.stall.lag == CAPACITY);
    REQUIRE(told.connects == 0 && told.polled_ms == 0);
    ok("a stopped aetherd: it isn't asked");

    registry_path(path);
    snprintf(other, sizeof other, "%s.hidden", path);
    REQUIRE(rename(path, other) == 0);
    freeze_child(culprit);
    told.again_rc = -ETIMEDOUT;
    stall_once(pub, 8, thaw);
    told.again_rc = 0;
    REQUIRE(rename(other, path) == 0);
    REQUIRE(told.stall.waits == AETHER_WAITS_SUBSCRIBER && told.stall.lag == CAPACITY && told.stall.daemon == 1);
    REQUIRE(told.stall.pid == 0 && told.stall.client[0] == '\0' && told.stall.process == '?');
    REQUIRE(told.connects > 0 && told.polled_ms < (uint64_t)told.calls * 2 * 100);
    thaw_child(test.daemon);
    end_child(culprit);
    aether_disconnect(client);
    ok("a stopped aetherd, and no names: the notice comes all the same");
}

static aether_subscriber *subscribe_as(const char *name, aether_client **client) {
    aether_subscriber *sub;

    *client = connect_as(name);
    REQUIRE(aether_subscriber_open(*client, topic, NULL, NULL, &sub) == 0);
    return sub;
}

/* A subscriber leaves, and the next one gets its record, before the publisher is asked for whom it waits. */
static void next_holder(void) {
    aether_client *client = connect_noticing(), *viewers[2];
    aether_publisher *pub = open_on(client, "next", &config);
    aether_subscriber *sub, *next;
    aether_stall stall;
    int known;

    told = (struct told){.pub = pub};
    do {
        sub = subscribe_as("first", &viewers[0]);
        publish_until_full(pub, 8);
        publish_until_full(pub, 8);
        aether_subscriber_close(sub);
        next = subscribe_as("second", &viewers[1]);
        known = aether_publisher_stall(pub, &stall); /* 0: on a slow machine it is too long ago */
        if (known == 0)
            aether_subscriber_close(next);
        aether_disconnect(viewers[0]);
        if (known == 0)
            aether_disconnect(viewers[1]);
    } while (known == 0);
    if (known != 1 || stall.pid != 0 || stall.client[0] != '\0' || stall.lag != 0)
        fail("%d: waits for '%s', pid %u, lag %llu", known, stall.client, stall.pid, (unsigned long long)stall.lag);
    /* The publisher has room, and later waits for that subscriber. */
    do
        publish_until_full(pub, 8);
    while (aether_publisher_stall(pub, &stall) == 0);
    REQUIRE(strcmp(stall.client, "second") == 0 && stall.lag == CAPACITY);
    aether_disconnect(viewers[1]);
    aether_disconnect(client);
    ok("the next holder of a subscriber's record isn't named for it");
}

static void lane_room(void) {
    aether_client *client = connect_noticing();
    aether_publisher *pub = open_on(client, "lane", &large);

    culprit = stopped(subscribe, 1);
    stall_once(pub, LARGE, thaw);
    require_named("viewer", culprit, "T");
    REQUIRE(told.stall.waits == AETHER_WAITS_LANE && told.stall.lag == LANE / LARGE);
    REQUIRE(told.stall.lane_bytes == LANE);
    end_child(culprit);
    aether_disconnect(client);
    ok("lane room");
}

static void stopped_publisher(void) {
    aether_client *client = connect_noticing();
    aether_publisher *pub = open_on(client, "claim", &config);

    culprit = spawn(claim_and_stop, 0);
    AWAIT(get(&stage->joined) > 0 && waitpid(culprit, &(int){0}, WUNTRACED | WNOHANG) == culprit);
    stall_once(pub, 8, thaw);
    require_named("other", culprit, "T");
    REQUIRE(told.stall.waits == AETHER_WAITS_PUBLISHER && told.stall.lag == CAPACITY && told.stall.others == 0);
    end_child(culprit);
    aether_disconnect(client);
    ok("a publisher that is stopped in its claim");
}

static void own_loans(void) {
    aether_client *client = connect_noticing();
    aether_publisher *pub = open_on(client, "loans", &large);
    aether_loan loans[LANE / LARGE + 1];
    aether_stall stall;
    unsigned count = 0;
    int rc;

    told = (struct told){.pub = pub};
    while ((rc = aether_loan_take(pub, LARGE, &loans[count])) == 0)
        count++;
    REQUIRE(rc == -ENOBUFS && count == LANE / LARGE);
    REQUIRE(aether_publisher_stall(pub, &stall) == 1 && stall.waits == AETHER_WAITS_LOANS);
    REQUIRE(stall.pid == (uint32_t)getpid() && strcmp(stall.client, "camera") == 0);
    REQUIRE(stall.lane_bytes == LANE && stall.lag == 0);
    while (told.calls == 0)
        REQUIRE(aether_loan_take(pub, LARGE, &loans[count]) == -ENOBUFS && strstr(aether_errmsg(), "loans") != NULL);
    require_named("camera", getpid(), "R");
    REQUIRE(aether_loan_discard(pub, &loans[0]) == 0);
    REQUIRE(aether_loan_take(pub, LARGE, &loans[0]) == 0 && aether_publisher_stall(pub, &stall) == 0);
    aether_disconnect(client);
    ok("loans of its own");
}

static aether_client *own_client;
static aether_subscriber *own_sub;

static void close_own(void) {
    aether_publisher *other;

    aether_subscriber_close(own_sub);
    REQUIRE(aether_publisher_open(own_client, "another", NULL, &other) == 0);
    aether_publisher_close(other);
}

static void handler_closes(void) {
    aether_publisher *pub;

    own_client = connect_noticing();
    pub = open_on(own_client, "own", &config);
    REQUIRE(aether_subscriber_open(own_client, topic, NULL, &config, &own_sub) == 0);
    stall_once(pub, 8, close_own);
    require_named("camera", getpid(), "R");
    REQUIRE(told.calls == 1);
    aether_disconnect(own_client);
    ok("a handler closes the subscriber that is waited for, of the same client, and opens another handle");
}

static void counts_subscribers(void) {
    aether_client *client = connect_noticing();
    aether_publisher *pub = open_on(client, "count", &config);
    const aether_subscribe_options best_effort = {.policy = AETHER_BEST_EFFORT};
    aether_subscriber *subs[2];

    REQUIRE(aether_publisher_subscribers(pub) == 0);
    REQUIRE(aether_subscriber_open(client, topic, NULL, NULL, &subs[0]) == 0);
    REQUIRE(aether_subscriber_open(client, topic, &best_effort, NULL, &subs[1]) == 0);
    REQUIRE(aether_publisher_subscribers(pub) == 2);
    aether_subscriber_close(subs[0]);
    REQUIRE(aether_publisher_subscribers(pub) == 1);
    aether_disconnect(client);
    ok("a publisher sees how many subscribers there are");
}

int main(void) {
    test_begin(14);
    stage = share(sizeof *stage);
    stopped_subscriber();
    two_subscribers();
    debugged_subscriber();
    loop_on_full();
    unread_pipe();
    without_daemon();
    stopped_daemon();
    next_holder();
    lane_room();
    stopped_publisher();
    own_loans();
    handler_closes();
    counts_subscribers();
    return 0;
}

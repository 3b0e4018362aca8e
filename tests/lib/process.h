/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - for tests of whole processes in C: TAP, a private daemon, child processes, and payloads that follow from
 * their sequence.
 *
 * Nothing outlives a test: each child dies with its parent, and each process has an alarm.
 */
#ifndef AETHER_TESTS_PROCESS_H
#define AETHER_TESTS_PROCESS_H

#include <aether/aether.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_S 30u /* for anything that must happen */
#define LIFE_S 240u    /* of any process */
#define CHILDREN_MAX 96

/* A sanitizer takes its time: tests do less of the same there. */
#if defined(AE_TSAN) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static struct {
    char dir[64];
    char socket[96];
    pid_t daemon; /* 0: none */
    pid_t children[CHILDREN_MAX];
    unsigned cases;
} test;

/* ---- TAP ---- */

__attribute__((format(printf, 1, 2), unused)) static void ok(const char *format, ...) {
    va_list args;

    printf("ok %u - ", ++test.cases);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
}

/* Ends the test. In a child: tells on stderr and dies; whoever waits for it sees that. */
__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...) {
    const bool parent = test.cases != UINT32_MAX;
    FILE *out = parent ? stdout : stderr;
    va_list args;

    if (parent)
        fprintf(out, "not ok %u - ", test.cases + 1);
    else
        fprintf(out, "# process %d: ", (int)getpid());
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fprintf(out, "\n");
    fflush(out);
    if (parent)
        exit(1);
    _exit(1);
}

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail("%s:%d: %s (last fault: %s)", __FILE__, __LINE__, #condition, aether_errmsg());                       \
    } while (0)

/* A number from the environment, or standard; told as a comment, so that a run can be repeated. */
static inline uint64_t setting(const char *name, uint64_t standard) {
    const char *text = getenv(name);
    const uint64_t value = text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : standard;

    printf("# %s=%llu\n", name, (unsigned long long)value);
    return value;
}

static inline uint64_t now_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ms(void) {
    return now_ns() / 1000000u;
}

static inline void look_again(void) {
    const struct timespec ms = {.tv_nsec = 1000000};

    nanosleep(&ms, NULL);
}

/* Polls the condition; the test fails if it doesn't come true in time. */
#define AWAIT(condition)                                                                                               \
    do {                                                                                                               \
        const uint64_t until = now_ms() + DEADLINE_S * 1000u;                                                          \
        while (!(condition)) {                                                                                         \
            if (now_ms() > until)                                                                                      \
                fail("%s:%d: not within %u s: %s", __FILE__, __LINE__, DEADLINE_S, #condition);                        \
            look_again();                                                                                              \
        }                                                                                                              \
    } while (0)

/* ---- words that processes of a test share ---- */

static inline uint64_t get(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void set(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline void add(uint64_t *word, uint64_t value) {
    __atomic_fetch_add(word, value, __ATOMIC_ACQ_REL);
}

static inline void *share(size_t bytes) {
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    REQUIRE(map != MAP_FAILED);
    return map;
}

/* ---- children ---- */

static inline pid_t fork_tied(void) {
    const pid_t parent = getpid(), pid = fork();

    REQUIRE(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        alarm(LIFE_S);
    }
    return pid;
}

/* Runs play(arg) in a process of its own, which ends with it. */
static inline pid_t spawn(void (*play)(unsigned arg), unsigned arg) {
    unsigned i = 0;
    pid_t pid;

    while (i < CHILDREN_MAX && test.children[i] != 0)
        i++;
    REQUIRE(i < CHILDREN_MAX);
    pid = fork_tied();
    if (pid == 0) {
        test.cases = UINT32_MAX;
        play(arg);
        _exit(0);
    }
    test.children[i] = pid;
    return pid;
}

static inline int reap(pid_t pid) {
    int status;

    REQUIRE(waitpid(pid, &status, 0) == pid);
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        if (test.children[i] == pid)
            test.children[i] = 0;
    }
    return status;
}

static inline void kill_child(pid_t pid) {
    REQUIRE(kill(pid, SIGKILL) == 0);
    REQUIRE(WIFSIGNALED(reap(pid)));
}

/* Stops a child; returns when it has stopped. */
static inline void freeze_child(pid_t pid) {
    int status;

    REQUIRE(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

static inline void thaw_child(pid_t pid) {
    REQUIRE(kill(pid, SIGCONT) == 0);
}

/* Waits for a child that has to end well. */
static inline void join_child(pid_t pid) {
    REQUIRE(reap(pid) == 0);
}

/* ---- daemon ---- */

static inline aether_client *connect_as(const char *name) {
    const aether_connect_options options = {.socket_path = test.socket, .name = name};
    aether_client *client = NULL;

    REQUIRE(aether_connect(&client, &options) == 0);
    return client;
}

static inline bool daemon_answers(void) {
    const aether_connect_options options = {.socket_path = test.socket, .name = "start-up"};
    aether_client *client;

    if (waitpid(test.daemon, NULL, WNOHANG) != 0) {
        test.daemon = 0;
        fail("the daemon ended by itself; its log is on stderr");
    }
    if (aether_connect(&client, &options) != 0)
        return false;
    aether_disconnect(client);
    return true;
}

static inline void daemon_start(void) {
    test.daemon = fork_tied();
    if (test.daemon == 0) {
        alarm(0);
        execl(getenv("AETHERD"), "aetherd", "--socket", test.socket, "--log-level", "warning", (char *)NULL);
        _exit(127);
    }
    AWAIT(daemon_answers());
}

static inline void daemon_kill(void) {
    REQUIRE(kill(test.daemon, SIGKILL) == 0);
    REQUIRE(waitpid(test.daemon, NULL, 0) == test.daemon);
    test.daemon = 0;
}

static inline void clean_up(void) {
    char file[128];

    if (test.cases == UINT32_MAX)
        return;
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        if (test.children[i] != 0) {
            kill(test.children[i], SIGKILL);
            waitpid(test.children[i], NULL, 0);
        }
    }
    if (test.daemon != 0) { /* a clean stop with nobody attached removes its objects */
        kill(test.daemon, SIGTERM);
        waitpid(test.daemon, NULL, 0);
    }
    snprintf(file, sizeof file, "%s.lock", test.socket);
    unlink(file);
    unlink(test.socket);
    rmdir(test.dir);
}

/* For main: a private directory and a daemon in it. */
static inline void test_begin(unsigned cases) {
    const char *tmp = getenv("TMPDIR");

    alarm(LIFE_S);
    if (getenv("AETHERD") == NULL) {
        printf("1..0 # SKIP AETHERD names no daemon to test\n");
        exit(0);
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* or children would print it again */
    printf("1..%u\n", cases);
    snprintf(test.dir, sizeof test.dir, "%.40s/aether-test-XXXXXX", tmp != NULL && *tmp != '\0' ? tmp : "/tmp");
    REQUIRE(mkdtemp(test.dir) != NULL);
    snprintf(test.socket, sizeof test.socket, "%s/aetherd.sock", test.dir);
    atexit(clean_up);
    daemon_start();
}

/* ---- payloads ---- */

static inline uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static inline uint64_t next_random(uint64_t *state) {
    return mix(*state += 0x9e3779b97f4a7c15ull);
}

/* 0 to max, either often. */
static inline size_t payload_len(uint64_t seq, size_t max) {
    const uint64_t r = mix(seq);

    return r >> 60 == 0 ? 0 : r >> 60 == 1 ? max : (size_t)(r % (max + 1));
}

/* How long the payload of a sequence is; a test may have its own. */
static size_t (*length_of)(uint64_t seq, size_t max) = payload_len;

static inline void payload_write(unsigned char *data, uint64_t seq, size_t len) {
    for (size_t off = 0; off < len; off += 8) {
        const uint64_t word = mix(seq + (off << 32));
        memcpy(data + off, &word, len - off < 8 ? len - off : 8);
    }
}

static inline bool payload_equals(const unsigned char *data, uint64_t seq, size_t len) {
    for (size_t off = 0; off < len; off += 8) {
        const uint64_t word = mix(seq + (off << 32));
        if (memcmp(data + off, &word, len - off < 8 ? len - off : 8) != 0)
            return false;
    }
    return true;
}

static inline size_t payload_fill(unsigned char *data, uint64_t seq, size_t max) {
    const size_t len = length_of(seq, max);

    payload_write(data, seq, len);
    return len;
}

static inline bool payload_right(const aether_message *message, size_t max) {
    return message->len == length_of(message->seq, max) && payload_equals(message->data, message->seq, message->len);
}

#define BATCH_MAX 32u /* messages: half of the smallest ring in use */

/* Publishes a few messages at once, as the sequence says, up to room; 0 or AETHER_FULL. */
static inline int publish_some(aether_publisher *pub, uint64_t room) {
    static unsigned char data[BATCH_MAX][AETHER_INLINE_LIMIT];
    const uint64_t seq = aether_publisher_next(pub), r = mix(seq ^ 77);
    const size_t max = aether_publisher_max_message(pub);
    size_t count = 1 + r % (r >> 62 == 0 ? BATCH_MAX : 4);
    struct iovec messages[BATCH_MAX];
    int rc;

    if (count > room)
        count = (size_t)room;
    for (size_t i = 0; i < count; i++)
        messages[i] = (struct iovec){data[i], payload_fill(data[i], seq + i, max)};
    rc = count == 1 ? aether_publish(pub, data[0], messages[0].iov_len) : aether_publish_batch(pub, messages, count);
    REQUIRE(rc >= 0);
    return rc;
}

/* ---- several publishers: payloads follow from their author, which is a process, and its counter ---- */

#define AUTHORS_MAX 1024u
#define COUNTER_BITS 40u
#define ORDER_MAX (1u << 18) /* sequences: more than a ring holds */

/* Shared by the processes of a test. */
struct authors {
    struct {
        uint64_t told;   /* counter of the last message whose publish has returned */
        uint64_t flying; /* number of the call that it is in << 16 | messages of that; 0: in none */
    } by[AUTHORS_MAX];
    uint64_t order[ORDER_MAX]; /* what the first reader found at a sequence, which all others must find, too */
};

/* Nothing has been published yet. */
static inline void authors_reset(struct authors *authors) {
    memset(authors, 0, sizeof *authors);
}

static inline uint64_t authored_word(uint64_t author, uint64_t counter) {
    return author << COUNTER_BITS | counter;
}

/* Half of them 8 bytes, some as long as possible, never shorter. */
static inline size_t authored_mixed(uint64_t word, size_t max) {
    const uint64_t r = mix(word);

    return r >> 63 == 0 ? 8 : r >> 60 == 8 ? max : 8 + (size_t)(r % ((r >> 60 <= 10 || max < 64 ? max : 64) - 7));
}

/* How long a message is; a test may have its own. */
static size_t (*authored_length)(uint64_t word, size_t max) = authored_mixed;

/* The word, and then a sequence of numbers that only this word has. */
static inline size_t authored_fill(unsigned char *data, uint64_t word, size_t max) {
    const size_t len = authored_length(word, max);
    uint64_t rest = mix(word);

    size_t off = 8;

    memcpy(data, &word, 8);
    for (; off + 8 <= len; off += 8, rest++)
        memcpy(data + off, &rest, 8);
    memcpy(data + off, &rest, len - off);
    return len;
}

static inline bool authored_equals(const unsigned char *data, uint64_t word, size_t len) {
    uint64_t rest = mix(word), found, wrong = 0;
    size_t off = 8;

    for (; off + 8 <= len; off += 8, rest++) {
        memcpy(&found, data + off, 8);
        wrong |= found ^ rest;
    }
    return wrong == 0 && memcmp(data + off, &rest, len - off) == 0;
}

struct author {
    aether_publisher *pub;
    struct authors *authors;
    uint64_t id, counter, calls; /* the counter of its last message */
    size_t batch_max, inline_max, lane_bytes;
    unsigned char *buffer;  /* batch_max of the longest messages */
    struct iovec *messages; /* batch_max */
    bool waits;             /* also publishes by aether_publish_wait() */
};

static inline void author_begin(struct author *author, struct authors *authors, uint64_t id,
                                const aether_topic_config *config, size_t batch_max) {
    *author = (struct author){.authors = authors,
                              .id = id,
                              .batch_max = batch_max,
                              .inline_max = config->inline_max != 0 ? config->inline_max : config->max_message,
                              .lane_bytes = config->lane_bytes,
                              .buffer = malloc(batch_max * config->max_message),
                              .messages = malloc(batch_max * sizeof *author->messages)};
    REQUIRE(author->buffer != NULL && author->messages != NULL && id < AUTHORS_MAX);
}

static inline void author_end(struct author *author) {
    aether_publisher_close(author->pub);
    free(author->messages);
    free(author->buffer);
}

static inline size_t author_fill(const struct author *author, void *data, uint64_t ahead) {
    return authored_fill(data, authored_word(author->id, author->counter + ahead),
                         aether_publisher_max_message(author->pub));
}

/* Before and after a call that publishes count messages. */
static inline void author_calls(struct author *author, uint64_t count) {
    set(&author->authors->by[author->id].flying, ++author->calls << 16 | count);
}

static inline int author_called(struct author *author, uint64_t count, int rc) {
    REQUIRE(rc >= 0);
    if (rc == 0) {
        author->counter += count;
        set(&author->authors->by[author->id].told, author->counter);
    }
    set(&author->authors->by[author->id].flying, 0);
    return rc;
}

static inline int author_batch(struct author *author, size_t count) {
    const size_t max = aether_publisher_max_message(author->pub);
    size_t lane = 0, n = 0;

    for (; n < count; n++) {
        unsigned char *data = author->buffer + n * max;
        const size_t len = author_fill(author, data, n + 1);
        lane += len > author->inline_max ? (len + 63) / 64 * 64 : 0;
        if (n > 0 && lane > author->lane_bytes)
            break;
        author->messages[n] = (struct iovec){data, len};
    }
    author_calls(author, n);
    return author_called(author, n, aether_publish_batch(author->pub, author->messages, n));
}

static inline int author_gather(struct author *author, uint64_t random) {
    const size_t len = author_fill(author, author->buffer, 1);
    struct iovec pieces[3];
    size_t off = 0;

    for (unsigned i = 0; i < 3; i++) {
        const size_t piece = i < 2 ? (random >> 16 * i) % (len - off + 1) : len - off;
        pieces[i] = (struct iovec){author->buffer + off, piece};
        off += piece;
    }
    author_calls(author, 1);
    return author_called(author, 1, aether_publish_gather(author->pub, pieces, 3));
}

/* Takes some loans, and commits them in another order than they were taken; some are given back. */
static inline int author_loans(struct author *author, uint64_t random, size_t most) {
    const size_t max = aether_publisher_max_message(author->pub);
    unsigned count = 0, wanted = 1 + (unsigned)(random % (most < 3 ? most : 3));
    aether_loan loans[3];
    int rc = 0;

    for (; count < wanted && rc == 0; count += rc == 0)
        rc = aether_loan_take(author->pub, (random >> 8 & 3) == 0 ? max : 64 < max ? 64 : max, &loans[count]);
    REQUIRE(rc == 0 || rc == AETHER_FULL || rc == -ENOBUFS);
    for (unsigned i = count; i-- > 0;) {
        const size_t len = authored_length(authored_word(author->id, author->counter + 1), max);
        if (rc != 0 || len > loans[i].len || (random >> (16 + i) & 15) == 0) {
            REQUIRE(aether_loan_discard(author->pub, &loans[i]) == 0);
            continue;
        }
        loans[i].len = author_fill(author, loans[i].data, 1);
        author_calls(author, 1);
        rc = author_called(author, 1, aether_loan_commit(author->pub, &loans[i]));
        if (rc != 0)
            REQUIRE(aether_loan_discard(author->pub, &loans[i]) == 0);
    }
    return rc == -ENOBUFS ? AETHER_FULL : rc;
}

/* Publishes in some form up to `most` messages; 0 or AETHER_FULL. */
static inline int author_publish(struct author *author, uint64_t random, uint64_t most) {
    const size_t batch = most < author->batch_max ? (size_t)most : author->batch_max;
    size_t len;

    switch (random % 6) {
    case 0:
        return author_batch(author, 1 + (random >> 8) % batch);
    case 1:
        return author_batch(author, 1 + (random >> 8) % (batch < 4 ? batch : 4));
    case 2:
        return author_gather(author, random >> 8);
    case 3:
        return author_loans(author, random >> 8, batch);
    default:
        len = author_fill(author, author->buffer, 1);
        author_calls(author, 1);
        return author_called(author, 1,
                             author->waits && random % 6 == 5
                                 ? aether_publish_wait(author->pub, author->buffer, len, 1000000)
                                 : aether_publish(author->pub, author->buffer, len));
    }
}

static inline uint64_t author_flying(const struct authors *authors, uint64_t id) {
    return get(&authors->by[id].flying) & 0xffff;
}

/* All that has been claimed is below the topic's start and this many. */
static inline uint64_t authors_claimed_most(const struct authors *authors) {
    uint64_t all = 0;

    for (unsigned i = 0; i < AUTHORS_MAX; i++) /* in this order: what isn't flying any more has been told */
        all += author_flying(authors, i) + get(&authors->by[i].told);
    return all;
}

static inline uint64_t authors_told(const struct authors *authors) {
    uint64_t all = 0;

    for (unsigned i = 0; i < AUTHORS_MAX; i++)
        all += get(&authors->by[i].told);
    return all;
}

/* word 0: aborted. */
static inline void check_order(struct authors *authors, uint64_t seq, uint64_t word) {
    uint64_t *entry = &authors->order[seq % ORDER_MAX], old = get(entry);
    const uint64_t lap = seq / ORDER_MAX + 1, mine = lap << 48 | mix(seq ^ mix(word)) >> 16;

    do {
        if (old == mine || (old != 0 && (int16_t)((lap << 48 >> 48) - (old >> 48)) < 0))
            return;
        if (old != 0 && old >> 48 == (lap & 0xffff))
            fail("sequence %llu: author %llu, counter %llu here, something else for another reader",
                 (unsigned long long)seq, (unsigned long long)(word >> COUNTER_BITS),
                 (unsigned long long)(word & ((1ull << COUNTER_BITS) - 1)));
    } while (!__atomic_compare_exchange_n(entry, &old, mine, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
}

/* ---- a subscriber that checks everything ---- */

struct reading {
    aether_subscriber *sub;
    size_t max_message;
    bool gaps_allowed;
    bool latest;         /* may pass over messages */
    bool in_place;       /* what it looks at may be overwritten meanwhile */
    bool evictable;      /* a reliable one on a topic that evicts, not evicted yet */
    bool aborts_allowed; /* publishers are killed */
    uint64_t kept_from;  /* a gap before this sequence is allowed: of what was retained from before the join */
    uint64_t expected, delivered, lost, gaps, skipped, aborted;
    uint64_t evicted;
    uint64_t overwritten;    /* delivered in place and found not to be valid any more */
    struct authors *authors; /* of a topic with several; NULL: payloads follow from their sequence */
    uint64_t *heard;         /* of each author: the counter that came last */
    bool strict;             /* no author's message may be missing */
};

/* A message of one of several authors: false if its bytes are wrong. */
static inline bool authored_right(struct reading *reading, const aether_message *message) {
    uint64_t word, author, counter;

    if (message->len < 8)
        return false;
    memcpy(&word, message->data, 8);
    author = word >> COUNTER_BITS;
    counter = word & ((1ull << COUNTER_BITS) - 1);
    if (author >= AUTHORS_MAX || message->len != authored_length(word, reading->max_message) ||
        !authored_equals(message->data, word, message->len) ||
        (reading->in_place && !aether_still_valid(reading->sub, message)))
        return false;
    check_order(reading->authors, message->seq, word);
    if (reading->strict ? counter != reading->heard[author] + 1 : counter <= reading->heard[author])
        fail("sequence %llu: counter %llu of author %llu came after %llu", (unsigned long long)message->seq,
             (unsigned long long)counter, (unsigned long long)author, (unsigned long long)reading->heard[author]);
    set(&reading->heard[author], counter);
    return true;
}

static inline bool entry_right(struct reading *reading, const aether_message *message) {
    return reading->authors != NULL ? authored_right(reading, message) : payload_right(message, reading->max_message);
}

static inline void check_gap(struct reading *reading, const aether_message *message) {
    if (!reading->gaps_allowed && (int64_t)(message->seq + message->lost - reading->kept_from) > 0)
        fail("a reliable subscriber lost %llu messages from %llu on", (unsigned long long)message->lost,
             (unsigned long long)message->seq);
    if (message->data != NULL || message->len != 0 || reading->latest)
        fail("gap of %llu at %llu with a payload, or told to a latest subscriber", (unsigned long long)message->lost,
             (unsigned long long)message->seq);
    reading->lost += message->lost;
    reading->gaps++;
    reading->expected += message->lost;
}

/* Sequences that nobody tells of, because their publisher was killed before it had committed them. */
static inline void pass_aborted(struct reading *reading, uint64_t next) {
    if (reading->aborts_allowed && !reading->latest && (int64_t)(next - reading->expected) > 0) {
        reading->aborted += next - reading->expected;
        for (; reading->expected != next; reading->expected++) {
            if (reading->authors != NULL)
                check_order(reading->authors, reading->expected, 0);
        }
    }
}

static inline void check_entry(struct reading *reading, const aether_message *message) {
    if (reading->latest && (int64_t)(message->seq - reading->expected) > 0) {
        reading->skipped += message->seq - reading->expected;
        reading->expected = message->seq;
    }
    if (message->seq != reading->expected)
        pass_aborted(reading, message->seq);
    if (message->seq != reading->expected)
        fail("sequence %llu arrived, %llu is next", (unsigned long long)message->seq,
             (unsigned long long)reading->expected);
    if (message->lost != 0) {
        check_gap(reading, message);
        return;
    }
    /* Bytes first, then the question whether they were all right; a length is right in any case. */
    if (!entry_right(reading, message)) {
        if ((reading->authors == NULL && message->len != length_of(message->seq, reading->max_message)) ||
            !reading->in_place || aether_still_valid(reading->sub, message) != 0)
            fail("payload of sequence %llu is torn or wrong, %zu bytes", (unsigned long long)message->seq,
                 message->len);
        reading->overwritten++;
    }
    reading->delivered++;
    reading->expected++;
}

static inline int check_polled(void *context, const aether_message *message) {
    check_entry(context, message);
    return 0;
}

/* Receives once, in one of the three forms, and checks what comes. */
static inline int read_some(struct reading *reading, unsigned form) {
    aether_message messages[8];
    int n;

    if (form % 3 == 2) {
        n = aether_poll(reading->sub, check_polled, reading, 8);
    } else {
        n = form % 3 == 0 ? aether_receive(reading->sub, messages) : aether_receive_batch(reading->sub, messages, 8);
        for (int i = 0; i < n; i++)
            check_entry(reading, &messages[i]);
    }
    pass_aborted(reading, aether_subscriber_next(reading->sub));
    if (n == -EOVERFLOW && reading->evictable) { /* once */
        reading->evictable = false;
        reading->gaps_allowed = true;
        reading->evicted = 1;
        return 0;
    }
    REQUIRE(n >= 0);
    return n;
}

/* Delivered + lost + aborted + skipped is what the subscriber advanced, by its own count and by ours. */
static inline void check_conserved(const struct reading *reading) {
    aether_subscriber_stats stats;

    aether_subscriber_get_stats(reading->sub, &stats);
    REQUIRE(stats.delivered == reading->delivered && stats.lost == reading->lost && stats.gaps == reading->gaps);
    REQUIRE(reading->latest ? reading->aborts_allowed || stats.aborted == 0 : stats.aborted == reading->aborted);
    REQUIRE(stats.evicted == reading->evicted);
    /* What a latest one passed over since its last message may be counted already. */
    REQUIRE(reading->latest ? stats.skipped + stats.aborted - reading->skipped == stats.next - reading->expected
                            : stats.skipped == 0 && stats.next == reading->expected);
    REQUIRE(stats.next - stats.joined == stats.delivered + stats.lost + stats.skipped + stats.aborted);
}

#endif

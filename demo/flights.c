/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flights.c - one process publishes records; others subscribe in different ways and compare what arrives with the file.
 *
 *     flights SOCKET RECORDS <ANSWERS 3>EVENTS
 *
 * RECORDS holds one record a line. A message is its send time, 8 bytes of CLOCK_MONOTONIC nanoseconds, and then the
 * record. The message with sequence s carries line s modulo the number of lines, so every subscriber knows each message
 * in advance.
 *
 * The parent starts the other processes, draws the table, and sets the phases of the run: first slowly enough to
 * measure latency, then as fast as possible. The processes and the parent share memory of their own for this. run.sh
 * starts and kills the daemon: the parent writes an event to fd 3 and waits for an answer line on stdin.
 *
 *     stats    show the statistics        kill     kill the daemon        start    start it again
 *     result COMPARED MISMATCHES          the last event; no answer
 */
#include "text.h"
#include <aether/aether.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TOPIC "flights/nyc"
#define EVENTS_FD 3

#define SECOND_NS UINT64_C(1000000000)
#define PACED_RATE 60000u            /* records/s */
#define PATIENCE_NS (60 * SECOND_NS) /* a time limit for one step, which takes milliseconds */

#define STAMP_BYTES 8u
#define RECORD_MAX 240u /* bytes */
#define BATCH 64
#define NUMBER_TEXT 32

enum role { PUBLISHER, SINGLE, BATCHES, BEST_EFFORT, LATE, ROLES };

static const char *const role_names[ROLES] = {
    "publisher", "reliable, single", "reliable, batch", "best effort, poll", "reliable, late, oldest",
};

enum phase { PHASE_WAIT, PHASE_PACED, PHASE_FAST, PHASE_STOP };

/* ---- what the processes share ------------------------------------------------------------------------------------ */

/* Latencies are counted in buckets of 1/16 of a power of two, so a percentile is at most 6 % too high. */
#define SUB_BITS 4
#define BUCKETS (64u << SUB_BITS)

/* Written by one process, read by the parent. */
struct peer {
    _Alignas(128) atomic_uint_least64_t ready;
    atomic_uint_least64_t next;     /* sequence */
    atomic_uint_least64_t messages; /* published, or received and compared */
    atomic_uint_least64_t mismatches;
    atomic_uint_least64_t lost; /* sequences */
    atomic_uint_least64_t full; /* publisher: times that it found the ring full */
    atomic_uint_least64_t latency[BUCKETS];
};

struct shared {
    /* written by the parent */
    _Alignas(128) atomic_uint_least64_t phase;
    /*
     * written by the publisher. Messages in [paced_from, paced_end) have a steady rate, and their latency is measured
     */
    _Alignas(128) atomic_uint_least64_t paced_from;
    atomic_uint_least64_t paced_end;
    /* written by the publisher: one more than the last sequence */
    atomic_uint_least64_t total;
    struct peer peers[ROLES];
};

struct records {
    const char *data;
    size_t *starts; /* count + 1 offsets */
    size_t count;
};

struct demo {
    const char *socket_path;
    struct records records;
    struct shared *shared;
    uint64_t capacity;          /* slots of the topic's ring */
    volatile pid_t pids[ROLES]; /* 0: not running; read by the handler of SIGTERM */
    bool finished[ROLES];
    bool terminal;
    bool drawn; /* the cursor is below the table */
    uint64_t started_ns, drawn_ns;
    uint64_t drawn_messages[ROLES];
};

/* Each word has one writer, so that an addition needs no read-modify-write. */
static void set(atomic_uint_least64_t *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_release);
}

static uint64_t get(atomic_uint_least64_t *word) {
    return atomic_load_explicit(word, memory_order_acquire);
}

static void add(atomic_uint_least64_t *word, uint64_t value) {
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + value, memory_order_relaxed);
}

static uint64_t now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t ns) {
    const struct timespec until = {.tv_sec = (time_t)(ns / SECOND_NS), .tv_nsec = (long)(ns % SECOND_NS)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

static void pause_ms(uint64_t ms) {
    sleep_until(now_ns() + ms * 1000000);
}

static int fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int fault(const char *format, ...) {
    va_list args;

    fputs("flights: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return -1;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static int index_records(struct records *records, size_t bytes) {
    const char *end = records->data + bytes;
    size_t room = 0;

    for (const char *line = records->data; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        if (newline == NULL)
            return fault("the last record doesn't end with a newline");
        if ((size_t)(newline - line) > RECORD_MAX)
            return fault("record %zu is longer than %u bytes", records->count + 1, RECORD_MAX);
        if (records->count + 2 > room) {
            room = room != 0 ? 2 * room : 4096;
            size_t *more = realloc(records->starts, room * sizeof *more);
            if (more == NULL)
                return fault("out of memory for the index of the records");
            records->starts = more;
        }
        records->starts[records->count++] = (size_t)(line - records->data);
        line = newline + 1;
        records->starts[records->count] = (size_t)(line - records->data);
    }
    return 0;
}

/* The file stays mapped until the process ends. */
static int map_records(struct records *records, const char *path) {
    struct stat status;
    int rc = -1;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return fault("can't open %s: %s", path, strerror(errno));
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size <= 0) {
        fault("%s isn't a file with records", path);
        goto out;
    }
    void *data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (data == MAP_FAILED) {
        fault("can't map %s: %s", path, strerror(errno));
        goto out;
    }
    records->data = data;
    rc = index_records(records, (size_t)status.st_size);
out:
    close(fd);
    return rc;
}

/* The record that the message with this sequence carries. */
static const char *record_at(const struct records *records, uint64_t seq, size_t *len) {
    const size_t i = (size_t)(seq % records->count);

    *len = records->starts[i + 1] - records->starts[i] - 1;
    return records->data + records->starts[i];
}

/* ---- the publisher's process ------------------------------------------------------------------------------------- */

/* Publishes the next record; waits while a reliable subscriber is a whole ring behind. */
static int publish_record(const struct demo *demo, aether_publisher *publisher, aether_idle_state *idle,
                          struct peer *self) {
    char message[STAMP_BYTES + RECORD_MAX];
    size_t len;
    const char *record = record_at(&demo->records, aether_publisher_next(publisher), &len);
    const uint64_t sent_ns = now_ns();
    int rc;

    memcpy(message, &sent_ns, STAMP_BYTES);
    memcpy(message + STAMP_BYTES, record, len);
    rc = aether_publish(publisher, message, STAMP_BYTES + len);
    if (rc == AETHER_FULL)
        add(&self->full, 1);
    while (rc == AETHER_FULL) {
        aether_idle(idle, 0);
        rc = aether_publish(publisher, message, STAMP_BYTES + len);
    }
    aether_idle(idle, 1);
    if (rc < 0)
        return fault("publisher: %s", aether_errmsg());
    add(&self->messages, 1);
    atomic_store_explicit(&self->next, aether_publisher_next(publisher), memory_order_relaxed);
    return 0;
}

/* Stores in the shared page where a paced phase begins and ends. */
static void enter_phase(struct shared *shared, uint64_t phase, uint64_t next) {
    if (phase == PHASE_PACED) {
        set(&shared->paced_from, next);
        set(&shared->paced_end, UINT64_MAX);
    } else if (get(&shared->paced_end) == UINT64_MAX) {
        set(&shared->paced_end, next);
    }
}

/* Publishes whole rounds of the file, paced or fast as the parent's phase says, until the phase is to stop. */
static int publish_records(const struct demo *demo, aether_publisher *publisher, struct peer *self) {
    struct shared *shared = demo->shared;
    aether_idle_state idle;
    uint64_t phase = PHASE_WAIT, due_ns = 0;
    int rc = 0;

    aether_idle_init(&idle, AETHER_IDLE_YIELD, 0);
    while (get(&shared->phase) == PHASE_WAIT)
        pause_ms(1);
    while (rc == 0) {
        const uint64_t asked = get(&shared->phase);
        if (asked != phase) {
            phase = asked;
            due_ns = now_ns();
            enter_phase(shared, phase, aether_publisher_next(publisher));
        }
        if (phase == PHASE_STOP && aether_publisher_next(publisher) % demo->records.count == 0)
            break;
        if (phase == PHASE_PACED) {
            while (now_ns() < due_ns)
                sched_yield();
            due_ns += SECOND_NS / PACED_RATE;
        }
        rc = publish_record(demo, publisher, &idle, self);
    }
    set(&shared->total, aether_publisher_next(publisher));
    return rc;
}

static int publisher_process(const struct demo *demo) {
    const aether_connect_options options = {.socket_path = demo->socket_path, .name = "demo publisher"};
    struct peer *self = &demo->shared->peers[PUBLISHER];
    aether_publisher *publisher;
    aether_client *client;
    int rc = -1;

    if (aether_connect(&client, &options) < 0)
        return fault("publisher: %s", aether_errmsg());
    if (aether_publisher_open(client, TOPIC, NULL, &publisher) < 0) {
        fault("publisher: %s", aether_errmsg());
        goto out;
    }
    set(&self->ready, 1);
    rc = publish_records(demo, publisher, self);
    aether_publisher_close(publisher);
out:
    aether_disconnect(client);
    return rc;
}

/* ---- a subscriber's process -------------------------------------------------------------------------------------- */

struct subscriber {
    const struct demo *demo;
    enum role role;
    struct peer *self;
    aether_subscriber *handle;
    uint64_t expected; /* sequence of the next entry */
    uint64_t history;  /* sequences below this may be lost: they were published before the subscriber joined */
    uint64_t opened_ns;
};

static void note_mismatch(struct subscriber *subscriber, const char *what, uint64_t seq) {
    if (get(&subscriber->self->mismatches) == 0)
        fault("%s: %s at sequence %" PRIu64 " (more of these are only counted)", role_names[subscriber->role], what,
              seq);
    add(&subscriber->self->mismatches, 1);
}

static void note_latency(struct peer *self, uint64_t ns) {
    uint64_t bucket = ns;

    if (ns >> SUB_BITS != 0) {
        const unsigned exponent = 63u - (unsigned)__builtin_clzll(ns);
        const uint64_t low = ns >> (exponent - SUB_BITS) & ((1u << SUB_BITS) - 1);
        bucket = (uint64_t)(exponent - SUB_BITS + 1) << SUB_BITS | low;
    }
    add(&self->latency[bucket], 1);
}

/* Compares one message with its line of the file. */
static void compare(struct subscriber *subscriber, const aether_message *m) {
    struct shared *shared = subscriber->demo->shared;
    uint64_t sent_ns;
    size_t len;
    const char *record = record_at(&subscriber->demo->records, m->seq, &len);

    if (m->len != STAMP_BYTES + len || memcmp((const char *)m->data + STAMP_BYTES, record, len) != 0) {
        note_mismatch(subscriber, "other bytes than were sent", m->seq);
    } else if (m->seq >= get(&shared->paced_from) && m->seq < get(&shared->paced_end)) {
        memcpy(&sent_ns, m->data, STAMP_BYTES);
        if (sent_ns >= subscriber->opened_ns)
            note_latency(subscriber->self, now_ns() - sent_ns);
    }
    add(&subscriber->self->messages, 1);
}

/* Handles one entry: an aether_handler. */
static int take(void *context, const aether_message *m) {
    struct subscriber *subscriber = context;

    if (m->seq != subscriber->expected)
        note_mismatch(subscriber, "a sequence out of order", m->seq);
    if (m->lost != 0) {
        if (subscriber->role != BEST_EFFORT && m->seq + m->lost > subscriber->history)
            note_mismatch(subscriber, "a loss that must not be", m->seq);
        add(&subscriber->self->lost, m->lost);
    } else {
        compare(subscriber, m);
    }
    subscriber->expected = m->seq + (m->lost != 0 ? m->lost : 1);
    atomic_store_explicit(&subscriber->self->next, subscriber->expected, memory_order_relaxed);
    return 0;
}

/* Receives once, with the function of the role. */
static int receive(struct subscriber *subscriber) {
    aether_message batch[BATCH];
    int n;

    switch (subscriber->role) {
    case BATCHES:
        n = aether_receive_batch(subscriber->handle, batch, BATCH);
        break;
    case BEST_EFFORT:
        return aether_poll(subscriber->handle, take, subscriber, BATCH);
    default:
        n = aether_receive(subscriber->handle, batch);
    }
    for (int i = 0; i < n; i++)
        take(subscriber, &batch[i]);
    return n;
}

/* The counters of the library have to agree with what was delivered. */
static int check_accounts(const struct subscriber *subscriber) {
    aether_subscriber_stats stats;
    struct peer *self = subscriber->self;
    const uint64_t total = get(&subscriber->demo->shared->total);

    aether_subscriber_get_stats(subscriber->handle, &stats);
    if (stats.delivered != get(&self->messages) || stats.lost != get(&self->lost) || stats.next != total ||
        stats.delivered + stats.lost + stats.aborted != stats.next - stats.joined)
        return fault("%s: accounts don't add up: delivered %" PRIu64 " + lost %" PRIu64 " + aborted %" PRIu64
                     ", from %" PRIu64 " to %" PRIu64 " of %" PRIu64,
                     role_names[subscriber->role], stats.delivered, stats.lost, stats.aborted, stats.joined, stats.next,
                     total);
    return 0;
}

static int read_all(struct subscriber *subscriber) {
    const struct demo *demo = subscriber->demo;
    aether_subscriber_stats stats;
    aether_idle_state idle;

    aether_idle_init(&idle, AETHER_IDLE_YIELD, AETHER_IDLE_BUDGET_NS);
    aether_subscriber_get_stats(subscriber->handle, &stats);
    subscriber->expected = stats.joined;
    subscriber->history = subscriber->role == LATE ? stats.joined + demo->capacity : 0;
    subscriber->opened_ns = now_ns();
    set(&subscriber->self->next, stats.joined);
    set(&subscriber->self->ready, 1);
    while (subscriber->expected != get(&demo->shared->total)) {
        const int n = receive(subscriber);
        if (n < 0)
            return fault("%s: %s", role_names[subscriber->role], aether_errmsg());
        aether_idle(&idle, n);
    }
    return check_accounts(subscriber);
}

static int subscriber_process(const struct demo *demo, enum role role) {
    const aether_connect_options options = {.socket_path = demo->socket_path, .name = role_names[role]};
    const aether_subscribe_options how = {
        .policy = role == BEST_EFFORT ? AETHER_BEST_EFFORT : AETHER_RELIABLE,
        .from = role == LATE ? AETHER_FROM_OLDEST : AETHER_FROM_NEW,
    };
    struct subscriber subscriber = {.demo = demo, .role = role, .self = &demo->shared->peers[role]};
    aether_client *client;
    int rc = -1;

    if (aether_connect(&client, &options) < 0)
        return fault("%s: %s", role_names[role], aether_errmsg());
    if (aether_subscriber_open(client, TOPIC, &how, NULL, &subscriber.handle) < 0) {
        fault("%s: %s", role_names[role], aether_errmsg());
        goto out;
    }
    rc = read_all(&subscriber);
    aether_subscriber_close(subscriber.handle);
out:
    aether_disconnect(client);
    return rc;
}

/* ---- the parent: processes --------------------------------------------------------------------------------------- */

/* Finds out which processes have ended. Fails if one failed, or ended while records are still being published. */
static int check_processes(struct demo *demo) {
    for (int role = 0; role < ROLES; role++) {
        int status;
        if (demo->pids[role] == 0 || waitpid(demo->pids[role], &status, WNOHANG) == 0)
            continue;
        demo->pids[role] = 0;
        demo->finished[role] = true;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || get(&demo->shared->total) == UINT64_MAX)
            return fault("the process '%s' ended too early or failed", role_names[role]);
    }
    return 0;
}

/* Starts the process of a role and waits until its handle is open. */
static int start(struct demo *demo, enum role role) {
    const uint64_t deadline_ns = now_ns() + PATIENCE_NS;
    const pid_t parent = getpid();

    fflush(stdout);
    demo->pids[role] = fork();
    if (demo->pids[role] < 0) {
        demo->pids[role] = 0;
        return fault("can't start a process: %s", strerror(errno));
    }
    if (demo->pids[role] == 0) {
        /* The kernel ends this process when the parent has ended, for whatever reason. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
            _exit(1);
        signal(SIGTERM, SIG_DFL);
        close(STDIN_FILENO);
        close(EVENTS_FD);
        const int rc = role == PUBLISHER ? publisher_process(demo) : subscriber_process(demo, role);
        _exit(rc == 0 ? 0 : 1);
    }
    while (get(&demo->shared->peers[role].ready) == 0) {
        if (check_processes(demo) != 0)
            return -1;
        if (now_ns() > deadline_ns)
            return fault("the process '%s' doesn't get ready", role_names[role]);
        pause_ms(1);
    }
    return 0;
}

static void end_processes(struct demo *demo) {
    for (int role = 0; role < ROLES; role++) {
        if (demo->pids[role] != 0) {
            kill(demo->pids[role], SIGKILL);
            waitpid(demo->pids[role], NULL, 0);
            demo->pids[role] = 0;
        }
    }
}

static struct demo *terminated; /* what SIGTERM ends */

/* Waits until all have ended: run.sh stops the daemon next, and a topic that a process has open would stay. */
static void on_terminate(int number) {
    (void)number;
    end_processes(terminated);
    _exit(1);
}

/* ---- the parent: the table --------------------------------------------------------------------------------------- */

static const char *time_text(char text[NUMBER_TEXT], uint64_t ns) {
    if (ns == 0)
        snprintf(text, NUMBER_TEXT, "-");
    else if (ns < 1000000)
        snprintf(text, NUMBER_TEXT, "%.1f us", (double)ns / 1e3);
    else
        snprintf(text, NUMBER_TEXT, "%.1f ms", (double)ns / 1e6);
    return text;
}

/* The upper end of the bucket that holds the percentile, in nanoseconds; 0 if there is none. */
static uint64_t percentile(struct peer *peer, uint64_t percent) {
    uint64_t counts[BUCKETS], sum = 0, seen = 0;

    for (size_t i = 0; i < BUCKETS; i++) {
        counts[i] = get(&peer->latency[i]);
        sum += counts[i];
    }
    for (size_t i = 0; i < BUCKETS && sum != 0; i++) {
        seen += counts[i];
        if (seen * 100 >= sum * percent) {
            const uint64_t octave = i >> SUB_BITS, low = i & ((1u << SUB_BITS) - 1);
            return octave == 0 ? low + 1 : (((UINT64_C(1) << SUB_BITS) + low + 1) << (octave - 1)) - 1;
        }
    }
    return 0;
}

static void draw_row(struct demo *demo, enum role role, double seconds) {
    struct peer *peer = &demo->shared->peers[role];
    const uint64_t published = get(&demo->shared->peers[PUBLISHER].next);
    const uint64_t next = get(&peer->next), messages = get(&peer->messages);
    const uint64_t rate = (uint64_t)((double)(messages - demo->drawn_messages[role]) / seconds);
    const bool subscriber = role != PUBLISHER;
    char count[NUMBER_TEXT], rate_count[NUMBER_TEXT], lost[NUMBER_TEXT], lag[NUMBER_TEXT], p50[NUMBER_TEXT],
        p99[NUMBER_TEXT];

    demo->drawn_messages[role] = messages;
    printf("%-24s%13s%13s%12s%9s%9s%9s%s\n", role_names[role], count_text(count, messages),
           count_text(rate_count, rate), subscriber ? count_text(lost, get(&peer->lost)) : "-",
           subscriber ? count_text(lag, published > next ? published - next : 0) : "-",
           time_text(p50, percentile(peer, 50)), time_text(p99, percentile(peer, 99)), demo->terminal ? "\033[K" : "");
}

/* Draws the table: on a terminal over the table before, else below it. */
static void draw(struct demo *demo) {
    const uint64_t now = now_ns();
    const double seconds = (double)(now - demo->drawn_ns) / 1e9;
    const char *clear = demo->terminal ? "\033[K" : "";

    if (demo->terminal && demo->drawn)
        printf("\033[%dA", ROLES + 1);
    printf("%5.1f s %29s%13s%12s%9s%9s%9s%s\n", (double)(now - demo->started_ns) / 1e9, "records", "records/s", "lost",
           "lag", "p50", "p99", clear);
    for (int role = 0; role < ROLES; role++) {
        if (demo->pids[role] != 0 || demo->finished[role])
            draw_row(demo, (enum role)role, seconds);
        else
            printf("%-24s%13s%s\n", role_names[role], "(later)", clear);
    }
    fflush(stdout);
    demo->drawn = true;
    demo->drawn_ns = now;
}

/* Draws the table once a second for some seconds. */
static int watch(struct demo *demo, unsigned seconds) {
    for (unsigned i = 0; i < seconds; i++) {
        sleep_until(demo->drawn_ns + SECOND_NS);
        if (check_processes(demo) != 0)
            return -1;
        draw(demo);
    }
    return 0;
}

/* Prints a line below the table; the next table starts below the line. */
static void say(struct demo *demo, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct demo *demo, const char *format, ...) {
    va_list args;

    putchar('\n');
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
    demo->drawn = false;
}

/* ---- the parent: the course of the demo -------------------------------------------------------------------------- */

/* Writes an event to run.sh and waits until that has handled it. */
static int ask(struct demo *demo, const char *event) {
    char answer[64];

    putchar('\n');
    fflush(stdout);
    demo->drawn = false;
    if (dprintf(EVENTS_FD, "%s\n", event) < 0)
        return fault("nobody listens to the event '%s': %s", event, strerror(errno));
    if (fgets(answer, sizeof answer, stdin) == NULL || strcmp(answer, "done\n") != 0)
        return fault("the event '%s' failed", event);
    return check_processes(demo);
}

static uint64_t delivered(const struct demo *demo) {
    uint64_t sum = 0;

    for (int role = PUBLISHER + 1; role < ROLES; role++)
        sum += get(&demo->shared->peers[role].messages);
    return sum;
}

/* run.sh kills the daemon and starts it again while records flow. */
static int outlive_daemon(struct demo *demo) {
    char text[NUMBER_TEXT];

    if (ask(demo, "kill") != 0)
        return -1;
    const uint64_t before = delivered(demo), killed_ns = now_ns();
    if (watch(demo, 2) != 0)
        return -1;
    while (delivered(demo) == before && now_ns() - killed_ns < PATIENCE_NS) { /* a busy machine */
        if (watch(demo, 1) != 0)
            return -1;
    }
    const uint64_t between = delivered(demo) - before;
    const double seconds = (double)(now_ns() - killed_ns) / 1e9;
    if (ask(demo, "start") != 0)
        return -1;
    say(demo, "Between kill and restart, %.1f s without a daemon, %s records were delivered.", seconds,
        count_text(text, between));
    if (between == 0)
        return fault("records stopped flowing when the daemon died");
    return 0;
}

/* Ends the publisher at the end of a round, and waits until every subscriber has received everything. */
static int finish(struct demo *demo) {
    uint64_t progress = 0, deadline_ns = now_ns() + PATIENCE_NS;
    bool running = true;

    set(&demo->shared->phase, PHASE_STOP);
    while (running) {
        if (delivered(demo) != progress) { /* the limit is for one message, not for all that are left */
            progress = delivered(demo);
            deadline_ns = now_ns() + PATIENCE_NS;
        }
        if (now_ns() > deadline_ns)
            return fault("the subscribers don't come to an end");
        pause_ms(10);
        if (check_processes(demo) != 0)
            return -1;
        running = false;
        for (int role = 0; role < ROLES; role++)
            running = running || demo->pids[role] != 0;
        if (running && now_ns() >= demo->drawn_ns + SECOND_NS)
            draw(demo);
    }
    draw(demo);
    return 0;
}

static int run(struct demo *demo) {
    for (int role = SINGLE; role <= BEST_EFFORT; role++) {
        if (start(demo, (enum role)role) != 0)
            return -1;
    }
    if (start(demo, PUBLISHER) != 0)
        return -1;
    demo->started_ns = demo->drawn_ns = now_ns();
    say(demo, "At %u records/s; p50 and p99 are the time from publish to receive:", PACED_RATE);
    if (sysconf(_SC_NPROCESSORS_ONLN) < ROLES)
        printf("(%ld cores for %d processes: in p99 you see how long one waits for its turn.)\n",
               sysconf(_SC_NPROCESSORS_ONLN), ROLES);
    set(&demo->shared->phase, PHASE_PACED);
    if (watch(demo, 3) != 0 || ask(demo, "stats") != 0 || watch(demo, 2) != 0)
        return -1;
    say(demo, "As fast as it goes; the publisher waits for the reliable subscribers, never for best effort:");
    set(&demo->shared->phase, PHASE_FAST);
    if (watch(demo, 3) != 0 || outlive_daemon(demo) != 0)
        return -1;
    say(demo,
        "At %u records/s again; a late subscriber joins through the new daemon, from the oldest record in the ring:",
        PACED_RATE);
    set(&demo->shared->phase, PHASE_PACED);
    if (start(demo, LATE) != 0 || watch(demo, 3) != 0)
        return -1;
    return finish(demo);
}

static int report(const struct demo *demo) {
    const uint64_t total = get(&demo->shared->total);
    uint64_t compared = 0, mismatches = 0;
    char text[4][NUMBER_TEXT];

    printf("\n%-24s%13s%13s%13s%12s\n", "", "published", "compared", "mismatches", "lost");
    for (int role = PUBLISHER + 1; role < ROLES; role++) {
        struct peer *peer = &demo->shared->peers[role];
        const uint64_t messages = get(&peer->messages), wrong = get(&peer->mismatches), lost = get(&peer->lost);
        printf("%-24s%13s%13s%13s%12s\n", role_names[role], count_text(text[0], messages + lost),
               count_text(text[1], messages), count_text(text[2], wrong), count_text(text[3], lost));
        compared += messages;
        mismatches += wrong;
        if (messages == 0)
            return fault("'%s' received nothing", role_names[role]);
    }
    printf("\nThe publisher sent %s records, %s rounds of the file, and found the ring full %s times.\n",
           count_text(text[0], total), count_text(text[1], total / demo->records.count),
           count_text(text[2], get(&demo->shared->peers[PUBLISHER].full)));
    printf("compared + lost = published since it joined, for each subscriber; the late one lost only of what was there "
           "before it.\n");
    fflush(stdout);
    if (dprintf(EVENTS_FD, "result %" PRIu64 " %" PRIu64 "\n", compared, mismatches) < 0)
        return fault("nobody listens to the result: %s", strerror(errno));
    return mismatches == 0 ? 0 : -1;
}

static int find_capacity(struct demo *demo) {
    aether_inspector *inspector;
    aether_topic_info info;

    if (aether_inspect_open(&inspector, demo->socket_path) < 0)
        return fault("%s", aether_errmsg());
    const int rc = aether_inspect_find(inspector, TOPIC, &info);
    aether_inspect_close(inspector);
    if (rc <= 0)
        return fault("%s", rc < 0 ? aether_errmsg() : "there is no topic " TOPIC);
    demo->capacity = info.capacity;
    return 0;
}

int main(int argc, char **argv) {
    struct demo demo = {.terminal = isatty(STDOUT_FILENO) == 1};

    if (argc != 3) {
        fault("usage: flights SOCKET RECORDS <ANSWERS 3>EVENTS");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    demo.socket_path = argv[1];
    demo.shared = mmap(NULL, sizeof *demo.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (demo.shared == MAP_FAILED) {
        fault("can't map the shared page: %s", strerror(errno));
        return 1;
    }
    set(&demo.shared->paced_from, UINT64_MAX);
    set(&demo.shared->total, UINT64_MAX);
    int rc = map_records(&demo.records, argv[2]);
    if (rc == 0)
        rc = find_capacity(&demo);
    if (rc == 0) {
        terminated = &demo;
        signal(SIGTERM, on_terminate);
        rc = run(&demo);
        end_processes(&demo);
    }
    if (rc == 0)
        rc = report(&demo);
    free(demo.records.starts);
    return rc == 0 ? 0 : 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traffic.h - for tests of whole processes in C: publishers in every form of publishing, and a subscriber that checks
 * everything that it receives.
 *
 * If a topic has one publisher, its payloads follow from their sequences (payload_test.h). If it has several, they
 * follow from their first word, which has the publisher's number and the message's; a ledger that all processes of the
 * test share has what each publisher has published, and the one order of all messages.
 */
#ifndef AETHER_TESTS_TRAFFIC_H
#define AETHER_TESTS_TRAFFIC_H

#include "../../src/ring/payload_test.h"
#include "process.h"

/* Sleeps for up to max_ns. */
static inline void random_delay(uint64_t *random, uint64_t max_ns) {
    const struct timespec delay = {.tv_nsec = (long)(next_random(random) % max_ns)};

    nanosleep(&delay, NULL);
}

/* ---- one publisher: payloads follow from their sequences ---- */

#define BATCH_MAX 32u /* messages: half of the smallest ring in use */

/* Publishes one message or a batch, at most `room` messages; 0 or AETHER_FULL. The only publisher of its topic. */
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
    if (rc == 0)
        made_step();
    return rc;
}

/* ---- the ledger of several publishers ---- */

#define IDS_MAX 1024u /* numbers of publishers */
#define COUNTER_BITS 40u
#define ORDER_MAX (1u << 18) /* sequences: more than a ring holds */

/* Shared by the processes of a test. */
struct ledger {
    struct {
        uint64_t returned; /* counter of the last message whose publish has returned */
        uint64_t in_call;  /* number of the call that the publisher is in << 16 | messages of that call; 0: in none */
    } by[IDS_MAX];
    uint64_t
        order[ORDER_MAX]; /* a hash of what the first subscriber found at a sequence; all others must find the same */
};

/* For a new topic, on which nothing has been published yet. */
static inline void ledger_reset(struct ledger *ledger) {
    memset(ledger, 0, sizeof *ledger);
}

/* The first word of a message. */
static inline uint64_t message_word(uint64_t publisher, uint64_t counter) {
    return publisher << COUNTER_BITS | counter;
}

/* Half of the messages have 8 bytes, some are as long as possible. */
static inline size_t mixed_word_len(uint64_t word, size_t max) {
    const uint64_t r = mix(word);

    return r >> 63 == 0 ? 8 : r >> 60 == 8 ? max : 8 + (size_t)(r % ((r >> 60 <= 10 || max < 64 ? max : 64) - 7));
}

/* The length of a message with this first word, at least 8. A test may set another function. */
static size_t (*word_len)(uint64_t word, size_t max) = mixed_word_len;

static inline size_t message_fill(void *data, uint64_t word, size_t max) {
    const size_t len = word_len(word, max);

    fill_after_word(data, word, len);
    return len;
}

/* ---- a publisher that enters what it does into the ledger ---- */

struct test_publisher {
    aether_publisher *pub;
    struct ledger *ledger;
    uint64_t id;
    uint64_t counter; /* of its last message */
    uint64_t calls;
    size_t batch_max, inline_max, lane_bytes;
    unsigned char *buffer;  /* batch_max of the longest messages */
    struct iovec *messages; /* batch_max */
    bool waits;             /* also publishes by aether_publish_wait() */
};

static inline void publisher_begin(struct test_publisher *publisher, struct ledger *ledger, uint64_t id,
                                   const aether_topic_config *config, size_t batch_max) {
    *publisher =
        (struct test_publisher){.ledger = ledger,
                                .id = id,
                                .batch_max = batch_max,
                                .inline_max = config->inline_max != 0 ? config->inline_max : config->max_message,
                                .lane_bytes = config->lane_bytes,
                                .buffer = malloc(batch_max * config->max_message),
                                .messages = malloc(batch_max * sizeof *publisher->messages)};
    REQUIRE(publisher->buffer != NULL && publisher->messages != NULL && id < IDS_MAX);
}

static inline void publisher_end(struct test_publisher *publisher) {
    aether_publisher_close(publisher->pub);
    free(publisher->messages);
    free(publisher->buffer);
}

/* Fills in the message that is `ahead` after the last one. */
static inline size_t publisher_fill(const struct test_publisher *publisher, void *data, uint64_t ahead) {
    return message_fill(data, message_word(publisher->id, publisher->counter + ahead),
                        aether_publisher_max_message(publisher->pub));
}

/* Before and after a call that publishes count messages. */
static inline void publisher_enters(struct test_publisher *publisher, uint64_t count) {
    set(&publisher->ledger->by[publisher->id].in_call, ++publisher->calls << 16 | count);
}

static inline int publisher_returns(struct test_publisher *publisher, uint64_t count, int rc) {
    REQUIRE(rc >= 0);
    if (rc == 0) {
        publisher->counter += count;
        set(&publisher->ledger->by[publisher->id].returned, publisher->counter);
        made_step();
    }
    set(&publisher->ledger->by[publisher->id].in_call, 0);
    return rc;
}

static inline int publisher_batch(struct test_publisher *publisher, size_t count) {
    const size_t max = aether_publisher_max_message(publisher->pub);
    size_t lane = 0, n = 0;

    for (; n < count; n++) {
        unsigned char *data = publisher->buffer + n * max;
        const size_t len = publisher_fill(publisher, data, n + 1);
        lane += len > publisher->inline_max ? (len + 63) / 64 * 64 : 0;
        if (n > 0 && lane > publisher->lane_bytes)
            break;
        publisher->messages[n] = (struct iovec){data, len};
    }
    publisher_enters(publisher, n);
    return publisher_returns(publisher, n, aether_publish_batch(publisher->pub, publisher->messages, n));
}

static inline int publisher_gather(struct test_publisher *publisher, uint64_t random) {
    const size_t len = publisher_fill(publisher, publisher->buffer, 1);
    struct iovec pieces[3];
    size_t off = 0;

    for (unsigned i = 0; i < 3; i++) {
        const size_t piece = i < 2 ? (random >> 16 * i) % (len - off + 1) : len - off;
        pieces[i] = (struct iovec){publisher->buffer + off, piece};
        off += piece;
    }
    publisher_enters(publisher, 1);
    return publisher_returns(publisher, 1, aether_publish_gather(publisher->pub, pieces, 3));
}

/* Takes some loans, discards some of them, and commits the others in another order than they were taken in. */
static inline int publisher_loans(struct test_publisher *publisher, uint64_t random, size_t most) {
    const size_t max = aether_publisher_max_message(publisher->pub);
    unsigned count = 0, wanted = 1 + (unsigned)(random % (most < 3 ? most : 3));
    aether_loan loans[3];
    int rc = 0;

    for (; count < wanted && rc == 0; count += rc == 0)
        rc = aether_loan_take(publisher->pub, (random >> 8 & 3) == 0 ? max : 64 < max ? 64 : max, &loans[count]);
    REQUIRE(rc == 0 || rc == AETHER_FULL || rc == -ENOBUFS);
    for (unsigned i = count; i-- > 0;) {
        const size_t len = word_len(message_word(publisher->id, publisher->counter + 1), max);
        if (rc != 0 || len > loans[i].len || (random >> (16 + i) & 15) == 0) {
            REQUIRE(aether_loan_discard(publisher->pub, &loans[i]) == 0);
            continue;
        }
        loans[i].len = publisher_fill(publisher, loans[i].data, 1);
        publisher_enters(publisher, 1);
        rc = publisher_returns(publisher, 1, aether_loan_commit(publisher->pub, &loans[i]));
        if (rc != 0)
            REQUIRE(aether_loan_discard(publisher->pub, &loans[i]) == 0);
    }
    return rc == -ENOBUFS ? AETHER_FULL : rc;
}

/* Publishes up to `most` messages in any form; 0 or AETHER_FULL. */
static inline int publisher_publish_any(struct test_publisher *publisher, uint64_t random, uint64_t most) {
    const size_t batch = most < publisher->batch_max ? (size_t)most : publisher->batch_max;
    size_t len;

    switch (random % 6) {
    case 0:
        return publisher_batch(publisher, 1 + (random >> 8) % batch);
    case 1:
        return publisher_batch(publisher, 1 + (random >> 8) % (batch < 4 ? batch : 4));
    case 2:
        return publisher_gather(publisher, random >> 8);
    case 3:
        return publisher_loans(publisher, random >> 8, batch);
    default:
        len = publisher_fill(publisher, publisher->buffer, 1);
        publisher_enters(publisher, 1);
        return publisher_returns(publisher, 1,
                                 publisher->waits && random % 6 == 5
                                     ? aether_publish_wait(publisher->pub, publisher->buffer, len, 1000000)
                                     : aether_publish(publisher->pub, publisher->buffer, len));
    }
}

/* Messages of the call that the publisher is in. */
static inline uint64_t ledger_in_call(const struct ledger *ledger, uint64_t id) {
    return get(&ledger->by[id].in_call) & 0xffff;
}

/* All claimed sequences are below the topic's first one plus this. */
static inline uint64_t ledger_claimed_most(const struct ledger *ledger) {
    uint64_t all = 0;

    for (unsigned i = 0; i < IDS_MAX; i++) /* in this order: a call that has ended counts as returned */
        all += ledger_in_call(ledger, i) + get(&ledger->by[i].returned);
    return all;
}

/* Messages whose publish has returned. */
static inline uint64_t ledger_returned(const struct ledger *ledger) {
    uint64_t all = 0;

    for (unsigned i = 0; i < IDS_MAX; i++)
        all += get(&ledger->by[i].returned);
    return all;
}

/* A subscriber has found this message at this sequence. word 0: the sequence is aborted. */
static inline void check_order(struct ledger *ledger, uint64_t seq, uint64_t word) {
    uint64_t *entry = &ledger->order[seq % ORDER_MAX], old = get(entry);
    const uint64_t lap = seq / ORDER_MAX + 1, mine = lap << 48 | mix(seq ^ mix(word)) >> 16;

    do {
        if (old == mine || (old != 0 && (int16_t)((lap << 48 >> 48) - (old >> 48)) < 0))
            return;
        if (old != 0 && old >> 48 == (lap & 0xffff))
            fail("sequence %llu: publisher %llu, counter %llu here, another message for another subscriber",
                 (unsigned long long)seq, (unsigned long long)(word >> COUNTER_BITS),
                 (unsigned long long)(word & ((1ull << COUNTER_BITS) - 1)));
    } while (!__atomic_compare_exchange_n(entry, &old, mine, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
}

/* ---- a subscriber that checks everything ---- */

struct test_subscriber {
    aether_subscriber *sub;
    size_t max_message;
    bool gaps_allowed;
    bool latest;         /* AETHER_LATEST: may skip messages */
    bool in_place;       /* a view may be overwritten while it is checked */
    bool evictable;      /* reliable, on a topic that evicts, and not evicted yet */
    bool aborts_allowed; /* publishers are killed */
    uint64_t kept_from;  /* gaps below are allowed: of messages that were retained from before the join */
    uint64_t expected, delivered, lost, gaps, skipped, aborted;
    uint64_t evicted;      /* 1: was evicted */
    uint64_t overwritten;  /* delivered in place and found not to be valid any more */
    struct ledger *ledger; /* NULL: the topic has one publisher, and payloads follow from their sequences */
    uint64_t *counters;    /* of each publisher: counter of its last message that was received */
    bool strict;           /* no message of any publisher may be missing */
};

/* Is this a whole message of a publisher in the ledger? Fails if it comes out of order. */
static inline bool message_right(struct test_subscriber *subscriber, const aether_message *message) {
    uint64_t word, publisher, counter;

    if (message->len < 8)
        return false;
    memcpy(&word, message->data, 8);
    publisher = word >> COUNTER_BITS;
    counter = word & ((1ull << COUNTER_BITS) - 1);
    if (publisher >= IDS_MAX || message->len != word_len(word, subscriber->max_message) ||
        !right_after_word(message->data, word, message->len) ||
        (subscriber->in_place && !aether_still_valid(subscriber->sub, message)))
        return false;
    check_order(subscriber->ledger, message->seq, word);
    if (subscriber->strict ? counter != subscriber->counters[publisher] + 1
                           : counter <= subscriber->counters[publisher])
        fail("sequence %llu: counter %llu of publisher %llu came after %llu", (unsigned long long)message->seq,
             (unsigned long long)counter, (unsigned long long)publisher,
             (unsigned long long)subscriber->counters[publisher]);
    set(&subscriber->counters[publisher], counter);
    return true;
}

static inline bool entry_right(struct test_subscriber *subscriber, const aether_message *message) {
    return subscriber->ledger != NULL ? message_right(subscriber, message)
                                      : payload_right(message, subscriber->max_message);
}

static inline void check_gap(struct test_subscriber *subscriber, const aether_message *message) {
    if (!subscriber->gaps_allowed && (int64_t)(message->seq + message->lost - subscriber->kept_from) > 0)
        fail("a reliable subscriber lost %llu messages from %llu on", (unsigned long long)message->lost,
             (unsigned long long)message->seq);
    if (message->data != NULL || message->len != 0 || subscriber->latest)
        fail("gap of %llu at %llu with a payload, or of a latest subscriber", (unsigned long long)message->lost,
             (unsigned long long)message->seq);
    subscriber->lost += message->lost;
    subscriber->gaps++;
    subscriber->expected += message->lost;
}

/* The subscriber passes over sequences whose publisher was killed before it had committed them. */
static inline void pass_aborted(struct test_subscriber *subscriber, uint64_t next) {
    if (subscriber->aborts_allowed && !subscriber->latest && (int64_t)(next - subscriber->expected) > 0) {
        subscriber->aborted += next - subscriber->expected;
        for (; subscriber->expected != next; subscriber->expected++) {
            if (subscriber->ledger != NULL)
                check_order(subscriber->ledger, subscriber->expected, 0);
        }
    }
}

static inline void check_entry(struct test_subscriber *subscriber, const aether_message *message) {
    if (subscriber->latest && (int64_t)(message->seq - subscriber->expected) > 0) {
        subscriber->skipped += message->seq - subscriber->expected;
        subscriber->expected = message->seq;
    }
    if (message->seq != subscriber->expected)
        pass_aborted(subscriber, message->seq);
    if (message->seq != subscriber->expected)
        fail("sequence %llu arrived, %llu is next", (unsigned long long)message->seq,
             (unsigned long long)subscriber->expected);
    if (message->lost != 0) {
        check_gap(subscriber, message);
        return;
    }
    /* A view in place may be overwritten, and then it isn't valid any more. Its length is right in any case. */
    if (!entry_right(subscriber, message)) {
        if ((subscriber->ledger == NULL && message->len != payload_len(message->seq, subscriber->max_message)) ||
            !subscriber->in_place || aether_still_valid(subscriber->sub, message) != 0)
            fail("payload of sequence %llu is torn or wrong, %zu bytes", (unsigned long long)message->seq,
                 message->len);
        subscriber->overwritten++;
    }
    subscriber->delivered++;
    subscriber->expected++;
}

static inline int check_polled(void *context, const aether_message *message) {
    check_entry(context, message);
    return 0;
}

/* Receives once, in one of three forms, and checks all entries. Returns how many. */
static inline int receive_some(struct test_subscriber *subscriber, unsigned form) {
    aether_message messages[8];
    int n;

    if (form % 3 == 2) {
        n = aether_poll(subscriber->sub, check_polled, subscriber, 8);
    } else {
        n = form % 3 == 0 ? aether_receive(subscriber->sub, messages)
                          : aether_receive_batch(subscriber->sub, messages, 8);
        for (int i = 0; i < n; i++)
            check_entry(subscriber, &messages[i]);
    }
    pass_aborted(subscriber, aether_subscriber_next(subscriber->sub));
    if (n == -EOVERFLOW && subscriber->evictable) { /* once */
        subscriber->evictable = false;
        subscriber->gaps_allowed = true;
        subscriber->evicted = 1;
        return 0;
    }
    REQUIRE(n >= 0);
    if (n > 0)
        made_step();
    return n;
}

/*
 * Delivered + lost + aborted + skipped is by how much the subscriber has advanced, in its statistics and as counted
 * here.
 */
static inline void check_conserved(const struct test_subscriber *subscriber) {
    aether_subscriber_stats stats;

    aether_subscriber_get_stats(subscriber->sub, &stats);
    REQUIRE(stats.delivered == subscriber->delivered && stats.lost == subscriber->lost &&
            stats.gaps == subscriber->gaps);
    REQUIRE(subscriber->latest ? subscriber->aborts_allowed || stats.aborted == 0
                               : stats.aborted == subscriber->aborted);
    REQUIRE(stats.evicted == subscriber->evicted);
    /* A latest subscriber's statistics may count already what it has skipped since its last message. */
    REQUIRE(subscriber->latest
                ? stats.skipped + stats.aborted - subscriber->skipped == stats.next - subscriber->expected
                : stats.skipped == 0 && stats.next == subscriber->expected);
    REQUIRE(stats.next - stats.joined == stats.delivered + stats.lost + stats.skipped + stats.aborted);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * totals_test.c - statistics objects and totals of topics, without a second process. The test writes the clients'
 * figures. A client lives as long as the open file of its token.
 */
#include "broker/client_test.h"
#include "broker/totals.h"
#include "base/clock.h"
#include "base/histogram.h"
#include "broker/broker.h"
#include "broker/clients.h"
#include "broker/stats.h"
#include "ring/claim.h"
#include "service/log.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <aether/topic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOPIC_END 1000u /* what publishers of the topic have claimed */

static const struct ae_limits limits = {.topics = 3, .clients = 3, .grants = 20, .ring_bytes = 1 << 20};

static int setup(void **state) {
    (void)state;
    return ae_broker_start(&broker, &instance, &limits);
}

static int teardown(void **state) {
    char command[128];

    (void)state;
    ae_broker_stop(&broker);
    (void)snprintf(command, sizeof command, "! ls /dev/shm | grep -q '^%s'", instance.prefix + 1);
    return system(command); /* NOLINT: a test's own words */
}

static void restart(void) {
    vanish();
    assert_int_equal(ae_broker_start(&broker, &instance, &limits), 0);
}

static void die_and_be_freed(struct client *client) {
    die(client);
    assert_true(ae_clients_free_if_dead(&broker, client->index));
}

static struct ae_reply ask(const struct client *client, struct ae_msg *msg, const char *topic) {
    struct ae_reply reply = {0};

    (void)snprintf(msg->u.open.topic.topic, sizeof msg->u.open.topic.topic, "%s", topic);
    ae_broker_handle(&broker, client->index, msg, &reply);
    for (int i = 0; i < reply.fd_count; i++)
        ae_close(&reply.fds[i]);
    return reply;
}

static struct ae_reply ask_to_open(const struct client *client, uint32_t role, const char *topic) {
    struct ae_msg msg = {.type = AE_MSG_OPEN, .u.open = {.role = role, .topic = {.capacity = 8}}};

    return ask(client, &msg, topic);
}

/*
 * Opens a topic that has slots. If it has none yet, a publisher, which leaves no figures, opens and closes it before.
 */
static struct ae_msg open_with_slots(const struct client *client, struct ae_msg *msg, const char *topic) {
    const uint32_t role = msg->u.open.role;
    struct ae_reply reply = ask(client, msg, topic);

    if (reply.msg.type == AE_MSG_OPENED && reply.msg.u.opened.shape != AE_SHAPE_FIXED) {
        assert_int_equal(give_back(client, reply.msg.u.opened.grant_id), 0);
        msg->u.open.role = AE_ROLE_PUBLISHER;
        reply = ask(client, msg, topic);
        assert_int_equal(give_back(client, reply.msg.u.opened.grant_id), 0);
        msg->u.open.role = role;
        reply = ask(client, msg, topic);
    }
    assert_int_equal(reply.msg.type, AE_MSG_OPENED);
    return reply.msg;
}

static struct ae_msg open_topic(const struct client *client, uint32_t role, const char *topic) {
    struct ae_msg msg = {.type = AE_MSG_OPEN, .u.open = {.role = role, .topic = {.capacity = 8}}};

    return open_with_slots(client, &msg, topic);
}

/* The topic's publishers evict. */
static struct ae_msg open_evicting(const struct client *client, uint32_t role, const char *topic) {
    struct ae_msg msg = {.type = AE_MSG_OPEN,
                         .u.open = {.role = role, .topic = {.capacity = 8, .slow = AETHER_SLOW_EVICT, .evict_lag = 8}}};

    return open_with_slots(client, &msg, topic);
}

/* ---- what clients and publishers store ---- */

static int open_stats(const struct client *client) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_stats(&instance, client->id, name);
    const int fd = ae_segment_open(name, true, instance.uid, 0, NULL);
    assert_true(fd >= 0);
    return fd;
}

static uint64_t stats_allocated(const struct client *client) {
    int fd = open_stats(client);
    struct stat status;

    assert_int_equal(fstat(fd, &status), 0);
    ae_close(&fd);
    return (uint64_t)status.st_blocks * 512;
}

static off_t offset_of(const struct ae_msg *opened) {
    return (off_t)(AE_STATS_RECORDS_OFF + (uint64_t)opened->u.opened.stats * AE_STATS_RECORD);
}

static void read_stats(const struct client *client, const struct ae_msg *opened, ae_stats_record *record) {
    int fd = open_stats(client);

    assert_true(pread(fd, record, sizeof *record, offset_of(opened)) >= (ssize_t)AE_STATS_PUBLISHER);
    ae_close(&fd);
}

/* As if aetherd had granted it when the topic and the machine were new. */
static void make_old(const struct ae_msg *opened) {
    ae_registry_grant *grant = broker.registry.grants;

    while (grant->grant_id != opened->u.opened.grant_id)
        grant++;
    grant->granted_ns = 0;
    grant->granted_seq = opened->u.opened.geometry.start_seq;
}

/* Stores an account, and `position`, which is also the cursor of a reliable subscriber. The grant is an old one. */
static void account_for(const struct client *client, const struct ae_msg *opened, const ae_account *account,
                        uint64_t position) {
    ae_stats_record record = {0};
    int fd = open_stats(client);

    make_old(opened);
    read_stats(client, opened, &record);
    record.flips.v++;
    memcpy(&record.account[record.flips.v & 1], account, sizeof *account);
    memset(&record.account[~record.flips.v & 1], 0x5a, sizeof *account); /* it may be half written */
    record.position.v = position;
    record.full.v = 21;
    record.stalls.v = 22;
    record.stall_longest.v = 24;
    record.retries.v = 25;
    record.wakes.v = 26;
    record.sleeps.v = 32;
    record.woken.v = 31;
    record.samples.v = 33;
    record.negative.v = 34;
    record.overflow.v = 35;
    record.missed.v = 36;
    record.buckets[0].v = 37;
    record.buckets[AE_HISTOGRAM_BUCKETS - 1].v = 38;
    const size_t len = opened->u.opened.role == AE_ROLE_PUBLISHER ? AE_STATS_PUBLISHER : AE_STATS_RECORD;
    assert_int_equal(pwrite(fd, &record, len, offset_of(opened)), (ssize_t)len);
    ae_close(&fd);
}

static void *map_object(bool log, uint64_t topic_id, size_t bytes) {
    char name[AE_OBJECT_NAME_SIZE];
    void *base;

    if (log)
        ae_name_log(&instance, topic_id, name);
    else
        ae_name_cursors(&instance, topic_id, name);
    int fd = ae_segment_open(name, true, instance.uid, 0, NULL);
    assert_true(fd >= 0);
    assert_int_equal(ae_segment_map(fd, bytes, true, false, &base), 0);
    ae_close(&fd);
    return base;
}

static void claim(const struct ae_msg *opened, uint32_t record, uint64_t first, uint64_t end) {
    ae_log *log = map_object(true, opened->u.opened.topic_id, sizeof *log);

    ae_store_relaxed(&log->claim.position, end);
    ae_store_relaxed(&log->publishers[record].intent, ae_intent(first, end - first));
    ae_store_relaxed(&log->claim.claim, ae_claim_word(end, AE_MODE_SHARED, record));
    ae_segment_unmap(log, sizeof *log);
}

static void store_cursor(const struct ae_msg *opened, uint64_t cursor) {
    ae_cursors *cursors = map_object(false, opened->u.opened.topic_id, sizeof *cursors);

    ae_store_relaxed(&cursors->records[opened->u.opened.record].cursor, cursor);
    ae_segment_unmap(cursors, sizeof *cursors);
}

/* The totals of the topic in record t of the registry. */
static ae_totals_topic totals_in(uint32_t t, const struct ae_msg *opened) {
    ae_totals_topic totals;

    assert_int_equal(ae_totals_read(&broker.totals, t, opened->u.opened.topic_id, &totals), 1);
    return totals;
}

static ae_totals_topic totals_of(const struct ae_msg *opened) {
    return totals_in(0, opened);
}

/* ---- records ---- */

static void a_record_for_each_grant(void **state) {
    struct client a = enter("a"), b = enter("b");
    ae_stats_record record;
    ae_stats_header header;
    struct stat status;
    int fd;

    (void)state;
    fd = open_stats(&a);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_size, AE_STATS_RECORDS_OFF + limits.grants * AE_STATS_RECORD);
    assert_int_equal(status.st_blocks * 512, AE_PAGE);
    assert_int_equal(pread(fd, &header, sizeof header, 0), sizeof header);
    assert_int_equal(header.magic, AE_STATS_MAGIC);
    assert_int_equal(header.layout_major, AE_LAYOUT_MAJOR);
    assert_int_equal(header.client_id, a.id);
    assert_int_equal(header.records, limits.grants);

    const struct ae_msg first = open_topic(&a, AE_ROLE_RELIABLE, "t"), other = open_topic(&b, AE_ROLE_PUBLISHER, "t"),
                        second = open_topic(&a, AE_ROLE_PUBLISHER, "t"),
                        third = open_topic(&a, AE_ROLE_BEST_EFFORT, "t");
    assert_int_equal(other.u.opened.stats, 0);
    assert_int_equal(first.u.opened.stats, 0);
    assert_int_equal(second.u.opened.stats, 1);
    assert_int_equal(third.u.opened.stats, 2);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_blocks * 512, AE_PAGE + 2 * AE_STATS_RECORD + AE_STATS_PUBLISHER);
    read_stats(&a, &second, &record);
    assert_int_equal(record.grant_id.v, second.u.opened.grant_id);
    assert_int_equal(record.topic_id, second.u.opened.topic_id);
    assert_int_equal(record.role, AE_ROLE_PUBLISHER);
    assert_int_equal(record.record, second.u.opened.record);

    account_for(&a, &second, &(ae_account){.messages = 9}, 9);
    assert_int_equal(give_back(&a, first.u.opened.grant_id), 0);
    assert_int_equal(give_back(&a, second.u.opened.grant_id), 0);
    const struct ae_msg fourth = open_topic(&a, AE_ROLE_BEST_EFFORT, "u"),
                        fifth = open_topic(&a, AE_ROLE_PUBLISHER, "u");
    assert_int_equal(fourth.u.opened.stats, 0);
    assert_int_equal(fifth.u.opened.stats, 1);
    read_stats(&a, &fifth, &record);
    assert_int_equal(record.grant_id.v, fifth.u.opened.grant_id);
    assert_int_equal(record.flips.v, 0);
    assert_int_equal(record.position.v, 0);
    ae_close(&fd);
    die_and_be_freed(&a);
    die_and_be_freed(&b);
}

static void descriptors_come_in_order(void **state) {
    struct client a = enter("a");

    (void)state;
    for (uint32_t role = AE_ROLE_PUBLISHER; role <= AE_ROLE_BEST_EFFORT; role++) {
        const struct ae_msg msg = {.type = AE_MSG_OPEN,
                                   .u.open = {.role = role, .topic = {.topic = "t", .capacity = 8}}};
        struct ae_reply reply = {0};
        uint64_t magics[AE_FDS_MAX] = {0};
        ae_broker_handle(&broker, a.index, &msg, &reply);
        assert_int_equal(reply.fd_count, role == AE_ROLE_BEST_EFFORT ? 3 : 4);
        for (int i = 0; i < reply.fd_count; i++) {
            assert_int_equal(pread(reply.fds[i], &magics[i], sizeof magics[i], 0), sizeof magics[i]);
            ae_close(&reply.fds[i]);
        }
        assert_int_equal(magics[0], AE_LOG_MAGIC);
        assert_int_equal(magics[1], AE_STATS_MAGIC);
        assert_int_equal(magics[2], AE_NOTES_MAGIC);
        assert_int_equal(magics[3], role == AE_ROLE_BEST_EFFORT ? 0 : AE_CURSORS_MAGIC);
    }
    die_and_be_freed(&a);
}

/* ---- folding ---- */

static void subscribers_are_folded(void **state) {
    const ae_account account = {.joined = 100,
                                .next = 200,
                                .bytes = 600,
                                .lost = {1, 2, 3, 4},
                                .gaps = 5,
                                .aborted = 6,
                                .skipped = 7,
                                .evicted = 1};
    struct client a = enter("alpha");

    (void)state;
    const struct ae_msg best_effort = open_topic(&a, AE_ROLE_BEST_EFFORT, "t"),
                        reliable = open_topic(&a, AE_ROLE_RELIABLE, "t");
    claim(&reliable, 0, 0, TOPIC_END);
    store_cursor(&reliable, 230);
    account_for(&a, &best_effort, &account, 210);
    account_for(&a, &reliable, &account, 0);
    assert_int_equal(give_back(&a, best_effort.u.opened.grant_id), 0);
    ae_totals_topic totals = totals_of(&reliable);
    assert_int_equal(totals.accounted, 110);
    assert_int_equal(totals.delivered, 110 - 10 - 6 - 7);
    assert_int_equal(totals.delivered_bytes, 600);
    assert_int_equal(totals.departed_count, 1);
    die_and_be_freed(&a);
    totals = totals_of(&reliable);
    assert_int_equal(totals.accounted, 240);
    assert_int_equal(totals.delivered, 240 - 20 - 12 - 14);
    assert_int_equal(totals.delivered_bytes, 1200);
    for (unsigned i = 0; i < AE_LOST_REASONS; i++)
        assert_int_equal(totals.lost[i], 2 * (i + 1));
    assert_int_equal(totals.gaps, 10);
    assert_int_equal(totals.aborted, 12);
    assert_int_equal(totals.skipped, 14);
    assert_int_equal(totals.evictions, 2);
    assert_int_equal(totals.sleeps, 64);
    assert_int_equal(totals.woken, 62);
    assert_int_equal(totals.samples, 66);
    assert_int_equal(totals.negative, 68);
    assert_int_equal(totals.overflow, 70);
    assert_int_equal(totals.missed, 72);
    assert_int_equal(totals.buckets[0], 74);
    assert_int_equal(totals.buckets[AE_HISTOGRAM_BUCKETS - 1], 76);
    assert_int_equal(totals.subscribers_died, 1);
    assert_int_equal(totals.publishers_died, 0);
    assert_int_equal(totals.published, 0);
    assert_int_equal(totals.full, 0);
    assert_int_equal(totals.last_folded, reliable.u.opened.grant_id);
    assert_int_equal(totals.departed_count, 2);
    for (int i = 0; i < 2; i++) {
        const ae_departed *departed = &totals.departed[i];
        assert_int_equal(departed->client_id, a.id);
        assert_string_equal(departed->client, "alpha");
        assert_int_equal(departed->pid, 42);
        assert_int_equal(departed->died, i);
        assert_int_equal(departed->role, i == 0 ? AE_ROLE_BEST_EFFORT : AE_ROLE_RELIABLE);
        assert_int_equal(departed->evicted, 1);
        assert_int_equal(departed->messages, i == 0 ? 87 : 107);
        assert_int_equal(departed->lost, 10);
        assert_int_equal(departed->aborted, 6);
        assert_int_equal(departed->skipped, 7);
        assert_true(departed->left_ns > 0);
    }
}

/*
 * Publishers have evicted a subscriber that never received again. A publisher that had found it active and comes too
 * late to evict it doesn't: what is counted stays as it is.
 */
static void evictions_are_counted_though_nobody_noticed(void **state) {
    const ae_account account = {.joined = 100, .next = 200};
    struct client a = enter("a");

    (void)state;
    for (uint64_t turn = 0; turn < 6; turn++) {
        const struct ae_msg reliable =
            turn % 3 == 2 ? open_topic(&a, AE_ROLE_RELIABLE, "waits") : open_evicting(&a, AE_ROLE_RELIABLE, "evicts");
        ae_log *log = map_object(true, reliable.u.opened.topic_id, sizeof *log);
        ae_u64 *word = &log->evict[reliable.u.opened.record];
        const uint64_t before = ae_load_acquire(word);
        claim(&reliable, 0, 0, TOPIC_END);
        account_for(&a, &reliable, &account, 0);
        if (turn % 3 != 1)
            ae_store_release(word, before | AE_EVICT_LAG);
        const ae_totals_topic old = totals_in(turn % 3 == 2, &reliable);
        if (turn < 3) {
            assert_int_equal(give_back(&a, reliable.u.opened.grant_id), 0);
        } else {
            die_and_be_freed(&a);
            a = enter("a");
        }
        if (turn % 3 == 1)
            assert_false(ae_cas(word, before, before | AE_EVICT_LAG));
        const ae_totals_topic new = totals_in(turn % 3 == 2, &reliable);
        assert_int_equal(new.evictions - old.evictions, turn % 3 == 0);
        assert_int_equal(new.departed[(new.departed_count - 1) % AE_DEPARTED_MAX].evicted, turn % 3 == 0);
        ae_segment_unmap(log, sizeof *log);
    }
    die_and_be_freed(&a);
}

/* The cursor in the cursors object says nothing while a reliable subscriber reads retained messages. */
static void retained_messages_count_as_far_as_they_are_read(void **state) {
    const ae_account account = {.joined = 900, .next = 910, .by_position = 1};
    struct client a = enter("a");

    (void)state;
    const struct ae_msg reliable = open_topic(&a, AE_ROLE_RELIABLE, "t");
    claim(&reliable, 0, 0, TOPIC_END);
    store_cursor(&reliable, TOPIC_END);
    account_for(&a, &reliable, &account, 920);
    die_and_be_freed(&a);
    assert_int_equal(totals_of(&reliable).delivered, 20);
}

static void publishers_are_folded(void **state) {
    const ae_account account = {.joined = 100, .next = 990, .messages = 50, .bytes = 480, .batches = 3};
    struct client a = enter("a");

    (void)state;
    for (int died = 0; died < 2; died++) {
        const struct ae_msg opened = open_topic(&a, AE_ROLE_PUBLISHER, "t");
        ae_log *log = map_object(true, opened.u.opened.topic_id, opened.u.opened.geometry.lanes_off);
        claim(&opened, opened.u.opened.record, TOPIC_END - 3, TOPIC_END);
        for (uint64_t seq = TOPIC_END - 3; seq < TOPIC_END - 1; seq++)
            ae_store_relaxed(ae_slot_tag(log, &opened.u.opened.geometry, seq), ae_tag(seq, AE_KIND_INLINE, 8));
        ae_segment_unmap(log, opened.u.opened.geometry.lanes_off);
        account_for(&a, &opened, &account, 0);
        if (died)
            die_and_be_freed(&a);
        else
            assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
        const ae_totals_topic totals = totals_of(&opened);
        const uint64_t times = died ? 2 : 1;
        assert_int_equal(totals.published, died ? 60 + 59 : 60); /* the last one is aborted */
        assert_int_equal(totals.published_bytes, 480 * times);
        assert_int_equal(totals.batches, 3 * times);
        assert_int_equal(totals.full, 21 * times);
        assert_int_equal(totals.stalls, 22 * times);
        assert_int_equal(totals.stall_longest, 24);
        assert_int_equal(totals.retries, 25 * times);
        assert_int_equal(totals.wakes, 26 * times);
        assert_int_equal(totals.accounted, 0);
        assert_int_equal(totals.samples, 0);
        assert_int_equal(totals.publishers_died, died);
        assert_int_equal(totals.subscribers_died, 0);
        assert_int_equal(totals.departed[died].messages, died ? 59 : 60);
        assert_int_equal(totals.departed[died].full, 21);
    }
}

static void the_last_to_go_are_kept(void **state) {
    struct client a = enter("a");
    ae_totals_topic totals = {0};
    uint64_t last = 0;

    (void)state;
    for (uint64_t i = 1; i <= AE_DEPARTED_MAX + 3; i++) {
        const struct ae_msg opened = open_topic(&a, AE_ROLE_BEST_EFFORT, "t");
        claim(&opened, 0, 0, TOPIC_END);
        account_for(&a, &opened, &(ae_account){.next = i}, 0);
        last = opened.u.opened.grant_id;
        assert_int_equal(give_back(&a, last), 0);
        totals = totals_of(&opened);
        assert_int_equal(totals.departed_count, i);
        assert_int_equal(totals.delivered, i * (i + 1) / 2);
    }
    for (uint64_t i = 0; i < AE_DEPARTED_MAX; i++)
        assert_int_equal(totals.departed[(totals.departed_count - 1 - i) % AE_DEPARTED_MAX].grant_id<last, i> 0);
    die_and_be_freed(&a);
}

/* A client that was killed between OPENED and its first account, or lost the reply, has no figures. */
static void unused_records_have_no_figures(void **state) {
    struct client a = enter("a");

    (void)state;
    const struct ae_msg publisher = open_topic(&a, AE_ROLE_PUBLISHER, "t"),
                        reliable = open_topic(&a, AE_ROLE_RELIABLE, "t");
    claim(&publisher, 0, 0, 10);
    store_cursor(&reliable, 5);
    assert_int_equal(ae_clients_resume(&broker, a.id, a.nonce, publisher.u.opened.grant_id), a.index);
    die_and_be_freed(&a);
    const ae_totals_topic totals = totals_of(&publisher);
    assert_int_equal(totals.accounted, 0);
    assert_int_equal(totals.published, 0);
    assert_int_equal(totals.departed_count, 0);
}

/* ---- hostile clients ---- */

static void senseless_figures_are_left_out(void **state) {
    const ae_account bad[] = {
        {.joined = 1, .next = 0},
        {.next = TOPIC_END + 1},
        {.next = 10, .lost = {11}},
        {.next = 10, .lost = {UINT64_MAX, 1}},
        {.next = 10, .aborted = 5, .skipped = 6},
        {.next = 10, .gaps = 1},
    };
    struct client a = enter("a");
    struct ae_msg opened = {0};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        opened = open_topic(&a, AE_ROLE_BEST_EFFORT, "t");
        claim(&opened, 0, 0, TOPIC_END);
        account_for(&a, &opened, &bad[i], 0);
        assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
    }
    for (int i = 0; i < 2; i++) {
        opened = open_topic(&a, AE_ROLE_PUBLISHER, "t");
        account_for(&a, &opened, &(ae_account){.joined = i == 0 ? 0 : 1, .messages = i == 0 ? TOPIC_END + 1 : 0}, 0);
        assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
    }
    assert_int_equal(totals_of(&opened).departed_count, 0);
    assert_int_equal(totals_of(&opened).accounted, 0);
    assert_int_equal(totals_of(&opened).published, 0);
    /* Its identity is another grant's. */
    for (size_t field = 0; field < 4; field++) {
        static const off_t offsets[] = {offsetof(ae_stats_record, grant_id), offsetof(ae_stats_record, topic_id),
                                        offsetof(ae_stats_record, role), offsetof(ae_stats_record, record)};
        int fd = open_stats(&a);
        opened = open_topic(&a, AE_ROLE_BEST_EFFORT, "t");
        account_for(&a, &opened, &(ae_account){.next = 10}, 0);
        assert_int_equal(pwrite(fd, "\x63", 1, offset_of(&opened) + offsets[field]), 1);
        ae_close(&fd);
        assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
    }
    assert_int_equal(totals_of(&opened).departed_count, 0);
    die_and_be_freed(&a);
}

/* Writes the largest numbers to all that the client may write but the account. */
static void lie(const struct client *client, const struct ae_msg *opened) {
    const size_t len = opened->u.opened.role == AE_ROLE_PUBLISHER ? AE_STATS_PUBLISHER : AE_STATS_RECORD;
    ae_stats_record record = {0};
    int fd = open_stats(client);

    read_stats(client, opened, &record);
    memset(&record.full, 0xff, len - offsetof(ae_stats_record, full));
    record.waits_since.v = 1;
    assert_int_equal(pwrite(fd, &record, len, offset_of(opened)), (ssize_t)len);
    ae_close(&fd);
}

/* As account_for(), for a grant that is as new as it is. */
static void account_for_new(const struct client *client, const struct ae_msg *opened, const ae_account *account,
                            uint64_t position) {
    ae_registry_grant *grant = broker.registry.grants;

    while (grant->grant_id != opened->u.opened.grant_id)
        grant++;
    const ae_registry_grant new = *grant;
    account_for(client, opened, account, position);
    grant->granted_ns = new.granted_ns;
    grant->granted_seq = new.granted_seq;
}

/* A client that says the most of its publishers and subscribers adds no more than was possible while it had them. */
static void no_client_fills_the_sums(void **state) {
    const ae_account account = {.joined = TOPIC_END - 8,
                                .next = TOPIC_END,
                                .bytes = UINT64_MAX,
                                .messages = 8,
                                .batches = UINT64_MAX,
                                .stall_ns = UINT64_MAX,
                                .stalled_since = 1};
    const uint32_t roles[] = {AE_ROLE_PUBLISHER, AE_ROLE_BEST_EFFORT, AE_ROLE_RELIABLE};
    const uint64_t began = ae_now_ns();
    struct client a = enter("a"), b = enter("b");

    (void)state;
    const struct ae_msg honest = open_topic(&b, AE_ROLE_BEST_EFFORT, "t");
    claim(&honest, 0, 0, TOPIC_END);
    for (unsigned i = 0; i < 9; i++) {
        const struct ae_msg opened = open_topic(&a, roles[i % 3], "t");
        account_for_new(&a, &opened, &account, TOPIC_END);
        lie(&a, &opened);
        assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
    }
    ae_totals_topic totals = totals_of(&honest);
    const uint64_t took = ae_now_ns() - began;
    const uint64_t counts[] = {totals.full,    totals.stalls, totals.stall_longest, totals.retries,
                               totals.batches, totals.wakes,  totals.stall_ns,      totals.sleeps};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        assert_in_range(counts[i], 1, took);
    assert_true(totals.woken == totals.sleeps);
    assert_int_equal(totals.departed_count, 9);
    for (unsigned i = 0; i < AE_DEPARTED_MAX; i++)
        assert_true(totals.departed[i].full <= took && totals.departed[i].stall_ns <= took);
    assert_int_equal(totals.published, 3 * 8);
    assert_int_equal(totals.accounted, 6 * 8);
    assert_int_equal(totals.delivered_bytes, 6 * 8u * honest.u.opened.geometry.max_message);
    /* Its histograms are left out, and those of others are counted. */
    assert_int_equal(totals.samples + totals.negative + totals.overflow + totals.missed, 0);
    assert_int_equal(ae_histogram_count(totals.buckets), 0);
    account_for(&b, &honest, &(ae_account){.next = 100}, 0);
    assert_int_equal(give_back(&b, honest.u.opened.grant_id), 0);
    totals = totals_of(&honest);
    assert_int_equal(totals.samples, 33);
    assert_int_equal(ae_histogram_count(totals.buckets), 37 + 38);
    die_and_be_freed(&a);
    die_and_be_freed(&b);
}

/* A client that opens and closes in turn counts none of the messages that were there before. */
static void history_is_not_counted_again(void **state) {
    struct client a = enter("a");
    struct ae_msg opened = {0};

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        const uint64_t joined = i % 3 == 0 ? 0 : i % 3 == 1 ? TOPIC_END - 9 : TOPIC_END - 8; /* capacity: 8 */
        opened = open_topic(&a, i < 3 ? AE_ROLE_BEST_EFFORT : AE_ROLE_PUBLISHER, "t");
        claim(&opened, 1, 0, TOPIC_END);
        if (i == 0) { /* it has been there from the beginning */
            account_for_new(&a, &opened, &(ae_account){.next = TOPIC_END}, 0);
            assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
            assert_int_equal(totals_of(&opened).accounted, TOPIC_END);
            continue;
        }
        account_for_new(&a, &opened, &(ae_account){.joined = joined, .next = TOPIC_END, .messages = TOPIC_END - joined},
                        0);
        assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
    }
    assert_int_equal(totals_of(&opened).accounted, TOPIC_END + 8);
    assert_int_equal(totals_of(&opened).published, 8);
    assert_int_equal(totals_of(&opened).departed_count, 3);
    die_and_be_freed(&a);
}

static void sums_saturate(void **state) {
    struct client a = enter("a");

    (void)state;
    for (int i = 0; i < 3; i++) {
        const struct ae_msg opened = open_topic(&a, AE_ROLE_BEST_EFFORT, "t");
        claim(&opened, 0, 0, TOPIC_END);
        account_for(&a, &opened, &(ae_account){.next = 10}, 0);
        ae_totals_topic next = totals_of(&opened);
        if (i == 0) {
            next.delivered = next.buckets[0] = next.samples = UINT64_MAX - 20;
            next.last_folded = UINT64_MAX;
            ae_totals_change(&broker.totals, NULL, 0, &next);
        }
        assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
        const ae_totals_topic totals = totals_of(&opened);
        assert_true(totals.delivered == (i == 0 ? UINT64_MAX - 10 : UINT64_MAX));
        assert_true(totals.buckets[0] == UINT64_MAX && totals.samples == UINT64_MAX);
    }
    die_and_be_freed(&a);
}

static void shrunk_and_missing_objects(void **state) {
    static const off_t sizes[] = {0, 4096, 6000, 12000};
    struct ae_msg opened = {0};
    char name[AE_OBJECT_NAME_SIZE];

    (void)state;
    for (size_t i = 0; i <= sizeof sizes / sizeof sizes[0]; i++) {
        struct client a = enter("a");
        int fd = open_stats(&a);
        opened = open_topic(&a, AE_ROLE_BEST_EFFORT, "t");
        const struct ae_msg second = open_topic(&a, AE_ROLE_BEST_EFFORT, "t");
        account_for(&a, &opened, &(ae_account){.next = 0}, 0);
        if (i < sizeof sizes / sizeof sizes[0]) {
            assert_int_equal(ftruncate(fd, sizes[i]), 0);
        } else {
            ae_name_stats(&instance, a.id, name);
            assert_int_equal(ae_segment_remove(name), 0);
        }
        ae_close(&fd);
        assert_int_equal(give_back(&a, second.u.opened.grant_id), 0);
        const struct ae_reply refused = ask_to_open(&a, AE_ROLE_PUBLISHER, "t");
        assert_int_equal(refused.msg.type, AE_MSG_ERROR);
        assert_non_null(strstr(refused.msg.u.error.text, "no statistics for topic 't'"));
        die_and_be_freed(&a);
    }
    assert_int_equal(totals_of(&opened).departed_count, 0);
}

/* The first number that a new descriptor would get. */
static rlim_t lowest_descriptor(void) {
    const int fd = dup(STDIN_FILENO);

    assert_true(fd >= 0);
    close(fd);
    return (rlim_t)fd;
}

/* Closes the grant while aetherd has so little of a resource. */
static int32_t give_back_within(unsigned resource, rlim_t most, const struct client *client, uint64_t grant_id) {
    struct rlimit limit;

    assert_int_equal(getrlimit(resource, &limit), 0);
    const struct rlimit tight = {.rlim_cur = most, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(resource, &tight), 0);
    const int32_t rc = give_back(client, grant_id);
    assert_int_equal(setrlimit(resource, &limit), 0);
    return rc;
}

/* The word of the log in which publishers have bits. */
static uint64_t open_publishers(const struct ae_msg *opened) {
    char name[AE_OBJECT_NAME_SIZE];
    uint64_t word;

    ae_name_log(&instance, opened->u.opened.topic_id, name);
    int fd = ae_segment_open(name, false, instance.uid, 0, NULL);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &word, sizeof word, offsetof(ae_log, stream.open)), sizeof word);
    ae_close(&fd);
    return word;
}

/* A close finds no free descriptor but aetherd's reserve. Clients have taken the others, by their connections. */
static void closed_without_a_free_descriptor(void **state) {
    static const uint32_t roles[] = {AE_ROLE_PUBLISHER, AE_ROLE_RELIABLE, AE_ROLE_BEST_EFFORT};
    const struct ae_msg remove = {.type = AE_MSG_REMOVE, .u.remove.topic = "t"};
    struct client a = enter("a");

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        const struct ae_msg opened = open_topic(&a, roles[i], "t");
        claim(&opened, 0, 0, TOPIC_END);
        account_for(&a, &opened, &(ae_account){.next = 10, .messages = 10}, 0);
        assert_int_equal(give_back_within(RLIMIT_NOFILE, lowest_descriptor(), &a, opened.u.opened.grant_id), 0);
        assert_int_equal(totals_of(&opened).departed_count, 1);
        assert_int_equal(totals_of(&opened).delivered, i == 0 ? 0 : 10);
        assert_int_equal(open_publishers(&opened), 0);
        assert_int_equal(give_back(&a, opened.u.opened.grant_id), -ENOENT);
        struct ae_reply reply = {0};
        ae_broker_handle(&broker, a.index, &remove, &reply); /* so that the next role has a new topic */
        assert_int_equal(reply.msg.type, AE_MSG_DONE);
    }
    die_and_be_freed(&a);
}

/* A close finds no memory to map the topic. The grant stays whole, is freed later, and is counted once. */
static void closed_without_memory(void **state) {
    struct client a = enter("a"), b = enter("b");

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        const struct ae_msg opened = open_topic(&a, AE_ROLE_PUBLISHER, "t");
        claim(&opened, 0, 0, TOPIC_END);
        account_for(&a, &opened, &(ae_account){.next = 10, .messages = 10}, 10);
        assert_int_equal(give_back_within(RLIMIT_AS, 1, &a, opened.u.opened.grant_id), 0);
        assert_int_equal(totals_of(&opened).departed_count, i);
        assert_int_equal(open_publishers(&opened), 1);
        if (i == 0) {
            assert_int_equal(give_back(&a, opened.u.opened.grant_id), -ENOENT); /* frees it before it is handled */
        } else if (i == 1) {
            assert_int_equal(give_back_within(RLIMIT_AS, 1, &a, opened.u.opened.grant_id), -ENOENT);
            assert_int_equal(totals_of(&opened).departed_count, i);
            assert_int_equal(open_topic(&b, AE_ROLE_PUBLISHER, "t").u.opened.record, 0); /* frees it, too */
            die_and_be_freed(&b);
        } else {
            die_and_be_freed(&a);
            a = enter("a");
        }
        assert_int_equal(totals_of(&opened).departed_count, i + 1);
        assert_int_equal(open_publishers(&opened), 0);
    }
    die_and_be_freed(&a);
}

/* Asks for an open while aetherd has so little of a resource. */
static uint32_t open_within(unsigned resource, rlim_t most, const struct client *client, uint32_t role) {
    struct rlimit limit;

    assert_int_equal(getrlimit(resource, &limit), 0);
    const struct rlimit tight = {.rlim_cur = most, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(resource, &tight), 0);
    const struct ae_reply reply = ask_to_open(client, role, "t");
    assert_int_equal(setrlimit(resource, &limit), 0);
    return reply.msg.type;
}

/* Each open fails because it lacks a descriptor or memory. The client's object doesn't become larger. */
static void failed_opens_leave_no_statistics(void **state) {
    struct client a = enter("a");

    (void)state;
    const struct ae_msg first = open_topic(&a, AE_ROLE_RELIABLE, "t");
    const uint64_t before = stats_allocated(&a);
    for (unsigned i = 0; i < 30; i++) {
        const uint32_t role = i % 2 == 0 ? AE_ROLE_RELIABLE : AE_ROLE_PUBLISHER;
        assert_int_equal(open_within(RLIMIT_NOFILE, lowest_descriptor() + i % 3, &a, role), AE_MSG_ERROR);
        assert_true(stats_allocated(&a) == before);
        assert_int_equal(open_within(RLIMIT_AS, 1, &a, role), AE_MSG_ERROR);
        assert_true(stats_allocated(&a) == before);
    }
    const struct ae_msg second = open_topic(&a, AE_ROLE_PUBLISHER, "t");
    assert_int_equal(second.u.opened.stats, first.u.opened.stats + 1);
    assert_true(stats_allocated(&a) == before + AE_STATS_PUBLISHER);
    die_and_be_freed(&a);
}

/* Values that a program has written to the registry while aetherd runs. */
static void senseless_grants_are_not_folded(void **state) {
    struct client a = enter("a");

    (void)state;
    for (int i = 0; i < 3; i++) {
        const struct ae_msg opened = open_topic(&a, AE_ROLE_RELIABLE, "t");
        ae_registry_grant *grant = &broker.registry.grants[0];
        claim(&opened, 0, 0, TOPIC_END);
        account_for(&a, &opened, &(ae_account){.next = 10}, 0);
        *(i == 0 ? &grant->record : i == 1 ? &grant->stats : &grant->folded) = UINT32_MAX;
        assert_true(open_topic(&a, AE_ROLE_BEST_EFFORT, "t").u.opened.stats < limits.grants);
        assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
        assert_int_equal(totals_of(&opened).departed_count, 0);
    }
    die_and_be_freed(&a);
}

/* ---- successors ---- */

static void a_successor_goes_on(void **state) {
    const ae_account account = {.next = 10};
    struct client a = enter("a");

    (void)state;
    for (unsigned killed = 0; killed <= AE_TOTALS_STEPS; killed++) {
        const struct ae_msg opened = open_topic(&a, AE_ROLE_BEST_EFFORT, "t");
        claim(&opened, 0, 0, TOPIC_END);
        account_for(&a, &opened, &account, 0);
        ae_totals_topic next = totals_of(&opened);
        next.delivered += 10;
        next.accounted += 10;
        next.last_folded = opened.u.opened.grant_id;
        for (unsigned step = 0; step < killed; step++)
            ae_totals_step(&broker.totals, &broker.registry.grants[0], 0, &next, step);
        restart();
        assert_int_equal(totals_of(&opened).delivered, killed * 10 + (killed >= 2 ? 10 : 0));
        assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
        assert_int_equal(totals_of(&opened).delivered, killed * 10 + 10);
        restart();
        assert_int_equal(totals_of(&opened).delivered, killed * 10 + 10);
        assert_int_equal(totals_of(&opened).accounted, killed * 10 + 10);
    }
    die_and_be_freed(&a);
}

/* Their figures are added by the next aetherd, once. */
static void clients_that_died_without_aetherd(void **state) {
    struct client a = enter("a");

    (void)state;
    const struct ae_msg opened = open_topic(&a, AE_ROLE_BEST_EFFORT, "t");
    claim(&opened, 0, 0, TOPIC_END);
    account_for(&a, &opened, &(ae_account){.next = 10}, 0);
    ae_close(&a.token);
    for (int i = 0; i < 2; i++) {
        restart();
        assert_int_equal(totals_of(&opened).delivered, 10);
        assert_int_equal(totals_of(&opened).departed[0].died, 1);
        assert_string_equal(totals_of(&opened).departed[0].client, "a");
    }
}

/* A grant that is folded but can't be freed yet isn't folded again. */
static void lack_of_descriptors_delays_a_fold(void **state) {
    struct client a = enter("a");
    struct rlimit limit;

    (void)state;
    const struct ae_msg opened = open_topic(&a, AE_ROLE_RELIABLE, "t");
    claim(&opened, 0, 0, TOPIC_END);
    account_for(&a, &opened, &(ae_account){.next = 10}, 0);
    ae_close(&a.token);
    const int lowest = dup(STDIN_FILENO);
    assert_true(lowest >= 0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit tight = {.rlim_cur = (rlim_t)lowest, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    const bool folded = ae_totals_fold(&broker, 0, true);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_false(folded);
    assert_int_equal(totals_of(&opened).delivered, 0);
    assert_true(ae_totals_fold(&broker, 0, true));
    assert_true(ae_totals_fold(&broker, 0, true));
    assert_int_equal(totals_of(&opened).delivered, 10);
    restart();
    assert_int_equal(totals_of(&opened).delivered, 10);
}

static void damaged_totals_begin_anew(void **state) {
    struct client a = enter("a");
    char name[AE_OBJECT_NAME_SIZE];

    (void)state;
    ae_name_totals(&instance, name);
    for (int damage = 0; damage < 5; damage++) {
        const struct ae_msg opened = open_topic(&a, AE_ROLE_BEST_EFFORT, "t");
        claim(&opened, 0, 0, TOPIC_END);
        account_for(&a, &opened, &(ae_account){.next = 10}, 0);
        assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
        assert_int_equal(totals_of(&opened).delivered, 10);
        int fd = ae_segment_open(name, true, instance.uid, 0, NULL);
        assert_true(fd >= 0);
        if (damage == 0)
            assert_int_equal(ae_segment_remove(name), 0);
        else if (damage == 1)
            broker.totals.header->magic = 0;
        else if (damage == 2)
            broker.totals.header->layout_major++;
        else if (damage == 3)
            assert_int_equal(ftruncate(fd, (off_t)(AE_TOTALS_RECORDS_OFF + 2 * AE_TOTALS_RECORD)), 0);
        else
            broker.totals.header->topics = UINT64_MAX;
        ae_close(&fd);
        restart();
        assert_int_equal(totals_of(&opened).delivered, 0);
    }
    die_and_be_freed(&a);
}

static void totals_go_with_their_topic(void **state) {
    const struct ae_msg remove = {.type = AE_MSG_REMOVE, .u.remove.topic = "t"};
    struct client a = enter("a");
    ae_totals_topic totals;

    (void)state;
    for (int i = 0; i < 2; i++) {
        const struct ae_msg opened = open_topic(&a, AE_ROLE_BEST_EFFORT, "t");
        struct ae_reply reply = {0};
        claim(&opened, 0, 0, TOPIC_END);
        account_for(&a, &opened, &(ae_account){.next = 10}, 0);
        assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
        assert_int_equal(totals_of(&opened).delivered, 10);
        ae_broker_handle(&broker, a.index, &remove, &reply);
        assert_int_equal(reply.msg.type, AE_MSG_DONE);
        assert_int_equal(ae_totals_read(&broker.totals, 0, opened.u.opened.topic_id, &totals), 0);
    }
    die_and_be_freed(&a);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_record_for_each_grant),
        TEST(descriptors_come_in_order),
        TEST(subscribers_are_folded),
        TEST(evictions_are_counted_though_nobody_noticed),
        TEST(retained_messages_count_as_far_as_they_are_read),
        TEST(publishers_are_folded),
        TEST(the_last_to_go_are_kept),
        TEST(unused_records_have_no_figures),
        TEST(senseless_figures_are_left_out),
        TEST(no_client_fills_the_sums),
        TEST(history_is_not_counted_again),
        TEST(sums_saturate),
        TEST(shrunk_and_missing_objects),
        TEST(closed_without_a_free_descriptor),
        TEST(closed_without_memory),
        TEST(failed_opens_leave_no_statistics),
        TEST(senseless_grants_are_not_folded),
        TEST(a_successor_goes_on),
        TEST(clients_that_died_without_aetherd),
        TEST(lack_of_descriptors_delays_a_fold),
        TEST(damaged_totals_begin_anew),
        TEST(totals_go_with_their_topic),
    };

    return cmocka_run_group_tests_name("totals", tests, setup_group, teardown_group);
}

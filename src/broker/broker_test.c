/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker_test.c - requests in, replies out, without a socket or a second process. A client lives as long as the open
 * file of its token.
 */
#include "broker/client_test.h"
#include "broker/broker.h"
#include "broker/clients.h"
#include "ring/claim.h"
#include "service/log.h"
#include "shm/segment.h"
#include "shm/token.h"
#include <aether/error.h>
#include <aether/topic.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct ae_limits limits = {.topics = 4, .clients = 3, .grants = 80, .ring_bytes = 1 << 20};

static int setup(void **state) {
    (void)state;
    return ae_broker_start(&broker, &instance, &limits);
}

static int object_count(void) {
    char command[128], text[16] = "";
    FILE *list;

    (void)snprintf(command, sizeof command, "ls /dev/shm | grep -c '^%s'", instance.prefix + 1);
    list = popen(command, "re"); /* NOLINT: a test's own words */
    assert_non_null(list);
    assert_non_null(fgets(text, sizeof text, list));
    (void)pclose(list);
    return atoi(text); /* NOLINT: grep -c prints a number */
}

/* At the end of every test its clients are dead, so that a clean stop leaves nothing. */
static int teardown(void **state) {
    (void)state;
    ae_broker_stop(&broker);
    return object_count() == 0 ? 0 : -1;
}

static struct ae_reply ask(const struct client *client, const struct ae_msg *msg) {
    struct ae_reply reply = {0};

    ae_broker_handle(&broker, client->index, msg, &reply);
    return reply;
}

/* Opens and closes the fds: returns the OPENED or ERROR. */
static struct ae_msg open_topic(const struct client *client, uint32_t role, const char *topic) {
    struct ae_msg msg = {.type = AE_MSG_OPEN, .u.open = {.role = role, .topic = {.capacity = 8}}};

    (void)snprintf(msg.u.open.topic.topic, sizeof msg.u.open.topic.topic, "%s", topic);
    struct ae_reply reply = ask(client, &msg);
    if (reply.msg.type == AE_MSG_OPENED)
        assert_int_equal(reply.fd_count,
                         (role == AE_ROLE_BEST_EFFORT ? 3 : 4) + (reply.msg.u.opened.shape != AE_SHAPE_FIXED));
    else
        assert_int_equal(reply.fd_count, 0);
    for (int i = 0; i < reply.fd_count; i++)
        ae_close(&reply.fds[i]);
    return reply.msg;
}

static int32_t remove_topic(const struct client *client, const char *topic) {
    struct ae_msg msg = {.type = AE_MSG_REMOVE};

    (void)snprintf(msg.u.remove.topic, sizeof msg.u.remove.topic, "%s", topic);
    const struct ae_reply reply = ask(client, &msg);
    return reply.msg.type == AE_MSG_DONE ? 0 : reply.msg.u.error.code;
}

/* Gives the topic slots: from then on it stays, also if nobody has it open. */
static void fix_topic(const struct client *client, const char *topic) {
    assert_int_equal(give_back(client, open_topic(client, AE_ROLE_PUBLISHER, topic).u.opened.grant_id), 0);
}

static struct ae_msg open_configured(const struct client *client, uint32_t role,
                                     const struct ae_topic_request *request) {
    const struct ae_msg msg = {.type = AE_MSG_OPEN, .u.open = {.role = role, .topic = *request}};
    struct ae_reply reply = ask(client, &msg);

    for (int i = 0; i < reply.fd_count; i++)
        ae_close(&reply.fds[i]);
    return reply.msg;
}

static void exclusive_topics_have_one_publisher(void **state) {
    const struct ae_topic_request exclusive = {.topic = "t", .capacity = 8, .publishers = AETHER_PUBLISHERS_EXCLUSIVE};
    struct client a = enter("a"), b = enter("b");
    const struct ae_msg mine = open_configured(&a, AE_ROLE_PUBLISHER, &exclusive);

    (void)state;
    assert_int_equal(mine.type, AE_MSG_OPENED);
    assert_int_equal(mine.u.opened.geometry.publishers, AE_PUBLISHERS_EXCLUSIVE);
    const struct ae_msg refused = open_topic(&b, AE_ROLE_PUBLISHER, "t");
    assert_int_equal(refused.u.error.code, -EBUSY);
    assert_non_null(strstr(refused.u.error.text, "'t'"));
    assert_non_null(strstr(refused.u.error.text, "42"));
    assert_int_equal(give_back(&b, mine.u.opened.grant_id), -ENOENT);
    assert_int_equal(give_back(&a, mine.u.opened.grant_id), 0);
    assert_int_equal(give_back(&a, mine.u.opened.grant_id), -ENOENT);
    assert_int_equal(open_topic(&b, AE_ROLE_PUBLISHER, "t").type, AE_MSG_OPENED);
    /* aetherd finds that b is dead when another client needs b's record. */
    die(&b);
    assert_int_equal(open_topic(&a, AE_ROLE_PUBLISHER, "t").type, AE_MSG_OPENED);
    assert_true(ae_clients_free_if_dead(&broker, b.index));
    die(&a);
}

static ae_log *map_log(const struct ae_msg *opened) {
    const uint64_t bytes = opened->u.opened.geometry.lanes_off;
    char name[AE_OBJECT_NAME_SIZE];
    void *base = NULL;

    ae_name_log(&instance, opened->u.opened.topic_id, name);
    int fd = ae_segment_open(name, true, instance.uid, opened->u.opened.geometry.log_bytes, NULL);
    assert_true(fd >= 0);
    assert_int_equal(ae_segment_map(fd, bytes, true, false, &base), 0);
    ae_close(&fd);
    return base;
}

static void publishers_have_records_of_their_own(void **state) {
    struct client a = enter("a"), b = enter("b");
    struct ae_msg opened = {0};

    (void)state;
    for (unsigned i = 0; i < AE_PUBLISHERS_MAX; i++) {
        opened = open_topic(i == 5 ? &b : &a, AE_ROLE_PUBLISHER, "t");
        assert_int_equal(opened.u.opened.record, i);
    }
    assert_int_equal(open_topic(&a, AE_ROLE_PUBLISHER, "t").u.error.code, -EUSERS);
    assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
    assert_int_equal(open_topic(&a, AE_ROLE_PUBLISHER, "t").u.opened.record, AE_PUBLISHERS_MAX - 1);
    die(&b);
    ae_log *log = map_log(&opened);
    assert_int_equal(open_topic(&a, AE_ROLE_PUBLISHER, "t").u.opened.record, 5);
    /* A publisher died while others were open: that stays known until the last publisher has ended. */
    const uint64_t died = ae_load_acquire(&log->stream.died);
    assert_true(died > opened.u.opened.grant_id);
    die(&a);
    assert_true(ae_clients_free_if_dead(&broker, a.index));
    assert_true(ae_load_acquire(&log->stream.died) > died);
    struct client c = enter("c");
    (void)open_topic(&c, AE_ROLE_PUBLISHER, "t");
    assert_int_equal(ae_load_acquire(&log->stream.died), 0);
    ae_segment_unmap(log, opened.u.opened.geometry.lanes_off);
    die(&c);
}

static void the_dead_are_freed_and_only_they(void **state) {
    struct client a = enter("a"), b = enter("b");

    (void)state;
    fix_topic(&b, "t");
    assert_int_equal(open_topic(&a, AE_ROLE_RELIABLE, "t").type, AE_MSG_OPENED);
    assert_false(ae_clients_free_if_dead(&broker, a.index));
    assert_int_equal(remove_topic(&b, "t"), -EBUSY);
    die(&a);
    assert_true(ae_clients_free_if_dead(&broker, a.index));
    assert_true(ae_clients_free_if_dead(&broker, a.index)); /* true also if the record is free already */
    assert_int_equal(remove_topic(&b, "t"), 0);
    assert_int_equal(remove_topic(&b, "t"), -ENOENT);
    die(&b);
}

/* Other clients are answered before all grants of a client that had many are freed. */
static void the_dead_are_freed_bit_by_bit(void **state) {
    struct client a = enter("a"), b = enter("b");

    (void)state;
    fix_topic(&b, "t");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(open_topic(&a, AE_ROLE_RELIABLE, "t").type, AE_MSG_OPENED);
    assert_int_equal(ae_clients_free_some(&broker, a.index, 2), AE_CLIENT_STAYS);
    die(&a);
    assert_int_equal(ae_clients_free_some(&broker, a.index, 2), AE_CLIENT_GOES);
    assert_true(ae_clients_is_live(&broker, a.index));
    assert_int_equal(ae_index_holders(&broker.index, 0, AE_ROLE_RELIABLE)->count, 1);
    assert_int_equal(ae_clients_free_some(&broker, a.index, 2), AE_CLIENT_GONE);
    assert_false(ae_clients_is_live(&broker, a.index));
    assert_int_equal(ae_clients_free_some(&broker, a.index, 2), AE_CLIENT_GONE);
    assert_int_equal(remove_topic(&b, "t"), 0);
    die(&b);
}

static bool freed_within(unsigned resource, rlim_t most, uint32_t client) {
    struct rlimit limit;

    assert_int_equal(getrlimit(resource, &limit), 0);
    const struct rlimit tight = {.rlim_cur = most, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(resource, &tight), 0);
    const bool freed = ae_clients_free_if_dead(&broker, client);
    assert_int_equal(setrlimit(resource, &limit), 0);
    return freed;
}

/*
 * Without a descriptor aetherd can't find that a client is dead, and without memory it can't clear the client's bit.
 * Then the client stays and is freed later. One descriptor is enough.
 */
static void dead_client_stays_until_it_can_be_freed(void **state) {
    struct client a = enter("a");

    (void)state;
    assert_int_equal(open_topic(&a, AE_ROLE_RELIABLE, "t").type, AE_MSG_OPENED);
    die(&a);
    const int lowest = dup(STDIN_FILENO);
    assert_true(lowest >= 0);
    close(lowest);
    assert_false(freed_within(RLIMIT_NOFILE, (rlim_t)lowest, a.index));
    assert_false(freed_within(RLIMIT_AS, 1, a.index));
    assert_true(freed_within(RLIMIT_NOFILE, (rlim_t)lowest + 1, a.index));
}

/* The bytes of this process's address space. */
static rlim_t address_space(void) {
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");

    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%lu", &pages), 1); /* NOLINT: the kernel prints a number */
    (void)fclose(statm);
    return pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/*
 * The slots of a dead publisher's topic are mapped to repair them. If there is no memory for that, what the client has
 * in other topics is freed nevertheless, however many such publishers come first.
 */
static void grants_that_stay_are_passed_by(void **state) {
    const struct ae_topic_request large = {.topic = "large", .capacity = 512};
    struct client a = enter("a"), b = enter("b");
    enum ae_client_end ends[5];
    struct rlimit limit;
    uint32_t left[5];

    (void)state;
    fix_topic(&b, "t");
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(open_configured(&a, AE_ROLE_PUBLISHER, &large).type, AE_MSG_OPENED);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(open_topic(&a, AE_ROLE_RELIABLE, "t").type, AE_MSG_OPENED);
    die(&a);
    const uint32_t t = ae_index_topic_named(&broker.index, "t");
    const uint64_t slots = broker.registry.topics[ae_index_topic_named(&broker.index, "large")].geometry.lanes_off;
    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    const struct rlimit tight = {.rlim_cur = address_space() + slots / 2, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    for (unsigned i = 0; i < 5; i++) {
        ends[i] = ae_clients_free_some(&broker, a.index, i == 0 ? 1 : 2);
        left[i] = ae_index_holders(&broker.index, t, AE_ROLE_RELIABLE)->count;
    }
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    assert_int_equal(ends[0], AE_CLIENT_STAYS); /* four publishers are enough for one turn */
    assert_int_equal(left[0], 3);
    assert_int_equal(ends[1], AE_CLIENT_GOES); /* it goes on where the last one ended */
    assert_int_equal(left[1], 1);
    assert_int_equal(ends[2], AE_CLIENT_GOES);
    assert_int_equal(left[2], 0);
    assert_int_equal(ends[3], AE_CLIENT_STAYS);
    assert_int_equal(ends[4], AE_CLIENT_STAYS);
    assert_true(ae_clients_free_if_dead(&broker, a.index));
    die(&b);
}

static void limits_are_refusals(void **state) {
    struct client clients[] = {enter("a"), enter("b"), enter("c")}, none;
    const struct ae_msg msg = {.type = AE_MSG_HELLO, .version = AE_PROTOCOL_VERSION};
    char topic[16];

    (void)state;
    const struct ae_reply reply = hello(&none, &msg);
    assert_int_equal(reply.msg.u.error.code, -EUSERS);
    assert_int_equal(none.index, AE_NO_CLIENT);
    for (int i = 0; i < 5; i++) {
        (void)snprintf(topic, sizeof topic, "%d", i);
        const struct ae_msg opened = open_topic(&clients[0], AE_ROLE_BEST_EFFORT, topic);
        assert_int_equal(opened.type, i < 4 ? AE_MSG_OPENED : AE_MSG_ERROR);
        if (i == 4)
            assert_int_equal(opened.u.error.code, -EUSERS);
    }
    for (unsigned i = 0; i < AE_SUBSCRIBERS_MAX; i++)
        assert_int_equal(open_topic(&clients[1], AE_ROLE_RELIABLE, "0").u.opened.record, i);
    assert_int_equal(open_topic(&clients[1], AE_ROLE_RELIABLE, "0").u.error.code, -EUSERS);
    for (unsigned i = 4 + AE_SUBSCRIBERS_MAX; i < limits.grants; i++)
        assert_int_equal(open_topic(&clients[2], AE_ROLE_BEST_EFFORT, "0").type, AE_MSG_OPENED);
    assert_int_equal(open_topic(&clients[2], AE_ROLE_BEST_EFFORT, "0").u.error.code, -EUSERS);
    for (int i = 0; i < 3; i++)
        die(&clients[i]);
}

/* Is the grant still there? */
static bool has_grant(uint64_t id) {
    return ae_index_grant(&broker.index, id) != AE_NO_GRANT;
}

/* What a living client says that it doesn't have is freed, whenever its token is checked; also by a successor. */
static void what_a_client_disowns_is_freed(void **state) {
    const struct ae_topic_request exclusive = {.topic = "t", .capacity = 8, .publishers = AETHER_PUBLISHERS_EXCLUSIVE};
    struct client a = enter("a"), b = enter("b");
    uint64_t grants[4];
    void *token;

    (void)state;
    assert_int_equal(ae_token_hold(fcntl(a.token, F_DUPFD_CLOEXEC, 0), &token), 0);
    for (int i = 0; i < 2; i++)
        grants[i] = open_topic(&a, AE_ROLE_RELIABLE, "others").u.opened.grant_id;
    grants[2] = open_configured(&a, AE_ROLE_PUBLISHER, &exclusive).u.opened.grant_id;
    grants[3] = open_topic(&a, AE_ROLE_BEST_EFFORT, "others").u.opened.grant_id;
    /* It says nothing, or that it has them all. */
    assert_false(ae_clients_free_if_dead(&broker, a.index));
    ae_token_disown(token, grants[3] + 1);
    assert_false(ae_clients_free_if_dead(&broker, a.index));
    for (int i = 0; i < 4; i++)
        assert_true(has_grant(grants[i]));
    assert_int_equal(open_configured(&b, AE_ROLE_PUBLISHER, &exclusive).u.error.code, -EBUSY);
    /* The next open asks for the only place of a publisher. */
    ae_token_disown(token, grants[1] + 1);
    assert_int_equal(open_configured(&b, AE_ROLE_PUBLISHER, &exclusive).type, AE_MSG_OPENED);
    for (int i = 0; i < 4; i++)
        assert_int_equal(has_grant(grants[i]), i < 2);
    /* A grant that is under way stays, and so do those before. */
    ae_token_disown(token, 0);
    grants[2] = open_topic(&a, AE_ROLE_RELIABLE, "others").u.opened.grant_id;
    assert_false(ae_clients_free_if_dead(&broker, a.index));
    assert_true(has_grant(grants[2]));
    /* aetherd is killed, and the client gives up. */
    vanish();
    ae_token_disown(token, grants[1] + 1);
    assert_int_equal(ae_broker_start(&broker, &instance, &limits), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(has_grant(grants[i]), i < 2);
    ae_token_disown(token, 1);
    assert_false(ae_clients_free_if_dead(&broker, a.index));
    for (int i = 0; i < 4; i++)
        assert_false(has_grant(grants[i]));
    ae_token_drop(token);
    die(&a);
    die(&b);
}

static void resume_needs_id_nonce_and_life(void **state) {
    struct client a = enter("a"), again;
    struct ae_msg msg = {.type = AE_MSG_HELLO, .version = AE_PROTOCOL_VERSION};
    const uint64_t known = open_topic(&a, AE_ROLE_BEST_EFFORT, "t").u.opened.grant_id;
    const uint64_t unheard = open_topic(&a, AE_ROLE_PUBLISHER, "t").u.opened.grant_id;

    (void)state;
    msg.u.hello.resume_id = a.id;
    memcpy(msg.u.hello.resume_nonce, a.nonce, sizeof a.nonce);
    msg.u.hello.resume_nonce[1] ^= 1;
    struct ae_reply reply = hello(&again, &msg);
    assert_int_equal(reply.msg.u.welcome.resumed, 0);
    assert_true(reply.msg.u.welcome.client_id != a.id);
    ae_close(&reply.fds[0]);

    msg.u.hello.resume_nonce[1] ^= 1;
    msg.u.hello.resume_grant = known;
    reply = hello(&again, &msg);
    assert_int_equal(reply.msg.u.welcome.resumed, 1);
    assert_int_equal(reply.fd_count, 0);
    assert_int_equal(again.index, a.index);
    assert_int_equal(give_back(&a, unheard), -ENOENT);
    assert_int_equal(give_back(&a, known), 0);

    die(&a);
    reply = hello(&again, &msg);
    assert_int_equal(reply.msg.u.welcome.resumed, 0);
    ae_close(&reply.fds[0]);
}

static void what_is_no_request_is_refused(void **state) {
    struct client a = enter("a");
    const struct ae_msg msg = {.type = AE_MSG_WELCOME};

    (void)state;
    assert_int_equal(ask(&a, &msg).msg.u.error.code, -EPROTO);
    assert_int_equal(open_topic(&a, 9, "t").type, AE_MSG_ERROR);
    assert_int_equal(open_topic(&a, AE_ROLE_PUBLISHER, "a//b").u.error.code, -EINVAL);
    die(&a);
}

static void stream_is(const ae_log *log, uint64_t open, bool died, uint64_t joins) {
    assert_int_equal(ae_load_acquire(&log->stream.open), open);
    assert_int_equal(ae_load_acquire(&log->stream.died) != 0, died);
    assert_int_equal(ae_load_acquire(&log->stream.joins), joins);
}

/*
 * The stream block after a publisher was admitted, closed by the library, only given back, dead, admitted again, and
 * granted with a lost reply.
 */
static void stream_shows_open_publishers(void **state) {
    struct client a = enter("a"), b = enter("b");
    struct ae_msg mine = open_topic(&a, AE_ROLE_PUBLISHER, "t");
    ae_log *log = map_log(&mine);

    (void)state;
    assert_int_equal(ae_load_acquire(&log->wake.wake), 2); /* it was raised when the topic got its slots */
    stream_is(log, 1, 0, 1);
    ae_store_release(&log->stream.unfenced, 1);
    ae_store_release(&log->stream.open, 0);
    assert_int_equal(give_back(&a, mine.u.opened.grant_id), 0);
    stream_is(log, 0, 0, 1);
    assert_int_equal(ae_load_acquire(&log->wake.wake), 2);

    mine = open_topic(&b, AE_ROLE_PUBLISHER, "t");
    stream_is(log, 1, 0, 2);
    assert_int_equal(ae_load_acquire(&log->stream.unfenced), 0);
    assert_int_equal(give_back(&b, mine.u.opened.grant_id), 0);
    stream_is(log, 0, 0, 2);
    assert_int_equal(ae_load_acquire(&log->wake.wake), 3);

    assert_int_equal(open_topic(&b, AE_ROLE_PUBLISHER, "t").type, AE_MSG_OPENED);
    die(&b);
    stream_is(log, 1, 0, 3); /* its token hasn't been checked yet */
    assert_true(ae_clients_free_if_dead(&broker, b.index));
    stream_is(log, 0, 1, 3);
    assert_int_equal(ae_load_acquire(&log->wake.wake), 4);

    assert_int_equal(open_topic(&a, AE_ROLE_PUBLISHER, "t").type, AE_MSG_OPENED);
    stream_is(log, 1, 0, 4);
    struct ae_msg msg = {.type = AE_MSG_HELLO, .version = AE_PROTOCOL_VERSION, .u.hello.resume_id = a.id};
    memcpy(msg.u.hello.resume_nonce, a.nonce, sizeof a.nonce);
    assert_int_equal(hello(&a, &msg).msg.u.welcome.resumed, 1); /* the grant's reply was lost: no publisher died */
    stream_is(log, 0, 0, 4);
    ae_segment_unmap(log, mine.u.opened.geometry.lanes_off);
    die(&a);
}

/* A publisher dies after it committed two of five claimed messages. aetherd repairs that, or else its successor. */
static void dead_publishers_claims_are_aborted(void **state) {
    (void)state;
    for (int restart = 0; restart < 2; restart++) {
        struct client a = enter("a"), b = enter("b");
        const struct ae_msg mine = open_topic(&a, AE_ROLE_PUBLISHER, "t");
        const struct ae_msg theirs = open_topic(&b, AE_ROLE_PUBLISHER, "t");
        const ae_geometry *geometry = &theirs.u.opened.geometry;
        ae_log *log = map_log(&theirs);

        assert_int_equal(mine.u.opened.record, 0);
        assert_int_equal(ae_load_relaxed(&log->claim.claim), ae_claim_word(0, AE_MODE_SHARED, AE_CLAIM_NOBODY));
        ae_store_relaxed(&log->publishers[1].intent, ae_intent(0, 5));
        ae_store_relaxed(&log->claim.claim, ae_claim_word(5, AE_MODE_SHARED, 1));
        for (uint64_t seq = 0; seq < 2; seq++)
            ae_store_relaxed(ae_slot_tag(log, geometry, seq), ae_tag(seq, AE_KIND_INLINE, 0));
        ae_store_relaxed(ae_slot_tag(log, geometry, 2), ae_tag_busy(2));
        die(&b);
        if (restart == 0) {
            assert_true(ae_clients_free_if_dead(&broker, b.index));
        } else {
            vanish();
            assert_int_equal(ae_broker_start(&broker, &instance, &limits), 0);
        }
        stream_is(log, 1, 2, 2);
        for (uint64_t seq = 0; seq < 5; seq++)
            assert_int_equal(ae_tag_kind(ae_load_relaxed(ae_slot_tag(log, geometry, seq))),
                             seq < 2 ? AE_KIND_INLINE : AE_KIND_ABORTED);
        assert_true(ae_tag_pending(ae_load_relaxed(ae_slot_tag(log, geometry, 5)), 5));
        ae_segment_unmap(log, geometry->lanes_off);
        die(&a);
        assert_true(ae_clients_free_if_dead(&broker, a.index));
        struct client c = enter("c");
        assert_int_equal(remove_topic(&c, "t"), 0);
        die(&c);
    }
}

static uint64_t allocated(const struct ae_msg *opened) {
    char name[AE_OBJECT_NAME_SIZE], path[AE_OBJECT_NAME_SIZE + 16];
    struct stat st;

    ae_name_log(&instance, opened->u.opened.topic_id, name);
    (void)snprintf(path, sizeof path, "/dev/shm%s", name);
    assert_int_equal(stat(path, &st), 0);
    assert_true((uint64_t)st.st_size == opened->u.opened.geometry.log_bytes);
    return (uint64_t)st.st_blocks * 512;
}

/* A lane is allocated when its publisher is admitted, once. */
static void lanes_are_allocated_with_their_publisher(void **state) {
    const struct ae_topic_request request = {
        .topic = "large", .max_message = 100000, .capacity = 8, .lane_bytes = 1 << 18};
    struct ae_topic_request much = request;
    struct client a = enter("a");
    struct ae_msg opened = open_configured(&a, AE_ROLE_RELIABLE, &request);
    const ae_geometry *geometry = &opened.u.opened.geometry;

    (void)state;
    assert_int_equal(opened.type, AE_MSG_OPENED);
    assert_int_equal(geometry->lane_bytes, 0); /* slots and lanes come with the first publisher */
    for (int i = 0; i < 2; i++) {
        opened = open_configured(&a, AE_ROLE_PUBLISHER, &request);
        assert_int_equal(opened.type, AE_MSG_OPENED);
        assert_int_equal(geometry->lane_bytes, 1 << 18);
        assert_int_equal(allocated(&opened), geometry->lanes_off + geometry->lane_bytes);
        assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
    }
    /* The limit is for the ring and one lane, not for the size of the file. */
    (void)snprintf(much.topic, sizeof much.topic, "much");
    much.lane_bytes = 1 << 20;
    opened = open_configured(&a, AE_ROLE_BEST_EFFORT, &much);
    assert_int_equal(opened.u.error.code, -ENOSPC);
    assert_non_null(strstr(opened.u.error.text, "with a publisher's lane"));
    assert_non_null(strstr(opened.u.error.text, "more than aetherd's limit of 1048576 bytes"));
    much.lane_bytes = 1 << 19;
    assert_int_equal(open_configured(&a, AE_ROLE_BEST_EFFORT, &much).type, AE_MSG_OPENED);
    die(&a);
}

static int32_t create(const struct client *client, const struct ae_topic_request *request, const char *text) {
    const struct ae_msg msg = {.type = AE_MSG_CREATE, .u.create = *request};
    const struct ae_reply reply = ask(client, &msg);

    if (reply.msg.type == AE_MSG_DONE)
        return 0;
    if (strstr(reply.msg.u.error.text, text) == NULL)
        fail_msg("'%s' lacks '%s'", reply.msg.u.error.text, text);
    return reply.msg.u.error.code;
}

static void types_are_agreed_on(void **state) {
    const struct ae_topic_request
        none = {.topic = "t", .capacity = 8, .publishers = AETHER_PUBLISHERS_EXCLUSIVE},
        quote = {.topic = "t", .capacity = 8, .type_name = "quote", .type_version = 2, .type_size = 32},
        trade = {.topic = "t", .capacity = 8, .type_name = "trade", .type_version = 1, .type_size = 40},
        any = {.topic = "t", .capacity = 8, .type_name = "quote", .type_version = 2},
        huge = {.topic = "t", .capacity = 8, .type_name = "huge", .type_size = 1017},
        misfit = {.topic = "t", .max_message = 1016, .type_name = "huge", .type_size = 1017},
        nameless = {.topic = "t", .capacity = 8, .type_version = 2}, empty = {.topic = ""};
    struct client a = enter("a"), b = enter("b");

    (void)state;
    assert_int_equal(create(&a, &misfit, "'huge' version 0 of 1017 bytes does not fit"), -EINVAL);
    assert_int_equal(remove_topic(&a, "t"), -ENOENT);
    assert_int_equal(open_configured(&a, AE_ROLE_PUBLISHER, &none).type, AE_MSG_OPENED);
    assert_int_equal(
        create(&a, &huge, "takes messages of at most 1016 bytes, the default since publisher 'a' (pid 42)"), -EEXIST);
    assert_int_equal(create(&a, &nameless, "type_name"), -EINVAL);
    /* A refused request doesn't give the topic a type. */
    assert_int_equal(open_configured(&b, AE_ROLE_PUBLISHER, &trade).u.error.code, -EBUSY);
    assert_int_equal(open_configured(&b, AE_ROLE_BEST_EFFORT, &quote).type, AE_MSG_OPENED);
    assert_int_equal(create(&a, &quote, ""), 0);
    assert_int_equal(create(&a, &none, ""), 0);
    assert_int_equal(create(&a, &trade,
                            "topic 't' carries 'quote' version 2 of 32 bytes, as client 'a' (pid 42) "
                            "stated; creator 'a' (pid 42) states type 'trade' version 1 of 40 bytes"),
                     -EEXIST);
    assert_int_equal(create(&a, &any, "states type 'quote' version 2 without a fixed size"), -EEXIST);
    assert_int_equal(create(&a, &empty, "topic name is empty"), -EINVAL);
    assert_int_equal(remove_topic(&a, ""), -EINVAL);
    die(&a);
    die(&b);
    struct client c = enter("c");
    assert_int_equal(remove_topic(&c, "t"), 0);
    assert_int_equal(create(&c, &trade, ""), 0); /* a new topic in the same record */
    assert_int_equal(remove_topic(&c, "t"), 0);
    assert_int_equal(create(&c, &none, ""), 0);
    assert_int_equal(create(&c, &any, ""), 0);
    die(&c);
}

/* Each reuse of a record is a new generation that isn't evicted. */
static void evict_words_have_generations(void **state) {
    struct client a = enter("a");

    (void)state;
    fix_topic(&a, "t");
    for (uint64_t generation = 1; generation < 4; generation++) {
        const struct ae_msg opened = open_topic(&a, AE_ROLE_RELIABLE, "t");
        ae_log *log = map_log(&opened);
        assert_int_equal(opened.u.opened.record, 0);
        assert_int_equal(ae_load_acquire(&log->evict[0]), generation << 32);
        ae_store_release(&log->evict[0], generation << 32 | AE_EVICT_LAG);
        assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
        ae_segment_unmap(log, sizeof *log);
    }
    die(&a);
}

/* The registry says what was stated, and by whom; what a subscriber states is its grant's, too. */
static void statements_have_makers(void **state) {
    const struct ae_topic_request made = {.topic = "t", .capacity = 8, .slow = AETHER_SLOW_EVICT},
                                  typed = {.topic = "t", .capacity = 8, .type_name = "quote", .type_version = 2};
    struct client a = enter("a"), b = enter("b");
    const struct ae_msg mine = open_configured(&a, AE_ROLE_PUBLISHER, &made),
                        yours = open_configured(&b, AE_ROLE_BEST_EFFORT, &typed);
    const ae_registry_topic *topic = &broker.registry.topics[0];
    const ae_registry_grant *grants = broker.registry.grants;

    (void)state;
    assert_int_equal(mine.u.opened.shape, AE_SHAPE_FIXED);
    assert_int_equal(mine.u.opened.registry_off, AE_PAGE);
    assert_int_equal(ae_shape_of(topic->shape.v), AE_SHAPE_FIXED);
    assert_int_equal(topic->stated, AE_STATED_CAPACITY | AE_STATED_SLOW); /* a subscriber's type is only its own */
    assert_string_equal(topic->maker, "a");
    assert_int_equal(topic->maker_pid, broker.registry.clients[a.index].pid);
    assert_string_equal(topic->type_name, "");
    assert_true(topic->created_mono_ns != 0 && broker.registry.clients[a.index].created_mono_ns != 0);
    assert_int_equal(grants[0].wish.capacity, 0); /* a publisher's statement is the topic's */
    assert_int_equal(grants[1].grant_id, yours.u.opened.grant_id);
    assert_int_equal(grants[1].wish.capacity, 8);
    assert_int_equal(grants[1].wish.type_version, 2);
    assert_string_equal(grants[1].wish.type_name, "quote");
    die(&a);
    die(&b);
}

/* Publishers see how many subscribers are open, whether they close or die. */
static void subscribers_are_counted(void **state) {
    struct client a = enter("a"), b = enter("b");

    fix_topic(&a, "t");
    const struct ae_msg first = open_topic(&a, AE_ROLE_RELIABLE, "t"),
                        second = open_topic(&a, AE_ROLE_BEST_EFFORT, "t");
    ae_log *log = map_log(&first);

    (void)state;
    assert_int_equal(ae_load_acquire(&log->stream.subscribers), 2);
    assert_int_equal(open_topic(&b, AE_ROLE_RELIABLE, "t").type, AE_MSG_OPENED);
    assert_int_equal(open_topic(&b, AE_ROLE_PUBLISHER, "t").type, AE_MSG_OPENED);
    assert_int_equal(ae_load_acquire(&log->stream.subscribers), 3);
    assert_int_equal(give_back(&a, second.u.opened.grant_id), 0);
    assert_int_equal(ae_load_acquire(&log->stream.subscribers), 2);
    die(&b);
    assert_true(ae_clients_free_if_dead(&broker, b.index));
    assert_int_equal(ae_load_acquire(&log->stream.subscribers), 1);
    assert_int_equal(give_back(&a, first.u.opened.grant_id), 0);
    assert_int_equal(ae_load_acquire(&log->stream.subscribers), 0);
    ae_segment_unmap(log, first.u.opened.geometry.lanes_off);
    die(&a);
}

/* Another program has removed the objects: an open is refused, and the topic can be removed and created again. */
static void missing_objects_are_an_error(void **state) {
    struct client a = enter("a");
    const struct ae_msg opened = open_topic(&a, AE_ROLE_PUBLISHER, "t");
    char name[AE_OBJECT_NAME_SIZE], path[AE_OBJECT_NAME_SIZE + 16];

    (void)state;
    ae_name_log(&instance, opened.u.opened.topic_id, name);
    (void)snprintf(path, sizeof path, "/dev/shm%s", name);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_topic(&a, AE_ROLE_BEST_EFFORT, "t").type, AE_MSG_ERROR);
    assert_int_equal(open_topic(&a, AE_ROLE_RELIABLE, "t").type, AE_MSG_ERROR);
    assert_int_equal(give_back(&a, opened.u.opened.grant_id), 0);
    assert_int_equal(remove_topic(&a, "t"), 0);
    assert_int_equal(open_topic(&a, AE_ROLE_PUBLISHER, "t").type, AE_MSG_OPENED);
    die(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exclusive_topics_have_one_publisher, setup, teardown),
        cmocka_unit_test_setup_teardown(publishers_have_records_of_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(dead_publishers_claims_are_aborted, setup, teardown),
        cmocka_unit_test_setup_teardown(the_dead_are_freed_and_only_they, setup, teardown),
        cmocka_unit_test_setup_teardown(the_dead_are_freed_bit_by_bit, setup, teardown),
        cmocka_unit_test_setup_teardown(dead_client_stays_until_it_can_be_freed, setup, teardown),
        cmocka_unit_test_setup_teardown(grants_that_stay_are_passed_by, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_are_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_client_disowns_is_freed, setup, teardown),
        cmocka_unit_test_setup_teardown(resume_needs_id_nonce_and_life, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_request_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(stream_shows_open_publishers, setup, teardown),
        cmocka_unit_test_setup_teardown(lanes_are_allocated_with_their_publisher, setup, teardown),
        cmocka_unit_test_setup_teardown(types_are_agreed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(evict_words_have_generations, setup, teardown),
        cmocka_unit_test_setup_teardown(statements_have_makers, setup, teardown),
        cmocka_unit_test_setup_teardown(subscribers_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_objects_are_an_error, setup, teardown),
    };

    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}

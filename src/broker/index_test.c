/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_test.c - the index against a plain search; and how many instructions requests take beside few and beside many
 * other topics, clients and grants. Instructions are counted, because time depends on the machine's other work.
 */
#include "broker/instance_test.h"
#include "broker/broker.h"
#include "broker/clients.h"
#include "broker/grants.h"
#include "broker/index.h"
#include "base/socket.h"
#include "shm/segment.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static uint64_t next_random(uint64_t *random) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

/* ---- the lowest unused number ---- */

static void slots_like_a_plain_search(void **state) {
    static bool used[9000];
    struct ae_slots slots = {0};
    uint64_t random = 1;
    uint32_t reserved = 0, lowest = 0;

    (void)state;
    for (unsigned turn = 0; turn < 200000; turn++) {
        const uint64_t r = next_random(&random);
        const uint32_t slot = (uint32_t)(r >> 32) % 9000;
        while (lowest < 9000 && used[lowest])
            lowest++;
        assert_int_equal(ae_slots_lowest(&slots), lowest);
        assert_int_equal(ae_slots_used(&slots, slot), used[slot]);
        if (used[slot] && (r & 7) == 0) {
            ae_slots_free(&slots, slot);
            used[slot] = false;
            lowest = slot < lowest ? slot : lowest;
        } else if (lowest < 9000) {
            reserved = lowest + 1 > reserved ? lowest + 1 : reserved;
            assert_int_equal(ae_slots_reserve(&slots, reserved), 0);
            ae_slots_use(&slots, lowest);
            used[lowest] = true;
        }
    }
    assert_int_equal(lowest, 9000); /* whole parts were full */
    ae_slots_close(&slots);
    assert_int_equal(ae_slots_lowest(&slots), 0);
}

static void all_slots_are_used(void **state) {
    struct ae_slots slots = {0};

    (void)state;
    assert_int_equal(ae_slots_reserve(&slots, AE_SLOTS_MAX), 0);
    for (uint32_t slot = 0; slot < AE_SLOTS_MAX; slot++) {
        assert_int_equal(ae_slots_lowest(&slots), slot);
        ae_slots_use(&slots, slot);
    }
    assert_int_equal(ae_slots_lowest(&slots), AE_SLOTS_MAX);
    ae_slots_free(&slots, 200000);
    assert_int_equal(ae_slots_lowest(&slots), 200000);
    ae_slots_close(&slots);
}

/* ---- what a registry has, found by a plain search ---- */

#define TOPICS 5u
#define CLIENTS 7u
#define GRANTS 300u

static void fill_topic(const struct ae_registry *registry, uint32_t t, uint64_t id) {
    ae_registry_topic *topic = &registry->topics[t];

    ae_record_begin(&topic->state);
    topic->topic_id = id;
    (void)snprintf(topic->name, sizeof topic->name, "filler/%u", (unsigned)id);
    topic->name_len = (uint32_t)strlen(topic->name);
    ae_record_commit(&topic->state);
}

static void fill_client(const struct ae_registry *registry, uint32_t i, uint64_t id) {
    ae_record_begin(&registry->clients[i].state);
    registry->clients[i].client_id = id;
    ae_record_commit(&registry->clients[i].state);
}

static void fill_grant(const struct ae_registry *registry, uint32_t g, const ae_registry_grant *new) {
    const uint64_t generation = registry->grants[g].state.v;

    registry->grants[g] = *new;
    registry->grants[g].state.v = generation;
    ae_record_begin(&registry->grants[g].state);
    ae_record_commit(&registry->grants[g].state);
}

/* In each list of the index there are exactly the live grants, the oldest first, and its counts and bits are right. */
static void check_lists(const struct ae_index *index) {
    const struct ae_registry *registry = index->registry;
    uint32_t counts[TOPICS][4] = {{0}}, of_topics = 0, of_clients = 0, live = 0;
    uint64_t records[TOPICS][4] = {{0}};

    for (uint32_t g = 0; g < GRANTS; g++) {
        const ae_registry_grant *grant = &registry->grants[g];
        if (ae_record_state(&grant->state) != AE_RECORD_LIVE)
            continue;
        live++;
        assert_int_equal(ae_index_grant(index, grant->grant_id), g);
        counts[grant->topic_id - 1][grant->role]++;
        records[grant->topic_id - 1][grant->role] |= 1ull << grant->record;
    }
    for (uint32_t t = 0; t < TOPICS; t++) {
        for (uint32_t role = 1; role <= 3; role++) {
            const struct ae_holders *holders = ae_index_holders(index, t, role);
            uint64_t last = 0;
            assert_int_equal(holders->count, counts[t][role]);
            if (role != AE_ROLE_BEST_EFFORT)
                assert_true(holders->records == records[t][role]);
            for (uint32_t g = ae_index_first(&holders->list); g != AE_NO_GRANT; of_topics++) {
                assert_int_equal(registry->grants[g].topic_id, t + 1);
                assert_int_equal(registry->grants[g].role, role);
                assert_true(registry->grants[g].grant_id > last);
                last = registry->grants[g].grant_id;
                g = ae_index_next(index, AE_BY_TOPIC, g);
            }
        }
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        for (uint32_t g = ae_index_first(&index->grants_of[i]); g != AE_NO_GRANT; of_clients++) {
            assert_int_equal(registry->grants[g].client_id, 100 + i);
            assert_true(ae_slots_used(&index->stats[i], registry->grants[g].stats));
            g = ae_index_next(index, AE_BY_CLIENT, g);
        }
    }
    assert_int_equal(of_topics, live);
    assert_int_equal(of_clients, live);
}

/* Adds the topics 1 to TOPICS and the clients from 100 on. */
static void add_topics_and_clients(struct ae_index *index, struct ae_registry *registry) {
    for (uint32_t t = 0; t < TOPICS; t++) {
        assert_int_equal(ae_index_free_topic(index), t);
        fill_topic(registry, t, t + 1);
        ae_index_add_topic(index, t);
        assert_int_equal(ae_index_topic(index, t + 1), t);
        assert_int_equal(ae_index_topic_named(index, registry->topics[t].name), t);
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(ae_index_free_client(index), i);
        fill_client(registry, i, 100 + i);
        ae_index_add_client(index, i);
        assert_int_equal(ae_index_client(index, 100 + i), i);
        assert_int_equal(ae_slots_reserve(&index->stats[i], GRANTS), 0);
    }
}

/* Adds, closes or removes a grant at random. Returns by how many more grants are closed now. */
static int change_grants(struct ae_index *index, struct ae_registry *registry, uint64_t *random, uint64_t *id) {
    const uint64_t r = next_random(random);
    uint32_t g = (uint32_t)(r >> 32) % GRANTS;
    int closed = 0;

    if (index->holdings[g].role != 0 && (r & 15) < 7) {
        ae_index_remove_grant(index, g);
        ae_record_free(&registry->grants[g].state);
        closed = -(int)index->holdings[g].closed;
        index->holdings[g].role = 0;
    } else if (index->holdings[g].role != 0 && (r & 15) < 9 && !index->holdings[g].closed) {
        ae_index_mark_closed(index, g);
        closed = 1;
    } else if ((g = ae_index_free_grant(index)) != AE_NO_GRANT) {
        const uint32_t t = (uint32_t)(r >> 16) % TOPICS, role = 1 + (uint32_t)(r >> 24) % 3;
        const uint32_t i = (uint32_t)(r >> 40) % CLIENTS;
        const uint64_t records = ae_index_holders(index, t, role)->records;
        if (role != AE_ROLE_BEST_EFFORT && records == UINT64_MAX)
            return 0;
        fill_grant(registry, g,
                   &(ae_registry_grant){.grant_id = (*id)++,
                                        .topic_id = t + 1,
                                        .client_id = 100 + i,
                                        .role = role,
                                        .record = role == AE_ROLE_BEST_EFFORT ? 0 : (uint32_t)__builtin_ctzll(~records),
                                        .stats = ae_slots_lowest(&index->stats[i])});
        ae_index_add_grant(index, g);
    }
    return closed;
}

static void the_index_like_a_plain_search(void **state) {
    struct ae_registry registry;
    struct ae_index index;
    uint64_t random = 1, id = 1000;
    char name[AE_OBJECT_NAME_SIZE];
    int closed = 0;

    (void)state;
    assert_int_equal(ae_registry_create(&registry, &instance, TOPICS, CLIENTS, GRANTS), 0);
    assert_int_equal(ae_index_open(&index, &registry), 0);
    add_topics_and_clients(&index, &registry);
    assert_int_equal(ae_index_free_topic(&index), AE_NO_TOPIC);
    assert_int_equal(ae_index_free_client(&index), AE_NO_CLIENT);
    assert_int_equal(ae_index_topic(&index, 77), AE_NO_TOPIC);
    assert_int_equal(ae_index_topic_named(&index, "filler/77"), AE_NO_TOPIC);
    assert_int_equal(ae_index_client(&index, 77), AE_NO_CLIENT);
    for (unsigned turn = 0; turn < 3000; turn++) {
        closed += change_grants(&index, &registry, &random, &id);
        check_lists(&index);
    }
    for (uint32_t g = ae_index_first(&index.closed); g != AE_NO_GRANT;
         g = ae_index_next(&index, AE_CLOSED, g), closed--)
        assert_true(index.holdings[g].closed);
    assert_int_equal(closed, 0);
    ae_index_remove_topic(&index, 3);
    ae_index_remove_client(&index, 4);
    assert_int_equal(ae_index_topic(&index, 4), AE_NO_TOPIC);
    assert_int_equal(ae_index_topic_named(&index, "filler/4"), AE_NO_TOPIC);
    assert_int_equal(ae_index_client(&index, 104), AE_NO_CLIENT);
    assert_int_equal(ae_index_free_topic(&index), 3);
    assert_int_equal(ae_index_free_client(&index), 4);
    ae_index_close(&index);
    ae_registry_close(&registry);
    ae_name_registry(&instance, name);
    assert_int_equal(ae_segment_remove(name), 0);
}

/* ---- instructions ---- */

#define MANY_TOPICS 5000u
#define MANY_CLIENTS 2000u
#define MANY_GRANTS 20000u
#define MORE_MAX 3000u /* for longer numbers in texts and longer chains of tables; a search takes three times as many */

static const struct ae_limits limits = {
    .topics = MANY_TOPICS + 1, .clients = MANY_CLIENTS + 2, .grants = MANY_GRANTS + 100, .ring_bytes = 1 << 20};

/* Topics, clients and grants of no use: they have no objects. The grants are of topic 0 and the first client. */
static void fill(void) {
    struct ae_registry *registry = &broker.registry;

    for (uint32_t t = 1; t <= MANY_TOPICS; t++) {
        fill_topic(registry, t, ae_state_new_id(&broker));
        ae_index_add_topic(&broker.index, t);
    }
    for (uint32_t i = 0; i < MANY_CLIENTS; i++) {
        const uint32_t client = ae_index_free_client(&broker.index);
        fill_client(registry, client, ae_state_new_id(&broker));
        ae_index_add_client(&broker.index, client);
    }
    if (ae_slots_reserve(&broker.index.stats[0], MANY_GRANTS + 100) != 0)
        _exit(2);
    for (uint32_t i = 0; i < MANY_GRANTS; i++) {
        const ae_registry_grant grant = {.grant_id = ae_state_new_id(&broker),
                                         .topic_id = registry->topics[0].topic_id,
                                         .client_id = registry->clients[0].client_id,
                                         .role = AE_ROLE_BEST_EFFORT,
                                         .stats = ae_slots_lowest(&broker.index.stats[0])};
        ae_grants_record(&broker, ae_index_free_grant(&broker.index), &grant);
    }
}

static uint32_t enter(int *token) {
    const struct ae_msg msg = {.type = AE_MSG_HELLO, .version = AE_PROTOCOL_VERSION};
    struct ae_reply reply = {0};
    uint32_t client;

    ae_broker_hello(&broker, &msg, 42, (uint32_t)geteuid(), &reply, &client);
    if (reply.msg.type != AE_MSG_WELCOME)
        _exit(3);
    *token = reply.fds[0];
    return client;
}

static uint64_t open_one(uint32_t client, uint32_t role) {
    const struct ae_msg msg = {.type = AE_MSG_OPEN, .u.open = {.role = role, .topic = {.topic = "t", .capacity = 8}}};
    struct ae_reply reply = {0};

    ae_broker_handle(&broker, client, &msg, &reply);
    for (int i = 0; i < reply.fd_count; i++)
        ae_close(&reply.fds[i]);
    if (reply.msg.type != AE_MSG_OPENED)
        _exit(4);
    return reply.msg.u.opened.grant_id;
}

static void close_one(uint32_t client, uint64_t grant_id) {
    const struct ae_msg msg = {.type = AE_MSG_CLOSE, .u.close.grant_id = grant_id};
    struct ae_reply reply = {0};

    ae_broker_handle(&broker, client, &msg, &reply);
    if (reply.msg.type != AE_MSG_DONE)
        _exit(5);
}

/* Each step is between two stops. The second of two equal requests is measured: the first one allocates memory. */
static void measured_steps(uint32_t client) {
    int token;

    close_one(client, open_one(client, AE_ROLE_RELIABLE));
    (void)raise(SIGSTOP);
    const uint64_t grant = open_one(client, AE_ROLE_RELIABLE);
    (void)raise(SIGSTOP);
    close_one(client, grant);
    (void)raise(SIGSTOP);
    uint32_t other = enter(&token);
    (void)open_one(other, AE_ROLE_BEST_EFFORT);
    (void)open_one(other, AE_ROLE_PUBLISHER);
    ae_close(&token);
    (void)raise(SIGSTOP);
    if (!ae_clients_free_if_dead(&broker, other))
        _exit(6);
    (void)raise(SIGSTOP);
}

static void serve_in_a_child(void) {
    int token;

    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(1);
    (void)raise(SIGSTOP);
    if (ae_broker_start(&broker, &instance, &limits) != 0)
        _exit(7);
    const uint32_t client = enter(&token);
    close_one(client, open_one(client, AE_ROLE_PUBLISHER)); /* from now on the topic stays */
    measured_steps(client);
    fill();
    measured_steps(client);
    _exit(0);
}

/* Runs the child to its next stop, and counts its instructions. */
static unsigned run_to_stop(pid_t child, bool counted) {
    unsigned instructions = 0;
    int status;

    do {
        assert_int_equal(ptrace(counted ? PTRACE_SINGLESTEP : PTRACE_CONT, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSTOPPED(status))
            fail_msg("the child ended: %d", WEXITSTATUS(status));
        instructions++;
    } while (WSTOPSIG(status) == SIGTRAP);
    return instructions;
}

static void requests_take_the_same_work_beside_many(void **state) {
    static const char *const names[] = {"open", "close", "the end of a client"};
    unsigned work[2][3];
    int status;

    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        serve_in_a_child();
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status))
        skip(); /* ptrace(2) isn't allowed here */
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)PTRACE_O_EXITKILL), 0);
    for (unsigned many = 0; many < 2; many++) {
        (void)run_to_stop(child, false);
        work[many][0] = run_to_stop(child, true);
        work[many][1] = run_to_stop(child, true);
        (void)run_to_stop(child, false);
        work[many][2] = run_to_stop(child, true);
    }
    assert_int_equal(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (unsigned i = 0; i < 3; i++) {
        print_message("%s: %u instructions, beside many %u\n", names[i], work[0][i], work[1][i]);
        assert_true(work[1][i] < work[0][i] + MORE_MAX);
    }
    assert_int_equal(ae_broker_start(&broker, &instance, &limits), 0);
    ae_broker_stop(&broker);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_like_a_plain_search),
        cmocka_unit_test(all_slots_are_used),
        cmocka_unit_test(the_index_like_a_plain_search),
        cmocka_unit_test(requests_take_the_same_work_beside_many),
    };

    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steps_test.c - aetherd is killed before each step of a request that changes a topic's shape, or one step fails. A
 * step is a call of one of the functions below that change shared memory. Whatever has happened, the successor has a
 * state that is whole: a topic has the objects of its shape, and who waits for it still waits. The request can be
 * repeated.
 */
#include "broker/instance_test.h"
#include "base/error.h"
#include "base/socket.h"
#include "broker/broker.h"
#include "broker/clients.h"
#include "broker/objects.h"
#include "broker/shape.h"
#include "ring/geometry.h"
#include "ring/topic.h"
#include "ring/wake.h"
#include "service/log.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <aether/topic.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define KILLED 9         /* exit status of the child that was aetherd */
#define RENEWAL_STEPS 40 /* of a request that lets a topic begin anew: at least those until it has begun */

static const struct ae_limits limits = {.topics = 4, .clients = 3, .grants = 20, .ring_bytes = 8 << 20};

/* ---- steps ---- */

static int kill_at; /* 0: never. Else _exit() before this step */
static int fail_at; /* 0: no more. Else this call that can fail fails */

static void step(void) {
    if (kill_at != 0 && --kill_at == 0)
        _exit(KILLED);
}

static bool fails(void) {
    return fail_at != 0 && --fail_at == 0;
}

#define STEP(name, parameters, arguments)                                                                              \
    void __real_##name parameters;                                                                                     \
    void __wrap_##name parameters;                                                                                     \
    void __wrap_##name parameters {                                                                                    \
        step();                                                                                                        \
        __real_##name arguments;                                                                                       \
    }

/* may_fail: a condition on the parameters */
#define FALLIBLE(name, parameters, arguments, may_fail)                                                                \
    int __real_##name parameters;                                                                                      \
    int __wrap_##name parameters;                                                                                      \
    int __wrap_##name parameters {                                                                                     \
        step();                                                                                                        \
        return (may_fail) && fails() ? ae_fail(-ENOSPC, "no room") : __real_##name arguments;                          \
    }

static bool grows(int fd, uint64_t bytes) {
    struct stat st;

    return fstat(fd, &st) == 0 && bytes > (uint64_t)st.st_size;
}

/* NOLINTBEGIN(*reserved-identifier, bugprone-macro-parentheses): the linker's names; parameters of functions */
STEP(ae_record_begin, (ae_u64 * word), (word))
STEP(ae_record_commit, (ae_u64 * word), (word))
STEP(ae_record_remove, (ae_u64 * word), (word))
STEP(ae_record_free, (ae_u64 * word), (word))
STEP(ae_registry_set_shape, (ae_registry_topic * topic, uint64_t shape), (topic, shape))
STEP(ae_registry_set_type,
     (ae_registry_topic * topic, const char *name, uint32_t version, uint32_t size, const char *maker, uint32_t pid),
     (topic, name, version, size, maker, pid))
STEP(ae_registry_drop_type, (ae_registry_topic * topic), (topic))
STEP(ae_registry_changed, (const struct ae_registry *registry), (registry))
STEP(ae_topic_format,
     (ae_log * log, ae_cursors *cursors, ae_notes *notes, const ae_geometry *geometry, uint64_t topic_id),
     (log, cursors, notes, geometry, topic_id))
STEP(ae_topic_set_geometry, (ae_log * log, const ae_geometry *geometry), (log, geometry))
STEP(ae_topic_admit_publisher, (ae_log * log, uint32_t record), (log, record))
STEP(ae_topic_admit_subscriber, (ae_log * log, ae_cursors *cursors, uint32_t record), (log, cursors, record))
STEP(ae_topic_retire_subscriber, (ae_log * log, ae_cursors *cursors, uint32_t record), (log, cursors, record))
STEP(ae_topic_set_subscribers, (ae_log * log, uint64_t count), (log, count))
STEP(ae_wake_all, (ae_u64 * word), (word))
FALLIBLE(ae_segment_create, (const char *name, uint64_t size, uint64_t allocated), (name, size, allocated), true)
FALLIBLE(ae_segment_allocate, (int fd, uint64_t offset, uint64_t bytes, const char *name), (fd, offset, bytes, name),
         true)
FALLIBLE(ae_segment_open, (const char *name, bool writable, uint32_t uid, uint64_t bytes, uint64_t *size),
         (name, writable, uid, bytes, size), true)
FALLIBLE(ae_segment_map, (int fd, uint64_t bytes, bool writable, bool populated, void **base),
         (fd, bytes, writable, populated, base), true)
FALLIBLE(ae_segment_resize, (int fd, uint64_t bytes, const char *name), (fd, bytes, name), grows(fd, bytes))
FALLIBLE(ae_segment_remove, (const char *name), (name), false)
/* NOLINTEND(*reserved-identifier, bugprone-macro-parentheses) */

/* ---- a world: a client that waits, perhaps, and one that asks ---- */

struct client {
    uint32_t index;
    uint64_t id, nonce[2];
    int token;
};

static struct client waiter, asker;
static uint64_t waiting_grant, waiting_topic; /* 0: none */

static struct client hello(const char *name, const struct client *former) {
    struct ae_msg msg = {.type = AE_MSG_HELLO, .version = AE_PROTOCOL_VERSION};
    struct ae_reply reply = {0};
    struct client client = {.token = former != NULL ? former->token : -1};

    (void)snprintf(msg.u.hello.name, sizeof msg.u.hello.name, "%s", name);
    if (former != NULL) {
        msg.u.hello.resume_id = former->id;
        memcpy(msg.u.hello.resume_nonce, former->nonce, sizeof former->nonce);
        msg.u.hello.resume_grant = former == &waiter ? waiting_grant : 0;
    }
    ae_broker_hello(&broker, &msg, 42, (uint32_t)geteuid(), &reply, &client.index);
    assert_int_equal(reply.msg.type, AE_MSG_WELCOME);
    assert_int_equal(reply.msg.u.welcome.resumed, former != NULL);
    client.id = reply.msg.u.welcome.client_id;
    memcpy(client.nonce, reply.msg.u.welcome.nonce, sizeof client.nonce);
    if (former == NULL)
        client.token = reply.fds[0];
    return client;
}

static struct ae_reply ask(const struct client *client, const struct ae_msg *msg) {
    struct ae_reply reply = {0};

    ae_broker_handle(&broker, client->index, msg, &reply);
    for (int i = 0; i < reply.fd_count; i++)
        ae_close(&reply.fds[i]);
    return reply;
}

static struct ae_msg opening(uint32_t role, const struct ae_topic_request *says) {
    struct ae_msg msg = {.type = AE_MSG_OPEN, .u.open = {.role = role, .topic = *says}};

    (void)snprintf(msg.u.open.topic.topic, sizeof msg.u.open.topic.topic, "t");
    return msg;
}

static struct ae_msg creating(const struct ae_topic_request *says) {
    struct ae_msg msg = {.type = AE_MSG_CREATE, .u.create = *says};

    (void)snprintf(msg.u.create.topic, sizeof msg.u.create.topic, "t");
    return msg;
}

static struct ae_reply open_as(const struct client *client, uint32_t role, const struct ae_topic_request *says) {
    const struct ae_msg msg = opening(role, says);
    const struct ae_reply reply = ask(client, &msg);

    if (reply.msg.type != AE_MSG_OPENED)
        fail_msg("%s", reply.msg.u.error.text);
    return reply;
}

static void wait_for_topic(void) {
    const struct ae_topic_request says = {.capacity = 64};
    const struct ae_reply reply = open_as(&waiter, AE_ROLE_RELIABLE, &says);

    waiting_grant = reply.msg.u.opened.grant_id;
    waiting_topic = reply.msg.u.opened.topic_id;
}

static void create(const struct ae_topic_request *says) {
    const struct ae_msg msg = creating(says);

    assert_int_equal(ask(&asker, &msg).msg.type, AE_MSG_DONE);
}

/* ---- before the request ---- */

static const struct ae_topic_request nothing,
    exclusive = {.publishers = AETHER_PUBLISHERS_EXCLUSIVE},
    large = {.max_message = 1 << 18, .lane_bytes = 1 << 20, .type_name = "frame", .latency = AETHER_LATENCY_OFF};

static void no_topic(void) {
}

static void a_subscriber(void) {
    wait_for_topic();
}

static void a_made_topic(void) {
    create(&exclusive);
}

static void a_made_topic_with_subscriber(void) {
    create(&exclusive);
    wait_for_topic();
}

static void an_unused_topic(void) {
    const struct ae_reply reply = open_as(&asker, AE_ROLE_PUBLISHER, &exclusive);
    const struct ae_msg msg = {.type = AE_MSG_CLOSE, .u.close.grant_id = reply.msg.u.opened.grant_id};

    assert_int_equal(ask(&asker, &msg).msg.type, AE_MSG_DONE);
}

/* The waiter states something for the topic that the asker has created. */
static void an_unused_created_topic(void) {
    static const struct ae_topic_request says = {.capacity = 64, .type_name = "frame"};

    create(&exclusive);
    const struct ae_reply reply = open_as(&waiter, AE_ROLE_PUBLISHER, &says);
    const struct ae_msg msg = {.type = AE_MSG_CLOSE, .u.close.grant_id = reply.msg.u.opened.grant_id};
    assert_int_equal(ask(&waiter, &msg).msg.type, AE_MSG_DONE);
}

struct scenario {
    const char *name;
    void (*before)(void);
    uint32_t type, role;
    const struct ae_topic_request *says;
};

static const struct scenario scenarios[] = {
    {"a subscriber comes first", no_topic, AE_MSG_OPEN, AE_ROLE_RELIABLE, &large},
    {"a best-effort subscriber comes first", no_topic, AE_MSG_OPEN, AE_ROLE_BEST_EFFORT, &nothing},
    {"a second subscriber comes", a_subscriber, AE_MSG_OPEN, AE_ROLE_RELIABLE, &nothing},
    {"a publisher comes first", no_topic, AE_MSG_OPEN, AE_ROLE_PUBLISHER, &large},
    {"a publisher comes to a subscriber", a_subscriber, AE_MSG_OPEN, AE_ROLE_PUBLISHER, &large},
    {"a topic is created", no_topic, AE_MSG_CREATE, 0, &large},
    {"a topic is created for a subscriber", a_subscriber, AE_MSG_CREATE, 0, &large},
    {"a created topic is created again", a_made_topic_with_subscriber, AE_MSG_CREATE, 0, &large},
    {"a publisher comes to a created topic", a_made_topic_with_subscriber, AE_MSG_OPEN, AE_ROLE_PUBLISHER, &large},
    {"a publisher takes a created topic as it is", a_made_topic, AE_MSG_OPEN, AE_ROLE_PUBLISHER, &nothing},
    {"a created topic is removed", a_made_topic, AE_MSG_REMOVE, 0, &nothing},
    {"a created topic with a subscriber is removed", a_made_topic_with_subscriber, AE_MSG_REMOVE, 0, &nothing},
    {"an unused topic begins anew with a publisher", an_unused_topic, AE_MSG_OPEN, AE_ROLE_PUBLISHER, &large},
    {"an unused topic begins anew with a subscriber", an_unused_topic, AE_MSG_OPEN, AE_ROLE_BEST_EFFORT, &large},
    {"a created topic begins anew with a publisher", an_unused_created_topic, AE_MSG_OPEN, AE_ROLE_PUBLISHER, &large},
    {"a created topic begins anew with a creation", an_unused_created_topic, AE_MSG_CREATE, 0, &large},
};
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

/* The topic begins anew, and what was stated for it stays. */
static bool begins_anew(const struct scenario *scenario) {
    return scenario->before == an_unused_topic || scenario->before == an_unused_created_topic;
}

static struct ae_msg request_of(const struct scenario *scenario) {
    if (scenario->type == AE_MSG_OPEN)
        return opening(scenario->role, scenario->says);
    if (scenario->type == AE_MSG_CREATE)
        return creating(scenario->says);
    return (struct ae_msg){.type = AE_MSG_REMOVE, .u.remove.topic = "t"};
}

/* ---- what is whole ---- */

static int object_count(void) {
    const char *prefix = instance.prefix + 1;
    const struct dirent *entry;
    DIR *dir = opendir("/dev/shm");
    int count = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(dir);
    return count;
}

static const ae_registry_topic *the_topic(void) {
    const ae_registry_topic *found = NULL;

    for (uint32_t t = 0; t < limits.topics; t++) {
        if (ae_record_state(&broker.registry.topics[t].state) == AE_RECORD_LIVE) {
            assert_null(found);
            found = &broker.registry.topics[t];
        }
    }
    return found;
}

struct size {
    uint64_t bytes, allocated;
};

static struct size size_of_log(const ae_registry_topic *topic) {
    char name[AE_OBJECT_NAME_SIZE], path[AE_OBJECT_NAME_SIZE + 16];
    struct stat st;

    ae_name_log(&instance, topic->topic_id, name);
    (void)snprintf(path, sizeof path, "/dev/shm%s", name);
    assert_int_equal(stat(path, &st), 0);
    return (struct size){(uint64_t)st.st_size, (uint64_t)st.st_blocks * 512};
}

/* Beside the registry and the totals: each client has a token and statistics, and a topic three objects. */
static void check_objects(const ae_registry_topic *topic) {
    assert_int_equal(object_count(), 2 + 4 + (topic != NULL ? 3 : 0));
    if (topic == NULL)
        return;
    const struct size size = size_of_log(topic);
    const uint64_t shape = ae_shape_of(topic->shape.v);
    assert_int_equal(ae_objects_fit(&broker, topic), 1);
    if (shape == AE_SHAPE_OPEN) {
        assert_int_equal(size.bytes, AE_LOG_SLOTS_OFF);
        assert_int_equal(size.allocated, AE_LOG_SLOTS_OFF);
        assert_int_equal(topic->geometry.capacity, 0);
        assert_int_equal(topic->type_name[0], '\0');
        assert_int_equal(topic->created, 0);
        return;
    }
    assert_int_equal(ae_geometry_check(&topic->geometry), 0);
    assert_true(size.allocated >= topic->geometry.lanes_off);
    assert_true(shape == AE_SHAPE_FIXED || topic->created == 1);
}

/* No subscriber here joins, so publishers wait for none. The number of subscribers is that of the grants. */
static void check_words(const ae_registry_topic *topic) {
    uint64_t count = 0, open = 0;
    struct ae_objects objects;

    for (uint32_t g = 0; g < limits.grants; g++) {
        const ae_registry_grant *grant = &broker.registry.grants[g];
        if (ae_record_state(&grant->state) != AE_RECORD_LIVE)
            continue;
        assert_non_null(topic);
        assert_int_equal(grant->topic_id, topic->topic_id);
        open |= grant->role == AE_ROLE_PUBLISHER ? 1ull << grant->record : 0;
        count += grant->role != AE_ROLE_PUBLISHER;
    }
    if (topic == NULL)
        return;
    assert_int_equal(ae_objects_map(&broker, topic, sizeof(ae_log), true, &objects), 0);
    assert_int_equal(ae_load_acquire(&objects.cursors->active.active), 0);
    assert_int_equal(ae_load_acquire(&objects.log->stream.subscribers), count);
    assert_int_equal(ae_load_acquire(&objects.log->stream.open), open);
    ae_objects_unmap(&objects);
}

/* What was stated for the topic before the request. */
static void check_statements(const struct scenario *scenario) {
    const ae_registry_topic *topic = the_topic();
    ae_wish own;

    if (!begins_anew(scenario))
        return;
    assert_non_null(topic);
    ae_shape_own(topic, &own);
    assert_int_equal(own.publishers, AETHER_PUBLISHERS_EXCLUSIVE);
    assert_true((topic->stated & AE_STATED_PUBLISHERS) != 0);
    assert_true(topic->created == 0 || strcmp(topic->creator, "asker") == 0);
    assert_int_equal(topic->later & AE_STATED_PUBLISHERS, 0);
    if (scenario->before != an_unused_created_topic)
        return;
    assert_int_equal(own.capacity, 64);
    assert_string_equal(own.type_name, "frame");
    assert_int_equal(topic->created, 1);
    assert_string_equal(topic->type_maker, "waiter");
    if (ae_shape_of(topic->shape.v) == AE_SHAPE_MADE)
        assert_int_equal(topic->later & (AE_STATED_CAPACITY | AE_STATED_TYPE), AE_STATED_CAPACITY | AE_STATED_TYPE);
}

static void check_all(void) {
    const ae_registry_topic *topic = the_topic();

    if (waiting_topic != 0) {
        assert_non_null(topic);
        assert_int_equal(topic->topic_id, waiting_topic);
    }
    check_objects(topic);
    check_words(topic);
}

/* ---- the tests ---- */

static void begin(const struct scenario *scenario) {
    assert_int_equal(ae_broker_start(&broker, &instance, &limits), 0);
    waiting_grant = waiting_topic = 0;
    waiter = hello("waiter", NULL);
    asker = hello("asker", NULL);
    scenario->before();
    check_all();
}

static void end(void) {
    ae_close(&waiter.token);
    ae_close(&asker.token);
    ae_broker_stop(&broker);
}

/* The request as the client repeats it. A topic that was already removed isn't there. */
static void repeat(const struct scenario *scenario) {
    const struct ae_msg msg = request_of(scenario);
    const struct ae_reply reply = ask(&asker, &msg);

    if (reply.msg.type == AE_MSG_ERROR && !(scenario->type == AE_MSG_REMOVE && reply.msg.u.error.code == -ENOENT))
        fail_msg("%s: %s", scenario->name, reply.msg.u.error.text);
    check_all();
    const ae_registry_topic *topic = the_topic();
    if (scenario->role != AE_ROLE_PUBLISHER)
        return;
    assert_int_equal(ae_shape_of(topic->shape.v), AE_SHAPE_FIXED);
    assert_string_equal(topic->maker, "asker");
    assert_string_equal(topic->type_name, scenario->says->type_name);
    assert_true(topic->geometry.max_message >= scenario->says->max_message);
    assert_true(waiting_topic == 0 || topic->geometry.capacity >= 64);
}

/* Another aetherd. The client that asks knows of no grant: one whose reply was lost is freed. */
static void succeed(void) {
    assert_int_equal(ae_broker_start(&broker, &instance, &limits), 0);
    waiter = hello("waiter", &waiter);
    asker = hello("asker", &asker);
}

/* The same for the request alone. */
static bool ask_until_killed(const struct scenario *scenario, int at) {
    const struct ae_msg msg = request_of(scenario);
    int status;

    begin(scenario);
    vanish();
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        succeed();
        kill_at = at;
        (void)ask(&asker, &msg);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == KILLED || WEXITSTATUS(status) == 0));
    return WEXITSTATUS(status) == KILLED;
}

/* Returns false if the request was done before this step. */
static bool kill_before(const struct scenario *scenario, int at) {
    const bool killed = ask_until_killed(scenario, at);

    succeed();
    check_all();
    check_statements(scenario);
    repeat(scenario);
    check_statements(scenario);
    end();
    return killed;
}

static void killed_before_each_step(void **state) {
    (void)state;
    for (size_t i = 0; i < SCENARIOS; i++) {
        int at = 1;
        while (kill_before(&scenarios[i], at))
            at++;
        print_message("%s: %d steps\n", scenarios[i].name, at - 1);
        assert_true(at > 5);
    }
}

/* Returns false if the successor was ready before this step. */
static bool kill_successor_before(const struct scenario *scenario, int at, int successor_at) {
    int status;

    (void)ask_until_killed(scenario, at);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        kill_at = successor_at;
        _exit(ae_broker_start(&broker, &instance, &limits) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == KILLED || WEXITSTATUS(status) == 0));
    succeed();
    check_all();
    check_statements(scenario);
    end();
    return WEXITSTATUS(status) == KILLED;
}

/* Each third step, because of the time that it takes. */
#ifdef __SANITIZE_ADDRESS__
#define RENEWAL_STRIDE 12
#else
#define RENEWAL_STRIDE 3
#endif

/* What a successor completes, another one completes if that is killed, too. */
static void successor_killed_before_each_step(void **state) {
    (void)state;
    const struct scenario *scenario = &scenarios[SCENARIOS - 1]; /* with statements of two clients */
    for (int at = 1; at <= RENEWAL_STEPS; at += RENEWAL_STRIDE) {
        int successor_at = 1;
        while (kill_successor_before(scenario, at, successor_at))
            successor_at++;
        print_message("%s, killed before step %d: %d steps of a successor\n", scenario->name, at, successor_at - 1);
    }
}

/* Returns false if the request has fewer such calls. */
static bool fail_once(const struct scenario *scenario, int at) {
    const struct ae_msg msg = request_of(scenario);
    uint64_t shape = 0;
    struct size size = {0};

    begin(scenario);
    const ae_registry_topic *topic = the_topic();
    if (topic != NULL) {
        shape = topic->shape.v;
        size = size_of_log(topic);
    }
    fail_at = at;
    const struct ae_reply reply = ask(&asker, &msg);
    const bool failed = fail_at == 0;
    fail_at = 0;
    const bool refused = reply.msg.type == AE_MSG_ERROR;
    check_all();
    check_statements(scenario);
    if (refused && !begins_anew(scenario)) { /* that may have begun anew before */
        assert_true(topic == the_topic());
        assert_true(topic == NULL || topic->shape.v == shape);
        if (topic != NULL) {
            const struct size now = size_of_log(topic);
            assert_memory_equal(&now, &size, sizeof now);
        }
    }
    if (refused)
        repeat(scenario);
    end();
    return failed;
}

static void each_step_fails(void **state) {
    (void)state;
    for (size_t i = 0; i < SCENARIOS; i++) {
        int at = 1;
        while (fail_once(&scenarios[i], at))
            at++;
        print_message("%s: %d calls that can fail\n", scenarios[i].name, at - 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_before_each_step),
        cmocka_unit_test(successor_killed_before_each_step),
        cmocka_unit_test(each_step_fails),
    };

    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}

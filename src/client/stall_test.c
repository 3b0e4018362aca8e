/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stall_test.c - whom a stalled publisher names, and what it costs it to find that out, whatever is at aetherd's
 * socket.
 *
 * The test makes the objects of an instance and plays aetherd. The time that a notice takes is that for which the
 * library asks poll() to wait at most, so it doesn't depend on the machine.
 */
#include "client/instance_test.h"
#include "client/stall.h"
#include "ring/ring_test.h"
#include <aether/aether.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define TOPIC 1u
#define CAPACITY 8u
#define OWN 10u    /* client of the publisher */
#define VIEWER 11u /* client of the subscriber */
#define OTHER 12u
#define RECORD 5u /* the subscriber's */
#define OWN_GRANT 0u
#define GRANT 1u
#define LIMIT_MS 50 /* for aetherd's answer */

struct fixture {
    struct test_instance on;
    struct ring ring;
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    struct aether_client client;
    struct ae_grant grant;
    struct ae_stall_source source;
    aether_stall stall;
    int listener;
};

/* ---- what the library calls -------------------------------------------------------------------------------------- */

static unsigned connects;                    /* to the socket of aetherd */
static uint64_t waited_ms;                   /* what poll() was asked to wait */
static void (*meanwhile)(struct fixture *f); /* is called once, when the client that holds the record is read */
static struct fixture *present;

int __real_connect(int sock, const struct sockaddr *address, socklen_t len);
int __wrap_connect(int sock, const struct sockaddr *address, socklen_t len);
int __real_poll(struct pollfd *entries, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout);
int __real_ae_registry_read_client(const struct ae_registry *registry, uint32_t i, ae_registry_client *copy);
int __wrap_ae_registry_read_client(const struct ae_registry *registry, uint32_t i, ae_registry_client *copy);

int __wrap_connect(int sock, const struct sockaddr *address, socklen_t len) {
    connects++;
    return __real_connect(sock, address, len);
}

int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout) {
    assert_true(timeout >= 0);
    waited_ms += (uint64_t)timeout;
    return __real_poll(entries, count, timeout);
}

int __wrap_ae_registry_read_client(const struct ae_registry *registry, uint32_t i, ae_registry_client *copy) {
    const int rc = __real_ae_registry_read_client(registry, i, copy);

    if (rc == 1 && copy->client_id == VIEWER && meanwhile != NULL) {
        meanwhile(present);
        meanwhile = NULL;
    }
    return rc;
}

/* ---- the instance ------------------------------------------------------------------------------------------------ */

static void fill_registry(struct test_instance *on, uint64_t nonce) {
    add_topic(on, 0, TOPIC, "t", 0);
    add_client(on, 0, OWN, "camera", (uint32_t)getpid());
    on->registry.clients[0].nonce[0] = nonce;
    add_client(on, 1, VIEWER, "viewer", (uint32_t)getpid());
    add_client(on, 2, OTHER, "other", (uint32_t)getpid());
    add_grant(on, OWN_GRANT, TOPIC, OWN, AE_ROLE_PUBLISHER, 0);
    add_grant(on, GRANT, TOPIC, VIEWER, AE_ROLE_RELIABLE, RECORD);
}

static const aether_subscribe_options reliable = {.policy = AETHER_RELIABLE};

/* The subscriber has left its record, which another client gets now. */
static void take_over(struct fixture *f) {
    ae_registry_grant *grant = &f->on.registry.grants[GRANT];

    ae_record_remove(&grant->state);
    ae_record_free(&grant->state);
    ae_record_begin(&grant->state);
    grant->grant_id = 200;
    grant->client_id = OTHER;
    grant->granted_ns = ae_now_ns();
    ae_record_commit(&grant->state);
    subscriber_open(&f->subscriber, &f->ring, f->ring.log_ro, RECORD, &reliable);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    present = f;
    f->listener = -1;
    test_instance_create(&f->on, 4, 4, 16);
    fill_registry(&f->on, 70);
    ring_make(&f->ring, CAPACITY, 24, 0);
    publisher_open(&f->publisher, &f->ring);
    subscriber_open(&f->subscriber, &f->ring, f->ring.log_ro, RECORD, &reliable);
    pthread_mutex_init(&f->client.lock, NULL);
    ae_control_init(&f->client.control, f->on.socket_path, "camera");
    f->client.control.client_id = OWN;
    f->client.control.nonce[0] = 70;
    f->grant = (struct ae_grant){.back = {.grant_id = 100 + OWN_GRANT, .client_id = OWN},
                                 .client = &f->client,
                                 .topic_id = TOPIC,
                                 .role = AE_ROLE_PUBLISHER};
    ae_stall_open(&f->publisher.pub, &f->source, &f->grant, "t");
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    ae_close(&f->listener);
    unlink(f->on.socket_path);
    subscriber_close(&f->subscriber);
    publisher_close(&f->publisher);
    ring_free(&f->ring);
    ae_control_free(&f->client.control);
    pthread_mutex_destroy(&f->client.lock);
    test_instance_remove(&f->on);
    free(f);
    return 0;
}

/* Publishes until there is no room, and then once more, so that this is no stall's first call. */
static void fill(struct fixture *f) {
    uint64_t word = 0;
    int rc;

    while ((rc = aether_publish(f->publisher.handle, &word, sizeof word)) == 0)
        word++;
    assert_int_equal(rc, AETHER_FULL);
    assert_int_equal(aether_publish(f->publisher.handle, &word, sizeof word), AETHER_FULL);
}

static struct test_publisher second; /* of the other client */

/* The same, and there are as many messages for the next one as there were for the former one. */
static void take_over_and_fill(struct fixture *f) {
    subscriber_close(&f->subscriber);
    take_over(f);
    for (unsigned i = 0; i < CAPACITY; i++)
        assert_int_equal(aether_publish(second.handle, "", 1), 0);
}

/* The subscriber receives n messages and releases them. */
static void receive(struct fixture *f, unsigned n) {
    aether_message m;

    while (n-- > 0)
        assert_int_equal(aether_receive(f->subscriber.handle, &m), 1);
    ae_store_cursor(&f->subscriber.sub.hot, aether_subscriber_next(f->subscriber.handle));
}

static int read_stall(struct fixture *f) {
    connects = 0;
    waited_ms = 0;
    const int rc = aether_publisher_stall(f->publisher.handle, &f->stall);
    assert_string_equal(f->stall.topic, "t");
    return rc;
}

static void names(struct fixture *f, const char *client) {
    assert_int_equal(read_stall(f), 1);
    assert_string_equal(f->stall.client, client);
    if (client[0] == '\0') {
        assert_int_equal(f->stall.pid, 0);
        assert_int_equal(f->stall.client_id, 0);
        assert_int_equal(f->stall.process, '?');
        return;
    }
    assert_int_equal(f->stall.pid, getpid());
    assert_int_equal(f->stall.process, 'R');
}

/* ---- what is at the socket --------------------------------------------------------------------------------------- */

static int bound_socket(const struct fixture *f, struct sockaddr_un *address, socklen_t *len) {
    const int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *len = (socklen_t)ae_socket_address(address, f->on.socket_path);
    unlink(f->on.socket_path);
    assert_int_equal(bind(sock, (const struct sockaddr *)address, *len), 0);
    return sock;
}

/* Takes connections and answers nothing, as an aetherd that is stopped. */
static void silent(struct fixture *f) {
    struct sockaddr_un address;
    socklen_t len;

    f->listener = bound_socket(f, &address, &len);
    assert_int_equal(listen(f->listener, 16), 0);
}

static int others[8];

/* Has been stopped for long: its backlog is full. */
static void full(struct fixture *f) {
    struct sockaddr_un address;
    socklen_t len;
    size_t n = 0;

    f->listener = bound_socket(f, &address, &len);
    assert_int_equal(listen(f->listener, 0), 0);
    do {
        assert_true(n < sizeof others / sizeof others[0]);
        others[n] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    } while (__real_connect(others[n++], (const struct sockaddr *)&address, len) == 0);
    assert_int_equal(errno, EAGAIN);
}

/* Has been killed, and its socket is there. */
static void dead(struct fixture *f) {
    struct sockaddr_un address;
    socklen_t len;

    f->listener = bound_socket(f, &address, &len);
    ae_close(&f->listener);
}

/* Has never been there. */
static void missing(struct fixture *f) {
    unlink(f->on.socket_path);
}

static void (*const conditions[])(struct fixture *) = {silent, full, dead, missing};

static void leave_socket(struct fixture *f) {
    ae_close(&f->listener);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (others[i] > 0)
            ae_close(&others[i]);
        others[i] = 0;
    }
}

/* ---- cases ------------------------------------------------------------------------------------------------------- */

/* Where names lead to the registry, nobody is asked. */
static void names_do_without_aetherd(void **state) {
    struct fixture *f = *state;

    fill(f);
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        conditions[i](f);
        names(f, "viewer");
        assert_int_equal(f->stall.lag, CAPACITY);
        assert_int_equal(connects, 0);
        assert_int_equal(waited_ms, 0);
        leave_socket(f);
    }
}

/*
 * What doesn't answer costs a publisher 50 ms, and a millisecond more for each rounding up. Without names it is told.
 */
static void limited(struct fixture *f, int code) {
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        const bool runs = conditions[i] == silent || conditions[i] == full;
        conditions[i](f);
        const int rc = read_stall(f);
        assert_int_equal(rc, code != 0 && runs ? -ETIMEDOUT : code != 0 ? code : 1);
        assert_int_equal(f->stall.waits, AETHER_WAITS_SUBSCRIBER);
        assert_int_equal(f->stall.lag, CAPACITY);
        assert_int_equal(f->stall.pid, 0);
        assert_string_equal(f->stall.client, "");
        if (code != 0)
            assert_int_equal(f->stall.daemon, runs);
        assert_true(connects > 0);
        assert_true(waited_ms < 2 * LIMIT_MS);
        leave_socket(f);
    }
}

static void no_registry_of_that_name(void **state) {
    struct fixture *f = *state;
    char name[AE_OBJECT_NAME_SIZE];

    fill(f);
    ae_name_registry(&f->on.instance, name);
    ae_segment_remove(name);
    limited(f, -ENOENT);
}

/* As in a container in which another aetherd ran at the same path: the same ids, and another client. */
static void registry_of_another_aetherd(void **state) {
    struct fixture *f = *state;
    struct test_instance stale = f->on;
    char name[AE_OBJECT_NAME_SIZE];

    fill(f);
    ae_name_registry(&f->on.instance, name);
    ae_segment_remove(name);
    assert_int_equal(ae_registry_create(&stale.registry, &stale.instance, 4, 4, 16), 0);
    fill_registry(&stale, 71);
    limited(f, 0);
    ae_registry_close(&stale.registry);
}

static aether_stall told;
static unsigned notices;

static void on_stall(void *context, aether_publisher *publisher, const aether_stall *stall) {
    (void)context;
    (void)publisher;
    told = *stall;
    notices++;
}

/* A notice comes within the same limit, and without names if there are none. */
static void a_notice_without_names(void **state) {
    struct fixture *f = *state;
    char name[AE_OBJECT_NAME_SIZE];
    uint64_t word = 0;

    f->client.on_stall = on_stall;
    f->client.stall_after_ns = 1;
    ae_stall_open(&f->publisher.pub, &f->source, &f->grant, "t");
    ae_name_registry(&f->on.instance, name);
    ae_segment_remove(name);
    silent(f);
    while (aether_publish(f->publisher.handle, &word, sizeof word) == 0)
        continue;
    waited_ms = notices = 0;
    while (notices == 0)
        assert_int_equal(aether_publish(f->publisher.handle, &word, sizeof word), AETHER_FULL);
    assert_int_equal(notices, 1);
    assert_true(waited_ms < 2 * LIMIT_MS);
    assert_int_equal(told.waits, AETHER_WAITS_SUBSCRIBER);
    assert_int_equal(told.lag, CAPACITY);
    assert_int_equal(told.pid, 0);
    assert_string_equal(told.client, "");
    assert_int_equal(told.daemon, 1);
}

/* A subscriber that goes on receiving, and has been there for the whole stall, is named also if it has made room. */
static void a_slow_subscriber(void **state) {
    struct fixture *f = *state;

    fill(f);
    receive(f, 3);
    names(f, "viewer");
    assert_int_equal(f->stall.lag, CAPACITY - 3);
    /* One for which there is nothing isn't waited for. */
    receive(f, CAPACITY - 3);
    names(f, "");
    assert_int_equal(f->stall.lag, 0);
}

/* The record's next holder isn't what the publisher has waited for, also if there is something for it. */
static void the_next_holder(void **state) {
    struct fixture *f = *state;

    publisher_open_as(&second, &f->ring, 3, f->ring.cursors_ro);
    fill(f);
    subscriber_close(&f->subscriber);
    names(f, ""); /* the grant is still there */
    assert_int_equal(f->stall.lag, 0);
    take_over(f);
    names(f, "");
    assert_int_equal(f->stall.lag, 0);
    assert_int_equal(aether_publish(second.handle, "", 1), 0);
    assert_int_equal(aether_publish(second.handle, "", 1), 0);
    names(f, "");
    assert_int_equal(f->stall.lag, 2);
    /* It is, once the publisher has no room because of it. */
    fill(f);
    names(f, "other");
    assert_int_equal(f->stall.lag, CAPACITY);
    publisher_close(&second);
}

/* A call is the stall's first one, and the grant may be later than the call's scan. */
static void the_first_call(void **state) {
    struct fixture *f = *state;
    uint64_t word = 0;

    while (aether_publish(f->publisher.handle, &word, sizeof word) == 0)
        continue;
    names(f, "viewer");
    receive(f, 3);
    names(f, "");
}

/* The record passes on between the reading of the registry and that of the ring. */
static void a_change_meanwhile(void **state) {
    struct fixture *f = *state;

    publisher_open_as(&second, &f->ring, 3, f->ring.cursors_ro);
    fill(f);
    meanwhile = take_over_and_fill;
    names(f, "");
    assert_null(meanwhile);
    fill(f);
    names(f, "other");
    publisher_close(&second);
}

/* A publisher that has left its claim unfinished; its record's next holder has nothing to do with it. */
static void another_publisher(void **state) {
    struct fixture *f = *state;
    uint64_t word = 0;

    publisher_open_as(&second, &f->ring, 3, f->ring.cursors_ro);
    add_grant(&f->on, 2, TOPIC, OTHER, AE_ROLE_PUBLISHER, 3);
    do
        assert_int_equal(aether_publish(second.handle, &word, sizeof word), 0);
    while (!ae_claim_inline(second.handle, 1));
    const uint64_t claimed = aether_publisher_next(second.handle) - 1;
    for (int rc = 0; rc == 0;) {
        rc = aether_publish(f->publisher.handle, &word, sizeof word);
        while (rc == AETHER_FULL && f->publisher.pub.holder.what == AE_WAITS_SUBSCRIBER) {
            receive(f, (unsigned)(claimed - aether_subscriber_next(f->subscriber.handle)));
            rc = aether_publish(f->publisher.handle, &word, sizeof word);
        }
    }
    assert_int_equal(aether_publish(f->publisher.handle, &word, sizeof word), AETHER_FULL);
    names(f, "other");
    assert_int_equal(f->stall.waits, AETHER_WAITS_PUBLISHER);
    ae_write_slot(second.handle, claimed, &word, sizeof word);
    names(f, "other"); /* it has been there for the whole stall */
    f->on.registry.grants[2].granted_ns = ae_now_ns();
    names(f, "");
    publisher_close(&second);
}

/* aetherd knows this process by a pid that means another one here. */
static void other_pids(void **state) {
    struct fixture *f = *state;

    fill(f);
    f->on.registry.clients[0].pid = (uint32_t)getpid() + 1;
    assert_int_equal(read_stall(f), 1);
    assert_string_equal(f->stall.client, "viewer");
    assert_int_equal(f->stall.process, '?');
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(names_do_without_aetherd),
        CASE(no_registry_of_that_name),
        CASE(registry_of_another_aetherd),
        CASE(a_notice_without_names),
        CASE(a_slow_subscriber),
        CASE(the_next_holder),
        CASE(the_first_call),
        CASE(a_change_meanwhile),
        CASE(another_publisher),
        CASE(other_pids),
    };

    return cmocka_run_group_tests_name("stall", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* source_test.c - finds objects by their names and through a socket, behind which the test answers as it likes. */
#include "client/instance_test.h"
#include "client/source.h"
#include "base/socket.h"
#include <aether/aether.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define TOPICS 4u
#define CLIENTS 4u
#define GRANTS 16u

/* What the daemon of the test does with a request. */
enum answers {
    SOUND,
    DIRECTORY,
    MEMORY_OF_OTHER_SIZE,
    FILE_ON_DISK,
    OTHER_OBJECT,
    BAD_PREFIX,
    NO_FD,
    GARBAGE,
    HANG_UP,
    REFUSE
};

struct fixture {
    struct test_instance behind; /* the daemon's */
    enum answers answers;
    uint32_t kind_of_bad; /* the others are answered soundly */
    char seen_as[108];    /* another path to the daemon's socket */
    int listener;
    pthread_t daemon;
};

static int fd_of(struct fixture *f, const struct ae_msg *ask) {
    const bool bad = ask->u.look.kind == f->kind_of_bad;
    char name[AE_OBJECT_NAME_SIZE];
    int fd;

    switch (bad ? f->answers : SOUND) {
    case DIRECTORY:
        return open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    case MEMORY_OF_OTHER_SIZE:
        fd = memfd_create("small", MFD_CLOEXEC);
        assert_int_equal(ftruncate(fd, 100), 0);
        return fd;
    case FILE_ON_DISK:
        return open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    case OTHER_OBJECT:
        ae_name_cursors(&f->behind.instance, 1, name);
        break;
    default:
        if (ask->u.look.kind == AE_LOOK_LOG)
            ae_name_log(&f->behind.instance, ask->u.look.id, name);
        else if (ask->u.look.kind == AE_LOOK_CURSORS)
            ae_name_cursors(&f->behind.instance, ask->u.look.id, name);
        else if (ask->u.look.kind == AE_LOOK_STATS)
            ae_name_stats(&f->behind.instance, ask->u.look.id, name);
        else if (ask->u.look.kind == AE_LOOK_TOTALS)
            ae_name_totals(&f->behind.instance, name);
        else
            ae_name_registry(&f->behind.instance, name);
    }
    return ae_segment_open(name, false, getuid(), 0, NULL);
}

static void answer(struct fixture *f, int sock, const struct ae_msg *ask) {
    struct ae_msg msg = {.type = AE_MSG_OBJECT, .request = ask->request};
    const bool bad = ask->u.look.kind == f->kind_of_bad;
    uint8_t packet[AE_PACKET_MAX];
    int fd = fd_of(f, ask);

    if (bad && f->answers == GARBAGE) {
        (void)ae_packet_send(sock, "garbage", 7, NULL, 0);
        ae_close(&fd);
        return;
    }
    msg.u.object.pid = (uint32_t)getpid();
    msg.u.object.uid = getuid();
    snprintf(msg.u.object.prefix, sizeof msg.u.object.prefix, "%s",
             bad && f->answers == BAD_PREFIX ? "/aether-1/../x." : f->behind.instance.prefix);
    memcpy(msg.u.object.socket_path, f->behind.instance.socket_path, AE_SOCKET_PATH_MAX);
    if (fd < 0 || (bad && f->answers == REFUSE)) {
        msg.type = AE_MSG_ERROR;
        msg.u.error.code = -ENOENT;
        snprintf(msg.u.error.text, sizeof msg.u.error.text, "there is none");
    }
    const int len = ae_msg_encode(&msg, packet, sizeof packet);
    assert_true(len > 0);
    const bool passes = msg.type == AE_MSG_OBJECT && !(bad && f->answers == NO_FD);
    (void)ae_packet_send(sock, packet, (size_t)len, &fd, passes);
    ae_close(&fd);
}

/* Waits for a request. False: the client has gone, or the test stops the daemon. */
static bool next_request(struct fixture *f, int sock, uint8_t packet[AE_PACKET_MAX], int *len) {
    struct pollfd entries[] = {{.fd = sock, .events = POLLIN}, {.fd = f->listener}};
    int none = 0;

    if (poll(entries, 2, -1) < 1 || entries[1].revents != 0)
        return false;
    *len = ae_packet_receive(sock, packet, AE_PACKET_MAX, NULL, &none);
    return *len > 0;
}

static void *serve(void *arg) {
    struct fixture *f = arg;
    uint8_t packet[AE_PACKET_MAX];
    struct ae_msg ask;
    int sock, len;

    while ((sock = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        while (next_request(f, sock, packet, &len)) {
            assert_int_equal(ae_msg_decode(&ask, packet, (size_t)len), 0);
            if (f->answers == HANG_UP && ask.u.look.kind == f->kind_of_bad)
                break;
            answer(f, sock, &ask);
        }
        ae_close(&sock);
    }
    return NULL;
}

static void add_headers(struct test_instance *on) {
    ae_registry_topic *topic = add_topic(on, 0, 1, "t", 5);
    ae_log *log = add_log(on, topic);
    ae_cursors *cursors = add_cursors(on, topic);

    log->header.magic = AE_LOG_MAGIC;
    cursors->header.magic = AE_CURSORS_MAGIC;
    log->header.topic_id = cursors->header.topic_id = 1;
    publish_to(log, 9, 0);
    ae_segment_unmap(log, topic->geometry.lanes_off);
    ae_segment_unmap(cursors, topic->geometry.cursors_bytes);
    ae_segment_unmap(add_stats(on, 2), AE_STATS_RECORDS_OFF + GRANTS * AE_STATS_RECORD);
}

/* A daemon whose socket is seen under another path than its own, so that the names of that lead to no objects. */
static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct sockaddr_un address;

    assert_non_null(f);
    test_instance_create(&f->behind, TOPICS, CLIENTS, GRANTS);
    add_headers(&f->behind);
    snprintf(f->seen_as, sizeof f->seen_as, "%s/seen.sock", f->behind.directory);
    const int len = ae_socket_address(&address, f->seen_as);
    f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (const struct sockaddr *)&address, (socklen_t)len), 0);
    assert_int_equal(listen(f->listener, 16), 0);
    assert_int_equal(pthread_create(&f->daemon, NULL, serve, f), 0);
    *state = f;
    return 0;
}

static void stop(struct fixture *f) {
    shutdown(f->listener, SHUT_RDWR);
    pthread_join(f->daemon, NULL);
    ae_close(&f->listener);
}

static int teardown(void **state) {
    struct fixture *f = *state;

    if (f->listener >= 0)
        stop(f);
    unlink(f->seen_as);
    test_instance_remove(&f->behind);
    free(f);
    return 0;
}

/* ---- cases ------------------------------------------------------------------------------------------------------- */

static void another_name(void **state) {
    struct fixture *f = *state;
    struct ae_object_source source;
    struct ae_registry registry, other;

    assert_int_equal(ae_source_init(&source, f->seen_as, AE_SOURCE_PATIENCE_NS), 0);
    assert_int_equal(ae_source_registry(&source, &registry), 0);
    assert_true(registry.inode == f->behind.registry.inode);
    assert_true(source.renamed);
    assert_false(source.by_request); /* the names of the path that the daemon states lead to the objects */
    assert_string_equal(source.instance.prefix, f->behind.instance.prefix);
    assert_true(ae_source_running(&source));
    assert_int_equal(ae_source_follow(&source, &registry, &other), 0);
    stop(f);
    assert_false(ae_source_running(&source));
    ae_registry_close(&registry);
    ae_source_close(&source);
}

/* The names lead to another instance's objects, as in a container where an aetherd ran at the same path before. */
static void other_objects_of_that_name(void **state) {
    struct fixture *f = *state;
    struct test_instance stale = {.socket_path = ""};
    struct ae_object_source source;
    struct ae_registry registry;
    uint64_t bytes = 0;

    assert_int_equal(ae_instance_init(&stale.instance, f->seen_as, getuid()), 0);
    assert_int_equal(ae_registry_create(&stale.registry, &stale.instance, 1, 1, 1), 0);
    assert_int_equal(ae_source_init(&source, f->seen_as, AE_SOURCE_PATIENCE_NS), 0);
    assert_int_equal(ae_source_registry(&source, &registry), 0);
    assert_true(registry.inode == f->behind.registry.inode);
    ae_registry_close(&registry);

    /* As if the names that the daemon states led nowhere, either. */
    source.by_request = true;
    const ae_geometry *geometry = &f->behind.registry.topics[0].geometry;
    int fd = ae_source_open(&source, AE_LOOK_LOG, 1, geometry->log_bytes);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    ae_close(&fd);
    assert_int_equal(ae_source_allocated(&source, AE_LOOK_LOG, 1, 0, &bytes), 0);
    assert_true(bytes >= geometry->lanes_off);
    assert_int_equal(ae_source_open(&source, AE_LOOK_LOG, 1, geometry->log_bytes + 1), -EBADMSG);
    assert_int_equal(ae_source_open(&source, AE_LOOK_LOG, 7, 0), -ENOENT);
    fd = ae_source_open(&source, AE_LOOK_STATS, 2, 0);
    assert_true(fd >= 0);
    ae_close(&fd);
    stop(f);
    assert_int_equal(ae_source_open(&source, AE_LOOK_LOG, 1, 0), -ENOTCONN); /* it isn't said to be gone */
    ae_source_close(&source);

    /* Without a daemon the names are all there is. */
    assert_int_equal(ae_source_init(&source, f->seen_as, AE_SOURCE_PATIENCE_NS), 0);
    assert_int_equal(ae_source_registry(&source, &registry), 0);
    assert_true(registry.inode == stale.registry.inode);
    assert_false(ae_source_running(&source));
    ae_registry_close(&registry);
    ae_source_close(&source);
    char name[AE_OBJECT_NAME_SIZE];
    ae_name_registry(&stale.instance, name);
    ae_segment_remove(name);
    ae_registry_close(&stale.registry);
}

static void symbolic_link(void **state) {
    struct fixture *f = *state;
    struct ae_registry registry;
    struct ae_object_source source;
    char link[sizeof f->seen_as];

    snprintf(link, sizeof link, "%s/link", f->behind.directory);
    assert_int_equal(symlink(f->seen_as, link), 0);
    assert_int_equal(ae_source_init(&source, link, AE_SOURCE_PATIENCE_NS), 0);
    assert_string_equal(source.control.socket_path, f->seen_as);
    assert_int_equal(ae_source_registry(&source, &registry), 0);
    ae_registry_close(&registry);
    ae_source_close(&source);
    unlink(link);
}

/* What comes as the registry: one line that says what is wrong with it, and no inspector. */
static void bad_registry(void **state) {
    static const struct {
        enum answers answers;
        const char *says;
    } cases[] = {
        {DIRECTORY, "isn't shared memory"},
        {MEMORY_OF_OTHER_SIZE, "isn't a finished registry: it has 100 bytes"},
        {FILE_ON_DISK, "isn't shared memory"},
        {OTHER_OBJECT, "isn't a finished registry"},
        {BAD_PREFIX, "states wrong names"},
        {NO_FD, "isn't an aetherd of this release"},
        {GARBAGE, "isn't an aetherd of this release"},
        {REFUSE, "was removed from /dev/shm: restart aetherd"}, /* and not "no aetherd runs" */
    };
    struct fixture *f = *state;
    aether_inspector *inspector;

    f->kind_of_bad = AE_LOOK_INSTANCE;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f->answers = cases[i].answers;
        assert_int_equal(aether_inspect_open(&inspector, f->seen_as), -EBADMSG);
        assert_null(inspector);
        assert_non_null(strstr(aether_errmsg(), cases[i].says));
        assert_non_null(strstr(aether_errmsg(), f->seen_as));
        assert_null(strchr(aether_errmsg(), '\n'));
    }
    /* One that doesn't answer leaves the names. There are no objects of these. */
    f->answers = HANG_UP;
    assert_int_equal(aether_inspect_open(&inspector, f->seen_as), -ECONNRESET);
}

/* "There is no object" isn't "there is no daemon", though both are -ENOENT. */
static void a_ping_of_a_daemon_that_runs(void **state) {
    struct fixture *f = *state;
    const aether_connect_options options = {.socket_path = f->seen_as};
    aether_pong pong;

    f->kind_of_bad = AE_LOOK_INSTANCE;
    f->answers = REFUSE;
    assert_int_equal(aether_ping(&options, &pong), -EBADMSG);
    assert_non_null(strstr(aether_errmsg(), "was removed from /dev/shm: restart aetherd"));
    f->answers = GARBAGE;
    assert_int_equal(aether_ping(&options, &pong), -EPROTO);
    assert_non_null(strstr(aether_errmsg(), "isn't an aetherd of this release"));
    f->answers = SOUND;
    assert_int_equal(aether_ping(&options, &pong), 0);
    assert_int_equal(pong.pid, getpid());
    stop(f);
    assert_int_equal(aether_ping(&options, &pong), -ECONNREFUSED);
    unlink(f->seen_as);
    assert_int_equal(aether_ping(&options, &pong), -ENOENT);
}

/* A topic's object that isn't what was asked for counts as damaged: the topic has the registry's figures. */
static void bad_log(void **state) {
    static const enum answers answers[] = {DIRECTORY, MEMORY_OF_OTHER_SIZE, FILE_ON_DISK, OTHER_OBJECT, REFUSE,
                                           GARBAGE};
    struct fixture *f = *state;
    struct ae_object_source source;
    struct ae_registry registry;
    const uint64_t bytes = f->behind.registry.topics[0].geometry.log_bytes;

    assert_int_equal(ae_source_init(&source, f->seen_as, AE_SOURCE_PATIENCE_NS), 0);
    assert_int_equal(ae_source_registry(&source, &registry), 0);
    source.by_request = true;
    f->kind_of_bad = AE_LOOK_LOG;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        f->answers = answers[i];
        const int rc = ae_source_open(&source, AE_LOOK_LOG, 1, answers[i] == OTHER_OBJECT ? 0 : bytes);
        assert_int_equal(rc, answers[i] == REFUSE ? -ENOENT : -EBADMSG);
    }
    f->answers = SOUND;
    int fd = ae_source_open(&source, AE_LOOK_LOG, 1, bytes);
    assert_true(fd >= 0);
    ae_close(&fd);
    ae_registry_close(&registry);
    ae_source_close(&source);
}

/* A daemon that accepts no connection, as one that is stopped, costs a second once. */
static void silent(void **state) {
    struct fixture *f = *state;
    struct ae_object_source source;
    struct ae_registry registry;
    struct sockaddr_un address;

    stop(f);
    unlink(f->seen_as);
    const int len = ae_socket_address(&address, f->seen_as);
    f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (const struct sockaddr *)&address, (socklen_t)len), 0);
    assert_int_equal(listen(f->listener, 0), 0);
    assert_int_equal(ae_source_init(&source, f->seen_as, AE_SOURCE_PATIENCE_NS), 0);
    assert_int_equal(ae_source_registry(&source, &registry), -ETIMEDOUT);
    assert_non_null(strstr(aether_errmsg(), " within 1 second; is it stopped?"));
    /* For a second more nothing is asked. */
    source.silent_ns += 3600 * AE_SOURCE_PATIENCE_NS; /* on a slow machine it may be over */
    assert_int_equal(ae_source_registry(&source, &registry), -ETIMEDOUT);
    assert_non_null(strstr(aether_errmsg(), "no answer to the last request; is it stopped?"));
    ae_source_close(&source);

    /* With objects of that name it does without the answer. */
    struct test_instance named = {.socket_path = ""};
    char name[AE_OBJECT_NAME_SIZE];
    assert_int_equal(ae_instance_init(&named.instance, f->seen_as, getuid()), 0);
    assert_int_equal(ae_registry_create(&named.registry, &named.instance, 1, 1, 1), 0);
    assert_int_equal(ae_source_init(&source, f->seen_as, AE_SOURCE_PATIENCE_NS), 0);
    assert_int_equal(ae_source_registry(&source, &registry), 0);
    assert_true(registry.inode == named.registry.inode);
    ae_registry_close(&registry);
    ae_source_close(&source);
    ae_name_registry(&named.instance, name);
    ae_segment_remove(name);
    ae_registry_close(&named.registry);
    ae_close(&f->listener);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(another_name, setup, teardown),
        cmocka_unit_test_setup_teardown(other_objects_of_that_name, setup, teardown),
        cmocka_unit_test_setup_teardown(symbolic_link, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_registry, setup, teardown),
        cmocka_unit_test_setup_teardown(a_ping_of_a_daemon_that_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_log, setup, teardown),
        cmocka_unit_test_setup_teardown(silent, setup, teardown),
    };

    return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}

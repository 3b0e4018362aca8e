/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client whose open failed has nothing. What aetherd had granted it holds up and refuses nobody, although the client
 * lives on and never makes another request: publishers go on, the stream ends, an exclusive topic takes another
 * publisher, no statement binds, and the topic can be removed.
 */
#include "lib/process.h"
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CAPACITY 16u
#define OPENED 4 /* a message of the control protocol */
#define PACKET_MAX 8192
#define FDS_MAX 8
#define MEMBERS 3u

/* How the reply of an open is lost. */
enum way {
    CUT,     /* the connection ends before the client has read it */
    KILLED,  /* so does aetherd, and another one is started */
    STOPPED, /* aetherd is stopped until the client has given up */
    WAYS
};

static const char *const ways[WAYS] = {"the connection ends before the reply arrives",
                                       "aetherd is killed when it replies",
                                       "aetherd is stopped until the client gives up"};

/* The open that fails. */
enum member { SUBSCRIBER, PUBLISHER, TYPED };

static const aether_topic_config exclusive = {.capacity = CAPACITY, .publishers = AETHER_PUBLISHERS_EXCLUSIVE},
                                 typed = {.type_name = "lost", .type_version = 1},
                                 other = {.capacity = CAPACITY, .type_name = "other", .type_version = 2};

static struct shared {
    enum way way;
    pid_t daemon;
    uint64_t listening; /* proxies */
    uint64_t connected; /* clients */
    uint64_t go;        /* 1: they may open */
    uint64_t failed;    /* opens */
    uint64_t finish;
} * shared;

static const char *name_of(enum way way, unsigned member) {
    static char name[64];

    snprintf(name, sizeof name, "lost/%d/%u", (int)way, member);
    return name;
}

/* ---- a proxy, which takes the reply away ---- */

static struct sockaddr_un address_of(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

static const char *proxy_path(unsigned member) {
    static char path[96];

    snprintf(path, sizeof path, "%.60s/proxy-%u", test.dir, member);
    return path;
}

/* Passes a packet on with its descriptors. False: the connection has ended, or the packet is the one to be lost. */
static bool pass_on(int from, int to) {
    static unsigned char packet[PACKET_MAX];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = packet, .iov_len = sizeof packet};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    const ssize_t n = recvmsg(from, &msg, 0);

    if (n <= 0 || packet[0] == OPENED)
        return false;
    iov.iov_len = (size_t)n;
    if (msg.msg_controllen == 0)
        msg.msg_control = NULL;
    REQUIRE(sendmsg(to, &msg, MSG_NOSIGNAL) == n);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
            close(((int *)(void *)CMSG_DATA(c))[i]);
    }
    return true;
}

static void proxy(unsigned member) {
    const struct sockaddr_un own = address_of(proxy_path(member)), daemon = address_of(test.socket);
    const int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0), to_daemon = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    bool goes_on = true;

    REQUIRE(bind(listener, (const struct sockaddr *)&own, sizeof own) == 0 && listen(listener, 1) == 0);
    add(&shared->listening, 1);
    const int to_client = accept(listener, NULL, NULL);
    REQUIRE(to_client >= 0);
    close(listener);
    REQUIRE(unlink(own.sun_path) == 0);
    REQUIRE(connect(to_daemon, (const struct sockaddr *)&daemon, sizeof daemon) == 0);
    struct pollfd entries[] = {{.fd = to_client, .events = POLLIN}, {.fd = to_daemon, .events = POLLIN}};
    while (goes_on) {
        REQUIRE(poll(entries, 2, -1) > 0);
        if (entries[0].revents != 0)
            goes_on = pass_on(to_client, to_daemon);
        if (goes_on && entries[1].revents != 0)
            goes_on = pass_on(to_daemon, to_client);
    }
    if (shared->way == KILLED)
        REQUIRE(kill(shared->daemon, SIGKILL) == 0);
}

/* ---- the client ---- */

static void loser(unsigned member) {
    const aether_connect_options options = {.socket_path = shared->way == STOPPED ? test.socket : proxy_path(member),
                                            .name = "loser"};
    const char *topic = name_of(shared->way, member);
    aether_subscriber *sub = NULL;
    aether_publisher *pub = NULL;
    aether_client *client;
    int rc;

    REQUIRE(aether_connect(&client, &options) == 0);
    add(&shared->connected, 1);
    AWAIT_PARENT(get(&shared->go) != 0);
    if (member == PUBLISHER)
        rc = aether_publisher_open(client, topic, &exclusive, &pub);
    else
        rc = aether_subscriber_open(client, topic, NULL, member == TYPED ? &typed : NULL, &sub);
    REQUIRE(rc < 0 && pub == NULL && sub == NULL);
    add(&shared->failed, 1);
    AWAIT_PARENT(get(&shared->finish) != 0);
}

/* ---- what others find ---- */

static void publish_more_than_a_ring(aether_publisher *pub) {
    for (uint64_t n = 0; n < 10 * CAPACITY; n++)
        REQUIRE(aether_publish(pub, &n, sizeof n) == 0);
}

/* The first of them without a delay: a grant that the client hasn't received never holds up a publisher. */
static void others_go_on(enum way way, unsigned member, aether_client *client, const aether_subscriber *witness) {
    const aether_topic_config ring = {.capacity = CAPACITY};
    const char *topic = name_of(way, member);
    aether_publisher *pub;

    if (member == SUBSCRIBER) {
        REQUIRE(aether_publisher_open(client, topic, &ring, &pub) == 0);
        publish_more_than_a_ring(pub);
        AWAIT(aether_publisher_subscribers(pub) == 0);
    } else if (member == PUBLISHER) {
        /* An aetherd that was stopped drops the request of a client that has hung up: then no stream has begun. */
        AWAIT(aether_subscriber_stream(witness) == (way == STOPPED ? AETHER_STREAM_NONE : AETHER_STREAM_CLOSED));
        REQUIRE(aether_publisher_open(client, topic, &exclusive, &pub) == 0);
    } else {
        AWAIT(aether_publisher_open(client, topic, &other, &pub) == 0);
        publish_more_than_a_ring(pub);
    }
    aether_publisher_close(pub);
}

static void lose(enum way way, unsigned first, unsigned count) {
    aether_subscriber *witness = NULL;
    aether_client *client;
    pid_t losers[MEMBERS], proxies[MEMBERS];

    memset(shared, 0, sizeof *shared);
    shared->way = way;
    shared->daemon = test.daemon;
    client = connect_as("witness");
    if (first <= PUBLISHER && PUBLISHER < first + count)
        REQUIRE(aether_subscriber_open(client, name_of(way, PUBLISHER), NULL, NULL, &witness) == 0);
    for (unsigned i = 0; i < count; i++) {
        if (way != STOPPED)
            proxies[i] = spawn(proxy, first + i);
        AWAIT(way == STOPPED || get(&shared->listening) == i + 1);
        losers[i] = spawn(loser, first + i);
    }
    AWAIT_PROGRESS(get(&shared->connected), get(&shared->connected) == count);
    if (way == STOPPED)
        REQUIRE(kill(test.daemon, SIGSTOP) == 0);
    set(&shared->go, 1);
    AWAIT_PROGRESS(get(&shared->failed), get(&shared->failed) == count);
    for (unsigned i = 0; i < count && way != STOPPED; i++)
        join_child(proxies[i]);
    if (way == STOPPED)
        REQUIRE(kill(test.daemon, SIGCONT) == 0);
    if (way == KILLED) {
        daemon_kill();
        daemon_start();
    }
    for (unsigned i = 0; i < count; i++)
        others_go_on(way, first + i, client, witness);
    aether_subscriber_close(witness);
    for (unsigned i = 0; i < count; i++)
        AWAIT(aether_topic_remove(client, name_of(way, first + i)) == 0);
    set(&shared->finish, 1);
    for (unsigned i = 0; i < count; i++)
        join_child(losers[i]);
    aether_disconnect(client);
}

int main(void) {
    shared = share(sizeof *shared);
    test_begin(WAYS);
    for (unsigned way = 0; way < WAYS; way++) {
        if (way == KILLED) { /* one at a time */
            for (unsigned i = 0; i < MEMBERS; i++)
                lose((enum way)way, i, 1);
        } else {
            lose((enum way)way, 0, MEMBERS);
        }
        ok("an open that failed holds up and refuses nobody: %s", ways[way]);
    }
    return 0;
}

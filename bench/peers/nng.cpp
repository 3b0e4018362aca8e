/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nng over Unix sockets: PAIR, and PUB/SUB which drops what a slow subscriber has no room for. The sockets' addresses
 * are abstract ones, so there are no files.
 *
 * debian: libnng-dev
 * flags: - -lnng
 */
#include "../harness/peer.hpp"
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>

namespace {

/* Until it ends, threads that are started may run on both cores: beside a role that spins they would starve. */
class both_cores {
    cpu_set_t before;

  public:
    explicit both_cores(const peer::options &o) {
        cpu_set_t set;

        CPU_ZERO(&set);
        for (int cpu : o.cpus)
            CPU_SET((size_t)cpu, &set);
        (void)sched_getaffinity(0, sizeof before, &before);
        (void)sched_setaffinity(0, sizeof set, &set);
    }
    ~both_cores() {
        (void)sched_setaffinity(0, sizeof before, &before);
    }
};

template <size_t SIZE, bool PUBSUB> class queue : public peer::defaults {
    static constexpr uint64_t BUFFER_MAX = 8192; /* nng's own limit */
    const peer::options &o;
    const bool blocks;
    const int pid, number;
    nng_socket socket{};
    uint64_t connected = 0;
    nng_msg *message = nullptr; /* that block() has taken already */

    static void check(int rc) {
        if (rc != 0)
            peer::fail("nng: %s", nng_strerror(rc));
    }
    std::string address(unsigned publisher) {
        return "abstract://aether-bench-" + std::to_string(pid) + "-" + std::to_string(number) + "-" +
               std::to_string(publisher);
    }
    static void joined(nng_pipe, nng_pipe_ev, void *count) {
        (void)__atomic_add_fetch((uint64_t *)count, 1, __ATOMIC_RELEASE);
    }
    void limits() {
        check(nng_pipe_notify(socket, NNG_PIPE_EV_ADD_POST, joined, &connected));
        check(nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, 0));
    }
    /* All others are there. */
    void await(uint64_t count) {
        while (__atomic_load_n(&connected, __ATOMIC_ACQUIRE) < count)
            (void)poll(nullptr, 0, 1);
    }
    bool receive(int flags) {
        const int rc = nng_recvmsg(socket, &message, flags);
        if (rc == 0)
            return true;
        message = nullptr;
        if (rc != NNG_EAGAIN && rc != NNG_ETIMEDOUT)
            check(rc);
        return false;
    }

  public:
    static constexpr bool PROCESSES = true;
    static inline int queues;

    explicit queue(const peer::options &o_)
        : o(o_), blocks(o_.wait == peer::waiting::block), pid(getpid()), number(queues++) {
    }
    uint64_t capacity() {
        return std::min(o.usual_capacity(), BUFFER_MAX);
    }

    void producer(unsigned publisher) {
        both_cores wider(o);

        check(PUBSUB ? nng_pub0_open(&socket) : nng_pair0_open(&socket));
        limits();
        check(nng_socket_set_int(socket, NNG_OPT_SENDBUF, (int)capacity()));
        check(nng_socket_set_ms(socket, NNG_OPT_SENDTIMEO, 100));
        check(nng_listen(socket, address(publisher).c_str(), nullptr, 0));
        await(o.subscribers);
    }
    void consumer(unsigned) {
        both_cores wider(o);

        check(PUBSUB ? nng_sub0_open(&socket) : nng_pair0_open(&socket));
        limits();
        check(nng_socket_set_int(socket, NNG_OPT_RECVBUF, (int)capacity()));
        check(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, o.kase == "throughput" ? 2 : 100));
        if (PUBSUB)
            check(nng_socket_set(socket, NNG_OPT_SUB_SUBSCRIBE, "", 0));
        for (unsigned publisher = 0; publisher < o.publishers; publisher++) {
            while (nng_dial(socket, address(publisher).c_str(), nullptr, 0) != 0)
                (void)poll(nullptr, 0, 1);
        }
        await(o.publishers);
    }

    template <class Fill> size_t put(size_t, Fill fill) {
        nng_msg *m;
        int rc;

        check(nng_msg_alloc(&m, SIZE));
        fill(nng_msg_body(m), 0);
        rc = nng_sendmsg(socket, m, blocks ? 0 : NNG_FLAG_NONBLOCK);
        if (rc == 0)
            return 1;
        nng_msg_free(m);
        if (rc != NNG_EAGAIN && rc != NNG_ETIMEDOUT)
            check(rc);
        return 0;
    }

    template <class Use> size_t take(size_t max, Use use) {
        size_t n = 0;

        for (; n < max && (message != nullptr || receive(NNG_FLAG_NONBLOCK)); n++) {
            if (nng_msg_len(message) != SIZE)
                peer::fail("a message of %zu bytes", nng_msg_len(message));
            use(nng_msg_body(message));
            nng_msg_free(message);
            message = nullptr;
        }
        if (n == 0 && o.wait == peer::waiting::pause)
            (void)sched_yield();
        return n;
    }

    void block() {
        if (message == nullptr)
            (void)receive(0);
    }
};

template <size_t SIZE> using pair = queue<SIZE, false>;
template <size_t SIZE> using pubsub = queue<SIZE, true>;

} // namespace

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define VERSION TEXT(NNG_MAJOR_VERSION) "." TEXT(NNG_MINOR_VERSION) "." TEXT(NNG_PATCH_VERSION)
#define DESCRIBE(impl, name, publishers, subscribers, lacks, settings)                                                 \
    "{\"impl\": \"" impl "\", \"name\": \"" name "\", \"version\": \"" VERSION                                         \
    "\", \"language\": \"C\", \"between\": \"processes\", \"publishers\": " publishers                                 \
    ", \"subscribers\": " subscribers ", \"how\": [\"single\"], \"waits\": [\"pause\", \"block\"], "                   \
    "\"cases\": [\"throughput\", \"rtt\", \"oneway\", \"idle\"], \"lacks\": [" lacks "\"zero-copy\"], "                \
    "\"settings\": \"abstract Unix sockets, SENDBUF and RECVBUF 8192 (the most) or 8 MiB of messages; " settings       \
    "its threads on either core; pause yields to them\"}"

int main(int argc, char **argv) {
    int status = peer::offer<pair>(argc, argv, "nng-pair",
                                   DESCRIBE("nng-pair", "nng PAIR", "1", "1",
                                            "\"several publishers\", \"several subscribers\", \"loss reports\", ", ""));
    if (status < 0)
        status = peer::offer<pubsub>(argc, argv, "nng-pubsub",
                                     DESCRIBE("nng-pubsub", "nng PUB/SUB", "32", "32",
                                              "\"flow control\", \"loss reports\", ",
                                              "a full buffer loses messages, counted as lost; "));
    return status < 0 ? peer::finish(argc, argv) : status;
}

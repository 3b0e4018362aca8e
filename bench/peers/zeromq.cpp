/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ZeroMQ over ipc://: PUSH/PULL, and XPUB/SUB which with ZMQ_XPUB_NODROP waits for the slowest subscriber instead of
 * dropping messages. The sockets' addresses are abstract ones, so there are no files.
 *
 * debian: libzmq3-dev
 * flags: pkg-config --cflags --libs libzmq
 */
#include "../harness/peer.hpp"
#include <zmq.h>

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
    const peer::options &o;
    const bool blocks;
    const int pid, number;
    void *socket = nullptr;
    zmq_msg_t message;
    bool taken = false; /* block() has taken a message already */

    static void check(int rc) {
        if (rc < 0)
            peer::fail("zmq: %s", zmq_strerror(zmq_errno()));
    }
    void set(int option, int value) {
        check(zmq_setsockopt(socket, option, &value, sizeof value));
    }
    std::string address(unsigned publisher) {
        return "ipc://@aether-bench-" + std::to_string(pid) + "-" + std::to_string(number) + "-" +
               std::to_string(publisher);
    }
    void open(int type) {
        both_cores wider(o);
        void *context = zmq_ctx_new();

        socket = context != nullptr ? zmq_socket(context, type) : nullptr;
        if (socket == nullptr)
            check(-1);
        set(ZMQ_SNDHWM, (int)capacity());
        set(ZMQ_RCVHWM, (int)capacity());
        set(ZMQ_RECONNECT_IVL, 2);
        set(ZMQ_LINGER, 0);
        set(ZMQ_SNDTIMEO, 100);
        set(ZMQ_RCVTIMEO, o.kase == "throughput" ? 2 : 100);
    }
    bool receive(int flags) {
        if (zmq_msg_recv(&message, socket, flags) >= 0)
            return true;
        if (zmq_errno() != EAGAIN && zmq_errno() != EINTR)
            check(-1);
        return false;
    }

  public:
    static constexpr bool PROCESSES = true;
    static inline int queues;

    explicit queue(const peer::options &o_)
        : o(o_), blocks(o_.wait == peer::waiting::block), pid(getpid()), number(queues++) {
    }
    uint64_t capacity() {
        return o.usual_capacity();
    }

    void producer(unsigned publisher) {
        open(PUBSUB ? ZMQ_XPUB : ZMQ_PUSH);
        if (!PUBSUB) {
            check(zmq_connect(socket, address(0).c_str()));
            return;
        }
        set(ZMQ_XPUB_NODROP, 1);
        set(ZMQ_XPUB_VERBOSE, 1);
        check(zmq_bind(socket, address(publisher).c_str()));
        for (uint64_t subscribed = 0; subscribed < o.subscribers;) {
            char text[8];
            const int n = zmq_recv(socket, text, sizeof text, 0);
            if (n < 0 && zmq_errno() != EAGAIN && zmq_errno() != EINTR)
                check(-1);
            subscribed += n == 1 && text[0] == 1;
        }
    }
    void consumer(unsigned) {
        open(PUBSUB ? ZMQ_SUB : ZMQ_PULL);
        (void)zmq_msg_init(&message);
        if (!PUBSUB) {
            check(zmq_bind(socket, address(0).c_str()));
            return;
        }
        check(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0));
        for (unsigned publisher = 0; publisher < o.publishers; publisher++)
            check(zmq_connect(socket, address(publisher).c_str()));
    }

    template <class Fill> size_t put(size_t, Fill fill) {
        int n;

        if constexpr (SIZE <= 4096) {
            peer::local<SIZE> m;
            fill(&*m, 0);
            n = zmq_send(socket, &*m, SIZE, blocks ? 0 : ZMQ_DONTWAIT);
        } else {
            zmq_msg_t large; /* filled where it is sent from */
            check(zmq_msg_init_size(&large, SIZE));
            fill(zmq_msg_data(&large), 0);
            n = zmq_msg_send(&large, socket, blocks ? 0 : ZMQ_DONTWAIT);
            if (n < 0) {
                const int error = zmq_errno();
                (void)zmq_msg_close(&large);
                errno = error;
            }
        }
        if (n >= 0)
            return 1;
        if (zmq_errno() != EAGAIN && zmq_errno() != EINTR)
            check(n);
        return 0;
    }

    template <class Use> size_t take(size_t max, Use use) {
        size_t n = 0;

        for (; n < max && (taken || receive(ZMQ_DONTWAIT)); n++) {
            taken = false;
            if (zmq_msg_size(&message) != SIZE)
                peer::fail("a message of %zu bytes", zmq_msg_size(&message));
            use(zmq_msg_data(&message));
        }
        if (n == 0 && o.wait == peer::waiting::pause)
            (void)sched_yield();
        return n;
    }

    void block() {
        taken = taken || receive(0);
    }
};

template <size_t SIZE> using pushpull = queue<SIZE, false>;
template <size_t SIZE> using pubsub = queue<SIZE, true>;

} // namespace

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define VERSION TEXT(ZMQ_VERSION_MAJOR) "." TEXT(ZMQ_VERSION_MINOR) "." TEXT(ZMQ_VERSION_PATCH)
#define DESCRIBE(impl, name, subscribers, lacks, settings)                                                             \
    "{\"impl\": \"" impl "\", \"name\": \"" name "\", \"version\": \"" VERSION                                         \
    "\", \"language\": \"C++\", \"between\": \"processes\", \"publishers\": 32, \"subscribers\": " subscribers         \
    ", \"how\": [\"single\"], \"waits\": [\"pause\", \"block\"], "                                                     \
    "\"cases\": [\"throughput\", \"rtt\", \"oneway\", \"idle\"], \"lacks\": [" lacks "\"zero-copy\"], "                \
    "\"settings\": \"ipc://, SNDHWM and RCVHWM 65536 or 8 MiB of messages; " settings                                  \
    "one I/O thread each, on either core; pause yields to it\"}"

int main(int argc, char **argv) {
    int status = peer::offer<pushpull>(
        argc, argv, "zeromq-pushpull",
        DESCRIBE("zeromq-pushpull", "ZeroMQ PUSH/PULL", "1", "\"several subscribers\", \"loss reports\", ", ""));
    if (status < 0)
        status = peer::offer<pubsub>(argc, argv, "zeromq-pubsub",
                                     DESCRIBE("zeromq-pubsub", "ZeroMQ XPUB/SUB", "32", "\"loss reports\", ",
                                              "ZMQ_XPUB_NODROP: nothing is lost; "));
    return status < 0 ? peer::finish(argc, argv) : status;
}

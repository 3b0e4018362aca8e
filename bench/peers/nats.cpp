/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NATS: a private nats-server on a free loopback port, and its C client. Core NATS has no flow control: what a slow
 * subscriber's buffers have no room for is lost.
 *
 * debian: nats-server libnats-dev
 * flags: pkg-config --cflags --libs libnats
 */
#include "../harness/peer.hpp"
#include <filesystem>
#include <fstream>
#include <nats/nats.h>

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

struct server {
    static inline std::string directory, url;
    static inline pid_t pid;

    /* Debian's is in a directory that isn't on everybody's PATH. */
    static const char *program() {
        return access("/usr/sbin/nats-server", X_OK) == 0 ? "/usr/sbin/nats-server" : "nats-server";
    }
    /* "nats-server: v2.9.10"; empty if there is none. */
    static std::string version() {
        char line[256] = "";
        FILE *pipe = popen((std::string(program()) + " --version 2>/dev/null").c_str(), "r");

        if (pipe != nullptr) {
            if (fgets(line, sizeof line, pipe) == nullptr)
                line[0] = '\0';
            (void)pclose(pipe);
        }
        const std::string text = line;
        const size_t at = text.find(": v"), end = text.find_last_not_of(" \n");
        return at == std::string::npos ? "" : text.substr(at + 3, end - at - 2);
    }

    /* It writes the port that it was given to a file. */
    static bool has_port() {
        std::error_code error;

        for (const auto &entry : std::filesystem::directory_iterator(directory, error)) {
            if (entry.path().extension() != ".ports")
                continue;
            std::string text;
            (void)std::getline(std::ifstream(entry.path()), text);
            const size_t at = text.find("nats://"), end = text.find('"', at);
            if (at != std::string::npos && end != std::string::npos)
                url = text.substr(at, end - at);
        }
        return !url.empty();
    }
    static void start() {
        char path[] = "/tmp/aether-adapter-XXXXXX";

        if (mkdtemp(path) == nullptr)
            peer::fail("/tmp: %s", strerror(errno));
        directory = path;
        const std::string file = directory + "/nats.conf";
        std::ofstream(file) << "listen: \"127.0.0.1:-1\"\nports_file_dir: \"" << directory
                            << "\"\nmax_pending: 268435456\nmax_payload: 8388608\n";
        pid = peer::start_server({program(), "-c", file.c_str()});
        peer::await_server(pid, "nats-server", has_port);
        remove();
    }
    static void remove() {
        std::error_code error;

        (void)std::filesystem::remove_all(directory, error);
    }
    static void stop() {
        (void)kill(pid, SIGTERM);
        (void)waitpid(pid, nullptr, 0);
        remove();
    }
};

template <size_t SIZE> class queue : public peer::defaults {
    static constexpr int PENDING_BYTES = 512 << 20;
    const peer::options &o;
    const bool at_once; /* every message is sent at once, not when the flusher comes round */
    std::string subject;
    natsConnection *connection = nullptr;
    natsSubscription *subscription = nullptr;
    natsMsg *message = nullptr; /* that block() has taken already */

    static void check(natsStatus status) {
        if (status != NATS_OK)
            peer::fail("nats: %s", natsStatus_GetText(status));
    }
    void connect() {
        natsOptions *options;

        check(natsOptions_Create(&options));
        check(natsOptions_SetURL(options, server::url.c_str()));
        check(natsOptions_SetSendAsap(options, at_once));
        check(natsOptions_SetIOBufSize(options, 65536));
        check(natsOptions_SetReconnectWait(options, 1));
        check(natsConnection_Connect(&connection, options));
    }
    bool receive(int64_t ms) {
        const natsStatus status = natsSubscription_NextMsg(&message, subscription, ms);

        if (status == NATS_OK)
            return true;
        message = nullptr;
        if (status != NATS_TIMEOUT && status != NATS_SLOW_CONSUMER)
            check(status);
        return false;
    }

  public:
    static constexpr bool PROCESSES = true;

    explicit queue(const peer::options &o_) : o(o_), at_once(o_.kase != "throughput" && o_.rate < 50000) {
        static int number;

        if (number == 0)
            server::start();
        subject = "bench." + std::to_string(number++);
    }
    static void cleanup() {
        server::stop();
    }

    void producer(unsigned) {
        both_cores wider(o);

        connect();
    }
    void consumer(unsigned) {
        both_cores wider(o);

        connect();
        check(natsConnection_SubscribeSync(&subscription, connection, subject.c_str()));
        check(natsSubscription_SetPendingLimits(subscription, 1 << 24, PENDING_BYTES));
        check(natsConnection_FlushTimeout(connection, 5000)); /* the server knows of it */
    }

    template <class Fill> size_t put(size_t, Fill fill) {
        peer::local<SIZE> m;

        fill(&*m, 0);
        check(natsConnection_Publish(connection, subject.c_str(), &*m, SIZE));
        return 1;
    }
    void flush() {
        if (o.kase == "throughput")
            check(natsConnection_FlushTimeout(connection, 20000));
    }

    template <class Use> size_t take(size_t max, Use use) {
        size_t n = 0;

        for (; n < max && (message != nullptr || receive(0)); n++) {
            if (natsMsg_GetDataLength(message) != SIZE)
                peer::fail("a message of %d bytes", natsMsg_GetDataLength(message));
            use(natsMsg_GetData(message));
            natsMsg_Destroy(message);
            message = nullptr;
        }
        if (n == 0 && o.wait == peer::waiting::pause)
            (void)sched_yield();
        return n;
    }

    void block() {
        if (message == nullptr)
            (void)receive(o.kase == "throughput" ? 2 : 100);
    }
};

} // namespace

int main(int argc, char **argv) {
    std::string text;

    if (argc == 2 && strcmp(argv[1], "describe") == 0) {
        const std::string version = server::version();
        if (version.empty())
            text = "{\"impl\": \"nats\", \"skipped\": \"nats-server isn't installed\"}";
        else
            text = "{\"impl\": \"nats\", \"name\": \"NATS\", \"version\": \"" + version + ", client " +
                   nats_GetVersion() +
                   "\", \"language\": \"Go, client in C\", \"between\": \"processes\", \"publishers\": 32, "
                   "\"subscribers\": 32, \"how\": [\"single\"], \"waits\": [\"pause\", \"block\"], "
                   "\"cases\": [\"throughput\", \"rtt\", \"oneway\", \"idle\"], "
                   "\"lacks\": [\"flow control\", \"loss reports\", \"zero-copy\"], "
                   "\"settings\": \"loopback TCP through nats-server on either core, max_pending 256 MiB, "
                   "synchronous subscription with 512 MiB pending; the client gathers messages and its flusher sends "
                   "them, below 50000/s and for round trips each at once; pause yields to its threads\"}";
    }
    const int status = peer::offer<queue>(argc, argv, "nats", text.c_str());
    return status < 0 ? peer::finish(argc, argv) : status;
}

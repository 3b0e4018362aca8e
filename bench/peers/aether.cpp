/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aether, between processes, by name, through aetherd: the way that its users have it.
 *
 * flags: aether
 */
#include "../harness/peer.hpp"
#include <aether/aether.h>
#include <sys/stat.h>

namespace {

struct server {
    static inline char directory[64], socket[96], config[96];
    static inline pid_t pid;

    static void start() {
        const char *program = getenv("AETHERD");

        (void)strcpy(directory, "/tmp/aether-adapter-XXXXXX");
        if (mkdtemp(directory) == nullptr)
            peer::fail("/tmp: %s", strerror(errno));
        (void)snprintf(socket, sizeof socket, "%s/aetherd.sock", directory);
        (void)snprintf(config, sizeof config, "%s/aetherd.conf", directory);
        FILE *file = fopen(config, "w");
        if (file == nullptr || fputs("[limits]\ntopics = 20000\ngrants = 40000\n", file) < 0 || fclose(file) != 0)
            peer::fail("%s: %s", config, strerror(errno));
        pid = peer::start_server(
            {program != nullptr ? program : "aetherd", "--config", config, "--socket", socket, "--log-level", "error"});
        peer::await_server(pid, "aetherd", [] { return access(socket, F_OK) == 0; });
    }
    static void stop() {
        aether_connect_options options{};
        aether_client *client;
        char path[128];

        options.socket_path = socket;
        if (aether_connect(&client, &options) == 0) {
            (void)aether_shutdown(client); /* its topics go with it, which a signal would leave to a successor */
            aether_disconnect(client);
        }
        (void)kill(pid, SIGTERM);
        (void)waitpid(pid, nullptr, 0);
        (void)snprintf(path, sizeof path, "%s.lock", socket);
        (void)unlink(path);
        (void)unlink(socket);
        (void)unlink(config);
        (void)rmdir(directory);
    }
};

template <size_t SIZE, aether_publishers ADMITS, aether_latency_mode LATENCY> class queue : public peer::defaults {
    const peer::options &o;
    char topic[32];
    aether_client *client = nullptr;
    aether_publisher *pub = nullptr;
    aether_subscriber *sub = nullptr;
    std::unique_ptr<uint64_t[]> buffer; /* of a batch */
    aether_topic_info info{};
    peer::word *const times = (peer::word *)peer::shared_memory(sizeof(peer::word)); /* of the opens */
    const bool loans;

    void check(int rc) {
        if (rc < 0)
            peer::fail("%s", aether_errmsg());
    }
    void connect() {
        aether_connect_options options{};
        options.socket_path = server::socket;
        options.name = "bench";
        check(aether_connect(&client, &options));
    }

  public:
    static constexpr bool PROCESSES = true;

    explicit queue(const peer::options &o_) : o(o_), loans(o_.how == "loan") {
        static int number;
        aether_topic_config config{};
        aether_inspector *inspector;

        if (number == 0)
            server::start();
        (void)snprintf(topic, sizeof topic, "bench/%d", number++);
        config.max_message = SIZE;
        config.publishers = ADMITS;
        config.latency = LATENCY;
        config.preset = AETHER_PRESET_THROUGHPUT;
        config.capacity = o.capacity;
        if (SIZE > AETHER_INLINE_LIMIT) {
            config.capacity = o.capacity > 2048 ? o.capacity : 2048;
            config.lane_bytes = o.capacity != 0 ? o.capacity * SIZE : 8u << 20;
            while (config.lane_bytes < 2 * SIZE)
                config.lane_bytes *= 2;
        }
        connect();
        check(aether_topic_create(client, topic, &config));
        check(aether_inspect_open(&inspector, server::socket));
        check(aether_inspect_find(inspector, topic, &info));
        aether_inspect_close(inspector);
    }
    static void cleanup() {
        server::stop();
    }
    uint64_t capacity() {
        return info.capacity;
    }
    uint64_t ring_bytes() {
        return info.capacity * info.slot_size + info.lane_bytes;
    }

    /* Others that are open, too, and have no messages. */
    std::string other(uint64_t i) {
        return "bench/other/" + std::to_string(i);
    }

    void open_times(uint64_t *ns, uint64_t *bytes) {
        aether_inspector *inspector;
        aether_topic_info one{};

        *ns = times->v / (o.topics - 1);
        check(aether_inspect_open(&inspector, server::socket));
        check(aether_inspect_find(inspector, other(1).c_str(), &one));
        aether_inspect_close(inspector);
        *bytes = one.memory_bytes;
    }

    void join_and_leave() {
        aether_subscriber *one;

        check(aether_subscriber_open(client, topic, nullptr, nullptr, &one));
        aether_subscriber_close(one);
    }

    void producer(unsigned) {
        connect();
        for (uint64_t i = 1; i < o.topics; i++) {
            aether_topic_config config{};
            aether_publisher *one;
            const uint64_t start = peer::now_ns();
            config.max_message = SIZE;
            config.capacity = 8;
            check(aether_publisher_open(client, other(i).c_str(), &config, &one));
            times->add(peer::now_ns() - start);
        }
        check(aether_publisher_open(client, topic, nullptr, &pub));
        if (o.batch > 1)
            buffer.reset(new uint64_t[o.batch * SIZE / 8]());
    }
    void consumer(unsigned) {
        connect();
        for (uint64_t i = 1; i < o.topics; i++) {
            aether_topic_config config{};
            aether_subscriber *one;
            config.max_message = SIZE;
            config.capacity = 8;
            check(aether_subscriber_open(client, other(i).c_str(), nullptr, &config, &one));
        }
        check(aether_subscriber_open(client, topic, nullptr, nullptr, &sub));
    }

    /* A message a call, in a loop. */
    template <class Fill> size_t put_each(size_t count, Fill fill) {
        aether_burst burst = aether_burst_begin(pub, SIZE);

        for (size_t i = 0; i < count; i++) {
            peer::local<SIZE> m;
            fill(&*m, i);
            const int rc = aether_burst_publish(&burst, &*m);
            if (__builtin_expect(rc != 0, 0)) {
                check(rc);
                return i;
            }
        }
        return count;
    }

    template <class Fill> size_t put(size_t count, Fill fill) {
        int rc;

        if (loans) {
            aether_loan loan;
            rc = aether_loan_take(pub, SIZE, &loan);
            if (rc == 0) {
                fill(loan.data, 0);
                while ((rc = aether_loan_commit(pub, &loan)) == AETHER_FULL)
                    peer::relax();
            }
        } else if (count == 1) {
            peer::local<SIZE> m;
            fill(&*m, 0);
            rc = aether_publish(pub, &*m, SIZE);
        } else {
            for (size_t i = 0; i < count; i++)
                fill(buffer.get() + i * SIZE / 8, i);
            rc = aether_publish_array(pub, buffer.get(), SIZE, count);
        }
        if (__builtin_expect(rc == 0, 1))
            return count;
        check(rc);
        return 0;
    }

    template <class Use> size_t take(size_t max, Use use) {
        const auto handler = [](void *context, const aether_message *m) {
            if (__builtin_expect(m->len != SIZE || m->lost != 0, 0))
                peer::fail("a message of %zu bytes, %llu lost", m->len, (unsigned long long)m->lost);
            (*(Use *)context)(m->data);
            return 0;
        };
        const int n = aether_poll(sub, handler, &use, (int)max);
        if (__builtin_expect(n < 0, 0))
            check(n);
        return n > 0 ? (size_t)n : 0;
    }

    void block() {
        check(aether_wait(sub, 100000000));
    }
};

template <size_t SIZE> using shared = queue<SIZE, AETHER_PUBLISHERS_SHARED, AETHER_LATENCY_SAMPLED>;
template <size_t SIZE> using unbiased = queue<SIZE, AETHER_PUBLISHERS_UNBIASED, AETHER_LATENCY_SAMPLED>;
template <size_t SIZE> using unstamped = queue<SIZE, AETHER_PUBLISHERS_SHARED, AETHER_LATENCY_OFF>;
template <size_t SIZE> using stamped = queue<SIZE, AETHER_PUBLISHERS_SHARED, AETHER_LATENCY_ALL>;

} // namespace

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define VERSION TEXT(AETHER_VERSION_MAJOR) "." TEXT(AETHER_VERSION_MINOR) "." TEXT(AETHER_VERSION_PATCH)
#define DESCRIBE(impl, name, settings)                                                                                 \
    "{\"impl\": \"" impl "\", \"name\": \"" name "\", \"version\": \"" VERSION                                         \
    "\", \"language\": \"C\", \"between\": \"processes\", \"publishers\": 64, \"subscribers\": 64, "                   \
    "\"how\": [\"single\", \"batch\", \"loan\"], \"waits\": [\"spin\", \"pause\", \"gather\", \"block\"], "            \
    "\"cases\": [\"throughput\", \"rtt\", \"oneway\", \"idle\", \"join\"], \"lacks\": [], \"settings\": \"" settings   \
    "\"}"

int main(int argc, char **argv) {
    int status = peer::offer<shared>(
        argc, argv, "aether", DESCRIBE("aether", "Aether", "preset throughput, shared topic, reliable subscribers"));
    if (status < 0)
        status = peer::offer<unbiased>(
            argc, argv, "aether-cas",
            DESCRIBE("aether-cas", "Aether, unbiased", "as aether, but every claim is a compare-and-swap"));
    if (status < 0)
        status = peer::offer<unstamped>(
            argc, argv, "aether-latency-off",
            DESCRIBE("aether-latency-off", "Aether, no latencies", "as aether, but no message is stamped"));
    if (status < 0)
        status = peer::offer<stamped>(
            argc, argv, "aether-latency-all",
            DESCRIBE("aether-latency-all", "Aether, all latencies", "as aether, but every message is stamped"));
    return status < 0 ? peer::finish(argc, argv) : status;
}

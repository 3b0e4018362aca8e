/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redis publish/subscribe: a private redis-server on a Unix socket, without persistence, and hiredis.
 *
 * debian: redis-server libhiredis-dev
 * flags: pkg-config --cflags --libs hiredis
 */
#include "../harness/peer.hpp"
#include <hiredis.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace {

struct server {
    static inline char directory[64], socket[96];
    static inline pid_t pid;

    /* "Redis server v=7.0.15 sha=..."; empty if there is none. */
    static std::string version() {
        char line[256] = "";
        FILE *pipe = popen("redis-server --version 2>/dev/null", "r");

        if (pipe != nullptr) {
            if (fgets(line, sizeof line, pipe) == nullptr)
                line[0] = '\0';
            (void)pclose(pipe);
        }
        const std::string text = line;
        const size_t at = text.find("v=");
        return at == std::string::npos ? "" : text.substr(at + 2, text.find(' ', at) - at - 2);
    }

    static void start() {
        (void)strcpy(directory, "/tmp/aether-adapter-XXXXXX");
        if (mkdtemp(directory) == nullptr)
            peer::fail("/tmp: %s", strerror(errno));
        (void)snprintf(socket, sizeof socket, "%s/redis.sock", directory);
        pid = peer::start_server({"redis-server", "--port", "0", "--unixsocket", socket, "--dir", directory, "--save",
                                  "", "--appendonly", "no", "--daemonize", "no", "--client-output-buffer-limit",
                                  "pubsub", "0", "0", "0"});
        peer::await_server(pid, "redis-server", [] {
            redisContext *c = redisConnectUnix(socket);
            const bool answers = c != nullptr && c->err == 0;
            if (c != nullptr)
                redisFree(c);
            return answers;
        });
    }
    static void remove() {
        (void)unlink(socket);
        (void)rmdir(directory);
    }
    static void stop() {
        (void)kill(pid, SIGTERM);
        (void)waitpid(pid, nullptr, 0);
        remove();
    }
};

template <size_t SIZE> class queue : public peer::defaults {
    static constexpr size_t PIPELINE = 16384, BYTES = 65536; /* written at once; read at once */
    const peer::options &o;
    const bool blocks;
    std::string channel;
    redisContext *context = nullptr;
    std::unique_ptr<char[]> buffer;  /* a PUBLISH; what was read */
    size_t command, payload, length; /* where it begins, where its message does, how long it is */
    size_t appended = 0;

    void connect() {
        context = redisConnectUnix(server::socket);
        if (context == nullptr || context->err != 0)
            peer::fail("redis: %s", context != nullptr ? context->errstr : "out of memory");
    }
    void check(int rc) {
        if (rc != REDIS_OK)
            peer::fail("redis: %s", context->errstr);
    }
    void write_all() {
        int done = 0;

        while (!done)
            check(redisBufferWrite(context, &done));
        appended = 0;
    }
    bool read_some(int flags) {
        const ssize_t n = recv(context->fd, buffer.get(), BYTES, flags);

        if (n > 0)
            check(redisReaderFeed(context->reader, buffer.get(), (size_t)n));
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            peer::fail("recv: %s", n == 0 ? "the server has closed the connection" : strerror(errno));
        return n > 0;
    }
    /* The next "message" that has been read. */
    redisReply *next() {
        void *reply = nullptr;

        if (redisReaderGetReply(context->reader, &reply) != REDIS_OK)
            peer::fail("redis: %s", context->reader->errstr);
        return (redisReply *)reply;
    }

  public:
    static constexpr bool PROCESSES = true;

    explicit queue(const peer::options &o_) : o(o_), blocks(o_.wait == peer::waiting::block) {
        static int number;

        if (number == 0)
            server::start();
        channel = "bench." + std::to_string(number++);
    }
    void ready() {
        server::remove(); /* all are connected */
    }
    static void cleanup() {
        server::stop();
    }

    void producer(unsigned) {
        const std::string head = "*3\r\n$7\r\nPUBLISH\r\n$" + std::to_string(channel.size()) + "\r\n" + channel +
                                 "\r\n$" + std::to_string(SIZE) + "\r\n";

        connect();
        /* How many it went to isn't asked for. */
        check(redisAppendCommand(context, "CLIENT REPLY OFF"));
        write_all();
        payload = (head.size() + 7) / 8 * 8; /* aligned */
        command = payload - head.size();
        length = head.size() + SIZE + 2;
        buffer.reset(new char[command + length]());
        memcpy(buffer.get() + command, head.data(), head.size());
        memcpy(buffer.get() + payload + SIZE, "\r\n", 2);
    }
    void consumer(unsigned) {
        const timeval most = {0, o.kase == "throughput" ? 2000 : 100000}; /* of block() */

        connect();
        redisReply *reply = (redisReply *)redisCommand(context, "SUBSCRIBE %s", channel.c_str());
        if (reply == nullptr || reply->type != REDIS_REPLY_ARRAY)
            peer::fail("redis: SUBSCRIBE: %s", context->errstr);
        freeReplyObject(reply);
        (void)setsockopt(context->fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
        context->reader->maxbuf = 0; /* its buffer is kept */
        buffer.reset(new char[BYTES]);
    }

    template <class Fill> size_t put(size_t count, Fill fill) {
        for (size_t i = 0; i < count; i++) {
            fill(buffer.get() + payload, i);
            check(redisAppendFormattedCommand(context, buffer.get() + command, length));
            appended += length;
        }
        if (o.how == "batch" || appended >= PIPELINE)
            write_all();
        return count;
    }
    void flush() {
        if (appended != 0)
            write_all();
    }

    template <class Use> size_t take(size_t max, Use use) {
        size_t n = 0;

        while (n < max) {
            redisReply *reply = next();
            if (reply == nullptr) {
                if (n > 0 || blocks || !read_some(MSG_DONTWAIT))
                    break;
                continue;
            }
            if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 || reply->element[2]->len != SIZE)
                peer::fail("redis: another reply than a message");
            use(reply->element[2]->str);
            freeReplyObject(reply);
            n++;
        }
        if (n == 0 && o.wait == peer::waiting::pause)
            (void)sched_yield();
        return n;
    }

    void block() {
        (void)read_some(0);
    }
};

} // namespace

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

int main(int argc, char **argv) {
    std::string text;

    if (argc == 2 && strcmp(argv[1], "describe") == 0) {
        const std::string version = server::version();
        if (version.empty())
            text = "{\"impl\": \"redis\", \"skipped\": \"redis-server isn't installed\"}";
        else
            text = "{\"impl\": \"redis\", \"name\": \"Redis publish/subscribe\", \"version\": \"" + version +
                   ", hiredis " TEXT(HIREDIS_MAJOR) "." TEXT(HIREDIS_MINOR) "." TEXT(HIREDIS_PATCH) //
                   "\", \"language\": \"C\", \"between\": \"processes\", \"publishers\": 32, \"subscribers\": 32, "
                   "\"how\": [\"single\", \"batch\"], \"waits\": [\"pause\", \"block\"], "
                   "\"cases\": [\"throughput\", \"rtt\", \"oneway\", \"idle\"], "
                   "\"lacks\": [\"flow control\", \"loss reports\", \"zero-copy\"], "
                   "\"settings\": \"a Unix socket each to redis-server on either core, no persistence, "
                   "client-output-buffer-limit pubsub 0 0 0, CLIENT REPLY OFF; single: PUBLISH commands are pipelined "
                   "up to 16 KiB a write, at low rates one each; pause yields to the server\"}";
    }
    const int status = peer::offer<queue>(argc, argv, "redis", text.c_str());
    return status < 0 ? peer::finish(argc, argv) : status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipe: write(2) of one message or of a batch, read(2) of as many as there are.
 */
#include "../harness/peer.hpp"
#include <climits>
#include <fcntl.h>
#include <sys/time.h>

namespace {

/* Interrupts a read that nothing comes for; off while nobody reads. A poll() before each read would cost more. */
struct alarm_clock {
    static inline volatile sig_atomic_t used, running;
    static inline itimerval every;

    static void rings(int) {
        const itimerval off{};

        if (!used) {
            running = 0;
            (void)setitimer(ITIMER_REAL, &off, nullptr);
        }
        used = 0;
    }
    static void prepare(suseconds_t us) {
        struct sigaction action {};

        action.sa_handler = rings;
        (void)sigaction(SIGALRM, &action, nullptr);
        every.it_interval.tv_usec = every.it_value.tv_usec = us;
    }
    static void use() {
        used = 1;
        if (!running) {
            running = 1;
            (void)setitimer(ITIMER_REAL, &every, nullptr);
        }
    }
};

template <size_t SIZE> class queue : public peer::defaults {
    static constexpr size_t BYTES = SIZE > 65536 ? SIZE : 65536; /* of the reader's buffer */
    const peer::options &o;
    const bool blocks;
    int ends[2];
    size_t room, most; /* of the pipe; of a write */
    std::unique_ptr<char[]> buffer;
    size_t at = 0, end = 0;

    bool read_some() {
        if (at == end)
            at = end = 0;
        const ssize_t n = read(ends[0], buffer.get() + end, BYTES - end);
        if (n > 0)
            end += (size_t)n;
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            peer::fail("read: %s", n == 0 ? "the other end is closed" : strerror(errno));
        return end - at >= SIZE;
    }

  public:
    static constexpr bool PROCESSES = true;

    explicit queue(const peer::options &o_) : o(o_), blocks(o_.wait == peer::waiting::block) {
        const uint64_t wanted = o.capacity_or((1u << 20) / SIZE) * SIZE;

        most = SIZE > (1u << 20) / o.batch ? std::max<size_t>(SIZE, 1u << 20) : o.batch * SIZE;
        if (o.publishers > 1) {
            if (SIZE > PIPE_BUF)
                peer::unsupported("writes of several publishers above PIPE_BUF are mixed");
            most = most < PIPE_BUF ? most : PIPE_BUF;
        }
        if (pipe2(ends, blocks ? 0 : O_NONBLOCK) != 0)
            peer::fail("pipe2: %s", strerror(errno));
        /* More than 1 MiB only with a privilege or another setting of the system's. */
        if (fcntl(ends[1], F_SETPIPE_SZ, (int)std::min<uint64_t>(wanted, 1u << 30)) < 0)
            (void)fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
        room = (size_t)fcntl(ends[1], F_GETPIPE_SZ);
    }
    uint64_t capacity() {
        return room / SIZE;
    }
    uint64_t ring_bytes() {
        return room;
    }

    void producer(unsigned) {
        buffer.reset(new char[most]());
    }
    void consumer(unsigned) {
        buffer.reset(new char[BYTES]());
        if (blocks)
            alarm_clock::prepare(o.kase == "throughput" ? 2000 : 100000);
    }

    template <class Fill> size_t put(size_t count, Fill fill) {
        if (count > most / SIZE)
            count = most / SIZE;
        for (size_t i = 0; i < count; i++)
            fill(buffer.get() + i * SIZE, i);
        ssize_t n = write(ends[1], buffer.get(), count * SIZE);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                peer::fail("write: %s", strerror(errno));
            return 0;
        }
        /* The rest of a message that only a part of went in. */
        const size_t whole = ((size_t)n + SIZE - 1) / SIZE;
        for (size_t done = (size_t)n; done<whole * SIZE; done += n> 0 ? (size_t)n : 0) {
            n = write(ends[1], buffer.get() + done, whole * SIZE - done);
            if (n < 0 && errno != EAGAIN && errno != EINTR)
                peer::fail("write: %s", strerror(errno));
            if (n < 0)
                peer::relax();
        }
        return whole;
    }

    template <class Use> size_t take(size_t max, Use use) {
        size_t n = 0;

        if (end - at < SIZE && (blocks || !read_some()))
            return 0;
        for (; n < max && end - at >= SIZE; n++, at += SIZE)
            use(buffer.get() + at);
        return n;
    }

    void block() {
        alarm_clock::use();
        (void)read_some();
    }
};

} // namespace

int main(int argc, char **argv) {
    const int status = peer::offer<queue>(
        argc, argv, "pipe",
        "{\"impl\": \"pipe\", \"name\": \"pipe(2)\", \"version\": \"Linux\", \"language\": \"C\", "
        "\"between\": \"processes\", \"publishers\": 32, \"subscribers\": 1, \"how\": [\"single\", \"batch\"], "
        "\"waits\": [\"spin\", \"pause\", \"gather\", \"block\"], "
        "\"cases\": [\"throughput\", \"rtt\", \"oneway\", \"idle\"], "
        "\"lacks\": [\"several subscribers\", \"names\", \"message boundaries\", \"zero-copy\"], "
        "\"settings\": \"F_SETPIPE_SZ 1 MiB; a write a message or batch, reads of up to 64 KiB; O_NONBLOCK unless "
        "wait is block\"}");
    return status < 0 ? peer::finish(argc, argv) : status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connected Unix sockets: a stream, where the reader cuts the bytes into messages, and SOCK_SEQPACKET, which keeps them
 * apart.
 */
#include "../harness/peer.hpp"
#include <sys/socket.h>
#include <sys/time.h>

namespace {

constexpr size_t OVERHEAD = 768; /* about what the kernel accounts for each message beside its bytes */

class sockets : public peer::defaults {
  protected:
    const peer::options &o;
    const bool blocks;
    const int dont_wait;
    int ends[2];

    sockets(const peer::options &o_, int type)
        : o(o_), blocks(o_.wait == peer::waiting::block), dont_wait(blocks ? 0 : MSG_DONTWAIT) {
        const uint64_t wanted = o.capacity * (o.size + OVERHEAD);
        const int bytes = o.capacity == 0 ? 4 << 20 : (int)std::min<uint64_t>(wanted, 1u << 29);
        const timeval most = {0, o.kase == "throughput" ? 2000 : 100000};

        if (socketpair(AF_UNIX, type, 0, ends) != 0)
            peer::fail("socketpair: %s", strerror(errno));
        for (int end : ends) {
            /* FORCE needs a privilege; without it net.core.wmem_max is the limit. */
            if (setsockopt(end, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
                (void)setsockopt(end, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
            (void)setsockopt(end, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
        }
    }
    static bool later() {
        return errno == EAGAIN || errno == EINTR || errno == ENOBUFS;
    }

  public:
    static constexpr bool PROCESSES = true;

    uint64_t ring_bytes() {
        int bytes = 0;
        socklen_t length = sizeof bytes;

        (void)getsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, &length);
        return (uint64_t)bytes;
    }
};

template <size_t SIZE> class stream : public sockets {
    static constexpr size_t BYTES = SIZE > 65536 ? SIZE : 65536; /* of the reader's buffer */
    std::unique_ptr<char[]> buffer;
    size_t most, at = 0, end = 0;

    bool read_some() {
        if (at == end)
            at = end = 0;
        const ssize_t n = recv(ends[1], buffer.get() + end, BYTES - end, dont_wait);
        if (n > 0)
            end += (size_t)n;
        else if (n == 0 || !later())
            peer::fail("recv: %s", n == 0 ? "the other end is closed" : strerror(errno));
        return end - at >= SIZE;
    }

  public:
    explicit stream(const peer::options &o_) : sockets(o_, SOCK_STREAM) {
        most = SIZE > (1u << 20) / o.batch ? std::max<size_t>(SIZE, 1u << 20) : o.batch * SIZE;
        if (o.publishers > 1)
            peer::unsupported("what several publishers send on a stream is mixed");
    }
    void producer(unsigned) {
        buffer.reset(new char[most]());
    }
    void consumer(unsigned) {
        buffer.reset(new char[BYTES]());
    }

    template <class Fill> size_t put(size_t count, Fill fill) {
        if (count > most / SIZE)
            count = most / SIZE;
        for (size_t i = 0; i < count; i++)
            fill(buffer.get() + i * SIZE, i);
        ssize_t n = send(ends[0], buffer.get(), count * SIZE, dont_wait | MSG_NOSIGNAL);
        if (n < 0) {
            if (!later())
                peer::fail("send: %s", strerror(errno));
            return 0;
        }
        /* The rest of a message that only a part of went in. */
        const size_t whole = ((size_t)n + SIZE - 1) / SIZE;
        for (size_t done = (size_t)n; done<whole * SIZE; done += n> 0 ? (size_t)n : 0) {
            n = send(ends[0], buffer.get() + done, whole * SIZE - done, dont_wait | MSG_NOSIGNAL);
            if (n < 0 && !later())
                peer::fail("send: %s", strerror(errno));
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
        (void)read_some();
    }
};

template <size_t SIZE> class packets : public sockets {
    static constexpr unsigned MANY = SIZE > 65536 ? 1 : 65536 / SIZE < 64 ? 65536 / SIZE : 64; /* taken at once */
    std::unique_ptr<char[]> buffer;
    std::unique_ptr<iovec[]> vectors;
    std::unique_ptr<mmsghdr[]> headers;
    unsigned at = 0, end = 0;

    void allocate(size_t count) {
        buffer.reset(new char[count * SIZE]());
        vectors.reset(new iovec[count]);
        headers.reset(new mmsghdr[count]());
        for (size_t i = 0; i < count; i++) {
            vectors[i] = {buffer.get() + i * SIZE, SIZE};
            headers[i].msg_hdr.msg_iov = &vectors[i];
            headers[i].msg_hdr.msg_iovlen = 1;
        }
    }
    bool read_some() {
        const int n = recvmmsg(ends[1], headers.get(), o.kase == "rtt" ? 1 : MANY, dont_wait | MSG_WAITFORONE, nullptr);
        if (n < 0 && !later())
            peer::fail("recvmmsg: %s", strerror(errno));
        at = 0;
        end = n > 0 ? (unsigned)n : 0;
        return end > 0;
    }

  public:
    explicit packets(const peer::options &o_) : sockets(o_, SOCK_SEQPACKET) {
        if (ring_bytes() < SIZE + OVERHEAD)
            peer::unsupported("a message is larger than SO_SNDBUF may be here");
    }
    void producer(unsigned) {
        allocate(o.batch);
    }
    void consumer(unsigned) {
        allocate(MANY);
    }

    template <class Fill> size_t put(size_t count, Fill fill) {
        for (size_t i = 0; i < count; i++)
            fill(buffer.get() + i * SIZE, i);
        const ssize_t n = count == 1 ? send(ends[0], buffer.get(), SIZE, dont_wait | MSG_NOSIGNAL)
                                     : sendmmsg(ends[0], headers.get(), (unsigned)count, dont_wait | MSG_NOSIGNAL);
        if (n < 0 && !later())
            peer::fail("send: %s", strerror(errno));
        return n <= 0 ? 0 : count == 1 ? 1 : (size_t)n;
    }

    template <class Use> size_t take(size_t max, Use use) {
        size_t n = 0;

        if (at == end && (blocks || !read_some()))
            return 0;
        for (; n < max && at < end; n++, at++) {
            if (headers[at].msg_len != SIZE)
                peer::fail("a message of %u bytes", headers[at].msg_len);
            use(buffer.get() + at * SIZE);
        }
        return n;
    }

    void block() {
        (void)read_some();
    }
};

} // namespace

#define DESCRIBE(impl, name, publishers, lacks, settings)                                                              \
    "{\"impl\": \"" impl "\", \"name\": \"" name "\", \"version\": \"Linux\", \"language\": \"C\", "                   \
    "\"between\": \"processes\", \"publishers\": " publishers ", \"subscribers\": 1, "                                 \
    "\"how\": [\"single\", \"batch\"], \"waits\": [\"spin\", \"pause\", \"gather\", \"block\"], "                      \
    "\"cases\": [\"throughput\", \"rtt\", \"oneway\", \"idle\"], "                                                     \
    "\"lacks\": [\"several subscribers\", " lacks "\"zero-copy\"], \"settings\": \"SO_SNDBUF 4 MiB; " settings "\"}"

int main(int argc, char **argv) {
    int status = peer::offer<stream>(argc, argv, "unix-stream",
                                     DESCRIBE("unix-stream", "Unix socket, stream", "1",
                                              "\"several publishers\", \"message boundaries\", ",
                                              "a send a message or batch, recv of up to 64 KiB"));
    if (status < 0)
        status = peer::offer<packets>(
            argc, argv, "unix-seqpacket",
            DESCRIBE("unix-seqpacket", "Unix socket, SOCK_SEQPACKET", "32", "",
                     "send a message, sendmmsg a batch, recvmmsg of up to 64; publishers share a socket"));
    return status < 0 ? peer::finish(argc, argv) : status;
}

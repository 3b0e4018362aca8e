/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moodycamel::ConcurrentQueue: a list of blocks for each publisher, between threads. Its blocking variant where the
 * consumer sleeps.
 *
 * debian: libconcurrentqueue-dev
 * flags: dpkg-query -W -f '-DPEER_VERSION="${Version}"' libconcurrentqueue-dev
 */
#include "../harness/peer.hpp"
#include <concurrentqueue/blockingconcurrentqueue.h>
#include <concurrentqueue/concurrentqueue.h>

namespace {

/* What bulk calls are given for an iterator: messages are constructed, and read, where they are in the queue. */
template <class Fill> struct source {
    Fill *fill;
    size_t i;
    const source &operator*() const {
        return *this;
    }
    source operator++(int) {
        return {fill, i++};
    }
    source &operator++() {
        i++;
        return *this;
    }
};

template <size_t SIZE> struct item : peer::message<SIZE> {
    item() = default;
    template <class Fill> item(const source<Fill> &from) noexcept {
        (*from.fill)(this, from.i);
    }
};

template <size_t SIZE, class Use> struct sink {
    Use *use;
    sink &operator*() {
        return *this;
    }
    sink &operator++() {
        return *this;
    }
    sink operator++(int) {
        return *this;
    }
    sink &operator=(item<SIZE> &&m) noexcept {
        (*use)(&m);
        return *this;
    }
};

constexpr size_t usual_capacity(size_t size) {
    size_t n = 65536;

    while (n > 8 && n * size > (8u << 20))
        n /= 2;
    return n;
}

/* A publisher's part is as large as its index of blocks, which is set when this is compiled. */
template <size_t SIZE> struct traits : moodycamel::ConcurrentQueueDefaultTraits {
    static const size_t CAPACITY = usual_capacity(SIZE);
    static const size_t BLOCK_SIZE = SIZE <= 64 ? 2048 / SIZE : CAPACITY < 128 ? CAPACITY / 4 : 32;
    static const size_t EXPLICIT_INITIAL_INDEX_SIZE = CAPACITY / BLOCK_SIZE;
    static const int MAX_SEMA_SPINS = 0; /* wait=block is about sleeping */
};

template <size_t SIZE> class queue : public peer::defaults {
    using plain = moodycamel::ConcurrentQueue<item<SIZE>, traits<SIZE>>;
    using blocking = moodycamel::BlockingConcurrentQueue<item<SIZE>, traits<SIZE>>;

    const peer::options &o;
    const bool loan;
    std::unique_ptr<plain> fast; /* one of them */
    std::unique_ptr<blocking> slow;
    std::unique_ptr<item<SIZE>> woken_by;
    bool woken = false;
    /* A thread puts into one queue at most, and takes from one. */
    static inline constinit thread_local moodycamel::ProducerToken *from = nullptr;
    static inline constinit thread_local moodycamel::ConsumerToken *to = nullptr;
    static inline constinit thread_local item<SIZE> *buffer = nullptr; /* of a batch */

    template <class Queue, class Fill> size_t put_into(Queue &q, size_t count, Fill &fill) {
        if (loan)
            return q.try_enqueue_bulk(*from, source<Fill>{&fill, 0}, 1) ? 1 : 0;
        if (count == 1)
            return put_each_into(q, 1, fill);
        for (size_t i = 0; i < count; i++)
            fill(buffer + i, i);
        return q.try_enqueue_bulk(*from, buffer, count) ? count : 0;
    }
    template <class Queue, class Fill> size_t put_each_into(Queue &q, size_t count, Fill &fill) {
        const moodycamel::ProducerToken &token = *from;

        for (size_t i = 0; i < count; i++) {
            peer::local<SIZE> m;
            fill(&*m, i);
            if (!q.try_enqueue(token, static_cast<const item<SIZE> &>(*m)))
                return i;
        }
        return count;
    }

  public:
    explicit queue(const peer::options &o_) : o(o_), loan(o.how == "loan") {
        const size_t blocks = capacity() / traits<SIZE>::BLOCK_SIZE;

        if (o.capacity != 0 && o.capacity != traits<SIZE>::CAPACITY)
            peer::unsupported("the capacity is set when it is compiled");
        if (o.batch > traits<SIZE>::CAPACITY)
            peer::unsupported("a batch goes in as a whole, and is larger than the queue");
        if (o.wait == peer::waiting::block) {
            slow.reset(new blocking(blocks * traits<SIZE>::BLOCK_SIZE));
            woken_by.reset(new item<SIZE>);
        } else
            fast.reset(new plain(blocks * traits<SIZE>::BLOCK_SIZE));
    }
    uint64_t capacity() {
        return traits<SIZE>::CAPACITY * o.publishers;
    }
    uint64_t ring_bytes() {
        return capacity() * SIZE;
    }

    void producer(unsigned) {
        from = slow ? new moodycamel::ProducerToken(*slow) : new moodycamel::ProducerToken(*fast);
        buffer = o.batch > 1 ? new item<SIZE>[o.batch]() : nullptr;
    }
    void consumer(unsigned) {
        to = slow ? new moodycamel::ConsumerToken(*slow) : new moodycamel::ConsumerToken(*fast);
    }

    template <class Fill> size_t put_each(size_t count, Fill fill) {
        return slow ? put_each_into(*slow, count, fill) : put_each_into(*fast, count, fill);
    }
    template <class Fill> size_t put(size_t count, Fill fill) {
        return slow ? put_into(*slow, count, fill) : put_into(*fast, count, fill);
    }
    template <class Use> size_t take(size_t max, Use use) {
        if (!slow)
            return fast->try_dequeue_bulk(*to, sink<SIZE, Use>{&use}, max);
        if (woken) {
            woken = false;
            use(woken_by.get());
            return 1;
        }
        return slow->try_dequeue_bulk(*to, sink<SIZE, Use>{&use}, max);
    }
    void block() {
        woken = slow->wait_dequeue_timed(*to, *woken_by, 100000);
    }
};

} // namespace

int main(int argc, char **argv) {
    const int status = peer::offer<queue>(
        argc, argv, "concurrentqueue",
        "{\"impl\": \"concurrentqueue\", \"name\": \"moodycamel::ConcurrentQueue\", \"version\": \"" PEER_VERSION
        "\", \"language\": \"C++\", \"between\": \"threads\", \"publishers\": 32, \"subscribers\": 1, "
        "\"how\": [\"single\", \"batch\", \"loan\"], \"waits\": [\"spin\", \"pause\", \"gather\", \"block\"], "
        "\"cases\": [\"throughput\", \"rtt\", \"oneway\", \"idle\"], "
        "\"lacks\": [\"processes\", \"several subscribers\", \"names\", \"variable length\", "
        "\"one order of all publishers' messages\"], "
        "\"settings\": \"tokens, preallocated for each publisher, bulk calls that read in place; block: "
        "BlockingConcurrentQueue\"}");

    return status < 0 ? peer::finish(argc, argv) : status;
}

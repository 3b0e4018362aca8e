/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moodycamel::ReaderWriterQueue: a queue of ring buffers, between two threads. Its blocking variant where the consumer
 * sleeps. It has no calls for many messages.
 *
 * debian: libreaderwriterqueue-dev
 * flags: dpkg-query -W -f '-DPEER_VERSION="${Version}"' libreaderwriterqueue-dev
 */
#include "../harness/peer.hpp"
#include <readerwriterqueue/readerwriterqueue.h>

namespace {

template <class Fill> struct filled_in_place { Fill &fill; };

template <size_t SIZE> struct item : peer::message<SIZE> {
    item() = default;
    explicit item(const peer::message<SIZE> &m) : peer::message<SIZE>(m) {
    }
    template <class Fill> explicit item(const filled_in_place<Fill> &from) {
        from.fill(this, 0);
    }
};

template <size_t SIZE> class queue : public peer::defaults {
    using plain = moodycamel::ReaderWriterQueue<item<SIZE>>;
    using blocking = moodycamel::BlockingReaderWriterQueue<item<SIZE>>;

    const bool loan;             /* constructed where it is in the queue */
    std::unique_ptr<plain> fast; /* one of them */
    std::unique_ptr<blocking> slow;
    std::unique_ptr<item<SIZE>> woken_by;
    bool woken = false;

    template <class Queue, class Fill> size_t put_into(Queue &q, size_t count, Fill &fill) {
        for (size_t i = 0; i < count; i++) {
            peer::local<SIZE> m;
            fill(&*m, i);
            if (!q.try_emplace(*m))
                return i;
        }
        return count;
    }
    template <class Queue, class Use> size_t take_from(Queue &q, size_t max, Use &use) {
        size_t n = 0;

        for (; n < max; n++) {
            if constexpr (SIZE <= 64) {
                peer::message<SIZE> m;
                if (!q.try_dequeue(m))
                    break;
                use(&m);
            } else {
                const item<SIZE> *m = q.peek();
                if (m == nullptr)
                    break;
                use(m);
                (void)q.pop();
            }
        }
        return n;
    }

  public:
    explicit queue(const peer::options &o) : loan(o.how == "loan") {
        const size_t size = o.usual_capacity() - 1; /* a slot stays free */

        if (o.wait == peer::waiting::block) {
            slow.reset(new blocking(size));
            woken_by.reset(new item<SIZE>);
        } else
            fast.reset(new plain(size));
    }
    uint64_t capacity() {
        return slow ? slow->max_capacity() : fast->max_capacity();
    }
    uint64_t ring_bytes() {
        return capacity() * SIZE;
    }

    template <class Fill> size_t put_each(size_t count, Fill fill) {
        return slow ? put_into(*slow, count, fill) : put_into(*fast, count, fill);
    }
    template <class Fill> size_t put(size_t, Fill fill) {
        if (!loan)
            return put_each(1, fill);
        const filled_in_place<Fill> from{fill};
        return slow ? slow->try_emplace(from) : fast->try_emplace(from);
    }
    template <class Use> size_t take(size_t max, Use use) {
        if (!slow)
            return take_from(*fast, max, use);
        if (woken) {
            woken = false;
            use(woken_by.get());
            return 1;
        }
        return take_from(*slow, max, use);
    }
    void block() {
        woken = slow->wait_dequeue_timed(*woken_by, 100000);
    }
};

} // namespace

int main(int argc, char **argv) {
    const int status = peer::offer<queue>(
        argc, argv, "readerwriterqueue",
        "{\"impl\": \"readerwriterqueue\", \"name\": \"moodycamel::ReaderWriterQueue\", \"version\": \"" PEER_VERSION
        "\", \"language\": \"C++\", \"between\": \"threads\", \"publishers\": 1, \"subscribers\": 1, "
        "\"how\": [\"single\", \"loan\"], \"waits\": [\"spin\", \"pause\", \"gather\", \"block\"], "
        "\"cases\": [\"throughput\", \"rtt\", \"oneway\", \"idle\"], "
        "\"lacks\": [\"processes\", \"several subscribers\", \"several publishers\", \"names\", \"variable length\"], "
        "\"settings\": \"preallocated, try_emplace; try_dequeue, or peek and pop from 256 bytes on; block: "
        "BlockingReaderWriterQueue\"}");

    return status < 0 ? peer::finish(argc, argv) : status;
}

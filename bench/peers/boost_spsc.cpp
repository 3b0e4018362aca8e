/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boost::lockfree::spsc_queue of a capacity that is set when it is compiled, as it has to be between processes: a ring
 * of one producer and one consumer.
 *
 * debian: libboost-dev
 */
#include "../harness/peer.hpp"
#include <boost/lockfree/spsc_queue.hpp>
#include <boost/version.hpp>

namespace {

constexpr size_t usual_capacity(size_t size) {
    size_t n = 65536;

    while (n > 8 && n * size > (8u << 20))
        n /= 2;
    return n;
}

template <size_t SIZE> class queue : public peer::defaults {
    using item = peer::message<SIZE>;
    static constexpr size_t CAPACITY = usual_capacity(SIZE);
    using ring = boost::lockfree::spsc_queue<item, boost::lockfree::capacity<CAPACITY>>;

    const peer::options &o;
    ring &q;
    static constexpr size_t BURST = 16384 / SIZE + 1; /* taken at once: what stays in the first-level cache */
    std::unique_ptr<item[]> in, out;                  /* batches */

  public:
    static constexpr bool PROCESSES = true;

    explicit queue(const peer::options &o_) : o(o_), q(*new (peer::shared_memory(sizeof(ring))) ring) {
        if (o.capacity != 0 && o.capacity != CAPACITY)
            peer::unsupported("the capacity is set when it is compiled");
    }
    uint64_t capacity() {
        return CAPACITY;
    }
    uint64_t ring_bytes() {
        return sizeof(ring);
    }

    void producer(unsigned) {
        if (o.batch > 1)
            in.reset(new item[o.batch]());
    }
    void consumer(unsigned) {
        if (SIZE <= 4096)
            out.reset(new item[BURST]());
    }

    template <class Fill> size_t put_each(size_t count, Fill fill) {
        for (size_t i = 0; i < count; i++) {
            peer::local<SIZE> m;
            fill(&*m, i);
            if (!q.push(*m))
                return i;
        }
        return count;
    }
    template <class Fill> size_t put(size_t count, Fill fill) {
        if (count == 1)
            return put_each(1, fill);
        for (size_t i = 0; i < count; i++)
            fill(&in[i], i);
        return q.push(in.get(), count);
    }
    /* Small ones where they are, all that are there; then an array of them; large ones one by one. */
    template <class Use> size_t take(size_t max, Use use) {
        const auto in_place = [&use](const item &m) { use(&m); };
        size_t n = 0;

        if constexpr (SIZE <= 64) {
            if (max > 1)
                return q.consume_all(in_place);
        } else if constexpr (SIZE <= 4096) {
            if (max > 1) {
                n = q.pop(out.get(), BURST < max ? BURST : max);
                for (size_t i = 0; i < n; i++)
                    use(&out[i]);
                return n;
            }
        }
        while (n < max && q.consume_one(in_place))
            n++;
        return n;
    }
};

} // namespace

int main(int argc, char **argv) {
    const int status = peer::offer<queue>(
        argc, argv, "boost-spsc",
        "{\"impl\": \"boost-spsc\", \"name\": \"boost::lockfree::spsc_queue\", \"version\": \"" BOOST_LIB_VERSION
        "\", \"language\": \"C++\", \"between\": \"processes\", \"publishers\": 1, \"subscribers\": 1, "
        "\"how\": [\"single\", \"batch\"], \"waits\": [\"spin\", \"pause\", \"gather\"], "
        "\"cases\": [\"throughput\", \"rtt\", \"oneway\"], "
        "\"lacks\": [\"several subscribers\", \"several publishers\", \"names\", \"wake-up\", \"variable length\", "
        "\"zero-copy\"], "
        "\"settings\": \"capacity<> in shared memory; push, of a batch the one of arrays; consume_all up to 64 bytes, "
        "else pop into an array, else consume_one\"}");

    return status < 0 ? peer::finish(argc, argv) : status;
}

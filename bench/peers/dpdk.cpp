/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DPDK's rte_ring, with messages by value, in shared memory between processes, and without DPDK's environment (EAL):
 * copied in and out; by its zero-copy calls; and copied by several producers, in the usual mode and in that of
 * head/tail synchronization (HTS), which is meant for producers that may be preempted.
 *
 * debian: libdpdk-dev pkg-config
 * flags: pkg-config --cflags libdpdk && echo -march=native -lrte_ring
 */
#include "../harness/peer.hpp"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wvolatile"
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <rte_ring_peek_zc.h>
#include <rte_version.h>
#pragma GCC diagnostic pop

namespace {

enum class mode { copy, in_place, several, several_hts };

template <size_t SIZE, mode MODE> class queue : public peer::defaults {
    using item = peer::message<SIZE>;
    /* Taken at once: what stays in the first-level cache. */
    static constexpr unsigned BURST_MAX = SIZE > 16384 ? 1 : SIZE < 64 ? 256 : 16384 / SIZE;

    static constexpr unsigned FLAGS = (MODE == mode::several       ? 0
                                       : MODE == mode::several_hts ? RING_F_MP_HTS_ENQ
                                                                   : RING_F_SP_ENQ) |
                                      RING_F_SC_DEQ;

    const peer::options &o;
    rte_ring *ring;
    bool late = false;
    std::unique_ptr<item[]> in, out; /* batches */

    unsigned enqueue(const item *m, unsigned n) {
        if constexpr (MODE == mode::several)
            return rte_ring_mp_enqueue_burst_elem(ring, m, SIZE, n, nullptr);
        else if constexpr (MODE == mode::several_hts)
            return rte_ring_mp_hts_enqueue_burst_elem(ring, m, SIZE, n, nullptr);
        else
            return rte_ring_sp_enqueue_burst_elem(ring, m, SIZE, n, nullptr);
    }

  public:
    static constexpr bool PROCESSES = true;

    explicit queue(const peer::options &o_) : o(o_) {
        const unsigned slots = (unsigned)o.usual_capacity();
        const ssize_t bytes = rte_ring_get_memsize_elem(SIZE, slots);

        if (bytes < 0)
            peer::unsupported("the capacity is a power of two");
        ring = (rte_ring *)peer::shared_memory((size_t)bytes);
        if (rte_ring_init(ring, "bench", slots, FLAGS) != 0)
            peer::fail("rte_ring_init failed");
    }
    uint64_t capacity() {
        return rte_ring_get_capacity(ring);
    }
    uint64_t ring_bytes() {
        return (uint64_t)rte_ring_get_memsize_elem(SIZE, rte_ring_get_size(ring));
    }

    void producer(unsigned) {
        in.reset(new item[o.batch]());
    }
    void consumer(unsigned) {
        out.reset(new item[BURST_MAX]());
    }

    template <class Fill> size_t put_in_place(size_t count, Fill &fill) {
        rte_ring_zc_data at;
        const unsigned n = rte_ring_enqueue_zc_burst_elem_start(ring, SIZE, (unsigned)count, &at, nullptr);

        if (n == 0)
            return 0;
        for (unsigned i = 0; i < at.n1; i++)
            fill((item *)at.ptr1 + i, i);
        for (unsigned i = at.n1; i < n; i++)
            fill((item *)at.ptr2 + (i - at.n1), i);
        rte_ring_enqueue_zc_elem_finish(ring, n);
        return n;
    }

    template <class Fill> size_t put_all(size_t count, Fill &fill) {
        for (size_t i = 0; i < count; i++) {
            if constexpr (MODE == mode::in_place) {
                const auto fill_this = [&fill, i](void *p, size_t) { fill(p, i); };
                if (put_in_place(1, fill_this) == 0)
                    return i;
            } else {
                peer::local<SIZE> m;
                fill(&*m, i);
                if (enqueue(&*m, 1) == 0)
                    return i;
            }
        }
        return count;
    }
    /*
     * In the usual mode a producer waits in its call for one that has been preempted in the middle of its own. Where
     * they share a core a message may take a time slice; so it says now and then that there is no room, and the time
     * is looked at.
     */
    template <class Fill> size_t put_patiently(size_t count, Fill &fill) {
        if (late) {
            late = false;
            return 0;
        }
        const uint64_t start = peer::now_ns();
        const size_t n = put_all(count < 64 ? count : 64, fill);
        late = peer::now_ns() - start > 10000000;
        return n;
    }
    template <class Fill> size_t put_each(size_t count, Fill fill) {
        return MODE == mode::several && o.publishers > 1 ? put_patiently(count, fill) : put_all(count, fill);
    }
    template <class Fill> size_t put(size_t count, Fill fill) {
        if constexpr (MODE == mode::in_place)
            return put_in_place(count, fill);
        if (count == 1)
            return put_all(1, fill);
        for (size_t i = 0; i < count; i++)
            fill(&in[i], i);
        return enqueue(in.get(), (unsigned)count);
    }

    template <class Use> size_t take(size_t max, Use use) {
        unsigned n;

        if constexpr (MODE == mode::in_place) {
            rte_ring_zc_data at;
            n = rte_ring_dequeue_zc_burst_elem_start(ring, SIZE, (unsigned)max, &at, nullptr);
            if (n == 0)
                return 0;
            for (unsigned i = 0; i < at.n1; i++)
                use((const item *)at.ptr1 + i);
            for (unsigned i = at.n1; i < n; i++)
                use((const item *)at.ptr2 + (i - at.n1));
            rte_ring_dequeue_zc_elem_finish(ring, n);
        } else {
            n = rte_ring_sc_dequeue_burst_elem(ring, out.get(), SIZE, max < BURST_MAX ? (unsigned)max : BURST_MAX,
                                               nullptr);
            for (unsigned i = 0; i < n; i++)
                use(&out[i]);
        }
        return n;
    }
};

template <size_t SIZE> using copying = queue<SIZE, mode::copy>;
template <size_t SIZE> using in_place = queue<SIZE, mode::in_place>;
template <size_t SIZE> using several = queue<SIZE, mode::several>;
template <size_t SIZE> using several_hts = queue<SIZE, mode::several_hts>;

} // namespace

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define VERSION TEXT(RTE_VER_YEAR) "." TEXT(RTE_VER_MONTH) "." TEXT(RTE_VER_MINOR)
#define DESCRIBE(impl, kind, publishers, how, lacks, settings)                                                         \
    "{\"impl\": \"" impl "\", \"name\": \"DPDK rte_ring, " kind "\", \"version\": \"" VERSION                          \
    "\", \"language\": \"C\", \"between\": \"processes\", \"publishers\": " publishers ", \"subscribers\": 1, "        \
    "\"how\": [" how "], \"waits\": [\"spin\", \"pause\", \"gather\"], "                                               \
    "\"cases\": [\"throughput\", \"rtt\", \"oneway\"], \"lacks\": [\"several subscribers\", " lacks                    \
    "\"names\", \"crash safety\", \"wake-up\", \"variable length\"], "                                                 \
    "\"settings\": \"" settings ", in shared memory without huge pages, no EAL\"}"
#define ALL "\"single\", \"batch\", \"loan\""
#define COPY "\"single\", \"batch\""

int main(int argc, char **argv) {
    int status = peer::offer<copying>(argc, argv, "dpdk",
                                      DESCRIBE("dpdk", "SP/SC", "1", COPY, "\"several publishers\", \"zero-copy\", ",
                                               "RING_F_SP_ENQ | RING_F_SC_DEQ"));
    if (status < 0)
        status = peer::offer<in_place>(argc, argv, "dpdk-zc",
                                       DESCRIBE("dpdk-zc", "zero-copy, SP/SC", "1", ALL, "\"several publishers\", ",
                                                "RING_F_SP_ENQ | RING_F_SC_DEQ"));
    if (status < 0)
        status = peer::offer<several>(argc, argv, "dpdk-mp",
                                      DESCRIBE("dpdk-mp", "MP/SC", "32", COPY, "\"zero-copy\", ", "RING_F_SC_DEQ"));
    if (status < 0)
        status = peer::offer<several_hts>(argc, argv, "dpdk-mp-hts",
                                          DESCRIBE("dpdk-mp-hts", "MP/SC, head/tail sync", "32", COPY,
                                                   "\"zero-copy\", ", "RING_F_MP_HTS_ENQ | RING_F_SC_DEQ"));
    return status < 0 ? peer::finish(argc, argv) : status;
}

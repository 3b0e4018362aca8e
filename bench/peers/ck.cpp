/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Concurrency Kit's ck_ring, with messages by value, in shared memory between processes: of one producer, and of
 * several.
 *
 * debian: libck-dev
 * flags: pkg-config --cflags ck && pkg-config --modversion ck | sed 's/[0-9.]\+/-DPEER_VERSION="&"/'
 */
#include "../harness/peer.hpp"
#define false 0 /* which is also a null pointer, as the header has it */
extern "C" {
#include <ck_ring.h>
}
#undef false

namespace {

/*
 * CK_RING_PROTOTYPE, which makes the functions for rings of values, doesn't compile in C++: a pointer to void is
 * returned as one to a struct. What is called here is what it expands to.
 */
template <size_t SIZE, bool SEVERAL> class queue : public peer::defaults {
    using item = peer::message<SIZE>;

    const bool loan, patient;
    const size_t slots;
    ck_ring_t *const ring;
    item *const items;
    bool late = false;

    bool enqueue(const item *m) {
        if constexpr (SEVERAL)
            return _ck_ring_enqueue_mp(ring, items, m, sizeof *m, nullptr);
        else
            return _ck_ring_enqueue_sp(ring, items, m, sizeof *m, nullptr);
    }

    template <class Fill> bool put_in_place(Fill &fill) {
        if constexpr (SEVERAL) {
            unsigned ticket;
            void *p = _ck_ring_enqueue_reserve_mp(ring, items, sizeof(item), &ticket, nullptr);
            if (p == nullptr)
                return false;
            fill(p, 0);
            _ck_ring_enqueue_commit_mp(ring, ticket);
        } else {
            void *p = _ck_ring_enqueue_reserve_sp(ring, items, sizeof(item), nullptr);
            if (p == nullptr)
                return false;
            fill(p, 0);
            _ck_ring_enqueue_commit_sp(ring);
        }
        return true;
    }

    template <class Fill> size_t put_all(size_t count, Fill &fill) {
        for (size_t i = 0; i < count; i++) {
            peer::local<SIZE> m;
            fill(&*m, i);
            if (!enqueue(&*m))
                return i;
        }
        return count;
    }
    /*
     * A producer waits in its call for one that has been preempted in the middle of its own. Where they share a core a
     * message may take a time slice; so it says now and then that there is no room, and the time is looked at.
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

  public:
    static constexpr bool PROCESSES = true;

    explicit queue(const peer::options &o)
        : loan(o.how == "loan"), patient(o.publishers > 1), slots(o.usual_capacity()),
          ring((ck_ring_t *)peer::shared_memory(sizeof *ring)), items((item *)peer::shared_memory(slots * SIZE)) {
        if (slots < 2 || (slots & (slots - 1)) != 0)
            peer::unsupported("the capacity is a power of two");
        ck_ring_init(ring, (unsigned)slots);
    }
    uint64_t capacity() {
        return slots - 1;
    }
    uint64_t ring_bytes() {
        return slots * SIZE;
    }

    template <class Fill> size_t put_each(size_t count, Fill fill) {
        return SEVERAL && patient ? put_patiently(count, fill) : put_all(count, fill);
    }
    template <class Fill> size_t put(size_t, Fill fill) {
        return loan ? put_in_place(fill) : put_all(1, fill);
    }
    template <class Use> size_t take(size_t max, Use use) {
        for (size_t n = 0; n < max; n++) {
            peer::local<SIZE> m;
            if (!_ck_ring_dequeue_sc(ring, items, &*m, sizeof *items))
                return n;
            use(&*m);
        }
        return max;
    }
};

template <size_t SIZE> using one = queue<SIZE, false>;
template <size_t SIZE> using several = queue<SIZE, true>;

} // namespace

#define DESCRIBE(impl, kind, publishers, lacks)                                                                        \
    "{\"impl\": \"" impl "\", \"name\": \"Concurrency Kit ck_ring, " kind "\", \"version\": \"" PEER_VERSION           \
    "\", \"language\": \"C\", \"between\": \"processes\", \"publishers\": " publishers ", \"subscribers\": 1, "        \
    "\"how\": [\"single\", \"loan\"], \"waits\": [\"spin\", \"pause\", \"gather\"], "                                  \
    "\"cases\": [\"throughput\", \"rtt\", \"oneway\"], \"lacks\": [\"several subscribers\", " lacks                    \
    "\"names\", \"wake-up\", \"variable length\"], "                                                                   \
    "\"settings\": \"in shared memory, messages by value; loan: reserve and commit, the consumer copies\"}"

int main(int argc, char **argv) {
    int status = peer::offer<one>(argc, argv, "ck", DESCRIBE("ck", "SPSC", "1", "\"several publishers\", "));
    if (status < 0)
        status = peer::offer<several>(argc, argv, "ck-mp", DESCRIBE("ck-mp", "MPSC", "32", "\"crash safety\", "));
    return status < 0 ? peer::finish(argc, argv) : status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring that people write themselves: Lamport's of one producer and one consumer, in POSIX shared memory, with each
 * index on a cache line of its own, and a private copy of the other side's index that is only refreshed where it
 * says full or empty.
 */
#include "../harness/peer.hpp"
#include <atomic>
#include <fcntl.h>

namespace {

template <size_t SIZE> class queue : public peer::defaults {
    using item = peer::message<SIZE>;

    struct ring {
        alignas(64) std::atomic<uint64_t> head; /* messages ever put */
        alignas(64) std::atomic<uint64_t> tail; /* messages ever taken */
        alignas(64) item slot[];
    };

    const uint64_t slots, mask;
    ring *r;
    /* In the producer's process, and in the consumer's: one of each pair is used. */
    alignas(64) uint64_t head = 0;
    uint64_t seen_tail = 0;
    alignas(64) uint64_t tail = 0;
    uint64_t seen_head = 0;

    size_t bytes() const {
        return sizeof(ring) + slots * SIZE;
    }
    uint64_t room() {
        if (head - seen_tail == slots)
            seen_tail = r->tail.load(std::memory_order_acquire);
        return slots - (head - seen_tail);
    }

  public:
    static constexpr bool PROCESSES = true;

    explicit queue(const peer::options &o) : slots(o.usual_capacity()), mask(slots - 1) {
        static int number;
        char name[64];

        if ((slots & mask) != 0)
            peer::unsupported("the capacity is a power of two");
        (void)snprintf(name, sizeof name, "/bench-spinring-%d-%d", (int)getpid(), number++);
        const int fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
        if (fd < 0 || ftruncate(fd, (off_t)bytes()) != 0)
            peer::fail("%s: %s", name, strerror(errno));
        (void)shm_unlink(name);
        r = (ring *)mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
        if (r == MAP_FAILED)
            peer::fail("no memory for a ring of %zu bytes", bytes());
        (void)close(fd);
    }
    uint64_t capacity() {
        return slots;
    }
    uint64_t ring_bytes() {
        return bytes();
    }

    template <class Fill> size_t put_each(size_t count, Fill fill) {
        for (size_t i = 0; i < count; i++) {
            if (room() == 0)
                return i;
            fill(&r->slot[head & mask], i);
            r->head.store(++head, std::memory_order_release);
        }
        return count;
    }
    template <class Fill> size_t put(size_t count, Fill fill) {
        if (count == 1)
            return put_each(1, fill);
        const uint64_t free = room(), n = count < free ? count : free;
        for (size_t i = 0; i < n; i++)
            fill(&r->slot[(head + i) & mask], i);
        head += n;
        r->head.store(head, std::memory_order_release);
        return n;
    }
    /* All that is known to be there; the slots are given back at once. */
    template <class Use> size_t take(size_t max, Use use) {
        if (seen_head == tail && (seen_head = r->head.load(std::memory_order_acquire)) == tail)
            return 0;
        const uint64_t there = seen_head - tail, n = max < there ? max : there;
        for (uint64_t i = 0; i < n; i++)
            use(&r->slot[(tail + i) & mask]);
        tail += n;
        r->tail.store(tail, std::memory_order_release);
        return n;
    }
};

} // namespace

int main(int argc, char **argv) {
    const int status = peer::offer<queue>(
        argc, argv, "handmade",
        "{\"impl\": \"handmade\", \"name\": \"Hand-written SPSC ring\", \"version\": \"1\", \"language\": \"C++\", "
        "\"between\": \"processes\", \"publishers\": 1, \"subscribers\": 1, "
        "\"how\": [\"single\", \"batch\", \"loan\"], \"waits\": [\"spin\", \"pause\", \"gather\"], "
        "\"cases\": [\"throughput\", \"rtt\", \"oneway\"], "
        "\"lacks\": [\"several subscribers\", \"several publishers\", \"wake-up\", \"variable length\"], "
        "\"settings\": \"filled and read in place, cached indices, the consumer gives up to 256 slots back at once\"}");

    return status < 0 ? peer::finish(argc, argv) : status;
}

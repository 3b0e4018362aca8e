/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.hpp - what all C and C++ adapters share: the protocol (bench/README.md), the roles and how they start together,
 * messages and their sums, clocks, waiting, histograms.
 *
 * An adapter is a class template over the message size, which is a constant so that its compiler does for each message
 * what it would do for a struct:
 *
 *     template <size_t SIZE> struct my_queue : peer::defaults {
 *         explicit my_queue(const peer::options &o);  // before there are roles: what both sides are handed
 *         void producer(unsigned number);             // in the producer's thread or process: open, connect
 *         void consumer(unsigned number);             // the same on the other side
 *         template <class Fill> size_t put(size_t count, Fill fill);
 *         template <class Use> size_t take(size_t max, Use use);
 *     };
 *
 * put() puts in up to count messages in order and returns how many; 0: there is no room. fill(p, i) writes the i-th
 * of them to p, which is the peer's memory if it can be filled in place, else a message<SIZE>. It may be called again
 * for messages that weren't put. take() calls use(p) for up to max messages and returns how many; 0: there is none.
 * Faults are peer::fail(), which tells the runner and ends the process.
 */
#ifndef AETHER_BENCH_PEER_HPP
#define AETHER_BENCH_PEER_HPP

#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <new>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <type_traits>
#include <unistd.h>
#include <vector>

namespace peer {

constexpr unsigned ROLES_MAX = 64;
constexpr unsigned AUTHOR_SHIFT = 48;
constexpr uint64_t CHUNK_BYTES = 4u << 20;
constexpr uint64_t LOST_AFTER_NS = 1000000000; /* without a message, once the producers are done */
constexpr double SAMPLES_PER_S = 1e6;          /* oneway: above this rate not every message is a sample */

enum class waiting { spin, pause, gather, block };

struct options {
    std::string kase, impl, how = "single";
    uint64_t size = 8, batch = 1, capacity = 0, publishers = 1, subscribers = 1, topics = 1;
    waiting wait = waiting::pause;
    double rate = 0;
    int cpus[2] = {0, 1};

    /* What the peer's best capacity is taken for where none is asked for. */
    uint64_t capacity_or(uint64_t best) const {
        return capacity != 0 ? capacity : best;
    }
    /* 65536 messages, but not more than 8 MiB of them and not fewer than 8. */
    uint64_t usual_capacity() const {
        uint64_t n = 65536;
        while (n > 8 && n * size > (8u << 20))
            n /= 2;
        return capacity_or(n);
    }
};

[[noreturn]] inline void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
inline void fail(const char *format, ...) {
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *p = text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\' || (unsigned char)*p < ' ')
            *p = '\'';
    }
    printf("{\"error\": \"%s\"}\n", text);
    (void)fflush(stdout);
    _exit(1);
}

[[noreturn]] inline void unsupported(const char *why) {
    printf("{\"unsupported\": \"%s\"}\n", why);
    (void)fflush(stdout);
    _exit(0);
}

/* ---- clocks ---- */

inline uint64_t now_ns() {
    timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One sample must cost less than what it measures, so the CPU's counter; it counts alike on all cores. */
inline uint64_t ticks() {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t value;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(value));
    return value;
#else
    return now_ns();
#endif
}

inline double measure_ns_per_tick() {
    const uint64_t ns = now_ns(), t = ticks();

    while (now_ns() - ns < 20000000)
        continue;
    return (double)(now_ns() - ns) / (double)(ticks() - t);
}

inline double ns_per_tick; /* main() sets it before there are roles */

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#endif
}

/* ---- messages ---- */

template <size_t SIZE> struct alignas(8) message { uint64_t word[SIZE / 8]; };

/* Short loops of a constant count become straight code, as the fields of a struct are. */
#ifdef __clang__
#define PEER_UNROLL
#else
#define PEER_UNROLL _Pragma("GCC unroll 8")
#endif

/* Larger ones two words at once: word by word the loops, and not memory, would be the limit. */
typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));
constexpr size_t PAIRS_FROM = 1024;

template <size_t SIZE> inline __attribute__((always_inline)) void write_words(void *p, uint64_t n) {
    if constexpr (SIZE >= PAIRS_FROM) {
        pair two = {n, n + 1}, *out = (pair *)p;
        for (size_t i = 0; i < SIZE / 16; i += 2) {
            out[i] = two;
            out[i + 1] = two + 2;
            two += 4;
        }
    } else {
        uint64_t *out = (uint64_t *)p;
        PEER_UNROLL
        for (size_t i = 0; i < SIZE / 8; i++)
            out[i] = n + i;
    }
}

template <size_t SIZE> inline __attribute__((always_inline)) uint64_t sum_words(const void *p) {
    uint64_t sum = 0;

    if constexpr (SIZE >= PAIRS_FROM) {
        const pair *in = (const pair *)p;
        pair sums[4] = {{0}, {0}, {0}, {0}};
        for (size_t i = 0; i < SIZE / 16; i += 4) {
            sums[0] += in[i];
            sums[1] += in[i + 1];
            sums[2] += in[i + 2];
            sums[3] += in[i + 3];
        }
        sums[0] += sums[1] + sums[2] + sums[3];
        sum = sums[0][0] + sums[0][1];
    } else {
        const uint64_t *in = (const uint64_t *)p;
        PEER_UNROLL
        for (size_t i = 0; i < SIZE / 8; i++)
            sum += in[i];
    }
    return sum;
}

/* The sum over the messages first .. first + count - 1. */
inline uint64_t sum_of(uint64_t first, uint64_t count, uint64_t size) {
    const uint64_t words = size / 8, pairs = count % 2 == 0 ? count / 2 * (count - 1) : (count - 1) / 2 * count;

    return words * (first * count + pairs) + count * (words * (words - 1) / 2);
}

/*
 * A message of the caller's: on the stack, where it can be held in registers, or, if it is large, in memory that is
 * made once a thread. For peers that only copy.
 */
template <size_t SIZE> struct local {
    static constexpr bool SMALL = SIZE <= 4096;
    std::conditional_t<SMALL, message<SIZE>, message<SIZE> *> value;

    local() {
        if constexpr (!SMALL) {
            static thread_local std::unique_ptr<message<SIZE>> memory(new message<SIZE>());
            value = memory.get();
        }
    }
    message<SIZE> &operator*() {
        if constexpr (SMALL)
            return value;
        else
            return *value;
    }
};

/* ---- histogram: exact up to 8191 ticks, then 4096 steps for each power of two ---- */

struct histogram {
    static constexpr unsigned BITS = 12, EXACT = 2u << BITS, BUCKETS = EXACT + (40 << BITS);
    uint32_t bucket[BUCKETS];

    static unsigned index(uint64_t value) {
        if (value < EXACT)
            return (unsigned)value;
        const unsigned shift = 63 - (unsigned)__builtin_clzll(value) - BITS;
        const uint64_t at = EXACT + ((uint64_t)(shift - 1) << BITS) + ((value >> shift) - (1u << BITS));
        return at < BUCKETS ? (unsigned)at : BUCKETS - 1;
    }
    static uint64_t value(unsigned index) {
        if (index < EXACT)
            return index;
        const unsigned shift = ((index - EXACT) >> BITS) + 1;
        return ((uint64_t)((index - EXACT) & ((1u << BITS) - 1)) + (1u << BITS)) << shift;
    }
    void add(uint64_t value) {
        bucket[index(value)]++;
    }

    void print() const {
        const char *space = "";
        uint64_t last = 0, count = 0;

        printf("\"hist\": \"");
        for (unsigned i = 0; i < BUCKETS; i++) {
            if (bucket[i] == 0)
                continue;
            const uint64_t ns = (uint64_t)((double)value(i) * ns_per_tick + 0.5);
            if (count != 0 && ns != last) {
                printf("%s%llu:%llu", space, (unsigned long long)last, (unsigned long long)count);
                space = " ";
                count = 0;
            }
            last = ns;
            count += bucket[i];
        }
        if (count != 0)
            printf("%s%llu:%llu", space, (unsigned long long)last, (unsigned long long)count);
        printf("\"");
    }
};

/* ---- roles, in threads or processes, and the memory that they share ---- */

struct alignas(128) word {
    uint64_t v;

    uint64_t load() const {
        return __atomic_load_n(&v, __ATOMIC_ACQUIRE);
    }
    void store(uint64_t value) {
        __atomic_store_n(&v, value, __ATOMIC_RELEASE);
    }
    uint64_t add(uint64_t value) {
        return __atomic_add_fetch(&v, value, __ATOMIC_ACQ_REL);
    }
};

struct arena {
    sem_t go[ROLES_MAX];
    sem_t done;
    double seconds;
    word arrived, opened; /* roles, over all runs */
    word run;             /* how many there were */
    word start_ns;
    word producing; /* producers that still run */
    word sent, sum; /* over all producers */
    word failed;
    struct alignas(128) {
        uint64_t received, sum, last_ns;
    } role[ROLES_MAX];
    histogram hist; /* of the one role that samples */
};

/*
 * While there is nothing to do. got: messages since the last call. `gather` is what aether_idle() does, with a budget
 * of 20 us: under load it pauses, so that messages gather, for as long as they come faster that way, which it tries.
 */
class idler {
    static constexpr double LOAD = 4, FIRST_GAIN = 1.25, GAIN = 1.1; /* messages a microsecond; factors */
    static constexpr unsigned LEVELS = 3, LEVEL_SHIFT = 2;
    static constexpr uint64_t PATIENCE = 64, PATIENCE_MAX = 4096;
    uint64_t since = 0, count = 0, windows = 0, patience = 0, budget, window;
    double load, before = 0;
    unsigned level = 0, tried = 0, first = LEVELS;
    bool loaded = false, up = false;
    waiting how;

    void weigh(double rate) {
        if (tried == level) {
            if (windows != 0) {
                windows--;
            } else {
                before = rate;
                tried = level == 0 ? first : up && level != LEVELS ? level + 1 : level - 1;
            }
            return;
        }
        if (rate > (tried > level ? before * (level == 0 ? FIRST_GAIN : GAIN) : before / GAIN)) {
            up = tried > level && level != 0;
            level = tried;
            first = LEVELS;
            patience = 0;
            return;
        }
        if (level == 0)
            first = tried > 1 ? tried - 1 : LEVELS;
        up = !up;
        tried = level;
        patience = patience * 2 + PATIENCE < PATIENCE_MAX ? patience * 2 + PATIENCE : PATIENCE_MAX;
        windows = patience;
    }

    uint64_t pause(uint64_t got) {
        const uint64_t now = ticks(), elapsed = now - since;

        count += got;
        if (elapsed >= window) {
            const double rate = (double)count / (double)elapsed;
            loaded = rate > load;
            if (loaded) {
                weigh(rate);
            } else {
                tried = level;
                if (level != 0)
                    windows = 0;
            }
            since = now;
            count = 0;
        }
        return loaded && tried != 0 ? budget >> LEVEL_SHIFT * (LEVELS - tried) : 0;
    }

  public:
    explicit idler(waiting how_)
        : budget((uint64_t)(20000 / ns_per_tick)), window(4 * budget), load(LOAD * ns_per_tick / 1000), how(how_) {
    }
    void operator()(uint64_t got) {
        if (how == waiting::spin)
            return;
        const uint64_t length = how == waiting::gather && got != 0 ? pause(got) : 0;
        const uint64_t start = length != 0 ? ticks() : 0;
        do
            relax();
        while (length != 0 && ticks() - start < length);
    }
};

/* What an adapter inherits, and replaces where it has something better. */
struct defaults {
    static constexpr bool PROCESSES = false; /* between processes, or between threads of one */

    void producer(unsigned) {
    }
    void consumer(unsigned) {
    }
    void open_times(uint64_t *, uint64_t *) {
    } /* several topics: to open one, in ns; its memory, in bytes */
    void ready() {
    } /* in the parent, when all roles are open */
    void flush() {
    } /* by a producer after its last message of a run */
    void block() {
        relax();
    } /* wait == block: until there may be a message, or about 100 ms have gone */
    uint64_t capacity() {
        return 0;
    }
    uint64_t ring_bytes() {
        return 0;
    }
};

inline void pin(int cpu) {
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        fail("CPU %d: %s", cpu, strerror(errno));
}

/* A daemon that the peer needs: ends with us. Returns its pid. */
inline pid_t start_server(std::vector<const char *> words) {
    const pid_t parent = getpid(), pid = fork();

    if (pid < 0)
        fail("fork: %s", strerror(errno));
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(1);
        FILE *out = freopen("/dev/null", "w", stdout);
        out = out != nullptr ? freopen("/dev/null", "w", stderr) : nullptr;
        words.push_back(nullptr);
        execvp(words[0], (char *const *)words.data());
        _exit(127);
    }
    return pid;
}

/* Tries until ok() or for five seconds, while the server lives. */
template <class Ok> inline void await_server(pid_t server, const char *name, Ok ok) {
    for (const uint64_t end = now_ns() + 5000000000u; !ok();) {
        if (waitpid(server, nullptr, WNOHANG) == server)
            fail("%s ended before it was ready: is it installed?", name);
        if (now_ns() > end)
            fail("%s wasn't ready within 5 seconds", name);
        (void)poll(nullptr, 0, 2);
    }
}

template <class Peer, size_t SIZE> class bench {
    const options &o;
    arena *const a;
    const bool single;
    std::vector<pid_t> pids; /* of roles that are processes */
    Peer there, back;        /* back: for round trips only */

    bool round_trips() const {
        return o.kase == "rtt";
    }
    unsigned roles() const {
        return (unsigned)(o.publishers + o.subscribers);
    }

    /* All have woken up and are on their cores before the first message. */
    void meet(uint64_t run) {
        if (a->arrived.add(1) == run * roles())
            a->start_ns.store(now_ns()), a->run.store(run);
        for (unsigned i = 0; a->run.load() != run; i++) {
            if (i % 1024 == 1023)
                (void)sched_yield(); /* several roles on a core */
        }
    }

    template <class Queue> void idle(Queue &queue, idler &pause, uint64_t got) {
        if (o.wait == waiting::block)
            queue.block();
        else if (roles() > 2 && got == 0)
            (void)sched_yield();
        else
            pause(got);
    }

    /* A message a call: through the peer's own loop if it has one, for the state that it keeps from call to call. */
    template <class Fill> inline __attribute__((always_inline)) size_t put_some(size_t batch, size_t left, Fill fill) {
        if constexpr (requires { there.put_each(left, fill); }) {
            if (single)
                return there.put_each(left, fill);
        }
        return there.put(batch, fill);
    }

    __attribute__((noinline)) void produce(unsigned number) {
        const uint64_t first = (uint64_t)number << AUTHOR_SHIFT, start = a->start_ns.load();
        const uint64_t end = start + (uint64_t)(a->seconds * 1e9), batch = o.batch;
        const uint64_t chunk = CHUNK_BYTES / SIZE < 1024 ? CHUNK_BYTES / SIZE + 1 : 1024;
        uint64_t n = first, full_at = first;
        idler pause(o.wait == waiting::gather ? waiting::gather : waiting::pause);

        do {
            for (const uint64_t stop = n + chunk; (int64_t)(stop - n) > 0;) {
                const uint64_t at = n;
                const size_t put = put_some(batch, stop - n, [at](void *p, size_t i) { write_words<SIZE>(p, at + i); });
                n += put;
                if (__builtin_expect(put == 0, 0)) {
                    if (roles() > 2 || o.wait == waiting::block)
                        (void)sched_yield();
                    else
                        pause(n - full_at);
                    full_at = n;
                    if (now_ns() > end)
                        break;
                }
            }
        } while (now_ns() < end);
        there.flush();
        a->sum.add(sum_of(first, n - first, SIZE));
        a->sent.add(n - first);
        a->producing.add(~UINT64_C(0));
    }

    /* Until all that was sent is there, or nothing has come for a while. */
    template <class Each> void consume(unsigned role, Each each) {
        uint64_t received = 0, sum = 0, run = 0, quiet_since = 0;
        const size_t max = o.how == "loan" && SIZE > 4096 ? 1 : 256;
        idler pause(o.wait);

        for (;;) {
            const size_t got = there.take(max, [&](const void *p) { each(p, sum); });
            run += got;
            if (__builtin_expect(got == max, 1))
                continue; /* there is more; else it is at the producer's heels */
            received += run;
            if (a->producing.load() == 0) {
                if (received >= a->sent.load())
                    break;
                if (run != 0 || quiet_since == 0)
                    quiet_since = now_ns();
                else if (now_ns() - quiet_since > LOST_AFTER_NS)
                    break;
            }
            if (run != 0)
                a->role[role].last_ns = now_ns();
            idle(there, pause, run);
            run = 0;
        }
        a->role[role].received = received;
        a->role[role].sum = sum;
        if (run != 0) /* and not after a sleep */
            a->role[role].last_ns = now_ns();
    }

    __attribute__((noinline)) void consume_sums(unsigned role) {
        consume(role, [](const void *p, uint64_t &sum) { sum += sum_words<SIZE>(p); });
    }

    /* ---- round trips ---- */

    template <class Queue> void put_one(Queue &queue, uint64_t n) {
        while (queue.put(1, [n](void *p, size_t) { write_words<SIZE>(p, n); }) == 0)
            relax();
        queue.flush();
    }

    template <class Queue> void take_one(Queue &queue, uint64_t n) {
        uint64_t sum = 0;
        idler pause(o.wait == waiting::gather ? waiting::pause : o.wait);

        while (queue.take(1, [&](const void *p) { sum = sum_words<SIZE>(p); }) == 0) {
            if (o.wait == waiting::block)
                queue.block();
            else
                pause(0);
        }
        if (sum != sum_of(n, 1, SIZE))
            fail("a message arrived changed");
    }

    __attribute__((noinline)) void ping() {
        const uint64_t end = a->start_ns.load() + (uint64_t)(a->seconds * 1e9);
        const uint64_t check = o.wait == waiting::block ? 1 : 256;
        uint64_t n = 1, last = ticks();

        for (;; n++) {
            put_one(there, n);
            take_one(back, n);
            const uint64_t now = ticks();
            a->hist.add(now - last);
            last = now;
            if (n % check == 0 && now_ns() > end)
                break;
        }
        put_one(there, 0); /* the end */
        take_one(back, 0);
        a->sent.store(n);
        a->role[1].received = n;
        a->role[1].last_ns = now_ns();
    }

    __attribute__((noinline)) void pong() {
        uint64_t first;
        idler pause(o.wait == waiting::gather ? waiting::pause : o.wait);

        do {
            uint64_t sum = 0;
            first = 0;
            while (there.take(1, [&](const void *p) {
                memcpy(&first, p, 8);
                sum = sum_words<SIZE>(p);
            }) == 0) {
                if (o.wait == waiting::block)
                    there.block();
                else
                    pause(0);
            }
            if (sum != sum_of(first, 1, SIZE))
                fail("a message arrived changed");
            put_one(back, first);
        } while (first != 0);
    }

    /* ---- open loop ---- */

    __attribute__((noinline)) void pace() {
        const uint64_t start = ticks();
        uint64_t every = 1;
        while ((double)every < o.rate / SAMPLES_PER_S)
            every *= 2;
        const double per = 1e9 / o.rate / ns_per_tick;
        const uint64_t total = (uint64_t)(o.rate * a->seconds);
        uint64_t n = 0, due = 1; /* the first one is due at once */

        while (n < total) {
            while (n < due) {
                const size_t put = put_some(1, due - n, [n, every, start, per](void *p, size_t i) {
                    const uint64_t at = n + i, due_at = start + (uint64_t)((double)at * per);
                    const uint64_t stamp = (at & (every - 1)) == 0 ? due_at : 0;
                    write_words<SIZE>(p, 0);
                    memcpy(p, &stamp, 8);
                });
                if (put == 0)
                    relax();
                n += put;
            }
            there.flush();
            if (n == total)
                break;
            const uint64_t next = (uint64_t)((double)n * per);
            if (per > 100000) { /* a slow one leaves its core to others */
                const uint64_t now = ticks() - start;
                if (next > now && (double)(next - now) * ns_per_tick > 200000)
                    usleep((useconds_t)((double)(next - now) * ns_per_tick / 1000 - 100));
            }
            uint64_t now;
            while ((now = ticks() - start) < next)
                relax();
            due = (uint64_t)((double)now / per) + 1;
            due = due < total ? due : total;
        }
        a->sent.add(n);
        a->producing.add(~UINT64_C(0));
    }

    __attribute__((noinline)) void consume_stamps(unsigned role) {
        histogram &hist = a->hist;

        consume(role, [&hist](const void *p, uint64_t &) {
            uint64_t stamp;
            memcpy(&stamp, p, 8);
            if (stamp != 0) {
                const uint64_t now = ticks();
                hist.add(now > stamp ? now - stamp : 0);
            }
            __asm__ __volatile__("" : : "r"(sum_words<SIZE>(p)));
        });
    }

    void wait_idle() {
        const uint64_t end = a->start_ns.load() + (uint64_t)(a->seconds * 1e9);
        idler pause(o.wait);

        while (now_ns() < end) {
            if (there.take(1, [](const void *) {}) != 0)
                fail("a message that nobody sent");
            idle(there, pause, 0);
        }
    }

    /* ---- roles ---- */

    void run_role(unsigned role) {
        const bool producer = role < o.publishers;

        if (o.kase == "rtt")
            return producer ? ping() : pong();
        if (o.kase == "idle") {
            if (producer)
                usleep((useconds_t)(a->seconds * 1e6));
            else
                wait_idle();
            return;
        }
        if (o.kase == "oneway")
            return producer ? pace() : consume_stamps(role);
        if (o.kase == "join") {
            if (producer)
                join();
            return;
        }
        producer ? produce(role) : consume_sums(role);
    }

    /* The time that a subscriber takes to join and to leave. */
    void join() {
        const uint64_t end = a->start_ns.load() + (uint64_t)(a->seconds * 1e9);
        uint64_t n = 0;

        if constexpr (requires { there.join_and_leave(); }) {
            for (; now_ns() < end; n++) {
                const uint64_t start = ticks();
                there.join_and_leave();
                a->hist.add(ticks() - start);
            }
        }
        a->sent.store(n);
        a->role[1].received = n;
        a->role[1].last_ns = now_ns();
    }

    void be(unsigned role) {
        const bool producer = role < o.publishers;

        pin(o.cpus[producer ? 0 : 1]);
        if (producer) {
            there.producer(role);
            if (round_trips())
                back.consumer(0);
        } else {
            there.consumer(role - (unsigned)o.publishers);
            if (round_trips())
                back.producer(0);
        }
        (void)a->opened.add(1);
        (void)sem_post(&a->done);
        for (uint64_t run = 1;; run++) {
            while (sem_wait(&a->go[role]) != 0)
                continue;
            meet(run);
            run_role(role);
            (void)sem_post(&a->done);
        }
    }

    void start_role(unsigned role) {
        if (!Peer::PROCESSES) {
            std::thread([this, role] { be(role); }).detach();
            return;
        }
        const pid_t parent = getpid(), pid = fork();
        if (pid < 0)
            fail("fork: %s", strerror(errno));
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent)
                _exit(1);
            (void)close(0);
            be(role);
        }
        pids.push_back(pid);
    }

    /* A role that has failed has said why, and is gone. */
    void await_roles(unsigned count) {
        while (count > 0) {
            timespec end;
            (void)clock_gettime(CLOCK_REALTIME, &end);
            end.tv_nsec += 20000000;
            end.tv_sec += end.tv_nsec / 1000000000;
            end.tv_nsec %= 1000000000;
            if (sem_timedwait(&a->done, &end) == 0)
                count--;
            else if (Peer::PROCESSES) {
                int status;
                siginfo_t info{};
                /* Servers are children, too; only roles end by _exit(1). */
                if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
                    (void)waitpid(info.si_pid, &status, 0);
                    end_all();
                    _exit(1);
                }
            }
        }
    }

    /* The roles first, as what they are attached to stays. */
    void end_all() {
        for (const pid_t pid : pids) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, nullptr, 0);
        }
        if constexpr (requires { Peer::cleanup(); })
            Peer::cleanup();
    }

    void clear() {
        a->producing.store(o.publishers);
        a->sent.store(0);
        a->sum.store(0);
        memset(a->role, 0, sizeof a->role);
        memset(&a->hist, 0, sizeof a->hist);
    }

    void report() {
        const bool checked = o.kase == "throughput";
        uint64_t received = 0, last = 0, lost = 0;

        for (unsigned role = (unsigned)o.publishers; role < roles(); role++) {
            const auto &r = a->role[role];
            const uint64_t missing = a->sent.v - r.received;
            if ((int64_t)missing < 0)
                fail("more messages arrived than were sent");
            if (checked && missing == 0 && r.sum != a->sum.v)
                fail("the messages that arrived aren't those that were sent: another checksum");
            lost += missing;
            received = r.received > received ? r.received : received;
            last = r.last_ns > last ? r.last_ns : last;
        }
        if (o.kase == "idle") {
            printf("{\"messages\": 0, \"ns\": %llu}\n", (unsigned long long)(now_ns() - a->start_ns.v));
            return;
        }
        printf("{\"messages\": %llu, \"ns\": %llu, \"lost\": %llu", (unsigned long long)received,
               (unsigned long long)(last - a->start_ns.v), (unsigned long long)lost);
        if (!checked) {
            printf(", ");
            a->hist.print();
        }
        printf("}\n");
    }

  public:
    bench(const options &options_, arena *arena_)
        : o(options_), a(arena_), single(o.how == "single"), there(o), back(o) {
    }

    int main() {
        char line[64];

        for (unsigned role = 0; role < roles(); role++)
            start_role(roles() - 1 - role); /* consumers first */
        await_roles(roles());
        there.ready();
        printf("{\"ready\": true, \"capacity\": %llu, \"ring_bytes\": %llu", (unsigned long long)there.capacity(),
               (unsigned long long)there.ring_bytes());
        if (o.topics > 1) {
            uint64_t open_ns = 0, bytes = 0;
            there.open_times(&open_ns, &bytes);
            printf(", \"open_ns\": %llu, \"bytes_each\": %llu", (unsigned long long)open_ns, (unsigned long long)bytes);
        }
        printf("}\n");
        (void)fflush(stdout);
        while (fgets(line, sizeof line, stdin) != nullptr) {
            char *end;
            if (strncmp(line, "run ", 4) != 0 || (a->seconds = strtod(line + 4, &end)) <= 0 || *end != '\n')
                fail("input: 'run SECONDS' expected");
            clear();
            for (unsigned role = 0; role < roles(); role++)
                (void)sem_post(&a->go[role]);
            await_roles(roles());
            report();
            (void)fflush(stdout);
        }
        end_all();
        return 0;
    }
};

/* ---- the command line ---- */

inline uint64_t number(const std::string &key, const std::string &value, uint64_t min, uint64_t max) {
    char *end;
    errno = 0;
    const unsigned long long n = strtoull(value.c_str(), &end, 10);

    if (value.empty() || value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || n < min || n > max)
        fail("%s=%s: a number from %llu to %llu expected", key.c_str(), value.c_str(), (unsigned long long)min,
             (unsigned long long)max);
    return n;
}

inline void set(options &o, const std::string &key, const std::string &value) {
    if (key == "impl")
        o.impl = value;
    else if (key == "size")
        o.size = number(key, value, 8, 1 << 20);
    else if (key == "batch")
        o.batch = number(key, value, 1, 65536);
    else if (key == "capacity")
        o.capacity = number(key, value, 0, 1u << 30);
    else if (key == "publishers" || key == "subscribers")
        (key == "publishers" ? o.publishers : o.subscribers) = number(key, value, 1, ROLES_MAX / 2);
    else if (key == "topics")
        o.topics = number(key, value, 1, 1000000);
    else if (key == "rate")
        o.rate = (double)number(key, value, 1, 1000000000);
    else if (key == "how" && (value == "single" || value == "batch" || value == "loan"))
        o.how = value;
    else if (key == "wait" && value == "spin")
        o.wait = waiting::spin;
    else if (key == "wait" && value == "pause")
        o.wait = waiting::pause;
    else if (key == "wait" && value == "gather")
        o.wait = waiting::gather;
    else if (key == "wait" && value == "block")
        o.wait = waiting::block;
    else if (key == "cpus" && value.find(',') != std::string::npos) {
        o.cpus[0] = (int)number(key, value.substr(0, value.find(',')), 0, CPU_SETSIZE - 1);
        o.cpus[1] = (int)number(key, value.substr(value.find(',') + 1), 0, CPU_SETSIZE - 1);
    } else
        fail("%s=%s: see bench/README.md for what is expected", key.c_str(), value.c_str());
}

inline options parse(int argc, char **argv) {
    options o;

    if (argc < 2)
        fail("a case is missing: see bench/README.md");
    o.kase = argv[1];
    if (o.kase != "throughput" && o.kase != "rtt" && o.kase != "oneway" && o.kase != "idle" && o.kase != "join")
        fail("'%s': throughput, rtt, oneway, idle or join expected", argv[1]);
    for (int i = 2; i < argc; i++) {
        const std::string text = argv[i];
        const size_t at = text.find('=');
        if (at == std::string::npos)
            fail("'%s': KEY=VALUE expected", argv[i]);
        set(o, text.substr(0, at), text.substr(at + 1));
    }
    if (o.kase == "oneway" && o.rate <= 0)
        fail("oneway: rate=MESSAGES_PER_SECOND is missing");
    if (o.how != "batch" && o.batch != 1)
        fail("batch=%llu: how=batch is missing", (unsigned long long)o.batch);
    if (o.topics > 1 && o.kase != "throughput")
        unsupported("several topics only for throughput");
    if ((o.kase == "rtt" || o.kase == "oneway") && (o.publishers != 1 || o.subscribers != 1))
        unsupported("one publisher and one subscriber only");
    return o;
}

inline arena *make_arena() {
    arena *a =
        (arena *)mmap(nullptr, sizeof *a, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (a == MAP_FAILED)
        fail("out of memory");
    for (sem_t &go : a->go)
        (void)sem_init(&go, 1, 0);
    (void)sem_init(&a->done, 1, 0);
    return a;
}

/* Fixed-size queues between processes, or large ones: zeroed, touched, shared with the children. */
inline void *shared_memory(size_t bytes) {
    void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (p == MAP_FAILED)
        fail("no memory for a ring of %zu bytes", bytes);
    return p;
}

template <template <size_t> class Peer, size_t SIZE> int run_size(const options &o) {
    /* Never destroyed: the roles go on using it until the process ends. */
    auto *b = new bench<Peer<SIZE>, SIZE>(o, make_arena());
    return b->main();
}

/*
 * For main(): one implementation of the program's. describe: its line of JSON. Returns the exit status, or -1: impl
 * names another one.
 */
template <template <size_t> class Peer> int offer(int argc, char **argv, const char *impl, const char *describe) {
    if (argc == 2 && strcmp(argv[1], "describe") == 0) {
        printf("%s\n", describe);
        return -1;
    }
    const options o = parse(argc, argv);
    if (o.impl != impl)
        return -1;
    ns_per_tick = measure_ns_per_tick();
    switch (o.size) {
    case 8:
        return run_size<Peer, 8>(o);
    case 32:
        return run_size<Peer, 32>(o);
    case 64:
        return run_size<Peer, 64>(o);
    case 256:
        return run_size<Peer, 256>(o);
    case 1024:
        return run_size<Peer, 1024>(o);
    case 4096:
        return run_size<Peer, 4096>(o);
    case 65536:
        return run_size<Peer, 65536>(o);
    case 1048576:
        return run_size<Peer, 1048576>(o);
    default:
        fail("size=%llu: 8, 32, 64, 256, 1024, 4096, 65536 or 1048576 expected", (unsigned long long)o.size);
    }
}

/* The last line of main(). */
inline int finish(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "describe") == 0)
        return 0;
    fail("impl=%s: see 'describe' for what this adapter offers", parse(argc, argv).impl.c_str());
}

} // namespace peer

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publish, receive and the spinning idle neither allocate nor make system calls. Allocations are counted by this
 * program's own malloc, which the library's calls find first; system calls are fatal under a seccomp filter that knows
 * nothing but exit_group. A control case of each proves that it works.
 */
#include "lib/traffic.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

int main(void) {
    printf("1..0 # SKIP a sanitizer has an allocator and system calls of its own\n");
    return 0;
}

#else

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define MAX_MESSAGE 100u
#define LARGE 3000u /* most of them lie in the lane then, which has room for few */
#define LANE 16384u
#define CAPACITY 64u
#define ROUNDS 3000u

/* ---- the allocation counter ---- */

#define COUNTED __attribute__((visibility("default"))) /* or the library would call libc's */

static volatile uint64_t allocations; /* volatile: the compiler assumes that strdup() doesn't change it */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *old);

COUNTED void *malloc(size_t size) {
    allocations += 1;
    return __libc_malloc(size);
}

COUNTED void *calloc(size_t count, size_t size) {
    allocations += 1;
    return __libc_calloc(count, size);
}

COUNTED void *realloc(void *old, size_t size) {
    allocations += 1;
    return __libc_realloc(old, size);
}

COUNTED void *aligned_alloc(size_t alignment, size_t size) {
    allocations += 1;
    return __libc_memalign(alignment, size);
}

COUNTED int posix_memalign(void **out, size_t alignment, size_t size) {
    allocations += 1;
    *out = __libc_memalign(alignment, size);
    return *out != NULL ? 0 : ENOMEM;
}

COUNTED void free(void *old) {
    allocations += 1;
    __libc_free(old);
}

COUNTED void *mmap(void *address, size_t bytes, int prot, int flags, int fd, off_t offset) {
    allocations += 1;
    return (void *)syscall(SYS_mmap, address, bytes, prot, flags, fd, offset); // NOLINT(performance-no-int-to-ptr)
}

/* ---- the filter ---- */

static void forbid_system_calls(void) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    const struct sock_fprog filter = {sizeof program / sizeof program[0], program};

    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

/* ---- what has to be quiet ---- */

enum subject { NOTHING, PUBLISH, RECEIVE, IDLE, CONTROL };

static struct result {
    uint64_t finished; /* the work was done to its end */
    uint64_t allocations;
    uint64_t published, full, delivered, lost, skipped, in_place, wrong;
} * result;

#define SUBSCRIBERS 6u

static struct peers {
    aether_publisher *pub;
    size_t max_message;
    struct test_subscriber subscribers[SUBSCRIBERS]; /* messages are overwritten before the last two receive them */
    aether_idle_state idle;
} peers;

static bool idle_is_quiet = true;

/* The clock that the spinning pause reads: a counter of the CPU, or one that the kernel gives without a system call. */
static bool clock_is_quiet(void) {
#if defined(__x86_64__)
    unsigned a, b, c, d;
    char source[32] = "";
    FILE *file;

    if (__get_cpuid(0x80000007u, &a, &b, &c, &d) != 0 && (d & 1u << 8) != 0)
        return true;
    file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
    if (file != NULL) {
        if (fgets(source, sizeof source, file) == NULL)
            source[0] = '\0';
        fclose(file);
    }
    return strncmp(source, "tsc", 3) == 0 || strncmp(source, "kvm-clock", 9) == 0 || strncmp(source, "hyperv", 6) == 0;
#else
    return true;
#endif
}

/* As receive_some(), but counts errors, as REQUIRE would print them. */
static int quiet_take(void *context, const aether_message *message) {
    struct test_subscriber *subscriber = context;
    const bool behind = subscriber->latest && message->seq > subscriber->expected;

    if ((message->seq != subscriber->expected && !behind) ||
        (message->lost == 0 && !payload_right(message, peers.max_message) &&
         (!subscriber->in_place || aether_still_valid(subscriber->sub, message) != 0)))
        result->wrong++;
    result->skipped += message->seq - subscriber->expected;
    result->in_place += subscriber->in_place;
    if (message->lost != 0)
        result->lost += message->lost;
    else
        result->delivered++;
    subscriber->expected = message->seq + (message->lost != 0 ? message->lost : 1);
    return 0;
}

static int quiet_receive(struct test_subscriber *subscriber, unsigned form) {
    aether_message messages[8];
    int n;

    if (form % 3 == 2) {
        n = aether_poll(subscriber->sub, quiet_take, subscriber, 8);
    } else {
        n = form % 3 == 0 ? aether_receive(subscriber->sub, messages)
                          : aether_receive_batch(subscriber->sub, messages, 8);
        for (int i = 0; i < n; i++)
            quiet_take(subscriber, &messages[i]);
    }
    if (n < 0)
        result->wrong++;
    return n;
}

static unsigned char data[4][LARGE];

/* Two loans, of which the second is committed first, and one that is discarded. */
static int publish_loans(uint64_t seq) {
    aether_loan loans[3] = {{0}};
    int rc = 0;

    for (unsigned i = 0; i < 3 && rc == 0; i++)
        rc = aether_loan_take(peers.pub, payload_len(i < 2 ? seq + 1 - i : seq, peers.max_message), &loans[i]);
    for (unsigned i = 2; i-- > 0 && rc == 0;) {
        fill_bytes(loans[i].data, seq + 1 - i, loans[i].len);
        rc = aether_loan_commit(peers.pub, &loans[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        if (loans[i].data != NULL && aether_loan_discard(peers.pub, &loans[i]) != 0)
            return -1;
    }
    return rc == -ENOBUFS ? AETHER_FULL : rc;
}

static void publish_quietly(void) {
    struct iovec messages[4];
    const uint64_t seq = aether_publisher_next(peers.pub);
    int rc;

    for (size_t i = 0; i < 4; i++)
        messages[i] = (struct iovec){data[i], payload_fill(data[i], seq + i, peers.max_message)};
    switch (mix(seq) % 4) {
    case 0:
        rc = aether_publish(peers.pub, data[0], messages[0].iov_len);
        break;
    case 1:
        rc = aether_publish_batch(peers.pub, messages, 4);
        break;
    case 2:
        rc = publish_loans(seq);
        break;
    default:
        messages[1] = (struct iovec){data[0] + messages[0].iov_len / 2, messages[0].iov_len - messages[0].iov_len / 2};
        messages[0].iov_len /= 2;
        rc = aether_publish_gather(peers.pub, messages, 2);
        break;
    }
    if (rc < 0)
        result->wrong++;
    else if (rc == AETHER_FULL)
        result->full++;
    result->published += aether_publisher_next(peers.pub) - seq;
}

static void work(enum subject subject) {
    for (unsigned round = 0; round < ROUNDS; round++) {
        const unsigned subscribers =
            round % 100 == 99 ? SUBSCRIBERS
                              : SUBSCRIBERS - 2; /* the last two receive rarely, after more than a ring of messages */

        if (round % 50 == 0) { /* until the ring is full, too */
            for (unsigned i = 0; i < CAPACITY; i++)
                publish_quietly();
        }
        publish_quietly();
        for (unsigned i = 0; i < subscribers && subject != PUBLISH; i++) {
            int n;
            do {
                n = quiet_receive(&peers.subscribers[i], round + i);
                if (subject == IDLE && idle_is_quiet)
                    aether_idle(&peers.idle, n);
            } while (n > 0);
        }
    }
}

static void set_up(bool large) {
    static const aether_subscribe_options options[SUBSCRIBERS] = {
        {0},
        {.from = AETHER_FROM_OLDEST},
        {.policy = AETHER_BEST_EFFORT},
        {.policy = AETHER_LATEST},
        {.policy = AETHER_BEST_EFFORT, .from = AETHER_FROM_OLDEST},
        {.policy = AETHER_BEST_EFFORT, .from = AETHER_FROM_OLDEST, .views = AETHER_VIEWS_IN_PLACE}};
    const aether_topic_config config = {.max_message = large ? LARGE : MAX_MESSAGE,
                                        .inline_max = large ? 56 : 0,
                                        .lane_bytes = large ? LANE : 0,
                                        .capacity = CAPACITY};
    const char *topic = large ? "quiet/large" : "quiet/small";
    aether_client *client = connect_as("quiet");

    peers.max_message = config.max_message;
    REQUIRE(aether_publisher_open(client, topic, &config, &peers.pub) == 0);
    for (unsigned i = 0; i < 20; i++)
        publish_quietly();
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        peers.subscribers[i] = (struct test_subscriber){.latest = options[i].policy == AETHER_LATEST,
                                                        .in_place = options[i].views == AETHER_VIEWS_IN_PLACE};
        REQUIRE(aether_subscriber_open(client, topic, &options[i], NULL, &peers.subscribers[i].sub) == 0);
        peers.subscribers[i].expected = aether_subscriber_next(peers.subscribers[i].sub);
    }
    aether_idle_init(&peers.idle, AETHER_IDLE_SPIN, AETHER_IDLE_BUDGET_NS);
}

/* Allocates in the program, in libc, and in the library, each of which must be counted. */
static void allocate_on_purpose(void) {
    const aether_connect_options nowhere = {.socket_path = "/nonexistent/aetherd.sock"};
    uint64_t before = allocations;
    aether_client *client;
    void *volatile p = malloc(1);

    p = realloc(p, 2);
    free(p);
    p = calloc(1, 1);
    free(p);
    REQUIRE(allocations == before + 5);
    p = strdup("an allocation inside libc");
    REQUIRE(allocations == before + 6);
    free(p);
    p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(allocations == before + 8);
    before = allocations;
    REQUIRE(aether_connect(&client, &nowhere) == -ENOENT);
    REQUIRE(allocations >= before + 2);
}

/* arg: a subject, twice, and 1 for large messages. */
static void count_allocations(unsigned arg) {
    const enum subject subject = (enum subject)(arg / 2);
    uint64_t before;

    set_up(arg % 2 != 0);
    before = allocations;
    work(subject);
    result->allocations = allocations - before;
    if (subject == CONTROL)
        allocate_on_purpose();
    result->finished = 1;
}

static void without_system_calls(unsigned arg) {
    const enum subject subject = (enum subject)(arg / 2);

    set_up(arg % 2 != 0);
    forbid_system_calls();
    if (subject != NOTHING)
        work(subject);
    result->finished = 1;
    if (subject == CONTROL) {
        (void)syscall(SYS_getpid);
        result->finished = 2;
    }
}

static int run(void (*play)(unsigned arg), enum subject subject, bool large) {
    memset(result, 0, sizeof *result);
    return reap(spawn(play, 2 * (unsigned)subject + large));
}

/* Proves that the work covered everything: a full ring, gaps, skipped messages, views in place. */
static bool worked(enum subject subject) {
    return result->finished == 1 && result->wrong == 0 && result->published > 0 && result->full > 0 &&
           (subject == PUBLISH ||
            (result->delivered > 3 * ROUNDS && result->lost > 0 && result->skipped > 0 && result->in_place > 0));
}

static void check(enum subject subject, bool large, const char *name) {
    const char *note = subject == IDLE && !idle_is_quiet ? " # SKIP no clock without system calls here" : "";
    const char *size = large ? "large" : "small";
    int status;

    REQUIRE(run(count_allocations, subject, large) == 0 && worked(subject));
    REQUIRE(result->allocations == 0);
    ok("%s, %s messages: no allocation%s", name, size, note);
    status = run(without_system_calls, subject, large);
    if (status != 0 || !worked(subject))
        fail("%s, %s messages: status %#x under the filter", name, size, (unsigned)status);
    ok("%s, %s messages: no system call%s", name, size, note);
}

int main(void) {
    static const struct {
        enum subject subject;
        const char *name;
    } cases[] = {{PUBLISH, "publish, batch, gather and loans"},
                 {RECEIVE, "receive, batch and poll, copied, in place, latest"},
                 {IDLE, "idle"}};
    int status;

    result = share(sizeof *result);
    test_begin(15);
    idle_is_quiet = clock_is_quiet();
    for (int large = 0; large < 2; large++) {
        for (unsigned i = 0; i < 3; i++)
            check(cases[i].subject, large, cases[i].name);
    }
    REQUIRE(run(count_allocations, CONTROL, false) == 0 && result->finished == 1);
    ok("control: the counter counts");
    status = run(without_system_calls, CONTROL, true);
    REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS && result->finished == 1);
    ok("control: getpid() under the filter is fatal");
    REQUIRE(run(without_system_calls, NOTHING, true) == 0 && result->finished == 1);
    ok("control: exit under the filter isn't");
    return 0;
}

#endif

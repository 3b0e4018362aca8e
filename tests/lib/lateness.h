/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lateness.h - was a wake-up lost, or did the machine hold the processes up?
 *
 * A wake-up was lost if a message arrives only because the bounded sleep of 250 ms was over. Delays of the machine are
 * subtracted: the time that the threads of the sleeper's process were ready to run and didn't, as the kernel counts it,
 * and stalls that a process sees that wants to run every 10 ms.
 */
#ifndef AETHER_TESTS_LATENESS_H
#define AETHER_TESTS_LATENESS_H

#include "process.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define THREADS_MAX 8u
#define LATE_NS 200000000ull
#define TICK_NS 10000000ull

/* In memory that all processes of the test share. */
struct machine {
    uint64_t ticks, stalled_ns;
};

static struct machine *machine;

/* Ticks every 10 ms, and adds up by how much it was late. For spawn(); kill it at the end. */
static inline void watch_machine(unsigned arg) {
    const struct timespec tick = {.tv_nsec = (long)TICK_NS};
    uint64_t before = now_ns();

    (void)arg;
    for (;;) {
        nanosleep(&tick, NULL);
        const uint64_t now = now_ns();
        if (now - before > 2 * TICK_NS)
            add(&machine->stalled_ns, now - before - TICK_NS);
        before = now;
        add(&machine->ticks, 1);
    }
}

/*
 * For how long the threads of this process were ready to run without running; 0 where the kernel doesn't count it. All
 * of them: a message reaches a notifier or a waitset through a helper. A process whose parent has called it may not
 * call it.
 */
static inline uint64_t threads_held_up_ns(void) {
    static int fds[THREADS_MAX];
    static unsigned count;
    uint64_t all = 0;
    struct stat task;

    REQUIRE(stat("/proc/self/task", &task) == 0);
    if (count != task.st_nlink - 2) { /* the first call, and the first one after a helper was started */
        DIR *dir = opendir("/proc/self/task");
        const struct dirent *entry;
        char path[300];
        REQUIRE(dir != NULL && task.st_nlink - 2 <= THREADS_MAX);
        while (count > 0)
            close(fds[--count]);
        while ((entry = readdir(dir)) != NULL && count < THREADS_MAX) {
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", entry->d_name);
            fds[count++] = open(path, O_RDONLY | O_CLOEXEC);
        }
        closedir(dir);
    }
    for (unsigned i = 0; i < count; i++)
        all += held_up_ns(fds[i]);
    return all;
}

static inline bool wants_processor(const char *tid) {
    char path[300];

    snprintf(path, sizeof path, "/proc/self/task/%s/stat", tid);
    return state_in(path) == 'R';
}

/*
 * The kernel counts for how long a thread was ready to run when that thread gets a processor, and not before. Waits
 * until each other thread of this process has had one.
 */
static inline void let_threads_run(void) {
    DIR *dir = opendir("/proc/self/task");
    const struct dirent *entry;

    REQUIRE(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != gettid())
            AWAIT(!wants_processor(entry->d_name));
    }
    closedir(dir);
}

/* What was known when the sleep began. held_up: by held_up_ns(), of the threads that sleep. */
struct nap {
    uint64_t start, held_up, stalled;
};

static inline struct nap nap_begin(uint64_t held_up) {
    return (struct nap){now_ns(), held_up, get(&machine->stalled_ns)};
}

/*
 * The message that came first after the nap. from: when its publish began. sent: when that had returned, or 0 if its
 * publisher was killed before that, or if another one was whose sequences aetherd had to abort before the message could
 * be received: then the message was late for that reason, and aetherd has woken the sleeper. held_up() is what
 * nap_begin() got. If the message was late, prints that, and adds 1 to *late if the wake-up was lost, or to *excused if
 * the machine was the reason. name and i say which sleeper it is.
 */
static inline void nap_judge(const struct nap *nap, uint64_t from, const uint64_t *sent, uint64_t (*held_up)(void),
                             const char *name, unsigned i, uint64_t *late, uint64_t *excused) {
    const uint64_t now = now_ns();
    uint64_t returned, begin, ticks, late_ns, machine_ns;

    if (now - from < LATE_NS || now - nap->start < LATE_NS)
        return;
    returned = get(sent);
    begin = nap->start > returned ? nap->start : returned;
    ticks = get(&machine->ticks);
    AWAIT(get(&machine->ticks) >= ticks + 2); /* a stall is added when it is over */
    let_threads_run();
    late_ns = now > begin && returned != 0 ? now - begin : 0;
    machine_ns = held_up() - nap->held_up + get(&machine->stalled_ns) - nap->stalled;
    printf("# %s %u: a message %llu ms late, %llu of them the machine's%s\n", name, i,
           (unsigned long long)late_ns / 1000000, (unsigned long long)machine_ns / 1000000,
           returned == 0 ? "; a publisher was killed" : "");
    add(late_ns > LATE_NS + machine_ns ? late : excused, 1);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - for tests of whole processes in C: TAP, a private daemon, and child processes.
 *
 * Nothing outlives a test: each child dies with its parent, and a watchdog ends a test in which nothing happens any
 * more.
 *
 * No limit of time is for an amount of work: on a machine with twenty times more to do than it has processors, each
 * amount takes twenty times longer, or more. A limit is for the time without progress: of one step, or of a word that
 * changes with each step.
 */
#ifndef AETHER_TESTS_PROCESS_H
#define AETHER_TESTS_PROCESS_H

#include <aether/aether.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_S 60u /* for one step, such as one message, one answer, one start */
#define HANG_S 240u    /* without a step of any process of the test */
#define CHILDREN_MAX 96
#define STEPS (CHILDREN_MAX + 2)

/* A sanitizer takes its time: tests do less of the same there. */
#if defined(AE_TSAN) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static struct {
    char dir[64];
    char socket[96];
    char config[96]; /* the daemon's configuration file; "": none */
    char log[96];    /* set by test_begin() if `logs` */
    bool logs;       /* the daemon logs what it does, and a test that fails prints the end of that */
    pid_t daemon;    /* 0: none */
    pid_t children[CHILDREN_MAX];
    pid_t watchdog;
    unsigned self; /* which of `steps` is of this process */
    unsigned cases;
    /*
     * Shared: how many steps the test's processes have made: the first one, its children, and in the last place what
     * loops that wait have seen of others. One line of cache each, so that no process disturbs another.
     */
    struct {
        uint64_t count;
        uint64_t unused[7];
    } * steps;
} test;

/* ---- progress ---- */

/* This process has got on, which keeps the watchdog quiet. Not for what a process does again and again for nothing. */
static inline void made_step(void) {
    uint64_t *count;

    if (test.steps == NULL)
        return;
    count = &test.steps[test.self].count;
    __atomic_store_n(count, __atomic_load_n(count, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

/* ---- TAP ---- */

__attribute__((format(printf, 1, 2), unused)) static void ok(const char *format, ...) {
    va_list args;

    printf("ok %u - ", ++test.cases);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    made_step();
}

/* Prints the lines of a file as comments: the first `most`, or the last ones if most < 0. */
static inline void print_lines(FILE *out, const char *path, int most) {
    FILE *file = fopen(path, "r");
    char line[400];
    long lines = 0;

    for (; file != NULL && most < 0 && fgets(line, sizeof line, file) != NULL; lines++)
        continue;
    if (file != NULL)
        rewind(file);
    for (long i = 0; file != NULL && fgets(line, sizeof line, file) != NULL; i++) {
        if (most < 0 ? i >= lines + most : i < most)
            fprintf(out, "# %s%s", line, strchr(line, '\n') == NULL ? "\n" : "");
    }
    if (file != NULL)
        fclose(file);
}

/*
 * What the daemon does, for a test that fails: a daemon that was killed by others, one that waits in the kernel, and
 * one that gets no processor look alike to its clients. schedstat: ns on a processor, ns ready to run and waiting for
 * one.
 */
static inline void print_daemon(FILE *out) {
    static const struct {
        const char *name;
        int most;
    } files[] = {{"status", 3}, {"wchan", 1}, {"stack", 20}, {"syscall", 1}, {"schedstat", 1}};
    siginfo_t end = {0};
    char path[64];

    if (test.daemon == 0) {
        fprintf(out, "# aetherd: none was started, or the test has ended it\n");
    } else if (waitid(P_PID, (id_t)test.daemon, &end, WEXITED | WNOHANG | WNOWAIT) != 0 || end.si_pid != 0) {
        fprintf(out, "# aetherd (pid %d) has ended, and not by this test: %s %d\n", (int)test.daemon,
                end.si_code == CLD_EXITED ? "exit status" : "signal", end.si_status);
    } else {
        fprintf(out, "# aetherd (pid %d) runs:\n", (int)test.daemon);
        for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
            snprintf(path, sizeof path, "/proc/%d/%s", (int)test.daemon, files[i].name);
            print_lines(out, path, files[i].most);
        }
    }
    print_lines(out, "/proc/loadavg", 1);
    if (test.logs) {
        fprintf(out, "# the end of its log:\n");
        print_lines(out, test.log, -20);
    }
}

/* The state of a process or thread by its `stat` in /proc, such as 'R' or 'S'; '?' if it has gone. */
static inline char state_in(const char *stat_path) {
    FILE *file = fopen(stat_path, "re");
    char state;

    if (file == NULL || fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = '?';
    if (file != NULL)
        fclose(file);
    return state;
}

/* Which children there are, what each does, and how many steps it has made. */
static inline void print_children(FILE *out) {
    char path[64], wait[48];

    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        FILE *file;
        if (test.children[i] == 0)
            continue;
        snprintf(path, sizeof path, "/proc/%d/stat", (int)test.children[i]);
        const char state = state_in(path);
        snprintf(path, sizeof path, "/proc/%d/wchan", (int)test.children[i]);
        file = fopen(path, "re");
        if (file == NULL || fscanf(file, "%47s", wait) != 1)
            snprintf(wait, sizeof wait, "?");
        if (file != NULL)
            fclose(file);
        fprintf(out, "# process %d: state %c, in %s, %llu steps\n", (int)test.children[i], state, wait,
                (unsigned long long)__atomic_load_n(&test.steps[1 + i].count, __ATOMIC_RELAXED));
    }
}

/* Ends the test. In a child: prints the text on stderr and exits with 1, which its parent checks. */
__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...) {
    const bool parent = test.cases != UINT32_MAX;
    FILE *out = parent ? stdout : stderr;
    va_list args;

    if (parent)
        fprintf(out, "not ok %u - ", test.cases + 1);
    else
        fprintf(out, "# process %d: ", (int)getpid());
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fprintf(out, "\n");
    if (parent) {
        print_children(out);
        print_daemon(out);
    }
    fflush(out);
    if (parent)
        exit(1);
    _exit(1);
}

/* From the watchdog, in the test's first process. */
static inline void on_alarm(int number) {
    (void)signal(number, SIG_DFL); /* if this hangs, too */
    alarm(20);
    fail("no process of the test has made a step for %u s", HANG_S);
}

/* From what runs the tests. Says what the processes do, and leaves no objects behind. */
static inline void on_terminate(int number) {
    (void)signal(number, SIG_DFL);
    if (test.cases == UINT32_MAX)
        _exit(1);
    fail("ended by signal %d", number);
}

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail("%s:%d: %s (last error: %s)", __FILE__, __LINE__, #condition, aether_errmsg());                       \
    } while (0)

/* A number from the environment, or else `standard`. Prints it, so that a run can be repeated. */
static inline uint64_t setting(const char *name, uint64_t standard) {
    const char *text = getenv(name);
    const uint64_t value = text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : standard;

    printf("# %s=%llu\n", name, (unsigned long long)value);
    return value;
}

static inline uint64_t now_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ms(void) {
    return now_ns() / 1000000u;
}

/* 1 ms, between two polls of a condition. */
static inline void poll_pause(void) {
    const struct timespec ms = {.tv_nsec = 1000000};

    nanosleep(&ms, NULL);
}

/*
 * For a child: waits for its parent, without a limit. The parent has the limits, and its children end with it.
 */
#define AWAIT_PARENT(condition)                                                                                        \
    do {                                                                                                               \
        while (!(condition))                                                                                           \
            poll_pause();                                                                                              \
    } while (0)

/*
 * Polls a condition that comes true by one step of another process. The test fails if it doesn't in DEADLINE_S. The
 * last poll begins when the time is over, so a pause of this process fails no test.
 */
#define AWAIT(condition)                                                                                               \
    do {                                                                                                               \
        const uint64_t until = now_ms() + DEADLINE_S * 1000u;                                                          \
        for (bool over = false; !(condition); over = now_ms() > until) {                                               \
            if (over)                                                                                                  \
                fail("%s:%d: not within %u s: %s (last error: %s)", __FILE__, __LINE__, DEADLINE_S, #condition,        \
                     aether_errmsg());                                                                                 \
            poll_pause();                                                                                              \
        }                                                                                                              \
        made_step();                                                                                                   \
    } while (0)

/* For loops that wait for many steps: how long ago a word has changed that changes with each step. */
struct patience {
    uint64_t word, since_ms;
};

static inline struct patience patience_with(uint64_t word) {
    return (struct patience){word, now_ms()};
}

/* Is the word the same as it was DEADLINE_S ago? Call it after each poll. */
static inline bool patience_over(struct patience *patience, uint64_t word) {
    const uint64_t now = now_ms();

    if (word != patience->word) {
        *patience = (struct patience){word, now};
        __atomic_fetch_add(&test.steps[STEPS - 1].count, 1, __ATOMIC_RELAXED); /* not a step of this process */
    }
    return now - patience->since_ms > DEADLINE_S * 1000u;
}

__attribute__((noreturn)) static inline void fail_stuck(const char *file, int line, const char *condition,
                                                        const char *name, const struct patience *patience) {
    fail("%s:%d: not yet: %s; %s is %llu, and has not changed for %llu ms (last error: %s)", file, line, condition,
         name, (unsigned long long)patience->word, (unsigned long long)(now_ms() - patience->since_ms),
         aether_errmsg());
}

/*
 * Polls a condition that comes true by many steps. Each of them changes the word, and has DEADLINE_S; how long all of
 * them take doesn't matter.
 */
#define AWAIT_PROGRESS(word, condition)                                                                                \
    do {                                                                                                               \
        struct patience patience = patience_with(word);                                                                \
        for (bool over = false; !(condition); over = patience_over(&patience, word)) {                                 \
            if (over)                                                                                                  \
                fail_stuck(__FILE__, __LINE__, #condition, #word, &patience);                                          \
            poll_pause();                                                                                              \
        }                                                                                                              \
        made_step();                                                                                                   \
    } while (0)

/* ---- words that processes of a test share ---- */

static inline uint64_t get(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void set(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline void add(uint64_t *word, uint64_t value) {
    __atomic_fetch_add(word, value, __ATOMIC_ACQ_REL);
}

static inline void *share(size_t bytes) {
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    REQUIRE(map != MAP_FAILED);
    return map;
}

/* ---- children ---- */

/* How many steps all processes of the test have made, of those that made_step() counts. */
static inline uint64_t all_steps(void) {
    uint64_t all = 0;

    for (unsigned i = 0; i < STEPS - 1; i++)
        all += __atomic_load_n(&test.steps[i].count, __ATOMIC_RELAXED);
    return all;
}

static inline pid_t fork_tied(void) {
    const pid_t parent = getpid(), pid = fork();

    REQUIRE(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
    }
    return pid;
}

/* Runs play(arg) in a process of its own, which ends with it. */
static inline pid_t spawn(void (*play)(unsigned arg), unsigned arg) {
    unsigned i = 0;
    pid_t pid;

    while (i < CHILDREN_MAX && test.children[i] != 0)
        i++;
    REQUIRE(i < CHILDREN_MAX);
    pid = fork_tied();
    if (pid == 0) {
        test.cases = UINT32_MAX;
        test.self = 1 + i;
        play(arg);
        _exit(0);
    }
    test.children[i] = pid;
    made_step();
    return pid;
}

/* How many steps a child has made, of those that made_step() counts. */
static inline uint64_t steps_of(pid_t pid) {
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        if (test.children[i] == pid)
            return __atomic_load_n(&test.steps[1 + i].count, __ATOMIC_RELAXED);
    }
    return 0;
}

static inline int reap(pid_t pid) {
    int status;

    REQUIRE(waitpid(pid, &status, 0) == pid);
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        if (test.children[i] == pid)
            test.children[i] = 0;
    }
    made_step();
    return status;
}

static inline void kill_child(pid_t pid) {
    REQUIRE(kill(pid, SIGKILL) == 0);
    REQUIRE(WIFSIGNALED(reap(pid)));
}

/* Stops a child; returns when it has stopped. */
static inline void freeze_child(pid_t pid) {
    int status;

    REQUIRE(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

static inline void thaw_child(pid_t pid) {
    REQUIRE(kill(pid, SIGCONT) == 0);
}

/* Waits for a child that has to end well. */
static inline void join_child(pid_t pid) {
    REQUIRE(reap(pid) == 0);
}

/* ---- time that the machine takes ---- */

/* fd: of a schedstat in /proc. For how long its thread was ready to run without running; 0 where that isn't counted. */
static inline uint64_t held_up_ns(int fd) {
    unsigned long long ran, waited;
    char text[96];
    const ssize_t n = fd >= 0 ? pread(fd, text, sizeof text - 1, 0) : -1;

    if (n <= 0)
        return 0;
    text[n] = '\0';
    return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? waited : 0;
}

/* As held_up_ns(), of a process with one thread. */
static inline uint64_t process_held_up_ns(pid_t pid) {
    char path[64];
    uint64_t ns;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    ns = held_up_ns(fd);
    if (fd >= 0)
        close(fd);
    return ns;
}

/* ---- daemon ---- */

static inline aether_client *connect_as(const char *name) {
    const aether_connect_options options = {.socket_path = test.socket, .name = name};
    aether_client *client = NULL;
    int rc;

    /* On a machine with far more work than processors aetherd may need more than the 5 seconds of a request. */
    AWAIT((rc = aether_connect(&client, &options)) != -ETIMEDOUT);
    REQUIRE(rc == 0);
    return client;
}

/* The daemon is dead, or about to be: the same call may succeed with its successor. */
static inline bool no_daemon(int rc) {
    return rc == -ECONNREFUSED || rc == -ENOENT || rc == -ETIMEDOUT || rc == -ECONNRESET || rc == -EPIPE;
}

/* Also while the daemon is being replaced. */
static inline aether_client *connect_patiently(const char *name) {
    const aether_connect_options options = {.socket_path = test.socket, .name = name};
    aether_client *client = NULL;
    int rc;

    AWAIT(!no_daemon(rc = aether_connect(&client, &options)));
    REQUIRE(rc == 0);
    return client;
}

static inline bool daemon_answers(void) {
    const aether_connect_options options = {.socket_path = test.socket, .name = "start-up"};
    aether_client *client;

    if (waitpid(test.daemon, NULL, WNOHANG) != 0) {
        test.daemon = 0;
        fail("the daemon ended by itself; its log is on stderr");
    }
    if (aether_connect(&client, &options) != 0)
        return false;
    aether_disconnect(client);
    return true;
}

/* The path of a program, from the environment; "", which no exec takes, if it has none. */
static inline const char *program_of(const char *variable) {
    const char *path = getenv(variable);

    return path != NULL ? path : "";
}

static inline void daemon_start(void) {
    test.daemon = fork_tied();
    if (test.daemon == 0) {
        const char *level = test.logs ? "info" : "warning";
        execl(program_of("AETHERD"), "aetherd", "--socket", test.socket, "--log-level", level,
              test.logs ? "--log" : "--log-level", test.logs ? test.log : level,
              test.config[0] != '\0' ? "--config" : NULL, test.config, (char *)NULL);
        _exit(127);
    }
    AWAIT(daemon_answers());
}

static inline void daemon_kill(void) {
    REQUIRE(kill(test.daemon, SIGKILL) == 0);
    REQUIRE(waitpid(test.daemon, NULL, 0) == test.daemon);
    test.daemon = 0;
}

/* ---- the test ---- */

/*
 * Wakes the test's first process when no process has made a step for HANG_S. It counts seconds in which it has run
 * itself: in a pause of the whole machine no process can make a step.
 */
__attribute__((noreturn)) static inline void watch_steps(void) {
    const struct timespec second = {.tv_sec = 1};
    uint64_t before = 0;

    for (unsigned idle = 0; idle < HANG_S; idle++) {
        nanosleep(&second, NULL);
        const uint64_t now = all_steps() + __atomic_load_n(&test.steps[STEPS - 1].count, __ATOMIC_RELAXED);
        if (now != before)
            idle = 0;
        before = now;
    }
    kill(getppid(), SIGALRM);
    for (;;)
        pause();
}

static inline void clean_up(void) {
    char file[128];

    if (test.cases == UINT32_MAX)
        return;
    kill(test.watchdog, SIGKILL);
    waitpid(test.watchdog, NULL, 0);
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        if (test.children[i] != 0) {
            kill(test.children[i], SIGKILL);
            waitpid(test.children[i], NULL, 0);
        }
    }
    if (test.daemon != 0) { /* a daemon that stops with no client attached removes its objects */
        kill(test.daemon, SIGTERM);
        kill(test.daemon, SIGCONT); /* a test may have stopped it */
        waitpid(test.daemon, NULL, 0);
    }
    snprintf(file, sizeof file, "%s.lock", test.socket);
    unlink(file);
    unlink(test.socket);
    if (test.logs)
        unlink(test.log);
    rmdir(test.dir);
}

/* For main: a private directory and a daemon in it. */
static inline void test_begin(unsigned cases) {
    const char *tmp = getenv("TMPDIR");

    if (getenv("AETHERD") == NULL) {
        printf("1..0 # SKIP AETHERD names no daemon to test\n");
        exit(0);
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* or children would print it again */
    printf("1..%u\n", cases);
    snprintf(test.dir, sizeof test.dir, "%.40s/aether-test-XXXXXX", tmp != NULL && *tmp != '\0' ? tmp : "/tmp");
    REQUIRE(mkdtemp(test.dir) != NULL);
    snprintf(test.socket, sizeof test.socket, "%s/aetherd.sock", test.dir);
    snprintf(test.log, sizeof test.log, "%s/aetherd.log", test.dir);
    test.steps = share(STEPS * sizeof *test.steps);
    (void)signal(SIGALRM, on_alarm);
    test.watchdog = fork_tied();
    if (test.watchdog == 0)
        watch_steps();
    atexit(clean_up);
    (void)signal(SIGTERM, on_terminate);
    daemon_start();
}

#endif

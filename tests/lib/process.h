/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - for tests of whole processes in C: TAP, a private daemon, and child processes.
 *
 * Nothing outlives a test: each child dies with its parent, and each process has an alarm.
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

#define DEADLINE_S 30u /* for anything that must happen */
#define LIFE_S 240u    /* of any process */
#define CHILDREN_MAX 96

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
    unsigned cases;
} test;

/* ---- TAP ---- */

__attribute__((format(printf, 1, 2), unused)) static void ok(const char *format, ...) {
    va_list args;

    printf("ok %u - ", ++test.cases);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
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
    if (parent)
        print_daemon(out);
    fflush(out);
    if (parent)
        exit(1);
    _exit(1);
}

/* A process has lived for LIFE_S. */
static inline void on_alarm(int number) {
    (void)signal(number, SIG_DFL); /* if this hangs, too */
    alarm(20);
    fail("not within %u s", LIFE_S);
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

/* Polls the condition; the test fails if it doesn't come true in time. */
#define AWAIT(condition)                                                                                               \
    do {                                                                                                               \
        const uint64_t until = now_ms() + DEADLINE_S * 1000u;                                                          \
        while (!(condition)) {                                                                                         \
            if (now_ms() > until)                                                                                      \
                fail("%s:%d: not within %u s: %s (last error: %s)", __FILE__, __LINE__, DEADLINE_S, #condition,        \
                     aether_errmsg());                                                                                 \
            poll_pause();                                                                                              \
        }                                                                                                              \
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

static inline pid_t fork_tied(void) {
    const pid_t parent = getpid(), pid = fork();

    REQUIRE(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        alarm(LIFE_S);
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
        play(arg);
        _exit(0);
    }
    test.children[i] = pid;
    return pid;
}

static inline int reap(pid_t pid) {
    int status;

    REQUIRE(waitpid(pid, &status, 0) == pid);
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        if (test.children[i] == pid)
            test.children[i] = 0;
    }
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

    REQUIRE(aether_connect(&client, &options) == 0);
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

static inline void daemon_start(void) {
    test.daemon = fork_tied();
    if (test.daemon == 0) {
        alarm(0);
        const char *level = test.logs ? "info" : "warning";
        execl(getenv("AETHERD"), "aetherd", "--socket", test.socket, "--log-level", level,
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

static inline void clean_up(void) {
    char file[128];

    if (test.cases == UINT32_MAX)
        return;
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

    (void)signal(SIGALRM, on_alarm);
    alarm(LIFE_S);
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
    atexit(clean_up);
    daemon_start();
}

#endif

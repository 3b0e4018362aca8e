/* SPDX-License-Identifier: Apache-2.0 */
/* bench.c - `bench`: its commands and options, and the processes that measure. */
#include "bench.h"
#include "args.h"
#include "commands.h"
#include "daemon.h"
#include "dispatch.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DAEMON_START_NS 5000000000ull
#define LANE_BYTES                                                                                                     \
    (UINT64_C(8) << 20)  /* as the throughput preset's ring: more than a core's L2, less than the shared L3 */
#define LANE_SLOTS 2048u /* of a topic with a lane: as many as its shortest messages fit in there */

/* ---- clock and histogram ---- */

double bench_ns_per_tick(void) {
    static double ratio;

    if (ratio == 0) {
        const uint64_t ns = cli_now_ns(), ticks = bench_ticks();
        while (cli_now_ns() - ns < 20000000)
            continue;
        ratio = (double)(cli_now_ns() - ns) / (double)(bench_ticks() - ticks);
    }
    return ratio;
}

/*
 * The quantile, with the samples of a bucket spread evenly over the space between its neighbours: many a CPU's counter
 * moves in steps (AMD's: 10 ns), and a median that can only be 110 or 120 says little about a ratio.
 */
double histogram_ns(const struct histogram *h, double quantile) {
    const double rank = (double)h->count * quantile;
    double seen = 0;
    uint32_t before = 0, after;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (h->bucket[i] == 0)
            continue;
        if (seen + h->bucket[i] > rank) {
            for (after = i + 1; after < HISTOGRAM_BUCKETS && h->bucket[after] == 0;)
                after++;
            if (after == HISTOGRAM_BUCKETS) /* the largest sample: nothing is known beyond it */
                after = i + 1;
            const double low = before == 0 ? i : (before + i) / 2.0, high = (i + after) / 2.0;
            return (low + (high - low) * (rank - seen) / h->bucket[i]) * bench_ns_per_tick();
        }
        seen += h->bucket[i];
        before = i;
    }
    return HISTOGRAM_BUCKETS * bench_ns_per_tick();
}

/* ---- the floor: one cache line there, one back ---- */

static void floor_ping(struct bench_arena *arena, struct histogram *h) {
    uint64_t last = bench_ticks();

    memset(h, 0, sizeof *h);
    for (uint64_t i = 1; i <= BENCH_FLOOR_TRIPS; i++) {
        __atomic_store_n(&arena->ping.v, i, __ATOMIC_RELEASE);
        while (__atomic_load_n(&arena->pong.v, __ATOMIC_ACQUIRE) != i)
            continue;
        const uint64_t now = bench_ticks();
        histogram_add(h, now - last);
        last = now;
    }
    __atomic_store_n(&arena->ping.v, 0, __ATOMIC_RELEASE);
    while (__atomic_load_n(&arena->pong.v, __ATOMIC_ACQUIRE) != 0)
        continue;
}

void bench_floor_pong(struct bench_arena *arena) {
    for (uint64_t i = 1; i <= BENCH_FLOOR_TRIPS; i++) {
        while (__atomic_load_n(&arena->ping.v, __ATOMIC_ACQUIRE) != i)
            continue;
        __atomic_store_n(&arena->pong.v, i, __ATOMIC_RELEASE);
    }
    while (__atomic_load_n(&arena->ping.v, __ATOMIC_ACQUIRE) != 0)
        continue;
    __atomic_store_n(&arena->pong.v, 0, __ATOMIC_RELEASE);
}

/* The halves agree within 25 %. */
static bool floor_steady(const struct histogram *before, const struct histogram *after) {
    const double a = histogram_ns(before, 0.5), b = histogram_ns(after, 0.5);

    return a <= b * 1.25 && b <= a * 1.25;
}

/* ---- steps ---- */

void bench_go(struct bench *bench) {
    __atomic_store_n(&bench->arena->step.v, bench->arena->step.v + 1, __ATOMIC_RELEASE);
}

static bool child_is(struct bench *bench, int i, uint64_t step) {
    const uint64_t done = __atomic_load_n(&bench->arena->child[i].done.v, __ATOMIC_ACQUIRE);

    return done == step || done == BENCH_FAILED;
}

bool bench_joined_from(struct bench *bench, int first) {
    for (int i = first; i < bench->children; i++) {
        for (unsigned round = 0; !child_is(bench, i, bench->arena->step.v); round++) {
            if (round % 256 != 255)
                continue;
            sched_yield();
            if (cli_signal != 0)
                return false;
            if (waitpid(bench->pids[i], NULL, WNOHANG) == bench->pids[i]) {
                bench->pids[i] = 0;
                return cli_error(CLI_FAILURE, "bench: one of its processes died"), false;
            }
        }
        if (bench->arena->child[i].done.v == BENCH_FAILED)
            return cli_error(CLI_FAILURE, "bench: %s", bench->arena->child[i].text), false;
    }
    return true;
}

bool bench_joined(struct bench *bench) {
    return bench_joined_from(bench, 0);
}

uint64_t bench_next_step(struct bench *bench, uint64_t step) {
    uint64_t now;

    for (unsigned round = 0; (now = __atomic_load_n(&bench->arena->step.v, __ATOMIC_ACQUIRE)) == step; round++) {
        if (round % 256 == 255)
            sched_yield();
    }
    return now;
}

void bench_reached(struct bench *bench, int index, uint64_t step) {
    __atomic_store_n(&bench->arena->child[index].done.v, step, __ATOMIC_RELEASE);
}

int bench_child_error(struct bench *bench, int index, const char *format, ...) {
    va_list args;

    va_start(args, format);
    (void)vsnprintf(bench->arena->child[index].text, sizeof bench->arena->child[index].text, format, args);
    va_end(args);
    bench_reached(bench, index, BENCH_FAILED);
    return CLI_FAILURE;
}

/* ---- runs ---- */

static bool floor_half(struct bench *bench, struct histogram *h) {
    bench_go(bench);
    floor_ping(bench->arena, h);
    return bench_joined(bench);
}

static int by_ratio(const void *a, const void *b) {
    const double x = ((const struct bench_result *)a)->ratio, y = ((const struct bench_result *)b)->ratio;

    return x < y ? -1 : x > y;
}

int bench_measure(struct bench *bench, const struct bench_options *options, const struct bench_case *bench_case,
                  struct bench_result *results, uint64_t *discarded) {
    static struct histogram before, after;
    uint64_t accepted = 0;
    bool warm = false; /* after a run that isn't counted every page has been touched and the cores run at their speed */

    *discarded = 0;
    while (accepted < options->runs) {
        struct bench_result *r = &results[accepted];
        if (!floor_half(bench, &before) || !bench_case->run(bench, options, bench_case->context, r) ||
            !floor_half(bench, &after) || cli_signal != 0)
            return cli_signal != 0 ? cli_signal_status() : CLI_FAILURE;
        if (!warm) {
            warm = true;
            continue;
        }
        if (!floor_steady(&before, &after)) {
            if (++*discarded == options->runs + BENCH_ATTEMPTS_MAX)
                return cli_error(CLI_FAILURE, "bench: the cores' distance changed during too many runs: try again");
            continue;
        }
        r->floor_ns = (histogram_ns(&before, 0.5) + histogram_ns(&after, 0.5)) / 2;
        r->ratio = bench_case->ratio(r);
        accepted++;
        const struct ae_view_run run = {.number = accepted,
                                        .of = options->runs,
                                        .ratio = r->ratio,
                                        .unit = bench_case->unit,
                                        .floor_ns = r->floor_ns,
                                        .stall_ns = r->stall_ns};
        (void)ae_view_run(&options->view, &run);
    }
    qsort(results, accepted, sizeof *results, by_ratio);
    return CLI_OK;
}

/* ---- a private daemon ---- */

/* Beside this program when installed, in the neighbouring folder when built, else in PATH. */
static void exec_daemon(const char *socket) {
    static const char *const places[] = {"aetherd", "../aetherd/aetherd"};
    const char *named = getenv("AETHERD");
    char self[512], path[600];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);

    if (named != NULL && named[0] != '\0') {
        execlp(named, "aetherd", "--socket", socket, "--log-level", "error", (char *)NULL);
        _exit(127);
    }
    if (len > 0) {
        self[len] = '\0';
        *strrchr(self, '/') = '\0';
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            (void)snprintf(path, sizeof path, "%s/%s", self, places[i]);
            execl(path, "aetherd", "--socket", socket, "--log-level", "error", (char *)NULL);
        }
    }
    execlp("aetherd", "aetherd", "--socket", socket, "--log-level", "error", (char *)NULL);
    _exit(127);
}

static int start_daemon(struct bench *bench) {
    const uint64_t deadline = cli_now_ns() + DAEMON_START_NS;
    const pid_t parent = getpid();

    (void)strcpy(bench->directory, "/tmp/aether-bench-XXXXXX");
    if (mkdtemp(bench->directory) == NULL) {
        bench->directory[0] = '\0';
        return cli_error(CLI_FAILURE, "bench: /tmp: %s", strerror(errno));
    }
    (void)snprintf(bench->socket, sizeof bench->socket, "%s/aetherd.sock", bench->directory);
    bench->socket_path = bench->socket;
    bench->daemon = fork();
    if (bench->daemon < 0)
        return cli_error(CLI_FAILURE, "bench: fork: %s", strerror(errno));
    if (bench->daemon == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* it ends with us, whatever ends us */
        if (getppid() != parent)
            _exit(1);
        exec_daemon(bench->socket);
    }
    while (access(bench->socket, F_OK) != 0) { /* it is renamed into place when the daemon listens */
        int status;
        if (waitpid(bench->daemon, &status, WNOHANG) == bench->daemon) {
            bench->daemon = 0;
            return cli_error(CLI_FAILURE,
                             "bench: aetherd didn't start: is it installed beside aether-cli? ($AETHERD names one)");
        }
        if (cli_now_ns() > deadline)
            return cli_error(CLI_FAILURE, "bench: aetherd wasn't ready within 5 seconds");
        (void)poll(NULL, 0, 5);
    }
    return CLI_OK;
}

static void stop_daemon(struct bench *bench) {
    char lock[128];

    if (bench->daemon > 0) {
        (void)kill(bench->daemon, SIGTERM);
        (void)waitpid(bench->daemon, NULL, 0);
    }
    if (bench->directory[0] == '\0')
        return;
    (void)snprintf(lock, sizeof lock, "%s.lock", bench->socket);
    (void)unlink(lock); /* nobody else knows the directory */
    (void)unlink(bench->socket);
    (void)rmdir(bench->directory);
}

/* ---- processes ---- */

static void pin(const struct bench *bench, int side) {
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)bench->cpus[side], &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

static void choose_cpus(struct bench *bench) {
    cpu_set_t set;
    int found = 0;

    CPU_ZERO(&set);
    (void)sched_getaffinity(0, sizeof set, &set);
    for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++) {
        if (CPU_ISSET((size_t)cpu, &set))
            bench->cpus[found++] = cpu;
    }
    if (found < 2) {
        bench->cpus[1] = bench->cpus[0];
        fprintf(stderr, "aether-cli: bench: only one core is available: both sides share it, figures mean little\n");
    }
}

static int connect_bench(struct bench *bench, const char *command) {
    aether_daemon_info info;
    aether_inspector *inspector;
    int running = 0;
    int status;

    bench->socket_path = cli_socket();
    if (aether_inspect_open(&inspector, bench->socket_path) == 0) {
        running = aether_inspect_daemon(inspector, &info) == 0 && info.running;
        aether_inspect_close(inspector);
    }
    if (!running && (status = start_daemon(bench)) != CLI_OK)
        return status;
    if ((status = cli_set_socket(bench->socket_path)) != CLI_OK)
        return status;
    return cli_connect(command, &bench->client);
}

static int create_topics(struct bench *bench, const struct bench_options *options, int topics) {
    aether_topic_config config = {
        .max_message = options->size > 0 ? options->size : 1,
        .capacity = options->capacity,
        .preset = options->preset,
        .publishers = options->admits,
    };

    if (bench_has_lane(options)) {
        config.lane_bytes = options->lane != 0 ? options->lane : LANE_BYTES;
        while (options->lane == 0 && config.lane_bytes < 2 * options->size)
            config.lane_bytes *= 2;
        if (config.capacity == 0)
            config.capacity = LANE_SLOTS;
    }
    for (int i = 0; i < topics; i++) {
        int rc;
        (void)snprintf(bench->topic[i], sizeof bench->topic[i], "bench/%ld/%d", (long)getpid(), i);
        rc = aether_topic_create(bench->client, bench->topic[i], &config);
        if (rc != 0) {
            bench->topic[i][0] = '\0';
            return cli_library_error(rc);
        }
    }
    return CLI_OK;
}

int bench_start(struct bench *bench, const char *command, const struct bench_options *options, int topics, int children,
                bench_child *child) {
    const pid_t parent = getpid();
    int status;

    memset(bench, 0, sizeof *bench);
    cli_catch_signals();
    (void)bench_ns_per_tick();
    bench->arena =
        mmap(NULL, sizeof *bench->arena, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (bench->arena == MAP_FAILED) {
        bench->arena = NULL;
        return cli_error(CLI_FAILURE, "bench: out of memory");
    }
    choose_cpus(bench);
    if ((status = connect_bench(bench, command)) != CLI_OK)
        return status;
    if ((status = create_topics(bench, options, topics)) != CLI_OK)
        return status;
    (void)fflush(NULL);
    for (int i = 0; i < children; i++) {
        const pid_t pid = fork();
        if (pid < 0)
            return cli_error(CLI_FAILURE, "bench: fork: %s", strerror(errno));
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent)
                _exit(1);
            pin(bench, i < (int)options->subscribers);
            _exit(child(bench, i, options));
        }
        bench->pids[bench->children++] = pid;
    }
    pin(bench, 0);
    bench_go(bench);
    return bench_joined(bench) ? CLI_OK : cli_signal != 0 ? cli_signal_status() : CLI_FAILURE;
}

void bench_stop(struct bench *bench) {
    for (int i = 0; i < bench->children; i++) {
        if (bench->pids[i] > 0) {
            (void)kill(bench->pids[i], SIGKILL);
            (void)waitpid(bench->pids[i], NULL, 0);
        }
    }
    if (bench->client != NULL) {
        for (int i = 0; i < 2; i++) {
            if (bench->topic[i][0] != '\0')
                (void)aether_topic_remove(bench->client, bench->topic[i]);
        }
        aether_disconnect(bench->client);
    }
    stop_daemon(bench);
    if (bench->arena != NULL)
        (void)munmap(bench->arena, sizeof *bench->arena);
}

/* ---- for the report ---- */

struct ae_view_runs bench_runs(const struct bench_options *options, const struct bench_result *results,
                               uint64_t discarded) {
    const struct bench_result *median = &results[options->runs / 2];

    return (struct ae_view_runs){.count = options->runs,
                                 .discarded = discarded,
                                 .floor_ns = median->floor_ns,
                                 .ratio = median->ratio,
                                 .ratio_min = results[0].ratio,
                                 .ratio_max = results[options->runs - 1].ratio};
}

/* What decided the ring's capacity. */
static const char *preset_name(const struct bench_options *options) {
    return options->capacity != 0                        ? "own capacity"
           : bench_has_lane(options)                     ? "large messages"
           : options->preset == AETHER_PRESET_THROUGHPUT ? "throughput"
                                                         : "default";
}

int bench_ring(struct bench *bench, const struct bench_options *options, struct ae_view_ring *ring) {
    aether_inspector *inspector;
    aether_topic_info info;
    int rc = aether_inspect_open(&inspector, bench->socket_path);

    if (rc != 0)
        return cli_library_error(rc);
    rc = aether_inspect_find(inspector, bench->topic[0], &info);
    aether_inspect_close(inspector);
    if (rc != 1)
        return cli_error(CLI_FAILURE, "bench: topic '%s' is gone", bench->topic[0]);
    *ring = (struct ae_view_ring){.preset = preset_name(options),
                                  .capacity = info.capacity,
                                  .slot_size = info.slot_size,
                                  .lane_bytes = info.lane_bytes};
    return CLI_OK;
}

/* ---- the commands ---- */

struct bench_command {
    const char *name, *summary;
    int (*measure)(const struct bench_options *options);
    struct bench_options defaults;
    uint64_t size_min, size_max;
    bool has_ring, has_loan, has_subscribers, has_publishers; /* its options besides those of all */
};

static size_t publisher_options(struct bench_options *o, struct args_option *list, size_t count) {
    list[count++] = (struct args_option){
        .name = "shared", .kind = ARGS_FLAG, .target = &o->shared, .help = "on a topic that admits several publishers"};
    list[count++] = (struct args_option){.name = "publishers",
                                         .kind = ARGS_COUNT,
                                         .target = &o->publishers,
                                         .min = 1,
                                         .max = BENCH_PUBLISHERS_MAX,
                                         .value = "N",
                                         .help = "publisher processes, all on one core (default 1); more: --shared"};
    list[count++] = (struct args_option){.name = "no-bias",
                                         .kind = ARGS_FLAG,
                                         .target = &o->no_bias,
                                         .help = "shared, but without the bias to a publisher that is alone"};
    list[count++] = (struct args_option){.name = "batch",
                                         .kind = ARGS_COUNT,
                                         .target = &o->batch,
                                         .min = 1,
                                         .max = AETHER_BATCH_MAX,
                                         .value = "N",
                                         .help = "messages a call (default 1)"};
    return count;
}

/* Options of the commands that differ in them. Returns how many there are now. */
static size_t own_options(const struct bench_command *command, struct bench_options *o, struct args_option *list,
                          size_t count) {
    static const char *const touches[] = {"all", "first", NULL};

    if (command->has_ring) {
        list[count++] = (struct args_option){.name = "capacity",
                                             .kind = ARGS_COUNT,
                                             .target = &o->capacity,
                                             .min = 8,
                                             .max = 1u << 28,
                                             .value = "SLOTS",
                                             .help = "ring capacity (default: the preset's; above 4088 bytes 2048)"};
        list[count++] =
            (struct args_option){.name = "lane",
                                 .kind = ARGS_SIZE,
                                 .target = &o->lane,
                                 .min = 4096,
                                 .max = UINT64_C(1) << 31,
                                 .value = "SIZE",
                                 .help = "room for messages above 4088 bytes (default 8M, or two messages)"};
    }
    if (command->has_loan) {
        list[count++] = (struct args_option){.name = "loan",
                                             .kind = ARGS_FLAG,
                                             .target = &o->loan,
                                             .help = "write messages in place instead of copying them in"};
        list[count++] = (struct args_option){.name = "touch",
                                             .kind = ARGS_CHOICE,
                                             .target = &o->touch,
                                             .choices = touches,
                                             .value = "WHAT",
                                             .help = "with --loan: write and read all of it (default) or the first 8 "
                                                     "bytes only"};
    }
    if (command->has_subscribers)
        list[count++] = (struct args_option){.name = "subscribers",
                                             .kind = ARGS_COUNT,
                                             .target = &o->subscribers,
                                             .min = 1,
                                             .max = BENCH_CHILDREN_MAX,
                                             .value = "N",
                                             .help = "subscriber processes (default 2)"};
    return command->has_publishers ? publisher_options(o, list, count) : count;
}

static int run(int argc, char **argv, const struct bench_command *command) {
    struct bench_options o = command->defaults;
    struct args_option options[16] = {
        {.name = "size",
         .kind = ARGS_SIZE,
         .target = &o.size,
         .min = command->size_min,
         .max = command->size_max,
         .value = "SIZE",
         .help = "message size (default 8)"},
        {.name = "runs",
         .kind = ARGS_COUNT,
         .target = &o.runs,
         .min = 1,
         .max = 1000,
         .value = "N",
         .help = "accepted runs; the median is reported (default 5)"},
        {.name = "seconds",
         .kind = ARGS_NUMBER,
         .target = &o.seconds,
         .min = 0,
         .max = 600,
         .value = "S",
         .help = command->has_ring ? "length of a run (default 0.5)" : "length of a run (default 1)"},
        OPTION_JSON(o.output, "one JSON object"),
    };
    const struct args_spec spec = {
        .command = command->name,
        .words = "",
        .summary = command->summary,
        .notes = "floor: median round trip of a bare cache line between the same two pinned processes, half of it\n"
                 "taken before and half after each run; a run whose halves differ by more than 25 % is repeated.\n"
                 "Starts a private aetherd where none runs.",
        .options = options,
        .option_count = own_options(command, &o, options, 4),
    };
    const char *words[ARGS_WORDS_MAX + 1];
    const int status = args_parse(&spec, argc, argv, words);

    if (status != ARGS_RUN)
        return status;
    if (o.touch == BENCH_TOUCH_FIRST && !o.loan)
        return cli_error(CLI_USAGE, "--touch first: a message that is copied in is written in full: use --loan too");
    if (o.lane != 0 && !bench_has_lane(&o))
        return cli_error(CLI_USAGE, "--lane: messages of up to 4088 bytes lie in the ring: use --size with more");
    if (o.batch > 1 && (o.loan || bench_has_lane(&o)))
        return cli_error(CLI_USAGE, "--batch: %s goes with one call each: leave --batch out",
                         o.loan ? "a loan" : "a message of more than 4088 bytes");
    if (o.publishers > 1 && o.size < sizeof(uint64_t))
        return cli_error(CLI_USAGE, "--publishers: 8 bytes of each message say whose it is: use --size with 8 or more");
    if (o.no_bias)
        o.admits = AETHER_PUBLISHERS_UNBIASED;
    else if (o.shared || o.publishers > 1)
        o.admits = AETHER_PUBLISHERS_SHARED;
    o.view = out_view(&o.output);
    return command->measure(&o);
}

static int cmd_throughput(int argc, char **argv) {
    static const struct bench_command command = {
        .name = "bench throughput",
        .summary = "Messages a second from one publisher, or several that share a core, to one reliable subscriber.",
        .measure = bench_throughput,
        .defaults = {.size = 8,
                     .runs = 5,
                     .seconds = 0.5,
                     .preset = AETHER_PRESET_THROUGHPUT,
                     .subscribers = 1,
                     .publishers = 1,
                     .admits = AETHER_PUBLISHERS_EXCLUSIVE,
                     .batch = 1},
        .size_max = BENCH_SIZE_MAX,
        .has_ring = true,
        .has_loan = true,
        .has_publishers = true};

    return run(argc, argv, &command);
}

static int cmd_fanout(int argc, char **argv) {
    static const struct bench_command command = {
        .name = "bench fanout",
        .summary = "Messages a second from one publisher to several reliable subscribers.",
        .measure = bench_throughput,
        .defaults = {.size = 8,
                     .runs = 5,
                     .seconds = 0.5,
                     .preset = AETHER_PRESET_THROUGHPUT,
                     .subscribers = 2,
                     .publishers = 1,
                     .admits = AETHER_PUBLISHERS_EXCLUSIVE,
                     .batch = 1},
        .size_max = BENCH_SIZE_MAX,
        .has_ring = true,
        .has_loan = true,
        .has_subscribers = true};

    return run(argc, argv, &command);
}

static int cmd_latency(int argc, char **argv) {
    static const struct bench_command command = {
        .name = "bench latency",
        .summary = "Round trip of one message there and one back, two topics.",
        .measure = bench_latency,
        .defaults = {.size = 8, .runs = 5, .seconds = 0.5, .preset = AETHER_PRESET_DEFAULT, .subscribers = 1},
        .size_max = BENCH_SIZE_MAX,
        .has_ring = true};

    return run(argc, argv, &command);
}

static int cmd_wakeup(int argc, char **argv) {
    static const struct bench_command command = {
        .name = "bench wakeup",
        .summary = "From a publish until a subscriber that slept in aether_wait() has the message, and beside it the\n"
                   "same for a bare futex: one of each by turns, 1 ms or more apart, while the other side sleeps.",
        .measure = bench_wakeup,
        .defaults = {.size = 8, .runs = 5, .seconds = 1, .preset = AETHER_PRESET_DEFAULT, .subscribers = 1},
        .size_min = 8,
        .size_max = AETHER_INLINE_LIMIT};

    return run(argc, argv, &command);
}

int cmd_bench(int argc, char **argv) {
    static const struct cli_command commands[] = {
        {"throughput", "", "messages a second to one subscriber", cmd_throughput},
        {"latency", "", "round trip of a message", cmd_latency},
        {"fanout", "", "messages a second to several subscribers", cmd_fanout},
        {"wakeup", "", "from a publish to a subscriber that slept", cmd_wakeup},
    };

    return cli_dispatch(commands, sizeof commands / sizeof commands[0], "bench", argc, argv);
}

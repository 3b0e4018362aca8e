/* SPDX-License-Identifier: Apache-2.0 */
/* processes.c - starts the processes of a benchmark, keeps them in step, and ends them. */
#include "processes.h"
#include "daemon.h"
#include "error.h"
#include "signals.h"
#include "ticks.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The size of the throughput preset's ring: larger than a core's L2, smaller than the shared L3. */
#define LANE_BYTES (UINT64_C(8) << 20)
#define LANE_SLOTS 2048u /* of a topic with a lane: as many of its shortest messages fit in the lane */

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

/* ---- start and end ---- */

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
    if (!running) {
        if ((status = bench_daemon_start(&bench->daemon)) != CLI_OK)
            return status;
        bench->socket_path = bench->daemon.socket;
    }
    if ((status = cli_set_socket(bench->socket_path)) != CLI_OK)
        return status;
    return cli_connect(command, NULL, &bench->client);
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
    bench_daemon_stop(&bench->daemon);
    if (bench->arena != NULL)
        (void)munmap(bench->arena, sizeof *bench->arena);
}

/* ---- for the report ---- */

/* Which preset or option gave the ring's capacity. */
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

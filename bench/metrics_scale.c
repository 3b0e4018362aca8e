/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics_scale.c - how long a pass over the metrics takes, and how much memory its reader needs.
 *
 * usage: metrics_scale SOCKET TOPICS OPEN PASSES [COMMAND ARGUMENT...]
 *
 * It creates TOPICS topics; OPEN of them get a publisher and two subscribers, with some messages. Then it makes PASSES
 * passes. Then it runs the command while the topics are open, with the processor time of the cheapest pass in
 * $FLOOR_MS. tools/metrics-scale.sh runs it.
 */
#include <aether/aether.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS 16u
#define MESSAGES 20u

static const char *socket_path;

static void check(int rc) {
    if (rc >= 0)
        return;
    fprintf(stderr, "metrics_scale: %s\n", aether_errmsg());
    exit(1);
}

static double now_ms(clockid_t clock) {
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* A line of /proc/self/status in KiB. */
static unsigned long status_kib(const char *name) {
    FILE *file = fopen("/proc/self/status", "r");
    unsigned long value = 0;
    char line[128];

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtoul(line + strlen(name) + 1, NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    return value;
}

/* Returns the processor time of the cheapest pass in milliseconds. */
static double read_passes(unsigned passes) {
    static aether_topic_metrics topic;
    aether_instance_metrics instance;
    aether_metrics *metrics;
    double floor = 1e9;

    check(aether_metrics_open(&metrics, socket_path));
    for (unsigned pass = 0; pass < passes; pass++) {
        const double wall = now_ms(CLOCK_MONOTONIC), cpu = now_ms(CLOCK_PROCESS_CPUTIME_ID);
        unsigned long topics = 0, handles = 0;
        int rc;
        check(aether_metrics_begin(metrics, &instance));
        while ((rc = aether_metrics_next(metrics, &topic)) > 0) {
            topics++;
            handles += topic.publisher_count + topic.subscriber_count;
        }
        check(rc);
        const double used = now_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        floor = used < floor ? used : floor;
        printf("pass %u: %lu topics, %lu handles: %.1f ms, processor %.1f ms, memory %lu KiB of its own, "
               "%lu KiB shared\n",
               pass + 1, topics, handles, now_ms(CLOCK_MONOTONIC) - wall, used, status_kib("RssAnon:"),
               status_kib("RssShmem:"));
    }
    aether_metrics_close(metrics);
    return floor;
}

/* Runs the command to its end. False: it failed. */
static bool run_command(char **command, double floor) {
    char text[32];
    int status = 0;

    fflush(stdout);
    snprintf(text, sizeof text, "%.2f", floor);
    setenv("FLOOR_MS", text, 1);
    const pid_t pid = fork();
    if (pid == 0) {
        execvp(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void use_topic(aether_client *client, const char *name) {
    const aether_subscribe_options best_effort = {.policy = AETHER_BEST_EFFORT};
    aether_subscriber *subscriber;
    aether_publisher *publisher;
    aether_message message;

    check(aether_publisher_open(client, name, NULL, &publisher));
    check(aether_subscriber_open(client, name, NULL, NULL, &subscriber));
    for (uint64_t i = 0; i < MESSAGES; i++) {
        if (aether_publish(publisher, &i, sizeof i) == 0)
            check(aether_receive(subscriber, &message));
    }
    check(aether_subscriber_open(client, name, &best_effort, NULL, &subscriber));
    (void)aether_publish(publisher, name, sizeof(uint64_t)); /* one message waits */
}

static aether_client *connect_here(void) {
    aether_client *client;

    check(aether_connect(&client, &(aether_connect_options){.socket_path = socket_path, .name = "scale"}));
    return client;
}

/* Opens every CLIENTS-th topic, writes a byte to `opened`, and keeps them open as long as its parent lives. */
static void keep_open(unsigned first, unsigned open, int opened) {
    aether_client *client = connect_here();
    char name[32];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = first; i < open; i += CLIENTS) {
        snprintf(name, sizeof name, "scale/%u", i);
        use_topic(client, name);
    }
    if (write(opened, "", 1) == 1)
        pause();
    exit(1);
}

/* The clients are processes of their own, as a process may have 65530 mappings. False: one has ended. */
static bool start_clients(unsigned open, pid_t pids[CLIENTS]) {
    int ends[2];
    char byte;

    if (pipe(ends) != 0)
        return false;
    for (unsigned i = 0; i < CLIENTS; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            keep_open(i, open, ends[1]);
    }
    close(ends[1]);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (read(ends[0], &byte, 1) != 1)
            return false;
    }
    return true;
}

int main(int argc, char **argv) {
    static const aether_topic_config config = {.max_message = 8, .capacity = 64};
    pid_t pids[CLIENTS] = {0};
    char name[32];

    if (argc < 5) {
        fprintf(stderr, "usage: metrics_scale SOCKET TOPICS OPEN PASSES [COMMAND ARGUMENT...]\n");
        return 2;
    }
    const unsigned topics = (unsigned)strtoul(argv[2], NULL, 10), open = (unsigned)strtoul(argv[3], NULL, 10),
                   passes = (unsigned)strtoul(argv[4], NULL, 10);
    socket_path = argv[1];
    aether_client *client = connect_here();
    for (unsigned i = 0; i < topics; i++) {
        snprintf(name, sizeof name, "scale/%u", i);
        check(aether_topic_create(client, name, &config));
    }
    aether_disconnect(client);
    bool done = start_clients(open, pids);
    if (done) {
        const double floor = read_passes(passes);
        done = argc == 5 || run_command(argv + 5, floor);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (pids[i] > 0) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }
    }
    return !done;
}

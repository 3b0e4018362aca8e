/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kills a publisher, a subscriber or aetherd after every instruction of an operation, in many states of a topic. Checks
 * each time that no message is lost, no sequence is used twice, and no publisher or subscriber is held up for good.
 *
 * When a process is killed between two instructions, memory holds the stores of those before and none of those after.
 * So it is enough to step: every state that a kill can leave is what memory holds after one of the instructions.
 */
#include "kill.h"
#include <stdarg.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define POINTS 1000000u      /* without --points: at least so many, and each operation once in each state */
#define BROKEN_POINTS 20000u /* at most, until the oracle has noticed */
#define REPORTED_MAX 20u     /* errors that are printed in full */
#define PROGRESS_MS 10000u
#define GROUPS_MAX 16u
#define DISTURBED_MAX 300u /* steps */

static struct { uint64_t points, distinct, stops, scenarios, errors; } total;

static uint64_t only_step = UINT64_MAX;
static bool quiet;        /* errors are expected */
static uint64_t thin = 1; /* of the points with the memory of the point before, one in this many is tried */
static const char *state_name = "", *op_name = "";
static uint64_t step;
static unsigned char signal_stack[65536];

/* Not by ae_now_ns(), which is the clock of the world. */
static uint64_t now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void report_error(const char *when) {
    total.errors++;
    if (quiet || total.errors > REPORTED_MAX)
        return;
    fprintf(stderr, "# %s: %s\n#   --state %s --op %s --step %llu --seed %#llx\n", when, world.wrong, state_name,
            op_name, (unsigned long long)step, (unsigned long long)world.seed);
}

static void on_crash(int number) {
    char text[256];
    const int n = snprintf(text, sizeof text, "Bail out! signal %d: --state %s --op %s --step %llu --seed %#llx\n",
                           number, state_name, op_name, (unsigned long long)step, (unsigned long long)world.seed);

    (void)!write(STDOUT_FILENO, text, (size_t)n);
    _exit(1);
}

static void try_oracle(bool kill) {
    world.random = mix(world.seed ^ step * 2 ^ (kill ? 1 : 0));
    if (setjmp(world.escape) == 0)
        oracle(kill);
    else
        report_error(kill ? "killed" : "stopped");
}

/* Peer 0 has executed one more instruction: tries its kill here, unless that is left out, and now and then its stop. */
static void point(void) {
    static struct snapshot now, before;
    struct snapshot swap;
    bool stores;

    if (setjmp(world.escape) == 0)
        check_figures();
    else
        report_error("figures");
    world_save(&now);
    stores = step == 1 || !world_same_objects(&now, &before);
    total.distinct += stores;
    if (stores || mix(~world.seed + step) % thin == 0) {
        TRACE("step %llu: killed", (unsigned long long)step);
        try_oracle(true);
        world_restore(&now);
        total.points++;
    }
    if (mix(world.seed + step) % 4 == 0) {
        TRACE("step %llu: stopped", (unsigned long long)step);
        try_oracle(false);
        world_restore(&now);
        total.stops++;
    }
    swap = before;
    before = now;
    now = swap;
}

static bool disturb(void) {
    TRACE("step %llu: meanwhile", (unsigned long long)step);
    world.random = mix(world.seed + step);
    if (setjmp(world.escape) == 0) {
        meanwhile();
        return true;
    }
    report_error("meanwhile");
    return false;
}

/* One operation in one state. False: the operation isn't possible in this state. */
static bool scenario(const struct state *state, const struct op *op, uint64_t seed) {
    struct peer *subject;
    struct publisher *publisher;
    uint64_t disturbed; /* the step after which the others work for real, not only in what is tried; 0: never */

    world.seed = world.random = seed;
    state_name = state->name;
    op_name = op->name;
    step = 0;
    if (setjmp(world.escape) != 0) {
        report_error("before");
        return true;
    }
    make_topic(state->topic | op->topic);
    publisher = state->make();
    subject = world.peers[0];
    if (!op->prepare(&subject->call, publisher))
        return false;
    TRACE("-- %s in %s begins", op->name, state->name);
    total.scenarios++;
    call_begin(&subject->call);
    fiber_start(&subject->fiber, perform, &subject->call);
    world.random = mix(seed);
    disturbed = one_in(2) ? 1 + any_of(one_in(2) ? DISTURBED_MAX : DISTURBED_MAX / 10) : 0;
    while (fiber_step(&subject->fiber, 1)) {
        step++;
        set_life(subject, STOPPED);
        if (step == disturbed && !disturb())
            return true;
        if (only_step == UINT64_MAX || only_step == step)
            point();
    }
    if (setjmp(world.escape) != 0) {
        report_error("done");
        return true;
    }
    set_life(subject, ALIVE);
    call_end(&subject->call);
    try_oracle(false);
    return true;
}

#define BARREN 9u

/* Runs scenarios of all states in a group, in turn, until they have had enough points. Returns how many. */
static uint64_t run(const char *group, const struct op *op, uint64_t seed, uint64_t points) {
    const uint64_t begin = total.points, errors = total.errors;
    unsigned barren = 0; /* rounds in a row; the operation may be possible with another seed */

    for (uint64_t round = 0; total.points - begin < points && barren < BARREN && (!quiet || total.errors == errors);
         round++) {
        unsigned any = 0;
        for (unsigned s = 0; s < state_count; s++) {
            if (strcmp(states[s].group, group) != 0 || (quiet && total.errors != errors))
                continue;
            any += scenario(&states[s], op, mix(mix(seed) + round * 1000003 + s * 1009 + (uint64_t)(op - ops)));
        }
        barren = any != 0 ? 0 : barren + 1;
    }
    return total.points - begin;
}

static unsigned find_groups(const char **groups) {
    unsigned count = 0;

    for (unsigned s = 0; s < state_count; s++) {
        if (count == 0 || strcmp(groups[count - 1], states[s].group) != 0)
            groups[count++] = states[s].group;
    }
    return count;
}

static const struct {
    const char *name, *text;
    enum broken broken;
    const char *group, *op;
} breaks[] = {
    {"no-abort", "sequences of a dead publisher that stay pending", BROKEN_NO_ABORT, "stopped", "publish"},
    {"abort-all", "sequences of a living publisher that are aborted", BROKEN_ABORT_ALL, "stopped", "publish"},
    {"no-resolve", "the bias of a dead publisher that stays", BROKEN_NO_RESOLVE, "bias", "batch"},
    {"no-proved", "won claims that are taken for lost once the claim word has moved on", BROKEN_NO_PROVED, "stopped",
     "publish"},
    {"always-won", "intents that are taken for claims", BROKEN_ALWAYS_WON, "stopped", "publish"},
    {"blind-abort", "committed messages that are aborted", BROKEN_BLIND_ABORT, "fill", "batch"},
    {"keep-cursor", "dead subscribers that hold publishers back", BROKEN_KEEP_CURSOR, "fill", "receive"},
    {"keep-open", "dead publishers that stay open", BROKEN_KEEP_OPEN, "fill", "publish"},
    {"late-died", "deaths that are stored after the end of the stream", BROKEN_LATE_DIED, "dead", "retire-dead"},
    {"keep-died", "deaths that stay when a new stream begins", BROKEN_KEEP_DIED, "dead", "admit-publisher"},
    {"reset-died", "deaths that are forgotten while others publish", BROKEN_RESET_DIED, "dead", "admit-publisher"},
    {"keep-unfenced", "a bit of the last holder in `unfenced`", BROKEN_KEEP_UNFENCED, "fill", "admit-publisher"},
    {"keep-bit", "a bit of the last holder in `active`", BROKEN_KEEP_BIT, "fill", "admit-subscriber"},
    {"no-entry", "publishers that don't wait for a subscriber that came before them", BROKEN_NO_ENTRY, "waiting",
     "publish"},
    {"no-second-check", "a subscriber that waits for a shape that is there", BROKEN_NO_SECOND_CHECK, "waiting",
     "publish"},
    {"no-hold", "publishers that overwrite what a subscriber holds", BROKEN_NO_HOLD, "fill", "hold"},
    {"one-copy", "a publisher's figures that are stored in place", BROKEN_ONE_COPY, "stopped", "publish"},
    {"one-copy", "a subscriber's figures that are stored in place", BROKEN_ONE_COPY, "fill", "receive-best-effort"},
    {"late-figures", "figures that are stored after the intent", BROKEN_LATE_FIGURES, "stopped", "publish"},
    {"late-stamp", "stamps that are stored after the tag", BROKEN_LATE_STAMP, "fill", "publish"},
    {"late-stamp", "stamps of lane messages that are stored after the tag", BROKEN_LATE_STAMP, "lanes",
     "publish-large"},
    {"early-stamp", "stamps that are stored over those of messages that are still there", BROKEN_EARLY_STAMP, "fill",
     "publish"},
};
#define BREAKS (sizeof breaks / sizeof breaks[0])

static bool tap(unsigned number, bool ok, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool tap(unsigned number, bool ok, const char *format, ...) {
    va_list args;

    printf("%sok %u - ", ok ? "" : "not ", number);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    return ok;
}

static const struct op *find_op(const char *name) {
    for (unsigned i = 0; i < op_count; i++) {
        if (strcmp(ops[i].name, name) == 0)
            return &ops[i];
    }
    fprintf(stderr, "no such operation: %s\n", name);
    exit(2);
}

static const struct state *find_state(const char *name) {
    for (unsigned i = 0; i < state_count; i++) {
        if (strcmp(states[i].name, name) == 0)
            return &states[i];
    }
    fprintf(stderr, "no such state: %s\n", name);
    exit(2);
}

static bool check_oracle(unsigned number, unsigned i, uint64_t seed) {
    uint64_t points;

    world.broken = breaks[i].broken;
    quiet = true;
    total.errors = 0;
    points = run(breaks[i].group, find_op(breaks[i].op), seed, BROKEN_POINTS);
    quiet = false;
    world.broken = BROKEN_NOTHING;
    return tap(number, total.errors != 0, "the oracle notices %s (%s), at point %llu: %s", breaks[i].text,
               breaks[i].name, (unsigned long long)points, total.errors != 0 ? world.wrong : "no");
}

static void report_progress(uint64_t points, uint64_t begin) {
    static uint64_t told;
    const uint64_t now = now_ms();

    if (now - begin < told + PROGRESS_MS)
        return;
    told = now - begin;
    fprintf(stderr, "# %llu of %llu points, %llu s, %llu errors\n", (unsigned long long)total.points,
            (unsigned long long)points, (unsigned long long)(now - begin) / 1000, (unsigned long long)total.errors);
}

static int run_all(uint64_t points, uint64_t seed) {
    const char *groups[GROUPS_MAX];
    const unsigned group_count = find_groups(groups);
    const uint64_t begin = now_ms();
    unsigned number = 0, failed = 0;
    uint64_t span;

    printf("1..%zu\n", op_count * group_count + BREAKS + 1);
    for (unsigned i = 0; i < BREAKS; i++)
        failed += !check_oracle(++number, i, seed);
    memset(&total, 0, sizeof total);
    for (unsigned o = 0; o < op_count; o++) {
        for (unsigned g = 0; g < group_count; g++) {
            const uint64_t errors = total.errors, rest = op_count * group_count - (o * group_count + g);
            const uint64_t share = total.points < points ? (points - total.points + rest - 1) / rest : 1;
            const uint64_t done = run(groups[g], &ops[o], seed, share);
            failed += !tap(++number, total.errors == errors, "%s, states '%s': %llu points%s", ops[o].name, groups[g],
                           (unsigned long long)done, done == 0 ? " # SKIP the operation is not possible there" : "");
            report_progress(points, begin);
        }
    }
    span = now_ms() - begin;
    failed +=
        !tap(++number, total.errors == 0 && total.points >= points,
             "%llu kill points (%llu with memory that differs from the point before), %llu stops, %llu scenarios, %llu "
             "errors; %llu points/s",
             (unsigned long long)total.points, (unsigned long long)total.distinct, (unsigned long long)total.stops,
             (unsigned long long)total.scenarios, (unsigned long long)total.errors,
             (unsigned long long)(total.points * 1000 / (span + 1)));
    return failed != 0;
}

static int usage(void) {
    fprintf(stderr, "use: kill [--points N] [--thin N] [--seed S] [--break KIND]\n"
                    "     kill --state X --op Y [--step N] --seed S [--break KIND] [--trace]\n"
                    "     kill --list\n");
    return 2;
}

static int list(void) {
    for (unsigned i = 0; i < state_count; i++)
        printf("state %s (%s)\n", states[i].name, states[i].group);
    for (unsigned i = 0; i < op_count; i++)
        printf("op %s\n", ops[i].name);
    for (size_t i = 0; i < BREAKS; i++)
        printf("break %s: %s\n", breaks[i].name, breaks[i].text);
    return 0;
}

static int one_scenario(const char *state, const char *op, uint64_t seed) {
    const bool there = scenario(find_state(state), find_op(op), seed);

    printf("%s: %llu points, %llu errors\n", there ? "done" : "the operation is not possible in this state",
           (unsigned long long)total.points, (unsigned long long)total.errors);
    return total.errors != 0;
}

static const char *set_up(void) {
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM};
    const stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};

    sigaltstack(&stack, NULL);
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        (void)signal(crashes[i], on_crash);
    return step_setup();
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"points", required_argument, NULL, 'p'}, {"thin", required_argument, NULL, 'k'},
        {"seed", required_argument, NULL, 's'},   {"state", required_argument, NULL, 't'},
        {"op", required_argument, NULL, 'o'},     {"step", required_argument, NULL, 'n'},
        {"break", required_argument, NULL, 'b'},  {"trace", no_argument, NULL, 'v'},
        {"list", no_argument, NULL, 'l'},         {NULL, 0, NULL, 0},
    };
    uint64_t points = POINTS, seed = 20260214;
    const char *state = NULL, *op = NULL, *cannot;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'p':
            points = strtoull(optarg, NULL, 0);
            break;
        case 'k':
            thin = strtoull(optarg, NULL, 0);
            if (thin == 0)
                return usage();
            break;
        case 's':
            seed = strtoull(optarg, NULL, 0);
            break;
        case 't':
            state = optarg;
            break;
        case 'o':
            op = optarg;
            break;
        case 'n':
            only_step = strtoull(optarg, NULL, 0);
            break;
        case 'b':
            for (size_t i = 0; i < BREAKS; i++) {
                if (strcmp(breaks[i].name, optarg) == 0)
                    world.broken = breaks[i].broken;
            }
            if (world.broken == BROKEN_NOTHING)
                return usage();
            break;
        case 'v':
            world.trace = true;
            break;
        case 'l':
            return list();
        default:
            return usage();
        }
    }
    if ((cannot = set_up()) != NULL) {
        printf("1..0 # SKIP %s\n", cannot);
        return 0;
    }
    return state != NULL && op != NULL ? one_scenario(state, op, seed) : run_all(points, seed);
}

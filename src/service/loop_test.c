/* SPDX-License-Identifier: Apache-2.0 */
#include "service/loop.h"
#include "base/clock.h"
#include "base/socket.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NS_PER_MS 1000000u

static struct ae_loop loop;

static int setup(void **state) {
    (void)state;
    return ae_loop_open(&loop);
}

static int teardown(void **state) {
    (void)state;
    if (loop.timers != NULL || loop.happened != NULL || loop.armed != 0)
        return -1; /* a test leaves nothing */
    ae_loop_close(&loop);
    return 0;
}

/* One end of a connection is in the loop, the other end is the test's. */
struct peer {
    struct ae_source source;
    int other;
    unsigned calls;
    uint32_t events; /* of the last call */
    struct peer *victim;
};

static void open_peer(struct peer *p, void (*fn)(struct ae_source *, uint32_t)) {
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    *p = (struct peer){.source = {.fn = fn, .fd = fds[0], .events = EPOLLIN}, .other = fds[1]};
    assert_int_equal(ae_source_add(&loop, &p->source), 0);
}

static void close_peer(struct peer *p) {
    ae_source_remove(&p->source);
    ae_close(&p->source.fd);
    ae_close(&p->other);
}

static void wake(const struct peer *p) {
    assert_int_equal(write(p->other, "x", 1), 1);
}

static void drain(const struct peer *p) {
    char byte;

    assert_int_equal(read(p->source.fd, &byte, 1), 1);
}

static struct peer *note(struct ae_source *source, uint32_t events) {
    struct peer *p = AE_CONTAINER(source, struct peer, source);

    p->calls++;
    p->events = events;
    return p;
}

static void on_stop(struct ae_source *source, uint32_t events) {
    (void)note(source, events);
    ae_loop_stop(&loop);
}

/* Ends a run when all earlier events have been handled. */
static void stop_soon(struct ae_timer *timer) {
    (void)timer;
    ae_loop_stop(&loop);
}

static void run_for(uint64_t ms) {
    struct ae_timer end = {.fn = stop_soon};

    ae_timer_arm(&loop, &end, ae_now_ns() + ms * NS_PER_MS);
    assert_int_equal(ae_loop_run(&loop), 0);
    assert_null(end.loop);
}

/* ---- sources ---- */

static void on_event(struct ae_source *source, uint32_t events) {
    const struct peer *p = note(source, events);

    if (p->calls == 3) {
        drain(p);
        ae_loop_stop(&loop);
    }
}

static void events_come_until_they_are_taken(void **state) {
    struct peer p;

    (void)state;
    open_peer(&p, on_event);
    wake(&p);
    assert_int_equal(ae_loop_run(&loop), 0);
    assert_int_equal(p.calls, 3);
    assert_int_equal(p.events, EPOLLIN);
    run_for(1);
    assert_int_equal(p.calls, 3);
    ae_close(&p.other);
    p.source.fn = on_stop;
    assert_int_equal(ae_loop_run(&loop), 0);
    assert_int_equal(p.events & EPOLLHUP, EPOLLHUP);
    close_peer(&p);
}

/* For more events than the loop reads from the kernel at once. */
static void on_byte(struct ae_source *source, uint32_t events) {
    drain(note(source, events));
}

static void every_source_is_served(void **state) {
    static struct peer peers[100];

    (void)state;
    for (size_t i = 0; i < 100; i++) {
        open_peer(&peers[i], on_byte);
        wake(&peers[i]);
    }
    run_for(0);
    run_for(0);
    run_for(0);
    run_for(0);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(peers[i].calls, 1);
        close_peer(&peers[i]);
    }
}

static void on_remove(struct ae_source *source, uint32_t events) {
    struct peer *p = note(source, events);

    close_peer(p->victim);
    memset(&p->victim->source, 0xff, sizeof p->victim->source); /* as if it had been freed */
    close_peer(p);
    ae_loop_stop(&loop);
}

/* Two sources have events. The handler that is called first removes both. */
static void removed_source_gets_no_event(void **state) {
    struct peer a, b;

    (void)state;
    open_peer(&a, on_remove);
    open_peer(&b, on_remove);
    a.victim = &b;
    b.victim = &a;
    wake(&a);
    wake(&b);
    assert_int_equal(ae_loop_run(&loop), 0);
    assert_int_equal(a.calls + b.calls, 1);
    run_for(1);
    assert_int_equal(a.calls + b.calls, 1);
}

static void on_replace(struct ae_source *source, uint32_t events) {
    struct peer *p = note(source, events), *victim = p->victim;
    const int fd = victim->source.fd;

    drain(p);
    close_peer(victim);
    open_peer(victim, on_stop);
    if (victim->source.fd != fd) { /* socketpair() has given the old number to the other end */
        assert_int_equal(victim->other, fd);
        ae_source_remove(&victim->source);
        victim->other = victim->source.fd;
        victim->source.fd = fd;
        assert_int_equal(ae_source_add(&loop, &victim->source), 0);
    }
}

/* Two sources have events. The first handler replaces the other source by a new one with its memory and descriptor. */
static void reused_descriptor_and_memory_are_another_source(void **state) {
    struct peer a, b;

    (void)state;
    open_peer(&a, on_replace);
    open_peer(&b, on_replace);
    a.victim = &b;
    b.victim = &a;
    wake(&a);
    wake(&b);
    run_for(1);
    struct peer *fresh = a.source.fn == on_stop ? &a : &b;
    assert_int_equal(fresh->calls, 0);
    wake(fresh);
    assert_int_equal(ae_loop_run(&loop), 0);
    assert_int_equal(fresh->calls, 1);
    close_peer(&a);
    close_peer(&b);
}

static void on_pause(struct ae_source *source, uint32_t events) {
    struct peer *p = note(source, events);

    drain(p);
    assert_int_equal(ae_source_modify(&p->victim->source, 0), 0);
}

static void paused_source_gets_no_event(void **state) {
    struct peer a, b;

    (void)state;
    open_peer(&a, on_pause);
    open_peer(&b, on_pause);
    a.victim = &b;
    b.victim = &a;
    wake(&a);
    wake(&b);
    run_for(1);
    assert_int_equal(a.calls + b.calls, 1);
    struct peer *paused = a.calls == 0 ? &a : &b;
    assert_int_equal(ae_source_modify(&paused->source, EPOLLIN), 0);
    run_for(1);
    assert_int_equal(paused->calls, 1);
    close_peer(&a);
    close_peer(&b);
}

static void stop_leaves_the_rest(void **state) {
    struct peer a, b;

    (void)state;
    open_peer(&a, on_stop);
    open_peer(&b, on_stop);
    wake(&a);
    wake(&b);
    ae_loop_stop(&loop);
    assert_int_equal(ae_loop_run(&loop), 0);
    assert_int_equal(a.calls + b.calls, 0);
    assert_int_equal(ae_loop_run(&loop), 0);
    assert_int_equal(a.calls + b.calls, 1);
    assert_int_equal(ae_loop_run(&loop), 0);
    assert_true(a.calls == 1 && b.calls == 1);
    close_peer(&a);
    close_peer(&b);
}

/* While a child has a copy of the descriptor, closing it doesn't remove it from the epoll set. */
static void copy_in_a_child_is_not_served(void **state) {
    struct peer p;
    int end[2], status;
    char byte;

    (void)state;
    open_peer(&p, on_stop);
    assert_int_equal(pipe2(end, O_CLOEXEC), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(end[1]);
        _exit(read(end[0], &byte, 1) == 0 ? 0 : 1);
    }
    ae_source_remove(&p.source);
    ae_close(&p.source.fd);
    wake(&p);
    run_for(1);
    assert_int_equal(p.calls, 0);
    close(end[1]);
    close(end[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close_peer(&p);
}

static void what_cannot_be_waited_for_is_an_error(void **state) {
    struct ae_source source = {.fn = on_stop, .events = EPOLLIN, .fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)};

    (void)state;
    assert_int_equal(ae_source_add(&loop, &source), -EPERM);
    ae_source_remove(&source);
    ae_close(&source.fd);
    assert_int_equal(ae_source_add(&loop, &source), -EBADF);
}

/* ---- timers ---- */

#define TIMERS 1000

struct entry {
    struct ae_timer timer;
    unsigned fired;
};

static uint64_t last_due;

static void on_entry(struct ae_timer *timer) {
    struct entry *e = AE_CONTAINER(timer, struct entry, timer);

    assert_true(timer->due_ns >= last_due);
    assert_null(timer->loop);
    last_due = timer->due_ns;
    e->fired++;
}

/* Random times, some of them equal. Every third timer is armed again, and every fifth is disarmed. */
static void timers_fire_in_order(void **state) {
    static struct entry entries[TIMERS];
    unsigned random = 1;

    (void)state;
    for (int turn = 0; turn < 20; turn++) {
        last_due = 0;
        for (size_t i = 0; i < TIMERS; i++) {
            entries[i] = (struct entry){.timer.fn = on_entry};
            random = random * 1103515245 + 12345;
            ae_timer_arm(&loop, &entries[i].timer, random >> 16 & 511);
            if (i % 3 == 0)
                ae_timer_arm(&loop, &entries[(random >> 8) % (i + 1)].timer, random >> 20 & 511);
        }
        for (size_t i = 0; i < TIMERS; i += 5)
            ae_timer_disarm(&entries[i].timer);
        assert_int_equal(loop.armed, TIMERS - TIMERS / 5);
        run_for(0);
        for (size_t i = 0; i < TIMERS; i++)
            assert_int_equal(entries[i].fired, i % 5 != 0);
        assert_int_equal(loop.armed, 0);
    }
}

static void on_again(struct ae_timer *timer) {
    struct entry *e = AE_CONTAINER(timer, struct entry, timer);

    assert_true(ae_now_ns() >= timer->due_ns);
    if (++e->fired == 5)
        ae_loop_stop(&loop);
    else
        ae_timer_arm(&loop, timer, ae_now_ns() + 300000); /* not a whole millisecond */
}

static void timers_are_never_early_and_can_be_armed_again(void **state) {
    struct entry e = {.timer.fn = on_again};

    (void)state;
    ae_timer_arm(&loop, &e.timer, ae_now_ns() + NS_PER_MS / 2);
    assert_int_equal(ae_loop_run(&loop), 0);
    assert_int_equal(e.fired, 5);
}

static struct peer *waiting;

static void on_past(struct ae_timer *timer) {
    if (++AE_CONTAINER(timer, struct entry, timer)->fired == 3)
        wake(waiting);
    ae_timer_arm(&loop, timer, 0);
}

static void timer_in_the_past_lets_events_through(void **state) {
    struct entry e = {.timer.fn = on_past};
    struct peer p;

    (void)state;
    open_peer(&p, on_stop);
    waiting = &p;
    ae_timer_arm(&loop, &e.timer, 0);
    assert_int_equal(ae_loop_run(&loop), 0);
    assert_int_equal(p.calls, 1);
    ae_timer_disarm(&e.timer);
    close_peer(&p);
}

static struct entry *neighbour;

static void on_disarm(struct ae_timer *timer) {
    AE_CONTAINER(timer, struct entry, timer)->fired++;
    ae_timer_disarm(&neighbour->timer);
    memset(&neighbour->timer, 0xff, sizeof neighbour->timer); /* as if it had been freed */
}

static void disarmed_timer_does_not_fire(void **state) {
    struct entry first = {.timer.fn = on_disarm}, second = {.timer.fn = on_entry};

    (void)state;
    neighbour = &second;
    ae_timer_disarm(&second.timer); /* not armed, so this does nothing */
    ae_timer_arm(&loop, &second.timer, 2);
    ae_timer_arm(&loop, &first.timer, 1);
    run_for(0);
    assert_int_equal(first.fired, 1);
    assert_int_equal(second.fired, 0);
}

static volatile sig_atomic_t signals;

static void count_signal(int number) {
    (void)number;
    signals++;
}

static void signal_handlers_interrupt_nothing(void **state) {
    const struct itimerval often = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000}, never = {0};
    const struct sigaction action = {.sa_handler = count_signal};
    struct sigaction before;

    (void)state;
    signals = 0;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    while (signals < 3)
        run_for(20);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_come_until_they_are_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(every_source_is_served, setup, teardown),
        cmocka_unit_test_setup_teardown(removed_source_gets_no_event, setup, teardown),
        cmocka_unit_test_setup_teardown(reused_descriptor_and_memory_are_another_source, setup, teardown),
        cmocka_unit_test_setup_teardown(paused_source_gets_no_event, setup, teardown),
        cmocka_unit_test_setup_teardown(stop_leaves_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(copy_in_a_child_is_not_served, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_waited_for_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_fire_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_are_never_early_and_can_be_armed_again, setup, teardown),
        cmocka_unit_test_setup_teardown(timer_in_the_past_lets_events_through, setup, teardown),
        cmocka_unit_test_setup_teardown(disarmed_timer_does_not_fire, setup, teardown),
        cmocka_unit_test_setup_teardown(signal_handlers_interrupt_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

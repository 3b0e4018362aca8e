// SPDX-License-Identifier: Apache-2.0
//! The roles, in threads or processes, what they share, and what they do in each case.

use crate::clock::{self, Idler, now_ns, relax, ticks};
use crate::histogram::Histogram;
use crate::options::{Case, ROLES_MAX};
use crate::{Message, Options, Peer, Put, Take, Wait, fail};
use std::io::{BufRead, Error, Write};
use std::mem::MaybeUninit;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// Messages that a consumer takes before it looks at anything else.
const MOST: usize = 256;

const AUTHOR_SHIFT: u32 = 48;
const CHUNK_BYTES: usize = 4 << 20; // a producer looks at the clock after so many
const CHUNK_MESSAGES: usize = 1024;
const LOST_AFTER_NS: u64 = 1_000_000_000; // without a message, once the producers are done
const SAMPLES_PER_S: f64 = 1e6; // oneway: above this rate not every message is a sample
const RTT_CHECK: u64 = 256; // round trips between two looks at the clock
const SLEEP_ABOVE_NS: f64 = 200_000.0; // a slow publisher leaves its core to others
const ROLE_ENDED_MS: i64 = 20;

// ---- messages ----

#[inline(always)]
fn write_words<const N: usize>(to: &mut MaybeUninit<Message<N>>, n: u64) {
    let to = to.as_mut_ptr().cast::<u64>();

    for i in 0..N {
        // SAFETY: it has N words.
        unsafe { to.add(i).write(n.wrapping_add(i as u64)) };
    }
}

#[inline(always)]
fn sum_words<const N: usize>(m: &Message<N>) -> u64 {
    m.iter().fold(0, |sum, word| sum.wrapping_add(*word))
}

/// The sum over the messages first .. first + count - 1.
fn sum_of(first: u64, count: u64, words: u64) -> u64 {
    let (a, b) = if count.is_multiple_of(2) {
        (count / 2, count.wrapping_sub(1))
    } else {
        (count / 2, count)
    };
    let messages = first.wrapping_mul(count).wrapping_add(a.wrapping_mul(b));

    words
        .wrapping_mul(messages)
        .wrapping_add(count.wrapping_mul(words * (words - 1) / 2))
}

// ---- shared memory ----

#[repr(C, align(128))]
struct Word(AtomicU64);

#[repr(C, align(128))]
struct Outcome {
    received: AtomicU64,
    sum: AtomicU64,
    last_ns: AtomicU64,
}

/// Zeroed memory that child processes share.
#[repr(C)]
struct Arena {
    go: [Semaphore; ROLES_MAX],
    done: Semaphore,
    seconds: AtomicU64, // of an f64; 0: the end
    arrived: Word,      // roles, over all runs
    run: Word,          // how many there were
    start_ns: Word,
    producing: Word, // producers that still run
    sent: Word,      // over all producers
    sum: Word,
    outcome: [Outcome; ROLES_MAX],
    histogram: Histogram, // of the one role that samples
}

#[repr(C)]
struct Semaphore(std::cell::UnsafeCell<libc::sem_t>);

// SAFETY: that is what semaphores are for.
unsafe impl Sync for Semaphore {}

impl Semaphore {
    fn init(&self) {
        // SAFETY: it is ours, and nobody uses it yet.
        unsafe { libc::sem_init(self.0.get(), 1, 0) };
    }
    fn post(&self) {
        // SAFETY: it was initialized.
        unsafe { libc::sem_post(self.0.get()) };
    }
    fn wait(&self) {
        // SAFETY: as above. A signal may interrupt it.
        while unsafe { libc::sem_wait(self.0.get()) } != 0 {}
    }
    fn wait_for(&self, ms: i64) -> bool {
        let mut end = libc::timespec { tv_sec: 0, tv_nsec: 0 };

        // SAFETY: as above.
        unsafe {
            libc::clock_gettime(libc::CLOCK_REALTIME, &mut end);
            end.tv_nsec += ms * 1_000_000;
            end.tv_sec += end.tv_nsec / 1_000_000_000;
            end.tv_nsec %= 1_000_000_000;
            libc::sem_timedwait(self.0.get(), &end) == 0
        }
    }
}

impl Arena {
    fn new() -> &'static Self {
        // SAFETY: zeroed memory is a valid Arena, and it is never given back.
        let arena = unsafe {
            let p = libc::mmap(
                std::ptr::null_mut(),
                size_of::<Self>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            );
            if p == libc::MAP_FAILED {
                fail("out of memory");
            }
            &*p.cast::<Self>()
        };
        arena.go.iter().for_each(Semaphore::init);
        arena.done.init();
        arena
    }
}

fn pin(cpu: usize) {
    // SAFETY: a cpu_set_t may be zero, and the set is ours.
    let pinned = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set) == 0
    };
    if !pinned {
        fail(format_args!("CPU {cpu}: {}", Error::last_os_error()));
    }
}

struct Bench<P, const N: usize> {
    o: &'static Options,
    a: &'static Arena,
    there: P,
    back: Option<P>, // for round trips only
}

pub fn run<P: Peer<N>, const N: usize>(o: &'static Options) {
    let back = (o.case == Case::Rtt).then(|| P::new(o, 1));

    // Never destroyed: the roles go on using it until the process ends.
    Box::leak(Box::new(Bench {
        o,
        a: Arena::new(),
        there: P::new(o, 0),
        back,
    }))
    .main();
}

impl<P: Peer<N>, const N: usize> Bench<P, N> {
    fn seconds(&self) -> f64 {
        f64::from_bits(self.a.seconds.load(Acquire))
    }

    fn end_ns(&self) -> u64 {
        self.a.start_ns.0.load(Acquire) + (self.seconds() * 1e9) as u64
    }

    /// Several roles share a core, or the consumers sleep: whoever finds nothing to do leaves its core to the others.
    fn crowded(&self) -> bool {
        self.o.roles() > 2
    }

    /// All have woken up and are on their cores before the first message.
    fn meet(&self, run: u64) {
        if self.a.arrived.0.fetch_add(1, AcqRel) + 1 == run * self.o.roles() as u64 {
            self.a.start_ns.0.store(now_ns(), Release);
            self.a.run.0.store(run, Release);
        }
        for i in 0u64.. {
            if self.a.run.0.load(Acquire) == run {
                break;
            }
            if i % 1024 == 1023 {
                clock::yield_core();
            }
        }
    }

    // ---- throughput ----

    fn produce(&self, queue: &mut P::Put, number: usize) {
        let (first, end) = ((number as u64) << AUTHOR_SHIFT, self.end_ns());
        let chunk = if CHUNK_BYTES / (N * 8) < CHUNK_MESSAGES {
            CHUNK_BYTES / (N * 8) + 1
        } else {
            CHUNK_MESSAGES
        };
        let batch = self.o.batch;
        let mut n = first;

        loop {
            let stop = n + chunk as u64;
            while n < stop {
                let put = queue.put(batch, |m, i| write_words(m, n + i as u64));
                n += put as u64;
                if put == 0 {
                    if self.crowded() || self.o.wait == Wait::Block {
                        clock::yield_core();
                    } else if self.o.wait != Wait::Spin {
                        relax();
                    }
                    if now_ns() > end {
                        break;
                    }
                }
            }
            if now_ns() >= end {
                break;
            }
        }
        self.a.sum.0.fetch_add(sum_of(first, n - first, N as u64), AcqRel);
        self.a.sent.0.fetch_add(n - first, AcqRel);
        self.a.producing.0.fetch_sub(1, AcqRel);
    }

    /// Until all that was sent is there, or nothing has come for a while.
    #[inline(always)]
    fn consume(&self, queue: &mut P::Take, role: usize, each: impl Fn(&Message<N>)) {
        let outcome = &self.a.outcome[role];
        let mut idler = Idler::new(self.o.wait);
        let (mut received, mut sum, mut run, mut quiet_since) = (0, 0u64, 0, 0);

        loop {
            let mut got = 0;
            while got < MOST {
                let some = queue.take(MOST - got, |m| {
                    each(m);
                    sum = sum.wrapping_add(sum_words(m));
                });
                if some == 0 {
                    break;
                }
                got += some;
            }
            run += got as u64;
            if got >= MOST {
                continue; // there is more; else it is at the producer's heels
            }
            received += run;
            if self.a.producing.0.load(Acquire) == 0 {
                if received >= self.a.sent.0.load(Acquire) {
                    break;
                }
                if run != 0 || quiet_since == 0 {
                    quiet_since = now_ns();
                } else if now_ns() - quiet_since > LOST_AFTER_NS {
                    break;
                }
            }
            if run != 0 {
                outcome.last_ns.store(now_ns(), Relaxed);
            }
            self.idle(queue, &mut idler, run);
            run = 0;
        }
        outcome.received.store(received, Relaxed);
        outcome.sum.store(sum, Relaxed);
        if received >= self.a.sent.0.load(Acquire) {
            outcome.last_ns.store(now_ns(), Relaxed);
        }
    }

    fn idle(&self, queue: &mut P::Take, idler: &mut Idler, got: u64) {
        if self.o.wait == Wait::Block {
            queue.block();
        } else if self.crowded() && got == 0 {
            clock::yield_core();
        } else {
            idler.idle(got);
        }
    }

    // ---- round trips ----

    fn put_one(queue: &mut P::Put, n: u64) {
        while queue.put(1, |m, _| write_words(m, n)) == 0 {
            relax();
        }
    }

    /// Returns the number of the message.
    fn take_one(&self, queue: &mut P::Take) -> u64 {
        let mut idler = Idler::new(self.o.wait);
        let (mut first, mut sum) = (0, 0);

        while queue.take(1, |m| (first, sum) = (m[0], sum_words(m))) == 0 {
            if self.o.wait == Wait::Block {
                queue.block();
            } else {
                idler.idle(0);
            }
        }
        if sum != sum_of(first, 1, N as u64) {
            fail("a message arrived changed");
        }
        first
    }

    fn ping(&self, there: &mut P::Put, back: &mut P::Take) {
        let end = self.end_ns();
        let check = if self.o.wait == Wait::Block { 1 } else { RTT_CHECK };
        let (mut n, mut last) = (1u64, ticks());

        loop {
            Self::put_one(there, n);
            if self.take_one(back) != n {
                fail("another message arrived than was sent");
            }
            let now = ticks();
            self.a.histogram.add(now - last);
            last = now;
            if n.is_multiple_of(check) && now_ns() > end {
                break;
            }
            n += 1;
        }
        Self::put_one(there, 0); // the end
        self.take_one(back);
        self.a.sent.0.store(n, Release);
        self.a.outcome[1].received.store(n, Relaxed);
        self.a.outcome[1].last_ns.store(now_ns(), Relaxed);
    }

    fn pong(&self, there: &mut P::Take, back: &mut P::Put) {
        loop {
            let n = self.take_one(there);
            Self::put_one(back, n);
            if n == 0 {
                break;
            }
        }
    }

    // ---- open loop ----

    fn pace(&self, queue: &mut P::Put) {
        let (start, rate) = (ticks(), self.o.rate);
        let mut every = 1;
        while (every as f64) < rate / SAMPLES_PER_S {
            every *= 2;
        }
        let per = 1e9 / rate / clock::ns_per_tick();
        let total = (rate * self.seconds()) as u64;
        let (mut n, mut due) = (0, 1); // the first one is due at once

        while n < total {
            while n < due {
                let stamp = if n & (every - 1) == 0 {
                    start + (n as f64 * per) as u64
                } else {
                    0
                };
                let put = queue.put(1, |m, _| {
                    write_words(m, 0);
                    // SAFETY: a message has a first word, and it was just written.
                    unsafe { m.as_mut_ptr().cast::<u64>().write(stamp) };
                });
                if put == 0 {
                    relax();
                } else {
                    n += 1;
                }
            }
            if n == total {
                break;
            }
            let next = (n as f64 * per) as u64;
            let early_ns = next.saturating_sub(ticks() - start) as f64 * clock::ns_per_tick();
            if early_ns > SLEEP_ABOVE_NS {
                std::thread::sleep(std::time::Duration::from_nanos(
                    (early_ns - SLEEP_ABOVE_NS / 2.0) as u64,
                ));
            }
            let now = loop {
                let now = ticks() - start;
                if now >= next {
                    break now;
                }
                relax();
            };
            due = ((now as f64 / per) as u64 + 1).min(total);
        }
        self.a.sent.0.fetch_add(n, AcqRel);
        self.a.producing.0.fetch_sub(1, AcqRel);
    }

    fn sample(&self, m: &Message<N>) {
        if m[0] != 0 {
            self.a.histogram.add(ticks().saturating_sub(m[0]));
        }
    }

    fn wait_idle(&self, queue: &mut P::Take) {
        let mut idler = Idler::new(self.o.wait);
        let end = self.end_ns();

        while now_ns() < end {
            if queue.take(1, |_| ()) != 0 {
                fail("a message that nobody sent");
            }
            self.idle(queue, &mut idler, 0);
        }
    }

    // ---- roles ----

    /// Calls `turn` for every run, until the end.
    fn turns(&self, role: usize, mut turn: impl FnMut()) {
        self.a.done.post();
        for run in 1.. {
            self.a.go[role].wait();
            if self.seconds() == 0.0 {
                return;
            }
            self.meet(run);
            turn();
            self.a.done.post();
        }
    }

    fn be_producer(&self, role: usize) {
        pin(self.o.cpus[0]);
        let mut queue = self.there.producer(role);
        let mut back = self.back.as_ref().map(|back| back.consumer(0));
        self.turns(role, || match (self.o.case, &mut back) {
            (Case::Rtt, Some(back)) => self.ping(&mut queue, back),
            (Case::Oneway, _) => self.pace(&mut queue),
            (Case::Throughput, _) => self.produce(&mut queue, role),
            _ => std::thread::sleep(std::time::Duration::from_secs_f64(self.seconds())),
        });
    }

    fn be_consumer(&self, role: usize) {
        pin(self.o.cpus[1]);
        let mut queue = self.there.consumer(role - self.o.publishers);
        let mut back = self.back.as_ref().map(|back| back.producer(0));
        self.turns(role, || match (self.o.case, &mut back) {
            (Case::Rtt, Some(back)) => self.pong(&mut queue, back),
            (Case::Oneway, _) => self.consume(&mut queue, role, |m| self.sample(m)),
            (Case::Throughput, _) => self.consume(&mut queue, role, |_| ()),
            _ => self.wait_idle(&mut queue),
        });
    }

    fn be(&self, role: usize) {
        if role < self.o.publishers {
            self.be_producer(role);
        } else {
            self.be_consumer(role);
        }
    }

    fn start_role(&'static self, role: usize) {
        if !P::PROCESSES {
            std::thread::spawn(move || self.be(role));
            return;
        }
        // SAFETY: there is no thread beside this one.
        unsafe {
            let parent = libc::getpid();
            match libc::fork() {
                -1 => fail(format_args!("fork: {}", Error::last_os_error())),
                0 => {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    if libc::getppid() == parent {
                        libc::close(0);
                        self.be(role);
                    }
                    libc::_exit(0);
                }
                _ => (),
            }
        }
    }

    fn await_roles(&self) {
        let mut count = self.o.roles();

        while count > 0 {
            if self.a.done.wait_for(ROLE_ENDED_MS) {
                count -= 1;
            } else if P::PROCESSES {
                let mut status = 0;
                // SAFETY: it writes status and nothing else.
                if unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) } > 0 {
                    if libc::WIFSIGNALED(status) {
                        fail(format_args!("a role was ended by signal {}", libc::WTERMSIG(status)));
                    }
                    // SAFETY: it has said why.
                    unsafe { libc::_exit(1) };
                }
            }
        }
    }

    fn wake_roles(&self, seconds: f64) {
        self.a.seconds.store(seconds.to_bits(), Release);
        self.a.go[..self.o.roles()].iter().for_each(Semaphore::post);
    }

    fn end_roles(&self) {
        if P::PROCESSES {
            self.wake_roles(0.0);
            // SAFETY: until there is no child.
            while unsafe { libc::wait(std::ptr::null_mut()) } > 0 {}
        }
        P::cleanup();
    }

    fn clear(&self) {
        self.a.producing.0.store(self.o.publishers as u64, Release);
        self.a.sent.0.store(0, Release);
        self.a.sum.0.store(0, Release);
        for outcome in &self.a.outcome {
            outcome.received.store(0, Relaxed);
            outcome.sum.store(0, Relaxed);
            outcome.last_ns.store(0, Relaxed);
        }
        self.a.histogram.clear();
    }

    fn report(&self) -> String {
        let (sent, start) = (self.a.sent.0.load(Acquire), self.a.start_ns.0.load(Acquire));
        let checked = self.o.case == Case::Throughput;
        let (mut most, mut last, mut lost) = (0, start, 0);

        if self.o.case == Case::Idle {
            return format!("{{\"messages\": 0, \"ns\": {}}}", now_ns() - start);
        }
        for outcome in &self.a.outcome[self.o.publishers..self.o.roles()] {
            let received = outcome.received.load(Relaxed);
            if received > sent {
                fail("more messages arrived than were sent");
            }
            if checked && received == sent && outcome.sum.load(Relaxed) != self.a.sum.0.load(Acquire) {
                fail("the messages that arrived aren't those that were sent: another checksum");
            }
            lost += sent - received;
            most = received.max(most);
            last = outcome.last_ns.load(Relaxed).max(last);
        }
        let hist = if checked {
            String::new()
        } else {
            format!(", \"hist\": \"{}\"", self.a.histogram.text())
        };
        format!(
            "{{\"messages\": {most}, \"ns\": {}, \"lost\": {lost}{hist}}}",
            last - start
        )
    }

    fn main(&'static self) {
        let say = |line: &str| {
            println!("{line}");
            let _ = std::io::stdout().flush();
        };

        for role in (0..self.o.roles()).rev() {
            self.start_role(role); // consumers first
        }
        self.await_roles();
        say(&format!(
            "{{\"ready\": true, \"capacity\": {}, \"ring_bytes\": {}}}",
            self.there.capacity(),
            self.there.ring_bytes()
        ));
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let seconds = line.strip_prefix("run ").and_then(|text| text.parse::<f64>().ok());
            match seconds {
                Some(seconds) if seconds > 0.0 && seconds < 1e6 => {
                    self.clear();
                    self.wake_roles(seconds);
                    self.await_roles();
                    say(&self.report());
                }
                _ => fail("input: 'run SECONDS' expected"),
            }
        }
        self.end_roles();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_form_is_the_sum() {
        for (first, count) in [(0, 0), (0, 1), (7, 2), (1 << 48, 1001), (31 << 48, 65536)] {
            let mut sum = 0u64;
            for n in first..first + count {
                let mut m = MaybeUninit::<Message<4>>::uninit();
                write_words(&mut m, n);
                // SAFETY: it was written.
                sum = sum.wrapping_add(sum_words(unsafe { m.assume_init_ref() }));
            }
            assert_eq!(sum, sum_of(first, count, 4));
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Clocks, and how a role waits.

use crate::Wait;
use std::sync::OnceLock;

const GATHER_LOAD: u64 = 64; // messages a microsecond
const GATHER_FIRST_NS: f64 = 64.0;
const GATHER_MOST_NS: f64 = 20000.0;

#[inline]
pub fn now_ns() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };

    // SAFETY: it writes t and nothing else.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// One sample must cost less than what it measures, so the CPU's counter; it counts alike on all cores.
#[inline(always)]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has it.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(target_arch = "aarch64")]
    {
        let value: u64;
        // SAFETY: it reads a register that Linux gives to users.
        unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) value, options(nostack)) };
        value
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    now_ns()
}

static NS_PER_TICK: OnceLock<f64> = OnceLock::new();

/// Takes 20 ms.
pub fn measure() {
    let (ns, t) = (now_ns(), ticks());

    while now_ns() - ns < 20_000_000 {}
    let _ = NS_PER_TICK.set((now_ns() - ns) as f64 / (ticks() - t) as f64);
}

pub fn ns_per_tick() -> f64 {
    *NS_PER_TICK.get().expect("main() measures it first")
}

/// The CPU's pause instruction.
#[inline(always)]
pub fn relax() {
    std::hint::spin_loop();
}

pub fn yield_core() {
    // SAFETY: it has no arguments.
    unsafe { libc::sched_yield() };
}

/// While there is nothing to do.
pub struct Idler {
    how: Wait,
    wait: u64,
    first: u64,
    most: u64,
    window: u64,
    since: u64,
    count: u64,
    loaded: bool,
}

impl Idler {
    pub fn new(how: Wait) -> Self {
        let per = ns_per_tick();
        Self {
            how,
            wait: 0,
            first: (GATHER_FIRST_NS / per) as u64,
            most: (GATHER_MOST_NS / per) as u64,
            window: (1000.0 / per) as u64,
            since: 0,
            count: 0,
            loaded: false,
        }
    }

    /// By the rate over a microsecond or more.
    fn under_load(&mut self, got: u64) -> bool {
        let now = ticks();
        let elapsed = now.wrapping_sub(self.since);

        self.count += got;
        if elapsed >= self.window {
            self.loaded = self.count.saturating_mul(self.window) > elapsed.saturating_mul(GATHER_LOAD);
            self.since = now;
            self.count = 0;
        }
        self.loaded
    }

    /// got: messages since the last call.
    #[inline]
    pub fn idle(&mut self, got: u64) {
        if self.how == Wait::Spin {
            return;
        }
        if self.how != Wait::Gather || got == 0 || !self.under_load(got) {
            self.wait = 0;
            relax();
            return;
        }
        self.wait = if self.wait == 0 {
            self.first
        } else {
            (2 * self.wait).min(self.most)
        };
        let start = ticks();
        while ticks() - start < self.wait {
            relax();
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Clocks, and how a role waits.

use crate::Wait;
use std::sync::OnceLock;

const GATHER_LOAD: f64 = 4.0; // messages a microsecond
const GATHER_NS: f64 = 20000.0;
const LEVELS: u32 = 3;
const LEVEL_SHIFT: u32 = 2;
const FIRST_GAIN: f64 = 1.25;
const GAIN: f64 = 1.1;
const PATIENCE: u64 = 64; // windows
const PATIENCE_MAX: u64 = 4096;

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

/// While there is nothing to do. `gather` is what aether_idle() does, with a budget of 20 us: under load it pauses, so
/// that messages gather, for as long as they come faster that way, which it tries.
pub struct Idler {
    how: Wait,
    budget: u64,
    window: u64,
    load: f64,
    since: u64,
    count: u64,
    before: f64,
    loaded: bool,
    level: u32,
    tried: u32,
    first: u32,
    up: bool,
    windows: u64,
    patience: u64,
}

impl Idler {
    pub fn new(how: Wait) -> Self {
        let per = ns_per_tick();
        let budget = (GATHER_NS / per) as u64;
        Self {
            how,
            budget,
            window: 4 * budget,
            load: GATHER_LOAD * per / 1000.0,
            since: 0,
            count: 0,
            before: 0.0,
            loaded: false,
            level: 0,
            tried: 0,
            first: LEVELS,
            up: false,
            windows: 0,
            patience: 0,
        }
    }

    fn weigh(&mut self, rate: f64) {
        if self.tried == self.level {
            if self.windows != 0 {
                self.windows -= 1;
                return;
            }
            self.before = rate;
            self.tried = match self.level {
                0 => self.first,
                level if self.up && level != LEVELS => level + 1,
                level => level - 1,
            };
            return;
        }
        let longer = self.tried > self.level;
        let needed = match (longer, self.level) {
            (true, 0) => self.before * FIRST_GAIN,
            (true, _) => self.before * GAIN,
            (false, _) => self.before / GAIN,
        };
        if rate > needed {
            self.up = longer && self.level != 0;
            self.level = self.tried;
            self.first = LEVELS;
            self.patience = 0;
            return;
        }
        if self.level == 0 {
            self.first = if self.tried > 1 { self.tried - 1 } else { LEVELS };
        }
        self.up = !self.up;
        self.tried = self.level;
        self.patience = (self.patience * 2 + PATIENCE).min(PATIENCE_MAX);
        self.windows = self.patience;
    }

    fn pause(&mut self, got: u64) -> u64 {
        let now = ticks();
        let elapsed = now.wrapping_sub(self.since);

        self.count += got;
        if elapsed >= self.window {
            let rate = self.count as f64 / elapsed as f64;
            self.loaded = rate > self.load;
            if self.loaded {
                self.weigh(rate);
            } else {
                self.tried = self.level;
                if self.level != 0 {
                    self.windows = 0;
                }
            }
            self.since = now;
            self.count = 0;
        }
        if self.loaded && self.tried != 0 {
            self.budget >> (LEVEL_SHIFT * (LEVELS - self.tried))
        } else {
            0
        }
    }

    /// got: messages since the last call.
    #[inline]
    pub fn idle(&mut self, got: u64) {
        if self.how == Wait::Spin {
            return;
        }
        let length = if self.how == Wait::Gather && got != 0 { self.pause(got) } else { 0 };
        let start = if length != 0 { ticks() } else { 0 };
        relax();
        while length != 0 && ticks() - start < length {
            relax();
        }
    }
}

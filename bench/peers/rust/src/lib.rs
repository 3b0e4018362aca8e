// SPDX-License-Identifier: Apache-2.0
//! What all Rust adapters share: the protocol (bench/README.md), the roles and how they start together, messages and
//! their sums, clocks, waiting, histograms. The counterpart of bench/harness/peer.hpp, and it measures alike.
//!
//! An adapter implements [`Peer`] over the message size, which is a constant so that the compiler does for each
//! message what it would do for a struct, and calls [`main`].

mod bench;
mod clock;
mod histogram;
mod options;

use std::fmt::Display;
use std::mem::MaybeUninit;

pub use clock::relax;
pub use options::{About, How, Options, Wait};

/// `N` words.
pub type Message<const N: usize> = [u64; N];

/// Up to so many words a message is held on the stack, or in registers; larger ones are in memory made once.
pub const SMALL: usize = 4096 / 8;

/// The ways to put a message in, as a constant: each is compiled on its own.
pub const SINGLE: u8 = How::Single as u8;
pub const BATCH: u8 = How::Batch as u8;
pub const LOAN: u8 = How::Loan as u8;

/// How a library passes on messages of `N` words.
pub trait Peer<const N: usize>: Sync + Sized + 'static {
    /// Between processes, or between threads of one.
    const PROCESSES: bool = false;
    type Put: Put<N>;
    type Take: Take<N>;

    /// Before there are roles: what both sides are handed. For round trips there are two, number 0 and 1.
    fn new(o: &'static Options, number: usize) -> Self;
    /// In the producer's thread or process: open, connect.
    fn producer(&self, number: usize) -> Self::Put;
    /// The same on the other side.
    fn consumer(&self, number: usize) -> Self::Take;
    fn capacity(&self) -> usize;
    fn ring_bytes(&self) -> usize {
        self.capacity() * N * 8
    }
    /// After all roles have ended.
    fn cleanup() {}
}

pub trait Put<const N: usize> {
    /// Puts in up to `count` messages in order and returns how many; 0: there is no room. `fill(m, i)` writes the i-th
    /// of them. It may be called again for messages that weren't put.
    fn put(&mut self, count: usize, fill: impl Fn(&mut MaybeUninit<Message<N>>, usize)) -> usize;
}

pub trait Take<const N: usize> {
    /// Calls `each` for up to `max` messages and returns how many; 0: there is none.
    fn take(&mut self, max: usize, each: impl FnMut(&Message<N>)) -> usize;
    /// `wait=block`: until there may be a message, or about 100 ms have gone.
    fn block(&mut self) {
        relax();
    }
}

/// A peer in all sizes and ways.
pub trait Family {
    type Of<const N: usize, const HOW: u8>: Peer<N>;

    fn about() -> About;
}

/// Tells the runner, and ends the process.
pub fn fail(what: impl Display) -> ! {
    end("error", what, 1)
}

/// It isn't a fault, but can't be measured.
pub fn unsupported(why: impl Display) -> ! {
    end("unsupported", why, 0)
}

fn end(key: &str, what: impl Display, status: i32) -> ! {
    let text: String = what
        .to_string()
        .chars()
        .map(|c| if c < ' ' || c == '"' || c == '\\' { '\'' } else { c })
        .collect();

    println!("{{\"{key}\": \"{text}\"}}");
    // SAFETY: no destructor or exit handler must run beside other threads, or in a child.
    unsafe { libc::_exit(status) }
}

/// Memory for one message, for those that are too large for the stack.
pub fn on_heap<const N: usize>() -> Box<Message<N>> {
    // SAFETY: words may be zero.
    unsafe { Box::new_zeroed().assume_init() }
}

/// The whole program of an adapter that has one implementation.
pub fn main<F: Family>() {
    std::panic::set_hook(Box::new(|info| fail(info)));
    let about = F::about();
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words == ["describe"] {
        println!("{}", about.json());
        return;
    }
    let o: &'static Options = Box::leak(Box::new(Options::parse(&words, &about)));
    clock::measure();
    match o.size {
        8 => run::<F, 1>(o),
        32 => run::<F, 4>(o),
        64 => run::<F, 8>(o),
        256 => run::<F, 32>(o),
        1024 => run::<F, 128>(o),
        4096 => run::<F, 512>(o),
        65536 => run::<F, 8192>(o),
        1048576 => run::<F, 131072>(o),
        size => fail(format_args!(
            "size={size}: 8, 32, 64, 256, 1024, 4096, 65536 or 1048576 expected"
        )),
    }
}

fn run<F: Family, const N: usize>(o: &'static Options) {
    match o.how {
        How::Single => bench::run::<F::Of<N, SINGLE>, N>(o),
        How::Batch => bench::run::<F::Of<N, BATCH>, N>(o),
        How::Loan => bench::run::<F::Of<N, LOAN>, N>(o),
    }
}

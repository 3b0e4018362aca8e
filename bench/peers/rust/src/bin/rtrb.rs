// SPDX-License-Identifier: Apache-2.0
//! rtrb: a ring for one producer and one consumer.

use aether_bench_peers::{
    About, BATCH, Family, How, LOAN, Message, Options, Peer, Put, SINGLE, SMALL, Take, Wait, on_heap,
};
use rtrb::{Consumer, Producer, RingBuffer, chunks::ChunkError};
use std::mem::MaybeUninit;
use std::slice::from_ref;
use std::sync::Mutex;

struct Ring<const N: usize, const HOW: u8> {
    ends: Mutex<(Option<Producer<Message<N>>>, Option<Consumer<Message<N>>>)>,
    capacity: usize,
}

struct Out<const N: usize, const HOW: u8> {
    ring: Producer<Message<N>>,
    large: Box<Message<N>>,
}

struct In<const N: usize, const HOW: u8> {
    ring: Consumer<Message<N>>,
}

impl<const N: usize, const HOW: u8> Peer<N> for Ring<N, HOW> {
    type Put = Out<N, HOW>;
    type Take = In<N, HOW>;

    fn new(o: &'static Options, _: usize) -> Self {
        let capacity = o.usual_capacity();
        let (producer, consumer) = RingBuffer::new(capacity);
        Self {
            ends: Mutex::new((Some(producer), Some(consumer))),
            capacity,
        }
    }
    fn producer(&self, _: usize) -> Self::Put {
        Out {
            ring: self.ends.lock().unwrap().0.take().expect("one producer"),
            large: on_heap(),
        }
    }
    fn consumer(&self, _: usize) -> Self::Take {
        In {
            ring: self.ends.lock().unwrap().1.take().expect("one consumer"),
        }
    }
    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl<const N: usize, const HOW: u8> Put<N> for Out<N, HOW> {
    #[inline(always)]
    fn put(&mut self, count: usize, fill: impl Fn(&mut MaybeUninit<Message<N>>, usize)) -> usize {
        if HOW == SINGLE && N <= SMALL {
            let mut m = MaybeUninit::uninit();
            fill(&mut m, 0);
            // SAFETY: fill() has written it.
            return self.ring.push(unsafe { m.assume_init() }).is_ok().into();
        }
        if HOW == SINGLE {
            if self.ring.is_full() {
                return 0;
            }
            // SAFETY: words that may be written anew.
            fill(unsafe { &mut *(&raw mut *self.large).cast() }, 0);
            return self.ring.push_entire_slice(from_ref(&*self.large)).is_ok().into();
        }
        let count = if HOW == LOAN { 1 } else { count };
        let mut chunk = match self.ring.write_chunk_uninit(count) {
            Ok(chunk) => chunk,
            Err(ChunkError::TooFewSlots(0)) => return 0,
            Err(ChunkError::TooFewSlots(some)) => self.ring.write_chunk_uninit(some).expect("they are there"),
        };
        let n = chunk.len();
        let (first, second) = chunk.as_mut_slices();
        let split = first.len();
        for (i, m) in first.iter_mut().enumerate() {
            fill(m, i);
        }
        for (i, m) in second.iter_mut().enumerate() {
            fill(m, split + i);
        }
        // SAFETY: all of it is filled.
        unsafe { chunk.commit_all() };
        n
    }
}

impl<const N: usize, const HOW: u8> Take<N> for In<N, HOW> {
    #[inline(always)]
    fn take(&mut self, max: usize, mut each: impl FnMut(&Message<N>)) -> usize {
        if HOW == SINGLE && N <= SMALL {
            return self.ring.pop().map(|m| each(&m)).is_ok().into();
        }
        let chunk = match self.ring.read_chunk(if HOW == BATCH { max } else { 1 }) {
            Ok(chunk) => chunk,
            Err(ChunkError::TooFewSlots(0)) => return 0,
            Err(ChunkError::TooFewSlots(some)) => self.ring.read_chunk(some).expect("they are there"),
        };
        let n = chunk.len();
        let (first, second) = chunk.as_slices();
        first.iter().for_each(&mut each);
        second.iter().for_each(&mut each);
        chunk.commit_all();
        n
    }
}

struct Rtrb;

impl Family for Rtrb {
    type Of<const N: usize, const HOW: u8> = Ring<N, HOW>;

    fn about() -> About {
        About {
            name: "rtrb",
            implementation: "rtrb",
            package: "rtrb",
            between: "threads",
            publishers: 1,
            subscribers: 1,
            how: &[How::Single, How::Batch, How::Loan],
            waits: &[Wait::Spin, Wait::Pause, Wait::Gather],
            lacks: &[
                "processes",
                "several subscribers",
                "several publishers",
                "names",
                "crash safety",
                "wake-up",
                "variable length",
            ],
            settings: "push/pop; batch: write_chunk_uninit/read_chunk; loan: chunks of one; single above 4096 bytes: \
                       copied in, read in place",
        }
    }
}

fn main() {
    aether_bench_peers::main::<Rtrb>();
}

// SPDX-License-Identifier: Apache-2.0
//! crossbeam-queue's ArrayQueue: several producers, and consumers that share what there is.

use aether_bench_peers::{About, Family, How, Message, Options, Peer, Put, SMALL, Take, Wait, on_heap};
use crossbeam_queue::ArrayQueue;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// It moves its messages in and out. Large ones are moved as boxes, which the consumer gives back through a second
/// queue: malloc() and free() would cost more than that.
enum Shared<const N: usize> {
    Values(ArrayQueue<Message<N>>),
    Boxes {
        full: ArrayQueue<Box<Message<N>>>,
        free: ArrayQueue<Box<Message<N>>>,
    },
}

struct Queue<const N: usize>(Arc<Shared<N>>);
struct End<const N: usize>(Arc<Shared<N>>);

impl<const N: usize> Peer<N> for Queue<N> {
    type Put = End<N>;
    type Take = End<N>;

    fn new(o: &'static Options, _: usize) -> Self {
        let capacity = o.usual_capacity();
        if N <= SMALL {
            return Self(Arc::new(Shared::Values(ArrayQueue::new(capacity))));
        }
        let free = ArrayQueue::new(capacity);
        (0..capacity).for_each(|_| drop(free.push(on_heap())));
        Self(Arc::new(Shared::Boxes {
            full: ArrayQueue::new(capacity),
            free,
        }))
    }
    fn producer(&self, _: usize) -> Self::Put {
        End(self.0.clone())
    }
    fn consumer(&self, _: usize) -> Self::Take {
        End(self.0.clone())
    }
    fn capacity(&self) -> usize {
        match &*self.0 {
            Shared::Values(queue) => queue.capacity(),
            Shared::Boxes { full, .. } => full.capacity(),
        }
    }
}

impl<const N: usize> Put<N> for End<N> {
    #[inline(always)]
    fn put(&mut self, _: usize, fill: impl Fn(&mut MaybeUninit<Message<N>>, usize)) -> usize {
        match &*self.0 {
            Shared::Values(queue) if N <= SMALL => {
                let mut m = MaybeUninit::uninit();
                fill(&mut m, 0);
                // SAFETY: fill() has written it.
                queue.push(unsafe { m.assume_init() }).is_ok().into()
            }
            Shared::Boxes { full, free } if N > SMALL => {
                let Some(mut m) = free.pop() else { return 0 };
                // SAFETY: words that may be written anew.
                fill(unsafe { &mut *(&raw mut *m).cast() }, 0);
                full.push(m).expect("there are no more boxes than it has room for");
                1
            }
            _ => unreachable!(),
        }
    }
}

impl<const N: usize> Take<N> for End<N> {
    #[inline(always)]
    fn take(&mut self, _: usize, mut each: impl FnMut(&Message<N>)) -> usize {
        match &*self.0 {
            Shared::Values(queue) if N <= SMALL => queue.pop().map(|m| each(&m)).is_some().into(),
            Shared::Boxes { full, free } if N > SMALL => {
                let Some(m) = full.pop() else { return 0 };
                each(&m);
                free.push(m).expect("it has room for all boxes");
                1
            }
            _ => unreachable!(),
        }
    }
}

struct Crossbeam;

impl Family for Crossbeam {
    type Of<const N: usize, const HOW: u8> = Queue<N>;

    fn about() -> About {
        About {
            name: "crossbeam ArrayQueue",
            implementation: "crossbeam",
            package: "crossbeam-queue",
            between: "threads",
            publishers: 32,
            subscribers: 1,
            how: &[How::Single],
            waits: &[Wait::Spin, Wait::Pause, Wait::Gather],
            lacks: &[
                "processes",
                "several subscribers",
                "names",
                "crash safety",
                "wake-up",
                "variable length",
            ],
            settings: "ArrayQueue, messages by value; above 4096 bytes boxes, given back through a second queue",
        }
    }
}

fn main() {
    aether_bench_peers::main::<Crossbeam>();
}

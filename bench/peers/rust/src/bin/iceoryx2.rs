// SPDX-License-Identifier: Apache-2.0
//! iceoryx2: publish-subscribe services between processes; for wait=block an event service beside each.

use aether_bench_peers::{About, Family, How, LOAN, Message, Options, Peer, Put, SMALL, Take, Wait, fail, on_heap};
use iceoryx2::node::Node;
use iceoryx2::port::{LoanError, listener::Listener, notifier::Notifier, publisher::Publisher, subscriber::Subscriber};
use iceoryx2::prelude::*;
use std::fmt::Debug;
use std::mem::MaybeUninit;
use std::time::Duration;

const MOST_MESSAGES: usize = 1024; // more only miss the caches
const BLOCK: Duration = Duration::from_millis(100);
const CREATION_TIMEOUT: Duration = Duration::from_secs(5);
const NODES: usize = 2 * 64;

trait OrFail<T> {
    fn or_fail(self) -> T;
}

impl<T, E: Debug> OrFail<T> for Result<T, E> {
    #[inline(always)]
    fn or_fail(self) -> T {
        match self {
            Ok(value) => value,
            Err(e) => fail(format_args!("iceoryx2: {e:?}")),
        }
    }
}

/// A place of our own, but the same in each run: whoever is killed leaves files there, and the next one's node is told
/// to clear up after it.
fn root() -> String {
    // SAFETY: it has no arguments.
    format!("/tmp/aether-bench-iceoryx2-{}", unsafe { libc::geteuid() })
}

fn config() -> Config {
    let mut config = Config::default();

    config.global.set_root_path(&Path::new(root().as_bytes()).or_fail());
    config.global.prefix = FileName::new(b"aether_bench_").or_fail();
    config.global.creation_timeout = CREATION_TIMEOUT;
    config.global.node.cleanup_dead_nodes_on_creation = true;
    config
}

fn node() -> Node<ipc::Service> {
    set_log_level(LogLevel::Error);
    NodeBuilder::new()
        .config(&config())
        .signal_handling_mode(SignalHandlingMode::Disabled)
        .create::<ipc::Service>()
        .or_fail()
}

struct Queue<const N: usize, const HOW: u8> {
    o: &'static Options,
    name: String,
    capacity: usize,
}

struct Out<const N: usize, const HOW: u8> {
    publisher: Publisher<ipc::Service, Message<N>, ()>,
    notifier: Option<Notifier<ipc::Service>>,
    large: Box<Message<N>>,
    _node: Node<ipc::Service>,
}

struct In<const N: usize> {
    subscriber: Subscriber<ipc::Service, Message<N>, ()>,
    listener: Option<Listener<ipc::Service>>,
    _node: Node<ipc::Service>,
}

type Topic<const N: usize> =
    iceoryx2::service::port_factory::publish_subscribe::PortFactory<ipc::Service, Message<N>, ()>;
type Event = iceoryx2::service::port_factory::event::PortFactory<ipc::Service>;

impl<const N: usize, const HOW: u8> Queue<N, HOW> {
    fn topic(&self, node: &Node<ipc::Service>) -> Topic<N> {
        node.service_builder(&ServiceName::new(&self.name).or_fail())
            .publish_subscribe::<Message<N>>()
            .max_publishers(self.o.publishers)
            .max_subscribers(self.o.subscribers)
            .max_nodes(NODES)
            .history_size(0)
            .subscriber_max_buffer_size(self.capacity)
            .subscriber_max_borrowed_samples(1)
            .enable_safe_overflow(false)
            .open_or_create()
            .or_fail()
    }
    fn event(&self, node: &Node<ipc::Service>) -> Option<Event> {
        (self.o.wait == Wait::Block).then(|| {
            node.service_builder(&ServiceName::new(&format!("{}/wake", self.name)).or_fail())
                .event()
                .max_nodes(NODES)
                .max_notifiers(self.o.publishers)
                .max_listeners(self.o.subscribers)
                .open_or_create()
                .or_fail()
        })
    }
}

impl<const N: usize, const HOW: u8> Peer<N> for Queue<N, HOW> {
    const PROCESSES: bool = true;
    type Put = Out<N, HOW>;
    type Take = In<N>;

    fn new(o: &'static Options, number: usize) -> Self {
        Self {
            o,
            name: format!("bench/{}/{number}", std::process::id()),
            capacity: o.capacity_within(MOST_MESSAGES),
        }
    }
    fn producer(&self, _: usize) -> Self::Put {
        let node = node();
        let capacity = self.capacity;
        let publisher = self
            .topic(&node)
            .publisher_builder()
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .max_loaned_samples(1)
            .override_sample_preallocation(move |n| {
                if std::env::var_os("IOX_A").is_some() {
                    n
                } else {
                    capacity
                }
            })
            .create()
            .or_fail();
        let notifier = self
            .event(&node)
            .map(|event| event.notifier_builder().create().or_fail());
        Out {
            publisher,
            notifier,
            large: on_heap(),
            _node: node,
        }
    }
    fn consumer(&self, _: usize) -> Self::Take {
        let node = node();
        let subscriber = self.topic(&node).subscriber_builder().create().or_fail();
        let listener = self
            .event(&node)
            .map(|event| event.listener_builder().create().or_fail());
        In {
            subscriber,
            listener,
            _node: node,
        }
    }
    fn capacity(&self) -> usize {
        self.capacity
    }
    fn cleanup() {
        drop(node()); // clears up after roles that failed
        let root = root();
        for directory in [format!("{root}/nodes"), format!("{root}/services"), root] {
            let _ = std::fs::remove_dir(directory); // unless another one is at work
        }
    }
}

impl<const N: usize, const HOW: u8> Put<N> for Out<N, HOW> {
    #[inline(always)]
    fn put(&mut self, _: usize, fill: impl Fn(&mut MaybeUninit<Message<N>>, usize)) -> usize {
        let mut sample = match self.publisher.loan_uninit() {
            Ok(sample) => sample,
            Err(LoanError::OutOfMemory) => return 0, // the subscribers still have them all
            Err(e) => fail(format_args!("iceoryx2: {e:?}")),
        };
        if HOW == LOAN {
            fill(sample.payload_mut(), 0);
        } else if N <= SMALL {
            let mut m = MaybeUninit::uninit(); // as send_copy() does
            fill(&mut m, 0);
            *sample.payload_mut() = m;
        } else {
            // SAFETY: words that may be written anew.
            fill(unsafe { &mut *(&raw mut *self.large).cast() }, 0);
            // SAFETY: both are messages.
            unsafe { std::ptr::copy_nonoverlapping(&*self.large, sample.payload_mut().as_mut_ptr(), 1) };
        }
        // SAFETY: fill() has written it.
        unsafe { sample.assume_init() }.send().or_fail();
        if let Some(notifier) = &self.notifier {
            notifier.notify().or_fail();
        }
        1
    }
}

impl<const N: usize> Take<N> for In<N> {
    #[inline(always)]
    fn take(&mut self, _: usize, mut each: impl FnMut(&Message<N>)) -> usize {
        match self.subscriber.receive().or_fail() {
            Some(sample) => {
                each(sample.payload());
                1
            }
            None => 0,
        }
    }
    fn block(&mut self) {
        if let Some(listener) = &self.listener {
            listener.timed_wait(|_| (), BLOCK).or_fail();
        }
    }
}

struct Iceoryx2;

impl Family for Iceoryx2 {
    type Of<const N: usize, const HOW: u8> = Queue<N, HOW>;

    fn about() -> About {
        About {
            name: "iceoryx2",
            implementation: "iceoryx2",
            package: "iceoryx2",
            between: "processes",
            publishers: 32,
            subscribers: 32,
            how: &[How::Single, How::Loan],
            waits: &[Wait::Spin, Wait::Pause, Wait::Gather, Wait::Block],
            lacks: &["loss reports"],
            settings: "ipc service, no safe overflow, retry until delivered, as many samples as the buffer holds, \
                       1 borrowed, 1 loaned; block: a listener, notified for each message",
        }
    }
}

fn main() {
    aether_bench_peers::main::<Iceoryx2>();
}

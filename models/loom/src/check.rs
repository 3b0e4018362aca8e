// SPDX-License-Identifier: Apache-2.0
//! What the threads of a model do, and what must be true of it: which publisher has which sequence, and what each
//! subscriber receives.

use crate::topic::{self, Message};
use crate::world;
use std::cell::RefCell;

/// An entry that a subscriber has received.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry {
    Message { seq: u64, value: u64 },
    Gap { seq: u64, lost: u64 },
}

/// What has happened in this execution, beside what is in shared memory.
#[derive(Default, Clone)]
struct Ghost {
    /// Sequence and value of each publish that returned 0.
    sent: Vec<(u64, u64)>,
    /// Values whose publisher died: published or not.
    unsure: Vec<u64>,
    /// The sum of what repairs have returned.
    aborted: u64,
    /// A repair died, and returned nothing.
    unreported: bool,
    received: [Vec<Entry>; 3],
    evicted: [bool; 3],
    /// A subscriber lost a message before it had received its eviction.
    lost_unevicted: [bool; 3],
    /// The sequence at which a subscriber found that the stream has ended.
    ends: Option<u64>,
    /// A subscriber found, when it had joined, that no publisher was there.
    unheard: bool,
    /// Messages that each publisher has published, with those that it is publishing.
    begun: [u64; 3],
    /// How often each subscriber took each message's stamp for that of a message; 0: it found that it had changed.
    samples: [[u64; topic::LATENCIES as usize]; 3],
}

thread_local! {
    static GHOST: RefCell<Ghost> = RefCell::default();
    static START: RefCell<Ghost> = RefCell::default();
}

fn ghost<R>(use_it: impl FnOnce(&mut Ghost) -> R) -> R {
    GHOST.with(|ghost| use_it(&mut ghost.borrow_mut()))
}

/// The set-up is done: every execution begins with what has happened so far.
pub fn freeze() {
    START.set(ghost(|g| g.clone()));
}

pub fn begin() {
    START.with(|start| ghost(|g| g.clone_from(&start.borrow())));
}

macro_rules! must {
    ($ok:expr, $($what:tt)*) => { if !$ok { panic!("wrong: {}", format!($($what)*)) } };
}
pub(crate) use must;

/// The n-th message of publisher p. Its words differ.
pub fn value(p: u32, n: u64) -> u64 {
    (u64::from(p) + 1) << 8 | n
}

fn word(value: u64, j: u64) -> u64 {
    j << 32 | value
}

// ---- publishers ----

/// Publishes messages n, n + 1, ... of publisher p in one batch. None: it died.
fn publish_as(p: u32, n: u64, count: u64, words: u64) -> Option<bool> {
    world::note(format!("publisher {p} publishes message {n}, {count} of them"));
    ghost(|g| g.begun[p as usize] += count);
    let rc = if count == 1 {
        let data: Vec<u64> = (0..words).map(|j| word(value(p, n), j)).collect();
        topic::publish(p, &data)
    } else {
        let data: Vec<u64> = (0..count).map(|i| value(p, n + i)).collect();
        topic::publish_batch(p, &data)
    };
    match rc {
        None => {
            ghost(|g| g.unsure.extend((0..count).map(|i| value(p, n + i))));
            None
        }
        Some(0) => {
            let first = topic::publisher_next(p) - count;
            world::note(format!("... as {first}"));
            ghost(|g| g.sent.extend((0..count).map(|i| (first + i, value(p, n + i)))));
            Some(true)
        }
        Some(topic::FULL) => {
            world::note("... full".into());
            ghost(|g| g.begun[p as usize] -= count);
            Some(false)
        }
        Some(rc) => panic!("wrong: publish returned {rc}"),
    }
}

/// One message of one word. True: published; false: full.
pub fn publish(p: u32, n: u64) -> bool {
    publish_as(p, n, 1, 1).unwrap()
}

pub fn publish_words(p: u32, n: u64, words: u64) -> bool {
    publish_as(p, n, 1, words).unwrap()
}

/// False: it died.
pub fn publish_mortal(p: u32, n: u64, count: u64) -> bool {
    publish_as(p, n, count, 1).is_some()
}

/// Publisher p claims count sequences and dies before it commits any; they are aborted. For a set-up.
pub fn abort_batch(p: u32, count: u64) {
    must!(topic::claim(p, count) == 0, "publisher {p} can't claim");
    must!(repair(p), "a repair died");
}

/// What aetherd does for a dead publisher. False: it died, too.
pub fn repair(record: u32) -> bool {
    world::note(format!("repair of record {record}"));
    match topic::repair(record) {
        Some(aborted) => {
            world::note(format!("... aborted {aborted}"));
            ghost(|g| g.aborted += aborted);
            true
        }
        None => {
            ghost(|g| g.unreported = true);
            false
        }
    }
}

// ---- subscribers ----

fn read_payload(s: u32, message: &Message, in_place: bool) -> Option<u64> {
    let data = message.data as *const u64;
    let words = message.len as u64 / 8;
    let shared = world::is_shared(message.data);
    must!(words > 0 && message.len % 8 == 0, "a message of {} bytes", message.len);
    let read = |j: u64| {
        let p = unsafe { data.add(j as usize) };
        if in_place && shared {
            world::read_unsafe(p)
        } else if shared {
            world::read_safe(p)
        } else {
            unsafe { *p }
        }
    };
    let words: Vec<u64> = (0..words).map(read).collect();
    if in_place && !topic::still_valid(s, message) {
        return None;
    }
    for (j, w) in words.iter().enumerate() {
        must!(*w == word(words[0], j as u64), "a torn message: {words:x?}");
    }
    Some(words[0])
}

/// A stamp that was taken for that of the message is that of the message.
fn check_stamp(s: u32, value: u64) {
    for n in 0..topic::LATENCIES {
        let (now, before) = (topic::samples(s, n), ghost(|g| g.samples[s as usize][n as usize]));
        must!(
            now == before || now == before + 1 && (n == 0 || n == value % topic::LATENCIES),
            "the stamp of message {n} was taken for that of message {value:#x}"
        );
        ghost(|g| g.samples[s as usize][n as usize] = now);
    }
}

fn receive_as(s: u32, in_place: bool) -> bool {
    let mut message = Message { seq: 0, data: std::ptr::null(), len: 0, lost: 0 };
    match topic::receive(s, &mut message) {
        0 => return false,
        1 if message.lost != 0 => {
            world::note(format!("subscriber {s} lost {} from {}", message.lost, message.seq));
            ghost(|g| {
                g.received[s as usize].push(Entry::Gap { seq: message.seq, lost: message.lost });
                g.lost_unevicted[s as usize] |= !g.evicted[s as usize];
            });
        }
        1 => match read_payload(s, &message, in_place) {
            Some(value) => {
                world::note(format!("subscriber {s} got {} {value:#x}", message.seq));
                check_stamp(s, value);
                ghost(|g| g.received[s as usize].push(Entry::Message { seq: message.seq, value }));
            }
            // Its bytes were overwritten under a view in place: as good as lost.
            None => {
                if let Some(sent) = ghost(|g| g.sent.iter().find(|sent| sent.0 == message.seq).copied()) {
                    check_stamp(s, sent.1);
                }
                ghost(|g| g.received[s as usize].push(Entry::Gap { seq: message.seq, lost: 1 }));
            }
        },
        topic::EVICTED => {
            world::note(format!("subscriber {s} evicted"));
            ghost(|g| g.evicted[s as usize] = true);
        }
        rc => panic!("wrong: receive returned {rc}"),
    }
    true
}

/// Takes the next entry, if there is one.
pub fn receive(s: u32) -> bool {
    receive_as(s, false)
}

/// The same for views that may be overwritten.
pub fn receive_in_place(s: u32) -> bool {
    receive_as(s, true)
}

/// Receives a few times, and asks whether the stream has ended when nothing is there.
pub fn watch_end(s: u32) {
    for _ in 0..2 {
        if !receive(s) && topic::stream(s) > topic::OPEN {
            let next = topic::stats(s).next;
            world::note(format!("subscriber {s}: the stream ends at {next}"));
            ghost(|g| g.ends = Some(next));
            return;
        }
    }
}

/// A subscriber that has heard of no publisher ...
pub fn ask_for_stream(s: u32) {
    let unheard = topic::stream(s) == topic::NONE;
    ghost(|g| g.unheard = unheard);
}

/// ... receives nothing, and stays so, unless another one comes.
pub fn check_unheard(s: u32) {
    if topic::stream(s) == topic::NONE || ghost(|g| g.unheard) {
        must!(!receive(s), "a subscriber receives a message of a publisher that had closed before its join");
    }
}

pub fn evicted(s: u32) -> bool {
    ghost(|g| g.evicted[s as usize])
}

// ---- another process, which reads figures ----

/// Reads the figures of a handle a number of times: they add up, say no more than has happened, and never go back.
pub fn read_figures(handle: u32, record: u32, times: u32) {
    let mut before = topic::Figures::default();
    for _ in 0..times {
        let now = match topic::figures(handle, record) {
            Ok(figures) => figures,
            Err(rc) => panic!("wrong: the figures can't be read: {rc}"),
        };
        world::note(format!("figures: {now:?}"));
        must!(
            now.next >= before.next && now.messages >= before.messages && now.aborted >= before.aborted,
            "the figures have gone back from {before:?} to {now:?}"
        );
        let most = published(handle);
        must!(now.messages <= most, "at most {most} messages were published, the figures have {}", now.messages);
        before = now;
    }
}

/// Messages that there are for a subscriber, or that a publisher has published or is publishing.
fn published(handle: u32) -> u64 {
    ghost(|g| if handle < topic::HANDLES { g.begun[handle as usize] } else { g.sent.len() as u64 })
}

/// All threads have ended, and all was received: the figures have all messages.
pub fn read_all_figures(handle: u32, record: u32) {
    let (found, all) = (topic::figures(handle, record), published(handle));
    must!(found.is_ok_and(|f| f.messages == all), "{all} messages were published, the figures are {found:?}");
}

// ---- checks after all threads have ended ----

/// Each sequence has one owner, and each publisher's have the order of its calls.
pub fn check_sent() {
    let mut sent = ghost(|g| g.sent.clone());
    sent.sort_unstable();
    for (a, b) in sent.iter().zip(sent.iter().skip(1)) {
        must!(a.0 != b.0, "two publishers have sequence {}", a.0);
    }
    for p in 1..=3 {
        let mine: Vec<u64> = sent.iter().map(|m| m.1).filter(|v| v >> 8 == p).collect();
        must!(mine.is_sorted(), "publisher {} is out of order: {sent:x?}", p - 1);
    }
}

/// What a subscriber may not have received.
#[derive(Clone, Copy, PartialEq)]
pub enum Lost {
    Nothing,
    /// What was reported to it as lost.
    Reported,
    /// Also what newer messages were preferred to.
    Skipped,
}

/// Receives what is left and checks everything that this subscriber has received.
pub fn finish(s: u32, lost: Lost) {
    check_sent();
    for turn in 0.. {
        must!(turn < 32, "a subscriber finds no end");
        if !receive(s) {
            break;
        }
    }
    let end = topic::claim_end();
    let stats = topic::stats(s);
    must!(stats.next == end, "{} sequences are claimed, but a subscriber is at {}", end, stats.next);
    must!(
        stats.delivered + stats.lost + stats.aborted + stats.skipped == stats.next - stats.joined,
        "the figures don't add up: {stats:?}"
    );
    check_received(s, &stats, lost);
}

fn check_passed(sent: &[(u64, u64)], mut passed: std::ops::Range<u64>, may: Lost) {
    let missing = passed.find(|seq| may != Lost::Skipped && sent.iter().any(|m| m.0 == *seq));
    must!(missing.is_none(), "sequence {} was published and never delivered", missing.unwrap_or_default());
}

fn check_received(s: u32, stats: &topic::Stats, may: Lost) {
    let (received, sent, unsure) = ghost(|g| (g.received[s as usize].clone(), g.sent.clone(), g.unsure.clone()));
    let (mut next, mut passed, mut delivered) = (stats.joined, 0, 0);

    for entry in &received {
        let (seq, after) = match *entry {
            Entry::Message { seq, value } => {
                let right = sent.contains(&(seq, value)) || unsure.contains(&value);
                must!(right, "sequence {seq} was delivered as {value:#x}; published: {sent:x?}, {unsure:x?}");
                delivered += 1;
                (seq, seq + 1)
            }
            Entry::Gap { seq, lost } => {
                must!(may != Lost::Nothing, "a subscriber that loses nothing lost {lost} from {seq}");
                (seq, seq + lost)
            }
        };
        must!(seq >= next, "sequence {seq} was delivered after {}", next - 1);
        check_passed(&sent, next..seq, may);
        passed += seq - next;
        next = after;
    }
    check_passed(&sent, next..stats.next, may);
    passed += stats.next - next;
    must!(passed == stats.aborted + stats.skipped, "{passed} sequences were passed over: {stats:?}");
    must!(delivered <= stats.delivered, "the figures don't add up: {stats:?}");
    for (i, entry) in received.iter().enumerate() {
        if let Entry::Message { value, .. } = *entry {
            let twice = received[..i].iter().any(|e| matches!(e, Entry::Message { value: v, .. } if *v == value));
            must!(!twice, "message {value:#x} was delivered twice");
        }
    }
}

/// As [`finish`], of a subscriber that was there from the start and so counts all that was aborted.
pub fn finish_aborted(s: u32) {
    finish(s, Lost::Nothing);
    let (stats, aborted, unreported) = (topic::stats(s), ghost(|g| g.aborted), ghost(|g| g.unreported));
    must!(
        stats.aborted == aborted || unreported && stats.aborted > aborted,
        "{aborted} sequences were aborted, a subscriber has skipped {}",
        stats.aborted
    );
}

/// The stream has ended where a subscriber has found its end.
pub fn check_end(s: u32) {
    let (ends, next) = (ghost(|g| g.ends), topic::stats(s).next);
    must!(ends.is_none_or(|ends| ends == next), "the stream was said to end at {ends:?}; it ends at {next}");
}

/// A reliable subscriber receives its eviction before it loses anything.
pub fn check_evicted(s: u32) {
    must!(!ghost(|g| g.lost_unevicted[s as usize]), "a subscriber lost a message before it received its eviction");
}

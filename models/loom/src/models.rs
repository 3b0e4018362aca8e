// SPDX-License-Identifier: Apache-2.0
//! The models. Each sets a topic up, without loom, and then runs two or three threads on it.

use crate::check::{self, must, publish, publish_mortal, receive, repair, Lost};
use crate::topic::{self, Config, Word};
use crate::world::{self, join, spawn};

pub struct Model {
    pub name: &'static str,
    pub shows: &'static str,
    /// How often a thread may be preempted; None: any number of times.
    pub bound: Option<usize>,
    pub setup: fn(),
    pub run: fn(),
}

/// What changes in a model; all else is constant, or of no consequence.
struct Shape {
    config: Config,
    /// Records 0 .. publishers - 1 of publishers, 0 .. reliable - 1 of subscribers.
    publishers: u64,
    reliable: u64,
    /// Subscribers, or publishers, join or leave.
    joins: bool,
    opens: bool,
    /// A subscriber copies payloads that may be overwritten meanwhile.
    overrun: bool,
    /// Another process reads the figures of this handle.
    read: Option<u32>,
}

const START: u64 = 100;

/// Rings far smaller than the smallest that aetherd makes: the fewer slots, the sooner they are used again.
const SMALL: Config =
    Config { capacity: 2, slot_size: 16, max_message: 8, lane_bytes: 0, evict_lag: 0, start_seq: START, stamps: 0 };
const ONE: Config = Config { capacity: 1, ..SMALL };
const FOUR: Config = Config { capacity: 4, ..SMALL };
const TWO_WORDS: Config = Config { slot_size: 24, max_message: 16, ..SMALL };
/// Two messages fill the lane.
const LANES: Config = Config { capacity: 4, slot_size: 24, max_message: 24, lane_bytes: 128, ..SMALL };
const LANES_LONG: Config = Config { capacity: 2, lane_bytes: 256, ..LANES };
const EVICT: Config = Config { evict_lag: 1, ..SMALL };
const EVICT_ONE: Config = Config { evict_lag: 1, ..ONE };
const EVICT_LANES: Config = Config { evict_lag: 4, ..LANES };

const STAMPS: Config = Config { stamps: 1, ..SMALL };
const STAMPS_LANES: Config = Config { stamps: 1, ..LANES_LONG };

const SHAPE: Shape =
    Shape { config: SMALL, publishers: 1, reliable: 1, joins: false, opens: false, overrun: false, read: None };

fn name(word: &str, i: u64) -> String {
    format!("{word}{i}")
}

/// Words that are read and don't change in this model are constant.
fn declare(word: Word, name: &str, changes: bool) {
    let p = topic::word(word, 0, 0);
    if changes {
        world::atomic(p, name.into());
    } else {
        world::constant(p, name.into());
    }
}

fn make(shape: &Shape) {
    let config = &shape.config;

    topic::reset(config);
    world::atomic(topic::word(Word::Claim, 0, 0), "claim".into());
    declare(Word::Open, "open", shape.opens);
    declare(Word::Died, "died", shape.opens);
    declare(Word::Active, "active", shape.joins);
    declare(Word::Want, "want", false);
    // Any position of the last 2^47 messages is as good; no subscriber sleeps; these counters aren't read.
    world::any(topic::word(Word::Position, 0, 0), "position".into());
    world::any(topic::word(Word::Wake, 0, 0), "wake".into());
    world::any(topic::word(Word::Joins, 0, 0), "joins".into());
    world::any(topic::word(Word::Unfenced, 0, 0), "unfenced".into());
    for r in 0..shape.publishers {
        world::atomic(topic::word(Word::Intent, r, 0), name("intent", r));
        world::atomic(topic::word(Word::Proved, r, 0), name("proved", r));
    }
    for r in 0..3 {
        if r < shape.reliable {
            world::atomic(topic::word(Word::Cursor, r, 0), name("cursor", r));
        }
        if r < shape.reliable && config.evict_lag != 0 {
            world::atomic(topic::word(Word::Evict, r, 0), name("evict", r));
        } else {
            world::constant(topic::word(Word::Evict, r, 0), name("evict", r));
        }
    }
    make_slots(shape);
    for handle in 0..2 * topic::HANDLES {
        make_figures(handle, shape.read == Some(handle));
    }
}

/// A record of statistics. What isn't read meanwhile is plain memory.
fn make_figures(handle: u32, read: bool) {
    let figures: Vec<_> = (0..7).map(|j| topic::word(Word::Figure, handle.into(), j)).collect();
    for j in 0..topic::record_words() {
        let p = topic::word(Word::Record, handle.into(), j);
        match figures.iter().position(|figure| read && *figure == p) {
            Some(i) => world::atomic(p, topic::FIGURES[i].into()),
            None => world::any(p, name("record", handle.into())),
        }
    }
}

fn payload(p: *const u64, name: String, overrun: bool) {
    if overrun {
        world::atomic(p, name);
    } else {
        world::cell(p, name);
    }
}

fn make_slots(shape: &Shape) {
    let config = &shape.config;

    for seq in 0..config.capacity {
        world::atomic(topic::word(Word::Tag, seq, 0), name("tag", seq));
        for j in 0..config.slot_size / 8 - 1 {
            // With lanes it is a descriptor, which is read like what may be overwritten.
            payload(topic::word(Word::Slot, seq, j), name("slot", seq), shape.overrun || config.lane_bytes != 0);
        }
        if config.stamps != 0 {
            world::atomic(topic::word(Word::Stamp, seq, 0), name("stamp", seq));
        }
    }
    if config.lane_bytes == 0 {
        return;
    }
    for r in 0..64 {
        if r < shape.publishers {
            world::atomic(topic::word(Word::Floor, r, 0), name("floor", r));
            for unit in 0..config.lane_bytes / 64 {
                for j in 0..config.max_message / 8 {
                    payload(topic::word(Word::Lane, r, unit * 8 + j), name("lane", unit), shape.overrun);
                }
            }
        } else {
            world::constant(topic::word(Word::Floor, r, 0), name("floor", r));
        }
    }
}

fn subscribe(s: u32, policy: i32, from: i32, views: i32) {
    topic::subscriber_open(s, s, policy, from, views);
}

/// What most models begin with: all records have a publisher, and a reliable subscriber is there.
fn begin(shape: &Shape) {
    make(shape);
    for p in 0..shape.publishers {
        topic::publisher_open(p as u32, p as u32);
    }
    if shape.reliable > 0 {
        subscribe(0, topic::RELIABLE, topic::FROM_NEW, topic::COPIES);
    }
}

/// No publisher is held back; subscriber 0 receives at the end what is left.
fn begin_unheld(shape: &Shape) {
    begin(&Shape { reliable: 0, ..*shape });
    subscribe(0, topic::BEST_EFFORT, topic::FROM_NEW, topic::COPIES);
}

/// Publishes messages n .. n + count - 1, those that find room.
fn publish_some(p: u32, n: u64, count: u64) {
    for i in 0..count {
        publish(p, n + i);
    }
}

fn receive_some(s: u32, count: u32) {
    for _ in 0..count {
        receive(s);
    }
}

// ---- one publisher ----

fn wrap() {
    join(vec![spawn(|| publish_some(0, 1, 3)), spawn(|| receive_some(0, 2))]);
    check::finish(0, Lost::Nothing);
}

fn join_setup() {
    begin(&Shape { config: ONE, joins: true, ..SHAPE });
    topic::subscriber_leave(0);
}

fn joins(s: u32) {
    subscribe(s, topic::RELIABLE, topic::FROM_NEW, topic::COPIES);
}

fn join_one() {
    join(vec![
        spawn(|| publish_some(0, 1, 2)),
        spawn(|| {
            joins(0);
            receive(0);
        }),
    ]);
    check::finish(0, Lost::Nothing);
}

/// A subscriber was granted before the topic had a publisher, and hasn't joined yet. Of what aetherd does for the first
/// publisher only the shape matters here; its bit in `open` is there before.
fn waiting_setup() {
    make(&Shape { config: ONE, joins: true, ..SHAPE });
    world::atomic(topic::word(Word::Shape, 0, 0), "shape".into());
    topic::subscriber_admit(0);
    topic::publisher_open(0, 0);
}

fn waiting() {
    join(vec![
        spawn(|| {
            topic::fix_shape();
            publish_some(0, 1, 2);
        }),
        spawn(|| {
            topic::subscriber_open_waiting(0, 0);
            receive(0);
        }),
    ]);
    check::finish(0, Lost::Nothing);
}

fn leave() {
    join(vec![
        spawn(|| publish_some(0, 1, 2)),
        spawn(|| {
            receive(0);
            topic::subscriber_leave(0);
        }),
    ]);
    check::check_sent();
}

// ---- subscribers that publishers don't wait for ----

/// A full ring, and subscriber 0 at its oldest message.
fn overrun_setup(publishers: u64, policy: i32, views: i32) {
    begin(&Shape { config: TWO_WORDS, publishers, reliable: 0, overrun: true, ..SHAPE });
    check::publish_words(0, 1, 2);
    check::publish_words(0, 2, 2);
    subscribe(0, policy, topic::FROM_OLDEST, views);
}

fn observer_setup() {
    begin(&Shape { config: TWO_WORDS, reliable: 0, overrun: true, ..SHAPE });
    subscribe(0, topic::BEST_EFFORT, topic::FROM_NEW, topic::COPIES);
}

fn publish_two_words(p: u32, n: u64, count: u64) {
    for i in 0..count {
        check::publish_words(p, n + i, 2);
    }
}

fn observer() {
    join(vec![spawn(|| publish_two_words(0, 3, 1)), spawn(|| receive_some(0, 1))]);
    check::finish(0, Lost::Reported);
}

fn torn() {
    join(vec![spawn(|| publish_two_words(0, 3, 1)), spawn(|| receive_some(0, 1))]);
    check::finish(0, Lost::Reported);
}

fn torn_word_setup() {
    begin(&Shape { reliable: 0, overrun: true, ..SHAPE });
    publish_some(0, 1, 2);
    subscribe(0, topic::BEST_EFFORT, topic::FROM_OLDEST, topic::COPIES);
}

fn torn_word() {
    join(vec![spawn(|| publish_some(0, 3, 1)), spawn(|| receive_some(0, 1))]);
    check::finish(0, Lost::Reported);
}

fn torn_two() {
    join(vec![
        spawn(|| publish_two_words(0, 3, 1)),
        spawn(|| publish_two_words(1, 1, 1)),
        spawn(|| receive_some(0, 1)),
    ]);
    check::finish(0, Lost::Reported);
}

fn in_place() {
    join(vec![
        spawn(|| publish_two_words(0, 3, 1)),
        spawn(|| {
            check::receive_in_place(0);
        }),
    ]);
    check::check_sent();
}

// ---- stamps: finish() and receive() check whose stamp was taken for that of a message ----

fn stamped() {
    join(vec![spawn(|| publish_some(0, 1, 3)), spawn(|| receive_some(0, 2))]);
    check::finish(0, Lost::Nothing);
}

/// The slots have stamps already.
fn stamp_setup(config: Config, words: u64, from: i32, views: i32) {
    begin(&Shape { config, reliable: 0, overrun: true, ..SHAPE });
    check::publish_words(0, 1, words);
    check::publish_words(0, 2, words);
    subscribe(0, topic::BEST_EFFORT, from, views);
}

fn stamp_overrun() {
    join(vec![spawn(|| publish_some(0, 3, 1)), spawn(|| receive_some(0, 1))]);
    check::finish(0, Lost::Reported);
}

fn stamp_in_place() {
    join(vec![
        spawn(|| publish_some(0, 3, 1)),
        spawn(|| {
            check::receive_in_place(0);
        }),
    ]);
    check::check_sent();
}

fn stamp_lane() {
    join(vec![spawn(|| publish_large(3, 1)), spawn(|| receive_some(0, 1))]);
    check::finish(0, Lost::Reported);
}

// ---- figures ----

const SUBSCRIBER: u32 = topic::HANDLES;

/// Sequences that are aborted wait for subscriber 0.
fn figures_setup() {
    begin(&Shape { config: FOUR, opens: true, read: Some(SUBSCRIBER), ..SHAPE });
    check::abort_batch(0, 2);
}

/// It passes over them one by one, and stores its figures each time.
fn figures() {
    join(vec![spawn(|| receive_some(0, 1)), spawn(|| check::read_figures(SUBSCRIBER, 0, 1))]);
    check::finish_aborted(0);
    check::read_all_figures(SUBSCRIBER, 0);
}

/// What it has received since it stored its figures follows from its cursor.
fn figures_cursor_setup() {
    begin(&Shape { config: FOUR, opens: true, publishers: 2, read: Some(SUBSCRIBER), ..SHAPE });
    publish(1, 1);
    check::abort_batch(0, 1);
    publish(1, 2);
}

fn figures_cursor() {
    join(vec![spawn(|| receive_some(0, 3)), spawn(|| check::read_figures(SUBSCRIBER, 0, 2))]);
    check::finish_aborted(0);
    check::read_all_figures(SUBSCRIBER, 0);
}

/// Publisher 0 alone publishes, so its figures are as old as can be.
fn figures_alone() {
    join(vec![spawn(|| publish_some(0, 1, 2)), spawn(|| check::read_figures(0, 0, 2))]);
    check::read_all_figures(0, 0);
}

/// Another publisher has claimed since, so that its next claim begins a run.
fn figures_run_setup() {
    begin_unheld(&Shape { config: FOUR, read: Some(0), ..TWO });
    publish(0, 1);
    publish(1, 1);
}

fn figures_run() {
    join(vec![spawn(|| publish_some(0, 2, 1)), spawn(|| check::read_figures(0, 0, 2))]);
    check::read_all_figures(0, 0);
}

// ---- several publishers, and no subscriber meanwhile ----

fn claim() {
    join(vec![spawn(|| publish_some(0, 1, 1)), spawn(|| publish_some(1, 1, 1))]);
    check::finish(0, Lost::Reported);
}

fn claim_more() {
    join(vec![spawn(|| publish_some(0, 1, 2)), spawn(|| publish_some(1, 1, 1))]);
    check::finish(0, Lost::Reported);
}

/// Publisher 0 claims without a scan for room.
fn fast() {
    join(vec![spawn(|| publish_some(0, 2, 1)), spawn(|| publish_some(1, 1, 2))]);
    check::finish(0, Lost::Reported);
}

fn claim_two() {
    join(vec![spawn(|| publish_some(0, 1, 2)), spawn(|| publish_some(1, 1, 2))]);
    check::finish(0, Lost::Reported);
}

/// Publisher 1 has begun the ring; publisher 0 has the last claim and knows of three slots more.
fn claim_lost_setup() {
    make(&Shape { config: FOUR, publishers: 2, reliable: 0, ..SHAPE });
    subscribe(0, topic::BEST_EFFORT, topic::FROM_NEW, topic::COPIES);
    topic::publisher_open(1, 1);
    publish(1, 1);
    topic::publisher_open(0, 0);
    publish(0, 1);
}

/// A second intent without a scan in between, as the first has lost.
fn claim_lost() {
    join(vec![
        spawn(|| publish_some(0, 2, 2)),
        spawn(|| {
            publish(1, 2);
            publish_mortal(1, 3, 2);
            publish(1, 5);
        }),
    ]);
    check::finish(0, Lost::Reported);
}

fn claim_three() {
    join(vec![spawn(|| publish_some(0, 1, 1)), spawn(|| publish_some(1, 1, 1)), spawn(|| publish_some(2, 1, 1))]);
    check::finish(0, Lost::Nothing);
}

fn batch() {
    join(vec![
        spawn(|| {
            publish_mortal(0, 1, 2);
        }),
        spawn(|| publish_some(1, 1, 2)),
    ]);
    check::finish(0, Lost::Nothing);
}

/// Half a batch is finished, and its slot wanted again.
fn batch_half() {
    join(vec![
        spawn(|| {
            publish_mortal(0, 1, 2);
        }),
        spawn(|| {
            publish_mortal(1, 1, 2);
            publish(1, 3);
        }),
    ]);
    check::finish(0, Lost::Reported);
}

fn closes() {
    join(vec![
        spawn(|| {
            publish(0, 1);
            topic::publisher_leave(0);
        }),
        spawn(|| publish_some(1, 1, 1)),
    ]);
    check::finish(0, Lost::Reported);
}

/// The record goes to another publisher at once.
fn closes_reused() {
    join(vec![
        spawn(|| {
            publish(0, 1);
            topic::publisher_leave(0);
            topic::publisher_open(2, 0);
            publish(2, 1);
        }),
        spawn(|| publish_some(1, 1, 1)),
    ]);
    check::finish(0, Lost::Reported);
}

// ---- several publishers and a subscriber ----

fn two() {
    join(vec![spawn(|| publish_some(0, 1, 1)), spawn(|| publish_some(1, 1, 1)), spawn(|| receive_some(0, 2))]);
    check::finish(0, Lost::Nothing);
}

fn full_setup() {
    begin(&Shape { config: ONE, publishers: 2, ..SHAPE });
    publish(0, 1);
}

fn full() {
    join(vec![spawn(|| publish_some(0, 2, 1)), spawn(|| publish_some(1, 1, 1)), spawn(|| receive_some(0, 2))]);
    check::finish(0, Lost::Nothing);
}

fn join_two_setup() {
    begin(&Shape { config: ONE, publishers: 2, joins: true, ..SHAPE });
    topic::subscriber_leave(0);
}

fn join_two() {
    join(vec![spawn(|| publish_some(0, 1, 1)), spawn(|| publish_some(1, 1, 1)), spawn(|| joins(0))]);
    check::finish(0, Lost::Nothing);
}

fn latest_setup() {
    begin(&Shape { publishers: 2, reliable: 0, overrun: true, ..SHAPE });
    subscribe(0, topic::LATEST, topic::FROM_NEW, topic::COPIES);
}

fn latest() {
    join(vec![spawn(|| publish_some(0, 1, 1)), spawn(|| publish_some(1, 1, 1)), spawn(|| receive_some(0, 1))]);
    check::finish(0, Lost::Skipped);
}

// ---- lanes ----

fn lane_overrun_setup(config: Config) {
    begin(&Shape { config, overrun: true, reliable: 0, ..SHAPE });
    subscribe(0, topic::BEST_EFFORT, topic::FROM_NEW, topic::COPIES);
    check::publish_words(0, 1, 3);
    check::publish_words(0, 2, 3);
}

fn publish_large(n: u64, count: u64) {
    for i in 0..count {
        check::publish_words(0, n + i, 3);
    }
}

fn lane() {
    join(vec![spawn(|| publish_large(1, 3)), spawn(|| receive_some(0, 2))]);
    check::finish(0, Lost::Nothing);
}

fn lane_overrun() {
    join(vec![spawn(|| publish_large(3, 1)), spawn(|| receive_some(0, 2))]);
    check::finish(0, Lost::Reported);
}

/// The ring is full, and what is published goes into a slot that is being read.
fn lane_slot() {
    join(vec![spawn(|| publish_large(3, 1)), spawn(|| receive_some(0, 1))]);
    check::finish(0, Lost::Reported);
}

// ---- death ----

/// Publisher 0 dies, at the latest when it has published, and is repaired as soon as it is dead. The repairer
/// dies, too, and its successor begins anew.
fn dies(count: u64, repairer_dies: bool) {
    world::mortal(0);
    publish_mortal(0, 1, count);
    if repairer_dies {
        world::mortal(1);
    } else {
        world::immortal();
    }
    while !repair(0) {}
    world::immortal();
}

fn death() {
    join(vec![spawn(|| dies(1, true)), spawn(|| publish_some(1, 1, 1))]);
    check::finish_aborted(0);
}

/// The dead publisher's slot is wanted again, and it may have lost its claim.
fn death_more() {
    join(vec![spawn(|| dies(1, false)), spawn(|| publish_some(1, 1, 1))]);
    check::finish(0, Lost::Reported);
}

fn death_batch() {
    join(vec![spawn(|| dies(2, false)), spawn(|| publish_some(1, 1, 1))]);
    check::finish_aborted(0);
}

fn death_reader() {
    join(vec![spawn(|| dies(1, false)), spawn(|| receive_some(0, 2))]);
    check::finish_aborted(0);
}

fn death_both() {
    join(vec![spawn(|| dies(1, false)), spawn(|| publish_some(1, 1, 1)), spawn(|| receive_some(0, 1))]);
    check::finish_aborted(0);
}

/// Its record goes to a new publisher.
fn death_reused() {
    join(vec![
        spawn(|| {
            dies(1, false);
            topic::publisher_open(2, 0);
            publish(2, 1);
        }),
        spawn(|| publish_some(1, 1, 1)),
    ]);
    check::finish(0, Lost::Reported);
}

// ---- the end of the stream ----

fn stream() {
    join(vec![
        spawn(|| {
            publish(0, 1);
            topic::publisher_leave(0);
        }),
        spawn(|| {
            publish(1, 1);
            topic::publisher_leave(1);
        }),
        spawn(|| check::watch_end(0)),
    ]);
    check::finish(0, Lost::Nothing);
    check::check_end(0);
}

fn stream_death() {
    join(vec![spawn(|| dies(1, false)), spawn(|| check::watch_end(0))]);
    check::finish_aborted(0);
    check::check_end(0);
}

/// A subscriber joins while the publisher closes. If the publisher had closed before, nothing of it comes after the join.
fn stream_join() {
    join(vec![
        spawn(|| {
            publish(0, 1);
            topic::publisher_leave(0);
        }),
        spawn(|| {
            subscribe(1, topic::BEST_EFFORT, topic::FROM_NEW, topic::COPIES); // J1's fence would hide what T2 is for
            check::ask_for_stream(1);
        }),
    ]);
    check::check_unheard(1);
    check::finish(1, Lost::Nothing);
}

// ---- eviction ----

fn evict_setup(config: Config) {
    begin(&Shape { config, joins: true, overrun: true, ..SHAPE });
    publish(0, 1);
}

fn evict() {
    join(vec![spawn(|| publish_some(0, 2, 1)), spawn(|| receive_some(0, 2))]);
    check::finish(0, Lost::Reported);
    check::check_evicted(0);
}

fn evict_lane_setup() {
    begin(&Shape { config: EVICT_LANES, joins: true, overrun: true, ..SHAPE });
    check::publish_words(0, 1, 3);
    check::publish_words(0, 2, 3);
}

/// The lane has no room left, the ring has.
fn evict_lane() {
    join(vec![spawn(|| publish_large(3, 1)), spawn(|| receive_some(0, 1))]);
    check::finish(0, Lost::Reported);
    check::check_evicted(0);
}

/// A subscriber that lags leaves; its record goes to another one, which doesn't lag.
fn evict_reused() {
    join(vec![
        spawn(|| publish_some(0, 2, 1)),
        spawn(|| {
            topic::subscriber_leave(0);
            topic::subscriber_admit(0);
            topic::subscriber_open(1, 0, topic::RELIABLE, topic::FROM_NEW, topic::COPIES);
        }),
    ]);
    check::finish(1, Lost::Nothing);
    must!(!check::evicted(1), "a newcomer was evicted for its predecessor's lag");
}

macro_rules! model {
    ($name:literal, $bound:expr, $setup:expr, $run:expr, $shows:literal) => {
        Model {
            name: $name,
            shows: $shows,
            bound: $bound,
            setup: || {
                $setup;
            },
            run: $run,
        }
    };
}

const TWO: Shape = Shape { publishers: 2, ..SHAPE };
const TWO_ONE: Shape = Shape { config: ONE, ..TWO };
const DEATH: Shape = Shape { opens: true, ..TWO };
const DEATH_ONE: Shape = Shape { opens: true, ..TWO_ONE };

pub const MODELS: &[Model] = &[
    model!("wrap", None, begin(&SHAPE), wrap, "one publisher goes round the ring, a subscriber holds it back"),
    model!("join", None, join_setup(), join_one, "a subscriber joins while one publishes"),
    model!("waiting", Some(3), waiting_setup(), waiting, "a subscriber joins a topic while the first publisher comes"),
    model!("leave", None, begin(&Shape { config: ONE, joins: true, ..SHAPE }), leave, "a subscriber leaves"),
    model!("observer", None, observer_setup(), observer, "copies of new messages"),
    model!("torn", None, overrun_setup(1, topic::BEST_EFFORT, topic::COPIES), torn, "copies that are overrun"),
    model!("torn-word", None, torn_word_setup(), torn_word, "... of one word, which is written elsewhere"),
    model!("torn-two", Some(2), overrun_setup(2, topic::BEST_EFFORT, topic::COPIES), torn_two, "... by two publishers"),
    model!(
        "in-place",
        None,
        overrun_setup(1, topic::BEST_EFFORT, topic::IN_PLACE),
        in_place,
        "views in place that are overrun"
    ),
    model!(
        "stamp",
        None,
        begin(&Shape { config: STAMPS, ..SHAPE }),
        stamped,
        "stamps, with a subscriber that holds the publisher back"
    ),
    model!(
        "stamp-observer",
        None,
        stamp_setup(STAMPS, 1, topic::FROM_NEW, topic::COPIES),
        stamp_overrun,
        "... with one that copies new messages"
    ),
    model!(
        "stamp-overrun",
        None,
        stamp_setup(STAMPS, 1, topic::FROM_OLDEST, topic::COPIES),
        stamp_overrun,
        "... with one that is overrun"
    ),
    model!(
        "stamp-in-place",
        None,
        stamp_setup(STAMPS, 1, topic::FROM_OLDEST, topic::IN_PLACE),
        stamp_in_place,
        "... under a view in place"
    ),
    model!(
        "stamp-lane",
        None,
        stamp_setup(STAMPS_LANES, 3, topic::FROM_NEW, topic::COPIES),
        stamp_lane,
        "... of messages in a lane"
    ),
    model!("figures", Some(4), figures_setup(), figures, "the figures of a subscriber that stores them"),
    model!("figures-cursor", Some(2), figures_cursor_setup(), figures_cursor, "... and what its cursor adds to them"),
    model!(
        "figures-alone",
        Some(4),
        begin_unheld(&Shape { config: FOUR, read: Some(0), ..SHAPE }),
        figures_alone,
        "the figures of a publisher that is alone"
    ),
    model!("figures-run", Some(3), figures_run_setup(), figures_run, "... and of one that isn't"),
    model!("claim", None, begin_unheld(&TWO_ONE), claim, "two publishers in a ring of one slot"),
    model!("claim-more", Some(3), begin_unheld(&TWO_ONE), claim_more, "... with two messages each"),
    model!(
        "fast",
        None,
        {
            begin_unheld(&TWO);
            publish(0, 1)
        },
        fast,
        "a publisher that knows of room, and another one"
    ),
    model!("claim-two", Some(4), begin_unheld(&TWO), claim_two, "two publishers in a ring of two slots"),
    model!("claim-lost", Some(3), claim_lost_setup(), claim_lost, "a lost intent, and the next one"),
    model!(
        "claim-three",
        Some(2),
        begin(&Shape { config: FOUR, publishers: 3, ..SHAPE }),
        claim_three,
        "three publishers"
    ),
    model!("batch", None, begin(&Shape { config: FOUR, ..TWO }), batch, "a batch and a publisher"),
    model!(
        "batch-half",
        Some(3),
        begin_unheld(&Shape { config: FOUR, ..TWO }),
        batch_half,
        "a batch of which half is finished"
    ),
    model!("closes", None, begin_unheld(&Shape { opens: true, ..TWO_ONE }), closes, "a publisher closes"),
    model!(
        "closes-reused",
        Some(3),
        begin_unheld(&Shape { opens: true, ..TWO_ONE }),
        closes_reused,
        "... and another one gets its record"
    ),
    model!("two", Some(3), begin(&TWO), two, "two publishers and a subscriber"),
    model!("full", Some(3), full_setup(), full, "two publishers want the slot that a subscriber holds"),
    model!("join-two", Some(3), join_two_setup(), join_two, "a subscriber joins while two publish"),
    model!("latest", Some(3), latest_setup(), latest, "the newest message of two publishers"),
    model!("lane", None, begin(&Shape { config: LANES, ..SHAPE }), lane, "a lane is used again after its subscriber"),
    model!("lane-overrun", None, lane_overrun_setup(LANES), lane_overrun, "copies from a lane that are overrun"),
    model!("lane-slot", None, lane_overrun_setup(LANES_LONG), lane_slot, "... whose slot is overrun"),
    model!("death", None, begin(&DEATH), death, "a publisher and its repairer die at any store"),
    model!("death-more", None, begin_unheld(&DEATH_ONE), death_more, "... and another one wants the slot"),
    model!("death-batch", None, begin(&Shape { config: FOUR, ..DEATH }), death_batch, "... in a batch"),
    model!("death-reader", None, begin(&DEATH), death_reader, "... under a subscriber"),
    model!("death-both", Some(2), begin(&DEATH), death_both, "... under a subscriber and another publisher"),
    model!("death-reused", Some(3), begin_unheld(&DEATH_ONE), death_reused, "... and another one gets its record"),
    model!("stream", Some(2), begin(&DEATH), stream, "the end of the stream comes after the last message"),
    model!("stream-death", None, begin(&Shape { opens: true, ..SHAPE }), stream_death, "... also after a death"),
    model!("stream-join", None, begin(&Shape { opens: true, ..SHAPE }), stream_join, "... of a publisher that closes during a join"),
    model!("evict", None, evict_setup(EVICT_ONE), evict, "a subscriber that is overrun finds that it was evicted"),
    model!("evict-lane", None, evict_lane_setup(), evict_lane, "... also if it is in the lane"),
    model!(
        "evict-reused",
        None,
        evict_setup(EVICT),
        evict_reused,
        "no subscriber is evicted for its predecessor's lag"
    ),
];

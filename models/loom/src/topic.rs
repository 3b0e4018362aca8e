// SPDX-License-Identifier: Apache-2.0
//! The C half of the harness, glue.c: one topic with its handles.

use crate::world;
use std::ffi::{c_char, c_int, c_void, CString};

/// As in glue.c.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Config {
    pub capacity: u64,
    pub slot_size: u64,
    pub max_message: u64,
    pub lane_bytes: u64,
    pub evict_lag: u64,
    pub start_seq: u64,
    pub stamps: u64,
}

/// aether_message
#[repr(C)]
pub struct Message {
    pub seq: u64,
    pub data: *const c_void,
    pub len: usize,
    pub lost: u64,
}

#[repr(C)]
#[derive(Default, Debug)]
pub struct Stats {
    pub joined: u64,
    pub next: u64,
    pub delivered: u64,
    pub lost: u64,
    pub aborted: u64,
    pub skipped: u64,
    pub evicted: u64,
}

#[allow(dead_code)]
#[derive(Clone, Copy)]
pub enum Word {
    Claim,
    Position,
    Wake,
    Open,
    Died,
    Joins,
    Evict,
    Intent,
    Floor,
    Proved,
    Tag,
    Slot,
    Lane,
    Active,
    Cursor,
    Want,
    Unfenced,
    Stamp,
    Shape,
    Record,
    Figure,
}

#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Figures {
    pub next: u64,
    pub messages: u64,
    pub lost: u64,
    pub aborted: u64,
    pub skipped: u64,
}

#[repr(C)]
struct Glue {
    arena: *mut u8,
    bytes: u64,
    shared_bytes: u64,
    reset: extern "C" fn(*const Config),
    word: extern "C" fn(c_int, u64, u64) -> *const u64,
    publisher_open: extern "C" fn(u32, u32),
    publisher_leave: extern "C" fn(u32),
    publish: extern "C" fn(u32, *const u64, u64) -> c_int,
    publish_batch: extern "C" fn(u32, *const u64, u64) -> c_int,
    claim: extern "C" fn(u32, u64) -> c_int,
    publisher_next: extern "C" fn(u32) -> u64,
    repair: extern "C" fn(u32) -> i64,
    claim_end: extern "C" fn() -> u64,
    subscriber_admit: extern "C" fn(u32),
    subscriber_open_waiting: extern "C" fn(u32, u32),
    fix_shape: extern "C" fn(),
    subscriber_open: extern "C" fn(u32, u32, c_int, c_int, c_int),
    subscriber_leave: extern "C" fn(u32),
    receive: extern "C" fn(u32, *mut Message) -> c_int,
    still_valid: extern "C" fn(u32, *const Message) -> c_int,
    stream: extern "C" fn(u32) -> c_int,
    get_stats: extern "C" fn(u32, *mut Stats),
    record_bytes: u64,
    figures: extern "C" fn(u32, u32, *mut Figures) -> c_int,
    samples: extern "C" fn(u32, u64) -> u64,
}

extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

const RTLD_NOW: c_int = 2;
const DIED: c_int = -1000;
pub const FULL: c_int = 1;
pub const EVICTED: c_int = -75; // -EOVERFLOW
pub const NONE: c_int = 0;
pub const OPEN: c_int = 1;

pub const RELIABLE: c_int = 0;
pub const BEST_EFFORT: c_int = 1;
pub const LATEST: c_int = 2;
pub const FROM_NEW: c_int = 0;
pub const FROM_OLDEST: c_int = 1;
pub const COPIES: c_int = 0;
pub const IN_PLACE: c_int = 1;

/// As in glue.c.
pub const HANDLES: u32 = 3;
pub const LATENCIES: u64 = 16;

pub const FIGURES: [&str; 7] = ["next0", "next1", "messages0", "messages1", "aborted0", "aborted1", "flips"];

static GLUE: std::sync::OnceLock<usize> = std::sync::OnceLock::new();

fn glue() -> &'static Glue {
    unsafe { &*(*GLUE.get().expect("no library") as *const Glue) }
}

/// Loads the library that was made of glue.c and the ring's sources.
pub fn open_library(path: &str) {
    let (path_c, name) = (CString::new(path).unwrap(), c"loom_bind");
    let library = unsafe { dlopen(path_c.as_ptr(), RTLD_NOW) };
    assert!(!library.is_null(), "can't load {path}");
    let bind = unsafe { dlsym(library, name.as_ptr()) };
    assert!(!bind.is_null(), "{path} isn't a library of this harness");
    let bind: extern "C" fn(*const world::Ops) -> *const Glue = unsafe { std::mem::transmute(bind) };
    GLUE.set(bind(&world::OPS) as usize).unwrap();
}

pub fn reset(config: &Config) {
    world::clear(glue().arena, glue().bytes as usize, glue().shared_bytes as usize);
    (glue().reset)(config);
}

pub fn word(kind: Word, i: u64, j: u64) -> *const u64 {
    (glue().word)(kind as c_int, i, j)
}

pub fn publisher_open(p: u32, record: u32) {
    (glue().publisher_open)(p, record);
}

pub fn publisher_leave(p: u32) {
    (glue().publisher_leave)(p);
}

/// None: it died.
pub fn publish(p: u32, data: &[u64]) -> Option<c_int> {
    let rc = (glue().publish)(p, data.as_ptr(), 8 * data.len() as u64);
    (rc != DIED).then_some(rc)
}

/// Messages of one word each. None: it died.
pub fn publish_batch(p: u32, data: &[u64]) -> Option<c_int> {
    let rc = (glue().publish_batch)(p, data.as_ptr(), data.len() as u64);
    (rc != DIED).then_some(rc)
}

/// Claims count sequences and commits none of them.
pub fn claim(p: u32, count: u64) -> c_int {
    (glue().claim)(p, count)
}

pub fn publisher_next(p: u32) -> u64 {
    (glue().publisher_next)(p)
}

/// The number of aborted sequences. None: it died.
pub fn repair(record: u32) -> Option<u64> {
    u64::try_from((glue().repair)(record)).ok()
}

pub fn claim_end() -> u64 {
    (glue().claim_end)()
}

pub fn subscriber_admit(record: u32) {
    (glue().subscriber_admit)(record);
}

pub fn subscriber_open_waiting(s: u32, record: u32) {
    (glue().subscriber_open_waiting)(s, record);
}

pub fn fix_shape() {
    (glue().fix_shape)();
}

pub fn subscriber_open(s: u32, record: u32, policy: c_int, from: c_int, views: c_int) {
    (glue().subscriber_open)(s, record, policy, from, views);
}

pub fn subscriber_leave(s: u32) {
    (glue().subscriber_leave)(s);
}

pub fn receive(s: u32, message: &mut Message) -> c_int {
    (glue().receive)(s, message)
}

pub fn still_valid(s: u32, message: &Message) -> bool {
    (glue().still_valid)(s, message) != 0
}

pub fn stream(s: u32) -> c_int {
    (glue().stream)(s)
}

pub fn stats(s: u32) -> Stats {
    let mut stats = Stats::default();
    (glue().get_stats)(s, &mut stats);
    stats
}

/// Words of a record of statistics.
pub fn record_words() -> u64 {
    glue().record_bytes / 8
}

/// What another process reads of the figures of a handle, which holds this record: subscribers come after publishers.
/// An error is that of read_publisher() or read_subscriber().
pub fn figures(handle: u32, record: u32) -> Result<Figures, c_int> {
    let mut figures = Figures::default();
    match (glue().figures)(handle, record, &mut figures) {
        1 => Ok(figures),
        rc => Err(rc),
    }
}

pub fn samples(s: u32, n: u64) -> u64 {
    (glue().samples)(s, n)
}

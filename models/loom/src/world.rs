// SPDX-License-Identifier: Apache-2.0
//! Shared memory under loom: which word of the arena is what, and the accesses of the C code.
//!
//! loom runs all threads of a model as coroutines of one thread of this process, so the state here needs no lock. No
//! reference into it may be kept over a call of loom, which may switch to another coroutine.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{fence, AtomicU64, Ordering};
use std::ffi::{c_char, c_int, c_void, CStr};

/// What a word of the shared part of the arena is in a model.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Nothing that this model may touch.
    Unknown,
    /// Never changes; plain memory.
    Constant,
    /// Counters, and words of which any value is as good: plain memory.
    Any,
    /// A loom atomic.
    Atomic(usize),
    /// Memory without any atomicity: a data race is an error. For payloads that are never overwritten while they are
    /// read.
    Cell(usize),
}

/// As in atomic.h.
#[repr(C)]
pub struct Ops {
    load: extern "C" fn(*const u64, c_int) -> u64,
    store: extern "C" fn(*mut u64, u64, c_int) -> c_int,
    cas: extern "C" fn(*mut u64, u64, u64, c_int, c_int, *mut c_int) -> c_int,
    rmw: extern "C" fn(*mut u64, c_int, u64, c_int, *mut u64) -> c_int,
    fence: extern "C" fn(c_int),
    write: extern "C" fn(*mut u64, u64) -> c_int,
    read: extern "C" fn(*const u64) -> u64,
    thread: extern "C" fn() -> c_int,
    impossible: extern "C" fn(*const c_char),
}

pub static OPS: Ops = Ops { load, store, cas, rmw, fence: fence_op, write, read, thread, impossible };

struct Event {
    thread: usize,
    what: &'static str,
    order: &'static str,
    word: Option<usize>,
    values: [u64; 2],
    note: String,
}

/// Deaths of one execution, at most: of a publisher, and of its repairer.
pub const DEATHS: usize = 2;

struct World {
    base: usize,
    bytes: usize,
    shared_bytes: usize,
    image: Vec<u8>,
    kinds: Vec<Kind>,
    names: Vec<String>,
    /// Indices of the words that are atomics and cells, in their order.
    atomic_words: Vec<usize>,
    cell_words: Vec<usize>,
    atomics: Vec<AtomicU64>,
    cells: Vec<UnsafeCell<u64>>,
    running: bool,
    current: usize,
    spawned: usize,
    /// How many stores each mortal part lives for, and whether it died in any execution with these numbers.
    lives: [usize; DEATHS],
    any_died: [bool; DEATHS],
    mortal: Option<(usize, usize, usize)>,
    trace: Vec<Event>,
}

struct Global(std::cell::UnsafeCell<World>);
// One thread only, see above.
unsafe impl Sync for Global {}

static WORLD: Global = Global(std::cell::UnsafeCell::new(World {
    base: 0,
    bytes: 0,
    shared_bytes: 0,
    image: Vec::new(),
    kinds: Vec::new(),
    names: Vec::new(),
    atomic_words: Vec::new(),
    cell_words: Vec::new(),
    atomics: Vec::new(),
    cells: Vec::new(),
    running: false,
    current: 0,
    spawned: 0,
    lives: [0; DEATHS],
    any_died: [false; DEATHS],
    mortal: None,
    trace: Vec::new(),
}));

#[allow(clippy::mut_from_ref)]
fn world() -> &'static mut World {
    unsafe { &mut *WORLD.0.get() }
}

// ---- words ----

impl World {
    fn index(&self, p: *const u64) -> Option<usize> {
        let off = (p as usize).wrapping_sub(self.base);
        (off < self.shared_bytes).then_some(off / 8)
    }

    /// Memory of a handle is nobody else's.
    fn kind(&self, p: *const u64) -> Kind {
        match self.index(p) {
            None => Kind::Any,
            Some(i) if self.kinds[i] == Kind::Unknown => {
                panic!("no word of this model: offset {} of the arena", i * 8)
            }
            Some(i) => self.kinds[i],
        }
    }

    fn add(&mut self, p: *const u64, name: String, kind: Kind) {
        let i = self.index(p).expect("not shared memory");
        assert!(self.kinds[i] == Kind::Unknown, "{name} is declared twice");
        self.kinds[i] = kind;
        self.names[i] = name;
    }

    /// Does the running part of the model die before this change? Counted are those that others could see.
    fn dies(&mut self) -> bool {
        let Some((thread, part, left)) = self.mortal else { return false };
        if thread != self.current {
            return false;
        }
        if left == 0 {
            self.mortal = None;
            self.any_died[part] = true;
            note("dies".into());
            return true;
        }
        self.mortal = Some((thread, part, left - 1));
        false
    }
}

pub fn atomic(p: *const u64, name: String) {
    let w = world();
    w.add(p, name, Kind::Atomic(w.atomic_words.len()));
    w.atomic_words.extend(w.index(p));
}

pub fn cell(p: *const u64, name: String) {
    let w = world();
    w.add(p, name, Kind::Cell(w.cell_words.len()));
    w.cell_words.extend(w.index(p));
}

pub fn constant(p: *const u64, name: String) {
    world().add(p, name, Kind::Constant);
}

pub fn any(p: *const u64, name: String) {
    world().add(p, name, Kind::Any);
}

// ---- executions ----

/// A new arena, all of whose shared words are unknown. Until [`begin`] it is plain memory.
pub fn clear(base: *mut u8, bytes: usize, shared_bytes: usize) {
    let w = world();
    w.base = base as usize;
    w.bytes = bytes;
    w.shared_bytes = shared_bytes;
    w.kinds = vec![Kind::Unknown; shared_bytes / 8];
    w.names = vec![String::new(); shared_bytes / 8];
    w.atomic_words.clear();
    w.cell_words.clear();
    w.running = false;
}

/// The set-up is done: every execution begins with what is in the arena now.
pub fn freeze() {
    let w = world();
    w.image = unsafe { std::slice::from_raw_parts(w.base as *const u8, w.bytes) }.to_vec();
}

/// Begins an execution, in its main thread.
pub fn begin() {
    let w = world();
    unsafe { std::ptr::copy_nonoverlapping(w.image.as_ptr(), w.base as *mut u8, w.bytes) };
    let value = |i: &usize| unsafe { *((w.base + i * 8) as *const u64) };
    w.atomics = w.atomic_words.iter().map(|i| AtomicU64::new(value(i))).collect();
    w.cells = w.cell_words.iter().map(|i| UnsafeCell::new(value(i))).collect();
    w.trace.clear();
    w.current = 0;
    w.spawned = 0;
    w.mortal = None;
    w.running = true;
}

/// Runs `body` as a thread of the model.
pub fn spawn(body: fn()) -> loom::thread::JoinHandle<()> {
    world().spawned += 1;
    let id = world().spawned;
    loom::thread::spawn(move || {
        world().current = id;
        body();
    })
}

pub fn join(threads: Vec<loom::thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
    world().current = 0;
}

// ---- deaths ----

pub fn set_lives(lives: [usize; DEATHS]) {
    world().lives = lives;
    world().any_died = [false; DEATHS];
}

/// Did this part die in any execution since [`set_lives`]?
pub fn any_died(part: usize) -> bool {
    world().any_died[part]
}

/// From here on the running thread dies after so many stores as its part lives for.
pub fn mortal(part: usize) {
    let w = world();
    w.mortal = Some((w.current, part, w.lives[part]));
}

pub fn immortal() {
    world().mortal = None;
}

// ---- the trace of an execution, printed if it fails ----

pub fn note(text: String) {
    let w = world();
    let thread = w.current;
    w.trace.push(Event { thread, what: "", order: "", word: None, values: [0; 2], note: text });
}

fn trace(p: *const u64, what: &'static str, order: &'static str, values: [u64; 2]) {
    let w = world();
    let (thread, word) = (w.current, w.index(p));
    w.trace.push(Event { thread, what, order, word, values, note: String::new() });
}

pub fn print_trace() {
    let w = world();
    for event in &w.trace {
        match event.word {
            None => println!("# {}{}", "              ".repeat(event.thread), event.note),
            Some(i) => println!(
                "# {}{} {} {:#x}{} {}",
                "              ".repeat(event.thread),
                w.names[i],
                event.what,
                event.values[0],
                if event.what.starts_with("cas") { format!(" -> {:#x}", event.values[1]) } else { String::new() },
                event.order
            ),
        }
    }
}

// ---- what the C code calls ----

fn order(order: c_int) -> (Ordering, &'static str) {
    match order {
        0 => (Ordering::Relaxed, "relaxed"),
        1 => (Ordering::Acquire, "acquire"),
        2 => (Ordering::Release, "release"),
        3 => (Ordering::AcqRel, "acq_rel"),
        _ => (Ordering::SeqCst, "seq_cst"),
    }
}

/// Calls loom, which may run other threads meanwhile.
fn with_atomic<R>(i: usize, call: impl FnOnce(&AtomicU64) -> R) -> R {
    let me = world().current;
    let atomic: *const AtomicU64 = &world().atomics[i];
    let result = call(unsafe { &*atomic });
    world().current = me;
    result
}

extern "C" fn load(p: *const u64, how: c_int) -> u64 {
    if !world().running {
        return unsafe { *p };
    }
    match world().kind(p) {
        Kind::Atomic(i) => {
            let (ordering, name) = order(how);
            let value = with_atomic(i, |a| a.load(ordering));
            trace(p, "=", name, [value, 0]);
            value
        }
        Kind::Cell(_) => panic!("{} is loaded as an atomic", world().names[world().index(p).unwrap()]),
        _ => unsafe { *p },
    }
}

extern "C" fn store(p: *mut u64, value: u64, how: c_int) -> c_int {
    match if world().running { world().kind(p) } else { Kind::Any } {
        Kind::Atomic(i) => {
            if world().dies() {
                return 1;
            }
            let (ordering, name) = order(how);
            with_atomic(i, |a| a.store(value, ordering));
            trace(p, ":=", name, [value, 0]);
        }
        Kind::Any => unsafe { *p = value },
        _ => panic!("{} is stored as an atomic", world().names[world().index(p).unwrap()]),
    }
    0
}

extern "C" fn cas(p: *mut u64, expected: u64, desired: u64, success: c_int, failure: c_int, done: *mut c_int) -> c_int {
    let ok = match if world().running { world().kind(p) } else { Kind::Any } {
        Kind::Atomic(i) => {
            if world().dies() {
                return 1;
            }
            let ((success, name), failure) = (order(success), order(failure).0);
            let found = with_atomic(i, |a| a.compare_exchange(expected, desired, success, failure));
            match found {
                Ok(_) => trace(p, "cas", name, [expected, desired]),
                Err(value) => trace(p, "cas failed", name, [value, desired]),
            }
            found.is_ok()
        }
        Kind::Any => unsafe {
            let same = *p == expected;
            if same {
                *p = desired;
            }
            same
        },
        _ => panic!("{} is stored as an atomic", world().names[world().index(p).unwrap()]),
    };
    unsafe { *done = c_int::from(ok) };
    0
}

extern "C" fn rmw(p: *mut u64, what: c_int, value: u64, how: c_int, old: *mut u64) -> c_int {
    match if world().running { world().kind(p) } else { Kind::Any } {
        Kind::Atomic(i) => {
            if world().dies() {
                return 1;
            }
            let (ordering, name) = order(how);
            let (found, what) = with_atomic(i, |a| match what {
                0 => (a.fetch_or(value, ordering), "|="),
                1 => (a.fetch_and(value, ordering), "&="),
                2 => (a.fetch_add(value, ordering), "+="),
                _ => (a.swap(value, ordering), "<->"),
            });
            trace(p, what, name, [value, 0]);
            unsafe { *old = found };
        }
        Kind::Any => unsafe {
            *old = *p;
            *p = match what {
                0 => *p | value,
                1 => *p & value,
                2 => *p + value,
                _ => value,
            };
        },
        _ => panic!("{} is stored as an atomic", world().names[world().index(p).unwrap()]),
    }
    0
}

extern "C" fn fence_op(how: c_int) {
    if world().running {
        let (ordering, name) = order(how);
        fence(ordering);
        note(format!("fence {name}"));
    }
}

extern "C" fn write(p: *mut u64, value: u64) -> c_int {
    match if world().running { world().kind(p) } else { Kind::Any } {
        Kind::Cell(i) => {
            if world().dies() {
                return 1;
            }
            world().cells[i].with_mut(|cell| unsafe { *cell = value });
            trace(p, ":=", "not atomic", [value, 0]);
            0
        }
        _ => store(p, value, 0),
    }
}

extern "C" fn read(p: *const u64) -> u64 {
    match if world().running { world().kind(p) } else { Kind::Any } {
        Kind::Cell(i) => {
            let value = world().cells[i].with(|cell| unsafe { *cell });
            trace(p, "=", "not atomic", [value, 0]);
            value
        }
        _ => load(p, 0),
    }
}

extern "C" fn thread() -> c_int {
    world().current as c_int
}

extern "C" fn impossible(reason: *const c_char) {
    panic!("the harness doesn't have {}", unsafe { CStr::from_ptr(reason) }.to_string_lossy());
}

// ---- a view of a payload ----

/// Reads a word of a view that nobody may overwrite: all stores to it happen before this or after it.
pub fn read_safe(p: *const u64) -> u64 {
    match world().kind(p) {
        Kind::Atomic(i) => {
            let value = unsafe { world().atomics[i].unsync_load() };
            trace(p, "=", "not atomic", [value, 0]);
            value
        }
        _ => read(p),
    }
}

/// Reads a word of a view that may be overwritten.
pub fn read_unsafe(p: *const u64) -> u64 {
    read(p)
}

pub fn is_shared(p: *const c_void) -> bool {
    world().index(p as *const u64).is_some()
}

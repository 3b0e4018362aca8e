// SPDX-License-Identifier: Apache-2.0
//! The command line, and what an adapter says about itself.

use crate::{fail, unsupported};
use std::str::FromStr;

pub const ROLES_MAX: usize = 64;
const USUAL_MESSAGES: usize = 65536;
const USUAL_BYTES: usize = 8 << 20;
const USUAL_LEAST: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Case {
    Throughput,
    Rtt,
    Oneway,
    Idle,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum How {
    Single,
    Batch,
    Loan,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Spin,
    Pause,
    Gather,
    Block,
}

const CASES: [(&str, Case); 4] = [
    ("throughput", Case::Throughput),
    ("rtt", Case::Rtt),
    ("oneway", Case::Oneway),
    ("idle", Case::Idle),
];
const HOWS: [(&str, How); 3] = [("single", How::Single), ("batch", How::Batch), ("loan", How::Loan)];
const WAITS: [(&str, Wait); 4] = [
    ("spin", Wait::Spin),
    ("pause", Wait::Pause),
    ("gather", Wait::Gather),
    ("block", Wait::Block),
];

fn by_name<T: Copy>(names: &[(&str, T)], name: &str) -> Option<T> {
    names.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
}

fn name_of<T: Copy + PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, v)| *v == value).map_or("", |(name, _)| *name)
}

/// A line of `describe`; see bench/README.md.
pub struct About {
    pub name: &'static str,
    pub implementation: &'static str,
    /// Its crate: the version is the one in Cargo.lock.
    pub package: &'static str,
    pub between: &'static str,
    pub publishers: usize,
    pub subscribers: usize,
    pub how: &'static [How],
    pub waits: &'static [Wait],
    pub lacks: &'static [&'static str],
    pub settings: &'static str,
}

fn version(package: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let entry = format!("name = \"{package}\"\nversion = \"");

    lock.split_once(&entry)
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("", |(version, _)| version)
}

fn list(words: impl Iterator<Item = &'static str>) -> String {
    words.map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

impl About {
    pub fn json(&self) -> String {
        format!(
            "{{\"impl\": \"{}\", \"name\": \"{}\", \"version\": \"{}\", \"language\": \"Rust\", \"between\": \"{}\", \
             \"publishers\": {}, \"subscribers\": {}, \"how\": [{}], \"waits\": [{}], \"cases\": [{}], \
             \"lacks\": [{}], \"settings\": \"{}\"}}",
            self.implementation,
            self.name,
            version(self.package),
            self.between,
            self.publishers,
            self.subscribers,
            list(self.how.iter().map(|how| name_of(&HOWS, *how))),
            list(self.waits.iter().map(|wait| name_of(&WAITS, *wait))),
            list(CASES.iter().map(|(name, _)| *name)),
            list(self.lacks.iter().copied()),
            self.settings
        )
    }
}

pub struct Options {
    pub case: Case,
    pub implementation: String,
    pub size: usize,
    pub how: How,
    pub batch: usize,
    pub capacity: usize,
    pub publishers: usize,
    pub subscribers: usize,
    pub wait: Wait,
    pub rate: f64,
    pub cpus: [usize; 2],
}

fn number(key: &str, text: &str, min: usize, max: usize) -> usize {
    match usize::from_str(text) {
        Ok(n) if (min..=max).contains(&n) && !text.starts_with('+') => n,
        _ => fail(format_args!("{key}={text}: a number from {min} to {max} expected")),
    }
}

impl Options {
    pub fn parse(words: &[String], about: &About) -> Self {
        let Some(case) = words.first() else {
            fail("a case is missing: see bench/README.md")
        };
        let Some(case) = by_name(&CASES, case) else {
            fail(format_args!("'{case}': throughput, rtt, oneway or idle expected"))
        };
        let mut o = Self {
            case,
            implementation: String::new(),
            size: 8,
            how: How::Single,
            batch: 1,
            capacity: 0,
            publishers: 1,
            subscribers: 1,
            wait: Wait::Pause,
            rate: 0.0,
            cpus: [0, 1],
        };
        for word in &words[1..] {
            let Some((key, value)) = word.split_once('=') else {
                fail(format_args!("'{word}': KEY=VALUE expected"))
            };
            o.set(key, value);
        }
        o.check(about);
        o
    }

    fn set(&mut self, key: &str, value: &str) {
        let unknown = || -> ! { fail(format_args!("{key}={value}: see bench/README.md for what is expected")) };

        match key {
            "impl" => self.implementation = value.to_string(),
            "size" => self.size = number(key, value, 8, 1 << 20),
            "batch" => self.batch = number(key, value, 1, 65536),
            "capacity" => self.capacity = number(key, value, 0, 1 << 30),
            "publishers" => self.publishers = number(key, value, 1, ROLES_MAX / 2),
            "subscribers" => self.subscribers = number(key, value, 1, ROLES_MAX / 2),
            "rate" => self.rate = number(key, value, 1, 1_000_000_000) as f64,
            "how" => self.how = by_name(&HOWS, value).unwrap_or_else(|| unknown()),
            "wait" => self.wait = by_name(&WAITS, value).unwrap_or_else(|| unknown()),
            "cpus" => {
                let Some((first, second)) = value.split_once(',') else {
                    unknown()
                };
                let most = libc::CPU_SETSIZE as usize - 1;
                self.cpus = [number(key, first, 0, most), number(key, second, 0, most)];
            }
            _ => unknown(),
        }
    }

    fn check(&self, about: &About) {
        if self.implementation != about.implementation {
            fail(format_args!(
                "impl={}: see 'describe' for what this adapter offers",
                self.implementation
            ));
        }
        if self.case == Case::Oneway && self.rate <= 0.0 {
            fail("oneway: rate=MESSAGES_PER_SECOND is missing");
        }
        if self.how != How::Batch && self.batch != 1 {
            fail(format_args!("batch={}: how=batch is missing", self.batch));
        }
        if matches!(self.case, Case::Rtt | Case::Oneway) && (self.publishers != 1 || self.subscribers != 1) {
            unsupported("one publisher and one subscriber only");
        }
        if self.publishers > about.publishers || self.subscribers > about.subscribers {
            unsupported(format_args!(
                "at most {} publishers and {} subscribers",
                about.publishers, about.subscribers
            ));
        }
        if !about.how.contains(&self.how) {
            unsupported(format_args!("how={}", name_of(&HOWS, self.how)));
        }
        if !about.waits.contains(&self.wait) {
            unsupported(format_args!("wait={}", name_of(&WAITS, self.wait)));
        }
    }

    pub fn roles(&self) -> usize {
        self.publishers + self.subscribers
    }

    /// 65536 messages, but not more than 8 MiB of them and not fewer than 8, where nothing else is asked for.
    pub fn usual_capacity(&self) -> usize {
        self.capacity_within(USUAL_MESSAGES)
    }

    /// The same for a peer that is best with fewer.
    pub fn capacity_within(&self, most: usize) -> usize {
        let mut n = most;

        if self.capacity != 0 {
            return self.capacity;
        }
        while n > USUAL_LEAST && n * self.size > USUAL_BYTES {
            n /= 2;
        }
        n
    }
}

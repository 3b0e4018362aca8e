// SPDX-License-Identifier: Apache-2.0
//! Samples by ticks: exact up to 8191, then 4096 steps for each power of two.

use crate::clock;
use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const BITS: u32 = 12;
const EXACT: usize = 2 << BITS;
const BUCKETS: usize = EXACT + (40 << BITS);

/// In memory that is shared, but only one role adds at a time: no read-modify-write is needed.
#[repr(C)]
pub struct Histogram {
    bucket: [AtomicU32; BUCKETS],
}

fn index(value: u64) -> usize {
    if value < EXACT as u64 {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - BITS;
    let at = EXACT + (((shift - 1) as usize) << BITS) + ((value >> shift) as usize - (1 << BITS));
    at.min(BUCKETS - 1)
}

fn value(index: usize) -> u64 {
    if index < EXACT {
        return index as u64;
    }
    let shift = ((index - EXACT) >> BITS) + 1;
    (((index - EXACT) & ((1 << BITS) - 1)) as u64 + (1 << BITS)) << shift
}

impl Histogram {
    #[inline]
    pub fn add(&self, ticks: u64) {
        let bucket = &self.bucket[index(ticks)];
        bucket.store(bucket.load(Relaxed) + 1, Relaxed);
    }

    pub fn clear(&self) {
        self.bucket.iter().for_each(|b| b.store(0, Relaxed));
    }

    /// In nanoseconds: `ns:count ns:count ...`
    pub fn text(&self) -> String {
        let mut by_ns: Vec<(u64, u64)> = Vec::new();
        let mut out = String::new();

        for (i, bucket) in self.bucket.iter().enumerate() {
            let count = u64::from(bucket.load(Relaxed));
            let ns = (value(i) as f64 * clock::ns_per_tick() + 0.5) as u64;
            match by_ns.last_mut() {
                _ if count == 0 => (),
                Some(last) if last.0 == ns => last.1 += count,
                _ => by_ns.push((ns, count)),
            }
        }
        for (i, (ns, count)) in by_ns.iter().enumerate() {
            let _ = write!(out, "{}{ns}:{count}", if i == 0 { "" } else { " " });
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_near_its_value() {
        for v in (0..44).flat_map(|bit| [1u64 << bit, (1 << bit) + 1, (1 << bit) * 3 / 2]) {
            let low = value(index(v));
            assert!(low <= v && (v - low) * 4096 <= v, "{v}: {low}");
        }
    }
}

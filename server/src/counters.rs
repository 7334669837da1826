//! Counts kept by the serving thread, read by others.
//!
//! One writer, so an increment is a relaxed load and a relaxed store: no locked instruction, and a
//! reader sees a count that was true a moment ago.

use fourtuple_spec::record::ServerCounters;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts kept by the serving thread, read by others.
///
/// Aligned to a pair of cache lines, so that the writer shares none with its neighbours.
#[derive(Default)]
#[repr(align(128))]
pub struct Counters {
    pub(crate) accepted: Count,
    pub(crate) closed: Count,
    pub(crate) received_bytes: Count,
    pub(crate) system_calls: Count,
    pub(crate) enters: Count,
    pub(crate) completions: Count,
    pub(crate) no_buffers: Count,
    pub(crate) overflows: Count,
    pub(crate) rearmed: Count,
    pub(crate) rings: Count,
    pub(crate) promoted: Count,
    pub(crate) demoted: Count,
}

impl Counters {
    /// The counts so far; a count that the engine does not keep is `None`.
    pub fn read(&self) -> ServerCounters {
        ServerCounters {
            accepted: self.accepted.get(),
            closed: self.closed.get(),
            received_bytes: self.received_bytes.get(),
            system_calls: self.system_calls.get(),
            enters: self.enters.get(),
            completions: self.completions.get(),
            no_buffers: self.no_buffers.get(),
            overflows: self.overflows.get(),
            rearmed: self.rearmed.get(),
            rings: self.rings.get(),
            promoted: self.promoted.get(),
            demoted: self.demoted.get(),
        }
    }
}

/// One count. It stays unknown, never a false zero, until the engine keeps it.
///
/// Holds the count plus one; 0 is "not kept", which makes the default right and costs no flag.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Begins to count, at 0. Every count that an engine keeps is begun by its constructor, so that
    /// "nothing happened yet" reads as 0.
    pub(crate) fn keep(&self) {
        self.0.store(1, Relaxed);
    }

    /// Adds. To be called by the serving thread alone: two writers would lose counts.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        let count = self.0.load(Relaxed);
        debug_assert_ne!(count, 0, "a count is kept before it is added to");
        self.0.store(count + n, Relaxed);
    }

    fn get(&self) -> Option<u64> {
        self.0.load(Relaxed).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_missing_and_what_is_kept_starts_at_zero() {
        let counters = Counters::default();
        assert_eq!(counters.read(), ServerCounters::default());
        counters.accepted.keep();
        assert_eq!(counters.read().accepted, Some(0));
        counters.accepted.add(3);
        counters.accepted.add(4);
        assert_eq!(counters.read().accepted, Some(7));
        assert_eq!(counters.read().closed, None);
    }
}

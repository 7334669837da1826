//! Counts kept by the serving thread, read by others.
//!
//! One writer, so an increment is a relaxed load and a relaxed store: no locked instruction, and a
//! reader sees a count that was true a moment ago. An engine with several threads gives each of them a
//! [`Share`] of its own, which has one writer again; the shares are added up when somebody reads.

use fourtuple_spec::record::ServerCounters;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// What the threads count that serve now, if there are several. Whoever has the lock is also the one
    /// writer of the counts that a share has.
    shares: Mutex<Vec<Arc<Share>>>,
}

/// What one of several serving threads counts. One writer: that thread.
///
/// On a cache line of its own, so that threads on several cores do not take it from each other.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct Share {
    pub(crate) closed: Count,
    pub(crate) received_bytes: Count,
    pub(crate) system_calls: Count,
}

impl Counters {
    /// The counts so far; a count that the engine does not keep is `None`.
    pub fn read(&self) -> ServerCounters {
        let shares = self.shares();
        let mut counters = self.own();
        for share in shares.iter() {
            add_up(&mut counters.closed, &share.closed);
            add_up(&mut counters.received_bytes, &share.received_bytes);
            add_up(&mut counters.system_calls, &share.system_calls);
        }
        counters
    }

    /// Connections that are open: accepted, and not closed. `None` where the engine does not count them.
    pub fn open(&self) -> Option<u64> {
        let counts = self.read();
        // Of several threads, one may have counted an end before another has counted the beginning.
        let open = |accepted: u64| accepted.saturating_sub(counts.closed.unwrap_or(0));
        counts.accepted.map(open)
    }

    /// A share for one more thread. Of an engine with shares, nobody counts what they count by other means.
    pub(crate) fn share(&self) -> Arc<Share> {
        let share = Arc::new(Share::default());
        for count in [&share.closed, &share.received_bytes, &share.system_calls] {
            count.keep();
        }
        self.shares().push(Arc::clone(&share));
        share
    }

    /// Takes over what a thread has counted, which counts no more.
    pub(crate) fn take_over(&self, share: &Arc<Share>) {
        let mut shares = self.shares();
        let Some(at) = shares.iter().rposition(|one| Arc::ptr_eq(one, share)) else {
            return;
        };
        shares.swap_remove(at);
        self.closed.take_over(&share.closed);
        self.received_bytes.take_over(&share.received_bytes);
        self.system_calls.take_over(&share.system_calls);
    }

    /// A thread that panicked while it had the lock left nothing half done.
    fn shares(&self) -> MutexGuard<'_, Vec<Arc<Share>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self) -> ServerCounters {
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

/// Adds a share's count to a sum that is kept.
fn add_up(sum: &mut Option<u64>, share: &Count) {
    if let (Some(sum), Some(count)) = (sum, share.get()) {
        *sum += count;
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

    /// Adds a share's count, if this one is kept.
    fn take_over(&self, share: &Self) {
        if let (Some(_), Some(count)) = (self.get(), share.get()) {
            self.add(count);
        }
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

    #[test]
    fn what_threads_count_apart_is_one_sum_before_and_after_they_end() {
        let counters = Counters::default();
        counters.received_bytes.keep();
        counters.closed.keep();
        let shares: Vec<_> = (0..4).map(|_| counters.share()).collect();
        std::thread::scope(|scope| {
            for share in &shares {
                scope.spawn(|| (0..1000).for_each(|_| share.received_bytes.add(64)));
            }
        });
        assert_eq!(counters.read().received_bytes, Some(4 * 64_000));
        for share in &shares[1..] {
            share.closed.add(1);
            counters.take_over(share);
            // Once, however often.
            counters.take_over(share);
            assert_eq!(counters.read().received_bytes, Some(4 * 64_000));
        }
        assert_eq!(counters.read().closed, Some(3));
        assert_eq!(counters.read().system_calls, None, "which nobody keeps");
    }
}

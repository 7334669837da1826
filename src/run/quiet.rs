//! Waiting until the kernel has the memory of an earlier run back. It frees in the background, at
//! about 25,000 pairs a second, and a baseline that is read meanwhile is worth nothing.

use super::{Context, Interrupted, Stage};
use fourtuple_meter::{MemorySnapshot, Subjects};
use fourtuple_spec::{Case, Peer};
use std::time::{Duration, Instant};

/// Below this, what a run leaves behind drowns in what everything else does.
const CONNECTIONS_LEAST: u32 = 1_000;

/// Slab memory of an endpoint, about.
const ENDPOINT_BYTES: u64 = 4_000;

/// A fall of slab memory within [`STEP`] that nothing but a teardown explains.
const FALL_BYTES: u64 = 256 << 10;

/// The kernel tells nobody when it is done: there is nothing to wait on but time.
const STEP: Duration = Duration::from_millis(50);

/// What earlier runs left behind, as far as this process knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leftovers {
    /// Nothing is known: another process may have ended just now.
    #[default]
    Unknown,
    /// The last run was too small to matter.
    None,
    /// The last run had so many endpoints, and this much slab memory was in use before it.
    Of(u32, u64),
}

impl Leftovers {
    /// What a case is going to leave behind, read before it begins.
    pub fn of(case: &Case) -> Self {
        let is_small = case.connections < CONNECTIONS_LEAST;
        let before = if is_small { None } else { slab_bytes() };
        let ends = match case.peer {
            Peer::Kernel => 2,
            Peer::Ghost => 1,
        };
        let endpoints = case.connections.saturating_mul(ends);
        before.map_or(Self::None, |before| Self::Of(endpoints, before))
    }
}

/// Waits until what was left behind is free. Returns a warning if it is not in good time.
pub fn wait(context: &Context<'_>) -> Result<Option<String>, Interrupted> {
    let (mut is_quiet, limit) = match context.leftovers.get() {
        Leftovers::None => return Ok(None),
        Leftovers::Unknown => (Quiet::new(0, 2), Duration::from_secs(120)),
        Leftovers::Of(endpoints, before) => after(endpoints, before),
    };
    let end = Instant::now() + limit;
    while let Some(now) = slab_bytes() {
        if is_quiet.hear(now) {
            return Ok(None);
        }
        if Instant::now() > end {
            return Ok(Some(format!(
                "the kernel was still freeing an earlier run's memory after {} s",
                limit.as_secs()
            )));
        }
        (context.on_stage)(Stage::Waiting);
        std::thread::sleep(STEP);
        if context.interrupt.is_set() {
            return Err(Interrupted);
        }
    }
    Ok(None)
}

/// When a run's memory counts as free, and how long that may take.
fn after(endpoints: u32, before: u64) -> (Quiet, Duration) {
    let taken = u64::from(endpoints) * ENDPOINT_BYTES;
    // The kernel keeps some empty slabs, and other things come and go: 2 %, and never nothing.
    let rest = (taken / 50).clamp(1 << 20, 64 << 20);
    // Freeing pauses now and then: the more there is to free, the longer a pause is believed.
    let steps = 4 + endpoints / 50_000;
    let freeing = Duration::from_millis(u64::from(endpoints) / 20);
    (
        Quiet::new(before + rest, steps),
        Duration::from_secs(30) + freeing,
    )
}

/// Slab memory is quiet when it is as low as it was, or has stopped to fall.
struct Quiet {
    enough: u64,
    steps: u32,
    steady: u32,
    last: u64,
}

impl Quiet {
    fn new(enough: u64, steps: u32) -> Self {
        Self {
            enough,
            steps,
            steady: 0,
            last: u64::MAX,
        }
    }

    fn hear(&mut self, now: u64) -> bool {
        let has_fallen = self.last.saturating_sub(now) > FALL_BYTES;
        self.steady = if has_fallen { 0 } else { self.steady + 1 };
        self.last = now;
        now <= self.enough || self.steady >= self.steps
    }
}

fn slab_bytes() -> Option<u64> {
    MemorySnapshot::take(&Subjects::default()).slab_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn memory_as_low_as_before_is_quiet_at_once() {
        let (mut quiet, _) = after(20_000, 200 * MIB);
        assert!(!quiet.hear(280 * MIB));
        assert!(quiet.hear(201 * MIB));
    }

    #[test]
    fn memory_that_no_longer_falls_is_quiet_in_the_end() {
        let (mut quiet, _) = after(20_000, 200 * MIB);
        for falling in (220..280).rev() {
            assert!(!quiet.hear(falling * MIB));
        }
        for pause in 1..4 {
            assert!(!quiet.hear(220 * MIB - pause));
        }
        assert!(quiet.hear(220 * MIB));
    }

    #[test]
    fn one_reading_says_nothing_of_what_went_before() {
        let mut quiet = Quiet::new(0, 2);
        assert!(!quiet.hear(300 * MIB));
        assert!(!quiet.hear(200 * MIB));
        assert!(!quiet.hear(200 * MIB));
        assert!(quiet.hear(200 * MIB));
    }
}

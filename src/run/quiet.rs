//! Waiting until the kernel has the memory of an earlier run back. It frees in the background, at
//! about 25,000 pairs a second, and a baseline that is read meanwhile is worth nothing.

use super::{Context, Interrupted, Stage};
use fourtuple_meter::{MemorySnapshot, Subjects};
use fourtuple_spec::Case;
use std::time::{Duration, Instant};

/// From so many connections on, the kernel is still freeing when the processes are gone.
const BIG_RUN_CONNECTIONS: u32 = 50_000;

/// Slab memory above the baseline with which the next run may start: 64 MiB are about 8,000 pairs.
const REST_BYTES: u64 = 64 << 20;

/// A fall of slab memory within [`STEP`] that nothing but a teardown explains.
const FALL_BYTES: u64 = 2 << 20;

/// The kernel tells nobody when it is done: there is nothing to wait on but time.
const STEP: Duration = Duration::from_millis(100);

/// What earlier runs left behind, as far as this process knows.
#[derive(Clone, Copy, Debug, Default)]
pub enum Leftovers {
    /// Nothing is known: another process may have ended just now.
    #[default]
    Unknown,
    /// The last run was too small to matter.
    None,
    /// The last run was big; slab memory was this much before it, and freeing should not take longer.
    Big(u64, Duration),
}

impl Leftovers {
    /// What a case is going to leave behind, read before it begins.
    pub fn of(case: &Case) -> Self {
        if case.connections < BIG_RUN_CONNECTIONS {
            return Self::None;
        }
        let freeing = Duration::from_millis(u64::from(case.connections) / 10);
        slab_bytes().map_or(Self::None, |before| {
            Self::Big(before, Duration::from_secs(30) + freeing)
        })
    }
}

/// Waits until what was left behind is free. Returns a warning if it is not in good time.
pub fn wait(context: &Context<'_>) -> Result<Option<String>, Interrupted> {
    match context.leftovers.get() {
        Leftovers::None => Ok(None),
        Leftovers::Unknown => until(context, Duration::from_secs(120), is_steady()),
        Leftovers::Big(before, limit) => {
            until(context, limit, move |now| now <= before + REST_BYTES)
        }
    }
}

/// True as soon as slab memory has stopped to fall.
fn is_steady() -> impl FnMut(u64) -> bool {
    let mut last = None;
    move |now| {
        last.replace(now)
            .is_some_and(|last: u64| last.saturating_sub(now) < FALL_BYTES)
    }
}

fn until(
    context: &Context<'_>,
    limit: Duration,
    mut is_quiet: impl FnMut(u64) -> bool,
) -> Result<Option<String>, Interrupted> {
    let end = Instant::now() + limit;
    while let Some(now) = slab_bytes() {
        if is_quiet(now) {
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

fn slab_bytes() -> Option<u64> {
    MemorySnapshot::take(&Subjects::default()).slab_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_steady_when_it_no_longer_falls() {
        let mut is_steady = is_steady();
        let gib = 1 << 30;
        assert!(!is_steady(3 * gib), "one reading says nothing");
        assert!(!is_steady(2 * gib));
        assert!(!is_steady(2 * gib - FALL_BYTES));
        assert!(is_steady(2 * gib - FALL_BYTES - 4096));
        assert!(is_steady(4 * gib));
    }
}

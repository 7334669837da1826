//! What the tests of a server share: a server on a thread, and peers that check every byte.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod peer;
pub mod running;

use std::time::Duration;

/// How long anything may take before it counts as hung. Long, because it is only a failing engine
/// that waits for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Raises the soft limit of descriptors to the hard one, and returns it.
pub fn descriptor_limit() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if setrlimit(Resource::Nofile, limit).is_err() {
        limit = getrlimit(Resource::Nofile);
    }
    limit.current.map_or(usize::MAX, |soft| soft as usize)
}

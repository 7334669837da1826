//! What the tests of a server share: a server on a thread, and peers that check every byte.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod peer;
pub mod running;

use fourtuple_spec::Engine;
use std::sync::Mutex;
use std::thread;
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

/// How many connections to hold at once: a thousand, or as many as descriptors allow. `None`, with a word
/// why, where the engine needs a thread for each and so many cannot be started.
pub fn crowd(engine: Engine) -> Option<usize> {
    // Both ends are in this process; some descriptors are the server's own and the harness's.
    let count = 1000.min((descriptor_limit() - 100) / 2);
    if engine == Engine::Threads && !can_start(count) {
        eprintln!("skipped: {engine}: {count} threads cannot be started here");
        return None;
    }
    Some(count)
}

/// Whether so many threads can run at once, on top of those that do.
fn can_start(count: usize) -> bool {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        // Shut until all have been started, or one could not be.
        let _shut = gate.lock();
        (0..count).all(|_| {
            let started = thread::Builder::new().spawn_scoped(scope, || drop(gate.lock()));
            started.is_ok()
        })
    })
}

//! What is special about the engines on other runtimes: how they end, and what they say when a limit is short.
//! A binary of its own, because limits and descriptors are the process's.
#![cfg(feature = "runtimes")]

mod support;

use fourtuple_server::Server;
use fourtuple_spec::Engine;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use support::peer::{Peer, stall};
use support::running::{options, start_or_skip};

const ENGINES: [Engine; 3] = [Engine::Monoio, Engine::Glommio, Engine::Compio];

/// One test at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What every descriptor of this process is open on: `socket:[…]`, `anon_inode:[eventfd]` and so on.
fn descriptors() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    entries
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .map(|target| target.display().to_string())
        .collect()
}

#[test]
fn a_server_that_has_ended_leaves_no_descriptor() {
    let _turn = turn();
    for engine in ENGINES {
        // What a runtime keeps for the process, it has after the first one.
        serve_and_stop(engine);
        let before = descriptors();
        (0..3).for_each(|_| serve_and_stop(engine));
        let mut left = descriptors();
        for open in before {
            left.remove(left.iter().position(|other| *other == open).unwrap());
        }
        // Glommio frees its tasks without their hold on the executor's own event (0.9.0).
        let allowed = if engine == Engine::Glommio { 3 } else { 0 };
        assert!(left.len() <= allowed, "{engine}: {left:?}");
        assert!(
            left.iter().all(|open| open == "anon_inode:[eventfd]"),
            "{engine}: {left:?}"
        );
    }
}

/// Peers that rest, one that is served no more because it does not read, and some that have gone.
fn serve_and_stop(engine: Engine) {
    let Some(server) = start_or_skip(options(engine, "127.0.0.1:0")) else {
        return;
    };
    let mut peers: Vec<Peer> = (0..30)
        .map(|seed| Peer::connect(server.address, seed))
        .collect();
    peers.iter_mut().for_each(|peer| peer.echo(64));
    peers.truncate(20);
    peers.push(Peer::connect_small(server.address, 30));
    stall(&mut peers[20..]);
    server.end();
    peers.iter_mut().for_each(Peer::expect_closed);
}

/// With one descriptor more each time, until there are enough.
#[test]
fn a_server_that_lacks_descriptors_from_the_start_says_so() {
    let _turn = turn();
    for engine in ENGINES {
        let mut refusals = 0;
        while bind_with_spare(engine, refusals) {
            refusals += 1;
            assert!(refusals < 100, "{engine} never has enough");
        }
        assert!(refusals > 3, "{engine}: the limit was not felt");
    }
}

/// Whether a server was refused that finds no more than `spare` free descriptors.
fn bind_with_spare(engine: Engine, spare: u64) -> bool {
    let before = getrlimit(Resource::Nofile);
    let lowest_free = File::open("/dev/null").unwrap().as_raw_fd() as u64;
    let lowered = Rlimit {
        current: Some(lowest_free + spare),
        maximum: before.maximum,
    };
    setrlimit(Resource::Nofile, lowered).unwrap();
    let bound = Server::bind(&options(engine, "127.0.0.1:0")).map(drop);
    setrlimit(Resource::Nofile, before).unwrap();
    match bound {
        Ok(()) => false,
        Err(error) if error.limiter.as_deref() == Some("io_uring") => false,
        Err(error) => {
            assert_eq!(
                error.limiter.as_deref(),
                Some("RLIMIT_NOFILE"),
                "{engine} with {spare}: {error}"
            );
            true
        }
    }
}

#[test]
fn glommio_names_the_limit_of_locked_memory() {
    let _turn = turn();
    let before = getrlimit(Resource::Memlock);
    let lowered = Rlimit {
        current: Some(64 * 1024),
        maximum: before.maximum,
    };
    setrlimit(Resource::Memlock, lowered).unwrap();
    let bound = Server::bind(&options(Engine::Glommio, "127.0.0.1:0")).map(drop);
    setrlimit(Resource::Memlock, before).unwrap();
    let error = bound.expect_err("64 KiB are too little");
    assert_eq!(error.limiter.as_deref(), Some("RLIMIT_MEMLOCK"), "{error}");
    assert!(error.error.contains("ulimit -l 512"), "{error}");
}

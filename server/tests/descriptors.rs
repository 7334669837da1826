//! What a server does that is out of descriptors. A binary of its own with one test, because the
//! limit is the process's.

mod support;

use fourtuple_spec::engine::{Descriptors, PROFILES};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use support::running::{Running, options, start_or_skip};

#[test]
fn out_of_descriptors_ends_the_server_with_the_limits_name() {
    for profile in PROFILES
        .iter()
        .filter(|profile| profile.descriptors == Descriptors::Process)
        .filter(|profile| fourtuple_server::has(profile.engine))
    {
        let Some(server) = start_or_skip(options(profile.engine, "127.0.0.1:0")) else {
            continue;
        };
        let before = getrlimit(Resource::Nofile);
        let peers = exhaust_descriptors(&server, &before);
        let ended = server.wait();
        setrlimit(Resource::Nofile, before).unwrap();
        let error = ended.expect_err(profile.name);
        assert_eq!(
            error.limiter.as_deref(),
            Some("RLIMIT_NOFILE"),
            "{}: {error}",
            profile.name
        );
        assert!(
            error.error.contains("ulimit -n"),
            "{}: {error}",
            profile.name
        );
        drop(peers);
    }
}

/// Lowers the limit and connects until the server, and not this end, is the one that lacks a
/// descriptor.
fn exhaust_descriptors(server: &Running, before: &Rlimit) -> Vec<TcpStream> {
    let spare = File::open("/dev/null").unwrap();
    let lowered = Rlimit {
        current: Some(spare.as_raw_fd() as u64 + 20),
        maximum: before.maximum,
    };
    setrlimit(Resource::Nofile, lowered).unwrap();
    let mut peers = Vec::new();
    while let Ok(peer) = TcpStream::connect(server.address) {
        peers.push(peer);
        let count = peers.len() as u64;
        server.await_counters("a connection is accepted, or the server ends", |counters| {
            counters.accepted == Some(count) || server.has_ended()
        });
        if server.has_ended() {
            return peers;
        }
    }
    // Accepting takes a descriptor before it looks whether anybody waits, so a server that has taken
    // the last one may be ending now. If not, the spare goes to this end, which leaves none for it.
    drop(spare);
    match TcpStream::connect(server.address) {
        Ok(peer) => peers.push(peer),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
    }
    peers
}

//! System calls are counted as they are made: an echo takes a known few of them.

mod support;

use fourtuple_spec::Engine;
use support::peer::Peer;
use support::running::{Running, options, start_or_skip};

const ECHOES: u64 = 1000;
/// What may still be under way, or not yet have been counted.
const SLACK: u64 = 8;

/// Engines that make the calls themselves, and what an echo on a connection that is alone takes.
const CALLS_AN_ECHO: [(Engine, u64); 5] = [
    // Wait, receive, send.
    (Engine::Epoll, 3),
    (Engine::EpollEt, 3),
    (Engine::EpollInRing, 3),
    // It sleeps in the receive.
    (Engine::Threads, 2),
    // Receive again, to be told that nothing is left.
    (Engine::Mio, 4),
];

fn count(server: &Running) -> u64 {
    server.counters.read().system_calls.expect("kept")
}

#[test]
fn an_echo_takes_as_many_as_it_should() {
    for (engine, calls) in CALLS_AN_ECHO {
        let Some(server) = start_or_skip(options(engine, "127.0.0.1:0")) else {
            continue;
        };
        let mut peer = Peer::connect(server.address, 1);
        peer.echo(64);
        let before = count(&server);
        (0..ECHOES).for_each(|_| peer.echo(64));
        let made = count(&server) - before;
        // A server that is overtaken by its peer finds the next message without waiting for it: fewer, if
        // anything, but never fewer than the receive and the send.
        assert!(
            (2 * ECHOES - SLACK..=calls * ECHOES + SLACK).contains(&made),
            "{engine}: {made} calls for {ECHOES} echoes"
        );
        server.end();
    }
}

#[test]
fn what_comes_and_goes_is_counted_too() {
    for (engine, _) in CALLS_AN_ECHO {
        let Some(server) = start_or_skip(options(engine, "127.0.0.1:0")) else {
            continue;
        };
        for seed in 0..50 {
            Peer::connect(server.address, seed).echo(64);
        }
        server.await_counters("50 closes", |counters| counters.closed == Some(50));
        // Accepted, received, sent, received again, closed.
        let made = count(&server);
        assert!(made >= 50 * 5, "{engine}: {made} calls");
        server.end();
    }
}

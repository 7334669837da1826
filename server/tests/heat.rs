//! What the hybrid engine does with busy connections and with idle ones.

mod support;

use fourtuple_spec::Engine;
use fourtuple_spec::record::ServerCounters;
use std::time::{Duration, Instant};
use support::PATIENCE;
use support::peer::Peer;
use support::running::{Running, options, start_or_skip};

fn server() -> Option<Running> {
    start_or_skip(options(Engine::UringHybrid, "127.0.0.1:0"))
}

/// Lets a peer echo until the counters say that it is busy.
fn heat(server: &Running, peer: &mut Peer, promoted: u64) {
    let deadline = Instant::now() + PATIENCE;
    while server.counters.read().promoted != Some(promoted) {
        assert!(Instant::now() < deadline, "{:?}", server.counters.read());
        peer.echo(64);
    }
}

fn is_cold(counters: &ServerCounters) -> bool {
    counters.demoted == counters.promoted
}

#[test]
fn one_message_does_not_make_a_connection_busy() {
    let Some(server) = server() else { return };
    let mut peers: Vec<_> = (0..100)
        .map(|seed| Peer::connect(server.address, seed))
        .collect();
    peers.iter_mut().for_each(|peer| peer.echo(64));
    let counters = server.counters.read();
    assert_eq!((counters.promoted, counters.demoted), (Some(0), Some(0)));
    server.end();
}

#[test]
fn a_busy_connection_falls_back_when_it_is_silent_and_may_be_busy_again() {
    let Some(server) = server() else { return };
    let mut peers: Vec<_> = (0..40)
        .map(|seed| Peer::connect(server.address, seed))
        .collect();
    for round in 1..=2 {
        let before = server.counters.read().promoted.unwrap();
        for (count, peer) in peers.iter_mut().enumerate() {
            // A neighbour that waited long for its turn may have cooled down, never become busy.
            heat(&server, peer, before + count as u64 + 1);
        }
        // Nobody speaks any more: the server as a whole is idle.
        server.await_counters("all cold", is_cold);
        assert_eq!(server.counters.read().promoted, Some(40 * round));
    }
    peers.iter_mut().for_each(|peer| peer.echo(10_000));
    server.end();
}

#[test]
fn a_silent_connection_falls_back_while_another_is_busy() {
    let Some(server) = server() else { return };
    let mut silent = Peer::connect(server.address, 1);
    let mut busy = Peer::connect(server.address, 2);
    heat(&server, &mut silent, 1);
    heat(&server, &mut busy, 2);
    let deadline = Instant::now() + PATIENCE;
    while server.counters.read().demoted == Some(0) {
        assert!(Instant::now() < deadline, "{:?}", server.counters.read());
        busy.echo(64);
    }
    silent.echo(64);
    busy.echo(64);
    server.end();
}

#[test]
fn a_slot_of_a_busy_connection_serves_the_next_one() {
    let Some(server) = server() else { return };
    for round in 1..=20 {
        let mut peer = Peer::connect(server.address, round as usize);
        heat(&server, &mut peer, round);
        peer.end();
        peer.expect_end();
        server.await_counters("closed", |counters| counters.closed == Some(round));
    }
    let mut last = Peer::connect(server.address, 21);
    heat(&server, &mut last, 21);
    // The others closed while they were busy: their places in the list do no harm to the last one.
    server.await_counters("the last is cold", |counters| counters.demoted >= Some(1));
    last.echo(64);
    server.end();
}

/// Once all is quiet the clock stands still: no tick wakes the server.
#[test]
fn a_quiet_server_sleeps() {
    let Some(server) = server() else { return };
    let mut peer = Peer::connect(server.address, 1);
    heat(&server, &mut peer, 1);
    server.await_counters("cold", is_cold);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = server.counters.read().enters;
        std::thread::sleep(Duration::from_millis(600));
        if server.counters.read().enters == before {
            break;
        }
        assert!(Instant::now() < deadline, "it goes on ticking");
    }
    server.end();
}

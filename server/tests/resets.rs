//! Peers that reset all at once: each is closed and counted, whatever it was doing.

mod support;

use fourtuple_server::{Options, Server};
use fourtuple_spec::Engine;
use fourtuple_spec::engine::PROFILES;
use rustix::net::sockopt::set_socket_linger;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use support::PATIENCE;
use support::peer::Peer;
use support::running::{options, start_or_skip};

/// A wave that fits the backlog of a server that does not accept yet.
fn wave() -> u64 {
    let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
    let somaxconn = somaxconn.ok().and_then(|text| text.trim().parse().ok());
    somaxconn.unwrap_or(u64::MAX).min(3000)
}

/// Every engine that echoes; those on tables of direct descriptors with one table, and with many.
fn servers() -> impl Iterator<Item = Options> {
    let echoing = PROFILES
        .iter()
        .filter(|profile| profile.echoes && fourtuple_server::has(profile.engine));
    echoing.flat_map(|profile| {
        let tables: &[Option<u32>] = if profile.needs_io_uring {
            &[None, Some(64)]
        } else {
            &[None]
        };
        tables.iter().map(|&slots_per_ring| Options {
            slots_per_ring,
            ..options(profile.engine, "127.0.0.1:0")
        })
    })
}

fn connect_and_reset(address: SocketAddr) {
    let peer = TcpStream::connect(address).expect("connect");
    set_socket_linger(&peer, Some(Duration::ZERO)).expect("SO_LINGER");
}

/// The server finds a wave that has come and gone: all of it at once, in one table and over several.
#[test]
fn a_wave_that_is_gone_before_it_is_accepted_is_closed() {
    for options in servers() {
        let engine = options.engine;
        match Server::bind(&options) {
            Ok(server) => close_a_wave(server, engine),
            Err(error) if error.limiter.as_deref() == Some("io_uring") => {
                eprintln!("skipped: {engine}: {error}");
            }
            Err(error) => panic!("{engine}: {error}"),
        }
    }
}

fn close_a_wave(server: Server, engine: Engine) {
    let (wave, address) = (wave(), server.address());
    (0..wave).for_each(|_| connect_and_reset(address));
    let (counters, stopper) = (server.counters(), server.stopper());
    let watching = thread::spawn(move || {
        let deadline = Instant::now() + PATIENCE;
        while counters.read().closed < Some(wave) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        Peer::connect(address, 1).echo(64);
        stopper.stop();
        counters.read()
    });
    server.serve().expect("resets end no server");
    let counters = watching.join().expect("the server still serves");
    assert_eq!(counters.accepted, Some(wave + 1), "{engine}");
    // The last one is closed when the server stops, which nobody counts, or a moment before.
    assert!(counters.closed >= Some(wave), "{engine}: {counters:?}");
}

/// Connections that have echoed, those that are busy and those that are not, in rings that are looked at
/// and in rings that have gone cold.
#[test]
fn connections_that_are_armed_are_closed_however_many_reset() {
    for options in servers() {
        let Some(count) = support::crowd(options.engine) else {
            continue;
        };
        let Some(server) = start_or_skip(options) else {
            continue;
        };
        let mut peers: Vec<Peer> = (0..count)
            .map(|seed| Peer::connect(server.address, seed))
            .collect();
        peers.iter_mut().for_each(|peer| peer.echo(64));
        for peer in peers.iter_mut().step_by(3) {
            (0..3).for_each(|_| peer.echo(64));
        }
        peers.into_iter().for_each(Peer::reset);
        server.await_counters("every connection is closed", |counters| {
            counters.closed == Some(count as u64) && counters.accepted == counters.closed
        });
        // As many again fit the places that are free now.
        let mut peers: Vec<Peer> = (0..count)
            .map(|seed| Peer::connect(server.address, seed))
            .collect();
        peers.iter_mut().for_each(|peer| peer.echo(64));
        let rings = server.counters.read().rings;
        assert!(rings <= Some(count as u64 / 64 + 1), "{rings:?} rings");
        server.end();
    }
}

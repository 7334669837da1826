//! The engines on direct descriptors past one table: connections spread over several rings.

mod support;

use fourtuple_server::{Options, Server};
use fourtuple_spec::factors::{Buffers, Receive, Send};
use fourtuple_spec::{Engine, Factors, limiter};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const CONNECTIONS: u32 = 100;

/// Every engine with several rings, and `uring` with each way to receive and send.
fn ways() -> Vec<(Engine, Factors)> {
    let usual = Factors::default();
    let mut ways: Vec<_> = [Engine::Uring, Engine::UringPoll, Engine::UringHybrid]
        .map(|engine| (engine, usual))
        .into();
    let with = [
        Factors {
            recv: Receive::Oneshot,
            ..usual
        },
        Factors {
            recv: Receive::Bundle,
            ..usual
        },
        Factors {
            buffers: Buffers::RingIncremental,
            ..usual
        },
        Factors {
            buffers: Buffers::Fixed,
            ..usual
        },
        Factors {
            send: Send::ZeroCopy,
            ..usual
        },
        Factors {
            send: Send::Bundle,
            ..usual
        },
    ];
    ways.extend(with.map(|factors| (Engine::Uring, factors)));
    ways
}

/// Runs `peers` against a server whose tables have `slots_per_ring` slots.
fn with_server(
    (engine, factors): (Engine, Factors),
    slots_per_ring: u32,
    peers: impl FnOnce(std::net::SocketAddr),
) {
    let (ready, is_ready) = mpsc::channel();
    let server = thread::spawn(move || {
        let options = Options {
            engine,
            listen: "127.0.0.1:0".parse().unwrap(),
            reuse_port: false,
            connections: Some(CONNECTIONS),
            message_bytes: 64,
            slots_per_ring: Some(slots_per_ring),
            rings_max: None,
            factors,
            threads: 1,
            state: None,
        };
        match Server::bind(&options) {
            Ok(server) => {
                ready
                    .send(Some((
                        server.address(),
                        server.stopper(),
                        server.counters(),
                    )))
                    .unwrap();
                server.serve().unwrap();
            }
            // An older kernel, or memory that an ordinary user may not lock.
            Err(error)
                if matches!(
                    error.limiter.as_deref(),
                    Some(limiter::IO_URING | limiter::LOCKED_MEMORY)
                ) || error.error.contains("does not grant") =>
            {
                eprintln!("skipped: {error}");
                ready.send(None).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    });
    if let Some((address, stopper, counters)) = is_ready.recv().unwrap() {
        peers(address);
        stopper.stop();
        server.join().unwrap();
        assert!(counters.read().accepted.unwrap() >= u64::from(CONNECTIONS));
        assert!(counters.read().rings.unwrap() >= u64::from(CONNECTIONS / slots_per_ring));
    }
}

fn echo(peer: &mut TcpStream, number: usize) {
    let message = [number as u8; 64];
    peer.write_all(&message).unwrap();
    let mut echo = [0; 64];
    peer.read_exact(&mut echo).unwrap();
    assert_eq!(echo, message);
}

#[test]
fn connections_past_one_table_are_served_by_the_next_ring() {
    for slots_per_ring in [7, 64] {
        for way in ways() {
            with_server(way, slots_per_ring, spread);
        }
    }
}

fn spread(address: std::net::SocketAddr) {
    let mut peers: Vec<TcpStream> = Vec::new();
    for number in 0..CONNECTIONS as usize {
        let mut peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        echo(&mut peer, number);
        peers.push(peer);
    }
    for (number, peer) in peers.iter_mut().enumerate().rev() {
        echo(peer, number);
    }
    // Slots that come free are used again, in whichever ring they are.
    peers.truncate(10);
    for number in 0..90 {
        let mut peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        echo(&mut peer, number);
        peers.push(peer);
    }
}

/// Each of many rings has few buffers, and small ones: 16 peers with 100,000 bytes each need them all.
#[test]
fn buffers_that_run_out_delay_and_lose_nothing() {
    for way in ways() {
        with_server(way, 16, |address| {
            let mut peers: Vec<_> = (0..CONNECTIONS as usize)
                .map(|seed| support::peer::Peer::connect(address, seed))
                .collect();
            for _ in 0..3 {
                peers.iter_mut().for_each(|peer| peer.send(100_000));
                peers.iter_mut().for_each(|peer| peer.receive(100_000));
            }
        });
    }
}

/// How many connections come to tables of `slots_per_ring` slots in at most two rings, one after the other, until the
/// server ends; and what it ended with. `None` where there is no ring to be had.
fn until_full(engine: Engine, slots_per_ring: u32) -> Option<(u64, fourtuple_server::ServeError)> {
    let options = Options {
        engine,
        listen: "127.0.0.1:0".parse().unwrap(),
        reuse_port: false,
        connections: Some(CONNECTIONS),
        message_bytes: 64,
        slots_per_ring: Some(slots_per_ring),
        rings_max: Some(2),
        factors: Factors::default(),
        threads: 1,
        state: None,
    };
    let server = match Server::bind(&options) {
        Ok(server) => server,
        Err(error) if error.limiter.as_deref() == Some(limiter::IO_URING) => return None,
        Err(error) => panic!("{error}"),
    };
    let (address, counters) = (server.address(), server.counters());
    let peers = thread::spawn(move || fill(address, 2 * slots_per_ring as usize));
    let error = server.serve().unwrap_err();
    peers.join().unwrap();
    let counts = counters.read();
    Some((counts.accepted.unwrap() - counts.closed.unwrap(), error))
}

/// Fills every slot, gives one back, takes it again, and asks for one too many.
fn fill(address: std::net::SocketAddr, slots: usize) {
    let open = |number| {
        let mut peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        echo(&mut peer, number);
        peer
    };
    let mut peers: Vec<TcpStream> = (0..slots).map(open).collect();
    let mut gone = peers.pop().unwrap();
    gone.shutdown(std::net::Shutdown::Write).unwrap();
    // Its end is heard when the server has closed it.
    assert_eq!(gone.read(&mut [0; 1]).unwrap(), 0);
    peers.push(open(slots));
    let mut last = TcpStream::connect(address).unwrap();
    let _ = last.read(&mut [0; 1]);
}

#[test]
fn the_last_table_that_may_be_takes_exactly_its_slots_and_names_itself() {
    for engine in [Engine::Uring, Engine::UringPoll, Engine::UringHybrid] {
        for slots_per_ring in [1, 5, 70] {
            let Some((held, error)) = until_full(engine, slots_per_ring) else {
                return;
            };
            assert_eq!(
                error.limiter.as_deref(),
                Some(limiter::DIRECT_TABLE),
                "{error}"
            );
            assert_eq!(held, 2 * u64::from(slots_per_ring), "{engine}");
        }
    }
}

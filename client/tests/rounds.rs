//! Rounds, ramps that end early and hot sets, against a server that counts by connection.

use fourtuple_client::{Growth, Load, LoadError};
use fourtuple_spec::payload::Pattern;
use fourtuple_spec::plan::{CaseDefaults, CaseRequest};
use fourtuple_spec::{Case, ClientKind, Engine, HotPlacement, NetworkChoice};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const MESSAGE_BYTES: u32 = 64;
const CONNECTIONS: u32 = 20;

/// What the server has seen.
#[derive(Default)]
struct Seen {
    accepted: u32,
    ended: u32,
    /// Bytes received, by the connection's index, which its first message tells.
    bytes: BTreeMap<u32, usize>,
}

/// An echo server with a thread a connection.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    /// Closes the connection with the index `closes` after its first echo.
    fn start(closes: Option<u32>) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                shared.lock().unwrap().accepted += 1;
                let seen = Arc::clone(&shared);
                thread::spawn(move || {
                    serve(stream.unwrap(), &seen, closes);
                    seen.lock().unwrap().ended += 1;
                });
            }
        });
        Self { address, seen }
    }

    fn bytes(&self) -> BTreeMap<u32, usize> {
        self.seen.lock().unwrap().bytes.clone()
    }

    /// Waits until every connection that was accepted has ended.
    fn wait_for_end(&self, connections: u32) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let (accepted, ended) = {
                let seen = self.seen.lock().unwrap();
                (seen.accepted, seen.ended)
            };
            if accepted == connections && ended == connections {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{accepted} accepted and {ended} ended of {connections}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Seen>, closes: Option<u32>) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 4096];
    let mut index = None;
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let index = *index.get_or_insert_with(|| index_of(&buffer[..count]));
        *seen.lock().unwrap().bytes.entry(index).or_default() += count;
        if stream.write_all(&buffer[..count]).is_err() || closes == Some(index) {
            return;
        }
    }
}

/// Which connection's first message this is. Small messages come whole.
fn index_of(message: &[u8]) -> u32 {
    let pattern = Pattern::new(MESSAGE_BYTES);
    (0..1000)
        .find(|&index| message.starts_with(pattern.message(index, 0)))
        .expect("a first message")
}

fn case(connections: u32) -> Case {
    let bare = CaseRequest::new(Engine::Epoll, connections)
        .resolve(&CaseDefaults::new(vec![0], vec![1]))
        .expect("every default is sound");
    Case {
        message_bytes: MESSAGE_BYTES,
        group_connections: 10_000,
        connect_window: 4,
        settle_ms: 0,
        warmup_ms: 10,
        measure_ms: 50,
        network: NetworkChoice::Host,
        ..bare
    }
}

/// One ring, many rings, turns that pass in the measured span, pipelines, and no ring at all.
fn shapes(connections: u32) -> Vec<Case> {
    let one = case(connections);
    let many_rings = Case {
        slots_per_ring: Some(3),
        ..one.clone()
    };
    let passing = Case {
        active_connections: 2,
        ..many_rings.clone()
    };
    let deep = Case {
        depth: 3,
        ..one.clone()
    };
    let deep_and_passing = Case {
        depth: 3,
        ..passing.clone()
    };
    let spinning = Case {
        client: ClientKind::Spin,
        ..one.clone()
    };
    vec![one, many_rings, passing, deep, deep_and_passing, spinning]
}

/// `None`, with the reason printed, where io_uring is not to be had.
fn prepare(case: &Case, target: SocketAddr) -> Option<Load> {
    match Load::prepare(case, target) {
        Err(error) if error.limiter.as_deref() == Some("io_uring") => {
            eprintln!("skipped: {error}");
            None
        }
        load => Some(load.unwrap()),
    }
}

fn open(case: &Case, target: SocketAddr) -> Option<Load> {
    let mut load = prepare(case, target)?;
    let ramp = load.ramp(&mut |_| Growth::GoOn).unwrap();
    assert_eq!(ramp.connections_held, case.connections);
    Some(load)
}

/// Has each of `connections` echo once, and sees that the server got one message of each.
fn assert_round(load: &mut Load, server: &Server, active: u32, connections: u32) {
    let before = server.bytes();
    let round = load.round(active).unwrap();
    assert_eq!(round.echoes, u64::from(connections));
    assert_eq!(round.active_connections, active.min(connections));
    assert_eq!(round.phase, "");
    assert!(round.seconds > 0.0 && round.echoes_per_second.unwrap() > 0.0);
    assert!(round.latency_ns.p50.unwrap() <= round.latency_ns.max.unwrap());
    assert!(round.latency_ns.histogram.is_some());
    let after = server.bytes();
    assert_eq!(after.len() as u32, connections);
    for (index, bytes) in after {
        let more = bytes - before.get(&index).copied().unwrap_or(0);
        assert_eq!(more, MESSAGE_BYTES as usize, "connection {index}");
    }
}

/// Measures, and says which connections the server got something of.
fn measured(load: &mut Load, server: &Server, connections: u32) -> BTreeSet<u32> {
    let before = server.bytes();
    let mut warmed = None;
    let measured = load
        .measure(&mut |warm| warmed = Some(warm.connections_proved))
        .unwrap();
    assert!(measured.echoes > 0);
    assert_eq!(measured.connections_proved, connections);
    assert_eq!(warmed, Some(connections));
    let after = server.bytes().into_iter();
    after
        .filter(|(index, bytes)| before.get(index) != Some(bytes))
        .map(|(index, _)| index)
        .collect()
}

#[test]
fn every_connection_echoes_once_a_round() {
    for case in shapes(CONNECTIONS) {
        let server = Server::start(None);
        let Some(mut load) = open(&case, server.address) else {
            continue;
        };
        for active in [1, 7, CONNECTIONS, 1000] {
            assert_round(&mut load, &server, active, CONNECTIONS);
        }
        load.drain().unwrap();
        server.wait_for_end(CONNECTIONS);
    }
}

#[test]
fn rounds_and_measurements_follow_each_other() {
    for case in shapes(CONNECTIONS) {
        let server = Server::start(None);
        let Some(mut load) = open(&case, server.address) else {
            continue;
        };
        assert_round(&mut load, &server, 7, CONNECTIONS);
        assert_round(&mut load, &server, CONNECTIONS, CONNECTIONS);
        for active in [3, CONNECTIONS] {
            let busy = measured(&mut load, &server, CONNECTIONS);
            assert_eq!(busy, (0..CONNECTIONS).collect());
            assert_round(&mut load, &server, active, CONNECTIONS);
        }
        load.drain().unwrap();
        server.wait_for_end(CONNECTIONS);
    }
}

#[test]
fn more_turns_than_a_slice_begin_at_once() {
    let connections = 400;
    let server = Server::start(None);
    let case = Case {
        slots_per_ring: Some(90),
        connect_window: 64,
        ..case(connections)
    };
    let Some(mut load) = open(&case, server.address) else {
        return;
    };
    assert_round(&mut load, &server, connections, connections);
    measured(&mut load, &server, connections);
    assert_round(&mut load, &server, 300, connections);
    load.drain().unwrap();
    server.wait_for_end(connections);
}

#[test]
fn a_ramp_that_has_enough_leaves_what_is_open() {
    for case in shapes(200) {
        for hot_connections in [None, Some(5), Some(150)] {
            let case = Case {
                hot_connections,
                ..case.clone()
            };
            let server = Server::start(None);
            let Some(mut load) = prepare(&case, server.address) else {
                continue;
            };
            let mut grow = |open| match open {
                0..13 => Growth::GoOn,
                _ => Growth::Enough,
            };
            let held = load.ramp(&mut grow).unwrap().connections_held;
            // Each answer comes after as many connects as are in flight at once, and so many more may be.
            assert!(
                (13..=13 + 3 * case.connect_window).contains(&held),
                "{held}"
            );
            assert_round(&mut load, &server, 7, held);
            let busy = measured(&mut load, &server, held);
            let hot = hot_connections.unwrap_or(held).min(held);
            assert_eq!(busy.len() as u32, hot);
            assert_round(&mut load, &server, held, held);
            load.drain().unwrap();
            server.wait_for_end(held);
        }
    }
}

#[test]
fn the_measured_span_is_over_the_hot_connections_alone() {
    for placement in [HotPlacement::Spread, HotPlacement::First] {
        for shape in shapes(CONNECTIONS) {
            let case = Case {
                hot_connections: Some(6),
                hot_placement: placement,
                ..shape
            };
            let server = Server::start(None);
            let Some(mut load) = open(&case, server.address) else {
                continue;
            };
            assert_round(&mut load, &server, 7, CONNECTIONS);
            let hot: BTreeSet<u32> = (0..case.hot()).map(|rank| case.hot_index(rank)).collect();
            for active in [1, CONNECTIONS] {
                assert_eq!(measured(&mut load, &server, CONNECTIONS), hot, "{case:?}");
                assert_round(&mut load, &server, active, CONNECTIONS);
            }
            load.drain().unwrap();
            server.wait_for_end(CONNECTIONS);
        }
    }
}

#[test]
fn without_a_round_only_the_hot_ones_are_proved() {
    let server = Server::start(None);
    let case = Case {
        hot_connections: Some(6),
        ..case(CONNECTIONS)
    };
    let Some(mut load) = open(&case, server.address) else {
        return;
    };
    assert_eq!(measured(&mut load, &server, 6).len(), 6);
    let round = load.round(CONNECTIONS).unwrap();
    assert_eq!(round.echoes, u64::from(CONNECTIONS));
    measured(&mut load, &server, CONNECTIONS);
}

#[test]
fn a_connection_closed_between_rounds_is_named() {
    for case in shapes(CONNECTIONS) {
        for active in [1, CONNECTIONS] {
            let server = Server::start(Some(12));
            let Some(mut load) = open(&case, server.address) else {
                continue;
            };
            load.round(active).unwrap();
            let error: LoadError = load.round(active).unwrap_err();
            let words = error.to_string();
            assert!(words.starts_with("connection 12 "), "{words}");
        }
    }
}

#[test]
fn nothing_echoes_where_nothing_is_open() {
    let server = Server::start(None);
    for case in shapes(4) {
        let Some(mut load) = prepare(&case, server.address) else {
            continue;
        };
        let error = load.round(1).unwrap_err().to_string();
        assert!(error.contains("no connection is open"), "{error}");
        assert!(load.measure(&mut |_| {}).is_err());
    }
}

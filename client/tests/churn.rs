//! Churn against plain servers: what is counted is what was opened, echoed and closed.

mod support;

use fourtuple_client::Load;
use fourtuple_spec::{AddressMode, Case, Mode};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use support::{echo, measure, ramped, server};

fn case(connections: u32) -> Case {
    Case {
        mode: Mode::Churn,
        ..support::case(connections)
    }
}

/// What a server has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicU64,
    /// The most bytes that came on one connection.
    bytes_max: AtomicUsize,
}

fn counting_server() -> (SocketAddr, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    let address = server(move |_, stream| {
        counted.connections.fetch_add(1, Ordering::SeqCst);
        counted.bytes_max.fetch_max(echo(stream), Ordering::SeqCst);
    });
    (address, seen)
}

/// Connections of the server's port that are in TIME_WAIT. The port is in the kernel's table in hexadecimal.
fn in_time_wait(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ending = format!(":{port:04X}");
    let is_waiting = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let ends = [fields.next(), fields.next()];
        let has_port = (ends.iter().flatten()).any(|end| end.ends_with(&ending));
        has_port && fields.next() == Some("06")
    };
    table.lines().filter(is_waiting).count()
}

fn assert_churns(case: &Case) {
    let (target, seen) = counting_server();
    let Some(mut load) = ramped(case, target) else {
        return;
    };
    let is_reset = |load: &Load| {
        let mut granted = load.granted().into_iter();
        granted.any(|grant| grant.feature == "ring-sockets" && grant.granted)
    };
    let measured = measure(&mut load, case.connections).unwrap();
    let cycles = measured.warmup_echoes + measured.echoes;
    let opened = seen.connections.load(Ordering::SeqCst) - u64::from(case.connections);
    // Those that were under way when the measured span ended are not counted.
    let most = cycles + u64::from(case.active_connections.min(case.connections));
    assert!((cycles..=most).contains(&opened), "{cycles} {opened}");
    if is_reset(&load) {
        assert_eq!(in_time_wait(target.port()), 0);
    }
    // Churn may be measured again, and every connection is open afterwards.
    measure(&mut load, case.connections).unwrap();
    load.round(case.connections).unwrap();
    load.drain().unwrap();
    let bytes_max = seen.bytes_max.load(Ordering::SeqCst);
    assert!(
        bytes_max <= 2 * case.message_bytes as usize,
        "{bytes_max} B on a connection"
    );
}

#[test]
fn each_cycle_is_a_connection_that_echoes_one_message() {
    assert_churns(&case(1));
    assert_churns(&Case {
        slots_per_ring: Some(8),
        ..case(20)
    });
}

#[test]
fn the_turn_passes_round_more_connections_than_are_active() {
    for addresses in [AddressMode::Destinations, AddressMode::Sources] {
        assert_churns(&Case {
            active_connections: 3,
            group_connections: 4,
            addresses,
            ..case(10)
        });
    }
}

#[test]
fn a_message_may_come_in_pieces() {
    assert_churns(&Case {
        message_bytes: 1_000_000,
        ..case(2)
    });
}

#[test]
fn counters_tell_the_warm_up_from_the_measured_span() {
    let (target, _) = counting_server();
    let Some(mut load) = ramped(&case(4), target) else {
        return;
    };
    let measured = measure(&mut load, 4).unwrap();
    let (before, after) = (measured.counters_before, measured.counters);
    // A connect, a receive and a close at least, of each connection, and then of each cycle.
    assert!(before.completions.unwrap() >= 3 * measured.warmup_echoes);
    let measuring = after.completions.unwrap() - before.completions.unwrap();
    assert!(measuring >= 2 * measured.echoes, "{measuring}");
    assert!(after.enters > before.enters && before.enters > Some(0));
}

fn refusal(connections: u32, target: SocketAddr) -> Option<String> {
    let mut load = ramped(&case(connections), target)?;
    let error = measure(&mut load, connections).expect_err("the server is no echo server");
    Some(error.to_string())
}

#[test]
fn a_server_that_closes_at_once_is_named() {
    let target = server(|connection, stream| {
        if connection < 30 {
            echo(stream);
        }
    });
    let Some(error) = refusal(3, target) else {
        return;
    };
    assert!(error.contains("while an echo was awaited"), "{error}");
}

#[test]
fn a_corrupted_byte_is_seen() {
    let target = server(|connection, mut stream: TcpStream| {
        let mut message = [0; 64];
        if stream.read_exact(&mut message).is_err() {
            return;
        }
        message[8] ^= u8::from(connection == 30);
        let _ = stream.write_all(&message);
        echo(stream);
    });
    let Some(error) = refusal(3, target) else {
        return;
    };
    assert!(error.contains("byte 8: the echo differs"), "{error}");
}

#[test]
fn more_than_was_sent_is_seen() {
    let target = server(|_, mut stream: TcpStream| {
        let mut message = [0; 65];
        if stream.read_exact(&mut message[..64]).is_ok() {
            let _ = stream.write_all(&message);
        }
        echo(stream);
    });
    let Some(error) = refusal(1, target) else {
        return;
    };
    assert!(error.contains("more came back than was sent"), "{error}");
}

#[test]
fn a_server_that_has_stopped_listening_is_named() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let target = listener.local_addr().unwrap();
    let accepting = std::thread::spawn(move || {
        let accept = |_| listener.accept().unwrap().0;
        (0..3).map(accept).collect::<Vec<_>>()
    });
    let Some(mut load) = ramped(&case(3), target) else {
        return;
    };
    let _held = accepting.join().unwrap();
    let error = measure(&mut load, 3).expect_err("nobody listens");
    assert!(error.to_string().contains("ECONNREFUSED"), "{error}");
}

#[test]
fn counting_echoes_is_for_connections_that_stay() {
    let (target, _) = counting_server();
    let Some(mut load) = ramped(&case(1), target) else {
        return;
    };
    let error = load.echo(1).unwrap_err().to_string();
    assert!(error.contains("use the mode closed"), "{error}");
}

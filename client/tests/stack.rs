//! Both ends in one thread.

mod support;

use fourtuple_client::{Growth, Load};
use fourtuple_spec::{AddressMode, Case, ClientKind, Engine};
use std::net::{SocketAddr, TcpListener, TcpStream};
use support::{measure, ramped};

fn case(connections: u32) -> Case {
    Case {
        engine: Some(Engine::Stack),
        client: ClientKind::Spin,
        ..support::case(connections)
    }
}

/// Where the kernel picks the port.
fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn assert_echoes(case: &Case) {
    let mut load = ramped(case, anywhere()).expect("no io_uring is needed");
    let measured = measure(&mut load, case.connections).unwrap();
    let binned: u64 = measured.echoes_per_100_ms.iter().sum();
    assert!(binned > 0 && binned <= measured.echoes, "{case:?}");
    assert_eq!(measured.counters, measured.counters_before);
    load.drain().unwrap();
}

#[test]
fn every_shape_of_load_is_verified() {
    for (connections, message_bytes, depth) in [
        (1, 1, 1),
        (1, 64, 1),
        (100, 64, 1),
        (3, 64, 16),
        (2, 5000, 64),
        // More than a socket takes at once.
        (2, 3_000_000, 1),
        (1, 100_000, 100),
    ] {
        assert_echoes(&Case {
            message_bytes,
            depth,
            ..case(connections)
        });
    }
}

#[test]
fn connections_are_spread_over_addresses() {
    for addresses in [AddressMode::Destinations, AddressMode::Sources] {
        assert_echoes(&Case {
            group_connections: 4,
            addresses,
            ..case(11)
        });
    }
}

#[test]
fn exactly_so_many_echoes_are_made_again_and_again() {
    let mut load = ramped(&case(20), anywhere()).unwrap();
    for count in [1, 5, 501, 0, 20] {
        load.echo(count).unwrap();
    }
    let round = load.round(7).unwrap();
    assert_eq!((round.echoes, round.active_connections), (20, 1));
    measure(&mut load, 20).unwrap();
}

#[test]
fn the_ramp_ends_when_it_is_enough() {
    let mut load = Load::prepare(&case(50), anywhere()).unwrap();
    let enough = |held| match held < 5 {
        true => Growth::GoOn,
        false => Growth::Enough,
    };
    let ramp = load.ramp(&mut { enough }).unwrap();
    assert_eq!(ramp.connections_held, 5);
    measure(&mut load, 5).unwrap();
    let mut none = Load::prepare(&case(1), anywhere()).unwrap();
    let error = none.measure(&mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("no connection is open"), "{error}");
}

#[test]
fn a_stranger_is_not_taken_for_the_other_end() {
    let vacant = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = vacant.local_addr().unwrap();
    drop(vacant);
    let Ok(mut load) = Load::prepare(&case(3), target) else {
        eprintln!("skipped: somebody else has taken the port meanwhile");
        return;
    };
    let strangers: Vec<TcpStream> = (0..2)
        .map(|_| TcpStream::connect(target).unwrap())
        .collect();
    load.ramp(&mut |_| Growth::GoOn).unwrap();
    measure(&mut load, 3).unwrap();
    // Hung up on.
    for mut stranger in strangers {
        assert_eq!(std::io::Read::read(&mut stranger, &mut [0]).unwrap_or(0), 0);
    }
}

#[test]
fn too_few_descriptors_are_named() {
    // Twice as many are more than any limit allows.
    let case = Case {
        connections: u32::MAX,
        ..case(1)
    };
    let error = Load::prepare(&case, anywhere()).err();
    let error = error.expect("8 billion descriptors");
    assert_eq!(error.limiter.as_deref(), Some("RLIMIT_NOFILE"));
    assert!(error.to_string().contains("ulimit -n"), "{error}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = taken.local_addr().unwrap();
    let error = Load::prepare(&case(1), target).err();
    let error = error.expect("the port is taken").to_string();
    assert!(
        error.contains("cannot listen") && error.contains("EADDRINUSE"),
        "{error}"
    );
}

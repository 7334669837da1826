//! What tests of the load generator share: cases that are quickly over, and a server with a habit.

// Not every test file uses all of it.
#![allow(dead_code)]

use fourtuple_client::{Growth, Load, LoadError};
use fourtuple_spec::message::Measured;
use fourtuple_spec::plan::{CaseDefaults, CaseRequest};
use fourtuple_spec::{Case, Engine, NetworkChoice};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// A case on the host's network, over in a fraction of a second.
pub fn case(connections: u32) -> Case {
    let bare = CaseRequest::new(Engine::Epoll, connections)
        .resolve(&CaseDefaults::new(vec![0], vec![1]))
        .expect("every default is sound");
    Case {
        group_connections: 10_000,
        connect_window: 16,
        settle_ms: 0,
        warmup_ms: 20,
        measure_ms: 100,
        network: NetworkChoice::Host,
        ..bare
    }
}

/// A load that has opened its connections; `None`, with the reason printed, where io_uring is not to be had.
pub fn ramped(case: &Case, target: SocketAddr) -> Option<Load> {
    let mut load = match Load::prepare(case, target) {
        Err(error) if error.limiter.as_deref() == Some("io_uring") => {
            eprintln!("skipped: {error}");
            return None;
        }
        load => load.unwrap(),
    };
    let ramp = load.ramp(&mut |_| Growth::GoOn).unwrap();
    assert_eq!(ramp.connections_held, case.connections);
    Some(load)
}

/// Measures, and sees to it that the warm-up ends once, with every connection proved live.
pub fn measure(load: &mut Load, connections: u32) -> Result<Measured, LoadError> {
    let mut proved = Vec::new();
    let measured = load.measure(&mut |warm| proved.push(warm.connections_proved))?;
    assert_eq!(proved, [connections]);
    assert_eq!(measured.connections_proved, connections);
    assert!(measured.echoes > 0 && measured.warmup_echoes >= u64::from(connections));
    let histogram = measured.latency_ns.p50.zip(measured.latency_ns.max);
    assert!(histogram.is_some_and(|(p50, max)| 0 < p50 && p50 <= max));
    Ok(measured)
}

/// A server with a thread a connection, which is given the connection's number. Lives as long as the process.
pub fn server(serve: impl Fn(u32, TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (connection, stream) in (0..).zip(listener.incoming()) {
            let serve = serve.clone();
            thread::spawn(move || serve(connection, stream.unwrap()));
        }
    });
    address
}

/// Echoes until the client is gone. Says how many bytes it was.
pub fn echo(mut stream: TcpStream) -> usize {
    stream.set_nodelay(true).unwrap();
    let (mut buffer, mut total) = (vec![0; 64 * 1024], 0);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        total += count;
        if stream.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    total
}

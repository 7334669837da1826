//! Bursts, as a server sees them that answers only when it likes.

mod support;

use fourtuple_spec::Case;
use fourtuple_spec::message::Measured;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use support::{measure, ramped};

const PAUSE: Duration = Duration::from_millis(5);
/// Long enough for a client that sends too early to be found out. One that does not passes however long it is.
const LURK: Duration = Duration::from_millis(3);

fn case(connections: u32, active_connections: u32, depth: u32) -> Case {
    Case {
        active_connections,
        depth,
        burst_pause_us: Some(PAUSE.as_micros() as u32),
        // So that connections are accepted in the order of their indexes.
        connect_window: 1,
        ..support::case(connections)
    }
}

/// Answers the messages of a burst when all of them have come, the last connection's later than the others'.
/// Says how many bursts it has answered, or what the client did that is no burst.
fn burst_server(case: &Case) -> (SocketAddr, JoinHandle<Result<u64, String>>) {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, active) = (case.connections, case.active_connections as usize);
    let bytes = (case.depth * case.message_bytes) as usize;
    let serving = thread::spawn(move || {
        let accept = |_| listener.accept().unwrap().0;
        let mut streams: Vec<TcpStream> = (0..connections).map(accept).collect();
        let (mut bursts, mut answered) = (0, None);
        loop {
            for slice in (0..streams.len()).step_by(active) {
                let slice = slice..(slice + active).min(streams.len());
                if !answer_burst(&mut streams[slice], bytes, &mut answered)? {
                    return Ok(bursts);
                }
                bursts += 1;
            }
        }
    });
    (address, serving)
}

/// Answers one burst; false if the client is gone.
fn answer_burst(
    streams: &mut [TcpStream],
    bytes: usize,
    answered: &mut Option<Instant>,
) -> Result<bool, String> {
    let mut messages = vec![vec![0; bytes]; streams.len()];
    for (stream, message) in streams.iter_mut().zip(&mut messages) {
        if stream.read_exact(message).is_err() {
            return Ok(false);
        }
        let rested = answered.take().map_or(PAUSE, |at| at.elapsed());
        if rested < PAUSE {
            return Err(format!("the client rested for {rested:?} only"));
        }
    }
    let last = streams.len() - 1;
    for (stream, message) in streams.iter_mut().zip(&messages).take(last) {
        let _ = stream.write_all(message);
    }
    thread::sleep(LURK);
    if streams.iter().any(has_data) {
        return Err("the next burst began before this one was answered".to_owned());
    }
    *answered = Some(Instant::now());
    let _ = streams[last].write_all(&messages[last]);
    Ok(true)
}

fn has_data(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    // The end of the client, which resets its connections, is no data.
    let has_data = stream.peek(&mut [0]).is_ok_and(|count| count > 0);
    stream.set_nonblocking(false).unwrap();
    has_data
}

fn assert_bursts(case: &Case) -> Option<Measured> {
    let (target, serving) = burst_server(case);
    let mut load = ramped(case, target)?;
    let measured = measure(&mut load, case.connections);
    if measured.is_ok() {
        load.drain().unwrap();
    } else {
        drop(load);
    }
    let bursts = serving.join().unwrap().expect("bursts");
    let measured = measured.unwrap();
    let messages = bursts * u64::from(case.active_connections * case.depth);
    assert!(measured.warmup_echoes + measured.echoes <= messages);
    Some(measured)
}

#[test]
fn all_messages_of_a_burst_are_answered_before_the_next_one_begins() {
    for depth in [1, 7] {
        for connections in [1, 5] {
            let Some(measured) = assert_bursts(&case(connections, connections, depth)) else {
                return;
            };
            // Every rest within the span is watched.
            assert!(measured.watched_ns > PAUSE.as_nanos() as u64);
            assert!(measured.watched_ns <= measured.elapsed_ns);
        }
    }
}

#[test]
fn a_burst_is_one_slice_of_turns() {
    for depth in [1, 3] {
        assert_bursts(&Case {
            slots_per_ring: Some(4),
            ..case(9, 3, depth)
        });
    }
}

#[test]
fn many_begin_at_once() {
    // More than are begun between two looks at what has come.
    assert_bursts(&case(150, 150, 1));
}

#[test]
fn a_burst_may_follow_without_a_pause() {
    let target = support::server(|_, stream| {
        support::echo(stream);
    });
    let case = Case {
        burst_pause_us: Some(0),
        ..case(4, 4, 2)
    };
    let Some(mut load) = ramped(&case, target) else {
        return;
    };
    measure(&mut load, 4).unwrap();
    // What is counted is no burst.
    load.round(2).unwrap();
    measure(&mut load, 4).unwrap();
    load.drain().unwrap();
}

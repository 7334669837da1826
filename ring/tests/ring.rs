//! A ring against real sockets: what the types promise, the kernel does.

use fourtuple_ring::{
    ConnectStep, Errno, Event, Feature, Readiness, Received, Ring, RingSet, Sent, Setup,
    SetupError, Shot, Slot,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A ring, or `None` with the reason printed where io_uring is not to be had.
fn build(setup: Setup) -> Option<Ring> {
    match setup.build() {
        Ok(ring) => Some(ring),
        Err(error @ (SetupError::Disabled(_) | SetupError::Filtered | SetupError::Missing)) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn next(ring: &mut Ring) -> Event {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(event) = ring.pop() {
            return event;
        }
        assert!(Instant::now() < deadline, "no event came");
        ring.enter(1, Some(Duration::from_millis(200))).unwrap();
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn accept(ring: &mut Ring) -> Slot {
    match next(ring) {
        Event::Accepted {
            result: Ok(slot), ..
        } => slot,
        other => panic!("{other:?}"),
    }
}

/// A ring with one accepted connection and its peer.
fn connected(setup: Setup) -> Option<(Ring, Slot, TcpStream)> {
    let mut ring = build(setup)?;
    let (listener, address) = listener();
    ring.accept_once(listener.as_fd()).unwrap();
    let peer = TcpStream::connect(address).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let slot = accept(&mut ring);
    Some((ring, slot, peer))
}

#[test]
fn a_lease_comes_back_only_when_its_send_has_ended() {
    let Some((mut ring, slot, mut peer)) = connected(Setup::new(4).buffers(4, 64)) else {
        return;
    };
    ring.receive(slot).unwrap();
    peer.write_all(b"hello").unwrap();
    let Event::Received {
        result: Ok(Received::Data(lease)),
        ..
    } = next(&mut ring)
    else {
        panic!()
    };
    assert_eq!(ring.bytes(&lease), b"hello");
    assert_eq!(ring.buffers_free(), (3, 4));
    ring.send_lease(slot, lease).unwrap();
    assert_eq!(
        ring.buffers_free(),
        (3, 4),
        "the kernel still reads from it"
    );
    let Event::Sent {
        memory: Sent::Lease(lease),
        result,
        ..
    } = next(&mut ring)
    else {
        panic!()
    };
    assert_eq!((result, lease.bytes()), (Ok(5), 5));
    ring.recycle(lease);
    assert_eq!(ring.buffers_free(), (4, 4));
    let mut echo = [0; 5];
    peer.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"hello");
}

#[test]
fn an_empty_buffer_ring_ends_a_multishot_receive() {
    let Some((mut ring, slot, mut peer)) = connected(Setup::new(4).buffers(2, 8)) else {
        return;
    };
    ring.receive(slot).unwrap();
    peer.write_all(&[7; 64]).unwrap();
    let mut leases = Vec::new();
    loop {
        match next(&mut ring) {
            Event::Received {
                result: Ok(Received::Data(lease)),
                shot,
                ..
            } => {
                leases.push(lease);
                if shot == Shot::Ended {
                    ring.receive(slot).unwrap();
                }
            }
            Event::Received {
                result: Err(Errno::NOBUFS),
                shot,
                ..
            } => {
                assert_eq!(shot, Shot::Ended);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(leases.len(), 2);
    assert!(ring.counters().no_buffers >= 1);
    leases.into_iter().for_each(|lease| ring.recycle(lease));
    ring.receive(slot).unwrap();
    let Event::Received {
        result: Ok(Received::Data(lease)),
        ..
    } = next(&mut ring)
    else {
        panic!()
    };
    assert_eq!(lease.bytes(), 8);
    ring.recycle(lease);
}

#[test]
fn a_full_table_refuses_and_a_closed_slot_is_used_again_under_a_new_generation() {
    let Some(mut ring) = build(Setup::new(1)) else {
        return;
    };
    let (listener, address) = listener();
    ring.accept_once(listener.as_fd()).unwrap();
    let _first_peer = TcpStream::connect(address).unwrap();
    let first = accept(&mut ring);
    ring.accept_once(listener.as_fd()).unwrap();
    let _second_peer = TcpStream::connect(address).unwrap();
    match next(&mut ring) {
        Event::Accepted {
            result: Err(Errno::NFILE),
            ..
        } => {}
        other => panic!("{other:?}"),
    }
    ring.close(first).unwrap();
    assert_eq!(
        next(&mut ring),
        Event::Closed {
            slot: first,
            result: Ok(())
        }
    );
    ring.accept_once(listener.as_fd()).unwrap();
    let _third_peer = TcpStream::connect(address).unwrap();
    let second = accept(&mut ring);
    assert_eq!(second.index(), first.index());
    assert_ne!(second.generation(), first.generation());
}

#[test]
fn the_end_of_the_peer_ends_the_receive() {
    let Some((mut ring, slot, peer)) = connected(Setup::new(4).buffers(4, 64)) else {
        return;
    };
    ring.receive(slot).unwrap();
    drop(peer);
    match next(&mut ring) {
        Event::Received {
            result: Ok(Received::End),
            shot: Shot::Ended,
            ..
        } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(ring.outstanding(), 0);
}

#[test]
fn a_cancelled_receive_ends_and_leaves_the_connection() {
    let Some((mut ring, slot, mut peer)) = connected(Setup::new(4).buffers(4, 64)) else {
        return;
    };
    ring.receive(slot).unwrap();
    ring.enter(0, None).unwrap();
    ring.cancel_receive(slot).unwrap();
    match next(&mut ring) {
        Event::Received {
            result: Err(Errno::CANCELED),
            shot: Shot::Ended,
            ..
        } => {}
        other => panic!("{other:?}"),
    }
    ring.send_owned(slot, b"still here".to_vec()).unwrap();
    let Event::Sent {
        memory: Sent::Owned(bytes),
        result,
        ..
    } = next(&mut ring)
    else {
        panic!()
    };
    assert_eq!(
        (bytes.as_slice(), result),
        (b"still here".as_slice(), Ok(10))
    );
    let mut got = [0; 10];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"still here");
}

fn connect_and_send(setup: Setup) {
    let pattern: Arc<[u8]> = (0..=255u8).collect();
    let Some(mut ring) = build(setup.pattern(pattern)) else {
        return;
    };
    let (listener, address) = listener();
    let source = Some("127.0.0.9".parse().unwrap());
    let slot = ring.connect(3, source, address).unwrap();
    assert_eq!(
        next(&mut ring),
        Event::Connected {
            slot,
            result: Ok(())
        }
    );
    let (mut accepted, from) = listener.accept().unwrap();
    assert_eq!(Some(from.ip()), source);
    ring.send_pattern(slot, 10..20).unwrap();
    ring.enter(0, None).unwrap();
    let mut got = [0; 10];
    accepted.set_read_timeout(Some(PATIENCE)).unwrap();
    accepted.read_exact(&mut got).unwrap();
    assert_eq!(got.to_vec(), (10..20).collect::<Vec<u8>>());
    assert!(ring.send_pattern(slot, 250..257).is_err());
}

#[test]
fn a_connection_is_opened_through_the_ring() {
    connect_and_send(Setup::new(8));
}

#[test]
fn a_connection_is_opened_where_the_ring_makes_no_sockets() {
    connect_and_send(Setup::new(8).without(Feature::RingSockets));
}

#[test]
fn a_chain_that_breaks_answers_once_and_names_the_step() {
    for setup in [Setup::new(8), Setup::new(8).without(Feature::RingSockets)] {
        let Some(mut ring) = build(setup) else { return };
        let (_listener, address) = listener();
        // An address of documentation is none of this machine's.
        let slot = ring
            .connect(0, Some("192.0.2.1".parse().unwrap()), address)
            .unwrap();
        match next(&mut ring) {
            Event::Connected {
                slot: failed,
                result: Err(failure),
            } => {
                assert_eq!((failed, failure.step), (slot, ConnectStep::Bind));
                assert_eq!(failure.errno, Errno::ADDRNOTAVAIL);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(ring.outstanding(), 0);
    }
}

#[test]
fn every_feature_can_be_done_without() {
    for feature in Feature::ALL {
        let setup = Setup::new(4).buffers(4, 64).without(feature);
        let Some((mut ring, slot, mut peer)) = connected(setup) else {
            return;
        };
        let grant = ring
            .grants()
            .iter()
            .find(|grant| grant.feature == feature)
            .unwrap();
        assert_eq!(grant.refused.as_deref(), Some("left out on request"));
        ring.receive(slot).unwrap();
        peer.write_all(b"x").unwrap();
        let Event::Received {
            result: Ok(Received::Data(lease)),
            shot,
            ..
        } = next(&mut ring)
        else {
            panic!("without {}", feature.name())
        };
        if feature == Feature::ReceiveMultishot {
            assert_eq!(shot, Shot::Ended);
        }
        ring.recycle(lease);
    }
}

#[test]
fn a_reset_closes_at_once_even_behind_an_armed_receive() {
    let Some((mut ring, slot, mut peer)) = connected(Setup::new(4).buffers(4, 64)) else {
        return;
    };
    ring.receive(slot).unwrap();
    ring.enter(0, None).unwrap();
    ring.cancel_receive(slot).unwrap();
    ring.reset(slot).unwrap();
    let mut has_closed = false;
    while !has_closed || ring.outstanding() > 0 {
        has_closed |= matches!(next(&mut ring), Event::Closed { result: Ok(()), .. });
    }
    let error = peer.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_dropped_ring_ends_what_it_has_in_flight() {
    let Some((mut ring, slot, mut peer)) = connected(Setup::new(4).buffers(4, 64)) else {
        return;
    };
    ring.receive(slot).unwrap();
    // Far more than the peer's buffers take: the send is in flight when the ring goes.
    ring.send_owned(slot, vec![1; 32 << 20]).unwrap();
    ring.enter(0, None).unwrap();
    assert_eq!(ring.outstanding(), 2);
    drop(ring);
    let mut rest = Vec::new();
    match peer.read_to_end(&mut rest) {
        Ok(_) => assert!(rest.len() < 32 << 20, "the send was cut short"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    assert!(rest.iter().all(|&byte| byte == 1));
}

#[test]
fn several_rings_wake_one_waiter() {
    let mut set = RingSet::default();
    let mut peers = Vec::new();
    for _ in 0..3 {
        let Some((mut ring, slot, peer)) = connected(Setup::new(2).buffers(2, 64)) else {
            return;
        };
        ring.receive(slot).unwrap();
        set.push(ring).unwrap();
        peers.push(peer);
    }
    // Long runs on one ring let the others cool down; each is heard all the same.
    let turns = [(2, 1), (0, 200), (1, 1), (2, 1), (1, 200), (0, 1), (2, 1)];
    let turns = turns.iter().flat_map(|&(from, count)| vec![from; count]);
    for from in turns {
        // The waiter sleeps first, or finds it done: either way the wait ends long before its time.
        let mut peer = peers[from].try_clone().unwrap();
        let writer = std::thread::spawn(move || peer.write_all(b"wake").unwrap());
        let began = Instant::now();
        let lease = loop {
            set.wait(Some(PATIENCE)).unwrap();
            assert!(began.elapsed() < PATIENCE, "ring {from} was not heard");
            match set.ring(from).pop() {
                Some(Event::Received {
                    result: Ok(Received::Data(lease)),
                    ..
                }) => break lease,
                None => continue,
                other => panic!("{other:?}"),
            }
        };
        set.ring(from).recycle(lease);
        writer.join().unwrap();
    }
}

#[test]
fn a_table_beyond_the_limit_is_refused_with_the_limit() {
    match Setup::new(u32::MAX).build() {
        Err(SetupError::Table { limit, .. }) => assert!(limit <= 1 << 20),
        other => panic!("{:?}", other.map(|_| ())),
    }
}

/// Awaits a poll's answer.
fn ready(ring: &mut Ring, slot: Slot) -> (Result<Readiness, Errno>, Shot) {
    match next(ring) {
        Event::Ready {
            slot: of,
            result,
            shot,
        } if of == slot => (result, shot),
        other => panic!("{other:?}"),
    }
}

/// What there is to receive now: how many bytes, and whether there was more.
fn receive_ready(ring: &mut Ring, slot: Slot) -> Result<(usize, bool), Errno> {
    ring.receive_ready(slot).unwrap();
    match next(ring) {
        Event::Received { result, shot, .. } => {
            assert_eq!(shot, Shot::Ended);
            match result? {
                Received::End => Ok((0, false)),
                Received::Data(lease) => {
                    let got = (lease.bytes(), lease.has_more());
                    ring.recycle(lease);
                    Ok(got)
                }
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_multishot_poll_tells_what_comes_and_a_lease_whether_more_is_there() {
    let Some((mut ring, slot, mut peer)) = connected(Setup::new(4).buffers(4, 64)) else {
        return;
    };
    ring.poll_multishot(slot).unwrap();
    for _ in 0..2 {
        peer.write_all(&[7; 100]).unwrap();
        assert_eq!(ready(&mut ring, slot), (Ok(Readiness::Data), Shot::Armed));
        assert_eq!(receive_ready(&mut ring, slot), Ok((64, true)));
        assert_eq!(receive_ready(&mut ring, slot), Ok((36, false)));
        assert_eq!(receive_ready(&mut ring, slot), Err(Errno::AGAIN));
    }
    assert_eq!(ring.buffers_free(), (4, 4));
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(ready(&mut ring, slot), (Ok(Readiness::HungUp), Shot::Armed));
    assert_eq!(receive_ready(&mut ring, slot), Ok((0, false)));
    ring.cancel_poll(slot).unwrap();
    let cancelled = (Err(Errno::CANCELED), Shot::Ended);
    assert_eq!(ready(&mut ring, slot), cancelled);
}

#[test]
fn a_lease_tells_of_an_end_behind_it() {
    let Some((mut ring, slot, mut peer)) = connected(Setup::new(4).buffers(4, 64)) else {
        return;
    };
    peer.write_all(b"last").unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    // The end may come a moment after the data.
    loop {
        ring.poll_once(slot).unwrap();
        let (result, shot) = ready(&mut ring, slot);
        assert!(result.is_ok() && shot == Shot::Ended);
        if result == Ok(Readiness::HungUp) {
            break;
        }
    }
    assert_eq!(receive_ready(&mut ring, slot), Ok((4, true)));
    assert_eq!(receive_ready(&mut ring, slot), Ok((0, false)));
}

#[test]
fn a_single_poll_finds_what_is_there_already() {
    let Some((mut ring, slot, mut peer)) = connected(Setup::new(4).buffers(4, 64)) else {
        return;
    };
    peer.write_all(&[7; 100]).unwrap();
    for (bytes, more) in [(64, true), (36, false)] {
        ring.poll_once(slot).unwrap();
        assert_eq!(ready(&mut ring, slot), (Ok(Readiness::Data), Shot::Ended));
        assert_eq!(receive_ready(&mut ring, slot), Ok((bytes, more)));
    }
    assert_eq!(ring.outstanding(), 0);
}

#[test]
fn time_that_was_asked_for_passes() {
    let Some(mut ring) = build(Setup::new(1)) else {
        return;
    };
    let began = Instant::now();
    ring.elapse(Duration::from_millis(20), 5).unwrap();
    assert_eq!(next(&mut ring), Event::Elapsed { key: 5 });
    assert!(began.elapsed() >= Duration::from_millis(20));
    assert_eq!(ring.outstanding(), 0);
}

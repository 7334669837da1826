//! Leases against real sockets: whichever way a ring receives and sends, the kernel does what the types promise.

use fourtuple_ring::{
    Errno, Event, Feature, Received, Ring, RingError, Sent, Setup, SetupError, Shot, Slot,
};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A ring with connections and their peers, or `None` with the reason printed where it is not to be had.
fn connected(setup: Setup, count: usize) -> Option<(Ring, Vec<(Slot, TcpStream)>)> {
    let mut ring = match setup.build() {
        Ok(ring) => ring,
        Err(
            error @ (SetupError::Disabled(_)
            | SetupError::Filtered
            | SetupError::Missing
            | SetupError::Buffers(RingError::Locked { .. })),
        ) => {
            eprintln!("skipped: {error}");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut ends = Vec::new();
    for _ in 0..count {
        ring.accept_once(listener.as_fd()).unwrap();
        let peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let Event::Accepted {
            result: Ok(slot), ..
        } = next(&mut ring)
        else {
            panic!()
        };
        ends.push((slot, peer));
    }
    Some((ring, ends))
}

/// Whether the ring has what the test is about; an older kernel has not.
fn has(ring: &Ring, feature: Feature) -> bool {
    let grants = ring.grants();
    let grant = grants.iter().find(|grant| grant.feature == feature);
    let refused = &grant.expect("it was asked for").refused;
    if let Some(reason) = refused {
        eprintln!("skipped: {}: {reason}", feature.name());
    }
    refused.is_none()
}

fn pop(ring: &mut Ring) -> Option<Event> {
    if let Some(event) = ring.pop() {
        return Some(event);
    }
    ring.enter(1, Some(Duration::from_millis(200))).unwrap();
    ring.pop()
}

fn next(ring: &mut Ring) -> Event {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(event) = pop(ring) {
            return event;
        }
        assert!(Instant::now() < deadline, "no event came");
    }
}

/// Lets the kernel work until `holds` of the ring.
fn until(ring: &mut Ring, holds: impl Fn(&Ring) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(ring) {
        assert!(Instant::now() < deadline, "it does not come about");
        assert_eq!(pop(ring), None);
    }
}

fn received(ring: &mut Ring) -> (Slot, fourtuple_ring::Lease, Shot) {
    match next(ring) {
        Event::Received {
            slot,
            result: Ok(Received::Data(lease)),
            shot,
        } => (slot, lease, shot),
        other => panic!("{other:?}"),
    }
}

fn bytes(ring: &Ring, lease: &fourtuple_ring::Lease) -> Vec<u8> {
    let mut bytes = Vec::new();
    ring.append(lease, 0, &mut bytes);
    assert_eq!(bytes.len(), lease.bytes());
    bytes
}

/// Bytes of which a wrong order or a gap shows.
fn stream(count: usize) -> Vec<u8> {
    (0..count as u32).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn receives_take_pieces_of_one_buffer_which_comes_back_with_the_last() {
    let Some((mut ring, mut ends)) = connected(Setup::new(4).incremental_buffers(2, 64), 2) else {
        return;
    };
    if !has(&ring, Feature::BuffersIncremental) {
        return;
    }
    let mut leases = Vec::new();
    for (number, byte) in [(0, b'a'), (1, b'b'), (0, b'c')] {
        let (slot, peer) = &mut ends[number];
        ring.receive(*slot).unwrap();
        peer.write_all(&[byte; 20]).unwrap();
        let (_, lease, shot) = received(&mut ring);
        assert_eq!(bytes(&ring, &lease), vec![byte; 20]);
        assert_eq!(ring.buffers_free(), (2, 2), "it goes on with the first");
        leases.push(lease);
        if shot == Shot::Armed {
            ring.cancel_receive(*slot).unwrap();
            assert!(matches!(
                next(&mut ring),
                Event::Received {
                    result: Err(Errno::CANCELED),
                    ..
                }
            ));
        }
    }
    // 4 bytes are left in the first buffer: this takes them, and goes on in the second.
    let (slot, peer) = &mut ends[0];
    ring.receive(*slot).unwrap();
    peer.write_all(b"0123456789").unwrap();
    let mut got = Vec::new();
    while got.len() < 10 {
        let (_, lease, _) = received(&mut ring);
        got.extend(bytes(&ring, &lease));
        leases.push(lease);
    }
    assert_eq!(got, b"0123456789");
    assert_eq!(ring.buffers_free(), (1, 2));
    let last = leases.pop().unwrap();
    while leases.len() > 1 {
        ring.recycle(leases.pop().unwrap());
        assert_eq!(ring.buffers_free(), (1, 2), "a piece is still out");
    }
    ring.recycle(leases.pop().unwrap());
    assert_eq!(ring.buffers_free(), (2, 2));
    ring.recycle(last);
    assert_eq!(ring.buffers_free(), (2, 2), "the kernel goes on with it");
}

#[test]
fn a_piece_comes_back_from_its_send_as_it_was() {
    let Some((mut ring, mut ends)) = connected(Setup::new(4).incremental_buffers(2, 4096), 1)
    else {
        return;
    };
    let (slot, peer) = &mut ends[0];
    ring.receive(*slot).unwrap();
    for round in 1..=200u8 {
        let message = vec![round; 100 + usize::from(round)];
        peer.write_all(&message).unwrap();
        let mut echoed = 0;
        while echoed < message.len() {
            match next(&mut ring) {
                Event::Received {
                    result: Ok(Received::Data(lease)),
                    shot,
                    ..
                } => {
                    assert!(bytes(&ring, &lease).iter().all(|&byte| byte == round));
                    ring.send_lease(*slot, lease).unwrap();
                    if shot == Shot::Ended {
                        ring.receive(*slot).unwrap();
                    }
                }
                Event::Sent {
                    memory: Sent::Lease(lease),
                    result,
                    ..
                } => {
                    assert_eq!(result, Ok(lease.bytes()));
                    assert!(bytes(&ring, &lease).iter().all(|&byte| byte == round));
                    echoed += lease.bytes();
                    ring.recycle(lease);
                }
                other => panic!("{other:?}"),
            }
        }
        let mut echo = vec![0; message.len()];
        peer.read_exact(&mut echo).unwrap();
        assert_eq!(echo, message);
    }
}

/// Receives a stream of which one buffer holds a fraction, and echoes it lease by lease.
fn echo_stream(ring: &mut Ring, slot: Slot, peer: &mut TcpStream, stream: &[u8]) -> usize {
    let mut largest = 0;
    let mut sender = peer.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || sender.write_all(stream).unwrap());
        let echo = scope.spawn(move || {
            let mut echo = vec![0; stream.len()];
            peer.read_exact(&mut echo).unwrap();
            echo
        });
        ring.receive(slot).unwrap();
        let (mut waiting, mut is_sending) = (std::collections::VecDeque::new(), false);
        let (mut sent_bytes, mut is_armed) = (0, true);
        let deadline = Instant::now() + PATIENCE;
        while sent_bytes < stream.len() {
            assert!(Instant::now() < deadline, "it does not end");
            // What comes back without an event may be what is waited for.
            match pop(ring) {
                None => {}
                Some(Event::Received { result, shot, .. }) => {
                    match result {
                        Ok(Received::Data(lease)) => waiting.push_back(lease),
                        Err(Errno::NOBUFS) => {}
                        other => panic!("{other:?}"),
                    }
                    is_armed = shot == Shot::Armed;
                }
                Some(Event::Sent { memory, result, .. }) => {
                    is_sending = false;
                    sent_bytes += result.unwrap();
                    match memory {
                        Sent::Lease(lease) => ring.recycle(lease),
                        Sent::Lent => {}
                        other => panic!("{other:?}"),
                    }
                }
                other => panic!("{other:?}"),
            }
            if !is_armed && ring.buffers_free().0 > 0 {
                ring.receive(slot).unwrap();
                is_armed = true;
            }
            if !is_sending && let Some(lease) = waiting.pop_front() {
                largest = largest.max(lease.bytes());
                ring.send_lease(slot, lease).unwrap();
                is_sending = true;
            }
        }
        assert!(echo.join().unwrap() == stream);
    });
    largest
}

#[test]
fn a_bundle_is_received_and_sent_in_order() {
    let Some((mut ring, mut ends)) = connected(Setup::new(4).bundled_buffers(64, 100), 1) else {
        return;
    };
    if !has(&ring, Feature::ReceiveBundle) {
        return;
    }
    let (slot, peer) = &mut ends[0];
    let stream = stream(250_000);
    let largest = echo_stream(&mut ring, *slot, peer, &stream);
    assert!(largest > 100, "no lease had two buffers");
    ring.cancel_receive(*slot).unwrap();
    while ring.outstanding() > 0 {
        if let Some(Event::Received {
            result: Ok(Received::Data(lease)),
            ..
        }) = pop(&mut ring)
        {
            ring.recycle(lease);
        }
    }
    assert_eq!(ring.buffers_free(), (64, 64));
}

#[test]
fn bundles_of_many_connections_do_not_mix() {
    let Some((mut ring, mut ends)) = connected(Setup::new(16).bundled_buffers(32, 64), 8) else {
        return;
    };
    for (slot, _) in &ends {
        ring.receive(*slot).unwrap();
    }
    for round in 0..50 {
        for (number, (_, peer)) in ends.iter_mut().enumerate() {
            let message = vec![number as u8; 1 + (round * 37 + number * 91) % 300];
            peer.write_all(&message).unwrap();
        }
        let wanted: usize = (0..ends.len())
            .map(|number| 1 + (round * 37 + number * 91) % 300)
            .sum();
        let mut got = 0;
        while got < wanted {
            let Event::Received { slot, result, shot } = next(&mut ring) else {
                panic!()
            };
            if let Ok(Received::Data(lease)) = result {
                let number = ends.iter().position(|(other, _)| *other == slot).unwrap();
                let bytes = bytes(&ring, &lease);
                assert!(bytes.iter().all(|&byte| usize::from(byte) == number));
                got += bytes.len();
                ring.recycle(lease);
            } else {
                assert_eq!(result, Err(Errno::NOBUFS));
            }
            if shot == Shot::Ended {
                ring.receive(slot).unwrap();
            }
        }
        assert_eq!(ring.buffers_free(), (32, 32));
    }
}

#[test]
fn a_send_without_a_copy_keeps_its_buffer_until_nobody_reads_it() {
    let setup = || Setup::new(4).zero_copy_sends();
    let setups = [
        setup().buffers(4, 4096),
        setup().incremental_buffers(4, 4096),
        setup().bundled_buffers(4, 4096),
    ];
    for setup in setups {
        let Some((mut ring, mut ends)) = connected(setup, 1) else {
            return;
        };
        if !has(&ring, Feature::SendZeroCopy) {
            return;
        }
        let (slot, peer) = &mut ends[0];
        ring.receive(*slot).unwrap();
        peer.write_all(&[9; 3000]).unwrap();
        let (_, lease, _) = received(&mut ring);
        ring.send_lease(*slot, lease).unwrap();
        match next(&mut ring) {
            Event::Sent {
                memory: Sent::Lent,
                result: Ok(3000),
                ..
            } => {}
            // RLIMIT_MEMLOCK may be 0 for an ordinary user.
            Event::Sent {
                memory: Sent::Lent,
                result: Err(Errno::NOMEM),
                ..
            } => return,
            other => panic!("{other:?}"),
        }
        let mut echo = [0; 3000];
        peer.read_exact(&mut echo).unwrap();
        assert_eq!(echo, [9; 3000]);
        // Only the receive is left: the second completion has given the lease back, without an event.
        until(&mut ring, |ring| ring.outstanding() == 1);
        assert_eq!(ring.buffers_free(), (4, 4));
    }
}

#[test]
fn sends_without_a_copy_keep_their_order() {
    let setup = || Setup::new(4).zero_copy_sends();
    for setup in [
        setup().buffers(64, 1000),
        setup().incremental_buffers(16, 8000),
        setup().bundled_buffers(64, 1000),
    ] {
        let Some((mut ring, mut ends)) = connected(setup, 1) else {
            return;
        };
        if !has(&ring, Feature::SendZeroCopy) || rustix::process::geteuid().as_raw() != 0 {
            return;
        }
        let (slot, peer) = &mut ends[0];
        echo_stream(&mut ring, *slot, peer, &stream(500_000));
    }
}

#[test]
fn a_slot_receives_into_its_own_buffer_and_not_before_the_lease_is_back() {
    for setup in [
        Setup::new(700).fixed_buffers(2048),
        Setup::new(700).fixed_buffers(2048).zero_copy_sends(),
    ] {
        let Some((mut ring, mut ends)) = connected(setup, 3) else {
            return;
        };
        for round in 0..20u8 {
            for (number, (slot, peer)) in ends.iter_mut().enumerate() {
                ring.receive(*slot).unwrap();
                assert!(ring.receive(*slot).is_err(), "one at a time");
                peer.write_all(&[round + number as u8; 500]).unwrap();
            }
            let mut sent = 0;
            while sent < 3 {
                match next(&mut ring) {
                    Event::Received {
                        slot,
                        result: Ok(Received::Data(lease)),
                        shot,
                    } => {
                        assert_eq!(shot, Shot::Ended);
                        assert!(ring.receive(slot).is_err(), "the lease is out");
                        ring.send_lease(slot, lease).unwrap();
                    }
                    Event::Sent {
                        memory: Sent::Lease(lease),
                        result: Ok(500),
                        ..
                    } => {
                        ring.recycle(lease);
                        sent += 1;
                    }
                    Event::Sent {
                        memory: Sent::Lent, ..
                    } => sent += 1,
                    other => panic!("{other:?}"),
                }
            }
            for (number, (_, peer)) in ends.iter_mut().enumerate() {
                let mut echo = [0; 500];
                peer.read_exact(&mut echo).unwrap();
                assert_eq!(echo, [round + number as u8; 500]);
            }
            until(&mut ring, |ring| ring.outstanding() == 0);
        }
    }
}

#[test]
fn the_rest_of_a_lease_is_sent() {
    for setup in [
        Setup::new(4).buffers(4, 64),
        Setup::new(4).incremental_buffers(4, 64),
        Setup::new(4).bundled_buffers(4, 8),
        Setup::new(4).fixed_buffers(64),
    ] {
        let Some((mut ring, mut ends)) = connected(setup, 1) else {
            return;
        };
        let (slot, peer) = &mut ends[0];
        peer.write_all(b"0123456789abcdef").unwrap();
        ring.receive(*slot).unwrap();
        let (_, lease, _) = received(&mut ring);
        let whole = bytes(&ring, &lease);
        ring.send_rest(*slot, lease, 3).unwrap();
        loop {
            match next(&mut ring) {
                Event::Sent { memory, result, .. } => {
                    assert_eq!(result, Ok(whole.len() - 3));
                    if let Sent::Lease(lease) = memory {
                        ring.recycle(lease);
                    }
                    break;
                }
                // Small buffers may have left the rest for another receive.
                Event::Received {
                    result: Ok(Received::Data(lease)),
                    ..
                } => ring.recycle(lease),
                other => panic!("{other:?}"),
            }
        }
        let mut rest = vec![0; whole.len() - 3];
        peer.read_exact(&mut rest).unwrap();
        assert_eq!(rest, whole[3..]);
    }
}

/// Queues a lease or a copy of it.
fn queue(ring: &mut Ring, slot: Slot, lease: fourtuple_ring::Lease, copies: bool) {
    if copies {
        let copy = bytes(ring, &lease);
        ring.recycle(lease);
        ring.queue_owned(slot, copy).unwrap();
    } else {
        ring.queue_lease(slot, lease).unwrap();
    }
}

#[test]
fn what_is_queued_is_sent_in_order_and_comes_back() {
    let setups = [
        Setup::new(4).buffers(64, 1000).bundled_sends(),
        Setup::new(4).incremental_buffers(16, 4000).bundled_sends(),
        Setup::new(4).bundled_buffers(64, 1000).bundled_sends(),
    ];
    for setup in setups {
        let Some((mut ring, mut ends)) = connected(setup, 1) else {
            return;
        };
        if !has(&ring, Feature::SendBundle) {
            return;
        }
        let (slot, peer) = (ends[0].0, &mut ends[0].1);
        let stream = stream(500_000);
        let (stream, mut sender) = (&stream, peer.try_clone().unwrap());
        let free = ring.buffers_free();
        std::thread::scope(|scope| {
            scope.spawn(move || sender.write_all(stream).unwrap());
            scope.spawn(move || {
                let mut echo = vec![0; stream.len()];
                peer.read_exact(&mut echo).unwrap();
                assert!(&echo == stream);
            });
            ring.receive(slot).unwrap();
            let (mut got, mut sent, mut is_sending) = (0, 0, false);
            while sent < stream.len() {
                match next(&mut ring) {
                    Event::Received { result, shot, .. } => {
                        if let Ok(Received::Data(lease)) = result {
                            got += lease.bytes();
                            let copies = got % 3 == 0;
                            queue(&mut ring, slot, lease, copies);
                        } else {
                            assert_eq!(result, Err(Errno::NOBUFS));
                        }
                        if shot == Shot::Ended {
                            ring.receive(slot).unwrap();
                        }
                    }
                    Event::Sent { memory, result, .. } => {
                        result.unwrap();
                        let Sent::Queued { left_bytes } = memory else {
                            panic!("{memory:?}")
                        };
                        assert_eq!(left_bytes, ring.queued_bytes(slot));
                        sent = got - left_bytes;
                        is_sending = false;
                    }
                    other => panic!("{other:?}"),
                }
                if !is_sending && ring.queued_bytes(slot) > 0 {
                    ring.send_queued(slot).unwrap();
                    is_sending = true;
                }
            }
        });
        assert_eq!(ring.queued_bytes(slot), 0);
        assert_eq!(ring.buffers_free(), free);
    }
}

#[test]
fn a_slot_whose_send_has_failed_sends_for_its_next_user() {
    let mut ring = match Setup::new(1).buffers(8, 64).bundled_sends().build() {
        Ok(ring) if has(&ring, Feature::SendBundle) => ring,
        Ok(_) => return,
        Err(error) => {
            eprintln!("skipped: {error}");
            return;
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for round in 0..5u8 {
        ring.accept_once(listener.as_fd()).unwrap();
        let mut peer = TcpStream::connect(address).unwrap();
        let Event::Accepted {
            result: Ok(slot), ..
        } = next(&mut ring)
        else {
            panic!()
        };
        // More than the sockets take: the send waits when the peer resets.
        for _ in 0..400 {
            ring.queue_owned(slot, vec![round; 64 * 1024]).unwrap();
        }
        ring.send_queued(slot).unwrap();
        let mut first = [0; 1000];
        ring.enter(0, None).unwrap();
        peer.read_exact(&mut first).unwrap();
        assert_eq!(
            first, [round; 1000],
            "of this connection, not of the one before"
        );
        rustix::net::sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
        drop(peer);
        let result = loop {
            match next(&mut ring) {
                Event::Sent { result: Ok(_), .. } => ring.send_queued(slot).unwrap(),
                Event::Sent { result, .. } => break result,
                other => panic!("{other:?}"),
            }
        };
        assert!(result.is_err());
        ring.drop_queued(slot);
        assert_eq!(ring.queued_bytes(slot), 0);
        ring.close(slot).unwrap();
        assert!(matches!(next(&mut ring), Event::Closed { .. }));
    }
}

#[test]
fn more_slots_than_groups_are_refused() {
    let setup = Setup::new(70_000).buffers(8, 64).bundled_sends();
    match setup.build() {
        Err(SetupError::Groups { slots: 70_000 }) => {}
        // Fewer descriptors than that, or no ring at all.
        Err(
            SetupError::Table { .. }
            | SetupError::Disabled(_)
            | SetupError::Filtered
            | SetupError::Missing,
        ) => {}
        other => panic!("{:?}", other.map(|_| ())),
    }
    let error = SetupError::Groups { slots: 70_000 }.to_string();
    assert!(
        error.contains("65,535") && error.contains("70000"),
        "{error}"
    );
}

#[test]
fn what_is_not_granted_is_said_and_done_without() {
    let setups = [
        (
            Setup::new(4).incremental_buffers(4, 64),
            Feature::BuffersIncremental,
        ),
        (Setup::new(4).bundled_buffers(4, 64), Feature::ReceiveBundle),
        (
            Setup::new(4).buffers(4, 64).zero_copy_sends(),
            Feature::SendZeroCopy,
        ),
        (
            Setup::new(4).buffers(4, 64).bundled_sends(),
            Feature::SendBundle,
        ),
    ];
    for (setup, feature) in setups {
        let Some((mut ring, mut ends)) = connected(setup.without(feature), 1) else {
            return;
        };
        let grants = ring.grants();
        let grant = grants.iter().find(|grant| grant.feature == feature);
        assert!(grant.unwrap().refused.is_some(), "{}", feature.name());
        let (slot, peer) = &mut ends[0];
        ring.receive(*slot).unwrap();
        peer.write_all(b"as usual").unwrap();
        let (_, lease, _) = received(&mut ring);
        assert_eq!(ring.bytes(&lease), b"as usual");
        assert_eq!(ring.buffers_free(), (3, 4));
        ring.recycle(lease);
    }
}

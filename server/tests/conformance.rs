//! One suite over every engine that echoes. Each engine × scenario is a test of its own, so that a
//! failure names both: `epoll::half_close`. A row may set factors, and is then a way to serve of its own.

mod support;

use fourtuple_server::Options;
use fourtuple_spec::engine::PROFILES;
#[allow(unused_imports, reason = "for the rows")]
use fourtuple_spec::factors::*;
use fourtuple_spec::{Engine, Factors};
use support::running::{options, start_or_skip};

/// A module a row, a test a scenario. In braces: the factors that are not the default.
macro_rules! engines {
    ($($(#[$built:meta])? $module:ident => $engine:path $({ $($factor:ident: $value:expr),* })?,)*) => {
        $($(#[$built])? mod $module {
            #[allow(unused_imports, reason = "for the values of factors")]
            use super::*;

            #[allow(clippy::needless_update, reason = "a row without factors has nothing to set")]
            pub fn way() -> Way {
                Way {
                    engine: $engine,
                    factors: Factors { $($($factor: $value,)*)? ..Factors::default() },
                }
            }
            tests_of_every_scenario!();
        })*

        /// Every row.
        fn covered() -> Vec<Way> {
            [$($(#[$built])? $module::way()),*].to_vec()
        }
    };
}

/// An engine, and how it does what it does.
#[derive(Clone, Copy)]
struct Way {
    engine: Engine,
    factors: Factors,
}

impl Way {
    fn options(self, listen: &str) -> Options {
        Options {
            factors: self.factors,
            ..options(self.engine, listen)
        }
    }
}

macro_rules! scenarios {
    ($($name:ident,)*) => {
        macro_rules! tests_of_every_scenario {
            () => { $(#[test] fn $name() { super::run(way(), super::scenario::$name); })* };
        }
    };
}

scenarios! {
    one_byte,
    split_message,
    pipelined_messages,
    one_mebibyte,
    sixteen_mebibytes,
    half_close,
    half_close_of_a_stalled_peer,
    reset_by_peer,
    reset_by_stalled_peer,
    stalled_peer_then_reads_all,
    waiting_costs_nothing,
    many_stalled_peers,
    a_thousand_at_once,
    churn,
    slots_are_reused,
    counters_tell_what_happened,
    stop_with_open_connections,
    stop_with_stalled_peers,
}

engines! {
    uring => Engine::Uring,
    uring_accept_oneshot => Engine::Uring { accept: Accept::Oneshot },
    uring_descriptors_plain => Engine::Uring { descriptors: DescriptorKind::Plain },
    uring_taskrun_coop => Engine::Uring { taskrun: Taskrun::Coop },
    uring_taskrun_default => Engine::Uring { taskrun: Taskrun::Default },
    uring_sqpoll => Engine::Uring { sqpoll: true },
    uring_wait => Engine::Uring { wait: 16 },
    uring_spin => Engine::Uring { spin: 50 },
    uring_recv_oneshot => Engine::Uring { recv: Receive::Oneshot },
    uring_recv_poll => Engine::Uring { recv: Receive::Poll },
    uring_recv_bundle => Engine::Uring { recv: Receive::Bundle },
    uring_buffers_incremental => Engine::Uring { buffers: Buffers::RingIncremental },
    uring_buffers_fixed => Engine::Uring { buffers: Buffers::Fixed },
    uring_send_bundle => Engine::Uring { send: Send::Bundle },
    uring_both_bundles => Engine::Uring { recv: Receive::Bundle, send: Send::Bundle },
    uring_send_zero_copy => Engine::Uring { send: Send::ZeroCopy },
    uring_poll_descriptors_plain => Engine::UringPoll { descriptors: DescriptorKind::Plain },
    uring_poll_sqpoll => Engine::UringPoll { sqpoll: true },
    uring_hybrid_descriptors_plain => Engine::UringHybrid { descriptors: DescriptorKind::Plain },
    uring_poll => Engine::UringPoll,
    uring_hybrid => Engine::UringHybrid,
    epoll => Engine::Epoll,
    epoll_spin => Engine::Epoll { spin: 50 },
    epoll_et => Engine::EpollEt,
    epoll_et_spin => Engine::EpollEt { spin: 50 },
    epoll_in_ring => Engine::EpollInRing,
    epoll_in_ring_spin => Engine::EpollInRing { spin: 50 },
    threads => Engine::Threads,
    mio => Engine::Mio,
    tokio => Engine::Tokio,
    tokio_multi => Engine::TokioMulti,
    #[cfg(feature = "runtimes")]
    monoio => Engine::Monoio,
    #[cfg(feature = "runtimes")]
    glommio => Engine::Glommio,
    #[cfg(feature = "runtimes")]
    compio => Engine::Compio,
    spin => Engine::Spin,
}

#[test]
fn every_engine_that_echoes_is_covered() {
    for profile in PROFILES
        .iter()
        .filter(|profile| profile.echoes && fourtuple_server::has(profile.engine))
    {
        assert!(
            covered().iter().any(|way| way.engine == profile.engine),
            "{} has no row",
            profile.name
        );
    }
}

#[test]
fn ipv6() {
    if let Err(error) = std::net::TcpListener::bind("[::1]:0") {
        eprintln!("skipped: no IPv6 loopback: {error}");
        return;
    }
    for way in covered() {
        if let Some(server) = start_or_skip(way.options("[::1]:0")) {
            assert!(server.address.is_ipv6(), "{}", way.engine);
            support::peer::Peer::connect(server.address, 1).echo(10_000);
            server.end();
        }
    }
}

#[test]
fn messages_larger_than_a_small_buffer_and_smaller_than_a_large_one() {
    for way in covered() {
        for message_bytes in [1, 4096, 1_000_000] {
            let options = Options {
                message_bytes,
                ..way.options("127.0.0.1:0")
            };
            if let Some(server) = start_or_skip(options) {
                let mut peer = support::peer::Peer::connect(server.address, 1);
                for _ in 0..3 {
                    peer.through(message_bytes as usize, false);
                    peer.through(100_000, false);
                }
                server.end();
            }
        }
    }
}

fn run(way: Way, scenario: fn(&support::running::Running)) {
    if let Some(server) = start_or_skip(way.options("127.0.0.1:0")) {
        scenario(&server);
        server.end();
    }
}

mod scenario {
    use super::support::peer::{Peer, stall};
    use super::support::running::Running;
    use super::support::{PATIENCE, crowd};
    use std::time::{Duration, Instant};

    pub fn one_byte(server: &Running) {
        let mut peer = Peer::connect(server.address, 1);
        for _ in 0..100 {
            peer.echo(1);
        }
    }

    pub fn split_message(server: &Running) {
        let mut peer = Peer::connect(server.address, 2);
        for piece in [1, 2, 3, 58] {
            peer.send(piece);
        }
        peer.receive(64);
        for piece in [58, 3, 2, 1] {
            peer.echo(piece);
        }
    }

    pub fn pipelined_messages(server: &Running) {
        let mut peer = Peer::connect(server.address, 3);
        for _ in 0..20 {
            for _ in 0..100 {
                peer.send(64);
            }
            peer.receive(100 * 64);
        }
    }

    pub fn one_mebibyte(server: &Running) {
        Peer::connect(server.address, 4).through(1 << 20, false);
    }

    pub fn sixteen_mebibytes(server: &Running) {
        Peer::connect(server.address, 5).through(16 << 20, false);
    }

    pub fn half_close(server: &Running) {
        for bytes in [0, 1, 1 << 20] {
            let mut peer = Peer::connect(server.address, 6);
            peer.through(bytes, true);
            peer.expect_end();
        }
    }

    pub fn half_close_of_a_stalled_peer(server: &Running) {
        let mut peers = [Peer::connect_small(server.address, 7)];
        stall(&mut peers);
        let [peer] = &mut peers;
        peer.end();
        peer.receive(peer.sent - peer.received);
        peer.expect_end();
    }

    pub fn reset_by_peer(server: &Running) {
        let mut others = [8, 9].map(|seed| Peer::connect(server.address, seed));
        for seed in 10..60 {
            let mut peer = Peer::connect(server.address, seed);
            // A reset before, after, and in the middle of an echo.
            match seed % 3 {
                0 => peer.echo(1000),
                1 => peer.send(1000),
                _ => {}
            }
            peer.reset();
            others.iter_mut().for_each(|other| other.echo(64));
        }
        server.await_counters("50 resets are 50 closes", |counters| {
            counters.closed.is_none_or(|n| n == 50)
        });
    }

    pub fn reset_by_stalled_peer(server: &Running) {
        let mut other = Peer::connect(server.address, 10);
        let mut peers: Vec<_> = (11..15)
            .map(|seed| Peer::connect_small(server.address, seed))
            .collect();
        stall(&mut peers);
        other.echo(64);
        peers.into_iter().for_each(Peer::reset);
        other.through(1 << 20, false);
        server.await_counters("4 resets are 4 closes", |counters| {
            counters.closed.is_none_or(|n| n == 4)
        });
    }

    pub fn stalled_peer_then_reads_all(server: &Running) {
        const BYTES: usize = 8 << 20;
        let mut peers = [Peer::connect(server.address, 11)];
        stall(&mut peers);
        let mut other = Peer::connect(server.address, 12);
        (0..100).for_each(|_| other.echo(64));
        let [peer] = &mut peers;
        peer.through(BYTES.saturating_sub(peer.sent), false);
        // And it is an ordinary connection again.
        (0..100).for_each(|_| peer.echo(64));
        peer.end();
        peer.expect_end();
    }

    /// Neither a stalled peer, nor one that has read everything, nor an idle one keeps it busy.
    pub fn waiting_costs_nothing(server: &Running) {
        let quiet = |what: &str| {
            let enters = || server.counters.read().enters;
            let Some(before) = enters() else { return };
            std::thread::sleep(Duration::from_millis(50));
            let after = enters().expect("kept before");
            // A loop that spins makes tens of thousands of them in that time.
            assert!(after - before < 500, "{what}: {before} to {after} enters");
        };
        let mut peers = [Peer::connect_small(server.address, 12)];
        quiet("an idle peer");
        stall(&mut peers);
        quiet("a stalled peer");
        let [peer] = &mut peers;
        peer.receive(peer.sent);
        peer.echo(64);
        quiet("a peer that has read everything");
        peer.end();
        peer.expect_end();
        quiet("no peer");
    }

    pub fn many_stalled_peers(server: &Running) {
        let mut peers: Vec<_> = (0..64)
            .map(|seed| Peer::connect_small(server.address, 100 + seed))
            .collect();
        stall(&mut peers);
        let mut other = Peer::connect(server.address, 13);
        (0..100).for_each(|_| other.echo(64));
        other.through(1 << 20, false);
        for peer in &mut peers {
            peer.receive(peer.sent);
        }
        for peer in &mut peers {
            peer.echo(64);
        }
    }

    pub fn a_thousand_at_once(server: &Running) {
        let Some(count) = crowd(server.engine) else {
            return;
        };
        let mut peers: Vec<_> = (0..count)
            .map(|seed| Peer::connect(server.address, seed))
            .collect();
        for round in 0..3 {
            peers.iter_mut().for_each(|peer| peer.send(64 + round));
            peers
                .iter_mut()
                .rev()
                .for_each(|peer| peer.receive(64 + round));
        }
    }

    pub fn churn(server: &Running) {
        let mut other = Peer::connect(server.address, 14);
        for seed in 0..300 {
            let mut peer = Peer::connect(server.address, seed);
            if seed % 2 == 0 {
                peer.echo(10);
            }
            drop(peer);
            if seed % 10 == 0 {
                other.echo(64);
            }
        }
        server.await_counters("300 closes", |counters| {
            counters.closed.is_none_or(|n| n == 300)
        });
        other.echo(64);
    }

    pub fn slots_are_reused(server: &Running) {
        for round in 0..10 {
            let mut peers: Vec<_> = (0..30)
                .map(|seed| Peer::connect(server.address, 1000 * round + seed))
                .collect();
            // Left unread, so that a slot handed on too early would give it to the next peer.
            peers.iter_mut().for_each(|peer| peer.send(5000));
            let (read, unread) = peers.split_at_mut(15);
            for peer in read {
                peer.receive(5000);
                peer.end();
                peer.expect_end();
            }
            assert!(unread.iter().all(|peer| peer.received == 0));
        }
        server.await_counters("300 closes", |counters| {
            counters.closed.is_none_or(|n| n == 300)
        });
    }

    pub fn counters_tell_what_happened(server: &Running) {
        let mut peers: Vec<_> = (0..20)
            .map(|seed| Peer::connect(server.address, seed))
            .collect();
        peers.iter_mut().for_each(|peer| peer.echo(1000));
        server.await_counters("20 accepted", |counters| counters.accepted == Some(20));
        server.await_counters("20,000 bytes received", |counters| {
            counters.received_bytes.is_none_or(|n| n == 20_000)
        });
        server.await_counters("none closed", |counters| {
            counters.closed.is_none_or(|n| n == 0)
        });
        drop(peers);
        server.await_counters("20 closed", |counters| {
            counters.closed.is_none_or(|n| n == 20)
        });
    }

    pub fn stop_with_open_connections(server: &Running) {
        let mut peers: Vec<_> = (0..100)
            .map(|seed| Peer::connect(server.address, seed))
            .collect();
        peers.iter_mut().for_each(|peer| peer.echo(64));
        server.stopper.stop();
        peers.iter_mut().for_each(Peer::expect_closed);
        // Nobody listens any more, within the time that anything may take.
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(server.address).is_ok() {
            assert!(Instant::now() < deadline, "it still listens");
        }
    }

    pub fn stop_with_stalled_peers(server: &Running) {
        let mut peers: Vec<_> = (0..4)
            .map(|seed| Peer::connect_small(server.address, seed))
            .collect();
        stall(&mut peers);
        server.stopper.stop();
        peers.iter_mut().for_each(Peer::expect_closed);
    }
}

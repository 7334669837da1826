//! Records of ablations and of shapes of load, as a sweep would write them; for tests alone. Their figures
//! are made up, and are nobody's measurement.

use super::fixture::{control, record};
use fourtuple_spec::case::Path;
use fourtuple_spec::factors::*;
use fourtuple_spec::record::{Cost, Grant};
use fourtuple_spec::{Engine, Mode, Record};

/// The connection counts of [`ablations`].
pub const COUNTS: [u32; 3] = [1, 100, 1_000];

/// Every setting of the plan `factors`, and what it does to the rate at [`COUNTS`].
pub fn settings() -> Vec<(Factors, [f64; 3])> {
    let default = Factors::default();
    let mut all = vec![];
    let mut add = |factors: Factors, effect: [f64; 3]| all.push((factors, effect));
    let accept = Accept::Oneshot;
    add(Factors { accept, ..default }, [1.0, 1.0, 1.0]);
    for (recv, effect) in [
        (Receive::Oneshot, [0.98, 0.93, 0.91]),
        (Receive::Poll, [0.95, 0.90, 0.86]),
        (Receive::Bundle, [1.0, 1.0, 0.99]),
    ] {
        add(Factors { recv, ..default }, effect);
    }
    for (buffers, effect) in [
        (Buffers::RingIncremental, [1.0, 1.0, 1.0]),
        (Buffers::Fixed, [0.97, 0.93, 0.90]),
    ] {
        add(Factors { buffers, ..default }, effect);
    }
    let descriptors = DescriptorKind::Plain;
    add(
        Factors {
            descriptors,
            ..default
        },
        [0.99, 0.95, 0.96],
    );
    for (taskrun, effect) in [
        (Taskrun::Coop, [0.97, 0.94, 0.93]),
        (Taskrun::Default, [0.90, 0.80, 0.78]),
    ] {
        add(Factors { taskrun, ..default }, effect);
    }
    let sqpoll = true;
    add(Factors { sqpoll, ..default }, [0.55, 0.41, 0.44]);
    for (send, effect) in [
        (Send::ZeroCopy, [0.85, 0.72, 0.70]),
        (Send::Bundle, [0.98, 0.96, 0.95]),
    ] {
        add(Factors { send, ..default }, effect);
    }
    for (wait, effect) in [(4, [0.35, 0.95, 1.0]), (16, [0.35, 1.0, 1.0])] {
        add(Factors { wait, ..default }, effect);
    }
    let spin = 50;
    add(Factors { spin, ..default }, [1.92, 1.0, 1.0]);
    all
}

/// The plan `factors`: each setting at each count, the A/A arm, and zero-copy sends that are not granted.
pub fn ablations(repeats: u32) -> Vec<Record> {
    let mut records = Vec::new();
    for repeat in 0..repeats {
        for (index, connections) in COUNTS.into_iter().enumerate() {
            let base = record(Engine::Uring, connections, repeat);
            records.push(base.clone());
            let wobble = 1.0 + 0.004 * f64::from(repeat % 3);
            records.push(control(faster(base.clone(), 1.006 * wobble), repeat));
            for (rank, (factors, effect)) in settings().into_iter().enumerate() {
                let wobble = 1.0 + 0.003 * f64::from((repeat + rank as u32) % 4);
                let mut run = faster(base.clone(), effect[index] * wobble);
                run.case.factors = factors;
                if factors.spin > 0 {
                    run.cpu.server_busy = Some(1.0);
                }
                if factors.send == Send::ZeroCopy {
                    run.granted.server.push(not_granted("send-zero-copy"));
                }
                records.push(run);
            }
        }
    }
    records
}

/// What the kernel refused.
pub fn not_granted(feature: &str) -> Grant {
    Grant {
        feature: feature.to_owned(),
        granted: false,
        reason: Some("the kernel has no such request".to_owned()),
    }
}

/// The same run with so many times the rate.
pub fn faster(mut record: Record, factor: f64) -> Record {
    let throughput = &mut record.throughput;
    throughput.echoes_per_second = throughput.echoes_per_second.map(|rate| rate * factor);
    let latency = &mut record.latency_ns;
    for value in [&mut latency.p50, &mut latency.p90, &mut latency.p99] {
        *value = value.map(|value| (value as f64 / factor) as u64);
    }
    let cpu = &mut record.cpu.server_ns_per_echo;
    *cpu = cpu.map(|time| time / factor);
    record
}

/// The message sizes of [`sizes`].
pub const SIZES: [u32; 6] = [1, 64, 512, 4_096, 16_384, 65_536];

/// The plan `sizes`: io_uring is ahead with small messages, epoll with large ones.
pub fn sizes(repeats: u32) -> Vec<Record> {
    let mut records = Vec::new();
    for repeat in 0..repeats {
        for (index, message_bytes) in SIZES.into_iter().enumerate() {
            let mut add = |engine: Engine, factors: Factors, is_control: bool, factor: f64| {
                let slower = 1.0 + f64::from(message_bytes) / 6_000.0;
                let wobble = 1.0 + 0.003 * f64::from((repeat + engine as u32) % 3);
                let base = record(Engine::Epoll, 100, repeat);
                let mut run = faster(base, factor * wobble / slower);
                run.case.engine = Some(engine);
                run.case.factors = factors;
                run.case.message_bytes = message_bytes;
                run.case.control = is_control;
                records.push(run);
            };
            let default = Factors::default();
            let recv = Receive::Bundle;
            let falling = |from: f64, by: f64| from - by * index as f64;
            add(Engine::Uring, default, false, falling(1.09, 0.05));
            add(Engine::UringPoll, default, false, falling(1.0, 0.03));
            add(Engine::Epoll, default, false, 1.0);
            add(Engine::Epoll, default, true, 1.005);
            add(Engine::Tokio, default, false, 0.86);
            add(Engine::Spin, default, false, 1.19);
            let bundle = Factors { recv, ..default };
            add(Engine::Uring, bundle, false, falling(1.08, 0.02));
        }
    }
    records
}

/// Bursts, a veth and two workers beside the plain load, of two engines and an A/A arm.
pub fn variants(repeats: u32) -> Vec<Record> {
    let mut records = Vec::new();
    for repeat in 0..repeats {
        for engine in [Engine::Uring, Engine::Epoll] {
            let plain = record(engine, 100, repeat);
            let mut burst = faster(plain.clone(), 0.7);
            burst.case.burst_pause_us = Some(1_000);
            let mut veth = faster(plain.clone(), 0.6);
            veth.case.path = Path::Veth;
            let mut workers = faster(plain.clone(), 1.4);
            workers.case.workers = 2;
            for run in [plain, burst, veth, workers] {
                if engine == Engine::Epoll {
                    records.push(control(faster(run.clone(), 1.004), repeat));
                }
                records.push(run);
            }
        }
    }
    records
}

/// Connections that are opened, echo once, and are closed.
pub fn churn(repeats: u32) -> Vec<Record> {
    let mut records = Vec::new();
    for repeat in 0..repeats {
        for connections in COUNTS {
            for engine in [Engine::Uring, Engine::Epoll, Engine::Threads] {
                let mut run = faster(record(Engine::Epoll, connections, repeat), 0.2);
                run.case.engine = Some(engine);
                run.case.mode = Mode::Churn;
                run.throughput.connections_per_second = run.throughput.echoes_per_second;
                if engine == Engine::Epoll {
                    records.push(control(run.clone(), repeat));
                }
                records.push(run);
            }
        }
    }
    records
}

/// What a run cost besides time.
pub fn costed(mut record: Record) -> Record {
    record.cost = Cost {
        server_system_calls_per_echo: Some(0.031),
        client_system_calls_per_echo: Some(0.5),
        server_system_calls_traced_per_echo: Some(0.032),
        server_switches_per_echo: Some(0.0004),
        client_switches_per_echo: Some(0.002),
        server_completions_per_wakeup: Some(63.5),
        client_completions_per_wakeup: Some(18.0),
        server_no_buffers: Some(0),
        server_overflows: Some(0),
        client_no_buffers: Some(12),
        client_overflows: Some(0),
    };
    record
}

/// The plan `wait`: one connection, servers that sleep and that watch, and the floor.
pub fn waits(repeats: u32) -> Vec<Record> {
    let mut records = Vec::new();
    for repeat in 0..repeats {
        let base = record(Engine::Epoll, 1, repeat);
        let wobble = 1.0 + 0.002 * f64::from(repeat % 3);
        records.push(control(faster(base.clone(), 1.002 * wobble), repeat));
        let arms = [
            (Engine::Uring, 0, 1.06),
            (Engine::Uring, 50, 2.0),
            (Engine::Epoll, 0, 1.0),
            (Engine::Epoll, 50, 1.8),
            (Engine::Spin, 0, 2.3),
        ];
        for (engine, spin, factor) in arms {
            let mut run = faster(base.clone(), factor);
            run.case.engine = Some(engine);
            run.case.factors.spin = spin;
            run.cpu.server_busy = Some(if spin > 0 { 1.0 } else { 0.5 });
            records.push(run);
        }
    }
    records
}

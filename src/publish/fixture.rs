//! Records as a sweep would write them; for tests alone. Their figures are made up, near what engines do,
//! and are nobody's measurement.

use fourtuple_spec::record::*;
use fourtuple_spec::{AddressMode, Case, ClientKind, Engine, Mode, NetworkChoice, Peer};
use std::collections::BTreeMap;

/// The connection counts of [`sweep`].
pub const COUNTS: [u32; 8] = [1, 10, 100, 1_000, 2_000, 5_000, 10_000, 20_000];

/// Thousands of echoes a second at [`COUNTS`], 64 bytes, closed loop.
fn rate(engine: Engine, connections: u32) -> Option<f64> {
    let column = match engine {
        Engine::Uring => [38.0, 140.0, 155.0, 139.0, 131.0, 121.0, 115.0, 109.0],
        Engine::Epoll => [36.0, 136.0, 158.0, 123.0, 115.0, 102.0, 95.0, 90.0],
        Engine::Tokio => [36.0, 136.0, 136.0, 117.0, 112.0, 103.0, 98.0, 92.0],
        Engine::Spin => [52.0, 171.0, 188.0, 168.0, 155.0, 138.0, 128.0, 118.0],
        _ => return None,
    };
    // Between the measured counts the nearest lower one stands in.
    let index = COUNTS.iter().rposition(|count| *count <= connections)?;
    Some(column[index] * 1_000.0)
}

/// One run that went well.
pub fn record(engine: Engine, connections: u32, repeat: u32) -> Record {
    let rate = rate(engine, connections).map(|rate| rate * wobble(engine, connections, repeat));
    let mut record = empty(engine, connections, repeat);
    record.setup.connections_held = Some(connections);
    record.setup.connections_proved = Some(connections);
    record.setup.connections_per_second = Some(47_300.0);
    record.throughput.echoes_per_second = rate;
    record.throughput.echoes_verified = rate.map(|rate| (rate * 3.0) as u64);
    record.throughput.seconds = rate.map(|_| 3.0);
    if let Some(rate) = rate {
        let p50 = f64::from(connections) / rate * 1e9;
        record.latency_ns.p50 = Some(p50 as u64);
        record.latency_ns.p90 = Some((p50 * 1.3) as u64);
        record.latency_ns.p99 =
            Some((p50 * if engine == Engine::Tokio { 4.1 } else { 1.9 }) as u64);
        record.latency_ns.p999 = Some((p50 * 3.3) as u64);
        record.latency_ns.max = Some((p50 * 9.0) as u64);
        record.cpu.server_ns_per_echo = Some(0.97e9 / rate);
        record.cpu.client_ns_per_echo = Some(0.88e9 / rate);
        record.cpu.server_busy = Some(0.97);
        record.cpu.client_busy = Some(0.88);
    }
    if connections >= 1_000 {
        record.memory = memory(engine, connections, repeat);
    }
    record
}

/// One run that did not get to the end.
pub fn failed(engine: Engine, connections: u32, repeat: u32, limiter: Option<&str>) -> Record {
    let mut record = empty(engine, connections, repeat);
    record.outcome = Outcome::Error;
    record.limiter = limiter.map(str::to_owned);
    record.error = Some(
        "accept: EMFILE at 19,990 | RLIMIT_NOFILE is 20,000 and this case needs 20,010".to_owned(),
    );
    record
}

/// The standard sweep: every engine and the A/A arm of epoll; tokio ends at 10,000 for want of descriptors.
pub fn sweep(repeats: u32) -> Vec<Record> {
    let mut records = Vec::new();
    for repeat in 0..repeats {
        for connections in COUNTS {
            for engine in [
                Engine::Uring,
                Engine::Epoll,
                Engine::Tokio,
                Engine::Spin,
                Engine::Null,
            ] {
                let is_stopped = engine == Engine::Tokio && connections > 10_000;
                records.push(if is_stopped {
                    failed(engine, connections, repeat, Some("RLIMIT_NOFILE"))
                } else {
                    record(engine, connections, repeat)
                });
            }
            records.push(control(
                record(Engine::Epoll, connections, repeat + 100),
                repeat,
            ));
        }
    }
    records
}

/// The same run as the second arm of an A/A pair.
pub fn control(mut record: Record, repeat: u32) -> Record {
    record.case.control = true;
    record.case.repeat = repeat;
    record
}

fn empty(engine: Engine, connections: u32, repeat: u32) -> Record {
    let is_floor = engine == Engine::Spin;
    Record {
        schema_version: SCHEMA_VERSION,
        started_at: "2026-01-09T10:11:12Z".to_owned(),
        command: vec![
            "fourtuple".to_owned(),
            "sweep".to_owned(),
            "plans/standard.toml".to_owned(),
        ],
        case: Case {
            engine: Some(engine),
            target: None,
            client: if is_floor {
                ClientKind::Spin
            } else {
                ClientKind::Uring
            },
            connections,
            message_bytes: 64,
            depth: 1,
            mode: Mode::Closed,
            peer: Peer::Kernel,
            repeat,
            control: false,
            addresses: AddressMode::Destinations,
            group_connections: 25_000,
            active_connections: connections,
            until_full: false,
            prepare_memory: false,
            state: None,
            hot_connections: None,
            hot_placement: fourtuple_spec::HotPlacement::Spread,
            rounds: Vec::new(),
            hold_ms: 0,
            connect_window: 256,
            client_spin_us: 50,
            settle_ms: 500,
            warmup_ms: 500,
            measure_ms: 3_000,
            network: NetworkChoice::Private,
            sysctls: BTreeMap::new(),
            slots_per_ring: None,
            server_cpus: vec![0],
            client_cpus: vec![1],
        },
        outcome: Outcome::Ok,
        limiter: None,
        error: None,
        warnings: Vec::new(),
        setup: Setup::default(),
        rounds: Vec::new(),
        hold: None,
        throughput: Throughput::default(),
        latency_ns: LatencyNs::default(),
        cpu: Cpu::default(),
        memory: Memory::default(),
        noise: Noise {
            steal_share: Some(0.004),
            foreign_cpu_share: Some(0.011),
            ..Noise::default()
        },
        phases_ns: BTreeMap::new(),
        granted: Granted {
            network: Some("private".to_owned()),
            server_processes: Some(1),
            ..Granted::default()
        },
        server: ServerCounters::default(),
        client: ClientCounters::default(),
        host: host(),
    }
}

fn memory(engine: Engine, connections: u32, repeat: u32) -> Memory {
    let mut by_cache: BTreeMap<String, f64> = [
        ("TCP", 4_780.0),
        ("sock_inode_cache", 1_664.0),
        ("filp", 512.0),
        ("dentry", 390.0),
        ("kmalloc-64", 131.0),
        ("tcp_bind_bucket", 64.0),
        ("other", 40.0),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into();
    match engine {
        Engine::Epoll | Engine::Tokio => by_cache.insert("eventpoll_epi".to_owned(), 130.0),
        Engine::Uring => by_cache.insert("io_kiocb".to_owned(), 260.0),
        _ => None,
    };
    let fixed = 4e6 / f64::from(connections);
    let kernel = by_cache.values().sum::<f64>() + 60.0;
    Memory {
        kernel_bytes_per_connection: Some((kernel + fixed) * (1.0 + 0.002 * f64::from(repeat % 3))),
        server_user_bytes_per_connection: Some(match engine {
            Engine::Tokio => 4_864.0,
            Engine::Uring => 96.0,
            _ => 8.0,
        }),
        client_user_bytes_per_connection: Some(128.0),
        unattributed_share: Some(0.006),
        by_cache: Some(by_cache),
        ledger: Vec::new(),
    }
}

fn host() -> Host {
    Host {
        name: Some("bench".to_owned()),
        kernel: Some("6.18.5 #1 SMP PREEMPT_DYNAMIC".to_owned()),
        cpu: Some("AMD EPYC 7R13 Processor".to_owned()),
        cores: Some(2),
        memory_bytes: Some(25_769_803_776),
        hypervisor: Some("KVM".to_owned()),
        clock_source: Some("kvm-clock".to_owned()),
        congestion_control: Some("cubic".to_owned()),
        io_uring_disabled: Some(0),
        descriptor_limits: Some((20_000, 20_000)),
        fourtuple: Some("0.1.0".to_owned()),
    }
}

/// A factor near one that is the same at every call: noise of about 3 %.
fn wobble(engine: Engine, connections: u32, repeat: u32) -> f64 {
    let mut state = u64::from(connections) << 32 | u64::from(repeat) << 8 | engine as u64;
    state = (state ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ state >> 29).wrapping_mul(0x94d0_49bb_1331_11eb);
    1.0 + ((state >> 40) as f64 / f64::from(1 << 24) - 0.5) * 0.07
}

//! A request for one case: what somebody said, before the defaults are filled in.
//!
//! A plan's sweeps and the flags of a single run both end here, so that both have the same keys,
//! the same bounds and the same defaults.

use super::PlanError;
use crate::case::{
    AddressMode, Case, ClientKind, EndpointState, Foreign, HotPlacement, Mode, NetworkChoice, Path,
    Peer, Schedule, TcpOptions, bounds,
};
use crate::engine::Engine;
use crate::factors::{self, Accept, Buffers, DescriptorKind, Receive, Send, Taskrun};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The most connects in flight that may be asked for: one less than the listener's backlog of
/// 4,096, because a SYN that finds the backlog full is dropped in silence and costs a second.
pub const CONNECT_WINDOW_MAX: u32 = 4095;

/// What the machine decides about a case, not the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseDefaults {
    /// The cores of the server, where a request names none.
    pub server_cpus: Vec<u32>,
    /// The cores of the client, where a request names none.
    pub client_cpus: Vec<u32>,
    /// Whether network namespaces are granted. If not, a case that asks for a private network will
    /// run on the host's, so its groups are sized for the host's port range.
    pub is_private_possible: bool,
    /// The host's own `net.ipv4.ip_local_port_range`.
    pub host_port_range: (u16, u16),
}

impl CaseDefaults {
    /// Cores as given, a private network granted, and the kernel's default port range on the host.
    pub fn new(server_cpus: Vec<u32>, client_cpus: Vec<u32>) -> Self {
        Self {
            server_cpus,
            client_cpus,
            is_private_possible: true,
            host_port_range: (32_768, 60_999),
        }
    }
}

/// A request for one case. What is `None` gets its default.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseRequest {
    /// The engine that serves.
    pub engine: Engine,
    /// What the engine `foreign` starts. In a plan it stands in the place of the engine's name:
    /// `engine = { name = "nginx", command = ["nginx", "-p", "{port}"] }`.
    pub foreign: Option<Foreign>,
    /// How many connections are opened and held.
    pub connections: u32,
    /// Default: multishot.
    pub accept: Option<Accept>,
    /// Default: multishot.
    pub recv: Option<Receive>,
    /// Default: a ring.
    pub buffers: Option<Buffers>,
    /// Default: direct.
    pub descriptors: Option<DescriptorKind>,
    /// Default: deferred.
    pub taskrun: Option<Taskrun>,
    /// Default: false.
    pub sqpoll: Option<bool>,
    /// Default: plain sends.
    pub send: Option<Send>,
    /// Completions that a wait asks for. Default: 1.
    pub wait: Option<u32>,
    /// Microseconds that the server watches before it sleeps. Default: 0.
    pub spin: Option<u32>,
    /// Default: 1.
    pub workers: Option<u32>,
    /// Default: `spin` for the engine `spin` (the floor is spun at both ends), `uring` for all others.
    pub client: Option<ClientKind>,
    /// Default: 64.
    pub message_bytes: Option<u32>,
    /// Default: 1.
    pub depth: Option<u32>,
    /// Default: closed loop, or open if there is a rate or a share of the capacity.
    pub mode: Option<Mode>,
    /// Messages a second of an open loop, which has to name them, or a share of the capacity.
    pub rate: Option<u32>,
    /// The same as a share of the capacity, in percent: the closed loop of the same case is measured first.
    pub rate_percent: Option<u32>,
    /// Default: Poisson.
    pub schedule: Option<Schedule>,
    /// Microseconds between two bursts. Default: none.
    pub burst_pause_us: Option<u32>,
    /// Default: real sockets.
    pub peer: Option<Peer>,
    /// Default: plain.
    pub tcp_options: Option<TcpOptions>,
    /// Default: 0.
    pub loss_ppm: Option<u32>,
    /// Default: 0.
    pub duplicate_ppm: Option<u32>,
    /// Default: 0.
    pub reorder_ppm: Option<u32>,
    /// Default: `destinations`.
    pub addresses: Option<AddressMode>,
    /// Default: what half of the port range allows, see [`crate::address::group_connections_max`].
    pub group_connections: Option<u32>,
    /// Default: 16,384, for ghosts 4,096. Never more than `connections`, whatever is asked.
    pub active_connections: Option<u32>,
    /// Default: false.
    pub until_full: Option<bool>,
    /// Default: from 200,000 connections on.
    pub prepare_memory: Option<bool>,
    /// Default: none, an ordinary run.
    pub state: Option<EndpointState>,
    /// Default: all. Never more than `connections`, whatever is asked.
    pub hot_connections: Option<u32>,
    /// Default: spread.
    pub hot_placement: Option<HotPlacement>,
    /// Default: none; one where only some connections take part in the measured span, or none is asked for.
    pub rounds: Option<Vec<u32>>,
    /// Default: 0.
    pub hold_ms: Option<u64>,
    /// Default: 256, for ghosts 1,024.
    pub connect_window: Option<u32>,
    /// Microseconds that the client watches before it sleeps.
    pub client_spin_us: Option<u32>,
    /// Default: 200.
    pub settle_ms: Option<u64>,
    /// Default: 500.
    pub warmup_ms: Option<u64>,
    /// Default: 2,000.
    pub measure_ms: Option<u64>,
    /// Default: private.
    pub network: Option<NetworkChoice>,
    /// Default: `lo`.
    pub path: Option<Path>,
    /// Default: none.
    pub sysctls: Option<BTreeMap<String, String>>,
    /// Default: as many as limits allow.
    pub slots_per_ring: Option<u32>,
    /// Default: as many as the connections need.
    pub rings_max: Option<u32>,
    /// Default: as many as the descriptors require.
    pub server_processes: Option<u32>,
    /// Default: as many as there may be.
    pub server_descriptors: Option<u32>,
    /// Default: the machine's, see [`CaseDefaults`].
    pub server_cpus: Option<Vec<u32>>,
    /// Default: the machine's, see [`CaseDefaults`].
    pub client_cpus: Option<Vec<u32>>,
}

/// Every key of a request, in the order in which a sweep's lists nest: the last varies fastest.
pub(super) const KEYS: [&str; 49] = [
    "network",
    "path",
    "workers",
    "peer",
    "tcp_options",
    "loss_ppm",
    "duplicate_ppm",
    "reorder_ppm",
    "mode",
    "schedule",
    "rate",
    "rate_percent",
    "burst_pause_us",
    "addresses",
    "group_connections",
    "sysctls",
    "server_cpus",
    "client_cpus",
    "slots_per_ring",
    "rings_max",
    "server_processes",
    "server_descriptors",
    "connect_window",
    "client_spin_us",
    "settle_ms",
    "warmup_ms",
    "hold_ms",
    "measure_ms",
    "message_bytes",
    "depth",
    "rounds",
    "hot_placement",
    "hot_connections",
    "active_connections",
    "until_full",
    "prepare_memory",
    "state",
    "connections",
    "accept",
    "recv",
    "buffers",
    "descriptors",
    "taskrun",
    "sqpoll",
    "send",
    "wait",
    "spin",
    "engine",
    "client",
];

/// The bounds of every key that is a number, and of the numbers of `server_cpus` and `client_cpus`.
const RANGES: [(&str, u64, u64); 28] = [
    range("workers", &bounds::WORKERS),
    range("burst_pause_us", &bounds::BURST_PAUSE_US),
    range("wait", &factors::WAIT),
    range("spin", &factors::SPIN_US),
    range("connections", &bounds::CONNECTIONS),
    range("message_bytes", &bounds::MESSAGE_BYTES),
    range("depth", &bounds::DEPTH),
    range("rate", &bounds::RATE),
    range("rate_percent", &bounds::RATE_PERCENT),
    range("loss_ppm", &bounds::FAULTS_PPM),
    range("duplicate_ppm", &bounds::FAULTS_PPM),
    range("reorder_ppm", &bounds::FAULTS_PPM),
    range("active_connections", &bounds::CONNECTIONS),
    ("group_connections", 1, 64_511),
    ("connect_window", 1, CONNECT_WINDOW_MAX as u64),
    ("client_spin_us", 0, 1_000_000),
    ("slots_per_ring", 1, 1 << 20),
    ("rings_max", 1, 1 << 20),
    ("server_processes", 1, 1024),
    ("server_descriptors", 16, 1 << 30),
    ("hot_connections", 1, *bounds::CONNECTIONS.end() as u64),
    ("rounds", 1, *bounds::CONNECTIONS.end() as u64),
    ("settle_ms", 0, *bounds::SPAN_MS.end()),
    ("hold_ms", 0, *bounds::SPAN_MS.end()),
    (
        "warmup_ms",
        *bounds::SPAN_MS.start(),
        *bounds::SPAN_MS.end(),
    ),
    ("measure_ms", 0, *bounds::SPAN_MS.end()),
    ("server_cpus", 0, 1023),
    ("client_cpus", 0, 1023),
];

const fn range(
    key: &'static str,
    bounds: &std::ops::RangeInclusive<u32>,
) -> (&'static str, u64, u64) {
    (key, *bounds.start() as u64, *bounds.end() as u64)
}

/// Refuses a number outside the bounds of its key. A key without bounds takes any number.
pub(super) fn check_range(key: &str, given: i128) -> Result<(), PlanError> {
    match RANGES.iter().find(|(known, ..)| *known == key) {
        Some(&(key, least, most)) if given < i128::from(least) || given > i128::from(most) => {
            Err(PlanError::OutOfRange {
                key,
                given,
                least,
                most,
            })
        }
        _ => Ok(()),
    }
}

impl CaseRequest {
    /// A request that leaves all but these two to the defaults.
    pub fn new(engine: Engine, connections: u32) -> Self {
        Self {
            engine,
            foreign: None,
            connections,
            accept: None,
            recv: None,
            buffers: None,
            descriptors: None,
            taskrun: None,
            sqpoll: None,
            send: None,
            wait: None,
            spin: None,
            workers: None,
            burst_pause_us: None,
            path: None,
            client: None,
            message_bytes: None,
            depth: None,
            mode: None,
            rate: None,
            rate_percent: None,
            schedule: None,
            peer: None,
            tcp_options: None,
            loss_ppm: None,
            duplicate_ppm: None,
            reorder_ppm: None,
            addresses: None,
            group_connections: None,
            active_connections: None,
            until_full: None,
            prepare_memory: None,
            state: None,
            hot_connections: None,
            hot_placement: None,
            rounds: None,
            hold_ms: None,
            connect_window: None,
            client_spin_us: None,
            settle_ms: None,
            warmup_ms: None,
            measure_ms: None,
            network: None,
            sysctls: None,
            slots_per_ring: None,
            rings_max: None,
            server_processes: None,
            server_descriptors: None,
            server_cpus: None,
            client_cpus: None,
        }
    }

    /// The case that this asks for: repeat 0, not the A/A arm.
    ///
    /// # Errors
    /// A number outside its bounds, an empty list of cores, or a core named twice. Cores that the
    /// server and the client share are allowed: the command warns of them.
    pub fn resolve(&self, defaults: &CaseDefaults) -> Result<Case, PlanError> {
        self.check()?;
        let case = self.fill(defaults);
        check_cores("server_cpus", &case.server_cpus)?;
        check_cores("client_cpus", &case.client_cpus)?;
        Self::check_together(&case)?;
        Ok(case)
    }

    /// Refuses what no defaults could mend.
    pub(super) fn check(&self) -> Result<(), PlanError> {
        let numbers = [
            ("connections", Some(self.connections.into())),
            ("message_bytes", self.message_bytes.map(u64::from)),
            ("depth", self.depth.map(u64::from)),
            ("rate", self.rate.map(u64::from)),
            ("rate_percent", self.rate_percent.map(u64::from)),
            ("burst_pause_us", self.burst_pause_us.map(u64::from)),
            ("workers", self.workers.map(u64::from)),
            ("wait", self.wait.map(u64::from)),
            ("spin", self.spin.map(u64::from)),
            ("loss_ppm", self.loss_ppm.map(u64::from)),
            ("duplicate_ppm", self.duplicate_ppm.map(u64::from)),
            ("reorder_ppm", self.reorder_ppm.map(u64::from)),
            ("active_connections", self.active_connections.map(u64::from)),
            ("group_connections", self.group_connections.map(u64::from)),
            ("connect_window", self.connect_window.map(u64::from)),
            ("client_spin_us", self.client_spin_us.map(u64::from)),
            ("slots_per_ring", self.slots_per_ring.map(u64::from)),
            ("rings_max", self.rings_max.map(u64::from)),
            ("server_processes", self.server_processes.map(u64::from)),
            ("server_descriptors", self.server_descriptors.map(u64::from)),
            ("hot_connections", self.hot_connections.map(u64::from)),
            ("settle_ms", self.settle_ms),
            ("hold_ms", self.hold_ms),
            ("warmup_ms", self.warmup_ms),
            ("measure_ms", self.measure_ms),
        ];
        for (key, number) in numbers {
            number.map_or(Ok(()), |number| check_range(key, number.into()))?;
        }
        for (key, cores) in [
            ("server_cpus", &self.server_cpus),
            ("client_cpus", &self.client_cpus),
        ] {
            cores
                .as_ref()
                .map_or(Ok(()), |cores| check_cores(key, cores))?;
        }
        self.check_rounds()
    }

    fn check_rounds(&self) -> Result<(), PlanError> {
        let rounds = self.rounds.as_deref().unwrap_or_default();
        if rounds.len() > bounds::ROUNDS_MAX {
            return Err(PlanError::Conflict(format!(
                "{} rounds are asked for, and {} are allowed",
                rounds.len(),
                bounds::ROUNDS_MAX
            )));
        }
        rounds
            .iter()
            .try_for_each(|&active| check_range("rounds", active.into()))
    }
}

fn check_cores(key: &'static str, cores: &[u32]) -> Result<(), PlanError> {
    if cores.is_empty() {
        return Err(PlanError::EmptyList {
            key: key.to_owned(),
        });
    }
    for (index, &core) in cores.iter().enumerate() {
        check_range(key, core.into())?;
        if cores[..index].contains(&core) {
            return Err(PlanError::DuplicateCore { key, core });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;

//! From a request to a case: the defaults.

use super::{CONNECT_WINDOW_MAX, CaseDefaults, CaseRequest};
use crate::address::{PRIVATE_PORT_RANGE, group_connections_max};
use crate::case::{AddressMode, Case, ClientKind, Mode, NetworkChoice, Peer};
use crate::engine::Engine;
use crate::factors::Factors;
use std::collections::BTreeMap;

/// Connections that have messages in flight at once, where nothing else is asked. With all of a
/// million in flight, the round trip would exceed the delayed-ACK timer.
const ACTIVE_CONNECTIONS: u32 = 16_384;

/// Connects in flight, where nothing else is asked. To a ghost one is a segment that waits for its answer.
const CONNECT_WINDOW: u32 = 256;
const GHOST_CONNECT_WINDOW: u32 = 1_024;

/// From here on a ramp takes gigabytes, and a virtual machine's host may have to find them first.
const PREPARE_CONNECTIONS: u32 = 200_000;

impl CaseRequest {
    /// The case, with every default in it.
    pub(super) fn fill(&self, defaults: &CaseDefaults) -> Case {
        let network = self.network.unwrap_or(NetworkChoice::Private);
        let sysctls = self.sysctls.clone().unwrap_or_default();
        let default_peer = self.state.map_or(Peer::Kernel, |_| Peer::Ghost);
        let peer = self.peer.unwrap_or(default_peer);
        // Both ends of the floor are spun, where there are two.
        let default_client = match self.engine {
            Engine::Spin if self.mode == Some(Mode::Churn) || self.burst_pause_us.is_some() => {
                ClientKind::Uring
            }
            Engine::Spin | Engine::Stack if peer == Peer::Kernel => ClientKind::Spin,
            _ => ClientKind::Uring,
        };
        let is_private = network == NetworkChoice::Private && defaults.is_private_possible;
        let ports = match is_private {
            true => private_port_range(&sysctls),
            false => defaults.host_port_range,
        };
        let cores = |asked: &Option<Vec<u32>>, given: &[u32]| {
            asked.clone().unwrap_or_else(|| given.to_vec())
        };
        // A state is brought about by a script, which opens as it always has.
        let default_window = match (peer, self.state) {
            (Peer::Ghost, None) => GHOST_CONNECT_WINDOW,
            _ => CONNECT_WINDOW,
        };
        let default_mode = match self.rate.or(self.rate_percent) {
            Some(_) => Mode::Open,
            None => Mode::Closed,
        };
        let active_connections = self
            .active_connections
            .unwrap_or(ACTIVE_CONNECTIONS)
            .min(self.connections)
            .min(match self.mode {
                // Each of them may be a connect in flight.
                Some(Mode::Churn) => CONNECT_WINDOW_MAX,
                _ => u32::MAX,
            });
        let hot_connections = self.hot_connections.filter(|&hot| hot < self.connections);
        let mut case = Case {
            engine: Some(self.engine),
            foreign: self.foreign.clone(),
            factors: self.factors(),
            workers: self.workers.unwrap_or(1),
            target: None,
            client: self.client.unwrap_or(default_client),
            connections: self.connections,
            message_bytes: self.message_bytes.unwrap_or(64),
            depth: self.depth.unwrap_or(1),
            mode: self.mode.unwrap_or(default_mode),
            rate: self.rate,
            rate_percent: self.rate_percent,
            schedule: self.schedule.unwrap_or_default(),
            burst_pause_us: self.burst_pause_us,
            peer,
            tcp_options: self.tcp_options.unwrap_or_default(),
            loss_ppm: self.loss_ppm.unwrap_or(0),
            duplicate_ppm: self.duplicate_ppm.unwrap_or(0),
            reorder_ppm: self.reorder_ppm.unwrap_or(0),
            repeat: 0,
            control: false,
            addresses: self.addresses.unwrap_or(AddressMode::Destinations),
            group_connections: self
                .group_connections
                .unwrap_or_else(|| group_connections_max(ports)),
            active_connections,
            until_full: self.until_full.unwrap_or(false),
            prepare_memory: self
                .prepare_memory
                .unwrap_or(self.connections >= PREPARE_CONNECTIONS),
            state: self.state,
            hot_connections,
            hot_placement: self.hot_placement.unwrap_or_default(),
            rounds: Vec::new(),
            hold_ms: self.hold_ms.unwrap_or(0),
            connect_window: self.connect_window.unwrap_or(default_window),
            client_spin_us: self.client_spin_us.unwrap_or(50),
            settle_ms: self.settle_ms.unwrap_or(200),
            warmup_ms: self.warmup_ms.unwrap_or(500),
            measure_ms: match self.state {
                Some(_) => 0,
                None => self.measure_ms.unwrap_or(2000),
            },
            network,
            path: self.path.unwrap_or_default(),
            sysctls,
            slots_per_ring: self.slots_per_ring,
            rings_max: self.rings_max,
            server_processes: self.server_processes,
            server_descriptors: self.server_descriptors,
            server_cpus: cores(&self.server_cpus, &defaults.server_cpus),
            client_cpus: cores(&self.client_cpus, &defaults.client_cpus),
        };
        case.rounds = self.rounds_of(&case);
        case
    }

    fn factors(&self) -> Factors {
        Factors {
            accept: self.accept.unwrap_or_default(),
            recv: self.recv.unwrap_or_default(),
            buffers: self.buffers.unwrap_or_default(),
            descriptors: self.descriptors.unwrap_or_default(),
            taskrun: self.taskrun.unwrap_or_default(),
            sqpoll: self.sqpoll.unwrap_or_default(),
            send: self.send.unwrap_or_default(),
            wait: self.wait.unwrap_or(1),
            spin: self.spin.unwrap_or(0),
        }
    }

    /// Without a warm-up of all connections, a round proves each of them live.
    fn rounds_of(&self, case: &Case) -> Vec<u32> {
        if !case.echoes() || case.mode == Mode::Churn {
            return Vec::new();
        }
        // What follows a hold proves them all.
        let needs_proof =
            case.hot() < case.connections || (case.measure_ms == 0 && case.hold_ms == 0);
        let default = || match needs_proof {
            true => vec![case.round_connections()],
            false => Vec::new(),
        };
        let rounds = self.rounds.clone().unwrap_or_else(default);
        rounds
            .into_iter()
            .map(|active| active.min(case.connections))
            .collect()
    }
}

/// The port range of the private namespace: a plan may set another one by sysctl.
fn private_port_range(sysctls: &BTreeMap<String, String>) -> (u16, u16) {
    let parse = |text: &String| {
        let mut ports = text.split_whitespace().map(str::parse);
        Some((ports.next()?.ok()?, ports.next()?.ok()?))
    };
    sysctls
        .get("net.ipv4.ip_local_port_range")
        .and_then(parse)
        .unwrap_or(PRIVATE_PORT_RANGE)
}

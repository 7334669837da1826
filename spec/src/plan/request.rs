//! A request for one case: what somebody said, before the defaults are filled in.
//!
//! A plan's sweeps and the flags of a single run both end here, so that both have the same keys,
//! the same bounds and the same defaults.

use super::PlanError;
use crate::address::{PRIVATE_PORT_RANGE, group_connections_max};
use crate::case::{
    AddressMode, Case, ClientKind, EndpointState, HotPlacement, Mode, NetworkChoice, Peer,
    Schedule, TcpOptions, bounds,
};
use crate::engine::Engine;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The most connects in flight that may be asked for: one less than the listener's backlog of
/// 4,096, because a SYN that finds the backlog full is dropped in silence and costs a second.
pub const CONNECT_WINDOW_MAX: u32 = 4095;

/// Connections that have messages in flight at once, where nothing else is asked. With all of a
/// million in flight, the round trip would exceed the delayed-ACK timer.
const ACTIVE_CONNECTIONS: u32 = 16_384;

/// Connects in flight, where nothing else is asked. To a ghost one is a segment that waits for its answer.
const CONNECT_WINDOW: u32 = 256;
const GHOST_CONNECT_WINDOW: u32 = 1_024;

/// From here on a ramp takes gigabytes, and a virtual machine's host may have to find them first.
const PREPARE_CONNECTIONS: u32 = 200_000;

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
    /// How many connections are opened and held.
    pub connections: u32,
    /// Default: `spin` for the engine `spin` (the floor is spun at both ends), `uring` for all others.
    pub client: Option<ClientKind>,
    /// Default: 64.
    pub message_bytes: Option<u32>,
    /// Default: 1.
    pub depth: Option<u32>,
    /// Default: closed loop, or open if there is a rate.
    pub mode: Option<Mode>,
    /// Messages a second of an open loop, which has to name them.
    pub rate: Option<u32>,
    /// Default: Poisson.
    pub schedule: Option<Schedule>,
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
    /// Default: what half of the port range allows, see [`group_connections_max`].
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
    /// Default: none.
    pub sysctls: Option<BTreeMap<String, String>>,
    /// Default: as many as limits allow.
    pub slots_per_ring: Option<u32>,
    /// Default: the machine's, see [`CaseDefaults`].
    pub server_cpus: Option<Vec<u32>>,
    /// Default: the machine's, see [`CaseDefaults`].
    pub client_cpus: Option<Vec<u32>>,
}

/// Every key of a request, in the order in which a sweep's lists nest: the last varies fastest.
pub(super) const KEYS: [&str; 33] = [
    "network",
    "peer",
    "tcp_options",
    "loss_ppm",
    "duplicate_ppm",
    "reorder_ppm",
    "mode",
    "schedule",
    "rate",
    "addresses",
    "group_connections",
    "sysctls",
    "server_cpus",
    "client_cpus",
    "slots_per_ring",
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
    "engine",
    "client",
];

/// The bounds of every key that is a number, and of the numbers of `server_cpus` and `client_cpus`.
const RANGES: [(&str, u64, u64); 20] = [
    range("connections", &bounds::CONNECTIONS),
    range("message_bytes", &bounds::MESSAGE_BYTES),
    range("depth", &bounds::DEPTH),
    range("rate", &bounds::RATE),
    range("loss_ppm", &bounds::FAULTS_PPM),
    range("duplicate_ppm", &bounds::FAULTS_PPM),
    range("reorder_ppm", &bounds::FAULTS_PPM),
    range("active_connections", &bounds::CONNECTIONS),
    ("group_connections", 1, 64_511),
    ("connect_window", 1, CONNECT_WINDOW_MAX as u64),
    ("client_spin_us", 0, 1_000_000),
    ("slots_per_ring", 1, 1 << 20),
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
            connections,
            client: None,
            message_bytes: None,
            depth: None,
            mode: None,
            rate: None,
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
            ("loss_ppm", self.loss_ppm.map(u64::from)),
            ("duplicate_ppm", self.duplicate_ppm.map(u64::from)),
            ("reorder_ppm", self.reorder_ppm.map(u64::from)),
            ("active_connections", self.active_connections.map(u64::from)),
            ("group_connections", self.group_connections.map(u64::from)),
            ("connect_window", self.connect_window.map(u64::from)),
            ("client_spin_us", self.client_spin_us.map(u64::from)),
            ("slots_per_ring", self.slots_per_ring.map(u64::from)),
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

    /// Refuses keys that are sound on their own and not together.
    pub(super) fn check_together(case: &Case) -> Result<(), PlanError> {
        let conflict = |problem: &str| Err(PlanError::Conflict(problem.to_owned()));
        if (1..10).contains(&case.measure_ms) {
            return conflict("a measured span is 10 ms or longer, or 0 for none: set measure_ms");
        }
        Self::check_peer(case)?;
        match case.state {
            None => Ok(()),
            Some(_) if case.peer == Peer::Kernel => conflict(
                "a state is held by ghost peers, so that the server's end is all that there is: use peer = \"ghost\"",
            ),
            Some(_) if case.network == NetworkChoice::Host => {
                conflict("a state needs a network of its own: use network = \"private\"")
            }
            Some(state)
                if state.is_engines()
                    && case.engine.is_some_and(|engine| !engine.profile().echoes) =>
            {
                conflict("this state is an engine's, and the engine null has none: name another")
            }
            Some(_) => Ok(()),
        }
    }

    fn check_peer(case: &Case) -> Result<(), PlanError> {
        let conflict = |problem: &str| Err(PlanError::Conflict(problem.to_owned()));
        match (case.mode, case.rate) {
            (Mode::Open, None) => {
                return conflict("an open loop offers messages at a rate: set rate, such as 20000");
            }
            (Mode::Closed, Some(_)) => {
                return conflict("a closed loop has no rate of its own: use mode = \"open\"");
            }
            _ => {}
        }
        if case.peer == Peer::Kernel {
            if case.mode == Mode::Open {
                return conflict("the open loop is driven by ghosts: use peer = \"ghost\"");
            }
            if case.has_faults() || case.tcp_options != TcpOptions::Plain {
                return conflict(
                    "tcp_options, loss_ppm, duplicate_ppm and reorder_ppm are of a ghost's TCP: use peer = \"ghost\"",
                );
            }
            return Ok(());
        }
        if case.network == NetworkChoice::Host {
            return conflict("ghost peers need a network of their own: use network = \"private\"");
        }
        if case.client == ClientKind::Spin {
            return conflict("ghosts have no sockets to spin on: leave client out");
        }
        Ok(())
    }

    /// The case, with every default in it.
    pub(super) fn fill(&self, defaults: &CaseDefaults) -> Case {
        let network = self.network.unwrap_or(NetworkChoice::Private);
        let sysctls = self.sysctls.clone().unwrap_or_default();
        let default_peer = self.state.map_or(Peer::Kernel, |_| Peer::Ghost);
        let peer = self.peer.unwrap_or(default_peer);
        // Both ends of the floor are spun, where there are two.
        let default_client = match self.engine {
            Engine::Spin if peer == Peer::Kernel => ClientKind::Spin,
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
        let default_mode = self.rate.map_or(Mode::Closed, |_| Mode::Open);
        let active_connections = self
            .active_connections
            .unwrap_or(ACTIVE_CONNECTIONS)
            .min(self.connections);
        let hot_connections = self.hot_connections.filter(|&hot| hot < self.connections);
        let mut case = Case {
            engine: Some(self.engine),
            target: None,
            client: self.client.unwrap_or(default_client),
            connections: self.connections,
            message_bytes: self.message_bytes.unwrap_or(64),
            depth: self.depth.unwrap_or(1),
            mode: self.mode.unwrap_or(default_mode),
            rate: self.rate,
            schedule: self.schedule.unwrap_or_default(),
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
            sysctls,
            slots_per_ring: self.slots_per_ring,
            server_cpus: cores(&self.server_cpus, &defaults.server_cpus),
            client_cpus: cores(&self.client_cpus, &defaults.client_cpus),
        };
        case.rounds = self.rounds_of(&case);
        case
    }

    /// Without a warm-up of all connections, a round proves each of them live.
    fn rounds_of(&self, case: &Case) -> Vec<u32> {
        if !case.echoes() {
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
mod tests {
    use super::*;

    fn defaults() -> CaseDefaults {
        CaseDefaults::new(vec![0], vec![1])
    }

    fn refusal(request: &CaseRequest) -> String {
        request.resolve(&defaults()).unwrap_err().to_string()
    }

    #[test]
    fn a_bare_request_gets_every_default() {
        let case = CaseRequest::new(Engine::Uring, 1000)
            .resolve(&defaults())
            .unwrap();
        assert_eq!(case.client, ClientKind::Uring);
        assert_eq!((case.message_bytes, case.depth), (64, 1));
        assert_eq!(case.active_connections, 1000);
        assert_eq!(case.connect_window, 256);
        assert_eq!(
            (case.settle_ms, case.warmup_ms, case.measure_ms),
            (200, 500, 2000)
        );
        assert_eq!(case.network, NetworkChoice::Private);
        assert_eq!(case.group_connections, 25_000);
        assert_eq!((case.server_cpus, case.client_cpus), (vec![0], vec![1]));
        assert!(!case.control);
    }

    #[test]
    fn the_floor_is_spun_at_both_ends_unless_told_otherwise() {
        let mut request = CaseRequest::new(Engine::Spin, 10);
        assert_eq!(request.fill(&defaults()).client, ClientKind::Spin);
        request.client = Some(ClientKind::Uring);
        assert_eq!(request.fill(&defaults()).client, ClientKind::Uring);
    }

    #[test]
    fn the_active_window_is_capped_and_never_exceeds_the_connections() {
        let mut request = CaseRequest::new(Engine::Epoll, 1_000_000);
        assert_eq!(request.fill(&defaults()).active_connections, 16_384);
        request.active_connections = Some(1_000_000);
        assert_eq!(request.fill(&defaults()).active_connections, 1_000_000);
        request.connections = 10;
        assert_eq!(request.fill(&defaults()).active_connections, 10);
    }

    #[test]
    fn ghosts_have_windows_of_their_own() {
        let mut request = CaseRequest::new(Engine::UringPoll, 5_000_000);
        request.peer = Some(Peer::Ghost);
        request.measure_ms = Some(0);
        let case = request.resolve(&defaults()).unwrap();
        assert_eq!(
            (case.active_connections, case.connect_window),
            (16_384, 1_024)
        );
        assert_eq!(case.rounds, [64]);
        request.measure_ms = None;
        request.state = Some(EndpointState::Armed);
        let case = request.resolve(&defaults()).unwrap();
        assert_eq!(
            (case.active_connections, case.connect_window),
            (16_384, 256)
        );
        let mut spun = CaseRequest::new(Engine::Spin, 10);
        spun.peer = Some(Peer::Ghost);
        assert_eq!(spun.resolve(&defaults()).unwrap().client, ClientKind::Uring);
    }

    #[test]
    fn a_rate_opens_the_loop_and_only_ghosts_drive_it() {
        let mut request = CaseRequest::new(Engine::Uring, 10);
        request.peer = Some(Peer::Ghost);
        request.rate = Some(20_000);
        assert_eq!(request.resolve(&defaults()).unwrap().mode, Mode::Open);
        request.mode = Some(Mode::Closed);
        assert!(refusal(&request).contains("use mode = \"open\""));
        request.mode = Some(Mode::Open);
        request.rate = None;
        assert!(refusal(&request).contains("set rate"));
        request.rate = Some(20_000);
        request.network = Some(NetworkChoice::Host);
        assert!(refusal(&request).contains("use network = \"private\""));
        request.network = None;
        request.peer = Some(Peer::Kernel);
        assert!(refusal(&request).contains("use peer = \"ghost\""));
        let lossy = CaseRequest {
            loss_ppm: Some(1),
            ..CaseRequest::new(Engine::Uring, 10)
        };
        assert!(refusal(&lossy).contains("of a ghost's TCP"));
    }

    #[test]
    fn groups_follow_the_port_range_that_the_run_will_have() {
        let mut request = CaseRequest::new(Engine::Epoll, 10);
        let refused = CaseDefaults {
            is_private_possible: false,
            ..defaults()
        };
        assert_eq!(request.fill(&refused).group_connections, 14_116);
        let narrow = ("net.ipv4.ip_local_port_range", "10000 10999");
        request.sysctls = Some([(narrow.0.to_owned(), narrow.1.to_owned())].into());
        assert_eq!(request.fill(&defaults()).group_connections, 500);
        request.network = Some(NetworkChoice::Host);
        assert_eq!(request.fill(&defaults()).group_connections, 14_116);
    }

    #[test]
    fn what_is_out_of_range_is_refused_with_what_is_allowed() {
        let nothing = CaseRequest::new(Engine::Uring, 0);
        assert_eq!(
            refusal(&nothing),
            "connections is 0; allowed is 1 to 100000000"
        );
        let ask = CaseRequest::new(Engine::Uring, 10);
        for (request, key) in [
            (
                CaseRequest {
                    message_bytes: Some(0),
                    ..ask.clone()
                },
                "message_bytes is 0; allowed is 1 to 16777216",
            ),
            (
                CaseRequest {
                    message_bytes: Some(2 << 30),
                    ..ask.clone()
                },
                "message_bytes is 2147483648;",
            ),
            (
                CaseRequest {
                    depth: Some(1025),
                    ..ask.clone()
                },
                "depth is 1025; allowed is 1 to 1024",
            ),
            (
                CaseRequest {
                    measure_ms: Some(9),
                    ..ask.clone()
                },
                "a measured span is 10 ms or longer",
            ),
            (
                CaseRequest {
                    connect_window: Some(4096),
                    ..ask.clone()
                },
                "connect_window is 4096; allowed is 1 to 4095",
            ),
            (
                CaseRequest {
                    server_cpus: Some(vec![1, 0, 1]),
                    ..ask.clone()
                },
                "server_cpus names core 1 twice",
            ),
            (
                CaseRequest {
                    client_cpus: Some(vec![]),
                    ..ask.clone()
                },
                "client_cpus is an empty list",
            ),
        ] {
            let text = refusal(&request);
            assert!(text.starts_with(key), "{text}");
        }
        let shared = CaseRequest {
            server_cpus: Some(vec![0]),
            client_cpus: Some(vec![0]),
            ..ask
        };
        assert!(shared.resolve(&defaults()).is_ok());
    }
}

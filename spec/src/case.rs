//! A case: one fully resolved, immutable configuration, with every default already in it.

use crate::engine::Engine;
use crate::factors::Factors;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The bounds of what a case may ask for; outside them a plan or a flag is refused.
pub mod bounds {
    /// Connections of one run. Past this the address plan would leave 127.0.0.0/8.
    pub const CONNECTIONS: std::ops::RangeInclusive<u32> = 1..=100_000_000;
    /// Bytes of one message: a message must be at least one byte, and the client keeps a pattern as long as it.
    pub const MESSAGE_BYTES: std::ops::RangeInclusive<u32> = 1..=16 * 1024 * 1024;
    /// Messages in flight on one connection.
    pub const DEPTH: std::ops::RangeInclusive<u32> = 1..=1024;
    /// Length of the warm-up.
    pub const SPAN_MS: std::ops::RangeInclusive<u64> = 10..=86_400_000;
    /// Messages a second of an open loop.
    pub const RATE: std::ops::RangeInclusive<u32> = 1..=100_000_000;
    /// Percent of the capacity that an open loop offers. Past it, the server falls behind.
    pub const RATE_PERCENT: std::ops::RangeInclusive<u32> = 1..=200;
    /// Faulty segments in a million. With more, no handshake would end.
    pub const FAULTS_PPM: std::ops::RangeInclusive<u32> = 0..=200_000;
    /// Full rounds of one run.
    pub const ROUNDS_MAX: usize = 64;
    /// Server threads, each with a listener, and a ring if it has one, of its own.
    pub const WORKERS: std::ops::RangeInclusive<u32> = 1..=1024;
    /// Microseconds between two bursts.
    pub const BURST_PAUSE_US: std::ops::RangeInclusive<u32> = 0..=10_000_000;
}

const GHOST_ROUND_CONNECTIONS: u32 = 64;

/// How load is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The next message leaves when an echo has come back: capacity.
    Closed,
    /// Messages leave at times that a schedule fixed beforehand, whether or not echoes come back: latency. It
    /// is taken from the intended time.
    Open,
    /// Each active connection is opened, echoes one message, is closed, and opened again: connections a
    /// second. A connection's latency is from its connect to the verified echo.
    Churn,
}

/// When the messages of an open loop leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Independent of each other, as many clients' would be: gaps are exponentially distributed.
    #[default]
    Poisson,
    /// One after the other, at equal gaps.
    Uniform,
}

/// Which options a ghost's TCP offers in its SYN, beside the segment size and the window scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TcpOptions {
    /// None.
    #[default]
    Plain,
    /// Timestamps (RFC 7323), in every segment: 12 bytes more.
    Timestamps,
    /// Selective acknowledgement is permitted (RFC 2018).
    Sack,
    /// Both, as a kernel's client offers.
    TimestampsSack,
}

impl TcpOptions {
    /// Whether segments carry timestamps.
    pub fn has_timestamps(self) -> bool {
        matches!(self, Self::Timestamps | Self::TimestampsSack)
    }

    /// Whether selective acknowledgement is offered.
    pub fn has_sack(self) -> bool {
        matches!(self, Self::Sack | Self::TimestampsSack)
    }
}

/// Who is at the other end of the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// Real sockets of this machine's kernel.
    Kernel,
    /// A user-space TCP behind a TUN device, which keeps no socket: the server's end is all that is held.
    Ghost,
}

/// Where among all connections those lie that take part in the measured span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HotPlacement {
    /// Evenly over all of them, and so over all rings, tables and caches.
    #[default]
    Spread,
    /// The ones that were opened first, side by side.
    First,
}

/// A state in which the server's endpoints are held, so that its price is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointState {
    /// A SYN was answered and the handshake never ended.
    HalfOpen,
    /// The handshake is over; nobody has accepted.
    AcceptQueue,
    /// Accepted and held; nobody waits for its data.
    Accepted,
    /// Accepted, and the engine waits for its data.
    Armed,
    /// The same after one echo.
    Echoed,
    /// Accepted; 64 bytes have come and nobody has read them.
    #[serde(rename = "unread-64")]
    Unread64,
    /// Accepted; 4,096 bytes have come and nobody has read them.
    #[serde(rename = "unread-4096")]
    Unread4096,
    /// Accepted; as much has come as the receive window takes, and nobody has read it.
    UnreadFull,
    /// The server has written until the socket took no more, to a peer whose window is closed.
    SendFull,
    /// The server has shut its side down and holds the descriptor; the peer has acknowledged, not closed.
    #[serde(rename = "fin-wait-2-held")]
    FinWait2Held,
    /// The server has closed; the peer has acknowledged that, not closed.
    #[serde(rename = "fin-wait-2")]
    FinWait2,
    /// The server has closed first, and the peer after it.
    TimeWait,
    /// The server has closed, and the peer answers nothing any more.
    Orphan,
}

/// Every state with its name and what it is, in the order of a connection's life.
pub const ENDPOINT_STATES: [(EndpointState, &str, &str); 13] = [
    (
        EndpointState::HalfOpen,
        "half-open",
        "SYN answered, handshake not ended",
    ),
    (
        EndpointState::AcceptQueue,
        "accept-queue",
        "established, waiting in the accept queue",
    ),
    (
        EndpointState::Accepted,
        "accepted",
        "accepted, nobody waits for data",
    ),
    (
        EndpointState::Armed,
        "armed",
        "accepted, the engine waits for data",
    ),
    (
        EndpointState::Echoed,
        "echoed",
        "after one echo, the engine waits again",
    ),
    (EndpointState::Unread64, "unread-64", "64 bytes unread"),
    (
        EndpointState::Unread4096,
        "unread-4096",
        "4,096 bytes unread",
    ),
    (
        EndpointState::UnreadFull,
        "unread-full",
        "a full receive window unread",
    ),
    (
        EndpointState::SendFull,
        "send-full",
        "send buffer full, the peer's window closed",
    ),
    (
        EndpointState::FinWait2Held,
        "fin-wait-2-held",
        "FIN_WAIT2 after shutdown, descriptor held",
    ),
    (
        EndpointState::FinWait2,
        "fin-wait-2",
        "FIN_WAIT2 after close",
    ),
    (EndpointState::TimeWait, "time-wait", "TIME_WAIT"),
    (
        EndpointState::Orphan,
        "orphan",
        "closed, FIN never acknowledged",
    ),
];

impl EndpointState {
    fn row(self) -> &'static (EndpointState, &'static str, &'static str) {
        ENDPOINT_STATES
            .iter()
            .find(|(state, ..)| *state == self)
            .expect("every state has a row")
    }

    /// Its name in plans and records.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// What it is, for a reader.
    pub fn summary(self) -> &'static str {
        self.row().2
    }

    /// Whether it is the engine that makes the difference.
    pub fn is_engines(self) -> bool {
        matches!(self, Self::Armed | Self::Echoed)
    }
}

/// How the load generator drives its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientKind {
    /// The io_uring load generator.
    Uring,
    /// Plain non-blocking `recv` and `send` in turn: the client's half of the floor.
    Spin,
}

/// How connection indices map to addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressMode {
    /// One source address, destinations 127.0.0.k on one server port, no bind on the client.
    Destinations,
    /// One server address and port, many client addresses: the strict form of "one listening port".
    Sources,
}

/// A server that is not this program's, started by a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreign {
    /// What it is called in records and on charts. Left out, it is the program's file name.
    #[serde(default)]
    pub name: String,
    /// The program and its arguments, in which `{port}` and `{address}` stand for where it is to listen.
    pub command: Vec<String>,
}

impl Foreign {
    /// What it is called.
    pub fn label(&self) -> &str {
        let program = self.command.first().map_or("", String::as_str);
        match self.name.as_str() {
            "" => program.rsplit('/').next().unwrap_or(program),
            name => name,
        }
    }
}

/// What lies between the two ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// The loopback device: one namespace.
    #[default]
    Lo,
    /// A pair of virtual Ethernet devices with an MTU of 1,500: a namespace for each side.
    Veth,
}

/// Which network a run uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkChoice {
    /// A network namespace of the run's own; the host's network if namespaces are refused, and the record says so.
    Private,
    /// The host's network as it is.
    Host,
}

/// One fully resolved configuration. Two runs of equal cases differ by chance alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The engine that serves; `null` if `target` is a server that this program did not start.
    pub engine: Option<Engine>,
    /// What is started, of the engine `foreign`.
    #[serde(default)]
    pub foreign: Option<Foreign>,
    /// How the engine does what it does.
    #[serde(default)]
    pub factors: Factors,
    /// Server threads that share the port, each with a listener, and a ring if it has one, of its own.
    /// Of a runtime with threads of its own it is how many those are.
    #[serde(default = "one")]
    pub workers: u32,
    /// The address of that server; `null` if the run starts its own.
    pub target: Option<SocketAddr>,
    /// The load generator.
    pub client: ClientKind,
    /// How many connections are opened and held.
    pub connections: u32,
    /// Open until memory is nearly used up, and `connections` at most: how many there are is the answer.
    #[serde(default)]
    pub until_full: bool,
    /// Have memory backed by the machine's hypervisor before the ramp: see `setup.prepared_bytes`.
    #[serde(default)]
    pub prepare_memory: bool,
    /// The state in which the server's endpoints are held; `null` is an ordinary run.
    #[serde(default)]
    pub state: Option<EndpointState>,
    /// Bytes of one message.
    pub message_bytes: u32,
    /// Messages in flight on each active connection.
    pub depth: u32,
    /// How load is offered.
    pub mode: Mode,
    /// Messages a second that an open loop offers, over all connections; `null` in a closed loop.
    #[serde(default)]
    pub rate: Option<u32>,
    /// What share of the engine's capacity `rate` is, in percent, where a plan said so. The capacity is measured
    /// first, by the closed loop of the same case; until then `rate` is `null`.
    #[serde(default)]
    pub rate_percent: Option<u32>,
    /// When they leave.
    #[serde(default)]
    pub schedule: Schedule,
    /// The pause between two bursts: all active connections send `depth` messages at once, and once all of
    /// them are answered, nothing happens for so long. `null` is no bursts: who is answered sends on.
    #[serde(default)]
    pub burst_pause_us: Option<u32>,
    /// Who is at the other end.
    pub peer: Peer,
    /// What a ghost's TCP offers.
    #[serde(default)]
    pub tcp_options: TcpOptions,
    /// Of a million segments between ghosts and server, in each direction, how many are lost on purpose.
    #[serde(default)]
    pub loss_ppm: u32,
    /// How many arrive twice.
    #[serde(default)]
    pub duplicate_ppm: u32,
    /// How many arrive after the one that followed them.
    #[serde(default)]
    pub reorder_ppm: u32,
    /// Which repeat of the configuration this is, from 0.
    pub repeat: u32,
    /// Whether this is the second arm of an A/A pair: the same configuration under another label.
    pub control: bool,
    /// How connection indices map to addresses.
    pub addresses: AddressMode,
    /// The most connections that share source address, destination address and destination port.
    pub group_connections: u32,
    /// How many connections have messages in flight at once; the turn passes round all of them.
    pub active_connections: u32,
    /// How many connections take part in the measured span, the others stay open and idle; `null` is all.
    #[serde(default)]
    pub hot_connections: Option<u32>,
    /// Where those lie.
    #[serde(default)]
    pub hot_placement: HotPlacement,
    /// Full rounds before the measured span, in each of which every connection echoes once: how many
    /// are active at once in each.
    #[serde(default)]
    pub rounds: Vec<u32>,
    /// The most connects in flight during the ramp.
    pub connect_window: u32,
    /// How long the client watches for echoes before it sleeps. A client that sleeps has to be woken, and
    /// on loopback the server pays for that; its core is its own, so watching takes nothing from anybody.
    pub client_spin_us: u32,
    /// How long nothing happens after the ramp, before memory is read.
    pub settle_ms: u64,
    /// The least length of the warm-up; it lasts until every connection has been proved live.
    pub warmup_ms: u64,
    /// How long all connections are held idle; then each is proved live again. 0 is not at all.
    #[serde(default)]
    pub hold_ms: u64,
    /// The length of the measured span; 0 is none.
    pub measure_ms: u64,
    /// Which network it uses.
    pub network: NetworkChoice,
    /// What lies between the two ends.
    #[serde(default)]
    pub path: Path,
    /// Settings of the private namespace, applied before the server listens: sysctl name → value.
    pub sysctls: BTreeMap<String, String>,
    /// Slots of one ring's descriptor table; `null` is the most that limits allow.
    pub slots_per_ring: Option<u32>,
    /// The most rings that a server process may have; `null` is as many as the connections need. A full last one
    /// stops the growth.
    #[serde(default)]
    pub rings_max: Option<u32>,
    /// Server processes of an engine on process descriptors; `null` is as many as the descriptors require.
    #[serde(default)]
    pub server_processes: Option<u32>,
    /// RLIMIT_NOFILE of a server process, where it is to have less than it could.
    #[serde(default)]
    pub server_descriptors: Option<u32>,
    /// The cores that the server may use.
    pub server_cpus: Vec<u32>,
    /// The cores that the client may use.
    pub client_cpus: Vec<u32>,
}

fn one() -> u32 {
    1
}

impl Case {
    /// A line that names the case to a person: engine, connections, and what is not the default.
    pub fn label(&self) -> String {
        let mut label = match self.until_full {
            true => format!("{} until full", self.arm()),
            false => format!("{} × {}", self.arm(), self.connections),
        };
        if self.message_bytes != 64 {
            label.push_str(&format!(", {} B", self.message_bytes));
        }
        if self.depth != 1 {
            label.push_str(&format!(", depth {}", self.depth));
        }
        if self.hot() < self.connections {
            label.push_str(&format!(", {} hot", self.hot()));
        }
        match (self.rate, self.rate_percent) {
            (Some(rate), Some(percent)) => {
                label.push_str(&format!(", {rate}/s offered ({percent} %)"));
            }
            (Some(rate), None) => label.push_str(&format!(", {rate}/s offered")),
            (None, Some(percent)) => label.push_str(&format!(", {percent} % of capacity offered")),
            (None, None) => {}
        }
        if self.mode == Mode::Churn {
            label.push_str(", churn");
        }
        if let Some(pause_us) = self.burst_pause_us {
            label.push_str(&format!(", bursts {pause_us} µs apart"));
        }
        if self.workers > 1 {
            label.push_str(&format!(", {} workers", self.workers));
        }
        if self.path == Path::Veth {
            label.push_str(", veth");
        }
        if self.has_faults() {
            label.push_str(", faulty path");
        }
        if self.is_ghost_load() {
            label.push_str(", ghosts");
        }
        if let Some(state) = self.state {
            label.push_str(&format!(", {}", state.name()));
        }
        label
    }

    /// The name under which results of this case are grouped: the engine's with the factors in which it is
    /// not the default, or what the foreign server is called or its address; marked if it is the A/A arm.
    pub fn arm(&self) -> String {
        let name = match (self.engine, &self.foreign, self.target) {
            (_, Some(foreign), _) => foreign.label().to_owned(),
            (Some(engine), ..) if self.factors.is_default() => engine.to_string(),
            (Some(engine), ..) => format!("{engine}, {}", self.factors),
            (None, _, Some(target)) => target.to_string(),
            (None, _, None) => "no server".to_owned(),
        };
        if self.control {
            format!("{name} (A/A)")
        } else {
            name
        }
    }

    /// The case as a plan has it: a rate that was a share of the capacity is not known there.
    #[must_use]
    pub fn planned(&self) -> Self {
        Self {
            rate: self.rate.filter(|_| self.rate_percent.is_none()),
            ..self.clone()
        }
    }

    /// The closed loop that measures the capacity of which this case offers a share.
    #[must_use]
    pub fn capacity(&self) -> Self {
        Self {
            mode: Mode::Closed,
            rate: None,
            rate_percent: None,
            schedule: Schedule::default(),
            ..self.clone()
        }
    }

    /// Whether the server answers. A foreign one is taken to: otherwise there is nothing to ask it.
    pub fn echoes(&self) -> bool {
        self.state.is_none() && self.engine.is_none_or(|engine| engine.profile().echoes)
    }

    /// Whether ghosts generate load, rather than hold a state.
    pub fn is_ghost_load(&self) -> bool {
        self.peer == Peer::Ghost && self.state.is_none()
    }

    /// Whether segments are lost, doubled or overtaken on purpose.
    pub fn has_faults(&self) -> bool {
        self.loss_ppm > 0 || self.duplicate_ppm > 0 || self.reorder_ppm > 0
    }

    /// How many connections are active at once in a round of which nothing else is said. Of ghosts few: with
    /// more, what the server touches for one connection has left the caches before its turn is over, and past
    /// 40 ms it acknowledges each message apart. From 4,096 to 64 a round of 500,000 became faster by a quarter or more.
    pub fn round_connections(&self) -> u32 {
        match self.peer {
            Peer::Kernel => self.active_connections,
            Peer::Ghost => self.active_connections.min(GHOST_ROUND_CONNECTIONS),
        }
    }

    /// How many connections take part in the measured span.
    pub fn hot(&self) -> u32 {
        let hot = self.hot_connections.unwrap_or(self.connections);
        hot.clamp(1, self.connections.max(1))
    }

    /// The connection that is the `rank`-th of those, from 0.
    pub fn hot_index(&self, rank: u32) -> u32 {
        match self.hot_placement {
            HotPlacement::First => rank,
            HotPlacement::Spread => {
                let index = u64::from(rank) * u64::from(self.connections) / u64::from(self.hot());
                u32::try_from(index).expect("a rank below the hot count is an index below all")
            }
        }
    }

    /// Whether there is a measured span.
    pub fn measures(&self) -> bool {
        self.echoes() && self.measure_ms > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::plan::{CaseDefaults, CaseRequest};

    #[test]
    fn the_hot_ones_are_distinct_and_spread() {
        let defaults = CaseDefaults::new(vec![0], vec![1]);
        let mut request = CaseRequest::new(Engine::Uring, 1_000);
        for hot in [1, 7, 333, 1_000] {
            request.hot_connections = Some(hot);
            let case = request.resolve(&defaults).unwrap();
            let indices: Vec<u32> = (0..hot).map(|rank| case.hot_index(rank)).collect();
            assert!(indices.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(*indices.last().unwrap() >= 1_000 - 1_000u32.div_ceil(hot));
        }
        request.hot_placement = Some(HotPlacement::First);
        assert_eq!(request.resolve(&defaults).unwrap().hot_index(9), 9);
    }

    #[test]
    fn a_case_of_an_earlier_version_still_reads() {
        let case = CaseRequest::new(Engine::Uring, 10)
            .resolve(&CaseDefaults::new(vec![0], vec![1]))
            .unwrap();
        let mut json = serde_json::to_value(&case).unwrap();
        for key in [
            "until_full",
            "prepare_memory",
            "state",
            "hot_connections",
            "hot_placement",
            "rounds",
            "hold_ms",
            "rate",
            "rate_percent",
            "schedule",
            "tcp_options",
            "loss_ppm",
            "duplicate_ppm",
            "reorder_ppm",
            "foreign",
            "factors",
            "workers",
            "burst_pause_us",
            "path",
            "rings_max",
            "server_processes",
            "server_descriptors",
        ] {
            json.as_object_mut().unwrap().remove(key).unwrap();
        }
        assert_eq!(serde_json::from_value::<Case>(json).unwrap(), case);
    }

    #[test]
    fn every_state_says_its_own_name() {
        for (state, name, _) in ENDPOINT_STATES {
            assert_eq!(serde_json::to_value(state).unwrap(), name);
        }
    }
}

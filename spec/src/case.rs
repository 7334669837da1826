//! A case: one fully resolved, immutable configuration, with every default already in it.

use crate::engine::Engine;
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
    /// Length of the warm-up or of the measured span.
    pub const SPAN_MS: std::ops::RangeInclusive<u64> = 10..=86_400_000;
}

/// How load is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The next message leaves when an echo has come back: capacity.
    Closed,
}

/// Who is at the other end of the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// Real sockets of this machine's kernel.
    Kernel,
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

/// Where the traffic flows.
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
    /// The address of that server; `null` if the run starts its own.
    pub target: Option<SocketAddr>,
    /// The load generator.
    pub client: ClientKind,
    /// How many connections are opened and held.
    pub connections: u32,
    /// Bytes of one message.
    pub message_bytes: u32,
    /// Messages in flight on each active connection.
    pub depth: u32,
    /// How load is offered.
    pub mode: Mode,
    /// Who is at the other end.
    pub peer: Peer,
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
    /// The most connects in flight during the ramp.
    pub connect_window: u32,
    /// How long the client watches for echoes before it sleeps. A client that sleeps has to be woken, and
    /// on loopback the server pays for that; its core is its own, so watching takes nothing from anybody.
    pub client_spin_us: u32,
    /// How long nothing happens after the ramp, before memory is read.
    pub settle_ms: u64,
    /// The least length of the warm-up; it lasts until every connection has been proved live.
    pub warmup_ms: u64,
    /// The length of the measured span.
    pub measure_ms: u64,
    /// Where the traffic flows.
    pub network: NetworkChoice,
    /// Settings of the private namespace, applied before the server listens: sysctl name → value.
    pub sysctls: BTreeMap<String, String>,
    /// Slots of one ring's descriptor table; `null` is the most that limits allow.
    pub slots_per_ring: Option<u32>,
    /// The cores that the server may use.
    pub server_cpus: Vec<u32>,
    /// The cores that the client may use.
    pub client_cpus: Vec<u32>,
}

impl Case {
    /// A line that names the case to a person: engine, connections, and what is not the default.
    pub fn label(&self) -> String {
        let mut label = format!("{} × {}", self.arm(), self.connections);
        if self.message_bytes != 64 {
            label.push_str(&format!(", {} B", self.message_bytes));
        }
        if self.depth != 1 {
            label.push_str(&format!(", depth {}", self.depth));
        }
        label
    }

    /// The name under which results of this case are grouped: the engine's, marked if it is the A/A
    /// arm, or the foreign server's address.
    pub fn arm(&self) -> String {
        let name = match (self.engine, self.target) {
            (Some(engine), _) => engine.to_string(),
            (None, Some(target)) => target.to_string(),
            (None, None) => "no server".to_owned(),
        };
        if self.control {
            format!("{name} (A/A)")
        } else {
            name
        }
    }

    /// Whether the server answers. A foreign one is taken to: otherwise there is nothing to ask it.
    pub fn echoes(&self) -> bool {
        self.engine.is_none_or(|engine| engine.profile().echoes)
    }
}

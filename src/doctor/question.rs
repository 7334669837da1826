//! What the doctor is asked: how many connections, of what kind of server and client.

use serde::Serialize;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Question {
    /// How many connections are wanted on top of those that there are; `None` is as many as possible.
    pub connections: Option<u64>,
    /// The server, if it is on this machine.
    pub server: Option<Serving>,
    /// The client, if it is on this machine.
    pub client: Option<Connecting>,
    /// What a connection takes.
    pub memory: EachBytes,
}

/// What one end of a connection takes of its process's descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takes {
    /// One of the process: it counts against RLIMIT_NOFILE and fs.file-max.
    Descriptor,
    /// A slot of a ring's table: it counts against fs.file-max alone.
    DirectSlot,
    /// Neither: nobody holds it.
    Nothing,
}

/// A server on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Serving {
    /// What a connection takes.
    pub takes: Takes,
    /// How many processes share them.
    pub processes: u64,
    /// Descriptors of each process that are not connections and that it does not have open yet: of one that is yet to
    /// be started, its listener and what it waits with.
    pub own_descriptors: u64,
    /// Slots of one ring's table, where that is fixed.
    pub slots_per_ring: Option<u64>,
    /// The most rings that a process may have.
    pub rings_max: Option<u64>,
    /// Whether it watches each connection by epoll.
    pub watches: bool,
    /// Whether each connection has a thread.
    pub has_threads: bool,
    /// Whether it accepts at all. Connections that nobody accepts wait in the queue.
    pub accepts: bool,
    /// The backlog that it listens with.
    pub backlog: u64,
}

/// A client on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connecting {
    /// What a connection takes.
    pub takes: Takes,
    /// As of [`Serving::own_descriptors`].
    pub own_descriptors: u64,
    /// How many different (source address, destination address, destination port) there are: each has a port range of
    /// its own. `None` is as many as it takes.
    pub groups: Option<u64>,
    /// The most connections of one of them.
    pub group_connections: Option<u64>,
    /// How a source port is picked.
    pub binding: Binding,
}

/// How a client's source port is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binding {
    /// By `connect`, for each destination anew; also by `bind` to port 0 with `IP_BIND_ADDRESS_NO_PORT`.
    AtConnect,
    /// By `bind` to port 0, when no destination is known: one range for all of them.
    AtBind,
    /// The kernel picks none: the clients are ghosts, or this machine's TCP is not theirs.
    Never,
}

/// What a connection takes of memory, on this machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EachBytes {
    /// All of it, kernel and user, of all ends that are here.
    pub bytes: u64,
    /// What of that a control group is charged; `None` is not known, and then all of it is reckoned.
    pub charged_bytes: Option<u64>,
    /// What these ends are: `a pair`, `an endpoint`.
    pub unit: String,
    /// Where the figures are from.
    pub source: BytesSource,
}

/// Where bytes a connection are from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BytesSource {
    /// Runs on this machine, with this kernel: the directory, and how many connections the largest of them held.
    Measured {
        /// The directory of the records.
        directory: String,
        /// Connections of the largest run.
        connections: u64,
    },
    /// This program's published figures, of another machine.
    Published,
}

//! What bounds the number of connections, as it was read: of one process, its control group, its network, its machine.
//!
//! Nothing here is a conclusion. What could not be read says why.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A value that was read, or why it could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading<T> {
    /// What was read.
    Known(T),
    /// Why it could not be: what was tried, and what came of it.
    Unknown(String),
}

impl<T> Reading<T> {
    /// The value, if it was read.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// Why it was not.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(reason) => Some(reason),
        }
    }

    /// The same of what the value leads to.
    pub fn map<U>(self, function: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known(value) => Reading::Known(function(value)),
            Self::Unknown(reason) => Reading::Unknown(reason),
        }
    }
}

impl<T> Default for Reading<T> {
    fn default() -> Self {
        Self::Unknown("it was not looked for".to_owned())
    }
}

/// What came of asking the kernel for something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// It was given.
    Granted,
    /// It was not; why.
    Refused(String),
}

/// Everything that can stop a process at N connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// What is the process's own.
    pub process: ProcessLimits,
    /// What is its control groups'.
    pub group: GroupLimits,
    /// What is its network namespace's.
    pub network: NetworkLimits,
    /// What is the machine's.
    pub machine: MachineLimits,
}

/// What is a process's own, or its user's. Of a process that is yet to be started, what it would inherit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessLimits {
    /// Which process; `null` is one that is yet to be started from here.
    pub pid: Option<u32>,
    /// What it is called.
    pub name: Option<String>,
    /// RLIMIT_NOFILE, soft; `u64::MAX` is no limit, here and below.
    pub descriptors_soft: Reading<u64>,
    /// RLIMIT_NOFILE, hard.
    pub descriptors_hard: Reading<u64>,
    /// Descriptors that it has open. Of one that is yet to be started, those that it would inherit: the standard
    /// streams, and what whoever starts it left open to it.
    pub descriptors_open: Reading<u64>,
    /// RLIMIT_NPROC, soft: tasks of its user, which root is exempt from.
    pub tasks_of_user_max: Reading<u64>,
    /// RLIMIT_NPROC, hard.
    #[serde(default)]
    pub tasks_of_user_hard: Reading<u64>,
    /// Tasks that its user has.
    pub tasks_of_user: Reading<u64>,
    /// RLIMIT_MEMLOCK, soft, bytes.
    pub locked_bytes_max: Reading<u64>,
    /// Mappings that it has; of one that is yet to be started, none.
    pub mappings: Reading<u64>,
    /// Its effective user.
    pub user: Reading<u32>,
    /// Its effective capabilities in its own user namespace, as a bit set; and whether that is the first one, because
    /// most exemptions are given there alone.
    pub capabilities: Reading<u64>,
    /// Whether its user namespace is the machine's first.
    pub is_in_first_user_namespace: Reading<bool>,
    /// Its seccomp mode: 0 is none, 2 is a filter.
    pub seccomp: Reading<u32>,
}

/// What the control groups of a process allow it. A limit may sit on any of the groups that it is in: each is listed,
/// the innermost first; none where there is no limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupLimits {
    /// Which version the memory controller is of.
    pub version: Option<u32>,
    /// Memory limits.
    pub memory: Reading<Vec<GroupMemory>>,
    /// Task limits: where it was read, the limit, and what is used.
    pub tasks: Reading<Vec<GroupTasks>>,
}

/// A memory limit of a control group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMemory {
    /// The file of the limit.
    pub file: String,
    /// What it may be charged.
    pub limit_bytes: u64,
    /// What it is charged, less the page cache that would be given up.
    pub used_bytes: u64,
}

/// A task limit of a control group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTasks {
    /// The file of the limit.
    pub file: String,
    /// How many it may have.
    pub limit: u64,
    /// How many it has.
    pub used: u64,
}

/// What a network namespace allows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkLimits {
    /// `net.ipv4.ip_local_port_range`: both ends belong to it.
    pub ports: Reading<(u16, u16)>,
    /// How many ports of that range `net.ipv4.ip_local_reserved_ports` keeps back.
    pub reserved_in_range: Reading<u64>,
    /// The same of the ports from 1,024 on, whatever the range is.
    pub reserved_in_widest: Reading<u64>,
    /// `net.ipv4.ip_unprivileged_port_start`: the range cannot begin below it.
    pub unprivileged_from: Reading<u64>,
    /// `net.core.somaxconn`.
    pub somaxconn: Reading<u64>,
    /// `net.ipv4.tcp_max_syn_backlog`.
    pub syn_backlog: Reading<u64>,
    /// `net.ipv4.tcp_syncookies`.
    pub syncookies: Reading<u64>,
    /// `net.ipv4.tcp_tw_reuse`: 0 never, 1 always, 2 on loopback.
    pub time_wait_reuse: Reading<u64>,
    /// `net.ipv4.tcp_max_tw_buckets`.
    pub time_wait_max: Reading<u64>,
    /// `net.ipv4.tcp_timestamps`: where it is 0, no port is taken over from a connection in TIME_WAIT.
    pub timestamps: Reading<u64>,
    /// Sockets in TIME_WAIT now, of both sides and whatever their ports are.
    pub time_wait: Reading<u64>,
    /// Ports of the range that are in TIME_WAIT towards the one destination that has most of them, from the one source
    /// that has.
    pub time_wait_of_one: Reading<u64>,
    /// `net.ipv4.tcp_ehash_entries`: the size of the table in use; below 0 it is the machine's.
    pub hash_entries: Reading<i64>,
    /// TCP sockets over IPv4 in use, listeners included.
    pub sockets: Reading<u64>,
    /// TCP sockets without a process: those of the whole machine, because the kernel counts no others.
    pub orphans: Reading<u64>,
    /// Listening sockets, at most a few hundred of them, those with the fullest queues first.
    pub listeners: Reading<Vec<Listener>>,
    /// How many ports of the range are listened on, by all listeners that there are.
    pub listening_in_range: Reading<u64>,
    /// `ListenOverflows` since the namespace began: connections that found an accept queue full.
    pub listen_overflows: Reading<u64>,
    /// `nf_conntrack_max`: 0 is no limit; `null` where nothing can follow connections, because there is no such setting.
    pub conntrack_max: Reading<Option<u64>>,
    /// `nf_conntrack_count`; 0 also where no rule of the firewall asks for connections to be followed.
    pub conntrack: Reading<u64>,
}

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Connections that wait to be accepted.
    pub waiting: u64,
    /// How many may: one more than this many do fit.
    pub backlog: u64,
}

/// What the machine allows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineLimits {
    /// `fs.nr_open`.
    pub nr_open: Reading<u64>,
    /// `fs.file-max`.
    pub file_max: Reading<u64>,
    /// Files open: the first number of `fs.file-nr`, which lags behind by some hundred.
    pub files_open: Reading<u64>,
    /// `fs.epoll.max_user_watches`.
    pub epoll_watches_max: Reading<u64>,
    /// `kernel.threads-max`.
    pub threads_max: Reading<u64>,
    /// `kernel.pid_max`.
    pub pid_max: Reading<u64>,
    /// Tasks that there are.
    pub tasks: Reading<u64>,
    /// `vm.max_map_count`.
    pub mappings_max: Reading<u64>,
    /// `net.ipv4.tcp_mem`, pages: below the first nothing is done, above the second TCP saves, above the third it
    /// refuses.
    pub tcp_memory_pages: Reading<(u64, u64, u64)>,
    /// Pages charged to TCP sockets.
    pub tcp_charged_pages: Reading<u64>,
    /// `net.ipv4.tcp_max_orphans`.
    pub orphans_max: Reading<u64>,
    /// `net.core.netdev_max_backlog`.
    pub packet_backlog: Reading<u64>,
    /// `kernel.io_uring_disabled`.
    pub io_uring_disabled: Reading<u64>,
    /// What came of setting up a ring.
    pub io_uring: Reading<Grant>,
    /// Memory that could be taken without swapping or killing, the control group apart.
    pub memory_available_bytes: Reading<u64>,
    /// Memory there is.
    pub memory_bytes: Reading<u64>,
    /// Bytes of a page.
    pub page_bytes: u64,
}

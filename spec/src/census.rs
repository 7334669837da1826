//! A census of TCP sockets: what the kernel says of both ends of a server's connections, counted.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The sockets of one network namespace that have to do with one server port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// The port.
    pub port: u16,
    /// How many sockets there are in each state, by the kernel's name of it: `ESTABLISHED`, `TIME_WAIT`, ….
    pub by_state: BTreeMap<String, u64>,
    /// Established sockets whose local port it is: the server's ends.
    pub server: Ends,
    /// Established sockets whose remote port it is: the clients' ends.
    pub client: Ends,
    /// The first few sockets as the kernel's dump has them, one a line: state, local, remote, inode.
    pub sample: Vec<String>,
}

/// Ends of connections, and how many different ones of each kind there are among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// Sockets.
    pub sockets: u64,
    /// Different local addresses.
    pub local_addresses: u64,
    /// Different local ports.
    pub local_ports: u64,
    /// Different remote addresses.
    pub remote_addresses: u64,
    /// Different remote ports.
    pub remote_ports: u64,
    /// Different four-tuples.
    pub four_tuples: u64,
    /// Different inodes. A socket that nobody has accepted has none.
    pub inodes: u64,
}

//! What bounds the number of connections: of a process, of its control groups, of the network that the caller is in, of
//! the machine.
//!
//! Each value is read by itself, and one that cannot be has the reason in its place: the file, and what was wrong with
//! it. Nothing is concluded here. What takes longer the more sockets there are (`/proc/net/tcp`) is not read.

mod group;
mod machine;
mod network;
mod process;
mod text;

use fourtuple_spec::Limits;
pub use network::network_limits;

/// Reads everything that bounds the connections of a process, or of one that is yet to be started from here: that
/// would inherit what this process has, and have nothing open but the standard streams.
///
/// What is of the network is that of the calling process, whoever is asked about: see [`network_limits`]. Whether a ring
/// can be set up is not tried here. Takes some milliseconds, and 30 µs more for each process of the machine.
pub fn limits(pid: Option<u32>) -> Limits {
    Limits {
        process: process::read(pid),
        group: group::read(pid),
        network: network_limits(),
        machine: machine::read(),
    }
}

/// Where the kernel tells of a process; of this one if that is yet to be started.
fn directory(pid: Option<u32>) -> String {
    pid.map_or("/proc/self".to_owned(), |pid| format!("/proc/{pid}"))
}

/// Whatever text the files hold, no parser of them may panic.
#[cfg(test)]
pub(crate) fn feed(text: &str) {
    process::feed(text);
    network::feed(text);
    machine::feed(text);
}

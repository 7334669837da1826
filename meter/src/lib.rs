//! Memory, CPU and noise, read from the kernel.
//!
//! Parsing is pure, one file of `/proc` a module; opening files is in `proc_files` alone. Nothing
//! here fails: what cannot be read is absent, because a run must not end for want of a number.

mod available;
mod cgroup;
mod cpu;
mod cpuinfo;
mod host;
mod ledger;
mod malformed;
mod maps;
mod meminfo;
mod memory;
mod netstat;
mod network;
mod proc_files;
mod process;
mod slabinfo;
mod socket_buffers;
mod sockstat;
mod stat;
mod thread;
mod zoneinfo;

pub use available::available_bytes;
pub use cgroup::cgroup_blind_spot;
pub use cpu::{CpuSnapshot, Usage};
pub use host::host;
pub use memory::MemorySnapshot;
pub use network::NetworkCounters;

#[cfg(test)]
mod garbage;

/// Whose memory and CPU is read.
#[derive(Clone, Debug, Default)]
pub struct Subjects {
    /// The server's processes.
    pub server_pids: Vec<u32>,
    /// The client's processes.
    pub client_pids: Vec<u32>,
    /// Whether those of the server start others, which count as the server's then.
    pub server_forks: bool,
    /// The cores the server is pinned to.
    pub server_cpus: Vec<u32>,
    /// The cores the client is pinned to.
    pub client_cpus: Vec<u32>,
}

impl Subjects {
    /// The server's processes at this moment.
    pub(crate) fn server_processes(&self) -> Vec<u32> {
        match self.server_forks {
            true => process::with_descendants(&self.server_pids),
            false => self.server_pids.clone(),
        }
    }
}

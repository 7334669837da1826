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
mod slabinfo;
mod socket_buffers;
mod sockstat;
mod stat;
mod thread;
mod zoneinfo;

pub use available::available_bytes;
pub use cgroup::cgroup_blind_spot;
pub use cpu::CpuSnapshot;
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
    /// The server's serving threads.
    pub server_threads: Vec<u32>,
    /// The client's load threads.
    pub client_threads: Vec<u32>,
    /// The cores the server is pinned to.
    pub server_cpus: Vec<u32>,
    /// The cores the client is pinned to.
    pub client_cpus: Vec<u32>,
}

//! Memory, CPU and noise, read from the kernel.
//!
//! Parsing is pure, one file of `/proc` a module; opening files is in `proc_files` alone. Nothing
//! here fails: what cannot be read is absent, because a run must not end for want of a number.

mod available;
mod cgroup;
mod cpu;
mod cpuinfo;
mod environment;
mod host;
mod ledger;
mod limits;
mod malformed;
mod maps;
mod meminfo;
mod memory;
mod netstat;
mod network;
mod pressure;
mod proc_files;
mod process;
mod side;
mod slabinfo;
mod sock_diag;
mod socket_buffers;
mod sockstat;
mod softnet;
mod stat;
mod tasks;
mod thread;
mod time_wait;
mod wall;
mod zoneinfo;

pub use available::{Available, available, available_bytes};
pub use cgroup::cgroup_blind_spot;
pub use cpu::{CpuSnapshot, Usage};
pub use environment::{environment, network_settings};
pub use host::host;
pub use limits::{limits, network_limits};
pub use memory::MemorySnapshot;
pub use network::NetworkCounters;
pub use process::with_descendants;
pub use sock_diag::{census, listeners};
pub use tasks::{Foreign, TaskSnapshot};
pub use wall::{GroupShortage, time_wait, waiting_to_be_accepted};

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
    /// The threads of the server's processes at this moment; `None` if there are more than so many. Those are
    /// not listed, because a look at each would leave an inode and a directory entry behind.
    pub fn server_threads(&self, most: u64) -> Option<Vec<u32>> {
        let processes = self.server_processes();
        let known = processes
            .iter()
            .filter_map(|&pid| process::Process::read(pid));
        let count: u64 = known.map(|process| process.threads).sum();
        let threads = || processes.into_iter().flat_map(proc_files::thread_ids);
        (count <= most).then(|| threads().collect())
    }

    /// The server's processes at this moment.
    pub(crate) fn server_processes(&self) -> Vec<u32> {
        match self.server_forks {
            true => process::with_descendants(&self.server_pids),
            false => self.server_pids.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_listed_up_to_so_many() {
        let own = std::process::id();
        let subjects = Subjects {
            server_pids: vec![own],
            ..Subjects::default()
        };
        let threads = subjects.server_threads(10_000).unwrap();
        assert!(threads.contains(&own), "{threads:?}");
        assert_eq!(subjects.server_threads(0), None);
        assert_eq!(Subjects::default().server_threads(0), Some(Vec::new()));
    }
}

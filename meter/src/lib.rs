//! Memory, CPU and noise, read from the kernel. Parsing is pure; opening files is in `proc_files`.

use fourtuple_spec::record::{Cpu, Host, Ledger, Noise};

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

/// The machine's memory at one moment.
#[derive(Clone, Debug, Default)]
pub struct MemorySnapshot {}

impl MemorySnapshot {
    /// Reads it. What cannot be read is absent, with a note; this never fails.
    pub fn take(subjects: &Subjects) -> Self {
        let _ = subjects;
        Self {}
    }
    /// Bytes of all slab pages, or of `Slab:` in meminfo where slabinfo cannot be read.
    pub fn slab_bytes(&self) -> Option<u64> {
        None
    }
    /// Where memory went since `baseline`.
    pub fn ledger_since(&self, baseline: &Self, phase: &str) -> Ledger {
        let _ = baseline;
        Ledger { phase: phase.to_owned(), ..Ledger::default() }
    }
}

/// CPU time and switches of the subjects' threads and cores at one moment.
#[derive(Clone, Debug, Default)]
pub struct CpuSnapshot {}

impl CpuSnapshot {
    /// Reads it. What cannot be read is absent; this never fails.
    pub fn take(subjects: &Subjects) -> Self {
        let _ = subjects;
        Self {}
    }
    /// What was used since `start`. Nanoseconds an echo are busy share ÷ rate, so that the window of
    /// the meter need not be exactly the client's. `segments_retransmitted` and `listen_overflows`
    /// are left `None`: see [`NetworkCounters`].
    pub fn usage_since(&self, start: &Self, echoes_per_second: Option<f64>) -> (Cpu, Noise) {
        let _ = (start, echoes_per_second);
        (Cpu::default(), Noise::default())
    }
}

/// Counters of the network namespace in which a process lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkCounters {
    /// TCP segments sent again (`RetransSegs`).
    pub segments_retransmitted: Option<u64>,
    /// `ListenOverflows`.
    pub listen_overflows: Option<u64>,
    /// `ListenDrops`.
    pub listen_drops: Option<u64>,
}

impl NetworkCounters {
    /// Reads `/proc/PID/net/{snmp,netstat}`.
    pub fn take(pid: u32) -> Self {
        let _ = pid;
        Self::default()
    }
}

/// Memory that could be taken without swapping or killing: `MemAvailable`, or the memory cgroup's room if that is less.
pub fn available_bytes() -> Option<u64> {
    None
}

/// The machine, as far as it can be read.
pub fn host() -> Host {
    Host::default()
}

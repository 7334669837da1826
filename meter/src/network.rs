//! Counters of the network namespace in which a process lives.

use crate::{netstat, proc_files};

/// Counters of the network namespace in which a process lives, since the namespace began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkCounters {
    /// TCP segments sent again (`RetransSegs`).
    pub segments_retransmitted: Option<u64>,
    /// Connections dropped because the accept queue was full (`ListenOverflows`).
    pub listen_overflows: Option<u64>,
    /// Connections dropped at a listener for any reason (`ListenDrops`).
    pub listen_drops: Option<u64>,
}

impl NetworkCounters {
    /// Reads `/proc/PID/net/{snmp,netstat}`. What cannot be read is `None`.
    pub fn take(pid: u32) -> Self {
        let read = |file| proc_files::read(&format!("/proc/{pid}/net/{file}")).unwrap_or_default();
        let (snmp, netstat) = (read("snmp"), read("netstat"));
        Self {
            segments_retransmitted: netstat::counter(&snmp, "Tcp", "RetransSegs"),
            listen_overflows: netstat::counter(&netstat, "TcpExt", "ListenOverflows"),
            listen_drops: netstat::counter(&netstat, "TcpExt", "ListenDrops"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespace_can_be_read_and_that_of_nobody_cannot() {
        let own = NetworkCounters::take(std::process::id());
        assert!(own.segments_retransmitted.is_some());
        assert!(own.listen_overflows.is_some() && own.listen_drops.is_some());
        assert_eq!(NetworkCounters::take(u32::MAX), NetworkCounters::default());
    }
}

//! The names of what can stop a machine at N connections: one each, in records, in what the doctor says, on charts.
//!
//! What the system has a name for is called by it.

/// Descriptors of one process.
pub const DESCRIPTORS: &str = "RLIMIT_NOFILE";
/// The most that RLIMIT_NOFILE may be raised to.
pub const NR_OPEN: &str = "fs.nr_open";
/// Open files of the machine.
pub const FILE_MAX: &str = "fs.file-max";
/// Ports that the kernel picks from where a client binds none.
pub const PORT_RANGE: &str = "net.ipv4.ip_local_port_range";
/// Ports of that range that are kept for others.
pub const RESERVED_PORTS: &str = "net.ipv4.ip_local_reserved_ports";
/// Connections that have ended and keep their four-tuple for a minute.
pub const TIME_WAIT: &str = "TIME_WAIT";
/// How many of those the kernel keeps.
pub const TIME_WAIT_BUCKETS: &str = "net.ipv4.tcp_max_tw_buckets";
/// Connections that wait to be accepted.
pub const ACCEPT_QUEUE: &str = "accept queue";
/// The longest that such a queue may be.
pub const SOMAXCONN: &str = "net.core.somaxconn";
/// Handshakes that are not over.
pub const SYN_BACKLOG: &str = "net.ipv4.tcp_max_syn_backlog";
/// Connections that the firewall follows.
pub const CONNTRACK: &str = "net.netfilter.nf_conntrack_max";
/// Pages that TCP's buffers may take.
pub const TCP_MEM: &str = "net.ipv4.tcp_mem";
/// Memory of the machine.
pub const MEMORY: &str = "memory";
/// Memory of the control group.
pub const MEMORY_GROUP: &str = "memory cgroup";
/// Connections that are closed here and not by their peer.
pub const ORPHANS: &str = "net.ipv4.tcp_max_orphans";
/// Buckets of the table of established connections: it slows down, and stops nothing.
pub const HASH: &str = "net.ipv4.tcp_ehash_entries";
/// Packets that wait for a core.
pub const NETDEV_BACKLOG: &str = "net.core.netdev_max_backlog";
/// Descriptors that a user may watch by epoll.
pub const EPOLL_WATCHES: &str = "fs.epoll.max_user_watches";
/// Threads of the machine.
pub const THREADS_MAX: &str = "kernel.threads-max";
/// Process and thread ids of the machine.
pub const PID_MAX: &str = "kernel.pid_max";
/// Tasks of the control group.
pub const PIDS_GROUP: &str = "pids.max";
/// Tasks of a user.
pub const PROCESSES: &str = "RLIMIT_NPROC";
/// Mappings of one process.
pub const MAP_COUNT: &str = "vm.max_map_count";
/// Memory that a user may lock.
pub const LOCKED_MEMORY: &str = "RLIMIT_MEMLOCK";
/// Whether io_uring is to be had.
pub const IO_URING: &str = "io_uring";
/// Slots of a ring's table of direct descriptors.
pub const DIRECT_TABLE: &str = "direct table";

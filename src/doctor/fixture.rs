//! Limits made by hand for tests: a machine with the kernel's defaults, and an ordinary user who has begun nothing yet.

use super::{Binding, BytesSource, Connecting, EachBytes, Question, Serving, Takes};
use fourtuple_spec::Limits;
use fourtuple_spec::Reading::Known;
use fourtuple_spec::limits::{Grant, GroupLimits, MachineLimits, NetworkLimits, ProcessLimits};

/// A server that takes a descriptor a connection, and accepts.
pub fn server() -> Serving {
    Serving {
        takes: Takes::Descriptor,
        processes: 1,
        own_descriptors: 4,
        slots_per_ring: None,
        rings_max: None,
        watches: false,
        has_threads: false,
        accepts: true,
        backlog: 4096,
    }
}

/// A client with one source and one destination.
pub fn client() -> Connecting {
    Connecting {
        takes: Takes::Descriptor,
        own_descriptors: 2,
        groups: Some(1),
        group_connections: None,
        binding: Binding::AtConnect,
    }
}

/// So many connections of a pair, of which nothing is known but that it takes 10,000 bytes; `None` is as many as
/// possible.
pub fn question(
    connections: Option<u64>,
    server: Option<Serving>,
    client: Option<Connecting>,
) -> Question {
    Question {
        connections,
        server,
        client,
        memory: EachBytes {
            bytes: 10_000,
            charged_bytes: None,
            unit: "a pair".to_owned(),
            source: BytesSource::Published,
        },
    }
}

/// Limits as they are on a machine with 8 GiB that nobody has tuned.
pub fn limits() -> Limits {
    Limits {
        process: process(),
        group: GroupLimits {
            version: Some(2),
            memory: Known(Vec::new()),
            tasks: Known(Vec::new()),
        },
        network: network(),
        machine: machine(),
    }
}

fn process() -> ProcessLimits {
    ProcessLimits {
        pid: None,
        name: None,
        descriptors_soft: Known(1_024),
        descriptors_hard: Known(524_288),
        descriptors_open: Known(3),
        tasks_of_user_max: Known(30_000),
        tasks_of_user_hard: Known(30_000),
        tasks_of_user: Known(50),
        locked_bytes_max: Known(8 << 20),
        mappings: Known(0),
        user: Known(1_000),
        capabilities: Known(0),
        is_in_first_user_namespace: Known(true),
        seccomp: Known(0),
    }
}

fn network() -> NetworkLimits {
    NetworkLimits {
        ports: Known((32_768, 60_999)),
        reserved_in_range: Known(0),
        reserved_in_widest: Known(0),
        unprivileged_from: Known(1_024),
        somaxconn: Known(4_096),
        syn_backlog: Known(512),
        syncookies: Known(1),
        time_wait_reuse: Known(2),
        time_wait_max: Known(32_768),
        timestamps: Known(1),
        time_wait: Known(0),
        time_wait_of_one: Known(0),
        hash_entries: Known(65_536),
        sockets: Known(10),
        orphans: Known(0),
        listeners: Known(Vec::new()),
        listening_in_range: Known(0),
        listen_overflows: Known(0),
        conntrack_max: Known(Some(262_144)),
        conntrack: Known(44),
    }
}

fn machine() -> MachineLimits {
    MachineLimits {
        nr_open: Known(1_048_576),
        file_max: Known(800_000),
        files_open: Known(2_000),
        epoll_watches_max: Known(1_800_000),
        threads_max: Known(63_000),
        pid_max: Known(32_768),
        tasks: Known(200),
        mappings_max: Known(65_530),
        tcp_memory_pages: Known((94_000, 125_000, 188_000)),
        tcp_charged_pages: Known(3),
        orphans_max: Known(32_768),
        packet_backlog: Known(1_000),
        io_uring_disabled: Known(0),
        io_uring: Known(Grant::Granted),
        memory_available_bytes: Known(6 << 30),
        memory_bytes: Known(8 << 30),
        page_bytes: 4_096,
    }
}

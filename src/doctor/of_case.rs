//! What a case asks of the limits, and which limits its processes will have.
//!
//! A run's network is not the one in which limits were read: what it will be set to is known, and stands here in the
//! place of what was read.

use super::{
    Allows, Binding, BytesSource, Connecting, EachBytes, Question, Serving, Takes, examine,
};
use crate::limits;
use fourtuple_spec::address::PRIVATE_PORT_RANGE;
use fourtuple_spec::engine::Descriptors;
use fourtuple_spec::factors::DescriptorKind;
use fourtuple_spec::limits::{GroupMemory, NetworkLimits};
use fourtuple_spec::{Case, ClientKind, EndpointState, Engine, Limits, Peer, Reading, limiter};
use std::net::IpAddr;

/// Kernel memory of a pair with a foreign server, which may be on this machine too: as much as any
/// engine here takes.
const FOREIGN_PAIR_BYTES: u64 = 8_800;

/// The same of one end alone.
const FOREIGN_ENDPOINT_BYTES: u64 = 4_850;

/// The client's own memory for a connection.
const CLIENT_BYTES: u64 = 16;

/// What ghosts keep of a connection where its last segment does not say all, in an open loop or while a turn
/// passes round: at most.
const GHOST_BYTES: u64 = 8;

/// One endpoint in a state whose buffers are full, at the kernel's default limits and before it grows them.
const FULL_BUFFER_BYTES: u64 = 200_000;

/// One endpoint in any other state.
const ENDPOINT_BYTES: u64 = 5_000;

/// What version 1 of control groups charges of the server's end, of which 8 bytes are the engine's own, and of the
/// client's: of 20,000 to 675,968 connections of `uring` (Linux 6.18). The accepted socket is charged to nobody.
const CHARGED_SERVER_BYTES: u64 = 1_520;
pub const CHARGED_CLIENT_BYTES: u64 = 3_680;

/// The server's end where nothing is waited for.
const CHARGED_NULL_BYTES: u64 = 1_270;

/// What it leaves out of a pair.
const UNCHARGED_BYTES: u64 = 3_574;

const PAIR: &str = "a pair";
const ENDPOINT: &str = "an endpoint";

/// The most slots of a ring's table, whatever RLIMIT_NOFILE is.
const TABLE_SLOTS_MAX: u64 = 1 << 20;

/// The backlog of a server; where connections are to wait in it, twice as many as there are of them.
const BACKLOG: u64 = 4096;

/// What the doctor is asked about a case, where its processes have these limits.
pub fn question_of(case: &Case, limits: &Limits) -> Question {
    Question {
        connections: Some(case.connections.into()),
        server: serving(case, limits),
        client: connecting(case),
        memory: EachBytes {
            bytes: each_bytes(case),
            charged_bytes: charged_bytes(case, limits),
            unit: unit(case).to_owned(),
            source: BytesSource::Published,
        },
    }
}

/// What an endpoint of the server's takes of its process's descriptors. Where no engine serves, it is not an engine's
/// descriptors that count.
pub fn takes(case: &Case) -> Takes {
    let descriptors = match (case.state, case.engine) {
        (Some(EndpointState::SendFull | EndpointState::FinWait2Held), _) => Descriptors::Process,
        (
            Some(
                EndpointState::HalfOpen
                | EndpointState::AcceptQueue
                | EndpointState::FinWait2
                | EndpointState::TimeWait
                | EndpointState::Orphan,
            ),
            _,
        ) => return Takes::Nothing,
        // A ring without a table has the process's descriptors.
        _ if case.factors.descriptors == DescriptorKind::Plain => Descriptors::Process,
        (_, Some(engine)) => engine.profile().descriptors,
        (_, None) => return Takes::Nothing,
    };
    match descriptors {
        Descriptors::Process => Takes::Descriptor,
        Descriptors::Direct => Takes::DirectSlot,
    }
}

/// What one connection takes, about: to plan with, before anything is measured.
pub fn each_bytes(case: &Case) -> u64 {
    match (case.state, case.engine) {
        (Some(EndpointState::UnreadFull | EndpointState::SendFull), _) => FULL_BUFFER_BYTES,
        (Some(_), _) => ENDPOINT_BYTES,
        (None, engine) => match case.peer {
            Peer::Kernel if is_server_elsewhere(case) => FOREIGN_ENDPOINT_BYTES + CLIENT_BYTES,
            Peer::Kernel => pair_bytes(engine) + CLIENT_BYTES,
            Peer::Ghost => endpoint_bytes(engine) + GHOST_BYTES,
        },
    }
}

/// What of that a control group is charged: of version 1 not what the kernel takes while a packet arrives, which is the
/// accepted end. `None` where all of it is, or where it is not known.
fn charged_bytes(case: &Case, limits: &Limits) -> Option<u64> {
    if limits.group.version != Some(1) || case.state.is_some() {
        return None;
    }
    if case.engine == Some(Engine::Threads) {
        return Some(each_bytes(case).saturating_sub(UNCHARGED_BYTES));
    }
    let server = charged_server_bytes(case.engine);
    match (case.peer, unit(case)) {
        (Peer::Ghost, _) => server,
        (Peer::Kernel, PAIR) => server.map(|server| server + CHARGED_CLIENT_BYTES),
        (Peer::Kernel, _) => Some(CHARGED_CLIENT_BYTES),
    }
}

/// What version 1 of control groups charges of the server's end; `None` where all of it is reckoned, because a thread
/// is most of it.
pub fn charged_server_bytes(engine: Option<Engine>) -> Option<u64> {
    let user = engine.map_or(0, |engine| engine.profile().user_bytes_per_connection);
    let beyond = u64::from(user).saturating_sub(8);
    match engine {
        Some(Engine::Threads) => None,
        Some(Engine::Null) => Some(CHARGED_NULL_BYTES),
        _ => Some(CHARGED_SERVER_BYTES + beyond),
    }
}

/// What a connection consists of here: a pair of endpoints, or one of them.
fn unit(case: &Case) -> &'static str {
    match case.peer {
        Peer::Kernel if !is_server_elsewhere(case) => PAIR,
        _ => ENDPOINT,
    }
}

/// Whether the server may well be on another machine: it was not started by this program, and its address is not one
/// that every machine has.
fn is_server_elsewhere(case: &Case) -> bool {
    let is_here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    case.target.is_some_and(|target| !is_here(target.ip()))
}

fn pair_bytes(engine: Option<Engine>) -> u64 {
    engine.map_or(FOREIGN_PAIR_BYTES, |engine| {
        let profile = engine.profile();
        u64::from(profile.kernel_bytes_per_pair + profile.user_bytes_per_connection)
    })
}

fn endpoint_bytes(engine: Option<Engine>) -> u64 {
    engine.map_or(FOREIGN_ENDPOINT_BYTES, |engine| {
        let profile = engine.profile();
        u64::from(profile.kernel_bytes_per_endpoint + profile.user_bytes_per_connection)
    })
}

/// The server, where this program starts one of its own: what another program does with its descriptors is not known.
fn serving(case: &Case, limits: &Limits) -> Option<Serving> {
    let engine = case.engine.filter(|engine| *engine != Engine::Foreign)?;
    let takes = takes(case);
    let descriptor_limit = descriptor_limit(limits);
    let slots = case.slots_per_ring.map_or(TABLE_SLOTS_MAX, u64::from);
    let slots = slots.min(TABLE_SLOTS_MAX).min(descriptor_limit);
    let is_served_by_rings = takes == Takes::DirectSlot;
    Some(Serving {
        takes,
        processes: match engine {
            Engine::Stack => 1,
            _ => limits::server_processes(case, descriptor_limit, own_children_max()).into(),
        },
        own_descriptors: server_descriptors(case, engine),
        slots_per_ring: is_served_by_rings.then_some(slots),
        rings_max: case.rings_max.map(u64::from).filter(|_| is_served_by_rings),
        watches: case.state.is_none() && watches(engine),
        has_threads: case.state.is_none() && engine == Engine::Threads,
        accepts: case.state != Some(EndpointState::AcceptQueue),
        backlog: match case.state {
            Some(EndpointState::AcceptQueue) => (2 * u64::from(case.connections)).max(BACKLOG),
            _ => BACKLOG,
        },
    })
}

/// Child processes that this one can hold the ends of.
pub fn own_children_max() -> u64 {
    limits::children_max(limits::raise_descriptors())
}

fn descriptor_limit(limits: &Limits) -> u64 {
    let soft = limits.process.descriptors_soft.known().copied();
    soft.unwrap_or_else(limits::child_descriptors)
}

/// Whether an engine watches each of its connections by epoll.
fn watches(engine: Engine) -> bool {
    matches!(
        engine,
        Engine::Epoll
            | Engine::EpollEt
            | Engine::EpollInRing
            | Engine::Mio
            | Engine::Tokio
            | Engine::TokioMulti
    )
}

/// Descriptors of a server process beside its connections and the standard streams: its listener, what stops it, what
/// it waits with, and the free one that some need to ask whether one more connection waits. Of what is not known no
/// more than the first two are reckoned.
fn server_descriptors(case: &Case, engine: Engine) -> u64 {
    let is_plain = case.factors.descriptors == DescriptorKind::Plain;
    match (case.state, engine) {
        (Some(EndpointState::SendFull | EndpointState::FinWait2Held), _) => 2,
        (_, Engine::Epoll | Engine::EpollEt | Engine::Mio) => 4,
        (_, Engine::EpollInRing) => 5,
        // An accept that finds no free descriptor is the end of these, though nobody waits.
        (_, Engine::Tokio | Engine::TokioMulti) => 6 + 1,
        (_, Engine::Compio | Engine::Monoio) => 2 + 1,
        (_, Engine::Uring | Engine::UringPoll) if is_plain => 4 + 1,
        (_, Engine::UringHybrid) if is_plain => 4,
        (_, Engine::Spin | Engine::Threads) => 3,
        (_, Engine::Stack) => 1,
        _ => 2,
    }
}

fn connecting(case: &Case) -> Option<Connecting> {
    if case.peer == Peer::Ghost {
        return Some(Connecting {
            takes: Takes::Nothing,
            own_descriptors: 0,
            groups: None,
            group_connections: None,
            binding: Binding::Never,
        });
    }
    let (groups, group_connections) = groups(case);
    let takes_descriptors = case.client == ClientKind::Spin || case.engine == Some(Engine::Stack);
    Some(Connecting {
        takes: match takes_descriptors {
            true => Takes::Descriptor,
            false => Takes::DirectSlot,
        },
        own_descriptors: 0,
        groups: Some(groups),
        group_connections: Some(group_connections),
        binding: Binding::AtConnect,
    })
}

/// Ports of the range that a client is sure to find for one source and one destination, in a network in which nothing
/// has ended; `None` where that is not known.
pub fn free_ports(limits: &Limits) -> Option<u64> {
    let question = Question {
        connections: None,
        server: None,
        client: Some(Connecting {
            takes: Takes::Nothing,
            own_descriptors: 0,
            groups: Some(1),
            group_connections: None,
            binding: Binding::AtConnect,
        }),
        memory: EachBytes {
            bytes: ENDPOINT_BYTES,
            charged_bytes: None,
            unit: ENDPOINT.to_owned(),
            source: BytesSource::Published,
        },
    };
    let rungs = examine(question, limits).rungs;
    let range = rungs
        .iter()
        .find(|rung| rung.limit == limiter::PORT_RANGE)?;
    match range.allows {
        Allows::Connections(ports) => Some(ports),
        _ => None,
    }
}

/// How many groups of the address plan there are, and the most connections of each.
fn groups(case: &Case) -> (u64, u64) {
    let each = u64::from(case.group_connections.max(1));
    let has_one_address = case.target.is_some_and(|target| match target.ip() {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_unspecified(),
        IpAddr::V6(_) => true,
    });
    match has_one_address {
        true => (1, each),
        false => (u64::from(case.connections).div_ceil(each), each),
    }
}

/// The limits that a case's processes will have, from what was read of one that is yet to be started: every process
/// raises its soft limit to the hard one, and a private network has its own settings.
pub fn limits_of(case: &Case, read: &Limits, has_private_network: bool) -> Limits {
    let mut limits = read.clone();
    limits.process.descriptors_soft = read.process.descriptors_hard.clone();
    if has_private_network {
        limits.network = private_network(case, &read.network);
    }
    let available = fourtuple_meter::available();
    if let Some(bytes) = available.machine_bytes {
        limits.machine.memory_available_bytes = Reading::Known(bytes);
    }
    if let (Some(room), Reading::Known(groups)) = (available.group_bytes, &mut limits.group.memory)
    {
        let left = |group: &GroupMemory| group.limit_bytes.saturating_sub(group.used_bytes);
        // What was read anew is of the whole of a group's memory: a limit of the kernel's part has its own room.
        let whole = groups.iter_mut().filter(|group| is_of_all_memory(group));
        if let Some(tightest) = whole.min_by_key(|group| left(group)) {
            tightest.used_bytes = tightest.limit_bytes.saturating_sub(room);
        }
    }
    limits
}

fn is_of_all_memory(group: &GroupMemory) -> bool {
    let names = ["/memory.max", "/memory.limit_in_bytes"];
    names.iter().any(|name| group.file.ends_with(name))
}

/// The limits of the server's processes where the case gives them other ones than the client's.
pub fn server_limits(case: &Case, limits: &Limits) -> Option<Limits> {
    let descriptors = u64::from(case.server_descriptors?);
    let mut limits = limits.clone();
    limits.process.descriptors_soft = Reading::Known(descriptors);
    limits.process.descriptors_hard = Reading::Known(descriptors);
    Some(limits)
}

/// A network that nobody has used: what every private one starts with, and what the case sets.
fn private_network(case: &Case, read: &NetworkLimits) -> NetworkLimits {
    let set = |name: &str| case.sysctls.get(name).map(|value| value.trim());
    let number = |name: &str, otherwise: u64| {
        Reading::Known(
            set(name)
                .and_then(|value| value.parse().ok())
                .unwrap_or(otherwise),
        )
    };
    let ports = set("net.ipv4.ip_local_port_range").and_then(range);
    let ports = ports.unwrap_or(PRIVATE_PORT_RANGE);
    let reserved = set("net.ipv4.ip_local_reserved_ports").unwrap_or("");
    // What a run that holds a state sets by itself, `src/run/start.rs`.
    let queue = match case.state {
        Some(_) => (2 * u64::from(case.connections)).clamp(65_535, i32::MAX as u64),
        None => 65_535,
    };
    NetworkLimits {
        ports: Reading::Known(ports),
        reserved_in_range: reserved_in(reserved, ports),
        reserved_in_widest: reserved_in(reserved, (1_024, u16::MAX)),
        unprivileged_from: number("net.ipv4.ip_unprivileged_port_start", 1_024),
        somaxconn: number("net.core.somaxconn", queue),
        syn_backlog: number("net.ipv4.tcp_max_syn_backlog", queue),
        syncookies: number("net.ipv4.tcp_syncookies", 1),
        time_wait_reuse: number("net.ipv4.tcp_tw_reuse", 2),
        time_wait_max: number("net.ipv4.tcp_max_tw_buckets", 2_097_152),
        timestamps: number("net.ipv4.tcp_timestamps", 1),
        time_wait: Reading::Known(0),
        time_wait_of_one: Reading::Known(0),
        hash_entries: read.hash_entries.clone(),
        sockets: Reading::Known(0),
        orphans: read.orphans.clone(),
        listeners: Reading::Known(Vec::new()),
        listening_in_range: Reading::Known(0),
        listen_overflows: Reading::Known(0),
        // A network of its own has no rules of a firewall.
        conntrack_max: Reading::Known(None),
        conntrack: Reading::Known(0),
    }
}

fn range(words: &str) -> Option<(u16, u16)> {
    let (low, high) = words.split_once(char::is_whitespace)?;
    Some((low.parse().ok()?, high.trim().parse().ok()?))
}

/// How many ports of a range a list like `8080,9000-9009` has.
fn reserved_in(list: &str, (low, high): (u16, u16)) -> Reading<u64> {
    let mut reserved = std::collections::BTreeSet::new();
    for words in list
        .split(',')
        .map(str::trim)
        .filter(|words| !words.is_empty())
    {
        let (first, last) = words.split_once('-').unwrap_or((words, words));
        let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
            return Reading::Unknown(format!("{words:?} is no port and no range of ports"));
        };
        reserved.extend(first.max(low)..=last.min(high));
    }
    Reading::Known(reserved.len() as u64)
}

#[cfg(test)]
#[path = "of_case_tests.rs"]
mod tests;

//! What a reader should know before quoting a number of a run, beside what disturbed it.

use super::memory;
use crate::topology::Machine;
use fourtuple_spec::record::{Grant, Outcome};
use fourtuple_spec::{NetworkChoice, Record};

/// Bytes a connection in `proc_inode_cache` from which on somebody has looked through descriptors.
const SCANNED_BYTES_MOST: f64 = 20.0;

/// The warnings that a finished record gives rise to.
pub fn of(record: &Record, machine: &Machine) -> Vec<String> {
    [
        shared_cores(record, machine),
        host_network(record),
        shards(record),
        overflows("server", record.server.overflows),
        overflows("client", record.client.overflows),
        said_again(record),
        scanned(record),
        open_ledger(record),
    ]
    .into_iter()
    .flatten()
    .chain(refused("server", &record.granted.server))
    .chain(refused("client", &record.granted.client))
    .collect()
}

fn shared_cores(record: &Record, machine: &Machine) -> Option<String> {
    let (server, client) = (&record.case.server_cpus, &record.case.client_cpus);
    let shared: Vec<_> = server.iter().filter(|cpu| client.contains(cpu)).collect();
    if !shared.is_empty() {
        return Some(format!(
            "server and client share core {shared:?}: each slows the other"
        ));
    }
    machine.share_physical_core(server, client).then(|| {
        "server and client run on two threads of one physical core: each slows the other".to_owned()
    })
}

fn host_network(record: &Record) -> Option<String> {
    let is_fallback = record.case.network == NetworkChoice::Private
        && record.granted.network.as_deref() == Some("host");
    is_fallback.then(|| {
        let reason = record
            .granted
            .network_reason
            .as_deref()
            .unwrap_or("refused");
        format!("no private network ({reason}): the host's was used as it is")
    })
}

fn shards(record: &Record) -> Option<String> {
    let asked = crate::limits::worker_processes(&record.case);
    let processes = record.granted.server_processes;
    let processes = processes.filter(|&count| count > asked)?;
    Some(format!(
        "{} descriptors a process were too few: {processes} server processes share the server's cores",
        record.granted.descriptor_limit?
    ))
}

fn overflows(side: &str, count: Option<u64>) -> Option<String> {
    let count = count.filter(|&count| count > 0)?;
    Some(format!(
        "the {side}'s completion queue overflowed {count} times"
    ))
}

/// A look at `/proc/PID/fd` makes an inode and a directory entry a descriptor, and keeps them.
fn scanned(record: &Record) -> Option<String> {
    let bytes = memory::proc_inode_bytes(record.memory.ledger.first()?)? as f64;
    let each = bytes / f64::from(record.setup.connections_held?);
    (each > SCANNED_BYTES_MOST).then(|| {
        format!(
            "something on this machine looks through /proc/PID/fd: {each:.0} B a connection of /proc's inodes are \
             left out, the entries that go with them are not"
        )
    })
}

/// Where it makes no run invalid.
fn open_ledger(record: &Record) -> Option<String> {
    let is_judged = record.outcome != Outcome::Ok;
    super::record::open_ledger(&record.memory).filter(|_| !is_judged)
}

/// On a path that loses nothing, what is said twice was late, or found a queue full.
fn said_again(record: &Record) -> Option<String> {
    let ghosts = record.client.ghosts.as_ref()?;
    let is_clean = ghosts.resent == 0 && ghosts.repeated == 0;
    (!is_clean && !record.case.has_faults()).then(|| {
        format!(
            "ghosts sent {} segments again that nothing had answered in time, and {} of the server's were repeated",
            ghosts.resent, ghosts.repeated
        )
    })
}

fn refused<'a>(side: &'a str, grants: &'a [Grant]) -> impl Iterator<Item = String> + 'a {
    grants
        .iter()
        .filter(|grant| !grant.granted)
        .map(move |grant| {
            let reason = grant.reason.as_deref().unwrap_or("no reason given");
            format!("the {side} went without {}: {reason}", grant.feature)
        })
}

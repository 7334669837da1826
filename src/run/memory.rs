//! Bytes per connection, out of the ledgers.

use fourtuple_spec::record::{Ledger, Memory};
use std::collections::BTreeMap;

/// Below this, what a connection costs drowns in what everything else does.
const CONNECTIONS_LEAST: u32 = 1_000;

/// The cache of the inodes of `/proc`.
const PROC_INODES: &str = "proc_inode_cache";

/// The kernel's side, from the ledger of connections at rest.
pub fn note_settle(memory: &mut Memory, ledger: &Ledger, connections: Option<u32>) {
    let Some(connections) = enough(connections) else {
        return;
    };
    memory.kernel_bytes_per_connection =
        kernel_bytes(ledger).map(|bytes| bytes as f64 / connections);
    memory.unattributed_share = unattributed_share(ledger);
    memory.by_cache = ledger
        .slab_by_cache
        .as_ref()
        .map(|caches| by_cache(caches, connections));
}

/// The processes' side.
pub fn note_user(memory: &mut Memory, ledger: &Ledger, connections: Option<u32>) {
    let Some(connections) = enough(connections) else {
        return;
    };
    let each = |bytes: Option<i64>| bytes.map(|bytes| bytes as f64 / connections);
    memory.server_user_bytes_per_connection = each(ledger.server_user_bytes);
    memory.client_user_bytes_per_connection = each(ledger.client_user_bytes);
}

fn enough(connections: Option<u32>) -> Option<f64> {
    connections
        .filter(|&connections| connections >= CONNECTIONS_LEAST)
        .map(f64::from)
}

/// What the machine has less of, without the memory of processes, ours and others', of files, and of
/// `/proc` itself, whose inodes come with whoever looks through it and never with a connection. What
/// slabs that were there have supplied is added: at 100,000 connections it was 1 % of all, and a slope
/// without it predicted too little. What nothing explains stays in: it is more likely the run's than
/// anybody's.
fn kernel_bytes(ledger: &Ledger) -> Option<i64> {
    let part = |name: &str| ledger.parts.get(name).copied().flatten();
    let others = part("anonymous")? + part("page_cache")? + proc_inode_bytes(ledger).unwrap_or(0);
    Some(ledger.taken_bytes? - others + ledger.slab_reused_bytes.unwrap_or(0))
}

/// What looking through `/proc` took, as far as it is known.
pub fn proc_inode_bytes(ledger: &Ledger) -> Option<i64> {
    ledger.slab_by_cache.as_ref()?.get(PROC_INODES).copied()
}

fn unattributed_share(ledger: &Ledger) -> Option<f64> {
    let user = ledger.server_user_bytes.unwrap_or(0) + ledger.client_user_bytes.unwrap_or(0);
    let taken = Some(kernel_bytes(ledger)? + user).filter(|&taken| taken > 0)?;
    Some(ledger.unattributed_bytes? as f64 / taken as f64)
}

fn by_cache(caches: &BTreeMap<String, i64>, connections: f64) -> BTreeMap<String, f64> {
    let mut each = BTreeMap::new();
    for (cache, &bytes) in caches.iter().filter(|(cache, _)| *cache != PROC_INODES) {
        let bytes = bytes as f64 / connections;
        let name = if bytes < 1.0 { "other" } else { cache };
        *each.entry(name.to_owned()).or_default() += bytes;
    }
    each
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger {
            taken_bytes: Some(10_000_000),
            unattributed_bytes: Some(-99_500),
            slab_by_cache: Some(BTreeMap::from([
                ("TCP".to_owned(), 5_000_000),
                ("a".to_owned(), 600),
                ("proc_inode_cache".to_owned(), 50_000),
                ("b".to_owned(), -300),
            ])),
            parts: BTreeMap::from([
                ("anonymous".to_owned(), Some(100_000)),
                ("page_cache".to_owned(), Some(-20_000)),
            ]),
            server_user_bytes: Some(64_000),
            client_user_bytes: Some(16_000),
            ..Ledger::default()
        }
    }

    #[test]
    fn the_kernel_has_what_the_processes_have_not() {
        let mut memory = Memory::default();
        note_settle(&mut memory, &ledger(), Some(1_000));
        assert_eq!(memory.kernel_bytes_per_connection, Some(9_870.0));
        assert_eq!(memory.unattributed_share, Some(-0.01));
        let caches = memory.by_cache.unwrap();
        assert_eq!(caches["TCP"], 5_000.0);
        assert!((caches["other"] - 0.3).abs() < 1e-9 && caches.len() == 2);
        note_user(&mut Memory::default(), &ledger(), None);
    }

    #[test]
    fn an_unknown_part_leaves_the_sum_unknown() {
        let mut memory = Memory::default();
        let blind = Ledger {
            parts: BTreeMap::new(),
            client_user_bytes: None,
            ..ledger()
        };
        note_settle(&mut memory, &blind, Some(1_000));
        note_user(&mut memory, &blind, Some(1_000));
        assert_eq!(memory.kernel_bytes_per_connection, None);
        assert_eq!(memory.server_user_bytes_per_connection, Some(64.0));
        assert_eq!(memory.client_user_bytes_per_connection, None);
    }

    #[test]
    fn few_connections_have_no_bytes_each() {
        let mut memory = Memory::default();
        note_settle(&mut memory, &ledger(), Some(999));
        note_user(&mut memory, &ledger(), Some(999));
        assert_eq!(memory, Memory::default());
    }
}

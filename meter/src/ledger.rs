//! The ledger: where memory went between two snapshots.
//!
//! `taken = −Δ(MemFree + pages on per-CPU lists)`, and the parts are chosen so that no page is in two:
//!
//! - `slab` is the pages of all caches in slabinfo. `slab_large` is what `Slab:` in meminfo has
//!   beyond them: allocations above 8 KiB, which the kernel counts as slab but keeps in no cache
//!   (hash tables, descriptor tables, an io_uring table of direct descriptors). Without slabinfo,
//!   `slab` is the whole of `Slab:` and `slab_large` is unknown.
//! - `vmalloc` is `VmallocUsed` less `KernelStack`: stacks are allocated by vmalloc (`CONFIG_VMAP_STACK`,
//!   the default on x86-64 and arm64) and are in both lines. 2,000 threads: both grew by 32.8 MB.
//! - `page_cache` is `Cached + Buffers`; tmpfs and shared memory are in it. `Mapped`, `Shmem`,
//!   `KReclaimable` and the LRU lines are other cuts through the same pages and are left out.
//! - `io_uring_rings` is found through the rings' mappings (see `maps`): no counter has those pages.
//!   50 rings of 4,096 submissions and 65,536 completions took 115.2 MB, 115.2 MB by this rule.
//! - `tcp_pages` is unread and unacknowledged payload, counted socket by socket in the run's network
//!   (see `socket_buffers`). It lies in page fragments that no counter shows. `mem` of sockstat cannot
//!   stand for it: it is a charge in whole pages a socket, with the heads of the `sk_buff`s, which
//!   are slab, and 64 unread bytes are charged 4,081 B. It only tells whether counting is worth it.
//!   Payload and its pages agree: 27,000 loopback pairs, two runs each, other work going on, what is left
//!   when all other parts are taken off, a pair: 62 and 66 B for 64 unread, 4,084 and 4,098 for 4,096,
//!   16,381 twice for 16,384; −4 and 7 with nothing unread, which is the noise.
//!
//! How well it closed, on 2 virtual cores, Linux 6.18, as root, other work going on, one `std::net`
//! process for every 9,000 loopback pairs (`examples/close.rs`), unattributed as a share of taken:
//!
//! | pairs | taken a pair | unattributed |
//! | --- | --- | --- |
//! | 9,000, a quiet moment | 7,949 B | 0.05 % |
//! | 9,000, while 31 MB of others' anonymous memory came | 11,741 B | 1.09 % |
//! | 9,000, while 96 MB of it went | −453 B | 0.18 MB |
//! | 9,000, and 2,000 threads | 15,094 B | −0.04 % |
//! | 18,000 | 10,959 B | 0.04 % |
//! | 18,000, as ordinary user, while 108 MB went | 2,471 B | 0.63 MB |
//! | 27,000 | 8,641 B | 0.04 % |
//! | 54,000 | 7,750 B | −0.07 % |
//! | 54,000 with 64 unread bytes | 7,732 B | 0.04 % |
//! | 108,000, two runs | 7,133 and 12,678 B | < 0.01 % |
//! | 100,000 of `epoll`, 6 processes | 8,935 B | < 0.01 % in settle, 0.01 % in measure |
//! | 100,000 of `tokio`, 6 processes | 14,327 B | 0.10 % in settle, 0.01 % in measure |
//!
//! It closes while other work takes and frees memory, but that work is in `taken` and in the parts:
//! the ledger is the machine's. Payload is the exception, it is counted in the run's network alone: when
//! somebody else's unread data went meanwhile, 127 MB of it, that was unattributed; a note tells.
//!
//! What stays unattributed: drivers' and other kernel pages taken straight from the page allocator,
//! counters that lag (by up to 125 pages a core and counter, where `vm.stat_refresh` is refused),
//! and what changes between the reading of one file and the next.

use crate::memory::MemorySnapshot;
use crate::slabinfo::Cache;
use fourtuple_spec::record::Ledger;
use std::collections::BTreeMap;

/// The parts that are lines of meminfo: the part, the lines that are added, the lines that are taken off.
const MEMINFO_PARTS: [(&str, &[&str], &[&str]); 10] = [
    ("anonymous", &["AnonPages"], &[]),
    ("page_cache", &["Cached", "Buffers"], &[]),
    ("page_tables", &["PageTables"], &[]),
    ("secondary_page_tables", &["SecPageTables"], &[]),
    ("kernel_stacks", &["KernelStack"], &[]),
    ("per_cpu", &["Percpu"], &[]),
    ("vmalloc", &["VmallocUsed"], &["KernelStack"]),
    ("huge_pages", &["Hugetlb"], &[]),
    ("compressed_swap", &["Zswap"], &[]),
    ("balloon", &["Balloon"], &[]),
];

/// Cores hold back shares of TCP's charge, up to 1 MiB each.
const OTHERS_CHARGE_LEAST: i64 = 8 << 20;

impl MemorySnapshot {
    /// Where memory went since `baseline`.
    pub fn ledger_since(&self, baseline: &Self, phase: &str) -> Ledger {
        let taken = delta(self.free_bytes(), baseline.free_bytes()).map(|free| -free);
        let parts = self.parts_since(baseline);
        let mut notes = self.notes_with(baseline);
        notes.extend(self.note_of_absent_lines(&parts));
        Ledger {
            phase: phase.to_owned(),
            taken_bytes: taken,
            unattributed_bytes: taken.map(|taken| taken.saturating_sub(explained_bytes(&parts))),
            parts,
            slab_by_cache: self.by_cache_since(baseline, |cache| cache.page_bytes),
            slab_reused_bytes: self.slab_reused_since(baseline),
            slab_objects_by_cache: self.by_cache_since(baseline, |cache| cache.object_bytes),
            server_user_bytes: delta(self.server_user_bytes, baseline.server_user_bytes),
            client_user_bytes: delta(self.client_user_bytes, baseline.client_user_bytes),
            server_ring_bytes: delta(self.server_ring_bytes, baseline.server_ring_bytes),
            client_ring_bytes: delta(self.client_ring_bytes, baseline.client_ring_bytes),
            cgroup_bytes: delta(self.cgroup_bytes, baseline.cgroup_bytes),
            cgroup_version: self.cgroup_version,
            notes,
        }
    }
}

impl MemorySnapshot {
    /// What nobody holds: `MemFree`, and the pages on per-CPU lists where they can be read.
    fn free_bytes(&self) -> Option<u64> {
        let parked = self.per_cpu_list_bytes.unwrap_or(0);
        Some(self.meminfo_line("MemFree")?.saturating_add(parked))
    }

    fn parts_since(&self, baseline: &Self) -> BTreeMap<String, Option<i64>> {
        let line = |name: &&str| delta(self.meminfo_line(name), baseline.meminfo_line(name));
        let sum = |names: &[&str]| {
            let mut lines = names.iter().map(line);
            lines.try_fold(0i64, |sum, bytes| Some(sum.saturating_add(bytes?)))
        };
        let mut parts: BTreeMap<String, Option<i64>> = MEMINFO_PARTS
            .iter()
            .map(|(part, more, less)| {
                let bytes = sum(more)
                    .zip(sum(less))
                    .map(|(more, less)| more.saturating_sub(less));
                ((*part).to_owned(), bytes)
            })
            .collect();
        let all_slab = line(&"Slab");
        let caches = delta(self.cache_bytes(), baseline.cache_bytes());
        parts.insert("slab".to_owned(), caches.or(all_slab));
        let large = all_slab
            .zip(caches)
            .map(|(all, caches)| all.saturating_sub(caches));
        parts.insert("slab_large".to_owned(), large);
        let rings = delta(self.ring_bytes, baseline.ring_bytes);
        parts.insert("io_uring_rings".to_owned(), rings);
        let payload = delta(self.payload_bytes, baseline.payload_bytes);
        parts.insert("tcp_pages".to_owned(), payload);
        parts
    }

    fn by_cache_since(
        &self,
        baseline: &Self,
        bytes: impl Fn(&Cache) -> u64,
    ) -> Option<BTreeMap<String, i64>> {
        let (now, before) = (self.caches.as_ref()?, baseline.caches.as_ref()?);
        let of =
            |caches: &BTreeMap<String, Cache>, name: &String| caches.get(name).map_or(0, &bytes);
        let names = now.keys().chain(before.keys());
        let changes = names.filter_map(|name| {
            let change = difference(of(now, name), of(before, name));
            (change != 0).then(|| (name.clone(), change))
        });
        Some(changes.collect())
    }

    /// Parts that this kernel has no line for, where meminfo was read at all.
    fn note_of_absent_lines(&self, parts: &BTreeMap<String, Option<i64>>) -> Option<String> {
        self.meminfo.as_ref()?;
        let absent: Vec<&str> = MEMINFO_PARTS
            .iter()
            .map(|(part, ..)| *part)
            .filter(|part| parts.get(*part) == Some(&None))
            .collect();
        (!absent.is_empty()).then(|| {
            format!(
                "this kernel's /proc/meminfo does not count {}: what there is of it is in unattributed",
                absent.join(", ")
            )
        })
    }

    /// TCP charges for the whole machine, payload is counted in the run's network: a charge that fell
    /// by more than that payload did was others', and so was the memory that came free with it.
    fn note_of_others_payload(&self, baseline: &Self) -> Option<String> {
        let charged = delta(self.tcp_charged_bytes, baseline.tcp_charged_bytes)?;
        let payload = delta(self.payload_bytes, baseline.payload_bytes).unwrap_or(0);
        let is_others = charged < payload.min(0).saturating_sub(OTHERS_CHARGE_LEAST);
        is_others.then(|| {
            format!(
                "TCP's charge on the whole machine changed by {charged} B, payload in this network by {payload} B: other networks gave memory back meanwhile, and it is in unattributed"
            )
        })
    }

    /// Free objects of the baseline's slabs that have been taken since: memory that was needed and that no
    /// page was taken for. Earlier runs leave such slabs behind, in some caches for 50,000 connections.
    fn slab_reused_since(&self, baseline: &Self) -> Option<i64> {
        let (now, before) = (self.caches.as_ref()?, baseline.caches.as_ref()?);
        let reused = before.iter().filter_map(|(name, before)| {
            let now = now.get(name)?;
            let grown = difference(now.object_bytes, before.object_bytes).max(0);
            let filled = difference(before.free_bytes, now.free_bytes).max(0);
            // The objects of somebody else's may have gone: no more is reused than has been added.
            Some(filled.min(grown.saturating_add(grown / 8)))
        });
        Some(reused.fold(0, i64::saturating_add))
    }

    fn notes_with(&self, baseline: &Self) -> Vec<String> {
        let mut notes = baseline.notes.clone();
        notes.extend(self.note_of_others_payload(baseline));
        notes.extend(
            self.notes
                .iter()
                .filter(|note| !baseline.notes.contains(note))
                .cloned(),
        );
        notes
    }
}

fn explained_bytes(parts: &BTreeMap<String, Option<i64>>) -> i64 {
    let add = |sum: i64, bytes: &i64| sum.saturating_add(*bytes);
    parts.values().flatten().fold(0, add)
}

fn delta(now: Option<u64>, before: Option<u64>) -> Option<i64> {
    Some(difference(now?, before?))
}

/// Sizes of memory are far below 2^63; what is not is junk, and junk must not wrap.
fn difference(now: u64, before: u64) -> i64 {
    let limit = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    limit(now) - limit(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meminfo::Meminfo;
    use proptest::prelude::*;

    /// A machine whose memory is exactly these parts.
    #[derive(Clone, Copy, Debug, Default)]
    struct Machine {
        free_kb: u64,
        parked: u64,
        anonymous_kb: u64,
        cached_kb: u64,
        stacks_kb: u64,
        tcp_slabs: u64,
        rings: u64,
        payload: u64,
    }

    const TOTAL: u64 = 1 << 34;

    impl Machine {
        /// Slabs are 32 KiB; 8 KiB of slab is in no cache.
        fn snapshot(self, has_slabinfo: bool) -> MemorySnapshot {
            let slab_kb = self.tcp_slabs * 32 + 8;
            let text = format!(
                "MemFree: {} kB\nCached: {} kB\nBuffers: 0 kB\nAnonPages: {} kB\nSlab: {slab_kb} kB\n\
                 KernelStack: {} kB\nVmallocUsed: {} kB\nPageTables: 0 kB\n",
                self.free_kb, self.cached_kb, self.anonymous_kb, self.stacks_kb, self.stacks_kb,
            );
            let cache = Cache {
                page_bytes: self.tcp_slabs << 15,
                object_bytes: self.tcp_slabs * 30_000,
                free_bytes: 0,
            };
            MemorySnapshot {
                meminfo: Some(Meminfo::parse(&text).unwrap()),
                per_cpu_list_bytes: Some(self.parked),
                caches: has_slabinfo.then(|| [("TCP".to_owned(), cache)].into()),
                payload_bytes: Some(self.payload),
                ring_bytes: Some(self.rings),
                ..MemorySnapshot::default()
            }
        }

        /// The same machine with all that is not in a part free.
        fn filled(mut self, hidden_kb: u64) -> Self {
            let used_kb = self.anonymous_kb
                + self.cached_kb
                + self.stacks_kb
                + 8
                + self.tcp_slabs * 32
                + self.rings / 1024
                + self.parked / 1024
                + self.payload / 1024
                + hidden_kb;
            self.free_kb = TOTAL / 1024 - used_kb;
            self
        }
    }

    fn machine() -> impl Strategy<Value = Machine> {
        (
            0..1u64 << 20,
            0..1u64 << 20,
            0..1u64 << 16,
            0..1u64 << 10,
            0..1u64 << 10,
            0..1u64 << 10,
            0..1u64 << 10,
        )
            .prop_map(
                |(anonymous_kb, cached_kb, stacks_kb, tcp_slabs, rings, parked, payload)| Machine {
                    anonymous_kb,
                    cached_kb,
                    stacks_kb,
                    tcp_slabs,
                    rings: rings << 12,
                    parked: parked << 12,
                    payload: payload << 10,
                    ..Machine::default()
                },
            )
    }

    proptest! {
        #[test]
        fn what_the_parts_hold_is_attributed_and_what_none_holds_is_not(
            before in machine(), after in machine(), hidden_kb in 0u64..1 << 20, has_slabinfo: bool,
        ) {
            let before = before.filled(0).snapshot(has_slabinfo);
            let after = after.filled(hidden_kb).snapshot(has_slabinfo);
            let ledger = after.ledger_since(&before, "settle");
            prop_assert_eq!(ledger.unattributed_bytes, Some(hidden_kb as i64 * 1024));
            prop_assert_eq!(ledger.phase, "settle");
            let sum: i64 = ledger.parts.values().flatten().sum();
            prop_assert_eq!(ledger.taken_bytes, Some(sum + hidden_kb as i64 * 1024));
        }
    }

    #[test]
    fn unread_payload_is_what_was_counted_and_explains_nothing_else() {
        let before = Machine::default().filled(0).snapshot(true);
        let payload = Machine {
            payload: 1 << 20,
            ..Machine::default()
        };
        for hidden_kb in [0, 512] {
            let after = payload.filled(hidden_kb).snapshot(true);
            let ledger = after.ledger_since(&before, "settle");
            assert_eq!(ledger.parts["tcp_pages"], Some(1 << 20));
            assert_eq!(ledger.unattributed_bytes, Some(hidden_kb as i64 * 1024));
        }
    }

    #[test]
    fn payload_that_was_not_counted_is_unknown_and_stays_unattributed() {
        let before = Machine::default().filled(0).snapshot(true);
        let mut after = Machine::default().filled(64).snapshot(true);
        after.payload_bytes = None;
        let ledger = after.ledger_since(&before, "settle");
        assert_eq!(ledger.parts["tcp_pages"], None);
        assert_eq!(ledger.unattributed_bytes, Some(64 << 10));
    }

    #[test]
    fn a_charge_that_fell_further_than_the_payload_was_others_and_is_said() {
        let snapshot = |charged: u64, payload: u64| {
            let mut snapshot = Machine::default().filled(0).snapshot(true);
            snapshot.tcp_charged_bytes = Some(charged << 20);
            snapshot.payload_bytes = Some(payload << 20);
            snapshot
        };
        let notes = |before: (u64, u64), after: (u64, u64)| {
            let before = snapshot(before.0, before.1);
            snapshot(after.0, after.1)
                .ledger_since(&before, "settle")
                .notes
        };
        assert!(notes((100, 0), (50, 0))[0].contains("other networks"));
        assert!(notes((100, 0), (50, 20))[0].contains("other networks"));
        for (before, after) in [((100, 50), (50, 0)), ((0, 0), (100, 50)), ((5, 0), (0, 0))] {
            let notes = notes(before, after);
            let others = notes.iter().find(|note| note.contains("other networks"));
            assert_eq!(others, None, "{before:?} {after:?}");
        }
    }

    #[test]
    fn rings_are_told_by_side_and_the_cgroup_by_version() {
        let snapshot = |server, client| MemorySnapshot {
            server_ring_bytes: Some(server),
            client_ring_bytes: Some(client),
            ring_bytes: Some(server + client),
            cgroup_version: Some(1),
            ..MemorySnapshot::default()
        };
        let ledger = snapshot(50, 7).ledger_since(&snapshot(20, 2), "settle");
        assert_eq!(ledger.server_ring_bytes, Some(30));
        assert_eq!(ledger.client_ring_bytes, Some(5));
        assert_eq!(ledger.parts["io_uring_rings"], Some(35));
        assert_eq!(ledger.cgroup_version, Some(1));
    }

    #[test]
    fn what_this_kernel_does_not_count_is_null_and_not_zero() {
        let snapshot = Machine::default().filled(0).snapshot(false);
        let ledger = snapshot.ledger_since(&snapshot, "settle");
        for part in ["secondary_page_tables", "balloon", "slab_large"] {
            assert_eq!(ledger.parts[part], None, "{part}");
        }
        assert!(ledger.notes[0].contains("secondary_page_tables"));
        assert!(ledger.notes[0].contains("balloon"));
        assert_eq!(ledger.parts["slab"], Some(0));
        assert_eq!(ledger.slab_by_cache, None);
        assert_eq!(ledger.server_user_bytes, None);
        let blind = MemorySnapshot::default();
        let ledger = blind.ledger_since(&snapshot, "settle");
        assert_eq!(
            (ledger.taken_bytes, ledger.unattributed_bytes),
            (None, None)
        );
    }

    #[test]
    fn free_objects_that_were_there_are_counted_as_far_as_objects_have_come() {
        let snapshot = |object_bytes, free_bytes| {
            let mut snapshot = Machine::default().filled(0).snapshot(true);
            let cache = Cache {
                page_bytes: 1 << 20,
                object_bytes,
                free_bytes,
            };
            snapshot.caches = Some([("dentry".to_owned(), cache)].into());
            snapshot
        };
        let reused = |before: &MemorySnapshot, now: &MemorySnapshot| {
            now.ledger_since(before, "settle").slab_reused_bytes
        };
        let before = snapshot(100_000, 900_000);
        assert_eq!(reused(&before, &snapshot(500_000, 480_000)), Some(420_000));
        assert_eq!(reused(&before, &snapshot(60_000, 480_000)), Some(0));
        assert_eq!(
            reused(&before, &snapshot(180_000, 0)),
            Some(90_000),
            "slabs were given up"
        );
        let blind = MemorySnapshot::default();
        assert_eq!(reused(&before, &blind), None);
    }

    #[test]
    fn caches_that_did_not_change_are_left_out_and_new_ones_are_in() {
        let few = Machine {
            tcp_slabs: 2,
            ..Machine::default()
        }
        .snapshot(true);
        let mut more = Machine {
            tcp_slabs: 5,
            ..Machine::default()
        }
        .snapshot(true);
        let new = Cache {
            page_bytes: 4096,
            ..Cache::default()
        };
        more.caches
            .as_mut()
            .unwrap()
            .insert("io_kiocb".to_owned(), new);
        let ledger = more.ledger_since(&few, "ramp");
        let pages = ledger.slab_by_cache.unwrap();
        assert_eq!(
            pages,
            [("TCP".to_owned(), 3 << 15), ("io_kiocb".to_owned(), 4096)].into()
        );
        let objects = ledger.slab_objects_by_cache.unwrap();
        assert_eq!(objects, [("TCP".to_owned(), 90_000)].into());
        let same = few.ledger_since(&few, "ramp").slab_by_cache.unwrap();
        assert!(same.is_empty());
    }
}

//! The ledger: where memory went between two snapshots.

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

impl MemorySnapshot {
    /// Where memory went since `baseline`.
    pub fn ledger_since(&self, baseline: &Self, phase: &str) -> Ledger {
        let taken = delta(self.free_bytes(), baseline.free_bytes()).map(|free| -free);
        let parts = self.parts_since(baseline);
        let explained: i64 = parts.values().flatten().sum();
        Ledger {
            phase: phase.to_owned(),
            taken_bytes: taken,
            unattributed_bytes: taken.map(|taken| taken - explained),
            parts,
            slab_by_cache: self.by_cache_since(baseline, |cache| cache.page_bytes),
            slab_objects_by_cache: self.by_cache_since(baseline, |cache| cache.object_bytes),
            server_user_bytes: delta(self.server_user_bytes, baseline.server_user_bytes),
            client_user_bytes: delta(self.client_user_bytes, baseline.client_user_bytes),
            cgroup_bytes: delta(self.cgroup_bytes, baseline.cgroup_bytes),
            notes: self.notes_with(baseline),
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
        let sum = |names: &[&str]| names.iter().map(line).sum::<Option<i64>>();
        let mut parts: BTreeMap<String, Option<i64>> = MEMINFO_PARTS
            .iter()
            .map(|(part, more, less)| {
                let bytes = sum(more).zip(sum(less)).map(|(more, less)| more - less);
                ((*part).to_owned(), bytes)
            })
            .collect();
        let all_slab = line(&"Slab");
        let caches = delta(self.cache_bytes(), baseline.cache_bytes());
        parts.insert("slab".to_owned(), caches.or(all_slab));
        let large = all_slab.zip(caches).map(|(all, caches)| all - caches);
        parts.insert("slab_large".to_owned(), large);
        let rings = delta(self.io_uring_bytes, baseline.io_uring_bytes);
        parts.insert("io_uring_rings".to_owned(), rings);
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

    fn notes_with(&self, baseline: &Self) -> Vec<String> {
        let mut notes = baseline.notes.clone();
        notes.extend(
            self.notes
                .iter()
                .filter(|note| !baseline.notes.contains(note))
                .cloned(),
        );
        notes
    }
}

fn delta(now: Option<u64>, before: Option<u64>) -> Option<i64> {
    Some(difference(now?, before?))
}

/// Sizes of memory are far below 2^63; what is not is junk, and junk must not wrap.
fn difference(now: u64, before: u64) -> i64 {
    let limit = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    limit(now) - limit(before)
}

//! `/proc/slabinfo`, version 2.1: readable by root alone on most systems.
//!
//! **Names lie a little.** The kernel merges caches of like size and flags, so what is counted under
//! one name may be another's objects (an io_uring request beside some driver's), and a `kmalloc-192`
//! holds whatever anybody allocated at that size; `/sys/kernel/slab` shows which names are aliases.
//! A cache by name is a lead, the sum is a measurement.
//!
//! **Pages, not objects.** A cache holds whole slabs: `num_slabs × pagesperslab` pages, full or not.
//! Objects in use are given beside it, and are an upper bound: SLUB counts the free objects of a
//! core's current slabs as in use.

use crate::malformed::Malformed;
use std::collections::BTreeMap;

/// One cache, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cache {
    /// The pages that it holds.
    pub(crate) page_bytes: u64,
    /// The objects in use.
    pub(crate) object_bytes: u64,
    /// The part of the pages that free objects take.
    pub(crate) free_bytes: u64,
}

/// Every cache by name. Two caches of one name are added.
pub(crate) fn parse(text: &str, page_bytes: u64) -> Result<BTreeMap<String, Cache>, Malformed> {
    let file = "/proc/slabinfo";
    if !text.starts_with("slabinfo - version: 2.") {
        let first = text.lines().next().unwrap_or_default();
        return Err(Malformed::new(file, 0, "slabinfo - version: 2.x", first));
    }
    let mut caches: BTreeMap<String, Cache> = BTreeMap::new();
    for (index, line) in text.lines().enumerate().skip(1) {
        if line.starts_with('#') {
            continue;
        }
        let (name, read) = cache(line, page_bytes)
            .ok_or_else(|| Malformed::new(file, index, "a cache with 15 columns", line))?;
        let cache = caches.entry(name.to_owned()).or_default();
        cache.page_bytes = cache.page_bytes.saturating_add(read.page_bytes);
        cache.object_bytes = cache.object_bytes.saturating_add(read.object_bytes);
        cache.free_bytes = cache.free_bytes.saturating_add(read.free_bytes);
    }
    Ok(caches)
}

/// `name active_objs num_objs objsize objperslab pagesperslab : tunables … : slabdata active_slabs num_slabs shared`
fn cache(line: &str, page_bytes: u64) -> Option<(&str, Cache)> {
    let (objects, rest) = line.split_once(" : tunables ")?;
    let (_, slabs) = rest.split_once(" : slabdata ")?;
    let mut words = objects.split_whitespace();
    let name = words.next()?;
    let mut numbers = words.map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    let (active, objects, object_bytes, objects_per_slab, pages_per_slab) =
        (next()?, next()?, next()?, next()?, next()?);
    let slabs: u64 = slabs.split_whitespace().nth(1)?.parse().ok()?;
    let slab_bytes = pages_per_slab.checked_mul(page_bytes)?;
    let free = objects.saturating_sub(active);
    let cache = Cache {
        page_bytes: slabs.checked_mul(slab_bytes)?,
        object_bytes: active.checked_mul(object_bytes)?,
        free_bytes: free.checked_mul(slab_bytes)? / objects_per_slab.max(1),
    };
    Some((name, cache))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_slabs_times_pages_and_objects_are_those_in_use() {
        let caches = parse(include_str!("../fixtures/slabinfo-6.18"), 4096).unwrap();
        let expected = Cache {
            page_bytes: 15 * 8 * 4096,
            object_bytes: 180 * 2368,
            free_bytes: 15 * 8 * 4096 / 13,
        };
        assert_eq!(caches["TCP"], expected);
        assert_eq!(caches["btrfs_delayed_node"], Cache::default());
        let old = parse(include_str!("../fixtures/slabinfo-5.15"), 4096).unwrap();
        assert_eq!(old["kmalloc-192"].object_bytes, 5_040 * 192);
    }

    #[test]
    fn a_bad_line_is_named_and_nothing_overflows() {
        let head = "slabinfo - version: 2.1\n# name\n";
        let error = parse(&format!("{head}TCP 1 2 3\n"), 4096).unwrap_err();
        assert_eq!(error.line, 3);
        let huge = u64::MAX;
        let line =
            format!("{head}TCP {huge} 2 3 4 {huge} : tunables 0 0 0 : slabdata 1 {huge} 0\n");
        assert!(parse(&line, 4096).is_err());
        assert!(parse("slabinfo - version: 1.1\n", 4096).is_err());
        assert!(parse("", 4096).is_err());
    }
}

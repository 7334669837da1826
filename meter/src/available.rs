//! How much memory a run may still take: what tells it to stop before the kernel ends somebody.

use crate::cgroup;
use crate::malformed::Malformed;
use crate::meminfo::Meminfo;
use crate::memory::own_cgroup;
use crate::{proc_files, zoneinfo};

/// Memory that could be taken without swapping or killing, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Available {
    /// The machine's; `None` where it cannot be read.
    pub machine_bytes: Option<u64>,
    /// The memory cgroup's room, wherever its limit sits between here and the mount; `None` where there is none.
    pub group_bytes: Option<u64>,
    /// That limit.
    pub group_limit_bytes: Option<u64>,
}

impl Available {
    /// The less of both.
    pub fn bytes(&self) -> Option<u64> {
        self.machine_bytes.into_iter().chain(self.group_bytes).min()
    }
}

/// Memory that could be taken without swapping or killing, bytes: the machine's, or the memory
/// cgroup's room if that is less: [`available`].
pub fn available_bytes() -> Option<u64> {
    available().bytes()
}

/// Reads what memory could be taken without swapping or killing, of the machine and of the control group.
///
/// `MemAvailable` is free memory, less the reserves, plus page cache, plus reclaimable slab, of which
/// half is left out, or the low watermarks if those are less: so nearly all of it counts. Files and
/// directory entries of open sockets are such slab (`sock_inode_cache`, `dentry`: about 1 KB an
/// endpoint) and are not reclaimed while the sockets are open: at 2,500,000 connections `MemAvailable`
/// promises 5 GB too much. Whose slab it is cannot be told, so none counts:
///
/// `MemAvailable − (KReclaimable − min(KReclaimable ÷ 2, low watermarks))`
///
/// which errs on the safe side where others hold much of it. Cheap enough for ten times a second.
pub fn available() -> Available {
    let room = own_cgroup().and_then(|(place, directory)| {
        cgroup::up_to_mount(&directory, &place.mount_point)
            .into_iter()
            .filter_map(|directory| group(place.version, directory))
            .filter_map(|group| group.room().zip(group.limit))
            .min_by_key(|(room, _)| *room)
    });
    Available {
        machine_bytes: machine_bytes(),
        group_bytes: room.map(|(room, _)| room),
        group_limit_bytes: room.map(|(_, limit)| limit),
    }
}

/// The machine's part of it, bytes: what control groups allow does not count.
pub(crate) fn machine_bytes() -> Option<u64> {
    let meminfo = Meminfo::parse(&proc_files::read("/proc/meminfo").ok()?).ok()?;
    let zoneinfo = proc_files::read("/proc/zoneinfo").ok();
    let low_pages = zoneinfo.map_or(Ok(0), |text| zoneinfo::low_watermark_pages(&text));
    without_slab(&meminfo, low_pages, rustix::param::page_size() as u64)
}

/// Watermarks that are unknown count as 0: then all reclaimable slab is taken off.
fn without_slab(
    meminfo: &Meminfo,
    low_pages: Result<u64, Malformed>,
    page_bytes: u64,
) -> Option<u64> {
    let low = low_pages.unwrap_or(0).saturating_mul(page_bytes);
    // Before 4.20, slab was all that was reclaimable.
    let lines = ["KReclaimable", "SReclaimable"];
    let reclaimable = lines.iter().find_map(|line| meminfo.get(line)).unwrap_or(0);
    let counted = reclaimable - low.min(reclaimable / 2);
    Some(meminfo.get("MemAvailable")?.saturating_sub(counted))
}

/// A group that has a limit; the others' `memory.stat` is not read, because the kernel adds it up anew.
fn group(version: cgroup::Version, directory: &str) -> Option<cgroup::Group> {
    let value = |file| proc_files::value(&format!("{directory}/{file}"));
    let limit = Some(cgroup::limit(&value(version.limit_file())?)?);
    let stat = value("memory.stat").unwrap_or_default();
    Some(cgroup::Group {
        limit,
        usage: value(version.usage_file())?.parse().ok()?,
        reclaimable: cgroup::stat_line(&stat, version.reclaimable_line()).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reclaimable_slab_is_not_available() {
        let available = |lines: &str, low_pages| {
            let text = format!("MemFree: 1 kB\nMemAvailable: 1000 kB\n{lines}");
            without_slab(&Meminfo::parse(&text).unwrap(), Ok(low_pages), 4096)
        };
        assert_eq!(available("KReclaimable: 400 kB\n", 10), Some(640 << 10));
        assert_eq!(available("KReclaimable: 400 kB\n", 1000), Some(800 << 10));
        assert_eq!(available("KReclaimable: 400 kB\n", 0), Some(600 << 10));
        assert_eq!(available("SReclaimable: 400 kB\n", 0), Some(600 << 10));
        assert_eq!(available("KReclaimable: 4000 kB\n", 0), Some(0));
        assert_eq!(available("", 10), Some(1000 << 10));
        let unknown = Meminfo::parse("MemFree: 1 kB\n").unwrap();
        assert_eq!(without_slab(&unknown, Ok(0), 4096), None);
    }

    #[test]
    fn the_less_of_both_counts() {
        let of = |machine_bytes, group_bytes| Available {
            machine_bytes,
            group_bytes,
            group_limit_bytes: group_bytes.map(|bytes| 2 * bytes),
        };
        assert_eq!(of(Some(9), Some(5)).bytes(), Some(5));
        assert_eq!(of(Some(5), Some(9)).bytes(), Some(5));
        assert_eq!(of(Some(5), None).bytes(), Some(5));
        assert_eq!(of(None, Some(5)).bytes(), Some(5));
        assert_eq!(of(None, None).bytes(), None);
    }

    #[test]
    fn this_machine_has_some_and_less_than_the_kernel_promises() {
        let bytes = available_bytes().unwrap();
        assert!(bytes > 0);
        let meminfo = Meminfo::parse(&proc_files::read("/proc/meminfo").unwrap()).unwrap();
        assert!(bytes < meminfo.get("MemTotal").unwrap());
    }
}

//! Reading the machine's memory at one moment.

use crate::malformed::Malformed;
use crate::meminfo::{self, Meminfo};
use crate::slabinfo::{self, Cache};
use crate::{Subjects, cgroup, maps, proc_files, socket_buffers, sockstat, zoneinfo};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between two looks at memory.
const LOOK: Duration = Duration::from_millis(20);
/// More than anything but free page reporting moves between two looks at a machine that rests.
const MOVES_KILOBYTES: u64 = 16 << 10;

/// The machine's memory at one moment.
///
/// Machine-wide but for the user memory: anything else that runs is in it. Taking one costs a few
/// milliseconds and work on every core (16 ms were seen on busy ones), and where TCP holds payload a walk
/// through every socket of the run's network, 5 to 9 µs each: phase boundaries only.
#[derive(Clone, Debug, Default)]
pub struct MemorySnapshot {
    pub(crate) meminfo: Option<Meminfo>,
    /// Free pages that `MemFree` does not count.
    pub(crate) per_cpu_list_bytes: Option<u64>,
    pub(crate) caches: Option<BTreeMap<String, Cache>>,
    /// What TCP has charged: a bound on its pages, and what tells whether to look for payload.
    pub(crate) tcp_charged_bytes: Option<u64>,
    /// Unread and unacknowledged payload in the network of the subjects.
    pub(crate) payload_bytes: Option<u64>,
    pub(crate) server_ring_bytes: Option<u64>,
    pub(crate) client_ring_bytes: Option<u64>,
    /// The rings of both sides; `None` if those of one could not be read.
    pub(crate) ring_bytes: Option<u64>,
    pub(crate) server_user_bytes: Option<u64>,
    pub(crate) client_user_bytes: Option<u64>,
    pub(crate) cgroup_bytes: Option<u64>,
    pub(crate) cgroup_version: Option<u32>,
    pub(crate) notes: Vec<String>,
}

/// The texts of the files that must be of one moment, read one after the other before any is parsed.
struct Texts {
    meminfo: Result<String, proc_files::Unreadable>,
    zoneinfo: Result<String, proc_files::Unreadable>,
    slabinfo: Result<String, proc_files::Unreadable>,
    sockstat: Result<String, proc_files::Unreadable>,
}

impl Texts {
    fn read() -> Self {
        proc_files::fold_memory_counters();
        Self {
            meminfo: proc_files::read("/proc/meminfo"),
            zoneinfo: proc_files::read("/proc/zoneinfo"),
            slabinfo: proc_files::read("/proc/slabinfo"),
            sockstat: proc_files::read("/proc/net/sockstat"),
        }
    }

    fn free_kilobytes(&self) -> Option<u64> {
        let line = self
            .meminfo
            .as_ref()
            .ok()?
            .lines()
            .find_map(|line| line.strip_prefix("MemFree:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

impl MemorySnapshot {
    /// Reads it. What cannot be read is absent, with a note; this never fails.
    pub fn take(subjects: &Subjects) -> Self {
        Self::take_within(subjects, Duration::ZERO)
    }

    /// Looks for so long, and takes the moment at which most was free.
    ///
    /// A virtual machine that tells its host of free pages (free page reporting) takes up to 32 of its
    /// largest free blocks, 128 MiB, off the free lists while it does, and no counter has them: two of
    /// four runs of a million were 64 and 128 MiB out of balance, exactly, by a baseline of such a moment.
    pub fn take_within(subjects: &Subjects, span: Duration) -> Self {
        let mut end = Instant::now() + span;
        let latest = end + span * 4;
        let mut texts = Texts::read();
        while Instant::now() < end {
            std::thread::sleep(LOOK);
            let later = Texts::read();
            let (now, most) = (later.free_kilobytes(), texts.free_kilobytes());
            // It moves: what is off the lists comes back within a few hundred milliseconds.
            if now
                .zip(most)
                .is_some_and(|(now, most)| now.abs_diff(most) > MOVES_KILOBYTES)
            {
                end = latest;
            }
            if now > most {
                texts = later;
            }
        }
        Self::of(texts, subjects)
    }

    fn of(texts: Texts, subjects: &Subjects) -> Self {
        let page_bytes = rustix::param::page_size() as u64;
        let mut snapshot = Self::parse(texts, page_bytes);
        let notes = &mut snapshot.notes;
        let server_pids = subjects.server_processes();
        snapshot.server_user_bytes = user_bytes(&server_pids, "server", notes);
        snapshot.client_user_bytes = user_bytes(&subjects.client_pids, "client", notes);
        snapshot.server_ring_bytes = ring_bytes(&server_pids, page_bytes, notes);
        snapshot.client_ring_bytes = ring_bytes(&subjects.client_pids, page_bytes, notes);
        snapshot.ring_bytes = sum_of_sides([
            (&server_pids, snapshot.server_ring_bytes),
            (&subjects.client_pids, snapshot.client_ring_bytes),
        ]);
        (snapshot.cgroup_bytes, snapshot.cgroup_version) = cgroup_usage(notes).unzip();
        // Last, because with a million sockets it takes long.
        let pid = subjects.server_pids.first();
        if let Some(pid) = pid.or(subjects.client_pids.first()) {
            snapshot.payload_bytes = payload_bytes(*pid, snapshot.tcp_charged_bytes, notes);
        }
        snapshot
    }

    fn parse(texts: Texts, page_bytes: u64) -> Self {
        let mut notes = Vec::new();
        let pages = |pages: u64| pages.saturating_mul(page_bytes);
        Self {
            meminfo: noted(texts.meminfo, Meminfo::parse, "", &mut notes),
            per_cpu_list_bytes: noted(
                texts.zoneinfo,
                zoneinfo::per_cpu_list_pages,
                "pages on per-CPU lists are taken for used, which is off by 1 to 3 KB a connection",
                &mut notes,
            )
            .map(pages),
            caches: noted(
                texts.slabinfo,
                |text| slabinfo::parse(text, page_bytes),
                "slab is the Slab line of meminfo, without its parts; root may read them",
                &mut notes,
            ),
            tcp_charged_bytes: noted(texts.sockstat, sockstat::tcp_pages_charged, "", &mut notes)
                .map(pages),
            notes,
            ..Self::default()
        }
    }

    /// Bytes of all slab pages, by `Slab:` in meminfo.
    ///
    /// For watching slabs fall between runs. The sum over slabinfo is no use for it: a slab whose
    /// objects may be read under RCU (TCP's, inodes', files') leaves that when it is given up, and
    /// memory only later: some MB were still to come after a run of 40,000 connections.
    pub fn slab_bytes(&self) -> Option<u64> {
        self.meminfo_line("Slab")
    }

    /// Bytes of the pages of all caches.
    pub(crate) fn cache_bytes(&self) -> Option<u64> {
        let caches = self.caches.as_ref()?;
        let add = |sum: u64, cache: &Cache| sum.saturating_add(cache.page_bytes);
        Some(caches.values().fold(0, add))
    }

    pub(crate) fn meminfo_line(&self, name: &str) -> Option<u64> {
        self.meminfo.as_ref()?.get(name)
    }
}

/// A text parsed, or `None` with a note of what failed and what follows from it.
fn noted<T>(
    text: Result<String, proc_files::Unreadable>,
    parse: impl Fn(&str) -> Result<T, Malformed>,
    consequence: &str,
    notes: &mut Vec<String>,
) -> Option<T> {
    let reason = match text {
        Ok(text) => match parse(&text) {
            Ok(parsed) => return Some(parsed),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    notes.push(match consequence {
        "" => reason,
        consequence => format!("{reason}: {consequence}"),
    });
    None
}

/// Anonymous memory of some processes; `None` if there are none or one of them cannot be read.
fn user_bytes(pids: &[u32], whose: &str, notes: &mut Vec<String>) -> Option<u64> {
    let consequence = format!("the {whose}'s user memory is unknown");
    let mut sum = None;
    for pid in pids {
        let text = proc_files::read(&format!("/proc/{pid}/smaps_rollup"));
        let bytes = noted(text, meminfo::anonymous_bytes, &consequence, notes)?;
        sum = Some(bytes.saturating_add(sum.unwrap_or(0)));
    }
    sum
}

/// Pages of the rings of some processes; `None` if there are none or one of them cannot be read.
fn ring_bytes(pids: &[u32], page_bytes: u64, notes: &mut Vec<String>) -> Option<u64> {
    let mut sum = None;
    for pid in pids {
        let text = proc_files::read(&format!("/proc/{pid}/maps"));
        let consequence = "its io_uring rings are in unattributed";
        let parse = |text: &str| maps::io_uring_bytes(text, page_bytes);
        let bytes = noted(text, parse, consequence, notes)?;
        sum = Some(bytes.saturating_add(sum.unwrap_or(0)));
    }
    sum
}

/// A side without processes has nothing to read; a side that could not be read makes the sum unknown.
fn sum_of_sides(sides: [(&Vec<u32>, Option<u64>); 2]) -> Option<u64> {
    let mut sum = None;
    for (_, bytes) in sides.iter().filter(|(pids, _)| !pids.is_empty()) {
        sum = Some((*bytes)?.saturating_add(sum.unwrap_or(0)));
    }
    sum
}

/// Up to so many sockets are looked through whatever TCP has charged: it takes some 50 ms.
const SOCKETS_FEW: u64 = 10_000;

/// Below this, payload is under 0.1 % of what a connection takes at either end.
const CHARGE_A_SOCKET: u64 = 4;

/// A core holds back its share of the counter until it is this large (`SK_MEMORY_PCPU_RESERVE`).
const CHARGE_LEAST: u64 = 1 << 20;

/// Payload in the buffers of all sockets in the network of a process, if there may be enough to matter.
fn payload_bytes(pid: u32, charged: Option<u64>, notes: &mut Vec<String>) -> Option<u64> {
    let sockstat = proc_files::read(&format!("/proc/{pid}/net/sockstat"));
    let sockets = sockstat
        .ok()
        .and_then(|text| sockstat::tcp_sockets(&text).ok());
    if let (Some(charged), Some(sockets)) = (charged, sockets)
        && !is_payload_worth_counting(charged, sockets)
    {
        notes.push(format!(
            "tcp_pages was not counted at {sockets} sockets, because TCP had charged only {charged} B: what there is of it is in unattributed"
        ));
        return None;
    }
    let counted = count_payload(pid);
    counted
        .map_err(|reason| notes.push(format!("{reason}: tcp_pages is in unattributed")))
        .ok()
}

fn is_payload_worth_counting(charged: u64, sockets: u64) -> bool {
    sockets <= SOCKETS_FEW || charged >= CHARGE_LEAST.max(sockets.saturating_mul(CHARGE_A_SOCKET))
}

fn count_payload(pid: u32) -> Result<u64, String> {
    let table = |name: &str| {
        let file = proc_files::open(&format!("/proc/{pid}/net/{name}"));
        let file = file.map_err(|error| error.to_string())?;
        socket_buffers::payload_bytes(file).map_err(|error| error.to_string())
    };
    let bytes = table("tcp")?;
    // A kernel without IPv6 has no such table, and no such sockets.
    match proc_files::exists(&format!("/proc/{pid}/net/tcp6")) {
        true => Ok(bytes.saturating_add(table("tcp6")?)),
        false => Ok(bytes),
    }
}

/// Our memory cgroup, and the directory in which its files are.
pub(crate) fn own_cgroup() -> Option<(cgroup::Place, String)> {
    let cgroup = proc_files::read("/proc/self/cgroup").ok()?;
    let mountinfo = proc_files::read("/proc/self/mountinfo").ok()?;
    let place = cgroup::place(&cgroup, &mountinfo)?;
    let usage = place.version.usage_file();
    let directory = place
        .directories
        .iter()
        .find(|directory| proc_files::exists(&format!("{directory}/{usage}")))?
        .clone();
    Some((place, directory))
}

/// What our memory cgroup is charged, and its version.
fn cgroup_usage(notes: &mut Vec<String>) -> Option<(u64, u32)> {
    let usage = own_cgroup().and_then(|(place, directory)| {
        let file = format!("{directory}/{}", place.version.usage_file());
        let bytes = proc_files::value(&file)?.parse().ok()?;
        Some((bytes, place.version.number()))
    });
    if usage.is_none() {
        notes.push(
            "no memory cgroup of this process can be read: there is no second witness".into(),
        );
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(slabinfo: Option<&str>) -> Texts {
        let missing = || proc_files::read("/proc/no-such-file");
        Texts {
            meminfo: Ok(include_str!("../fixtures/meminfo-6.1").to_owned()),
            zoneinfo: missing(),
            slabinfo: slabinfo.map_or_else(missing, |text| Ok(text.to_owned())),
            sockstat: Ok("TCP: inuse 1 mem 2\n".to_owned()),
        }
    }

    #[test]
    fn without_slabinfo_the_slab_line_stands_in_and_a_note_says_so() {
        let snapshot = MemorySnapshot::parse(texts(None), 4096);
        assert_eq!(snapshot.slab_bytes(), Some(262_408 * 1024));
        assert_eq!(snapshot.per_cpu_list_bytes, None);
        assert_eq!(snapshot.tcp_charged_bytes, Some(8192));
        assert_eq!(snapshot.notes.len(), 2, "{:?}", snapshot.notes);
        assert!(snapshot.notes[1].contains("Slab line of meminfo"));
    }

    #[test]
    fn with_slabinfo_the_caches_are_added() {
        let text = include_str!("../fixtures/slabinfo-5.15");
        let snapshot = MemorySnapshot::parse(texts(Some(text)), 4096);
        let pages = 2 * 8 + 4 * 8 + 240;
        assert_eq!(snapshot.cache_bytes(), Some(pages * 4096));
    }

    #[test]
    fn the_machine_this_runs_on_can_be_read() {
        let subjects = Subjects {
            server_pids: vec![std::process::id()],
            ..Subjects::default()
        };
        let snapshot = MemorySnapshot::take(&subjects);
        assert!(snapshot.slab_bytes().is_some_and(|bytes| bytes > 0));
        assert!(snapshot.server_user_bytes.is_some_and(|bytes| bytes > 0));
        assert_eq!(snapshot.client_user_bytes, None, "nobody was named");
        assert!(snapshot.payload_bytes.is_some() || !snapshot.notes.is_empty());
    }

    #[test]
    fn a_side_without_processes_is_no_gap_in_the_sum_and_one_that_cannot_be_read_is() {
        let (none, one) = (Vec::new(), vec![1]);
        assert_eq!(sum_of_sides([(&one, Some(3)), (&one, Some(4))]), Some(7));
        assert_eq!(sum_of_sides([(&one, Some(3)), (&none, None)]), Some(3));
        assert_eq!(sum_of_sides([(&one, Some(3)), (&one, None)]), None);
        assert_eq!(sum_of_sides([(&none, None), (&none, None)]), None);
    }

    #[test]
    fn many_sockets_are_looked_through_only_where_tcp_has_charged_enough() {
        assert!(is_payload_worth_counting(0, SOCKETS_FEW));
        assert!(!is_payload_worth_counting(CHARGE_LEAST - 1, 20_000));
        assert!(is_payload_worth_counting(CHARGE_LEAST, 20_000));
        assert!(!is_payload_worth_counting(7_999_999, 2_000_000));
        assert!(is_payload_worth_counting(8_000_000, 2_000_000));
        let mut notes = Vec::new();
        assert_eq!(payload_bytes(u32::MAX, None, &mut notes), None);
        assert!(
            notes[0].contains("tcp_pages is in unattributed"),
            "{notes:?}"
        );
    }

    #[test]
    fn a_process_that_is_gone_is_unknown_and_not_nothing() {
        let subjects = Subjects {
            client_pids: vec![std::process::id(), u32::MAX],
            ..Subjects::default()
        };
        let snapshot = MemorySnapshot::take(&subjects);
        assert_eq!(snapshot.client_user_bytes, None);
        assert!(
            snapshot
                .notes
                .iter()
                .any(|note| note.contains("client's user memory"))
        );
    }
}

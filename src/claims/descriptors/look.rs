//! What a server has open while its connections are held, from outside of it.

use fourtuple_meter::Subjects;
use std::collections::BTreeMap;
use std::fs;

/// Descriptors of the server's processes, and open files of the machine, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Entries of `/proc/PID/fd` by what they are: `socket`, `anon_inode:[io_uring]`, …; `None` if they may not be
    /// listed.
    pub open: Option<BTreeMap<String, u64>>,
    /// `fs.file-nr` as the kernel printed it, on one line.
    pub file_nr: Option<String>,
    /// The line of `/proc/PID/limits` about descriptors.
    pub limit: Option<String>,
}

impl Look {
    /// Looks at the server's processes and the machine.
    pub fn take(subjects: &Subjects) -> Self {
        let mut open = Some(BTreeMap::new());
        for &pid in &subjects.server_pids {
            open = open.and_then(|counted| add_entries(pid, counted));
        }
        let first = subjects.server_pids.first();
        Self {
            open,
            file_nr: fs::read_to_string("/proc/sys/fs/file-nr")
                .ok()
                .map(|text| text.trim_end().to_owned()),
            limit: first
                .and_then(|pid| fs::read_to_string(format!("/proc/{pid}/limits")).ok())
                .and_then(|text| descriptor_line(&text)),
        }
    }

    /// Open files of the machine.
    pub fn files(&self) -> Option<u64> {
        self.file_nr.as_deref().and_then(first_number)
    }

    /// How many descriptors the server has open.
    pub fn open_count(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.values().sum())
    }

    /// What they are, one line a kind, the most frequent first.
    pub fn open_lines(&self) -> Vec<String> {
        let mut kinds: Vec<_> = self.open.iter().flatten().collect();
        kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(**count), kind.as_str()));
        let lines = kinds
            .iter()
            .map(|(kind, count)| format!("{count:>6} {kind}"));
        lines.collect()
    }
}

/// Adds the descriptors of a process. One that is closed meanwhile is not counted.
fn add_entries(pid: u32, mut open: BTreeMap<String, u64>) -> Option<BTreeMap<String, u64>> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
        if let Ok(target) = fs::read_link(entry.path()) {
            *open.entry(kind(&target.to_string_lossy())).or_default() += 1;
        }
    }
    Some(open)
}

/// What a descriptor is, without the number that tells it from others of its kind.
fn kind(target: &str) -> String {
    match target.split_once(":[") {
        Some((kind, number)) if number.trim_end_matches(']').parse::<u64>().is_ok() => {
            kind.to_owned()
        }
        _ => target.to_owned(),
    }
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

fn descriptor_line(limits: &str) -> Option<String> {
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_counted_by_kind_and_not_by_number() {
        assert_eq!(kind("socket:[81312]"), "socket");
        assert_eq!(kind("anon_inode:[io_uring]"), "anon_inode:[io_uring]");
        assert_eq!(kind("/dev/null"), "/dev/null");
        let open = [("socket", 1), ("anon_inode:[io_uring]", 80), ("pipe", 1)];
        let look = Look {
            open: Some(open.map(|(kind, count)| (kind.to_owned(), count)).into()),
            ..Look::default()
        };
        assert_eq!(look.open_count(), Some(82));
        let lines = look.open_lines();
        assert_eq!(lines[0], "    80 anon_inode:[io_uring]");
        assert_eq!(lines[1], "     1 pipe");
    }

    #[test]
    fn a_process_shows_a_descriptor_more_for_each_file_that_it_opens() {
        let subjects = Subjects {
            server_pids: vec![std::process::id()],
            ..Subjects::default()
        };
        // Other tests open files meanwhile, but none of them this one so often.
        let name = std::env::current_exe().unwrap();
        let of_this = |look: Look| {
            let open = look.open.unwrap();
            open.get(&*name.to_string_lossy()).copied().unwrap_or(0)
        };
        let before = of_this(Look::take(&subjects));
        let held: Vec<_> = (0..7).map(|_| fs::File::open(&name).unwrap()).collect();
        assert!(of_this(Look::take(&subjects)) >= before + held.len() as u64);
        let nobody = Subjects {
            server_pids: vec![u32::MAX],
            ..Subjects::default()
        };
        assert_eq!(Look::take(&nobody).open_count(), None);
    }

    #[test]
    fn the_first_number_is_what_is_open() {
        assert_eq!(first_number("1344\t0\t9223372036854775807"), Some(1_344));
        assert_eq!(first_number(""), None);
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 1024                 files     \n";
        assert_eq!(
            descriptor_line(limits).unwrap(),
            "Max open files 1024 1024 files"
        );
    }
}

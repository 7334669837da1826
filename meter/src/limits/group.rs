//! What the control groups of a process allow it, each group up to the mount by itself.

use super::directory;
use super::text::{Text, quoted, reading, result};
use crate::cgroup::{self, Place, Version};
use crate::proc_files;
use fourtuple_spec::limits::{GroupLimits, GroupMemory, GroupTasks};

/// Files of a limit and of what is charged to it.
type Pair = (&'static str, &'static str);

/// Version 1 has a limit of its own for the kernel's memory. The one for TCP's (`memory.kmem.tcp`) is of pages of
/// buffers, of which a connection at rest has none: it is no limit of how many there are.
const KERNEL_MEMORY: Pair = ("memory.kmem.limit_in_bytes", "memory.kmem.usage_in_bytes");

/// In both versions.
const TASKS: Pair = ("pids.max", "pids.current");

/// Reads a file; a test has its own.
type Read<'a> = &'a dyn Fn(&str) -> Text;

pub(super) fn read(pid: Option<u32>) -> GroupLimits {
    let cgroup = Text::read(&format!("{}/cgroup", directory(pid)));
    // The mounts are the reader's: it is by those that the files are found.
    let mountinfo = Text::read("/proc/self/mountinfo");
    let tree = |controller| match pid.is_some_and(|_| leads_out(&cgroup)) {
        true => Err(format!(
            "{}/cgroup: its groups are outside of those that can be seen from here",
            directory(pid)
        )),
        false => tree(controller, &cgroup, &mountinfo),
    };
    let memory = tree("memory");
    let version = memory.as_ref().ok().map(|tree| tree.place.version);
    GroupLimits {
        version: version.map(Version::number),
        memory: reading(memory.and_then(|tree| memory_limits(&tree, &Text::read))),
        tasks: reading(tree("pids").and_then(|tree| task_limits(&tree, &Text::read))),
    }
}

/// Whether a process is in a group outside of those that the reader's namespace has: its path begins with `/..`. The
/// limits of the mount would be the reader's own.
fn leads_out(cgroup: &Text) -> bool {
    let mut lines = cgroup.content().into_iter().flat_map(str::lines);
    lines.any(|line| line.contains(":/.."))
}

/// The groups of a process in the tree of one controller.
struct Tree {
    place: Place,
    /// The group that the process is in, as far as it can be seen.
    innermost: String,
}

impl Tree {
    fn directories(&self) -> Vec<&str> {
        cgroup::up_to_mount(&self.innermost, &self.place.mount_point)
    }
}

fn tree(controller: &str, cgroup: &Text, mountinfo: &Text) -> Result<Tree, String> {
    let place = place(controller, cgroup, mountinfo)?;
    // A group without the controller is one too: a limit of those around it counts all the same.
    let is_group = |directory: &&String| proc_files::exists(&format!("{directory}/cgroup.procs"));
    match place.directories.iter().find(is_group).cloned() {
        Some(innermost) => Ok(Tree { place, innermost }),
        None => Err(format!("{}: there is no control group", place.mount_point)),
    }
}

fn place(controller: &str, cgroup: &Text, mountinfo: &Text) -> Result<Place, String> {
    let mounts = result(mountinfo.parse(|text| Ok(text.to_owned())))?;
    let place = cgroup.parse(|text| {
        cgroup::place_of(controller, text, &mounts)
            .ok_or_else(|| format!("no tree of these groups that may have {controller} is mounted"))
    });
    result(place)
}

fn memory_limits(tree: &Tree, read: Read<'_>) -> Result<Vec<GroupMemory>, String> {
    let version = tree.place.version;
    let pairs = || {
        let own = (version.limit_file(), version.usage_file());
        let kernel = (version == Version::V1).then_some(KERNEL_MEMORY);
        std::iter::once(own).chain(kernel)
    };
    let directories = tree.directories().into_iter();
    let files = directories.flat_map(|directory| pairs().map(move |pair| (directory, pair)));
    let limits = files.filter_map(|(directory, pair)| {
        let found = limit(directory, pair, read).transpose()?;
        Some(found.map(|limit| memory(limit, directory, pair, version, read)))
    });
    limits.collect()
}

/// Of the whole of a group's memory, the page cache that is given up first does not count.
fn memory(
    limit: Limit,
    directory: &str,
    (_, used): Pair,
    version: Version,
    read: Read<'_>,
) -> GroupMemory {
    let cache_bytes = match used == version.usage_file() {
        true => reclaimable_bytes(directory, version, read),
        false => 0,
    };
    GroupMemory {
        file: limit.file,
        limit_bytes: limit.limit,
        used_bytes: limit.used.saturating_sub(cache_bytes),
    }
}

fn task_limits(tree: &Tree, read: Read<'_>) -> Result<Vec<GroupTasks>, String> {
    let directories = tree.directories().into_iter();
    let limits = directories.filter_map(|directory| limit(directory, TASKS, read).transpose());
    limits.map(|found| found.map(GroupTasks::from)).collect()
}

/// A limit, and what counts against it.
struct Limit {
    file: String,
    limit: u64,
    used: u64,
}

impl From<Limit> for GroupTasks {
    fn from(Limit { file, limit, used }: Limit) -> Self {
        Self { file, limit, used }
    }
}

/// A limit of a group; `None` if it has none, as the topmost one of version 2 and one without the controller do.
fn limit(directory: &str, (limit, used): Pair, read: Read<'_>) -> Result<Option<Limit>, String> {
    let file = format!("{directory}/{limit}");
    let text = read(&file);
    if text.is_missing() {
        return Ok(None);
    }
    let limit = result(text.parse(|text| {
        cgroup::limit_or_garbage(text)
            .map_err(|_| format!("expected a number or max, found {}", quoted(text.trim())))
    }))?;
    let Some(limit) = limit else { return Ok(None) };
    let used = result(read(&format!("{directory}/{used}")).number())?;
    Ok(Some(Limit { file, limit, used }))
}

/// Only where there is a limit: the kernel adds `memory.stat` up anew each time.
fn reclaimable_bytes(directory: &str, version: Version, read: Read<'_>) -> u64 {
    let stat = read(&format!("{directory}/memory.stat"));
    let bytes = stat
        .content()
        .and_then(|text| cgroup::stat_line(text, version.reclaimable_line()));
    bytes.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::ErrorKind;

    const MIB: u64 = 1 << 20;

    fn tree_of(version: Version, innermost: &str) -> Tree {
        Tree {
            place: Place {
                version,
                mount_point: "/c".to_owned(),
                directories: vec![innermost.to_owned()],
            },
            innermost: innermost.to_owned(),
        }
    }

    /// Reads from a table; what is not in it is not there.
    fn reader(files: &[(&str, &str)]) -> impl Fn(&str) -> Text {
        let files = files
            .iter()
            .map(|&(path, text)| (path.to_owned(), text.to_owned()));
        let files: BTreeMap<String, String> = files.collect();
        move |path| match files.get(path) {
            Some(text) => Text::of(path, text),
            None => Text::absent(path, ErrorKind::NotFound),
        }
    }

    fn memory_of(file: &str, limit_bytes: u64, used_bytes: u64) -> GroupMemory {
        GroupMemory {
            file: file.to_owned(),
            limit_bytes,
            used_bytes,
        }
    }

    #[test]
    fn every_group_of_version_2_with_a_limit_is_listed_innermost_first() {
        let read = reader(&[
            ("/c/a/b/memory.max", "max\n"),
            ("/c/a/b/memory.current", "900\n"),
            ("/c/a/memory.max", "2097152\n"),
            ("/c/a/memory.current", "1048576\n"),
            ("/c/a/memory.stat", "anon 7\ninactive_file 524288\n"),
            ("/c/memory.max", "4194304\n"),
            ("/c/memory.current", "2097152\n"),
        ]);
        let found = memory_limits(&tree_of(Version::V2, "/c/a/b/d"), &read).unwrap();
        let expected = [
            memory_of("/c/a/memory.max", 2 * MIB, MIB / 2),
            memory_of("/c/memory.max", 4 * MIB, 2 * MIB),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn version_1_has_a_limit_of_kernel_memory_and_that_of_buffers_does_not_count() {
        let read = reader(&[
            ("/c/a/memory.limit_in_bytes", "2097152\n"),
            ("/c/a/memory.usage_in_bytes", "1048576\n"),
            (
                "/c/a/memory.stat",
                "inactive_file 1\ntotal_inactive_file 524288\n",
            ),
            ("/c/a/memory.kmem.limit_in_bytes", "1572864\n"),
            ("/c/a/memory.kmem.usage_in_bytes", "8192\n"),
            ("/c/a/memory.kmem.tcp.limit_in_bytes", "1048576\n"),
            ("/c/a/memory.kmem.tcp.usage_in_bytes", "4096\n"),
            ("/c/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/c/memory.kmem.limit_in_bytes", "18446744073709551615\n"),
        ]);
        let found = memory_limits(&tree_of(Version::V1, "/c/a"), &read).unwrap();
        let expected = [
            memory_of("/c/a/memory.limit_in_bytes", 2 * MIB, MIB / 2),
            memory_of("/c/a/memory.kmem.limit_in_bytes", 3 * MIB / 2, 8192),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_path_outside_of_the_namespace_leads_out() {
        let leads_out = |text| leads_out(&Text::of("/proc/7/cgroup", text));
        assert!(leads_out("4:memory:/../b\n"));
        assert!(leads_out("0::/..\n"));
        assert!(!leads_out("4:memory:/a..b\n0::/\n"));
    }

    #[test]
    fn tasks_are_counted_against_each_limit() {
        let read = reader(&[
            ("/c/a/b/pids.max", "100\n"),
            ("/c/a/b/pids.current", "3\n"),
            ("/c/a/pids.max", "max\n"),
        ]);
        let found = task_limits(&tree_of(Version::V2, "/c/a/b"), &read).unwrap();
        let expected = GroupTasks {
            file: "/c/a/b/pids.max".to_owned(),
            limit: 100,
            used: 3,
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn garbage_and_what_is_forbidden_make_it_unknown() {
        let tree = tree_of(Version::V2, "/c/a");
        let read = reader(&[("/c/a/memory.max", "much\n")]);
        let reason = "/c/a/memory.max: expected a number or max, found \"much\"";
        assert_eq!(memory_limits(&tree, &read), Err(reason.to_owned()));
        let read = reader(&[("/c/a/pids.max", "5\n")]);
        let reason = task_limits(&tree, &read).unwrap_err();
        assert!(reason.starts_with("/c/a/pids.current: "), "{reason}");
        let forbidden = |path: &str| Text::absent(path, ErrorKind::PermissionDenied);
        let reason = memory_limits(&tree, &forbidden).unwrap_err();
        assert!(reason.starts_with("/c/a/memory.max: "), "{reason}");
    }

    #[test]
    fn no_tree_is_unknown_and_says_whose_groups_were_looked_for() {
        let mounts = Text::of("/proc/self/mountinfo", "1 0 0:1 / / rw - ext4 /dev/a rw\n");
        let reason = |cgroup: &Text, mounts: &Text| tree("pids", cgroup, mounts).err().unwrap();
        let cgroup = Text::of("/proc/7/cgroup", "8:pids:/\n0::/\n");
        let expected = "/proc/7/cgroup: no tree of these groups that may have pids is mounted";
        assert_eq!(reason(&cgroup, &mounts), expected);
        let gone = Text::absent("/proc/7/cgroup", ErrorKind::NotFound);
        assert!(reason(&gone, &mounts).starts_with("/proc/7/cgroup: "));
        let gone = Text::absent("/proc/self/mountinfo", ErrorKind::NotFound);
        assert!(reason(&cgroup, &gone).starts_with("/proc/self/mountinfo: "));
    }

    #[test]
    fn what_the_files_say_is_what_is_listed() {
        for limits in [read(None), read(Some(std::process::id()))] {
            for GroupMemory {
                file, limit_bytes, ..
            } in limits.memory.known().into_iter().flatten()
            {
                let value = proc_files::value(file).unwrap();
                assert_eq!(value, limit_bytes.to_string(), "{file}");
            }
            for GroupTasks { file, limit, .. } in limits.tasks.known().into_iter().flatten() {
                assert_eq!(
                    proc_files::value(file).unwrap(),
                    limit.to_string(),
                    "{file}"
                );
            }
            assert_eq!(limits.version.is_some(), limits.memory.known().is_some());
        }
    }
}

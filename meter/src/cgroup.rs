//! The memory cgroup: which one is ours, where its files are, and what they say. Other controllers' groups are found
//! in the same way.
//!
//! Of v1, `memory.usage_in_bytes` already holds what is under `memory.kmem.usage_in_bytes` (the
//! kernel charges both counters for one page), so that is not added. Charges are taken in batches
//! of 64 pages a core. Objects that a softirq allocates (the accepted `TCP` object, under v1 and
//! under v2 of older kernels) are charged to nobody: a witness, not the truth ([`cgroup_blind_spot`]).

use std::num::ParseIntError;

/// The two versions, which name their files differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// One hierarchy a controller.
    V1,
    /// One hierarchy for all.
    V2,
}

impl Version {
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    pub(crate) fn usage_file(self) -> &'static str {
        match self {
            Self::V1 => "memory.usage_in_bytes",
            Self::V2 => "memory.current",
        }
    }

    pub(crate) fn limit_file(self) -> &'static str {
        match self {
            Self::V1 => "memory.limit_in_bytes",
            Self::V2 => "memory.max",
        }
    }

    /// The line of `memory.stat` with the page cache that is given up first, descendants included.
    pub(crate) fn reclaimable_line(self) -> &'static str {
        match self {
            Self::V1 => "total_inactive_file",
            Self::V2 => "inactive_file",
        }
    }
}

/// What a memory cgroup of this version cannot see, in one sentence, to stand beside what it was charged.
///
/// `inet_csk_accept` charges an accepted socket after the fact, since about 6.14 and where socket
/// memory is accounted at all: under v2, and under v1 only with a limit on `memory.kmem.tcp`.
pub fn cgroup_blind_spot(version: u32) -> &'static str {
    match version {
        1 => BLIND_SPOT_V1,
        2 => {
            "version 2 is not charged for accepted sockets, which are allocated in softirq, before Linux 6.14 or so; for TCP's buffers it is charged whole pages a socket, more than they take; and nothing of the kernel's where it was started with cgroup.memory=nokmem"
        }
        _ => "what this version of the memory cgroup does not see is not known",
    }
}

/// Measured but for its last part, 27,000 loopback pairs on 6.18: charged 5,034 B a pair, of the 7,771 to
/// 7,949 that the ledger finds; with 16,384 unread bytes each, 5,034 as well. An accepted `TCP` object is 2,520.
const BLIND_SPOT_V1: &str = "version 1 is not charged for accepted sockets, which are allocated in softirq, nor for unread data unless memory.kmem.tcp has a limit, and for nothing of the kernel's where it was started with cgroup.memory=nokmem";

/// Where a group's files may be: the directories to try, best first, and where its tree ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which files it has.
    pub(crate) version: Version,
    /// The mount of the hierarchy: groups above it cannot be seen.
    pub(crate) mount_point: String,
    /// The directory of the group, as far as the mount lets it be told; then the mount itself.
    pub(crate) directories: Vec<String>,
}

/// Finds the memory group in `/proc/self/cgroup` and `/proc/self/mountinfo`.
pub(crate) fn place(cgroup: &str, mountinfo: &str) -> Option<Place> {
    place_of("memory", cgroup, mountinfo)
}

/// Finds a controller's group in a process's `/proc/PID/cgroup` and the reader's own `/proc/self/mountinfo`.
///
/// The v1 controller first: on hybrid systems v2 is mounted too, but without those that v1 has.
pub(crate) fn place_of(controller: &str, cgroup: &str, mountinfo: &str) -> Option<Place> {
    let path_of = |wanted: &dyn Fn(&str) -> bool| {
        cgroup.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            wanted(controllers).then_some(path)
        })
    };
    let v1 = path_of(&|names| names.split(',').any(|name| name == controller));
    if let Some(path) = v1
        && let Some(mount) = mount(mountinfo, Version::V1, controller)
    {
        return Some(mount.place(path));
    }
    let path = path_of(&str::is_empty)?;
    Some(mount(mountinfo, Version::V2, controller)?.place(path))
}

struct Mount<'a> {
    version: Version,
    root: &'a str,
    point: &'a str,
}

/// `id parent major:minor root point options [tags] - type source super-options`
fn mount<'a>(mountinfo: &'a str, version: Version, controller: &str) -> Option<Mount<'a>> {
    mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let kind = right.next()?;
        let options = right.nth(1)?;
        let is_wanted = match version {
            Version::V1 => kind == "cgroup" && options.split(',').any(|name| name == controller),
            Version::V2 => kind == "cgroup2",
        };
        is_wanted.then_some(Mount {
            version,
            root,
            point,
        })
    })
}

impl Mount<'_> {
    /// A container sees its own group's directory mounted, while its path may be the host's. A path that leads out of
    /// what this process sees of the tree (`/../a`) is not followed: beside the mount is another tree.
    fn place(&self, path: &str) -> Place {
        let below = match self.root {
            "/" => path,
            root => path.strip_prefix(root).unwrap_or(path),
        };
        let below = match below.split('/').any(|name| name == "..") {
            true => "",
            false => below,
        };
        let mut directories = vec![format!("{}{}", self.point, below.trim_end_matches('/'))];
        if directories[0] != self.point {
            directories.push(self.point.to_owned());
        }
        Place {
            version: self.version,
            mount_point: self.point.to_owned(),
            directories,
        }
    }
}

/// A group's numbers, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// What it may be charged; `None` if that is unlimited.
    pub(crate) limit: Option<u64>,
    /// What it is charged.
    pub(crate) usage: u64,
    /// How much of that is page cache that would be given up.
    pub(crate) reclaimable: u64,
}

impl Group {
    /// What it is charged, less what would be given up.
    pub(crate) fn held(&self) -> u64 {
        self.usage.saturating_sub(self.reclaimable)
    }

    /// What it can still take; `None` if it has no limit.
    pub(crate) fn room(&self) -> Option<u64> {
        Some(self.limit?.saturating_sub(self.held()))
    }
}

/// A limit: `max`, or v1's largest multiple of a page, is none. Neither is what is no number.
pub(crate) fn limit(text: &str) -> Option<u64> {
    limit_or_garbage(text).ok().flatten()
}

/// The same, where what is no limit has to be told from what is not understood.
pub(crate) fn limit_or_garbage(text: &str) -> Result<Option<u64>, ParseIntError> {
    match text.trim() {
        "max" => Ok(None),
        number => Ok(Some(number.parse()?).filter(|&limit: &u64| limit < 1 << 60)),
    }
}

/// One line of `memory.stat`.
pub(crate) fn stat_line(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

/// A directory and all above it, up to the mount: a limit may sit on any of them.
pub(crate) fn up_to_mount<'a>(directory: &'a str, mount_point: &'a str) -> Vec<&'a str> {
    let mut directories = vec![directory];
    let mut rest = directory;
    while rest.len() > mount_point.len() {
        let Some((parent, _)) = rest.rsplit_once('/') else {
            break;
        };
        rest = parent;
        directories.push(parent);
    }
    directories
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
";

    #[test]
    fn a_hybrid_machine_has_its_memory_in_v1() {
        let own = "4:memory:/group/a\n1:cpu,cpuacct:/\n0::/user.slice\n";
        let found = place(own, V1_MOUNTS).unwrap();
        assert_eq!(found.version, Version::V1);
        assert_eq!(
            found.directories,
            ["/sys/fs/cgroup/memory/group/a", "/sys/fs/cgroup/memory"]
        );
    }

    #[test]
    fn v2_is_found_and_a_container_sees_its_root() {
        let mounts = "29 22 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = place("0::/user.slice/a.scope\n", mounts).unwrap();
        assert_eq!(found.version, Version::V2);
        assert_eq!(found.directories[0], "/sys/fs/cgroup/user.slice/a.scope");
        let mounts = "29 22 0:26 /docker/1f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let found = place("9:memory:/docker/1f\n", mounts).unwrap();
        assert_eq!(found.directories, ["/sys/fs/cgroup/memory"]);
    }

    #[test]
    fn another_controller_has_a_tree_of_its_own() {
        let mounts = "35 31 0:32 / /c/memory rw - cgroup cgroup rw,memory\n39 31 0:36 / /c/pids rw - cgroup cgroup rw,pids\n";
        let own = "8:pids:/b\n4:memory:/a\n";
        let found = |controller| place_of(controller, own, mounts).map(|place| place.directories);
        assert_eq!(found("pids").unwrap(), ["/c/pids/b", "/c/pids"]);
        assert_eq!(found("memory").unwrap(), ["/c/memory/a", "/c/memory"]);
        assert_eq!(found("cpu"), None);
    }

    #[test]
    fn what_is_outside_of_the_mount_is_not_looked_for_beside_it() {
        let mounts = "29 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let found = place("0::/../../other.scope\n", mounts).unwrap();
        assert_eq!(found.directories, ["/sys/fs/cgroup"]);
    }

    #[test]
    fn no_limit_is_not_what_is_no_number() {
        assert_eq!(limit_or_garbage("max\n"), Ok(None));
        assert_eq!(limit_or_garbage("9223372036854775807\n"), Ok(None));
        assert_eq!(limit_or_garbage("4096\n"), Ok(Some(4096)));
        assert!(limit_or_garbage("many\n").is_err());
        assert!(limit_or_garbage("-1").is_err());
    }

    #[test]
    fn no_group_is_no_place() {
        assert_eq!(place("", V1_MOUNTS), None);
        assert_eq!(place("0::/\n", ""), None);
        assert_eq!(place("junk", "junk - \n - cgroup2"), None);
    }

    #[test]
    fn room_is_the_limit_less_what_stays() {
        let mut group = Group {
            limit: limit("1000\n"),
            usage: 700,
            reclaimable: 200,
        };
        assert_eq!(group.room(), Some(500));
        group.usage = 5000;
        assert_eq!(group.room(), Some(0));
        group.limit = limit("max\n");
        assert_eq!(group.room(), None);
        assert_eq!(limit("9223372036854771712\n"), None);
    }

    #[test]
    fn lines_and_parents() {
        assert_eq!(
            stat_line("cache 1\ninactive_file 7\n", "inactive_file"),
            Some(7)
        );
        assert_eq!(stat_line("cache 1\n", "inactive_file"), None);
        assert_eq!(up_to_mount("/c/a/b", "/c"), ["/c/a/b", "/c/a", "/c"]);
        assert_eq!(up_to_mount("/c", "/c"), ["/c"]);
    }
}

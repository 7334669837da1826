//! Which limit a thread met that could not be started. The kernel says EAGAIN to all of them, and so does the
//! C library where it finds no memory for a stack.

use crate::ServeError;
use fourtuple_spec::limiter;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::fs::read_to_string;
use std::io;
use std::path::{Path, PathBuf};

/// A limit, and how much of it is used.
struct Limit {
    name: &'static str,
    used: u64,
    most: u64,
    advice: &'static str,
}

/// What the start of a thread was refused with, and the limit that is nearest to having been met.
pub(crate) fn refused(error: &io::Error) -> ServeError {
    const CALL: &str = "the start of a thread";
    match Errno::from_io_error(error) {
        Some(Errno::AGAIN) => {}
        Some(errno) => return ServeError::refused(CALL, errno),
        None => return ServeError::new(format!("{CALL}: {error}")),
    }
    match limits().into_iter().find(Limit::is_met) {
        Some(Limit {
            name,
            used,
            most,
            advice,
        }) => ServeError::limited(
            name,
            format!("{CALL}: {error}; {used} of {name} = {most} are used: {advice}"),
        ),
        None => user_limit(CALL, error),
    }
}

impl Limit {
    /// Within a fiftieth of it: threads come and go between the refusal and the look.
    fn is_met(&self) -> bool {
        self.used.saturating_add(self.most / 50) >= self.most
    }
}

/// The limits whose use can be read.
fn limits() -> Vec<Limit> {
    let number = |path: &str| read_to_string(path).ok()?.trim().parse().ok();
    let threads = read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| threads_of_the_machine(&text));
    let maps = read_to_string("/proc/self/maps").map(|maps| maps.lines().count() as u64);
    let known = [
        (
            limiter::MAP_COUNT,
            maps.ok(),
            number("/proc/sys/vm/max_map_count"),
            "a stack takes two; raise the sysctl",
        ),
        (
            limiter::THREADS_MAX,
            threads,
            number("/proc/sys/kernel/threads-max"),
            "raise the sysctl",
        ),
        (
            limiter::PID_MAX,
            threads,
            number("/proc/sys/kernel/pid_max"),
            "raise the sysctl",
        ),
    ];
    let known = known.into_iter().filter_map(|(name, used, most, advice)| {
        Some(Limit {
            name,
            used: used?,
            most: most?,
            advice,
        })
    });
    known.chain(cgroup_limits()).collect()
}

/// `pids.max` of the control group and of those that it is in.
fn cgroup_limits() -> Vec<Limit> {
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = |directory: PathBuf| {
        let number = |file| {
            read_to_string(directory.join(file))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        Some(Limit {
            name: limiter::PIDS_GROUP,
            used: number("pids.current")?,
            most: number("pids.max")?,
            advice: "give the container or the unit more tasks",
        })
    };
    cgroup_directories(&groups)
        .into_iter()
        .filter_map(limit)
        .collect()
}

/// Where the control groups of `/proc/self/cgroup` are that may limit tasks, the innermost first.
fn cgroup_directories(groups: &str) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        let mount = match controllers {
            "" => "/sys/fs/cgroup",
            controllers if controllers.split(',').any(|name| name == "pids") => {
                "/sys/fs/cgroup/pids"
            }
            _ => continue,
        };
        for ancestor in Path::new(group).ancestors() {
            let below = ancestor.strip_prefix("/").unwrap_or(ancestor);
            directories.push(Path::new(mount).join(below));
        }
    }
    directories
}

/// How many threads the machine has, from `/proc/loadavg`.
fn threads_of_the_machine(loadavg: &str) -> Option<u64> {
    let running_and_all = loadavg.split_whitespace().nth(3)?;
    running_and_all.split_once('/')?.1.parse().ok()
}

/// RLIMIT_NPROC counts the threads of a user in all containers, so its use cannot be read from within one: it is
/// named where no other limit is.
fn user_limit(call: &str, error: &io::Error) -> ServeError {
    let is_root = rustix::process::geteuid().is_root();
    match getrlimit(Resource::Nproc).current {
        Some(most) if !is_root => ServeError::limited(
            limiter::PROCESSES,
            format!("{call}: {error}; RLIMIT_NPROC is {most}: raise it with `ulimit -u`"),
        ),
        _ => ServeError::limited(
            "threads",
            format!(
                "{call}: {error}; memory for stacks is short, or a limit that cannot be read is met"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_met_from_just_below_it_on() {
        let limit = |used| Limit {
            name: "",
            used,
            most: 1000,
            advice: "",
        };
        assert!(limit(1000).is_met() && limit(985).is_met());
        assert!(!limit(900).is_met());
    }

    #[test]
    fn threads_are_the_second_half_of_the_fourth_field() {
        let loadavg = "0.20 0.18 0.12 1/1453 11206\n";
        assert_eq!(threads_of_the_machine(loadavg), Some(1453));
        assert_eq!(threads_of_the_machine("0.20 0.18"), None);
    }

    #[test]
    fn groups_of_both_versions_are_found_with_those_that_they_are_in() {
        let both = "12:cpu,cpuacct:/x\n4:pids:/docker/1\n0::/user.slice/a.scope\n";
        let expected = [
            "/sys/fs/cgroup/pids/docker/1",
            "/sys/fs/cgroup/pids/docker",
            "/sys/fs/cgroup/pids",
            "/sys/fs/cgroup/user.slice/a.scope",
            "/sys/fs/cgroup/user.slice",
            "/sys/fs/cgroup",
        ];
        let found = cgroup_directories(both);
        assert!(
            found
                .iter()
                .map(PathBuf::as_path)
                .eq(expected.map(Path::new)),
            "{found:?}"
        );
    }

    #[test]
    fn whatever_it_was_it_has_a_name() {
        let error = refused(&io::Error::from_raw_os_error(Errno::AGAIN.raw_os_error()));
        assert!(error.limiter.is_some(), "{error}");
        let error = refused(&io::Error::from_raw_os_error(Errno::NOMEM.raw_os_error()));
        assert_eq!(error.limiter.as_deref(), Some(limiter::MEMORY));
    }
}

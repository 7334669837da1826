//! What is a process's own or its user's: `/proc/PID/limits`, `status`, `fd`, `maps`, `ns/user`.

use super::directory;
use super::text::{Text, quoted, reading, reason, result};
use crate::environment::limits as rlimits;
use crate::proc_files::{self, Unreadable};
use fourtuple_spec::Reading;
use fourtuple_spec::limits::ProcessLimits;
use std::io::{self, BufRead};

/// With more processes than this nobody counts the tasks of a user: a look at each takes some 30 µs.
const PROCESSES_MOST: usize = 5_000;

/// What the kernel calls its first user namespace, on every machine and since 3.8.
const FIRST_USER_NAMESPACE: &str = "user:[4026531837]";

/// More mappings than this are not counted: a process may have millions.
const MAPPINGS_MOST: u64 = 200_000;

pub(super) fn read(pid: Option<u32>) -> ProcessLimits {
    let directory = directory(pid);
    let namespace = format!("{directory}/ns/user");
    let files = Files {
        limits: Text::read(&format!("{directory}/limits")),
        status: Text::read(&format!("{directory}/status")),
        user_namespace: Text::new(&namespace, proc_files::link(&namespace)),
    };
    ProcessLimits {
        pid,
        name: pid.and_then(|_| proc_files::value(&format!("{directory}/comm"))),
        // One that is yet to be started inherits what this one has, as this one did.
        descriptors_open: descriptors_open(pid.unwrap_or_else(std::process::id)),
        mappings: pid.map_or(Reading::Known(0), mappings),
        tasks_of_user: tasks_of_user(&files.status),
        ..files.parse()
    }
}

/// Files of a process that are there or not as a whole.
struct Files {
    limits: Text,
    status: Text,
    user_namespace: Text,
}

impl Files {
    fn parse(&self) -> ProcessLimits {
        let limit = |name| self.limits.parse(|text| limit(text, name));
        let descriptors = limit("Max open files");
        let tasks = limit("Max processes");
        let status = |name, radix| self.status.parse(|text| status_number(text, name, radix));
        ProcessLimits {
            descriptors_soft: descriptors.clone().map(|(soft, _)| soft),
            descriptors_hard: descriptors.map(|(_, hard)| hard),
            tasks_of_user_max: tasks.clone().map(|(soft, _)| soft),
            tasks_of_user_hard: tasks.map(|(_, hard)| hard),
            locked_bytes_max: limit("Max locked memory").map(|(soft, _)| soft),
            user: self.status.parse(|text| user(text, User::Effective)),
            capabilities: status("CapEff", 16),
            is_in_first_user_namespace: self.user_namespace.parse(is_first_user_namespace),
            seccomp: self.status.parse(seccomp),
            ..ProcessLimits::default()
        }
    }
}

/// Soft and hard; `u64::MAX` is no limit.
fn limit(text: &str, name: &str) -> Result<(u64, u64), String> {
    let key = name.trim_start_matches("Max ").replace(' ', "_");
    if let Some(&(soft, hard)) = rlimits::parse(text).get(&key) {
        return Ok((soft.unwrap_or(u64::MAX), hard.unwrap_or(u64::MAX)));
    }
    let line = text.lines().find(|line| line.starts_with(name));
    Err(match line {
        Some(line) => format!("expected two limits, found {}", quoted(line)),
        None => format!("there is no line {name:?}"),
    })
}

/// What follows a name and a colon.
fn status_line<'a>(text: &'a str, name: &str) -> Result<&'a str, String> {
    let value = text.lines().find_map(|line| {
        let (own, value) = line.split_once(':')?;
        (own == name).then(|| value.trim())
    });
    value.ok_or_else(|| format!("there is no line {name:?}"))
}

fn status_number(text: &str, name: &str, radix: u32) -> Result<u64, String> {
    let value = status_line(text, name)?;
    u64::from_str_radix(value, radix)
        .map_err(|_| format!("expected a number after {name}, found {}", quoted(value)))
}

/// Kernels before 3.8 had filters, and did not say so here.
fn seccomp(text: &str) -> Result<u32, String> {
    let mode = status_number(text, "Seccomp", 10)?;
    u32::try_from(mode).map_err(|_| format!("{mode} is no mode of seccomp"))
}

/// Which of a process's users: whose tasks it is counted with, or whose rights it has.
#[derive(Clone, Copy)]
enum User {
    Real = 0,
    Effective = 1,
}

fn user(text: &str, which: User) -> Result<u32, String> {
    let value = status_line(text, "Uid")?;
    let word = value.split_whitespace().nth(which as usize);
    word.and_then(|word| word.parse().ok())
        .ok_or_else(|| format!("expected four users after Uid, found {}", quoted(value)))
}

fn is_first_user_namespace(link: &str) -> Result<bool, String> {
    match link.starts_with("user:[") && link.ends_with(']') {
        true => Ok(link == FIRST_USER_NAMESPACE),
        false => Err(format!("expected a user namespace, found {}", quoted(link))),
    }
}

fn descriptors_open(pid: u32) -> Reading<u64> {
    let is_own = pid == std::process::id();
    known(proc_files::descriptor_count(
        &format!("/proc/{pid}/fd"),
        is_own,
    ))
}

fn mappings(pid: u32) -> Reading<u64> {
    let path = format!("/proc/{pid}/maps");
    let counted = proc_files::open(&path)
        .and_then(|maps| mapping_count(maps).map_err(|source| Unreadable::new(&path, source)));
    known(counted)
}

/// Lines of `/proc/PID/maps`, of which there may be millions: then nobody reads all of them. The page of old system
/// calls has one and is no mapping that `vm.max_map_count` counts.
fn mapping_count(mut maps: impl BufRead) -> io::Result<u64> {
    let (mut count, mut line) = (0, Vec::new());
    while maps.read_until(b'\n', &mut line)? > 0 {
        count += u64::from(!line.trim_ascii_end().ends_with(b"[vsyscall]"));
        line.clear();
        if count > MAPPINGS_MOST {
            let many =
                format!("there are more than {MAPPINGS_MOST} mappings, which are not counted");
            return Err(io::Error::other(many));
        }
    }
    Ok(count)
}

fn known<T>(read: Result<T, Unreadable>) -> Reading<T> {
    reading(read.map_err(|unreadable| reason(&unreadable)))
}

/// Threads of all processes of the same real user, as far as they can be seen from here.
fn tasks_of_user(status: &Text) -> Reading<u64> {
    let user = result(status.parse(|text| user(text, User::Real)));
    let status = |pid| proc_files::read(&format!("/proc/{pid}/status")).ok();
    reading(user.and_then(|user| tasks_of(user, &proc_files::process_ids(), status)))
}

/// Processes that have ended meanwhile have no tasks.
fn tasks_of(own: u32, pids: &[u32], status: impl Fn(u32) -> Option<String>) -> Result<u64, String> {
    if pids.len() > PROCESSES_MOST {
        return Err(format!(
            "/proc: there are {} processes, and more than {PROCESSES_MOST} are not looked at",
            pids.len()
        ));
    }
    let tasks = pids.iter().filter_map(|&pid| {
        let text = status(pid)?;
        let is_theirs = user(&text, User::Real) == Ok(own);
        is_theirs.then(|| status_number(&text, "Threads", 10).ok())?
    });
    Ok(tasks.sum())
}

#[cfg(test)]
pub(super) fn feed(text: &str) {
    let _ = limit(text, "Max open files");
    let _ = (user(text, User::Effective), seccomp(text));
    let _ = (
        status_number(text, "CapEff", 16),
        is_first_user_namespace(text),
    );
    let _ = tasks_of(0, &[1], |_| Some(text.to_owned()));
    let _ = mapping_count(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    const LIMITS_3_10: &str = include_str!("../../fixtures/limits-3.10");
    const LIMITS_6_18: &str = include_str!("../../fixtures/limits-6.18");
    const STATUS_2_6_32: &str = include_str!("../../fixtures/status-2.6.32");
    const STATUS_6_18: &str = include_str!("../../fixtures/status-6.18");

    fn parsed(limits: &str, status: &str, namespace: &str) -> ProcessLimits {
        let files = Files {
            limits: Text::of("/proc/7/limits", limits),
            status: Text::of("/proc/7/status", status),
            user_namespace: Text::of("/proc/7/ns/user", namespace),
        };
        files.parse()
    }

    #[test]
    fn a_process_of_root_on_a_young_kernel() {
        let limits = parsed(LIMITS_6_18, STATUS_6_18, FIRST_USER_NAMESPACE);
        assert_eq!(limits.descriptors_soft, Reading::Known(20_000));
        assert_eq!(limits.descriptors_hard, Reading::Known(20_001));
        assert_eq!(limits.tasks_of_user_max, Reading::Known(96_365));
        assert_eq!(limits.tasks_of_user_hard, Reading::Known(96_365));
        assert_eq!(limits.locked_bytes_max, Reading::Known(8_388_608));
        assert_eq!(limits.user, Reading::Known(0));
        assert_eq!(limits.capabilities, Reading::Known(0x1ff_feff_ffff));
        assert_eq!(limits.is_in_first_user_namespace, Reading::Known(true));
        assert_eq!(limits.seccomp, Reading::Known(2));
    }

    #[test]
    fn a_process_of_a_user_on_old_kernels_lacks_what_they_lack() {
        let limits = parsed(LIMITS_3_10, STATUS_2_6_32, "user:[4026532281]");
        assert_eq!(limits.descriptors_soft, Reading::Known(1_024));
        assert_eq!(limits.tasks_of_user_max, Reading::Known(u64::MAX));
        assert_eq!(limits.locked_bytes_max, Reading::Known(65_536));
        assert_eq!(limits.user, Reading::Known(0), "effective, not real");
        assert_eq!(limits.is_in_first_user_namespace, Reading::Known(false));
        let reason = "/proc/7/status: there is no line \"Seccomp\"";
        assert_eq!(limits.seccomp.reason(), Some(reason));
    }

    #[test]
    fn garbage_is_unknown_and_says_what_was_found() {
        let header = LIMITS_6_18.lines().next().unwrap();
        let limits = format!("{header}\nMax open files            many                few\n");
        let status = "Uid:\tx\nCapEff:\tzz\nSeccomp:\t99999999999\n";
        let limits = parsed(&limits, status, "user");
        let wrong = |reading: &Reading<u64>, words: &str| {
            let reason = reading.reason().unwrap();
            assert!(
                reason.starts_with("/proc/7/") && reason.contains(words),
                "{reason}"
            );
        };
        wrong(&limits.descriptors_soft, "found \"Max open files ");
        wrong(&limits.descriptors_hard, "many");
        wrong(&limits.locked_bytes_max, "no line \"Max locked memory\"");
        wrong(&limits.capabilities, "after CapEff, found \"zz\"");
        wrong(&limits.user.map(u64::from), "after Uid, found \"x\"");
        wrong(&limits.seccomp.map(u64::from), "no mode of seccomp");
        wrong(
            &limits.is_in_first_user_namespace.map(u64::from),
            "found \"user\"",
        );
    }

    #[test]
    fn what_cannot_be_read_is_unknown_each_for_itself() {
        let files = Files {
            limits: Text::of("/proc/7/limits", LIMITS_6_18),
            status: Text::absent("/proc/7/status", ErrorKind::NotFound),
            user_namespace: Text::absent("/proc/7/ns/user", ErrorKind::PermissionDenied),
        };
        let limits = files.parse();
        assert_eq!(limits.descriptors_soft, Reading::Known(20_000));
        assert!(
            limits
                .user
                .reason()
                .unwrap()
                .starts_with("/proc/7/status: ")
        );
        let reason = limits.is_in_first_user_namespace.reason().unwrap();
        assert!(reason.starts_with("/proc/7/ns/user: "), "{reason}");
        assert_eq!(tasks_of_user(&files.status).reason(), limits.user.reason());
    }

    #[test]
    fn tasks_are_the_threads_of_one_real_user() {
        let status = |pid| {
            let of = |real: u32, threads: u32| {
                Some(format!("Uid:\t{real}\t0\t0\t0\nThreads:\t{threads}\n"))
            };
            match pid {
                1 => of(0, 1),
                2 => of(1_000, 40),
                3 => of(1_000, 2),
                _ => None,
            }
        };
        assert_eq!(tasks_of(1_000, &[1, 2, 3, 4], status), Ok(42));
        assert_eq!(tasks_of(0, &[1, 2, 3, 4], status), Ok(1));
        let many: Vec<u32> = (1..=5_001).collect();
        let reason = "/proc: there are 5001 processes, and more than 5000 are not looked at";
        assert_eq!(tasks_of(0, &many, status), Err(reason.to_owned()));
    }

    #[test]
    fn the_page_of_old_system_calls_is_no_mapping() {
        let text = "1000-2000 r-xp 0 00:00 0 /bin/a\n2000-3000 rw-p 0 00:00 0 \n\
                    ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";
        assert_eq!(mapping_count(text.as_bytes()).unwrap(), 2);
        assert_eq!(mapping_count("".as_bytes()).unwrap(), 0);
    }

    #[test]
    fn mappings_without_end_are_not_counted_to_the_end() {
        let line = "1000-2000 r-xp 0 00:00 0 /bin/a\n";
        let most = line.repeat(200_000);
        assert_eq!(mapping_count(most.as_bytes()).unwrap(), 200_000);
        let endless = io::BufReader::new(Endless);
        let error = mapping_count(endless).unwrap_err();
        assert!(error.to_string().contains("more than 200000"), "{error}");
    }

    /// A file of empty lines.
    struct Endless;

    impl io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(b'\n');
            Ok(buffer.len())
        }
    }

    #[test]
    fn this_process_can_be_read_and_one_that_is_yet_to_be_started() {
        let own = read(Some(std::process::id()));
        let next = read(None);
        assert_eq!(own.descriptors_soft, next.descriptors_soft);
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let soft = limit.current.unwrap_or(u64::MAX);
        assert_eq!(own.descriptors_soft, Reading::Known(soft));
        let user = rustix::process::geteuid().as_raw();
        assert_eq!(own.user, Reading::Known(user));
        assert_eq!(own.capabilities, next.capabilities);
        assert!(own.mappings.known().is_some_and(|&count| count > 10));
        assert!(own.descriptors_open.known().is_some_and(|&count| count > 0));
        assert!(own.name.is_some_and(|name| !name.is_empty()));
        assert_eq!((next.pid, next.name), (None, None));
        assert!(
            next.descriptors_open
                .known()
                .is_some_and(|&count| count >= 3)
        );
        assert_eq!(next.mappings, Reading::Known(0));
    }

    #[test]
    fn a_process_that_is_not_there_has_reasons_only() {
        let limits = read(Some(u32::MAX));
        for reading in [
            limits.descriptors_soft,
            limits.descriptors_open,
            limits.mappings,
        ] {
            let reason = reading.reason().unwrap();
            assert!(reason.starts_with("/proc/4294967295/"), "{reason}");
        }
    }
}

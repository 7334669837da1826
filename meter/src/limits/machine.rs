//! What the machine allows, whoever asks.

use super::text::{Text, number, numbers, quoted, reading, result};
use crate::available::machine_bytes;
use crate::meminfo::Meminfo;
use crate::sockstat;
use fourtuple_spec::Reading;
use fourtuple_spec::limits::MachineLimits;

pub(super) fn read() -> MachineLimits {
    let meminfo = Text::read("/proc/meminfo");
    MachineLimits {
        nr_open: Text::sysctl("fs.nr_open").number(),
        file_max: Text::sysctl("fs.file-max").number(),
        files_open: Text::sysctl("fs.file-nr").parse(files_open),
        epoll_watches_max: Text::sysctl("fs.epoll.max_user_watches").number(),
        threads_max: Text::sysctl("kernel.threads-max").number(),
        pid_max: Text::sysctl("kernel.pid_max").number(),
        tasks: Text::read("/proc/loadavg").parse(tasks),
        mappings_max: Text::sysctl("vm.max_map_count").number(),
        tcp_memory_pages: of_first_network("net.ipv4.tcp_mem", tcp_memory_pages),
        tcp_charged_pages: Text::read("/proc/net/sockstat")
            .parse_lines(sockstat::tcp_pages_charged),
        orphans_max: of_first_network("net.ipv4.tcp_max_orphans", number),
        packet_backlog: of_first_network("net.core.netdev_max_backlog", number),
        io_uring_disabled: Text::sysctl("kernel.io_uring_disabled").number(),
        io_uring: Reading::Unknown("no ring was tried".to_owned()),
        memory_available_bytes: memory_available(&meminfo),
        memory_bytes: meminfo_line(&meminfo, "MemTotal"),
        page_bytes: rustix::param::page_size() as u64,
    }
}

/// A setting that holds for every network of the machine, and that the first one alone shows.
fn of_first_network<T>(name: &str, parser: impl FnOnce(&str) -> Result<T, String>) -> Reading<T> {
    shown_by_first_network(&Text::sysctl(name), parser)
}

fn shown_by_first_network<T>(
    text: &Text,
    parser: impl FnOnce(&str) -> Result<T, String>,
) -> Reading<T> {
    match (text.parse(parser), text.is_missing()) {
        (Reading::Unknown(reason), true) => Reading::Unknown(format!(
            "{reason}: only the machine's first network shows it"
        )),
        (reading, _) => reading,
    }
}

/// Files, then 0, then the most that there may be.
fn files_open(text: &str) -> Result<u64, String> {
    numbers(text).map(|[open, _, _]| open)
}

fn tcp_memory_pages(text: &str) -> Result<(u64, u64, u64), String> {
    numbers(text).map(|[low, pressure, high]| (low, pressure, high))
}

/// `0.33 0.44 0.63 1/100 11638`: running, and all.
fn tasks(text: &str) -> Result<u64, String> {
    let all = text.split_whitespace().nth(3).and_then(|word| {
        let (_, all) = word.split_once('/')?;
        all.parse().ok()
    });
    all.ok_or_else(|| {
        format!(
            "expected tasks after three loads, found {}",
            quoted(text.trim())
        )
    })
}

fn meminfo_line(meminfo: &Text, name: &str) -> Reading<u64> {
    let parsed = result(meminfo.parse_lines(Meminfo::parse));
    reading(parsed.and_then(|lines| {
        let bytes = lines.get(name);
        bytes.ok_or_else(|| format!("/proc/meminfo: there is no line {name:?}"))
    }))
}

/// `MemAvailable` is there since 3.14.
fn memory_available(meminfo: &Text) -> Reading<u64> {
    let promised = meminfo_line(meminfo, "MemAvailable");
    // It is worked out from what the kernel promises, and from /proc/zoneinfo.
    promised.map(|bytes| machine_bytes().unwrap_or(bytes))
}

#[cfg(test)]
pub(super) fn feed(text: &str) {
    let _ = (files_open(text), tcp_memory_pages(text), tasks(text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_files;
    use std::io::ErrorKind;

    #[test]
    fn files_and_tasks_are_one_number_of_several() {
        assert_eq!(files_open("4093\t0\t2466170\n"), Ok(4_093));
        assert_eq!(files_open("512\t32\t9223372036854775807\n"), Ok(512));
        assert!(files_open("4093\n").is_err());
        assert_eq!(tasks("0.33 0.44 0.63 1/100 11638\n"), Ok(100));
        for text in ["", "0.33 0.44 0.63", "0.33 0.44 0.63 100 1", "0 0 0 1/x 1"] {
            assert!(
                tasks(text).unwrap_err().contains("expected tasks"),
                "{text}"
            );
        }
    }

    #[test]
    fn tcp_memory_is_three_numbers_and_shown_by_the_first_network() {
        let path = "/proc/sys/net/ipv4/tcp_mem";
        let of = |text: Text| shown_by_first_network(&text, tcp_memory_pages);
        let known = of(Text::of(path, "283947\t378598\t567894\n"));
        assert_eq!(known, Reading::Known((283_947, 378_598, 567_894)));
        let garbage = of(Text::of(path, "1 2\n"));
        let reason = garbage.reason().unwrap();
        assert!(
            reason.starts_with(path) && !reason.contains("first network"),
            "{reason}"
        );
        let absent = of(Text::absent(path, ErrorKind::NotFound));
        let reason = absent.reason().unwrap();
        assert!(
            reason.starts_with(path) && reason.contains("first network"),
            "{reason}"
        );
    }

    #[test]
    fn kernels_before_3_14_promise_nothing() {
        let text = Text::of("/proc/meminfo", "MemTotal: 2048 kB\nMemFree: 100 kB\n");
        assert_eq!(meminfo_line(&text, "MemTotal"), Reading::Known(2_048 << 10));
        let reason = "/proc/meminfo: there is no line \"MemAvailable\"";
        assert_eq!(memory_available(&text).reason(), Some(reason));
        let garbage = Text::of("/proc/meminfo", "MemTotal 2048\n");
        let reason = memory_available(&garbage);
        assert!(
            reason
                .reason()
                .unwrap()
                .starts_with("/proc/meminfo, line 1"),
            "{reason:?}"
        );
    }

    #[test]
    fn this_machine_is_as_its_files_say() {
        let limits = read();
        let value = |path: &str| proc_files::value(&format!("/proc/sys/{path}")).unwrap();
        for (path, reading) in [
            ("fs/nr_open", &limits.nr_open),
            ("fs/file-max", &limits.file_max),
            ("fs/epoll/max_user_watches", &limits.epoll_watches_max),
            ("kernel/threads-max", &limits.threads_max),
            ("kernel/pid_max", &limits.pid_max),
            ("vm/max_map_count", &limits.mappings_max),
        ] {
            assert_eq!(value(path), reading.known().unwrap().to_string(), "{path}");
        }
        assert!(limits.tasks.known().is_some_and(|&tasks| tasks > 0));
        assert!(limits.tcp_charged_pages.known().is_some());
        let available = limits.memory_available_bytes.known().unwrap();
        assert!(available < limits.memory_bytes.known().unwrap());
        assert!(limits.page_bytes >= 4096);
    }
}

//! What a network namespace allows: that of the calling process. Settings are `/proc/sys/net`, which shows each process
//! its own; counts are `/proc/net`.

use super::text::{Text, numbers, quoted, reading, result};
use crate::{netstat, sock_diag, sockstat, time_wait};
use fourtuple_spec::Reading;
use fourtuple_spec::limits::{Listener, NetworkLimits};
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Listening sockets that are told of.
const LISTENERS_MOST: usize = 256;

/// Sockets in TIME_WAIT that are looked through, one by one.
const TIME_WAIT_MOST: u64 = 200_000;

/// The widest port range that takes no privileged port.
const WIDEST: (u16, u16) = (1_024, u16::MAX);

/// Reads what the network that this process is in allows. It takes no longer with more connections, unless some of them
/// are in TIME_WAIT: then the kernel walks its table of sockets once.
///
/// Kernels before 6.6 or so hide `net.core` from a network inside a user namespace; such a value is unknown, with the
/// file in its reason.
pub fn network_limits() -> NetworkLimits {
    let sockstat = Text::read("/proc/net/sockstat");
    let ports = Text::sysctl("net.ipv4.ip_local_port_range").parse(port_range);
    let reserved = Text::sysctl("net.ipv4.ip_local_reserved_ports");
    let time_wait = sockstat.parse_lines(sockstat::tcp_time_wait);
    let listeners = reading(sock_diag::listeners());
    NetworkLimits {
        reserved_in_range: reserved_in_range(&ports, &reserved),
        reserved_in_widest: reserved_in_range(&Reading::Known(WIDEST), &reserved),
        unprivileged_from: Text::sysctl("net.ipv4.ip_unprivileged_port_start").number(),
        time_wait_of_one: time_wait_of_one(&ports, &time_wait),
        listening_in_range: listening_in_range(&ports, &listeners),
        ports,
        somaxconn: Text::sysctl("net.core.somaxconn").number(),
        syn_backlog: Text::sysctl("net.ipv4.tcp_max_syn_backlog").number(),
        syncookies: Text::sysctl("net.ipv4.tcp_syncookies").number(),
        time_wait_reuse: Text::sysctl("net.ipv4.tcp_tw_reuse").number(),
        time_wait_max: Text::sysctl("net.ipv4.tcp_max_tw_buckets").number(),
        timestamps: Text::sysctl("net.ipv4.tcp_timestamps").number(),
        time_wait,
        hash_entries: Text::sysctl("net.ipv4.tcp_ehash_entries").number(),
        sockets: sockstat.parse_lines(sockstat::tcp_sockets),
        orphans: sockstat.parse_lines(sockstat::tcp_orphans),
        listeners: listeners.map(fullest),
        listen_overflows: Text::read("/proc/net/netstat").parse(listen_overflows),
        conntrack_max: most_followed(&Text::sysctl("net.netfilter.nf_conntrack_max")),
        conntrack: Text::sysctl("net.netfilter.nf_conntrack_count").number(),
    }
}

fn port_range(text: &str) -> Result<(u16, u16), String> {
    numbers(text).map(|[low, high]| (low, high))
}

/// How many ports of the range are kept back from clients that ask for any.
fn reserved_in_range(ports: &Reading<(u16, u16)>, reserved: &Text) -> Reading<u64> {
    let count = |(low, high): (u16, u16)| {
        let reserved = result(reserved.parse(port_list))?;
        let ports = (low..=high).filter(|port| {
            let holds = |&(first, last): &(u16, u16)| (first..=last).contains(port);
            reserved.iter().any(holds)
        });
        Ok(ports.count() as u64)
    };
    reading(result(ports.clone()).and_then(count))
}

/// `1000-1002,5000`, both ends included; a line without anything is none.
fn port_list(text: &str) -> Result<Vec<(u16, u16)>, String> {
    let items = text.trim().split(',').filter(|item| !item.is_empty());
    let range = |item: &str| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some((first, last))
    };
    items
        .map(|item| {
            range(item).ok_or_else(|| {
                format!(
                    "expected ports such as 8080,9000-9099, found {}",
                    quoted(item)
                )
            })
        })
        .collect()
}

/// How many ports of the range anybody listens on, at whatever address.
fn listening_in_range(
    ports: &Reading<(u16, u16)>,
    listeners: &Reading<Vec<Listener>>,
) -> Reading<u64> {
    let count = |(low, high): (u16, u16)| {
        let listeners = result(listeners.clone())?;
        let ports = listeners.iter().map(|listener| listener.address.port());
        let within: BTreeSet<u16> = ports.filter(|port| (low..=high).contains(port)).collect();
        Ok(within.len() as u64)
    };
    reading(result(ports.clone()).and_then(count))
}

/// How many ports of the range are in TIME_WAIT towards one destination, of which the kernel has to tell one by one.
fn time_wait_of_one(ports: &Reading<(u16, u16)>, time_wait: &Reading<u64>) -> Reading<u64> {
    let count = |range| match result(time_wait.clone())? {
        0 => Ok(0),
        1..=TIME_WAIT_MOST => time_wait::of_one_destination(range),
        many => Err(format!(
            "{many} sockets are in TIME_WAIT, and no more than {TIME_WAIT_MOST} are looked through"
        )),
    };
    reading(result(ports.clone()).and_then(count))
}

fn listen_overflows(text: &str) -> Result<u64, String> {
    netstat::counter(text, "TcpExt", "ListenOverflows")
        .ok_or_else(|| "there is no number for ListenOverflows of TcpExt".to_owned())
}

/// Where connections are not followed, the module is not there, and neither are its files.
fn most_followed(text: &Text) -> Reading<Option<u64>> {
    match text.is_missing() {
        true => Reading::Known(None),
        false => text.number().map(Some),
    }
}

/// The fullest first, and no more than are told of.
fn fullest(mut listeners: Vec<Listener>) -> Vec<Listener> {
    listeners.sort_by(|first, second| {
        let by_address = first.address.cmp(&second.address);
        fullness(second, first).then(by_address)
    });
    listeners.truncate(LISTENERS_MOST);
    listeners
}

/// Compares what is waiting with what fits, which is one more than the backlog.
fn fullness(first: &Listener, second: &Listener) -> Ordering {
    let fits = |listener: &Listener| u128::from(listener.backlog) + 1;
    let own = u128::from(first.waiting) * fits(second);
    own.cmp(&(u128::from(second.waiting) * fits(first)))
}

#[cfg(test)]
pub(super) fn feed(text: &str) {
    let _ = (port_range(text), port_list(text), listen_overflows(text));
    let _ = crate::sockstat::tcp_time_wait(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_files;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::io::ErrorKind;

    const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

    fn reserved(range: (u16, u16), text: &str) -> Reading<u64> {
        reserved_in_range(&Reading::Known(range), &Text::of(RESERVED, text))
    }

    #[test]
    fn reserved_ports_count_as_far_as_they_are_in_the_range() {
        let range = (1_000, 2_000);
        assert_eq!(reserved(range, "\n"), Reading::Known(0));
        assert_eq!(reserved(range, "1000-1002,5000\n"), Reading::Known(3));
        assert_eq!(reserved(range, "900-1000,1999-3000\n"), Reading::Known(3));
        assert_eq!(reserved(range, "1500\n"), Reading::Known(1));
        assert_eq!(reserved(range, "1-65535\n"), Reading::Known(1_001));
        assert_eq!(reserved((1, 65_535), "65535\n"), Reading::Known(1));
    }

    #[test]
    fn reserved_ports_that_are_not_understood_are_unknown() {
        for text in ["x", "70000", "5-1", "1,2-", "1 2"] {
            let reading = reserved((1, 9), text);
            let reason = reading.reason().unwrap();
            assert!(reason.starts_with(RESERVED), "{reason}");
            assert!(reason.contains("expected ports"), "{reason}");
        }
        let ports = Text::of("/proc/sys/net/ipv4/ip_local_port_range", "1\n").parse(port_range);
        let reading = reserved_in_range(&ports, &Text::of(RESERVED, "5\n"));
        assert_eq!(
            reading.reason(),
            ports.reason(),
            "of no range nothing is known"
        );
    }

    #[test]
    fn a_module_that_is_not_there_follows_no_connections() {
        let path = "/proc/sys/net/netfilter/nf_conntrack_max";
        let absent = most_followed(&Text::absent(path, ErrorKind::NotFound));
        assert_eq!(absent, Reading::Known(None));
        assert_eq!(
            most_followed(&Text::of(path, "262144\n")),
            Reading::Known(Some(262_144))
        );
        let garbage = most_followed(&Text::of(path, "x\n"));
        assert!(garbage.reason().unwrap().starts_with(path), "{garbage:?}");
    }

    #[test]
    fn overflows_are_found_among_the_counters_of_any_kernel() {
        for (text, count) in [
            (include_str!("../../fixtures/netstat-3.10"), 12),
            (include_str!("../../fixtures/netstat-6.18"), 17_975),
        ] {
            assert_eq!(listen_overflows(text), Ok(count));
        }
        assert!(listen_overflows("TcpExt: TW\nTcpExt: 1\n").is_err());
    }

    fn listener(port: u16, waiting: u64, backlog: u64) -> Listener {
        Listener {
            address: ([127, 0, 0, 1], port).into(),
            waiting,
            backlog,
        }
    }

    #[test]
    fn the_fullest_queues_come_first_and_only_so_many() {
        let half = listener(1, 64, 127);
        let full = listener(2, 1, 0);
        let empty = listener(3, 0, 0);
        let also_half = listener(4, 1, 1);
        let sorted = fullest(vec![
            also_half.clone(),
            empty.clone(),
            half.clone(),
            full.clone(),
        ]);
        assert_eq!(sorted, [full, half, also_half, empty]);
        let most = listener(9, u64::MAX, u64::MAX);
        let mut many: Vec<Listener> = (0..400).map(|port| listener(port, 0, 5)).collect();
        many.push(most.clone());
        let sorted = fullest(many);
        assert_eq!((sorted.len(), &sorted[0]), (LISTENERS_MOST, &most));
    }

    #[test]
    fn every_port_of_the_range_that_is_listened_on_counts_once() {
        let many = (0..400).map(|port| listener(1_000 + port, 0, 5));
        let again = (0..400).map(|port| Listener {
            address: (std::net::Ipv6Addr::UNSPECIFIED, 1_000 + port).into(),
            waiting: 9,
            backlog: 1,
        });
        let listeners = Reading::Known(many.chain(again).collect());
        let count = |range| listening_in_range(&Reading::Known(range), &listeners);
        assert_eq!(count((1_000, 1_399)), Reading::Known(400));
        assert_eq!(count((1_399, 2_000)), Reading::Known(1));
        assert_eq!(count((1_400, 2_000)), Reading::Known(0));
        let unknown = Reading::Unknown("refused".to_owned());
        let of_unknown = listening_in_range(&Reading::Known((1, 9)), &unknown);
        assert_eq!(of_unknown.reason(), Some("refused"));
    }

    #[test]
    fn too_many_in_time_wait_are_not_looked_through() {
        let of = |many| time_wait_of_one(&Reading::Known((1, u16::MAX)), &Reading::Known(many));
        assert_eq!(of(0), Reading::Known(0));
        let reason = of(TIME_WAIT_MOST + 1).reason().unwrap().to_owned();
        assert!(reason.starts_with("200001 sockets"), "{reason}");
        let unknown = Reading::Unknown("hidden".to_owned());
        let of_unknown = time_wait_of_one(&Reading::Known((1, 9)), &unknown);
        assert_eq!(of_unknown.reason(), Some("hidden"));
    }

    #[test]
    fn a_listener_of_this_process_is_told_of() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = |found: Vec<Listener>| found.into_iter().find(|found| found.address == address);
        let all = sock_diag::listeners().unwrap();
        let found = own(all).unwrap();
        assert_eq!(found.waiting, 0);
        let _waiting = std::net::TcpStream::connect(address).unwrap();
        // The connection waits when the listener can be read from, which may be later than the client knows of it.
        let mut readable = [PollFd::new(&listener, PollFlags::IN)];
        poll(&mut readable, None).unwrap();
        // One that has a connection waiting is among the fullest.
        let fullest = network_limits().listeners.known().cloned().unwrap();
        assert_eq!(own(fullest).unwrap().waiting, 1);
    }

    #[test]
    fn this_network_is_as_its_files_say() {
        let limits = network_limits();
        let value = |path: &str| proc_files::value(&format!("/proc/sys/net/{path}")).unwrap();
        let somaxconn = limits.somaxconn.known().unwrap();
        assert_eq!(value("core/somaxconn"), somaxconn.to_string());
        let (low, high) = limits.ports.known().unwrap();
        assert_eq!(value("ipv4/ip_local_port_range"), format!("{low}\t{high}"));
        let time_wait_max = limits.time_wait_max.known().unwrap();
        assert_eq!(value("ipv4/tcp_max_tw_buckets"), time_wait_max.to_string());
        let timestamps = limits.timestamps.known().unwrap();
        assert_eq!(value("ipv4/tcp_timestamps"), timestamps.to_string());
        let from = limits.unprivileged_from.known().unwrap();
        assert_eq!(value("ipv4/ip_unprivileged_port_start"), from.to_string());
        assert!(limits.listening_in_range.known().is_some());
        assert!(limits.reserved_in_range.known().is_some());
        assert!(limits.reserved_in_widest.known().is_some());
        assert!(limits.sockets.known().is_some() && limits.time_wait.known().is_some());
        assert!(limits.listen_overflows.known().is_some());
    }
}

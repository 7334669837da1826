//! Whatever a file holds, a parser answers or refuses: none may panic.

use crate::{cgroup, cpuinfo, limits, maps, meminfo, netstat, slabinfo, socket_buffers, sockstat};
use crate::{pressure, process, softnet, stat, thread, zoneinfo};
use proptest::prelude::*;

const REAL: [&str; 12] = [
    include_str!("../fixtures/meminfo-6.1"),
    include_str!("../fixtures/slabinfo-6.18"),
    include_str!("../fixtures/zoneinfo-5.15"),
    include_str!("../fixtures/smaps_rollup-6.18"),
    include_str!("../fixtures/softnet_stat-6.18"),
    include_str!("../fixtures/pressure-6.18"),
    include_str!("../fixtures/limits-6.18"),
    include_str!("../fixtures/status-6.18"),
    "1000-1002,5000\n283947\t378598\t567894\n0.33 0.44 0.63 1/100 11638\n",
    "60354 12 1\n",
    "cpu0 1 2 3 4 5 6 7 8\nTCP: inuse 1 mem 2\n1000-2000 rw-s 0 00:0f 1 anon_inode:[io_uring]\n",
    "  sl  local_address\n   0: 0100007F:1F90 00000000:0000 01 00000000:00000001 00:00000000\n",
];

/// A real file with a piece replaced by words that parsers stumble over.
fn damaged() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(String::new()),
        Just("18446744073709551615".to_owned()),
        Just("-1".to_owned()),
        "[ :\n0-9a-zé-]{0,20}",
    ];
    (0..REAL.len(), any::<(u16, u16)>(), piece).prop_map(|(file, (from, length), piece)| {
        let text: Vec<char> = REAL[file].chars().collect();
        let from = usize::from(from) % text.len();
        let to = (from + usize::from(length) % 40).min(text.len());
        text[..from]
            .iter()
            .chain(&piece.chars().collect::<Vec<_>>())
            .chain(&text[to..])
            .collect()
    })
}

fn feed(text: &str) {
    let _ = meminfo::Meminfo::parse(text);
    let _ = meminfo::anonymous_bytes(text);
    let _ = slabinfo::parse(text, 4096);
    let _ = zoneinfo::per_cpu_list_pages(text);
    let _ = zoneinfo::low_watermark_pages(text);
    let _ = sockstat::tcp_pages_charged(text);
    let _ = sockstat::tcp_sockets(text);
    let _ = socket_buffers::payload_bytes(text.as_bytes());
    let _ = maps::io_uring_bytes(text, 4096);
    let _ = stat::cores(text);
    let _ = process::Process::parse(text);
    let _ = process::name(text);
    let _ = thread::switches(text);
    let _ = thread::times(text);
    let _ = pressure::some_total_us(text);
    let _ = softnet::cores(text);
    let _ = netstat::counter(text, "Tcp", "RetransSegs");
    let _ = cpuinfo::model_name(text);
    let _ = cgroup::place(text, text);
    let _ = cgroup::limit(text);
    limits::feed(text);
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in ".{0,200}") {
        feed(&text);
    }

    #[test]
    fn no_damage_makes_a_parser_panic(text in damaged()) {
        feed(&text);
    }
}

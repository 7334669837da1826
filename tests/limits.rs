//! The doctor is right: each test lowers a limit, asks the doctor how many connections it allows, runs into the wall,
//! and finds as many; and the run names the limit that the doctor named.
//!
//! A test that needs a network of its own starts itself again inside one. Nothing of the machine's is changed.

mod common;

use common::doctor::{Advice, prediction};
use common::group::Group;
use common::place::{alone, fourtuple_in, in_own_network, is_inside, set, with_descriptors};
use common::wall::{Served, fill, leave_in_time_wait};
use common::{errors, has_io_uring, output, record, signal};
use fourtuple_spec::limiter;
use rustix::process::{Resource, Signal};
use serde_json::Value;
use std::net::TcpListener;
use std::process::Output;

/// Flags of a run that holds connections and takes half a second. The engine follows, after the number.
const HOLD: [&str; 7] = [
    "hold",
    "--duration",
    "0ms",
    "--settle",
    "10ms",
    "--json",
    "--connections",
];

/// 64 ports, and a server's port outside of them.
const RANGE: &str = "net.ipv4.ip_local_port_range";
const PORTS: &str = "20000 20063";
const SERVER: &str = "127.0.0.1:7007";

/// Flags of a load that all its connections make in one go.
const LOAD: [&str; 11] = [
    "load",
    "--target",
    SERVER,
    "--json",
    "--duration",
    "50ms",
    "--warmup",
    "10ms",
    "--settle",
    "0ms",
    "--connections",
];

/// What the memory of a group is, well above what the run leaves free of it.
const GROUP_BYTES: u64 = 1536 << 20;
/// What takes the group's own memory to the fore: so many descriptors, and so much memory of the machine's.
const DESCRIPTORS_MIN: u64 = 16_384;
const AVAILABLE_MIN_BYTES: u64 = 4 << 30;

/// A run is refused for so many connections, in words that name the limit and what it allows; forced, it meets that
/// limit with exactly so many open.
fn refused_then_stopped<'a>(limit: &str, allowed: u64, run: impl Fn(&str, bool) -> Output + 'a) {
    let one_more = (allowed + 1).to_string();
    let refused = run(&one_more, false);
    let refusal = record(&refused);
    assert_eq!(refused.status.code(), Some(1), "{}", errors(&refused));
    assert_eq!(refusal["limiter"], limit, "{refusal}");
    assert!(
        refusal["phases_ns"]
            .as_object()
            .is_some_and(|phases| phases.is_empty()),
        "{refusal}"
    );
    let stopped = record(&run(&one_more, true));
    assert_eq!(stopped["limiter"], limit, "{}", stopped["error"]);
    assert_eq!(stopped["outcome"], "error", "{}", stopped["error"]);
    assert_eq!(held(&stopped), Some(allowed), "{}", stopped["error"]);
}

fn held(record: &Value) -> Option<u64> {
    record["setup"]["connections_held"].as_u64()
}

/// A run that is not refused and holds all of them.
fn holds(connections: u64, output: &Output) {
    let record = record(output);
    assert!(common::went_well(&record), "{}", record["error"]);
    assert_eq!(held(&record), Some(connections), "{record}");
}

/// What a hold of so many ends with in that place.
fn hold_in(place: &[String], connections: &str, further: &[&str], is_forced: bool) -> Output {
    let force: &[&str] = if is_forced { &["--force"] } else { &[] };
    fourtuple_in(place)
        .args(HOLD)
        .arg(connections)
        .args(further)
        .args(force)
        .output()
        .unwrap()
}

/// The command's arguments, then a number, then those that force it if it is to be.
fn with_force(arguments: &[&str], connections: &str, further: &[&str], is_forced: bool) -> Output {
    let force: &[&str] = if is_forced { &["--force"] } else { &[] };
    let all = [arguments, &[connections], further, force].concat();
    output(all)
}

/// One process of a server that takes a descriptor a connection: EMFILE.
#[test]
fn a_server_has_as_many_connections_as_descriptors_are_left() {
    let served = Served::start(&with_descriptors(100), "epoll", "127.0.0.1:0");
    // It has all that it needs once it echoes.
    let _first = fill(served.address, 1);
    let pid = served.pid().to_string();
    let arguments = ["--pid", &pid, "--engine", "epoll"];
    let allowed = prediction(&[], "server", limiter::DESCRIPTORS, &arguments);
    let held = fill(served.address, 200);
    assert_eq!(held.len() as u64, allowed);
    let said = served.last_words();
    assert!(said.contains("RLIMIT_NOFILE is 100"), "{said}");
}

/// The same in a run, of a server that is yet to be started.
#[test]
fn a_run_is_refused_for_its_servers_descriptors_and_stopped_by_them() {
    let place = with_descriptors(100);
    let arguments = ["--engine", "epoll"];
    let allowed = prediction(&place, "server", limiter::DESCRIPTORS, &arguments);
    let bounds = [
        "--engine",
        "epoll",
        "--server-processes",
        "1",
        "--server-descriptors",
        "100",
        "--client",
        client(),
    ];
    let run = |connections: &str, is_forced: bool| {
        let force: &[&str] = if is_forced { &["--force"] } else { &[] };
        let all = [&HOLD, &[connections][..], &bounds, force].concat();
        fourtuple_in(&alone()).args(all).output().unwrap()
    };
    refused_then_stopped(limiter::DESCRIPTORS, allowed, run);
    holds(allowed, &run(&allowed.to_string(), false));
}

/// Each engine whose connections are descriptors holds as many as it is allowed, and does not end for want of one that
/// nobody asked for.
#[test]
fn every_engine_on_descriptors_holds_as_many_as_it_is_allowed() {
    let engines = "epoll epoll-et mio tokio tokio-multi spin threads epoll-in-ring";
    for engine in engines.split(' ') {
        if engine == "epoll-in-ring" && !has_io_uring() {
            println!("skipped: {engine}: there is no io_uring");
            continue;
        }
        let run = |connections: &str| {
            let bounds = ["--server-processes", "1", "--server-descriptors", "100"];
            fourtuple_in(&alone())
                .args(HOLD)
                .args([connections, "--engine", engine, "--client", client()])
                .args(bounds)
                .output()
                .unwrap()
        };
        let refusal = record(&run("1000"));
        assert_eq!(refusal["limiter"], limiter::DESCRIPTORS, "{engine}");
        let allowed = said_to_allow(&refusal);
        assert!(allowed > 80, "{engine} is allowed {allowed}");
        holds(allowed, &run(&allowed.to_string()));
    }
}

/// A client whose connections are descriptors has a limit of its own.
#[test]
fn a_client_has_as_many_connections_as_descriptors_are_left() {
    if !has_io_uring() {
        println!("skipped: the server has to take no descriptors, and there is no io_uring");
        return;
    }
    let place = with_descriptors(100);
    let run = |connections: &str, is_forced| {
        hold_in(
            &place,
            connections,
            &["--engine", "uring", "--client", "spin"],
            is_forced,
        )
    };
    let allowed = said_to_allow(&record(&run("1000", false)));
    refused_then_stopped(limiter::DESCRIPTORS, allowed, run);
}

/// EADDRNOTAVAIL: a range of n ports is n connections to one destination, neither more nor fewer.
#[test]
fn a_range_of_ports_is_so_many_connections_to_a_destination() {
    in_own_network(
        "a_range_of_ports_is_so_many_connections_to_a_destination",
        || {
            set(RANGE, PORTS);
            let ask = |destinations| {
                let arguments = ["--destinations", destinations];
                prediction(&[], "client", limiter::PORT_RANGE, &arguments)
            };
            assert_eq!(ask("1"), 64);
            assert_eq!(ask("3"), 192);
        },
    );
    if is_inside() {
        return;
    }
    let sysctl = format!("{RANGE}={PORTS}");
    let bounds = [
        "--engine",
        "epoll",
        "--sysctl",
        &sysctl,
        "--group-connections",
        "1000",
        "--client",
        client(),
    ];
    let run = |connections: &str, is_forced| with_force(&HOLD, connections, &bounds, is_forced);
    if !is_private(&run("64", false)) {
        return;
    }
    refused_then_stopped(limiter::PORT_RANGE, 64, run);
    // Three destinations.
    let bounds = [
        "--engine",
        "epoll",
        "--sysctl",
        &sysctl,
        "--group-connections",
        "64",
        "--client",
        client(),
    ];
    holds(192, &with_force(&HOLD, "192", &bounds, false));
}

/// A reserved port is one less.
#[test]
fn reserved_ports_are_so_many_fewer() {
    const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";
    const LIST: &str = "20000-20009,20020,20064";
    in_own_network("reserved_ports_are_so_many_fewer", || {
        set(RANGE, PORTS);
        set(RESERVED, LIST);
        let allowed = prediction(&[], "client", limiter::PORT_RANGE, &[]);
        assert_eq!(allowed, 53);
    });
    if is_inside() {
        return;
    }
    let sysctls = [format!("{RANGE}={PORTS}"), format!("{RESERVED}={LIST}")];
    let [range, reserved] = sysctls.each_ref().map(String::as_str);
    let bounds = [
        "--engine",
        "epoll",
        "--sysctl",
        range,
        "--sysctl",
        reserved,
        "--group-connections",
        "1000",
        "--client",
        client(),
    ];
    let run = |connections: &str, is_forced| with_force(&HOLD, connections, &bounds, is_forced);
    if !is_private(&run("53", false)) {
        return;
    }
    refused_then_stopped(limiter::PORT_RANGE, 53, run);
}

/// Somebody who listens within the range takes a port of it from everyone.
#[test]
fn a_listener_within_the_range_takes_a_port_of_it() {
    in_own_network("a_listener_within_the_range_takes_a_port_of_it", || {
        set(RANGE, PORTS);
        let _served = Served::start(&[], "epoll", SERVER);
        // On whatever address: of either parity, because connect() begins with one of them.
        let addresses = ["127.0.0.1", "127.0.0.9", "0.0.0.0"];
        let listen =
            |port: u16| TcpListener::bind((addresses[usize::from(port) % 3], port)).unwrap();
        let _listeners: Vec<TcpListener> = (20_010..20_050).map(listen).collect();
        let allowed = prediction(&[], "client", limiter::PORT_RANGE, &[]);
        assert_eq!(allowed, 24);
        refused_then_stopped(limiter::PORT_RANGE, allowed, load);
    });
}

/// Connections that this side closed first keep their ports for a minute; of those beyond
/// `tcp_max_tw_buckets` none does.
#[test]
fn ended_connections_keep_their_ports_as_many_as_there_may_be() {
    in_own_network(
        "ended_connections_keep_their_ports_as_many_as_there_may_be",
        || {
            set(RANGE, PORTS);
            set("net.ipv4.tcp_tw_reuse", "0");
            set("net.ipv4.tcp_max_tw_buckets", "40");
            let served = Served::start(&[], "epoll", SERVER);
            leave_in_time_wait(served.address, 60);
            let advice = Advice::ask(&[], "client", &[]);
            assert!(
                advice
                    .bounds_otherwise(limiter::TIME_WAIT_BUCKETS)
                    .contains("forgotten")
            );
            let allowed = prediction(&[], "client", limiter::TIME_WAIT, &[]);
            assert_eq!(allowed, 24);
            refused_then_stopped(limiter::TIME_WAIT, allowed, load);
        },
    );
}

/// Silence: a SYN that finds the queue full is dropped, and nobody hears of it.
#[test]
fn a_server_that_does_not_accept_has_a_queue_and_one() {
    in_own_network("a_server_that_does_not_accept_has_a_queue_and_one", || {
        set("net.core.somaxconn", "16");
        // So that the client gives up after seconds and not after two minutes.
        set("net.ipv4.tcp_syn_retries", "1");
        let served = Served::start(&[], "epoll", SERVER);
        let pid = served.pid().to_string();
        let advice = Advice::ask(&[], "server", &["--pid", &pid, "--engine", "epoll"]);
        let said = advice.bounds_otherwise(limiter::ACCEPT_QUEUE);
        assert!(said.ends_with(": 17"), "{said}");
        signal(served.pid(), Signal::STOP);
        let stopped = record(&load("18", true));
        assert_eq!(
            stopped["limiter"],
            limiter::ACCEPT_QUEUE,
            "{}",
            stopped["error"]
        );
        assert_eq!(held(&stopped), Some(17), "{}", stopped["error"]);
    });
}

/// A table of direct descriptors that is full, and no further ring.
#[test]
fn a_table_of_direct_descriptors_has_so_many_slots() {
    if !has_io_uring() {
        println!("skipped: there is no io_uring");
        return;
    }
    let bounds = [
        "--engine",
        "uring",
        "--slots-per-ring",
        "48",
        "--rings-max",
        "2",
    ];
    refused_then_stopped(limiter::DIRECT_TABLE, 96, |connections, is_forced| {
        with_force(&HOLD, connections, &bounds, is_forced)
    });
    holds(96, &with_force(&HOLD, "96", &bounds, false));
}

/// A table cannot have more slots than the process may have descriptors.
#[test]
fn a_table_is_no_larger_than_the_limit_of_descriptors() {
    if !has_io_uring() {
        println!("skipped: there is no io_uring");
        return;
    }
    let place = with_descriptors(100);
    let run = |connections: &str, is_forced| {
        hold_in(
            &place,
            connections,
            &["--engine", "uring", "--rings-max", "1"],
            is_forced,
        )
    };
    refused_then_stopped(limiter::DIRECT_TABLE, 100, run);
}

/// A thread a connection, in a group that may have so many tasks.
#[test]
fn a_group_has_so_many_threads() {
    let group = match Group::new("pids", "fourtuple-limits", "pids.max", 60) {
        Ok(group) => group,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let served = Served::start(&group.inside(), "threads", "127.0.0.1:0");
    let _first = fill(served.address, 1);
    let pid = served.pid().to_string();
    let arguments = ["--pid", &pid, "--engine", "threads"];
    let allowed = prediction(&[], "server", limiter::PIDS_GROUP, &arguments);
    let open = fill(served.address, 200);
    assert_eq!(open.len() as u64, allowed);
    let said = served.last_words();
    assert!(said.contains("pids.max"), "{said}");
    drop(open);
    let stopped = fourtuple_in(&group.inside())
        .args(HOLD)
        .args([
            "100",
            "--engine",
            "threads",
            "--force",
            "--client",
            client(),
        ])
        .output()
        .unwrap();
    let stopped = record(&stopped);
    assert_eq!(
        stopped["limiter"],
        limiter::PIDS_GROUP,
        "{}",
        stopped["error"]
    );
    // A thread each; the others are the command's, the client's, and three of the server's own.
    let held = held(&stopped);
    assert!(
        held.is_some_and(|held| (36..=57).contains(&held)),
        "{held:?} are held: {}",
        stopped["error"]
    );
}

/// Within 2 %: a group that memory runs short in, before it does on the machine.
#[test]
fn a_group_has_memory_for_so_many() {
    if !has_io_uring() {
        return println!("skipped: there is no io_uring");
    }
    if let Some(reason) = too_small_for_memory() {
        return println!("skipped: {reason}");
    }
    let file = "memory.limit_in_bytes";
    let group = match Group::new("memory", "fourtuple-limits", file, GROUP_BYTES) {
        Ok(group) => group,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let place = group.inside();
    // The doctor is asked about one end, and says no; about both in one group, its words are the refusal's.
    let wanted = ["--engine", "uring", "--connections", "10M"];
    let advice = Advice::ask(&place, "server", &wanted);
    assert!(advice.is_no_for(limiter::MEMORY_GROUP));
    let hold = |arguments: &[&str]| {
        let mut run = fourtuple_in(&place);
        run.args(["hold", "--engine", "uring", "--json"]);
        run.args(["--prepare-memory", "false"]);
        run.args(["--duration", "0ms", "--settle", "100ms"]);
        record(&run.args(arguments).output().unwrap())
    };
    let refused = hold(&["--connections", "10M"]);
    assert_eq!(refused["limiter"], limiter::MEMORY_GROUP, "{refused}");
    let full = hold(&["--until-full"]);
    assert_eq!(full["limiter"], limiter::MEMORY_GROUP, "{}", full["error"]);
    let held = held(&full).unwrap() as f64;
    let allowed = said_to_allow(&refused) as f64;
    let off = (allowed - held).abs() / held;
    assert!(off <= 0.02, "{allowed} were predicted, and {held} fit");
}

/// How many connections a refusal says that there is room for.
fn said_to_allow(refused: &Value) -> u64 {
    let words = refused["error"].as_str().unwrap();
    let rest = words.split("it allows ").nth(1);
    let number = rest.and_then(|rest| rest.split(' ').next()).expect(words);
    number.replace(',', "").parse().expect(words)
}

fn load(connections: &str, is_forced: bool) -> Output {
    with_force(&LOAD, connections, &["--client", client()], is_forced)
}

/// The client that there is.
fn client() -> &'static str {
    if has_io_uring() { "uring" } else { "spin" }
}

/// Why the memory of a group would not be what connections meet first.
fn too_small_for_memory() -> Option<String> {
    let descriptors = rustix::process::getrlimit(Resource::Nofile).maximum;
    if let Some(descriptors) = descriptors.filter(|&limit| limit < DESCRIPTORS_MIN) {
        return Some(format!(
            "with {descriptors} descriptors tables are small, and the rings take the memory"
        ));
    }
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    match kib {
        Some(kib) if kib << 10 >= AVAILABLE_MIN_BYTES => None,
        _ => Some(format!(
            "MemAvailable is {kib:?} KiB: the machine's memory may be met first"
        )),
    }
}

/// Whether a run had a network of its own, where alone settings can be made; a word about it if not.
fn is_private(output: &Output) -> bool {
    if !errors(output).contains("no network of its own") {
        return true;
    }
    println!("skipped: {}", errors(output));
    false
}

//! Every limit by hand-made values: what it allows, and how it is raised.

use super::fixture::{client, limits, question, server};
use super::*;
use fourtuple_spec::Reading::{self, Known};
use fourtuple_spec::limiter;
use fourtuple_spec::limits::{Grant, GroupMemory, GroupTasks, Listener};
use proptest::prelude::*;

mod ports;

fn pair(wanted: impl Into<Option<u64>>) -> Question {
    question(wanted.into(), Some(server()), Some(client()))
}

fn rung(question: Question, limits: &Limits, name: &str) -> Rung {
    let mut rungs = examine(question, limits).rungs;
    rungs.retain(|rung| rung.limit == name);
    rungs.swap_remove(0)
}

fn with_server(change: impl FnOnce(&mut Serving)) -> Question {
    let mut server = server();
    change(&mut server);
    question(Some(2_000), Some(server), Some(client()))
}

fn with_client(change: impl FnOnce(&mut Connecting)) -> Question {
    let mut client = client();
    change(&mut client);
    question(Some(100_000), Some(server()), Some(client))
}

fn now(rung: &Rung) -> &str {
    rung.remedy.now.as_deref().unwrap_or("")
}

fn advice(rung: &Rung) -> &str {
    rung.remedy.advice.as_deref().unwrap_or("")
}

#[track_caller]
fn assert_any(rung: &Rung, why: &str) {
    match &rung.allows {
        Allows::Any(reason) => assert!(reason.contains(why), "{reason}"),
        allows => panic!("{}: {allows:?}", rung.limit),
    }
    assert_eq!(rung.remedy, Remedy::default());
}

#[test]
fn counts_come_first_and_of_equals_the_servers() {
    let mut limits = limits();
    limits.machine.pid_max = Reading::default();
    let question = with_server(|server| {
        server.own_descriptors = 2;
        server.has_threads = true;
    });
    let ladder = examine(question, &limits);
    assert_eq!(ladder.rungs[0].name(), "RLIMIT_NOFILE of the server");
    assert_eq!(ladder.rungs[1].name(), "RLIMIT_NOFILE of the client");
    assert_eq!(ladder.allows(), Some(1_019));
    let kinds = ladder.rungs.iter().map(|rung| match rung.allows {
        Allows::Connections(_) => 0,
        Allows::Unknown(_) => 1,
        Allows::Other(_) => 2,
        Allows::Any(_) => 3,
    });
    let kinds: Vec<i32> = kinds.collect();
    assert!(kinds.is_sorted(), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == 1).count(), 1);
    assert_eq!(kinds.len(), RUNGS.len() - 1, "nothing is reserved");
}

#[test]
fn descriptors_are_exact_and_the_command_is_for_both_sides() {
    let name = limiter::DESCRIPTORS;
    let of_server = rung(pair(2_000), &limits(), name);
    assert_eq!(of_server.allows, Allows::Connections(1_017));
    assert_eq!(now(&of_server), "ulimit -S -n 2007");
    assert!(advice(&of_server).contains("no root is needed"));
    assert_eq!(
        of_server.refusal(2_000),
        "RLIMIT_NOFILE of the server is 1,024 soft, 524,288 hard (3 open, 4 more before it begins): it allows 1,017 \
         more connections, 2,000 are wanted: `ulimit -S -n 2007`; the hard limit allows it: no root is needed"
    );
    let of_four = rung(with_server(|server| server.processes = 4), &limits(), name);
    assert_eq!(of_four.side, Side::Client, "it is the narrower one now");
    let ladder = examine(with_server(|server| server.processes = 4), &limits());
    let of_four = ladder
        .rungs
        .iter()
        .find(|rung| rung.side == Side::Server)
        .unwrap();
    assert_eq!(of_four.allows, Allows::Connections(4 * 1_017));
    let mut running = limits();
    running.process.pid = Some(77);
    assert_eq!(
        now(&rung(pair(2_000), &running, name)),
        "prlimit --pid 77 --nofile=2007:524288"
    );
    let slots = rung(
        with_server(|server| server.takes = Takes::DirectSlot),
        &limits(),
        name,
    );
    assert_eq!(slots.side, Side::Client);
}

#[test]
fn what_may_be_raised_is_bounded_by_nr_open() {
    let mut limits = limits();
    limits.process.descriptors_soft = Known(524_288);
    let ladder = examine(pair(2_000_000), &limits);
    let nr_open = rung(pair(2_000_000), &limits, limiter::NR_OPEN);
    assert_eq!(nr_open.allows, Allows::Connections(1_048_576 - 7));
    assert_eq!(now(&nr_open), "sysctl -w fs.nr_open=2000007");
    let descriptors = rung(pair(2_000_000), &limits, limiter::DESCRIPTORS);
    assert_eq!(
        now(&descriptors),
        "prlimit --pid $$ --nofile=2000007:2000007"
    );
    assert!(advice(&descriptors).contains("fs.nr_open has to be raised first: it is 1,048,576"));
    let clearing = ladder.answer_commands();
    assert_eq!(
        clearing.commands.first().unwrap(),
        "sysctl -w fs.nr_open=2000007"
    );
    assert_eq!(clearing.commands.last().unwrap(), now(&descriptors));
    let mut commands = clearing.commands.clone();
    commands.sort();
    commands.dedup();
    assert_eq!(commands.len(), clearing.commands.len(), "{commands:?}");
    assert!(
        clearing
            .left
            .iter()
            .any(|left| left.starts_with("memory: no command"))
    );
    limits.process.user = Known(0);
    let descriptors = rung(pair(2_000_000), &limits, limiter::DESCRIPTORS);
    assert!(!descriptors.remedy.suffices && advice(&descriptors).contains("CAP_SYS_RESOURCE"));
}

#[test]
fn files_count_at_both_ends_and_root_is_exempt() {
    let files = rung(pair(500_000), &limits(), limiter::FILE_MAX);
    assert_eq!(files.allows, Allows::Connections((800_000 - 2_000 - 6) / 2));
    assert_eq!(now(&files), "sysctl -w fs.file-max=1002006");
    assert_eq!(
        files.remedy.lasting.as_deref(),
        Some("fs.file-max = 1002006 in /etc/sysctl.d/90-connections.conf")
    );
    let mut root = limits();
    root.process.capabilities = Known(u64::MAX);
    assert_any(
        &rung(pair(500_000), &root, limiter::FILE_MAX),
        "root is exempt",
    );
    root.process.is_in_first_user_namespace = Known(false);
    let confined = rung(pair(500_000), &root, limiter::FILE_MAX);
    assert_eq!(confined.allows, files.allows);
    assert!(advice(&confined).contains("outside of this user namespace"));
}

#[test]
fn a_queue_holds_one_more_than_its_length_where_nobody_accepts() {
    let name = limiter::ACCEPT_QUEUE;
    let accepting = rung(pair(2_000), &limits(), name);
    assert!(matches!(&accepting.allows, Allows::Other(what) if what.ends_with("4,097")));
    let holding =
        |backlog| with_server(move |server| (server.accepts, server.backlog) = (false, backlog));
    for (backlog, somaxconn, count) in [(5, 4_096, 6), (64, 16, 17), (0, 16, 1)] {
        let mut limits = limits();
        limits.network.somaxconn = Known(somaxconn);
        let queue = rung(holding(backlog), &limits, name);
        assert_eq!(queue.allows, Allows::Connections(count));
        assert!(!queue.remedy.suffices && advice(&queue).contains("a backlog of 1,999"));
    }
    let mut limits = limits();
    limits.network.somaxconn = Known(16);
    let queue = rung(holding(4_096), &limits, name);
    assert_eq!(now(&queue), "sysctl -w net.core.somaxconn=1999");
    assert!(queue.remedy.suffices);
}

#[test]
fn handshakes_are_bounded_where_no_cookies_are_sent() {
    let mut limits = limits();
    let of = |limits: &Limits| rung(pair(None), limits, limiter::SYN_BACKLOG);
    for cookies in [1, 2] {
        limits.network.syncookies = Known(cookies);
        assert_any(&of(&limits), "go by cookies");
    }
    limits.network.syncookies = Known(0);
    assert!(matches!(of(&limits).allows, Allows::Other(words) if words.contains("three quarters")));
    limits.network.syncookies = Reading::Unknown("hidden".to_owned());
    assert_eq!(of(&limits).allows, Allows::Unknown("hidden".to_owned()));
}

#[test]
fn the_backlog_of_another_program_is_assumed() {
    let mut limits = limits();
    let of = |limits: &Limits| rung(pair(None), limits, limiter::ACCEPT_QUEUE).value;
    assert!(of(&limits).unwrap().starts_with("backlog 4,096, "));
    limits.process.pid = Some(77);
    let value = of(&limits).unwrap();
    assert!(
        value.starts_with("a backlog of 4,096 is assumed, "),
        "{value}"
    );
}

#[test]
fn what_is_followed_counts_and_where_nothing_is_it_does_not() {
    let mut limits = limits();
    let followed = rung(pair(300_000), &limits, limiter::CONNTRACK);
    assert_eq!(followed.allows, Allows::Connections(262_144 - 44));
    assert_eq!(
        now(&followed),
        "sysctl -w net.netfilter.nf_conntrack_max=300044"
    );
    limits.network.conntrack_max = Known(Some(0));
    assert_any(
        &rung(pair(None), &limits, limiter::CONNTRACK),
        "0 is no limit",
    );
    limits.network.conntrack_max = Known(None);
    assert_any(
        &rung(pair(None), &limits, limiter::CONNTRACK),
        "nothing follows connections",
    );
    limits.network.conntrack_max = Reading::Unknown("garbage".to_owned());
    let unknown = rung(pair(None), &limits, limiter::CONNTRACK);
    assert_eq!(unknown.allows, Allows::Unknown("garbage".to_owned()));
    // In another network than the first the setting can be read alone.
    limits.network.conntrack_max = Known(Some(262_144));
    limits.machine.tcp_memory_pages = Reading::default();
    let elsewhere = rung(pair(300_000), &limits, limiter::CONNTRACK);
    assert!(advice(&elsewhere).contains("first network alone"));
    assert_eq!(advice(&followed), "");
    // Nobody follows anything now: what there may be rules for is not known, and it is said.
    limits.network.conntrack_max = Known(Some(262_144));
    limits.network.conntrack = Known(0);
    let idle = rung(pair(None), &limits, limiter::CONNTRACK);
    assert!(matches!(idle.allows, Allows::Other(ref words) if words.contains("none now")));
}

#[test]
fn memory_keeps_its_reserve_in_the_machine_and_in_the_tightest_group() {
    let mut limits = limits();
    let reserve = memory::reserve_bytes(Some(8 << 30));
    let memory = rung(pair(2_000_000), &limits, limiter::MEMORY);
    assert_eq!(
        memory.allows,
        Allows::Connections(((6 << 30) - reserve) / 10_000)
    );
    assert!(memory.remedy.now.is_none() && advice(&memory).ends_with("are 19 GiB"));
    assert_any(
        &rung(pair(None), &limits, limiter::MEMORY_GROUP),
        "no group",
    );
    let group = |file: &str, limit_bytes, used_bytes| GroupMemory {
        file: file.to_owned(),
        limit_bytes,
        used_bytes,
    };
    limits.group.memory = Known(vec![
        group("/a/memory.max", 2 << 30, 0),
        group("/b/memory.max", 3 << 30, 2 << 30),
    ]);
    let mut question = pair(1_000_000);
    question.memory.charged_bytes = Some(5_000);
    let memory = rung(question, &limits, limiter::MEMORY_GROUP);
    assert_eq!(
        memory.allows,
        Allows::Connections(((1 << 30) - memory::group_reserve_bytes(3 << 30)) / 5_000)
    );
    let taken = (2_u64 << 30) + 5_000_000_000;
    let needed = taken + taken / 49 + 1;
    assert_eq!(now(&memory), format!("echo {needed} > /b/memory.max"));
    assert_eq!(memory.read_from, "/b/memory.max");
}

#[test]
fn threads_bound_a_server_that_has_one_for_each_connection() {
    let mut limits = limits();
    let tasks = GroupTasks {
        file: "/g/pids.max".to_owned(),
        limit: 500,
        used: 100,
    };
    limits.group.tasks = Known(vec![tasks]);
    let threads = with_server(|server| server.has_threads = true);
    // A server's own two and a client's own are there, too.
    for (name, count, command) in [
        (limiter::THREADS_MAX, 63_000 - 200 - 3, ""),
        (limiter::PID_MAX, 32_768 - 300 - 200 - 3, ""),
        (limiter::PIDS_GROUP, 397, "echo 2103 > /g/pids.max"),
        (limiter::PROCESSES, 30_000 - 50 - 3, ""),
        (limiter::MAP_COUNT, (65_530 - 100) / 4, ""),
    ] {
        let of_threads = rung(threads.clone(), &limits, name);
        assert_eq!(of_threads.allows, Allows::Connections(count), "{name}");
        assert!(now(&of_threads).starts_with(command) && !now(&of_threads).is_empty());
        assert_any(
            &rung(pair(2_000), &limits, name),
            "no connection has a thread",
        );
    }
    limits.process.user = Known(0);
    assert_any(
        &rung(threads.clone(), &limits, limiter::PROCESSES),
        "root is exempt",
    );
    let many = Question {
        connections: Some(5_000_000),
        ..threads
    };
    let ids = rung(many, &limits, limiter::PID_MAX);
    assert_eq!(now(&ids), "sysctl -w kernel.pid_max=4194304");
    assert!(!ids.remedy.suffices && advice(&ids).contains("cannot be more than 4,194,304"));
}

#[test]
fn rings_are_refused_by_name_and_tables_by_their_slots() {
    let slots = |rings_max| {
        with_server(move |server| {
            (server.takes, server.rings_max, server.slots_per_ring) =
                (Takes::DirectSlot, rings_max, Some(600));
        })
    };
    let mut limits = limits();
    let table = rung(slots(Some(2)), &limits, limiter::DIRECT_TABLE);
    assert_eq!(table.allows, Allows::Connections(1_200));
    assert_eq!(advice(&table), "let a server have 4 rings: --rings-max 4");
    let table = rung(slots(None), &limits, limiter::DIRECT_TABLE);
    assert_eq!(table.allows, Allows::Connections((1_024 - 3 - 4) * 600));
    assert_any(&rung(slots(None), &limits, limiter::IO_URING), "granted");
    limits.process.descriptors_soft = Known(100);
    let table = rung(slots(Some(2)), &limits, limiter::DIRECT_TABLE);
    assert_eq!(table.allows, Allows::Connections(200));
    limits.process.descriptors_soft = Known(u64::MAX);
    assert_any(
        &rung(slots(None), &limits, limiter::DIRECT_TABLE),
        "as many rings",
    );
    limits.machine.io_uring = Known(Grant::Refused("EPERM".to_owned()));
    limits.machine.io_uring_disabled = Known(2);
    let refused = rung(slots(None), &limits, limiter::IO_URING);
    assert_eq!(
        (&refused.allows, now(&refused)),
        (
            &Allows::Connections(0),
            "sysctl -w kernel.io_uring_disabled=0"
        )
    );
    assert!(refused.refusal(9).starts_with(
        "io_uring of the server is refused (EPERM): it allows no more connections, 9 are wanted"
    ));
    assert_any(
        &rung(pair(None), &limits, limiter::IO_URING),
        "no connection needs a ring",
    );
}

#[test]
fn epoll_watches_bound_who_watches_and_the_rest_bounds_something_else() {
    let mut limits = limits();
    let watching = with_server(|server| server.watches = true);
    let watches = rung(watching, &limits, limiter::EPOLL_WATCHES);
    assert_eq!(watches.allows, Allows::Connections(1_800_000 - 2));
    assert_any(
        &rung(pair(None), &limits, limiter::EPOLL_WATCHES),
        "does not watch",
    );
    for (name, words) in [
        (limiter::TIME_WAIT_BUCKETS, "TIME_WAIT"),
        (limiter::TCP_MEM, "734 MiB in all"),
        (limiter::ORPHANS, "left to send"),
        (limiter::HASH, "30.52 sockets a bucket with 1,000,000"),
        (limiter::NETDEV_BACKLOG, "wait for a core"),
        (limiter::LOCKED_MEMORY, "registered"),
    ] {
        let aside = rung(pair(1_000_000), &limits, name);
        assert!(
            matches!(&aside.allows, Allows::Other(what) if what.contains(words)),
            "{aside:?}"
        );
    }
    limits.process.capabilities = Known(1 << 14);
    assert_any(
        &rung(pair(None), &limits, limiter::LOCKED_MEMORY),
        "CAP_IPC_LOCK",
    );
}

#[test]
fn of_unknown_limits_none_bounds_and_each_has_its_reason() {
    let asked = with_server(|server| {
        (server.takes, server.rings_max) = (Takes::DirectSlot, Some(1));
        (server.watches, server.has_threads, server.accepts) = (true, true, false);
    });
    let ladder = examine(asked, &Limits::default());
    assert_eq!(ladder.allows(), None);
    assert_eq!(ladder.answer_commands(), Clearing::default());
    let unknown =
        |rung: &&Rung| matches!(&rung.allows, Allows::Unknown(reason) if !reason.is_empty());
    assert_eq!(
        ladder.rungs.iter().filter(unknown).count(),
        ladder.rungs.len() - 1
    );
}

#[test]
fn what_is_used_of_a_limit_need_not_be_known_for_it_to_be_too_low() {
    let mut limits = limits();
    limits.process.descriptors_open = Reading::Unknown("forbidden".to_owned());
    let of = |connections| rung(pair(connections), &limits, limiter::DESCRIPTORS);
    assert_eq!(of(1_020).allows, Allows::Unknown("forbidden".to_owned()));
    assert_eq!(of(1_021).allows, Allows::Connections(1_020));
    let any = rung(pair(None), &limits, limiter::DESCRIPTORS);
    assert_eq!(any.allows, Allows::Connections(1_020));
    let refusal = of(1_021).refusal(1_021);
    assert!(refusal.contains("at the most"), "{refusal}");
    limits.machine.files_open = Reading::Unknown("forbidden".to_owned());
    limits.machine.tasks = Reading::Unknown("forbidden".to_owned());
    let threads = |connections| {
        let mut question = with_server(|server| server.has_threads = true);
        question.connections = Some(connections);
        question
    };
    for (name, most) in [
        (limiter::FILE_MAX, (800_000 - 6) / 2),
        (limiter::THREADS_MAX, 63_000 - 3),
        (limiter::PID_MAX, 32_768 - 300 - 3),
    ] {
        let of = |connections| rung(threads(connections), &limits, name).allows;
        assert_eq!(of(most), Allows::Unknown("forbidden".to_owned()), "{name}");
        assert_eq!(of(most + 1), Allows::Connections(most), "{name}");
    }
}

#[test]
fn whether_somebody_is_exempt_may_be_unknown_and_may_not_matter() {
    let mut limits = limits();
    limits.process.capabilities = Known(u64::MAX);
    limits.process.user = Known(0);
    limits.process.is_in_first_user_namespace = Reading::Unknown("forbidden".to_owned());
    let mut threads = with_server(|server| server.has_threads = true);
    for (name, room) in [(limiter::FILE_MAX, 398_997), (limiter::PROCESSES, 29_947)] {
        threads.connections = Some(room);
        let enough = rung(threads.clone(), &limits, name);
        assert_eq!(enough.allows, Allows::Connections(room));
        threads.connections = Some(room + 1);
        let unknown = rung(threads.clone(), &limits, name);
        assert!(
            matches!(&unknown.allows, Allows::Unknown(why) if why.ends_with("known: forbidden")),
            "{unknown:?}"
        );
    }
    limits.process.capabilities = Known(0);
    let ordinary = rung(threads, &limits, limiter::FILE_MAX);
    assert_eq!(ordinary.allows, Allows::Connections(398_997));
}

#[test]
fn a_hard_limit_beyond_nr_open_is_lowered_and_a_limit_of_tasks_is_raised_with_its_hard_one() {
    let mut limits = limits();
    limits.process.descriptors_hard = Known(u64::MAX);
    let of = |limits: &Limits, wanted| rung(pair(wanted), limits, limiter::DESCRIPTORS);
    assert_eq!(now(&of(&limits, 2_000)), "ulimit -n 2007");
    let beyond = of(&limits, 2_000_000);
    assert!(advice(&beyond).contains("has to be raised first"));
    limits.process.descriptors_hard = Known(1_500);
    let beyond = of(&limits, 2_000);
    assert_eq!(now(&beyond), "prlimit --pid $$ --nofile=2007:2007");
    assert!(advice(&beyond).contains("root may"));
    let mut threads = with_server(|server| server.has_threads = true);
    threads.connections = Some(40_000);
    let tasks = rung(threads.clone(), &limits, limiter::PROCESSES);
    assert_eq!(now(&tasks), "prlimit --pid $$ --nproc=40053:40053");
    limits.process.tasks_of_user_hard = Known(50_000);
    let tasks = rung(threads, &limits, limiter::PROCESSES);
    assert_eq!(now(&tasks), "ulimit -S -u 40053");
}

#[test]
fn rings_are_descriptors_and_what_refuses_them_says_what_helps() {
    let asked = |connections| {
        let mut asked = with_server(|server| server.takes = Takes::DirectSlot);
        asked.connections = Some(connections);
        asked
    };
    let mut limits = limits();
    let room = (1_024 - 3 - 4) * 1_024;
    let table = rung(asked(room + 1), &limits, limiter::DIRECT_TABLE);
    assert_eq!(table.allows, Allows::Connections(room));
    let command = now(&table).to_owned();
    assert!(command.starts_with("ulimit -S -n "), "{command}");
    let raised = command
        .rsplit(' ')
        .next()
        .and_then(|word| word.parse().ok());
    limits.process.descriptors_soft = Known(raised.unwrap());
    let table = rung(asked(room + 1), &limits, limiter::DIRECT_TABLE);
    assert!(matches!(table.allows, Allows::Connections(more) if more > room));
    for (why, word) in [("gone (ENOSYS)", "CONFIG_IO_URING"), ("EPERM", "--engine")] {
        limits.machine.io_uring = Known(Grant::Refused(why.to_owned()));
        let refused = rung(asked(1), &limits, limiter::IO_URING);
        assert!(advice(&refused).contains(word));
        assert_eq!(advice(&refused).contains("CONFIG"), why != "EPERM");
    }
    limits.machine.io_uring = Reading::Unknown("another's".to_owned());
    let unknown = rung(asked(1), &limits, limiter::IO_URING);
    assert_eq!(unknown.allows, Allows::Unknown("another's".to_owned()));
}

/// The extremes, and what lies between.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        0..100_000_u64,
        any::<u64>()
    ]
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let reading = || prop_oneof![number().prop_map(Known), Just(Reading::default())];
    let readings = prop::collection::vec(reading(), 16);
    (readings, any::<(u16, u16)>(), any::<i64>()).prop_map(|(values, ports, entries)| {
        let mut limits = limits();
        let mut values = values.into_iter();
        let (process, machine, network) = (
            &mut limits.process,
            &mut limits.machine,
            &mut limits.network,
        );
        for target in [
            &mut process.descriptors_soft,
            &mut process.descriptors_hard,
            &mut process.descriptors_open,
            &mut process.tasks_of_user,
            &mut process.capabilities,
            &mut process.mappings,
            &mut machine.nr_open,
            &mut machine.file_max,
            &mut machine.files_open,
            &mut machine.tasks,
            &mut machine.memory_available_bytes,
            &mut network.somaxconn,
            &mut network.conntrack,
            &mut network.reserved_in_range,
            &mut network.time_wait,
            &mut network.sockets,
        ] {
            *target = values.next().unwrap_or_default();
        }
        network.ports = Known(ports);
        network.hash_entries = Known(entries);
        limits
    })
}

fn any_question() -> impl Strategy<Value = Question> {
    let numbers = prop::collection::vec(number(), 6);
    let flags = any::<[bool; 6]>();
    (numbers, flags, prop::option::of(number())).prop_map(|(numbers, flags, wanted)| {
        let takes = if flags[0] {
            Takes::DirectSlot
        } else {
            Takes::Descriptor
        };
        let server = Serving {
            takes,
            processes: numbers[0],
            own_descriptors: numbers[1],
            rings_max: flags[1].then_some(numbers[2]),
            watches: flags[2],
            has_threads: flags[3],
            accepts: flags[4],
            backlog: numbers[3],
            ..server()
        };
        let client = Connecting {
            groups: flags[5].then_some(numbers[4]),
            group_connections: flags[0].then_some(numbers[5]),
            ..client()
        };
        let mut question = question(wanted, Some(server), Some(client));
        question.memory.bytes = numbers[5];
        question
    })
}

proptest! {
    #[test]
    fn nothing_stands_in_the_way_of_what_is_allowed(
        question in any_question(), limits in any_limits(), wanted in number(),
    ) {
        let ladder = examine(question, &limits);
        let is_allowed = ladder.allows().is_none_or(|allowed| allowed >= wanted);
        prop_assert_eq!(ladder.obstacles(wanted).is_empty(), is_allowed);
        for rung in &ladder.rungs {
            prop_assert!(rung.refusal(wanted).contains("it allows"));
        }
        // Whatever stands in the way of what was asked has a command or a word.
        let asked = ladder.question.connections.unwrap_or(0);
        let clearing = ladder.answer_commands();
        let has_words = !clearing.commands.is_empty() || !clearing.left.is_empty();
        prop_assert_eq!(has_words, !ladder.obstacles(asked).is_empty());
    }
}

//! Ports, what has them, and what waits to have them again.

use super::*;

#[test]
fn ports_are_for_each_pair_of_addresses_and_an_odd_one_is_luck() {
    let of = |question, range: (u16, u16), reserved| {
        let mut limits = limits();
        limits.network.ports = Known(range);
        limits.network.reserved_in_range = Known(reserved);
        rung(question, &limits, limiter::PORT_RANGE)
    };
    let allowed = |question, range, reserved| of(question, range, reserved).allows;
    let one = with_client(|_| ());
    for (last, reserved, count) in [
        (1_000, 0, 1),
        (1_063, 0, 64),
        (1_062, 0, 62),
        (1_063, 11, 53),
        (1_062, 1, 61),
    ] {
        let expected = Allows::Connections(count);
        assert_eq!(allowed(one.clone(), (1_000, last), reserved), expected);
    }
    let bound = with_client(|client| client.binding = Binding::AtBind);
    assert_eq!(allowed(bound, (1_000, 1_062), 11), Allows::Connections(52));
    let three = with_client(|client| client.groups = Some(3));
    assert_eq!(allowed(three, (1_000, 1_063), 11), Allows::Connections(159));
    let many = with_client(|client| client.groups = None);
    assert_any(&of(many, (1_000, 1_063), 0), "as many as it takes");
    let each = |each| {
        with_client(move |client| {
            (client.groups, client.group_connections) = (Some(4), Some(each));
        })
    };
    assert_eq!(
        allowed(each(50), (1_000, 1_063), 0),
        Allows::Connections(200)
    );
    assert_eq!(
        allowed(each(65), (1_000, 1_063), 0),
        Allows::Connections(64)
    );
    let never = with_client(|client| client.binding = Binding::Never);
    assert_any(&of(never, (1_000, 1_063), 0), "picks no port");
    let alone = question(None, Some(server()), None);
    assert_any(&of(alone, (1_000, 1_063), 0), "share its one port");
}

#[test]
fn a_range_is_widened_as_far_as_it_goes_and_then_destinations_help() {
    let mut limits = limits();
    let range = rung(pair(50_000), &limits, limiter::PORT_RANGE);
    assert_eq!(
        now(&range),
        "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\""
    );
    assert!(range.remedy.suffices);
    assert!(advice(&range).contains("net.ipv4.ip_local_reserved_ports"));
    assert!(advice(&range).ends_with("; or use 2 destinations or sources"));
    let range = rung(pair(100_000), &limits, limiter::PORT_RANGE);
    assert!(
        !range.remedy.suffices && advice(&range).contains("64,512 ports"),
        "{range:?}"
    );
    limits.network.ports = Known((500, 65_535));
    let range = rung(pair(100_000), &limits, limiter::PORT_RANGE);
    assert_eq!(range.remedy.now, None, "it is never made narrower");
    limits.network.ports = Known((32_768, 60_999));
    limits.network.unprivileged_from = Known(5_000);
    let range = rung(pair(100_000), &limits, limiter::PORT_RANGE);
    assert!(now(&range).ends_with("\"5000 65535\""), "{range:?}");
    limits.network.unprivileged_from = Known(1_024);
    limits.process.pid = Some(5);
    limits.network.ports = Known((32_768, 60_999));
    let range = rung(pair(50_000), &limits, limiter::PORT_RANGE);
    assert!(now(&range).starts_with("nsenter --target 5 --net sysctl"));
}

#[test]
fn a_listener_in_the_range_and_reserved_ports_take_theirs() {
    let mut limits = limits();
    let listener = |address: &str, waiting, backlog| Listener {
        address: address.parse().unwrap(),
        waiting,
        backlog,
    };
    let listeners = ["127.0.0.1:40000", "[::]:40000", "127.0.0.1:80"];
    limits.network.listeners = Known(listeners.map(|address| listener(address, 0, 9)).to_vec());
    limits.network.listening_in_range = Known(1);
    let range = rung(pair(None), &limits, limiter::PORT_RANGE);
    assert_eq!(range.allows, Allows::Connections(28_231));
    limits.network.reserved_in_range = Known(2);
    let range = rung(pair(None), &limits, limiter::PORT_RANGE);
    assert_eq!(range.allows, Allows::Connections(28_229));
    let reserved = rung(pair(None), &limits, limiter::RESERVED_PORTS);
    assert!(matches!(reserved.allows, Allows::Other(_)) && reserved.remedy.now.is_none());
    limits.network.listeners = Known(vec![
        listener("127.0.0.1:80", 5, 99),
        listener("127.0.0.1:81", 3, 4),
    ]);
    let queue = rung(pair(None), &limits, limiter::ACCEPT_QUEUE);
    assert_eq!(
        queue.used.as_deref(),
        Some("the fullest here is 127.0.0.1:81: 3 of 5 wait")
    );
}

#[test]
fn more_listen_than_are_listed_and_what_is_not_known_is_said() {
    let mut limits = limits();
    let range = |limits: &Limits| rung(pair(64_000), limits, limiter::PORT_RANGE);
    limits.network.listening_in_range = Known(400);
    assert_eq!(range(&limits).allows, Allows::Connections(28_232 - 400));
    let used = range(&limits).used.unwrap();
    assert!(used.starts_with("400 listened on, "), "{used}");
    assert!(used.ends_with("are not subtracted: 10 TCP sockets are open"));
    limits.network.listening_in_range = Reading::default();
    limits.network.sockets = Reading::default();
    assert_eq!(range(&limits).allows, Allows::Connections(28_232));
    let used = range(&limits).used.unwrap();
    assert!(used.starts_with("at most, because") && used.ends_with("are not subtracted"));
    limits.network.listening_in_range = Known(0);
    limits.network.sockets = Known(0);
    let used = range(&limits).used.unwrap();
    assert_eq!(used, "from one source to one destination");
}

#[test]
fn the_widest_range_has_its_own_listeners_and_reserved_ports() {
    let mut limits = limits();
    let range = |limits: &Limits| rung(pair(64_500), limits, limiter::PORT_RANGE);
    assert!(range(&limits).remedy.suffices);
    limits.network.reserved_in_widest = Known(11);
    assert!(range(&limits).remedy.suffices);
    let listening = |port| Listener {
        address: ([0, 0, 0, 0], port).into(),
        waiting: 0,
        backlog: 9,
    };
    limits.network.listeners = Known(vec![listening(80), listening(8_080), listening(9_090)]);
    let narrow = range(&limits);
    assert!(!narrow.remedy.suffices, "two of them are in it");
    assert!(advice(&narrow).contains("at most 64,499 ports"));
}

#[test]
fn a_port_is_taken_over_only_with_timestamps() {
    let mut limits = limits();
    limits.network.time_wait = Known(60);
    limits.network.time_wait_of_one = Known(40);
    for (timestamps, reuse, command) in [
        (Known(0), 0, "sysctl -w net.ipv4.tcp_tw_reuse=1"),
        (Known(0), 1, ""),
        (Reading::default(), 2, "sysctl -w net.ipv4.tcp_tw_reuse=1"),
    ] {
        limits.network.timestamps = timestamps;
        limits.network.time_wait_reuse = Known(reuse);
        let waiting = rung(pair(28_200), &limits, limiter::TIME_WAIT);
        assert_eq!(waiting.allows, Allows::Connections(28_192));
        assert_eq!(now(&waiting), command);
        assert!(!waiting.remedy.suffices && advice(&waiting).contains("tcp_timestamps"));
    }
}

#[test]
fn what_is_in_time_wait_elsewhere_refuses_nothing() {
    let mut limits = limits();
    limits.network.time_wait = Known(50_000);
    limits.network.time_wait_reuse = Known(0);
    assert_any(
        &rung(pair(None), &limits, limiter::TIME_WAIT),
        "none of them keeps",
    );
    limits.network.time_wait_of_one = Reading::Unknown("too many".to_owned());
    let other = |question| rung(question, &limits, limiter::TIME_WAIT).allows;
    assert!(matches!(other(pair(28_000)), Allows::Other(words)
        if words.starts_with("up to 28,232 ports") && words.ends_with("too many")));
    let bound = with_client(|client| client.binding = Binding::AtBind);
    assert!(matches!(other(bound), Allows::Other(words) if words.contains("bind picks none")));
}

#[test]
fn groups_miss_ports_and_not_connections() {
    let mut limits = limits();
    limits.network.ports = Known((1_000, 1_063));
    limits.network.time_wait = Known(40);
    limits.network.time_wait_of_one = Known(40);
    limits.network.time_wait_reuse = Known(0);
    for (groups, each, count) in [
        (1, None, 24),
        (3, None, 3 * 64 - 40),
        (1, Some(24), 24),
        (4, Some(24), 96),
        (1, Some(25), 24),
        (4, Some(25), 3 * 25 + 24),
        (1, Some(1_000), 24),
    ] {
        let question = with_client(|client| {
            (client.groups, client.group_connections) = (Some(groups), each);
        });
        let allows = rung(question, &limits, limiter::TIME_WAIT).allows;
        assert_eq!(allows, Allows::Connections(count), "{groups} {each:?}");
    }
}

#[test]
fn ended_connections_keep_their_ports_unless_those_are_used_again() {
    let mut limits = limits();
    limits.network.time_wait = Known(40);
    limits.network.time_wait_of_one = Known(40);
    assert_any(
        &rung(pair(None), &limits, limiter::TIME_WAIT),
        "tcp_tw_reuse",
    );
    limits.network.time_wait_reuse = Known(0);
    let waiting = rung(pair(28_200), &limits, limiter::TIME_WAIT);
    assert_eq!(waiting.allows, Allows::Connections(28_192));
    assert_eq!(now(&waiting), "sysctl -w net.ipv4.tcp_tw_reuse=1");
    assert!(waiting.remedy.suffices && waiting.used.unwrap().contains("towards one destination"));
    limits.network.time_wait_reuse = Known(2);
    let from_afar = question(None, None, Some(client()));
    let waiting = rung(from_afar, &limits, limiter::TIME_WAIT);
    assert_eq!(waiting.allows, Allows::Connections(28_192));
    limits.network.time_wait = Known(0);
    assert_any(
        &rung(pair(None), &limits, limiter::TIME_WAIT),
        "nothing is in TIME_WAIT",
    );
}

use super::*;

fn defaults() -> CaseDefaults {
    CaseDefaults::new(vec![0], vec![1])
}

fn refusal(request: &CaseRequest) -> String {
    request.resolve(&defaults()).unwrap_err().to_string()
}

#[test]
fn a_bare_request_gets_every_default() {
    let case = CaseRequest::new(Engine::Uring, 1000)
        .resolve(&defaults())
        .unwrap();
    assert_eq!(case.client, ClientKind::Uring);
    assert_eq!((case.message_bytes, case.depth), (64, 1));
    assert_eq!(case.active_connections, 1000);
    assert_eq!(case.connect_window, 256);
    assert_eq!(
        (case.settle_ms, case.warmup_ms, case.measure_ms),
        (200, 500, 2000)
    );
    assert_eq!(case.network, NetworkChoice::Private);
    assert_eq!(case.group_connections, 25_000);
    assert_eq!((case.server_cpus, case.client_cpus), (vec![0], vec![1]));
    assert!(!case.control);
}

#[test]
fn the_floor_is_spun_at_both_ends_unless_told_otherwise() {
    let mut request = CaseRequest::new(Engine::Spin, 10);
    assert_eq!(request.fill(&defaults()).client, ClientKind::Spin);
    request.client = Some(ClientKind::Uring);
    assert_eq!(request.fill(&defaults()).client, ClientKind::Uring);
}

#[test]
fn the_active_window_is_capped_and_never_exceeds_the_connections() {
    let mut request = CaseRequest::new(Engine::Epoll, 1_000_000);
    assert_eq!(request.fill(&defaults()).active_connections, 16_384);
    request.active_connections = Some(1_000_000);
    assert_eq!(request.fill(&defaults()).active_connections, 1_000_000);
    request.connections = 10;
    assert_eq!(request.fill(&defaults()).active_connections, 10);
}

#[test]
fn churn_has_no_more_connects_in_flight_than_a_backlog_takes() {
    let mut request = CaseRequest::new(Engine::Epoll, 10_000);
    request.mode = Some(Mode::Churn);
    let case = request.resolve(&defaults()).unwrap();
    assert_eq!(case.active_connections, CONNECT_WINDOW_MAX);
    request.active_connections = Some(100);
    assert_eq!(request.fill(&defaults()).active_connections, 100);
}

#[test]
fn the_spinning_client_has_no_pipeline() {
    let mut request = CaseRequest::new(Engine::Spin, 10);
    request.depth = Some(4);
    assert!(refusal(&request).contains("one message in flight"));
    request.client = Some(ClientKind::Uring);
    assert!(request.resolve(&defaults()).is_ok());
}

#[test]
fn ghosts_have_windows_of_their_own() {
    let mut request = CaseRequest::new(Engine::UringPoll, 5_000_000);
    request.peer = Some(Peer::Ghost);
    request.measure_ms = Some(0);
    let case = request.resolve(&defaults()).unwrap();
    assert_eq!(
        (case.active_connections, case.connect_window),
        (16_384, 1_024)
    );
    assert_eq!(case.rounds, [64]);
    request.measure_ms = None;
    request.state = Some(EndpointState::Armed);
    let case = request.resolve(&defaults()).unwrap();
    assert_eq!(
        (case.active_connections, case.connect_window),
        (16_384, 256)
    );
    let mut spun = CaseRequest::new(Engine::Spin, 10);
    spun.peer = Some(Peer::Ghost);
    assert_eq!(spun.resolve(&defaults()).unwrap().client, ClientKind::Uring);
}

#[test]
fn a_rate_opens_the_loop_whoever_the_peers_are() {
    let mut request = CaseRequest::new(Engine::Uring, 10);
    request.peer = Some(Peer::Ghost);
    request.rate = Some(20_000);
    assert_eq!(request.resolve(&defaults()).unwrap().mode, Mode::Open);
    request.mode = Some(Mode::Closed);
    assert!(refusal(&request).contains("use mode = \"open\""));
    request.mode = Some(Mode::Open);
    request.rate = None;
    assert!(refusal(&request).contains("set rate"));
    request.rate = Some(20_000);
    request.network = Some(NetworkChoice::Host);
    assert!(refusal(&request).contains("use network = \"private\""));
    request.network = None;
    request.peer = Some(Peer::Kernel);
    assert_eq!(request.resolve(&defaults()).unwrap().mode, Mode::Open);
    request.client = Some(ClientKind::Spin);
    assert!(refusal(&request).contains("client = \"uring\""));
    request.client = None;
    request.burst_pause_us = Some(1);
    assert!(refusal(&request).contains("leave mode and rate out"));
    let both_ends = CaseRequest {
        rate: Some(1),
        ..CaseRequest::new(Engine::Stack, 1)
    };
    assert!(refusal(&both_ends).contains("a closed loop over all connections"));
    let lossy = CaseRequest {
        loss_ppm: Some(1),
        ..CaseRequest::new(Engine::Uring, 10)
    };
    assert!(refusal(&lossy).contains("of a ghost's TCP"));
}

#[test]
fn groups_follow_the_port_range_that_the_run_will_have() {
    let mut request = CaseRequest::new(Engine::Epoll, 10);
    let refused = CaseDefaults {
        is_private_possible: false,
        ..defaults()
    };
    assert_eq!(request.fill(&refused).group_connections, 14_116);
    let narrow = ("net.ipv4.ip_local_port_range", "10000 10999");
    request.sysctls = Some([(narrow.0.to_owned(), narrow.1.to_owned())].into());
    assert_eq!(request.fill(&defaults()).group_connections, 500);
    request.network = Some(NetworkChoice::Host);
    assert_eq!(request.fill(&defaults()).group_connections, 14_116);
}

#[test]
fn what_is_out_of_range_is_refused_with_what_is_allowed() {
    let nothing = CaseRequest::new(Engine::Uring, 0);
    assert_eq!(
        refusal(&nothing),
        "connections is 0; allowed is 1 to 100000000"
    );
    let ask = CaseRequest::new(Engine::Uring, 10);
    for (request, key) in [
        (
            CaseRequest {
                message_bytes: Some(0),
                ..ask.clone()
            },
            "message_bytes is 0; allowed is 1 to 16777216",
        ),
        (
            CaseRequest {
                message_bytes: Some(2 << 30),
                ..ask.clone()
            },
            "message_bytes is 2147483648;",
        ),
        (
            CaseRequest {
                depth: Some(1025),
                ..ask.clone()
            },
            "depth is 1025; allowed is 1 to 1024",
        ),
        (
            CaseRequest {
                measure_ms: Some(9),
                ..ask.clone()
            },
            "a measured span is 10 ms or longer",
        ),
        (
            CaseRequest {
                connect_window: Some(4096),
                ..ask.clone()
            },
            "connect_window is 4096; allowed is 1 to 4095",
        ),
        (
            CaseRequest {
                server_cpus: Some(vec![1, 0, 1]),
                ..ask.clone()
            },
            "server_cpus names core 1 twice",
        ),
        (
            CaseRequest {
                client_cpus: Some(vec![]),
                ..ask.clone()
            },
            "client_cpus is an empty list",
        ),
    ] {
        let text = refusal(&request);
        assert!(text.starts_with(key), "{text}");
    }
    let shared = CaseRequest {
        server_cpus: Some(vec![0]),
        client_cpus: Some(vec![0]),
        ..ask
    };
    assert!(shared.resolve(&defaults()).is_ok());
}

#[test]
fn workers_are_of_engines_that_can_share_a_port() {
    let ask = |engine| CaseRequest {
        workers: Some(2),
        ..CaseRequest::new(engine, 10)
    };
    assert!(ask(Engine::Epoll).resolve(&defaults()).is_ok());
    assert!(refusal(&ask(Engine::Threads)).contains("a thread a connection"));
    assert!(refusal(&ask(Engine::Stack)).contains("one thread with both ends"));
}

#[test]
fn bounds_are_of_engines_that_can_meet_them() {
    let ask = |engine, change: fn(&mut CaseRequest)| {
        let mut request = CaseRequest::new(engine, 10);
        change(&mut request);
        request
    };
    let rings = |request: &mut CaseRequest| request.rings_max = Some(2);
    let processes = |request: &mut CaseRequest| request.server_processes = Some(2);
    let descriptors = |request: &mut CaseRequest| request.server_descriptors = Some(100);
    for request in [
        ask(Engine::Uring, rings),
        ask(Engine::Epoll, processes),
        ask(Engine::Uring, descriptors),
    ] {
        assert!(request.resolve(&defaults()).is_ok());
    }
    assert!(refusal(&ask(Engine::Epoll, rings)).contains("the engine epoll has none"));
    assert!(refusal(&ask(Engine::Uring, processes)).contains("set workers instead"));
    assert!(refusal(&ask(Engine::Stack, descriptors)).contains("no server process"));
    let mut plain = ask(Engine::Uring, rings);
    plain.descriptors = Some(crate::factors::DescriptorKind::Plain);
    assert!(refusal(&plain).contains("rings_max"));
    (plain.rings_max, plain.server_processes) = (None, Some(2));
    assert!(plain.resolve(&defaults()).is_ok());
}

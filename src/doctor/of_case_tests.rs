use super::*;
use crate::doctor::fixture;
use fourtuple_spec::plan::{CaseDefaults, CaseRequest};

fn case(engine: Engine, connections: u32, change: impl FnOnce(&mut CaseRequest)) -> Case {
    let mut request = CaseRequest::new(engine, connections);
    change(&mut request);
    let mut defaults = CaseDefaults::new(vec![0], vec![1]);
    defaults.is_private_possible = true;
    request.resolve(&defaults).unwrap()
}

fn with_sysctl(name: &str, value: &str) -> Case {
    case(Engine::Uring, 1_000, |request| {
        request.sysctls = Some([(name.to_owned(), value.to_owned())].into());
    })
}

#[test]
fn each_end_takes_what_its_kind_does() {
    let asked = |case: &Case| {
        let question = question_of(case, &fixture::limits());
        let server = question.server.map(|server| server.takes);
        (server, question.client.map(|client| client.takes))
    };
    let uring = case(Engine::Uring, 10, |_| {});
    let slots = Some(Takes::DirectSlot);
    assert_eq!(asked(&uring), (slots, slots));
    let spin = Case {
        client: ClientKind::Spin,
        engine: Some(Engine::Epoll),
        ..uring.clone()
    };
    let descriptors = Some(Takes::Descriptor);
    assert_eq!(asked(&spin), (descriptors, descriptors));
    let ghosts = case(Engine::Epoll, 10, |request| {
        request.peer = Some(Peer::Ghost)
    });
    assert_eq!(asked(&ghosts), (descriptors, Some(Takes::Nothing)));
    let waiting = Case {
        state: Some(EndpointState::AcceptQueue),
        ..ghosts
    };
    assert_eq!(asked(&waiting).0, Some(Takes::Nothing));
    let target = Case {
        engine: None,
        target: Some("192.0.2.1:7".parse().unwrap()),
        ..uring
    };
    assert_eq!(asked(&target), (None, slots));
}

#[test]
fn a_private_network_has_its_own_settings_and_those_of_the_case() {
    let read = fixture::limits();
    let network = |case: &Case| limits_of(case, &read, true).network;
    let plain = network(&case(Engine::Uring, 10, |_| {}));
    assert_eq!(plain.ports, Reading::Known(PRIVATE_PORT_RANGE));
    assert_eq!(plain.somaxconn, Reading::Known(65_535));
    assert_eq!(plain.time_wait, Reading::Known(0));
    let narrow = network(&with_sysctl("net.ipv4.ip_local_port_range", "2000\t2099"));
    assert_eq!(narrow.ports, Reading::Known((2000, 2099)));
    let short = network(&with_sysctl("net.core.somaxconn", "16"));
    assert_eq!(short.somaxconn, Reading::Known(16));
    let reserved = "1000,65000-65009,65005";
    let reserved = network(&with_sysctl("net.ipv4.ip_local_reserved_ports", reserved));
    assert_eq!(reserved.reserved_in_range, Reading::Known(10));
    let host = limits_of(&with_sysctl("net.core.somaxconn", "16"), &read, false);
    assert_eq!(host.network, read.network);
}

#[test]
fn a_server_elsewhere_has_one_address() {
    let case = case(Engine::Uring, 1_000, |request| {
        request.group_connections = Some(100);
    });
    assert_eq!(groups(&case), (10, 100));
    let elsewhere = Case {
        target: Some("192.0.2.1:7".parse().unwrap()),
        ..case
    };
    assert_eq!(groups(&elsewhere), (1, 100));
}

#[test]
fn of_version_1_a_group_is_not_charged_all() {
    let mut limits = fixture::limits();
    let charged = |engine, limits: &Limits| {
        question_of(&case(engine, 10, |_| {}), limits)
            .memory
            .charged_bytes
    };
    limits.group.version = Some(2);
    assert_eq!(charged(Engine::Uring, &limits), None);
    limits.group.version = Some(1);
    assert_eq!(charged(Engine::Uring, &limits), Some(5_200));
    assert_eq!(charged(Engine::Epoll, &limits), Some(5_200));
    assert_eq!(charged(Engine::Tokio, &limits), Some(10_192));
    assert_eq!(charged(Engine::Threads, &limits), Some(48_442));
    let of = |case: &Case| question_of(case, &limits).memory.charged_bytes;
    let ghosts = case(Engine::Uring, 10, |request| {
        request.peer = Some(Peer::Ghost)
    });
    assert_eq!(of(&ghosts), Some(1_520));
    let elsewhere = Case {
        engine: None,
        peer: Peer::Kernel,
        target: Some("192.0.2.1:7".parse().unwrap()),
        ..ghosts
    };
    assert_eq!(of(&elsewhere), Some(3_680));
    let waiting = Case {
        state: Some(EndpointState::AcceptQueue),
        ..elsewhere
    };
    assert_eq!(of(&waiting), None);
}

#[test]
fn processes_are_as_many_as_the_case_says_or_needs() {
    let limits = fixture::limits();
    let processes = |case: &Case| question_of(case, &limits).server.unwrap().processes;
    let mut few = case(Engine::Epoll, 1_000, |_| {});
    few.server_processes = Some(3);
    assert_eq!(processes(&few), 3);
    assert_eq!(processes(&case(Engine::Uring, 1_000_000, |_| {})), 1);
}

#[test]
fn the_last_ring_is_known_where_rings_are_limited() {
    let case = case(Engine::Uring, 1_000, |request| {
        request.slots_per_ring = Some(100);
        request.rings_max = Some(3);
    });
    let mut limits = fixture::limits();
    limits.process.descriptors_soft = Reading::Known(1_024);
    let serving = serving(&case, &limits).unwrap();
    assert_eq!(
        (serving.slots_per_ring, serving.rings_max),
        (Some(100), Some(3))
    );
    limits.process.descriptors_soft = Reading::Known(64);
    let serving = super::serving(&case, &limits).unwrap();
    assert_eq!(
        serving.slots_per_ring,
        Some(64),
        "a table is no larger than the limit"
    );
}

#[test]
fn bytes_are_of_what_is_here() {
    let tokio = case(Engine::Tokio, 10, |_| {});
    assert_eq!((each_bytes(&tokio), unit(&tokio)), (13_256, "a pair"));
    let ghosts = case(Engine::UringPoll, 10, |request| {
        request.peer = Some(Peer::Ghost)
    });
    assert_eq!((each_bytes(&ghosts), unit(&ghosts)), (4_228, "an endpoint"));
    let foreign = Case {
        engine: None,
        ..ghosts
    };
    assert_eq!(each_bytes(&foreign), 4_858);
    let elsewhere = Case {
        target: Some("192.0.2.1:7".parse().unwrap()),
        ..tokio
    };
    assert_eq!(unit(&elsewhere), "an endpoint");
}

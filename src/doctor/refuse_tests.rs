use super::*;
use crate::doctor::fixture;
use fourtuple_spec::plan::{CaseDefaults, CaseRequest};
use fourtuple_spec::{Engine, Reading};

fn request(engine: Engine, connections: u32) -> CaseRequest {
    CaseRequest::new(engine, connections)
}

fn case(request: &CaseRequest) -> Case {
    let mut defaults = CaseDefaults::new(vec![0], vec![1]);
    defaults.is_private_possible = true;
    request.resolve(&defaults).unwrap()
}

/// Limits in which nothing but what a test sets is known.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.process.descriptors_hard = Reading::Known(20_000);
    limits.process.descriptors_open = Reading::Known(3);
    limits
}

fn refused(request: &CaseRequest, limits: &Limits) -> Option<Refusal> {
    check(&case(request), limits, true).err()
}

#[test]
fn what_is_not_known_refuses_nothing() {
    assert_eq!(
        refused(&request(Engine::Uring, 10_000), &Limits::default()),
        None
    );
    assert_eq!(refused(&request(Engine::Epoll, 10_000), &limits()), None);
}

#[test]
fn the_last_table_is_exact() {
    let mut asked = request(Engine::Uring, 300);
    (asked.slots_per_ring, asked.rings_max) = (Some(100), Some(3));
    assert_eq!(refused(&asked, &limits()), None);
    asked.connections = 301;
    let refusal = refused(&asked, &limits()).unwrap();
    assert_eq!(refusal.limiter, limiter::DIRECT_TABLE);
    assert!(refusal.to_string().contains("--force"), "{refusal}");
}

#[test]
fn descriptors_of_a_server_are_its_own_and_not_the_clients() {
    let mut asked = request(Engine::Epoll, 93);
    (asked.server_descriptors, asked.server_processes) = (Some(100), Some(1));
    assert_eq!(refused(&asked, &limits()), None);
    asked.connections = 94;
    let refusal = refused(&asked, &limits()).unwrap();
    assert_eq!(refusal.limiter, limiter::DESCRIPTORS);
    asked.server_processes = None;
    assert_eq!(
        refused(&asked, &limits()),
        None,
        "as many processes as it takes"
    );
}

#[test]
fn a_server_with_a_limit_of_its_own_is_still_one_end_of_a_pair() {
    let mut asked = request(Engine::Epoll, 90);
    (asked.server_descriptors, asked.server_processes) = (Some(100), Some(1));
    let mut limits = limits();
    limits.process.capabilities = Reading::Known(0);
    limits.machine.files_open = Reading::Known(0);
    // Two files a connection: neither end alone would meet it.
    limits.machine.file_max = Reading::Known(150);
    let refusal = refused(&asked, &limits).unwrap();
    assert_eq!(refusal.limiter, limiter::FILE_MAX);
}

#[test]
fn ports_of_one_group_are_exact() {
    let mut asked = request(Engine::Uring, 100);
    asked.sysctls = Some(
        [(
            "net.ipv4.ip_local_port_range".to_owned(),
            "2000 2099".to_owned(),
        )]
        .into(),
    );
    asked.group_connections = Some(1_000);
    assert_eq!(refused(&asked, &limits()), None);
    asked.connections = 101;
    let refusal = refused(&asked, &limits()).unwrap();
    assert_eq!(refusal.limiter, limiter::PORT_RANGE);
    asked.group_connections = Some(50);
    assert_eq!(
        refused(&asked, &limits()),
        None,
        "other addresses have ports of their own"
    );
}

#[test]
fn a_case_that_asks_how_much_it_holds_is_not_refused_for_that() {
    let mut asked = request(Engine::Uring, 301);
    (asked.slots_per_ring, asked.rings_max) = (Some(100), Some(3));
    asked.until_full = Some(true);
    assert_eq!(refused(&asked, &limits()), None);
}

#[test]
fn a_thousand_connections_are_refused_nowhere() {
    let limits = fixture::limits();
    for engine in [Engine::Uring, Engine::Epoll, Engine::Threads] {
        assert_eq!(refused(&request(engine, 1_000), &limits), None, "{engine}");
    }
}

#[test]
fn no_fewer_processes_are_started_than_are_asked_for() {
    let mut asked = request(Engine::Epoll, 1_000);
    asked.server_processes = Some(7);
    assert_eq!(check_ends(&case(&asked), 7), Ok(()));
    let refusal = check_ends(&case(&asked), 6).unwrap_err();
    assert_eq!(refusal.limiter, limiter::DESCRIPTORS);
    let said = refusal.to_string();
    assert!(
        said.contains("server_processes is 7") && said.contains("of 6 "),
        "{said}"
    );
    let mut asked = request(Engine::Uring, 1_000);
    asked.workers = Some(9);
    let refusal = check_ends(&case(&asked), 8).unwrap_err();
    assert!(refusal.to_string().contains("workers is 9"), "{refusal}");
}

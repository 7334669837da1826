use super::super::record::nothing_yet;
use super::*;
use fourtuple_spec::Peer;
use fourtuple_spec::plan::{CaseDefaults, CaseRequest};
use fourtuple_spec::record::{GhostCounters, Hold, Ledger};

fn record(request: &CaseRequest) -> Record {
    let defaults = CaseDefaults::new(vec![0], vec![1]);
    let mut record = nothing_yet(&request.resolve(&defaults).unwrap());
    record.setup.connections_held = Some(request.connections);
    record.setup.connections_proved = Some(request.connections);
    record.throughput.echoes_verified = Some(1_990);
    record
}

fn open_loop() -> Record {
    let mut request = CaseRequest::new(Engine::Uring, 10);
    request.peer = Some(Peer::Ghost);
    request.rate = Some(1_000);
    let mut record = record(&request);
    record.throughput.seconds = Some(2.0);
    record.throughput.messages_offered = Some(2_000);
    record.client.ghosts = Some(GhostCounters::default());
    record.latency_ns.p99 = Some(100_000);
    record.punctual_ns.p99 = Some(95_000);
    record
}

fn closed_loop(client_busy: f64, server_core_busy: f64) -> Record {
    let mut record = record(&CaseRequest::new(Engine::Epoll, 100));
    record.cpu.client_busy = Some(client_busy);
    record.cpu.server_busy = Some(server_core_busy - 0.1);
    record.cpu.server_cores_busy = vec![server_core_busy];
    record
}

fn rule_of(record: &Record) -> Option<&'static str> {
    first_broken(record).map(|broken| broken.rule)
}

#[test]
fn a_ledger_that_does_not_close_is_told_from_one_that_nearly_does() {
    let of = |unattributed_bytes, share| {
        let ledger = Ledger {
            phase: "settle".to_owned(),
            unattributed_bytes: Some(unattributed_bytes),
            ..Ledger::default()
        };
        Memory {
            kernel_bytes_per_connection: Some(8_000.0),
            unattributed_share: Some(share),
            ledger: vec![ledger],
            ..Memory::default()
        }
    };
    assert!(open_ledger(&of(-(64 << 20), -0.08)).is_some_and(|rule| rule.contains("67 MB")));
    assert_eq!(
        open_ledger(&of(64 << 20, 0.003)),
        None,
        "of 20 GB it is little"
    );
    assert_eq!(
        open_ledger(&of(1 << 20, 0.5)),
        None,
        "and 1 MiB is anybody's"
    );
    assert_eq!(open_ledger(&Memory::default()), None);
    let mut small = closed_loop(0.5, 0.5);
    small.memory = of(64 << 20, 0.5);
    assert_eq!(
        rule_of(&small),
        None,
        "with 100 connections it is a warning"
    );
    let mut large = record(&CaseRequest::new(Engine::Epoll, 100_000));
    large.memory = of(64 << 20, 0.5);
    assert_eq!(rule_of(&large), Some("ledger-open"));
}

#[test]
fn connections_that_are_not_there_are_the_first_thing_to_say() {
    let mut record = closed_loop(0.99, 0.2);
    record.throughput.echoes_verified = Some(0);
    assert_eq!(rule_of(&record), Some("no-echo"));
    record.hold = Some(Hold {
        seconds: 1.0,
        connections_lost: Some(1),
    });
    assert_eq!(rule_of(&record), Some("connections-lost"));
    record.setup.connections_proved = Some(99);
    assert_eq!(rule_of(&record), Some("connections-unproved"));
    record.setup.connections_held = Some(99);
    assert_eq!(rule_of(&record), Some("connections-missing"));
}

#[test]
fn a_gap_is_no_run_unless_segments_were_to_be_lost() {
    let mut record = open_loop();
    assert_eq!(rule_of(&record), None);
    record.client.ghosts.as_mut().unwrap().early = 3;
    let broken = first_broken(&record).unwrap();
    assert_eq!(broken.rule, "segments-missing");
    assert!(broken.why.starts_with("3 segments came ahead of one"));
    record.case.loss_ppm = 1;
    assert_eq!(rule_of(&record), None);
}

#[test]
fn an_open_loop_that_falls_behind_is_none() {
    let mut record = open_loop();
    record.throughput.echoes_verified = Some(1_970);
    let broken = first_broken(&record).unwrap();
    assert_eq!(broken.rule, "rate-not-reached");
    assert!(
        broken.why.starts_with("offered 1000/s, achieved 985/s"),
        "{broken:?}"
    );
    record.throughput.messages_offered = None;
    assert_eq!(rule_of(&record), None, "a closed loop offers nothing");
    record.throughput.messages_offered = Some(50);
    record.throughput.echoes_verified = Some(48);
    assert_eq!(rule_of(&record), None, "two were under way at the end");
    record.throughput.echoes_verified = Some(46);
    assert_eq!(rule_of(&record), Some("rate-not-reached"));
    record.throughput.echoes_verified = Some(53);
    assert_eq!(rule_of(&record), None, "three were under way when it began");
    record.throughput.echoes_verified = Some(54);
    assert_eq!(rule_of(&record), Some("rate-exceeded"));
}

#[test]
fn a_client_that_is_late_itself_offers_no_open_loop() {
    let mut record = open_loop();
    record.punctual_ns.p99 = Some(94_999);
    assert_eq!(rule_of(&record), Some("client-late"));
    record.punctual_ns.p99 = None;
    assert_eq!(rule_of(&record), None, "what is not known is not judged");
    // Being busy is what an open loop's client is for.
    record.cpu.client_busy = Some(1.0);
    record.cpu.server_cores_busy = vec![0.5];
    assert_eq!(rule_of(&record), None);
}

#[test]
fn a_client_that_is_used_up_before_its_server_is_the_limit() {
    let broken = first_broken(&closed_loop(0.95, 0.80)).unwrap();
    assert_eq!(broken.rule, "client-saturated");
    assert_eq!(broken.limiter(), Some("client"));
    assert_eq!(rule_of(&closed_loop(0.99, 0.90)), None, "both are");
    assert_eq!(
        rule_of(&closed_loop(0.90, 0.89)),
        Some("client-near-ceiling")
    );
    assert_eq!(
        rule_of(&closed_loop(0.71, 0.72)),
        None,
        "the server is busier"
    );
    assert_eq!(rule_of(&closed_loop(0.70, 0.20)), None);
    let mut threads_only = closed_loop(0.95, 0.80);
    threads_only.cpu.server_cores_busy.clear();
    threads_only.cpu.server_busy = Some(0.95);
    assert_eq!(rule_of(&threads_only), None);
    threads_only.case.server_cpus = vec![0, 2];
    assert_eq!(
        rule_of(&threads_only),
        Some("client-saturated"),
        "over two cores it is half of each"
    );
}

#[test]
fn a_side_that_spins_is_always_busy_and_a_server_nobody_sees_is_not_judged() {
    let mut spun = closed_loop(1.0, 0.5);
    spun.case.client = ClientKind::Spin;
    assert_eq!(rule_of(&spun), None);
    let mut unseen = closed_loop(1.0, 0.5);
    unseen.cpu.server_busy = None;
    unseen.cpu.server_cores_busy.clear();
    assert_eq!(rule_of(&unseen), None);
}

#[test]
fn what_stopped_a_ramp_stays_the_limiter() {
    let mut record = closed_loop(0.95, 0.5);
    super::super::record::judge(&mut record);
    let error = record.error.as_deref().unwrap();
    assert!(
        error.starts_with("client-saturated: the client was 95 % busy"),
        "{error}"
    );
    assert_eq!(record.limiter.as_deref(), Some("client"));
    let mut full = closed_loop(0.95, 0.5);
    full.limiter = Some(fourtuple_spec::limiter::MEMORY.to_owned());
    super::super::record::judge(&mut full);
    assert_eq!(
        full.limiter.as_deref(),
        Some(fourtuple_spec::limiter::MEMORY)
    );
}

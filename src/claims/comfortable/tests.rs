//! What is found in runs that nobody has made.

use super::*;
use crate::publish::fixture;
use fourtuple_spec::Engine;
use fourtuple_spec::record::Round;

fn point(load: Load, connections: u32, p99_ns: u64, busy: f64) -> Point {
    let mut record = fixture::record(Engine::Uring, connections, 0);
    record.latency_ns.p99 = Some(p99_ns);
    record.cpu.server_busy = Some(busy / 2.0);
    record.cpu.server_cores_busy = vec![busy];
    record.case.server_cpus = vec![0];
    Point {
        load,
        connections,
        record,
    }
}

fn good(load: Load, connections: u32) -> Point {
    point(load, connections, P99_NS - 1, 0.69)
}

fn bad(load: Load, connections: u32) -> Point {
    point(load, connections, 200_000_000, 0.99)
}

#[test]
fn both_bounds_have_to_be_kept() {
    let is = |p99_ns, busy| point(Load::Closed, 10, p99_ns, busy).is_comfortable();
    assert_eq!(is(P99_NS - 1, 0.69), Some(true));
    assert_eq!(is(P99_NS, 0.69), Some(false));
    assert_eq!(is(P99_NS - 1, 0.70), Some(false));
    let mut unknown = good(Load::Closed, 10);
    unknown.record.latency_ns.p99 = None;
    assert_eq!(unknown.is_comfortable(), None);
}

#[test]
fn threads_count_where_cores_show_less() {
    let mut threads = good(Load::Closed, 10);
    threads.record.cpu.server_busy = Some(0.8);
    assert_eq!(threads.is_comfortable(), Some(false));
}

#[test]
fn what_breaks_a_rule_of_load_is_judged_and_what_breaks_another_is_not() {
    let broken = |error: &str| {
        let mut point = bad(Load::Closed, 10);
        point.record.outcome = Outcome::Invalid;
        point.record.error = Some(error.to_owned());
        (point.is_comfortable(), point.note().unwrap())
    };
    let (verdict, note) = broken("client-saturated: the client was 99 % busy");
    assert_eq!(verdict, Some(false));
    assert!(
        note.contains("10 broke a rule of load and is judged all the same: client-sat"),
        "{note}"
    );
    let (verdict, note) = broken("ledger-open: 64 MB");
    assert_eq!(verdict, Some(false));
    assert!(
        note.contains("a rule of memory, which says nothing of"),
        "{note}"
    );
    let (verdict, note) = broken("no-echo: none came");
    assert_eq!(verdict, None);
    assert!(
        note.ends_with("is not judged: no-echo: none came"),
        "{note}"
    );
}

#[test]
fn what_an_open_ledger_hides_is_looked_at() {
    let mut point = good(Load::Fixed, 10);
    point.record.outcome = Outcome::Invalid;
    point.record.error = Some("ledger-open: 64 MB".to_owned());
    assert_eq!(point.is_comfortable(), Some(true));
    let mut silent = point.record.clone();
    silent.throughput.echoes_verified = Some(0);
    point.record.setup.connections_proved = Some(9);
    assert_eq!(point.is_comfortable(), None);
    point.record = silent;
    assert_eq!(point.is_comfortable(), None);
}

#[test]
fn the_verdict_is_of_a_hundred_thousand_and_more() {
    let verdict = |points: &[Point]| judge(points).0;
    let small = || bad(Load::Closed, 1_000);
    assert_eq!(verdict(&[small()]), Verdict::Inconclusive);
    let fixed = || good(Load::Fixed, 100_000);
    // One load alone says nothing of the others.
    assert_eq!(verdict(&[small(), fixed()]), Verdict::Incomplete);
    assert_eq!(
        verdict(&[bad(Load::Closed, 100_000)]),
        Verdict::Inconclusive
    );
    assert_eq!(
        verdict(&LOADS.map(|load| bad(load, 100_000))),
        Verdict::Refuted
    );
    let both = [
        bad(Load::Closed, 100_000),
        fixed(),
        good(Load::Minute, MILLION),
    ];
    let (verdict, why) = judge(&both);
    assert_eq!(verdict, Verdict::Incomplete);
    let parts = "comfortable: 10,000 a second over 100,000, one a minute each over 1,000,000; not: closed loop over \
                     100,000";
    assert!(why.ends_with(parts), "{why}");
}

#[test]
fn only_every_load_over_a_whole_million_confirms() {
    let whole = || LOADS.map(|load| good(load, MILLION));
    assert_eq!(judge(&whole()).0, Verdict::Confirmed);
    let mut part = whole();
    part[1].record.case.hot_connections = Some(50_000);
    let (verdict, why) = judge(&part);
    assert_eq!(verdict, Verdict::Incomplete);
    assert!(
        why.ends_with("it is not known of: 10,000 a second"),
        "{why}"
    );
    let smaller = LOADS.map(|load| good(load, CLAIMED));
    assert_eq!(judge(&smaller).0, Verdict::Incomplete);
}

#[test]
fn a_part_is_not_called_the_whole() {
    let mut points = [good(Load::Minute, CLAIMED), bad(Load::Closed, CLAIMED)];
    points[0].record.case.hot_connections = Some(8_330);
    let found = findings(&points, Vec::new());
    let words = "the rate of one a minute each over 100,000 (8,330 of them taking part)";
    assert!(found.why.contains(words), "{}", found.why);
    assert!(
        found
            .figures
            .iter()
            .any(|figure| figure.name == format!("p99, {words}"))
    );
    let most = "the rate of one a minute each up to 100,000 (8,330 of them taking part)";
    assert!(found.measured.unwrap().contains(most));
}

#[test]
fn an_uncomfortable_count_ends_what_is_comfortable_up_to() {
    let points = [
        good(Load::Fixed, 10),
        bad(Load::Fixed, 100),
        good(Load::Fixed, 1_000),
        bad(Load::Closed, 1),
    ];
    assert_eq!(largest_count(&points, Load::Fixed), Some(10.0));
    assert_eq!(largest_count(&points, Load::Closed), Some(0.0));
    assert_eq!(largest_count(&points, Load::Minute), None);
}

#[test]
fn the_most_is_of_a_load_and_a_round_of_a_count() {
    let mut points = [
        good(Load::Closed, 1),
        bad(Load::Closed, 10),
        good(Load::Fixed, 10),
        good(Load::Fixed, 100),
    ];
    for (point, seconds) in points.iter_mut().zip([0.1, 0.2, 0.3, 0.4]) {
        let round = Round {
            seconds,
            ..Round::default()
        };
        point.record.rounds = vec![round];
    }
    assert_eq!(largest_count(&points, Load::Closed), Some(1.0));
    assert_eq!(largest_count(&points, Load::Fixed), Some(100.0));
    assert_eq!(rounds(&points), [(1, 0.1), (10, 0.2), (100, 0.4)]);
    let found = findings(&points, Vec::new());
    let words = found.measured.unwrap().replace('\u{a0}', " ");
    assert_eq!(
        words,
        "Comfortable: closed loop up to 1; 10,000 a second up to 100; one a minute each not judged. A full round of \
             100 takes 400 ms."
    );
    assert_eq!(found.evidence[0].lines.len(), 5);
    assert!(found.evidence[0].lines[2].ends_with("not"));
}

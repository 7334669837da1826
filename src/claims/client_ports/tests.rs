use super::*;
use crate::claims::crowd::fixture;
use crate::claims::experiment::Refusal;
use crate::run::nothing_yet;
use fourtuple_spec::plan::CaseDefaults;

/// As it is predicted, for a range of so many ports.
fn tried(way: Way, ports: u64) -> Tried {
    let (step, errno) = way.end;
    let refusal = Some(Refusal {
        step: step.to_owned(),
        errno: errno.to_owned(),
    });
    let attempts = (0..way.destinations.into()).map(|index: u64| Attempted {
        opened: if index < way.times { ports } else { 0 },
        refusal: refusal.clone(),
    });
    let mut counted = Census::default();
    counted.client.local_addresses = 1;
    Tried {
        way,
        ports,
        outcome: Outcome {
            attempts: attempts.collect(),
            proved: way.times * ports,
            censuses: vec![counted],
            lines: Vec::new(),
        },
    }
}

fn all(ports: u64) -> Vec<Tried> {
    WAYS.map(|way| tried(way, ports)).into()
}

fn held() -> Crowd {
    let mut census = fixture::census(MANY.into());
    census.client = Ends {
        sockets: 100_000,
        local_addresses: 1,
        local_ports: 32_200,
        remote_addresses: 4,
        remote_ports: 1,
        four_tuples: 100_000,
        inodes: 100_000,
    };
    census
        .sample
        .push("ESTABLISHED 127.0.0.1:1024 127.0.0.1:7 inode 2".to_owned());
    Crowd {
        record: fixture::record(&many()),
        census: Ok(census),
    }
}

#[test]
fn a_range_of_n_ports_is_asked_for_and_one_connection_more_than_it_has() {
    for way in WAYS {
        let request = request(&way, 1000);
        assert_eq!(request.sysctls[limiter::PORT_RANGE], "20000 20999");
        assert_eq!(request.attempts.len(), usize::from(way.destinations));
        for attempt in &request.attempts {
            assert_eq!(attempt.connections_max, 1001);
            assert!(request.ports.contains(&attempt.destination.port()));
        }
    }
}

#[test]
fn more_connections_than_ports_refute() {
    let found = judge(&all(1000), &Ok(held()));
    assert_eq!(found.verdict, Verdict::Refuted);
    assert!(!found.why.contains("not as predicted"), "{}", found.why);
    let measured = found.measured.unwrap();
    assert!(
        measured.starts_with(
            "One client address held 100,000 connections at once, 34,465 more than there are port numbers, from \
             32,200 ports. With a range of 1,000 ports: 1,000 connections to one destination, 4,000 "
        ),
        "{measured}"
    );
    assert_eq!(
        (found.figures.len(), found.evidence.len(), found.notes.len()),
        (10, 2, 2)
    );
    let exact = found.figures.iter().filter(|figure| figure.is_exact);
    assert!(
        exact
            .clone()
            .all(|figure| figure.predicted == figure.measured)
    );
    assert_eq!(exact.count(), 9);
    let shown = &found.evidence[1].lines;
    assert_eq!(
        shown[1..],
        ["ESTABLISHED 127.0.0.1:1024 127.0.0.1:7 inode 2"]
    );
}

#[test]
fn what_is_not_as_predicted_is_said_beside_the_verdict() {
    let why = |change: fn(&mut Vec<Tried>)| {
        let mut all = all(1000);
        change(&mut all);
        let found = judge(&all, &Ok(held()));
        assert_eq!(found.verdict, Verdict::Refuted);
        found.why
    };
    let less = why(|all| {
        all[0].outcome.attempts[0].opened = 999;
        all[0].outcome.proved = 999;
    });
    assert!(
        less.contains("connections to one destination: 999 of 1,000"),
        "{less}"
    );
    assert!(why(|all| all[1].outcome.proved = 3999).contains("3,999 of 4,000 were live"));
    let other_end = why(|all| all[3].outcome.attempts[0].refusal = None);
    assert!(
        other_end.contains("after bind to port 0: then no refusal"),
        "{other_end}"
    );
}

/// A kernel that gives a port to one connection only.
fn bounded() -> Vec<Tried> {
    let mut all = all(1000);
    for tried in &mut all {
        let attempts = tried.outcome.attempts.iter_mut();
        attempts.skip(1).for_each(|attempt| attempt.opened = 0);
        tried.outcome.proved = 1000;
    }
    all
}

#[test]
fn as_many_connections_as_ports_confirm_and_nothing_else_does() {
    let verdict = |change: fn(&mut Outcome)| {
        let mut all = bounded();
        change(&mut all[2].outcome);
        judge(&all, &Err("memory".to_owned())).verdict
    };
    assert_eq!(verdict(|_| ()), Verdict::Confirmed);
    type Change = fn(&mut Outcome);
    let fewer: Change = |outcome| {
        outcome.attempts[0].opened = 999;
        outcome.proved = 999;
    };
    let dead: Change = |outcome| outcome.proved = 999;
    let another_end: Change = |outcome| {
        let refusal = outcome.attempts[3].refusal.as_mut();
        refusal.unwrap().errno = "EMFILE".to_owned();
    };
    let nothing: Change = |outcome| *outcome = Outcome::default();
    for change in [fewer, dead, another_end, nothing] {
        assert_eq!(verdict(change), Verdict::Inconclusive);
    }
    assert_eq!(
        judge(&[], &Err(String::new())).verdict,
        Verdict::Inconclusive
    );
    assert_eq!(judge(&bounded(), &Ok(held())).verdict, Verdict::Refuted);
}

#[test]
fn either_the_crowd_or_all_ways_refute() {
    let without = |change: fn(&mut Vec<Tried>)| {
        let mut all = all(1000);
        change(&mut all);
        judge(&all, &Err("memory".to_owned())).verdict
    };
    assert_eq!(without(|_| ()), Verdict::Refuted);
    let at_its_ports = without(|all| all[4].outcome.proved = 1000);
    assert_eq!(at_its_ports, Verdict::Inconclusive);
    let of_two = without(|all| all[1].outcome.censuses[0].client.local_addresses = 2);
    assert_eq!(of_two, Verdict::Inconclusive);
    let with = |change: fn(&mut Crowd)| {
        let mut crowd = held();
        change(&mut crowd);
        judge(&[], &Ok(crowd)).verdict
    };
    assert_eq!(with(|_| ()), Verdict::Refuted);
    type Change = fn(&mut Crowd);
    let no_more: Change = |crowd| crowd.census.as_mut().unwrap().client.four_tuples = 65_535;
    let of_two: Change = |crowd| crowd.census.as_mut().unwrap().client.local_addresses = 2;
    let unproved: Change = |crowd| crowd.record.setup.connections_proved = None;
    for change in [no_more, of_two, unproved] {
        assert_eq!(with(change), Verdict::Inconclusive);
    }
}

#[test]
fn why_says_what_was_not_as_predicted() {
    let found = judge(&bounded(), &Err("memory".to_owned()));
    assert!(found.why.contains("1,000 of 4,000"), "{}", found.why);
    assert!(
        found.why.contains("100,000 were not held: memory"),
        "{}",
        found.why
    );
}

#[test]
fn a_crowd_of_two_addresses_or_uncounted_is_named() {
    let why = |change: fn(&mut Crowd)| {
        let mut crowd = held();
        change(&mut crowd);
        judge(&all(120), &Ok(crowd)).why
    };
    let two = why(|crowd| crowd.census.as_mut().unwrap().client.local_addresses = 2);
    assert!(two.ends_with("the client's addresses: 2"), "{two}");
    let uncounted = why(|crowd| crowd.census = Err("EPERM".to_owned()));
    assert!(
        uncounted.ends_with("the sockets were not counted: EPERM"),
        "{uncounted}"
    );
    let notes = judge(&all(120), &Ok(held())).notes;
    assert!(notes[2].contains("a range of 120 ports"), "{notes:?}");
}

#[test]
fn the_default_range_has_to_end_at_its_last_port() {
    let case = default_range()
        .resolve(&CaseDefaults::new(vec![0], vec![1]))
        .unwrap();
    assert_eq!((case.group_connections, case.connections), (28_233, 28_233));
    let mut record = nothing_yet(&case);
    record.setup.connections_held = Some(DEFAULT_PORTS);
    record.limiter = Some(limiter::PORT_RANGE.to_owned());
    let mut findings = Findings::default();
    add_default_range(&mut findings, &record);
    assert_eq!(findings.why, "");
    assert_eq!(findings.figures[0].predicted, findings.figures[0].measured);
    record.setup.connections_held = Some(DEFAULT_PORTS - 1);
    add_default_range(&mut findings, &record);
    assert!(
        findings.why.contains("the end was another"),
        "{}",
        findings.why
    );
}

//! What is found in records that nobody has made.

use super::*;
use crate::publish::fixture;

const COUNTS: [u32; 5] = [10_000, 20_000, 30_000, 40_000, 50_000];

/// Five runs of a state at so many bytes each, and 5 MB.
fn runs(state: EndpointState, engine: Engine, bytes: f64, is_tuned: bool) -> Vec<Record> {
    let run = |count: u32| {
        let mut record = fixture::price(state, engine, count, 0);
        record.memory.kernel_bytes_per_connection = Some(bytes + 5e6 / f64::from(count));
        record.memory.server_user_bytes_per_connection = Some(0.0);
        if is_tuned {
            let value = "4096 4096 4096".to_owned();
            record
                .case
                .sysctls
                .insert("net.ipv4.tcp_rmem".to_owned(), value);
        }
        record
    };
    COUNTS.map(run).into()
}

fn list(tuned_idle: f64) -> Vec<Record> {
    [
        runs(EndpointState::Accepted, Engine::Null, 4_000.0, false),
        runs(EndpointState::Accepted, Engine::Null, tuned_idle, true),
        runs(EndpointState::Armed, Engine::UringPoll, 4_200.0, false),
        runs(EndpointState::UnreadFull, Engine::Null, 146_000.0, false),
        runs(EndpointState::UnreadFull, Engine::Null, 6_000.0, true),
        runs(EndpointState::TimeWait, Engine::Null, 250.0, false),
    ]
    .concat()
}

fn ceiling(limiter: Option<&str>) -> Record {
    let mut record = fixture::ceiling(Engine::UringPoll, 2_000_000);
    record.limiter = limiter.map(str::to_owned);
    record
}

fn found(ceiling: Option<&Record>) -> Findings {
    findings(&list(3_999.0), Some(8_400_000_000), ceiling, Vec::new())
}

fn figure<'a>(found: &'a Findings, name: &str) -> &'a Figure {
    let mut figures = found.figures.iter();
    figures.find(|figure| figure.name == name).unwrap()
}

#[test]
fn prices_are_slopes_and_stand_from_the_cheapest_to_the_dearest() {
    let found = found(None);
    let accepted = figure(&found, "accepted");
    assert!((accepted.measured.unwrap() - 4_000.0).abs() < 1e-6);
    assert_eq!(accepted.predicted, Some(3_980.0));
    let lines = &found.evidence[0].lines;
    assert!(lines[1].starts_with("time-wait "), "{lines:#?}");
    assert!(lines[1].ends_with("33,600,000"), "{lines:#?}");
    assert!(
        lines.last().unwrap().starts_with("unread-full "),
        "{lines:#?}"
    );
}

#[test]
fn without_a_run_to_the_end_the_state_is_what_is_left_out() {
    let found = found(None);
    assert_eq!(found.verdict, Verdict::Incomplete);
    assert!(
        found.why.contains("by a factor of 584 how"),
        "{}",
        found.why
    );
}

#[test]
fn a_run_to_the_end_decides_by_what_stopped_it() {
    let verdict = |limiter| found(Some(&ceiling(limiter))).verdict;
    assert_eq!(verdict(Some("memory")), Verdict::Confirmed);
    assert_eq!(verdict(Some("memory cgroup")), Verdict::Confirmed);
    assert_eq!(verdict(Some("fs.file-max")), Verdict::Refuted);
    assert_eq!(verdict(None), Verdict::Incomplete);
    let found = found(Some(&ceiling(Some("memory"))));
    let ceiling = figure(&found, "connections until memory is full");
    assert_eq!(ceiling.predicted, Some(2_000_000.0));
    assert_eq!(ceiling.measured, Some(2_000_000.0));
}

#[test]
fn the_remedy_is_nothing_up_to_a_bound_that_was_fixed_before() {
    let words = |tuned| {
        let found = findings(&list(tuned), None, None, Vec::new());
        let saved = figure(&found, "accepted without small buffers less with them");
        assert_eq!(saved.predicted, Some(0.0));
        assert!((saved.measured.unwrap() - (4_000.0 - tuned)).abs() < 1e-6);
        found.measured.unwrap().replace('\u{a0}', " ")
    };
    let nothing = words(3_961.0);
    assert!(
        nothing.contains("of accepted, small buffers save 39 B, which is nothing."),
        "{nothing}"
    );
    assert!(
        nothing.contains("of unread-full, small buffers save 140,000 B."),
        "{nothing}"
    );
    let something = words(3_959.0);
    assert!(something.contains("save 41 B."), "{something}");
}

#[test]
fn without_a_price_there_is_no_verdict() {
    let mut records = list(4_000.0);
    for record in &mut records {
        record.outcome = Outcome::Error;
    }
    assert_eq!(
        findings(&records, None, None, Vec::new()).verdict,
        Verdict::NotRun
    );
}

#[test]
fn the_run_to_the_end_is_a_sound_case() {
    let defaults = fourtuple_spec::plan::CaseDefaults::new(vec![0], vec![1]);
    assert!(until_full().resolve(&defaults).unwrap().until_full);
}

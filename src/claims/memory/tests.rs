//! What is found in records that nobody has made.

use super::*;
use crate::publish::fixture;
use fourtuple_spec::Verdict;
use fourtuple_spec::record::Outcome;

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

fn met(limiter: Option<&str>, outcome: Outcome) -> Ceiling {
    let mut record = fixture::ceiling(Engine::UringPoll, 2_000_000);
    record.limiter = limiter.map(str::to_owned);
    record.outcome = outcome;
    Ceiling::Met(Box::new(record))
}

fn found(ceiling: &Ceiling) -> Findings {
    findings(&list(3_999.0), Some(8_400_000_000), ceiling, Vec::new())
}

fn figure<'a>(found: &'a Findings, name: &str) -> &'a Figure {
    let mut figures = found.figures.iter();
    figures.find(|figure| figure.name == name).unwrap()
}

#[test]
fn prices_are_slopes_and_stand_from_the_cheapest_to_the_dearest() {
    let found = found(&Ceiling::Unasked);
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
    let found = found(&Ceiling::Unasked);
    assert_eq!(found.verdict, Verdict::Incomplete);
    assert!(
        found.why.contains("by a factor of 584 how"),
        "{}",
        found.why
    );
}

#[test]
fn a_run_to_the_end_decides_by_what_stopped_it() {
    let full = met(Some("memory"), Outcome::Ok);
    let found = self::found(&full);
    assert_eq!(found.verdict, Verdict::Confirmed);
    let ceiling = figure(&found, "connections until something stopped it");
    assert_eq!(ceiling.predicted, Some(2_000_000.0));
    assert_eq!(ceiling.measured, Some(2_000_000.0));
    let stopped = self::found(&met(Some("fs.file-max"), Outcome::Error));
    assert_eq!(stopped.verdict, Verdict::Refuted);
    let lines = &stopped.evidence[1].lines;
    assert_eq!(
        lines[0],
        "held 2,000,000, proved 2,000,000, stopped by fs.file-max"
    );
}

#[test]
fn the_remedy_is_told_by_the_interval_of_its_pairs() {
    let found = found(&Ceiling::Unasked);
    let saved = figure(&found, "accepted without small buffers less with them");
    assert_eq!(saved.predicted, Some(0.0));
    assert!((saved.measured.unwrap() - 1.0).abs() < 1e-6);
    let words = found.measured.unwrap().replace('\u{a0}', " ");
    assert!(
        words.contains("of accepted by −1.0 B (−1.0 B to −1.0 B), which is nothing"),
        "{words}"
    );
    assert!(
        words.contains("the 146,000 B of unread-full by −140,000 B ("),
        "{words}"
    );
}

#[test]
fn a_price_is_as_published_within_a_share_or_its_own_interval() {
    let row = |kernel: f64, interval| Row {
        label: "accepted".to_owned(),
        state: EndpointState::Accepted,
        engine: Some(Engine::Null),
        is_tuned: false,
        kernel,
        interval,
        user: 0.0,
    };
    let is = |kernel, interval| row(kernel, interval).is_predicted();
    assert_eq!(is(4_170.0, None), Some(true));
    assert_eq!(is(4_190.0, None), Some(false));
    assert_eq!(is(4_190.0, Some((3_980.0, 4_400.0))), Some(true));
    assert_eq!(is(4_190.0, Some((3_981.0, 4_400.0))), Some(false));
}

#[test]
fn what_is_not_as_published_and_what_has_no_price_is_noted() {
    let mut records = list(3_999.0);
    records.extend(runs(EndpointState::Orphan, Engine::Null, -20.0, false));
    records.extend(runs(EndpointState::HalfOpen, Engine::Null, 400.0, false));
    let found = findings(&records, None, &Ceiling::Unasked, Vec::new());
    let notes = found.notes.join("\n").replace('\u{a0}', " ");
    assert!(
        notes.contains("orphan has no price: its runs say −20 B a conn"),
        "{notes}"
    );
    let missed = "half-open (400 B, published 349 B)";
    assert!(notes.contains(missed), "{notes}");
    assert!(!notes.contains("unread-full ("), "{notes}");
    let words = found.measured.unwrap();
    assert!(words.contains("Of 7 prices 5 are as published."), "{words}");
}

#[test]
fn without_a_price_there_is_no_verdict() {
    let mut records = list(4_000.0);
    for record in &mut records {
        record.outcome = Outcome::Error;
    }
    assert_eq!(
        findings(&records, None, &Ceiling::Unasked, Vec::new()).verdict,
        Verdict::NotRun
    );
}

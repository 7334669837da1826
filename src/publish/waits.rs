//! Servers that sleep until something comes, beside those that watch for it first: who is how much sooner than
//! the blocking reference, and what that takes.

use super::change::{Change, change};
use super::factors::is_compared;
use super::field::{Arm, arms, by, load, width};
use super::metric;
use super::verdict::REFERENCE;
use fourtuple_spec::{Case, Mode, Record};

/// Every arm that waits in some way, under one load.
#[derive(Debug)]
pub struct Waits<'a> {
    /// The load.
    pub case: Case,
    /// The arms, A/A arms left out.
    pub arms: Vec<Wait<'a>>,
    /// What the median latencies of the A/A pair differ by.
    pub width: Option<f64>,
    /// The records that it rests on.
    pub records: Vec<&'a Record>,
}

/// One of them.
#[derive(Debug)]
pub struct Wait<'a> {
    /// The arm.
    pub arm: Arm<'a>,
    /// Its median latency to that of the reference, which sleeps; `None` for the reference itself.
    pub p50: Option<Change>,
    /// How long it watches, in microseconds, before it sleeps.
    pub spin_us: u32,
}

/// The loads under which the reference ran, and some arm that watches, fewest connections first.
pub fn waits(records: &[Record]) -> Vec<Waits<'_>> {
    let taken: Vec<&Record> = records.iter().filter(|run| is_part(run)).collect();
    let mut loads = by(&taken, |record| load(&record.case));
    loads.sort_by_key(|(case, _)| case.connections);
    loads
        .into_iter()
        .filter_map(|(case, members)| of_load(case, members))
        .collect()
}

/// An engine as it is by default, or with another spin and nothing else.
fn is_part(record: &Record) -> bool {
    let differences = record.case.factors.differences();
    let is_spin_alone = differences.iter().all(|(name, _)| *name == "spin");
    is_compared(record) && record.case.mode == Mode::Closed && is_spin_alone
}

fn of_load<'a>(case: Case, records: Vec<&'a Record>) -> Option<Waits<'a>> {
    let all = arms(&records);
    let is_reference =
        |arm: &&Arm<'a>| arm.engine == REFERENCE && arm.is_default && !arm.is_control;
    let reference = all.iter().find(is_reference)?.clone();
    if !all.iter().any(|arm| spin_us(arm) > 0) {
        return None;
    }
    let width = width(&all, metric::p50);
    let wait = |arm: Arm<'a>| Wait {
        p50: match arm.name == reference.name {
            true => None,
            false => change(&arm.runs, &reference.runs, metric::p50, width),
        },
        spin_us: spin_us(&arm),
        arm,
    };
    let shown = all.into_iter().filter(|arm| !arm.is_control);
    Some(Waits {
        case,
        arms: shown.map(wait).collect(),
        width,
        records,
    })
}

fn spin_us(arm: &Arm<'_>) -> u32 {
    arm.runs.first().map_or(0, |run| run.case.factors.spin)
}

#[cfg(test)]
mod tests {
    use super::super::change::Told;
    use super::super::{fixture, fixture_factors as fixtures};
    use super::*;

    #[test]
    fn every_arm_that_waits_is_compared_with_the_one_that_sleeps() {
        let records = fixtures::waits(4);
        let waits = waits(&records);
        assert_eq!(waits.len(), 1);
        let names: Vec<&str> = waits[0].arms.iter().map(|one| &one.arm.name[..]).collect();
        let expected = [
            "uring",
            "uring, spin = 50",
            "epoll",
            "epoll, spin = 50",
            "spin",
        ];
        assert_eq!(names, expected);
        let watching = &waits[0].arms[1];
        let p50 = watching.p50.unwrap();
        assert!(
            (p50.ratio - 0.5).abs() < 0.01 && p50.told == Told::Less,
            "{}",
            p50.ratio
        );
        assert!(waits[0].arms[2].p50.is_none());
    }

    #[test]
    fn without_an_arm_that_watches_or_without_the_reference_there_is_nothing_to_compare() {
        assert!(waits(&fixture::sweep(2)).is_empty());
        assert!(waits(&fixtures::ablations(2)).is_empty());
    }
}

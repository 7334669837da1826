//! Loads that differ from the plain one in one thing: bursts, a pair of devices between the ends, several
//! server threads. Where the plain load ran too, each arm is compared with itself under it.

use super::change::{Change, change};
use super::factors::{is_compared, rate};
use super::field::{Arm, arms, by, load, width};
use super::format::whole;
use super::metric::{self, Metric};
use fourtuple_spec::case::Path;
use fourtuple_spec::{Case, Record};

/// A load of some other shape, and the arms under it.
#[derive(Debug)]
pub struct Variant<'a> {
    /// The load.
    pub case: Case,
    /// What is not plain about it: `2 workers`.
    pub what: String,
    /// The arms, each with what it is to itself under the plain load.
    pub arms: Vec<(Arm<'a>, Beside)>,
    /// All of them, the A/A arms too.
    pub all: Vec<Arm<'a>>,
}

/// An arm to itself under the plain load; `None` where that did not run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside {
    /// Its rate.
    pub rate: Option<Change>,
    /// Its median latency.
    pub p50: Option<Change>,
}

/// Every such load, by what it is and then by connections.
pub fn variants(records: &[Record]) -> Vec<Variant<'_>> {
    let taken: Vec<&Record> = records.iter().filter(|run| is_compared(run)).collect();
    let loads = by(&taken, |record| load(&record.case));
    let mut found: Vec<Variant<'_>> = loads
        .iter()
        .filter_map(|(case, members)| {
            let what = words(case)?;
            let plain = loads.iter().find(|(other, _)| *other == plain(case));
            let plain = plain.map_or_else(Vec::new, |(_, members)| arms(members));
            Some(Variant {
                arms: beside(&arms(members), &plain),
                all: arms(members),
                case: case.clone(),
                what,
            })
        })
        .collect();
    found.sort_by_key(|one| {
        let case = &one.case;
        let kind = (case.path == Path::Veth, case.workers, case.burst_pause_us);
        (kind, case.connections)
    });
    found
}

/// What is not plain about a load; `None` if nothing is.
fn words(case: &Case) -> Option<String> {
    let mut words = Vec::new();
    if let Some(pause_us) = case.burst_pause_us {
        words.push(format!("bursts {} µs apart", whole(f64::from(pause_us))));
    }
    if case.workers > 1 {
        words.push(format!("{} workers", case.workers));
    }
    if case.path == Path::Veth {
        words.push("veth".to_owned());
    }
    (!words.is_empty()).then(|| words.join(", "))
}

fn plain(case: &Case) -> Case {
    Case {
        burst_pause_us: None,
        workers: 1,
        path: Path::Lo,
        ..case.clone()
    }
}

/// Each arm but the A/A arms, beside itself.
fn beside<'a>(own: &[Arm<'a>], plain: &[Arm<'a>]) -> Vec<(Arm<'a>, Beside)> {
    // The wider of the two loads' A/A widths: both are part of the comparison.
    let widest = |metric: Metric| Some(width(own, metric)?.max(width(plain, metric)?));
    let widths = (widest(rate), widest(metric::p50));
    let compared = own.iter().filter(|arm| !arm.is_control);
    let both = compared.map(|arm| {
        let mut twins = plain.iter().filter(|other| !other.is_control);
        let twin = twins.find(|other| (&other.name, other.client) == (&arm.name, arm.client));
        let beside = twin.map_or_else(Beside::default, |twin| Beside {
            rate: change(&arm.runs, &twin.runs, rate, widths.0),
            p50: change(&arm.runs, &twin.runs, metric::p50, widths.1),
        });
        (arm.clone(), beside)
    });
    both.collect()
}

#[cfg(test)]
mod tests {
    use super::super::change::Told;
    use super::super::{fixture, fixture_factors as fixtures};
    use super::*;
    use fourtuple_spec::Engine;

    #[test]
    fn each_arm_is_compared_with_itself_under_the_plain_load() {
        let records = fixtures::variants(4);
        let variants = variants(&records);
        let words: Vec<&str> = variants.iter().map(|one| &one.what[..]).collect();
        assert_eq!(words, ["bursts 1,000 µs apart", "2 workers", "veth"]);
        for variant in &variants {
            let engines: Vec<Engine> = variant.arms.iter().map(|(arm, _)| arm.engine).collect();
            assert_eq!(engines, [Engine::Uring, Engine::Epoll]);
        }
        let (_, workers) = &variants[1].arms[0];
        let rate = workers.rate.unwrap();
        assert!((rate.ratio - 1.4).abs() < 1e-6 && rate.told == Told::More);
    }

    #[test]
    fn without_the_plain_load_there_is_no_ratio() {
        let mut records = fixtures::variants(2);
        records.retain(|run| run.case.path == Path::Veth);
        let variants = variants(&records);
        assert!(
            variants[0]
                .arms
                .iter()
                .all(|(_, beside)| beside.rate.is_none())
        );
        assert!(super::variants(&fixture::sweep(1)).is_empty());
    }
}

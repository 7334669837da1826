//! How evenly connections are served: a rate can be made by serving a few of them many times.

use super::format::{MISSING, duration_ns, whole};
use super::group::{Group, Series};
use super::metric;
use super::share::of_runs;
use super::sheet::Sheet;
use fourtuple_spec::{Mode, Record};

/// Below it, an echo's latency is not mostly waiting for the others' turns.
const CONNECTIONS_MIN: u32 = 100;
/// From here on an engine is named as uneven. In a closed loop in which every connection has its turn, all wait
/// about as long.
const UNEVEN: f64 = 10.0;

/// The table; `None` where it says nothing of several engines.
pub fn sheet(group: &Group<'_>) -> Option<Sheet> {
    if group.shape.mode != Mode::Closed {
        return None;
    }
    let mut counts = group.counts();
    counts.retain(|count| *count >= CONNECTIONS_MIN);
    let arms = group.series.iter().filter(|arm| !arm.is_control);
    let arms: Vec<&Series<'_>> = arms
        .filter(|arm| counts.iter().any(|count| unevenness(arm, *count).is_some()))
        .collect();
    if arms.len() < 2 {
        return None;
    }
    let mut headings = vec!["engine".to_owned()];
    headings.extend(counts.iter().map(|count| whole(f64::from(*count))));
    let row = |arm: &&Series<'_>| {
        let cells = counts.iter().map(|count| {
            unevenness(arm, *count)
                .map_or_else(|| MISSING.to_owned(), |times| format!("{times:.1}×"))
        });
        std::iter::once(arm.name.clone()).chain(cells).collect()
    };
    Some(Sheet {
        title: "How evenly connections are served".to_owned(),
        intro: "99th percentile of latency ÷ median. With every connection always waiting for one echo, an engine that \
                serves them in turn lets all wait about as long."
            .to_owned(),
        headings,
        keys: 1,
        rows: arms.iter().map(row).collect(),
        notes: vec![words(&arms, &counts)],
    })
}

fn words(arms: &[&Series<'_>], counts: &[u32]) -> String {
    let named: Vec<String> = arms
        .iter()
        .flat_map(|arm| counts.iter().filter_map(|count| uneven(arm, *count)))
        .collect();
    match named.is_empty() {
        true => format!("None is {UNEVEN:.0} times or more."),
        false => format!(
            "{}. Who serves some connections many times before others once keeps fewer in its caches: such a rate is \
             not one at which all are served.",
            named.join("; ")
        ),
    }
}

/// `tokio-multi at 1,000: half within 2.6 ms, one in a hundred after 103 ms`.
fn uneven(arm: &Series<'_>, count: u32) -> Option<String> {
    unevenness(arm, count).filter(|times| *times >= UNEVEN)?;
    let point = arm.point(count)?;
    Some(format!(
        "{} at {}: half of the echoes within {}, one in a hundred after {}",
        arm.name,
        whole(f64::from(count)),
        duration_ns(of_runs(point, metric::p50)?),
        duration_ns(of_runs(point, metric::p99)?)
    ))
}

/// How many times the median the 99th percentile is.
fn unevenness(arm: &Series<'_>, count: u32) -> Option<f64> {
    let times = |record: &Record| {
        let p50 = metric::p50(record).filter(|p50| *p50 > 0.0)?;
        Some(metric::p99(record)? / p50)
    };
    of_runs(arm.point(count)?, times)
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, group::groups};
    use super::*;
    use fourtuple_spec::Engine;

    #[test]
    fn who_serves_a_few_is_named() {
        let mut records = vec![
            fixture::record(Engine::Uring, 1_000, 0),
            fixture::record(Engine::TokioMulti, 1_000, 0),
        ];
        records[0].latency_ns.p50 = Some(9_000_000);
        records[0].latency_ns.p99 = Some(15_000_000);
        let even = sheet(&groups(&records)[0]);
        records[1].latency_ns.p50 = Some(2_600_000);
        records[1].latency_ns.p99 = Some(103_000_000);
        let sheet = sheet(&groups(&records)[0]).unwrap();
        assert!(
            sheet.notes[0].starts_with("tokio-multi at 1,000: half of the echoes within 2.6"),
            "{}",
            sheet.notes[0]
        );
        assert!(!sheet.notes[0].contains("uring at"));
        assert!(even.is_none_or(|even| !even.notes[0].contains("uring at")));
    }

    #[test]
    fn one_engine_is_compared_with_nobody() {
        let records = vec![fixture::record(Engine::Uring, 1_000, 0)];
        assert!(sheet(&groups(&records)[0]).is_none());
    }
}

//! Full rounds by window, as a table.

use super::format::{duration_ns, or_missing, rate, whole};
use super::group::Group;
use super::rounds::steady;
use super::sheet::Sheet;
use crate::statistics::median;
use fourtuple_spec::Record;
use fourtuple_spec::record::Round;

/// Full rounds by window, at the largest count that has any.
pub fn sheet(group: &Group<'_>) -> Option<Sheet> {
    let mut sheet = Sheet::new(
        "Full rounds: every connection echoes once",
        2,
        &[
            "engine", "phase", "active", "time", "echoes/s", "p50", "p99",
        ],
    );
    let has_rounds = |count: &u32| {
        let mut runs = group.records.iter();
        runs.any(|run| run.case.connections == *count && !run.rounds.is_empty())
    };
    let count = group.counts().into_iter().rfind(has_rounds)?;
    for series in group.series.iter().filter(|series| !series.is_control) {
        let Some(point) = series.point(count) else {
            continue;
        };
        let all: Vec<&Round> = point.valid_runs().flat_map(table_rounds).collect();
        let mut windows: Vec<(&str, u32)> = Vec::new();
        for round in &all {
            let window = (round.phase.as_str(), round.active_connections);
            if !windows.contains(&window) {
                windows.push(window);
            }
        }
        let rows = windows.iter().map(|window| {
            let of_window =
                |round: &&&Round| (round.phase.as_str(), round.active_connections) == *window;
            let rounds: Vec<&Round> = all.iter().filter(of_window).copied().collect();
            round_row(&series.name, &rounds)
        });
        sheet.rows.extend(rows);
    }
    sheet.intro = format!(
        "Over {} connections, so many of them active at once; medians. A proof is after an idle hold.",
        whole(f64::from(count))
    );
    (!sheet.rows.is_empty()).then_some(sheet)
}

/// The rounds that say what a window reaches, and the proofs after a hold.
fn table_rounds(run: &Record) -> Vec<&Round> {
    let proofs = run.rounds.iter().filter(|round| round.phase != "round");
    steady(run).into_iter().chain(proofs).collect()
}

fn round_row(name: &str, rounds: &[&Round]) -> Vec<String> {
    let of = |number: fn(&Round) -> Option<f64>| {
        let values: Vec<f64> = rounds.iter().filter_map(|round| number(round)).collect();
        median(&values)
    };
    let first = rounds.first();
    vec![
        name.to_owned(),
        first.map_or_else(String::new, |round| round.phase.clone()),
        or_missing(of(|round| Some(f64::from(round.active_connections))), whole),
        or_missing(of(|round| Some(round.seconds * 1e9)), duration_ns),
        or_missing(of(|round| round.echoes_per_second), rate),
        or_missing(of(|round| Some(round.latency_ns.p50? as f64)), duration_ns),
        or_missing(of(|round| Some(round.latency_ns.p99? as f64)), duration_ns),
    ]
}

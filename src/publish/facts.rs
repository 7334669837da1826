//! What a chart has to say about where its numbers come from.

use super::format;
use super::group::{Group, Shape};
use fourtuple_spec::Mode;
use fourtuple_spec::record::{Host, Outcome, Record};

/// One line: kernel, CPU and cores, load, runs a point, date.
pub fn subtitle(group: &Group<'_>) -> String {
    let runs = runs(group).map(|runs| format!("{runs} a point"));
    origin(&group.records, &load(&group.shape), runs)
}

/// The same for records that are no group: what was asked, and how many runs, in words.
pub fn origin(records: &[&Record], asked: &str, runs: Option<String>) -> String {
    let mut parts = vec![
        distinct(records, |record| kernel(&record.host)),
        distinct(records, |record| processor(&record.host)),
        asked.to_owned(),
    ];
    parts.extend(runs);
    parts.push(dates(records));
    parts.join(" · ")
}

/// The load in words for a chart: the peer is named, for no chart mixes peers.
fn load(shape: &Shape) -> String {
    let bytes = format::whole(f64::from(shape.message_bytes));
    let churn = match shape.mode {
        Mode::Churn => ", one echo a connection",
        Mode::Closed | Mode::Open => "",
    };
    format!(
        "{bytes}-byte messages, depth {}{churn}, {} peers{}",
        shape.depth,
        super::group::kebab(&shape.peer),
        shape.with_settings()
    )
}

/// How many runs a point rests on: `5 runs`, or `3–5 runs` where it differs.
pub fn runs(group: &Group<'_>) -> Option<String> {
    let points = group.series.iter().flat_map(|series| &series.points);
    let counts: Vec<usize> = points
        .map(|point| {
            point
                .runs
                .iter()
                .filter(|run| run.outcome != Outcome::Error)
                .count()
        })
        .filter(|count| *count > 0)
        .collect();
    let (fewest, most) = (*counts.iter().min()?, *counts.iter().max()?);
    Some(if fewest == most {
        format::counted(most, "run")
    } else {
        format!("{fewest}–{}", format::counted(most, "run"))
    })
}

/// The day of the runs, or the first and the last.
pub fn dates(records: &[&Record]) -> String {
    let mut days: Vec<&str> = records
        .iter()
        .map(|record| record.started_at.get(..10).unwrap_or(&record.started_at))
        .collect();
    days.sort_unstable();
    match (days.first(), days.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (Some(first), _) => (*first).to_owned(),
        _ => format::MISSING.to_owned(),
    }
}

/// The different answers that records give, in the order in which they come; many are only counted.
pub fn distinct(records: &[&Record], answer: impl Fn(&Record) -> Option<String>) -> String {
    let mut answers: Vec<String> = Vec::new();
    for record in records {
        let found = answer(record).unwrap_or_else(|| format::MISSING.to_owned());
        if !answers.contains(&found) {
            answers.push(found);
        }
    }
    match answers.len() {
        0 => format::MISSING.to_owned(),
        1..=3 => answers.join(" / "),
        count => format!("{count} different ones, {} first", answers[0]),
    }
}

/// `Linux 6.18.5`.
pub fn kernel(host: &Host) -> Option<String> {
    let text = host.kernel.as_deref()?;
    let release = text.split_whitespace().find(|word| *word != "Linux")?;
    Some(format!("Linux {release}"))
}

/// `AMD EPYC 7R13, 2 cores`, without the words that every processor's name has.
pub fn processor(host: &Host) -> Option<String> {
    let mut name = host.cpu.clone()?;
    for noise in ["(R)", "(TM)", "(r)", "(tm)"] {
        name = name.replace(noise, "");
    }
    let words = name
        .split_whitespace()
        .filter(|word| !matches!(*word, "CPU" | "Processor"));
    let name = words.collect::<Vec<_>>().join(" ");
    Some(match host.cores {
        Some(cores) => format!("{name}, {}", format::counted(cores as usize, "core")),
        None => name,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, group};
    use super::*;

    #[test]
    fn a_subtitle_says_where_the_numbers_come_from() {
        let records = fixture::sweep(3);
        let groups = group::groups(&records);
        let text = subtitle(&groups[0]).replace('\u{a0}', " ");
        assert_eq!(
            text,
            "Linux 6.18.5 · AMD EPYC 7R13, 2 cores · 64-byte messages, depth 1, kernel peers · 3 runs a point · 2026-01-09"
        );
    }

    #[test]
    fn hosts_that_differ_are_all_named_and_unknown_ones_are_dashes() {
        let mut records = fixture::sweep(1);
        records[1].host.cpu = None;
        records[2].started_at = "2026-01-11T00:00:00Z".to_owned();
        let groups = group::groups(&records);
        let text = subtitle(&groups[0]).replace('\u{a0}', " ");
        assert!(text.contains("AMD EPYC 7R13, 2 cores / –"), "{text}");
        assert!(text.ends_with("2026-01-09 to 2026-01-11"), "{text}");
    }
}

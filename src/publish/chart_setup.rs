//! The pace of set-up against connections that are open: flat if it does not slow down.

use super::chart::{Course, Spread, course_chart};
use super::facts;
use super::format;
use super::group::{Group, Series};
use super::lines::{self, Line, Mark};
use super::point::Point;
use super::theme::Theme;
use crate::statistics;
use fourtuple_spec::Record;

/// Fewer blocks than this show no course.
const BLOCKS_MIN: usize = 5;

/// Draws the chart, of each engine's largest run; `None` without blocks.
pub fn draw(group: &Group<'_>, theme: &Theme) -> Option<String> {
    let lines: Vec<Line> = group
        .series
        .iter()
        .filter_map(|series| line(series, theme))
        .collect();
    let lines = lines::distinguished(group, lines);
    let title = "Connections opened a second, against connections open";
    let subtitle = facts::subtitle(group);
    let caption = caption(group);
    course_chart(
        theme,
        &Course {
            title,
            subtitle: &subtitle,
            across: "connections open",
            panels: &[("connections opened a second", lines)],
            spread: (Spread::FromZero, Spread::FromZero),
            tick_form: format::short,
            caption: &caption,
        },
    )
}

fn line(series: &Series<'_>, theme: &Theme) -> Option<Line> {
    let has_blocks = |point: &&&Point<'_>| marks(point).len() >= BLOCKS_MIN;
    let point = series
        .points
        .iter()
        .rev()
        .find(|point| has_blocks(&point))?;
    let line = lines::of_series(series, marks(point), format::short, theme)?;
    // What stopped a larger run is no part of this one's pace.
    Some(Line { stop: None, ..line })
}

/// A mark a block: the rate over the runs that have it.
fn marks(point: &Point<'_>) -> Vec<Mark> {
    let runs: Vec<&Record> = point.valid_runs().collect();
    let blocks = runs.iter().map(|run| run.setup.block_seconds.len()).max();
    let mark = |index: usize| {
        let rates: Vec<f64> = runs.iter().filter_map(|run| rate(run, index)).collect();
        let each = runs.iter().find_map(|run| run.setup.block_connections)?;
        Some(Mark {
            connections: each.saturating_mul(u32::try_from(index).ok()? + 1),
            value: statistics::geometric_mean(&rates)?,
            // A band around each of a hundred blocks would hide the course that is asked about.
            interval: None,
            is_hollow: false,
            is_joined: index > 0,
            strays: Vec::new(),
        })
    };
    (0..blocks.unwrap_or(0)).filter_map(mark).collect()
}

fn rate(run: &Record, block: usize) -> Option<f64> {
    let seconds = *run.setup.block_seconds.get(block)?;
    (seconds > 0.0).then_some(f64::from(run.setup.block_connections?) / seconds)
}

fn caption(group: &Group<'_>) -> Vec<String> {
    let mut sentences =
        vec!["Block by block, of each engine's largest run; the mean over runs.".to_owned()];
    let prepared = group
        .records
        .iter()
        .any(|record| record.setup.prepared_bytes.is_some());
    if prepared {
        sentences.push(
            "Memory was touched beforehand, so that the pace is the kernel's and not the hypervisor's."
                .to_owned(),
        );
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, group::groups};
    use super::*;
    use fourtuple_spec::Engine;

    #[test]
    fn a_point_is_a_block_of_the_largest_run() {
        let mut records = vec![
            fixture::held(Engine::Uring, 100_000, 0),
            fixture::held(Engine::Uring, 1_000_000, 0),
        ];
        records[1].setup.block_connections = Some(100_000);
        records[1].setup.block_seconds = vec![2.0; 10];
        let groups = groups(&records);
        let line = line(&groups[0].series[0], &super::super::theme::LIGHT).unwrap();
        assert_eq!(line.marks.len(), 10);
        assert_eq!(line.marks[9].connections, 1_000_000);
        assert!((line.marks[9].value - 50_000.0).abs() < 1e-6);
    }
}

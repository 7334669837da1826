//! The rate of full rounds against how many connections are active at once.

use super::chart::{Course, Spread, course_chart};
use super::facts;
use super::format;
use super::group::{Group, Series};
use super::lines::{self, Line, Mark};
use super::rounds;
use super::theme::Theme;
use crate::statistics;
use fourtuple_spec::record::Round;

/// Draws the chart, at the largest count with rounds of two windows; `None` without such.
pub fn draw(group: &Group<'_>, theme: &Theme) -> Option<String> {
    let counts = group.counts();
    let (count, lines) = counts.into_iter().rev().find_map(|count| {
        let lines: Vec<Line> = group
            .series
            .iter()
            .filter_map(|series| line(series, count, theme))
            .collect();
        let has_several = lines.iter().any(|line| line.marks.len() > 1);
        has_several.then_some((count, lines))
    })?;
    let title = format!(
        "Full rounds over {} connections, against how many are active",
        format::whole(f64::from(count))
    );
    let has_interval = lines
        .iter()
        .flat_map(|line| &line.marks)
        .any(|mark| mark.interval.is_some());
    let has_several_runs = group.series.iter().any(|series| {
        let point = series.point(count);
        point.is_some_and(|point| point.valid_runs().count() > 1)
    });
    let mut caption = vec!["In a round every connection echoes once.".to_owned()];
    caption.push(
        match (has_interval, has_several_runs) {
            (true, true) => "Bands: 95 % interval over runs.",
            (true, false) => "One run; bands: the least and the greatest of its rounds.",
            (false, _) => "One run a point: no interval.",
        }
        .to_owned(),
    );
    course_chart(
        theme,
        &Course {
            title: &title,
            subtitle: &facts::subtitle(group),
            across: "connections active at once",
            panels: &[("verified echoes a second", lines)],
            spread: (Spread::Log, Spread::FromZero),
            tick_form: format::short,
            caption: &caption,
        },
    )
}

fn line(series: &Series<'_>, count: u32, theme: &Theme) -> Option<Line> {
    let point = series.point(count)?;
    let runs: Vec<Vec<&Round>> = point.valid_runs().map(rounds::steady).collect();
    let mut windows: Vec<u32> = runs
        .iter()
        .flatten()
        .map(|round| round.active_connections)
        .collect();
    windows.sort_unstable();
    windows.dedup();
    let mark = |window: &u32| mark(&runs, *window);
    let marks: Vec<Mark> = windows.iter().filter_map(mark).collect();
    let line = lines::of_series(series, marks, format::short, theme)?;
    // A line that ends does so for want of a window, not of connections.
    Some(Line { stop: None, ..line })
}

/// The mean over runs, with its interval; of a single run, over its rounds of this window, with their range.
fn mark(runs: &[Vec<&Round>], window: u32) -> Option<Mark> {
    let rates = |run: &Vec<&Round>| -> Vec<f64> {
        let of_window = run
            .iter()
            .filter(|round| round.active_connections == window);
        of_window
            .filter_map(|round| round.echoes_per_second)
            .collect()
    };
    let means: Vec<f64> = runs
        .iter()
        .filter_map(|run| statistics::geometric_mean(&rates(run)))
        .collect();
    let interval = match runs {
        [only] => {
            let rates = rates(only);
            let least = rates.iter().copied().min_by(f64::total_cmp);
            let greatest = rates.iter().copied().max_by(f64::total_cmp);
            least.zip(greatest).filter(|_| rates.len() > 1)
        }
        _ => statistics::log_interval(&means).map(|one| (one.low, one.high)),
    };
    Some(Mark {
        connections: window,
        value: statistics::geometric_mean(&means)?,
        interval,
        is_hollow: false,
        is_joined: true,
        strays: Vec::new(),
    })
}

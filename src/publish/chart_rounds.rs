//! The rate of full rounds against how many connections are active at once.

use super::chart::{Course, Spread, course_chart};
use super::facts;
use super::format;
use super::group::{Group, Series};
use super::lines::{Line, Mark, Role};
use super::theme::{FLOOR, Theme};
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
    let mut caption = vec!["In a round every connection echoes once.".to_owned()];
    caption.push(if has_interval {
        "Bands: 95 % interval over runs.".to_owned()
    } else {
        "One run a point: no interval.".to_owned()
    });
    course_chart(
        theme,
        &Course {
            title: &title,
            subtitle: &facts::subtitle(group),
            across: "connections active at once",
            upward: "verified echoes a second",
            lines: &lines,
            spread: Spread::Log,
            caption: &caption,
        },
    )
}

fn line(series: &Series<'_>, count: u32, theme: &Theme) -> Option<Line> {
    let point = series.point(count)?;
    let rounds: Vec<&Round> = point
        .valid_runs()
        .flat_map(|run| &run.rounds)
        .filter(|round| round.phase == "round")
        .collect();
    let mut windows: Vec<u32> = rounds
        .iter()
        .map(|round| round.active_connections)
        .collect();
    windows.sort_unstable();
    windows.dedup();
    let mark = |window: &u32| {
        let of_window = rounds
            .iter()
            .filter(|round| round.active_connections == *window);
        let rates: Vec<f64> = of_window
            .filter_map(|round| round.echoes_per_second)
            .collect();
        Some(Mark {
            connections: *window,
            value: statistics::geometric_mean(&rates)?,
            interval: statistics::log_interval(&rates).map(|one| (one.low, one.high)),
            is_hollow: false,
            is_joined: true,
            strays: Vec::new(),
        })
    };
    let marks: Vec<Mark> = windows.iter().filter_map(mark).collect();
    Some(Line {
        name: series.name.clone(),
        value: format::short(marks.last()?.value),
        colour: if series.is_control {
            theme.control
        } else {
            theme.engine(series.engine)
        },
        role: match series.engine {
            _ if series.is_control => Role::Control,
            FLOOR => Role::Floor,
            _ => Role::Engine,
        },
        marks,
        stop: None,
    })
}

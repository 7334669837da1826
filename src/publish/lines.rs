//! Lines over connection counts: what is drawn for each series, before it is drawn.

use super::cast;
use super::format;
use super::group::{Group, Series};
use super::metric::Metric;
use super::point::{Estimate, Point};
use super::theme::{FLOOR, FOREIGN_DASHES, Theme, dashes};
use fourtuple_spec::Engine;

/// What a line stands for, and so how it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An engine under test: a full line.
    Engine,
    /// The same with dashes, in SVG's words, that tell it from others of its hue.
    Dashed(&'static str),
    /// An engine that stands back behind those that the chart is about: thin, with its dashes.
    Quiet(&'static str),
    /// The floor: dotted.
    Floor,
    /// What the TCP stack alone reaches, both ends on one core: thin and dashed.
    Stack,
    /// The A/A arm: thin, dashed, grey.
    Control,
}

/// One series on a chart.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Its last value in words.
    pub value: String,
    /// Its colour.
    pub colour: &'static str,
    /// What it stands for.
    pub role: Role,
    /// Its points, by connection count.
    pub marks: Vec<Mark>,
    /// What stopped it before the last count of the chart.
    pub stop: Option<String>,
}

/// One point of a line.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The connection count.
    pub connections: u32,
    /// The estimate.
    pub value: f64,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// Whether it rests on invalid runs alone.
    pub is_hollow: bool,
    /// Whether nothing failed between it and the point before.
    pub is_joined: bool,
    /// Invalid runs beside the valid ones.
    pub strays: Vec<f64>,
}

/// The lines of a number, in the order of the series; series without any value have none.
pub fn lines(
    group: &Group<'_>,
    metric: Metric,
    form: fn(f64) -> String,
    theme: &Theme,
) -> Vec<Line> {
    // What the client reaches is told in words: beside the floor its line would only hide others.
    let ceiling = group.client_ceiling().filter(|_| group.floor().is_some());
    let shown = group.series.iter().filter(|series| {
        let is_ceiling = ceiling.is_some_and(|ceiling| ceiling.name == series.name);
        !is_ceiling
    });
    let with_marks = shown.map(|series| (series, marks(series, metric)));
    let lines = with_marks
        .filter_map(|(series, marks)| of_series(series, marks, form, theme))
        .collect();
    distinguished(group, lines)
}

/// The same lines: where they are many, only those that the chart is about stand out; and foreign servers,
/// which share a hue, have dashes by their order.
pub fn distinguished(group: &Group<'_>, mut lines: Vec<Line>) -> Vec<Line> {
    let foreign = group.series.iter();
    let foreign = foreign.filter(|one| one.engine == Engine::Foreign && !one.is_control);
    let quiet = cast::quiet(group);
    for line in &mut lines {
        if let Some(place) = foreign.clone().position(|one| one.name == line.name) {
            line.role = Role::Dashed(FOREIGN_DASHES[place % FOREIGN_DASHES.len()]);
        }
        let is_quiet = quiet.iter().any(|one| one.name == line.name);
        line.role = match line.role {
            Role::Engine if is_quiet => Role::Quiet(""),
            Role::Dashed(dashes) if is_quiet => Role::Quiet(dashes),
            role => role,
        };
    }
    lines
}

/// The line of a series through these marks, in its colour; `None` without a mark.
pub fn of_series(
    series: &Series<'_>,
    marks: Vec<Mark>,
    form: fn(f64) -> String,
    theme: &Theme,
) -> Option<Line> {
    let last = marks.last()?;
    Some(Line {
        name: series.name.clone(),
        value: form(last.value),
        colour: if series.is_control {
            theme.control
        } else {
            theme.engine(series.engine)
        },
        role: role(series),
        stop: stop(series, last.connections),
        marks,
    })
}

/// The connection counts that lines reach, or were stopped at.
pub fn counts(group: &Group<'_>, lines: &[Line]) -> Vec<u32> {
    let mut counts: Vec<u32> = lines
        .iter()
        .flat_map(|line| &line.marks)
        .map(|mark| mark.connections)
        .collect();
    let smallest = counts.iter().min().copied().unwrap_or(0);
    for series in &group.series {
        let is_drawn = lines.iter().any(|line| line.name == series.name);
        let failed = series
            .points
            .iter()
            .filter(|point| is_drawn && point.failure().is_some());
        counts.extend(
            failed
                .map(|point| point.connections)
                .filter(|count| *count > smallest),
        );
    }
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// The least and the greatest of all that is drawn, bands included.
pub fn extent(lines: &[Line]) -> Option<(f64, f64)> {
    let values: Vec<f64> = lines
        .iter()
        .flat_map(|line| &line.marks)
        .flat_map(|mark| {
            let (low, high) = mark.interval.unwrap_or((mark.value, mark.value));
            [low, high, mark.value]
                .into_iter()
                .chain(mark.strays.iter().copied())
        })
        .collect();
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    let greatest = values.iter().copied().max_by(f64::total_cmp)?;
    Some((least, greatest))
}

/// The sentences that say how to read what is on the chart, and what is not on it.
pub fn key(group: &Group<'_>, lines: &[Line]) -> Vec<String> {
    let marks = || lines.iter().flat_map(|line| &line.marks);
    let has = |role: Role| lines.iter().any(|line| line.role == role);
    let mut sentences = Vec::new();
    let is_single = counts(group, lines).len() == 1;
    if marks().any(|mark| mark.interval.is_some()) {
        let shape = if is_single { "Bars" } else { "Bands" };
        sentences.push(format!("{shape}: 95 % interval over runs."));
    } else {
        sentences.push("One run a point: no interval.".to_owned());
    }
    if has(Role::Floor) {
        let floor = if is_single { FLOOR.name() } else { "Dotted" };
        sentences.push(format!("{floor}: the floor, TCP with no event loop."));
    }
    if has(Role::Control) {
        let control = if is_single { "Grey" } else { "Dashed grey" };
        sentences.push(format!("{control}: the A/A arm, which shows the noise."));
    }
    if lines.iter().any(|line| matches!(line.role, Role::Quiet(_))) {
        sentences.push("Thin: what else is compared.".to_owned());
    }
    if has(Role::Stack) {
        sentences.push("Thin dashes: the TCP stack alone, both ends on one core.".to_owned());
    }
    if marks().any(|mark| mark.is_hollow || !mark.strays.is_empty()) {
        sentences.push("Hollow: invalid runs.".to_owned());
    }
    sentences.extend(missing(group, lines));
    sentences
}

fn missing(group: &Group<'_>, lines: &[Line]) -> Option<String> {
    let absent: Vec<String> = group
        .series
        .iter()
        .filter(|series| lines.iter().all(|line| line.name != series.name))
        .filter_map(|series| {
            let failure = series.points.iter().find_map(|point| point.failure())?;
            Some(format!(
                "{} ({})",
                series.name,
                format::shortened(failure, 32)
            ))
        })
        .collect();
    (!absent.is_empty()).then(|| format!("Missing: {}.", absent.join(", ")))
}

fn marks(series: &Series<'_>, metric: Metric) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::new();
    let mut is_joined = false;
    for point in &series.points {
        let Some(estimate) = point.estimate(metric) else {
            is_joined = false;
            continue;
        };
        marks.push(mark(point, metric, &estimate, is_joined));
        is_joined = true;
    }
    marks
}

/// The mark of a point at its connection count.
pub fn mark(point: &Point<'_>, metric: Metric, estimate: &Estimate, is_joined: bool) -> Mark {
    Mark {
        connections: point.connections,
        value: estimate.value,
        interval: estimate
            .interval
            .map(|interval| (interval.low, interval.high)),
        is_hollow: estimate.is_hollow,
        is_joined,
        strays: if estimate.is_hollow {
            Vec::new()
        } else {
            point.invalid_values(metric)
        },
    }
}

fn role(series: &Series<'_>) -> Role {
    if series.is_control {
        Role::Control
    } else if series.engine == FLOOR {
        Role::Floor
    } else if series.engine == Engine::Stack {
        Role::Stack
    } else {
        match dashes(series.engine) {
            "" => Role::Engine,
            dashes => Role::Dashed(dashes),
        }
    }
}

fn stop(series: &Series<'_>, last: u32) -> Option<String> {
    let beyond = series
        .points
        .iter()
        .filter(|point| point.connections > last);
    let failure = beyond.into_iter().find_map(|point| point.failure())?;
    Some(format::shortened(failure, 28))
}

#[cfg(test)]
mod tests {
    use super::super::group::groups;
    use super::super::metric;
    use super::super::theme::LIGHT;
    use super::super::{fixture, format};
    use super::*;
    use fourtuple_spec::Engine;

    #[test]
    fn a_line_that_stops_carries_its_limiters_name() {
        let records = fixture::sweep(3);
        let groups = groups(&records);
        let lines = lines(&groups[0], metric::rate, format::short, &LIGHT);
        let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["uring", "epoll", "epoll (A/A)", "tokio", "spin"]);
        assert_eq!(lines[3].stop.as_deref(), Some("RLIMIT_NOFILE"));
        assert_eq!(lines[0].stop, None);
        assert_eq!(counts(&groups[0], &lines), fixture::COUNTS);
    }

    #[test]
    fn a_failure_in_the_middle_breaks_the_line() {
        let records = vec![
            fixture::record(Engine::Epoll, 1, 0),
            fixture::failed(Engine::Epoll, 10, 0, None),
            fixture::record(Engine::Epoll, 100, 0),
            fixture::record(Engine::Epoll, 1_000, 0),
            fixture::failed(Engine::Tokio, 10, 0, Some("memory")),
        ];
        let groups = groups(&records);
        let lines = lines(&groups[0], metric::rate, format::short, &LIGHT);
        let joined: Vec<bool> = lines[0].marks.iter().map(|mark| mark.is_joined).collect();
        assert_eq!(joined, [false, false, true]);
        let key = key(&groups[0], &lines).join(" ");
        assert!(
            key.contains("One run a point: no interval.")
                && key.contains("Missing: tokio (memory)."),
            "{key}"
        );
    }
}

//! Latency against offered load: flat until the server does not keep up.

use super::chart::{Course, Spread, course_chart};
use super::facts;
use super::format;
use super::lines::{self, Line, Mark, Role};
use super::metric::{self, Metric};
use super::open::{Load, loads};
use super::theme::Theme;
use fourtuple_spec::Record;

/// What is drawn side by side.
const PANELS: [(&str, Metric); 2] = [
    ("p50, from the intended time", metric::p50),
    ("p99, from the intended time", metric::p99),
];

/// Draws the chart, of the loads of which most were offered; `None` where no engine was offered two.
pub fn draw(records: &[Record], theme: &Theme) -> Option<String> {
    let all = loads(records);
    let (key, loads) = all.iter().max_by_key(|(_, loads)| loads.len())?;
    let drawn = PANELS.map(|(title, metric)| (title, series(loads, metric, theme)));
    let is_course = |line: &Line| line.marks.len() > 1;
    if !drawn.iter().flat_map(|(_, lines)| lines).any(is_course) {
        return None;
    }
    let title = format!(
        "Latency against offered load, {} connections",
        format::whole(f64::from(key.connections))
    );
    let runs = loads.iter().flat_map(|load| &load.point.runs);
    let runs: Vec<&Record> = runs.copied().collect();
    let chart = Course {
        title: &title,
        subtitle: &facts::origin(&runs, &key.words, None),
        across: "messages offered a second",
        panels: &drawn,
        spread: (Spread::FromZero, Spread::Log),
        tick_form: format::duration_tick,
        caption: &caption(&drawn),
    };
    course_chart(theme, &chart)
}

fn series(loads: &[Load<'_>], metric: Metric, theme: &Theme) -> Vec<Line> {
    let mut names: Vec<String> = Vec::new();
    for load in loads {
        if !names.contains(&load.case.arm()) {
            names.push(load.case.arm());
        }
    }
    let line = |name: &String| line(loads, name, metric, theme);
    names.iter().filter_map(line).collect()
}

fn line(loads: &[Load<'_>], name: &str, metric: Metric, theme: &Theme) -> Option<Line> {
    let own = || loads.iter().filter(|load| load.case.arm() == name);
    let mut marks: Vec<Mark> = Vec::new();
    for load in own() {
        let estimate = load.point.estimate(metric);
        let is_joined = !marks.is_empty();
        let mark = |estimate| lines::mark(&load.point, metric, &estimate, is_joined);
        marks.extend(estimate.map(mark));
    }
    let case = own().next()?.case;
    let (colour, role) = if case.control {
        (theme.control, Role::Control)
    } else {
        (theme.engine(case.engine?), Role::Engine)
    };
    Some(Line {
        name: name.to_owned(),
        value: format::duration_ns(marks.last()?.value),
        colour,
        role,
        marks,
        stop: None,
    })
}

fn caption(drawn: &[(&str, Vec<Line>)]) -> Vec<String> {
    let lines = drawn.iter().flat_map(|(_, lines)| lines);
    let marks: Vec<&Mark> = lines.flat_map(|line| &line.marks).collect();
    let mut sentences = vec![
        "A message that leaves late has waited: its latency is from when it was to leave."
            .to_owned(),
    ];
    if marks.iter().any(|mark| mark.interval.is_some()) {
        sentences.push("Bands: 95 % interval over runs.".to_owned());
    }
    let is_invalid = |mark: &&Mark| mark.is_hollow || !mark.strays.is_empty();
    if marks.iter().any(is_invalid) {
        sentences.push("Hollow: invalid runs.".to_owned());
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::theme::LIGHT;
    use super::*;
    use fourtuple_spec::Engine;

    #[test]
    fn an_engine_is_a_line_over_what_was_offered() {
        let mut records = Vec::new();
        for offered in [20_000, 60_000, 120_000, 200_000] {
            records.push(fixture::open(Engine::Uring, offered, 0));
            records.push(fixture::open(Engine::Epoll, offered, 0));
        }
        let chart = draw(&records, &LIGHT).unwrap();
        for part in [">uring<", ">epoll<", "ghost peers", "messages offered"] {
            assert!(chart.contains(part), "{part}");
        }
        assert!(
            draw(&records[..2], &LIGHT).is_none(),
            "one load is no course"
        );
        assert!(draw(&fixture::sweep(1), &LIGHT).is_none());
    }
}

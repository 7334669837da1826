//! Engines judged twice as slopes: the rate with kernel peers on the left, with ghosts on the right.
//!
//! Where two slopes cross, the order of two engines is not the same with both; whether that is more than
//! noise is said in the table.

use super::chart::{Spread, areas, up};
use super::draw::name_and_value;
use super::facts;
use super::format;
use super::frame::{self, HorizontalAxis, Panel, VerticalAxis};
use super::group::{Group, groups};
use super::judges::{Arm, Judged, Twice, judges, twins};
use super::labels::{Area, spread};
use super::lines::{Line, Role};
use super::scale::Scale;
use super::svg::{Anchor, Stroke, Svg};
use super::theme::Theme;
use fourtuple_spec::Record;

/// How many counts there is room for side by side.
const PANELS_MAX: usize = 3;

/// Below so many connections a rate is that of waking up, and not of serving.
const CONNECTIONS_MIN: u32 = 100;

/// Draws the chart; `None` where no two engines ran with both kinds of peers.
pub fn draw(records: &[Record], theme: &Theme) -> Option<String> {
    let groups = groups(records);
    let (kernel, ghost, all) = twins(&groups).into_iter().find_map(|(kernel, ghost)| {
        let all = shown(judges(kernel, ghost));
        (!all.is_empty()).then_some((kernel, ghost, all))
    })?;
    let title = "Engines with kernel peers and with ghosts";
    let subtitle = subtitle(kernel, ghost);
    let arms = || all.iter().flat_map(|one| &one.engines);
    let highest = arms().flat_map(|one| [top(&one.kernel), top(&one.ghost)]);
    let greatest = highest.fold(0.0, f64::max);
    let (y, ticks) = up(Spread::FromZero, format::short, (0.0, greatest));
    let lines: Vec<Vec<Line>> = all.iter().map(|one| lines(one, theme)).collect();
    let mut svg = Svg::new(theme);
    frame::heading(&mut svg, title, &subtitle);
    let areas = areas(&lines, &ticks, true);
    for (index, (judged, area)) in all.iter().zip(areas).enumerate() {
        let x = Scale::linear(0.0, 1.0, (area.left + 26.0, area.right));
        let panel = Panel { area, x, y };
        let vertical = VerticalAxis {
            title: &count_words(judged),
            ticks: &ticks,
            is_labelled: index == 0,
        };
        axes(&mut svg, &panel, &vertical);
        slopes(&mut svg, &panel, judged, &lines[index]);
    }
    frame::caption(&mut svg, &caption(&all));
    Some(svg.finish(title, &format!("{subtitle}. {}", describe(&all))))
}

/// The first decades of busy servers; where there is none, the first counts.
fn shown(all: Vec<Judged>) -> Vec<Judged> {
    let comparable = |one: &Judged| one.engines.len() > 1;
    let is_decade = |count: u32| 10_u32.pow(count.max(1).ilog10()) == count;
    let all: Vec<Judged> = all.into_iter().filter(comparable).collect();
    let is_busy = |one: &&Judged| one.connections >= CONNECTIONS_MIN && is_decade(one.connections);
    let busy: Vec<Judged> = all.iter().filter(is_busy).cloned().collect();
    let mut chosen = if busy.is_empty() { all } else { busy };
    chosen.truncate(PANELS_MAX);
    chosen
}

fn subtitle(kernel: &Group<'_>, ghost: &Group<'_>) -> String {
    let both: Vec<&Record> = kernel
        .records
        .iter()
        .chain(&ghost.records)
        .copied()
        .collect();
    let runs = facts::runs(ghost).map(|runs| format!("{runs} a point"));
    facts::origin(&both, &kernel.shape.load_words(), runs)
}

fn top(arm: &Arm) -> f64 {
    arm.rate
        .interval
        .map_or(arm.rate.value, |interval| interval.high)
}

fn count_words(judged: &Judged) -> String {
    format!(
        "{} connections",
        format::whole(f64::from(judged.connections))
    )
}

/// What stands at the right end of each slope.
fn lines(judged: &Judged, theme: &Theme) -> Vec<Line> {
    let line = |one: &Twice| Line {
        name: one.engine.name().to_owned(),
        value: format::short(one.ghost.rate.value),
        colour: theme.engine(one.engine),
        role: Role::Engine,
        marks: Vec::new(),
        stop: None,
    };
    judged.engines.iter().map(line).collect()
}

fn axes(svg: &mut Svg, panel: &Panel, vertical: &VerticalAxis<'_>) {
    let named = [(0.0, "kernel peers".to_owned()), (1.0, "ghosts".to_owned())];
    let horizontal = HorizontalAxis {
        title: "verified echoes a second",
        ticks: &named,
    };
    frame::axes(svg, panel, &horizontal, vertical);
}

fn slopes(svg: &mut Svg, panel: &Panel, judged: &Judged, lines: &[Line]) {
    for one in judged.engines.iter().rev() {
        let colour = svg.theme.engine(one.engine);
        let ends = [(0.0, &one.kernel), (1.0, &one.ghost)];
        let at = |(x, arm): (f64, &Arm)| (panel.x.position(x), panel.y.position(arm.rate.value));
        svg.line(at(ends[0]), at(ends[1]), Stroke::solid(colour, 2.4));
        for end in ends {
            let (x, y) = at(end);
            if let Some(interval) = end.1.rate.interval {
                let (low, high) = (
                    panel.y.position(interval.low),
                    panel.y.position(interval.high),
                );
                svg.line((x, low), (x, high), Stroke::solid(colour, 1.6));
            }
            let background = svg.theme.background;
            svg.circle((x, y), 4.2, colour, Stroke::solid(background, 1.0));
        }
    }
    labels(svg, &panel.area, panel, judged, lines);
}

fn labels(svg: &mut Svg, area: &Area, panel: &Panel, judged: &Judged, lines: &[Line]) {
    let at = |one: &Twice| panel.y.position(one.ghost.rate.value);
    let wishes: Vec<f64> = judged.engines.iter().map(at).collect();
    let positions = spread(&wishes, 19.0, area.top - 4.0, area.bottom + 4.0);
    for ((line, wish), y) in lines.iter().zip(wishes).zip(positions) {
        let stroke = Stroke {
            opacity: 0.6,
            ..Stroke::solid(line.colour, 1.0)
        };
        svg.polyline(&[(area.right + 7.0, wish), (area.right + 15.0, y)], stroke);
        name_and_value(
            svg,
            (area.right + 18.0, y + 5.0),
            Anchor::Start,
            line,
            false,
        );
    }
}

fn caption(all: &[Judged]) -> Vec<String> {
    let mut sentences = vec![
        "With kernel peers half of the work is the client's, on the same machine; with ghosts the server's end is alone."
            .to_owned(),
    ];
    let has_interval = |one: &Twice| {
        one.ghost
            .rate
            .interval
            .or(one.kernel.rate.interval)
            .is_some()
    };
    if all.iter().flat_map(|one| &one.engines).any(has_interval) {
        sentences.push("Bars: 95 % interval over runs.".to_owned());
    }
    sentences.push("Slopes that cross: see the table for what is noise.".to_owned());
    sentences
}

fn describe(all: &[Judged]) -> String {
    let sentence = |judged: &Judged, one: &Twice| {
        format!(
            "{} at {}: {} with kernel peers, {} with ghosts.",
            one.engine,
            count_words(judged),
            format::short(one.kernel.rate.value),
            format::short(one.ghost.rate.value)
        )
    };
    let sentences = all.iter().flat_map(|judged| {
        let engines = judged.engines.iter();
        engines.map(move |one| sentence(judged, one))
    });
    sentences.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::theme::LIGHT;
    use super::*;

    #[test]
    fn both_kinds_are_named_at_the_decades_of_busy_servers() {
        let chart = draw(&fixture::both_peers(3), &LIGHT).unwrap();
        for part in [
            ">kernel peers<",
            ">ghosts<",
            ">100 connections<",
            ">10,000 connections<",
        ] {
            assert!(chart.contains(part), "{part}");
        }
        assert!(!chart.contains(">10 connections<") && !chart.contains("(A/A)"));
        assert!(draw(&fixture::sweep(3), &LIGHT).is_none(), "one kind alone");
    }
}

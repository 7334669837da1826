//! Engines against the size of messages, and against how many are in flight: echoes a second above, and below
//! the share of the fastest, where it is seen who loses where.

use super::change::change;
use super::draw;
use super::factors::rate;
use super::facts;
use super::field::{Arm, best};
use super::format;
use super::frame::{self, HorizontalAxis, MARGIN, Panel, VerticalAxis};
use super::labels::{Area, text_width};
use super::lines::{Line, Mark, Role, extent};
use super::scale::{Scale, linear_ticks, log_bounds, log_ticks};
use super::shapes::{Along, Course, courses, size};
use super::svg::{Svg, WIDTH};
use super::theme::{FLOOR, Theme, dashes};
use fourtuple_spec::{ClientKind, Engine, Record};

/// Where the two panels lie.
const UPPER: (f64, f64) = (132.0, 400.0);
const LOWER: (f64, f64) = (486.0, 716.0);
const HEIGHT: f64 = 818.0;

/// The dashes of an engine with a factor that is not its default.
const SETTING_DASHES: &str = "9 3 2 3";

/// Draws the chart of message sizes; `None` where no three sizes ran.
pub fn sizes(records: &[Record], theme: &Theme) -> Option<String> {
    draw(
        records,
        theme,
        Along::MessageBytes,
        "Echoes against the size of messages",
    )
}

/// Draws the chart of depths; `None` where no three depths ran.
pub fn depths(records: &[Record], theme: &Theme) -> Option<String> {
    draw(
        records,
        theme,
        Along::Depth,
        "Echoes against messages in flight on a connection",
    )
}

fn draw(records: &[Record], theme: &Theme, along: Along, title: &str) -> Option<String> {
    let course = courses(records, along).into_iter().next()?;
    let rates = lines(&course, theme, rate_mark, format::short);
    let shares = lines(&course, theme, share_mark, format::percent);
    let (least, greatest) = extent(&rates)?;
    let values: Vec<u32> = course.stops.iter().map(|(value, _)| *value).collect();
    let subtitle = facts::origin(&course.records, &course.load_words(), runs(&course));
    let mut svg = Svg::new(theme);
    svg.height = HEIGHT;
    frame::heading(&mut svg, title, &subtitle);
    let right = right(&[&rates, &shares]);
    let (low, high) = log_bounds(least, greatest);
    let ticks = named(log_ticks(low, high), format::short);
    let y = Scale::log(low, high, (UPPER.1, UPPER.0));
    panel(
        &mut svg,
        (UPPER, right),
        (y, &ticks),
        &course,
        ("verified echoes a second", &rates),
    );
    let (y, ticks) = share_axis(&shares);
    panel(
        &mut svg,
        (LOWER, right),
        (y, &ticks),
        &course,
        ("share of the fastest engine", &shares),
    );
    frame::caption(&mut svg, &caption(&rates));
    let description = describe(&course, &values);
    Some(svg.finish(title, &format!("{subtitle}. {description}")))
}

fn runs(course: &Course<'_>) -> Option<String> {
    let repeats = course.records.iter().map(|run| run.case.repeat).max()?;
    Some(format!(
        "{} a point",
        format::counted(repeats as usize + 1, "run")
    ))
}

type Marked = fn(&[Arm<'_>], &Arm<'_>, u32) -> Option<Mark>;

/// A line for each arm.
fn lines(course: &Course<'_>, theme: &Theme, mark: Marked, form: fn(f64) -> String) -> Vec<Line> {
    let mut lines = Vec::new();
    for (name, is_control) in course.names() {
        let mut found = None;
        let mut marks = Vec::new();
        for (value, arms) in &course.stops {
            let is_named = |arm: &&Arm<'_>| arm.name == name && arm.is_control == is_control;
            let Some(arm) = arms.iter().find(is_named) else {
                continue;
            };
            found = Some(arm);
            marks.extend(mark(arms, arm, *value));
        }
        if let (Some(arm), Some(last)) = (found, marks.last()) {
            lines.push(Line {
                name: match is_control {
                    true => format!("{name} (A/A)"),
                    false => name,
                },
                value: form(last.value),
                colour: match is_control {
                    true => theme.control,
                    false => theme.engine(arm.engine),
                },
                role: role(arm),
                marks,
                stop: None,
            });
        }
    }
    lines
}

fn role(arm: &Arm<'_>) -> Role {
    match (arm.engine, dashes(arm.engine)) {
        _ if arm.is_control => Role::Control,
        _ if !arm.is_default => Role::Dashed(SETTING_DASHES),
        (FLOOR, _) if arm.client == ClientKind::Spin => Role::Floor,
        (Engine::Stack, _) => Role::Stack,
        (_, "") => Role::Engine,
        (_, dashes) => Role::Dashed(dashes),
    }
}

fn rate_mark(_: &[Arm<'_>], arm: &Arm<'_>, value: u32) -> Option<Mark> {
    let found = arm.estimate(rate)?;
    Some(Mark {
        connections: value,
        value: found.value,
        interval: found.interval.map(|interval| (interval.low, interval.high)),
        is_hollow: found.is_hollow,
        is_joined: true,
        strays: Vec::new(),
    })
}

fn share_mark(arms: &[Arm<'_>], arm: &Arm<'_>, value: u32) -> Option<Mark> {
    if arm.is_control {
        return None;
    }
    let best = best(arms)?;
    let is_best = best.name == arm.name && best.client == arm.client;
    let share = change(&arm.runs, &best.runs, rate, None)?;
    let interval = share.interval.filter(|_| !is_best);
    Some(Mark {
        connections: value,
        value: share.ratio,
        interval: interval.map(|interval| (interval.low, interval.high)),
        is_hollow: share.is_hollow,
        is_joined: true,
        strays: Vec::new(),
    })
}

fn named(ticks: Vec<f64>, form: fn(f64) -> String) -> Vec<(f64, String)> {
    ticks.into_iter().map(|tick| (tick, form(tick))).collect()
}

/// From a round share below the least to one above the greatest; what intervals reach beyond is cut.
fn share_axis(lines: &[Line]) -> (Scale, Vec<(f64, String)>) {
    let values = || {
        lines
            .iter()
            .flat_map(|line| &line.marks)
            .map(|mark| mark.value)
    };
    let least = values().fold(1.0, f64::min);
    let greatest = values().fold(1.0, f64::max);
    let step = linear_ticks((greatest - least).max(0.04))[1];
    let first = (least / step).floor() as i64;
    let last = (greatest / step).ceil() as i64;
    let ticks: Vec<f64> = (first..=last).map(|index| index as f64 * step).collect();
    let range = (LOWER.1, LOWER.0);
    let scale = Scale::linear(first as f64 * step, last as f64 * step, range);
    (scale, named(ticks, format::percent))
}

/// Where panels end, so that the names of lines have room beside them.
fn right(all: &[&Vec<Line>]) -> f64 {
    let lines = all.iter().flat_map(|lines| lines.iter());
    let widths = lines.map(|line| text_width(&format!("{} {}", line.name, line.value), 14.0));
    WIDTH - 52.0 - widths.fold(60.0, f64::max).min(270.0)
}

fn panel(
    svg: &mut Svg,
    ((top, bottom), right): ((f64, f64), f64),
    (y, ticks): (Scale, &[(f64, String)]),
    course: &Course<'_>,
    (title, lines): (&str, &[Line]),
) {
    let values: Vec<u32> = course.stops.iter().map(|(value, _)| *value).collect();
    let area = Area {
        left: MARGIN + 58.0,
        right,
        top,
        bottom,
    };
    let (first, last) = (values[0], values[values.len() - 1]);
    let range = (area.left + 14.0, area.right - 6.0);
    let x = Scale::log(f64::from(first), f64::from(last), range);
    let panel = Panel { area, x, y };
    let (across, form): (&str, fn(u32) -> String) = match course.along {
        Along::MessageBytes => ("bytes of a message", size),
        Along::Depth => ("messages in flight on a connection", |depth| {
            depth.to_string()
        }),
    };
    let named: Vec<(f64, String)> = values
        .iter()
        .map(|value| (f64::from(*value), form(*value)))
        .collect();
    let horizontal = HorizontalAxis {
        title: across,
        ticks: &named,
    };
    let vertical = VerticalAxis {
        title,
        ticks,
        is_labelled: true,
    };
    frame::axes(svg, &panel, &horizontal, &vertical);
    draw::draw(svg, &panel, lines, &values);
}

fn caption(lines: &[Line]) -> Vec<String> {
    let has = |role: Role| lines.iter().any(|line| line.role == role);
    let marks = || lines.iter().flat_map(|line| &line.marks);
    let mut sentences =
        vec!["Above both axes are logarithmic; below the axis does not begin at zero.".to_owned()];
    if marks().any(|mark| mark.interval.is_some()) {
        sentences.push("Bands: 95 % interval over runs, below of pairs.".to_owned());
    }
    if has(Role::Floor) {
        sentences
            .push("Dotted: the floor, TCP with no event loop; it is no share's whole.".to_owned());
    }
    if has(Role::Dashed(SETTING_DASHES)) {
        sentences.push("Dashes and dots: another factor than the default.".to_owned());
    }
    if marks().any(|mark| mark.is_hollow) {
        sentences.push("Hollow: invalid runs.".to_owned());
    }
    sentences
}

fn describe(course: &Course<'_>, values: &[u32]) -> String {
    let mut sentences = Vec::new();
    for (value, arms) in course
        .stops
        .iter()
        .filter(|(value, _)| values.contains(value))
    {
        let rates = arms.iter().filter(|arm| !arm.is_control);
        let rates = rates.filter_map(|arm| {
            let found = arm.estimate(rate)?;
            Some(format!("{} {}", arm.name, format::short(found.value)))
        });
        let rates = rates.collect::<Vec<_>>().join(", ");
        sentences.push(format!("{}: {rates}.", course.along.words(*value)));
    }
    sentences.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::theme::{DARK, LIGHT};
    use super::super::{fixture, fixture_factors as fixtures};
    use super::*;

    #[test]
    fn every_size_is_named_and_every_arm_has_two_lines() {
        let records = fixtures::sizes(3);
        for theme in [LIGHT, DARK] {
            let chart = sizes(&records, &theme).unwrap();
            for name in ["1\u{a0}B", "512\u{a0}B", "4\u{a0}KiB", "64\u{a0}KiB"] {
                assert_eq!(chart.matches(&format!(">{name}<")).count(), 2, "{name}");
            }
            for name in ["uring", "uring, recv = bundle", "epoll", "tokio", "spin"] {
                assert_eq!(chart.matches(&format!(">{name}<")).count(), 2, "{name}");
            }
            assert_eq!(chart.matches(">epoll (A/A)<").count(), 1);
            assert!(!chart.contains("NaN"));
        }
    }

    #[test]
    fn depths_have_a_chart_of_their_own() {
        let mut records = fixtures::sizes(2);
        for run in &mut records {
            let size = run.case.message_bytes;
            run.case.depth = fixtures::SIZES
                .iter()
                .take_while(|other| **other <= size)
                .count() as u32;
            run.case.message_bytes = 64;
        }
        assert!(sizes(&records, &LIGHT).is_none());
        let chart = depths(&records, &LIGHT).unwrap();
        assert!(chart.contains(">messages in flight on a connection<"));
        assert!(chart.contains(">6<"));
        assert!(depths(&fixture::sweep(2), &LIGHT).is_none());
    }

    #[test]
    fn the_axis_of_shares_holds_every_share() {
        let records = fixtures::sizes(3);
        let all = courses(&records, Along::MessageBytes);
        let shares = lines(&all[0], &LIGHT, share_mark, format::percent);
        let (scale, ticks) = share_axis(&shares);
        let (first, last) = (ticks[0].0, ticks[ticks.len() - 1].0);
        let marks = shares.iter().flat_map(|line| &line.marks);
        for mark in marks {
            assert!(mark.value >= first && mark.value <= last, "{}", mark.value);
        }
        assert!(scale.position(1.0) > LOWER.0 - 1e-6 && scale.position(1.0) < LOWER.1);
    }
}

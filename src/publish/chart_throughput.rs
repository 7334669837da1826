//! Verified echoes a second against connections, and below it the same as a share of the floor.

use super::cast;
use super::chart::{Spread, across_counts, describe, up};
use super::draw;
use super::facts;
use super::floor;
use super::format::{percent, rate, short, whole};
use super::frame::{
    self, HorizontalAxis, MARGIN, PLOT_BOTTOM, PLOT_TOP, Panel, SMALL, VerticalAxis,
};
use super::group::Group;
use super::labels::{Area, text_width};
use super::lines::{self, Line, Mark};
use super::metric;
use super::scale::{Scale, linear_ticks};
use super::svg::{Anchor, Span, Stroke, Svg, WIDTH};
use super::theme::Theme;

/// Where the panel of shares lies, and how tall a chart with it is.
const SHARE_TOP: f64 = 556.0;
const SHARE_BOTTOM: f64 = 816.0;
const SHARE_HEIGHT: f64 = 908.0;

/// The least top of the axis of shares: a little above the floor itself.
const SHARE_MAX: f64 = 1.1;

const SHARE_TITLE: &str = "share of the floor";

/// Draws the chart; `None` without any rate.
pub fn draw(group: &Group<'_>, theme: &Theme) -> Option<String> {
    let title = "Throughput against connections";
    let upward = metric::rate_words(group.shape.mode);
    let rates = lines::lines(group, metric::rate, rate, theme);
    let shares = shares(group, theme);
    let counts = lines::counts(group, &rates);
    // From zero, so that a height is a share.
    let (y, ticks) = up(Spread::FromZero, short, lines::extent(&rates)?);
    let mut svg = Svg::new(theme);
    let subtitle = facts::subtitle(group);
    frame::heading(&mut svg, title, &subtitle);
    let area = area(&[&rates, &shares], &ticks, counts.len() > 1);
    let (x, named) = across_counts(&counts, &area);
    let panel = Panel { area, x, y };
    let horizontal = HorizontalAxis {
        title: "connections",
        ticks: &named,
    };
    let vertical = VerticalAxis {
        title: upward,
        ticks: &ticks,
        is_labelled: true,
    };
    frame::axes(&mut svg, &panel, &horizontal, &vertical);
    draw::draw(&mut svg, &panel, &rates, &counts);
    let mut caption = lines::key(group, &rates);
    if shares.is_empty() {
        caption.push("No floor measured.".to_owned());
    } else {
        svg.height = SHARE_HEIGHT;
        share_panel(&mut svg, (&panel, &horizontal), &shares, group);
    }
    frame::caption(&mut svg, &caption);
    let panels = [(upward, rates), (SHARE_TITLE, shares)];
    Some(svg.finish(title, &format!("{subtitle}. {}", describe(&panels))))
}

/// One line an arm; none where no floor was measured.
fn shares(group: &Group<'_>, theme: &Theme) -> Vec<Line> {
    let line = |series| {
        let marks = floor::shares(group, series).into_iter();
        let marks = marks.enumerate().map(|(index, share)| Mark {
            connections: share.connections,
            value: share.value,
            interval: share.interval.map(|interval| (interval.low, interval.high)),
            is_hollow: false,
            is_joined: index > 0,
            strays: Vec::new(),
        });
        let line = lines::of_series(series, marks.collect(), percent, theme)?;
        // What stopped it is said above.
        Some(Line { stop: None, ..line })
    };
    let arms = cast::arms(group);
    lines::distinguished(group, arms.into_iter().filter_map(line).collect())
}

/// Room on the left for the ticks, on the right for the labels of either panel.
fn area(lines: &[&Vec<Line>], ticks: &[(f64, String)], has_margin: bool) -> Area {
    let tick_width = ticks.iter().map(|(_, label)| text_width(label, SMALL));
    let lines = lines.iter().flat_map(|lines| lines.iter());
    let labels = lines.map(|line| text_width(&format!("{} {}", line.name, line.value), 14.0));
    let labels = if has_margin {
        labels.fold(40.0, f64::max).min(230.0) + 26.0
    } else {
        60.0
    };
    let percents = text_width(&percent(1.0), SMALL);
    Area {
        left: MARGIN + tick_width.fold(percents, f64::max) + 10.0,
        right: WIDTH - 12.0 - labels,
        top: PLOT_TOP,
        bottom: PLOT_BOTTOM,
    }
}

/// Below the rates, over the same counts; lines end where the floor does, and so does the panel's ground.
fn share_panel(
    svg: &mut Svg,
    (above, horizontal): (&Panel, &HorizontalAxis<'_>),
    shares: &[Line],
    group: &Group<'_>,
) {
    let greatest = lines::extent(shares).map_or(1.0, |(_, greatest)| greatest);
    let top = greatest.max(SHARE_MAX);
    let area = Area {
        top: SHARE_TOP,
        bottom: SHARE_BOTTOM,
        ..above.area
    };
    let whole_width = Panel {
        area,
        x: above.x,
        y: Scale::linear(0.0, top, (SHARE_BOTTOM, SHARE_TOP)),
    };
    let vertical = VerticalAxis {
        title: SHARE_TITLE,
        ticks: &share_ticks(top),
        is_labelled: true,
    };
    frame::axes(svg, &whole_width, horizontal, &vertical);
    let mut counts: Vec<u32> = shares
        .iter()
        .flat_map(|line| &line.marks)
        .map(|mark| mark.connections)
        .collect();
    counts.sort_unstable();
    counts.dedup();
    let Some(last) = counts.last().copied() else {
        return;
    };
    let end = above.x.position(f64::from(last));
    floor_line(svg, &whole_width, end);
    let is_short = group.counts().last().is_some_and(|all| *all > last);
    let panel = Panel {
        area: Area {
            right: if is_short { end + 6.0 } else { area.right },
            ..area
        },
        ..whole_width
    };
    draw::draw(svg, &panel, shares, &counts);
    if is_short {
        beyond(svg, &area, last);
    }
}

/// Every fifth of the floor, and fewer where shares are far above it.
fn share_ticks(top: f64) -> Vec<(f64, String)> {
    let ticks = match top {
        top if top <= 2.0 => (0..=10).map(|fifths| f64::from(fifths) / 5.0).collect(),
        top => linear_ticks(top),
    };
    let within = ticks.into_iter().filter(|share| *share <= top);
    within
        .map(|share| (share, percent(share).replace(".0", "")))
        .collect()
}

/// The floor itself: 100 %.
fn floor_line(svg: &mut Svg, panel: &Panel, end: f64) {
    let y = panel.y.position(1.0);
    let stroke = Stroke {
        dashes: "0.1 6",
        ..Stroke::solid(svg.theme.floor, 2.6)
    };
    svg.line((panel.area.left, y), (end, y), stroke);
}

/// Says why there is nothing at the right of the panel.
fn beyond(svg: &mut Svg, area: &Area, last: u32) {
    let words = format!(
        "beyond {} connections no floor was measured",
        whole(f64::from(last))
    );
    let span = Span {
        content: &words,
        fill: svg.theme.muted,
        size: SMALL,
        is_bold: false,
    };
    svg.text(area.right, area.top - 16.0, Anchor::End, span);
}

#[cfg(test)]
mod tests {
    use super::super::theme::LIGHT;
    use super::super::{fixture, fixture_comparison, group::groups};
    use super::*;
    use fourtuple_spec::{Engine, Record};

    fn drawn(records: &[Record]) -> String {
        draw(&groups(records)[0], &LIGHT)
            .unwrap()
            .replace('\u{a0}', " ")
    }

    #[test]
    fn every_engine_is_a_share_of_the_floor_as_far_as_there_is_one() {
        let chart = drawn(&fixture_comparison::comparison(5));
        assert!(chart.contains(">share of the floor<"), "{chart}");
        assert!(chart.contains("beyond 1,000 connections no floor was measured"));
        assert!(chart.contains("TCP stack, both ends on one core"));
        assert!(chart.contains("share of the floor, glommio at 1,000 connections: 50 %"));
        assert!(!chart.contains("share of the floor, spin"));
    }

    #[test]
    fn shares_above_the_floor_have_their_ticks() {
        let labels = |top: f64| -> Vec<String> {
            let ticks = share_ticks(top).into_iter();
            ticks
                .map(|(_, label)| label.replace('\u{a0}', " "))
                .collect()
        };
        assert_eq!(
            labels(1.1),
            ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]
        );
        assert_eq!(labels(1.65).last().unwrap(), "160 %");
        assert!(labels(7.0).len() < 9);
    }

    #[test]
    fn without_a_floor_the_chart_says_so() {
        let mut records = fixture_comparison::comparison(2);
        records.retain(|record| record.case.engine != Some(Engine::Spin));
        let chart = drawn(&records);
        assert!(chart.contains("No floor measured."));
        assert!(!chart.contains("share of the floor"));
    }

    #[test]
    fn churn_is_connections_a_second() {
        let mut record = fixture::record(Engine::Epoll, 10, 0);
        record.case.mode = fourtuple_spec::Mode::Churn;
        record.throughput.connections_per_second = Some(12_300.0);
        let chart = drawn(&[record]);
        assert!(chart.contains("closed a second") && chart.contains("12.3 k"));
    }
}

//! Bytes of an idle connection, kernel's and server's, against the rate of the busy ones: what an engine
//! trades for what.

use super::chart::{Spread, up};
use super::facts;
use super::format;
use super::frame::{self, HorizontalAxis, MARGIN, PLOT_BOTTOM, PLOT_TOP, Panel, VerticalAxis};
use super::group::{kebab, memory_scope};
use super::kind::{Kind, of_kind, path_words};
use super::labels::{Area, place, text_width};
use super::metric;
use super::mix::{Mix, mixes};
use super::scale::{Scale, linear_ticks};
use super::share::of_runs;
use super::svg::{Anchor, Span, Stroke, Svg, WIDTH};
use super::theme::Theme;
use crate::statistics::median;
use fourtuple_spec::record::Outcome;
use fourtuple_spec::{Case, Engine, HotPlacement, Record};

/// One engine on the chart.
struct Dot {
    engine: Engine,
    name: String,
    bytes: f64,
    rate: f64,
    interval: Option<(f64, f64)>,
    is_hollow: bool,
}

/// Draws the chart, of the mix with most connections; `None` where no two engines have one.
pub fn draw(records: &[Record], theme: &Theme) -> Option<String> {
    let all = mixes(records);
    let is_plain = |mix: &&Mix<'_>| {
        !mix.is_alone()
            && mix.case.sysctls.is_empty()
            && mix.case.hot_placement == HotPlacement::Spread
    };
    let largest = all
        .iter()
        .filter(is_plain)
        .max_by_key(|mix| (mix.case.connections, mix.case.hot()))?;
    let (connections, hot) = (largest.case.connections, largest.case.hot());
    let base = null_bytes(records, largest.case);
    let chosen = all.iter().filter(is_plain).filter(|mix| {
        (mix.case.connections, mix.case.hot()) == (connections, hot)
            && mix.case.message_bytes == largest.case.message_bytes
            && mix.case.depth == largest.case.depth
            && mix.case.peer == largest.case.peer
            && path_words(mix.case) == path_words(largest.case)
    });
    let dots: Vec<Dot> = chosen.filter_map(|mix| dot(mix, base)).collect();
    if dots.len() < 2 {
        return None;
    }
    let count = |count: u32| format::whole(f64::from(count));
    let title = format!(
        "{} busy of {}: rate against bytes of an idle one",
        count(hot),
        count(connections)
    );
    let asked = format!(
        "{}-byte messages, depth {}, {} peers",
        largest.case.message_bytes,
        largest.case.depth,
        kebab(&largest.case.peer)
    );
    let runs = largest.point.valid_runs().count();
    let runs = (runs > 0).then(|| format!("{} a dot", format::counted(runs, "run")));
    let subtitle = facts::origin(&of_kind(records, Kind::Hot), &asked, runs);
    let scope = memory_scope(largest.case.peer);
    Some(chart(theme, (&title, &subtitle), &dots, (base, scope)))
}

fn dot(mix: &Mix<'_>, base: Option<f64>) -> Option<Dot> {
    let rate = mix.estimate(metric::rate)?;
    // An engine that keeps a buffer a connection keeps it in user memory.
    let kernel = of_runs(&mix.point, metric::kernel_bytes)?;
    let user = of_runs(&mix.point, metric::server_bytes);
    Some(Dot {
        engine: mix.case.engine?,
        name: mix.case.arm(),
        bytes: kernel - base.unwrap_or(0.0) + user.unwrap_or(0.0),
        rate: rate.value,
        interval: rate.interval.map(|interval| (interval.low, interval.high)),
        is_hollow: rate.is_hollow,
    })
}

/// Kernel memory of a connection that nobody waits for, at as many of them.
fn null_bytes(records: &[Record], mix: &Case) -> Option<f64> {
    let is_control = |record: &&Record| {
        Kind::of(record) != Kind::Price
            && record.case.engine == Some(Engine::Null)
            && record.case.connections == mix.connections
            && record.case.peer == mix.peer
            && record.case.sysctls.is_empty()
            && record.outcome == Outcome::Ok
    };
    let of_null = records.iter().filter(is_control);
    median(&of_null.filter_map(metric::kernel_bytes).collect::<Vec<_>>())
}

fn chart(
    theme: &Theme,
    (title, subtitle): (&str, &str),
    dots: &[Dot],
    (base, scope): (Option<f64>, &str),
) -> String {
    let highest = dots
        .iter()
        .map(|dot| dot.interval.map_or(dot.rate, |interval| interval.1))
        .fold(0.0, f64::max);
    let (y, ticks) = up(Spread::FromZero, format::short, (0.0, highest));
    let area = Area {
        left: MARGIN + 70.0,
        right: WIDTH - MARGIN,
        top: PLOT_TOP,
        bottom: PLOT_BOTTOM,
    };
    let (x, named) = across(dots, base.is_some(), &area);
    let panel = Panel { area, x, y };
    let mut svg = Svg::new(theme);
    frame::heading(&mut svg, title, subtitle);
    let horizontal = HorizontalAxis {
        title: if base.is_some() {
            "bytes of an idle connection: kernel above null, and user memory of the server"
        } else {
            "bytes of an idle connection: kernel, and user memory of the server"
        },
        ticks: &named,
    };
    let vertical = VerticalAxis {
        title: "verified echoes a second",
        ticks: &ticks,
        is_labelled: true,
    };
    frame::axes(&mut svg, &panel, &horizontal, &vertical);
    scatter(&mut svg, &panel, dots);
    frame::caption(&mut svg, &caption(dots, base, scope));
    svg.finish(title, &format!("{subtitle}. {}", describe(dots)))
}

/// From zero where it is a difference; otherwise as wide as the values are apart, and half as much.
fn across(dots: &[Dot], is_difference: bool, area: &Area) -> (Scale, Vec<(f64, String)>) {
    let values = || dots.iter().map(|dot| dot.bytes);
    let greatest = values().fold(f64::MIN, f64::max);
    let least = values().fold(f64::MAX, f64::min);
    let margin = ((greatest - least) * 0.25)
        .max(greatest.abs() * 0.01)
        .max(1.0);
    let (low, high) = if is_difference {
        (least.min(0.0), greatest.max(1.0) * 1.12)
    } else {
        (least - margin, greatest + margin)
    };
    let scale = Scale::linear(low, high, (area.left, area.right));
    let step = linear_ticks(high - low)[1];
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    let ticks = (first..=last).map(|index| index as f64 * step);
    (
        scale,
        ticks.map(|tick| (tick, format::bytes(tick))).collect(),
    )
}

fn scatter(svg: &mut Svg, panel: &Panel, dots: &[Dot]) {
    let at = |dot: &Dot| (panel.x.position(dot.bytes), panel.y.position(dot.rate));
    let around = |dot: &Dot| {
        let (x, y) = at(dot);
        Area {
            left: x - 8.0,
            right: x + 8.0,
            top: y - 8.0,
            bottom: y + 8.0,
        }
    };
    let mut taken: Vec<Area> = dots.iter().map(around).collect();
    for dot in dots {
        let (x, y) = at(dot);
        let colour = svg.theme.engine(dot.engine);
        if let Some((low, high)) = dot.interval {
            let (low, high) = (panel.y.position(low), panel.y.position(high));
            svg.line((x, low), (x, high), Stroke::solid(colour, 1.8));
        }
        let fill = if dot.is_hollow {
            svg.theme.background
        } else {
            colour
        };
        svg.circle((x, y), 6.0, fill, Stroke::solid(colour, 1.8));
        let value = words(dot);
        let width = text_width(&format!("{} {value}", dot.name), 14.0) + 6.0;
        let area = place((x, y), (width, 19.0), panel.area, &[], &taken);
        taken.push(area);
        let name = Span {
            content: &dot.name,
            fill: colour,
            size: 14.0,
            is_bold: true,
        };
        let value = Span {
            content: &value,
            fill: svg.theme.muted,
            size: 13.0,
            is_bold: false,
        };
        let (x, anchor) = if area.left >= x {
            (area.left, Anchor::Start)
        } else if area.right <= x {
            (area.right, Anchor::End)
        } else {
            ((area.left + area.right) / 2.0, Anchor::Middle)
        };
        svg.spans(x, area.top + 14.0, anchor, true, &[name, value]);
    }
}

fn words(dot: &Dot) -> String {
    format!("{}, {}", format::bytes(dot.bytes), format::short(dot.rate))
}

fn caption(dots: &[Dot], base: Option<f64>, scope: &str) -> Vec<String> {
    let mut sentences = vec!["Up and to the left is better.".to_owned()];
    if let Some(base) = base {
        sentences.push(format!(
            "null, which never arms, takes {} of the kernel's, of {scope}.",
            format::bytes(base)
        ));
    } else {
        sentences.push(format!(
            "Kernel memory is of {scope}. The horizontal axis does not begin at zero."
        ));
    }
    if dots.iter().any(|dot| dot.interval.is_some()) {
        sentences.push("Bars: 95 % interval over runs.".to_owned());
    }
    if dots.iter().any(|dot| dot.is_hollow) {
        sentences.push("Hollow: invalid runs.".to_owned());
    }
    sentences
}

fn describe(dots: &[Dot]) -> String {
    let sentence = |dot: &Dot| format!("{}: {}.", dot.name, words(dot));
    dots.iter().map(sentence).collect::<Vec<_>>().join(" ")
}

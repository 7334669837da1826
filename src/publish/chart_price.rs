//! The price list as bars: kernel bytes of one connection, by state, in the order of its life.

use super::facts;
use super::format;
use super::frame::{self, MARGIN, SMALL};
use super::kind::{Kind, of_kind};
use super::labels::text_width;
use super::price::{Price, prices};
use super::scale::{Scale, linear_ticks, log_bounds, log_ticks};
use super::svg::{Anchor, Span, Stroke, Svg, WIDTH};
use super::theme::Theme;
use fourtuple_spec::{Peer, Record};

const TOP: f64 = 104.0;
const ROW: f64 = 25.0;

/// Prices that differ by more than this are drawn as ratios.
const LOG_RATIO: f64 = 50.0;

/// Draws the chart; `None` without a price.
pub fn draw(records: &[Record], theme: &Theme) -> Option<String> {
    let prices: Vec<Price<'_>> = prices(records)
        .into_iter()
        .filter(|price| price.bytes.is_some_and(|bytes| bytes > 0.0))
        .collect();
    let values = || prices.iter().filter_map(|price| price.bytes);
    let greatest = values().max_by(f64::total_cmp)?;
    let least = values().min_by(f64::total_cmp)?;
    let mut svg = Svg::new(theme);
    let bottom = TOP + ROW * prices.len() as f64;
    svg.height = bottom + 84.0;
    let title = "What a connection costs in each state of its life";
    let subtitle = subtitle(records, &prices);
    frame::heading(&mut svg, title, &subtitle);
    let names = prices.iter().map(|price| text_width(&price.label, SMALL));
    let left = MARGIN + names.fold(60.0, f64::max).min(360.0) + 12.0;
    let range = (left, WIDTH - MARGIN - 110.0);
    let is_log = greatest / least > LOG_RATIO;
    let (scale, ticks) = if is_log {
        let (low, high) = log_bounds(least * 0.6, greatest);
        (Scale::log(low, high, range), log_ticks(low, high))
    } else {
        let scale = Scale::linear_from_zero(greatest, range);
        (scale, linear_ticks(greatest))
    };
    grid(&mut svg, &scale, &ticks, bottom);
    for (index, price) in prices.iter().enumerate() {
        bar(&mut svg, price, &scale, TOP + ROW * (index as f64 + 0.5));
    }
    frame::caption(&mut svg, &caption(&prices, is_log));
    Some(svg.finish(title, &format!("{subtitle}. {}", describe(&prices))))
}

fn subtitle(records: &[Record], prices: &[Price<'_>]) -> String {
    let ghosts = prices.iter().all(|price| price.key.peer == Peer::Ghost);
    let scope = if ghosts {
        "kernel bytes of the server's endpoint alone"
    } else {
        "kernel bytes of a connection"
    };
    let runs = of_kind(records, Kind::Price);
    let count = format::counted(runs.len(), "run");
    facts::origin(&runs, scope, Some(count))
}

fn grid(svg: &mut Svg, scale: &Scale, ticks: &[f64], bottom: f64) {
    let theme = svg.theme;
    let mut free = f64::MIN;
    for tick in ticks
        .iter()
        .filter(|tick| **tick <= scale.largest() * 1.000_001)
    {
        let x = scale.position(*tick);
        svg.line((x, TOP), (x, bottom), Stroke::solid(theme.grid, 1.0));
        let label = format::decimal_bytes_tick(*tick);
        let half = text_width(&label, SMALL) / 2.0;
        if x - half < free {
            continue;
        }
        free = x + half + 8.0;
        let span = Span {
            content: &label,
            fill: theme.muted,
            size: SMALL,
            is_bold: false,
        };
        svg.text(x, bottom + 19.0, Anchor::Middle, span);
    }
}

fn bar(svg: &mut Svg, price: &Price<'_>, scale: &Scale, middle: f64) {
    let theme = svg.theme;
    let Some(bytes) = price.bytes else { return };
    let (from, to) = (scale.start(), scale.position(bytes));
    let engine = price.key.engine.filter(|_| price.key.state.is_engines());
    let colour = engine.map_or(theme.control, |engine| theme.engine(engine));
    let name = Span {
        content: &format::shortened(&price.label, 46),
        fill: theme.text,
        size: SMALL,
        is_bold: engine.is_none() && price.key.sysctls.is_empty(),
    };
    svg.text(from - 10.0, middle + 4.5, Anchor::End, name);
    let half = ROW * 0.32;
    svg.rect(
        (from, middle - half),
        ((to - from).max(1.0), half * 2.0),
        colour,
    );
    let mut end = to;
    if let Some((low, high)) = price.interval {
        let (low, high) = (scale.position(low), scale.position(high));
        svg.line(
            (low, middle),
            (high, middle),
            Stroke::solid(theme.text, 1.4),
        );
        end = end.max(high);
    }
    let mark = if price.is_slope { "" } else { " *" };
    let label = format!("{}{mark}", format::bytes(bytes));
    let span = Span {
        content: &label,
        fill: theme.text,
        size: SMALL,
        is_bold: true,
    };
    svg.text(end + 8.0, middle + 4.5, Anchor::Start, span);
}

fn caption(prices: &[Price<'_>], is_log: bool) -> Vec<String> {
    let mut sentences = Vec::new();
    if is_log {
        sentences.push("Logarithmic: equal distances are equal ratios.".to_owned());
    }
    if prices.iter().any(|price| price.is_slope) {
        sentences.push("A price is a slope over connection counts (Theil–Sen).".to_owned());
    }
    if prices.iter().any(|price| !price.is_slope) {
        sentences
            .push("* A quotient, fixed costs included: too few counts for a slope.".to_owned());
    }
    if prices.iter().any(|price| price.interval.is_some()) {
        sentences.push("Thin line: 95 % interval.".to_owned());
    }
    sentences
}

fn describe(prices: &[Price<'_>]) -> String {
    let sentence = |price: &Price<'_>| {
        let bytes = format::or_missing(price.bytes, format::bytes);
        format!("{}: {bytes}.", price.label)
    };
    prices.iter().map(sentence).collect::<Vec<_>>().join(" ")
}

//! Bytes of one connection as stacked parts: slab caches of the kernel, user memory of both processes.

use super::facts;
use super::format;
use super::frame::{self, MARGIN, SMALL};
use super::group::{Group, Series};
use super::labels::text_width;
use super::ramp;
use super::scale::{Scale, linear_ticks};
use super::stack::{self, Segment, Stack};
use super::svg::{Anchor, Span, Stroke, Svg, WIDTH};
use super::theme::{Part, Theme};

const TOP: f64 = 148.0;
const BOTTOM: f64 = 464.0;

/// Draws the chart; `None` where no memory was read.
pub fn draw(group: &Group<'_>, theme: &Theme) -> Option<String> {
    let (connections, stacks) = stack::stacks(group)?;
    let mut svg = Svg::new(theme);
    let count = format::whole(f64::from(connections));
    let title = format!("Memory of one connection, at {count} connections held");
    let subtitle = facts::subtitle(group);
    frame::heading(&mut svg, &title, &subtitle);
    let fills = key(&mut svg, &stacks);
    let names = stacks.iter().map(|stack| text_width(&stack.name, 16.5));
    let left = MARGIN + names.fold(60.0, f64::max) + 14.0;
    let total_width = stacks
        .iter()
        .map(|stack| text_width(&format::bytes(stack.total()), 15.0));
    let right = WIDTH - MARGIN - total_width.fold(60.0, f64::max) - 8.0;
    let largest = stacks.iter().map(Stack::total).fold(0.0, f64::max);
    let scale = Scale::linear_from_zero(largest, (left, right));
    grid(&mut svg, &scale, largest);
    let row = ((BOTTOM - TOP) / stacks.len() as f64).min(76.0);
    for (index, stack) in stacks.iter().enumerate() {
        let middle = TOP + row * (index as f64 + 0.5);
        bar(
            &mut svg,
            stack,
            &scale,
            &fills,
            (middle, (row * 0.64).min(44.0)),
        );
    }
    frame::caption(&mut svg, &captions(group, &stacks));
    Some(svg.finish(&title, &format!("{subtitle}. {}", describe(&stacks))))
}

type Fills = Vec<(String, String)>;

/// Swatches with names, in the order of the stack; returns the fill of each part.
fn key(svg: &mut Svg, stacks: &[Stack]) -> Fills {
    let mut fills: Fills = Vec::new();
    let (mut x, mut y) = (MARGIN, 106.0);
    let mut parts: Vec<&Segment> = Vec::new();
    for segment in stacks.iter().flat_map(|stack| &stack.segments) {
        if parts.iter().all(|known| known.name != segment.name) {
            parts.push(segment);
        }
    }
    parts.sort_by_key(|segment| segment.rank());
    for segment in parts {
        let colour = svg.theme.part(segment.part);
        let fill = match segment.part {
            Part::ServerUser => svg.hatching("server", colour, 45),
            Part::ClientUser => svg.hatching("client", colour, -45),
            _ => colour.to_owned(),
        };
        let width = text_width(&segment.name, SMALL) + 36.0;
        if x + width > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + 20.0);
        }
        svg.rect((x, y - 11.0), (13.0, 13.0), &fill);
        let span = Span {
            content: &segment.name,
            fill: svg.theme.text,
            size: SMALL,
            is_bold: false,
        };
        svg.text(x + 19.0, y, Anchor::Start, span);
        x += width;
        fills.push((segment.name.clone(), fill));
    }
    fills
}

fn grid(svg: &mut Svg, scale: &Scale, largest: f64) {
    let theme = svg.theme;
    for tick in linear_ticks(largest)
        .into_iter()
        .filter(|tick| *tick <= scale.largest())
    {
        let x = scale.position(tick);
        svg.line((x, TOP), (x, BOTTOM), Stroke::solid(theme.grid, 1.0));
        let label = format::bytes(tick);
        let span = Span {
            content: &label,
            fill: theme.muted,
            size: SMALL,
            is_bold: false,
        };
        svg.text(x, BOTTOM + 19.0, Anchor::Middle, span);
    }
}

fn bar(svg: &mut Svg, stack: &Stack, scale: &Scale, fills: &Fills, (middle, height): (f64, f64)) {
    let theme = svg.theme;
    let zero = scale.position(0.0);
    let name = Span {
        content: &stack.name,
        fill: theme.text,
        size: 15.0,
        is_bold: true,
    };
    svg.text(zero - 12.0, middle + 5.0, Anchor::End, name);
    let mut sum = 0.0;
    for segment in &stack.segments {
        let (from, to) = (scale.position(sum), scale.position(sum + segment.bytes));
        sum += segment.bytes;
        let fill = fills
            .iter()
            .find(|(name, _)| *name == segment.name)
            .map_or("none", |(_, fill)| fill);
        // A hair's gap keeps neighbours apart for every eye.
        let width = (to - from - 1.0).max(0.3);
        svg.rect((from, middle - height / 2.0), (width, height), fill);
        value(svg, segment, (from + to) / 2.0, to - from, middle);
    }
    let total = format::bytes(stack.total());
    let span = Span {
        content: &total,
        fill: theme.text,
        size: 15.0,
        is_bold: true,
    };
    svg.text(scale.position(sum) + 8.0, middle + 5.0, Anchor::Start, span);
}

/// The bytes of a part are written into it where they fit.
fn value(svg: &mut Svg, segment: &Segment, centre: f64, room: f64, middle: f64) {
    let text = format::whole(segment.bytes);
    if text_width(&text, SMALL) + 10.0 > room {
        return;
    }
    let is_hatched = matches!(segment.part, Part::ServerUser | Part::ClientUser);
    let theme = svg.theme;
    let ink = if is_hatched {
        theme.text
    } else {
        ramp::ink_on(theme.part(segment.part))
    };
    let span = Span {
        content: &text,
        fill: ink,
        size: SMALL,
        is_bold: false,
    };
    svg.spans(centre, middle + 4.5, Anchor::Middle, is_hatched, &[span]);
}

fn captions(group: &Group<'_>, stacks: &[Stack]) -> Vec<String> {
    let mut sentences = vec![format!(
        "Kernel: slab pages of {}. Hatched: user memory.",
        group.shape.memory_scope()
    )];
    if stacks.first().is_some_and(|stack| stack.is_control) {
        sentences.push("null accepts and holds, and never arms: the control.".to_owned());
    }
    let is_absent = |series: &&Series<'_>| stacks.iter().all(|stack| stack.name != series.name);
    let absent: Vec<&str> = group
        .series
        .iter()
        .filter(|series| !series.is_control)
        .filter(is_absent)
        .map(|series| series.name.as_str())
        .collect();
    if !absent.is_empty() {
        sentences.push(format!("No memory figure: {}.", absent.join(", ")));
    }
    sentences
}

fn describe(stacks: &[Stack]) -> String {
    let sentence = |stack: &Stack| {
        let parts: Vec<String> = stack
            .segments
            .iter()
            .map(|part| format!("{} {}", part.name, format::bytes(part.bytes)))
            .collect();
        format!(
            "{}: {} ({}).",
            stack.name,
            format::bytes(stack.total()),
            parts.join(", ")
        )
    };
    stacks.iter().map(sentence).collect::<Vec<_>>().join(" ")
}

//! What stands around the data: heading, axes, grid, caption.

use super::format;
use super::labels::{Area, text_width};
use super::scale::{Scale, count_ticks};
use super::svg::{Anchor, Span, Stroke, Svg, WIDTH};

/// Distance of everything from the chart's edge.
pub const MARGIN: f64 = 28.0;
/// Where panels begin, below the heading.
pub const PLOT_TOP: f64 = 132.0;
/// Where panels end, above the axis labels.
pub const PLOT_BOTTOM: f64 = 448.0;
/// Size of axis labels, subtitles and captions.
pub const SMALL: f64 = 13.0;

/// One coordinate system.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// Where it lies.
    pub area: Area,
    /// Across.
    pub x: Scale,
    /// Up.
    pub y: Scale,
}

/// What the vertical axis says.
pub struct VerticalAxis<'a> {
    /// What is measured, with its unit.
    pub title: &'a str,
    /// Values and what to call them.
    pub ticks: &'a [(f64, String)],
    /// Whether the ticks are written, or only their gridlines drawn.
    pub is_labelled: bool,
}

/// What the horizontal axis says.
pub struct HorizontalAxis<'a> {
    /// What is along it, with its unit.
    pub title: &'a str,
    /// Values and what to call them.
    pub ticks: &'a [(f64, String)],
}

/// The ticks of an axis of connection counts: those of the measured ones that can be named.
pub fn named_counts(counts: &[u32], scale: &Scale) -> Vec<(f64, String)> {
    let named = count_ticks(counts, scale, 46.0);
    let tick = |count| (f64::from(count), format::short(f64::from(count)));
    named.into_iter().map(tick).collect()
}

/// Title and, on one line or two, where the numbers come from.
pub fn heading(svg: &mut Svg, title: &str, subtitle: &str) {
    let (text, muted) = (svg.theme.text, svg.theme.muted);
    let span = Span {
        content: title,
        fill: text,
        size: 23.0,
        is_bold: true,
    };
    svg.text(MARGIN, 42.0, Anchor::Start, span);
    for (index, line) in wrapped(subtitle, " · ").iter().take(2).enumerate() {
        let span = Span {
            content: line,
            fill: muted,
            size: SMALL,
            is_bold: false,
        };
        svg.text(MARGIN, 66.0 + 18.0 * index as f64, Anchor::Start, span);
    }
}

/// How to read the marks, at the foot, in sentences; on two lines at most.
pub fn caption(svg: &mut Svg, sentences: &[String]) {
    let lines = wrapped(&sentences.join(" "), " ");
    let muted = svg.theme.muted;
    for (index, line) in lines.iter().take(2).enumerate() {
        let span = Span {
            content: line,
            fill: muted,
            size: SMALL,
            is_bold: false,
        };
        let from_last = (lines.len().min(2) - 1 - index) as f64;
        svg.text(
            MARGIN,
            svg.height - 14.0 - 17.0 * from_last,
            Anchor::Start,
            span,
        );
    }
}

/// The grid, the horizontal axis and the vertical axis of a panel.
pub fn axes(
    svg: &mut Svg,
    panel: &Panel,
    horizontal: &HorizontalAxis<'_>,
    vertical: &VerticalAxis<'_>,
) {
    let area = panel.area;
    let theme = svg.theme;
    for (value, label) in vertical.ticks {
        let y = panel.y.position(*value);
        svg.line(
            (area.left, y),
            (area.right, y),
            Stroke::solid(theme.grid, 1.0),
        );
        if vertical.is_labelled {
            let span = Span {
                content: label,
                fill: theme.muted,
                size: SMALL,
                is_bold: false,
            };
            svg.text(area.left - 10.0, y + 4.5, Anchor::End, span);
        }
    }
    let baseline = ((area.left, area.bottom), (area.right, area.bottom));
    svg.line(baseline.0, baseline.1, Stroke::solid(theme.axis, 1.0));
    for (value, label) in horizontal.ticks {
        let x = panel.x.position(*value);
        svg.line(
            (x, area.bottom),
            (x, area.bottom + 5.0),
            Stroke::solid(theme.axis, 1.0),
        );
        let span = Span {
            content: label,
            fill: theme.muted,
            size: SMALL,
            is_bold: false,
        };
        svg.text(x, area.bottom + 21.0, Anchor::Middle, span);
    }
    let middle = (area.left + area.right) / 2.0;
    let title = Span {
        content: horizontal.title,
        fill: theme.text,
        size: SMALL,
        is_bold: false,
    };
    svg.text(middle, area.bottom + 41.0, Anchor::Middle, title);
    let left = if vertical.is_labelled {
        MARGIN
    } else {
        area.left
    };
    let title = Span {
        content: vertical.title,
        fill: theme.text,
        size: 14.0,
        is_bold: true,
    };
    svg.text(left, area.top - 16.0, Anchor::Start, title);
}

/// Breaks a text at a separator into lines that fit between the margins.
fn wrapped(text: &str, separator: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in text.split(separator) {
        match lines.last_mut() {
            Some(line)
                if text_width(&format!("{line}{separator}{part}"), SMALL)
                    <= WIDTH - 2.0 * MARGIN =>
            {
                line.push_str(separator);
                line.push_str(part);
            }
            _ => lines.push(part.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_subtitle_breaks_between_its_parts() {
        let part = "Intel Xeon Platinum 8375C @ 2.90GHz, 128 cores";
        let text = [part; 4].join(" · ");
        let lines = wrapped(&text, " · ");
        assert!(lines.len() > 1);
        assert!(
            lines
                .iter()
                .all(|line| text_width(line, SMALL) <= WIDTH - 2.0 * MARGIN)
        );
        assert_eq!(lines.join(" · "), text);
    }
}

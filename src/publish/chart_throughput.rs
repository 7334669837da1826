//! Verified echoes a second against connections.

use super::chart::{LineChart, Spread, line_chart};
use super::format::{rate, short};
use super::group::Group;
use super::metric;
use super::theme::Theme;

/// Draws the chart; `None` without any rate.
pub fn draw(group: &Group<'_>, theme: &Theme) -> Option<String> {
    let chart = LineChart {
        title: "Throughput against connections",
        panels: &[("verified echoes a second", metric::rate)],
        form: rate,
        tick_form: short,
        // Rates lie within a factor of five: from zero, a height is a share.
        spread: Spread::FromZero,
    };
    line_chart(group, theme, &chart)
}

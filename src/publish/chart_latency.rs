//! Median and 99th percentile of latency against connections.

use super::chart::{LineChart, Spread, line_chart};
use super::format::{duration_ns, duration_tick};
use super::group::Group;
use super::metric;
use super::theme::Theme;

/// Draws the chart; `None` without any latency.
pub fn draw(group: &Group<'_>, theme: &Theme) -> Option<String> {
    let chart = LineChart {
        title: "Latency against connections",
        panels: &[("p50 (median)", metric::p50), ("p99", metric::p99)],
        form: duration_ns,
        tick_form: duration_tick,
        spread: Spread::Log,
    };
    line_chart(group, theme, &chart)
}

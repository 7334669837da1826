//! CPU time for one echo, on both sides: it separates servers even where the client is busy all the time.

use super::chart::{LineChart, Spread, line_chart};
use super::format::{duration_ns, duration_tick};
use super::group::Group;
use super::metric;
use super::theme::Theme;

/// Draws the chart; `None` without any CPU time.
pub fn draw(group: &Group<'_>, theme: &Theme) -> Option<String> {
    let chart = LineChart {
        title: "CPU time for one echo against connections",
        panels: &[
            ("server", metric::server_cpu),
            ("client", metric::client_cpu),
        ],
        form: duration_ns,
        tick_form: duration_tick,
        spread: Spread::FromZero,
    };
    line_chart(group, theme, &chart)
}

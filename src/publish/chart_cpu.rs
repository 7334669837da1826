//! CPU time for one echo, on both sides: it separates servers even where the client is busy all the time.

use super::cast;
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
        // Among many there is one that takes ten times as much as another: from zero the rest would be one line.
        spread: if cast::is_crowded(group) {
            Spread::Log
        } else {
            Spread::FromZero
        },
    };
    line_chart(group, theme, &chart)
}

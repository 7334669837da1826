//! Kernel bytes of one connection against connections: flat where fixed costs do not matter any more.

use super::chart::{LineChart, Spread, line_chart};
use super::format::bytes;
use super::group::{Group, MEMORY_CONNECTIONS_MIN};
use super::metric;
use super::theme::Theme;

/// Draws the chart; `None` with fewer than two counts at which memory was read.
pub fn draw(group: &Group<'_>, theme: &Theme) -> Option<String> {
    let is_read = |count: &u32| {
        let runs = group
            .records
            .iter()
            .filter(|record| record.case.connections == *count);
        runs.into_iter()
            .any(|record| metric::kernel_bytes(record).is_some())
    };
    let counts = group
        .counts()
        .into_iter()
        .filter(|count| *count >= MEMORY_CONNECTIONS_MIN);
    if counts.filter(is_read).count() < 2 {
        return None;
    }
    let title = format!("Kernel memory of {}", group.shape.memory_scope());
    let chart = LineChart {
        title: &title,
        panels: &[("bytes a connection", metric::kernel_bytes)],
        form: bytes,
        tick_form: bytes,
        spread: Spread::FromZero,
    };
    line_chart(group, theme, &chart)
}

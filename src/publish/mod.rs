//! From records alone: charts, a report, tables. Starts no process and measures nothing.
//!
//! Whatever is shown is computed from the records at hand, so that it can be redrawn at any time.

mod chart;
mod chart_cpu;
mod chart_growth;
mod chart_latency;
mod chart_memory;
mod chart_throughput;
mod draw;
mod facts;
#[cfg(test)]
pub mod fixture;
mod format;
mod frame;
mod group;
mod labels;
mod lines;
mod scale;
mod stack;
mod svg;
mod theme;
#[cfg(test)]
pub fn scratch(directory: &std::path::Path, prefix: &str, records: &[fourtuple_spec::Record]) {
    for group in group::groups(records) { for theme in [theme::LIGHT, theme::DARK] { for c in &chart::CHARTS {
        if let Some(s) = (c.draw)(&group, &theme) { std::fs::write(directory.join(format!("{prefix}{}-{}.svg", c.name, theme.name)), s).unwrap(); } } } }
}

//! From records alone: charts, a report, tables. Starts no process and measures nothing.
//!
//! Whatever is shown is computed from the records at hand, so that it can be redrawn at any time.

mod cast;
mod change;
mod chart;
mod chart_comparison;
mod chart_cpu;
mod chart_factors;
mod chart_growth;
mod chart_held;
mod chart_idle;
mod chart_judges;
mod chart_latency;
mod chart_memory;
mod chart_mix;
mod chart_model;
mod chart_open;
mod chart_price;
mod chart_rounds;
mod chart_setup;
mod chart_throughput;
mod comparison;
mod draw;
mod endpoint;
mod factors;
mod facts;
#[cfg(test)]
pub mod fixture;
#[cfg(test)]
mod fixture_comparison;
#[cfg(test)]
mod fixture_factors;
mod floor;
mod format;
mod frame;
mod front;
mod group;
mod held;
mod judges;
mod kind;
mod labels;
mod ledger;
mod lines;
mod link;
mod markdown;
mod metric;
mod mix;
mod model;
mod open;
mod point;
mod price;
mod ramp;
mod readme;
mod report;
mod rivals;
mod rivals_words;
mod rounds;
mod scale;
mod share;
mod sheet;
mod sheet_ceiling;
mod sheet_endpoint;
mod sheet_factors;
mod sheet_held;
mod sheet_judges;
mod sheet_mix;
mod sheet_model;
mod sheet_open;
mod sheet_price;
mod sheet_rounds;
mod sheet_share;
mod sheets;
mod stack;
mod summary;
mod svg;
mod table;
mod tables;
mod theme;
mod verdict;

pub use front::{Front, Measured, front};
pub use link::link;
pub use report::{About, report, write_whole};
pub use summary::summary;
pub use table::table;

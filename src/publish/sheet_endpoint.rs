//! The server's endpoint by both ways, as a table.

use super::endpoint::{Endpoint, Reading, WITHIN, endpoints};
use super::format::{MISSING, bytes, count_range, deviation, percent, range};
use super::ledger::yes_or_no;
use super::sheet::Sheet;
use fourtuple_spec::Record;

/// The table; `None` where no engine was read by both ways.
pub fn sheet(results: &[&[Record]]) -> Option<Sheet> {
    let all = endpoints(results);
    let within = format!("within {}", percent(WITHIN).replace(".0", ""));
    let mut sheet = Sheet::new(
        "The server's endpoint: measured with ghosts, divided with kernel peers",
        1,
        &[
            "engine",
            "ghosts",
            "interval",
            "kernel peers",
            "interval",
            "difference",
        ],
    );
    sheet.headings.push(within);
    sheet.headings.push("counts".to_owned());
    sheet.rows = all.iter().map(row).collect();
    sheet.intro = "Kernel bytes of one server endpoint. Ghosts hold no socket, so what is measured is the server's alone. \
                   With kernel peers it is the server's share of a pair, by difference against null. Slopes (Theil–Sen); \
                   without an interval a quotient, fixed costs included."
        .to_owned();
    (!sheet.rows.is_empty()).then_some(sheet)
}

fn row(one: &Endpoint) -> Vec<String> {
    let interval = |reading: &Reading| {
        let found = reading
            .interval
            .as_ref()
            .map(|interval| range(interval, bytes));
        found.unwrap_or_else(|| MISSING.to_owned())
    };
    vec![
        one.engine.to_string(),
        bytes(one.measured.bytes),
        interval(&one.measured),
        bytes(one.divided.bytes),
        interval(&one.divided),
        deviation(one.difference()),
        yes_or_no(one.is_within()).to_owned(),
        format!(
            "{}; {}",
            count_range(&one.measured.counts),
            count_range(&one.divided.counts)
        ),
    ]
}

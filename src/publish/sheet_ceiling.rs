//! The runs that opened connections until something stopped them, as a table.

use super::format::{MISSING, bytes, decimal_bytes, or_missing, whole};
use super::group::kebab;
use super::kind::{Kind, of_kind, settings_after};
use super::metric;
use super::sheet::Sheet;
use super::sheet_model::largest_memory;
use fourtuple_spec::Record;

/// Runs that opened connections until something stopped them.
pub fn sheet(records: &[Record]) -> Option<Sheet> {
    let mut sheet = Sheet::new(
        "The ceiling: connections until something stops them",
        2,
        &[
            "engine",
            "peers",
            "held",
            "proved live",
            "stopped by",
            "kernel",
            "server user",
            "client user",
            "all of it",
        ],
    );
    let runs = of_kind(records, Kind::Ceiling);
    sheet.rows = runs.iter().map(|record| row(record)).collect();
    let memory = largest_memory(&runs);
    sheet.intro = "Bytes are of one connection; all of it is the memory of all of them".to_owned();
    sheet.intro.push_str(&memory.map_or_else(
        || ".".to_owned(),
        |bytes| format!(", where the machine has {}.", decimal_bytes(bytes as f64)),
    ));
    let scopes = super::sheet_held::scopes(runs.iter().map(|record| record.case.peer));
    sheet.intro.push_str(&format!(" {scopes}"));
    (!sheet.rows.is_empty()).then_some(sheet)
}

fn row(record: &Record) -> Vec<String> {
    let setup = &record.setup;
    let count = |count: Option<u32>| or_missing(count.map(f64::from), whole);
    let stopped = record.limiter.as_deref().or(record.error.as_deref());
    vec![
        format!("{}{}", record.case.arm(), settings_after(&record.case)),
        kebab(&record.case.peer),
        count(setup.connections_held),
        count(setup.connections_proved),
        super::format::shortened(stopped.unwrap_or(MISSING), 40),
        or_missing(metric::kernel_bytes(record), bytes),
        or_missing(metric::server_bytes(record), bytes),
        or_missing(metric::client_bytes(record), bytes),
        or_missing(all_of_it(record), decimal_bytes),
    ]
}

/// Kernel and user memory of all connections that a run held.
fn all_of_it(record: &Record) -> Option<f64> {
    let sides = [metric::server_bytes(record), metric::client_bytes(record)];
    let each = metric::kernel_bytes(record)? + sides.into_iter().flatten().sum::<f64>();
    Some(each * metric::held(record))
}

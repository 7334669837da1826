//! Latency by offered load, as a table.

use super::format::{MISSING, duration_ns, or_missing, percent, whole};
use super::metric::{self, Metric};
use super::open::{Key, Load, loads};
use super::sheet::Sheet;
use fourtuple_spec::Record;

/// A table for each shape of load.
pub fn sheets(records: &[Record]) -> Vec<Sheet> {
    let all = loads(records);
    all.iter().map(|(key, loads)| sheet(key, loads)).collect()
}

fn sheet(key: &Key, loads: &[Load<'_>]) -> Sheet {
    let mut sheet = Sheet::new(
        "Latency at an offered load",
        2,
        &[
            "engine",
            "offered/s",
            "served",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
            "service p50",
            "service p99",
            "server CPU",
        ],
    );
    sheet.rows = loads.iter().map(row).collect();
    let busy = match key.hot < key.connections {
        true => format!("{} of them", whole(f64::from(key.hot))),
        false => "all of them".to_owned(),
    };
    sheet.intro = format!(
        "{} connections, {busy} busy; {}. Latency is from the time at which a message was to leave, service \
         time from when it did. Served is echoes to what was offered: below 100 % the server did not keep up, and \
         latency grows with the length of the run. Percentiles are means over runs; the longest is of all runs.",
        whole(f64::from(key.connections)),
        key.words
    );
    if sheet.rows.iter().any(|row| row[2].ends_with('*')) {
        let note = "* rests on invalid runs alone: such a latency is that of a backlog.";
        sheet.notes = vec![note.to_owned()];
    }
    sheet
}

fn row(load: &Load<'_>) -> Vec<String> {
    let time = |metric: Metric| {
        let estimate = load.point.estimate(metric);
        or_missing(estimate.map(|estimate| estimate.value), duration_ns)
    };
    let valid = load.point.valid_runs();
    let longest = valid.filter_map(|run| run.latency_ns.max).max();
    let failure = load.point.failure();
    let rate = load.point.estimate(metric::rate);
    let mark = match rate {
        Some(rate) if rate.is_hollow => "*",
        _ => "",
    };
    let served = load
        .served()
        .map(|share| format!("{}{mark}", percent(share)));
    let failed = || failure.map(|failure| format!("{MISSING} ({failure})"));
    vec![
        load.case.arm(),
        whole(f64::from(load.offered())),
        served.or_else(failed).unwrap_or_else(|| MISSING.to_owned()),
        time(metric::p50),
        time(metric::p90),
        time(metric::p99),
        time(metric::p999),
        or_missing(longest.map(|time| time as f64), duration_ns),
        time(metric::service_p50),
        time(metric::service_p99),
        time(metric::server_cpu),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use fourtuple_spec::Engine;

    #[test]
    fn a_row_has_intended_times_and_service_times_and_whether_it_kept_up() {
        let records = [
            fixture::open(Engine::Uring, 50_000, 0),
            fixture::open(Engine::Uring, 1_000_000, 0),
        ];
        let sheets = sheets(&records);
        assert_eq!(sheets.len(), 1);
        let rows = &sheets[0].rows;
        assert_eq!(rows[0][2].replace('\u{a0}', " "), "100 %");
        assert_eq!(rows[1][1], "1,000,000");
        assert!(rows[1][2].starts_with('2'), "{rows:?}");
        let mut cells = rows.iter().flatten();
        assert!(cells.all(|cell| cell != MISSING), "{rows:?}");
        assert!(sheets[0].notes.is_empty());
        let mut behind = records.to_vec();
        behind[1].outcome = fourtuple_spec::record::Outcome::Invalid;
        let marked = &super::sheets(&behind)[0];
        assert!(marked.rows[1][2].ends_with('*') && marked.notes.len() == 1);
        let intro = &sheets[0].intro;
        assert!(intro.contains("open loop, ghost peers"), "{intro}");
    }
}

//! What an echo takes besides time: CPU, system calls, context switches, wake-ups, and what ran short.

use super::format::{MISSING, duration_ns, or_missing, whole};
use super::group::{Group, Series};
use super::metric::{self, Metric};
use super::point::Point;
use super::sheet::Sheet;
use super::verdict::is_arm;
use fourtuple_spec::Record;
use fourtuple_spec::record::Cost;

/// The counts that are shown where they ran; where none did, the first and the last that did.
const COUNTS: [u32; 4] = [1, 100, 10_000, 100_000];

/// A count over a run that should be nothing.
type Count = fn(&Cost) -> Option<u64>;

/// The table; `None` where no run says what it cost.
pub fn sheet(group: &Group<'_>) -> Option<Sheet> {
    let has_cost = |record: &&Record| record.cost != Cost::default();
    if !group.records.iter().any(has_cost) {
        return None;
    }
    let mut sheet = Sheet::new(
        "What an echo costs",
        2,
        &[
            "connections",
            "engine",
            "server CPU",
            "client CPU",
            "server's system calls",
            "of these traced",
            "client's system calls",
            "server's switches",
            "client's switches",
            "completions a wake-up",
            "no buffer",
            "overflows",
        ],
    );
    for count in shown(group) {
        let arms = group.series.iter().filter(|series| !series.is_control);
        let points = arms.filter_map(|series| Some((series, series.point(count)?)));
        let rows = points.filter_map(|(series, point)| row(series, point));
        sheet.rows.extend(rows);
    }
    sheet.intro = "For one echo, over the measured span, the median of valid runs: CPU time of each side, system calls as \
                   each side counts them and, of the server, as the kernel traced them during the warm-up, where counting \
                   takes no time from what is measured; context switches, voluntary and not; completions or events that \
                   one call of the server brought. Receives that found no buffer and completions that did not fit the \
                   queue are counts of a run, server and client, of the run with most."
        .to_owned();
    sheet.notes.extend(client_share(group));
    (!sheet.rows.is_empty()).then_some(sheet)
}

fn shown(group: &Group<'_>) -> Vec<u32> {
    let all = group.counts();
    let chosen: Vec<u32> = all
        .iter()
        .copied()
        .filter(|count| COUNTS.contains(count))
        .collect();
    match (chosen.is_empty(), all.first(), all.last()) {
        (true, Some(first), Some(last)) if first != last => vec![*first, *last],
        (true, Some(first), _) => vec![*first],
        _ => chosen,
    }
}

fn row(series: &Series<'_>, point: &Point<'_>) -> Option<Vec<String>> {
    point.estimate(metric::rate)?;
    let number = |metric: Metric, form: fn(f64) -> String| {
        or_missing(point.estimate(metric).map(|found| found.value), form)
    };
    Some(vec![
        whole(f64::from(point.connections)),
        series.name.clone(),
        number(metric::server_cpu, duration_ns),
        number(metric::client_cpu, duration_ns),
        number(|run| run.cost.server_system_calls_per_echo, each),
        number(|run| run.cost.server_system_calls_traced_per_echo, each),
        number(|run| run.cost.client_system_calls_per_echo, each),
        number(|run| run.cost.server_switches_per_echo, each),
        number(|run| run.cost.client_switches_per_echo, each),
        number(|run| run.cost.server_completions_per_wakeup, few),
        most(
            point,
            |cost| cost.server_no_buffers,
            |cost| cost.client_no_buffers,
        ),
        most(
            point,
            |cost| cost.server_overflows,
            |cost| cost.client_overflows,
        ),
    ])
}

/// `0; 12`: the server's and the client's, of the run with most.
fn most(point: &Point<'_>, server: Count, client: Count) -> String {
    let of = |count: Count| {
        let counts = point.valid_runs().filter_map(|run| count(&run.cost));
        or_missing(counts.max().map(|count| count as f64), whole)
    };
    match (of(server), of(client)) {
        (server, client) if server == MISSING && client == MISSING => server,
        (server, client) => format!("{server}; {client}"),
    }
}

/// How many times a side calls, or is switched away from, for one echo: `2.00`, `0.031`, `0.0004`.
fn each(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value >= 0.995 => format!("{value:.2}"),
        value if value >= 0.01 => format!("{value:.3}"),
        value if value >= 0.000_05 => format!("{value:.4}"),
        _ => "under 0.0001".to_owned(),
    }
}

/// `63.5`, `1.0`, `420`.
fn few(value: f64) -> String {
    if value < 99.95 {
        format!("{value:.1}")
    } else {
        whole(value)
    }
}

/// Whether the client takes more CPU an echo than a server does, at any count: then its share of the rate is large.
fn client_share(group: &Group<'_>) -> Option<String> {
    let mut dearer = Vec::new();
    let mut points = 0;
    for series in group.series.iter().filter(|series| is_arm(series)) {
        for point in &series.points {
            let server = point.estimate(metric::server_cpu);
            let (Some(server), Some(client)) = (server, point.estimate(metric::client_cpu)) else {
                continue;
            };
            points += 1;
            if client.value > server.value {
                let count = whole(f64::from(point.connections));
                dearer.push(format!("{} at {count}", series.name));
            }
        }
    }
    let said = match (points, dearer.len()) {
        (0, _) => return None,
        (_, 0) => "The client takes less CPU an echo than the server at every point.".to_owned(),
        (points, count) => {
            let named = dearer
                .iter()
                .take(8)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            let rest = if count > 8 { ", and others" } else { "" };
            format!(
                "The client takes more CPU an echo than the server at {count} of {points} points: {named}{rest}."
            )
        }
    };
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::super::group::groups;
    use super::super::{fixture, fixture_factors as fixtures};
    use super::*;

    #[test]
    fn each_engine_has_a_row_at_each_count_that_is_shown() {
        let records: Vec<Record> = fixture::sweep(3)
            .into_iter()
            .map(fixtures::costed)
            .collect();
        let groups = groups(&records);
        let sheet = sheet(&groups[0]).unwrap();
        let counts: Vec<&str> = sheet.rows.iter().map(|row| &row[0][..]).collect();
        assert!(counts.contains(&"1") && counts.contains(&"100") && counts.contains(&"10,000"));
        assert!(!counts.contains(&"1,000"));
        let row = sheet.rows.iter().find(|row| row[1] == "uring").unwrap();
        assert_eq!(
            row[4..],
            [
                "0.031", "0.032", "0.500", "0.0004", "0.0020", "63.5", "0; 12", "0; 0"
            ]
        );
        assert!(
            sheet
                .rows
                .iter()
                .all(|row| !row[1].contains("A/A") && row[1] != "null")
        );
        let said = "The client takes less CPU an echo than the server at every point.";
        assert_eq!(sheet.notes, [said]);
    }

    #[test]
    fn older_records_have_no_table_and_what_is_not_counted_is_a_dash() {
        let mut records = fixture::sweep(2);
        assert!(sheet(&groups(&records)[0]).is_none());
        records[0].cost.server_switches_per_echo = Some(0.0);
        let groups = groups(&records);
        let sheet = sheet(&groups[0]).unwrap();
        let row = &sheet.rows[0];
        assert_eq!(
            (&row[7][..], &row[4][..], &row[10][..]),
            ("0", MISSING, MISSING)
        );
    }

    #[test]
    fn a_client_that_takes_more_than_the_server_is_named() {
        let mut records: Vec<Record> = fixture::sweep(1)
            .into_iter()
            .map(fixtures::costed)
            .collect();
        records[0].cpu.client_ns_per_echo = Some(1e6);
        let groups = groups(&records);
        let notes = sheet(&groups[0]).unwrap().notes.join(" ");
        assert!(notes.contains(": uring at 1."), "{notes}");
    }
}

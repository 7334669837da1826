//! The table of a group on a front page: the counts and the arms that it has room for.

use super::cast;
use super::facts;
use super::format::{self, MISSING, bytes, duration_ns, percent, whole};
use super::group::{Group, MEMORY_CONNECTIONS_MIN, Series};
use super::markdown::{self, escape};
use super::metric::{self, Metric};
use super::point::Point;
use super::tables;
use super::verdict::verdicts;

/// One row of the table.
struct Row<'a> {
    series: &'a Series<'a>,
    point: &'a Point<'a>,
    share_of_floor: Option<f64>,
}

/// One column: its heading and what stands in it.
struct Column {
    heading: &'static str,
    cell: fn(&Row<'_>) -> Option<String>,
}

const COLUMNS: [Column; 6] = [
    Column {
        heading: "echoes a second",
        cell: |row| tables::rate(row.point).or_else(|| failure(row.point)),
    },
    Column {
        heading: "of the floor",
        cell: |row| row.share_of_floor.map(percent),
    },
    Column {
        heading: "server CPU an echo",
        cell: |row| value(row, metric::server_cpu, duration_ns),
    },
    Column {
        heading: "kernel memory a connection",
        cell: |row| memory(row, metric::kernel_bytes),
    },
    Column {
        heading: "server's user memory a connection",
        cell: |row| memory(row, metric::server_bytes),
    },
    Column {
        heading: "opened a second",
        cell: |row| many(row).and_then(|row| value(row, metric::setup_rate, format::rate)),
    },
];

/// The counts that a front page has room for, every arm but the A/A one, of many those that stand out, and no
/// empty column.
pub fn table(group: &Group<'_>) -> String {
    let shares = verdicts(group).map_or(Vec::new(), |verdicts| verdicts.floor_shares);
    let share = |series: &Series<'_>, count: u32| {
        let mut all = shares.iter();
        all.find(|(connections, name, _)| *connections == count && *name == series.name)
            .map(|(.., share)| *share)
    };
    let mut rows: Vec<Row<'_>> = Vec::new();
    let quiet = cast::quiet(group);
    let is_shown = |series: &&Series<'_>| {
        !series.is_control && quiet.iter().all(|one| one.name != series.name)
    };
    for count in counts(group) {
        let arms = group.series.iter().filter(is_shown);
        rows.extend(arms.filter_map(|series| {
            Some(Row {
                series,
                point: series.point(count)?,
                share_of_floor: share(series, count),
            })
        }));
    }
    rows.retain(|row| COLUMNS.iter().any(|column| (column.cell)(row).is_some()));
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|column| rows.iter().any(|row| (column.cell)(row).is_some()))
        .collect();
    if columns.is_empty() {
        return String::new();
    }
    let mut headings = vec!["connections".to_owned(), "engine".to_owned()];
    headings.extend(columns.iter().map(|column| column.heading.to_owned()));
    let cells = |row: &Row<'_>| {
        let mut cells = vec![
            whole(f64::from(row.point.connections)),
            format!("`{}`", row.series.name),
        ];
        let missing = || MISSING.to_owned();
        cells.extend(
            columns
                .iter()
                .map(|column| (column.cell)(row).unwrap_or_else(missing)),
        );
        cells
    };
    let has_memory = rows
        .iter()
        .any(|row| memory(row, metric::kernel_bytes).is_some());
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let table = markdown::numbers(&headings, &rows);
    format!("{table}\n{}\n\n", notes(group, has_memory))
}

/// Powers of ten and the largest; all, where that would leave none but the largest.
fn counts(group: &Group<'_>) -> Vec<u32> {
    let all = group.counts();
    let is_decade = |count: &u32| 10_u32.pow(count.max(&1).ilog10()) == *count;
    if !all.iter().any(is_decade) {
        return all;
    }
    let largest = all.last().copied();
    all.into_iter()
        .filter(|count| is_decade(count) || Some(*count) == largest)
        .collect()
}

/// What a reader has to know to read the table: made from the records, so that it never says too much.
fn notes(group: &Group<'_>, has_memory: bool) -> String {
    let mut notes = vec![format!("{}.", group.shape.words())];
    notes.extend(facts::runs(group).map(|runs| format!("{runs} a point.")));
    let quiet = cast::quiet(group).len();
    if quiet > 0 {
        notes.push(format!(
            "Of {} the best is shown; the chart and the report have all.",
            format::counted(quiet + 1, "baseline")
        ));
    }
    if has_memory {
        notes.push(format!(
            "Kernel memory is of {}, fixed costs included.",
            group.shape.memory_scope()
        ));
    }
    let points = || group.series.iter().flat_map(|series| &series.points);
    let is_hollow = |point: &Point<'_>| {
        let estimate = point.estimate(metric::rate);
        estimate.is_some_and(|estimate| estimate.is_hollow)
    };
    if points().any(is_hollow) {
        notes.push("\\* rests on invalid runs alone.".to_owned());
    }
    notes.join(" ")
}

fn failure(point: &Point<'_>) -> Option<String> {
    let failure = point.failure()?;
    Some(format!("{MISSING} ({})", escape(failure)))
}

fn value(row: &Row<'_>, metric: Metric, form: fn(f64) -> String) -> Option<String> {
    let estimate = row.point.estimate(metric)?;
    Some(form(estimate.value))
}

fn memory(row: &Row<'_>, metric: Metric) -> Option<String> {
    value(many(row)?, metric, bytes)
}

/// The row, if it is of so many connections that what one of them costs means anything.
fn many<'a, 'b>(row: &'a Row<'b>) -> Option<&'a Row<'b>> {
    (row.point.connections >= MEMORY_CONNECTIONS_MIN).then_some(row)
}

//! The memory ledger of connections at rest, by cache and part, and its second witness.

use super::format::{MISSING, bytes, decimal_bytes, or_missing, percent, whole};
use super::group::{Group, MEMORY_CONNECTIONS_MIN, Series};
use super::metric;
use super::share::{at_rest, of_runs};
use super::sheet::Sheet;
use fourtuple_spec::Record;
use fourtuple_spec::record::Outcome;

/// Rows under this many bytes a connection, for every engine, are left out.
const BYTES_MIN: f64 = 0.5;

/// From so many connections on, no more than [`UNATTRIBUTED_MAX`] may be left unexplained.
const JUDGED_CONNECTIONS_MIN: u32 = 100_000;

/// The share of memory that may be left unexplained.
const UNATTRIBUTED_MAX: f64 = 0.01;

/// The parts that are not the kernel's: see the record's `kernel_bytes_per_connection`.
const NOT_KERNEL: [&str; 2] = ["anonymous", "page_cache"];

/// One row of one run: what it is called and its bytes a connection.
pub type Row = (String, f64);

/// The kernel's memory of one run by slab cache, then by part, then what nothing explains; largest caches
/// first. The rows add up to the kernel's bytes a connection. `None` without a ledger.
pub fn rows(record: &Record) -> Option<Vec<Row>> {
    let ledger = at_rest(record)?;
    let each = |bytes: i64| bytes as f64 / metric::held(record);
    let mut rows: Vec<Row> = Vec::new();
    let by_cache = record.memory.by_cache.as_ref();
    for (name, bytes) in by_cache.into_iter().flatten() {
        let name = if name == "other" { "other slab" } else { name };
        rows.push((name.to_owned(), *bytes));
    }
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (name, bytes) in &ledger.parts {
        let is_shown = !NOT_KERNEL.contains(&name.as_str());
        // The caches are in the slab: it is one or the other.
        let is_cached = name == "slab" && by_cache.is_some();
        if let Some(bytes) = bytes.filter(|_| is_shown && !is_cached) {
            rows.push((name.replace('_', " "), each(bytes)));
        }
    }
    let left = ledger.unattributed_bytes.map(each);
    rows.extend(left.map(|bytes| ("unattributed".to_owned(), bytes)));
    Some(rows)
}

/// The ledger by cache of every engine, at the largest count at which two of them have one.
pub fn sheet(group: &Group<'_>) -> Option<Sheet> {
    let count = largest_count(group)?;
    let chosen: Vec<(&Series<'_>, Vec<Row>)> = group
        .series
        .iter()
        .filter(|series| !series.is_control)
        .filter_map(|series| Some((series, median_rows(series, count)?)))
        .collect();
    let mut sheet = Sheet::new(
        &format!(
            "The ledger, bytes a connection at {}",
            whole(f64::from(count))
        ),
        1,
        &["cache or part"],
    );
    sheet.intro = format!(
        "Kernel memory of {}, at rest: slab pages by cache, then the other parts. \
         A cache may hold objects of others that the kernel merged into it.",
        group.shape.memory_scope()
    );
    sheet
        .headings
        .extend(chosen.iter().map(|(series, _)| series.name.clone()));
    for name in names(&chosen) {
        let cells = chosen.iter().map(|(_, rows)| {
            let found = rows.iter().find(|(known, _)| *known == name);
            or_missing(found.map(|(_, bytes)| *bytes), bytes)
        });
        sheet.rows.push(
            std::iter::once(name.clone())
                .chain(cells.collect::<Vec<_>>())
                .collect(),
        );
    }
    sheet
        .rows
        .push(summed("kernel, sum", &chosen, count, |run| {
            metric::kernel_bytes(run)
        }));
    let witness = summed("memory cgroup, charged", &chosen, count, cgroup_bytes);
    if witness[1..].iter().any(|cell| cell != MISSING) {
        sheet.rows.push(witness);
        let largest: Vec<&Record> = group
            .records
            .iter()
            .copied()
            .filter(|run| run.case.connections == count)
            .collect();
        sheet.notes.extend(blind_spot(&largest));
    }
    Some(sheet)
}

fn summed(
    name: &str,
    chosen: &[(&Series<'_>, Vec<Row>)],
    count: u32,
    number: fn(&Record) -> Option<f64>,
) -> Vec<String> {
    let cells = chosen.iter().map(|(series, _)| {
        let point = series.point(count);
        or_missing(point.and_then(|point| of_runs(point, number)), bytes)
    });
    std::iter::once(name.to_owned()).chain(cells).collect()
}

fn largest_count(group: &Group<'_>) -> Option<u32> {
    let having = |count: &u32| {
        let all = group.series.iter().filter(|series| !series.is_control);
        all.filter(|series| median_rows(series, *count).is_some())
            .count()
    };
    let mut counts = group.counts();
    counts.retain(|count| *count >= MEMORY_CONNECTIONS_MIN);
    let two = counts.iter().rev().find(|count| having(count) > 1);
    two.or(counts.iter().rev().find(|count| having(count) > 0))
        .copied()
}

fn median_rows(series: &Series<'_>, count: u32) -> Option<Vec<Row>> {
    let point = series.point(count)?;
    let runs: Vec<Vec<Row>> = point.valid_runs().filter_map(rows).collect();
    let first = runs.first()?;
    let mut names: Vec<&String> = first.iter().map(|(name, _)| name).collect();
    for (name, _) in runs.iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let median = |name: &String| {
        let of_run = |rows: &Vec<Row>| {
            let found = rows.iter().find(|(known, _)| known == name);
            found.map_or(0.0, |(_, bytes)| *bytes)
        };
        let values: Vec<f64> = runs.iter().map(of_run).collect();
        Some((name.clone(), crate::statistics::median(&values)?))
    };
    Some(names.into_iter().filter_map(median).collect())
}

/// The names of all rows worth one, in the order of the engine that has most of them.
fn names(chosen: &[(&Series<'_>, Vec<Row>)]) -> Vec<String> {
    let mut names: Vec<(String, f64, bool)> = Vec::new();
    for (name, bytes) in chosen.iter().flat_map(|(_, rows)| rows) {
        match names.iter_mut().find(|(known, ..)| known == name) {
            Some((_, largest, _)) => *largest = largest.max(bytes.abs()),
            None => names.push((name.clone(), bytes.abs(), name == "unattributed")),
        }
    }
    names.retain(|(_, largest, is_rest)| *is_rest || *largest >= BYTES_MIN);
    names.sort_by(|a, b| a.2.cmp(&b.2).then(b.1.total_cmp(&a.1)));
    names.into_iter().map(|(name, ..)| name).collect()
}

fn cgroup_bytes(record: &Record) -> Option<f64> {
    Some(at_rest(record)?.cgroup_bytes? as f64 / metric::held(record))
}

/// What the memory cgroup of these records cannot see, in a sentence.
pub fn blind_spot(records: &[&Record]) -> Option<String> {
    let mut versions = records
        .iter()
        .filter_map(|run| at_rest(run)?.cgroup_version);
    let version = versions.next()?;
    Some(format!(
        "The memory cgroup is the second witness, of version {version}: {}.",
        unseen(version)
    ))
}

/// What the memory cgroup of a version cannot see.
fn unseen(version: u32) -> &'static str {
    match version {
        1 => {
            "it is charged slab objects and not the pages that hold them, counts socket buffers apart, \
             and cannot see caches that are not accounted"
        }
        _ => {
            "it is charged slab objects and not the pages that hold them, and cannot see caches that \
             are not accounted"
        }
    }
}

/// The second witness of one run beside the ledger: `cgroup 8.2 GB of the ledger's 8.7 GB`.
pub fn witness(record: &Record) -> Option<String> {
    let ledger = at_rest(record)?;
    let charged = decimal_bytes(ledger.cgroup_bytes? as f64);
    let taken = or_missing(ledger.taken_bytes.map(|bytes| bytes as f64), decimal_bytes);
    let sentence = blind_spot(&[record]).unwrap_or_default();
    let text =
        format!("the cgroup was charged {charged}, the machine has {taken} less. {sentence}");
    Some(text.trim_end().to_owned())
}

/// The share that nothing explains, for every engine and count of [`JUDGED_CONNECTIONS_MIN`] or more.
pub fn unattributed(group: &Group<'_>) -> Option<Sheet> {
    let mut sheet = Sheet::new(
        "What no part of the ledger explains",
        1,
        &["engine", "connections", "unattributed", "at most 1 %"],
    );
    for series in group.series.iter().filter(|series| !series.is_control) {
        let points = series
            .points
            .iter()
            .filter(|point| point.connections >= JUDGED_CONNECTIONS_MIN);
        for point in points {
            let shares = point.runs.iter().filter(|run| run.outcome == Outcome::Ok);
            let shares = shares.filter_map(|run| metric::unattributed(run));
            let worst = shares.max_by(|a, b| a.abs().total_cmp(&b.abs()));
            let judged = worst.map(|share| yes_or_no(share.abs() <= UNATTRIBUTED_MAX));
            sheet.rows.push(vec![
                series.name.clone(),
                whole(f64::from(point.connections)),
                or_missing(worst, fine_percent),
                judged.unwrap_or(MISSING).to_owned(),
            ]);
        }
    }
    sheet.intro = format!(
        "A share of kernel and user memory taken, the worst of the valid runs; judged from {} connections on.",
        whole(f64::from(JUDGED_CONNECTIONS_MIN))
    );
    (!sheet.rows.is_empty()).then_some(sheet)
}

fn fine_percent(share: f64) -> String {
    if share != 0.0 && share.abs() < 0.000_5 {
        return format!("{} 0.05 %", if share < 0.0 { "> −" } else { "<" });
    }
    percent(share)
}

/// A judgement in a cell.
pub fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, group::groups};
    use super::*;
    use fourtuple_spec::Engine;

    #[test]
    fn rows_add_up_to_the_kernels_bytes() {
        let record = fixture::held(Engine::Uring, 100_000, 0);
        let sum: f64 = rows(&record).unwrap().iter().map(|(_, bytes)| bytes).sum();
        let kernel = metric::kernel_bytes(&record).unwrap();
        assert!((sum / kernel - 1.0).abs() < 1e-4, "{sum} is not {kernel}");
    }

    #[test]
    fn what_is_left_is_judged_for_every_engine_from_a_hundred_thousand_on() {
        let mut records = fixture::million(1);
        for record in &mut records {
            if record.case.engine == Some(Engine::Epoll) {
                record.memory.unattributed_share = Some(-0.02);
            }
        }
        let sheet = unattributed(&groups(&records)[0]).unwrap();
        assert_eq!(sheet.rows.len(), 12);
        let failed: Vec<&str> = sheet
            .rows
            .iter()
            .filter(|row| row[3] != "yes")
            .map(|row| row[0].as_str())
            .collect();
        assert_eq!(failed, ["epoll", "epoll"]);
    }

    #[test]
    fn every_engine_has_a_column_and_the_witness_says_what_it_cannot_see() {
        let records = fixture::million(1);
        let sheet = sheet(&groups(&records)[0]).unwrap();
        assert_eq!(sheet.headings.len(), 7);
        assert!(sheet.title.ends_with("1,000,000"));
        assert_eq!(sheet.rows[0][0], "TCP");
        assert!(sheet.notes[0].contains("version 2"), "{:?}", sheet.notes);
    }
}

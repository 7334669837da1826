//! What the lines of a group say: slopes, larger runs, and what memories of other sizes allow.

use super::format::{
    MISSING, bytes, count_range, counted, decimal_bytes, deviation, memory_bytes, or_missing,
    percent, range, rate, whole,
};
use super::group::{Group, Series};
use super::ledger::yes_or_no;
use super::metric;
use super::model::{self, Model};
use super::share::{Share, shares};
use super::sheet::Sheet;
use fourtuple_spec::{Peer, Record};

/// 2^32 client addresses and 2^16 ports, to one address and port of a server.
const FOUR_TUPLES: f64 = 281_474_976_710_656.0;

/// Machines that the model is asked about beside the one at hand, bytes.
const MACHINES: [f64; 2] = [64e9, 512e9];

/// The lines: slope with interval, and fixed costs. The A/A arm is among them: it shows the noise.
pub fn lines(group: &Group<'_>) -> Option<Sheet> {
    let mut sheet = Sheet::new(
        "Memory of a connection as a slope",
        1,
        &[
            "engine",
            "kernel",
            "interval",
            "fixed",
            "server user",
            "client user",
            "counts",
        ],
    );
    let models = group.series.iter().filter_map(model::model);
    for model in models.filter(|model| !model.is_of_large()) {
        let user = |fit: &Option<model::Fit>| {
            or_missing(fit.as_ref().map(|fit| fit.slope.estimate), bytes)
        };
        let kernel = &model.kernel;
        sheet.rows.push(vec![
            model.name.clone(),
            bytes(kernel.slope.estimate),
            range(&kernel.slope, bytes),
            decimal_bytes(kernel.at_zero),
            user(&model.server_user),
            user(&model.client_user),
            count_range(&kernel.counts),
        ]);
    }
    sheet.intro = format!(
        "Theil–Sen over {} counts or more up to {}, one point a count (the median of its valid runs); the \
         95 % interval is Sen's, by ranks of the pairwise slopes. Kernel memory is of {}: what the machine \
         has less of, without anonymous memory and page cache. Fixed is what the line says at no connection.",
        super::group::SLOPE_COUNTS_MIN,
        whole(f64::from(model::FIT_CONNECTIONS_MAX)),
        group.shape.memory_scope()
    );
    (!sheet.rows.is_empty()).then_some(sheet)
}

/// The slope over the largest runs, with what nothing explains in them.
pub fn beyond(group: &Group<'_>) -> Option<Sheet> {
    let from = whole(f64::from(model::FIT_CONNECTIONS_MAX));
    let mut sheet = Sheet::new(
        &format!("Memory of a connection as a slope from {from} on"),
        1,
        &[
            "engine",
            "kernel",
            "interval",
            "server user",
            "unattributed, most",
            "counts",
        ],
    );
    let series = group.series.iter().filter(|series| !series.is_control);
    sheet.rows = series.filter_map(beyond_row).collect();
    sheet.intro = format!(
        "Theil–Sen over the counts from {from} to the largest. Kernel memory is of {}. Below {} \
         counts the interval is that of the least and the greatest slope, and holds with less than 95 %.",
        group.shape.memory_scope(),
        super::group::SLOPE_COUNTS_MIN
    );
    (!sheet.rows.is_empty()).then_some(sheet)
}

fn beyond_row(series: &Series<'_>) -> Option<Vec<String>> {
    let kernel = model::fit_beyond(series, metric::kernel_bytes)?;
    let user = model::fit_beyond(series, metric::server_bytes);
    let points = series.points.iter();
    let points = points.filter(|point| kernel.counts.contains(&point.connections));
    let unexplained = points
        .flat_map(|point| point.valid_runs())
        .filter_map(metric::unattributed)
        .max_by(|a, b| a.abs().total_cmp(&b.abs()));
    Some(vec![
        series.name.clone(),
        bytes(kernel.slope.estimate),
        range(&kernel.slope, bytes),
        or_missing(user.map(|fit| fit.slope.estimate), bytes),
        or_missing(unexplained, percent),
        count_range(&kernel.counts),
    ])
}

/// What the lines say of larger runs, and what those were.
pub fn predictions(models: &[Model]) -> Option<Sheet> {
    let mut sheet = Sheet::new(
        "Larger runs, predicted from the smaller ones",
        1,
        &[
            "engine",
            "connections",
            "predicted",
            "measured",
            "error",
            "within 1 %",
            "with user",
        ],
    );
    for model in models {
        for one in &model.predictions {
            let total = one.total.map(|total| deviation(total.error()));
            sheet.rows.push(vec![
                model.name.clone(),
                whole(f64::from(one.connections)),
                decimal_bytes(one.kernel.predicted),
                decimal_bytes(one.kernel.measured),
                deviation(one.kernel.error()),
                yes_or_no(one.kernel.is_within()).to_owned(),
                total.unwrap_or_else(|| MISSING.to_owned()),
            ]);
        }
    }
    let all = models.iter().flat_map(|model| &model.predictions);
    let within = all.filter(|one| one.kernel.is_within()).count();
    sheet.intro =
        "Kernel memory; the last column is the error with the memory of both processes in it."
            .into();
    sheet.notes = vec![format!(
        "{within} of {} within 1 %.",
        counted(sheet.rows.len(), "prediction")
    )];
    (!sheet.rows.is_empty()).then_some(sheet)
}

/// How many connections memories of several sizes allow, and what all four-tuples would take.
pub fn capacity(group: &Group<'_>, models: &[Model]) -> Option<Sheet> {
    let here = largest_memory(&group.records);
    let mut sheet = Sheet::new("What memory allows", 2, &["engine", "side", "a connection"]);
    sheet
        .headings
        .extend(here.map(|bytes| format!("here, {}", memory_bytes(bytes))));
    let names = MACHINES.map(decimal_bytes);
    sheet.headings.extend(names);
    sheet.headings.push("2^48 of them".to_owned());
    let divided = shares(group);
    let shares = divided.as_ref().map_or(&[][..], |(_, shares)| shares);
    for model in models {
        let sizes: Vec<f64> = here
            .map(|bytes| bytes as f64)
            .into_iter()
            .chain(MACHINES)
            .collect();
        let mut sides = Vec::new();
        // What ghosts take of their own is a few bytes, and no part of a server's bill.
        let part = match group.shape.peer {
            Peer::Ghost => Some(1.0),
            Peer::Kernel => {
                sides.push(("both ends", model.pair_bytes()));
                part_of(shares, &model.name)
            }
        };
        sides.extend(part.map(|part| ("server", server_bytes(model, part))));
        let row = |(side, each): (&str, f64)| {
            capacity_row(&model.name, side, each, model.fixed_bytes(), &sizes)
        };
        sheet.rows.extend(sides.into_iter().map(row));
    }
    sheet.intro = "From the slopes, kernel and user memory, with the fixed costs taken off first. What the \
                   system itself has in use is not in the records and is not taken off, so these are upper bounds."
        .to_owned();
    if !shares.is_empty() {
        sheet.intro.push_str(
            " The server's side alone is the slope's part that the table by side below gives it.",
        );
    }
    (!sheet.rows.is_empty()).then_some(sheet)
}

fn capacity_row(name: &str, side: &str, each: f64, fixed: f64, sizes: &[f64]) -> Vec<String> {
    let mut row = vec![name.to_owned(), side.to_owned(), bytes(each)];
    let allowed = sizes
        .iter()
        .map(|size| model::connections_in(*size, fixed, each));
    row.extend(allowed.map(rate));
    row.push(decimal_bytes(each * FOUR_TUPLES));
    row
}

/// The server's part of the kernel memory of an engine's connections with kernel peers.
fn part_of(shares: &[Share], name: &str) -> Option<f64> {
    let share = shares.iter().find(|share| share.name == name)?;
    Some(share.server_part())
}

/// Bytes of the server's side: its part of the kernel's slope, and its user memory.
fn server_bytes(model: &Model, part: f64) -> f64 {
    let user = model.server_user.as_ref().map(|fit| fit.slope.estimate);
    model.kernel.slope.estimate * part + user.unwrap_or(0.0)
}

pub fn largest_memory(records: &[&Record]) -> Option<u64> {
    let all = records.iter().filter_map(|record| record.host.memory_bytes);
    all.max()
}

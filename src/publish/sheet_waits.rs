//! Sleeping and watching as a table, with what watching brings and takes.

use super::change::{Change, Told};
use super::format::{MISSING, duration_ns, or_missing, percent, rate, ratio, whole};
use super::metric::{self, Metric};
use super::sheet::Sheet;
use super::verdict::REFERENCE;
use super::waits::{Wait, Waits, waits};
use fourtuple_spec::Record;

/// The table; `None` where no server watched before it slept.
pub fn sheet(records: &[Record]) -> Option<Sheet> {
    let all = waits(records);
    let mut sheet = Sheet::new(
        "Sleeping and watching",
        2,
        &[
            "connections",
            "engine",
            "p50",
            "to blocking epoll's",
            "p99",
            "echoes/s",
            "server CPU an echo",
            "cores busy",
        ],
    );
    for waits in &all {
        sheet
            .rows
            .extend(waits.arms.iter().map(|one| row(waits, one)));
        sheet.notes.extend(notes(waits));
    }
    sheet.intro = format!(
        "A server that sleeps has to be woken; one that watches first (its spin, in microseconds) answers sooner, and \
         keeps a core busy that others could use. Ratios of the median latency to that of {REFERENCE}, which sleeps, \
         paired within repeats; an arrow stands where it is a difference."
    );
    (!sheet.rows.is_empty()).then_some(sheet)
}

fn row(waits: &Waits<'_>, one: &Wait<'_>) -> Vec<String> {
    let number = |metric: Metric, form: fn(f64) -> String| {
        or_missing(one.arm.estimate(metric).map(|found| found.value), form)
    };
    vec![
        whole(f64::from(waits.case.connections)),
        one.arm.name.clone(),
        number(metric::p50, duration_ns),
        one.p50.as_ref().map_or_else(|| MISSING.to_owned(), words),
        number(metric::p99, duration_ns),
        number(metric::rate, rate),
        number(metric::server_cpu, duration_ns),
        number(|run| run.cpu.server_busy, |busy| format!("{busy:.2}")),
    ]
}

/// `0.52× ↓ (0.51–0.53)`.
fn words(change: &Change) -> String {
    let mark = match change.told {
        Told::More => " ↑",
        Told::Less => " ↓",
        Told::Same | Told::Open => "",
    };
    let interval = change.interval;
    let range = interval.map(|interval| format!(" ({:.2}–{:.2})", interval.low, interval.high));
    format!("{}{mark}{}", ratio(change.ratio), range.unwrap_or_default())
}

/// Who is soonest among those that watch, and among those that sleep.
fn notes(waits: &Waits<'_>) -> Vec<String> {
    let count = waits.case.connections;
    let unit = if count == 1 {
        "connection"
    } else {
        "connections"
    };
    let at = format!("At {} {unit}", whole(f64::from(count)));
    let soonest = |watches: bool| {
        let compared = waits.arms.iter().filter(|one| one.arm.is_compared());
        let of_kind = compared.filter(|one| (one.spin_us > 0) == watches);
        let with_p50 = of_kind.filter_map(|one| {
            let p50 = one
                .arm
                .estimate(metric::p50)
                .filter(|found| !found.is_hollow)?;
            Some((one, p50.value))
        });
        let least = with_p50.min_by(|a, b| a.1.total_cmp(&b.1));
        least.map(|(one, _)| one)
    };
    let said = |one: &Wait<'_>, who: &str| {
        let p50 = one.arm.estimate(metric::p50)?;
        let to = match &one.p50 {
            None => "it is the reference itself".to_owned(),
            Some(change) if change.is_told() => format!("{} of blocking epoll's", words(change)),
            Some(change) => format!("no difference to blocking epoll ({})", words(change)),
        };
        Some(format!(
            "{at} the soonest server that {who} is {}, p50 {}: {to}.",
            one.arm.name,
            duration_ns(p50.value)
        ))
    };
    let mut notes = Vec::new();
    notes.extend(soonest(true).and_then(|one| said(one, "watches")));
    notes.extend(soonest(false).and_then(|one| said(one, "sleeps")));
    let width = or_missing(waits.width.map(|width| width - 1.0), percent);
    notes.push(format!("{at} the A/A width of p50 is {width}."));
    notes
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, fixture_factors as fixtures};
    use super::*;

    #[test]
    fn what_watching_brings_is_said_of_the_soonest() {
        let sheet = sheet(&fixtures::waits(4)).unwrap();
        assert_eq!(sheet.rows.len(), 5);
        assert_eq!(sheet.rows[2][3], MISSING);
        let notes = sheet.notes.join("\n");
        for said in [
            "At 1 connection the soonest server that watches is uring, spin = 50, p50 ",
            ": 0.50× ↓ (0.50–0.50) of blocking epoll's.",
            "At 1 connection the soonest server that sleeps is uring, p50 ",
            "At 1 connection the A/A width of p50 is ",
        ] {
            assert!(notes.contains(said), "{said}\n{notes}");
        }
        assert!(super::sheet(&fixture::sweep(2)).is_none());
    }
}

//! Shapes of load as tables: message sizes, depths, bursts, devices, workers, and connections that are opened
//! for one echo; and who is ahead at each, in sentences.

use super::change::{Change, Told, change};
use super::factors::{is_compared, rate as rate_of, refusal};
use super::field::{Arm, Lead, arms, by, lead, load, width};
use super::format::{MISSING, duration_ns, or_missing, percent, rate, ratio, whole};
use super::metric::{self, Metric};
use super::shapes::{Along, Course, courses};
use super::sheet::Sheet;
use super::variants::{Beside, Variant, variants};
use super::verdict::REFERENCE;
use fourtuple_spec::{Mode, Record};

/// Every table of shapes that the records have.
pub fn sheets(records: &[Record]) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    for along in [Along::MessageBytes, Along::Depth] {
        for course in courses(records, along) {
            sheets.push(rates(&course));
            sheets.push(costs(&course));
        }
    }
    sheets.extend(of_variants(&variants(records)));
    sheets.extend(churn(records));
    sheets
}

fn rates(course: &Course<'_>) -> Sheet {
    let title = match course.along {
        Along::MessageBytes => "Message sizes: verified echoes a second",
        Along::Depth => "Messages in flight: verified echoes a second",
    };
    let mut sheet = table(course, title, |arm| {
        or_missing(arm.estimate(rate_of).map(|found| found.value), rate)
    });
    if course.along == Along::MessageBytes {
        sheet.headings.push("most, MB/s each way".to_owned());
        for (row, (value, arms)) in sheet.rows.iter_mut().zip(&course.stops) {
            let most = arms
                .iter()
                .filter_map(Arm::valid_rate)
                .max_by(f64::total_cmp);
            let megabytes = most.map(|most| most * f64::from(*value) / 1e6);
            row.push(or_missing(megabytes, |megabytes| format!("{megabytes:.1}")));
        }
    }
    sheet.intro = format!(
        "{}. What is said of who is ahead compares the fastest of this project's engines with the fastest of \
         the others, paired within repeats, and counts outside the A/A width alone.",
        course.load_words()
    );
    let said = course.stops.iter().filter_map(|(value, arms)| {
        let at = format!("at {}", course.along.words(*value));
        Some(sentence(&at, &lead(arms)?))
    });
    sheet.notes.extend(said);
    sheet.notes.extend(left_out(course));
    sheet
}

/// The settings that the kernel did not grant, and so are in no column.
fn left_out(course: &Course<'_>) -> Option<String> {
    let mut refused: Vec<String> = course
        .records
        .iter()
        .filter_map(|run| Some(format!("{} ({})", run.case.arm(), refusal(run)?)))
        .collect();
    refused.sort();
    refused.dedup();
    (!refused.is_empty()).then(|| format!("Not granted, and left out: {}.", refused.join("; ")))
}

fn costs(course: &Course<'_>) -> Sheet {
    let title = match course.along {
        Along::MessageBytes => "Message sizes: CPU of the server an echo",
        Along::Depth => "Messages in flight: CPU of the server an echo",
    };
    let mut sheet = table(course, title, |arm| {
        let found = arm.estimate(metric::server_cpu);
        or_missing(found.map(|found| found.value), duration_ns)
    });
    sheet.intro = format!("{}.", course.load_words());
    sheet
}

fn table(course: &Course<'_>, title: &str, cell: impl Fn(&Arm<'_>) -> String) -> Sheet {
    let across = match course.along {
        Along::MessageBytes => "message",
        Along::Depth => "depth",
    };
    let mut sheet = Sheet::new(title, 1, &[across]);
    let names = course.names();
    sheet
        .headings
        .extend(names.iter().map(|(name, is_control)| match is_control {
            true => format!("{name} (A/A)"),
            false => name.clone(),
        }));
    for (value, arms) in &course.stops {
        let mut row = vec![course.along.words(*value)];
        row.extend(names.iter().map(|(name, is_control)| {
            let mut arms = arms.iter();
            let found = arms.find(|arm| arm.name == *name && arm.is_control == *is_control);
            found.map_or_else(|| MISSING.to_owned(), &cell)
        }));
        sheet.rows.push(row);
    }
    sheet
}

/// `At 4 KiB epoll is ahead of uring by 6.1 % (4.0 % to 8.2 %).`
fn sentence(at: &str, lead: &Lead<'_>) -> String {
    let (ours, other) = (&lead.subject.name, &lead.baseline.name);
    let at = capitalised(at);
    let interval = lead.change.interval;
    match lead.change.told {
        Told::More => {
            let range = interval.map(|interval| (interval.low - 1.0, interval.high - 1.0));
            let by = ahead(lead.change.ratio - 1.0, range);
            format!("{at} {ours} is ahead of {other} by {by}.")
        }
        Told::Less => {
            let range =
                interval.map(|interval| (1.0 / interval.high - 1.0, 1.0 / interval.low - 1.0));
            let by = ahead(1.0 / lead.change.ratio - 1.0, range);
            format!("{at} {other} is ahead of {ours} by {by}.")
        }
        Told::Same => format!(
            "{at} {ours} and {other} do not differ ({}).",
            ratio(lead.change.ratio)
        ),
        Told::Open => format!(
            "{at} {ours} to {other} is {}: not decided.",
            ratio(lead.change.ratio)
        ),
    }
}

fn ahead(by: f64, range: Option<(f64, f64)>) -> String {
    let range = range.map(|(low, high)| format!(" ({} to {})", percent(low), percent(high)));
    format!("{}{}", percent(by), range.unwrap_or_default())
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters
        .next()
        .map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}

fn of_variants(variants: &[Variant<'_>]) -> Option<Sheet> {
    let mut sheet = Sheet::new(
        "Bursts, devices and workers",
        3,
        &[
            "load",
            "connections",
            "engine",
            "echoes/s",
            "to the plain load",
            "p50",
            "p50 to the plain load",
            "p99",
            "server CPU an echo",
        ],
    );
    for variant in variants {
        let rows = variant.arms.iter();
        sheet
            .rows
            .extend(rows.map(|(arm, beside)| variant_row(variant, arm, beside)));
        sheet.notes.extend(lead(&variant.all).map(|lead| {
            let count = whole(f64::from(variant.case.connections));
            sentence(&format!("{} at {count} connections:", variant.what), &lead)
        }));
    }
    sheet.intro = "Each engine under a load that differs from the plain one in what is named, and its ratio to itself \
                   under the plain one, paired within repeats, where that ran too. Bursts leave all connections at \
                   once, and pause when all are answered: their rate has the pauses in it."
        .to_owned();
    (!sheet.rows.is_empty()).then_some(sheet)
}

fn variant_row(variant: &Variant<'_>, arm: &Arm<'_>, beside: &Beside) -> Vec<String> {
    let number = |metric: Metric, form: fn(f64) -> String| {
        or_missing(arm.estimate(metric).map(|found| found.value), form)
    };
    vec![
        variant.what.clone(),
        whole(f64::from(variant.case.connections)),
        arm.name.clone(),
        number(rate_of, rate),
        changed(beside.rate.as_ref()),
        number(metric::p50, duration_ns),
        changed(beside.p50.as_ref()),
        number(metric::p99, duration_ns),
        number(metric::server_cpu, duration_ns),
    ]
}

/// `0.70× (0.69–0.71)`, with an arrow where it is a difference.
fn changed(change: Option<&Change>) -> String {
    let Some(change) = change else {
        return MISSING.to_owned();
    };
    let mark = match change.told {
        Told::More => " ↑",
        Told::Less => " ↓",
        Told::Same | Told::Open => "",
    };
    let interval = change
        .interval
        .map(|interval| format!(" ({:.2}–{:.2})", interval.low, interval.high));
    format!(
        "{}{mark}{}",
        ratio(change.ratio),
        interval.unwrap_or_default()
    )
}

/// Connections that are opened, echo once, and are closed.
fn churn(records: &[Record]) -> Option<Sheet> {
    let mut sheet = Sheet::new(
        "Churn: connections opened, echoed on and closed",
        2,
        &[
            "active",
            "engine",
            "connections/s",
            "to epoll",
            "p50",
            "p99",
            "server CPU a connection",
        ],
    );
    let is_churn = |run: &&Record| is_compared(run) && run.case.mode == Mode::Churn;
    let taken: Vec<&Record> = records.iter().filter(is_churn).collect();
    let mut loads = by(&taken, |record| load(&record.case));
    loads.sort_by_key(|(case, _)| case.connections);
    for (case, members) in &loads {
        let arms = arms(members);
        let count = whole(f64::from(case.connections));
        let wide = width(&arms, rate_of);
        let mut references = arms.iter().filter(|arm| !arm.is_control && arm.is_default);
        let reference = references.find(|arm| arm.engine == REFERENCE);
        for arm in &arms {
            let others = reference.filter(|base| base.name != arm.name || arm.is_control);
            let found = others.and_then(|base| change(&arm.runs, &base.runs, rate_of, wide));
            sheet.rows.push(churn_row(&count, arm, found.as_ref()));
        }
        let said = lead(&arms).map(|lead| sentence(&format!("with {count} active"), &lead));
        sheet.notes.extend(said);
    }
    sheet.intro = "Each active connection is opened, echoes one message, is closed, and is opened again. Latency is \
                   from the connect to the verified echo."
        .to_owned();
    (!sheet.rows.is_empty()).then_some(sheet)
}

fn churn_row(count: &str, arm: &Arm<'_>, to_reference: Option<&Change>) -> Vec<String> {
    let number = |metric: Metric, form: fn(f64) -> String| {
        or_missing(arm.estimate(metric).map(|found| found.value), form)
    };
    let control = if arm.is_control { " (A/A)" } else { "" };
    vec![
        count.to_owned(),
        format!("{}{control}", arm.name),
        number(rate_of, rate),
        changed(to_reference),
        number(metric::p50, duration_ns),
        number(metric::p99, duration_ns),
        number(metric::server_cpu, duration_ns),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, fixture_factors as fixtures};
    use super::*;

    fn plain(sheet: &Sheet) -> String {
        sheet.notes.join("\n").replace('\u{a0}', " ")
    }

    #[test]
    fn who_is_ahead_at_which_size_is_said() {
        let sheets = sheets(&fixtures::sizes(4));
        assert_eq!(sheets.len(), 2);
        let notes = plain(&sheets[0]);
        for said in [
            "At 1 B uring is ahead of epoll by 9.",
            "At 64 KiB epoll is ahead of uring, recv = bundle by 2.",
        ] {
            assert!(notes.contains(said), "{said}\n{notes}");
        }
        assert_eq!(sheets[0].rows.len(), fixtures::SIZES.len());
        assert!(
            sheets[0]
                .rows
                .iter()
                .all(|row| row.len() == sheets[0].headings.len())
        );
        assert_eq!(sheets[0].headings[5], "epoll (A/A)");
    }

    #[test]
    fn a_setting_that_was_not_granted_is_left_out_and_named() {
        let mut records = fixtures::sizes(2);
        for run in &mut records {
            if !run.case.factors.is_default() {
                run.granted
                    .server
                    .push(fixtures::not_granted("recv-bundle"));
            }
        }
        let sheets = sheets(&records);
        let headings = sheets[0].headings.join(", ");
        assert!(!headings.contains("bundle"), "{headings}");
        let said = "Not granted, and left out: uring, recv = bundle (recv-bundle: the kernel has no such request).";
        assert_eq!(sheets[0].notes.last().unwrap(), said);
    }

    #[test]
    fn other_shapes_stand_beside_the_plain_one() {
        let sheets = sheets(&fixtures::variants(4));
        assert_eq!(sheets.len(), 1);
        let rows = &sheets[0].rows;
        assert_eq!(rows.len(), 6);
        assert_eq!(rows[2][..3], ["2 workers", "100", "uring"]);
        assert!(rows[2][4].starts_with("1.40× ↑ ("), "{:?}", rows[2]);
        assert!(
            plain(&sheets[0]).contains("Veth at 100 connections: uring"),
            "{}",
            plain(&sheets[0])
        );
    }

    #[test]
    fn churn_has_rows_for_each_count_and_plain_records_have_no_table() {
        let sheets = sheets(&fixtures::churn(3));
        assert_eq!(sheets.len(), 1);
        let rows = &sheets[0].rows;
        assert_eq!(rows.len(), 4 * fixtures::COUNTS.len());
        let epoll: Vec<&str> = rows[1][..2].iter().map(String::as_str).collect();
        assert_eq!((epoll, &rows[1][3][..]), (vec!["1", "epoll"], MISSING));
        assert!(super::sheets(&fixture::sweep(2)).is_empty());
    }
}

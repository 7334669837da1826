//! Busy connections among idle ones, as a table.

use super::format::{MISSING, duration_ns, or_missing, percent, rate, ratio, whole};
use super::group::kebab;
use super::kind::settings_after;
use super::metric;
use super::mix::{self, Mix, Ratio};
use super::sheet::Sheet;
use fourtuple_spec::Record;

/// Hot connections among idle ones. A comparison that no mix has has no column.
pub fn sheet(records: &[Record]) -> Option<Sheet> {
    type Comparison = (&'static str, fn(&Mix<'_>) -> Option<Ratio>);
    const COMPARISONS: [Comparison; 3] = [
        ("to the hot set alone", |mix| mix.to_alone),
        ("to no setting", |mix| mix.to_default),
        ("to epoll", |mix| mix.to_reference),
    ];
    let mixes = mix::mixes(records);
    let compared: Vec<&Comparison> = COMPARISONS
        .iter()
        .filter(|(_, ratio)| mixes.iter().any(|mix| ratio(mix).is_some()))
        .collect();
    let mut sheet = Sheet::new(
        "Busy connections among idle ones",
        2,
        &[
            "engine",
            "peers",
            "hot",
            "of",
            "which",
            "echoes/s",
            "p99",
            "server CPU",
        ],
    );
    let headings = compared.iter().map(|(heading, _)| (*heading).to_owned());
    sheet.headings.extend(headings);
    for mix in &mixes {
        let mut row = mix_row(mix);
        row.extend(compared.iter().map(|(_, ratio)| ratio_words(ratio(mix))));
        sheet.rows.push(row);
    }
    sheet.intro = "Only the hot ones take part in the measured span; the others are open and idle. Ratios are of rates, \
                   paired within repeats, with the 95 % interval. Server CPU is time an echo."
        .to_owned();
    sheet.notes = vec![match mix::noise(records, &mixes) {
        Some(width) => format!(
            "The A/A arm, the same under another label, differs by up to {}: a ratio inside that is no difference.",
            percent(width - 1.0)
        ),
        None => "Without an A/A arm nobody knows the noise: no difference is judged.".to_owned(),
    }];
    (!sheet.rows.is_empty()).then_some(sheet)
}

fn mix_row(mix: &Mix<'_>) -> Vec<String> {
    let settings = settings_after(mix.case);
    let value = |metric: metric::Metric, form: fn(f64) -> String| {
        or_missing(mix.estimate(metric).map(|estimate| estimate.value), form)
    };
    vec![
        format!("{}{settings}", mix.case.arm()),
        kebab(&mix.case.peer),
        whole(f64::from(mix.case.hot())),
        whole(f64::from(mix.case.connections)),
        mix.placement().to_owned(),
        value(metric::rate, rate),
        value(metric::p99, duration_ns),
        value(metric::server_cpu, duration_ns),
    ]
}

fn ratio_words(found: Option<Ratio>) -> String {
    let Some(found) = found else {
        return MISSING.to_owned();
    };
    let interval = found
        .interval
        .map(|interval| format!(" ({:.2}–{:.2})", interval.low, interval.high));
    format!("{}{}", ratio(found.value), interval.unwrap_or_default())
}

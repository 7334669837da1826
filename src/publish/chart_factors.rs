//! Ablations as a forest: a row a setting, a panel a connection count, the rate to the default's with its
//! interval, and the A/A band behind it.

use super::change::{Change, Told};
use super::factors::{Effect, Setting, Standing, Study, studies};
use super::facts;
use super::format;
use super::frame::{self, MARGIN, SMALL};
use super::labels::text_width;
use super::scale::Scale;
use super::svg::{Anchor, Span, Stroke, Svg, WIDTH};
use super::theme::Theme;
use fourtuple_spec::Record;

const TOP: f64 = 128.0;
const ROW: f64 = 22.0;
/// What keeps the rows of one factor apart from those of the next.
const GAP: f64 = 7.0;
/// Room for a ratio at the right of each panel.
const VALUE_WIDTH: f64 = 52.0;
/// Ratios beyond these are drawn at the edge, as arrows: the small ones, of which there are more, need the room.
const RATIOS_SHOWN: (f64, f64) = (0.5, 2.2);
/// How many counts there is room for side by side.
const PANELS_MAX: usize = 4;

/// One row: where it stands, and what it is.
struct Row<'a> {
    middle: f64,
    name: String,
    setting: &'a Setting,
}

/// One panel.
struct Column {
    connections: u32,
    left: f64,
    right: f64,
    x: Scale,
    /// The A/A width of the rate.
    width: Option<f64>,
}

/// Draws the chart of the load with most settings; `None` where fewer than two settings ran.
pub fn draw(records: &[Record], theme: &Theme) -> Option<String> {
    let all = studies(records);
    let singles = |study: &Study<'_>| study.settings.iter().filter(|one| one.is_single()).count();
    let study = all.iter().rev().max_by_key(|study| singles(study))?;
    if singles(study) < 2 {
        return None;
    }
    let (rows, bottom) = rows(study);
    let columns = columns(study, &rows);
    let mut svg = Svg::new(theme);
    svg.height = bottom + 94.0;
    let title = title(study);
    let subtitle = facts::origin(&study.records, &load(study), runs(study));
    frame::heading(&mut svg, &title, &subtitle);
    names(&mut svg, &rows);
    for column in &columns {
        panel(&mut svg, column, bottom);
        for row in &rows {
            let mut effects = row.setting.effects.iter();
            let effect = effects.find(|effect| effect.connections == column.connections);
            effect
                .into_iter()
                .for_each(|effect| mark(&mut svg, column, row, effect));
        }
    }
    frame::caption(&mut svg, &caption(study, &columns));
    Some(svg.finish(&title, &format!("{subtitle}. {}", describe(study))))
}

fn title(study: &Study<'_>) -> String {
    match &study.engines()[..] {
        [only] => format!("What one factor changes: {only}"),
        _ => "What one factor changes".to_owned(),
    }
}

fn load(study: &Study<'_>) -> String {
    let shape = &study.shape;
    format!("{}{}", shape.load_words(), shape.with_settings())
}

fn runs(study: &Study<'_>) -> Option<String> {
    let repeats = study.records.iter().map(|run| run.case.repeat).max()?;
    Some(format!(
        "{} a point",
        format::counted(repeats as usize + 1, "run")
    ))
}

/// The rows from top to bottom, and where they end.
fn rows<'a>(study: &'a Study<'_>) -> (Vec<Row<'a>>, f64) {
    let mut rows: Vec<Row<'a>> = Vec::new();
    let mut y = TOP;
    let singles = study.settings.iter().filter(|setting| setting.is_single());
    for setting in singles {
        let is_next = |row: &Row<'_>| row.setting.factor() != setting.factor();
        if rows.last().is_some_and(is_next) {
            y += GAP;
        }
        rows.push(Row {
            middle: y + ROW / 2.0,
            name: study.name(setting),
            setting,
        });
        y += ROW;
    }
    (rows, y + 4.0)
}

/// Panels side by side, which share their scale: so one row's dots can be compared.
fn columns(study: &Study<'_>, rows: &[Row<'_>]) -> Vec<Column> {
    let names = rows.iter().map(|row| text_width(&row.name, SMALL));
    let left = MARGIN + names.fold(60.0, f64::max).min(300.0) + 14.0;
    let counts = &study.counts[..study.counts.len().min(PANELS_MAX)];
    let step = (WIDTH - MARGIN - left) / counts.len() as f64;
    let domain = domain(study, rows);
    let column = |(index, connections): (usize, &u32)| {
        let left = left + step * index as f64;
        let right = left + step - VALUE_WIDTH - 12.0;
        Column {
            connections: *connections,
            left,
            right,
            x: Scale::log(domain.0, domain.1, (left, right)),
            width: study.widths[index].rate,
        }
    };
    counts.iter().enumerate().map(column).collect()
}

/// From the least to the greatest ratio, with what of the intervals is near them.
fn domain(study: &Study<'_>, rows: &[Row<'_>]) -> (f64, f64) {
    let effects = rows.iter().flat_map(|row| &row.setting.effects);
    let rates: Vec<Change> = effects.filter_map(|effect| effect.rate).collect();
    let (mut low, mut high): (f64, f64) = (0.9, 1.1);
    for rate in &rates {
        let near = |end: f64| end.clamp(rate.ratio / 1.15, rate.ratio * 1.15);
        let (least, most) = rate.interval.map_or((rate.ratio, rate.ratio), |interval| {
            (near(interval.low), near(interval.high))
        });
        low = low.min(least);
        high = high.max(most);
    }
    for width in study.widths.iter().filter_map(|widths| widths.rate) {
        low = low.min(1.0 / width.min(1.5));
        high = high.max(width.min(1.5));
    }
    let (least, most) = RATIOS_SHOWN;
    ((low / 1.03).max(least), (high * 1.03).min(most))
}

fn names(svg: &mut Svg, rows: &[Row<'_>]) {
    let theme = svg.theme;
    for row in rows {
        let span = Span {
            content: &format::shortened(&row.name, 40),
            fill: theme.text,
            size: SMALL,
            is_bold: false,
        };
        svg.text(MARGIN, row.middle + 4.5, Anchor::Start, span);
    }
}

/// The band of the A/A arm, the line of no change, and the ticks.
fn panel(svg: &mut Svg, column: &Column, bottom: f64) {
    let theme = svg.theme;
    if let Some(width) = column.width {
        let (low, high) = (column.x.position(1.0 / width), column.x.position(width));
        let corners = [(low, TOP), (high, TOP), (high, bottom), (low, bottom)];
        svg.area(&corners, theme.control, theme.band_opacity);
    }
    for tick in ticks(&column.x) {
        let x = column.x.position(tick);
        let colour = if tick == 1.0 { theme.axis } else { theme.grid };
        svg.line((x, TOP), (x, bottom), Stroke::solid(colour, 1.0));
        let label = format!("{tick}×");
        let span = Span {
            content: &label,
            fill: theme.muted,
            size: 12.0,
            is_bold: false,
        };
        svg.text(x, bottom + 17.0, Anchor::Middle, span);
    }
    titles(svg, column, bottom);
}

/// What a panel is of, above it, and what is across, below.
fn titles(svg: &mut Svg, column: &Column, bottom: f64) {
    let theme = svg.theme;
    let count = format::whole(f64::from(column.connections));
    let unit = if column.connections == 1 {
        "connection"
    } else {
        "connections"
    };
    let span = Span {
        content: &format!("{count} {unit}"),
        fill: theme.text,
        size: 14.0,
        is_bold: true,
    };
    svg.text(column.left, TOP - 14.0, Anchor::Start, span);
    let span = Span {
        content: "rate to the default's",
        fill: theme.text,
        size: SMALL,
        is_bold: false,
    };
    let middle = (column.left + column.right) / 2.0;
    svg.text(middle, bottom + 36.0, Anchor::Middle, span);
}

/// 1 first, then the round ratios that do not touch what is named already.
fn ticks(x: &Scale) -> Vec<f64> {
    let mut taken: Vec<f64> = Vec::new();
    let round = [
        1.0, 2.0, 0.5, 4.0, 0.25, 0.1, 10.0, 1.5, 0.7, 3.0, 0.8, 1.2, 0.9, 1.1, 0.95, 1.05,
    ];
    for tick in round {
        let position = x.position(tick);
        let is_within = position > x.start() + 1.0 && position < x.position(x.largest()) - 1.0;
        let is_free = |other: &f64| (x.position(*other) - position).abs() > 34.0;
        if is_within && taken.iter().all(is_free) {
            taken.push(tick);
        }
    }
    taken
}

fn mark(svg: &mut Svg, column: &Column, row: &Row<'_>, effect: &Effect) {
    let theme = svg.theme;
    let is_measured = effect.standing == Standing::Measured;
    let rate = effect
        .rate
        .filter(|_| !matches!(effect.standing, Standing::Failed(_)));
    if let Some(rate) = rate {
        dot(svg, column, row, (&rate, is_measured));
    }
    let words = match (&effect.standing, rate) {
        (Standing::NotGranted(_), _) => "not granted".to_owned(),
        (Standing::Failed(reason), _) => format::shortened(reason, 18),
        (Standing::Absent, _) | (Standing::Measured, None) => format::MISSING.to_owned(),
        (Standing::Measured, Some(rate)) => format::ratio(rate.ratio),
    };
    let is_told = is_measured && rate.is_some_and(|rate| rate.is_told());
    let span = Span {
        content: &words,
        fill: if is_told { theme.text } else { theme.muted },
        size: 12.0,
        is_bold: is_told,
    };
    let right = column.right + VALUE_WIDTH - 4.0;
    svg.spans(right, row.middle + 4.5, Anchor::End, true, &[span]);
}

/// The interval as a line, and the ratio as a dot: full where it tells a difference, grey where it tells none,
/// hollow where the numbers are not the setting's or of invalid runs.
fn dot(svg: &mut Svg, column: &Column, row: &Row<'_>, (rate, is_measured): (&Change, bool)) {
    let theme = svg.theme;
    let is_firm = is_measured && !rate.is_hollow;
    let colour = match rate.told {
        Told::More | Told::Less if is_firm => theme.engine(row.setting.engine),
        _ => theme.muted,
    };
    let x = |value: f64| column.x.position(value);
    if let Some(interval) = rate.interval {
        let ends = (
            (x(interval.low), row.middle),
            (x(interval.high), row.middle),
        );
        svg.line(ends.0, ends.1, Stroke::solid(colour, 1.6));
    }
    let centre = (x(rate.ratio), row.middle);
    let (least, most) = RATIOS_SHOWN;
    if rate.ratio < least || rate.ratio > most {
        let tip = if rate.ratio < least { -8.0 } else { 8.0 };
        let corners = [(0.0, -5.0), (tip, 0.0), (0.0, 5.0)];
        let corners = corners.map(|(dx, dy)| (centre.0 + dx, centre.1 + dy));
        svg.area(&corners, colour, if is_firm { 1.0 } else { 0.5 });
        return;
    }
    match is_firm {
        true => svg.circle(centre, 4.4, colour, Stroke::solid(theme.background, 1.0)),
        false => svg.circle(centre, 4.2, theme.background, Stroke::solid(colour, 1.6)),
    }
}

fn caption(study: &Study<'_>, columns: &[Column]) -> Vec<String> {
    let mut sentences =
        vec!["Logarithmic; lines: 95 % interval, paired within repeats.".to_owned()];
    if columns.iter().any(|column| column.width.is_some()) {
        sentences.push(
            "Band: the A/A arm, the default under another label; what lies in it, or has an interval with 1, is grey: no difference."
                .to_owned(),
        );
    }
    let effects = || study.settings.iter().flat_map(|one| &one.effects);
    let (least, most) = RATIOS_SHOWN;
    let is_beyond = |rate: Change| rate.ratio < least || rate.ratio > most;
    if effects().any(|effect| effect.rate.is_some_and(is_beyond)) {
        sentences.push("Arrows: farther out.".to_owned());
    }
    let is_refused = |effect: &Effect| {
        matches!(effect.standing, Standing::NotGranted(_)) && effect.rate.is_some()
    };
    let is_hollow = |effect: &Effect| effect.rate.is_some_and(|rate| rate.is_hollow);
    match (effects().any(is_refused), effects().any(is_hollow)) {
        (true, true) => sentences.push("Hollow: not granted, or invalid runs.".to_owned()),
        (true, false) => sentences.push("Hollow: not granted, so another setting ran.".to_owned()),
        (false, true) => sentences.push("Hollow: invalid runs.".to_owned()),
        (false, false) => {}
    }
    sentences
}

fn describe(study: &Study<'_>) -> String {
    let mut sentences = Vec::new();
    for setting in study.settings.iter().filter(|one| one.is_single()) {
        let words = setting.effects.iter().filter_map(|effect| {
            let count = format::whole(f64::from(effect.connections));
            match (&effect.standing, effect.rate) {
                (Standing::NotGranted(_), _) => Some(format!("not granted at {count}")),
                (_, Some(rate)) => Some(format!("{} at {count}", format::ratio(rate.ratio))),
                _ => None,
            }
        });
        let words = words.collect::<Vec<_>>().join(", ");
        sentences.push(format!("{}: {words}.", study.name(setting)));
    }
    sentences.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::theme::{DARK, LIGHT};
    use super::super::{fixture, fixture_factors as fixtures};
    use super::*;

    #[test]
    fn every_setting_has_a_row_and_every_count_a_panel() {
        let records = fixtures::ablations(5);
        for theme in [LIGHT, DARK] {
            let chart = draw(&records, &theme).unwrap();
            for (factors, _) in fixtures::settings() {
                assert_eq!(
                    chart.matches(&format!(">{factors}<")).count(),
                    1,
                    "{factors}"
                );
            }
            for part in [">1 connection<", ">100 connections<", ">1,000 connections<"] {
                assert!(chart.contains(part), "{part}");
            }
            assert_eq!(chart.matches(">not granted<").count(), 3);
            assert!(chart.contains("spin = 50: 1.93× at 1, "));
            assert!(!chart.contains("NaN"));
        }
    }

    #[test]
    fn defaults_alone_and_a_single_setting_have_no_chart() {
        assert!(draw(&fixture::sweep(2), &LIGHT).is_none());
        assert!(draw(&fixtures::sizes(3), &LIGHT).is_none());
    }

    #[test]
    fn ticks_have_one_among_them_and_do_not_touch() {
        for domain in [(0.3, 2.1), (0.88, 1.12), (0.05, 12.0)] {
            let x = Scale::log(domain.0, domain.1, (0.0, 200.0));
            let mut positions: Vec<f64> = ticks(&x).iter().map(|tick| x.position(*tick)).collect();
            assert!(
                ticks(&x).contains(&1.0) && positions.len() > 1,
                "{domain:?}"
            );
            positions.sort_by(f64::total_cmp);
            assert!(positions.windows(2).all(|two| two[1] - two[0] > 34.0));
        }
    }
}

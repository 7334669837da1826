//! The numbers of a claim as bars: each with a mark where it was predicted.

use super::super::facts;
use super::super::format;
use super::super::frame::{self, MARGIN, SMALL};
use super::super::labels::text_width;
use super::super::scale::{Scale, linear_ticks, log_bounds, log_ticks};
use super::super::svg::{Anchor, Span, Stroke, Svg, WIDTH};
use super::super::theme::Theme;
use super::unit::{in_unit, shown};
use fourtuple_spec::claim::Figure;
use fourtuple_spec::{Engine, Trial, TriedClaim};

const TOP: f64 = 104.0;
const ROW: f64 = 27.0;

/// Room for names, and how much of one fits there.
const NAMES_WIDEST: f64 = 480.0;
const NAME_CHARACTERS: usize = 68;

/// Fewer numbers than this are read faster in a row.
const BARS_MIN: usize = 3;

/// Numbers that differ by more than this are drawn as ratios.
const LOG_RATIO: f64 = 50.0;

/// What the belief says.
const BELIEF: f64 = 65_535.0;

/// Beside numbers that come to less than this part of it, it says nothing.
const BELIEF_PART: f64 = 0.1;
const CONNECTIONS: &str = "connections";

/// Draws the numbers that share the most common unit; `None` where they are few.
pub fn draw(trial: &Trial, tried: &TriedClaim, theme: &Theme) -> Option<String> {
    let figures = of_one_unit(&tried.figures);
    if figures.len() < BARS_MIN {
        return None;
    }
    let unit = &figures[0].unit;
    let mut values: Vec<f64> = figures
        .iter()
        .filter_map(|figure| figure.measured)
        .collect();
    values.extend(figures.iter().filter_map(|figure| figure.predicted));
    values.retain(|value| *value > 0.0);
    let greatest = values.iter().copied().max_by(f64::total_cmp)?;
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    let has_belief = unit == CONNECTIONS && greatest > BELIEF * BELIEF_PART;
    let greatest = if has_belief {
        greatest.max(BELIEF)
    } else {
        greatest
    };
    let bottom = TOP + ROW * figures.len() as f64;
    let mut svg = Svg::new(theme);
    svg.height = bottom + 84.0;
    let title = format!("{}: {}", tried.id, tried.verdict.name());
    let subtitle = subtitle(trial, tried, unit);
    frame::heading(&mut svg, &title, &subtitle);
    let names = figures.iter().map(|figure| text_width(&figure.name, SMALL));
    let left = MARGIN + names.fold(60.0, f64::max).min(NAMES_WIDEST) + 12.0;
    let range = (left, WIDTH - MARGIN - 130.0);
    let is_log = greatest / least > LOG_RATIO;
    let (scale, ticks) = match is_log {
        true => {
            let (low, high) = log_bounds(least * 0.6, greatest);
            (Scale::log(low, high, range), log_ticks(low, high))
        }
        false => (
            Scale::linear_from_zero(greatest, range),
            linear_ticks(greatest),
        ),
    };
    grid(&mut svg, &scale, &ticks, (unit, bottom));
    if has_belief {
        belief(&mut svg, &scale, bottom);
    }
    for (index, figure) in figures.iter().enumerate() {
        bar(&mut svg, figure, &scale, TOP + ROW * (index as f64 + 0.5));
    }
    frame::caption(&mut svg, &caption(&figures, is_log, has_belief));
    Some(svg.finish(&title, &format!("{subtitle}. {}", describe(&figures))))
}

/// The numbers of the unit that most of them have, as far as they were measured.
fn of_one_unit(figures: &[Figure]) -> Vec<&Figure> {
    let measured = || figures.iter().filter(|figure| figure.measured.is_some());
    let count = |unit: &str| measured().filter(|figure| figure.unit == unit).count();
    // Of two units with as many numbers, the one that comes first.
    let unit = measured().rev().max_by_key(|figure| count(&figure.unit));
    let unit = unit.map(|figure| figure.unit.clone()).unwrap_or_default();
    measured().filter(|figure| figure.unit == unit).collect()
}

fn subtitle(trial: &Trial, tried: &TriedClaim, unit: &str) -> String {
    let parts = [
        facts::kernel(&trial.host),
        facts::processor(&trial.host),
        Some(unit.to_owned()).filter(|unit| !unit.is_empty()),
        tried.tried_at.get(..10).map(str::to_owned),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn grid(svg: &mut Svg, scale: &Scale, ticks: &[f64], (unit, bottom): (&str, f64)) {
    let theme = svg.theme;
    let mut free = f64::MIN;
    for tick in ticks {
        if *tick > scale.largest() * 1.000_001 {
            continue;
        }
        let x = scale.position(*tick);
        svg.line((x, TOP), (x, bottom), Stroke::solid(theme.grid, 1.0));
        // The subtitle has the unit of counts.
        let label = match unit {
            "B" | "ns" | "ms" | "s" | "share" => in_unit(*tick, unit),
            _ => format::short(*tick),
        };
        let half = text_width(&label, SMALL) / 2.0;
        if x - half < free {
            continue;
        }
        free = x + half + 8.0;
        svg.text(x, bottom + 19.0, Anchor::Middle, small(&label, theme.muted));
    }
}

fn belief(svg: &mut Svg, scale: &Scale, bottom: f64) {
    let theme = svg.theme;
    let x = scale.position(BELIEF);
    let stroke = Stroke {
        dashes: "5 4",
        ..Stroke::solid(theme.axis, 1.4)
    };
    svg.line((x, TOP - 6.0), (x, bottom), stroke);
    svg.text(x, TOP - 11.0, Anchor::Middle, small("65,535", theme.muted));
}

fn bar(svg: &mut Svg, figure: &Figure, scale: &Scale, middle: f64) {
    let theme = svg.theme;
    let Some(value) = figure.measured else { return };
    let (from, half) = (scale.start(), ROW * 0.3);
    let to = scale.position(value);
    let name = format::shortened(&figure.name, NAME_CHARACTERS);
    svg.text(
        from - 10.0,
        middle + 4.5,
        Anchor::End,
        small(&name, theme.text),
    );
    let colour = theme.engine(Engine::Epoll);
    svg.rect(
        (from, middle - half),
        ((to - from).max(1.0), half * 2.0),
        colour,
    );
    let mut end = to;
    if let Some(predicted) = figure.predicted {
        let x = scale.position(predicted);
        let mark = Stroke::solid(theme.text, 2.0);
        svg.line((x, middle - half - 3.0), (x, middle + half + 3.0), mark);
        end = end.max(x);
    }
    let label = match figure.unit.as_str() {
        unit @ ("B" | "ns" | "ms" | "s" | "share") => in_unit(value, unit),
        _ => in_unit(value, ""),
    };
    let span = Span {
        is_bold: true,
        ..small(&label, theme.text)
    };
    svg.text(end + 8.0, middle + 4.5, Anchor::Start, span);
}

fn small<'a>(content: &'a str, fill: &'a str) -> Span<'a> {
    Span {
        content,
        fill,
        size: SMALL,
        is_bold: false,
    }
}

fn caption(figures: &[&Figure], is_log: bool, has_belief: bool) -> Vec<String> {
    let mut sentences = Vec::new();
    if figures.iter().any(|figure| figure.predicted.is_some()) {
        sentences.push("A black or white stroke: what was predicted before.".to_owned());
    }
    if has_belief {
        sentences.push("Dashed: the number that is believed to be the limit.".to_owned());
    }
    if is_log {
        sentences.push("Logarithmic: equal distances are equal ratios.".to_owned());
    }
    sentences
}

fn describe(figures: &[&Figure]) -> String {
    let sentence = |figure: &&Figure| {
        let measured = shown(figure.measured, &figure.unit);
        format!("{}: {measured}.", figure.name)
    };
    figures.iter().map(sentence).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::super::theme::{DARK, LIGHT};
    use super::super::fixture;
    use super::*;

    #[test]
    fn numbers_of_the_most_common_unit_are_bars() {
        let trial = fixture::trial();
        let mut tried = trial.claims[0].clone();
        tried.figures.push(Figure {
            unit: "B".to_owned(),
            ..fixture::figure("bytes", None, 7.0)
        });
        for theme in [LIGHT, DARK] {
            let chart = draw(&trial, &tried, &theme).unwrap();
            for part in [">to four<", ">3,999<", ">100,000<", ">65,535<"] {
                assert!(chart.contains(part), "{part} is missing");
            }
            assert!(!chart.contains(">bytes<"));
        }
        tried.figures[2].measured = Some(16.0);
        let small = draw(&trial, &tried, &LIGHT).unwrap();
        assert!(small.contains(">3,999<") && !small.contains("65,535"));
        assert!(!small.contains("believed"), "{small}");
        tried.figures.truncate(2);
        assert!(
            draw(&trial, &tried, &LIGHT).is_none(),
            "two are read faster in a row"
        );
    }

    #[test]
    fn zeros_and_missing_numbers_make_no_panic() {
        let trial = fixture::trial();
        let mut tried = trial.claims[0].clone();
        for figure in &mut tried.figures {
            (figure.measured, figure.predicted) = (Some(0.0), None);
        }
        assert!(draw(&trial, &tried, &LIGHT).is_none());
        tried.figures[0].measured = Some(5.0);
        assert!(draw(&trial, &tried, &LIGHT).is_some());
        tried.figures[0].measured = None;
        assert!(draw(&trial, &tried, &LIGHT).is_none());
    }
}

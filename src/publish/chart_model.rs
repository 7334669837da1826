//! Memory against connections: a line through the small runs, dashed beyond them, and the larger runs.
//!
//! Both axes are linear: on logarithms every engine's line would be the same, and so would a line that
//! misses by a fifth.

use super::chart::{Spread, across_from_zero, areas, up};
use super::draw::name_and_value;
use super::facts;
use super::format;
use super::frame::{self, HorizontalAxis, Panel, VerticalAxis};
use super::group::{Group, Series};
use super::labels::spread;
use super::lines::{Line, Role};
use super::metric;
use super::model::{Model, models, total};
use super::svg::{Anchor, Stroke, Svg};
use super::theme::Theme;

/// A model with the runs that it is drawn with: connections, bytes.
struct Drawn<'a> {
    model: &'a Model,
    runs: Vec<(u32, f64)>,
    /// Where its label stands: the last count of the chart, and what was measured or else is said there.
    end: (u32, f64),
    line: Line,
}

/// Draws the chart; `None` where no engine has enough counts.
pub fn draw(group: &Group<'_>, theme: &Theme) -> Option<String> {
    let models = models(group);
    let last = last_count(group, &models)?;
    let drawn: Vec<Drawn<'_>> = models
        .iter()
        .filter_map(|model| prepare(group, model, last, theme))
        .collect();
    let values = drawn.iter().flat_map(|one| {
        let predicted = one.model.total_at(f64::from(last));
        one.runs.iter().map(|run| run.1).chain([predicted])
    });
    let greatest = values.fold(0.0, f64::max);
    let (y, ticks) = up(
        Spread::FromZero,
        format::decimal_bytes_tick,
        (0.0, greatest),
    );
    let lines: Vec<Line> = drawn.iter().map(|one| one.line.clone()).collect();
    let area = areas(&[lines], &ticks, true)[0];
    let (x, named) = across_from_zero(f64::from(last), &area);
    let panel = Panel { area, x, y };
    let title = title(&drawn);
    let subtitle = facts::subtitle(group);
    let mut svg = Svg::new(theme);
    frame::heading(&mut svg, title, &subtitle);
    let horizontal = HorizontalAxis {
        title: "connections",
        ticks: &named,
    };
    let vertical = VerticalAxis {
        title: "kernel and user memory",
        ticks: &ticks,
        is_labelled: true,
    };
    frame::axes(&mut svg, &panel, &horizontal, &vertical);
    drawn
        .iter()
        .rev()
        .for_each(|one| lay(&mut svg, &panel, one));
    drawn
        .iter()
        .rev()
        .for_each(|one| dots(&mut svg, &panel, one));
    labels(&mut svg, &panel, &drawn);
    frame::caption(&mut svg, &caption(group, &drawn));
    Some(svg.finish(title, &format!("{subtitle}. {}", describe(&drawn))))
}

fn title(drawn: &[Drawn<'_>]) -> &'static str {
    if drawn.iter().any(|one| one.model.is_of_large()) {
        "Memory against connections"
    } else {
        "Memory against connections, predicted from the smaller runs"
    }
}

/// Whether a run is larger than those that the line was fitted to.
fn is_beyond(one: &Drawn<'_>) -> bool {
    let largest = one.runs.last();
    largest.is_some_and(|run| !one.model.is_fitted(run.0))
}

/// The largest count that any model has a run of: all lines are drawn that far.
fn last_count(group: &Group<'_>, models: &[Model]) -> Option<u32> {
    let of_model = |model: &Model| Some(runs(series(group, model)?, model).last()?.0);
    models.iter().filter_map(of_model).max()
}

fn series<'a, 'b>(group: &'a Group<'b>, model: &Model) -> Option<&'a Series<'b>> {
    let mut all = group.series.iter();
    all.find(|series| series.name == model.name)
}

fn prepare<'a>(group: &Group<'_>, model: &'a Model, last: u32, theme: &Theme) -> Option<Drawn<'a>> {
    let runs = runs(series(group, model)?, model);
    let (largest, measured) = *runs.last()?;
    let predicted = model.total_at(f64::from(last));
    let value = if largest < last {
        format!("{}, not run", format::decimal_bytes(predicted))
    } else if !model.is_fitted(last) {
        let error = format::deviation(predicted / measured - 1.0);
        format!("{} ({error})", format::decimal_bytes(measured))
    } else {
        format::decimal_bytes(measured)
    };
    let end = if largest < last { predicted } else { measured };
    let line = Line {
        name: model.name.clone(),
        value,
        colour: theme.engine(model.engine),
        role: Role::Engine,
        marks: Vec::new(),
        stop: None,
    };
    Some(Drawn {
        model,
        runs,
        end: (last, end),
        line,
    })
}

/// Kernel and user memory of every count that has the numbers which the model has.
fn runs(series: &Series<'_>, model: &Model) -> Vec<(u32, f64)> {
    let first = model.kernel.counts.first().copied().unwrap_or(0);
    let points = series
        .points
        .iter()
        .filter(|point| point.connections >= first);
    points
        .filter_map(|point| {
            let mut bytes = total(point, metric::kernel_bytes)?;
            if model.server_user.is_some() {
                bytes += total(point, metric::server_bytes)?;
            }
            if model.client_user.is_some() {
                bytes += total(point, metric::client_bytes)?;
            }
            Some((point.connections, bytes))
        })
        .collect()
}

fn lay(svg: &mut Svg, panel: &Panel, one: &Drawn<'_>) {
    let at = |connections: u32| {
        let x = f64::from(connections);
        (panel.x.position(x), panel.y.position(one.model.total_at(x)))
    };
    let counts = &one.model.kernel.counts;
    let (Some(first), Some(last)) = (counts.first(), counts.last()) else {
        return;
    };
    let solid = Stroke::solid(one.line.colour, 2.6);
    svg.line(at(*first), at(*last), solid);
    if one.end.0 > *last {
        let dashed = Stroke {
            width: 1.8,
            dashes: "7 5",
            ..solid
        };
        svg.line(at(*last), at(one.end.0), dashed);
    }
}

/// Runs that were fitted are small and full; those that were predicted are rings, with a bar where the
/// line says that they should be.
fn dots(svg: &mut Svg, panel: &Panel, one: &Drawn<'_>) {
    let background = svg.theme.background;
    let colour = one.line.colour;
    for (connections, bytes) in &one.runs {
        let x = panel.x.position(f64::from(*connections));
        let centre = (x, panel.y.position(*bytes));
        if one.model.is_fitted(*connections) {
            svg.circle(centre, 3.0, colour, Stroke::solid(background, 0.8));
            continue;
        }
        svg.circle(centre, 4.6, background, Stroke::solid(colour, 2.0));
        let said = panel
            .y
            .position(one.model.total_at(f64::from(*connections)));
        svg.line((x - 9.0, said), (x + 9.0, said), Stroke::solid(colour, 2.0));
    }
}

fn labels(svg: &mut Svg, panel: &Panel, drawn: &[Drawn<'_>]) {
    let ends: Vec<(f64, f64)> = drawn
        .iter()
        .map(|one| {
            let x = panel.x.position(f64::from(one.end.0));
            (x, panel.y.position(one.end.1))
        })
        .collect();
    let wishes: Vec<f64> = ends.iter().map(|end| end.1).collect();
    let area = panel.area;
    let positions = spread(&wishes, 19.0, area.top - 12.0, area.bottom + 12.0);
    for ((one, end), y) in drawn.iter().zip(&ends).zip(positions) {
        let stroke = Stroke {
            opacity: 0.6,
            ..Stroke::solid(one.line.colour, 1.0)
        };
        svg.polyline(&[(end.0 + 11.0, end.1), (area.right + 20.0, y)], stroke);
        let place = (area.right + 24.0, y + 5.0);
        name_and_value(svg, place, Anchor::Start, &one.line, false);
    }
}

fn caption(group: &Group<'_>, drawn: &[Drawn<'_>]) -> Vec<String> {
    let mut sentences = vec![format!(
        "Kernel memory is of {}. Full line: Theil–Sen over the dots.",
        group.shape.memory_scope()
    )];
    let is_drawn_on = |one: &Drawn<'_>| !one.model.is_fitted(one.end.0);
    if drawn.iter().any(is_drawn_on) && !drawn.iter().any(is_beyond) {
        sentences.push("Dashed: the same line further on, where nothing was run.".to_owned());
    }
    if drawn.iter().any(is_beyond) {
        sentences.push(
            "Dashed: predicted. Rings: measured and not fitted; bars: what the line says there, with its error."
                .to_owned(),
        );
    }
    sentences
}

fn describe(drawn: &[Drawn<'_>]) -> String {
    let sentence = |one: &Drawn<'_>| {
        let count = format::whole(f64::from(one.end.0));
        format!(
            "{} at {count} connections: {}.",
            one.line.name, one.line.value
        )
    };
    drawn.iter().map(sentence).collect::<Vec<_>>().join(" ")
}

//! The busy connections' rate and latency against how many connections lie idle beside them.

use super::chart::{Course, LineChart, Spread, course_chart};
use super::facts;
use super::format;
use super::group::{Shape, kebab};
use super::kind::sysctl_words;
use super::lines::{self, Line, Mark, Role};
use super::metric::{self, Metric};
use super::mix::{Mix, mixes};
use super::point::Point;
use super::theme::Theme;
use fourtuple_spec::{Case, Engine, HotPlacement, Record};

/// The setting that is asked about beside idle millions: buckets of the established hash.
const HASH: &str = "net.ipv4.tcp_child_ehash_entries";

/// Two runs have an interval of many times their distance, which hides all else: their range is drawn then.
const INTERVAL_RUNS_MIN: usize = 3;

/// The mixes of one chart: as many busy ones under the same load, among ever more.
struct Chosen<'a, 'b> {
    mixes: Vec<&'b Mix<'a>>,
    hot: u32,
    shape: Shape,
}

/// Draws the rates; `None` where no engine has two counts of connections under the same busy ones.
pub fn rates(records: &[Record], theme: &Theme) -> Option<String> {
    let chart = LineChart {
        title: "Rate",
        panels: &[("verified echoes a second", metric::rate)],
        form: format::short,
        tick_form: format::short,
        spread: Spread::FromZero,
    };
    draw(records, theme, &chart)
}

/// Draws the latencies; `None` where the rates have no chart either.
pub fn latencies(records: &[Record], theme: &Theme) -> Option<String> {
    let chart = LineChart {
        title: "Latency",
        panels: &[("p50", metric::p50), ("p99", metric::p99)],
        form: format::duration_ns,
        tick_form: format::duration_tick,
        spread: Spread::Log,
    };
    draw(records, theme, &chart)
}

fn draw(records: &[Record], theme: &Theme, asked: &LineChart<'_>) -> Option<String> {
    let all = mixes(records);
    let chosen = chosen(&all)?;
    let panels = asked.panels.iter();
    let drawn: Vec<(&str, Vec<Line>)> = panels
        .map(|(title, metric)| (*title, series(&chosen, *metric, asked.form, theme)))
        .collect();
    let title = format!(
        "{} of {} busy connections among idle ones, {} peers",
        asked.title,
        format::whole(f64::from(chosen.hot)),
        kebab(&chosen.shape.peer)
    );
    let chart = Course {
        title: &title,
        subtitle: &subtitle(&chosen),
        across: "connections held, busy and idle",
        panels: &drawn,
        spread: (Spread::FromZero, asked.spread),
        tick_form: asked.tick_form,
        caption: &caption(&chosen, &drawn),
    };
    course_chart(theme, &chart)
}

fn subtitle(chosen: &Chosen<'_, '_>) -> String {
    let mixes = || chosen.mixes.iter();
    let runs = mixes().flat_map(|mix| &mix.point.runs);
    let runs: Vec<&Record> = runs.copied().collect();
    let most = mixes().map(|mix| mix.point.valid_runs().count()).max();
    let most = most.map(|runs| format!("{} a point at most", format::counted(runs, "run")));
    let load = format!(
        "{}{}",
        chosen.shape.load_words(),
        chosen.shape.with_settings()
    );
    facts::origin(&runs, &load, most)
}

/// Of all busy sets those with most points: spread over all connections, with the network's own settings or
/// another size of the hash.
fn chosen<'a, 'b>(all: &'b [Mix<'a>]) -> Option<Chosen<'a, 'b>> {
    let is_drawn = |mix: &&Mix<'_>| {
        let is_plain = mix.case.sysctls.keys().all(|name| name == HASH);
        let is_spread = mix.is_alone() || mix.case.hot_placement == HotPlacement::Spread;
        is_plain && is_spread && mix.case.engine.is_some()
    };
    let key = |mix: &Mix<'_>| {
        let shape = Shape {
            sysctls: String::new(),
            ..Shape::of(mix.case)
        };
        (mix.case.hot(), shape)
    };
    let drawn: Vec<&Mix<'_>> = all.iter().filter(is_drawn).collect();
    let of = |wanted: &(u32, Shape)| {
        let same = drawn.iter().filter(|mix| key(mix) == *wanted);
        same.copied().collect::<Vec<_>>()
    };
    let largest = drawn
        .iter()
        .map(|mix| key(mix))
        .max_by_key(|key| counts(&of(key)))?;
    let mixes = of(&largest);
    (counts(&mixes) > 1).then_some(Chosen {
        mixes,
        hot: largest.0,
        shape: largest.1,
    })
}

/// The most counts of connections that an engine has.
fn counts(mixes: &[&Mix<'_>]) -> usize {
    let of = |engine: Option<Engine>| {
        let same = mixes.iter().filter(|mix| mix.case.engine == engine);
        let mut counts: Vec<u32> = same.map(|mix| mix.case.connections).collect();
        counts.sort_unstable();
        counts.dedup();
        counts.len()
    };
    mixes
        .iter()
        .map(|mix| of(mix.case.engine))
        .max()
        .unwrap_or(0)
}

/// A line for each engine and size of the hash; one with a larger hash is dotted.
fn series(
    chosen: &Chosen<'_, '_>,
    metric: Metric,
    form: fn(f64) -> String,
    theme: &Theme,
) -> Vec<Line> {
    let mut names: Vec<(Option<Engine>, String)> = Vec::new();
    for mix in &chosen.mixes {
        let name = (mix.case.engine, sysctl_words(mix.case));
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let line = |(engine, sysctls): &(Option<Engine>, String)| {
        let same = chosen
            .mixes
            .iter()
            .filter(|mix| mix.case.engine == *engine && sysctl_words(mix.case) == *sysctls);
        let mixes: Vec<&Mix<'_>> = same.copied().collect();
        let marks = marks(&mixes, metric);
        Some(Line {
            name: name(mixes.first()?.case),
            value: form(marks.last()?.value),
            colour: theme.engine((*engine)?),
            role: if sysctls.is_empty() {
                Role::Engine
            } else {
                Role::Floor
            },
            marks,
            stop: None,
        })
    };
    names.iter().filter_map(line).collect()
}

/// `uring`, or `uring, hash 4.19 M`.
fn name(case: &Case) -> String {
    let size = case.sysctls.get(HASH).and_then(|value| value.parse().ok());
    match size {
        Some(size) => format!("{}, hash {}", case.arm(), format::short(size)),
        None => case.arm(),
    }
}

fn marks(mixes: &[&Mix<'_>], metric: Metric) -> Vec<Mark> {
    let estimates = mixes
        .iter()
        .filter_map(|mix| Some((&mix.point, mix.estimate(metric)?)));
    let marks = estimates.enumerate().map(|(index, (point, estimate))| {
        let mark = lines::mark(point, metric, &estimate, index > 0);
        let interval = match estimate.runs {
            INTERVAL_RUNS_MIN.. => mark.interval,
            _ => range(point, metric).filter(|_| estimate.runs > 1),
        };
        Mark { interval, ..mark }
    });
    marks.collect()
}

/// The least and the greatest of the valid runs.
fn range(point: &Point<'_>, metric: Metric) -> Option<(f64, f64)> {
    let values = || point.valid_runs().filter_map(metric);
    let least = values().min_by(f64::total_cmp)?;
    Some((least, values().max_by(f64::total_cmp)?))
}

fn caption(chosen: &Chosen<'_, '_>, drawn: &[(&str, Vec<Line>)]) -> Vec<String> {
    let all = || drawn.iter().flat_map(|(_, lines)| lines);
    let marks = || all().flat_map(|line| &line.marks);
    let hot = format::whole(f64::from(chosen.hot));
    let mut sentences = vec![format!(
        "{hot} connections echo, spread over all that are held; the first point is of them alone."
    )];
    if all().any(|line| line.role == Role::Floor) {
        sentences.push(format!(
            "Dotted: a larger established hash ({HASH}), by buckets."
        ));
    }
    if marks().any(|mark| mark.interval.is_some()) {
        let runs = chosen.mixes.iter();
        let most = runs.map(|mix| mix.point.valid_runs().count()).max();
        let words = match most {
            Some(INTERVAL_RUNS_MIN..) => "Bands: 95 % interval over runs; of two, their range.",
            _ => "Bands: the lower and the higher of two runs.",
        };
        sentences.push(words.to_owned());
    }
    if marks().any(|mark| mark.is_hollow || !mark.strays.is_empty()) {
        sentences.push("Hollow: invalid runs.".to_owned());
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::theme::LIGHT;
    use super::*;
    use fourtuple_spec::Peer;

    /// A thousand busy ghosts among ever more, with the ordinary hash and a larger one.
    fn records() -> Vec<Record> {
        let mut records = vec![fixture::ghost(fixture::record(Engine::UringPoll, 1_000, 0))];
        for connections in [1_000_000, 2_000_000, 5_000_000] {
            let plain = fixture::ghost(fixture::hot(Engine::UringPoll, connections, 1_000, 0));
            let mut larger = plain.clone();
            let value = "4194304".to_owned();
            larger.case.sysctls.insert(HASH.to_owned(), value);
            records.extend([plain, larger]);
        }
        records
    }

    #[test]
    fn a_size_of_the_hash_has_a_line_of_its_own_and_peers_are_named() {
        for draw in [rates, latencies] {
            let chart = draw(&records(), &LIGHT).unwrap().replace('\u{a0}', " ");
            assert!(chart.contains("ghost peers"), "{chart}");
            assert!(chart.contains(">uring-poll, hash 4.19 M<"), "{chart}");
            assert!(chart.contains(">uring-poll<"), "{chart}");
        }
    }

    #[test]
    fn kernel_peers_and_ghosts_never_share_a_line() {
        let mut records = records();
        let kernel = fixture::hot(Engine::UringPoll, 4_000_000, 1_000, 0);
        assert_eq!(kernel.case.peer, Peer::Kernel);
        records.push(kernel);
        let all = mixes(&records);
        let chosen = chosen(&all).unwrap();
        assert!(chosen.mixes.iter().all(|mix| mix.case.peer == Peer::Ghost));
        assert_eq!(chosen.mixes.len(), 7);
        let lines = series(&chosen, metric::rate, format::short, &LIGHT);
        let lengths: Vec<usize> = lines.iter().map(|line| line.marks.len()).collect();
        assert_eq!(lengths, [4, 3]);
    }

    #[test]
    fn one_count_is_no_course() {
        let records = [fixture::hot(Engine::Uring, 100_000, 1_000, 0)];
        assert!(rates(&records, &LIGHT).is_none());
    }
}

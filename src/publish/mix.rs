//! Busy connections among idle ones: what the idle ones cost those that are served.

use super::group::Shape;
use super::kind::{Kind, path_words, sysctl_words};
use super::metric::{self, Metric};
use super::point::{Estimate, Point};
use super::verdict::REFERENCE;
use crate::statistics::{self, Interval};
use fourtuple_spec::{Case, HotPlacement, Record};

/// One mix: so many hot connections of so many, with what they reach.
#[derive(Debug)]
pub struct Mix<'a> {
    /// A case of it: what it is.
    pub case: &'a Case,
    /// Its runs.
    pub point: Point<'a>,
    /// Its rate as a ratio to that of the hot set alone, paired by repeat.
    pub to_alone: Option<Ratio>,
    /// Its rate as a ratio to that of the same mix without settings of the network, paired by repeat.
    pub to_default: Option<Ratio>,
    /// Its rate as a ratio to that of the reference engine in the same mix, paired by repeat.
    pub to_reference: Option<Ratio>,
}

/// A mean ratio over pairs, with its interval where there are two pairs or more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The mean.
    pub value: f64,
    /// Its interval.
    pub interval: Option<Interval>,
}

impl Mix<'_> {
    /// Whether there are no idle connections beside the hot ones.
    pub fn is_alone(&self) -> bool {
        self.case.hot() == self.case.connections
    }

    /// What the runs say about a number.
    pub fn estimate(&self, metric: Metric) -> Option<Estimate> {
        self.point.estimate(metric)
    }

    /// Where the hot ones lie: `spread`, `first`, or that there is no choice.
    pub fn placement(&self) -> &'static str {
        match self.case.hot_placement {
            _ if self.is_alone() => "all",
            HotPlacement::Spread => "spread",
            HotPlacement::First => "first",
        }
    }
}

/// Every mix with its base, by hot count, engine, connections, settings; empty without any mix.
///
/// The base is a run of as many connections as the mix has hot ones, all of them active.
pub fn mixes(records: &[Record]) -> Vec<Mix<'_>> {
    let hot: Vec<&Record> = records.iter().filter(|record| is_hot(record)).collect();
    let is_base = |record: &&Record| {
        Kind::of(record) == Kind::Ordinary
            && record.case.measures()
            && hot.iter().any(|mix| is_alone_of(&record.case, &mix.case))
    };
    let mut mixes: Vec<Mix<'_>> = Vec::new();
    let bases = records.iter().filter(is_base);
    for record in bases.chain(hot.iter().copied()) {
        if record.case.control {
            continue;
        }
        match mixes.iter_mut().find(|mix| is_same(mix.case, &record.case)) {
            Some(mix) => mix.point.runs.push(record),
            None => mixes.push(Mix {
                case: &record.case,
                point: Point {
                    connections: record.case.connections,
                    runs: vec![record],
                },
                to_alone: None,
                to_default: None,
                to_reference: None,
            }),
        }
    }
    mixes.sort_by_key(|mix| order(mix.case));
    compare(&mut mixes);
    mixes
}

/// How far two arms that are the same differ: the far end of the interval of their ratio, above 1.
/// `None` without an A/A arm among the mixes and their bases.
pub fn noise(records: &[Record], mixes: &[Mix<'_>]) -> Option<f64> {
    let widths = mixes.iter().filter_map(|mix| {
        let twins = records
            .iter()
            .filter(|record| record.case.control && is_same(&record.case, mix.case));
        let twin = Point {
            connections: mix.case.connections,
            runs: twins.collect(),
        };
        let interval = paired(&twin, &mix.point)?.interval?;
        Some(interval.high.max(1.0 / interval.low))
    });
    widths.max_by(f64::total_cmp)
}

fn is_hot(record: &Record) -> bool {
    Kind::of(record) == Kind::Hot && record.case.measures() && record.case.engine.is_some()
}

/// Whether a case is the hot set of another alone; settings of the network may differ.
fn is_alone_of(base: &Case, mix: &Case) -> bool {
    base.connections == mix.hot() && base.hot() == mix.hot() && is_same_load(base, mix)
}

fn is_same_load(a: &Case, b: &Case) -> bool {
    let load = |case: &Case| {
        let shape = Shape {
            sysctls: String::new(),
            ..Shape::of(case)
        };
        (case.engine, case.foreign.clone(), case.client, shape)
    };
    load(a) == load(b)
}

fn is_same(a: &Case, b: &Case) -> bool {
    let is_alone = a.hot() == a.connections;
    is_same_load(a, b)
        && (a.connections, a.hot()) == (b.connections, b.hot())
        && (is_alone || a.hot_placement == b.hot_placement)
        && a.sysctls == b.sysctls
}

fn order(case: &Case) -> impl Ord + use<> {
    let placement = matches!(case.hot_placement, HotPlacement::First);
    let path = (super::group::kebab(&case.peer), path_words(case));
    let load = (case.message_bytes, case.depth, path, case.hot());
    let which = (case.connections, placement, sysctl_words(case));
    (load, case.engine, which)
}

fn compare(mixes: &mut [Mix<'_>]) {
    for index in 0..mixes.len() {
        let mix = &mixes[index];
        let alone = || mixes.iter().filter(|base| is_alone_of(base.case, mix.case));
        let base = alone()
            .find(|base| base.case.sysctls == mix.case.sysctls)
            .or_else(|| alone().find(|base| base.case.sysctls.is_empty()));
        let plain = Case {
            sysctls: Default::default(),
            ..mix.case.clone()
        };
        let default = mixes.iter().find(|other| is_same(other.case, &plain));
        let of_reference = Case {
            engine: Some(REFERENCE),
            foreign: None,
            ..mix.case.clone()
        };
        let reference = mixes
            .iter()
            .find(|other| is_same(other.case, &of_reference));
        let ratio_to = |base: &Mix<'_>| paired(&mix.point, &base.point);
        let to_alone = base.filter(|_| !mix.is_alone()).and_then(ratio_to);
        let to_default = default
            .filter(|_| !mix.case.sysctls.is_empty())
            .and_then(ratio_to);
        let is_other = mix.case.engine != Some(REFERENCE);
        let to_reference = reference.filter(|_| is_other).and_then(ratio_to);
        mixes[index].to_reference = to_reference;
        mixes[index].to_alone = to_alone;
        mixes[index].to_default = to_default;
    }
}

/// The mean ratio of rates over the valid runs of both points that share a repeat.
fn paired(point: &Point<'_>, base: &Point<'_>) -> Option<Ratio> {
    let pairs: Vec<(f64, f64)> = point
        .valid_runs()
        .filter_map(|run| {
            let twin = base
                .valid_runs()
                .find(|twin| twin.case.repeat == run.case.repeat)?;
            Some((metric::rate(run)?, metric::rate(twin)?))
        })
        .collect();
    let logs = statistics::log_ratios(&pairs)?;
    Some(Ratio {
        value: (logs.iter().sum::<f64>() / logs.len() as f64).exp(),
        interval: statistics::paired_ratio(&pairs),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use fourtuple_spec::Engine;

    fn sweep() -> Vec<Record> {
        let mut records = Vec::new();
        for repeat in 0..3 {
            let speed = 1.0 + 0.2 * f64::from(repeat);
            let mut alone = fixture::record(Engine::Uring, 10_000, repeat);
            alone.throughput.echoes_per_second = Some(100_000.0 * speed);
            let mut mix = fixture::hot(Engine::Uring, 1_000_000, 10_000, repeat);
            mix.throughput.echoes_per_second = Some(80_000.0 * speed);
            records.extend([mix, alone]);
        }
        // Not the hot set alone: another engine's, and another size.
        records.push(fixture::record(Engine::Epoll, 10_000, 0));
        records.push(fixture::record(Engine::Uring, 1_000, 0));
        records
    }

    #[test]
    fn a_mix_is_compared_with_its_hot_set_alone_within_repeats() {
        let records = sweep();
        let mixes = mixes(&records);
        assert_eq!(mixes.len(), 2);
        assert!(mixes[0].is_alone() && mixes[0].to_alone.is_none());
        let ratio = mixes[1].to_alone.unwrap();
        assert!((ratio.value - 0.8).abs() < 1e-9);
        // The machine's speed is the pairs' own, so that there is nothing left to spread.
        assert!(ratio.interval.unwrap().relative_half_width() < 1e-9);
        assert_eq!(noise(&records, &mixes), None);
    }

    #[test]
    fn engines_are_compared_with_the_reference_in_the_same_mix() {
        let mut records = sweep();
        for repeat in 0..3 {
            let mut epoll = fixture::hot(Engine::Epoll, 1_000_000, 10_000, repeat);
            epoll.throughput.echoes_per_second = Some(40_000.0 * (1.0 + 0.2 * f64::from(repeat)));
            records.push(epoll.clone());
            records.push(fixture::control(epoll, repeat));
        }
        let mixes = mixes(&records);
        let mix = mixes.iter().find(|mix| mix.case.connections == 1_000_000);
        let ratio = mix.unwrap().to_reference.unwrap();
        assert!((ratio.value - 2.0).abs() < 1e-9);
        assert!((noise(&records, &mixes).unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn without_a_mix_there_is_nothing_to_compare() {
        assert!(mixes(&fixture::sweep(2)).is_empty());
    }

    #[test]
    fn settings_are_compared_with_the_mix_that_has_none() {
        let mut records = sweep();
        for repeat in 0..3 {
            let mut tuned = fixture::hot(Engine::Uring, 1_000_000, 10_000, repeat);
            let rate = 88_000.0 * (1.0 + 0.2 * f64::from(repeat));
            tuned.throughput.echoes_per_second = Some(rate);
            let name = "net.ipv4.tcp_child_ehash_entries".to_owned();
            tuned.case.sysctls.insert(name, "2097152".to_owned());
            records.push(tuned);
        }
        let mixes = mixes(&records);
        assert_eq!(mixes.len(), 3);
        assert!((mixes[2].to_default.unwrap().value - 1.1).abs() < 1e-9);
        assert!((mixes[2].to_alone.unwrap().value - 0.88).abs() < 1e-9);
    }
}

//! The server's endpoint twice: measured alone with ghosts, and divided off a pair with kernel peers.
//!
//! The two come from different runs and by different ways, so that they agree is a check on both. Each is
//! taken from the result that has most counts of it.

use super::facts;
use super::group::{Group, MEMORY_CONNECTIONS_MIN, Series, groups};
use super::metric;
use super::model::{self, Fit};
use super::share::{Share, of_runs, shares};
use crate::statistics::Interval;
use fourtuple_spec::{Engine, Peer, Record};

/// How far the two may be apart, as a share.
pub const WITHIN: f64 = 0.01;

/// Kernel bytes of a server's endpoint, by one of the ways.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Bytes.
    pub bytes: f64,
    /// The interval of a slope; `None` of a quotient, fixed costs included.
    pub interval: Option<Interval>,
    /// The counts that it rests on.
    pub counts: Vec<u32>,
}

/// One engine by both ways.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The engine.
    pub engine: Engine,
    /// With ghosts, measured.
    pub measured: Reading,
    /// With kernel peers, the server's share.
    pub divided: Reading,
}

impl Endpoint {
    /// How far what was measured is from what was divided, as a share of the latter.
    pub fn difference(&self) -> f64 {
        self.measured.bytes / self.divided.bytes - 1.0
    }

    /// Whether that is within what is asked.
    pub fn is_within(&self) -> bool {
        self.difference().abs() <= WITHIN
    }
}

/// A reading of one engine, and what must be equal for another to be compared with it.
struct Found {
    engine: Engine,
    peer: Peer,
    like: String,
    reading: Reading,
}

/// Every engine that was read by both ways on the same kernel with the same settings, over all results.
pub fn endpoints(results: &[&[Record]]) -> Vec<Endpoint> {
    let found: Vec<Found> = results.iter().flat_map(|one| of_result(one)).collect();
    let best = |engine: Engine, peer: Peer, like: &str| {
        let same = found
            .iter()
            .filter(|one| (one.engine, one.peer) == (engine, peer) && one.like == like);
        same.max_by_key(|one| {
            let counts = &one.reading.counts;
            (
                one.reading.interval.is_some(),
                counts.last().copied(),
                counts.len(),
            )
        })
    };
    let mut all: Vec<Endpoint> = Vec::new();
    for one in found.iter().filter(|one| one.peer == Peer::Ghost) {
        if all.iter().any(|known| known.engine == one.engine) {
            continue;
        }
        let measured = best(one.engine, Peer::Ghost, &one.like);
        let divided = best(one.engine, Peer::Kernel, &one.like);
        all.extend(measured.zip(divided).map(|(measured, divided)| Endpoint {
            engine: one.engine,
            measured: measured.reading.clone(),
            divided: divided.reading.clone(),
        }));
    }
    all.sort_by_key(|one| one.engine);
    all
}

fn of_result(records: &[Record]) -> Vec<Found> {
    let groups = groups(records);
    groups.iter().flat_map(of_group).collect()
}

fn of_group(group: &Group<'_>) -> Vec<Found> {
    let like = like(group);
    let shares = shares(group).map_or_else(Vec::new, |(_, shares)| shares);
    let arms = group.series.iter().filter(|series| !series.is_control);
    let found = arms.filter_map(|series| {
        let reading = match group.shape.peer {
            Peer::Ghost => measured(series),
            Peer::Kernel => divided(series, &shares),
        }?;
        Some(Found {
            engine: series.engine,
            peer: group.shape.peer,
            like: like.clone(),
            reading,
        })
    });
    found.collect()
}

/// Kernel and shape but for the peer, in words.
fn like(group: &Group<'_>) -> String {
    let kernel = facts::distinct(&group.records, |record| facts::kernel(&record.host));
    format!("{kernel}, {}", group.shape.with_kernel_peers().words())
}

fn of_fit(fit: Fit, part: f64) -> Reading {
    let slope = Interval {
        estimate: fit.slope.estimate * part,
        low: fit.slope.low * part,
        high: fit.slope.high * part,
    };
    Reading {
        bytes: slope.estimate,
        interval: Some(slope),
        counts: fit.counts,
    }
}

fn measured(series: &Series<'_>) -> Option<Reading> {
    let fit = model::fit_beyond(series, metric::kernel_bytes);
    if let Some(fit) = fit.or_else(|| model::fit(series, metric::kernel_bytes)) {
        return Some(of_fit(fit, 1.0));
    }
    let mut points = series.points.iter().rev();
    points.find_map(|point| {
        let is_large = point.connections >= MEMORY_CONNECTIONS_MIN;
        Some(Reading {
            bytes: of_runs(point, metric::kernel_bytes).filter(|_| is_large)?,
            interval: None,
            counts: vec![point.connections],
        })
    })
}

/// The server's part of the slope; without one, of the largest run.
fn divided(series: &Series<'_>, shares: &[Share]) -> Option<Reading> {
    let share = shares.iter().find(|share| share.name == series.name)?;
    let fit = model::fit(series, metric::kernel_bytes);
    Some(match fit {
        Some(fit) => of_fit(fit, share.server_part()),
        None => Reading {
            bytes: share.server_kernel(),
            interval: None,
            counts: vec![share.connections],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    /// Ghosts' counts from 100,000 on: bytes of a connection, and 4 MB.
    fn ghosts(engine: Engine, each: f64) -> Vec<Record> {
        let counts = [100_000, 1_000_000, 2_000_000, 5_000_000];
        let run = |count: u32| {
            let mut record = fixture::ghost(fixture::held(engine, count, 0));
            let bytes = each + 4e6 / f64::from(count);
            record.memory.kernel_bytes_per_connection = Some(bytes);
            record
        };
        counts.map(run).into()
    }

    #[test]
    fn ways_are_compared_across_results_and_judged_at_one_per_cent() {
        let kernel = fixture::million(1);
        // Half of a null pair without its port and rings, and its own ring: see the fixture.
        let expected = divided_of(&kernel, Engine::UringPoll);
        for (factor, is_within) in [(1.004, true), (0.98, false)] {
            let ghosts = ghosts(Engine::UringPoll, expected * factor);
            let found = endpoints(&[&kernel, &ghosts]);
            assert_eq!(found.len(), 1, "only this engine was read by both ways");
            assert!((found[0].difference() - (factor - 1.0)).abs() < 1e-6);
            assert_eq!(found[0].is_within(), is_within);
            assert_eq!(found[0].measured.counts.last(), Some(&5_000_000));
        }
    }

    fn divided_of(kernel: &[Record], engine: Engine) -> f64 {
        let found = of_result(kernel);
        let one = found.iter().find(|one| one.engine == engine);
        one.unwrap().reading.bytes
    }

    #[test]
    fn another_kernel_or_other_settings_are_not_compared() {
        let kernel = fixture::million(1);
        let mut elsewhere = ghosts(Engine::UringPoll, 4_000.0);
        for record in &mut elsewhere {
            record.host.kernel = Some("6.12.1 #1".to_owned());
        }
        assert!(endpoints(&[&kernel, &elsewhere]).is_empty());
        let mut stamped = ghosts(Engine::UringPoll, 4_000.0);
        for record in &mut stamped {
            record.case.tcp_options = fourtuple_spec::TcpOptions::Timestamps;
        }
        assert!(endpoints(&[&kernel, &stamped]).is_empty());
        assert!(endpoints(&[&kernel]).is_empty(), "one way is no comparison");
    }
}

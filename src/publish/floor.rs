//! How near engines come to the floor: both ends spun, no event loop.
//!
//! Rates are paired within repeats, as everywhere: the floor and an engine of one repeat ran within minutes of
//! each other, on a machine of one speed.

use super::group::{Group, Series};
use super::point::Point;
use super::verdict::pairs;
use crate::statistics::{self, Interval};

/// What part of the floor's rate an engine reaches at one connection count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The connection count.
    pub connections: u32,
    /// Geometric mean over pairs: 1 is the floor.
    pub value: f64,
    /// Its interval; `None` for a single pair.
    pub interval: Option<Interval>,
}

/// The shares of a series at every count at which the floor was measured.
pub fn shares(group: &Group<'_>, series: &Series<'_>) -> Vec<Share> {
    let Some(floor) = group.floor() else {
        return Vec::new();
    };
    let share = |point: &Point<'_>| {
        let pairs = pairs(series.point(point.connections)?, point);
        let logs = statistics::log_ratios(&pairs)?;
        Some(Share {
            connections: point.connections,
            value: (logs.iter().sum::<f64>() / logs.len() as f64).exp(),
            interval: statistics::paired_ratio(&pairs),
        })
    };
    floor.points.iter().filter_map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::group::groups;
    use super::*;
    use fourtuple_spec::{ClientKind, Engine, Record};

    fn at(engine: Engine, rate: f64, repeat: u32) -> Record {
        let mut record = fixture::record(engine, 100, repeat);
        record.throughput.echoes_per_second = Some(rate);
        record
    }

    #[test]
    fn a_share_is_of_the_floor_of_the_same_repeat() {
        let mut records = Vec::new();
        for (repeat, speed) in [(0, 100.0), (1, 200.0), (2, 150.0)] {
            records.push(at(Engine::Uring, speed * 0.9, repeat));
            records.push(at(Engine::Spin, speed, repeat));
        }
        // The client's ceiling is no floor.
        let mut ceiling = at(Engine::Spin, 500.0, 0);
        ceiling.case.client = ClientKind::Uring;
        records.push(ceiling);
        // A repeat without a floor has no share.
        records.push(at(Engine::Uring, 1.0, 3));
        let groups = groups(&records);
        let shares = shares(&groups[0], groups[0].arm(Engine::Uring).unwrap());
        assert_eq!(shares.len(), 1);
        assert!((shares[0].value - 0.9).abs() < 1e-9);
        assert!(shares[0].interval.unwrap().relative_half_width() < 1e-9);
    }

    #[test]
    fn without_a_floor_there_is_no_share() {
        let records = [at(Engine::Uring, 1.0, 0)];
        let groups = groups(&records);
        assert!(shares(&groups[0], &groups[0].series[0]).is_empty());
    }
}

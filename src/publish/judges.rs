//! Engines judged twice: with kernel peers, and with ghosts.
//!
//! With kernel peers half of the work is the client's, on the same machine; with ghosts the server's core is
//! more of the bottleneck. So the order of engines may differ. It is said to differ only where each kind of
//! peers tells two engines apart by more than its own A/A arm's width, the other way round.

use super::group::{Group, Series};
use super::metric;
use super::point::{Estimate, Point};
use super::verdict::{Comparison, Verdict, compare, is_arm, noise_width};
use fourtuple_spec::{Engine, Peer};

/// One engine with one kind of peers.
#[derive(Clone, Copy, Debug)]
pub struct Arm {
    /// Echoes a second.
    pub rate: Estimate,
    /// CPU of the server for one echo, nanoseconds.
    pub server_cpu: Option<f64>,
    /// Its place by rate among the engines that ran with both kinds, from 1.
    pub place: usize,
}

/// One engine with both.
#[derive(Clone, Debug)]
pub struct Twice {
    /// The engine.
    pub engine: Engine,
    /// With kernel peers.
    pub kernel: Arm,
    /// With ghosts.
    pub ghost: Arm,
    /// Rate with ghosts to rate with kernel peers, paired within repeats.
    pub gain: Option<Comparison>,
}

/// Two engines, the first to the second, with either kind of peers.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The two.
    pub engines: (Engine, Engine),
    /// With kernel peers.
    pub kernel: Comparison,
    /// With ghosts.
    pub ghost: Comparison,
}

/// Whether a pair of engines stands in the same order with both kinds of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Both kinds tell them apart, and alike.
    Same,
    /// Both tell them apart, each the other way round.
    Differs,
    /// Only ghosts tell them apart.
    ByGhosts,
    /// Only kernel peers do.
    ByKernel,
    /// Neither does.
    NotShown,
    /// Too few pairs of runs, or no A/A arm with one of the kinds.
    Open,
}

impl Pair {
    /// What the two comparisons come to.
    pub fn order(&self) -> Order {
        use Verdict::{Faster, NoDifference, Open, Slower};
        match (self.kernel.verdict, self.ghost.verdict) {
            (Open, _) | (_, Open) => Order::Open,
            (Faster, Faster) | (Slower, Slower) => Order::Same,
            (Faster, Slower) | (Slower, Faster) => Order::Differs,
            (NoDifference, NoDifference) => Order::NotShown,
            (NoDifference, _) => Order::ByGhosts,
            (_, NoDifference) => Order::ByKernel,
        }
    }
}

/// What both kinds of peers say at one connection count.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The connection count.
    pub connections: u32,
    /// Engines that ran with both, the one first that has the highest rate with ghosts.
    pub engines: Vec<Twice>,
    /// Every two of them.
    pub pairs: Vec<Pair>,
    /// The A/A widths, with kernel peers and with ghosts.
    pub noise: (Option<f64>, Option<f64>),
}

/// Two groups that differ by their peers alone: kernel peers, ghosts.
pub fn twins<'a, 'b>(groups: &'b [Group<'a>]) -> Vec<(&'b Group<'a>, &'b Group<'a>)> {
    let of = |peer: Peer| groups.iter().filter(move |group| group.shape.peer == peer);
    let twin = |ghost: &'b Group<'a>| {
        let shape = ghost.shape.with_kernel_peers();
        let kernel = of(Peer::Kernel).find(|group| group.shape == shape)?;
        Some((kernel, ghost))
    };
    of(Peer::Ghost).filter_map(twin).collect()
}

/// What both kinds say at each count at which at least one engine has a valid rate with both.
pub fn judges(kernel: &Group<'_>, ghost: &Group<'_>) -> Vec<Judged> {
    let counts = ghost.counts().into_iter();
    counts
        .filter_map(|count| judged(kernel, ghost, count))
        .collect()
}

/// One engine's points: with kernel peers, with ghosts.
struct Points<'a> {
    engine: Engine,
    kernel: &'a Point<'a>,
    ghost: &'a Point<'a>,
}

fn judged(kernel: &Group<'_>, ghost: &Group<'_>, connections: u32) -> Option<Judged> {
    let noise = (
        noise_width(kernel, connections),
        noise_width(ghost, connections),
    );
    let arms = ghost.series.iter().filter(|series| is_arm(series));
    let points = |series: &'_ Series<'_>| {
        let of = |group| valid(of_engine(group, series.engine)?.point(connections)?);
        of(kernel).and(of(ghost)).map(|_| series.engine)
    };
    let engines: Vec<Engine> = arms.filter_map(points).collect();
    let found: Vec<Points<'_>> = engines
        .iter()
        .filter_map(|engine| {
            Some(Points {
                engine: *engine,
                kernel: of_engine(kernel, *engine)?.point(connections)?,
                ghost: of_engine(ghost, *engine)?.point(connections)?,
            })
        })
        .collect();
    let mut twice: Vec<Twice> = found
        .iter()
        .filter_map(|one| both(one, &found, noise))
        .collect();
    twice.sort_by_key(|one| one.ghost.place);
    let mut pairs = Vec::new();
    for (index, a) in found.iter().enumerate() {
        pairs.extend(found[index + 1..].iter().filter_map(|b| pair(a, b, noise)));
    }
    (!twice.is_empty()).then_some(Judged {
        connections,
        engines: twice,
        pairs,
        noise,
    })
}

/// The series of an engine with the load generator that drives all engines.
fn of_engine<'a, 'b>(group: &'b Group<'a>, engine: Engine) -> Option<&'b Series<'a>> {
    let mut arms = group.series.iter().filter(|series| is_arm(series));
    arms.find(|series| series.engine == engine)
}

fn valid(point: &Point<'_>) -> Option<Estimate> {
    let estimate = point.estimate(metric::rate)?;
    (!estimate.is_hollow).then_some(estimate)
}

type Noise = (Option<f64>, Option<f64>);

fn both(one: &Points<'_>, all: &[Points<'_>], noise: Noise) -> Option<Twice> {
    let arm = |side: for<'a, 'b> fn(&'a Points<'b>) -> &'a Point<'b>| {
        let rate = valid(side(one))?;
        let faster = all.iter().filter_map(|other| valid(side(other)));
        let faster = faster.filter(|other| other.value > rate.value).count();
        let server_cpu = side(one).estimate(metric::server_cpu);
        Some(Arm {
            rate,
            server_cpu: server_cpu.map(|estimate| estimate.value),
            place: faster + 1,
        })
    };
    let wider = noise.0.zip(noise.1).map(|(a, b)| a.max(b));
    Some(Twice {
        engine: one.engine,
        kernel: arm(|points| points.kernel)?,
        ghost: arm(|points| points.ghost)?,
        gain: compare(one.engine.name(), one.ghost, one.kernel, wider),
    })
}

fn pair(a: &Points<'_>, b: &Points<'_>, noise: Noise) -> Option<Pair> {
    Some(Pair {
        engines: (a.engine, b.engine),
        kernel: compare(a.engine.name(), a.kernel, b.kernel, noise.0)?,
        ghost: compare(a.engine.name(), a.ghost, b.ghost, noise.1)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::group::groups;
    use super::*;
    use fourtuple_spec::Record;

    /// Three repeats at 1,000 connections: uring to epoll with kernel peers and with ghosts, and A/A arms
    /// that differ by 1 %.
    fn records(kernel: f64, ghost: f64) -> Vec<Record> {
        let mut records = Vec::new();
        for repeat in 0..3 {
            let speed = 1.0 + 0.2 * f64::from(repeat);
            let wobble = 1.0 + 0.001 * f64::from(repeat);
            let at = |engine: Engine, rate: f64| {
                let mut record = fixture::record(engine, 1_000, repeat);
                record.throughput.echoes_per_second = Some(rate * speed);
                record
            };
            let run = |factor: f64| {
                let twin = at(Engine::Epoll, 1_010.0 * wobble);
                vec![
                    at(Engine::Epoll, 1_000.0),
                    at(Engine::Uring, 1_000.0 * factor * wobble),
                    fixture::control(twin, repeat),
                ]
            };
            records.extend(run(kernel));
            // The fixture's ghosts are 1.9 times as fast.
            records.extend(run(ghost).into_iter().map(fixture::ghost));
        }
        records
    }

    fn judged_of(records: &[Record]) -> Vec<Judged> {
        let groups = groups(records);
        let twins = twins(&groups);
        let all = twins
            .iter()
            .flat_map(|(kernel, ghost)| judges(kernel, ghost));
        all.collect()
    }

    #[test]
    fn an_order_differs_only_outside_both_widths() {
        for (kernel, ghost, expected) in [
            (1.2, 0.8, Order::Differs),
            (1.2, 1.3, Order::Same),
            (1.005, 0.8, Order::ByGhosts),
            (0.8, 1.005, Order::ByKernel),
            (1.005, 0.995, Order::NotShown),
        ] {
            let judged = judged_of(&records(kernel, ghost));
            assert_eq!(judged.len(), 1);
            assert_eq!(judged[0].pairs[0].order(), expected, "{kernel} {ghost}");
        }
    }

    #[test]
    fn without_the_control_of_one_kind_nothing_is_decided() {
        let mut records = records(1.2, 0.8);
        records.retain(|run| !run.case.control || run.case.peer == Peer::Kernel);
        assert_eq!(judged_of(&records)[0].pairs[0].order(), Order::Open);
    }

    #[test]
    fn the_gain_is_paired_within_repeats_and_places_are_by_rate() {
        let judged = judged_of(&records(1.2, 0.8));
        let first = &judged[0].engines[0];
        assert_eq!(
            (first.engine, first.ghost.place, first.kernel.place),
            (Engine::Epoll, 1, 2)
        );
        let gain = first.gain.as_ref().unwrap();
        // The machine's speed is the pairs' own: nothing is left to spread.
        assert!((gain.ratio - 1.9).abs() < 1e-9);
        assert!(gain.interval.unwrap().relative_half_width() < 1e-9);
    }

    #[test]
    fn one_kind_alone_is_no_comparison() {
        let kernel = records(1.2, 0.8);
        let kernel: Vec<Record> = kernel
            .into_iter()
            .filter(|run| run.case.peer == Peer::Kernel)
            .collect();
        assert!(judged_of(&kernel).is_empty());
    }
}

//! The price list: bytes of one connection in each state of its life.

use super::group::{MEMORY_CONNECTIONS_MIN, SLOPE_COUNTS_MIN, kebab};
use super::kind::{Kind, of_kind, settings_words};
use super::metric;
use super::model;
use super::point::Point;
use crate::statistics::{self, Interval};
use fourtuple_spec::case::ENDPOINT_STATES;
use fourtuple_spec::{EndpointState, Engine, Peer, Record};

/// What must be equal for runs to be of one price.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The state.
    pub state: EndpointState,
    /// The engine that serves; a foreign server has none.
    pub engine: Option<Engine>,
    /// Who is at the other end: with ghosts the figure is the server's endpoint alone.
    pub peer: Peer,
    /// Settings of the path and the private network in words; empty where they are the usual ones.
    pub sysctls: String,
}

/// The price of one state.
#[derive(Debug)]
pub struct Price<'a> {
    /// Of what.
    pub key: Key,
    /// What tells it from the others of the list: state, engine, settings.
    pub label: String,
    /// Kernel bytes of a connection: a slope over counts, or the quotient of the largest count.
    pub bytes: Option<f64>,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// Whether it is a slope.
    pub is_slope: bool,
    /// User memory of the server for a connection, at the largest count.
    pub server_user: Option<f64>,
    /// The counts that it rests on.
    pub counts: Vec<u32>,
    /// Its runs, the A/A arm left out.
    pub points: Vec<Point<'a>>,
    /// The runs of its A/A arm.
    pub control: Vec<&'a Record>,
}

/// A difference between two arms of the list, paired by count and repeat.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The state, with what tells it from others.
    pub state: String,
    /// The settings that one of them has; of the A/A arm, that it is that.
    pub settings: String,
    /// Without the settings less with them: mean over pairs, and its interval, bytes a connection.
    pub bytes: Interval,
    /// How many pairs.
    pub pairs: usize,
    /// Whether it is the A/A arm's.
    pub is_control: bool,
}

/// Every price, in the order of a connection's life, then by engine and settings.
pub fn prices(records: &[Record]) -> Vec<Price<'_>> {
    let mut all: Vec<(Key, Vec<&Record>)> = Vec::new();
    for record in of_kind(records, Kind::Price) {
        let Some(key) = key(record) else { continue };
        match all.iter_mut().find(|(known, _)| *known == key) {
            Some((_, runs)) => runs.push(record),
            None => all.push((key, vec![record])),
        }
    }
    all.sort_by_key(|(key, _)| order(key));
    let keys: Vec<Key> = all.iter().map(|(key, _)| key.clone()).collect();
    all.into_iter()
        .map(|(key, runs)| price(label(&key, &keys), key, runs))
        .collect()
}

fn key(record: &Record) -> Option<Key> {
    let case = &record.case;
    Some(Key {
        state: case.state?,
        engine: case.engine,
        peer: case.peer,
        sysctls: settings_words(case),
    })
}

fn order(key: &Key) -> (usize, String, Option<Engine>, String) {
    let rank = |row: &(EndpointState, &str, &str)| row.0 == key.state;
    let rank = ENDPOINT_STATES.iter().position(rank);
    (
        rank.unwrap_or(usize::MAX),
        kebab(&key.peer),
        key.engine,
        key.sysctls.clone(),
    )
}

/// The state; its engine where that makes the difference; peer and settings where the list has several.
fn label(key: &Key, all: &[Key]) -> String {
    let mut words = vec![key.state.name().to_owned()];
    let of_state = || all.iter().filter(|other| other.state == key.state);
    let has_several = of_state().any(|other| other.engine != key.engine);
    if let Some(engine) = key.engine.filter(|_| key.state.is_engines() || has_several) {
        words.push(engine.to_string());
    }
    if all.iter().any(|other| other.peer != key.peer) {
        words.push(format!("{} peers", kebab(&key.peer)));
    }
    if !key.sysctls.is_empty() {
        words.push(key.sysctls.clone());
    }
    words.join(", ")
}

fn price<'a>(label: String, key: Key, runs: Vec<&'a Record>) -> Price<'a> {
    let (control, runs): (Vec<&Record>, Vec<&Record>) =
        runs.into_iter().partition(|run| run.case.control);
    let mut points: Vec<Point<'a>> = Vec::new();
    for run in runs {
        let count = run.case.connections;
        match points.iter_mut().find(|point| point.connections == count) {
            Some(point) => point.runs.push(run),
            None => points.push(Point {
                connections: count,
                runs: vec![run],
            }),
        }
    }
    points.sort_by_key(|point| point.connections);
    let totals: Vec<(u32, f64)> = points
        .iter()
        .filter(|point| point.connections >= MEMORY_CONNECTIONS_MIN)
        .filter_map(|point| {
            Some((
                point.connections,
                model::total(point, metric::kernel_bytes)?,
            ))
        })
        .collect();
    let mut price = Price {
        key,
        label,
        bytes: None,
        interval: None,
        is_slope: totals.len() >= SLOPE_COUNTS_MIN,
        server_user: points
            .last()
            .and_then(|point| super::share::of_runs(point, metric::server_bytes)),
        counts: totals.iter().map(|(count, _)| *count).collect(),
        points,
        control,
    };
    set_bytes(&mut price, &totals);
    price
}

fn set_bytes(price: &mut Price<'_>, totals: &[(u32, f64)]) {
    if let Some(fit) = model::line(totals) {
        price.bytes = Some(fit.slope.estimate);
        price.interval = Some((fit.slope.low, fit.slope.high));
        return;
    }
    let Some((count, total)) = totals.last() else {
        return;
    };
    price.bytes = Some(total / f64::from(*count));
    let point = price
        .points
        .iter()
        .find(|point| point.connections == *count);
    let values: Vec<f64> = point
        .into_iter()
        .flat_map(Point::valid_runs)
        .filter_map(metric::kernel_bytes)
        .collect();
    price.interval = statistics::t_interval(&values).map(|interval| (interval.low, interval.high));
}

/// What other settings change in each state, and what the A/A arm does.
pub fn differences(prices: &[Price<'_>]) -> Vec<Difference> {
    let mut all = Vec::new();
    for price in prices {
        let twin = runs(price);
        let pairs = pairs(&twin, &price.control);
        all.extend(difference((&price.label, "A/A"), &pairs, true));
    }
    for base in prices.iter().filter(|price| price.key.sysctls.is_empty()) {
        let is_tuned = |price: &&Price<'_>| {
            let key = Key {
                sysctls: String::new(),
                ..price.key.clone()
            };
            key == base.key && !price.key.sysctls.is_empty()
        };
        for tuned in prices.iter().filter(is_tuned) {
            let pairs = pairs(&runs(base), &runs(tuned));
            let what = (base.label.as_str(), tuned.key.sysctls.as_str());
            all.extend(difference(what, &pairs, false));
        }
    }
    all
}

fn runs<'a>(price: &Price<'a>) -> Vec<&'a Record> {
    let points = price.points.iter();
    points
        .flat_map(|point| point.runs.iter().copied())
        .collect()
}

fn difference(
    (state, settings): (&str, &str),
    pairs: &[f64],
    is_control: bool,
) -> Option<Difference> {
    Some(Difference {
        state: state.to_owned(),
        settings: settings.to_owned(),
        bytes: statistics::t_interval(pairs)?,
        pairs: pairs.len(),
        is_control,
    })
}

/// Bytes a connection of one arm less those of the other, for runs of the same count and repeat.
fn pairs(first: &[&Record], second: &[&Record]) -> Vec<f64> {
    use fourtuple_spec::record::Outcome;
    let is_counted = |run: &&&Record| {
        run.outcome == Outcome::Ok && run.case.connections >= MEMORY_CONNECTIONS_MIN
    };
    let mut differences = Vec::new();
    for a in first.iter().filter(is_counted) {
        let twin = second
            .iter()
            .filter(is_counted)
            .find(|b| (b.case.connections, b.case.repeat) == (a.case.connections, a.case.repeat));
        let pair = twin.and_then(|b| Some(metric::kernel_bytes(a)? - metric::kernel_bytes(b)?));
        differences.extend(pair);
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_price_is_the_slope_and_not_the_quotient() {
        let counts = [10_000, 20_000, 30_000, 40_000, 50_000];
        let records = counts.map(|count| {
            let mut record = fixture::price(EndpointState::Accepted, Engine::Null, count, 0);
            let total = 3_000.0 * f64::from(count) + 5e7;
            record.memory.kernel_bytes_per_connection = Some(total / f64::from(count));
            record
        });
        let all = prices(&records);
        assert!(all[0].is_slope && all[0].counts == counts);
        assert!((all[0].bytes.unwrap() - 3_000.0).abs() < 1e-6);
        let few = prices(&records[..4]);
        assert!(!few[0].is_slope);
        assert!((few[0].bytes.unwrap() - 4_250.0).abs() < 1e-6);
    }

    #[test]
    fn the_list_follows_a_connections_life_and_names_engines_where_they_matter() {
        let records = vec![
            fixture::price(EndpointState::TimeWait, Engine::Null, 10_000, 0),
            fixture::price(EndpointState::Armed, Engine::Epoll, 10_000, 0),
            fixture::price(EndpointState::Armed, Engine::Uring, 10_000, 0),
            fixture::price(EndpointState::HalfOpen, Engine::Null, 10_000, 0),
        ];
        let labels: Vec<String> = prices(&records)
            .into_iter()
            .map(|price| price.label)
            .collect();
        assert_eq!(
            labels,
            ["half-open", "armed, uring", "armed, epoll", "time-wait"]
        );
    }

    #[test]
    fn the_folk_remedy_is_paired_by_count_and_repeat() {
        let mut records = Vec::new();
        for repeat in 0..4 {
            let drift = f64::from(repeat) * 50.0;
            let mut plain = fixture::price(EndpointState::Accepted, Engine::Null, 10_000, repeat);
            plain.memory.kernel_bytes_per_connection = Some(4_000.0 + drift);
            let mut tuned = plain.clone();
            let setting = ("net.ipv4.tcp_rmem".to_owned(), "1024 1024 1024".to_owned());
            tuned.case.sysctls.extend([setting]);
            let noise = f64::from(repeat % 2);
            tuned.memory.kernel_bytes_per_connection = Some(4_000.0 + drift - 0.5 + noise);
            records.extend([plain, tuned]);
        }
        let found = differences(&prices(&records)).remove(0);
        assert_eq!(found.pairs, 4);
        assert!(found.bytes.estimate.abs() < 1e-9);
        assert!(found.bytes.low < 0.0 && found.bytes.high < 2.0);
        assert_eq!(found.settings, "tcp_rmem 1024×3");
    }
}

//! From records to series: one group for each shape of load, in it one series for each arm.

use crate::statistics::{self, Interval};
use fourtuple_spec::record::{Outcome, Record};
use fourtuple_spec::{ClientKind, Engine, Mode, Peer};

/// The fewest connections at which memory of one connection means anything.
pub const MEMORY_CONNECTIONS_MIN: u32 = 1_000;

/// The fewest connection counts that a slope is taken over.
pub const SLOPE_COUNTS_MIN: usize = 5;

/// A number of one run; `None` where the run has none.
pub type Metric = fn(&Record) -> Option<f64>;

/// The numbers that charts and tables show, by name.
pub mod metric {
    use super::Record;

    /// Verified echoes a second.
    pub fn rate(record: &Record) -> Option<f64> {
        record.throughput.echoes_per_second
    }
    /// Median latency, nanoseconds.
    pub fn p50(record: &Record) -> Option<f64> {
        record.latency_ns.p50.map(|value| value as f64)
    }
    /// 99th percentile of latency, nanoseconds.
    pub fn p99(record: &Record) -> Option<f64> {
        record.latency_ns.p99.map(|value| value as f64)
    }
    /// 99.9th percentile of latency, nanoseconds.
    pub fn p999(record: &Record) -> Option<f64> {
        record.latency_ns.p999.map(|value| value as f64)
    }
    /// CPU of the server for one echo, nanoseconds.
    pub fn server_cpu(record: &Record) -> Option<f64> {
        record.cpu.server_ns_per_echo
    }
    /// CPU of the client for one echo, nanoseconds.
    pub fn client_cpu(record: &Record) -> Option<f64> {
        record.cpu.client_ns_per_echo
    }
    /// Kernel memory of a connection, bytes.
    pub fn kernel_bytes(record: &Record) -> Option<f64> {
        record.memory.kernel_bytes_per_connection
    }
    /// User memory of the server for a connection, bytes.
    pub fn server_bytes(record: &Record) -> Option<f64> {
        record.memory.server_user_bytes_per_connection
    }
    /// User memory of the client for a connection, bytes.
    pub fn client_bytes(record: &Record) -> Option<f64> {
        record.memory.client_user_bytes_per_connection
    }
    /// Share of the memory taken that nothing explains.
    pub fn unattributed(record: &Record) -> Option<f64> {
        record.memory.unattributed_share
    }
    /// Connections opened a second.
    pub fn setup_rate(record: &Record) -> Option<f64> {
        record.setup.connections_per_second
    }
}

/// What must be equal for two runs to stand on one chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of one message.
    pub message_bytes: u32,
    /// Messages in flight on a connection.
    pub depth: u32,
    /// Who is at the other end.
    pub peer: Peer,
    /// How load is offered.
    pub mode: Mode,
}

/// All records of one shape.
#[derive(Debug)]
pub struct Group<'a> {
    /// What they have in common.
    pub shape: Shape,
    /// The records, in the order in which they were made.
    pub records: Vec<&'a Record>,
    /// The same records by arm, in the order in which engines are listed.
    pub series: Vec<Series<'a>>,
}

/// All runs of one arm.
#[derive(Debug)]
pub struct Series<'a> {
    /// What it is called on charts.
    pub name: String,
    /// The engine.
    pub engine: Engine,
    /// Whether it is the second arm of the A/A pair.
    pub is_control: bool,
    /// The load generator.
    pub client: ClientKind,
    /// Its runs by connection count, ascending.
    pub points: Vec<Point<'a>>,
}

/// All runs of one case.
#[derive(Debug)]
pub struct Point<'a> {
    /// The connection count.
    pub connections: u32,
    /// The runs.
    pub runs: Vec<&'a Record>,
}

/// What several runs say about one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Geometric mean over runs, or the median where a value is not positive.
    pub value: f64,
    /// Its interval; `None` for a single run.
    pub interval: Option<Interval>,
    /// How many runs it rests on.
    pub runs: usize,
    /// Whether it rests on invalid runs, because there are no others.
    pub is_hollow: bool,
}

/// Groups records by shape: smaller messages first, then smaller depth.
pub fn groups(records: &[Record]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for record in records {
        let shape = Shape::of(record);
        match groups.iter_mut().find(|group| group.shape == shape) {
            Some(group) => group.records.push(record),
            None => groups.push(Group {
                shape,
                records: vec![record],
                series: Vec::new(),
            }),
        }
    }
    groups.sort_by_key(|group| {
        let shape = group.shape;
        (
            shape.message_bytes,
            shape.depth,
            kebab(&shape.peer),
            kebab(&shape.mode),
        )
    });
    for group in &mut groups {
        group.series = series(&group.records);
    }
    groups
}

impl Shape {
    /// The shape of a record's case.
    pub fn of(record: &Record) -> Self {
        let case = &record.case;
        Self {
            message_bytes: case.message_bytes,
            depth: case.depth,
            peer: case.peer,
            mode: case.mode,
        }
    }

    /// In words: `64-byte messages, depth 1, closed loop, kernel peers`.
    pub fn words(&self) -> String {
        format!(
            "{}-byte messages, depth {}, {} loop, {} peers",
            super::format::whole(f64::from(self.message_bytes)),
            self.depth,
            kebab(&self.mode),
            kebab(&self.peer)
        )
    }

    /// For file names: `64-bytes-depth-1-closed-kernel`.
    pub fn slug(&self) -> String {
        let (mode, peer) = (kebab(&self.mode), kebab(&self.peer));
        format!(
            "{}-bytes-depth-{}-{mode}-{peer}",
            self.message_bytes, self.depth
        )
    }

    /// What a memory figure covers: with kernel peers both ends lie on this machine.
    pub fn memory_scope(&self) -> &'static str {
        match self.peer {
            Peer::Kernel => "both endpoints of a connection",
            #[allow(
                unreachable_patterns,
                reason = "peers without an end on this machine are to come"
            )]
            _ => "the server's endpoint alone",
        }
    }
}

impl<'a> Group<'a> {
    /// The series of an engine, not its A/A arm.
    pub fn arm(&self, engine: Engine) -> Option<&Series<'a>> {
        self.series
            .iter()
            .find(|series| series.engine == engine && !series.is_control)
    }

    /// Every connection count of the group, ascending.
    pub fn counts(&self) -> Vec<u32> {
        let mut counts: Vec<u32> = self
            .records
            .iter()
            .map(|record| record.case.connections)
            .collect();
        counts.sort_unstable();
        counts.dedup();
        counts
    }
}

impl<'a> Series<'a> {
    /// The runs at a connection count.
    pub fn point(&self, connections: u32) -> Option<&Point<'a>> {
        self.points
            .iter()
            .find(|point| point.connections == connections)
    }

    /// Kernel bytes of a connection as a slope over connection counts, so that fixed costs drop out.
    ///
    /// `None` with fewer than [`SLOPE_COUNTS_MIN`] counts from [`MEMORY_CONNECTIONS_MIN`] on.
    pub fn kernel_bytes_slope(&self) -> Option<Interval> {
        let total = |record: &Record| {
            let held = record
                .setup
                .connections_held
                .unwrap_or(record.case.connections);
            Some(metric::kernel_bytes(record)? * f64::from(held))
        };
        let points: Vec<(f64, f64)> = self
            .points
            .iter()
            .filter(|point| point.connections >= MEMORY_CONNECTIONS_MIN)
            .filter_map(|point| {
                let totals: Vec<f64> = point.valid_runs().filter_map(|run| total(run)).collect();
                Some((f64::from(point.connections), statistics::median(&totals)?))
            })
            .collect();
        (points.len() >= SLOPE_COUNTS_MIN).then(|| statistics::theil_sen(&points))?
    }
}

impl<'a> Point<'a> {
    /// The runs that broke no rule of measuring.
    pub fn valid_runs(&self) -> impl Iterator<Item = &'a Record> {
        self.with_outcome(Outcome::Ok)
    }

    /// The numbers of runs that broke a rule of measuring.
    pub fn invalid_values(&self, metric: Metric) -> Vec<f64> {
        self.with_outcome(Outcome::Invalid)
            .filter_map(metric)
            .filter(|value| value.is_finite())
            .collect()
    }

    /// What the runs say about a number; `None` if none of them has it.
    pub fn estimate(&self, metric: Metric) -> Option<Estimate> {
        let valid: Vec<f64> = self
            .valid_runs()
            .filter_map(metric)
            .filter(|value| value.is_finite())
            .collect();
        let is_hollow = valid.is_empty();
        let values = if is_hollow {
            self.invalid_values(metric)
        } else {
            valid
        };
        let value = statistics::geometric_mean(&values).or_else(|| statistics::median(&values))?;
        Some(Estimate {
            value,
            interval: statistics::log_interval(&values),
            runs: values.len(),
            is_hollow,
        })
    }

    /// Why there is no number: the limiter of a run that failed, or the first words of its error.
    pub fn failure(&self) -> Option<&'a str> {
        let failed: Vec<&Record> = self.with_outcome(Outcome::Error).collect();
        let limiter = failed.iter().find_map(|record| record.limiter.as_deref());
        let error = failed.iter().find_map(|record| record.error.as_deref());
        let first_words =
            |text: &'a str| text.split([':', ';', '\n']).next().unwrap_or(text).trim();
        limiter
            .or(error.map(first_words))
            .or(failed.first().map(|_| "failed"))
    }

    fn with_outcome(&self, outcome: Outcome) -> impl Iterator<Item = &'a Record> {
        self.runs
            .iter()
            .copied()
            .filter(move |record| record.outcome == outcome)
    }
}

/// An enumeration's name as it stands in records.
pub fn kebab<T: std::fmt::Debug>(value: &T) -> String {
    let mut name = String::new();
    for character in format!("{value:?}").chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(character.to_lowercase());
    }
    name
}

fn series<'a>(records: &[&'a Record]) -> Vec<Series<'a>> {
    let mut all: Vec<Series<'a>> = Vec::new();
    for record in records {
        let case = &record.case;
        let found = all.iter_mut().find(|series| {
            (series.engine, series.is_control, series.client)
                == (case.engine, case.control, case.client)
        });
        match found {
            Some(series) => insert(series, record),
            None => {
                let mut series = Series {
                    name: case.arm(),
                    engine: case.engine,
                    is_control: case.control,
                    client: case.client,
                    points: Vec::new(),
                };
                insert(&mut series, record);
                all.push(series);
            }
        }
    }
    let listed = |engine: Engine| {
        let rows = fourtuple_spec::engine::PROFILES.iter();
        rows.take_while(|row| row.engine != engine).count()
    };
    all.sort_by_key(|series| {
        (
            listed(series.engine),
            series.is_control,
            kebab(&series.client),
        )
    });
    name_clients(&mut all);
    all
}

fn insert<'a>(series: &mut Series<'a>, record: &'a Record) {
    let connections = record.case.connections;
    match series
        .points
        .binary_search_by_key(&connections, |point| point.connections)
    {
        Ok(index) => series.points[index].runs.push(record),
        Err(index) => series.points.insert(
            index,
            Point {
                connections,
                runs: vec![record],
            },
        ),
    }
}

/// Where one arm was driven by several load generators, their names must tell them apart.
fn name_clients(all: &mut [Series<'_>]) {
    let names: Vec<String> = all.iter().map(|series| series.name.clone()).collect();
    for (index, series) in all.iter_mut().enumerate() {
        let is_shared = names
            .iter()
            .enumerate()
            .any(|(other, name)| other != index && *name == names[index]);
        if is_shared {
            series.name = format!("{}, {} client", series.name, kebab(&series.client));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn shapes_and_peers_never_share_a_group() {
        let mut records = fixture::sweep(2);
        let mut other = records[0].clone();
        other.case.message_bytes = 4_096;
        records.push(other);
        let groups = groups(&records);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[1].records.len(), 1);
        assert_eq!(
            groups[1].shape.words(),
            "4,096-byte messages, depth 1, closed loop, kernel peers"
        );
    }

    #[test]
    fn invalid_runs_are_used_only_where_there_are_no_others() {
        let mut records = vec![
            fixture::record(Engine::Epoll, 100, 0),
            fixture::record(Engine::Epoll, 100, 1),
        ];
        records[0].throughput.echoes_per_second = Some(100.0);
        records[1].throughput.echoes_per_second = Some(900.0);
        records[1].outcome = Outcome::Invalid;
        let groups_of_two = groups(&records);
        let estimate = groups_of_two[0].series[0].points[0]
            .estimate(metric::rate)
            .unwrap();
        assert!(
            (estimate.value - 100.0).abs() < 1e-9
                && !estimate.is_hollow
                && estimate.interval.is_none()
        );
        records[0].outcome = Outcome::Error;
        let groups_of_one = groups(&records);
        let estimate = groups_of_one[0].series[0].points[0]
            .estimate(metric::rate)
            .unwrap();
        assert!((estimate.value - 900.0).abs() < 1e-9 && estimate.is_hollow);
    }

    #[test]
    fn a_failure_is_named_by_its_limiter_before_its_error() {
        let mut record = fixture::failed(Engine::Tokio, 20_000, 0, Some("RLIMIT_NOFILE"));
        let records = vec![record.clone()];
        assert_eq!(
            groups(&records)[0].series[0].points[0].failure(),
            Some("RLIMIT_NOFILE")
        );
        record.limiter = None;
        record.error = Some("accept: too many open files".to_owned());
        let records = vec![record];
        assert_eq!(
            groups(&records)[0].series[0].points[0].failure(),
            Some("accept")
        );
    }

    #[test]
    fn two_load_generators_of_one_arm_are_two_series() {
        let mut records = vec![
            fixture::record(Engine::Epoll, 100, 0),
            fixture::record(Engine::Epoll, 100, 0),
        ];
        records[1].case.client = ClientKind::Spin;
        let names: Vec<String> = groups(&records)[0]
            .series
            .iter()
            .map(|series| series.name.clone())
            .collect();
        assert_eq!(names, ["epoll, spin client", "epoll, uring client"]);
    }
}

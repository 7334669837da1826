//! From records to series: one group for each shape of load, in it one series for each arm.

use super::metric;
use super::point::Point;
use crate::statistics::{self, Interval};
use fourtuple_spec::Record;
use fourtuple_spec::{ClientKind, Engine, Mode, Peer};

/// The fewest connections at which memory of one connection means anything.
pub const MEMORY_CONNECTIONS_MIN: u32 = 1_000;

/// The fewest connection counts that a slope is taken over.
pub const SLOPE_COUNTS_MIN: usize = 5;

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
            Peer::Ghost => "the server's endpoint alone",
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
                let totals: Vec<f64> = point.valid_runs().filter_map(total).collect();
                Some((f64::from(point.connections), statistics::median(&totals)?))
            })
            .collect();
        (points.len() >= SLOPE_COUNTS_MIN).then(|| statistics::theil_sen(&points))?
    }
}

/// An enumeration's name as it stands in records.
pub fn kebab(value: &impl serde::Serialize) -> String {
    let written = serde_json::to_value(value);
    written
        .ok()
        .and_then(|name| Some(name.as_str()?.to_owned()))
        .unwrap_or_default()
}

fn series<'a>(records: &[&'a Record]) -> Vec<Series<'a>> {
    let mut all: Vec<Series<'a>> = Vec::new();
    for record in records {
        let case = &record.case;
        // A foreign server is no engine: what was measured with it is in the records alone.
        let Some(engine) = case.engine else { continue };
        let found = all.iter_mut().find(|series| {
            (series.engine, series.is_control, series.client) == (engine, case.control, case.client)
        });
        match found {
            Some(series) => insert(series, record),
            None => {
                let mut series = Series {
                    name: case.arm(),
                    engine,
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

//! From records to series: one group for each shape of load, in it one series for each arm.

use super::kind::{Kind, load_words, sysctl_words};
use super::model;
use super::point::Point;
use super::theme::FLOOR;
use crate::statistics::Interval;
use fourtuple_spec::Record;
use fourtuple_spec::engine::Role;
use fourtuple_spec::{Case, ClientKind, Engine, Mode, Peer};

/// The fewest connections at which memory of one connection means anything.
pub const MEMORY_CONNECTIONS_MIN: u32 = 1_000;

/// The fewest connection counts that a slope is taken over.
pub const SLOPE_COUNTS_MIN: usize = 5;

/// What must be equal for two runs to stand on one chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of one message.
    pub message_bytes: u32,
    /// Messages in flight on a connection.
    pub depth: u32,
    /// Who is at the other end.
    pub peer: Peer,
    /// How load is offered.
    pub mode: Mode,
    /// What else tells the load from the usual one, in words: see [`load_words`].
    pub load: String,
    /// Settings of the private network in words; empty where they are its own.
    pub sysctls: String,
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
    /// The engine as cases name it, foreign servers by their own names, both arms of an A/A pair alike.
    pub arm: String,
    /// The engine.
    pub engine: Engine,
    /// Whether it is the second arm of the A/A pair.
    pub is_control: bool,
    /// The load generator.
    pub client: ClientKind,
    /// Its runs by connection count, ascending.
    pub points: Vec<Point<'a>>,
}

/// Groups ordinary records by shape: smaller messages first, then smaller depth.
///
/// Prices, ceilings, open loops, ablations and runs with a hot set answer other questions: they are in no group.
pub fn groups(records: &[Record]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for record in super::kind::of_kind(records, Kind::Ordinary) {
        let shape = Shape::of(&record.case);
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
        let shape = &group.shape;
        (
            shape.message_bytes,
            shape.depth,
            kebab(&shape.peer),
            kebab(&shape.mode),
            shape.load.clone(),
            shape.sysctls.clone(),
        )
    });
    for group in &mut groups {
        group.series = series(&group.records);
    }
    groups
}

impl Shape {
    /// The shape of a case.
    pub fn of(case: &Case) -> Self {
        Self {
            message_bytes: case.message_bytes,
            depth: case.depth,
            peer: case.peer,
            mode: case.mode,
            load: load_words(case),
            sysctls: sysctl_words(case),
        }
    }

    /// In words: `64-byte messages, depth 1, closed loop, kernel peers`.
    pub fn words(&self) -> String {
        let settings = self.with_settings();
        format!(
            "{}, {} peers{settings}",
            self.load_words(),
            kebab(&self.peer)
        )
    }

    /// The load alone, whoever offers it: `64-byte messages, depth 1, closed loop`.
    pub fn load_words(&self) -> String {
        let bytes = super::format::whole(f64::from(self.message_bytes));
        let mode = match self.mode {
            Mode::Churn => "one echo a connection".to_owned(),
            mode => format!("{} loop", kebab(&mode)),
        };
        format!("{bytes}-byte messages, depth {}, {mode}", self.depth)
    }

    /// What stands behind the load where it, or the network, is not the usual one.
    pub fn with_settings(&self) -> String {
        let words = [&self.load, &self.sysctls].into_iter();
        let words = words.filter(|words| !words.is_empty());
        words.map(|words| format!(", {words}")).collect()
    }

    /// The same shape with kernel peers, whoever is there now.
    pub fn with_kernel_peers(&self) -> Self {
        Self {
            peer: Peer::Kernel,
            ..self.clone()
        }
    }

    /// For file names: `64-bytes-depth-1-closed-kernel`.
    pub fn slug(&self) -> String {
        let (mode, peer) = (kebab(&self.mode), kebab(&self.peer));
        let settings = self.with_settings();
        let words = settings.split(|character: char| !character.is_ascii_alphanumeric());
        let words = words.filter(|word| !word.is_empty());
        format!(
            "{}-bytes-depth-{}-{mode}-{peer}{}",
            self.message_bytes,
            self.depth,
            words.map(|word| format!("-{word}")).collect::<String>()
        )
    }

    /// What a memory figure covers: see [`memory_scope`].
    pub fn memory_scope(&self) -> &'static str {
        memory_scope(self.peer)
    }
}

impl<'a> Group<'a> {
    /// The series of an engine with every default, not its A/A arm; of foreign servers the first.
    pub fn arm(&self, engine: Engine) -> Option<&Series<'a>> {
        let own = |series: &&Series<'_>| series.engine == engine && !series.is_control;
        let mut all = self.series.iter().filter(own);
        let usual = all.clone().find(|series| has_usual_client(series));
        usual.or_else(|| all.next())
    }

    /// The other arm of an A/A pair: the same under its own name.
    pub fn twin(&self, control: &Series<'_>) -> Option<&Series<'a>> {
        let own = (&control.arm, control.engine, control.client);
        let mut all = self.series.iter().filter(|one| !one.is_control);
        all.find(|one| (&one.arm, one.engine, one.client) == own)
    }

    /// The floor: both ends spun, or with ghosts, which have no sockets to spin on, the server's.
    pub fn floor(&self) -> Option<&Series<'a>> {
        let client = match self.shape.peer {
            Peer::Kernel => ClientKind::Spin,
            Peer::Ghost => ClientKind::Uring,
        };
        self.spun(client)
    }

    /// What the io_uring client reaches against a server that never waits.
    pub fn client_ceiling(&self) -> Option<&Series<'a>> {
        self.spun(ClientKind::Uring)
            .filter(|_| self.shape.peer == Peer::Kernel)
    }

    fn spun(&self, client: ClientKind) -> Option<&Series<'a>> {
        let mut all = self.series.iter();
        all.find(|one| one.engine == FLOOR && one.client == client && !one.is_control)
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
    /// `None` with fewer than [`SLOPE_COUNTS_MIN`] counts: see [`model::fit`].
    pub fn kernel_bytes_slope(&self) -> Option<Interval> {
        let metric = super::metric::kernel_bytes;
        let fit = model::fit(self, metric).or_else(|| model::fit_beyond(self, metric));
        Some(fit?.slope)
    }
}

/// What a memory figure covers: with kernel peers both ends lie on this machine.
pub fn memory_scope(peer: Peer) -> &'static str {
    match peer {
        Peer::Kernel => "both endpoints of a connection",
        Peer::Ghost => "the server's endpoint alone",
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
        // A server at an address is no engine: what was measured with it is in the records alone.
        let Some(engine) = case.engine else { continue };
        let arm = arm(case);
        let found = all.iter_mut().find(|series| {
            let own = (series.engine, &series.arm[..], series.is_control);
            own == (engine, &arm[..], case.control) && series.client == case.client
        });
        match found {
            Some(series) => insert(series, record),
            None => {
                let mut series = Series {
                    name: case.arm(),
                    arm,
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
            series.arm.clone(),
            series.is_control,
            kebab(&series.client),
        )
    });
    name_clients(&mut all);
    all
}

/// What a case's arm is called, whichever of an A/A pair it is.
fn arm(case: &Case) -> String {
    Case {
        control: false,
        ..case.clone()
    }
    .arm()
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

/// Where one arm was driven by several load generators, the one that is not usual is named.
fn name_clients(all: &mut [Series<'_>]) {
    let names: Vec<String> = all.iter().map(|series| series.name.clone()).collect();
    for (index, series) in all.iter_mut().enumerate() {
        let is_shared = names
            .iter()
            .enumerate()
            .any(|(other, name)| other != index && *name == names[index]);
        if is_shared && !has_usual_client(series) {
            series.name = format!("{}, {} client", series.name, kebab(&series.client));
        }
    }
}

/// Whether the load generator is the one that drives such an engine where nothing else is asked: both ends of
/// the floor are spun.
fn has_usual_client(series: &Series<'_>) -> bool {
    let is_floor = series.engine.profile().role == Role::Floor;
    is_floor == (series.client == ClientKind::Spin)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use fourtuple_spec::EndpointState;

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
    fn ghosts_their_options_and_faults_share_no_line_with_others() {
        let kernel = fixture::record(Engine::Uring, 10_000, 0);
        let ghost = fixture::ghost(kernel.clone());
        let mut stamped = ghost.clone();
        stamped.case.tcp_options = fourtuple_spec::TcpOptions::TimestampsSack;
        let mut faulty = ghost.clone();
        faulty.case.loss_ppm = 1_000;
        let records = [kernel, ghost, stamped, faulty];
        let groups = groups(&records);
        let mut words: Vec<String> = groups.iter().map(|group| group.shape.words()).collect();
        let mut slugs: Vec<String> = groups.iter().map(|group| group.shape.slug()).collect();
        for names in [&mut words, &mut slugs] {
            names.sort();
            names.dedup();
            assert_eq!(names.len(), 4, "{names:?}");
        }
        assert!(
            words
                .iter()
                .any(|one| one.ends_with("ghost peers, 1,000 ppm lost"))
        );
    }

    #[test]
    fn what_answers_another_question_is_in_no_series() {
        let mut records = fixture::sweep(1);
        let before = records.len();
        records.push(fixture::hot(Engine::Uring, 100_000, 10_000, 0));
        records.push(fixture::ceiling(Engine::Uring, 2_000_000));
        records.push(fixture::price(
            EndpointState::Armed,
            Engine::Uring,
            10_000,
            0,
        ));
        let mut tuned = fixture::record(Engine::Uring, 10_000, 0);
        let setting = ("net.ipv4.tcp_rmem".to_owned(), "1024 1024 1024".to_owned());
        tuned.case.sysctls.extend([setting]);
        records.push(tuned);
        let groups = groups(&records);
        assert_eq!(groups[0].records.len(), before);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[1].records.len(), 1);
        assert!(
            groups[1]
                .shape
                .words()
                .ends_with("kernel peers, tcp_rmem 1024×3")
        );
        assert!(groups[1].shape.slug().ends_with("-kernel-tcp-rmem-1024-3"));
    }

    #[test]
    fn a_run_that_only_holds_counts_for_memory_alone() {
        let records = vec![fixture::held(Engine::Uring, 50_000, 0)];
        let groups = groups(&records);
        let point = &groups[0].series[0].points[0];
        assert!(point.estimate(super::super::metric::rate).is_none());
        assert!(point.estimate(super::super::metric::kernel_bytes).is_some());
    }

    #[test]
    fn foreign_servers_are_series_by_their_names_and_ablations_are_none() {
        let foreign = |name: &str, control: bool| {
            let mut record = fixture::record(Engine::Epoll, 100, 0);
            record.case.engine = Some(Engine::Foreign);
            record.case.foreign = Some(fourtuple_spec::case::Foreign {
                name: name.to_owned(),
                command: vec!["server".to_owned()],
            });
            record.case.control = control;
            record
        };
        let mut ablation = fixture::record(Engine::Uring, 100, 0);
        ablation.case.factors.spin = 50;
        let records = [
            foreign("redis", false),
            foreign("go", true),
            foreign("go", false),
            ablation,
            fixture::record(Engine::Uring, 100, 0),
        ];
        let groups = groups(&records);
        let names: Vec<&str> = groups[0].series.iter().map(|one| &one.name[..]).collect();
        assert_eq!(names, ["uring", "go", "go (A/A)", "redis"]);
        assert_eq!(groups[0].series[0].points[0].runs.len(), 1);
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
        assert_eq!(names, ["epoll, spin client", "epoll"]);
        for record in &mut records {
            record.case.engine = Some(Engine::Spin);
        }
        let groups = groups(&records);
        let floor = groups[0].floor().unwrap();
        assert_eq!((&floor.name[..], floor.client), ("spin", ClientKind::Spin));
        let client = groups[0].client_ceiling().unwrap();
        assert_eq!(client.name, "spin, uring client");
    }
}

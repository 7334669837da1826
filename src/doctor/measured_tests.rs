//! Tests of [`super`].

use super::*;
use crate::run::nothing_yet;
use fourtuple_spec::Record;
use fourtuple_spec::plan::{CaseDefaults, CaseRequest};
use fourtuple_spec::record::Ledger;

/// A directory of its own, gone when it is dropped.
struct Results(PathBuf);

impl Results {
    fn new(name: &str) -> Self {
        let name = format!("fourtuple-measured-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn add(&self, directory: &str, records: &[Record]) {
        let directory = self.0.join(directory);
        fs::create_dir_all(&directory).unwrap();
        let lines = records
            .iter()
            .map(|record| serde_json::to_string(record).unwrap() + "\n");
        fs::write(directory.join(RECORDS_FILE), lines.collect::<String>()).unwrap();
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn host() -> Host {
    Host {
        kernel: Some("6.18 #1".to_owned()),
        cpu: Some("a processor".to_owned()),
        memory_bytes: Some(1 << 34),
        ..Host::default()
    }
}

fn record(peer: Peer, connections: u32, kernel_bytes: f64) -> Record {
    let mut request = CaseRequest::new(Engine::Epoll, connections);
    request.peer = Some(peer);
    let defaults = CaseDefaults::new(vec![0], vec![1]);
    let mut record = nothing_yet(&request.resolve(&defaults).unwrap());
    record.outcome = Outcome::Ok;
    record.host = host();
    record.setup.connections_held = Some(connections);
    record.memory.kernel_bytes_per_connection = Some(kernel_bytes);
    record.memory.server_user_bytes_per_connection = Some(5.0);
    record.memory.client_user_bytes_per_connection = Some(14.0);
    record.memory.ledger = vec![Ledger {
        phase: "settle".to_owned(),
        cgroup_bytes: Some(3_000 * i64::from(connections)),
        ..Ledger::default()
    }];
    record
}

fn measured(each: &EachBytes) -> (u64, Option<u64>, u64) {
    match &each.source {
        BytesSource::Measured { connections, .. } => (each.bytes, each.charged_bytes, *connections),
        BytesSource::Published => panic!("{each:?}"),
    }
}

#[test]
fn where_nothing_was_measured_the_published_figures_are_taken() {
    let profile = Engine::Epoll.profile();
    let absent = ends(Path::new("/nonexistent"), Engine::Epoll, &host(), None);
    assert_eq!(absent.server.source, BytesSource::Published);
    assert_eq!(absent.server.bytes, published_server(Engine::Epoll));
    assert!(absent.server.bytes > u64::from(profile.kernel_bytes_per_endpoint));
    assert!(absent.client.bytes < u64::from(profile.kernel_bytes_per_pair));
    assert_eq!((absent.client.charged_bytes, absent.notes.len()), (None, 0));
}

#[test]
fn what_version_1_charges_is_published_where_it_was_not_measured() {
    let charged = |path: &Path, engine, version| {
        let found = ends(path, engine, &host(), version);
        (found.server.charged_bytes, found.client.charged_bytes)
    };
    let absent = Path::new("/nonexistent");
    let published = (Some(1_520), Some(3_680));
    assert_eq!(charged(absent, Engine::Uring, Some(1)), published);
    assert_eq!(charged(absent, Engine::Uring, Some(2)), (None, None));
    assert_eq!(charged(absent, Engine::Threads, Some(1)), (None, None));
    let results = Results::new("charged");
    results.add("ghosts", &[record(Peer::Ghost, 20_000, 4_000.0)]);
    let measured = (Some(3_000), Some(3_680));
    assert_eq!(charged(&results.0, Engine::Epoll, Some(1)), measured);
}

#[test]
fn the_server_is_measured_by_ghosts_and_the_client_is_the_rest_of_a_pair() {
    let results = Results::new("both");
    results.add("ghosts", &[record(Peer::Ghost, 20_000, 4_000.0)]);
    results.add("pairs", &[record(Peer::Kernel, 100_000, 8_200.0)]);
    let found = ends(&results.0, Engine::Epoll, &host(), None);
    assert_eq!(measured(&found.server), (4_005, Some(3_000), 20_000));
    assert_eq!(measured(&found.client), (4_214, None, 100_000));
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    // Of another engine nothing was measured.
    let other = ends(&results.0, Engine::Uring, &host(), None);
    assert_eq!(other.server.source, BytesSource::Published);
    // The directory of one sweep will do as well.
    let one = ends(&results.0.join("ghosts"), Engine::Epoll, &host(), None);
    assert_eq!(measured(&one.server), (4_005, Some(3_000), 20_000));
    assert_eq!(one.client.source, BytesSource::Published);
}

#[test]
fn of_pairs_alone_each_end_is_a_half_and_that_is_said() {
    let results = Results::new("pairs");
    results.add("pairs", &[record(Peer::Kernel, 100_000, 8_200.0)]);
    let found = ends(&results.0, Engine::Epoll, &host(), None);
    assert_eq!(measured(&found.server), (4_105, None, 100_000));
    assert_eq!(measured(&found.client), (4_114, None, 100_000));
    assert!(found.notes[0].contains("half"), "{:?}", found.notes);
}

#[test]
fn the_largest_run_counts_and_the_middle_of_several() {
    let results = Results::new("largest");
    let bytes = [4_300.0, 4_100.0, 4_200.0];
    let mut runs: Vec<Record> = bytes.map(|bytes| record(Peer::Ghost, 50_000, bytes)).into();
    runs.push(record(Peer::Ghost, 20_000, 9_000.0));
    // A smaller run was charged more, but what is there once is more of it; of several of as many the most counts.
    runs[3].memory.ledger[0].cgroup_bytes = Some(3_500 * 20_000);
    runs[1].memory.ledger[0].cgroup_bytes = Some(3_100 * 50_000);
    results.add("ghosts", &runs);
    let found = ends(&results.0, Engine::Epoll, &host(), None);
    assert_eq!(measured(&found.server), (4_205, Some(3_100), 50_000));
}

#[test]
fn what_says_something_else_is_left_out() {
    let results = Results::new("else");
    let good = record(Peer::Ghost, 20_000, 4_000.0);
    let elsewhere = |change: fn(&mut Record)| {
        let mut record = record(Peer::Ghost, 90_000, 1.0);
        change(&mut record);
        record
    };
    let others = [
        elsewhere(|record| record.host.kernel = Some("6.19 #1".to_owned())),
        elsewhere(|record| record.host.memory_bytes = Some(1 << 33)),
        elsewhere(|record| record.host.cpu = None),
        elsewhere(|record| record.outcome = Outcome::Invalid),
        elsewhere(|record| record.case.state = Some(fourtuple_spec::EndpointState::TimeWait)),
        elsewhere(|record| record.case.factors.spin = 50),
        elsewhere(|record| record.memory.kernel_bytes_per_connection = None),
        elsewhere(|record| record.case.connections = 9_999),
        elsewhere(|record| {
            record
                .case
                .sysctls
                .insert("net.ipv4.tcp_rmem".to_owned(), "1 2 3".to_owned());
        }),
    ];
    results.add("others", &others);
    assert_eq!(
        ends(&results.0, Engine::Epoll, &host(), None).server.source,
        BytesSource::Published
    );
    results.add("good", &[good]);
    let path = results.0.join("good").join(RECORDS_FILE);
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("{\"schema_version\":1,\"case\":7}\nno record at all\n{\"torn");
    fs::write(path, text).unwrap();
    let found = ends(&results.0, Engine::Epoll, &host(), None);
    assert_eq!(measured(&found.server).0, 4_005);
    // A machine that does not say which kernel it has is no other machine's equal.
    let nameless = Host::default();
    let found = ends(&results.0, Engine::Epoll, &nameless, None);
    assert_eq!(found.server.source, BytesSource::Published);
}

#[test]
fn a_case_is_read_without_what_follows() {
    let line = serde_json::to_string(&record(Peer::Ghost, 20_000, 4_000.0)).unwrap();
    let cut = line.find("\"outcome\"").unwrap();
    let found = case(&line.as_bytes()[..cut]).unwrap();
    assert_eq!((found.connections, found.peer), (20_000, Peer::Ghost));
    assert!(case(b"").is_none() && case(b"{\"case\":").is_none());
}

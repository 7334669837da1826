//! What an end of a connection takes of memory: as runs on this machine have measured it, or as it is published.
//!
//! The doctor asks about one end at a time. What the server's end takes is measured by ghosts, whose connections have
//! no other one; the client's is what a pair takes beyond that.

use super::of_case::{CHARGED_CLIENT_BYTES, charged_server_bytes};
use super::question::{BytesSource, EachBytes};
use crate::store::{self, RECORDS_FILE};
use fourtuple_spec::record::{Host, Memory, Outcome, Setup};
use fourtuple_spec::{Case, Engine, Factors, Peer};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Runs of fewer connections say more of what is there once than of what each connection takes.
const CONNECTIONS_MIN: u32 = 10_000;

/// How much of records is looked at, the newest directories first: the answer must not wait for an archive.
const RECORDS_BYTES_MAX: u64 = 64 << 20;

/// Within how many bytes of a record its case begins. Before it are a date and a command line.
const CASE_WITHIN_BYTES: usize = 16 << 10;

/// User memory of a connection in this program's client, about.
const CLIENT_USER_BYTES: u64 = 16;

/// What the ends of a connection take, and what there is to know of how that was found.
#[derive(Debug, PartialEq)]
pub struct Ends {
    /// The server's.
    pub server: EachBytes,
    /// The client's.
    pub client: EachBytes,
    /// What is not as one would expect.
    pub notes: Vec<String>,
}

/// What this machine has measured of an engine, or what is published of it. What control groups of this version charge
/// is published too, where it was not measured.
pub fn ends(results: &Path, engine: Engine, host: &Host, group_version: Option<u32>) -> Ends {
    let mut notes = Vec::new();
    let runs = runs(results, engine, host, &mut notes);
    let ghosts = Largest::of(&runs, Peer::Ghost);
    let pairs = Largest::of(&runs, Peer::Kernel);
    let server = match (&ghosts, &pairs) {
        (Some(ghosts), _) => ghosts.each(ghosts.run.server_end(), ghosts.charged_bytes),
        (None, Some(pairs)) => {
            notes.push(
                "no run with ghost peers of this engine was found here, so half of what both ends take in the kernel \
                 is reckoned for each"
                    .to_owned(),
            );
            pairs.each(pairs.run.half(), None)
        }
        (None, None) => published(published_server(engine)),
    };
    let client = match &pairs {
        Some(pairs) => pairs.each(
            pairs.run.client_end(ghosts.as_ref().map(|it| &it.run)),
            None,
        ),
        None => published(published_client(engine)),
    };
    let mut ends = Ends {
        server,
        client,
        notes,
    };
    if group_version == Some(1)
        && let Some(charged) = charged_server_bytes(Some(engine))
    {
        ends.server.charged_bytes.get_or_insert(charged);
        ends.client.charged_bytes = Some(CHARGED_CLIENT_BYTES);
    }
    ends
}

fn published_server(engine: Engine) -> u64 {
    let profile = engine.profile();
    u64::from(profile.kernel_bytes_per_endpoint) + u64::from(profile.user_bytes_per_connection)
}

fn published_client(engine: Engine) -> u64 {
    let profile = engine.profile();
    let kernel = profile.kernel_bytes_per_pair - profile.kernel_bytes_per_endpoint;
    u64::from(kernel) + CLIENT_USER_BYTES
}

fn published(bytes: u64) -> EachBytes {
    EachBytes {
        bytes,
        charged_bytes: None,
        unit: UNIT.to_owned(),
        source: BytesSource::Published,
    }
}

const UNIT: &str = "an endpoint";

/// One run that says what a connection takes.
#[derive(Clone, Debug, PartialEq)]
struct Run {
    directory: String,
    peer: Peer,
    connections: u32,
    kernel_bytes: f64,
    server_user_bytes: f64,
    client_user_bytes: f64,
    charged_bytes: Option<f64>,
}

impl Run {
    /// What the server's end takes, of a run with ghosts.
    fn server_end(&self) -> f64 {
        self.kernel_bytes + self.server_user_bytes
    }

    /// What an end takes if both take as much, of a pair.
    fn half(&self) -> f64 {
        self.kernel_bytes / 2.0 + self.server_user_bytes
    }

    /// What the client's end takes: that of the pair less the server's, or half of it where that says nothing.
    fn client_end(&self, ghosts: Option<&Run>) -> f64 {
        let rest = ghosts.map(|ghosts| self.kernel_bytes - ghosts.kernel_bytes);
        let kernel = rest.filter(|rest| *rest > 0.0);
        kernel.unwrap_or(self.kernel_bytes / 2.0) + self.client_user_bytes
    }
}

/// The run of most connections with one kind of peer: the middle one by its bytes, where there are several.
struct Largest {
    run: Run,
    /// The most that a control group was charged in any run of as many. What it is charged for depends on whose time
    /// it was that the kernel handled a segment in, so it differs from run to run; of fewer connections, what is
    /// there once is too much of it.
    charged_bytes: Option<f64>,
}

impl Largest {
    fn of(runs: &[Run], peer: Peer) -> Option<Self> {
        let runs: Vec<&Run> = runs.iter().filter(|run| run.peer == peer).collect();
        let most = runs.iter().map(|run| run.connections).max()?;
        let mut largest: Vec<&Run> = (runs.iter().copied())
            .filter(|run| run.connections == most)
            .collect();
        largest.sort_by(|a, b| a.kernel_bytes.total_cmp(&b.kernel_bytes));
        Some(Self {
            run: largest[largest.len() / 2].clone(),
            charged_bytes: (largest.iter())
                .filter_map(|run| run.charged_bytes)
                .max_by(f64::total_cmp),
        })
    }

    fn each(&self, bytes: f64, charged_bytes: Option<f64>) -> EachBytes {
        EachBytes {
            bytes: bytes.ceil() as u64,
            charged_bytes: charged_bytes.map(|charged| charged.ceil() as u64),
            unit: UNIT.to_owned(),
            source: BytesSource::Measured {
                directory: self.run.directory.clone(),
                connections: u64::from(self.run.connections),
            },
        }
    }
}

/// Every run on this machine that says something of the engine as it is meant to be.
fn runs(results: &Path, engine: Engine, host: &Host, notes: &mut Vec<String>) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut left_bytes = RECORDS_BYTES_MAX;
    for directory in directories(results) {
        if !may_be_of(&directory, host) {
            continue;
        }
        let path = directory.join(RECORDS_FILE);
        let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let Some(left) = left_bytes.checked_sub(bytes) else {
            notes.push(format!(
                "{} and what is older was not looked at: there are too many records for a quick answer",
                directory.display()
            ));
            break;
        };
        left_bytes = left;
        add_runs(&mut runs, &directory, engine, host);
    }
    runs
}

/// The directory itself if it has records, and those in it that do, the newest first: they begin with their date.
fn directories(results: &Path) -> Vec<PathBuf> {
    let inner = fs::read_dir(results).into_iter().flatten().flatten();
    let mut directories: Vec<PathBuf> = inner.map(|entry| entry.path()).collect();
    directories.sort_unstable_by(|a, b| b.cmp(a));
    directories.insert(0, results.to_owned());
    directories.retain(|directory| directory.join(RECORDS_FILE).is_file());
    directories
}

/// Whether its records may be of this machine. Where that cannot be read beside them, each of them says it.
fn may_be_of(directory: &Path, host: &Host) -> bool {
    store::read_about(directory).map_or(true, |about| is_same(&about.host, host))
}

/// Whether it is this machine, with this kernel.
fn is_same(one: &Host, other: &Host) -> bool {
    one.kernel.is_some()
        && one.kernel == other.kernel
        && one.cpu == other.cpu
        && one.memory_bytes == other.memory_bytes
}

fn add_runs(runs: &mut Vec<Run>, directory: &Path, engine: Engine, host: &Host) {
    let Ok(file) = File::open(directory.join(RECORDS_FILE)) else {
        return;
    };
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut line = Vec::new();
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        let found = case(&line).filter(|case| is_about(case, engine));
        runs.extend(found.and_then(|case| run(&line, &case, directory, host)));
        line.clear();
    }
}

/// The case of a record, without reading what follows it: histograms make up most of a record.
fn case(line: &[u8]) -> Option<Case> {
    const KEY: &[u8] = b"\"case\":";
    let beginning = &line[..line.len().min(CASE_WITHIN_BYTES)];
    let at = beginning.windows(KEY.len()).position(|part| part == KEY)?;
    let mut values = serde_json::Deserializer::from_slice(&line[at + KEY.len()..]).into_iter();
    values.next()?.ok()
}

/// Whether a case says what a connection of this engine takes at rest.
fn is_about(case: &Case, engine: Engine) -> bool {
    case.engine == Some(engine)
        && case.foreign.is_none()
        && case.factors == Factors::default()
        && case.target.is_none()
        && case.state.is_none()
        && case.sysctls.is_empty()
        && case.connections >= CONNECTIONS_MIN
}

/// What the rest of the record says of it.
fn run(line: &[u8], case: &Case, directory: &Path, host: &Host) -> Option<Run> {
    #[derive(Deserialize)]
    struct Measured {
        outcome: Outcome,
        setup: Setup,
        memory: Memory,
        host: Host,
    }
    let record: Measured = serde_json::from_slice(line).ok()?;
    let connections = record.setup.connections_held?;
    let is_good = record.outcome == Outcome::Ok && is_same(&record.host, host);
    let settled = (record.memory.ledger.iter()).find(|ledger| ledger.phase == "settle");
    (is_good && connections >= CONNECTIONS_MIN).then_some(Run {
        directory: directory.display().to_string(),
        peer: case.peer,
        connections,
        kernel_bytes: record.memory.kernel_bytes_per_connection?,
        server_user_bytes: record.memory.server_user_bytes_per_connection?,
        client_user_bytes: record.memory.client_user_bytes_per_connection?,
        charged_bytes: settled
            .and_then(|ledger| ledger.cgroup_bytes)
            .map(|bytes| bytes as f64 / f64::from(connections)),
    })
}

#[cfg(test)]
#[path = "measured_tests.rs"]
mod tests;

//! Does the limit on descriptors bound a server? Tried on servers with a limit of 1,024.

mod look;
#[cfg(test)]
mod tests;

use super::crowd::{in_words, so_many};
use super::{Claim, Court, Findings, Halt, count, number};
use crate::publish::format::whole;
use fourtuple_meter::Subjects;
use fourtuple_spec::claim::{Evidence, Figure};
use fourtuple_spec::limiter;
use fourtuple_spec::plan::CaseRequest;
use fourtuple_spec::{ClientKind, EndpointState, Engine, Record, Verdict};
use look::Look;
use std::cell::RefCell;

/// The claim.
pub const CLAIM: Claim = Claim {
    id: "descriptors",
    claim: "Each socket takes a file descriptor, so the limit on descriptors bounds a server.",
    experiment: "A server process gets an RLIMIT_NOFILE of 1,024. First epoll serves connections one after the other, \
                 2,000 at most. Then io_uring accepts 80,000 into direct descriptors, in tables of at most 1,024 \
                 slots; meanwhile the entries of its /proc/PID/fd are counted, and fs.file-nr is read. Then ghosts \
                 bring 20,000 connections into the accept queue, 20,000 into TIME_WAIT, and make 2,000 orphans.",
    predicted: "epoll ends with EMFILE at 1,024 connections less what it has open besides. io_uring holds 80,000 with \
                about a hundred open descriptors, and fs.file-nr rises by 160,000, because both ends are on this \
                machine. In the accept queue, in TIME_WAIT and as an orphan a connection takes no descriptor. So the \
                claim is refuted for RLIMIT_NOFILE, while each end is counted towards fs.file-max, which is not run \
                into.",
    try_it,
};

const LIMIT: u32 = 1_024;
const WALL_CONNECTIONS: u32 = 2_000;
const DIRECT_CONNECTIONS: u32 = 80_000;
/// About as many descriptors are predicted for those: one a ring, and what a process has open anyway.
const DIRECT_OPEN_PREDICTED: f64 = 100.0;
/// A server with so many connections shows what it has open besides.
const FEW_CONNECTIONS: u32 = 10;
/// States that nobody holds a connection in. Orphans are few because `tcp_max_orphans` may be.
const UNHELD: [(EndpointState, u32); 3] = [
    (EndpointState::AcceptQueue, 20_000),
    (EndpointState::TimeWait, 20_000),
    (EndpointState::Orphan, 2_000),
];
/// What the kernel calls it when a process may have no more descriptors.
const EMFILE: &str = "EMFILE";
const SETTLE_MS: u64 = 300;
/// `fs.file-nr` is added up over cores now and then only, and others open files too.
const FILES_WITHIN: f64 = 0.02;

fn try_it(court: &Court<'_>) -> Result<Findings, Halt> {
    let mut notes = Vec::new();
    let wall = match wall(court, ClientKind::Uring) {
        // Where there is no io_uring, the client may do without.
        Err(Halt::NotRun(why)) => {
            notes.push(format!(
                "The client of epoll spins, because a run with one of io_uring was not made: {why}"
            ));
            wall(court, ClientKind::Spin)?
        }
        wall => wall?,
    };
    let direct = noted(direct(court), "io_uring was left out", &mut notes)?;
    let mut unheld = Vec::new();
    for (state, connections) in UNHELD {
        let what = format!("{} was left out", state.name());
        unheld.extend(noted(
            unheld_in(court, state, connections),
            &what,
            &mut notes,
        )?);
    }
    let tried = Tried {
        wall,
        direct,
        unheld,
    };
    Ok(tried.findings(notes))
}

/// What came of a part of the experiment. Without it, a note says why.
fn noted<T>(part: Result<T, Halt>, what: &str, notes: &mut Vec<String>) -> Result<Option<T>, Halt> {
    match part {
        Ok(part) => Ok(Some(part)),
        Err(Halt::NotRun(why)) => {
            notes.push(format!("{what}: {why}"));
            Ok(None)
        }
        Err(halt) => Err(halt),
    }
}

/// A server that takes a descriptor for each connection, until it can take no more.
fn wall(court: &Court<'_>, client: ClientKind) -> Result<Wall, Halt> {
    let (few, look) = watched(court, &served_by_epoll(client, FEW_CONNECTIONS))?;
    let besides = besides(&few, &look);
    let record = court.run_into_the_wall(&served_by_epoll(client, WALL_CONNECTIONS))?;
    Ok(Wall { besides, record })
}

fn served_by_epoll(client: ClientKind, connections: u32) -> CaseRequest {
    let mut request = limited(Engine::Epoll, connections);
    request.client = Some(client);
    request
}

fn direct(court: &Court<'_>) -> Result<Direct, Halt> {
    // What was open before is read while a few are, because before a run begins an earlier one may be closing its own.
    let (few, before) = watched(court, &limited(Engine::Uring, FEW_CONNECTIONS))?;
    let (record, look) = watched(court, &limited(Engine::Uring, DIRECT_CONNECTIONS))?;
    Ok(Direct {
        few: few.case.connections,
        before,
        record,
        look,
    })
}

fn unheld_in(court: &Court<'_>, state: EndpointState, connections: u32) -> Result<Unheld, Halt> {
    let request = |connections| {
        let mut request = limited(Engine::Null, connections);
        request.state = Some(state);
        request
    };
    let (_, before) = watched(court, &request(1))?;
    let (record, look) = watched(court, &request(connections))?;
    Ok(Unheld {
        state,
        record,
        open_before: before.open_count(),
        open: look.open_count(),
    })
}

/// Connections that are held by one server process with few descriptors, and prove live where they can.
fn limited(engine: Engine, connections: u32) -> CaseRequest {
    let mut request = CaseRequest::new(engine, connections);
    request.server_processes = Some(1);
    request.server_descriptors = Some(LIMIT);
    request.settle_ms = Some(SETTLE_MS);
    request.measure_ms = Some(0);
    request
}

fn watched(court: &Court<'_>, request: &CaseRequest) -> Result<(Record, Look), Halt> {
    let look = RefCell::new(Look::default());
    let witness = |subjects: &Subjects| *look.borrow_mut() = Look::take(subjects);
    let record = court.run_whole(request, Some(&witness))?;
    Ok((record, look.into_inner()))
}

/// Descriptors that a server has open besides one for each connection.
fn besides(record: &Record, look: &Look) -> Option<u64> {
    let held = record.setup.connections_held?;
    look.open_count()?.checked_sub(held.into())
}

/// The run of a server that takes a descriptor for each connection.
struct Wall {
    /// Descriptors that it has open besides.
    besides: Option<u64>,
    record: Record,
}

impl Wall {
    fn predicted(&self) -> Option<u64> {
        self.besides
            .map(|besides| u64::from(LIMIT).saturating_sub(besides))
    }

    fn held(&self) -> Option<u64> {
        self.record.setup.connections_held.map(u64::from)
    }

    /// Whether descriptors ended it.
    fn is_met(&self) -> bool {
        self.record.limiter.as_deref() == Some(limiter::DESCRIPTORS)
    }

    /// Whether it held all, as if there were no limit.
    fn is_missed(&self) -> bool {
        !self.is_met() && self.record.setup.connections_proved == Some(WALL_CONNECTIONS)
    }

    /// What is not as predicted of where descriptors ended it.
    fn missed(&self) -> Option<String> {
        let held = self.held().filter(|_| self.is_met())?;
        let predicted = self.predicted();
        (predicted != Some(held)).then(|| {
            let predicted = predicted.map_or("none could be".to_owned(), |count| {
                format!("{} were", whole(count as f64))
            });
            let held = whole(held as f64);
            format!("; but epoll ended with {held} connections, and {predicted} predicted")
        })
    }

    /// What it ended with: the errno if that is in its words, else the limit that they were taken for.
    fn end(&self) -> &str {
        match self.error().contains(EMFILE) {
            true => EMFILE,
            false => self.record.limiter.as_deref().unwrap_or("no known limit"),
        }
    }

    fn error(&self) -> &str {
        self.record.error.as_deref().unwrap_or("no reason is known")
    }
}

/// The run of a server on direct descriptors.
struct Direct {
    record: Record,
    look: Look,
    /// How many connections there were when it was looked at before.
    few: u32,
    before: Look,
}

impl Direct {
    /// Whether every connection was held and proved with fewer descriptors than there were connections.
    fn is_beyond(&self) -> bool {
        let setup = &self.record.setup;
        let asked = Some(self.record.case.connections);
        let is_bare = |open: u64| open <= u64::from(LIMIT);
        setup.connections_held == asked
            && setup.connections_proved == asked
            && self.look.open_count().is_some_and(is_bare)
    }

    /// How many open files more there were than without connections: those few of before have two ends as well, which
    /// are taken off what was read. Fewer are below 0.
    fn files(&self) -> Option<i64> {
        let ends = 2 * i64::from(self.few);
        let before = i64::try_from(self.before.files()?).ok()? - ends;
        Some(i64::try_from(self.look.files()?).ok()? - before)
    }

    /// How many there would be more if each end of a connection were one.
    fn files_predicted(&self) -> f64 {
        2.0 * f64::from(self.record.case.connections)
    }

    /// Whether each end was an open file, as far as that can be told.
    fn are_files(&self) -> Option<bool> {
        let share = self.files()? as f64 / self.files_predicted();
        Some((1.0 - FILES_WITHIN..=1.0 + FILES_WITHIN).contains(&share))
    }
}

/// The run of connections that nobody holds.
struct Unheld {
    state: EndpointState,
    record: Record,
    /// Descriptors of the server with one such connection.
    open_before: Option<u64>,
    /// The same with all of them.
    open: Option<u64>,
}

impl Unheld {
    /// Whether they took no descriptor.
    fn is_free(&self) -> bool {
        self.record.setup.connections_held == Some(self.record.case.connections)
            && self.open.is_some()
            && self.open == self.open_before
    }
}

/// All of it.
struct Tried {
    wall: Wall,
    direct: Option<Direct>,
    unheld: Vec<Unheld>,
}

impl Tried {
    fn findings(&self, mut notes: Vec<String>) -> Findings {
        if self.direct.is_some() {
            notes.push(
                "fs.file-nr is the whole machine's and lags by some hundred, because each core keeps a count of its own"
                    .to_owned(),
            );
        }
        let (verdict, mut why) = self.judge();
        why.push_str(&self.wall.missed().unwrap_or_default());
        Findings {
            measured: Some(self.measured()),
            verdict,
            why,
            figures: self.figures(),
            evidence: self.evidence(),
            notes,
        }
    }

    fn judge(&self) -> (Verdict, String) {
        let beyond = self.direct.as_ref().filter(|direct| direct.is_beyond());
        if let Some(direct) = beyond {
            return (Verdict::Refuted, why_refuted(direct));
        }
        if self.wall.is_missed() {
            let why = "with a limit of 1,024 epoll held 2,000 connections: the limit was not one";
            return (Verdict::Refuted, why.to_owned());
        }
        if !self.wall.is_met() {
            let why = format!("no limit on descriptors was met: {}", self.wall.error());
            return (Verdict::Inconclusive, why);
        }
        match self.unheld.iter().any(Unheld::is_free) {
            true => (
                Verdict::Incomplete,
                "RLIMIT_NOFILE ended the server that takes a descriptor for each connection; connections that nobody \
                 holds take none, and whether direct descriptors go beyond it was not seen here"
                    .to_owned(),
            ),
            false => (
                Verdict::Confirmed,
                "RLIMIT_NOFILE ended the server that takes a descriptor for each connection, and no other kind was \
                 seen here"
                    .to_owned(),
            ),
        }
    }

    fn measured(&self) -> String {
        let mut sentences = vec![match (self.wall.is_met(), self.wall.held()) {
            (true, Some(held)) => format!(
                "epoll ended with {} at {} connections.",
                self.wall.end(),
                whole(held as f64)
            ),
            _ => format!("epoll: {}.", self.wall.error()),
        }];
        sentences.extend(self.direct.as_ref().map(direct_words));
        let free: Vec<String> = (self.unheld.iter().filter(|unheld| unheld.is_free()))
            .map(|unheld| {
                let held = unheld.record.case.connections;
                format!(
                    "{} in state {}",
                    whole(f64::from(held)),
                    unheld.state.name()
                )
            })
            .collect();
        if !free.is_empty() {
            sentences.push(format!("No descriptor was taken by {}.", free.join(", ")));
        }
        sentences.join(" ")
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![Figure {
            is_exact: true,
            ..number(
                "connections of epoll with 1,024 descriptors",
                self.wall.predicted().map(|count| count as f64),
                self.wall.held().map(|count| count as f64),
                "connections",
            )
        }];
        if let Some(direct) = &self.direct {
            let proved = direct.record.setup.connections_proved;
            figures.extend([
                count(
                    "connections of io_uring with 1,024 descriptors",
                    DIRECT_CONNECTIONS.into(),
                    proved.map(u64::from),
                    "connections",
                ),
                number(
                    "open descriptors of that server",
                    Some(DIRECT_OPEN_PREDICTED),
                    direct.look.open_count().map(|count| count as f64),
                    "descriptors",
                ),
                number(
                    "rise of fs.file-nr meanwhile, both ends",
                    Some(direct.files_predicted()),
                    direct.files().map(|count| count as f64),
                    "files",
                ),
            ]);
        }
        figures.extend(self.unheld.iter().map(unheld_figure));
        figures
    }

    fn evidence(&self) -> Vec<Evidence> {
        let mut evidence = vec![Evidence {
            what: "What epoll ended with".to_owned(),
            lines: vec![self.wall.error().to_owned()],
        }];
        if let Some(direct) = &self.direct {
            evidence.extend(direct_evidence(direct));
        }
        evidence
    }
}

fn why_refuted(direct: &Direct) -> String {
    let files = direct.files().map(rise);
    let machine = match (direct.are_files(), files) {
        (Some(true), Some(files)) => format!(
            "Each end is counted towards fs.file-max, the machine's limit on open files (fs.file-nr {files}), which was \
             not run into here"
        ),
        (Some(false), Some(files)) => format!(
            "Of fs.file-max this says nothing: fs.file-nr {files}, which is not one for each end"
        ),
        _ => "Of fs.file-max this says nothing: fs.file-nr could not be read".to_owned(),
    };
    format!(
        "with an RLIMIT_NOFILE of 1,024 io_uring held and proved {} connections, because a direct descriptor is a place \
         in a ring's table and none of the process. {machine}",
        whole(f64::from(direct.record.case.connections))
    )
}

/// How far a count went, and in which direction.
fn rise(files: i64) -> String {
    let by = whole(files.unsigned_abs() as f64);
    match files < 0 {
        false => format!("rose by {by}"),
        true => format!("fell by {by}"),
    }
}

fn direct_words(direct: &Direct) -> String {
    let proved = direct.record.setup.connections_proved.map(u64::from);
    let files = direct.files().map(rise);
    format!(
        "io_uring held and proved {} with {} open descriptors, while fs.file-nr {}.",
        in_words(proved),
        so_many(direct.look.open_count()),
        files.unwrap_or("could not be read".to_owned()),
    )
}

fn direct_evidence(direct: &Direct) -> Vec<Evidence> {
    let read = [&direct.before, &direct.look];
    vec![
        Evidence {
            what: format!(
                "/proc/PID/limits of the io_uring server with {} connections",
                whole(f64::from(direct.record.case.connections))
            ),
            lines: direct.look.limit.iter().cloned().collect(),
        },
        Evidence {
            what: "Its /proc/PID/fd, by what they are".to_owned(),
            lines: direct.look.open_lines(),
        },
        Evidence {
            what: format!(
                "/proc/sys/fs/file-nr with {} connections, and with {}",
                direct.few,
                whole(f64::from(direct.record.case.connections))
            ),
            lines: (read.iter())
                .filter_map(|look| look.file_nr.clone())
                .collect(),
        },
    ]
}

fn unheld_figure(unheld: &Unheld) -> Figure {
    let held = whole(f64::from(unheld.record.case.connections));
    Figure {
        is_exact: true,
        ..number(
            &format!(
                "open descriptors with {held} connections in state {}",
                unheld.state.name()
            ),
            unheld.open_before.map(|count| count as f64),
            unheld.open.map(|count| count as f64),
            "descriptors",
        )
    }
}

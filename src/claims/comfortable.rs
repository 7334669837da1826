//! Are hundreds of thousands of connections comfortable? Three loads, and the time of a full round.

mod load;
#[cfg(test)]
mod tests;

use super::columns::aligned;
use super::{Claim, Court, Findings, Halt, number};
use crate::publish::format::{self, whole};
use fourtuple_spec::claim::{Evidence, Figure};
use fourtuple_spec::record::Outcome;
use fourtuple_spec::{Record, Verdict};
use load::{LOADS, Load};

/// The claim.
pub const CLAIM: Claim = Claim {
    id: "comfortable",
    claim: "With memory and descriptors raised, hundreds of thousands or even millions of connections are comfortable.",
    experiment: "1 to 1,000,000 connections by decades, served by io_uring, under three loads: a closed loop, in which \
                 all of them send again as soon as they are answered; 10,000 messages a second over all of them; and \
                 one message a connection a minute. Comfortable, fixed before the runs: 99 of 100 echoes in under \
                 10 ms from the time at which their message was to leave, by a server whose core is less than 70 % \
                 busy. At each count the time of one full round is taken, in which every connection echoes once.",
    predicted: "It depends on the load. To hold a million and answer each once a minute is comfortable, and so are 10,000 \
                messages a second over however many. A closed loop uses its server up from a few connections on, and \
                a full round of a million takes seconds.",
    try_it,
};

/// 99th percentiles below this are comfortable.
const P99_NS: u64 = 10_000_000;
/// Below this share of a core a server is.
const BUSY: f64 = 0.70;
/// From here on it is what the claim speaks of.
const CLAIMED: u32 = 100_000;
const COUNTS: [u32; 7] = [1, 10, 100, 1_000, 10_000, 100_000, MILLION];
const MILLION: u32 = 1_000_000;

fn try_it(court: &Court<'_>) -> Result<Findings, Halt> {
    let mut notes = Vec::new();
    let mut points = Vec::new();
    for connections in COUNTS {
        for load in LOADS {
            let Some(request) = load.request(connections, court.is_full) else {
                continue;
            };
            // What the smallest is refused for, the others are as well.
            let record = match points.is_empty() {
                true => Ok(court.run_whole(&request, None)?),
                false => court.run_more(&request, None)?,
            };
            match record {
                Ok(record) => points.push(Point {
                    load,
                    connections,
                    record,
                }),
                Err(why) => notes.push(format!(
                    "{} over {} connections was left out: {why}",
                    load.name(),
                    whole(connections.into())
                )),
            }
        }
    }
    if !court.is_full {
        notes.extend(load::SHORT.map(str::to_owned));
    }
    Ok(findings(&points, notes))
}

/// One load at one count.
struct Point {
    load: Load,
    connections: u32,
    record: Record,
}

impl Point {
    fn p99_ns(&self) -> Option<u64> {
        self.record.latency_ns.p99
    }

    /// How busy the server's busiest core was, its threads and the packets that were handled there: the more of the two
    /// readings.
    fn busy(&self) -> Option<f64> {
        let cpu = &self.record.cpu;
        let cores = self.record.case.server_cpus.len().max(1) as f64;
        let threads = cpu.server_busy.map(|busy| busy / cores);
        let all = cpu.server_cores_busy.iter().copied().chain(threads);
        all.max_by(f64::total_cmp)
    }

    /// Whether its figures may be judged: a load that was more than the client or the server could do is an answer.
    fn counts(&self) -> bool {
        self.record.outcome == Outcome::Ok || self.record.is_invalid_for_load()
    }

    /// Whether it was comfortable; `None` if that is not known.
    fn is_comfortable(&self) -> Option<bool> {
        let (p99_ns, busy) = (self.p99_ns()?, self.busy()?);
        self.counts().then_some(p99_ns < P99_NS && busy < BUSY)
    }

    /// What to know of it before it is quoted.
    fn note(&self) -> Option<String> {
        let error = self.record.error.as_deref()?;
        let what = if self.counts() {
            "is judged by its numbers though"
        } else {
            "is not judged:"
        };
        let connections = whole(self.connections.into());
        Some(format!(
            "{} over {connections} connections {what} {error}",
            self.load.name()
        ))
    }

    fn cells(&self) -> Vec<String> {
        let verdict = match self.is_comfortable() {
            Some(true) => "comfortable",
            Some(false) => "not",
            None => "not judged",
        };
        let hot = self.record.case.hot();
        vec![
            self.load.name().to_owned(),
            whole(self.connections.into()),
            whole(hot.into()),
            format::or_missing(self.record.throughput.echoes_per_second, whole),
            format::or_missing(self.p99_ns().map(|ns| ns as f64), format::duration_ns),
            format::or_missing(self.busy(), format::percent),
            verdict.to_owned(),
        ]
    }
}

fn findings(points: &[Point], mut notes: Vec<String>) -> Findings {
    notes.extend(points.iter().filter_map(Point::note));
    let (verdict, why) = judge(points);
    Findings {
        measured: Some(measured(points)),
        verdict,
        why,
        figures: figures(points),
        evidence: evidence(points),
        notes,
    }
}

/// The verdict is of what the claim speaks of: 100,000 connections and more.
fn judge(points: &[Point]) -> (Verdict, String) {
    let claimed = || points.iter().filter(|point| point.connections >= CLAIMED);
    let judged = || claimed().filter_map(Point::is_comfortable);
    let comfortable = judged().filter(|&is_comfortable| is_comfortable).count();
    let from = whole(CLAIMED.into());
    match (judged().count(), comfortable) {
        (0, _) => (
            Verdict::Incomplete,
            format!("no run with {from} connections or more could be judged here"),
        ),
        (all, comfortable) if comfortable == all => (
            Verdict::Confirmed,
            format!("every load over {from} connections and more was comfortable"),
        ),
        (_, 0) => (
            Verdict::Refuted,
            format!("no load over {from} connections or more was comfortable"),
        ),
        _ => (
            Verdict::Incomplete,
            format!(
                "it depends on the load, which the claim leaves out: of the same {from} connections and more, {}",
                parts(claimed())
            ),
        ),
    }
}

/// Which loads were comfortable and which were not.
fn parts<'a>(points: impl Iterator<Item = &'a Point>) -> String {
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    for point in points {
        let list = match point.is_comfortable() {
            Some(true) => &mut yes,
            Some(false) => &mut no,
            None => continue,
        };
        list.push(format!(
            "{} over {}",
            point.load.name(),
            whole(point.connections.into())
        ));
    }
    format!("comfortable: {}; not: {}", yes.join(", "), no.join(", "))
}

/// The most connections at which a load was comfortable.
fn largest(points: &[Point], load: Load) -> Option<u32> {
    let of_load = points.iter().filter(|point| point.load == load);
    let comfortable = of_load.filter(|point| point.is_comfortable() == Some(true));
    comfortable.map(|point| point.connections).max()
}

/// How long a full round took at each count, by the smallest of them first: seconds.
fn rounds(points: &[Point]) -> Vec<(u32, f64)> {
    let mut rounds: Vec<(u32, f64)> = Vec::new();
    for point in points {
        let is_known = rounds.iter().any(|(count, _)| *count == point.connections);
        // An earlier round of the same run may be the first touch of its memory: the last one is not.
        let round = point.record.rounds.last().filter(|_| !is_known);
        rounds.extend(round.map(|round| (point.connections, round.seconds)));
    }
    rounds
}

fn measured(points: &[Point]) -> String {
    let most = LOADS.iter().map(|load| {
        let most = largest(points, *load);
        let most = most.map_or("none".to_owned(), |most| whole(most.into()));
        format!("{} up to {most}", load.name())
    });
    let mut sentences = vec![format!(
        "Comfortable: {}.",
        most.collect::<Vec<_>>().join(", ")
    )];
    sentences.extend(rounds(points).last().map(|(connections, seconds)| {
        format!(
            "A full round of {} takes {}.",
            whole((*connections).into()),
            format::duration_ns(seconds * 1e9)
        )
    }));
    sentences.join(" ")
}

fn figures(points: &[Point]) -> Vec<Figure> {
    let of_load = |load: &Load| {
        let name = format!("most that are comfortable, {}", load.name());
        let most = largest(points, *load).map(f64::from);
        number(&name, None, most.or(Some(0.0)), "connections")
    };
    let mut figures: Vec<Figure> = LOADS.iter().map(of_load).collect();
    for point in points {
        let of = format!(
            "{} over {}",
            point.load.name(),
            whole(point.connections.into())
        );
        let p99_ns = point.p99_ns().map(|ns| ns as f64);
        figures.push(number(&format!("p99, {of}"), None, p99_ns, "ns"));
        figures.push(number(
            &format!("server's core, {of}"),
            None,
            point.busy(),
            "share",
        ));
    }
    figures.extend(rounds(points).into_iter().map(|(connections, seconds)| {
        let name = format!("full round of {}", whole(connections.into()));
        number(&name, None, Some(seconds), "s")
    }));
    figures
}

fn evidence(points: &[Point]) -> Vec<Evidence> {
    let head = [
        "load",
        "connections",
        "taking part",
        "echoes/s",
        "p99",
        "server's core",
        "verdict",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for load in LOADS {
        let of_load = points.iter().filter(|point| point.load == load);
        rows.extend(of_load.map(Point::cells));
    }
    let mut of_rounds = vec![["connections", "full round"].map(str::to_owned).to_vec()];
    of_rounds.extend(rounds(points).into_iter().map(|(connections, seconds)| {
        vec![
            whole(connections.into()),
            format::duration_ns(seconds * 1e9),
        ]
    }));
    vec![
        Evidence {
            what: "Every load at every count, judged by what was fixed before: p99 under 10 ms, the server's core under \
                   70 % busy"
                .to_owned(),
            lines: aligned(&rows),
        },
        Evidence {
            what: "One full round, in which every connection echoes once, at most 16,384 at a time".to_owned(),
            lines: aligned(&of_rounds),
        },
    ]
}

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
use load::{LOADS, Load, part_words};

/// The claim.
pub const CLAIM: Claim = Claim {
    id: "comfortable",
    claim: "With memory and descriptors raised, hundreds of thousands or even millions of connections are comfortable.",
    experiment: "1 to 1,000,000 connections by decades, served by io_uring, under three loads: a closed loop, in which \
                 all of them send again as soon as they are answered; 10,000 messages a second; and one message a \
                 connection a minute. In the default form not all connections take part in an open loop where the \
                 warm-up would last too long, and the others are open and idle: the numbers say how many do, and one \
                 a minute each over 1,000,000 has all of them. With --full all take part everywhere. Comfortable, fixed before the runs: 99 of 100 echoes in under \
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
                Err(why) => {
                    let part = request.hot_connections.unwrap_or(connections);
                    let words = words(load, part, connections);
                    notes.push(format!("{words} was left out: {why}"));
                }
            }
        }
    }
    if !court.is_full {
        notes.extend(load::SHORT.map(str::to_owned));
    }
    Ok(findings(&points, notes))
}

/// A load over so many connections, of which so many take part.
fn words(load: Load, taking_part: u32, connections: u32) -> String {
    format!(
        "{} over {}{}",
        load.words(taking_part, connections),
        whole(connections.into()),
        part_words(taking_part, connections)
    )
}

/// What may be said of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It kept every rule.
    Sound,
    /// The load was more than the client or the server could do, which is an answer.
    OfLoad,
    /// Memory came or went that no counter has, which says nothing of latency.
    OfMemory,
    /// It says nothing.
    Void,
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

    /// Whether its figures may be judged, and what stands in the way.
    fn standing(&self) -> Standing {
        match self.record.outcome {
            Outcome::Ok => Standing::Sound,
            _ if self.record.is_invalid_for_load() => Standing::OfLoad,
            _ if self.record.is_invalid_for_ledger() => Standing::OfMemory,
            _ => Standing::Void,
        }
    }

    /// Whether it was comfortable; `None` if that is not known.
    fn is_comfortable(&self) -> Option<bool> {
        let (p99_ns, busy) = (self.p99_ns()?, self.busy()?);
        (self.standing() != Standing::Void).then_some(p99_ns < P99_NS && busy < BUSY)
    }

    /// Connections that take part.
    fn taking_part(&self) -> u32 {
        self.record.case.hot()
    }

    fn words(&self) -> String {
        words(self.load, self.taking_part(), self.connections)
    }

    /// Whether it is the load itself over so many that the claim speaks of "millions", and not a part of it.
    fn is_whole_million(&self) -> bool {
        self.connections >= MILLION && self.taking_part() >= self.connections
    }

    /// What to know of it before it is quoted.
    fn note(&self) -> Option<String> {
        let error = self.record.error.as_deref()?;
        let what = match self.standing() {
            Standing::Sound => return None,
            Standing::OfLoad => "broke a rule of load and is judged all the same",
            Standing::OfMemory => {
                "broke a rule of memory, which says nothing of latency, and is judged all the same"
            }
            Standing::Void => "is not judged",
        };
        Some(format!("{} {what}: {error}", self.words()))
    }

    fn cells(&self) -> Vec<String> {
        let verdict = match self.is_comfortable() {
            Some(true) => "comfortable",
            Some(false) => "not",
            None => "not judged",
        };
        let hot = self.taking_part();
        vec![
            self.load.words(hot, self.connections).to_owned(),
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
            Verdict::Inconclusive,
            format!("no run with {from} connections or more could be judged here"),
        ),
        (all, comfortable) if comfortable == all => judge_all(points),
        (_, 0) => judge_none(points),
        _ => (
            Verdict::Incomplete,
            format!(
                "it depends on the load, which the claim leaves out: of the same {from} connections and more, {}",
                parts(claimed())
            ),
        ),
    }
}

/// Every run that was judged was comfortable: whether every load was run up to what the claim speaks of.
fn judge_all(points: &[Point]) -> (Verdict, String) {
    let missing = missing(points, Point::is_whole_million);
    let (from, most) = (whole(CLAIMED.into()), whole(MILLION.into()));
    if missing.is_empty() {
        return (
            Verdict::Confirmed,
            format!("every load over {from} connections and more, up to {most}, was comfortable"),
        );
    }
    (
        Verdict::Incomplete,
        format!(
            "every load over {from} connections and more was comfortable as far as it was run; over {most}, all of \
             them taking part, it is not known of: {missing}"
        ),
    )
}

/// No run that was judged was comfortable: whether every load was run over what the claim speaks of.
fn judge_none(points: &[Point]) -> (Verdict, String) {
    let missing = missing(points, |point| point.connections >= CLAIMED);
    let from = whole(CLAIMED.into());
    if missing.is_empty() {
        let why = format!("no load over {from} connections or more was comfortable");
        return (Verdict::Refuted, why);
    }
    (
        Verdict::Inconclusive,
        format!(
            "no load over {from} connections or more was comfortable as far as it was run; it is not known of: {missing}"
        ),
    )
}

/// The loads of which none of these points was judged, in words.
fn missing(points: &[Point], is_asked: impl Fn(&Point) -> bool) -> String {
    let is_judged = |load: Load| {
        let mut of_load = points.iter().filter(|point| point.load == load);
        of_load.any(|point| is_asked(point) && point.is_comfortable().is_some())
    };
    let missing = LOADS.into_iter().filter(|&load| !is_judged(load));
    missing.map(Load::name).collect::<Vec<_>>().join("; ")
}

/// Which loads were comfortable and which were not.
fn parts<'a>(points: impl Iterator<Item = &'a Point>) -> String {
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    for point in points {
        match point.is_comfortable() {
            Some(true) => yes.push(point.words()),
            Some(false) => no.push(point.words()),
            None => {}
        }
    }
    format!("comfortable: {}; not: {}", yes.join(", "), no.join(", "))
}

/// What was judged of a load, by count.
fn judged(points: &[Point], load: Load) -> Vec<(&Point, bool)> {
    let of_load = points.iter().filter(|point| point.load == load);
    let judged = of_load.filter_map(|point| Some((point, point.is_comfortable()?)));
    let mut judged: Vec<_> = judged.collect();
    judged.sort_by_key(|(point, _)| point.connections);
    judged
}

/// The most connections up to which a load was comfortable at every count that was judged.
fn largest(points: &[Point], load: Load) -> Option<&Point> {
    let judged = judged(points, load).into_iter();
    let comfortable = judged.take_while(|(_, is_comfortable)| *is_comfortable);
    comfortable.last().map(|(point, _)| point)
}

/// The same as a number: none where the fewest were too many already, and unknown where nothing was judged.
fn largest_count(points: &[Point], load: Load) -> Option<f64> {
    let is_judged = !judged(points, load).is_empty();
    let count = largest(points, load).map_or(0, |point| point.connections);
    is_judged.then_some(count.into())
}

fn largest_words(points: &[Point], load: Load) -> String {
    match largest(points, load) {
        Some(point) => {
            let (part, connections) = (point.taking_part(), point.connections);
            format!(
                "{} up to {}{}",
                load.words(part, connections),
                whole(connections.into()),
                part_words(part, connections)
            )
        }
        None if judged(points, load).is_empty() => format!("{} not judged", load.name()),
        None => format!("{} none", load.name()),
    }
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
    let most = LOADS.map(|load| largest_words(points, load));
    let mut sentences = vec![format!("Comfortable: {}.", most.join("; "))];
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
    let of_load = |load: Load| {
        let point = largest(points, load);
        let part = point.map(|point| part_words(point.taking_part(), point.connections));
        let words = point.map_or(load.name(), |point| {
            load.words(point.taking_part(), point.connections)
        });
        let name = format!(
            "most that are comfortable, {words}{}",
            part.unwrap_or_default()
        );
        number(&name, None, largest_count(points, load), "connections")
    };
    let mut figures: Vec<Figure> = LOADS.map(of_load).into();
    for point in points {
        let of = point.words();
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

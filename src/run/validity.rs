//! The rules that make a run invalid: it ran to its end, and one of its numbers must not be quoted.
//!
//! The first rule that is broken is named in the record's `error`, by its name and with the figures that broke it.
//!
//! **Is it the client?** Two rules ask that of a closed loop. They do not where the server's busiest core is used
//! up: the server is the limit then, by direct evidence, however busy its client is. Both sides may be near their
//! ends at once, as they are made of the same system calls. Where the server has room left, a client that is busy
//! held the rate down (`client-saturated`), and one that needed most of each echo's time for itself had a large
//! part in it (`client-near-ceiling`): without waiting it would reach its rate divided by the share of time in
//! which it was busy, and a point at more than 70 % of that says as much about the client as about the server.
//! With one message under way at a time the two sides take turns, and the client is busy for as long as its turn
//! lasts; of an echo that is less than half, because each turn begins with a wake-up. Churn is different: opening
//! and closing is more work for the side that begins it, and the handshake's other half runs on that side's core.
//!
//! An open loop has other rules: what it offers has to be achieved (`rate-not-reached`), and to leave in time
//! (`client-late`). A client that is busy and in time is no fault there.

use fourtuple_spec::record::{LEDGER_RULE, Memory};
use fourtuple_spec::{ClientKind, Engine, Mode, Record};

/// A rule of measuring.
struct Rule {
    /// What it is called, in records and in reports.
    name: &'static str,
    /// What the record says against it; `None` where it is kept, or cannot be judged.
    broken: fn(&Record) -> Option<String>,
}

/// The rules in the order in which they are asked: what explains the others comes first.
const RULES: [Rule; 11] = [
    rule("connections-missing", connections_missing),
    rule(LEDGER_RULE, ledger_open),
    rule("connections-unproved", connections_unproved),
    rule("connections-lost", connections_lost),
    rule("no-echo", no_echo),
    rule("segments-missing", segments_missing),
    rule("rate-not-reached", rate_not_reached),
    rule("rate-exceeded", rate_exceeded),
    rule("client-late", client_late),
    rule("client-saturated", client_saturated),
    rule("client-near-ceiling", client_near_ceiling),
];

const fn rule(name: &'static str, broken: fn(&Record) -> Option<String>) -> Rule {
    Rule { name, broken }
}

/// The rules about the client's part in a closed loop's rate.
const CLIENT_RULES: [&str; 2] = ["client-saturated", "client-near-ceiling"];
/// A rule that a run broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The rule's name.
    pub rule: &'static str,
    /// The figures that broke it.
    pub why: String,
}

impl Broken {
    /// What held the rate down, if that is what the rule says.
    pub fn limiter(&self) -> Option<&'static str> {
        CLIENT_RULES.contains(&self.rule).then_some("client")
    }
}

/// The first rule that a run broke.
pub fn first_broken(record: &Record) -> Option<Broken> {
    RULES.iter().find_map(|rule| {
        let why = (rule.broken)(record)?;
        Some(Broken {
            rule: rule.name,
            why,
        })
    })
}

/// How many connections are asked of a run: one that goes on until memory is full is asked for those it has.
fn asked(record: &Record) -> u32 {
    match record.case.until_full {
        true => record.setup.connections_held.unwrap_or(0).max(1),
        false => record.case.connections,
    }
}

fn connections_missing(record: &Record) -> Option<String> {
    let (held, asked) = (record.setup.connections_held.unwrap_or(0), asked(record));
    (held < asked).then(|| format!("{held} of {asked} connections were held"))
}

/// From so many connections on a ledger has to close. With fewer, what else the machine does is a share of
/// what they take, and a warning says so.
const CLOSES_CONNECTIONS_LEAST: u32 = 100_000;

/// More than this, and more than this share, of memory that nothing explains is somebody else's: a bytes figure
/// that has it in it says nothing.
const UNEXPLAINED_BYTES_MOST: i64 = 24 << 20;
const UNEXPLAINED_SHARE_MOST: f64 = 0.01;

fn ledger_open(record: &Record) -> Option<String> {
    let held = record.setup.connections_held.unwrap_or(0);
    open_ledger(&record.memory).filter(|_| held >= CLOSES_CONNECTIONS_LEAST)
}

/// Whether memory came or went that no counter has: free page reporting takes 64 or 128 MiB at a time.
pub fn open_ledger(memory: &Memory) -> Option<String> {
    let ledger = memory
        .ledger
        .iter()
        .find(|ledger| ledger.phase == "settle")?;
    let bytes = ledger.unattributed_bytes?;
    let share = memory.unattributed_share.unwrap_or(f64::INFINITY);
    let is_open = bytes.abs() > UNEXPLAINED_BYTES_MOST && share.abs() > UNEXPLAINED_SHARE_MOST;
    (is_open && memory.kernel_bytes_per_connection.is_some()).then(|| {
        format!(
            "the ledger does not close: {:.0} MB came or went that no counter has (free page reporting?)",
            bytes as f64 / 1e6
        )
    })
}

fn connections_unproved(record: &Record) -> Option<String> {
    let (proved, asked) = (record.setup.connections_proved.unwrap_or(0), asked(record));
    (record.case.echoes() && proved < asked)
        .then(|| format!("{proved} of {asked} connections were proved live"))
}

fn connections_lost(record: &Record) -> Option<String> {
    let lost = record.hold.as_ref()?.connections_lost?;
    (record.case.echoes() && lost > 0)
        .then(|| format!("{lost} connections were lost during the hold"))
}

fn no_echo(record: &Record) -> Option<String> {
    (record.case.measures() && record.throughput.echoes_verified == Some(0))
        .then(|| "no echo came within the measured span".to_owned())
}

/// A path on which nothing is lost on purpose must lose nothing: what came after a gap was sent again by the
/// server, and the times say more of that than of anything else.
fn segments_missing(record: &Record) -> Option<String> {
    let early = record.client.ghosts.as_ref()?.early;
    (record.case.echoes() && early > 0 && !record.case.has_faults()).then(|| {
        format!(
            "{early} segments came ahead of one that was missing: the path between ghosts and server lost some"
        )
    })
}

/// Of what an open loop offers this much has to be achieved, or its latencies are those of a growing queue.
const ACHIEVED_SHARE_LEAST: f64 = 0.99;

/// So few messages may be missing of however few: they were under way when the span ended.
const MISSING_LEAST: f64 = 3.0;

fn rate_not_reached(record: &Record) -> Option<String> {
    let seconds = record.throughput.seconds.filter(|&seconds| seconds > 0.0)?;
    let offered = record.throughput.messages_offered? as f64;
    let achieved = record.throughput.echoes_verified? as f64;
    let missing_most = (offered * (1.0 - ACHIEVED_SHARE_LEAST)).max(MISSING_LEAST);
    (offered - achieved > missing_most).then(|| {
        format!(
            "offered {:.0}/s, achieved {:.0}/s: not an open loop any more; offer less",
            offered / seconds,
            achieved / seconds
        )
    })
}

/// More than this of what was offered is what was offered before: a backlog of the warm-up, which the span works off.
const ACHIEVED_SHARE_MOST: f64 = 1.02;

fn rate_exceeded(record: &Record) -> Option<String> {
    let offered = record.throughput.messages_offered? as f64;
    let achieved = record.throughput.echoes_verified? as f64;
    let more_most = (offered * (ACHIEVED_SHARE_MOST - 1.0)).max(MISSING_LEAST);
    (achieved - offered > more_most).then(|| {
        format!(
            "{achieved:.0} echoes came for {offered:.0} messages: the span began with a backlog; offer less, or warm up \
             for longer"
        )
    })
}

/// The client's own lateness may make this much of a latency: an error that every comparison can bear.
///
/// It is asked what the 99th percentile would be without it, message by message. To hold its own 99th percentile
/// against that of the latencies does not do: the two are of different messages, and one thread that takes 8 µs for
/// a message and its echo is 20 µs late at the 99th percentile of 20,000 Poisson arrivals a second, whatever it measures.
const LATE_SHARE_MOST: f64 = 0.05;

fn client_late(record: &Record) -> Option<String> {
    let latency = record.latency_ns.p99.filter(|&latency| latency > 0)? as f64;
    let punctual = record.punctual_ns.p99? as f64;
    let own = latency - punctual;
    (record.case.mode == Mode::Open && own > latency * LATE_SHARE_MOST).then(|| {
        format!(
            "of a 99th percentile of {:.1} µs the client's own lateness made {:.1} µs: not an open loop; offer less, \
             or give it a core of its own",
            latency / 1e3,
            own / 1e3
        )
    })
}

/// From here on a core has nothing left to give: the rest is waking up, and the coarse clock that cores are
/// read with.
const BUSY: f64 = 0.90;

/// Further from its own ceiling than this a client is not what the rate is made of.
const CEILING_SHARE_MOST: f64 = 0.70;

fn client_saturated(record: &Record) -> Option<String> {
    let (client, server) = busy(record)?;
    (client > BUSY).then(|| {
        format!(
            "the client was {:.0} % busy and the server {:.0} %: the client held the rate down",
            client * 100.0,
            server * 100.0
        )
    })
}

fn client_near_ceiling(record: &Record) -> Option<String> {
    let (client, server) = busy(record)?;
    (client > CEILING_SHARE_MOST && client > server).then(|| {
        format!(
            "the rate is {:.0} % of what this client reaches without waiting, and the server was {:.0} % busy: it \
             says as much about the client",
            client * 100.0,
            server * 100.0
        )
    })
}

/// How busy the client's thread and the server's busiest core were, where that says what held the rate down: a
/// spinning side is always busy, and a server that is used up is the limit.
fn busy(record: &Record) -> Option<(f64, f64)> {
    let case = &record.case;
    let is_telling = matches!(case.mode, Mode::Closed | Mode::Churn)
        && case.client == ClientKind::Uring
        && case.engine != Some(Engine::Spin);
    let client = record.cpu.client_busy.filter(|_| is_telling)?;
    // Its threads together are a mean over its cores. The core's own figure has softirq and steal in it.
    let cores = case.server_cpus.len().max(1) as f64;
    let threads = record.cpu.server_busy.map(|busy| busy / cores);
    let busiest = (record.cpu.server_cores_busy.iter().copied())
        .chain(threads)
        .max_by(f64::total_cmp)?;
    (busiest < BUSY).then_some((client, busiest))
}

#[cfg(test)]
#[path = "validity_tests.rs"]
mod tests;

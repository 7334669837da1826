//! How many connections one client address can have: what a source port is unique for, and who picks it when.

use super::crowd::{self, Crowd};
use super::experiment::{self, Attempt, Attempted, Outcome, Request, Source};
use super::{Claim, Court, Findings, Halt, count, number};
use crate::publish::format::whole;
use fourtuple_spec::census::Ends;
use fourtuple_spec::claim::{Evidence, Figure};
use fourtuple_spec::plan::CaseRequest;
use fourtuple_spec::{Census, Engine, Peer, Record, Verdict, limiter};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Ports of the range, where there are descriptors enough: an even number, see [`ODD`].
const PORTS: u64 = 1000;
/// How many destinations there are where there are several.
const DESTINATIONS: u16 = 4;
/// The first port of the range, which no server's port is in.
const FIRST_PORT: u16 = 20_000;
/// The first of the servers' ports.
const SERVER_PORT: u16 = 7001;
/// Where all connections come from.
const CLIENT: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// As many as a 16-bit number can count without 0.
const PORT_NUMBERS: u64 = 65_535;
/// More than those.
const MANY: u32 = 100_000;

/// The kernel's default range, and its size.
const DEFAULT_RANGE: &str = "32768 60999";
const DEFAULT_PORTS: u32 = 28_232;

const ODD: &str = "The range here has an even number of ports. On Linux 6.18, where this was written, connect left one \
                   port of an odd range unused.";

/// The claim.
pub const CLAIM: Claim = Claim {
    id: "client-ports",
    claim: "A machine that is only a client can have at most 65,535 connections, because each takes one of its ports, \
            whichever server it goes to.",
    experiment: "One client address is given a port range of n ports, and connections are opened until the kernel \
                 refuses: to one destination; to 4 ports and to 4 addresses; to 4 addresses with bind to port 0 \
                 first; the same with IP_BIND_ADDRESS_NO_PORT. All of them have to echo at the same time. Then one \
                 client address holds 100,000 connections to several addresses, and the kernel is asked for \
                 every TCP socket with the server's port at either end.",
    predicted: "To one destination exactly n, then EADDRNOTAVAIL. To 4 destinations exactly 4n: a port is taken \
                towards one destination, so the claim is wrong on Linux. With bind to port 0 exactly n in total, then \
                EADDRINUSE; with IP_BIND_ADDRESS_NO_PORT 4n again. 100,000 connections of one address are all live.",
    try_it,
};

/// One way to connect until the kernel refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    /// For figures.
    name: &'static str,
    source: Source,
    destinations: u16,
    /// Whether they are ports of one address, or addresses.
    are_ports: bool,
    /// How many times the range fits.
    times: u64,
    /// Whether its sockets are shown.
    is_quoted: bool,
    /// What the one after the last is refused with.
    end: (&'static str, &'static str),
}

/// What the kernel says when no port is left, at whatever step.
const NO_PORT_LEFT: [&str; 2] = ["EADDRNOTAVAIL", "EADDRINUSE"];

const FULL_AT_CONNECT: (&str, &str) = ("connect", "EADDRNOTAVAIL");

const WAYS: [Way; 5] = [
    Way {
        name: "connections to one destination",
        source: Source::Kernel,
        destinations: 1,
        are_ports: false,
        times: 1,
        is_quoted: false,
        end: FULL_AT_CONNECT,
    },
    Way {
        name: "connections to 4 ports of one address",
        source: Source::Kernel,
        destinations: DESTINATIONS,
        are_ports: true,
        times: 4,
        is_quoted: false,
        end: FULL_AT_CONNECT,
    },
    Way {
        name: "connections to 4 addresses",
        source: Source::Kernel,
        destinations: DESTINATIONS,
        are_ports: false,
        times: 4,
        is_quoted: true,
        end: FULL_AT_CONNECT,
    },
    Way {
        name: "connections to 4 addresses after bind to port 0",
        source: Source::PortAtBind(CLIENT),
        destinations: DESTINATIONS,
        are_ports: false,
        times: 1,
        is_quoted: false,
        end: ("bind", "EADDRINUSE"),
    },
    Way {
        name: "connections to 4 addresses after bind with IP_BIND_ADDRESS_NO_PORT",
        source: Source::PortAtConnect(CLIENT),
        destinations: DESTINATIONS,
        are_ports: false,
        times: 4,
        is_quoted: false,
        end: FULL_AT_CONNECT,
    },
];

/// A way, tried.
struct Tried {
    way: Way,
    ports: u64,
    outcome: Outcome,
}

fn try_it(court: &Court<'_>) -> Result<Findings, Halt> {
    court.needs_private_network()?;
    let ports = ports()?;
    let mut tried = Vec::new();
    for way in WAYS {
        let outcome = experiment::perform(court, &request(&way, ports))?;
        tried.push(Tried {
            way,
            ports,
            outcome,
        });
    }
    let crowd = match crowd::hold(court, &many()) {
        Ok(crowd) => Ok(crowd),
        Err(Halt::NotRun(why)) => Err(why),
        Err(halt) => return Err(halt),
    };
    let mut findings = judge(&tried, &crowd);
    if court.is_full {
        let record = court.run_into_the_wall(&default_range())?;
        add_default_range(&mut findings, &record);
    }
    Ok(findings)
}

/// How many ports the range may have, so that four times as many connections have descriptors for both ends.
fn ports() -> Result<u64, Halt> {
    let connections = experiment::connections_max();
    match (connections / u64::from(DESTINATIONS)).min(PORTS) & !1 {
        0 => Err(Halt::NotRun(format!(
            "{} allows {connections} connections with both ends in one process, and {} are the least",
            limiter::DESCRIPTORS,
            2 * DESTINATIONS,
        ))),
        ports => Ok(ports),
    }
}

fn request(way: &Way, ports: u64) -> Request {
    let destination = |index: u16| match way.are_ports {
        true => SocketAddrV4::new(CLIENT, SERVER_PORT + index),
        false => {
            let address = Ipv4Addr::from_bits(CLIENT.to_bits() + u32::from(index));
            SocketAddrV4::new(address, SERVER_PORT)
        }
    };
    let last_port = u64::from(FIRST_PORT) + ports - 1;
    let server_ports = if way.are_ports { way.destinations } else { 1 };
    Request {
        sysctls: BTreeMap::from([(
            limiter::PORT_RANGE.to_owned(),
            format!("{FIRST_PORT} {last_port}"),
        )]),
        ports: (SERVER_PORT..SERVER_PORT + server_ports).collect(),
        attempts: (0..way.destinations)
            .map(|index| Attempt {
                source: way.source,
                destination: destination(index),
                // One more than there can be: it has to be refused.
                connections_max: ports as u32 + 1,
            })
            .collect(),
    }
}

/// From one address: the kernel picks it.
fn many() -> CaseRequest {
    crowd::request(Engine::Uring, Peer::Kernel, MANY)
}

/// All ports of the kernel's default range to one destination, and one more.
fn default_range() -> CaseRequest {
    let mut request = crowd::request(Engine::Uring, Peer::Kernel, DEFAULT_PORTS + 1);
    request.group_connections = Some(DEFAULT_PORTS + 1);
    // One at a time, so that how many are open when one is refused is known.
    request.connect_window = Some(1);
    request.sysctls = Some(BTreeMap::from([(
        limiter::PORT_RANGE.to_owned(),
        DEFAULT_RANGE.to_owned(),
    )]));
    request
}

impl Tried {
    fn predicted(&self) -> u64 {
        self.way.times * self.ports
    }

    /// Whether more connections than there are ports were live, all of one address.
    fn is_passed(&self) -> bool {
        let mut censuses = self.outcome.censuses.iter();
        let is_of_one_address = censuses.all(|census| census.client.local_addresses == 1);
        self.outcome.proved > self.ports && is_of_one_address
    }

    /// Whether all ports brought as many live connections, and the kernel had no more of them to give.
    fn is_bounded(&self) -> bool {
        let is_end = |attempt: &Attempted| {
            let refusal = attempt.refusal.as_ref();
            refusal.is_some_and(|refusal| NO_PORT_LEFT.contains(&refusal.errno.as_str()))
        };
        self.outcome.opened() == self.ports
            && self.outcome.is_proved()
            && self.outcome.attempts.iter().all(is_end)
    }

    /// What is not as predicted.
    fn difference(&self) -> Option<String> {
        let (step, errno) = self.way.end;
        let (opened, proved) = (self.outcome.opened(), self.outcome.proved);
        let is_end = |attempt: &&Attempted| !attempt.was_refused(step, errno);
        let other_end = self.outcome.attempts.iter().find(is_end);
        let name = self.way.name;
        if opened != self.predicted() {
            let end =
                other_end.map_or_else(String::new, |attempt| format!(", then {}", attempt.end()));
            Some(format!(
                "{name}: {} of {}{end}",
                whole(opened as f64),
                whole(self.predicted() as f64)
            ))
        } else if proved != opened {
            Some(format!(
                "{name}: {} of {} were live",
                whole(proved as f64),
                whole(opened as f64)
            ))
        } else {
            other_end.map(|attempt| format!("{name}: then {}", attempt.end()))
        }
    }
}

fn judge(tried: &[Tried], crowd: &Result<Crowd, String>) -> Findings {
    let mut differences: Vec<String> = tried.iter().filter_map(Tried::difference).collect();
    let quoted = tried.iter().filter(|tried| tried.way.is_quoted);
    let mut findings = Findings {
        measured: Some(measured(tried)),
        figures: tried.iter().map(figure).collect(),
        evidence: quoted.map(evidence).collect(),
        notes: notes(tried),
        ..Findings::default()
    };
    match crowd {
        Ok(crowd) => add_crowd(&mut findings, &mut differences, crowd),
        Err(why) => differences.push(format!("{} were not held: {why}", whole(f64::from(MANY)))),
    }
    (findings.verdict, findings.why) = verdict(tried, crowd, &differences);
    findings
}

/// More connections of one address than it has ports refute the claim. It holds only where every way to several
/// destinations ended for want of a port: what was refused for another reason decides nothing.
fn verdict(
    tried: &[Tried],
    crowd: &Result<Crowd, String>,
    differences: &[String],
) -> (Verdict, String) {
    let is_beyond = crowd.as_ref().is_ok_and(is_beyond_the_numbers);
    let several = || tried.iter().filter(|tried| tried.way.destinations > 1);
    let mut many = several().filter(|tried| tried.way.times > 1).peekable();
    let are_passed = many.peek().is_some() && many.all(Tried::is_passed);
    let are_bounded = several().next().is_some() && several().all(Tried::is_bounded);
    let (verdict, why) = match (is_beyond || are_passed, are_bounded && crowd.is_err()) {
        (true, _) => (
            Verdict::Refuted,
            "on Linux a source port is taken towards one destination, not for all of them",
        ),
        (false, true) => (
            Verdict::Confirmed,
            "no more connections than ports, whichever destination they went to",
        ),
        (false, false) => (Verdict::Inconclusive, "what came of it decides nothing"),
    };
    match differences.is_empty() {
        true => (verdict, why.to_owned()),
        false => (
            verdict,
            format!("{why}; but not as predicted: {}", differences.join("; ")),
        ),
    }
}

/// Whether one address had more live connections than there are port numbers.
fn is_beyond_the_numbers(crowd: &Crowd) -> bool {
    let is_proved = crowd.record.setup.connections_proved == Some(MANY);
    let is_of_one = |census: &Census| {
        census.client.local_addresses == 1 && census.client.four_tuples > PORT_NUMBERS
    };
    is_proved && crowd.census.as_ref().is_ok_and(is_of_one)
}

fn measured(tried: &[Tried]) -> String {
    let ports = tried.first().map_or(0, |tried| tried.ports);
    let counts: Vec<String> = (tried.iter())
        .map(|tried| {
            format!(
                "{} {}",
                whole(tried.outcome.opened() as f64),
                tried.way.name
            )
        })
        .collect();
    format!(
        "With a range of {} ports: {}.",
        whole(ports as f64),
        counts.join(", ")
    )
}

fn figure(tried: &Tried) -> Figure {
    count(
        tried.way.name,
        tried.predicted(),
        Some(tried.outcome.opened()),
        "connections",
    )
}

fn evidence(tried: &Tried) -> Evidence {
    let samples = tried
        .outcome
        .censuses
        .iter()
        .flat_map(|census| &census.sample);
    Evidence {
        what: format!("{}. {}", tried.way.name, crowd::sample_words(SERVER_PORT)),
        lines: samples.cloned().collect(),
    }
}

fn notes(tried: &[Tried]) -> Vec<String> {
    let mut notes = vec![
        "It is true of connections to one destination address and port, and of sockets that are bound to port 0 \
         before they connect, as programs do that choose their source address without IP_BIND_ADDRESS_NO_PORT."
            .to_owned(),
        ODD.to_owned(),
    ];
    let ports = tried.first().map_or(PORTS, |tried| tried.ports);
    if ports < PORTS {
        notes.push(format!(
            "{} leaves room for a range of {ports} ports, not of {}: both ends of every connection are one process's.",
            limiter::DESCRIPTORS,
            whole(PORTS as f64)
        ));
    }
    notes
}

/// What one address with many connections looks like.
fn add_crowd(findings: &mut Findings, differences: &mut Vec<String>, crowd: &Crowd) {
    let census = match &crowd.census {
        Ok(census) => census,
        Err(why) => return differences.push(format!("the sockets were not counted: {why}")),
    };
    let client = &census.client;
    let proved = crowd.record.setup.connections_proved.map(u64::from);
    let figures = [
        count(
            "live connections of one client address",
            MANY.into(),
            proved,
            "connections",
        ),
        count(
            "their client's ends",
            MANY.into(),
            Some(client.sockets),
            "sockets",
        ),
        count(
            "the client's addresses",
            1,
            Some(client.local_addresses),
            "addresses",
        ),
        count(
            "their four-tuples",
            MANY.into(),
            Some(client.four_tuples),
            "four-tuples",
        ),
    ];
    let off = figures
        .iter()
        .filter(|figure| figure.predicted != figure.measured);
    differences.extend(off.map(|figure| {
        let measured = figure.measured.map_or("unknown".to_owned(), whole);
        format!("{}: {measured}", figure.name)
    }));
    findings.figures.extend(figures);
    let ports = Some(client.local_ports as f64);
    findings
        .figures
        .push(number("the client's ports", None, ports, "ports"));
    let before = findings.measured.take().unwrap_or_default();
    findings.measured = Some(format!("{} {before}", crowd_in_words(client)));
    findings.evidence.push(crowd_evidence(census));
}

fn crowd_in_words(client: &Ends) -> String {
    let of = match client.local_addresses {
        1 => "One client address".to_owned(),
        addresses => format!("{} client addresses", whole(addresses as f64)),
    };
    let held = whole(client.four_tuples as f64);
    let ports = whole(client.local_ports as f64);
    match client.four_tuples.checked_sub(PORT_NUMBERS) {
        Some(more @ 1..) => format!(
            "{of} held {held} connections at once, {} more than there are port numbers, from {ports} ports.",
            whole(more as f64)
        ),
        _ => format!("{of} held {held} connections at once, from {ports} ports."),
    }
}

fn crowd_evidence(census: &Census) -> Evidence {
    let client = &census.client;
    let ends = format!(
        "{} sockets: {} local address, {} local ports, {} remote addresses, {} remote port, {} four-tuples, {} inodes",
        client.sockets,
        client.local_addresses,
        client.local_ports,
        client.remote_addresses,
        client.remote_ports,
        client.four_tuples,
        client.inodes,
    );
    let remote_port = format!(":{} inode", census.port);
    let of_clients = |line: &&String| line.contains(&remote_port);
    Evidence {
        what: format!(
            "Established sockets whose remote port is {}, the clients' ends, and the first 4 of them in the \
             kernel's dump (sock_diag): state, local, remote, inode",
            census.port
        ),
        lines: std::iter::once(ends)
            .chain(census.sample.iter().filter(of_clients).cloned())
            .collect(),
    }
}

/// What the kernel's own range gave.
fn add_default_range(findings: &mut Findings, record: &Record) {
    let held = record.setup.connections_held.map(u64::from);
    let is_wall = record.limiter.as_deref() == Some(limiter::PORT_RANGE);
    findings.figures.push(count(
        "connections to one destination, with the kernel's default range",
        DEFAULT_PORTS.into(),
        held,
        "connections",
    ));
    if !is_wall || held != Some(DEFAULT_PORTS.into()) {
        let error = record.error.as_deref().unwrap_or("it was not refused");
        let limiter = record.limiter.as_deref().unwrap_or("no limit");
        findings.why.push_str(&format!(
            "; with the kernel's default range the end was another: {limiter}: {error}"
        ));
    }
}

#[cfg(test)]
mod tests;

//! A server's port is one of four numbers that name a connection, and the only one that all its connections share.

use super::crowd::{self, Crowd};
use super::{Claim, Court, Findings, Halt, count};
use crate::publish::format::whole;
use fourtuple_spec::claim::Figure;
use fourtuple_spec::{Census, Engine, Peer, Record, Verdict};

/// As many as a 16-bit number can count without 0.
const PORTS: u32 = 65_535;

/// How many connections are held in any case.
const HELD: u32 = 100_000;
/// The same in the full form, with both ends on this machine.
const MORE: u32 = 1_000_000;
/// The same with the server's end alone.
const MOST: u32 = 5_000_000;

/// The claim.
pub const CLAIM: Claim = Claim {
    id: "server-ports",
    claim: "A server is not limited to 65,535 connections by its 16-bit port number.",
    experiment: "A server listens on one address and one port. Client addresses are added one after the other, 25,000 \
                 connections each, until 100,000 are held at once; the full form goes on to 1,000,000 with both ends \
                 on this machine, and to 5,000,000 with the server's end alone. While all are held the kernel is asked \
                 for every TCP socket with that port at either end; then each connection is proved live by an echo that is compared byte by byte.",
    predicted: "It passes 65,535 without incident: all 100,000 are live at once, and the local port of every accepted \
                socket is the same one.",
    try_it,
};

fn try_it(court: &Court<'_>) -> Result<Findings, Halt> {
    court.needs_private_network()?;
    let crowd = crowd::hold(court, &crowd::one_port(HELD))?;
    let mut findings = judge(&crowd);
    if court.is_full {
        let larger = [
            (crowd::one_port(MORE), "both ends on this machine"),
            (
                crowd::request(Engine::UringPoll, Peer::Ghost, MOST),
                "the server's end alone, clients are ghosts",
            ),
        ];
        for (request, whose) in larger {
            let run = court.run_more(&request, None)?;
            add_larger(&mut findings, request.connections, whose, run);
        }
    }
    Ok(findings)
}

fn judge(crowd: &Crowd) -> Findings {
    let record = &crowd.record;
    let census = match &crowd.census {
        Ok(census) => census,
        Err(reason) => return crowd::uncounted(record, reason),
    };
    let (verdict, why) = verdict(record, census);
    Findings {
        measured: Some(format!(
            "{} connections to one address and port, each proved live by a verified echo; the {} sockets at the \
             server's end have {} local port between them, and {} client addresses.",
            crowd::so_many(record.setup.connections_proved.map(u64::from)),
            whole(census.server.sockets as f64),
            whole(census.server.local_ports as f64),
            whole(census.server.remote_addresses as f64),
        )),
        verdict,
        why,
        figures: figures(record, census),
        evidence: crowd::evidence(census),
        notes: record.error.iter().cloned().collect(),
    }
}

/// Connections that are not there say nothing of ports, so the counts come first.
fn verdict(record: &Record, census: &Census) -> (Verdict, String) {
    let asked = record.case.connections;
    let proved = record.setup.connections_proved;
    let ends = &census.server;
    if proved != Some(asked) || ends.sockets != u64::from(asked) || asked <= PORTS {
        return (Verdict::Inconclusive, why_nothing(record, ends.sockets));
    }
    match ends.local_ports == 1 && ends.local_addresses == 1 {
        true => (
            Verdict::Confirmed,
            format!(
                "{} more than there are port numbers, and the server used one of them",
                whole(f64::from(asked - PORTS))
            ),
        ),
        false => (
            Verdict::Refuted,
            format!(
                "the server's ends have {} local addresses and {} local ports",
                whole(ends.local_addresses as f64),
                whole(ends.local_ports as f64)
            ),
        ),
    }
}

fn why_nothing(record: &Record, sockets: u64) -> String {
    let stopped = record.limiter.as_deref();
    let stopped = stopped.map(|limiter| format!("; what stopped it was {limiter}"));
    format!(
        "of {} connections {} were proved live and {} sockets found, so nothing is concluded{}",
        whole(record.case.connections.into()),
        crowd::in_words(record.setup.connections_proved.map(u64::from)),
        whole(sockets as f64),
        stopped.unwrap_or_default(),
    )
}

fn figures(record: &Record, census: &Census) -> Vec<Figure> {
    let asked = u64::from(record.case.connections);
    let proved = record.setup.connections_proved.map(u64::from);
    let ends = &census.server;
    vec![
        count(
            "connections held at once and proved live",
            asked,
            proved,
            "connections",
        ),
        count(
            "sockets at the server's end",
            asked,
            Some(ends.sockets),
            "sockets",
        ),
        count("local ports of those", 1, Some(ends.local_ports), "port"),
        count(
            "local addresses of those",
            1,
            Some(ends.local_addresses),
            "address",
        ),
        count(
            "client addresses",
            asked.div_ceil(u64::from(record.case.group_connections).max(1)),
            Some(ends.remote_addresses),
            "addresses",
        ),
    ]
}

/// Adds what came of a larger form, or why there is none.
fn add_larger(findings: &mut Findings, asked: u32, whose: &str, run: Result<Record, String>) {
    let form = format!("{} connections, {whose}", whole(asked.into()));
    let proved = match run {
        Ok(record) => {
            let broken = record.error.iter().map(|error| format!("{form}: {error}"));
            findings.notes.extend(broken);
            record.setup.connections_proved.map(u64::from)
        }
        Err(why) => {
            findings.notes.push(format!("{form}, not run: {why}"));
            return;
        }
    };
    if proved == Some(asked.into())
        && let Some(measured) = &mut findings.measured
    {
        let held = format!(
            " {} were held and proved as well ({whose}).",
            whole(asked.into())
        );
        measured.push_str(&held);
    }
    let name = format!("the same, {whose}");
    findings
        .figures
        .push(count(&name, asked.into(), proved, "connections"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::crowd::{fixture, one_port};

    fn judged(change: impl FnOnce(&mut Record, &mut Census)) -> Findings {
        judge(&fixture::changed(change))
    }

    #[test]
    fn more_connections_than_ports_on_one_port_confirm() {
        let found = judged(|_, _| ());
        assert_eq!(found.verdict, Verdict::Confirmed);
        assert!(found.why.starts_with("34,465 more than"), "{}", found.why);
        let is_met = |figure: &Figure| figure.is_exact && figure.predicted == figure.measured;
        assert!(found.figures.iter().all(is_met), "{:?}", found.figures);
        let measured = found.measured.unwrap();
        assert!(
            measured.contains("100,000 sockets at the server's end have 1 local port")
                && measured.ends_with("4 client addresses."),
            "{measured}"
        );
    }

    #[test]
    fn what_is_off_by_one_does_not() {
        type Change = fn(&mut Record, &mut Census);
        let verdict = |change: Change| judged(change).verdict;
        let ports: Change = |_, census| census.server.local_ports = 2;
        let addresses: Change = |_, census| census.server.local_addresses = 2;
        let sockets: Change = |_, census| census.server.sockets -= 1;
        let proved: Change = |record, _| record.setup.connections_proved = Some(99_999);
        assert_eq!(verdict(ports), Verdict::Refuted);
        assert_eq!(verdict(addresses), Verdict::Refuted);
        assert_eq!(verdict(sockets), Verdict::Inconclusive);
        assert_eq!(verdict(proved), Verdict::Inconclusive);
    }

    #[test]
    fn where_nothing_was_proved_or_counted_nothing_is_concluded() {
        let unproved = judged(|record, _| record.setup.connections_proved = None);
        assert_eq!(unproved.verdict, Verdict::Inconclusive);
        let measured = unproved.measured.unwrap();
        assert!(measured.starts_with("an unknown number of"), "{measured}");
        let empty = judged(|_, census| census.server = Default::default());
        assert_eq!(empty.verdict, Verdict::Inconclusive, "no socket has a port");
        let uncounted = judge(&Crowd {
            record: fixture::record(&one_port(100_000)),
            census: Err("EPERM".to_owned()),
        });
        assert_eq!(uncounted.verdict, Verdict::Inconclusive);
        assert!(uncounted.why.ends_with("EPERM"), "{}", uncounted.why);
        assert_eq!(
            uncounted.measured.unwrap(),
            "100,000 connections were proved live."
        );
    }

    #[test]
    fn no_more_connections_than_ports_prove_nothing() {
        let found = |connections: u32| {
            judge(&Crowd {
                record: fixture::record(&one_port(connections)),
                census: Ok(fixture::census(connections.into())),
            })
        };
        assert_eq!(found(65_535).verdict, Verdict::Inconclusive);
        assert_eq!(found(65_536).verdict, Verdict::Confirmed);
    }

    #[test]
    fn a_larger_form_that_is_refused_is_a_note() {
        let mut found = judged(|_, _| ());
        let before = found.figures.len();
        let refusal = Err("memory: too little".to_owned());
        add_larger(&mut found, 5_000_000, "the server's end alone", refusal);
        assert_eq!(
            found.notes,
            ["5,000,000 connections, the server's end alone, not run: memory: too little"]
        );
        let run = fixture::record(&one_port(1_000_000));
        add_larger(&mut found, 1_000_000, "both ends", Ok(run));
        assert_eq!((found.figures.len(), found.notes.len()), (before + 1, 1));
        assert_eq!(found.verdict, Verdict::Confirmed);
    }
}

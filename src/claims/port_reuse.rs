//! One listening port, and a socket of its own for every connection.

use super::crowd::{self, Crowd};
use super::{Claim, Court, Findings, Halt, count};
use crate::publish::format::whole;
use fourtuple_spec::census::Ends;
use fourtuple_spec::claim::Figure;
use fourtuple_spec::{Record, Verdict};

/// How many connections are accepted.
const CONNECTIONS: u32 = 100_000;

/// The claim.
pub const CLAIM: Claim = Claim {
    id: "port-reuse",
    claim: "One listening port carries many connections at the same time, and each of them has a socket of its own.",
    experiment: "100,000 connections are opened to one address and port and held. Meanwhile the kernel is asked for \
                 every TCP socket with that port at either end, and of the server's ends the sockets, local ports, inodes and four-tuples are counted: \
                 an inode is what makes two sockets two.",
    predicted: "100,000 sockets with 100,000 inodes and 100,000 four-tuples, all on one local port.",
    try_it,
};

fn try_it(court: &Court<'_>) -> Result<Findings, Halt> {
    court.needs_private_network()?;
    let crowd = crowd::hold(court, &crowd::one_port(CONNECTIONS))?;
    Ok(judge(&crowd))
}

fn judge(crowd: &Crowd) -> Findings {
    let census = match &crowd.census {
        Ok(census) => census,
        Err(reason) => return crowd::uncounted(&crowd.record, reason),
    };
    let ends = &census.server;
    let asked = u64::from(crowd.record.case.connections);
    let (verdict, why) = verdict(&crowd.record, ends);
    Findings {
        measured: Some(format!(
            "{} accepted connections have {} sockets with {} inodes and {} four-tuples, on {}.",
            crowd::so_many(crowd.record.server.accepted),
            whole(ends.sockets as f64),
            whole(ends.inodes as f64),
            whole(ends.four_tuples as f64),
            local_ports(ends),
        )),
        verdict,
        why,
        figures: figures(asked, &crowd.record, ends),
        evidence: crowd::evidence(census),
        notes: Vec::new(),
    }
}

/// Every count has to be met. Sockets that are not there say nothing of those that are.
fn verdict(record: &Record, ends: &Ends) -> (Verdict, String) {
    let asked = u64::from(record.case.connections);
    let proved = record.setup.connections_proved.map(u64::from);
    let (accepted, sockets) = (record.server.accepted, ends.sockets);
    if [accepted, proved, Some(sockets)] != [Some(asked); 3] {
        let why = format!(
            "of {} connections {} were accepted and {} proved live, and {} of the server's sockets were found, so \
             nothing is concluded",
            whole(asked as f64),
            crowd::in_words(accepted),
            crowd::in_words(proved),
            whole(sockets as f64),
        );
        return (Verdict::Inconclusive, why);
    }
    match ends.local_ports == 1 && ends.inodes == sockets && ends.four_tuples == sockets {
        true => (
            Verdict::Confirmed,
            "as many sockets as connections, on one port: an accepted connection takes no port of the server's"
                .to_owned(),
        ),
        false => (
            Verdict::Refuted,
            format!(
                "{} connections have {} inodes and {} four-tuples, on {}",
                whole(sockets as f64),
                whole(ends.inodes as f64),
                whole(ends.four_tuples as f64),
                local_ports(ends)
            ),
        ),
    }
}

fn figures(asked: u64, record: &Record, ends: &Ends) -> Vec<Figure> {
    vec![
        count(
            "connections accepted",
            asked,
            record.server.accepted,
            "connections",
        ),
        count(
            "sockets of the server's ends",
            asked,
            Some(ends.sockets),
            "sockets",
        ),
        count("their inodes", asked, Some(ends.inodes), "inodes"),
        count(
            "their four-tuples",
            asked,
            Some(ends.four_tuples),
            "four-tuples",
        ),
        count("their local ports", 1, Some(ends.local_ports), "port"),
    ]
}

fn local_ports(ends: &Ends) -> String {
    match ends.local_ports {
        1 => "one local port".to_owned(),
        ports => format!("{} local ports", whole(ports as f64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::crowd::{fixture, one_port};
    use fourtuple_spec::Census;

    fn judged(change: impl FnOnce(&mut Record, &mut Census)) -> Findings {
        judge(&fixture::changed(change))
    }

    #[test]
    fn exact_counts_confirm() {
        let found = judged(|_, _| ());
        assert_eq!(found.verdict, Verdict::Confirmed);
        let is_met = |figure: &Figure| figure.is_exact && figure.predicted == figure.measured;
        assert!(found.figures.len() == 5 && found.figures.iter().all(is_met));
        assert_eq!(
            found.measured.unwrap(),
            "100,000 accepted connections have 100,000 sockets with 100,000 inodes and 100,000 four-tuples, on one \
             local port."
        );
    }

    #[test]
    fn what_is_off_by_one_does_not() {
        let verdict = |change: fn(&mut Census)| judged(|_, census| change(census)).verdict;
        assert_eq!(
            verdict(|census| census.server.local_ports = 2),
            Verdict::Refuted
        );
        assert_eq!(
            verdict(|census| census.server.inodes -= 1),
            Verdict::Refuted
        );
        assert_eq!(
            verdict(|census| census.server.four_tuples -= 1),
            Verdict::Refuted
        );
        assert_eq!(
            verdict(|census| census.server.sockets -= 1),
            Verdict::Inconclusive
        );
        assert_eq!(
            verdict(|census| census.server.sockets += 1),
            Verdict::Inconclusive
        );
    }

    #[test]
    fn a_number_that_is_missing_stays_so() {
        let missing = judged(|record, _| record.server.accepted = None);
        assert_eq!(missing.verdict, Verdict::Inconclusive);
        assert!(missing.why.contains("an unknown number were accepted"));
        let measured = missing.measured.unwrap();
        assert!(
            measured.starts_with("an unknown number of accepted"),
            "{measured}"
        );
        assert_eq!(missing.figures[0].measured, None);
        type Change = fn(&mut Record);
        let verdict = |change: Change| judged(|record, _| change(record)).verdict;
        let fewer: Change = |record| record.server.accepted = Some(99_999);
        let unproved: Change = |record| record.setup.connections_proved = None;
        let dead: Change = |record| record.setup.connections_proved = Some(99_999);
        for change in [fewer, unproved, dead] {
            assert_eq!(verdict(change), Verdict::Inconclusive);
        }
    }

    #[test]
    fn what_was_not_counted_is_not_judged() {
        let found = judge(&Crowd {
            record: fixture::record(&one_port(100_000)),
            census: Err("EPERM".to_owned()),
        });
        assert_eq!(found.verdict, Verdict::Inconclusive);
        assert!(found.why.ends_with("EPERM"));
    }
}

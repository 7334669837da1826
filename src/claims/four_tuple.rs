//! A connection is four numbers: two of its client's and two of its server's.

use super::crowd;
use super::experiment::{self, Attempt, Attempted, Outcome, Request, Source};
use super::{Claim, Court, Findings, Halt, count};
use fourtuple_spec::claim::{Evidence, Figure};
use fourtuple_spec::{Verdict, limiter};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// How many destinations one source has at the same time.
const COUNTS: [u16; 3] = [1, 2, 16];

/// The address and the port that all connections come from.
const SOURCE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40_001);
/// The first of the servers' ports.
const SERVER_PORT: u16 = 7001;

/// The claim.
pub const CLAIM: Claim = Claim {
    id: "four-tuple",
    claim: "A connection is identified by four numbers together: source address, source port, destination address, \
            destination port.",
    experiment: "One source address and port is connected to 1, 2 and 16 destinations at the same time, once to as \
                 many addresses, once to as many ports, and every connection has to echo a number of its own while \
                 all are open. Then a four-tuple that is in use is asked for once more, with SO_REUSEADDR and \
                 without.",
    predicted: "All of them are live. The four-tuple in use is refused: EADDRNOTAVAIL by connect; without \
                SO_REUSEADDR it does not come so far, because bind says EADDRINUSE.",
    try_it,
};

/// In what destinations differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Differ {
    Address,
    Port,
}

impl Differ {
    fn name(self, destinations: u64) -> String {
        let (one, many) = match self {
            Self::Address => ("address", "addresses"),
            Self::Port => ("port", "ports"),
        };
        let word = if destinations == 1 { one } else { many };
        format!("{destinations} {word}")
    }

    fn destination(self, index: u16) -> SocketAddrV4 {
        let first = Ipv4Addr::LOCALHOST;
        match self {
            Self::Address => {
                let address = Ipv4Addr::from_bits(first.to_bits() + u32::from(index));
                SocketAddrV4::new(address, SERVER_PORT)
            }
            Self::Port => SocketAddrV4::new(first, SERVER_PORT + index),
        }
    }
}

/// What came of so many destinations.
struct Tried {
    destinations: u16,
    differ: Differ,
    outcome: Outcome,
}

/// Connections of the largest attempt: to all destinations, and two that ought to be refused.
const CONNECTIONS_MAX: u64 = COUNTS[2] as u64 + 2;

fn try_it(court: &Court<'_>) -> Result<Findings, Halt> {
    court.needs_private_network()?;
    needs_descriptors(experiment::connections_max())?;
    let mut tried = Vec::new();
    for differ in [Differ::Address, Differ::Port] {
        for destinations in COUNTS {
            let outcome = experiment::perform(court, &request(differ, destinations))?;
            tried.push(Tried {
                destinations,
                differ,
                outcome,
            });
        }
    }
    Ok(judge(&tried))
}

/// Where descriptors are too few, what is refused says nothing of four-tuples.
fn needs_descriptors(connections: u64) -> Result<(), Halt> {
    match connections < CONNECTIONS_MAX {
        false => Ok(()),
        true => Err(Halt::NotRun(format!(
            "{} allows {connections} connections with both ends in one process, and {CONNECTIONS_MAX} are needed",
            limiter::DESCRIPTORS,
        ))),
    }
}

/// One connection to each destination, and the first of them again: with SO_REUSEADDR, then without.
fn request(differ: Differ, destinations: u16) -> Request {
    let to = |destination, source| Attempt {
        source,
        destination,
        connections_max: 1,
    };
    let several = Source::GivenToSeveral(SOURCE);
    let mut attempts: Vec<Attempt> = (0..destinations)
        .map(|index| to(differ.destination(index), several))
        .collect();
    let first = differ.destination(0);
    attempts.push(to(first, several));
    attempts.push(to(first, Source::Given(SOURCE)));
    let ports = match differ {
        Differ::Address => 1,
        Differ::Port => destinations,
    };
    Request {
        sysctls: BTreeMap::new(),
        ports: (SERVER_PORT..SERVER_PORT + ports).collect(),
        attempts,
    }
}

impl Tried {
    /// Those to different destinations; the one that was asked for again; the same without SO_REUSEADDR.
    fn parts(&self) -> Option<(&[Attempted], &Attempted, &Attempted)> {
        let [different @ .., again, unshared] = &self.outcome.attempts[..] else {
            return None;
        };
        Some((different, again, unshared))
    }

    fn opened(&self) -> u64 {
        let (different, ..) = self.parts().unwrap_or((&[], NOTHING, NOTHING));
        different.iter().map(|attempt| attempt.opened).sum()
    }

    /// What is not as predicted.
    fn differences(&self) -> Vec<String> {
        let asked = u64::from(self.destinations);
        let to = self.differ.name(asked);
        let mut differences = Vec::new();
        let (different, again, unshared) = self.parts().unwrap_or((&[], NOTHING, NOTHING));
        if self.opened() != asked {
            let refused = different.iter().find(|attempt| attempt.opened == 0);
            let end = refused.map_or_else(String::new, |attempt| format!(" ({})", attempt.end()));
            differences.push(format!("{} connections to {to}{end}", self.opened()));
        }
        if !self.outcome.is_proved() {
            let proved = self.outcome.proved;
            differences.push(format!("{proved} live connections to {to}"));
        }
        if !again.was_refused("connect", "EADDRNOTAVAIL") {
            differences.push(format!("the four-tuple in use: {}", again.end()));
        }
        if !unshared.was_refused("bind", "EADDRINUSE") {
            differences.push(format!("without SO_REUSEADDR: {}", unshared.end()));
        }
        differences
    }

    fn four_tuples(&self) -> u64 {
        let censuses = self.outcome.censuses.iter();
        censuses.map(|census| census.client.four_tuples).sum()
    }

    fn sockets(&self) -> u64 {
        let censuses = self.outcome.censuses.iter();
        censuses.map(|census| census.client.sockets).sum()
    }

    /// What shows that four numbers do not identify a connection.
    fn refutation(&self) -> Option<String> {
        let to = self.differ.name(self.destinations.into());
        let (_, again, unshared) = self.parts()?;
        if again.opened + unshared.opened > 0 {
            return Some(format!(
                "a four-tuple in use was opened once more ({to} beside it)"
            ));
        }
        // Sockets that nobody found have no four-tuples, and refute nothing.
        let (live, found) = (self.outcome.proved, self.four_tuples());
        (found < live && self.sockets() >= live)
            .then(|| format!("{live} live connections to {to} have {found} four-tuples"))
    }
}

fn figures(tried: &[Tried]) -> Vec<Figure> {
    let asked = |tried: &Tried| u64::from(tried.destinations);
    let connections = tried.iter().map(|tried| {
        let name = format!(
            "connections of one source port to {}",
            tried.differ.name(asked(tried))
        );
        count(&name, asked(tried), Some(tried.opened()), "connections")
    });
    let refused = |is_so: fn(&Attempted, &Attempted) -> bool| {
        let parts = tried.iter().filter_map(Tried::parts);
        parts
            .filter(|(_, again, unshared)| is_so(again, unshared))
            .count() as u64
    };
    let four_tuples = tried.iter().map(Tried::four_tuples).sum();
    let repeated = refused(|again, _| again.was_refused("connect", "EADDRNOTAVAIL"));
    let unshared = refused(|_, unshared| unshared.was_refused("bind", "EADDRINUSE"));
    let (all, attempts) = (tried.iter().map(asked).sum(), tried.len() as u64);
    let mut figures: Vec<Figure> = connections.collect();
    figures.extend([
        count(
            "four-tuples of all these connections",
            all,
            Some(four_tuples),
            "four-tuples",
        ),
        count(
            "four-tuples in use that connect refused",
            attempts,
            Some(repeated),
            "refusals",
        ),
        count(
            "the same without SO_REUSEADDR, that bind refused",
            attempts,
            Some(unshared),
            "refusals",
        ),
    ]);
    figures
}

/// What was not answered.
const NOTHING: &Attempted = &Attempted {
    opened: 0,
    refusal: None,
};

fn judge(tried: &[Tried]) -> Findings {
    let figures = figures(tried);
    let mut differences: Vec<String> = tried.iter().flat_map(Tried::differences).collect();
    let off = figures
        .iter()
        .filter(|figure| figure.predicted != figure.measured);
    differences.extend(off.map(|figure| {
        let measured = figure
            .measured
            .map_or("none".to_owned(), |count| count.to_string());
        format!("{}: {measured}", figure.name)
    }));
    let (verdict, why) = verdict(tried, &differences);
    Findings {
        measured: Some(measured(tried)),
        verdict,
        why,
        figures,
        evidence: evidence(tried),
        notes: vec![
            "Whether several sockets may be bound to one address and port is another question than whether a \
             connection is possible: without SO_REUSEADDR, bind refuses the second one, whatever its destination."
                .to_owned(),
        ],
    }
}

fn verdict(tried: &[Tried], differences: &[String]) -> (Verdict, String) {
    let refutations: Vec<String> = tried.iter().filter_map(Tried::refutation).collect();
    if !refutations.is_empty() {
        return (Verdict::Refuted, refutations.join("; "));
    }
    if tried.is_empty() || !differences.is_empty() {
        let why = format!(
            "not as predicted, and nothing that refutes the claim: {}",
            differences.join("; ")
        );
        return (Verdict::Inconclusive, why);
    }
    let why = "one number of four that differs makes another connection, and four that are the same make none";
    (Verdict::Confirmed, why.to_owned())
}

fn measured(tried: &[Tried]) -> String {
    let most = |differ| {
        let of = tried.iter().filter(|tried| tried.differ == differ);
        of.map(Tried::opened).max().unwrap_or(0)
    };
    let mut ends: Vec<String> = (tried.iter())
        .filter_map(|tried| tried.parts().map(|(_, again, _)| again.end()))
        .collect();
    ends.sort();
    ends.dedup();
    let live = match tried.iter().all(|tried| tried.outcome.is_proved()) {
        true => "all live",
        false => "not all live",
    };
    format!(
        "{SOURCE} was connected to {} at the same time, and to {}, {live}. A four-tuple in use: {}.",
        Differ::Address.name(most(Differ::Address)),
        Differ::Port.name(most(Differ::Port)),
        ends.join(", "),
    )
}

fn evidence(tried: &[Tried]) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    let of = |differ, destinations| {
        let is_it = |tried: &&Tried| tried.differ == differ && tried.destinations == destinations;
        tried.iter().find(is_it)
    };
    if let Some(two) = of(Differ::Address, 2) {
        evidence.push(Evidence {
            what: format!(
                "/proc/net/tcp of that network while {SOURCE} has two connections to port {SERVER_PORT}, of 127.0.0.1 \
                 and of 127.0.0.2, as far as the state: 01 is ESTABLISHED, 0A LISTEN"
            ),
            lines: two.outcome.lines.clone(),
        });
    }
    if let Some(most) = of(Differ::Address, 16) {
        let samples = most
            .outcome
            .censuses
            .iter()
            .flat_map(|census| &census.sample);
        evidence.push(Evidence {
            what: format!(
                "While it has 16 connections to as many addresses. {}",
                crowd::sample_words(SERVER_PORT)
            ),
            lines: samples.cloned().collect(),
        });
    }
    evidence
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::experiment::Refusal;
    use fourtuple_spec::Census;

    fn ended(opened: u64, refusal: Option<(&str, &str)>) -> Attempted {
        Attempted {
            opened,
            refusal: refusal.map(|(step, errno)| Refusal {
                step: step.to_owned(),
                errno: errno.to_owned(),
            }),
        }
    }

    /// As it is predicted.
    fn tried(differ: Differ, destinations: u16) -> Tried {
        let mut attempts = vec![ended(1, None); usize::from(destinations)];
        attempts.push(ended(0, Some(("connect", "EADDRNOTAVAIL"))));
        attempts.push(ended(0, Some(("bind", "EADDRINUSE"))));
        let mut census = Census::default();
        census.client.four_tuples = destinations.into();
        census.client.sockets = destinations.into();
        census.sample = vec!["ESTABLISHED".to_owned()];
        Tried {
            destinations,
            differ,
            outcome: Outcome {
                attempts,
                proved: destinations.into(),
                censuses: vec![census],
                lines: vec!["sl".to_owned()],
            },
        }
    }

    fn all() -> Vec<Tried> {
        let of = |differ| COUNTS.map(|destinations| tried(differ, destinations));
        [of(Differ::Address), of(Differ::Port)]
            .into_iter()
            .flatten()
            .collect()
    }

    #[test]
    fn each_destination_is_another_and_the_first_comes_again() {
        for differ in [Differ::Address, Differ::Port] {
            let request = request(differ, 16);
            let to: Vec<SocketAddrV4> = (request.attempts.iter())
                .map(|attempt| attempt.destination)
                .collect();
            let different: std::collections::BTreeSet<_> = to[..16].iter().collect();
            assert_eq!(different.len(), 16);
            assert_eq!((to[16], to[17], to.len()), (to[0], to[0], 18));
            assert!(to.iter().all(|to| request.ports.contains(&to.port())));
            assert!(!request.ports.contains(&SOURCE.port()));
        }
    }

    #[test]
    fn exact_counts_confirm() {
        let found = judge(&all());
        assert_eq!(found.verdict, Verdict::Confirmed, "{}", found.why);
        assert_eq!(
            found.measured.unwrap(),
            "127.0.0.1:40001 was connected to 16 addresses at the same time, and to 16 ports, all live. A four-tuple \
             in use: EADDRNOTAVAIL at connect."
        );
        assert_eq!((found.figures.len(), found.evidence.len()), (9, 2));
        assert!(
            found
                .figures
                .iter()
                .all(|figure| figure.predicted == figure.measured)
        );
    }

    fn judged(change: fn(&mut Outcome)) -> Findings {
        let mut all = all();
        change(&mut all[2].outcome);
        judge(&all)
    }

    #[test]
    fn a_four_tuple_twice_refutes() {
        let why = |change: fn(&mut Outcome)| {
            let found = judged(change);
            assert_eq!(found.verdict, Verdict::Refuted);
            found.why
        };
        let again = "a four-tuple in use was opened once more (16 addresses beside it)";
        let repeated = why(|outcome| {
            outcome.attempts[16] = ended(1, None);
            outcome.proved = 17;
        });
        assert_eq!(repeated, again);
        assert_eq!(why(|outcome| outcome.attempts[17] = ended(1, None)), again);
        let shared = why(|outcome| outcome.censuses[0].client.four_tuples = 15);
        assert_eq!(
            shared,
            "16 live connections to 16 addresses have 15 four-tuples"
        );
    }

    #[test]
    fn descriptors_for_all_of_it_are_needed() {
        assert!(needs_descriptors(18).is_ok());
        match needs_descriptors(17) {
            Err(Halt::NotRun(why)) => assert!(why.contains("17 connections"), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn any_other_difference_decides_nothing_and_is_named() {
        let why = |change: fn(&mut Outcome)| {
            let found = judged(change);
            assert_eq!(found.verdict, Verdict::Inconclusive);
            found.why
        };
        let refused = why(|outcome| {
            outcome.attempts[3] = ended(0, Some(("connect", "ECONNREFUSED")));
            outcome.proved = 15;
        });
        assert!(
            refused.contains("15 connections to 16 addresses (ECONNREFUSED at connect)"),
            "{refused}"
        );
        assert!(why(|outcome| outcome.proved = 15).contains("15 live"));
        let other_errno =
            why(|outcome| outcome.attempts[16] = ended(0, Some(("connect", "ETIMEDOUT"))));
        assert!(
            other_errno.contains("the four-tuple in use: ETIMEDOUT at connect"),
            "{other_errno}"
        );
        assert!(
            why(|outcome| outcome.attempts[17] = ended(0, None)).contains("without SO_REUSEADDR")
        );
        let lost = why(|outcome| {
            outcome.censuses[0].client.four_tuples = 15;
            outcome.censuses[0].client.sockets = 15;
        });
        assert!(lost.contains("four-tuples"), "{lost}");
        why(|outcome| outcome.proved = 0);
        assert_eq!(judge(&[]).verdict, Verdict::Inconclusive);
        assert!(!why(|outcome| outcome.attempts.clear()).is_empty());
    }
}

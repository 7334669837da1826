//! The article on trial: each of its claims is an experiment with a prediction made before it.
//!
//! A claim is a file: its words, its prediction, and how it is tried. What a claim is tried with is the [`Court`].

mod census;
mod client_ports;
mod columns;
mod comfortable;
mod court;
mod crowd;
mod descriptors;
pub mod experiment;
mod four_tuple;
mod memory;
mod port_reuse;
mod server_ports;
mod text;
mod two_to_48;

pub use court::{Court, Findings, Halt};
pub use text::{claim_text, verdicts_text};

use fourtuple_spec::claim::Figure;
use fourtuple_spec::plan::nearest;
use fourtuple_spec::{TriedClaim, Verdict};

/// A claim, and how to try it.
pub struct Claim {
    /// Its name on the command line.
    pub id: &'static str,
    /// What is said, in our words.
    pub claim: &'static str,
    /// What is done to find out.
    pub experiment: &'static str,
    /// What is predicted, before it is done.
    pub predicted: &'static str,
    /// Does it.
    pub try_it: fn(&Court<'_>) -> Result<Findings, Halt>,
}

/// The claims, in the order in which they are tried.
pub static CLAIMS: [Claim; 8] = [
    server_ports::CLAIM,
    four_tuple::CLAIM,
    client_ports::CLAIM,
    port_reuse::CLAIM,
    two_to_48::CLAIM,
    descriptors::CLAIM,
    memory::CLAIM,
    comfortable::CLAIM,
];

/// The claims of these names, or all if there are none, in their order and each once.
///
/// # Errors
/// A name that no claim has, in words, with the names that there are.
pub fn chosen(ids: &[String]) -> Result<Vec<&'static Claim>, String> {
    let names: Vec<&str> = CLAIMS.iter().map(|claim| claim.id).collect();
    if let Some(unknown) = ids.iter().find(|id| !names.contains(&id.as_str())) {
        let meant = nearest(unknown, &names)
            .map_or(String::new(), |name| format!(" (did you mean \"{name}\"?)"));
        return Err(format!(
            "no claim is called \"{unknown}\"{meant}; there are: {}",
            names.join(", ")
        ));
    }
    let is_chosen = |claim: &&Claim| ids.is_empty() || ids.iter().any(|id| id == claim.id);
    Ok(CLAIMS.iter().filter(is_chosen).collect())
}

/// Where a claim stands among all of them; those of another version of this program come last.
pub fn place(id: &str) -> usize {
    let known = CLAIMS.iter().position(|claim| claim.id == id);
    known.unwrap_or(CLAIMS.len())
}

impl Claim {
    /// The claim as it was tried.
    pub fn tried(&self, findings: Findings, records: Vec<u32>, seconds: f64) -> TriedClaim {
        TriedClaim {
            id: self.id.to_owned(),
            claim: self.claim.to_owned(),
            experiment: self.experiment.to_owned(),
            predicted: self.predicted.to_owned(),
            measured: findings.measured,
            verdict: findings.verdict,
            why: findings.why,
            figures: findings.figures,
            evidence: findings.evidence,
            notes: findings.notes,
            records,
            seconds,
            tried_at: String::new(),
            command: Vec::new(),
            is_full: false,
        }
    }
}

/// The words of a verdict that was not reached.
pub fn not_run(why: impl Into<String>) -> Findings {
    Findings {
        verdict: Verdict::NotRun,
        why: why.into(),
        ..Findings::default()
    }
}

/// The words of an experiment that was begun and did not get to its end.
pub fn broken_off(why: &str) -> Findings {
    Findings {
        verdict: Verdict::Inconclusive,
        why: format!("it was tried and broke off: {why}"),
        ..Findings::default()
    }
}

/// A count that has to be met exactly.
pub fn count(name: &str, predicted: u64, measured: Option<u64>, unit: &str) -> Figure {
    Figure {
        name: name.to_owned(),
        predicted: Some(predicted as f64),
        measured: measured.map(|count| count as f64),
        unit: unit.to_owned(),
        is_exact: true,
    }
}

/// A number that is no count.
pub fn number(name: &str, predicted: Option<f64>, measured: Option<f64>, unit: &str) -> Figure {
    Figure {
        name: name.to_owned(),
        predicted,
        measured,
        unit: unit.to_owned(),
        is_exact: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ids: &[&str]) -> Result<Vec<&'static str>, String> {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        Ok(chosen(&ids)?.iter().map(|claim| claim.id).collect())
    }

    #[test]
    fn claims_are_chosen_in_their_order_and_once() {
        assert_eq!(names(&[]).unwrap().len(), CLAIMS.len());
        assert_eq!(
            names(&["port-reuse", "server-ports", "port-reuse"]).unwrap(),
            ["server-ports", "port-reuse"]
        );
    }

    #[test]
    fn an_unknown_claim_is_refused_with_the_one_that_was_meant() {
        let said = names(&["server-ports", "port-resue"]).unwrap_err();
        assert!(
            said.starts_with("no claim is called \"port-resue\" (did you mean \"port-reuse\"?)"),
            "{said}"
        );
        assert!(said.contains("server-ports, "), "{said}");
        assert!(!names(&["tides"]).unwrap_err().contains("did you mean"));
    }

    #[test]
    fn what_broke_off_was_tried_and_decides_nothing() {
        let findings = broken_off("epoll × 10 failed: it stopped");
        let tried = CLAIMS[0].tried(findings, vec![3], 1.0);
        assert_eq!(tried.verdict, Verdict::Inconclusive);
        assert!(tried.why.contains("epoll × 10 failed: it stopped"));
        assert_eq!((tried.measured, tried.records), (None, vec![3]));
    }

    #[test]
    fn every_claim_is_in_the_help_and_has_a_name_of_its_own() {
        for (index, claim) in CLAIMS.iter().enumerate() {
            let line = format!("\n  {:<14} ", claim.id);
            assert!(
                crate::cli::help::CLAIMS_HELP.contains(&line),
                "{}",
                claim.id
            );
            assert_eq!(place(claim.id), index);
        }
        assert_eq!(place("of-another-version"), CLAIMS.len());
    }
}

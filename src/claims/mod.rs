//! The article on trial: each of its claims is an experiment with a prediction made before it.

mod court;

pub use court::{Court, Findings, Halt};

use fourtuple_spec::Verdict;

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
pub const CLAIMS: [Claim; 0] = [];

/// The words of a verdict that was not reached.
pub fn not_run(why: impl Into<String>) -> Findings {
    Findings {
        verdict: Verdict::NotRun,
        why: why.into(),
        ..Findings::default()
    }
}

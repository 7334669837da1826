//! Claims on trial: what was said, what was predicted, what was measured, and the verdict.

use crate::record::Host;
use serde::{Deserialize, Serialize};

/// The version of the shape of [`Trial`]. It changes when a key changes its meaning or goes away.
pub const TRIAL_SCHEMA_VERSION: u32 = 1;

/// What an experiment says of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds.
    Confirmed,
    /// It does not.
    Refuted,
    /// It leaves out what decides whether it holds.
    Incomplete,
    /// The experiment was made, and what came of it decides nothing: a count that was not met for another reason, a
    /// difference that is as large as the noise, a run that broke off.
    Inconclusive,
    /// The experiment could not be made here.
    NotRun,
}

impl Verdict {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Incomplete => "incomplete",
            Self::Inconclusive => "inconclusive",
            Self::NotRun => "not run",
        }
    }
}

/// A number that an experiment was made for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is of, in words: `connections to one destination`.
    pub name: String,
    /// What was predicted; `null` is nothing.
    pub predicted: Option<f64>,
    /// What was measured; `null` is nothing.
    pub measured: Option<f64>,
    /// `connections`, `B`, `s`, `ns`, `share`, …; empty is a plain number.
    pub unit: String,
    /// Whether it is a count, which has to be met exactly.
    pub is_exact: bool,
}

/// What shows it: lines as the kernel or a program printed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What the lines are.
    pub what: String,
    /// The lines.
    pub lines: Vec<String>,
}

/// One claim, tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriedClaim {
    /// Its name: `server-ports`.
    pub id: String,
    /// What is said, in our words.
    pub claim: String,
    /// What is done to find out, in a few sentences.
    pub experiment: String,
    /// What was predicted before.
    pub predicted: String,
    /// What was measured, in a sentence or two with the numbers in them; `null` if the experiment was not made.
    pub measured: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why that is the verdict, or why the experiment was not made.
    pub why: String,
    /// The numbers.
    pub figures: Vec<Figure>,
    /// What shows them.
    pub evidence: Vec<Evidence>,
    /// What a reader should know before quoting it.
    pub notes: Vec<String>,
    /// How many records of runs it rests on, and which: their places in `records.jsonl`, from 0.
    pub records: Vec<u32>,
    /// How long it took.
    pub seconds: f64,
    /// When it was tried: RFC 3339, UTC. Claims of one trial may have been tried apart.
    #[serde(default)]
    pub tried_at: String,
    /// The command line that tried it.
    #[serde(default)]
    pub command: Vec<String>,
    /// Whether its million-sized form was run.
    #[serde(default)]
    pub is_full: bool,
}

/// Claims, tried together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// [`TRIAL_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// When the first of its claims was tried: RFC 3339, UTC.
    pub started_at: String,
    /// The command line that tried the last of them; each claim has its own.
    pub command: Vec<String>,
    /// The machine.
    pub host: Host,
    /// Whether the million-sized forms of all of them were run.
    pub is_full: bool,
    /// How long all of it took.
    pub seconds: f64,
    /// The claims, in their order.
    pub claims: Vec<TriedClaim>,
}

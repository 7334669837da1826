//! What can be wrong with a plan or a request, each said with what is allowed instead.

use crate::engine::{Engine, UnknownEngine};

/// Why a plan or a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A problem, and the line of the plan file that has it.
    #[error("{file}, line {line}: {problem}")]
    At {
        /// The plan file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        problem: Box<PlanError>,
    },
    /// Not TOML.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// A key that means nothing.
    #[error("unknown key {key:?}; {hint}keys here are {known}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The nearest known key, as a question, or nothing.
        hint: String,
        /// Every key that may stand there.
        known: String,
    },
    /// A key that must be there and is not.
    #[error("{key} is missing: {why}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// A value of the wrong kind.
    #[error("{key}: {problem}")]
    WrongValue {
        /// The key.
        key: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// A number outside its bounds.
    #[error("{key} is {given}; allowed is {least} to {most}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// The number.
        given: i128,
        /// The least that is allowed.
        least: u64,
        /// The most that is allowed.
        most: u64,
    },
    /// A name that is no engine's.
    #[error(transparent)]
    UnknownEngine(#[from] UnknownEngine),
    /// Keys that do not go together.
    #[error("{0}")]
    Conflict(String),
    /// A list with nothing in it.
    #[error("{key} is an empty list: give at least one value, or leave the key out")]
    EmptyList {
        /// The key.
        key: String,
    },
    /// A core that is named twice.
    #[error("{key} names core {core} twice: a core can hold one thread of a run")]
    DuplicateCore {
        /// The key.
        key: &'static str,
        /// The core.
        core: u32,
    },
    /// The A/A arm is of an engine that no sweep has.
    #[error("control = \"{engine}\", but no sweep has that engine: add it, or name one of theirs")]
    ControlUnused {
        /// The engine.
        engine: Engine,
    },
    /// The cross product is out of hand.
    #[error("this sweep has {given} combinations; at most {most} are allowed: split it")]
    TooMany {
        /// How many it has.
        given: usize,
        /// How many are allowed.
        most: usize,
    },
}

impl PlanError {
    /// The same error with its place in a file.
    pub(super) fn at(self, file: &str, line: usize) -> Self {
        Self::At {
            file: file.to_owned(),
            line,
            problem: Box::new(self),
        }
    }
}

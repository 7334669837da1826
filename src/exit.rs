//! How the command ends: four statuses, and the errors that lead to them.

use std::fmt;

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for was done.
    Done = 0,
    /// The answer is no: not enough memory, a run whose numbers must not be quoted.
    No = 1,
    /// The words were wrong: a flag, a plan, a core that does not exist.
    Words = 2,
    /// A run failed, or what it needs could not be had.
    Failed = 3,
    /// Interrupted: 128 and SIGINT, as shells have it.
    Interrupted = 130,
}

/// An error with the exit status that it leads to.
#[derive(Debug)]
pub struct Ended {
    /// The status.
    pub exit: Exit,
    /// What failed and what to do; nothing if it has been said already.
    pub message: Option<String>,
}

impl Ended {
    /// The answer is no.
    pub fn no(message: impl fmt::Display) -> Self {
        Self::new(Exit::No, message)
    }

    /// The words were wrong.
    pub fn words(message: impl fmt::Display) -> Self {
        Self::new(Exit::Words, message)
    }

    /// Something that was needed could not be had.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Interrupted by a signal.
    pub fn interrupted(message: impl fmt::Display) -> Self {
        Self::new(Exit::Interrupted, message)
    }

    fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            message: Some(message.to_string()),
        }
    }
}

impl From<anyhow::Error> for Ended {
    fn from(error: anyhow::Error) -> Self {
        Self::failed(format!("{error:#}"))
    }
}

//! One rung of the ladder: a limit, what it is, and how many connections it allows.

use serde::Serialize;

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The server's.
    Server,
    /// The client's.
    Client,
    /// Of everything on this machine together.
    Both,
}

/// How far a limit's power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One process.
    Process,
    /// All processes of a user.
    User,
    /// A control group.
    Group,
    /// A network namespace.
    Network,
    /// The machine.
    Machine,
}

/// How many connections a limit allows on top of those that there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allows {
    /// So many.
    Connections(u64),
    /// Any number: it is switched off, or what is asked about is exempt from it; why.
    Any(String),
    /// Any number, because it bounds something else: how fast they may come, what may be unread, how long a look-up
    /// takes; what that is.
    Other(String),
    /// It could not be read; why.
    Unknown(String),
}

/// How to raise a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// The exact command that raises it now, for what was asked, or twice what there is if nothing was; without `sudo`. `None` if no command can.
    pub now: Option<String>,
    /// Whether that command is enough for what was asked.
    pub suffices: bool,
    /// The form that lasts: a line and the file that it goes to.
    pub lasting: Option<String>,
    /// What there is to know: who may, or what else to do.
    pub advice: Option<String>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rung {
    /// Its name: one of [`fourtuple_spec::limiter`].
    pub limit: &'static str,
    /// Whose.
    pub side: Side,
    /// How far it reaches.
    pub scope: Scope,
    /// Its value in words: `20,000 soft, 20,000 hard`; `None` if it could not be read.
    pub value: Option<String>,
    /// What of it is used now, in words.
    pub used: Option<String>,
    /// How many connections it allows.
    pub allows: Allows,
    /// Where it was read: `/proc/self/limits`.
    pub read_from: String,
    /// What it looks like when it is met: `EMFILE`, silence, ….
    pub symptom: &'static str,
    /// How to raise it.
    pub remedy: Remedy,
}

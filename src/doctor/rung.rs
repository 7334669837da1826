//! One rung of the ladder: a limit, what it is, and how many connections it allows.

use super::number::{count, counted};
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
    /// The exact command that raises it now, for what was asked, or twice what there is if nothing was; without `sudo`.
    /// `None` if no command can.
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

impl Rung {
    /// Its name and whose it is: `RLIMIT_NOFILE of the server`.
    pub fn name(&self) -> String {
        match self.side {
            Side::Server => format!("{} of the server", self.limit),
            Side::Client => format!("{} of the client", self.limit),
            Side::Both => self.limit.to_owned(),
        }
    }

    /// Why so many more connections cannot be, and what to do, in one sentence. The remedy is the one for what was
    /// asked: a question is asked with the connections that it is about.
    pub fn refusal(&self, connections: u64) -> String {
        let value = match (&self.value, &self.used) {
            (Some(value), Some(used)) => format!(" is {value} ({used})"),
            (Some(value), None) => format!(" is {value}"),
            (None, Some(used)) => format!(" ({used})"),
            (None, None) => String::new(),
        };
        let allows = match self.allows {
            Allows::Connections(0) => "no more connections".to_owned(),
            Allows::Connections(1) => "1 more connection".to_owned(),
            Allows::Connections(room) => format!("{} more connections", count(room)),
            _ => "any number of connections".to_owned(),
        };
        let wanted = counted(connections, "is wanted", "are wanted");
        let now = self.remedy.now.as_ref().map(|now| format!("`{now}`"));
        let parts: Vec<String> = now.into_iter().chain(self.remedy.advice.clone()).collect();
        let end = match parts.is_empty() {
            true => String::new(),
            false => format!(": {}", parts.join("; ")),
        };
        format!("{}{value}: it allows {allows}, {wanted}{end}", self.name())
    }
}

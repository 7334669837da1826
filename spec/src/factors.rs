//! How an engine does what it does, one factor at a time: accepting, receiving, sending, waiting.
//!
//! The defaults are the engine as it is meant to be used. An ablation differs from them in exactly one
//! factor, and an arm's name says in which.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;

/// Completions that a wait may ask for.
pub const WAIT: RangeInclusive<u32> = 1..=4096;
/// Microseconds that a server may watch before it sleeps.
pub const SPIN_US: RangeInclusive<u32> = 0..=1_000_000;

/// How connections are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// One request, many connections.
    #[default]
    Multishot,
    /// A request a connection.
    Oneshot,
}

/// How a connection waits for data and gets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Receive {
    /// One receive stays armed, many completions.
    #[default]
    Multishot,
    /// A receive is armed for each completion.
    Oneshot,
    /// A poll stays armed, and a receive is made when there is data: the engine `uring-poll`.
    Poll,
    /// As multishot, and one completion may fill several buffers (Linux 6.10).
    Bundle,
}

/// Where what is received lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Buffers {
    /// In a ring of buffers that all connections share; each receive takes a whole one.
    #[default]
    Ring,
    /// In a ring of large buffers that receives take piece by piece (Linux 6.12).
    RingIncremental,
    /// In a registered buffer of each connection's own.
    Fixed,
}

/// Where endpoints live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DescriptorKind {
    /// In the ring's own table.
    #[default]
    Direct,
    /// In the process's: an ordinary descriptor each.
    Plain,
}

/// When the kernel runs what completes a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taskrun {
    /// When the server asks for completions, and not before (Linux 6.1).
    #[default]
    Defer,
    /// When the server enters the kernel for whatever reason (Linux 5.19).
    Coop,
    /// At once: the server is interrupted.
    Default,
}

/// How echoes are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Send {
    /// Copied into the socket.
    #[default]
    Send,
    /// From the server's own pages, which the kernel gives back later (Linux 6.0).
    ZeroCopy,
    /// Several buffers by one request, from a buffer ring of each connection's own (Linux 6.10).
    Bundle,
}

/// Every factor of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Factors {
    /// How connections are accepted.
    pub accept: Accept,
    /// How a connection waits for data and gets it.
    pub recv: Receive,
    /// Where what is received lies.
    pub buffers: Buffers,
    /// Where endpoints live.
    pub descriptors: DescriptorKind,
    /// When the kernel runs what completes a request.
    pub taskrun: Taskrun,
    /// A kernel thread takes submissions: no system call for them, and a core that is always busy.
    pub sqpoll: bool,
    /// How echoes are sent.
    pub send: Send,
    /// Completions that a wait asks for; with more than 1, for 50 µs at most, then for one.
    pub wait: u32,
    /// Microseconds that the server watches for the next event before it sleeps.
    pub spin: u32,
}

impl Default for Factors {
    fn default() -> Self {
        Self {
            accept: Accept::default(),
            recv: Receive::default(),
            buffers: Buffers::default(),
            descriptors: DescriptorKind::default(),
            taskrun: Taskrun::default(),
            sqpoll: false,
            send: Send::default(),
            wait: 1,
            spin: 0,
        }
    }
}

/// The name of each factor, as plans and flags have it.
pub const NAMES: [&str; 9] = [
    "accept",
    "recv",
    "buffers",
    "descriptors",
    "taskrun",
    "sqpoll",
    "send",
    "wait",
    "spin",
];

impl Factors {
    /// Each factor that is not the default: its name, and its value as a plan writes it.
    pub fn differences(&self) -> Vec<(&'static str, String)> {
        let default = Self::default();
        let written = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        let table = |factors: &Self| serde_json::to_value(factors).unwrap_or_default();
        let (own, usual) = (table(self), table(&default));
        NAMES
            .into_iter()
            .filter(|name| own[name] != usual[name])
            .map(|name| (name, written(own[name].clone())))
            .collect()
    }

    /// Whether every factor is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What is not the default: `recv = oneshot, spin = 50`; nothing if all is.
impl fmt::Display for Factors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self
            .differences()
            .into_iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        f.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_said() {
        assert_eq!(Factors::default().to_string(), "");
        let factors = Factors {
            recv: Receive::Oneshot,
            buffers: Buffers::RingIncremental,
            spin: 50,
            ..Factors::default()
        };
        assert_eq!(
            factors.to_string(),
            "recv = oneshot, buffers = ring-incremental, spin = 50"
        );
    }

    #[test]
    fn every_factor_has_its_name() {
        let all = serde_json::to_value(Factors::default()).unwrap();
        let keys = all.as_object().unwrap();
        assert_eq!(keys.len(), NAMES.len());
        assert!(NAMES.iter().all(|name| keys.contains_key(*name)));
    }
}

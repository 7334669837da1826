//! The engines by name, and what each needs. One row an engine.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One way of serving echoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Multishot accept and receive, provided buffers, direct descriptors.
    Uring,
    /// The same with multishot poll while a connection is idle, and a receive only when there is data.
    UringPoll,
    /// Multishot receive for connections that are busy, multishot poll for those that are idle.
    UringHybrid,
    /// A level-triggered epoll loop with one shared hot buffer.
    Epoll,
    /// The same, edge-triggered.
    EpollEt,
    /// The same, told of events by a ring that waits in epoll (Linux 6.15).
    EpollInRing,
    /// A thread a connection, blocking calls.
    Threads,
    /// mio's own loop: edge-triggered epoll behind its `Poll`.
    Mio,
    /// tokio's current-thread runtime, one task a connection.
    Tokio,
    /// tokio's multi-thread runtime, one task a connection.
    TokioMulti,
    /// monoio, a runtime on io_uring: one task a connection.
    Monoio,
    /// glommio, a runtime on io_uring: one task a connection.
    Glommio,
    /// compio, a runtime on io_uring: one task a connection.
    Compio,
    /// Another program, started by a command: see [`crate::case::Foreign`].
    Foreign,
    /// Non-blocking `recv`/`send` over every connection in turn, no event loop: the floor.
    Spin,
    /// Both ends of every connection in one thread on one core: what the TCP stack alone costs.
    Stack,
    /// Accepts and holds, never arms: the control of the memory ledger.
    Null,
}

/// Where an engine keeps its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descriptors {
    /// In a ring's table: no process descriptor, so RLIMIT_NOFILE bounds the table and not the count.
    Direct,
    /// One process descriptor an endpoint: past RLIMIT_NOFILE the engine is sharded over processes.
    Process,
}

/// What an engine is compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What the program is about: this project's own servers on io_uring.
    Subject,
    /// What people would otherwise use.
    Baseline,
    /// What no server can be better than: TCP without an event loop.
    Floor,
    /// The control of the memory ledger.
    Control,
}

/// What the rest of the program has to know about an engine.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The engine.
    pub engine: Engine,
    /// Its name in plans, on the command line, in records and on charts.
    pub name: &'static str,
    /// One line for `--help` and reports.
    pub summary: &'static str,
    /// What it is compared as.
    pub role: Role,
    /// Which factors it has; a case that asks for another is refused.
    pub factors: &'static [&'static str],
    /// The Cargo feature that it is built with, if it is not always there.
    pub feature: Option<&'static str>,
    /// Where its endpoints live.
    pub descriptors: Descriptors,
    /// Whether it needs io_uring.
    pub needs_io_uring: bool,
    /// Kernel memory of a connection, both ends: what it took at a million, or else at 100,000, rounded up. To
    /// plan with, before anything is measured.
    pub kernel_bytes_per_pair: u32,
    /// The same of the server's end alone, as ghost peers have it: accepted and armed, from the price list.
    pub kernel_bytes_per_endpoint: u32,
    /// User memory that the server keeps for a connection, about: to plan with, before anything is measured.
    pub user_bytes_per_connection: u32,
    /// Whether it answers. An engine that does not is a control: no rate, no latency.
    pub echoes: bool,
}

/// The factors of the engines that poll while a connection is idle: they receive as their names say.
const POLLING_FACTORS: [&str; 6] = ["accept", "descriptors", "taskrun", "sqpoll", "wait", "spin"];

/// Every engine, in the order in which reports list them.
pub const PROFILES: [Profile; 17] = [
    Profile {
        engine: Engine::Uring,
        name: "uring",
        summary: "io_uring: multishot accept and recv, provided buffers, direct descriptors",
        role: Role::Subject,
        factors: &crate::factors::NAMES,
        feature: None,
        descriptors: Descriptors::Direct,
        needs_io_uring: true,
        kernel_bytes_per_pair: 8750,
        kernel_bytes_per_endpoint: 4825,
        user_bytes_per_connection: 8,
        echoes: true,
    },
    Profile {
        engine: Engine::UringPoll,
        name: "uring-poll",
        summary: "io_uring: multishot poll while idle, recv on demand: fewest bytes a connection",
        role: Role::Subject,
        factors: &POLLING_FACTORS,
        feature: None,
        descriptors: Descriptors::Direct,
        needs_io_uring: true,
        kernel_bytes_per_pair: 8130,
        kernel_bytes_per_endpoint: 4212,
        user_bytes_per_connection: 8,
        echoes: true,
    },
    Profile {
        engine: Engine::UringHybrid,
        name: "uring-hybrid",
        summary: "io_uring: multishot recv for busy connections, multishot poll for idle ones",
        role: Role::Subject,
        factors: &POLLING_FACTORS,
        feature: None,
        descriptors: Descriptors::Direct,
        needs_io_uring: true,
        kernel_bytes_per_pair: 8140,
        kernel_bytes_per_endpoint: 4221,
        user_bytes_per_connection: 8,
        echoes: true,
    },
    Profile {
        engine: Engine::Epoll,
        name: "epoll",
        summary: "epoll: level-triggered, one shared hot buffer, large event array",
        role: Role::Baseline,
        factors: &["spin"],
        feature: None,
        descriptors: Descriptors::Process,
        needs_io_uring: false,
        kernel_bytes_per_pair: 8230,
        kernel_bytes_per_endpoint: 4262,
        user_bytes_per_connection: 5,
        echoes: true,
    },
    Profile {
        engine: Engine::EpollEt,
        name: "epoll-et",
        summary: "epoll: edge-triggered, receives until there is nothing left",
        role: Role::Baseline,
        factors: &["spin"],
        feature: None,
        descriptors: Descriptors::Process,
        needs_io_uring: false,
        kernel_bytes_per_pair: 8230,
        kernel_bytes_per_endpoint: 4262,
        user_bytes_per_connection: 5,
        echoes: true,
    },
    Profile {
        engine: Engine::EpollInRing,
        name: "epoll-in-ring",
        summary: "epoll: a ring waits in it and reports its events",
        role: Role::Baseline,
        factors: &["spin"],
        feature: None,
        descriptors: Descriptors::Process,
        needs_io_uring: true,
        kernel_bytes_per_pair: 8230,
        kernel_bytes_per_endpoint: 4262,
        user_bytes_per_connection: 5,
        echoes: true,
    },
    Profile {
        engine: Engine::Threads,
        name: "threads",
        summary: "a thread a connection, blocking recv and send",
        role: Role::Baseline,
        factors: &[],
        feature: None,
        descriptors: Descriptors::Process,
        needs_io_uring: false,
        kernel_bytes_per_pair: 37500,
        kernel_bytes_per_endpoint: 33500,
        user_bytes_per_connection: 14500,
        echoes: true,
    },
    Profile {
        engine: Engine::Mio,
        name: "mio",
        summary: "mio: its Poll and TcpStream, one shared buffer",
        role: Role::Baseline,
        factors: &[],
        feature: None,
        descriptors: Descriptors::Process,
        needs_io_uring: false,
        kernel_bytes_per_pair: 8230,
        kernel_bytes_per_endpoint: 4262,
        user_bytes_per_connection: 95,
        echoes: true,
    },
    Profile {
        engine: Engine::Tokio,
        name: "tokio",
        summary: "tokio: current-thread runtime, a task and a buffer a connection",
        role: Role::Baseline,
        factors: &[],
        feature: None,
        descriptors: Descriptors::Process,
        needs_io_uring: false,
        kernel_bytes_per_pair: 8240,
        kernel_bytes_per_endpoint: 4345,
        user_bytes_per_connection: 5_000,
        echoes: true,
    },
    Profile {
        engine: Engine::TokioMulti,
        name: "tokio-multi",
        summary: "tokio: multi-thread runtime, a task and a buffer a connection",
        role: Role::Baseline,
        factors: &[],
        feature: None,
        descriptors: Descriptors::Process,
        needs_io_uring: false,
        kernel_bytes_per_pair: 8240,
        kernel_bytes_per_endpoint: 4345,
        user_bytes_per_connection: 5100,
        echoes: true,
    },
    Profile {
        engine: Engine::Monoio,
        name: "monoio",
        summary: "monoio: a runtime on io_uring, a task and a buffer a connection",
        role: Role::Baseline,
        factors: &[],
        feature: Some("runtimes"),
        descriptors: Descriptors::Process,
        needs_io_uring: true,
        kernel_bytes_per_pair: 8800,
        kernel_bytes_per_endpoint: 4825,
        user_bytes_per_connection: 4800,
        echoes: true,
    },
    Profile {
        engine: Engine::Glommio,
        name: "glommio",
        summary: "glommio: a runtime on io_uring, a task and a buffer a connection",
        role: Role::Baseline,
        factors: &[],
        feature: Some("runtimes"),
        descriptors: Descriptors::Process,
        needs_io_uring: true,
        kernel_bytes_per_pair: 8800,
        kernel_bytes_per_endpoint: 4825,
        user_bytes_per_connection: 5000,
        echoes: true,
    },
    Profile {
        engine: Engine::Compio,
        name: "compio",
        summary: "compio: a runtime on io_uring, a task and a buffer a connection",
        role: Role::Baseline,
        factors: &[],
        feature: Some("runtimes"),
        descriptors: Descriptors::Process,
        needs_io_uring: true,
        kernel_bytes_per_pair: 8800,
        kernel_bytes_per_endpoint: 4825,
        user_bytes_per_connection: 5000,
        echoes: true,
    },
    Profile {
        engine: Engine::Foreign,
        name: "foreign",
        summary: "another program, started by a command: see `--server-command`",
        role: Role::Baseline,
        factors: &[],
        feature: None,
        descriptors: Descriptors::Process,
        needs_io_uring: false,
        kernel_bytes_per_pair: 8500,
        kernel_bytes_per_endpoint: 4400,
        user_bytes_per_connection: 8000,
        echoes: true,
    },
    Profile {
        engine: Engine::Spin,
        name: "spin",
        summary: "the floor: non-blocking recv and send in turn, no event loop, a core always busy",
        role: Role::Floor,
        factors: &[],
        feature: None,
        descriptors: Descriptors::Process,
        needs_io_uring: false,
        kernel_bytes_per_pair: 7870,
        kernel_bytes_per_endpoint: 3950,
        user_bytes_per_connection: 20,
        echoes: true,
    },
    Profile {
        engine: Engine::Stack,
        name: "stack",
        summary: "the cost of TCP alone: both ends in one thread on one core, nobody waits",
        role: Role::Floor,
        factors: &[],
        feature: None,
        descriptors: Descriptors::Process,
        needs_io_uring: false,
        kernel_bytes_per_pair: 7870,
        kernel_bytes_per_endpoint: 3950,
        user_bytes_per_connection: 20,
        echoes: true,
    },
    Profile {
        engine: Engine::Null,
        name: "null",
        summary: "the memory control: accepts and holds, never arms, never answers",
        role: Role::Control,
        factors: &[],
        feature: None,
        descriptors: Descriptors::Direct,
        needs_io_uring: true,
        kernel_bytes_per_pair: 7870,
        kernel_bytes_per_endpoint: 3950,
        user_bytes_per_connection: 5,
        echoes: false,
    },
];

impl Engine {
    /// The row that describes this engine.
    pub fn profile(self) -> &'static Profile {
        PROFILES
            .iter()
            .find(|profile| profile.engine == self)
            .expect("every engine has a row")
    }

    /// The engine's name.
    pub fn name(self) -> &'static str {
        self.profile().name
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no engine's.
#[derive(Debug, thiserror::Error)]
#[error("unknown engine {given:?}; {hint}engines are {known}")]
pub struct UnknownEngine {
    given: String,
    hint: String,
    known: String,
}

impl FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(given: &str) -> Result<Self, UnknownEngine> {
        if let Some(profile) = PROFILES.iter().find(|profile| profile.name == given) {
            return Ok(profile.engine);
        }
        let names: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
        Err(UnknownEngine {
            given: given.to_owned(),
            hint: crate::plan::nearest(given, &names)
                .map_or(String::new(), |name| format!("did you mean {name:?}? ")),
            known: names.join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_names_itself_and_parses_back() {
        for profile in &PROFILES {
            assert_eq!(profile.name.parse::<Engine>().unwrap(), profile.engine);
            let json = serde_json::to_string(&profile.engine).unwrap();
            assert_eq!(json, format!("{:?}", profile.name));
        }
    }

    #[test]
    fn the_servers_end_is_about_half_of_a_pair() {
        for profile in &PROFILES {
            let share = f64::from(profile.kernel_bytes_per_endpoint)
                / f64::from(profile.kernel_bytes_per_pair);
            // A thread's stack is the server's alone.
            let most = if profile.engine == Engine::Threads {
                0.9
            } else {
                0.56
            };
            assert!((0.49..most).contains(&share), "{}: {share}", profile.name);
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let error = "urin".parse::<Engine>().unwrap_err().to_string();
        assert!(error.contains("did you mean \"uring\"?"), "{error}");
    }
}

//! What the doctor answers: the ladder of each end that was asked about, and all that it rests on.

use super::measured::Ends;
use super::of_case::question_of;
use super::question::{Binding, Connecting, EachBytes, Question, Serving, Takes};
use super::{Allows, Clearing, Ladder, Rung, examine};
use fourtuple_spec::plan::{CaseDefaults, CaseRequest};
use fourtuple_spec::{Engine, Limits};
use serde::Serialize;
use serde_json::{Value, json};

/// The version of the shape of [`Answer::to_json`]. It changes when a key changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// The backlog that this program's servers listen with.
const BACKLOG: u64 = 4096;

/// What a plain server has open beside connections and standard streams: its listener, and what it waits with.
const SERVER_DESCRIPTORS: u64 = 2;

/// The same of a client: what it waits with.
const CLIENT_DESCRIPTORS: u64 = 1;

/// What was asked on the command line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// How many more; `None` is how many there can be.
    pub connections: Option<u64>,
    /// Whether the server's end was asked about.
    pub server: bool,
    /// Whether the client's was.
    pub client: bool,
    /// Which process; `None` is one that is yet to be started from here.
    pub pid: Option<u32>,
    /// The server's engine; `None` is a plain server with epoll.
    pub engine: Option<Engine>,
    /// Addresses and ports that the client connects to.
    pub destinations: u64,
    /// Addresses that it connects from.
    pub sources: u64,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was asked.
    pub asked: Asked,
    /// What it rests on.
    pub limits: Limits,
    /// The server's ladder, if it was asked for.
    pub server: Option<Ladder>,
    /// The client's.
    pub client: Option<Ladder>,
    /// What the server's would be with direct descriptors, where no engine was named.
    pub direct: Option<Ladder>,
    /// What there is to know of it.
    pub notes: Vec<String>,
}

impl Answer {
    /// Works it out.
    pub fn of(asked: Asked, limits: Limits, ends: &Ends) -> Self {
        let examined = |question: Question| examine(question, &limits);
        let serving = serving(&asked, &limits);
        let mut direct = serving.clone();
        direct.takes = Takes::DirectSlot;
        direct.watches = false;
        let server = |serving| examined(question(&asked, Some(serving), None, &ends.server));
        let is_compared = asked.server && asked.engine.is_none();
        Self {
            direct: is_compared.then(|| server(direct)),
            server: asked.server.then(|| server(serving)),
            client: (asked.client).then(|| {
                examined(question(
                    &asked,
                    None,
                    Some(connecting(&asked)),
                    &ends.client,
                ))
            }),
            notes: ends.notes.clone(),
            asked,
            limits,
        }
    }

    /// The ladders that were asked for.
    pub fn ladders(&self) -> impl Iterator<Item = &Ladder> {
        self.server.iter().chain(&self.client)
    }

    /// Whether every end that was asked about can have so many connections; `None` if no number was given.
    pub fn is_yes(&self) -> Option<bool> {
        let wanted = self.asked.connections?;
        let mut ladders = self.ladders();
        Some(ladders.all(|ladder| ladder.obstacles(wanted).is_empty()))
    }

    /// The limits that could not be read, each once: a yes leaves them out.
    pub fn unknown(&self) -> Vec<&'static str> {
        let rungs = self.ladders().flat_map(|ladder| &ladder.rungs);
        let mut names = Vec::new();
        for rung in rungs {
            if matches!(rung.allows, Allows::Unknown(_)) && !names.contains(&rung.limit) {
                names.push(rung.limit);
            }
        }
        names
    }

    /// What would clear the way of every end that was asked about: each command once, in an order that works.
    pub fn clearing(&self) -> Clearing {
        let Some(first) = self.ladders().next() else {
            return Clearing::default();
        };
        let rungs = self.ladders().flat_map(|ladder| ladder.rungs.clone());
        let of_all = Ladder {
            question: first.question.clone(),
            rungs: rungs.collect(),
        };
        let Clearing { commands, left } = of_all.answer_commands();
        Clearing {
            commands: commands.into_iter().fold(Vec::new(), with_command),
            left,
        }
    }

    /// All of it, for programs.
    pub fn to_json(&self) -> Value {
        let bytes = |ladder: &Ladder| ladder.question.memory.clone();
        let clearing = self.clearing();
        json!({
            "schema_version": SCHEMA_VERSION,
            "asked": self.asked,
            "answer": self.is_yes().map(|is_yes| if is_yes { "yes" } else { "no" }),
            "unknown": self.unknown(),
            "bytes": {
                "server": self.server.as_ref().map(bytes),
                "client": self.client.as_ref().map(bytes),
            },
            "ladders": {
                "server": self.server.as_ref().map(|ladder| self.ladder_json(ladder)),
                "client": self.client.as_ref().map(|ladder| self.ladder_json(ladder)),
            },
            "direct_descriptors": self.direct.as_ref().map(|ladder| self.ladder_json(ladder)),
            "commands": clearing.commands,
            "left": clearing.left,
            "notes": self.notes,
            "limits": self.limits,
        })
    }

    fn ladder_json(&self, ladder: &Ladder) -> Value {
        let wanted = self.asked.connections;
        let obstacles = wanted.map(|wanted| {
            let refusal =
                |rung: &Rung| json!({"limit": rung.limit, "refusal": rung.refusal(wanted)});
            let obstacles = ladder.obstacles(wanted);
            obstacles.into_iter().map(refusal).collect::<Vec<Value>>()
        });
        json!({
            "question": ladder.question,
            "allows": ladder.allows(),
            "binding": binding(ladder).map(|rung| rung.limit),
            "rungs": ladder.rungs,
            "obstacles": obstacles,
        })
    }
}

/// The limit that stops the next connection.
pub fn binding(ladder: &Ladder) -> Option<&Rung> {
    let allows = Allows::Connections(ladder.allows()?);
    ladder.rungs.iter().find(|rung| rung.allows == allows)
}

fn question(
    asked: &Asked,
    server: Option<Serving>,
    client: Option<Connecting>,
    memory: &EachBytes,
) -> Question {
    Question {
        connections: asked.connections,
        server,
        client,
        memory: memory.clone(),
    }
}

/// One process, of the engine as a run would start it, or else a plain server with epoll.
fn serving(asked: &Asked, limits: &Limits) -> Serving {
    let of_engine = asked.engine.and_then(|engine| of_engine(engine, limits));
    let serving = of_engine.unwrap_or(Serving {
        takes: Takes::Descriptor,
        processes: 1,
        own_descriptors: SERVER_DESCRIPTORS,
        slots_per_ring: None,
        rings_max: None,
        watches: true,
        has_threads: false,
        accepts: true,
        backlog: BACKLOG,
    });
    Serving {
        processes: 1,
        own_descriptors: own_descriptors(asked, serving.own_descriptors),
        ..serving
    }
}

fn of_engine(engine: Engine, limits: &Limits) -> Option<Serving> {
    let request = CaseRequest::new(engine, 1);
    let case = request.resolve(&CaseDefaults::new(vec![0], vec![1]));
    question_of(&case.ok()?, limits).server
}

fn connecting(asked: &Asked) -> Connecting {
    Connecting {
        takes: Takes::Descriptor,
        own_descriptors: own_descriptors(asked, CLIENT_DESCRIPTORS),
        groups: Some(asked.destinations * asked.sources),
        group_connections: None,
        binding: Binding::AtConnect,
    }
}

/// A process that is under way has open what it needs.
fn own_descriptors(asked: &Asked, count: u64) -> u64 {
    match asked.pid {
        Some(_) => 0,
        None => count,
    }
}

/// The commands with one more; of two that set the same, the one that sets it higher.
fn with_command(mut commands: Vec<String>, command: String) -> Vec<String> {
    let aim = Aim::of(&command);
    match commands
        .iter_mut()
        .find(|other| Aim::of(other).what == aim.what)
    {
        Some(other) if Aim::of(other).height() < aim.height() => *other = command,
        Some(_) => {}
        None => commands.push(command),
    }
    commands
}

/// What a command sets, and to what. Both ends may need the same limit raised, one of them higher.
struct Aim<'a> {
    what: &'a str,
    value: u64,
    reach: Reach,
}

/// Which limits of a process a command sets: of two that set the same number, the one that reaches further.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Soft,
    Both,
    Raised,
}

impl<'a> Aim<'a> {
    fn of(command: &'a str) -> Self {
        Self::of_limit(command).unwrap_or_else(|| Self::of_setting(command))
    }

    fn height(&self) -> (u64, Reach) {
        (self.value, self.reach)
    }

    /// `ulimit -S -n 100`, `ulimit -n 100`, `prlimit --pid $$ --nofile=100:200`.
    fn of_limit(command: &str) -> Option<Self> {
        let words: Vec<&str> = command.split(' ').collect();
        let (name, value, reach) = match words[..] {
            ["ulimit", "-S", name, value] => (name, value, Reach::Soft),
            ["ulimit", name, value] => (name, value, Reach::Both),
            ["prlimit", "--pid", _, setting] => {
                let (name, values) = setting.split_once('=')?;
                (name, values.split(':').next()?, Reach::Raised)
            }
            _ => return None,
        };
        let what = match name {
            "-n" | "--nofile" => "nofile",
            "-u" | "--nproc" => "nproc",
            _ => return None,
        };
        Some(Self {
            what,
            value: value.parse().ok()?,
            reach,
        })
    }

    /// `sysctl -w fs.file-max=100`, `echo 100 > /a/file`.
    fn of_setting(command: &'a str) -> Self {
        let (value, what) = match command
            .strip_prefix("echo ")
            .and_then(|rest| rest.split_once(' '))
        {
            Some((value, what)) => (value, what),
            None => {
                let what = command.trim_end_matches(|c: char| c.is_ascii_digit());
                (&command[what.len()..], what)
            }
        };
        Self {
            what,
            value: value.parse().unwrap_or(0),
            reach: Reach::Soft,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(engine: Option<Engine>, pid: Option<u32>) -> Asked {
        Asked {
            connections: None,
            server: true,
            client: true,
            pid,
            engine,
            destinations: 2,
            sources: 3,
        }
    }

    #[test]
    fn every_engine_is_asked_about_as_a_run_would_start_it() {
        let limits = Limits::default();
        for profile in &fourtuple_spec::engine::PROFILES {
            let serving = serving(&asked(Some(profile.engine), None), &limits);
            let is_direct = profile.descriptors == fourtuple_spec::engine::Descriptors::Direct;
            assert_eq!(
                serving.takes == Takes::DirectSlot,
                is_direct,
                "{}",
                profile.name
            );
            assert_eq!(serving.has_threads, profile.engine == Engine::Threads);
            assert_eq!(serving.processes, 1);
            assert!(serving.own_descriptors > 0, "{}", profile.name);
        }
        assert!(serving(&asked(None, None), &limits).watches);
    }

    #[test]
    fn a_process_that_is_under_way_has_open_what_it_needs() {
        for engine in [None, Some(Engine::Epoll)] {
            let asked = asked(engine, Some(7));
            assert_eq!(serving(&asked, &Limits::default()).own_descriptors, 0);
            assert_eq!(connecting(&asked).own_descriptors, 0);
        }
    }

    #[test]
    fn each_pair_of_addresses_is_a_group() {
        assert_eq!(connecting(&asked(None, None)).groups, Some(6));
    }

    #[test]
    fn of_commands_that_set_the_same_the_higher_one_is_given() {
        let merged = |commands: &[&str]| {
            let commands = commands.iter().map(|command| (*command).to_owned());
            commands.fold(Vec::new(), with_command)
        };
        assert_eq!(
            merged(&[
                "ulimit -n 100",
                "a=1",
                "ulimit -n 99",
                "a=20",
                "a=3",
                "b",
                "b"
            ]),
            ["ulimit -n 100", "a=20", "b"]
        );
        let of_both = ["sysctl -w fs.file-max=10", "sysctl -w fs.nr_open=10"];
        assert_eq!(merged(&of_both), of_both);
        assert_eq!(
            merged(&[
                "echo 20 > /g/pids.max",
                "echo 100 > /g/pids.max",
                "echo 3 > /h/pids.max"
            ]),
            ["echo 100 > /g/pids.max", "echo 3 > /h/pids.max"]
        );
    }

    #[test]
    fn the_soft_limit_and_both_limits_are_the_same_limit() {
        let merged = |one: &str, other: &str| {
            let commands = [one, other].map(str::to_owned);
            commands.into_iter().fold(Vec::new(), with_command)
        };
        for (low, high) in [
            ("ulimit -S -n 100", "ulimit -n 100"),
            ("ulimit -n 99", "ulimit -S -n 100"),
            ("ulimit -S -n 100", "prlimit --pid $$ --nofile=200:200"),
            ("ulimit -S -u 100", "prlimit --pid $$ --nproc=200:200"),
        ] {
            assert_eq!(merged(low, high), [high]);
            assert_eq!(merged(high, low), [high]);
        }
        assert_eq!(merged("ulimit -n 100", "ulimit -u 100").len(), 2);
    }

    #[test]
    fn what_is_unknown_is_named_once() {
        let mut asked = asked(None, None);
        asked.connections = Some(10);
        let limits = crate::doctor::fixture::limits();
        let memory = crate::doctor::fixture::question(None, None, None).memory;
        let ends = || Ends {
            server: memory.clone(),
            client: memory.clone(),
            notes: Vec::new(),
        };
        let known = Answer::of(asked.clone(), limits.clone(), &ends());
        assert_eq!((known.is_yes(), known.unknown().len()), (Some(true), 0));
        let mut limits = limits;
        limits.process.descriptors_open = fourtuple_spec::Reading::default();
        let unknown = Answer::of(asked.clone(), limits.clone(), &ends());
        assert_eq!(unknown.is_yes(), Some(true));
        assert_eq!(
            unknown.to_json()["unknown"],
            json!([fourtuple_spec::limiter::DESCRIPTORS])
        );
        // 1,024 are too few, however many are open.
        asked.connections = Some(1_025);
        let no = Answer::of(asked, limits, &ends());
        assert_eq!(no.is_yes(), Some(false));
    }
}

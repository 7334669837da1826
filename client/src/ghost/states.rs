//! The ghosts of the price list: connections that bring the server's endpoints into a state, and hold them there.
//!
//! What a ghost sends follows from that state ([`script`](super::script)) and from what it has sent and heard
//! ([`connection`](super::connection)). These are few enough to be kept, 52 bytes each.

use super::address::first_sequence;
use super::backlog::{AcceptQueue, LOOK_CONNECTIONS};
use super::connection::{Connection, Heard};
use super::line::{Arrival, BUFFER_BYTES, Line};
use super::script::Script;
use super::segment::{SEGMENT_BYTES, Segment};
use super::tcp::Reply;
use crate::LoadError;
use crate::ramp::Blocks;
use fourtuple_spec::message::Ramp;
use fourtuple_spec::payload::Pattern;
use fourtuple_spec::record::{ClientCounters, Grant};
use fourtuple_spec::{Case, EndpointState};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long an answer may take before what it answers is sent again. The kernel delays an
/// acknowledgement by 200 ms at most.
const RESEND_TIME: Duration = Duration::from_millis(250);
/// The longest sleep while connections are under way.
const TICK: Duration = Duration::from_millis(20);
/// The same while the server has to accept first, of which the device says nothing.
const ACCEPT_TICK: Duration = Duration::from_millis(1);
const PROGRESS: Duration = Duration::from_millis(100);

/// All connections, and what they share.
pub(super) struct States {
    line: Line,
    queue: AcceptQueue,
    script: Script,
    payload: Payload,
    connections: Vec<Connection>,
    connect_window: u32,
    /// Opened so far, and those of them that are in the state.
    opened: u32,
    there: u32,
    /// With how many opened the accept queue is looked at next.
    looks_next: u32,
    /// Those that are on their way, in the order of the time at which something is sent again.
    under_way: VecDeque<(Instant, u32)>,
    replies: Vec<Reply>,
}

/// What the ghosts send.
enum Payload {
    /// Messages, whose echoes are checked.
    Messages(Pattern),
    /// Bytes that nobody reads.
    Zeros,
}

static ZEROS: [u8; SEGMENT_BYTES as usize] = [0; SEGMENT_BYTES as usize];

impl Payload {
    fn slice(&self, index: u32, reply: &Reply) -> &[u8] {
        let length = usize::from(reply.length);
        match self {
            Self::Messages(pattern) => {
                let offset = reply.offset as usize;
                let message = pattern.message(index, 0);
                message.get(offset..offset + length).unwrap_or_default()
            }
            Self::Zeros => &ZEROS[..length],
        }
    }

    fn check(&self, index: u32, offset: u32, echo: &[u8]) -> Result<(), LoadError> {
        match self {
            Self::Messages(pattern) => pattern
                .check(index, 0, offset as usize, echo)
                .map_err(|wrong| LoadError::new(format!("the server does not echo: {wrong}"))),
            Self::Zeros => Ok(()),
        }
    }
}

impl States {
    pub(super) fn prepare(
        case: &Case,
        state: EndpointState,
        port: u16,
        device: OwnedFd,
    ) -> Result<Self, LoadError> {
        let payload = match state {
            EndpointState::Echoed => Payload::Messages(Pattern::new(case.message_bytes)),
            _ => Payload::Zeros,
        };
        Ok(Self {
            line: Line::new(case, port, device)?,
            queue: AcceptQueue::new(port),
            script: Script::of(state, case.message_bytes),
            payload,
            connections: vec![Connection::default(); case.connections as usize],
            connect_window: case.connect_window,
            opened: 0,
            looks_next: LOOK_CONNECTIONS,
            there: 0,
            under_way: VecDeque::new(),
            replies: Vec::new(),
        })
    }

    pub(super) fn granted(&self) -> Vec<Grant> {
        self.line.grants()
    }

    /// How many connections are in the state.
    pub(super) fn there(&self) -> u32 {
        self.there
    }

    pub(super) fn ramp(&mut self, progress: &mut dyn FnMut(u32)) -> Result<Ramp, LoadError> {
        let count = self.connections.len() as u32;
        let mut blocks = Blocks::new(count);
        let mut said = Instant::now();
        while self.there < count {
            self.open_some(count)?;
            let before = self.there;
            self.hear_all()?;
            self.resend_late()?;
            if said.elapsed() >= PROGRESS {
                said = Instant::now();
                progress(self.there);
            }
            blocks.reached(self.there);
            if self.there == before {
                let is_held_up = self.opened < count && self.opened == self.there;
                let longest = if is_held_up { ACCEPT_TICK } else { TICK };
                self.line.wait(None, Some(longest))?;
            }
        }
        Ok(blocks.finish(count))
    }

    /// Opens as many as the window takes, and no more while many wait to be accepted.
    fn open_some(&mut self, count: u32) -> Result<(), LoadError> {
        while self.opened < count && self.opened - self.there < self.connect_window {
            if self.opened >= self.looks_next {
                if self.waits_for_accepts() {
                    return Ok(());
                }
                self.looks_next = self.opened + LOOK_CONNECTIONS;
            }
            self.open_next()?;
        }
        Ok(())
    }

    fn waits_for_accepts(&self) -> bool {
        self.script.is_accepted && self.queue.is_long()
    }

    fn open_next(&mut self) -> Result<(), LoadError> {
        let index = self.opened;
        self.opened += 1;
        self.connections[index as usize].open(first_sequence(index), &mut self.replies);
        self.under_way
            .push_back((Instant::now() + RESEND_TIME, index));
        self.send_replies(index)
    }

    /// Takes what the kernel has sent, and sends what there is to be said.
    fn hear_all(&mut self) -> Result<(), LoadError> {
        let mut buffer = [0; BUFFER_BYTES];
        self.line.flush()?;
        loop {
            match self.line.hear(&mut buffer)? {
                Arrival::Nothing => return self.line.flush(),
                Arrival::Segment(index, segment) if index < self.opened => {
                    self.hear(index, &segment)?;
                }
                Arrival::Segment(..) | Arrival::Foreign => {}
            }
        }
    }

    fn hear(&mut self, index: u32, segment: &Segment<'_>) -> Result<(), LoadError> {
        let connection = &mut self.connections[index as usize];
        match connection.hear(&self.script, segment, &mut self.replies) {
            Heard::Nothing => {}
            Heard::Fresh(offset) => self.payload.check(index, offset, segment.payload)?,
            Heard::Broken(how) => return Err(super::broken(index, how)),
        }
        self.there += u32::from(connection.arrives(&self.script));
        self.send_replies(index)
    }

    /// Sends again what has had no answer for too long. Those that have arrived leave the queue here.
    fn resend_late(&mut self) -> Result<(), LoadError> {
        let now = Instant::now();
        while let Some(&(due, index)) = self.under_way.front() {
            let connection = &mut self.connections[index as usize];
            if !connection.has_arrived() && due > now {
                return Ok(());
            }
            self.under_way.pop_front();
            if connection.has_arrived() {
                continue;
            }
            if let Heard::Broken(how) = connection.resend(&self.script, &mut self.replies) {
                return Err(super::broken(index, how));
            }
            if connection.arrives(&self.script) {
                self.there += 1;
            } else {
                self.under_way.push_back((now + RESEND_TIME, index));
            }
            self.send_replies(index)?;
        }
        Ok(())
    }

    /// Answers until `stop` is readable.
    pub(super) fn linger(&mut self, stop: &OwnedFd) -> Result<(), LoadError> {
        while !super::is_asked(stop) {
            self.hear_all()?;
            self.line.wait(Some(stop), None)?;
        }
        Ok(())
    }

    /// Ends every connection by a reset: nothing outlives the run in the kernel, which would otherwise
    /// close the server's ends towards peers that are not there any more.
    pub(super) fn end_all(&mut self) -> Result<ClientCounters, LoadError> {
        let mut buffer = [0; BUFFER_BYTES];
        for index in 0..self.opened {
            self.connections[index as usize].reset(&mut self.replies);
            self.send_replies(index)?;
            // What comes is of no interest, but the device's queue holds its memory.
            while !matches!(self.line.hear(&mut buffer)?, Arrival::Nothing) {}
        }
        self.line.flush()?;
        Ok(self.line.counted())
    }

    fn send_replies(&mut self, index: u32) -> Result<(), LoadError> {
        for reply in self.replies.drain(..) {
            let payload = self.payload.slice(index, &reply);
            self.line.send(index, &reply, payload)?;
        }
        Ok(())
    }
}

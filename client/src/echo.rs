//! The closed loop: who has messages in flight, and what an echo leads to.
//!
//! Up to `active_connections` connections have their turn at once. If that is all of them, each keeps
//! `depth` messages in flight, armed by a multishot receive. If there are more, the turn passes: a
//! connection sends `depth` messages, its echoes come, and the turn goes to the next connection in
//! order; its receive is armed for the turn alone, so a connection that waits costs no request.
//!
//! With one message in flight its send needs no answer: the echo proves that it was taken. With
//! more, sends of one connection go out one after the other, because the kernel may let a later send
//! overtake one that had to wait for room.

use crate::conductor::Conductor;
use crate::uring::{TICK, UringLoad};
use crate::{LoadError, Warm};
use fourtuple_ring::{Errno, Event, Lease, Received, Shot, Slot};
use fourtuple_spec::message::Measured;
use std::time::Duration;

/// Receives armed again at one turn after buffers ran out.
const REARM_AT_ONCE: usize = 16;

/// What pipelining needs to know about a connection, beyond its 16 bytes.
#[derive(Clone, Copy, Default)]
struct Pipeline {
    /// Messages of which the send has been asked for.
    sent: u32,
    /// Messages that may be sent.
    allowed: u32,
    /// A send is in the kernel.
    is_sending: bool,
}

/// The state of one measurement.
struct Round<'a> {
    load: &'a mut UringLoad,
    conductor: Conductor,
    /// The connection whose turn comes next, where there are more than have it at once.
    next_turn: u32,
    is_rotating: bool,
    /// Empty at depth 1.
    pipelines: Vec<Pipeline>,
    /// When each message in flight was sent, by connection and sequence modulo depth; empty at depth 1.
    sent_ns: Vec<u64>,
    now_ns: u64,
}

impl UringLoad {
    pub(crate) fn measure(&mut self, warm: &mut dyn FnMut(Warm)) -> Result<Measured, LoadError> {
        let conductor = Conductor::new(&self.case);
        let conductor = Round::new(self, conductor).play(warm)?;
        Ok(conductor.measured(self.counters()))
    }

    pub(crate) fn echo(&mut self, count: u64) -> Result<Duration, LoadError> {
        let conductor = Conductor::counting(&self.case, count);
        let conductor = Round::new(self, conductor).play(&mut |_| {})?;
        Ok(conductor.elapsed())
    }
}

impl<'a> Round<'a> {
    fn new(load: &'a mut UringLoad, conductor: Conductor) -> Self {
        let case = &load.case;
        let (count, depth) = (case.connections as usize, case.depth as usize);
        let is_pipelined = depth > 1;
        Self {
            conductor,
            next_turn: 0,
            is_rotating: case.active_connections < case.connections,
            pipelines: vec![Pipeline::default(); if is_pipelined { count } else { 0 }],
            sent_ns: vec![0; if is_pipelined { count * depth } else { 0 }],
            now_ns: 0,
            load,
        }
    }

    /// From the first message to the last echo.
    fn play(mut self, warm: &mut dyn FnMut(Warm)) -> Result<Conductor, LoadError> {
        let spin = Duration::from_micros(u64::from(self.load.case.client_spin_us));
        self.begin()?;
        loop {
            let watched = self.load.rings.wait_spinning(spin, Some(TICK))?;
            self.conductor.watched(watched);
            self.now_ns = self.conductor.now_ns();
            self.handle_events()?;
            let now_ns = self.now_ns;
            if self.conductor.advance(now_ns, warm)? {
                return Ok(self.conductor);
            }
            self.rearm_some()?;
        }
    }

    /// Gives the first connections their turn.
    fn begin(&mut self) -> Result<(), LoadError> {
        let active = self
            .load
            .case
            .active_connections
            .min(self.load.case.connections);
        for index in 0..active {
            // Each start is a moment of its own: the first of thousands must not wait on the last's clock.
            self.now_ns = self.conductor.now_ns();
            if !self.conductor.is_sending() {
                break;
            }
            // What an earlier round armed is armed still: a slot never has two.
            if !self.is_rotating && index >= self.load.armed {
                let (ring, place) = self.load.place(index);
                let ring = self.load.rings.ring(ring);
                let slot = ring.slot(place);
                ring.receive(slot)?;
                self.load.armed = index + 1;
            }
            self.begin_turn(index)?;
        }
        self.next_turn = active % self.load.case.connections;
        Ok(())
    }

    fn begin_turn(&mut self, index: u32) -> Result<(), LoadError> {
        if self.is_rotating {
            let (ring, place) = self.load.place(index);
            let ring = self.load.rings.ring(ring);
            let slot = ring.slot(place);
            ring.receive_once(slot)?;
        }
        self.send(index, self.load.case.depth)
    }

    /// Passes the turn to the next connection that has none.
    fn pass_turn(&mut self) -> Result<(), LoadError> {
        let count = self.load.case.connections;
        for _ in 0..count {
            let index = self.next_turn;
            self.next_turn = if index + 1 == count { 0 } else { index + 1 };
            if self.load.connections[index as usize].sent_ns == 0 {
                return self.begin_turn(index);
            }
        }
        Ok(())
    }

    /// Puts `messages` more in flight on a connection.
    #[inline]
    fn send(&mut self, index: u32, messages: u32) -> Result<(), LoadError> {
        self.conductor.in_flight += u64::from(messages);
        let connection = &mut self.load.connections[index as usize];
        connection.sent_ns = self.now_ns;
        if self.pipelines.is_empty() {
            let range = self.load.pattern.range(index, connection.sequence);
            let (ring, place) = self.load.place(index);
            let ring = self.load.rings.ring(ring);
            let slot = ring.slot(place);
            return Ok(ring.send_pattern(slot, range)?);
        }
        let pipeline = &mut self.pipelines[index as usize];
        let depth = self.load.case.depth;
        for message in pipeline.allowed..pipeline.allowed.wrapping_add(messages) {
            self.sent_ns[stamp(index, message, depth)] = self.now_ns;
        }
        pipeline.allowed = pipeline.allowed.wrapping_add(messages);
        self.send_on(index)
    }

    /// Sends the next message that a pipeline allows, unless one is on its way into the kernel.
    fn send_on(&mut self, index: u32) -> Result<(), LoadError> {
        let pipeline = &mut self.pipelines[index as usize];
        if pipeline.is_sending || pipeline.sent == pipeline.allowed {
            return Ok(());
        }
        let range = self.load.pattern.range(index, pipeline.sent);
        pipeline.sent = pipeline.sent.wrapping_add(1);
        pipeline.is_sending = true;
        let (ring, place) = self.load.place(index);
        let ring = self.load.rings.ring(ring);
        let slot = ring.slot(place);
        Ok(ring.send_pattern_answered(slot, range)?)
    }

    fn handle_events(&mut self) -> Result<(), LoadError> {
        for position in 0..self.load.rings.hot_count() {
            let ring_index = self.load.rings.hot(position);
            while let Some(event) = self.load.rings.ring(ring_index).pop() {
                self.handle(ring_index, event)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn handle(&mut self, ring_index: usize, event: Event) -> Result<(), LoadError> {
        match event {
            Event::Received { slot, result, shot } => self.received(ring_index, slot, result, shot),
            Event::Sent { slot, result, .. } => {
                let index = self.index_of(ring_index, slot);
                result.map_err(|errno| lost(index, errno))?;
                self.pipelines[index as usize].is_sending = false;
                self.send_on(index)
            }
            _ => Ok(()),
        }
    }

    #[inline]
    fn index_of(&self, ring_index: usize, slot: Slot) -> u32 {
        ring_index as u32 * self.load.slots_per_ring + slot.index()
    }

    #[inline]
    fn received(
        &mut self,
        ring_index: usize,
        slot: Slot,
        result: Result<Received, Errno>,
        shot: Shot,
    ) -> Result<(), LoadError> {
        let index = self.index_of(ring_index, slot);
        match result {
            Ok(Received::Data(lease)) => {
                self.verify(ring_index, index, &lease)?;
                self.load.rings.ring(ring_index).recycle(lease);
            }
            Ok(Received::End) => return Err(LoadError::lost(index, "was closed by the server")),
            Err(Errno::NOBUFS) => {
                self.load.to_rearm.push_back(index);
                return Ok(());
            }
            Err(errno) => return Err(lost(index, errno)),
        }
        // A single receive belongs to a turn: it is armed again only while that turn lasts.
        let is_wanted = !self.is_rotating || self.is_incomplete(index);
        if shot == Shot::Ended && is_wanted {
            self.load.rearmed += u64::from(!self.is_rotating);
            let ring = self.load.rings.ring(ring_index);
            if self.is_rotating {
                ring.receive_once(slot)?;
            } else {
                ring.receive(slot)?;
            }
        }
        // The turn passes only after its receive is over, so a slot never has two.
        if self.is_rotating && !self.is_incomplete(index) {
            self.load.connections[index as usize].sent_ns = 0;
            if self.conductor.is_sending() {
                self.pass_turn()?;
            }
        }
        Ok(())
    }

    /// Whether echoes of this connection are still to come.
    #[inline]
    fn is_incomplete(&self, index: u32) -> bool {
        let connection = &self.load.connections[index as usize];
        match self.pipelines.get(index as usize) {
            Some(pipeline) => connection.sequence != pipeline.allowed,
            None => connection.sent_ns != 0,
        }
    }

    /// Checks received bytes against what was sent, message by message.
    #[inline]
    fn verify(&mut self, ring_index: usize, index: u32, lease: &Lease) -> Result<(), LoadError> {
        let message_bytes = self.load.pattern.message_bytes();
        let mut at = 0;
        while at < lease.bytes() {
            let connection = &mut self.load.connections[index as usize];
            let (sequence, received) = (connection.sequence, connection.received as usize);
            let bytes = &self.load.rings.ring(ring_index).bytes(lease)[at..];
            let piece = &bytes[..bytes.len().min(message_bytes - received)];
            at += piece.len();
            self.load
                .pattern
                .check(index, sequence, received, piece)
                .map_err(|mismatch| {
                    LoadError::new(format!("the server does not echo: {mismatch}"))
                })?;
            if received + piece.len() < message_bytes {
                connection.received += piece.len() as u32;
                continue;
            }
            self.complete(index)?;
        }
        Ok(())
    }

    /// A whole echo has come and is what was sent.
    #[inline]
    fn complete(&mut self, index: u32) -> Result<(), LoadError> {
        let depth = self.load.case.depth;
        let connection = &mut self.load.connections[index as usize];
        let sequence = connection.sequence;
        let sent_ns = match self.sent_ns.get(stamp(index, sequence, depth)) {
            Some(&sent_ns) => sent_ns,
            None => connection.sent_ns,
        };
        let is_unasked = match self.pipelines.get(index as usize) {
            Some(pipeline) => pipeline.sent == sequence,
            None => sent_ns == 0,
        };
        if is_unasked {
            return Err(LoadError::new(format!(
                "connection {index}: more came back than was sent (message {sequence} again, or data of \
                 the server's own)"
            )));
        }
        connection.sequence = sequence.wrapping_add(1);
        connection.received = 0;
        self.conductor.echoed(self.now_ns, sent_ns, sequence == 0);
        if self.is_rotating {
            if self.pipelines.is_empty() {
                connection.sent_ns = 0;
            }
            return Ok(());
        }
        if self.conductor.is_sending() {
            return self.send(index, 1);
        }
        connection.sent_ns = 0;
        Ok(())
    }

    /// Arms a few of the receives that ended for want of a buffer.
    #[inline]
    fn rearm_some(&mut self) -> Result<(), LoadError> {
        for _ in 0..REARM_AT_ONCE.min(self.load.to_rearm.len()) {
            let Some(index) = self.load.to_rearm.pop_front() else {
                break;
            };
            self.load.rearmed += 1;
            let (ring, place) = self.load.place(index);
            let ring = self.load.rings.ring(ring);
            let slot = ring.slot(place);
            if self.is_rotating {
                ring.receive_once(slot)?;
            } else {
                ring.receive(slot)?;
            }
        }
        Ok(())
    }
}

/// Where the time of a message is kept.
#[inline]
fn stamp(index: u32, sequence: u32, depth: u32) -> usize {
    index as usize * depth as usize + (sequence % depth) as usize
}

fn lost(connection_index: u32, errno: Errno) -> LoadError {
    let name = fourtuple_ring::errno_name(errno);
    LoadError::lost(connection_index, &format!("failed with {name}"))
}

//! `uring-hybrid`: multishot receive for connections that are busy, poll for those that are idle.
//!
//! An idle connection costs the kernel one request (256 B), as in `uring-poll`; a busy one is served as
//! by `uring`, with a third of the memory's price and none of its delay for the idle ones. Which is which
//! is [`crate::heat`]'s affair: the second message within half a second makes a connection hot, a second
//! without any makes it cold.
//!
//! The poll is a single one, not multishot: it is over when it has fired, so to turn hot needs no
//! cancel, and it is armed again when the echo is out, so a peer that does not read is not received from.
//! To turn cold takes a cancel, which searches a chain of the kernel's table of requests: a few each
//! turn, for hot connections alone, once a second of silence each.

use crate::ServeError;
use crate::acceptor::ring_failed;
use crate::heat::{Heard, Heat, TICK};
use crate::outbox::{self, Outbox, Starved};
use crate::rings::{self, Rings};
use crate::state::{PerSlot, State};
use crate::worker::{Serve, Worker};
use fourtuple_ring::{Errno, Event, Readiness, Received, Sent, Shot, Slot};
use fourtuple_spec::record::Grant;
use std::time::Duration;

/// Hot connections looked at in one turn, and turned cold in one.
const LOOKED_AT_ONCE: usize = 512;
const COOLED_AT_ONCE: usize = 16;

/// The key of the ticks.
const TICK_KEY: u32 = 2;

/// What is remembered of a connection: four bytes.
#[derive(Clone, Copy, Default)]
struct Connection {
    state: State,
    heard: Heard,
}

struct UringHybrid {
    rings: Rings,
    connections: PerSlot<Connection>,
    heat: Heat,
    outbox: Outbox,
    starved: Starved,
}

/// Prepares the first ring; more follow as its table fills.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    worker.counters.promoted.keep();
    worker.counters.demoted.keep();
    Ok(Box::new(UringHybrid {
        rings: Rings::receiving(worker)?,
        connections: PerSlot::new(),
        heat: Heat::default(),
        outbox: Outbox::default(),
        starved: Starved::default(),
    }))
}

impl Serve for UringHybrid {
    fn granted(&self) -> Vec<Grant> {
        self.rings.granted()
    }

    fn serve(mut self: Box<Self>) -> Result<(), ServeError> {
        loop {
            self.rings.begin_turn()?;
            self.feed_some()?;
            if self.heat.begins_to_tick() {
                let ring = self.rings.set.ring(0);
                ring.elapse(TICK, TICK_KEY).map_err(ring_failed)?;
            }
            self.cool_some()?;
            let patience = self.heat.is_sweeping().then_some(Duration::ZERO);
            self.rings.wait(patience)?;
            while let Some((ring_index, event)) = self.rings.pop() {
                if rings::is_stop(&event) {
                    return Ok(());
                }
                self.handle(ring_index, event)?;
            }
            self.rings.end_turn();
        }
    }
}

impl UringHybrid {
    #[inline]
    fn handle(&mut self, ring_index: usize, event: Event) -> Result<(), ServeError> {
        match event {
            Event::Received { slot, result, shot } => self.received(ring_index, slot, result, shot),
            Event::Sent {
                slot,
                memory,
                result,
            } => self.sent(ring_index, slot, memory, result),
            Event::Ready { slot, result, .. } => self.ready(ring_index, slot, result),
            Event::Elapsed { .. } => {
                self.heat.ticked();
                Ok(())
            }
            Event::Accepted { result, shot } => {
                let accepted = self.rings.accepted(ring_index, result, shot)?;
                accepted.map_or(Ok(()), |slot| self.begin(ring_index, slot))
            }
            Event::Closed { slot, .. } => {
                let state = &mut self.connections.at(ring_index, slot).state;
                state.clear(State::HOT);
                self.rings.closed(ring_index);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, ring_index: usize, slot: Slot) -> Result<(), ServeError> {
        self.connections.cover(&mut self.rings.set, ring_index);
        let heard = self.heat.never();
        let connection = self.connections.at(ring_index, slot);
        // The slot may still be listed for an earlier connection, and is never listed twice.
        connection.state.keep(State::LISTED);
        connection.heard = heard;
        self.settle(ring_index, slot)
    }

    /// A polled connection has something.
    fn ready(
        &mut self,
        ring_index: usize,
        slot: Slot,
        result: Result<Readiness, Errno>,
    ) -> Result<(), ServeError> {
        let state = &mut self.connections.at(ring_index, slot).state;
        state.clear(State::POLLING);
        match result {
            Ok(_) if self.starved.must_wait(self.rings.set.ring(ring_index)) => {
                state.set(State::STARVED);
                self.starved.push(ring_index, slot);
                return Ok(());
            }
            Ok(_) => return self.receive(ring_index, slot),
            Err(Errno::CANCELED | Errno::AGAIN | Errno::INTR) => {}
            Err(_) => state.set(State::BROKEN),
        }
        self.settle(ring_index, slot)
    }

    /// Receives what a polled connection has, and from then on if it is busy.
    fn receive(&mut self, ring_index: usize, slot: Slot) -> Result<(), ServeError> {
        let Connection { state, heard } = self.connections.at(ring_index, slot);
        let ring = self.rings.set.ring(ring_index);
        state.set(State::RECEIVING);
        if !self.heat.is_recent(*heard) {
            return ring.receive_ready(slot).map_err(ring_failed);
        }
        state.set(State::HOT);
        self.rings.counters.promoted.add(1);
        if !state.has(State::LISTED) {
            state.set(State::LISTED);
            self.heat.list(ring_index, slot);
        }
        ring.receive_now(slot).map_err(ring_failed)
    }

    #[inline]
    fn received(
        &mut self,
        ring_index: usize,
        slot: Slot,
        result: Result<Received, Errno>,
        shot: Shot,
    ) -> Result<(), ServeError> {
        let Connection { state, heard } = self.connections.at(ring_index, slot);
        let ring = self.rings.set.ring(ring_index);
        match result {
            Ok(Received::Data(lease)) => {
                self.rings.counters.received_bytes.add(lease.bytes() as u64);
                *heard = self.heat.hear();
                self.outbox.echo(ring_index, ring, state, slot, lease)?;
                if shot == Shot::Armed {
                    return Ok(());
                }
            }
            Ok(Received::End) => state.set(State::ENDED),
            Err(Errno::NOBUFS) => {
                state.set(State::STARVED);
                self.starved.push(ring_index, slot);
            }
            Err(Errno::CANCELED | Errno::AGAIN | Errno::INTR) => {}
            Err(_) => state.set(State::BROKEN),
        }
        if shot == Shot::Ended {
            state.clear(State::RECEIVING);
        }
        self.settle(ring_index, slot)
    }

    #[inline]
    fn sent(
        &mut self,
        ring_index: usize,
        slot: Slot,
        memory: Sent,
        result: Result<usize, Errno>,
    ) -> Result<(), ServeError> {
        let state = &mut self.connections.at(ring_index, slot).state;
        outbox::sent(self.rings.set.ring(ring_index), state, slot, memory, result)?;
        // The hot path: nothing gathered, still receiving.
        if state.is(State::RECEIVING | State::HOT | State::LISTED) {
            return Ok(());
        }
        self.settle(ring_index, slot)
    }

    /// Does what a connection's state asks for next: send on, receive or poll again, or close.
    fn settle(&mut self, ring_index: usize, slot: Slot) -> Result<(), ServeError> {
        const NOT_NOW: u16 = State::RECEIVING | State::POLLING | State::PAUSED | State::STARVED;
        let state = &mut self.connections.at(ring_index, slot).state;
        let ring = self.rings.set.ring(ring_index);
        self.outbox.flush(ring_index, ring, state, slot)?;
        if state.is_over() {
            if state.has(State::RECEIVING) {
                // Broken by a failed send: the receive has to end before the slot can be closed.
                return ring.cancel_receive(slot).map_err(ring_failed);
            }
            return outbox::close_when_quiet(ring, state, slot);
        }
        if state.has(NOT_NOW) {
            return Ok(());
        }
        if state.has(State::HOT) {
            state.set(State::RECEIVING);
            self.rings.counters.rearmed.add(1);
            ring.receive(slot).map_err(ring_failed)
        } else if !state.has(State::SENDING) {
            state.set(State::POLLING);
            ring.poll_once(slot).map_err(ring_failed)
        } else {
            Ok(())
        }
    }

    /// Moves the clock's hand on: hot connections that have fallen silent are polled again.
    #[inline]
    fn cool_some(&mut self) -> Result<(), ServeError> {
        let mut cooled = 0;
        for _ in 0..LOOKED_AT_ONCE {
            let Some((ring_index, slot_index)) = self.heat.advance() else {
                break;
            };
            let connection = self.connections.at_index(ring_index, slot_index);
            let is_hot = connection.state.has(State::HOT);
            if is_hot && !self.heat.is_long_ago(connection.heard) {
                continue;
            }
            connection.state.clear(State::HOT | State::LISTED);
            self.heat.unlist();
            if is_hot {
                cooled += 1;
                self.cool(ring_index, slot_index)?;
            }
            if cooled == COOLED_AT_ONCE {
                break;
            }
        }
        Ok(())
    }

    /// The end of its receive, or of whatever else it is about, leads to a poll.
    fn cool(&mut self, ring_index: usize, slot_index: u32) -> Result<(), ServeError> {
        self.rings.counters.demoted.add(1);
        let ring = self.rings.set.ring(ring_index);
        let slot = ring.slot(slot_index);
        let state = self.connections.at(ring_index, slot).state;
        if state.has(State::RECEIVING) && !state.is_over() {
            return ring.cancel_receive(slot).map_err(ring_failed);
        }
        Ok(())
    }

    /// Arms a few of the receives that ended for want of a buffer.
    #[inline]
    fn feed_some(&mut self) -> Result<(), ServeError> {
        for _ in 0..self.starved.count(outbox::FED_AT_ONCE) {
            if let Some((ring_index, slot)) = self.starved.next(&mut self.rings.set) {
                const NOT_NOW: u16 = State::HOT | State::SENDING | State::PAUSED;
                let state = &mut self.connections.at(ring_index, slot).state;
                state.clear(State::STARVED);
                if state.is_over() || state.has(NOT_NOW) {
                    self.settle(ring_index, slot)?;
                } else {
                    self.receive(ring_index, slot)?;
                }
            }
        }
        Ok(())
    }
}

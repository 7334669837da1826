//! `uring-poll`: multishot poll on every connection, a receive only when there is data.
//!
//! A poll that waits is one request (256 B); a receive that waits takes half a kilobyte more for its
//! header and for the poll that it arms itself. The price is one more round through the ring for each
//! echo. Receives here never wait, so what they take is given back before the call that made them
//! returns.
//!
//! Nothing is received while a send is in flight: what a peer that does not read can take up is one
//! buffer, and TCP's window closes on it.
//!
//! The poll tells what has *come*, not what is there. So a connection is received from until the kernel
//! says that its socket is empty, and what comes meanwhile is told again.

use crate::ServeError;
use crate::acceptor::ring_failed;
use crate::outbox::{self, Starved};
use crate::rings::{self, Rings};
use crate::state::{PerSlot, State};
use crate::worker::{Serve, Worker};
use fourtuple_ring::{Errno, Event, Readiness, Received, Shot, Slot};
use fourtuple_spec::record::Grant;

struct UringPoll {
    rings: Rings,
    states: PerSlot<State>,
    starved: Starved,
}

/// Prepares the first ring; more follow as its table fills.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    Ok(Box::new(UringPoll {
        rings: Rings::receiving(worker)?,
        states: PerSlot::new(),
        starved: Starved::default(),
    }))
}

impl Serve for UringPoll {
    fn granted(&self) -> Vec<Grant> {
        self.rings.granted()
    }

    fn serve(mut self: Box<Self>) -> Result<(), ServeError> {
        loop {
            self.rings.begin_turn()?;
            self.feed_some()?;
            self.rings.wait(None)?;
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

impl UringPoll {
    #[inline]
    fn handle(&mut self, ring_index: usize, event: Event) -> Result<(), ServeError> {
        match event {
            Event::Ready { slot, result, shot } => self.ready(ring_index, slot, result, shot),
            Event::Received { slot, result, .. } => self.received(ring_index, slot, result),
            Event::Sent {
                slot,
                memory,
                result,
            } => {
                let ring = self.rings.set.ring(ring_index);
                let state = self.states.at(ring_index, slot);
                outbox::sent(ring, state, slot, memory, result)?;
                self.settle(ring_index, slot)
            }
            Event::Accepted { result, shot } => {
                let accepted = self.rings.accepted(ring_index, result, shot)?;
                accepted.map_or(Ok(()), |slot| self.begin(ring_index, slot))
            }
            Event::Closed { .. } => {
                self.rings.closed(ring_index);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, ring_index: usize, slot: Slot) -> Result<(), ServeError> {
        self.states.cover(&mut self.rings.set, ring_index);
        *self.states.at(ring_index, slot) = State::default();
        self.poll(ring_index, slot)
    }

    fn poll(&mut self, ring_index: usize, slot: Slot) -> Result<(), ServeError> {
        self.states.at(ring_index, slot).set(State::POLLING);
        let ring = self.rings.set.ring(ring_index);
        ring.poll_multishot(slot).map_err(ring_failed)
    }

    #[inline]
    fn ready(
        &mut self,
        ring_index: usize,
        slot: Slot,
        result: Result<Readiness, Errno>,
        shot: Shot,
    ) -> Result<(), ServeError> {
        let state = self.states.at(ring_index, slot);
        match result {
            Ok(Readiness::Data) => state.set(State::READY),
            Ok(Readiness::HungUp) => state.set(State::READY | State::HUNG_UP),
            Err(Errno::CANCELED | Errno::AGAIN | Errno::INTR) => {}
            Err(_) => state.set(State::BROKEN),
        }
        if shot == Shot::Ended {
            state.clear(State::POLLING);
        }
        self.settle(ring_index, slot)
    }

    #[inline]
    fn received(
        &mut self,
        ring_index: usize,
        slot: Slot,
        result: Result<Received, Errno>,
    ) -> Result<(), ServeError> {
        let state = self.states.at(ring_index, slot);
        state.clear(State::RECEIVING);
        match result {
            Ok(Received::Data(lease)) => {
                self.rings.counters.received_bytes.add(lease.bytes() as u64);
                if lease.has_more() || state.has(State::HUNG_UP) {
                    state.set(State::READY);
                }
                let ring = self.rings.set.ring(ring_index);
                return outbox::send(ring, state, slot, lease);
            }
            Ok(Received::End) => state.set(State::ENDED),
            Err(Errno::NOBUFS) => {
                state.set(State::READY | State::STARVED);
                self.starved.push(ring_index, slot);
            }
            Err(Errno::AGAIN | Errno::CANCELED) => {}
            Err(Errno::INTR) => state.set(State::READY),
            Err(_) => state.set(State::BROKEN),
        }
        self.settle(ring_index, slot)
    }

    /// Does what a connection's state asks for next: receive, poll again, or close.
    #[inline]
    fn settle(&mut self, ring_index: usize, slot: Slot) -> Result<(), ServeError> {
        let state = self.states.at(ring_index, slot);
        if state.is_over() {
            return self.end(ring_index, slot);
        }
        const NOT_NOW: u16 = State::RECEIVING | State::SENDING | State::STARVED;
        if state.has(State::READY) && !state.has(NOT_NOW) {
            if self.starved.must_wait(self.rings.set.ring(ring_index)) {
                state.set(State::STARVED);
                self.starved.push(ring_index, slot);
            } else {
                self.receive(ring_index, slot)?;
            }
        }
        if !self.states.at(ring_index, slot).has(State::POLLING) {
            self.rings.counters.rearmed.add(1);
            return self.poll(ring_index, slot);
        }
        Ok(())
    }

    #[inline]
    fn receive(&mut self, ring_index: usize, slot: Slot) -> Result<(), ServeError> {
        let state = self.states.at(ring_index, slot);
        state.clear(State::READY);
        state.set(State::RECEIVING);
        let ring = self.rings.set.ring(ring_index);
        ring.receive_ready(slot).map_err(ring_failed)
    }

    /// The poll has to end before the slot can be closed, and does not end by itself.
    fn end(&mut self, ring_index: usize, slot: Slot) -> Result<(), ServeError> {
        let state = self.states.at(ring_index, slot);
        let ring = self.rings.set.ring(ring_index);
        if state.has(State::POLLING) && !state.has(State::CANCELLING) {
            state.set(State::CANCELLING);
            return ring.cancel_poll(slot).map_err(ring_failed);
        }
        outbox::close_when_quiet(ring, state, slot)
    }

    /// Receives for a few of the connections for which there was no buffer.
    #[inline]
    fn feed_some(&mut self) -> Result<(), ServeError> {
        for _ in 0..self.starved.count(outbox::FED_AT_ONCE) {
            if let Some((ring_index, slot)) = self.starved.next(&mut self.rings.set) {
                let state = self.states.at(ring_index, slot);
                state.clear(State::STARVED);
                if state.is_over() {
                    self.end(ring_index, slot)?;
                } else {
                    self.receive(ring_index, slot)?;
                }
            }
        }
        Ok(())
    }
}

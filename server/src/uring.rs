//! `uring`: multishot accept and receive, provided buffers, direct descriptors.
//!
//! A receive stays armed on every connection: the fewest requests an echo, and the most memory a
//! connection. How it sends, and what bounds the memory of a peer that does not read, is in
//! [`crate::outbox`].

use crate::ServeError;
use crate::acceptor::ring_failed;
use crate::outbox::{self, Outbox, Starved};
use crate::rings::{self, Rings};
use crate::state::{PerSlot, State};
use crate::worker::{Serve, Worker};
use fourtuple_ring::{Errno, Event, Received, Sent, Shot, Slot};
use fourtuple_spec::factors::Buffers;
use fourtuple_spec::record::Grant;

struct Uring {
    rings: Rings,
    /// What a receive waits for: nothing, or the send from the buffer that it is to receive into.
    receives_after: u16,
    states: PerSlot<State>,
    outbox: Outbox,
    starved: Starved,
}

/// Prepares the first ring; more follow as its table fills.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    let receives_after = match worker.options.factors.buffers {
        Buffers::Fixed => State::SENDING,
        Buffers::Ring | Buffers::RingIncremental => 0,
    };
    let outbox = Outbox::new(worker.options.factors.send);
    Ok(Box::new(Uring {
        receives_after,
        rings: Rings::receiving(worker)?,
        states: PerSlot::new(),
        outbox,
        starved: Starved::default(),
    }))
}

impl Serve for Uring {
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

impl Uring {
    #[inline]
    fn handle(&mut self, ring_index: usize, event: Event) -> Result<(), ServeError> {
        match event {
            Event::Received { slot, result, shot } => self.received(ring_index, slot, result, shot),
            Event::Sent {
                slot,
                memory,
                result,
            } => self.sent(ring_index, slot, memory, result),
            Event::Accepted { result, shot } => {
                match self.rings.accepted(ring_index, result, shot)? {
                    Some(slot) => self.begin(ring_index, slot),
                    None => Ok(()),
                }
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
        self.receive(ring_index, slot)
    }

    fn receive(&mut self, ring_index: usize, slot: Slot) -> Result<(), ServeError> {
        self.states.at(ring_index, slot).set(State::RECEIVING);
        let ring = self.rings.set.ring(ring_index);
        ring.receive(slot).map_err(ring_failed)
    }

    #[inline]
    fn received(
        &mut self,
        ring_index: usize,
        slot: Slot,
        result: Result<Received, Errno>,
        shot: Shot,
    ) -> Result<(), ServeError> {
        let state = self.states.at(ring_index, slot);
        let ring = self.rings.set.ring(ring_index);
        match result {
            Ok(Received::Data(lease)) => {
                self.rings.counters.received_bytes.add(lease.bytes() as u64);
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
        let state = self.states.at(ring_index, slot);
        outbox::sent(self.rings.set.ring(ring_index), state, slot, memory, result)?;
        // The hot path: nothing gathered, still receiving.
        if state.is(State::RECEIVING) {
            return Ok(());
        }
        self.settle(ring_index, slot)
    }

    /// Does what a connection's state asks for next: send on, receive again, or close.
    fn settle(&mut self, ring_index: usize, slot: Slot) -> Result<(), ServeError> {
        let ring = self.rings.set.ring(ring_index);
        let state = self.states.at(ring_index, slot);
        self.outbox.flush(ring_index, ring, state, slot)?;
        if !state.is_over() {
            const HELD: u16 = State::RECEIVING | State::PAUSED | State::STARVED;
            if !state.has(HELD | self.receives_after) {
                self.rings.counters.rearmed.add(1);
                return self.receive(ring_index, slot);
            }
            return Ok(());
        }
        if state.has(State::RECEIVING) {
            // Broken by a failed send: the receive has to end before the slot can be closed.
            return ring.cancel_receive(slot).map_err(ring_failed);
        }
        outbox::close_when_quiet(ring, state, slot)
    }

    /// Arms a few of the receives that ended for want of a buffer.
    #[inline]
    fn feed_some(&mut self) -> Result<(), ServeError> {
        for _ in 0..self.starved.count(outbox::REARMED_AT_ONCE) {
            if let Some((ring_index, slot)) = self.starved.next(&mut self.rings.set) {
                self.states.at(ring_index, slot).clear(State::STARVED);
                self.settle(ring_index, slot)?;
            }
        }
        Ok(())
    }
}

//! `uring`: multishot accept and receive, provided buffers, direct descriptors.
//!
//! One send is in flight on a connection at most. The usual echo is sent straight from the buffer
//! that it was received in; what arrives while a send is in flight is gathered on the heap and sent
//! as one when that has ended. A peer that does not read makes its gathering grow: past
//! [`GATHERED_BYTES_MAX`] its receive is cancelled until the gathering is gone, so TCP's window
//! closes on it. A send that cannot go out keeps its buffer, so when few buffers are left echoes are
//! sent from copies instead, and no number of stuck peers takes the last buffer from the others.
//!
//! A connection costs this engine one byte of state; the gathering exists only while it is needed.

use crate::acceptor::{Acceptor, ring_failed, setup_failed};
use crate::direct::{self, RingCounts, STOP_KEY};
use crate::engine::{Serve, Worker, buffer_bytes};
use crate::{Counters, Options, ServeError};
use fourtuple_ring::{Errno, Event, Lease, Received, Ring, RingSet, Sent, Setup, Shot, Slot};
use fourtuple_spec::record::Grant;
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// What one connection may gather while its peer does not read. The receive that is being cancelled
/// may add a few buffers more.
const GATHERED_BYTES_MAX: usize = 256 * 1024;
/// Receives armed again at one turn after buffers ran out: all at once would empty them at once.
const REARM_AT_ONCE: usize = 16;
/// Buffers of a ring that serves alone. The kernel takes them in turn, so they all pass through the
/// cache; two turns of the loop hold some of them at once, a few dozen each: those whose sends are
/// queued, and those that the kernel fills meanwhile.
const BUFFERS: u16 = 256;
/// Buffers of each of many rings, of which few are busy at a time.
const BUFFERS_OF_MANY: u16 = 128;
/// Rings from which on there are many.
const MANY_RINGS: u32 = 4;
const BUFFER_BYTES_MIN: usize = 2048;

/// What a connection is doing: one byte each.
#[derive(Clone, Copy, Default)]
struct State(u8);

impl State {
    /// A receive is in the kernel.
    const RECEIVING: u8 = 1 << 0;
    /// A send is in the kernel.
    const SENDING: u8 = 1 << 1;
    /// Nothing is to be received until the gathering is gone.
    const PAUSED: u8 = 1 << 2;
    /// The peer has closed its side.
    const ENDED: u8 = 1 << 3;
    /// The connection failed: nothing more is sent.
    const BROKEN: u8 = 1 << 4;
    /// Bytes are gathered.
    const GATHERED: u8 = 1 << 5;
    /// The close is in the kernel.
    const CLOSING: u8 = 1 << 6;
    /// It waits for its turn to be armed again.
    const QUEUED: u8 = 1 << 7;

    #[inline]
    fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }
    #[inline]
    fn set(&mut self, bits: u8) {
        self.0 |= bits;
    }
    #[inline]
    fn clear(&mut self, bits: u8) {
        self.0 &= !bits;
    }
}

/// Names a connection over all rings.
type Key = (usize, u32);

struct Uring {
    rings: RingSet,
    acceptor: Acceptor,
    states: Vec<Vec<State>>,
    gathered: HashMap<Key, Vec<u8>>,
    to_rearm: VecDeque<(usize, Slot)>,
    stop: OwnedFd,
    counters: Arc<Counters>,
}

/// Prepares the first ring; more follow as its table fills.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    RingCounts::keep(&worker.counters);
    let options = worker.options;
    let mut rings = RingSet::default();
    let mut acceptor = Acceptor::new(worker.listener, move |_| make_ring(&options));
    acceptor.add_ring(&mut rings)?;
    Ok(Box::new(Uring {
        rings,
        acceptor,
        states: Vec::new(),
        gathered: HashMap::new(),
        to_rearm: VecDeque::new(),
        stop: worker.stop,
        counters: worker.counters,
    }))
}

fn make_ring(options: &Options) -> Result<Ring, ServeError> {
    let buffers = if direct::rings_expected(options) >= MANY_RINGS {
        BUFFERS_OF_MANY
    } else {
        BUFFERS
    };
    let bytes = buffer_bytes(options.message_bytes, BUFFER_BYTES_MIN) as u32;
    Setup::new(direct::slots_per_ring(options))
        .buffers(buffers, bytes)
        .build()
        .map_err(setup_failed)
}

impl Serve for Uring {
    fn granted(&self) -> Vec<Grant> {
        direct::grants(self.rings.first())
    }

    fn serve(mut self: Box<Self>) -> Result<(), ServeError> {
        let mut counts = RingCounts::default();
        self.rings
            .ring(0)
            .watch(self.stop.as_fd(), STOP_KEY)
            .map_err(ring_failed)?;
        loop {
            self.acceptor.advance(&mut self.rings)?;
            self.rearm_some()?;
            self.rings.wait(None).map_err(ring_failed)?;
            for position in 0..self.rings.hot_count() {
                let index = self.rings.hot(position);
                while let Some(event) = self.rings.ring(index).pop() {
                    if matches!(event, Event::Readable { key: STOP_KEY, .. }) {
                        return Ok(());
                    }
                    self.handle(index, event)?;
                }
            }
            counts.tell(&self.counters, &self.rings);
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
                match self.acceptor.accepted(ring_index, result, shot)? {
                    Some(slot) => self.begin(ring_index, slot),
                    None => Ok(()),
                }
            }
            Event::Closed { .. } => {
                self.acceptor.closed(ring_index);
                self.counters.closed.add(1);
                Ok(())
            }
            Event::Connected { .. } | Event::Readable { .. } => Ok(()),
        }
    }

    fn begin(&mut self, ring_index: usize, slot: Slot) -> Result<(), ServeError> {
        self.counters.accepted.add(1);
        while self.states.len() <= ring_index {
            let slots = self.rings.ring(self.states.len()).slots();
            self.states.push(vec![State::default(); slots as usize]);
        }
        *self.state(ring_index, slot) = State::default();
        self.receive(ring_index, slot)
    }

    #[inline]
    fn state(&mut self, ring_index: usize, slot: Slot) -> &mut State {
        &mut self.states[ring_index][slot.index() as usize]
    }

    fn receive(&mut self, ring_index: usize, slot: Slot) -> Result<(), ServeError> {
        self.state(ring_index, slot).set(State::RECEIVING);
        self.rings
            .ring(ring_index)
            .receive(slot)
            .map_err(ring_failed)
    }

    #[inline]
    fn received(
        &mut self,
        ring_index: usize,
        slot: Slot,
        result: Result<Received, Errno>,
        shot: Shot,
    ) -> Result<(), ServeError> {
        if let Ok(Received::Data(lease)) = result {
            self.counters.received_bytes.add(lease.bytes() as u64);
            self.echo(ring_index, slot, lease)?;
            if shot == Shot::Armed {
                return Ok(());
            }
            self.state(ring_index, slot).clear(State::RECEIVING);
            return self.settle(ring_index, slot);
        }
        let state = self.state(ring_index, slot);
        if shot == Shot::Ended {
            state.clear(State::RECEIVING);
        }
        match result {
            Ok(_) => state.set(State::ENDED),
            Err(Errno::NOBUFS) => {
                state.set(State::QUEUED);
                self.to_rearm.push_back((ring_index, slot));
            }
            Err(Errno::CANCELED | Errno::AGAIN | Errno::INTR) => {}
            Err(_) => state.set(State::BROKEN),
        }
        self.settle(ring_index, slot)
    }

    /// Sends what was received, or gathers it behind the send that is in flight.
    #[inline]
    fn echo(&mut self, ring_index: usize, slot: Slot, lease: Lease) -> Result<(), ServeError> {
        let state = &mut self.states[ring_index][slot.index() as usize];
        let ring = self.rings.ring(ring_index);
        if state.has(State::SENDING | State::BROKEN) {
            return self.gather(ring_index, slot, lease);
        }
        state.set(State::SENDING);
        let (free, all) = ring.buffers_free();
        if free >= all / 4 {
            return ring.send_lease(slot, lease).map_err(ring_failed);
        }
        let copy = ring.bytes(&lease).to_vec();
        ring.recycle(lease);
        ring.send_owned(slot, copy).map_err(ring_failed)
    }

    fn gather(&mut self, ring_index: usize, slot: Slot, lease: Lease) -> Result<(), ServeError> {
        let state = &mut self.states[ring_index][slot.index() as usize];
        let ring = self.rings.ring(ring_index);
        if state.has(State::BROKEN) {
            ring.recycle(lease);
            return Ok(());
        }
        let gathered = self.gathered.entry((ring_index, slot.index())).or_default();
        gathered.extend_from_slice(ring.bytes(&lease));
        ring.recycle(lease);
        state.set(State::GATHERED);
        if gathered.len() >= GATHERED_BYTES_MAX && !state.has(State::PAUSED) {
            state.set(State::PAUSED);
            if state.has(State::RECEIVING) {
                return ring.cancel_receive(slot).map_err(ring_failed);
            }
        }
        Ok(())
    }

    #[inline]
    fn sent(
        &mut self,
        ring_index: usize,
        slot: Slot,
        memory: Sent,
        result: Result<usize, Errno>,
    ) -> Result<(), ServeError> {
        let ring = self.rings.ring(ring_index);
        let mut rest = None;
        match memory {
            Sent::Lease(lease) => {
                rest = unsent(ring.bytes(&lease), result);
                ring.recycle(lease);
            }
            Sent::Owned(bytes) => rest = unsent(&bytes, result),
            Sent::Pattern => {}
        }
        let state = &mut self.states[ring_index][slot.index() as usize];
        if let Some(rest) = rest {
            return ring.send_owned(slot, rest).map_err(ring_failed);
        }
        state.clear(State::SENDING);
        if result.is_err() {
            state.set(State::BROKEN);
        }
        // The hot path: nothing gathered, still receiving.
        if state.0 == State::RECEIVING {
            return Ok(());
        }
        self.settle(ring_index, slot)
    }

    /// Does what a connection's state asks for next: send on, receive again, or close.
    fn settle(&mut self, ring_index: usize, slot: Slot) -> Result<(), ServeError> {
        let key = (ring_index, slot.index());
        let ring = self.rings.ring(ring_index);
        let state = &mut self.states[ring_index][slot.index() as usize];
        if state.has(State::BROKEN) && state.has(State::GATHERED) {
            self.gathered.remove(&key);
            state.clear(State::GATHERED);
        }
        if state.has(State::GATHERED) && !state.has(State::SENDING) {
            let bytes = self.gathered.remove(&key).unwrap_or_default();
            state.clear(State::GATHERED | State::PAUSED);
            state.set(State::SENDING);
            ring.send_owned(slot, bytes).map_err(ring_failed)?;
        }
        let is_over = state.has(State::ENDED | State::BROKEN);
        if !is_over {
            if !state.has(State::RECEIVING | State::PAUSED | State::QUEUED) {
                self.counters.rearmed.add(1);
                return self.receive(ring_index, slot);
            }
            return Ok(());
        }
        if state.has(State::RECEIVING) {
            // Broken by a failed send: the receive has to end before the slot can be closed.
            return ring.cancel_receive(slot).map_err(ring_failed);
        }
        if !state.has(State::SENDING | State::CLOSING | State::QUEUED) {
            state.set(State::CLOSING);
            return ring.close(slot).map_err(ring_failed);
        }
        Ok(())
    }

    /// Arms a few of the receives that ended for want of a buffer.
    #[inline]
    fn rearm_some(&mut self) -> Result<(), ServeError> {
        for _ in 0..REARM_AT_ONCE.min(self.to_rearm.len()) {
            let Some((ring_index, slot)) = self.to_rearm.pop_front() else {
                break;
            };
            if self.rings.ring(ring_index).buffers_free().0 == 0 {
                self.to_rearm.push_back((ring_index, slot));
                continue;
            }
            self.state(ring_index, slot).clear(State::QUEUED);
            self.settle(ring_index, slot)?;
        }
        Ok(())
    }
}

/// What a send left: the kernel was asked for all of it, so this is rare, and an error ends it.
#[inline]
fn unsent(bytes: &[u8], result: Result<usize, Errno>) -> Option<Vec<u8>> {
    match result {
        Ok(sent) if sent < bytes.len() => Some(bytes[sent..].to_vec()),
        _ => None,
    }
}

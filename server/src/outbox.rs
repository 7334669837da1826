//! How the ring engines send what they have received: one send in flight on a connection at most.
//!
//! The usual echo is sent straight from the buffer that it was received in. A send that cannot go out
//! keeps its buffer, so when few buffers are left echoes are sent from copies instead, and no number of
//! stuck peers takes the last buffer from the others.
//!
//! An engine whose receives stay armed gets more while a send is in flight. That is gathered on the
//! heap and sent as one when the send has ended. A peer that does not read makes its gathering grow:
//! past [`GATHERED_BYTES_MAX`] its receive is cancelled until the gathering is gone, so TCP's window
//! closes on it. A gathering exists only while it is needed.

use crate::ServeError;
use crate::acceptor::ring_failed;
use crate::state::State;
use fourtuple_ring::{Errno, Lease, Ring, RingSet, Sent, Slot};
use std::collections::{HashMap, VecDeque};

/// What one connection may gather while its peer does not read. The receive that is being cancelled
/// may add a few buffers more.
const GATHERED_BYTES_MAX: usize = 256 * 1024;
/// Starved connections looked at in one turn, where a receive that stays armed takes any number of
/// buffers: all at once would empty them at once.
pub(crate) const REARMED_AT_ONCE: usize = 16;
/// The same where most receives are counted before they are made: the bound is the buffers'. With 32 a
/// ring of 2,000 active connections served the last of them after two seconds.
pub(crate) const FED_AT_ONCE: usize = 256;

/// What connections of all rings have gathered.
#[derive(Default)]
pub(crate) struct Outbox {
    /// What is received is queued in the ring, and a send takes all that is.
    queues: bool,
    gathered: HashMap<(usize, u32), Vec<u8>>,
}

impl Outbox {
    /// One for a way to send.
    pub(crate) fn new(send: fourtuple_spec::factors::Send) -> Self {
        Self {
            queues: send == fourtuple_spec::factors::Send::Bundle,
            ..Self::default()
        }
    }

    /// Sends what was received, or gathers it behind the send that is in flight.
    #[inline]
    pub(crate) fn echo(
        &mut self,
        ring_index: usize,
        ring: &mut Ring,
        state: &mut State,
        slot: Slot,
        lease: Lease,
    ) -> Result<(), ServeError> {
        if state.has(State::BROKEN) {
            ring.recycle(lease);
            return Ok(());
        }
        if self.queues {
            return queue(ring, state, slot, lease);
        }
        if !state.has(State::SENDING) {
            return send(ring, state, slot, lease);
        }
        let gathered = self.gathered.entry((ring_index, slot.index())).or_default();
        ring.append(&lease, 0, gathered);
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

    /// Sends what is gathered unless a send is in flight; of a broken connection it is thrown away.
    pub(crate) fn flush(
        &mut self,
        ring_index: usize,
        ring: &mut Ring,
        state: &mut State,
        slot: Slot,
    ) -> Result<(), ServeError> {
        if !state.has(State::GATHERED) || state.has(State::SENDING) && !state.has(State::BROKEN) {
            return Ok(());
        }
        let bytes = self.gathered.remove(&(ring_index, slot.index()));
        state.clear(State::GATHERED | State::PAUSED);
        if state.has(State::BROKEN) {
            return Ok(());
        }
        state.set(State::SENDING);
        ring.send_owned(slot, bytes.unwrap_or_default())
            .map_err(ring_failed)
    }
}

/// Sends what was received. No other send may be in flight on that connection.
#[inline]
pub(crate) fn send(
    ring: &mut Ring,
    state: &mut State,
    slot: Slot,
    lease: Lease,
) -> Result<(), ServeError> {
    state.set(State::SENDING);
    let (free, all) = ring.buffers_free();
    if free >= all / 4 {
        return ring.send_lease(slot, lease).map_err(ring_failed);
    }
    ring.send_rest(slot, lease, 0).map_err(ring_failed)
}

/// Takes back the memory of a send that has ended, and sends what it left. The kernel was asked for
/// all of it, so that is rare, and an error ends it.
#[inline]
pub(crate) fn sent(
    ring: &mut Ring,
    state: &mut State,
    slot: Slot,
    memory: Sent,
    result: Result<usize, Errno>,
) -> Result<(), ServeError> {
    // No send is cancelled here. But one that the kernel hands to a worker thread, because attempt after attempt sent
    // a part only, may come back cancelled, or cut if a part was sent (seen on 6.18): nothing of it was sent.
    let result = match result {
        Err(Errno::CANCELED) => Ok(0),
        result => result,
    };
    match (memory, result) {
        (Sent::Lease(lease), Ok(sent)) if sent < lease.bytes() => {
            return ring.send_rest(slot, lease, sent).map_err(ring_failed);
        }
        (Sent::Owned(bytes), Ok(sent)) if sent < bytes.len() => {
            let rest = bytes[sent..].to_vec();
            return ring.send_owned(slot, rest).map_err(ring_failed);
        }
        (Sent::Queued { left_bytes }, Ok(_)) if left_bytes > 0 && !state.has(State::BROKEN) => {
            return ring.send_queued(slot).map_err(ring_failed);
        }
        (Sent::Queued { left_bytes: 0 }, Ok(_)) => state.clear(State::PAUSED),
        (Sent::Queued { .. }, _) => ring.drop_queued(slot),
        (Sent::Lease(lease), _) => ring.recycle(lease),
        (Sent::Lent, Err(Errno::NOMEM)) => return Err(not_locked()),
        (Sent::Lent | Sent::Owned(_) | Sent::Pattern, _) => {}
    }
    state.clear(State::SENDING);
    if result.is_err() {
        state.set(State::BROKEN);
    }
    Ok(())
}

/// Queues what was received, as it is or as a copy (see [`send`]), and sends unless a send is in flight. What is
/// queued has the bound of what is gathered.
fn queue(ring: &mut Ring, state: &mut State, slot: Slot, lease: Lease) -> Result<(), ServeError> {
    let (free, all) = ring.buffers_free();
    if free >= all / 4 {
        ring.queue_lease(slot, lease).map_err(ring_failed)?;
    } else {
        let mut copy = Vec::with_capacity(lease.bytes());
        ring.append(&lease, 0, &mut copy);
        ring.recycle(lease);
        ring.queue_owned(slot, copy).map_err(ring_failed)?;
    }
    if !state.has(State::SENDING) {
        state.set(State::SENDING);
        return ring.send_queued(slot).map_err(ring_failed);
    }
    if state.has(State::PAUSED) || ring.queued_bytes(slot) < GATHERED_BYTES_MAX {
        return Ok(());
    }
    state.set(State::PAUSED);
    if state.has(State::RECEIVING) {
        return ring.cancel_receive(slot).map_err(ring_failed);
    }
    Ok(())
}

/// A copy in place of it would be another way to send.
fn not_locked() -> ServeError {
    ServeError::limited(
        fourtuple_spec::limiter::LOCKED_MEMORY,
        "a send without a copy locks what it sends, and RLIMIT_MEMLOCK is met: raise it with `ulimit -l`, or \
         leave the factor send out",
    )
}

/// Closes a connection once nothing of it is in the kernel.
pub(crate) fn close_when_quiet(
    ring: &mut Ring,
    state: &mut State,
    slot: Slot,
) -> Result<(), ServeError> {
    const BUSY: u16 = State::RECEIVING | State::POLLING | State::SENDING;
    if state.has(BUSY | State::CLOSING | State::STARVED) {
        return Ok(());
    }
    state.set(State::CLOSING);
    ring.close(slot).map_err(ring_failed)
}

/// Connections that wait for a buffer to receive into, in the order in which they began to.
#[derive(Default)]
pub(crate) struct Starved(VecDeque<(usize, Slot)>);

impl Starved {
    pub(crate) fn push(&mut self, ring_index: usize, slot: Slot) {
        self.0.push_back((ring_index, slot));
    }

    /// Whether a connection has to wait behind others, or for a buffer.
    #[inline]
    pub(crate) fn must_wait(&self, ring: &Ring) -> bool {
        !self.0.is_empty() || ring.buffers_unclaimed() == 0
    }

    /// How many to look at in this turn.
    #[inline]
    pub(crate) fn count(&self, at_once: usize) -> usize {
        self.0.len().min(at_once)
    }

    /// The first of them, if there is a buffer for it; otherwise it is the last from now on.
    pub(crate) fn next(&mut self, rings: &mut RingSet) -> Option<(usize, Slot)> {
        let (ring_index, slot) = self.0.pop_front()?;
        if rings.ring(ring_index).buffers_unclaimed() == 0 {
            self.push(ring_index, slot);
            return None;
        }
        Some((ring_index, slot))
    }
}

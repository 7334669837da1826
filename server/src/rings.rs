//! The rings of an engine, with what accepts into them, ends them and counts for them.
//!
//! What every ring engine does before it looks at an event and after it is done with all of them is
//! here. When it waits, and what an event means to it, each engine says in a loop of its own.

use crate::acceptor::{Acceptor, ring_failed};
use crate::direct;
use crate::worker::Worker;
use crate::{Counters, Options, ServeError};
use fourtuple_ring::{Errno, Event, Ring, RingCounters, RingSet, Shot, Slot};
use fourtuple_spec::Factors;
use fourtuple_spec::record::Grant;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// The key under which the stop event is watched.
const STOP_KEY: u32 = 1;

/// The rings of an engine.
pub(crate) struct Rings {
    /// Dropped first, and with it whatever watches `stop`.
    pub(crate) set: RingSet,
    pub(crate) counters: Arc<Counters>,
    acceptor: Acceptor,
    told: Told,
    /// Completions that a wait asks for.
    wait: u32,
    /// How long to watch for the next event before sleeping. The one clock of a server: a case asks for it.
    spin: Duration,
    /// Open for as long as the first ring watches it.
    _stop: OwnedFd,
}

impl Rings {
    /// Rings with buffers to receive into: the first; more follow as its table fills.
    pub(crate) fn receiving(worker: Worker) -> Result<Self, ServeError> {
        Self::new(worker, direct::receiving_ring)
    }

    /// Rings that receive nothing.
    pub(crate) fn holding(worker: Worker) -> Result<Self, ServeError> {
        Self::new(worker, direct::holding_ring)
    }

    fn new(
        worker: Worker,
        make_ring: fn(&Options) -> Result<Ring, ServeError>,
    ) -> Result<Self, ServeError> {
        let options = worker.options;
        let mut set = RingSet::default();
        let rings_max = options.rings_max;
        let Factors {
            accept, wait, spin, ..
        } = options.factors;
        let mut acceptor = Acceptor::new(worker.listener, accept, rings_max, move || {
            make_ring(&options)
        });
        acceptor.add_ring(&mut set)?;
        let first = set.ring(0);
        first
            .watch(worker.stop.as_fd(), STOP_KEY)
            .map_err(ring_failed)?;
        keep(&worker.counters);
        Ok(Self {
            set,
            counters: worker.counters,
            acceptor,
            told: Told::default(),
            wait,
            spin: Duration::from_micros(u64::from(spin)),
            _stop: worker.stop,
        })
    }

    /// What the kernel granted of what the first ring asked for; the others ask for the same.
    pub(crate) fn granted(&self) -> Vec<Grant> {
        direct::grants(self.set.first())
    }

    /// Begins a turn: sees to it that the next connection will be accepted.
    #[inline]
    pub(crate) fn begin_turn(&mut self) -> Result<(), ServeError> {
        self.acceptor.advance(&mut self.set)
    }

    /// Submits what is queued, and waits for an event, at most for `patience`.
    #[inline]
    pub(crate) fn wait(&mut self, patience: Option<Duration>) -> Result<(), ServeError> {
        let waited = match self.spin {
            Duration::ZERO => self.set.wait_for(self.wait, patience),
            spin => self.set.wait_spinning(spin, patience).map(drop),
        };
        waited.map_err(ring_failed)
    }

    /// The next event that is there without waiting, and the ring that it is of.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(usize, Event)> {
        self.set.pop()
    }

    /// Ends a turn: tells others what was counted in it.
    #[inline]
    pub(crate) fn end_turn(&mut self) {
        self.told.bring_up(&self.counters, &self.set);
    }

    /// Takes note of what an accept answered, and says which slot was taken, if one was.
    pub(crate) fn accepted(
        &mut self,
        ring_index: usize,
        result: Result<Slot, Errno>,
        shot: Shot,
    ) -> Result<Option<Slot>, ServeError> {
        let slot = self.acceptor.accepted(ring_index, result, shot)?;
        self.counters.accepted.add(u64::from(slot.is_some()));
        // At once, and not with the next turn: while connections come as fast as they are handled, a turn does
        // not end, and the table would be full before it did.
        self.acceptor.advance(&mut self.set)?;
        Ok(slot)
    }

    /// Takes note that a slot is free again.
    pub(crate) fn closed(&mut self, ring_index: usize) {
        self.acceptor.closed(ring_index);
        self.counters.closed.add(1);
    }
}

/// Whether the server is asked to stop.
#[inline]
pub(crate) fn is_stop(event: &Event) -> bool {
    matches!(event, Event::Readable { key: STOP_KEY, .. })
}

/// Begins the counts that every ring engine keeps.
fn keep(counters: &Counters) {
    for count in [
        &counters.accepted,
        &counters.closed,
        &counters.received_bytes,
        &counters.system_calls,
        &counters.enters,
        &counters.completions,
        &counters.no_buffers,
        &counters.overflows,
        &counters.rearmed,
        &counters.rings,
    ] {
        count.keep();
    }
}

/// What others have been told of the rings' own counts.
#[derive(Default)]
struct Told {
    counters: RingCounters,
    rings: usize,
}

impl Told {
    /// Adds what has been counted since the last call.
    #[inline]
    fn bring_up(&mut self, counters: &Counters, rings: &RingSet) {
        let now = rings.counters();
        let told = &self.counters;
        // All that these engines ask of the kernel, they ask in these calls.
        counters.system_calls.add(now.enters - told.enters);
        counters.enters.add(now.enters - told.enters);
        counters.completions.add(now.completions - told.completions);
        counters.no_buffers.add(now.no_buffers - told.no_buffers);
        counters.overflows.add(now.overflows - told.overflows);
        counters.rings.add((rings.len() - self.rings) as u64);
        self.counters = now;
        self.rings = rings.len();
    }
}

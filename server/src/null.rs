//! `null`: accepts into direct descriptors and holds, never arms, never answers.
//!
//! The control of the memory ledger: what a connection costs before anybody waits for its data. It
//! does not hear a peer go, so its slots are free again only when it stops.

use crate::acceptor::{Acceptor, ring_failed};
use crate::direct::{self, RingCounts, STOP_KEY};
use crate::engine::{Serve, Worker};
use crate::{Counters, ServeError};
use fourtuple_ring::{Event, RingSet};
use fourtuple_spec::record::Grant;
use std::os::fd::OwnedFd;
use std::sync::Arc;

struct Null {
    rings: RingSet,
    acceptor: Acceptor,
    stop: OwnedFd,
    counters: Arc<Counters>,
}

/// Prepares the first ring; more follow as its table fills.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    RingCounts::keep(&worker.counters);
    let options = worker.options;
    let mut rings = RingSet::default();
    let mut acceptor = Acceptor::new(worker.listener, move |_| direct::holding_ring(&options));
    acceptor.add_ring(&mut rings)?;
    Ok(Box::new(Null {
        rings,
        acceptor,
        stop: worker.stop,
        counters: worker.counters,
    }))
}

impl Serve for Null {
    fn granted(&self) -> Vec<Grant> {
        direct::grants(self.rings.first())
    }

    fn serve(mut self: Box<Self>) -> Result<(), ServeError> {
        let mut counts = RingCounts::default();
        direct::watch_stop(&mut self.rings, &self.stop)?;
        loop {
            self.acceptor.advance(&mut self.rings)?;
            self.rings.wait(None).map_err(ring_failed)?;
            while let Some((ring_index, event)) = self.rings.pop() {
                match event {
                    Event::Accepted { result, shot } => {
                        let slot = self.acceptor.accepted(ring_index, result, shot)?;
                        self.counters.accepted.add(u64::from(slot.is_some()));
                    }
                    Event::Readable { key: STOP_KEY, .. } => return Ok(()),
                    _ => {}
                }
            }
            counts.tell(&self.counters, &self.rings);
        }
    }
}

//! `null`: accepts into direct descriptors and holds, never arms, never answers.
//!
//! The control of the memory ledger: what a connection costs before anybody waits for its data. It
//! does not hear a peer go, so its slots are free again only when it stops.

use crate::ServeError;
use crate::rings::{self, Rings};
use crate::worker::{Serve, Worker};
use fourtuple_ring::Event;
use fourtuple_spec::record::Grant;

struct Null {
    rings: Rings,
}

/// Prepares the first ring; more follow as its table fills.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    let rings = Rings::holding(worker)?;
    Ok(Box::new(Null { rings }))
}

impl Serve for Null {
    fn granted(&self) -> Vec<Grant> {
        self.rings.granted()
    }

    fn serve(mut self: Box<Self>) -> Result<(), ServeError> {
        loop {
            self.rings.begin_turn()?;
            self.rings.wait(None)?;
            while let Some((ring_index, event)) = self.rings.pop() {
                if rings::is_stop(&event) {
                    return Ok(());
                }
                if let Event::Accepted { result, shot } = event {
                    self.rings.accepted(ring_index, result, shot)?;
                }
            }
            self.rings.end_turn();
        }
    }
}

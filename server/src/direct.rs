//! What the engines on direct descriptors share: how large a ring is made, and how its events are counted.

use crate::Counters;
use crate::Options;
use crate::acceptor::MULTISHOT_ROOM;
use fourtuple_ring::{Feature, Ring, RingCounters, RingSet, table_slots_max};
use fourtuple_spec::record::Grant;

/// The key under which the stop event is watched.
pub(crate) const STOP_KEY: u32 = 1;

/// Slots of one ring's table: as many as the expected connections need with room for multishot
/// accept, within what limits allow.
pub(crate) fn slots_per_ring(options: &Options) -> u32 {
    let limit = table_slots_max();
    let wanted = match (options.slots_per_ring, options.connections) {
        (Some(slots), _) => slots,
        (None, Some(connections)) => connections.saturating_add(MULTISHOT_ROOM + 64),
        (None, None) => limit,
    };
    wanted.clamp(1, limit)
}

/// How many rings the expected connections will need; 1 where they are not known.
pub(crate) fn rings_expected(options: &Options) -> u32 {
    options.connections.map_or(1, |connections| {
        connections.div_ceil(slots_per_ring(options))
    })
}

/// What the kernel granted to a ring, as records tell it.
pub(crate) fn grants(ring: &Ring) -> Vec<Grant> {
    ring.grants()
        .iter()
        // Sockets come from accept here; that the ring could make them is the client's affair.
        .filter(|grant| grant.feature != Feature::RingSockets)
        .map(|grant| Grant {
            feature: grant.feature.name().to_owned(),
            granted: grant.refused.is_none(),
            reason: grant.refused.clone(),
        })
        .collect()
}

/// Keeps the shared counts up with the rings' own.
#[derive(Default)]
pub(crate) struct RingCounts {
    told: RingCounters,
    rings: usize,
}

impl RingCounts {
    /// Begins the counts that a ring engine keeps.
    pub(crate) fn keep(counters: &Counters) {
        for count in [
            &counters.accepted,
            &counters.closed,
            &counters.received_bytes,
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

    /// Adds what has been counted since the last call.
    #[inline]
    pub(crate) fn tell(&mut self, counters: &Counters, rings: &RingSet) {
        let now = rings.counters();
        counters.enters.add(now.enters - self.told.enters);
        counters
            .completions
            .add(now.completions - self.told.completions);
        counters
            .no_buffers
            .add(now.no_buffers - self.told.no_buffers);
        counters.overflows.add(now.overflows - self.told.overflows);
        counters.rings.add((rings.len() - self.rings) as u64);
        self.told = now;
        self.rings = rings.len();
    }
}

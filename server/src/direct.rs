//! How a ring of direct descriptors is made, and how large, for the engines that accept into one.

use crate::acceptor::{MULTISHOT_ROOM, setup_failed};
use crate::engine::buffer_bytes;
use crate::{Options, ServeError};
use fourtuple_ring::{Feature, Ring, Setup, table_slots_max};
use fourtuple_spec::record::Grant;

/// Rings from which on there are many, of which few are busy at a time: what each of them takes of its
/// own, beside what its connections do, is a part of what a connection costs.
const MANY_RINGS: u32 = 4;
/// Entries of the queues: submission, completion. The completion queue's length is also what the kernel
/// sizes the table by that a cancel looks a request up in: with 18,000 polls armed a cancel took 8 µs at
/// 2,048 entries, and 4 µs at 4,096 and at 8,192 (Linux 6.18). Neither length overflowed with 16,384
/// connections active.
const QUEUES: (u32, u32) = (1024, 4096);
const QUEUES_OF_MANY: (u32, u32) = (512, 4096);
/// Buffers of a ring that serves alone. The kernel takes them in turn, so they all pass through the
/// cache; two turns of the loop hold some of them at once, a few dozen each: those whose sends are
/// queued, and those that the kernel fills meanwhile.
const BUFFERS: u16 = 256;
/// A turn that passes round a million connections makes thousands of one ring's busy at once: with 64
/// buffers as many receives as echoes found none.
const BUFFERS_OF_MANY: u16 = 128;
/// Bytes of a buffer, at least.
const BUFFER_BYTES_MIN: usize = 2048;
const BUFFER_BYTES_MIN_OF_MANY: usize = 256;

/// A ring as every engine here sets it up, so that what they differ in is what they do with it.
fn setup(options: &Options) -> Setup {
    let (submissions, completions) = if has_many_rings(options) {
        QUEUES_OF_MANY
    } else {
        QUEUES
    };
    Setup::new(slots_per_ring(options)).queues(submissions, completions)
}

/// A ring that receives nothing.
pub(crate) fn holding_ring(options: &Options) -> Result<Ring, ServeError> {
    setup(options).build().map_err(setup_failed)
}

/// A ring with buffers to receive into.
pub(crate) fn receiving_ring(options: &Options) -> Result<Ring, ServeError> {
    let (buffers, bytes_min) = if has_many_rings(options) {
        (BUFFERS_OF_MANY, BUFFER_BYTES_MIN_OF_MANY)
    } else {
        (BUFFERS, BUFFER_BYTES_MIN)
    };
    let bytes = buffer_bytes(options.message_bytes, bytes_min) as u32;
    let setup = setup(options).buffers(buffers, bytes);
    setup.build().map_err(setup_failed)
}

/// Slots of one ring's table: as many as the expected connections need with room for multishot
/// accept, within what limits allow.
fn slots_per_ring(options: &Options) -> u32 {
    let limit = table_slots_max();
    let wanted = match (options.slots_per_ring, options.connections) {
        (Some(slots), _) => slots,
        (None, Some(connections)) => connections.saturating_add(MULTISHOT_ROOM + 64),
        (None, None) => limit,
    };
    wanted.clamp(1, limit)
}

/// Whether the expected connections will need many rings.
fn has_many_rings(options: &Options) -> bool {
    let rings = options.connections.map_or(1, |connections| {
        connections.div_ceil(slots_per_ring(options))
    });
    rings >= MANY_RINGS
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

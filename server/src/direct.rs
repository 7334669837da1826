//! How a ring of direct descriptors is made, and how large, for the engines that accept into one.

use crate::acceptor::{MULTISHOT_ROOM, ring_failed, setup_failed};
use crate::worker::buffer_bytes;
use crate::{Options, ServeError};
use fourtuple_ring::{
    BUNDLED_SLOTS_MAX, Feature, FeatureGrant, Ring, Setup, Taskrun, table_slots_max,
};
use fourtuple_spec::factors::{self, Buffers, DescriptorKind, Receive};
use fourtuple_spec::record::Grant;
use std::time::Duration;

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
/// Buffers of a ring that are taken piece by piece: few and large, because the kernel goes on with one for as long
/// as it has room. Together they are as many bytes as those that are taken whole, so that the memory which a turn
/// passes through is the same; a slow peer keeps a sixteenth of it with one message.
const INCREMENTAL_BUFFERS: u16 = 16;
/// How long the kernel thread that takes submissions looks for more before it sleeps: longer than any pause
/// of a server that has work.
const POLLING_IDLE: Duration = Duration::from_millis(50);
/// For how long a wait insists on several completions.
const GATHERING: Duration = Duration::from_micros(50);
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
    let factors = &options.factors;
    let setup = Setup::new(slots_per_ring(options))
        .queues(submissions, completions)
        .taskrun(match factors.taskrun {
            factors::Taskrun::Defer => Taskrun::Defer,
            factors::Taskrun::Coop => Taskrun::Coop,
            factors::Taskrun::Default => Taskrun::Interrupt,
        });
    let setup = match factors.sqpoll {
        true => setup.submission_polling(POLLING_IDLE),
        false => setup,
    };
    match factors.descriptors {
        DescriptorKind::Direct => setup,
        DescriptorKind::Plain => setup.plain_descriptors(),
    }
}

/// Makes a ring, and has it wait as it is asked to.
///
/// # Errors
/// The kernel refuses the ring, or does not grant what a factor asks for: what is measured then would go by a
/// name that is not its own.
fn build(options: &Options, setup: Setup) -> Result<Ring, ServeError> {
    let mut ring = setup.build().map_err(setup_failed)?;
    let factors = &options.factors;
    let asked = [
        (
            factors.taskrun == factors::Taskrun::Coop,
            Feature::CoopTaskrun,
            "taskrun",
        ),
        (factors.sqpoll, Feature::SubmissionPolling, "sqpoll"),
        (
            factors.recv == Receive::Bundle,
            Feature::ReceiveBundle,
            "recv",
        ),
        (
            factors.buffers == Buffers::RingIncremental,
            Feature::BuffersIncremental,
            "buffers",
        ),
        (
            factors.buffers == Buffers::Fixed,
            Feature::BuffersFixed,
            "buffers",
        ),
        (
            factors.send == factors::Send::ZeroCopy,
            Feature::SendZeroCopy,
            "send",
        ),
        (
            factors.send == factors::Send::Bundle,
            Feature::SendBundle,
            "send",
        ),
    ];
    for (is_asked, feature, factor) in asked {
        let is_granted = |grant: &FeatureGrant| grant.feature == feature && grant.refused.is_none();
        if is_asked && !ring.grants().iter().any(is_granted) {
            return Err(not_granted(factor, feature.name(), feature.since()));
        }
    }
    if factors.wait > 1 && !ring.gather(GATHERING).map_err(ring_failed)? {
        return Err(not_granted("wait", "a least time of waiting", "6.12"));
    }
    Ok(ring)
}

fn not_granted(factor: &str, what: &str, since: &str) -> ServeError {
    ServeError::new(format!(
        "this kernel does not grant {what}, which came with Linux {since}: leave the factor {factor} out"
    ))
}

/// A ring that receives nothing.
pub(crate) fn holding_ring(options: &Options) -> Result<Ring, ServeError> {
    build(options, setup(options))
}

/// A ring with buffers to receive into.
pub(crate) fn receiving_ring(options: &Options) -> Result<Ring, ServeError> {
    let (buffers, bytes_min) = if has_many_rings(options) {
        (BUFFERS_OF_MANY, BUFFER_BYTES_MIN_OF_MANY)
    } else {
        (BUFFERS, BUFFER_BYTES_MIN)
    };
    let bytes = buffer_bytes(options.message_bytes, bytes_min) as u32;
    build(options, receiving(options, setup(options), buffers, bytes))
}

/// Has a ring receive and send as the factors say: into as much memory as `buffers` of so many bytes are, or into
/// one of them for each connection.
fn receiving(options: &Options, setup: Setup, buffers: u16, bytes: u32) -> Setup {
    let factors = &options.factors;
    let setup = match (factors.buffers, factors.recv) {
        (Buffers::Fixed, _) => setup.fixed_buffers(bytes),
        (Buffers::RingIncremental, _) => {
            let each = u32::from(buffers / INCREMENTAL_BUFFERS) * bytes;
            setup.incremental_buffers(INCREMENTAL_BUFFERS, each)
        }
        (Buffers::Ring, Receive::Bundle) => setup.bundled_buffers(buffers, bytes),
        (Buffers::Ring, _) => setup.buffers(buffers, bytes),
    };
    let setup = match factors.recv {
        Receive::Oneshot => setup.without(Feature::ReceiveMultishot),
        _ => setup,
    };
    match factors.send {
        factors::Send::Send => setup,
        factors::Send::ZeroCopy => setup.zero_copy_sends(),
        factors::Send::Bundle => setup.bundled_sends(),
    }
}

/// Slots of one ring's table: as many as the expected connections need with room for multishot
/// accept, within what limits allow.
fn slots_per_ring(options: &Options) -> u32 {
    let limit = table_slots_max();
    if options.factors.descriptors == DescriptorKind::Plain {
        // Slots are descriptors' numbers, and the process has as many as that.
        return limit;
    }
    let of_itself = match options.factors.send {
        factors::Send::Bundle => limit.min(BUNDLED_SLOTS_MAX),
        _ => limit,
    };
    let wanted = match (options.slots_per_ring, options.connections) {
        (Some(slots), _) => slots,
        (None, Some(connections)) => connections
            .saturating_add(MULTISHOT_ROOM + 64)
            .min(of_itself),
        (None, None) => of_itself,
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

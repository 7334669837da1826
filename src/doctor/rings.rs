//! What bounds those who take slots of a ring's table in the place of descriptors.

use super::descriptors::{NOT_KNOWN, raise_to};
use super::inputs::{Inputs, allows, known};
use super::number::{count, counted};
use super::remedy::{set, setting_file};
use super::{Allows, Remedy, Rung, Scope, Serving, Side, Takes};
use fourtuple_spec::limits::Grant;
use fourtuple_spec::{Reading, limiter};

/// The most slots that the kernel gives a table: IORING_MAX_FIXED_FILES.
const SLOTS_MOST: u64 = 1 << 20;

/// Whether a ring is to be had at all.
pub fn io_uring(inputs: &Inputs) -> Option<Rung> {
    let reading = &inputs.limits.machine.io_uring;
    let side = side(inputs);
    let allows = match (side, reading) {
        (None, _) => Allows::Any("no connection needs a ring".to_owned()),
        (Some(_), Reading::Known(Grant::Granted)) => Allows::Any("it is granted".to_owned()),
        (Some(_), Reading::Known(Grant::Refused(_))) => Allows::Connections(0),
        (Some(_), Reading::Unknown(reason)) => Allows::Unknown(reason.clone()),
    };
    let (value, used, remedy) = match reading {
        Reading::Known(Grant::Granted) => (Some("granted"), None, Remedy::default()),
        Reading::Known(Grant::Refused(why)) => (Some("refused"), Some(why), grant(inputs, why)),
        Reading::Unknown(_) => (None, None, Remedy::default()),
    };
    Some(Rung {
        limit: limiter::IO_URING,
        side: side.unwrap_or(Side::Both),
        scope: Scope::Machine,
        value: value.map(str::to_owned),
        used: used.filter(|_| side.is_some()).cloned(),
        allows,
        read_from: format!(
            "io_uring_setup, {}",
            setting_file("kernel.io_uring_disabled")
        ),
        symptom: "EPERM or ENOSYS: a ring cannot be set up",
        remedy,
    })
}

/// Who needs a ring.
fn side(inputs: &Inputs) -> Option<Side> {
    let server = inputs.question.server.as_ref().map(|server| server.takes);
    let client = inputs.question.client.as_ref().map(|client| client.takes);
    match (
        server == Some(Takes::DirectSlot),
        client == Some(Takes::DirectSlot),
    ) {
        (true, true) => Some(Side::Both),
        (true, false) => Some(Side::Server),
        (false, true) => Some(Side::Client),
        (false, false) => None,
    }
}

const FILTERED: &str = "the seccomp profile of the container has to allow io_uring_setup, io_uring_enter and \
                        io_uring_register";

fn grant(inputs: &Inputs, why: &str) -> Remedy {
    let disabled = inputs.limits.machine.io_uring_disabled.known();
    let is_filtered = inputs.limits.process.seccomp.known() == Some(&2);
    let elsewise = "or take an engine on process descriptors (--engine epoll)";
    match (disabled, is_filtered) {
        (Some(1..), _) => {
            set(inputs, "kernel.io_uring_disabled", Scope::Machine, "0").and(elsewise)
        }
        (_, true) => Remedy::advice(FILTERED).and(elsewise),
        _ if why.contains("ENOSYS") => {
            Remedy::advice("the kernel has to be built with CONFIG_IO_URING").and(elsewise)
        }
        _ => Remedy::advice(elsewise.trim_start_matches("or ")),
    }
}

/// Slots of direct descriptors.
pub fn direct_table(inputs: &Inputs) -> Option<Rung> {
    let server = inputs.question.server.as_ref()?;
    let most = known(&inputs.limits.process.descriptors_soft);
    let most = most.map(|soft| soft.min(SLOTS_MOST));
    let slots = match (server.slots_per_ring, &most) {
        (Some(slots), Ok(most)) => Ok(slots.min(*most)),
        (Some(slots), Err(_)) => Ok(slots.min(SLOTS_MOST)),
        (None, most) => most.clone(),
    };
    let left = |open: Result<u64, String>| {
        let rings = rings(inputs, server, open)?;
        let each = rings.saturating_mul(slots.clone()?);
        Ok(each.saturating_mul(server.processes))
    };
    let open = known(&inputs.limits.process.descriptors_open);
    let room = inputs.room_or_most(left(open.clone()), left(Ok(0)));
    let is_unlimited = inputs.limits.process.descriptors_soft.known() == Some(&u64::MAX);
    let allows = match (server.takes, server.rings_max) {
        (Takes::Descriptor | Takes::Nothing, _) => {
            Allows::Any("no connection takes a slot".to_owned())
        }
        (_, None) if is_unlimited => {
            Allows::Any("there may be as many rings as it takes".to_owned())
        }
        _ => allows(&room),
    };
    let remedy = match (&allows, &slots) {
        (Allows::Connections(room), Ok(slots)) => more_room(inputs, server, *room, *slots),
        _ => Remedy::default(),
    };
    Some(Rung {
        limit: limiter::DIRECT_TABLE,
        side: Side::Server,
        scope: Scope::Process,
        value: slots.ok().map(|slots| match server.rings_max {
            Some(rings) => format!(
                "{} of {} slots",
                counted(rings, "ring", "rings"),
                count(slots)
            ),
            None => format!("{} slots a ring", count(slots)),
        }),
        used: match (server.rings_max, &open) {
            (Some(_), _) => None,
            (None, Ok(open)) => Some(format!(
                "each ring is a descriptor, and {} are open",
                count(*open)
            )),
            (None, Err(_)) => Some(NOT_KNOWN.to_owned()),
        },
        allows,
        read_from: inputs.process_file("limits"),
        symptom: "ENFILE: accept fails in its completion; EMFILE: a table cannot be registered",
        remedy,
    })
}

/// How many rings a process can have: each is a descriptor.
fn rings(inputs: &Inputs, server: &Serving, open: Result<u64, String>) -> Result<u64, String> {
    let soft = known(&inputs.limits.process.descriptors_soft);
    let left = soft.and_then(|soft| {
        let free = soft.saturating_sub(open?);
        Ok(free.saturating_sub(server.own_descriptors))
    });
    match (server.rings_max, left) {
        (Some(rings), Ok(left)) => Ok(rings.min(left)),
        (Some(rings), Err(_)) => Ok(rings),
        (None, left) => left,
    }
}

fn more_room(inputs: &Inputs, server: &Serving, room: u64, slots: u64) -> Remedy {
    let target = inputs.target(room);
    let each = target.div_ceil(server.processes.max(1));
    if server.rings_max.is_some() {
        let rings = each.div_ceil(slots.max(1));
        return Remedy::advice(format!(
            "let a server have {}: --rings-max {rings}",
            counted(rings, "ring", "rings")
        ));
    }
    let open = inputs.limits.process.descriptors_open.known().copied();
    let taken = open.unwrap_or(0).saturating_add(server.own_descriptors);
    raise_to(
        inputs,
        taken.saturating_add(rings_for(each, server.slots_per_ring)),
    )
}

/// How many rings so many slots take. Where a table is as large as the limit of descriptors, the limit grows with the
/// rings, and the tables with the limit.
fn rings_for(slots: u64, slots_per_ring: Option<u64>) -> u64 {
    match slots_per_ring {
        Some(each) => slots.div_ceil(each.clamp(1, SLOTS_MOST)),
        None => slots.div_ceil(slots.isqrt().clamp(1, SLOTS_MOST)),
    }
}

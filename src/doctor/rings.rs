//! What bounds those who take slots of a ring's table in the place of descriptors.

use super::inputs::{Inputs, known};
use super::number::{count, counted};
use super::remedy::{set, setting_file};
use super::{Allows, Remedy, Rung, Scope, Serving, Side, Takes};
use fourtuple_spec::{Reading, limiter};

/// The most slots that the kernel gives a table: IORING_MAX_FIXED_FILES.
const SLOTS_MOST: u64 = 1 << 20;

/// Whether a ring is to be had at all.
pub fn io_uring(inputs: &Inputs) -> Option<Rung> {
    let reading = &inputs.limits.machine.io_uring;
    let side = side(inputs);
    let allows = match (side, reading) {
        (None, _) => Allows::Any("no connection needs a ring".to_owned()),
        (Some(_), Reading::Known(())) => Allows::Any("it is granted".to_owned()),
        (Some(_), Reading::Unknown(reason)) if *reading == Reading::default() => {
            Allows::Unknown(reason.clone())
        }
        (Some(_), Reading::Unknown(_)) => Allows::Connections(0),
    };
    let remedy = match &allows {
        Allows::Connections(_) => grant(inputs),
        _ => Remedy::default(),
    };
    Some(Rung {
        limit: limiter::IO_URING,
        side: side.unwrap_or(Side::Both),
        scope: Scope::Machine,
        value: match reading {
            Reading::Known(()) => Some("granted".to_owned()),
            Reading::Unknown(_) if *reading == Reading::default() => None,
            Reading::Unknown(_) => Some("refused".to_owned()),
        },
        used: reading
            .reason()
            .filter(|_| matches!(allows, Allows::Connections(_)))
            .map(str::to_owned),
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

fn grant(inputs: &Inputs) -> Remedy {
    let disabled = inputs.limits.machine.io_uring_disabled.known();
    let is_filtered = inputs.limits.process.seccomp.known() == Some(&2);
    let elsewise = "or take an engine on process descriptors (--engine epoll)";
    match (disabled, is_filtered) {
        (Some(1..), _) => set(inputs, "kernel.io_uring_disabled", Scope::Machine, "0").and(elsewise),
        (_, true) => Remedy::advice("the seccomp profile of the container has to allow io_uring_setup, io_uring_enter and io_uring_register")
            .and(elsewise),
        _ => Remedy::advice("the kernel has to be built with CONFIG_IO_URING").and(elsewise),
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
    let allows = match (server.takes, server.rings_max, &slots) {
        (Takes::Descriptor | Takes::Nothing, ..) => {
            Allows::Any("no connection takes a slot".to_owned())
        }
        (_, None, _) => Allows::Any("there are as many rings as it takes".to_owned()),
        (_, _, Err(reason)) => Allows::Unknown(reason.clone()),
        (_, Some(rings), Ok(slots)) => {
            let each = rings.saturating_mul(*slots);
            Allows::Connections(each.saturating_mul(server.processes))
        }
    };
    let remedy = match (&allows, &slots) {
        (Allows::Connections(room), Ok(slots)) => more_rings(inputs, server, *room, *slots),
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
        used: None,
        allows,
        read_from: inputs.process_file("limits"),
        symptom: "ENFILE: accept fails in its completion; EMFILE: a table cannot be registered",
        remedy,
    })
}

fn more_rings(inputs: &Inputs, server: &Serving, room: u64, slots: u64) -> Remedy {
    let target = inputs.target(room);
    let each = target.div_ceil(server.processes.max(1));
    let rings = each.div_ceil(slots.max(1));
    Remedy::advice(format!(
        "let a server have {}: --rings-max {rings}",
        counted(rings, "ring", "rings")
    ))
}

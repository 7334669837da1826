//! What memory allows: the machine's, the control group's, and TCP's own.

use super::inputs::{CAP_IPC_LOCK, Inputs, allows, known};
use super::number::{bytes, count, limit};
use super::setting::Aside;
use super::{Allows, Remedy, Rung, Scope, Side};
use fourtuple_spec::limiter;
use fourtuple_spec::limits::GroupMemory;

/// What stays free of the machine's memory: this share of it, and no less than the bytes below.
const RESERVE_SHARE: f64 = 0.02;
const RESERVE_BYTES_LEAST: u64 = 256 << 20;

/// What stays free, bytes, of a machine with so much memory: below it the growth of a run is stopped, and what is above
/// it is what the doctor plans with.
pub fn reserve_bytes(memory_bytes: Option<u64>) -> u64 {
    ((memory_bytes.unwrap_or(0) as f64 * RESERVE_SHARE) as u64).max(RESERVE_BYTES_LEAST)
}

/// Memory of the machine.
pub fn of_machine(inputs: &Inputs) -> Option<Rung> {
    let machine = &inputs.limits.machine;
    let memory_bytes = machine.memory_bytes.known().copied();
    let reserve = reserve_bytes(memory_bytes);
    let each = inputs.question.memory.bytes;
    let available = known(&machine.memory_available_bytes);
    let room = available
        .clone()
        .map(|available| fitting(available.saturating_sub(reserve), each));
    Some(Rung {
        limit: limiter::MEMORY,
        side: Side::Both,
        scope: Scope::Machine,
        value: available
            .ok()
            .map(|available| format!("{} available", bytes(available))),
        used: Some(format!(
            "{} stay free, {} B a connection",
            bytes(reserve),
            count(each)
        )),
        remedy: match &room {
            Ok(room) => Remedy::advice(more_memory(inputs, *room, each)),
            Err(_) => Remedy::default(),
        },
        allows: match each {
            0 => takes_none(),
            _ => allows(&room),
        },
        read_from: "/proc/meminfo, /proc/zoneinfo".to_owned(),
        symptom: "ENOMEM, ENOBUFS, or the OOM killer",
    })
}

fn fitting(free_bytes: u64, each: u64) -> u64 {
    free_bytes.checked_div(each).unwrap_or(u64::MAX)
}

fn takes_none() -> Allows {
    Allows::Any("a connection takes nothing of it".to_owned())
}

fn more_memory(inputs: &Inputs, room: u64, each: u64) -> String {
    let target = inputs.target(room);
    format!(
        "no command makes memory: {} connections of {} B are {}",
        count(target),
        count(each),
        bytes(target.saturating_mul(each))
    )
}

/// Memory of the control group: of all that the process is in, the one with the least room. As much stays free as of the
/// machine's, because a run stops its growth where either is near its end.
pub fn of_group(inputs: &Inputs) -> Option<Rung> {
    let memory = &inputs.question.memory;
    let each = memory.charged_bytes.unwrap_or(memory.bytes);
    let reserve = reserve_bytes(inputs.limits.machine.memory_bytes.known().copied());
    let groups = known(&inputs.limits.group.memory);
    let tightest = (groups.as_ref()).map(|groups| groups.iter().min_by_key(|group| left(group)));
    let allows = match tightest {
        Err(reason) => Allows::Unknown(reason.clone()),
        Ok(None) => Allows::Any("no group of the process has a limit".to_owned()),
        Ok(Some(_)) if each == 0 => takes_none(),
        Ok(Some(group)) => Allows::Connections(fitting(left(group).saturating_sub(reserve), each)),
    };
    let tightest = tightest.ok().flatten();
    let file = tightest.map(|group| group.file.clone());
    Some(Rung {
        limit: limiter::MEMORY_GROUP,
        side: Side::Both,
        scope: Scope::Group,
        value: tightest.map(|group| bytes(group.limit_bytes)),
        used: tightest.map(|group| {
            let (used, reserve) = (bytes(group.used_bytes), bytes(reserve));
            format!(
                "{used} used, {reserve} stay free, {} B a connection",
                count(each)
            )
        }),
        remedy: match (tightest, &allows) {
            (Some(group), Allows::Connections(room)) => {
                let taken = inputs.target(*room).saturating_mul(each);
                let there = group.used_bytes.saturating_add(reserve);
                raise_group(inputs, group, taken.saturating_add(there))
            }
            _ => Remedy::default(),
        },
        allows,
        read_from: file.unwrap_or_else(|| inputs.process_file("cgroup")),
        symptom: "the OOM killer, inside the group",
    })
}

fn left(group: &GroupMemory) -> u64 {
    group.limit_bytes.saturating_sub(group.used_bytes)
}

fn raise_group(inputs: &Inputs, group: &GroupMemory, needed: u64) -> Remedy {
    if needed <= group.limit_bytes {
        return Remedy::advice("it is as high as it can be");
    }
    let unit = match inputs.limits.group.version {
        Some(1) => "MemoryLimit",
        _ => "MemoryMax",
    };
    let remedy = Remedy {
        now: Some(format!("echo {needed} > {}", group.file)),
        suffices: true,
        lasting: Some(format!(
            "{unit}={needed} in the service's unit, or the container's memory limit"
        )),
        advice: None,
    };
    let total = inputs.limits.machine.memory_bytes.known();
    match total.filter(|total| needed > **total) {
        Some(total) => remedy.and(format!("the machine has {} in all", bytes(*total))),
        None => remedy,
    }
}

/// Pages that TCP may take for what is sent or received and not read yet. A connection at rest is charged none.
pub fn of_tcp(inputs: &Inputs) -> Option<Rung> {
    let machine = &inputs.limits.machine;
    let pages = known(&machine.tcp_memory_pages);
    let size = |pages: u64| bytes(pages.saturating_mul(machine.page_bytes));
    let aside = Aside {
        limit: limiter::TCP_MEM,
        side: Side::Both,
        scope: Scope::Machine,
        value: pages.clone().map(|(low, pressure, high)| {
            format!("{} {} {} pages", count(low), count(pressure), count(high))
        }),
        bounds: pages.map_or_else(
            |_| String::new(),
            |(_, pressure, high)| {
                format!(
                    "unread and unsent bytes of all connections: {} in all, above {} TCP saves; one at rest takes none",
                    size(high),
                    size(pressure)
                )
            },
        ),
        symptom: "stalls, drops, resets (TCPMemoryPressures; \"TCP: out of memory\")",
    };
    let charged = machine.tcp_charged_pages.known();
    Some(Rung {
        used: charged.map(|charged| format!("{} pages", count(*charged))),
        ..aside.rung()
    })
}

/// RLIMIT_MEMLOCK.
pub fn locked(inputs: &Inputs) -> Option<Rung> {
    let value = known(&inputs.limits.process.locked_bytes_max);
    let value = value.map(|value| match value {
        u64::MAX => limit(value),
        value => bytes(value),
    });
    let aside = Aside {
        limit: limiter::LOCKED_MEMORY,
        side: Side::Both,
        scope: Scope::User,
        value,
        bounds: "buffers that are registered with a ring, of a user; connections lock nothing"
            .to_owned(),
        symptom: "ENOMEM: registering buffers fails",
    };
    let rung = Rung {
        read_from: inputs.process_file("limits"),
        ..aside.rung()
    };
    Some(match inputs.is_capable(CAP_IPC_LOCK) {
        true => Rung {
            allows: Allows::Any("root is exempt from it (CAP_IPC_LOCK)".to_owned()),
            ..rung
        },
        false => rung,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_machine_keeps_the_least_and_a_large_one_its_share() {
        assert_eq!(reserve_bytes(None), 256 << 20);
        assert_eq!(reserve_bytes(Some(1 << 30)), 256 << 20);
        assert_eq!(reserve_bytes(Some(100 << 30)), 2 << 30);
    }
}

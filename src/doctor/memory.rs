//! What memory allows: the machine's, the control group's, and TCP's own.

use super::inputs::{CAP_IPC_LOCK, Inputs, allows, known};
use super::number::{bytes, count, limit};
use super::setting::Aside;
use super::{Allows, Remedy, Rung, Scope, Side};
use fourtuple_meter::Available;
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

/// What stays free of a control group: this share of its limit, and no less than the bytes below. It is less than of a
/// machine because only what is in flight between two looks has to find room, and no other process's memory.
const GROUP_RESERVE_PART: u64 = 50;
const GROUP_RESERVE_BYTES_LEAST: u64 = 32 << 20;

/// What stays free, bytes, of a control group with such a limit, in the same way.
pub fn group_reserve_bytes(limit_bytes: u64) -> u64 {
    (limit_bytes / GROUP_RESERVE_PART).max(GROUP_RESERVE_BYTES_LEAST)
}

/// The limit of a group that has so much beside what stays free.
fn limit_for(bytes: u64) -> u64 {
    let share = bytes / (GROUP_RESERVE_PART - 1) + 1;
    bytes.saturating_add(share.max(GROUP_RESERVE_BYTES_LEAST))
}

/// What a run may take before anything that has to stay free is touched, bytes, and which limit ends it: the machine's
/// memory or the control group's. `None` where neither can be read.
pub fn spare(available: Available, memory_bytes: Option<u64>) -> Option<(u64, &'static str)> {
    let machine =
        (available.machine_bytes).map(|bytes| bytes.saturating_sub(reserve_bytes(memory_bytes)));
    let group = (available.group_bytes.zip(available.group_limit_bytes))
        .map(|(bytes, limit)| bytes.saturating_sub(group_reserve_bytes(limit)));
    let machine = machine.map(|bytes| (bytes, limiter::MEMORY));
    let group = group.map(|bytes| (bytes, limiter::MEMORY_GROUP));
    machine
        .into_iter()
        .chain(group)
        .min_by_key(|(bytes, _)| *bytes)
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

/// Memory of the control group: of all that the process is in, the one with the least room.
pub fn of_group(inputs: &Inputs) -> Option<Rung> {
    let memory = &inputs.question.memory;
    let each = memory.charged_bytes.unwrap_or(memory.bytes);
    let groups = known(&inputs.limits.group.memory);
    let tightest = (groups.as_ref()).map(|groups| groups.iter().min_by_key(|group| left(group)));
    let allows = match tightest {
        Err(reason) => Allows::Unknown(reason.clone()),
        Ok(None) => Allows::Any("no group that can be seen from here has a limit".to_owned()),
        Ok(Some(_)) if each == 0 => takes_none(),
        Ok(Some(group)) => {
            let reserve = group_reserve_bytes(group.limit_bytes);
            Allows::Connections(fitting(left(group).saturating_sub(reserve), each))
        }
    };
    let tightest = tightest.ok().flatten();
    let file = tightest.map(|group| group.file.clone());
    Some(Rung {
        limit: limiter::MEMORY_GROUP,
        side: Side::Both,
        scope: Scope::Group,
        value: tightest.map(|group| bytes(group.limit_bytes)),
        used: tightest.map(|group| {
            let reserve = group_reserve_bytes(group.limit_bytes);
            let (used, reserve) = (bytes(group.used_bytes), bytes(reserve));
            format!(
                "{used} used, {reserve} stay free, {} B a connection",
                count(each)
            )
        }),
        remedy: match (tightest, &allows) {
            (Some(group), Allows::Connections(room)) => {
                let taken = inputs.target(*room).saturating_mul(each);
                let needed = limit_for(group.used_bytes.saturating_add(taken));
                raise_group(inputs, group, needed)
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

    #[test]
    fn a_group_keeps_a_share_of_its_own_limit_whatever_the_machine_has() {
        assert_eq!(group_reserve_bytes(256 << 20), 32 << 20);
        assert_eq!(group_reserve_bytes(100 << 30), 2 << 30);
        for bytes in [0, 1, 48, 1 << 20, 1_644_167_119, 1 << 33, (1 << 40) + 7] {
            let limit = limit_for(bytes);
            assert!(limit - group_reserve_bytes(limit) >= bytes, "{bytes}");
            let less = limit - 4;
            let is_enough = less.saturating_sub(group_reserve_bytes(less)) >= bytes;
            assert!(bytes == 0 || !is_enough, "{bytes}");
        }
    }

    #[test]
    fn what_has_less_to_spare_ends_a_run() {
        let of = |machine: u64, group: u64, limit: u64| {
            let available = Available {
                machine_bytes: Some(machine << 20),
                group_bytes: Some(group << 20),
                group_limit_bytes: Some(limit << 20),
            };
            let (bytes, name) = spare(available, Some(8 << 30)).unwrap();
            (bytes >> 20, name)
        };
        // The small group has room where as much would be nothing on the machine.
        assert_eq!(of(4_096, 200, 256), (168, limiter::MEMORY_GROUP));
        assert_eq!(of(4_096, 32, 256), (0, limiter::MEMORY_GROUP));
        // The machine has more bytes left, and fewer to spare.
        assert_eq!(of(300, 250, 512), (44, limiter::MEMORY));
        assert_eq!(spare(Available::default(), None), None);
    }
}

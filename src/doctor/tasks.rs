//! What bounds threads, and so a server that has one for each connection.

use super::descriptors::{NOT_KNOWN, prlimit};
use super::inputs::{CAP_SYS_ADMIN, CAP_SYS_RESOURCE, Inputs, allows, known};
use super::number::{count, limit};
use super::remedy::INT_MAX;
use super::setting::Ceiling;
use super::{Allows, Remedy, Rung, Scope, Side};
use fourtuple_spec::limits::GroupTasks;
use fourtuple_spec::{Reading, limiter};

/// Ids below this one are not given out a second time.
const RESERVED_IDS: u64 = 300;

/// The most that kernel.pid_max takes: PID_MAX_LIMIT of a 64-bit kernel.
const PID_MAX_MOST: u64 = 1 << 22;

/// The most that kernel.threads-max takes: a futex names a thread by 30 bits.
const THREADS_MOST: u64 = 0x3fff_ffff;

/// Mappings that a Rust thread takes: its stack and the one that its signals are handled on, each with the page that
/// guards it. Threads of others have the first two alone.
const MAPPINGS_PER_THREAD: u64 = 4;

/// Mappings of a process that has no threads yet, about: of the program, its libraries, its heap.
const OWN_MAPPINGS: u64 = 100;

/// Threads of a server process beside those of the connections: the one that accepts, and the one that ends it.
const OWN_THREADS: u64 = 2;

const SYMPTOM: &str = "EAGAIN: a thread cannot be started";

const NO_THREADS: &str = "no connection has a thread of its own";

fn has_threads(inputs: &Inputs) -> bool {
    (inputs.question.server.as_ref()).is_some_and(|server| server.has_threads)
}

fn exempt(inputs: &Inputs) -> Option<&'static str> {
    (!has_threads(inputs)).then_some(NO_THREADS)
}

/// Tasks that there will be beside those of the connections.
fn own_tasks(inputs: &Inputs) -> u64 {
    let server = inputs
        .question
        .server
        .as_ref()
        .map_or(0, |server| server.processes);
    let client = u64::from(inputs.question.client.is_some());
    match inputs.limits.process.pid {
        Some(_) => 0,
        None => server.saturating_mul(OWN_THREADS).saturating_add(client),
    }
}

/// What a limit of tasks leaves.
fn room(
    inputs: &Inputs,
    limit: Result<u64, String>,
    used: Result<u64, String>,
) -> Result<u64, String> {
    let left = |used: u64| {
        let used = used.saturating_add(own_tasks(inputs));
        Ok(limit.clone()?.saturating_sub(used))
    };
    inputs.room_or_most(used.and_then(left), left(0))
}

fn needed(inputs: &Inputs, target: u64, used: u64) -> u64 {
    target
        .saturating_add(used)
        .saturating_add(own_tasks(inputs))
}

fn used(tasks: &Reading<u64>) -> Option<String> {
    Some(match tasks.known() {
        Some(tasks) => format!("{} tasks", count(*tasks)),
        None => NOT_KNOWN.to_owned(),
    })
}

/// kernel.threads-max.
pub fn threads_max(inputs: &Inputs) -> Option<Rung> {
    let machine = &inputs.limits.machine;
    let tasks = machine.tasks.known().copied().unwrap_or(0);
    let ceiling = Ceiling {
        limit: limiter::THREADS_MAX,
        side: Side::Server,
        scope: Scope::Machine,
        value: &machine.threads_max,
        used: used(&machine.tasks),
        room: room(inputs, known(&machine.threads_max), known(&machine.tasks)),
        exempt: exempt(inputs),
        symptom: SYMPTOM,
        needed: &|target| needed(inputs, target, tasks),
        most: THREADS_MOST,
    };
    Some(ceiling.rung(inputs))
}

/// kernel.pid_max: a thread has an id, too.
pub fn pid_max(inputs: &Inputs) -> Option<Rung> {
    let machine = &inputs.limits.machine;
    let tasks = machine.tasks.known().copied().unwrap_or(0);
    let ids = known(&machine.pid_max).map(|value| value.saturating_sub(RESERVED_IDS));
    let ceiling = Ceiling {
        limit: limiter::PID_MAX,
        side: Side::Server,
        scope: Scope::Machine,
        value: &machine.pid_max,
        used: used(&machine.tasks),
        room: room(inputs, ids, known(&machine.tasks)),
        exempt: exempt(inputs),
        symptom: SYMPTOM,
        needed: &|target| needed(inputs, target, tasks).saturating_add(RESERVED_IDS),
        most: PID_MAX_MOST,
    };
    Some(ceiling.rung(inputs))
}

/// pids.max of the control groups: of all that the process is in, the one with the least room.
pub fn of_group(inputs: &Inputs) -> Option<Rung> {
    let groups = known(&inputs.limits.group.tasks);
    let left = |limit: u64, used: u64| room(inputs, Ok(limit), Ok(used));
    let tightest = groups.as_ref().map(|groups| {
        let by_room = groups
            .iter()
            .min_by_key(|group| left(group.limit, group.used));
        by_room.cloned()
    });
    let allows = match (&tightest, has_threads(inputs)) {
        (_, false) => Allows::Any(NO_THREADS.to_owned()),
        (Err(reason), _) => Allows::Unknown((*reason).clone()),
        (Ok(None), _) => Allows::Any("no group of the process has a limit".to_owned()),
        (Ok(Some(group)), _) => allows(&left(group.limit, group.used)),
    };
    let tightest = tightest.ok().flatten();
    let remedy = match (&tightest, &allows) {
        (Some(group), Allows::Connections(room)) => raise_group(inputs, group, *room),
        _ => Remedy::default(),
    };
    let file = tightest.as_ref().map(|group| group.file.clone());
    Some(Rung {
        limit: limiter::PIDS_GROUP,
        side: Side::Server,
        scope: Scope::Group,
        value: tightest.as_ref().map(|group| limit(group.limit)),
        used: tightest.map(|group| format!("{} tasks", count(group.used))),
        allows,
        read_from: file.unwrap_or_else(|| inputs.process_file("cgroup")),
        symptom: SYMPTOM,
        remedy,
    })
}

fn raise_group(inputs: &Inputs, group: &GroupTasks, room: u64) -> Remedy {
    let needed = needed(inputs, inputs.target(room), group.used);
    if needed <= group.limit {
        return Remedy::advice("it is as high as it can be");
    }
    Remedy {
        now: Some(format!("echo {needed} > {}", group.file)),
        suffices: true,
        lasting: Some(format!("TasksMax={needed} in the service's unit")),
        advice: None,
    }
}

/// RLIMIT_NPROC: all tasks of the user count, and root of the machine is exempt.
pub fn of_user(inputs: &Inputs) -> Option<Rung> {
    let process = &inputs.limits.process;
    let is_exempt = is_exempt_root(inputs);
    let most = known(&process.tasks_of_user_max);
    let left = room(inputs, most.clone(), known(&process.tasks_of_user));
    let left = inputs.room_unless(left, &is_exempt);
    let allows = match (has_threads(inputs), &most) {
        (false, _) => Allows::Any(NO_THREADS.to_owned()),
        _ if is_exempt == Ok(true) => Allows::Any("root is exempt from it".to_owned()),
        (_, Ok(u64::MAX)) => Allows::Any("it is unlimited".to_owned()),
        _ => allows(&left),
    };
    let remedy = match &allows {
        Allows::Connections(room) => raise_tasks(inputs, *room),
        _ => Remedy::default(),
    };
    Some(Rung {
        limit: limiter::PROCESSES,
        side: Side::Server,
        scope: Scope::User,
        value: most.ok().map(limit),
        used: Some(match process.tasks_of_user.known() {
            Some(tasks) => format!("{} tasks of the user", count(*tasks)),
            None => NOT_KNOWN.to_owned(),
        }),
        allows,
        read_from: inputs.process_file("limits"),
        symptom: SYMPTOM,
        remedy,
    })
}

/// Whether the process is root of the machine, or has one of the rights that exempt from it.
fn is_exempt_root(inputs: &Inputs) -> Result<bool, String> {
    let process = &inputs.limits.process;
    let is_root = match (
        known(&process.is_in_first_user_namespace),
        known(&process.user),
    ) {
        (Ok(false), _) | (_, Ok(1..)) => Ok(false),
        (Err(reason), _) | (_, Err(reason)) => Err(reason),
        (Ok(true), Ok(0)) => Ok(true),
    };
    let rights = [CAP_SYS_ADMIN, CAP_SYS_RESOURCE].map(|right| inputs.capability(right));
    let mut all = rights.into_iter().chain([is_root]);
    match all.clone().any(|one| one == Ok(true)) {
        true => Ok(true),
        false => all.find(Result::is_err).unwrap_or(Ok(false)),
    }
}

fn raise_tasks(inputs: &Inputs, room: u64) -> Remedy {
    let process = &inputs.limits.process;
    let tasks = process.tasks_of_user.known().copied().unwrap_or(0);
    let needed = needed(inputs, inputs.target(room), tasks);
    let hard = process.tasks_of_user_hard.known().copied();
    let is_within = hard.is_some_and(|hard| hard >= needed);
    Remedy {
        now: Some(match process.pid {
            None if is_within => format!("ulimit -S -u {needed}"),
            pid => prlimit(pid, "nproc", needed, hard),
        }),
        suffices: true,
        lasting: Some(format!(
            "LimitNPROC={needed} in the service's unit, or `* - nproc {needed}` in \
             /etc/security/limits.d/90-connections.conf"
        )),
        advice: Some(match is_within {
            true => "the hard limit allows it: no root is needed".to_owned(),
            false => "it is beyond the hard limit: root may".to_owned(),
        }),
    }
}

/// vm.max_map_count, of each process.
pub fn mappings(inputs: &Inputs) -> Option<Rung> {
    let processes = inputs
        .question
        .server
        .as_ref()
        .map_or(1, |server| server.processes);
    let value = &inputs.limits.machine.mappings_max;
    let present = known(&inputs.limits.process.mappings);
    let own = match inputs.limits.process.pid {
        Some(_) => 0,
        None => OWN_MAPPINGS,
    };
    let there = present.clone().unwrap_or(0).saturating_add(own);
    let left = |present: Result<u64, String>| {
        let free = known(value)?.saturating_sub(present?.saturating_add(own));
        Ok((free / MAPPINGS_PER_THREAD).saturating_mul(processes))
    };
    let room = inputs.room_or_most(left(present.clone()), left(Ok(0)));
    let ceiling = Ceiling {
        limit: limiter::MAP_COUNT,
        side: Side::Server,
        scope: Scope::Process,
        value,
        used: Some(match present {
            Ok(_) => format!(
                "{} mappings, {MAPPINGS_PER_THREAD} more a thread",
                count(there)
            ),
            Err(_) => NOT_KNOWN.to_owned(),
        }),
        room,
        exempt: exempt(inputs),
        symptom: "ENOMEM, or EAGAIN: a thread's stack cannot be mapped",
        needed: &|target| {
            let threads = target.div_ceil(processes.max(1));
            threads
                .saturating_mul(MAPPINGS_PER_THREAD)
                .saturating_add(there)
        },
        most: INT_MAX,
    };
    Some(ceiling.rung(inputs))
}

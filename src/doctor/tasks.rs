//! What bounds threads, and so a server that has one for each connection.

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

/// Mappings that a thread's stack takes: itself, and the page that guards it.
const MAPPINGS_PER_THREAD: u64 = 2;

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
        None => server.saturating_add(client),
    }
}

/// What a limit of tasks leaves.
fn room(
    inputs: &Inputs,
    limit: Result<u64, String>,
    used: Result<u64, String>,
) -> Result<u64, String> {
    let used = used?.saturating_add(own_tasks(inputs));
    Ok(limit?.saturating_sub(used))
}

fn needed(inputs: &Inputs, target: u64, used: u64) -> u64 {
    target
        .saturating_add(used)
        .saturating_add(own_tasks(inputs))
}

fn used(tasks: &Reading<u64>) -> Option<String> {
    tasks
        .known()
        .map(|tasks| format!("{} tasks", count(*tasks)))
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
    let is_first = process.is_in_first_user_namespace.known() == Some(&true);
    let is_root = is_first && process.user.known() == Some(&0);
    let is_capable =
        [CAP_SYS_ADMIN, CAP_SYS_RESOURCE].map(|capability| inputs.is_capable(capability));
    let most = known(&process.tasks_of_user_max);
    let left = room(inputs, most.clone(), known(&process.tasks_of_user));
    let allows = match (has_threads(inputs), &most) {
        (false, _) => Allows::Any(NO_THREADS.to_owned()),
        _ if is_root || is_capable.contains(&true) => {
            Allows::Any("root is exempt from it".to_owned())
        }
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
        used: process
            .tasks_of_user
            .known()
            .map(|tasks| format!("{} tasks of the user", count(*tasks))),
        allows,
        read_from: inputs.process_file("limits"),
        symptom: SYMPTOM,
        remedy,
    })
}

fn raise_tasks(inputs: &Inputs, room: u64) -> Remedy {
    let process = &inputs.limits.process;
    let tasks = process.tasks_of_user.known().copied().unwrap_or(0);
    let needed = needed(inputs, inputs.target(room), tasks);
    Remedy {
        now: Some(match process.pid {
            Some(pid) => format!("prlimit --pid {pid} --nproc={needed}:"),
            None => format!("ulimit -S -u {needed}"),
        }),
        suffices: true,
        lasting: Some(format!(
            "LimitNPROC={needed} in the service's unit, or `* - nproc {needed}` in \
             /etc/security/limits.d/90-connections.conf"
        )),
        advice: Some("beyond the hard limit root has to raise that one, too".to_owned()),
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
    let there = present.clone().unwrap_or(0);
    let room = known(value).and_then(|value| {
        let threads = value.saturating_sub(present.clone()?) / MAPPINGS_PER_THREAD;
        Ok(threads.saturating_mul(processes))
    });
    let ceiling = Ceiling {
        limit: limiter::MAP_COUNT,
        side: Side::Server,
        scope: Scope::Process,
        value,
        used: present
            .ok()
            .map(|present| format!("{} mappings", count(present))),
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

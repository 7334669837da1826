//! What bounds descriptors and open files: of a process, of any process, of the machine, of a user's epoll.

use super::inputs::{CAP_SYS_ADMIN, CAP_SYS_RESOURCE, Inputs, allows, known};
use super::number::{count, counted, limit};
use super::setting::Ceiling;
use super::{Allows, Remedy, Rung, Scope, Side, Takes};
use fourtuple_spec::limiter;

/// The most that fs.nr_open takes: what an `int` holds, in whole words of a bit map.
const NR_OPEN_MOST: u64 = (i32::MAX as u64) & !63;

/// Said of a limit that is too low whatever is used of it.
pub const NOT_KNOWN: &str = "at the most: what is used of it is not known";

/// Processes that share connections, each of which takes a descriptor, and what else they have open.
#[derive(Clone, Copy)]
struct Holders {
    processes: u64,
    own_descriptors: u64,
}

impl Holders {
    /// What a limit of each process leaves them.
    fn connections(self, limit: u64, open: u64) -> u64 {
        let free = limit.saturating_sub(open);
        let free = free.saturating_sub(self.own_descriptors);
        free.saturating_mul(self.processes)
    }

    /// What the limit of each process has to be for so many.
    fn limit(self, connections: u64, open: u64) -> u64 {
        let each = connections.div_ceil(self.processes.max(1));
        let taken = open.saturating_add(self.own_descriptors);
        each.saturating_add(taken)
    }
}

/// RLIMIT_NOFILE of the server.
pub fn of_server(inputs: &Inputs) -> Option<Rung> {
    let server = inputs.question.server.as_ref()?;
    Some(of_process(inputs, Side::Server, server.takes))
}

/// RLIMIT_NOFILE of the client.
pub fn of_client(inputs: &Inputs) -> Option<Rung> {
    let client = inputs.question.client.as_ref()?;
    Some(of_process(inputs, Side::Client, client.takes))
}

fn of_process(inputs: &Inputs, side: Side, takes: Takes) -> Rung {
    let process = &inputs.limits.process;
    let soft = known(&process.descriptors_soft);
    let open = known(&process.descriptors_open);
    let holders = holders(inputs, side);
    let value = soft
        .as_ref()
        .ok()
        .map(|soft| match known(&process.descriptors_hard) {
            Ok(hard) => format!("{} soft, {} hard", limit(*soft), limit(hard)),
            Err(_) => format!("{} soft", limit(*soft)),
        });
    let left = |open: Result<u64, String>| match holders {
        Some(holders) => Ok(holders.connections(soft.clone()?, open?)),
        None => Ok(u64::MAX),
    };
    let room = inputs.room_or_most(left(open.clone()), left(Ok(0)));
    Rung {
        limit: limiter::DESCRIPTORS,
        side,
        scope: Scope::Process,
        value,
        used: match &open {
            Ok(open) => Some(used(*open, holders)),
            Err(_) if room.is_ok() => Some(NOT_KNOWN.to_owned()),
            Err(_) => None,
        },
        allows: exempt(takes).unwrap_or_else(|| allows(&room)),
        read_from: inputs.process_file("limits"),
        symptom: "EMFILE: accept, socket and open fail",
        remedy: match (holders, room) {
            (Some(_), Ok(room)) => raise_process(inputs, room),
            _ => Remedy::default(),
        },
    }
}

/// Why what is no descriptor of the process is not bounded by its limit.
fn exempt(takes: Takes) -> Option<Allows> {
    let why = match takes {
        Takes::Descriptor => return None,
        Takes::DirectSlot => "a connection takes a slot of a ring's table, not a descriptor",
        Takes::Nothing => "no process holds the connections",
    };
    Some(Allows::Any(why.to_owned()))
}

fn holders(inputs: &Inputs, side: Side) -> Option<Holders> {
    let (takes, processes, own_descriptors) = match side {
        Side::Client => {
            let client = inputs.question.client.as_ref()?;
            (client.takes, 1, client.own_descriptors)
        }
        _ => {
            let server = inputs.question.server.as_ref()?;
            (server.takes, server.processes, server.own_descriptors)
        }
    };
    (takes == Takes::Descriptor).then_some(Holders {
        processes,
        own_descriptors,
    })
}

fn used(open: u64, holders: Option<Holders>) -> String {
    let mut text = format!("{} open", count(open));
    let Some(holders) = holders else {
        return text;
    };
    if holders.own_descriptors > 0 {
        text += &format!(", {} more before it begins", count(holders.own_descriptors));
    }
    if holders.processes != 1 {
        text += &format!(", in each of {} processes", count(holders.processes));
    }
    text
}

/// The command is the same for both sides, because it is given in one shell.
fn raise_process(inputs: &Inputs, room: u64) -> Remedy {
    let process = &inputs.limits.process;
    let target = inputs.target(room);
    let open = process.descriptors_open.known().copied().unwrap_or(0);
    let sides = [Side::Server, Side::Client];
    let holders = sides.map(|side| holders(inputs, side));
    let needed = holders.iter().flatten();
    let needed = needed.map(|holders| holders.limit(target, open));
    let needed = needed.max().unwrap_or(0);
    let soft = process.descriptors_soft.known().copied().unwrap_or(0);
    if needed <= soft {
        return Remedy::advice("it is as high as it can be");
    }
    raise_to(inputs, needed)
}

/// Raises RLIMIT_NOFILE to so many.
pub fn raise_to(inputs: &Inputs, needed: u64) -> Remedy {
    let process = &inputs.limits.process;
    let hard = process.descriptors_hard.known().copied();
    // The kernel refuses a hard limit beyond fs.nr_open, also one that is to stay as it is.
    let nr_open = inputs.limits.machine.nr_open.known().copied();
    let kept = hard.map(|hard| hard.min(nr_open.unwrap_or(u64::MAX)));
    let lower = if kept == hard {
        "ulimit -S -n"
    } else {
        "ulimit -n"
    };
    let remedy = Remedy {
        now: Some(match (process.pid, kept) {
            (None, Some(kept)) if kept >= needed => format!("{lower} {needed}"),
            _ => prlimit(process.pid, "nofile", needed, kept),
        }),
        suffices: true,
        lasting: Some(format!(
            "LimitNOFILE={needed} in the service's unit, or `* - nofile {needed}` in \
             /etc/security/limits.d/90-connections.conf"
        )),
        advice: None,
    };
    of_whom(inputs, remedy, needed, hard)
}

/// The command that sets both limits of a process, or of the shell that it is given in. `ulimit` is no program: it
/// cannot be given by root for somebody else's shell.
pub fn prlimit(pid: Option<u32>, name: &str, soft: u64, hard: Option<u64>) -> String {
    let pid = pid.map_or("$$".to_owned(), |pid| pid.to_string());
    let hard = match hard.unwrap_or(0).max(soft) {
        u64::MAX => "unlimited".to_owned(),
        hard => hard.to_string(),
    };
    format!("prlimit --pid {pid} --{name}={soft}:{hard}")
}

/// What is told to root in a container that took its rights.
const POWERLESS: &str = "root lacks CAP_SYS_RESOURCE here, which it takes: raise the limit from outside, or share the \
                         connections out to more processes";
/// What there is beside it, for who takes descriptors.
const DIRECT: &str = "slots of a ring's table (--engine uring) count for none";

/// Who may, and what has to be raised first.
fn of_whom(inputs: &Inputs, mut remedy: Remedy, needed: u64, hard: Option<u64>) -> Remedy {
    let process = &inputs.limits.process;
    let nr_open = inputs.limits.machine.nr_open.known().copied();
    let is_root = process.user.known() == Some(&0) && process.capabilities.known().is_some();
    let is_powerless = process.pid.is_none() && is_root && !inputs.is_capable(CAP_SYS_RESOURCE);
    remedy = match hard.is_some_and(|hard| hard >= needed) {
        true => remedy.and("the hard limit allows it: no root is needed"),
        false if is_powerless => {
            remedy.suffices = false;
            let server = inputs.question.server.as_ref();
            match server.is_some_and(|server| server.takes == Takes::Descriptor) {
                true => remedy.and(POWERLESS).and(DIRECT),
                false => remedy.and(POWERLESS),
            }
        }
        false => remedy.and("it is beyond the hard limit: root may"),
    };
    match nr_open {
        Some(nr_open) if needed > nr_open => remedy.and(format!(
            "{} has to be raised first: it is {}",
            limiter::NR_OPEN,
            count(nr_open)
        )),
        _ => remedy,
    }
}

/// fs.nr_open: what RLIMIT_NOFILE may be raised to.
pub fn nr_open(inputs: &Inputs) -> Option<Rung> {
    let value = &inputs.limits.machine.nr_open;
    let open = inputs.limits.process.descriptors_open.known().copied();
    let open = open.unwrap_or(0);
    let sides = [Side::Server, Side::Client];
    let taking = sides.map(|side| holders(inputs, side).map(|holders| (side, holders)));
    let taking: Vec<_> = taking.into_iter().flatten().collect();
    let room = known(value).map(|value| {
        let each = taking.iter();
        let each = each.map(|(side, holders)| (holders.connections(value, open), *side));
        each.min().unwrap_or((u64::MAX, Side::Both))
    });
    let ceiling = Ceiling {
        limit: limiter::NR_OPEN,
        side: room.as_ref().map_or(Side::Both, |(_, side)| *side),
        scope: Scope::Machine,
        value,
        used: None,
        room: room.map(|(room, _)| room),
        exempt: taking
            .is_empty()
            .then_some("no connection takes a descriptor of a process"),
        symptom: "EPERM: setrlimit fails",
        needed: &|target| {
            let needed = taking.iter();
            let needed = needed.map(|(_, holders)| holders.limit(target, open));
            needed.max().unwrap_or(0)
        },
        most: NR_OPEN_MOST,
    };
    Some(ceiling.rung(inputs))
}

/// fs.file-max: files of the machine. The kernel opens one as long as there are fewer.
pub fn file_max(inputs: &Inputs) -> Option<Rung> {
    let machine = &inputs.limits.machine;
    let each = inputs.files_per_connection();
    let own = own_files(inputs);
    let open = known(&machine.files_open);
    let left = |open: Result<u64, String>| {
        let free = known(&machine.file_max)?.saturating_sub(open?);
        let free = free.saturating_sub(own);
        Ok(free.checked_div(each).unwrap_or(u64::MAX))
    };
    let room = inputs.room_or_most(left(open.clone()), left(Ok(0)));
    let is_exempt = inputs.capability(CAP_SYS_ADMIN);
    let room = inputs.room_unless(room, &is_exempt);
    let taken = open.clone().unwrap_or(0).saturating_add(own);
    let ceiling = Ceiling {
        limit: limiter::FILE_MAX,
        side: Side::Both,
        scope: Scope::Machine,
        value: &machine.file_max,
        used: Some(match open {
            Ok(open) => {
                let each = counted(each, "file", "files");
                format!("{} open, {each} a connection", count(open))
            }
            Err(_) => NOT_KNOWN.to_owned(),
        }),
        room,
        exempt: match (each, is_exempt) {
            (0, _) => Some("no process holds the connections"),
            (_, Ok(true)) => Some("root is exempt from it (CAP_SYS_ADMIN)"),
            _ => None,
        },
        symptom: "ENFILE: accept, socket and open fail",
        needed: &|target| target.saturating_mul(each).saturating_add(taken),
        most: i64::MAX as u64,
    };
    Some(Rung {
        read_from: "/proc/sys/fs/file-max, /proc/sys/fs/file-nr".to_owned(),
        ..ceiling.rung(inputs)
    })
}

/// Files that the processes open beside connections.
fn own_files(inputs: &Inputs) -> u64 {
    let server = inputs.question.server.as_ref().map_or(0, |server| {
        server.own_descriptors.saturating_mul(server.processes)
    });
    let client = inputs.question.client.as_ref();
    server.saturating_add(client.map_or(0, |client| client.own_descriptors))
}

/// What an epoll server watches beside connections: its listener, and what stops it.
const OWN_WATCHES: u64 = 2;

/// fs.epoll.max_user_watches. How many a user has is not told: it is reckoned as if they were the server's own.
pub fn epoll_watches(inputs: &Inputs) -> Option<Rung> {
    let server = inputs.question.server.as_ref()?;
    let value = &inputs.limits.machine.epoll_watches_max;
    let own = server.processes.saturating_mul(OWN_WATCHES);
    let ceiling = Ceiling {
        limit: limiter::EPOLL_WATCHES,
        side: Side::Server,
        scope: Scope::User,
        value,
        used: None,
        room: known(value).map(|value| value.saturating_sub(own)),
        exempt: (!server.watches).then_some("the server does not watch its connections by epoll"),
        symptom: "ENOSPC: epoll_ctl fails",
        needed: &|target| target.saturating_add(own),
        most: i64::MAX as u64,
    };
    let rung = ceiling.rung(inputs);
    let remedy = rung.remedy.clone();
    Some(Rung {
        remedy: remedy.and("what the user's other processes watch counts, too, and is not told"),
        ..rung
    })
}

//! The process that reads what bounds connections: from within the network of the process that is asked about.
//!
//! It is one of its own because nobody can leave a network inside a user namespace again, and because its limit of
//! descriptors has to be what the command was given: other children raise theirs.

use crate::doctor::read::leave_out_a_task;
use crate::exit::Exit;
use crate::{network, output};
use fourtuple_meter::network_limits;
use fourtuple_spec::limits::{Grant, NetworkLimits, ProcessLimits};
use fourtuple_spec::message::Network;
use fourtuple_spec::{Limits, Reading};
use std::fs;
use std::io::{self, ErrorKind, Write};

/// Reads everything and prints it as JSON; or says on the standard error why there is nothing to be read.
pub fn work(pid: Option<u32>) -> Exit {
    let limits = match read(pid) {
        Ok(limits) => limits,
        Err(reason) => {
            output::say(reason);
            return Exit::Failed;
        }
    };
    let printed = serde_json::to_writer(io::stdout(), &limits).is_ok();
    match printed && io::stdout().flush().is_ok() {
        true => Exit::Done,
        false => Exit::Failed,
    }
}

fn read(pid: Option<u32>) -> Result<Limits, String> {
    let Some(pid) = pid else {
        let mut limits = from_here(None);
        // This process is gone before another one is started.
        leave_out_a_task(&mut limits);
        return Ok(limits);
    };
    check_existence(pid)?;
    // Before the network is entered: a user namespace that is entered with it takes the right to read the rest, and
    // what holds for all networks of the machine is shown by the first one alone.
    let mut limits = from_here(Some(pid));
    let entered = enter_network_of(pid);
    // What has ended meanwhile has no limits; half of what was read would be reasons why it could not be.
    check_existence(pid)?;
    match entered {
        Ok(IsNew(false)) => {}
        Ok(IsNew(true)) => limits.network = network_limits(),
        Err(reason) => limits.network = unknown(&reason),
    }
    Ok(limits)
}

/// The ring is tried by this process. What came of it is told of another one as well where nothing is in the other
/// one's way that is not in this one's.
fn from_here(pid: Option<u32>) -> Limits {
    let mut limits = fourtuple_meter::limits(pid);
    let own_user = rustix::process::geteuid().as_raw();
    limits.machine.io_uring = match pid.is_none() || is_treated_alike(&limits.process, own_user) {
        true => Reading::Known(match fourtuple_ring::capabilities() {
            Ok(_) => Grant::Granted,
            Err(error) => Grant::Refused(error.to_string()),
        }),
        false => Reading::Unknown(
            "what another process's filter or rights let through cannot be told".to_owned(),
        ),
    };
    limits
}

/// Whether a process has no filter of system calls, and the rights of this user.
fn is_treated_alike(process: &ProcessLimits, own_user: u32) -> bool {
    process.seccomp == Reading::Known(0) && process.user == Reading::Known(own_user)
}

/// What has ended and is still waited for by its parent has limits, which nothing is bound by.
fn check_existence(pid: u32) -> Result<(), String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|error| {
        format!("there is no process {pid}, or this user may not see it: /proc/{pid}/stat: {error}")
    })?;
    // The name before the state may hold anything, brackets included.
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    match state.starts_with(['Z', 'X']) {
        true => Err(format!("process {pid} has ended")),
        false => Ok(()),
    }
}

/// Whether the network is another one than before.
struct IsNew(bool);

fn enter_network_of(pid: u32) -> Result<IsNew, String> {
    match network::is_elsewhere(pid) {
        Ok(false) => Ok(IsNew(false)),
        Ok(true) => match network::enter_network(&Network::Join(pid)) {
            Ok(()) => Ok(IsNew(true)),
            Err(reason) => Err(format!("{reason}{}", advice())),
        },
        Err(error) => Err(unseen(pid, &error)),
    }
}

fn unseen(pid: u32, error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::PermissionDenied => advice(),
        _ => "",
    };
    format!("cannot tell which network process {pid} is in: {error}{advice}")
}

/// Nothing for root, to whom it is forbidden in a container or by a security module.
fn advice() -> &'static str {
    match rustix::process::geteuid().is_root() {
        true => "",
        false => "; run as root",
    }
}

/// This process's own network would be the wrong one: nothing is better.
fn unknown(reason: &str) -> NetworkLimits {
    fn not<T>(reason: &str) -> Reading<T> {
        Reading::Unknown(reason.to_owned())
    }
    NetworkLimits {
        ports: not(reason),
        reserved_in_range: not(reason),
        reserved_in_widest: not(reason),
        unprivileged_from: not(reason),
        somaxconn: not(reason),
        syn_backlog: not(reason),
        syncookies: not(reason),
        time_wait_reuse: not(reason),
        time_wait_max: not(reason),
        timestamps: not(reason),
        time_wait: not(reason),
        time_wait_of_one: not(reason),
        hash_entries: not(reason),
        sockets: not(reason),
        orphans: not(reason),
        listeners: not(reason),
        listening_in_range: not(reason),
        listen_overflows: not(reason),
        conntrack_max: not(reason),
        conntrack: not(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_another_user_or_with_a_filter_is_not_treated_alike() {
        let of = |seccomp, user| {
            let process = ProcessLimits {
                seccomp,
                user,
                ..ProcessLimits::default()
            };
            is_treated_alike(&process, 1_000)
        };
        assert!(of(Reading::Known(0), Reading::Known(1_000)));
        assert!(!of(Reading::Known(2), Reading::Known(1_000)));
        assert!(!of(Reading::Known(0), Reading::Known(0)));
        assert!(!of(Reading::default(), Reading::Known(1_000)));
        assert!(!of(Reading::Known(0), Reading::default()));
    }
}

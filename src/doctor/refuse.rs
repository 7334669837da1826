//! Refusing a run that cannot succeed, before it begins: the doctor's findings about its case, in the doctor's words.
//!
//! Only what is certain refuses. What could not be read does not, and where several processes share connections, each
//! is taken to be filled to its end.

use super::of_case::{limits_of, own_children_max, question_of, server_limits};
use super::{Allows, Rung, Side, examine};
use crate::limits;
use fourtuple_spec::{Case, Engine, Limits, limiter};
use std::fmt;

/// Why a case cannot be run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The narrowest limit.
    pub limiter: &'static str,
    /// All that stands in the way.
    obstacles: Vec<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; ask for fewer, clear what stands in the way, or --force it",
            self.obstacles.join("; ")
        )
    }
}

/// Refuses a case that the limits, as they were read of a process yet to be started, do not allow. A case that asks
/// how much it holds is not refused for what stops it.
pub fn check(case: &Case, read: &Limits, has_private_network: bool) -> Result<(), Refusal> {
    check_ends(case, own_children_max())?;
    if case.until_full {
        return check_processes(case);
    }
    let limits = limits_of(case, read, has_private_network);
    let connections = u64::from(case.connections);
    let mut rungs = rungs(case, &limits);
    rungs.retain(|rung| matches!(rung.allows, Allows::Connections(count) if count < connections));
    rungs.sort_by_key(|rung| match rung.allows {
        Allows::Connections(count) => count,
        _ => u64::MAX,
    });
    let Some(narrowest) = rungs.first() else {
        return Ok(());
    };
    let mut obstacles: Vec<String> = Vec::new();
    for rung in &rungs {
        let words = rung.refusal(connections);
        if !obstacles.contains(&words) {
            obstacles.push(words);
        }
    }
    Err(Refusal {
        limiter: narrowest.limit,
        obstacles,
    })
}

/// The ladder's rungs; those of the server's descriptors apart where the case gives their processes different limits.
fn rungs(case: &Case, limits: &Limits) -> Vec<Rung> {
    let Some(of_server) = server_limits(case, limits) else {
        return examine(question_of(case, limits), limits).rungs;
    };
    // Asked as a pair both times: what holds for both ends together is not the sum of what holds for each.
    let question = question_of(case, &of_server);
    let mut rungs = examine(question.clone(), &of_server).rungs;
    rungs.retain(is_of_server_limit);
    let others = examine(question, limits).rungs.into_iter();
    rungs.extend(others.filter(|rung| !is_of_server_limit(rung)));
    rungs
}

/// Whether it follows from the limit of descriptors that the case gives the server's processes.
fn is_of_server_limit(rung: &Rung) -> bool {
    match rung.limit {
        limiter::DESCRIPTORS => rung.side == Side::Server,
        limiter::NR_OPEN | limiter::DIRECT_TABLE => true,
        _ => false,
    }
}

/// What the case asks for by number is not begun with less.
fn check_ends(case: &Case, most: u64) -> Result<(), Refusal> {
    let workers = limits::worker_processes(case);
    let (asked, key) = match case.server_processes {
        Some(processes) if processes > workers => (processes, "server_processes"),
        _ => (workers, "workers"),
    };
    if u64::from(asked) <= most || case.engine == Some(Engine::Foreign) {
        return Ok(());
    }
    Err(Refusal {
        limiter: limiter::DESCRIPTORS,
        obstacles: vec![format!(
            "{key} is {asked}, and this process has descriptors to hold the ends of {most} server processes: raise \
             RLIMIT_NOFILE with `ulimit -n`"
        )],
    })
}

/// As many processes as a case that is to fill memory would need have to be started, before it is known how many it
/// does need.
fn check_processes(case: &Case) -> Result<(), Refusal> {
    let limit = limits::of_server(case, limits::child_descriptors());
    let (needed, most) = (limits::processes_needed(case, limit), own_children_max());
    if u64::from(needed) <= most || case.server_processes.is_some() {
        return Ok(());
    }
    Err(Refusal {
        limiter: limiter::DESCRIPTORS,
        obstacles: vec![format!(
            "RLIMIT_NOFILE is {limit}: {} connections would need {needed} server processes, and this process can hold \
             the ends of {most}: raise it with `ulimit -n`, or use an engine on direct descriptors (uring)",
            case.connections
        )],
    })
}

#[cfg(test)]
#[path = "refuse_tests.rs"]
mod tests;

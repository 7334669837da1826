//! Which limit a run has met, from what was seen: counters of its network and its control group, and queues.

use super::Run;
use super::events::{Event, Who};
use crate::doctor::of_case;
use fourtuple_meter::GroupShortage;
use fourtuple_spec::message::{Failure, ServerReply, ServerRequest};
use fourtuple_spec::{EndpointState, limiter};
use std::time::{Duration, Instant};

/// How long the other servers may take to say what they hold, when one has failed.
const COUNT_LIMIT: Duration = Duration::from_secs(1);

impl Run<'_> {
    /// Connections that found an accept queue full since the run began.
    pub(super) fn overflows(&self) -> u64 {
        let now = self.network_counters().listen_overflows;
        let before = self.network.listen_overflows;
        now.zip(before)
            .map_or(0, |(now, before)| now.saturating_sub(before))
    }

    /// Whether connections have found an accept queue full, and others wait there now.
    pub(super) fn is_queue_overrun(&self) -> bool {
        self.overflows() > 0 && self.waiting().is_some_and(|waiting| waiting > 0)
    }

    /// Connections in the accept queue, where that is where the case holds them.
    pub(super) fn held_by_queue(&self) -> Option<u32> {
        let is_held_there = self.case.state == Some(EndpointState::AcceptQueue);
        let waiting = is_held_there.then(|| self.waiting()).flatten()?;
        waiting.try_into().ok()
    }

    fn waiting(&self) -> Option<u64> {
        let server = self.subjects.server_pids.first()?;
        fourtuple_meter::waiting_to_be_accepted(*server, self.server_port?)
    }

    /// For want of which memory a process was killed, if it was for that.
    pub(super) fn killed_for(&self) -> Option<&'static str> {
        let (before, now) = (self.group?, GroupShortage::read()?);
        match (now.killed > before.killed, now.has_killed_since(&before)) {
            (false, _) => None,
            (true, true) => Some(limiter::MEMORY_GROUP),
            (true, false) => Some(limiter::MEMORY),
        }
    }

    /// A server's failure, with what all servers hold.
    pub(super) fn with_all_held(&mut self, shard: u32, failure: Failure) -> Failure {
        let Some(held) = failure.connections_held else {
            return failure;
        };
        let others = self.held_by_others(shard);
        Failure {
            connections_held: others.and_then(|others| held.checked_add(others)),
            ..failure
        }
    }

    /// What the other servers hold; `None` if one of them does not say.
    fn held_by_others(&mut self, failed: u32) -> Option<u32> {
        let mut awaited = 0;
        for (shard, server) in self.servers.iter_mut().enumerate() {
            if shard != failed as usize {
                server.tell(&ServerRequest::Count);
                awaited += 1;
            }
        }
        let end = Instant::now() + COUNT_LIMIT;
        let mut held = 0_u64;
        while awaited > 0 {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left).ok()? {
                Event::Server(_, ServerReply::Counters(counts)) => {
                    held += counts.accepted? - counts.closed.unwrap_or(0).min(counts.accepted?);
                    awaited -= 1;
                }
                Event::Server(_, ServerReply::Failed(other)) => {
                    held += u64::from(other.connections_held?);
                    awaited -= 1;
                }
                Event::Ended(Who::Server(shard)) if shard != failed => return None,
                _ => {}
            }
        }
        held.try_into().ok()
    }

    /// What the client could not know of why it found no port: that others of them are kept by connections that have
    /// ended, or for other programs.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        if failure.limiter.as_deref() != Some(limiter::PORT_RANGE) {
            return failure;
        }
        let is_private = self.context.has_private_network(&self.case);
        let network = of_case::limits_of(&self.case, &self.context.limits, is_private).network;
        let Some(&(low, high)) = network.ports.known() else {
            return failure;
        };
        let ports = u64::from(high.saturating_sub(low)) + 1;
        let reserved = network.reserved_in_range.known().copied().unwrap_or(0);
        let ended = self.time_wait.unwrap_or(0);
        let held = failure.connections_held.unwrap_or(0);
        let held = u64::from(held.min(self.case.group_connections));
        if ended > 0 && held + ended >= ports.saturating_sub(reserved) {
            return Failure {
                error: format!(
                    "{}; {ended} connections that have ended keep their ports for a minute (TIME_WAIT)",
                    failure.error
                ),
                limiter: Some(limiter::TIME_WAIT.to_owned()),
                ..failure
            };
        }
        let why = match reserved {
            0 => String::new(),
            _ => format!(
                "; {reserved} of the {ports} ports are kept back by {}",
                limiter::RESERVED_PORTS
            ),
        };
        Failure {
            error: failure.error.clone() + &why,
            ..failure
        }
    }

    /// Sockets in TIME_WAIT in the client's network. To be read before the first connection: one that fails leaves some
    /// of its own.
    pub(super) fn read_time_wait(&self) -> Option<u64> {
        let client = self.subjects.client_pids.first()?;
        fourtuple_meter::time_wait(*client)
    }
}

//! Which limit a run has met, from what was seen: counters of its network and its control group, and queues.

use super::Run;
use super::events::{Event, Halt, Who};
use crate::doctor::{of_case, read};
use fourtuple_meter::GroupShortage;
use fourtuple_spec::limits::Listener;
use fourtuple_spec::message::{Failure, ServerReply, ServerRequest};
use fourtuple_spec::{EndpointState, Limits, Reading, limiter};
use std::net::SocketAddr;
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
    ///
    /// # Errors
    /// The user wants to stop.
    pub(super) fn with_all_held(&mut self, shard: u32, failure: Failure) -> Result<Failure, Halt> {
        let Some(held) = failure.connections_held else {
            return Ok(failure);
        };
        let others = self.held_by_others(shard)?;
        Ok(Failure {
            connections_held: others.and_then(|others| held.checked_add(others)),
            ..failure
        })
    }

    /// What the other servers hold; `None` if one of them does not say.
    fn held_by_others(&mut self, failed: u32) -> Result<Option<u32>, Halt> {
        let mut said = vec![Held::Awaited; self.servers.len()];
        if let Some(own) = said.get_mut(failed as usize) {
            *own = Held::Known(0);
        }
        // What is in the queue was said before they are asked: of that only an end counts.
        while let Ok(event) = self.events.try_recv() {
            if !is_count(&event) {
                take(&mut said, event)?;
            }
        }
        for (server, _) in
            (self.servers.iter_mut().zip(&said)).filter(|(_, said)| said.is_awaited())
        {
            server.tell(&ServerRequest::Count);
        }
        let end = Instant::now() + COUNT_LIMIT;
        while said.iter().any(Held::is_awaited) {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => take(&mut said, event)?,
                Err(_) => return Ok(None),
            }
        }
        Ok(sum(&said))
    }

    /// What the client could not know of why it found no port: that others of them are kept by connections that have
    /// ended, or for other programs.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        if failure.limiter.as_deref() != Some(limiter::PORT_RANGE) {
            return failure;
        }
        let limits = self.limits_now();
        let Some(free) = of_case::free_ports(&limits) else {
            return failure;
        };
        let ended = self.time_wait.unwrap_or(0);
        // Groups are filled one after another, and each has the range anew.
        let held = failure.connections_held.unwrap_or(0) % self.case.group_connections.max(1);
        if ended > 0 && u64::from(held) + ended >= free {
            return Failure {
                error: format!(
                    "{}; {ended} connections that have ended keep their ports for a minute (TIME_WAIT)",
                    failure.error
                ),
                limiter: Some(limiter::TIME_WAIT.to_owned()),
                ..failure
            };
        }
        let reserved = limits.network.reserved_in_range.known().copied();
        let why = match reserved.unwrap_or(0) {
            0 => String::new(),
            reserved => format!(
                "; {reserved} ports of the range are kept back by {}",
                limiter::RESERVED_PORTS
            ),
        };
        Failure {
            error: failure.error.clone() + &why,
            ..failure
        }
    }

    /// The limits as they are now, where the run's own server listens too.
    fn limits_now(&self) -> Limits {
        let is_private = self.context.has_private_network(&self.case);
        let read = match is_private {
            true => None,
            // What others listen on may have changed since.
            false => read::read(None).ok(),
        };
        let read = read.as_ref().unwrap_or(&self.context.limits);
        let mut limits = of_case::limits_of(&self.case, read, is_private);
        if let (Some(port), Reading::Known(listeners)) =
            (self.server_port, &mut limits.network.listeners)
        {
            listeners.push(Listener {
                address: SocketAddr::from(([0, 0, 0, 0], port)),
                waiting: 0,
                backlog: 0,
            });
        }
        limits
    }

    /// Sockets in TIME_WAIT in the client's network. To be read before the first connection: one that fails leaves some
    /// of its own.
    pub(super) fn read_time_wait(&self) -> Option<u64> {
        let client = self.subjects.client_pids.first()?;
        fourtuple_meter::time_wait(*client)
    }
}

/// What a server says it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// Nothing yet.
    Awaited,
    /// So many.
    Known(u64),
    /// It does not count, or has ended without a word.
    Unknown,
}

impl Held {
    fn is_awaited(&self) -> bool {
        *self == Self::Awaited
    }

    fn of(count: Option<u64>) -> Self {
        count.map_or(Self::Unknown, Self::Known)
    }
}

/// Takes what an event says of what a server holds: its first word counts, because a server that has failed ends too.
fn take(said: &mut [Held], event: Event) -> Result<(), Halt> {
    let (shard, held) = match event {
        Event::Interrupted => return Err(Halt::Interrupted),
        Event::Server(shard, ServerReply::Counters(counts)) => {
            let open = |accepted: u64| accepted.saturating_sub(counts.closed.unwrap_or(0));
            (shard, Held::of(counts.accepted.map(open)))
        }
        Event::Server(shard, ServerReply::Failed(other)) => {
            (shard, Held::of(other.connections_held.map(u64::from)))
        }
        Event::Ended(Who::Server(shard)) => (shard, Held::Unknown),
        _ => return Ok(()),
    };
    if let Some(said) = said
        .get_mut(shard as usize)
        .filter(|said| said.is_awaited())
    {
        *said = held;
    }
    Ok(())
}

fn is_count(event: &Event) -> bool {
    matches!(event, Event::Server(_, ServerReply::Counters(_)))
}

fn sum(said: &[Held]) -> Option<u32> {
    let known = said.iter().map(|said| match said {
        Held::Known(count) => Some(*count),
        _ => None,
    });
    known.sum::<Option<u64>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::record::ServerCounters;

    fn counters(shard: u32, accepted: u64, closed: u64) -> Event {
        Event::Server(
            shard,
            ServerReply::Counters(ServerCounters {
                accepted: Some(accepted),
                closed: Some(closed),
                ..ServerCounters::default()
            }),
        )
    }

    fn failed(shard: u32, connections_held: Option<u32>) -> Event {
        Event::Server(
            shard,
            ServerReply::Failed(Failure {
                error: "out of something".to_owned(),
                limiter: None,
                connections_held,
            }),
        )
    }

    #[test]
    fn each_servers_first_word_counts_and_the_failed_ones_none() {
        let mut said = [Held::Known(0), Held::Awaited, Held::Awaited];
        let events = [
            counters(0, 900, 0),
            counters(1, 12, 2),
            counters(1, 900, 0),
            failed(2, Some(5)),
            Event::Ended(Who::Server(2)),
            Event::Ended(Who::Server(0)),
            counters(7, 1, 0),
        ];
        for event in events {
            take(&mut said, event).unwrap();
        }
        assert_eq!(said, [Held::Known(0), Held::Known(10), Held::Known(5)]);
        assert_eq!(sum(&said), Some(15));
    }

    #[test]
    fn what_one_does_not_say_makes_the_sum_unknown_and_an_interruption_ends_it() {
        for silent in [failed(0, None), Event::Ended(Who::Server(0))] {
            let mut said = [Held::Awaited, Held::Known(3)];
            take(&mut said, silent).unwrap();
            assert_eq!(sum(&said), None);
        }
        assert!(matches!(
            take(&mut [], Event::Interrupted),
            Err(Halt::Interrupted)
        ));
    }
}

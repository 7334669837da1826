//! Waiting for one thing while everything else may happen, never without a deadline.

use super::Run;
use super::events::{Event, Halt, Who};
use fourtuple_spec::message::{ClientReply, Failure, ServerReply};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// How long a failing client waits for word of the server's death, which explains the client's.
const GRACE: Duration = Duration::from_millis(300);

/// A reply that was waited for.
pub enum Reply {
    /// The server's.
    Server(u32, ServerReply),
    /// The client's.
    Client(ClientReply),
}

impl Run<'_> {
    /// The next reply that is no failure, or why there is none. `awaited` says what is waited for.
    pub(super) fn reply(&mut self, limit: Duration, awaited: &str) -> Result<Reply, Halt> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => {
                    if let Some(reply) = self.sort(event)? {
                        return Ok(reply);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Halt::failed(format!(
                        "{awaited} was awaited for {} s and did not come: {}",
                        limit.as_secs(),
                        self.suspect()
                    )));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Halt::failed("all processes are gone"));
                }
            }
        }
    }

    /// The client's next reply; a server has nothing to say meanwhile.
    pub(super) fn client_reply(
        &mut self,
        limit: Duration,
        awaited: &str,
    ) -> Result<ClientReply, Halt> {
        match self.reply(limit, awaited)? {
            Reply::Client(reply) => Ok(reply),
            Reply::Server(..) => Err(out_of_turn(Who::Server(0))),
        }
    }

    /// The servers' next reply; the client has nothing to say meanwhile.
    pub(super) fn server_reply(
        &mut self,
        limit: Duration,
        awaited: &str,
    ) -> Result<(u32, ServerReply), Halt> {
        match self.reply(limit, awaited)? {
            Reply::Server(shard, reply) => Ok((shard, reply)),
            Reply::Client(_) => Err(out_of_turn(Who::Client)),
        }
    }

    /// Lets time pass, unless something happens.
    pub(super) fn pause(&mut self, length: Duration) -> Result<(), Halt> {
        let end = Instant::now() + length;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Err(_) => return Ok(()),
                Ok(event) => {
                    self.sort(event)?;
                }
            }
        }
    }

    /// A reply, if the event is one that somebody may wait for, or why the run cannot go on. The process
    /// that prepared memory has nothing to say any more, and may end.
    pub(super) fn sort(&mut self, event: Event) -> Result<Option<Reply>, Halt> {
        match event {
            Event::Interrupted => Err(Halt::Interrupted),
            Event::Prepare(_) | Event::Ended(Who::Prepare) => Ok(None),
            Event::Ended(who) => Err(self.describe_end(who)),
            Event::Server(shard, ServerReply::Failed(failure)) => {
                Err(Halt::Failed(self.with_all_held(shard, failure)?))
            }
            Event::Client(ClientReply::Failed(failure)) => Err(self.blame(failure)),
            Event::Server(shard, reply) => Ok(Some(Reply::Server(shard, reply))),
            Event::Client(reply) => Ok(Some(Reply::Client(reply))),
        }
    }

    /// Who keeps the others waiting, as far as the kernel can tell.
    pub(super) fn suspect(&self) -> String {
        let processes = self.servers.iter().chain(&self.client);
        let mut stopped = processes
            .filter(|process| process.is_stopped())
            .map(|process| process.name());
        stopped.next_back().map_or_else(
            || "a process hangs".to_owned(),
            |name| format!("{name} has been stopped by a signal"),
        )
    }

    fn describe_end(&mut self, who: Who) -> Halt {
        let process = match who {
            Who::Server(shard) => self.servers.get_mut(shard as usize),
            Who::Client => self.client.as_mut(),
            Who::Prepare => self.preparer.as_mut(),
        };
        let Some(process) = process else {
            return Halt::failed(format!("{} is gone", who.name()));
        };
        let error = process.describe_end();
        let limiter = match process.was_killed() {
            true => self.killed_for(),
            false => None,
        };
        Halt::Failed(Failure {
            error,
            limiter: limiter.map(str::to_owned),
            connections_held: None,
        })
    }

    /// A client whose connections break sees the symptom; a server that died is the cause.
    fn blame(&mut self, failure: Failure) -> Halt {
        let end = Instant::now() + GRACE;
        while let Ok(event) = self
            .events
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            let cause = match event {
                Event::Interrupted => return Halt::Interrupted,
                Event::Server(shard, ServerReply::Failed(cause)) => {
                    match self.with_all_held(shard, cause) {
                        Ok(cause) => cause,
                        Err(halt) => return halt,
                    }
                }
                Event::Ended(who @ Who::Server(_)) => match self.describe_end(who) {
                    Halt::Failed(cause) => cause,
                    Halt::Interrupted => return Halt::Interrupted,
                },
                _ => continue,
            };
            return Halt::Failed(Failure {
                error: format!("{}; the client saw: {}", cause.error, failure.error),
                limiter: cause.limiter.or(failure.limiter),
                connections_held: cause.connections_held.or(failure.connections_held),
            });
        }
        Halt::Failed(self.explain(failure))
    }
}

pub(super) fn out_of_turn(who: Who) -> Halt {
    Halt::failed(format!(
        "{} spoke out of turn: is it of another version of this program?",
        who.name()
    ))
}

//! Opening every connection, and what memory that took.

use super::events::{Halt, Who};
use super::wait::out_of_turn;
use super::{Run, Stage, memory, room};
use fourtuple_meter::MemorySnapshot;
use fourtuple_spec::limiter;
use fourtuple_spec::message::{ClientReply, ClientRequest, Failure, Ramp};
use fourtuple_spec::record::{Ledger, Setup};
use std::time::{Duration, Instant};

/// How long the ramp may stand still. The client reports a few times a second whether it gets on or
/// not; a SYN that was dropped is sent again after 1, 3, 7 and 15 s, so this is past all hope.
const STANDSTILL_LIMIT: Duration = Duration::from_secs(30);

/// How long it may where the accept queue has overrun and connections wait in it. A server that accepts at all has
/// emptied it by then.
const QUEUE_LIMIT: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// Opens every connection.
    pub(super) fn ramp(&mut self) -> Result<(), Halt> {
        self.stage("ramp", Stage::Ramping(0));
        self.tell_client(&ClientRequest::Ramp);
        let mut last_growth = Instant::now();
        loop {
            match self.client_reply(STANDSTILL_LIMIT, "word of the next connection")? {
                ClientReply::Ramping { connections } => {
                    if self.record.setup.connections_held != Some(connections) {
                        last_growth = Instant::now();
                    }
                    let still = last_growth.elapsed();
                    let has_waited = still > QUEUE_LIMIT && self.is_queue_overrun();
                    if has_waited || still > STANDSTILL_LIMIT {
                        return Err(self.standstill(connections, still));
                    }
                    self.watch_memory(connections)?;
                    self.record.setup.connections_held = Some(connections);
                    (self.context.on_stage)(Stage::Ramping(connections));
                }
                ClientReply::Connected(ramp) => {
                    let prepared_bytes = self.record.setup.prepared_bytes;
                    self.record.setup = Setup {
                        prepared_bytes,
                        ..setup(&ramp)
                    };
                    return Ok(());
                }
                _ => return Err(out_of_turn(Who::Client)),
            }
        }
    }

    /// Stops the growth before the OOM killer does: what has been opened is the answer, if that was the
    /// question, and otherwise memory is what the run failed for.
    fn watch_memory(&mut self, connections: u32) -> Result<(), Halt> {
        let memory_bytes = self.context.host.memory_bytes;
        let prepared_bytes = self.record.setup.prepared_bytes.unwrap_or(0);
        if self.preparer.is_some() && room::is_filling(memory_bytes, prepared_bytes) {
            self.end_preparation();
        }
        if self.record.limiter.is_some() {
            return Ok(());
        }
        let Some(limiter) = room::is_nearly_full(memory_bytes) else {
            return Ok(());
        };
        if !self.case.until_full {
            return Err(Halt::Failed(Failure {
                error: format!(
                    "{limiter} was nearly used up at {connections} of {} connections: ask for fewer",
                    self.case.connections
                ),
                limiter: Some(limiter.to_owned()),
                connections_held: Some(connections),
            }));
        }
        self.record.limiter = Some(limiter.to_owned());
        self.tell_client(&ClientRequest::Enough);
        Ok(())
    }

    /// Why the ramp does not get on, as far as the network's counters tell.
    fn standstill(&self, connections: u32, still: Duration) -> Halt {
        let (limiter, why) = match self.overflows() {
            0 => (None, self.suspect()),
            dropped => (
                Some(limiter::ACCEPT_QUEUE.to_owned()),
                format!(
                    "{dropped} connects found the accept queue full: the server does not accept (any more)"
                ),
            ),
        };
        Halt::Failed(Failure {
            error: format!("no connection was opened for {} s: {why}", still.as_secs()),
            limiter,
            connections_held: Some(self.held_by_queue().unwrap_or(connections)),
        })
    }

    /// Lets the kernel finish what the ramp began, then reads the memory of connections at rest.
    pub(super) fn settle(&mut self) -> Result<(), Halt> {
        self.stage("settle", Stage::Settling);
        self.pause(Duration::from_millis(self.case.settle_ms))?;
        self.wait_for_accepts()?;
        self.wait_for_queue()?;
        if let Some(witness) = self.context.witness {
            witness(&self.subjects);
        }
        let Some(ledger) = self.add_ledger("settle") else {
            return Ok(());
        };
        let connections = self.record.setup.connections_held;
        memory::note_settle(&mut self.record.memory, &ledger, connections);
        Ok(())
    }

    /// The processes' memory, from the last ledger that was read: what serving has made them take is in it.
    pub(super) fn note_user(&mut self) {
        let connections = self.record.setup.connections_held;
        let memory = &mut self.record.memory;
        if let Some(ledger) = memory.ledger.last().cloned() {
            memory::note_user(memory, &ledger, connections);
        }
    }

    /// Waits until the servers have accepted what the client has opened: to the client a connection is
    /// open when it waits in the accept queue, and there it is not yet what it will cost.
    fn wait_for_accepts(&mut self) -> Result<(), Halt> {
        let Some(held) = self.record.setup.connections_held else {
            return Ok(());
        };
        let end = Instant::now() + STANDSTILL_LIMIT;
        while !self.servers.is_empty() {
            let accepted = self.server_counters()?.accepted;
            if accepted.is_none_or(|accepted| accepted >= u64::from(held)) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(self.standstill(held, STANDSTILL_LIMIT));
            }
            // The server tells only when asked, and each question takes from its time.
            self.pause(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Waits until all connections that are to wait in the accept queue do. To a ghost a connection is open when the
    /// kernel has answered it, and where the queue is full that is as far as it comes.
    fn wait_for_queue(&mut self) -> Result<(), Halt> {
        let held = self.record.setup.connections_held.unwrap_or(0);
        let (mut most, mut last_growth) = (0, Instant::now());
        while let Some(waiting) = self.held_by_queue().filter(|&waiting| waiting < held) {
            if waiting > most {
                (most, last_growth) = (waiting, Instant::now());
            }
            // Where none was dropped, no more is known than that the machine is slow.
            let limit = match self.overflows() {
                0 => STANDSTILL_LIMIT,
                _ => QUEUE_LIMIT,
            };
            if last_growth.elapsed() > limit {
                return Err(self.short_queue(waiting, held));
            }
            self.pause(Duration::from_millis(20))?;
        }
        Ok(())
    }

    fn short_queue(&self, waiting: u32, held: u32) -> Halt {
        let (limiter, why) = match self.overflows() {
            0 => (None, self.suspect()),
            dropped => (
                Some(limiter::ACCEPT_QUEUE.to_owned()),
                format!("{dropped} connects found it full"),
            ),
        };
        Halt::Failed(Failure {
            error: format!("{waiting} of {held} connections came into the accept queue: {why}"),
            limiter,
            connections_held: Some(waiting),
        })
    }

    /// Reads the ledger at the end of a phase.
    pub(super) fn add_ledger(&mut self, phase: &str) -> Option<Ledger> {
        let now = self.look_at_memory();
        let ledger = now.ledger_since(self.memory.as_ref()?, phase);
        self.record.memory.ledger.push(ledger.clone());
        Some(ledger)
    }

    /// Reads the machine's memory: for longer where the run is large enough for a moment to mislead.
    pub(super) fn look_at_memory(&self) -> MemorySnapshot {
        let span = match self.case.connections {
            0..10_000 => Duration::ZERO,
            10_000..100_000 => Duration::from_millis(100),
            _ => Duration::from_millis(400),
        };
        MemorySnapshot::take_within(&self.subjects, span)
    }

    pub(super) fn tell_client(&mut self, request: &ClientRequest) {
        if let Some(client) = &mut self.client {
            client.tell(request);
        }
    }
}

fn setup(ramp: &Ramp) -> Setup {
    let seconds = ramp.elapsed_ns as f64 / 1e9;
    let rate = f64::from(ramp.connections_held) / seconds;
    Setup {
        connections_held: Some(ramp.connections_held),
        connections_per_second: (ramp.elapsed_ns > 0).then_some(rate),
        connections_proved: None,
        block_connections: (ramp.block_connections > 0).then_some(ramp.block_connections),
        prepared_bytes: None,
        block_seconds: ramp.block_ns.iter().map(|&ns| ns as f64 / 1e9).collect(),
    }
}

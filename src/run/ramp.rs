//! Opening every connection, and what memory that took.

use super::events::{Halt, Who};
use super::wait::out_of_turn;
use super::{Run, Stage, memory, room};
use fourtuple_meter::MemorySnapshot;
use fourtuple_spec::message::{ClientReply, ClientRequest, Failure, Ramp};
use fourtuple_spec::record::{Ledger, Setup};
use std::time::{Duration, Instant};

/// How long the ramp may stand still. The client reports a few times a second whether it gets on or
/// not; a SYN that was dropped is sent again after 1, 3, 7 and 15 s, so this is past all hope.
const STANDSTILL_LIMIT: Duration = Duration::from_secs(30);

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
                    if last_growth.elapsed() > STANDSTILL_LIMIT {
                        return Err(self.standstill(connections));
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
        if self.record.limiter.is_some() || !room::is_nearly_full(memory_bytes) {
            return Ok(());
        }
        if !self.case.until_full {
            return Err(Halt::Failed(Failure {
                error: format!(
                    "memory was nearly used up at {connections} of {} connections: ask for fewer",
                    self.case.connections
                ),
                limiter: Some("memory".to_owned()),
                connections_held: Some(connections),
            }));
        }
        self.record.limiter = Some("memory".to_owned());
        self.tell_client(&ClientRequest::Enough);
        Ok(())
    }

    /// Why the ramp does not get on, as far as the network's counters tell.
    fn standstill(&self, connections: u32) -> Halt {
        let now = self.network_counters();
        let dropped = now
            .listen_overflows
            .zip(self.network.listen_overflows)
            .map_or(0, |(now, before)| now.saturating_sub(before));
        let (limiter, why) = match dropped {
            0 => (None, self.suspect()),
            _ => (
                Some("accept queue".to_owned()),
                format!(
                    "{dropped} connects found the accept queue full: the server has stopped accepting"
                ),
            ),
        };
        Halt::Failed(Failure {
            error: format!(
                "no connection was opened for {} s: {why}",
                STANDSTILL_LIMIT.as_secs()
            ),
            limiter,
            connections_held: Some(connections),
        })
    }

    /// Lets the kernel finish what the ramp began, then reads the memory of connections at rest.
    pub(super) fn settle(&mut self) -> Result<(), Halt> {
        self.stage("settle", Stage::Settling);
        self.pause(Duration::from_millis(self.case.settle_ms))?;
        self.wait_for_accepts()?;
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
                return Err(self.standstill(held));
            }
            // The server tells only when asked, and each question takes from its time.
            self.pause(Duration::from_millis(20))?;
        }
        Ok(())
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

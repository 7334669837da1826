//! Opening every connection, and what memory that took.

use super::events::{Halt, Who};
use super::wait::out_of_turn;
use super::{Run, Stage, memory};
use fourtuple_meter::MemorySnapshot;
use fourtuple_spec::message::{ClientReply, ClientRequest, Ramp};
use fourtuple_spec::record::{Ledger, Setup};
use std::time::Duration;

/// How long the client may be silent during the ramp: it reports a few times a second.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

impl Run<'_> {
    /// Opens every connection.
    pub(super) fn ramp(&mut self) -> Result<(), Halt> {
        self.stage("ramp", Stage::Ramping(0));
        self.tell_client(&ClientRequest::Ramp);
        loop {
            match self.client_reply(SILENCE_LIMIT, "word of the next connection")? {
                ClientReply::Ramping { connections } => {
                    self.record.setup.connections_held = Some(connections);
                    (self.context.on_stage)(Stage::Ramping(connections));
                }
                ClientReply::Connected(ramp) => {
                    self.record.setup = setup(&ramp);
                    return Ok(());
                }
                _ => return Err(out_of_turn(Who::Client)),
            }
        }
    }

    /// Lets the kernel finish what the ramp began, then reads the memory of connections at rest.
    pub(super) fn settle(&mut self) -> Result<(), Halt> {
        self.stage("settle", Stage::Settling);
        self.pause(Duration::from_millis(self.case.settle_ms))?;
        let Some(ledger) = self.add_ledger("settle") else {
            return Ok(());
        };
        let connections = self.record.setup.connections_held;
        memory::note_settle(&mut self.record.memory, &ledger, connections);
        if !self.case.echoes() {
            memory::note_user(&mut self.record.memory, &ledger, connections);
        }
        Ok(())
    }

    /// Reads the ledger at the end of a phase.
    pub(super) fn add_ledger(&mut self, phase: &str) -> Option<Ledger> {
        let now = MemorySnapshot::take(&self.subjects);
        let ledger = now.ledger_since(self.memory.as_ref()?, phase);
        self.record.memory.ledger.push(ledger.clone());
        Some(ledger)
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
        block_seconds: ramp.block_ns.iter().map(|&ns| ns as f64 / 1e9).collect(),
    }
}

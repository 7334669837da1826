//! Closing, reaping, and waiting until the kernel has its memory back.

use super::events::{Event, Halt, Who};
use super::{Run, Stage};
use fourtuple_meter::{MemorySnapshot, Subjects};
use fourtuple_spec::Case;
use fourtuple_spec::message::{ClientReply, ClientRequest, ServerRequest};
use std::time::{Duration, Instant};

/// From so many connections on, the kernel is still freeing when the processes are gone.
const BIG_RUN_CONNECTIONS: u32 = 50_000;

/// How long the next run waits for the memory of this one.
const SLAB_LIMIT: Duration = Duration::from_secs(30);

/// Slab memory above the baseline with which the next run may start: 64 MiB are about 8,000 pairs.
const SLAB_REST_BYTES: u64 = 64 << 20;

impl Run<'_> {
    /// Closes everything. All that was to be measured has been: a slow end is a warning.
    pub(super) fn drain(&mut self) -> Result<(), Halt> {
        self.stage("drain", Stage::Draining);
        self.tell_client(&ClientRequest::Drain);
        let closing = Duration::from_millis(u64::from(self.case.connections) / 20);
        let limit = Duration::from_secs(10) + closing;
        match self.client_reply(limit, "the end of the drain") {
            Ok(ClientReply::Drained) => {}
            Ok(_) => self.warn("the client spoke out of turn while it closed".to_owned()),
            Err(Halt::Interrupted) => return Err(Halt::Interrupted),
            Err(Halt::Failed(failure)) => {
                self.warn(format!(
                    "connections were not closed in order: {}",
                    failure.error
                ));
            }
        }
        self.stop_servers()
    }

    /// Asks the servers to exit and waits until they have closed their ends.
    fn stop_servers(&mut self) -> Result<(), Halt> {
        let mut open = self.servers.len();
        for server in &mut self.servers {
            server.tell(&ServerRequest::Stop);
            server.dismiss();
        }
        let end = Instant::now() + Duration::from_secs(10);
        while open > 0 {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::Ended(Who::Server(_))) => open -= 1,
                Ok(Event::Interrupted) => return Err(Halt::Interrupted),
                Ok(_) => {}
                Err(_) => {
                    self.warn(format!(
                        "{open} server processes did not stop and were killed"
                    ));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Kills what still lives and reaps everything.
    pub(super) fn processes_end(&mut self) {
        self.client = None;
        self.servers.clear();
    }

    fn warn(&mut self, warning: String) {
        self.record.warnings.push(warning);
    }
}

/// Slab memory before a big run.
pub fn slab_bytes(case: &Case) -> Option<u64> {
    if case.connections < BIG_RUN_CONNECTIONS {
        return None;
    }
    MemorySnapshot::take(&Subjects::default()).slab_bytes()
}

/// Waits until a big run's slabs are free again, so that the next one starts as this one did.
pub fn wait_for_slab(before: Option<u64>, run: &mut Run<'_>) {
    let Some(before) = before else {
        return;
    };
    let end = Instant::now() + SLAB_LIMIT;
    loop {
        let now = MemorySnapshot::take(&Subjects::default()).slab_bytes();
        let Some(excess) = now.map(|now| now.saturating_sub(before)) else {
            return;
        };
        if excess <= SLAB_REST_BYTES {
            return;
        }
        if Instant::now() > end {
            run.warn(format!(
                "{} MiB of kernel memory were not free again {} s after the run",
                excess >> 20,
                SLAB_LIMIT.as_secs()
            ));
            return;
        }
        // The kernel frees in the background and tells nobody: there is nothing to wait on but time.
        // A record is complete at this point, so a signal no longer drops it: it ends the wait.
        std::thread::sleep(Duration::from_millis(100));
        if run.context.interrupt.is_set() {
            return;
        }
    }
}

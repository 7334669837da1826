//! Having memory backed before the ramp needs it, where the case asks for that.

use super::events::{Event, Halt, Who};
use super::process::Process;
use super::{Run, Stage, room};
use fourtuple_spec::message::{PrepareReply, PrepareRequest};
use std::time::{Duration, Instant};

/// A host that finds memory at less than 100 MB a second is not waited for.
const BYTES_PER_SECOND_LEAST: u64 = 100_000_000;

impl Run<'_> {
    /// Prepares what the case is expected to take. That it cannot be done is a warning: the run is then
    /// as it would have been without.
    pub(super) fn prepare(&mut self) -> Result<(), Halt> {
        let bytes = room::to_prepare(&self.case, self.context.host.memory_bytes);
        if !self.case.prepare_memory || bytes == 0 {
            return Ok(());
        }
        self.stage("prepare", Stage::Preparing);
        let mut process = Process::start(Who::Prepare, self.sender.clone(), Event::Prepare)?;
        process.tell(&PrepareRequest::Start {
            bytes,
            left_bytes: room::reserve_bytes(self.context.host.memory_bytes),
        });
        self.preparer = Some(process);
        let limit = Duration::from_secs(10 + bytes / BYTES_PER_SECOND_LEAST);
        match self.prepared(limit)? {
            Ok((bytes, reason)) => {
                self.record.setup.prepared_bytes = Some(bytes);
                self.record.warnings.extend(reason.map(|reason| {
                    format!(
                        "only {} MB of memory were prepared: {reason}",
                        bytes / 1_000_000
                    )
                }));
            }
            Err(reason) => {
                self.end_preparation();
                self.record.warnings.push(format!(
                    "memory was not prepared, so a virtual machine's set-up rate is its host's as well: {reason}"
                ));
            }
        }
        Ok(())
    }

    /// Waits for the answer: how much, and why not more; or why nothing.
    #[allow(clippy::type_complexity)]
    fn prepared(&mut self, limit: Duration) -> Result<Result<(u64, Option<String>), String>, Halt> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::Prepare(PrepareReply::Prepared { bytes, reason })) => {
                    return Ok(Ok((bytes, reason)));
                }
                Ok(Event::Prepare(PrepareReply::Failed(failure))) => return Ok(Err(failure.error)),
                Ok(Event::Ended(Who::Prepare)) => {
                    return Ok(Err(self.preparer.as_mut().map_or_else(
                        || "its process is gone".to_owned(),
                        Process::describe_end,
                    )));
                }
                Ok(event) => {
                    self.sort(event)?;
                }
                Err(_) => {
                    let seconds = limit.as_secs();
                    return Ok(Err(format!("it was not done after {seconds} s")));
                }
            }
        }
    }

    /// What was held to keep the memory backed is free from here on.
    pub(super) fn end_preparation(&mut self) {
        self.preparer = None;
    }
}

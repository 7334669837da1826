//! The ghosts of a load: connections that echo. Nothing is kept of one that has no turn.
//!
//! A segment for a connection without a turn is answered from itself alone. What a turn needs is in the
//! [`table`](super::table), and there are as many turns as connections are active at once. The numbers of a
//! connection that gets a turn are asked for (see [`tcp`](super::tcp)); where the turn passes within a measured
//! span, and in an open loop, they are kept instead, 8 bytes a connection, because a question would take as long
//! as an echo.

use super::address::{GHOSTS_MAX, first_sequence};
use super::line::{Arrival, BUFFER_BYTES, Line};
use super::segment::{FIN, RST, SEGMENT_BYTES, Segment};
use super::tcp::{Reply, Tcp, Terms, answer_without_state, reset_after, reset_at};
use crate::LoadError;
use crate::members::Members;
use fourtuple_spec::Case;
use fourtuple_spec::payload::Pattern;
use fourtuple_spec::record::{ClientCounters, Grant};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The most that a connection may have in flight: its numbers have 32 bits.
const IN_FLIGHT_BYTES_MAX: u64 = 1 << 30;
/// Bytes of a timestamp option, with what pads it.
pub(super) const TIMESTAMP_BYTES: u32 = 12;
/// Segments sent between two looks at what has come, while connections are ended.
const END_AT_ONCE: u32 = 64;
/// How long the line has to be silent before all connections are taken to be ended.
const SILENCE: Duration = Duration::from_millis(20);

/// The connections of a load.
pub(super) struct Echoes {
    pub(super) case: Case,
    pub(super) line: Line,
    pub(super) pattern: Pattern,
    pub(super) terms: Terms,
    /// The first so many connections are open.
    pub(super) open: u32,
    /// Messages that each of them has echoed in full rounds.
    pub(super) rounds: u32,
    /// Some have echoed more than that.
    pub(super) has_measured: bool,
    /// Connections proved live since the ramp.
    pub(super) proved: u32,
    pub(super) replies: Vec<Reply>,
}

impl Echoes {
    pub(super) fn prepare(case: &Case, port: u16, device: OwnedFd) -> Result<Self, LoadError> {
        check(case)?;
        let timestamp_bytes = match case.tcp_options.has_timestamps() {
            true => TIMESTAMP_BYTES,
            false => 0,
        };
        Ok(Self {
            line: Line::new(case, port, device)?,
            pattern: Pattern::new(case.message_bytes),
            terms: Terms {
                segment_bytes: u32::from(SEGMENT_BYTES) - timestamp_bytes,
                server_scale: 14,
                server_window: u32::MAX,
                message_bytes: case.message_bytes,
            },
            case: case.clone(),
            open: 0,
            rounds: 0,
            has_measured: false,
            proved: 0,
            replies: Vec::new(),
        })
    }

    pub(super) fn granted(&self) -> Vec<Grant> {
        self.line.grants()
    }

    /// Answers the server until `stop` is readable: a handshake's end may have been lost, for one.
    pub(super) fn linger(&mut self, stop: &OwnedFd) -> Result<(), LoadError> {
        let mut buffer = [0; BUFFER_BYTES];
        while !super::is_asked(stop) {
            loop {
                match self.line.hear(&mut buffer)? {
                    Arrival::Nothing => break,
                    Arrival::Foreign => {}
                    Arrival::Segment(index, segment) => self.hear_idle(index, &segment)?,
                }
            }
            self.line.wait(Some(stop), None)?;
        }
        Ok(())
    }

    /// Answers a segment for a connection that has no turn.
    #[cold]
    pub(super) fn hear_idle(&mut self, index: u32, segment: &Segment<'_>) -> Result<(), LoadError> {
        if index >= self.open {
            self.line.counters.foreign += 1;
            return Ok(());
        }
        if segment.has(RST) {
            return Err(super::broken(index, "was reset by the server"));
        }
        if segment.has(FIN) {
            return Err(super::broken(index, "was closed by the server"));
        }
        self.line.counters.repeated += 1;
        match answer_without_state(segment) {
            Some(reply) => self.line.send(index, &reply, &[]),
            None => Ok(()),
        }
    }

    /// Ends every connection by a reset: nothing outlives the run in the kernel, which would otherwise close the
    /// server's ends towards peers that are not there any more. Where it is not known which number the server
    /// expects, it is asked, and its answer is answered by the reset.
    pub(super) fn end_all(&mut self) -> Result<ClientCounters, LoadError> {
        let uncertain = match self.has_measured {
            true => Members::hot(&self.case),
            false => Members::none(),
        };
        let bytes = self.rounds.wrapping_mul(self.terms.message_bytes);
        for index in 0..self.open {
            let first = first_sequence(index);
            let reply = match uncertain.has(index) {
                true => Tcp::ask(first.wrapping_sub(1)),
                false => reset_at(first.wrapping_add(bytes)),
            };
            self.line.send(index, &reply, &[])?;
            if index % END_AT_ONCE == 0 {
                self.reset_heard()?;
            }
        }
        self.line.flush()?;
        while self.reset_heard()? > 0 {
            self.line.flush()?;
            self.line.wait(None, Some(SILENCE))?;
        }
        Ok(self.line.counted())
    }

    /// Answers whatever the server still says by a reset; how many segments that were.
    fn reset_heard(&mut self) -> Result<u32, LoadError> {
        let mut buffer = [0; BUFFER_BYTES];
        let mut count = 0;
        loop {
            match self.line.hear(&mut buffer)? {
                Arrival::Nothing => return Ok(count),
                Arrival::Foreign => {}
                Arrival::Segment(_, segment) if segment.has(RST) => {}
                Arrival::Segment(index, segment) => {
                    count += 1;
                    self.line.send(index, &reset_after(&segment), &[])?;
                }
            }
        }
    }
}

fn check(case: &Case) -> Result<(), LoadError> {
    if u64::from(case.connections) > GHOSTS_MAX {
        return Err(LoadError::new(format!(
            "{} ghosts are asked for, and 198.18.0.0/15 names {GHOSTS_MAX}",
            case.connections
        )));
    }
    let in_flight = u64::from(case.message_bytes) * u64::from(case.depth);
    if in_flight > IN_FLIGHT_BYTES_MAX {
        return Err(LoadError::new(format!(
            "depth {} of {} B is more than a ghost keeps in flight on a connection, {} MiB: use smaller \
             messages, or fewer",
            case.depth,
            case.message_bytes,
            IN_FLIGHT_BYTES_MAX >> 20
        )));
    }
    Ok(())
}

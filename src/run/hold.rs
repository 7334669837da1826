//! Full rounds, in which every connection echoes once, and the idle hold between them.

use super::events::{Halt, Who};
use super::wait::out_of_turn;
use super::{Run, Stage};
use fourtuple_spec::message::{ClientReply, ClientRequest};
use fourtuple_spec::record::Hold;
use std::time::{Duration, Instant};

/// The slowest that a round may be, for a connection, before it is given up: a window of one takes a
/// round trip and two wake-ups for each.
const ROUND_TIME_EACH: Duration = Duration::from_micros(200);
const SLACK: Duration = Duration::from_secs(60);

impl Run<'_> {
    /// Has every connection echo once for each window that the case names: the first proves them live.
    pub(super) fn rounds(&mut self) -> Result<(), Halt> {
        for active_connections in self.case.rounds.clone() {
            self.round("round", active_connections)?;
        }
        Ok(())
    }

    /// Holds every connection idle, then proves each live again.
    pub(super) fn hold(&mut self) -> Result<(), Halt> {
        if self.case.hold_ms == 0 {
            return Ok(());
        }
        self.stage("hold", Stage::Holding);
        let began = Instant::now();
        self.pause(Duration::from_millis(self.case.hold_ms))?;
        let seconds = began.elapsed().as_secs_f64();
        self.add_ledger("hold");
        let mut connections_lost = None;
        if self.case.echoes() {
            let held = self.record.setup.connections_held.unwrap_or(0);
            let echoes = self.round("proof", self.case.round_connections())?;
            connections_lost = Some(held - u32::try_from(echoes).unwrap_or(held).min(held));
        }
        self.record.hold = Some(Hold {
            seconds,
            connections_lost,
        });
        Ok(())
    }

    /// One round; how many echoes were verified.
    fn round(&mut self, phase: &str, active_connections: u32) -> Result<u64, Halt> {
        self.stage(phase, Stage::Rounding);
        self.tell_client(&ClientRequest::Round { active_connections });
        let held = self.record.setup.connections_held.unwrap_or(0);
        let limit = ROUND_TIME_EACH * held + SLACK;
        let ClientReply::Rounded(mut round) = self.client_reply(limit, "the end of a round")?
        else {
            return Err(out_of_turn(Who::Client));
        };
        round.phase = phase.to_owned();
        let echoes = round.echoes;
        self.record.setup.connections_proved = u32::try_from(echoes).ok();
        self.record.rounds.push(round);
        Ok(echoes)
    }
}

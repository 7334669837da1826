//! The open loop: messages leave when a schedule says so, whether or not echoes have come.
//!
//! One whose connection has as many in flight as the case allows waits for it, and its latency counts the wait.

use super::exchange::Exchange;
use super::schedule::{Shuffle, Times};
use crate::LoadError;
use crate::members::Members;
use fourtuple_spec::Case;
use std::collections::VecDeque;
use std::time::Duration;

/// Messages that may wait for their connections: more is no open loop any more.
const WAITING_MAX: usize = 1 << 20;
/// How long nothing needs to be sent where there is no schedule.
const NOTHING_DUE: Duration = Duration::from_millis(20);

/// An open loop's schedule.
pub(super) struct Open {
    times: Times,
    shuffle: Shuffle,
    /// Connections whose turn is at its depth, and when their message was to leave.
    waiting: VecDeque<(u32, u64)>,
    /// When each message in flight was to leave, by place and sequence modulo depth.
    pub(super) intended_ns: Vec<u64>,
}

impl Open {
    pub(super) fn new(case: &Case, members: &Members, messages: usize) -> Self {
        Self {
            times: Times::new(
                case.schedule,
                case.rate.unwrap_or(1),
                u64::from(case.repeat),
            ),
            shuffle: Shuffle::new(members.count()),
            waiting: VecDeque::new(),
            intended_ns: vec![0; messages],
        }
    }
}

impl Exchange<'_> {
    /// How long it is until something has to be sent, whatever comes.
    pub(super) fn until_due(&self) -> Duration {
        self.open.as_ref().map_or(NOTHING_DUE, |open| {
            Duration::from_nanos(open.times.until_next_ns(self.conductor.now_ns()))
        })
    }

    /// Offers the messages that the schedule has up to now.
    pub(super) fn begin_due(&mut self) -> Result<(), LoadError> {
        while self.conductor.is_sending() {
            let Some(open) = &mut self.open else {
                break;
            };
            let Some(intended_ns) = open.times.due(self.now_ns) else {
                break;
            };
            let index = self.turns.members.index(open.shuffle.next());
            self.conductor.offer();
            self.offer(index, intended_ns)?;
        }
        Ok(())
    }

    /// Has a message leave that was to leave then, or wait for those before it.
    fn offer(&mut self, index: u32, intended_ns: u64) -> Result<(), LoadError> {
        let place = match self.table.place(index) {
            None => {
                let place = self.begin(index, 1)?;
                self.note_intended(place, intended_ns);
                return Ok(());
            }
            Some(place) => place,
        };
        let turn = self.table.turn(place);
        if turn.in_flight() < self.turns.depth {
            self.note_intended_next(place, intended_ns);
            self.ask(place, 1);
            return self.answer(place);
        }
        turn.waiting += 1;
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if open.waiting.len() == WAITING_MAX {
            return Err(LoadError::new(format!(
                "{WAITING_MAX} messages wait to be sent: the server does not keep up with the rate, offer less"
            )));
        }
        open.waiting.push_back((index, intended_ns));
        Ok(())
    }

    fn note_intended(&mut self, place: u32, intended_ns: u64) {
        let sequence = self.table.turn(place).sequence;
        let at = self.stamp(place, sequence);
        if let Some(open) = &mut self.open {
            open.intended_ns[at] = intended_ns;
        }
    }

    fn note_intended_next(&mut self, place: u32, intended_ns: u64) {
        let sequence = self.table.turn(place).asked;
        let at = self.stamp(place, sequence);
        if let Some(open) = &mut self.open {
            open.intended_ns[at] = intended_ns;
        }
    }

    /// There is room for a message that waited for this connection.
    pub(super) fn offer_waiting(&mut self, place: u32) {
        let turn = self.table.turn(place);
        if turn.waiting == 0 {
            return;
        }
        turn.waiting -= 1;
        let index = turn.index;
        let Some(open) = &mut self.open else {
            return;
        };
        let first = open.waiting.iter().position(|&(other, _)| other == index);
        let Some((_, intended_ns)) = first.and_then(|first| open.waiting.remove(first)) else {
            return;
        };
        self.note_intended_next(place, intended_ns);
        self.ask(place, 1);
    }
}

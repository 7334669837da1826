//! Opening connections: a window of handshakes at a time, and no memory of those that are over.

use super::address::first_sequence;
use super::backlog::{AcceptQueue, LOOK_CONNECTIONS};
use super::line::{Arrival, BUFFER_BYTES};
use super::load::Echoes;
use super::segment::{ACK, RST, SYN, Segment};
use super::tcp::{answer_without_state, opening};
use crate::ramp::Blocks;
use crate::{Growth, LoadError};
use fourtuple_spec::message::Ramp;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a SYN may be without an answer before it is sent again.
const RESEND_TIME: Duration = Duration::from_millis(250);
/// How often those are looked for.
const LOOK_TIME: Duration = Duration::from_millis(50);
/// How often a SYN is sent again before the server is given up: eight seconds.
const RESENDS_MAX: u32 = 32;
/// The longest sleep while handshakes are under way, and while the server has to accept first, of which the
/// line says nothing.
const TICK: Duration = Duration::from_millis(20);
const ACCEPT_TICK: Duration = Duration::from_micros(200);
/// SYNs sent before what has come is looked at.
const OPEN_AT_ONCE: u32 = 64;
/// Segments taken in before more connections are opened.
const HEAR_AT_ONCE: u32 = 128;
/// How far the first handshake that has no answer may lie behind, in windows.
const WINDOWS_BEHIND: u32 = 8;
/// How often the caller is asked whether to go on.
const ASK: Duration = Duration::from_millis(25);
/// How long the handshakes under way may take to end when no more are begun.
const END_TIME: Duration = Duration::from_secs(20);

/// A handshake that has begun.
#[derive(Clone, Copy)]
struct Handshake {
    sent: Instant,
    resends: u32,
    is_over: bool,
}

/// A ramp under way.
struct Opening<'a> {
    echoes: &'a mut Echoes,
    /// Of the connections from `settled` on that have begun.
    handshakes: VecDeque<Handshake>,
    /// All below are open.
    settled: u32,
    /// How many are open.
    there: u32,
    blocks: Blocks,
    queue: AcceptQueue,
    now: Instant,
    looked: Instant,
    /// Since when no more are opened.
    ending_since: Option<Instant>,
}

impl Echoes {
    pub(super) fn ramp(
        &mut self,
        progress: &mut dyn FnMut(u32) -> Growth,
    ) -> Result<Ramp, LoadError> {
        let mut ramping = Opening::new(self);
        match ramping.grow(progress) {
            Ok(()) => Ok(ramping.finish()),
            Err(error) => Err(error.holding(ramping.there)),
        }
    }
}

impl<'a> Opening<'a> {
    fn new(echoes: &'a mut Echoes) -> Self {
        let now = Instant::now();
        Self {
            handshakes: VecDeque::new(),
            settled: 0,
            there: 0,
            blocks: Blocks::new(echoes.case.connections),
            queue: AcceptQueue::new(echoes.line.port()),
            now,
            looked: now,
            ending_since: None,
            echoes,
        }
    }

    /// Opens connections until there are all or enough, and none is under way.
    fn grow(&mut self, progress: &mut dyn FnMut(u32) -> Growth) -> Result<(), LoadError> {
        let mut asked = self.now;
        while self.has_more() || self.under_way() > 0 {
            self.now = Instant::now();
            let begun = self.open_some()?;
            let heard = self.hear_some()?;
            self.echoes.line.flush()?;
            self.blocks.reached(self.there);
            if self.now.duration_since(asked) >= ASK {
                asked = self.now;
                if progress(self.there) == Growth::Enough {
                    self.ending_since.get_or_insert(self.now);
                }
            }
            if begun == 0 && heard == 0 {
                let is_held_up = self.under_way() == 0;
                let longest = if is_held_up { ACCEPT_TICK } else { TICK };
                self.echoes.line.wait(None, Some(longest))?;
            }
            self.resend_late()?;
            self.check_end()?;
        }
        progress(self.there);
        Ok(())
    }

    fn opened(&self) -> u32 {
        self.settled + self.handshakes.len() as u32
    }

    fn under_way(&self) -> u32 {
        self.opened() - self.there
    }

    fn has_more(&self) -> bool {
        self.ending_since.is_none() && self.opened() < self.echoes.case.connections
    }

    /// Begins as many handshakes as the window takes, and none while many connections wait to be accepted:
    /// a SYN that finds the accept queue full is lost without a word.
    fn open_some(&mut self) -> Result<u32, LoadError> {
        let window = self.echoes.case.connect_window;
        for begun in 0..OPEN_AT_ONCE {
            let is_far = self.handshakes.len() as u32 >= window * WINDOWS_BEHIND;
            if !self.has_more() || self.under_way() >= window || is_far {
                return Ok(begun);
            }
            let index = self.opened();
            if index.is_multiple_of(LOOK_CONNECTIONS) && self.queue.is_long() {
                return Ok(begun);
            }
            self.open(index)?;
            self.handshakes.push_back(Handshake {
                sent: self.now,
                resends: 0,
                is_over: false,
            });
        }
        Ok(OPEN_AT_ONCE)
    }

    fn open(&mut self, index: u32) -> Result<(), LoadError> {
        let reply = opening(first_sequence(index));
        self.echoes.line.send(index, &reply, &[])
    }

    fn hear_some(&mut self) -> Result<u32, LoadError> {
        let mut buffer = [0; BUFFER_BYTES];
        for heard in 0..HEAR_AT_ONCE {
            match self.echoes.line.hear(&mut buffer)? {
                Arrival::Nothing => return Ok(heard),
                Arrival::Foreign => {}
                Arrival::Segment(index, segment) => self.hear(index, &segment)?,
            }
        }
        Ok(HEAR_AT_ONCE)
    }

    fn hear(&mut self, index: u32, segment: &Segment<'_>) -> Result<(), LoadError> {
        if index >= self.opened() {
            self.echoes.line.counters.foreign += 1;
            return Ok(());
        }
        let place = index.checked_sub(self.settled).map(|place| place as usize);
        let is_over = place.is_none_or(|place| self.handshakes[place].is_over);
        if segment.has(RST) {
            let how = match is_over {
                true => "was reset by the server",
                false => "was refused: nothing listens there",
            };
            return Err(super::broken(index, how));
        }
        if is_over {
            self.echoes.open = self.opened();
            return self.echoes.hear_idle(index, segment);
        }
        let is_answer = segment.has(SYN)
            && segment.has(ACK)
            && segment.acknowledgement == first_sequence(index);
        if !is_answer {
            return Ok(());
        }
        if let Some(place) = place {
            self.handshakes[place].is_over = true;
        }
        self.settle();
        self.there += 1;
        self.note_terms(segment);
        match answer_without_state(segment) {
            Some(reply) => self.echoes.line.send(index, &reply, &[]),
            None => Ok(()),
        }
    }

    /// Forgets the handshakes that are over, up to the first that is not.
    fn settle(&mut self) {
        while self.handshakes.front().is_some_and(|first| first.is_over) {
            self.handshakes.pop_front();
            self.settled += 1;
        }
    }

    /// What one server says to one is what it says to all. Where it is not, the least holds.
    fn note_terms(&mut self, segment: &Segment<'_>) {
        let terms = &mut self.echoes.terms;
        let options = &segment.options;
        terms.server_scale = terms.server_scale.min(options.window_scale.unwrap_or(0));
        terms.server_window = terms.server_window.min(segment.window.into());
        // RFC 9293: where a server says nothing, 536.
        let server_bytes = u32::from(options.segment_bytes.unwrap_or(536));
        let timestamp_bytes = match options.timestamps {
            Some(_) => super::load::TIMESTAMP_BYTES,
            None => 0,
        };
        let most = server_bytes.saturating_sub(timestamp_bytes).max(1);
        terms.segment_bytes = terms.segment_bytes.min(most);
    }

    fn resend_late(&mut self) -> Result<(), LoadError> {
        if self.now.duration_since(self.looked) < LOOK_TIME {
            return Ok(());
        }
        self.looked = self.now;
        for place in 0..self.handshakes.len() {
            let handshake = &mut self.handshakes[place];
            if handshake.is_over || self.now.duration_since(handshake.sent) < RESEND_TIME {
                continue;
            }
            handshake.sent = self.now;
            handshake.resends += 1;
            let index = self.settled + place as u32;
            if handshake.resends > RESENDS_MAX {
                return Err(super::broken(index, "gets no answer to its SYN"));
            }
            self.echoes.line.counters.resent += 1;
            self.open(index)?;
        }
        Ok(())
    }

    fn check_end(&mut self) -> Result<(), LoadError> {
        let is_over = |since: Instant| self.now.duration_since(since) > END_TIME;
        if self.under_way() == 0 || !self.ending_since.is_some_and(is_over) {
            return Ok(());
        }
        Err(LoadError::new(format!(
            "{} handshakes did not end within {} s after the last was begun: the server does not accept, or \
             its backlog is full",
            self.under_way(),
            END_TIME.as_secs()
        )))
    }

    /// From now on the case is about as many connections as are open.
    fn finish(self) -> Ramp {
        self.echoes.case.connections = self.there;
        self.echoes.open = self.there;
        self.blocks.finish(self.there)
    }
}

//! One end of a connection that has a turn: segments go in, segments come out. No I/O and no clock.
//!
//! It is a TCP that is complete enough for any path (RFC 9293, section 3.10.7.4): it keeps to the server's
//! window and segment size, takes what comes in order, once, whatever is doubled, split, merged, overtaken or
//! lost, sends again what has had no answer, and takes part in both ways to end. What it leaves out on purpose:
//! congestion control, an estimate of the round trip (its owner says when time is up), and keeping segments that
//! come early (the server sends them again).
//!
//! An end keeps its state for as long as it has a turn. To take one up again whose numbers nobody kept, it is
//! asked where it stands: a segment from before the server's window is answered by the numbers of both sides, as
//! the RFC demands of every TCP. So a connection that waits costs the ghosts nothing.

use super::segment::{ACK, FIN, PSH, RST, SYN, Segment};

/// The window in every segment but the SYN, before it is scaled: all that the field takes.
const WINDOW: u16 = u16::MAX;
/// The same in bytes, by which a segment is judged to be in the window or out of it.
const WINDOW_BYTES: u32 = (WINDOW as u32) << super::segment::WINDOW_SCALE;
/// Times in a row that something is sent again before the connection is given up. On a path that loses much, the
/// server doubles its own patience again and again, and was seen to be silent for six seconds.
const RESENDS_MAX: u8 = 120;

/// What all connections of a run have in common, as far as the server has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The most payload of one segment.
    pub segment_bytes: u32,
    /// By how much the server's windows are shifted.
    pub server_scale: u8,
    /// The smallest window that a SYN-ACK has given: what an end may count on that has waited.
    pub server_window: u32,
    /// A segment never has parts of two messages in it, because messages lie apart in memory.
    pub message_bytes: u32,
}

/// A segment to be sent, without what is the same for the whole connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub sequence: u32,
    pub acknowledgement: u32,
    pub flags: u8,
    pub window: u16,
    /// Where the payload begins, counted from the first byte that has not been [`Tcp::forget`]-ten.
    pub offset: u32,
    pub length: u16,
    /// The server's last timestamp, to be echoed; 0 if there is none.
    pub server_time: u32,
}

/// What a segment brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// Nothing for the owner.
    Nothing,
    /// The end knows now where it stands, and may be given bytes to send.
    Standing,
    /// The next bytes of the server's, none of which came before. Never empty.
    Fresh(&'a [u8]),
    /// Payload that has come before.
    Repeated,
    /// Payload with a gap before it.
    Early,
    /// The server has ended its side; these are its last bytes.
    Ended(&'a [u8]),
    /// The server has ended the connection at once.
    Reset,
}

/// An end was sent the same thing too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// It waits to be told where it stands.
    #[default]
    Asking,
    /// Both sides may send.
    Open,
    /// The server has ended its side.
    Ended,
    /// It is over.
    Over,
}

/// One end: 40 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tcp {
    /// The number of the first byte that the owner has not forgotten.
    first: u32,
    /// Of the first byte that the server has not acknowledged.
    unacknowledged: u32,
    /// Of what is sent next.
    next: u32,
    /// Of the first byte that the owner has not given yet.
    end: u32,
    /// Of the first byte that the server's window does not take.
    limit: u32,
    /// Of what was next when something was sent again: what is acknowledged short of it shows that more
    /// is missing.
    recovery: u32,
    /// Of the next byte of the server's.
    expected: u32,
    /// The server's last timestamp.
    server_time: u32,
    state: State,
    resends: u8,
    marks: Marks,
}

/// What is to be done or has been.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    /// Something came that has to be acknowledged.
    owes: bool,
    /// The first segment that is not acknowledged is missing.
    misses: bool,
    /// Our side is to end after the last byte given.
    closes: bool,
    /// It has: the end took a number of its own.
    has_closed: bool,
}

impl Tcp {
    /// An end of which nothing is known any more. [`Tcp::ask`] has to be sent.
    pub(crate) fn asking() -> Self {
        Self::default()
    }

    /// An idle end of which both numbers are known.
    pub(crate) fn at(next: u32, expected: u32, terms: &Terms) -> Self {
        Self {
            state: State::Open,
            limit: next.wrapping_add(terms.server_window),
            ..Self::idle(next, expected)
        }
    }

    fn idle(next: u32, expected: u32) -> Self {
        Self {
            first: next,
            unacknowledged: next,
            next,
            end: next,
            limit: next,
            recovery: next,
            expected,
            ..Self::default()
        }
    }

    /// What is sent to an end whose numbers nobody kept: an acknowledgement from before everything it has
    /// sent, `before` being the number before its very first.
    pub(crate) fn ask(before: u32) -> Reply {
        Reply {
            sequence: before,
            acknowledgement: 0,
            flags: ACK,
            window: WINDOW,
            offset: 0,
            length: 0,
            server_time: 0,
        }
    }

    /// Whether it does not know where it stands.
    pub(crate) fn is_asking(&self) -> bool {
        self.state == State::Asking
    }

    /// Whether everything is acknowledged on both sides: its two numbers are all there is to it.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Open
            && self.unacknowledged == self.end
            && !self.marks.owes
            && !self.marks.closes
    }

    /// The number of its next byte, and that of the server's.
    pub(crate) fn numbers(&self) -> (u32, u32) {
        (self.next, self.expected)
    }

    /// Numbers acknowledged since the last byte that was forgotten: bytes, and one for the end of our side.
    pub(crate) fn acknowledged(&self) -> u32 {
        self.unacknowledged.wrapping_sub(self.first)
    }

    /// Whether something was sent and the server takes no more.
    pub(crate) fn is_shut_out(&self) -> bool {
        self.next != self.first && self.limit == self.unacknowledged
    }

    /// How often in a row something was sent again.
    pub(crate) fn resends(&self) -> u8 {
        self.resends
    }

    /// The reset that ends it. What the server expects next is what it has acknowledged.
    pub(crate) fn reset(&self) -> Reply {
        Reply {
            acknowledgement: self.expected,
            flags: RST | ACK,
            ..reset_at(self.unacknowledged)
        }
    }

    /// Gives it `bytes` more to send.
    #[inline]
    pub(crate) fn give(&mut self, bytes: u32) {
        self.end = self.end.wrapping_add(bytes);
    }

    /// Ends our side after the last byte given.
    pub(crate) fn close(&mut self) {
        self.marks.closes = true;
    }

    /// The owner needs the first `bytes` no more: offsets count from after them. Those that the server has not
    /// acknowledged are acknowledged by what it has said.
    #[inline]
    pub(crate) fn forget(&mut self, bytes: u32) {
        self.first = self.first.wrapping_add(bytes);
        let behind = self.first.wrapping_sub(self.unacknowledged);
        if (1..=bytes).contains(&behind) {
            self.unacknowledged = self.first;
            // What was missing is no more, if nothing else is on its way.
            self.marks.misses &= self.unacknowledged != self.next;
        }
    }

    /// Takes in a segment of the server's. What is to be sent then says [`Tcp::answer`].
    #[inline]
    pub(crate) fn hear<'a>(&mut self, terms: &Terms, segment: &Segment<'a>) -> Heard<'a> {
        match self.state {
            State::Asking => self.hear_standing(terms, segment),
            State::Over => Heard::Nothing,
            State::Open | State::Ended => self.hear_next(terms, segment),
        }
    }

    /// Nothing of ours is on its way but the question, so any bare acknowledgement is the answer.
    fn hear_standing(&mut self, terms: &Terms, segment: &Segment<'_>) -> Heard<'static> {
        if segment.has(RST) {
            self.state = State::Over;
            return Heard::Reset;
        }
        let is_bare = segment.payload.is_empty() && !segment.has(SYN | FIN) && segment.has(ACK);
        if !is_bare {
            return Heard::Nothing;
        }
        let window = u32::from(segment.window) << terms.server_scale;
        *self = Self {
            state: State::Open,
            limit: segment.acknowledgement.wrapping_add(window),
            ..Self::idle(segment.acknowledgement, segment.sequence)
        };
        self.note_time(segment);
        Heard::Standing
    }

    #[inline]
    fn hear_next<'a>(&mut self, terms: &Terms, segment: &Segment<'a>) -> Heard<'a> {
        let ahead = segment.sequence.wrapping_sub(self.expected);
        if segment.has(RST | SYN) {
            return self.hear_break(segment, ahead);
        }
        if !segment.has(ACK) || !self.note_acknowledgement(terms, segment) {
            return Heard::Nothing;
        }
        if self.state == State::Ended {
            // All of the server's bytes have come: only a repetition has any.
            self.marks.owes |= !segment.payload.is_empty() || segment.has(FIN);
            return Heard::Nothing;
        }
        let length = segment.payload.len() as u32;
        let has_room = length > 0 || segment.has(FIN);
        if !has_room {
            // A probe of a closed window or of an idle connection is one before what comes next.
            self.marks.owes |= ahead == u32::MAX;
            return Heard::Nothing;
        }
        self.marks.owes = true;
        if ahead == 0 {
            self.note_time(segment);
            return self.take(segment.payload, segment.has(FIN));
        }
        let behind = ahead.wrapping_neg();
        if ahead < WINDOW_BYTES {
            return Heard::Early;
        }
        // It begins with what has come: what lies beyond that is new.
        let end = length + u32::from(segment.has(FIN));
        if behind < end && behind <= WINDOW_BYTES {
            self.note_time(segment);
            let fresh = segment.payload.get(behind as usize..).unwrap_or_default();
            return self.take(fresh, segment.has(FIN));
        }
        Heard::Repeated
    }

    #[inline]
    fn take<'a>(&mut self, fresh: &'a [u8], is_end: bool) -> Heard<'a> {
        self.expected = self.expected.wrapping_add(fresh.len() as u32);
        self.resends = 0;
        if is_end {
            self.expected = self.expected.wrapping_add(1);
            self.state = State::Ended;
            return Heard::Ended(fresh);
        }
        Heard::Fresh(fresh)
    }

    /// A reset counts only with the very number that comes next; any other, and a SYN, is answered, so that an
    /// honest server can say it again (RFC 5961).
    #[cold]
    fn hear_break<'a>(&mut self, segment: &Segment<'a>, ahead: u32) -> Heard<'a> {
        if segment.has(RST) && ahead == 0 {
            self.state = State::Over;
            return Heard::Reset;
        }
        self.marks.owes |= segment.has(SYN) || ahead < WINDOW_BYTES;
        Heard::Nothing
    }

    /// False if the segment acknowledges what was never sent: it is not to be taken.
    #[inline]
    fn note_acknowledgement(&mut self, terms: &Terms, segment: &Segment<'_>) -> bool {
        let acknowledged = segment.acknowledgement.wrapping_sub(self.unacknowledged);
        let in_flight = self.next.wrapping_sub(self.unacknowledged);
        if acknowledged > in_flight {
            // Of before, then: an old segment, whose payload may yet be new. Or of what is to come.
            let is_old = acknowledged > u32::MAX / 2;
            self.marks.owes |= !is_old;
            return is_old;
        }
        if acknowledged > 0 {
            self.unacknowledged = segment.acknowledgement;
            self.resends = 0;
            let missing = self.recovery.wrapping_sub(self.unacknowledged);
            self.marks.misses = (1..=in_flight - acknowledged).contains(&missing);
        } else if in_flight == 0 && self.next != self.end && !self.marks.has_closed {
            // The answer to a probe of a closed window: the server is there, and may keep it closed.
            self.resends = 0;
        }
        let window = u32::from(segment.window) << terms.server_scale;
        self.limit = segment.acknowledgement.wrapping_add(window);
        true
    }

    #[inline]
    fn note_time(&mut self, segment: &Segment<'_>) {
        if let Some(timestamps) = segment.options.timestamps {
            self.server_time = timestamps.value;
        }
    }

    /// What is to be sent now: what is missing, what the server's window takes of the bytes given, or else an
    /// acknowledgement, if one is owed.
    #[inline]
    pub(crate) fn answer(&mut self, terms: &Terms, replies: &mut Vec<Reply>) {
        if matches!(self.state, State::Asking | State::Over) {
            return;
        }
        if self.marks.misses {
            self.marks.misses = false;
            self.send_missing(terms, replies);
        }
        loop {
            let length = self.next_length(terms);
            if length == 0 {
                break;
            }
            let reply = self.data(self.next, length);
            self.next = self.next.wrapping_add(length);
            self.push(reply, replies);
        }
        if self.marks.closes && !self.marks.has_closed && self.next == self.end {
            self.marks.has_closed = true;
            let reply = self.closing();
            self.next = self.next.wrapping_add(1);
            self.push(reply, replies);
        }
        if self.marks.owes {
            self.push(self.acknowledgement(), replies);
        }
    }

    /// Time is up without an answer: sends again what may have been lost. An end that asks is not of this: its
    /// question is its owner's to repeat.
    pub(crate) fn resend(
        &mut self,
        terms: &Terms,
        replies: &mut Vec<Reply>,
    ) -> Result<(), NoAnswer> {
        self.resends += 1;
        if self.resends > RESENDS_MAX {
            return Err(NoAnswer);
        }
        if matches!(self.state, State::Asking | State::Over) {
            return Ok(());
        }
        self.recovery = self.next;
        if self.unacknowledged == self.next {
            // A window was closed, and the word that it is open again may be lost: what comes before the
            // window has to be answered.
            let reply = Reply {
                sequence: self.next.wrapping_sub(1),
                ..self.acknowledgement()
            };
            self.push(reply, replies);
        } else {
            self.send_missing(terms, replies);
        }
        Ok(())
    }

    /// Sends the first segment that is not acknowledged.
    fn send_missing(&mut self, terms: &Terms, replies: &mut Vec<Reply>) {
        let last = match self.marks.has_closed {
            true => self.next.wrapping_sub(1),
            false => self.next,
        };
        let length = last.wrapping_sub(self.unacknowledged);
        let reply = match length {
            0 => self.closing(),
            _ => {
                let length = length.min(self.segment_bytes(terms, self.unacknowledged));
                self.data(self.unacknowledged, length)
            }
        };
        self.push(reply, replies);
    }

    /// How much the next segment has, 0 if none is to be sent. One that is short for want of window waits
    /// until nothing is in flight: small ones would fill the server's buffer with headers.
    #[inline]
    fn next_length(&self, terms: &Terms) -> u32 {
        if self.marks.has_closed {
            return 0;
        }
        let left = self.end.wrapping_sub(self.next);
        if left == 0 {
            return 0;
        }
        let whole = left.min(self.segment_bytes(terms, self.next));
        let room = self.limit.wrapping_sub(self.next);
        if room >= whole && room <= u32::MAX / 2 {
            return whole;
        }
        // A window may be taken back: then its edge lies behind.
        let room = if room > u32::MAX / 2 { 0 } else { room };
        match self.next == self.unacknowledged {
            true => room,
            false => 0,
        }
    }

    /// The most that a segment takes which begins at `sequence`.
    #[inline]
    fn segment_bytes(&self, terms: &Terms, sequence: u32) -> u32 {
        let offset = sequence.wrapping_sub(self.first);
        let into = match offset < terms.message_bytes {
            true => offset,
            false => offset % terms.message_bytes,
        };
        terms.segment_bytes.min(terms.message_bytes - into)
    }

    #[inline]
    fn push(&mut self, reply: Reply, replies: &mut Vec<Reply>) {
        self.marks.owes = false;
        replies.push(reply);
    }

    #[inline]
    fn data(&self, sequence: u32, length: u32) -> Reply {
        Reply {
            flags: PSH | ACK,
            offset: sequence.wrapping_sub(self.first),
            // Cut to a segment's 16 bits before.
            length: length as u16,
            ..self.bare(sequence)
        }
    }

    fn closing(&self) -> Reply {
        Reply {
            flags: FIN | ACK,
            ..self.bare(self.end)
        }
    }

    fn acknowledgement(&self) -> Reply {
        self.bare(self.next)
    }

    #[inline]
    fn bare(&self, sequence: u32) -> Reply {
        Reply {
            sequence,
            acknowledgement: self.expected,
            flags: ACK,
            window: WINDOW,
            offset: 0,
            length: 0,
            server_time: self.server_time,
        }
    }
}

/// The answer to a segment for a connection that has no turn, from the segment alone: what it acknowledges is
/// where the ghost's end stands. `None` if it needs none.
pub(crate) fn answer_without_state(segment: &Segment<'_>) -> Option<Reply> {
    let takes =
        segment.payload.len() as u32 + u32::from(segment.has(SYN)) + u32::from(segment.has(FIN));
    (takes > 0 && segment.has(ACK) && !segment.has(RST)).then(|| Reply {
        sequence: segment.acknowledgement,
        acknowledgement: segment.sequence.wrapping_add(takes),
        flags: ACK,
        window: WINDOW,
        offset: 0,
        length: 0,
        server_time: segment.options.timestamps.map_or(0, |times| times.value),
    })
}

/// The reset that ends a connection of which nothing is known but this segment of the server's.
pub(crate) fn reset_after(segment: &Segment<'_>) -> Reply {
    reset_at(segment.acknowledgement)
}

/// The reset that ends a connection whose next byte has this number. With any other the server would not
/// believe it.
pub(crate) fn reset_at(sequence: u32) -> Reply {
    Reply {
        sequence,
        acknowledgement: 0,
        flags: RST,
        window: 0,
        offset: 0,
        length: 0,
        server_time: 0,
    }
}

/// The segment that opens a connection whose first byte will have the number `first`.
pub(crate) fn opening(first: u32) -> Reply {
    Reply {
        flags: SYN,
        window: WINDOW,
        ..reset_at(first.wrapping_sub(1))
    }
}

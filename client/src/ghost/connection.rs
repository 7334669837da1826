//! One connection's state machine: what has been heard goes in, what is to be sent comes out. No I/O.

use super::script::{Farewell, Script, Sends};
use super::segment::{ACK, FIN, PSH, RST, SEGMENT_BYTES, SYN, Segment};
use super::tcp::Reply;

/// Times in a row that something is sent again before the connection is given up: five seconds.
const RESENDS_MAX: u8 = 20;
/// The same for a window that is being filled: what it does not take by then it will never take.
const WINDOW_RESENDS: u8 = 2;

/// What a segment meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing that changes where the connection stands.
    Nothing,
    /// The payload continues the server's stream of bytes, at this offset.
    Fresh(u32),
    /// The connection cannot come to where it should.
    Broken(&'static str),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Unopened,
    /// A SYN is under way.
    Opening,
    /// The handshake is over, as far as the script has it.
    Open,
    /// The server has ended its side, and that was answered.
    Ended,
    /// Nothing is answered any more.
    Silent,
}

/// What a connection has sent and heard: 32 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Connection {
    /// The sequence number of the first byte sent.
    first: u32,
    /// That of the next.
    next: u32,
    /// The first that the server has not acknowledged.
    acknowledged: u32,
    /// The first that the server's window does not take.
    limit: u32,
    /// The number of the server's first byte, and of the one that comes next.
    server_first: u32,
    expected: u32,
    phase: Phase,
    server_scale: u8,
    resends: u8,
    /// Whether the end of our side is out.
    has_closed: bool,
    /// Whether the server's endpoint has come into the state. It does not leave it for what it says later.
    has_arrived: bool,
}

impl Connection {
    /// Opens it: the SYN, whose number is one before that of the first byte.
    pub(crate) fn open(&mut self, first: u32, replies: &mut Vec<Reply>) {
        *self = Self {
            first,
            next: first,
            acknowledged: first,
            limit: first,
            phase: Phase::Opening,
            ..Self::default()
        };
        replies.push(self.syn());
    }

    /// Takes in a segment of the server's and answers it.
    pub(crate) fn hear(
        &mut self,
        script: &Script,
        segment: &Segment<'_>,
        replies: &mut Vec<Reply>,
    ) -> Heard {
        if segment.has(RST) {
            return Heard::Broken("was reset by the server");
        }
        match self.phase {
            Phase::Unopened | Phase::Silent => Heard::Nothing,
            Phase::Opening => self.hear_first(script, segment, replies),
            Phase::Open | Phase::Ended if segment.has(SYN) => {
                // The end of the handshake was lost, in the accept queue for one.
                if script.ends_handshake {
                    replies.push(self.acknowledge(script));
                }
                Heard::Nothing
            }
            Phase::Open | Phase::Ended => self.hear_next(script, segment, replies),
        }
    }

    /// Whether the server's endpoint has come into the script's state.
    pub(crate) fn has_arrived(&self) -> bool {
        self.has_arrived
    }

    /// Whether it has done so just now. Says so once.
    pub(crate) fn arrives(&mut self, script: &Script) -> bool {
        let arrives = !self.has_arrived && self.is_there(script);
        self.has_arrived |= arrives;
        arrives
    }

    /// Whether it is there, as far as can be told from here.
    fn is_there(&self, script: &Script) -> bool {
        let has_ended = match script.farewell {
            Farewell::Unexpected => self.phase == Phase::Open,
            Farewell::Acknowledges => self.phase == Phase::Ended,
            Farewell::Closes => self.has_closed && self.acknowledged == self.next,
            Farewell::FallsSilent => self.phase == Phase::Silent,
        };
        let is_sent = match script.sends {
            Sends::Bytes(bytes) => self.acknowledged.wrapping_sub(self.first) >= bytes,
            Sends::Window => self.is_window_shut() || self.resends >= WINDOW_RESENDS,
        };
        has_ended && is_sent && self.expected.wrapping_sub(self.server_first) >= script.echo_bytes
    }

    /// Sends what may have been lost again.
    pub(crate) fn resend(&mut self, script: &Script, replies: &mut Vec<Reply>) -> Heard {
        self.resends += 1;
        if self.resends > RESENDS_MAX {
            return Heard::Broken("gets no answer any more");
        }
        let in_flight = self.next.wrapping_sub(self.acknowledged);
        match self.phase {
            Phase::Opening => replies.push(self.syn()),
            _ if in_flight == 0 => replies.push(self.acknowledge(script)),
            _ if self.has_closed => replies.push(self.close(script)),
            _ => {
                let length = in_flight.min(SEGMENT_BYTES.into()) as u16;
                replies.push(self.data(script, self.acknowledged, length));
            }
        }
        Heard::Nothing
    }

    /// Ends it at once, so that the server's kernel keeps nothing of it. What the server expects next
    /// is what it has acknowledged; a reset with any other number would only be asked about.
    pub(crate) fn reset(&mut self, replies: &mut Vec<Reply>) {
        if self.phase != Phase::Unopened {
            replies.push(Reply {
                flags: RST | ACK,
                window: 0,
                ..self.plain(self.acknowledged)
            });
        }
        self.phase = Phase::Unopened;
    }

    fn hear_first(
        &mut self,
        script: &Script,
        segment: &Segment<'_>,
        replies: &mut Vec<Reply>,
    ) -> Heard {
        if !segment.has(SYN) || !segment.has(ACK) || segment.acknowledgement != self.first {
            return Heard::Nothing;
        }
        self.server_first = segment.sequence.wrapping_add(1);
        self.expected = self.server_first;
        self.server_scale = segment.options.window_scale.unwrap_or(0);
        // The window of a SYN is never scaled.
        self.limit = self.first.wrapping_add(segment.window.into());
        self.phase = Phase::Open;
        self.resends = 0;
        if script.ends_handshake {
            replies.push(self.acknowledge(script));
            self.send(script, replies);
        }
        Heard::Nothing
    }

    fn hear_next(
        &mut self,
        script: &Script,
        segment: &Segment<'_>,
        replies: &mut Vec<Reply>,
    ) -> Heard {
        if segment.has(ACK) {
            self.note_acknowledgement(segment);
            self.send(script, replies);
        }
        let takes_room = !segment.payload.is_empty() || segment.has(FIN);
        if segment.sequence == self.expected {
            return match takes_room {
                true => self.take(script, segment, replies),
                false => Heard::Nothing,
            };
        }
        // A repetition, a probe of a closed window, or a gap: what is expected is said again.
        if takes_room || segment.sequence == self.expected.wrapping_sub(1) {
            replies.push(self.acknowledge(script));
        }
        Heard::Nothing
    }

    fn note_acknowledgement(&mut self, segment: &Segment<'_>) {
        let ahead = segment.acknowledgement.wrapping_sub(self.acknowledged);
        if ahead > self.next.wrapping_sub(self.acknowledged) {
            return;
        }
        if ahead > 0 {
            self.acknowledged = segment.acknowledgement;
            self.resends = 0;
        }
        let window = u32::from(segment.window) << self.server_scale;
        self.limit = segment.acknowledgement.wrapping_add(window);
    }

    /// What the server says next, in its place.
    fn take(&mut self, script: &Script, segment: &Segment<'_>, replies: &mut Vec<Reply>) -> Heard {
        let offset = self.expected.wrapping_sub(self.server_first);
        let length = segment.payload.len() as u32;
        if length > script.echo_bytes.saturating_sub(offset) {
            return Heard::Broken("was sent bytes that nobody asked for");
        }
        self.expected = self.expected.wrapping_add(length);
        self.resends = 0;
        if segment.has(FIN) {
            return self.part(script, replies);
        }
        replies.push(self.acknowledge(script));
        Heard::Fresh(offset)
    }

    /// The server has ended its side.
    fn part(&mut self, script: &Script, replies: &mut Vec<Reply>) -> Heard {
        self.phase = Phase::Ended;
        match script.farewell {
            Farewell::Unexpected => return Heard::Broken("was closed by the server"),
            Farewell::FallsSilent => self.phase = Phase::Silent,
            Farewell::Acknowledges => {
                self.expected = self.expected.wrapping_add(1);
                replies.push(self.acknowledge(script));
            }
            Farewell::Closes => {
                self.expected = self.expected.wrapping_add(1);
                self.has_closed = true;
                self.next = self.next.wrapping_add(1);
                replies.push(self.close(script));
            }
        }
        Heard::Nothing
    }

    /// Sends what the script and the server's window allow. A short segment waits until nothing is in
    /// flight, unless it is the last: small ones would fill the server's buffer with headers.
    fn send(&mut self, script: &Script, replies: &mut Vec<Reply>) {
        if self.phase != Phase::Open {
            return;
        }
        loop {
            let sent = self.next.wrapping_sub(self.first);
            let left = match script.sends {
                Sends::Bytes(bytes) => bytes.saturating_sub(sent),
                Sends::Window => u32::MAX,
            };
            let length = left.min(self.room()).min(SEGMENT_BYTES.into());
            let is_short = length < u32::from(SEGMENT_BYTES) && length < left;
            if length == 0 || (is_short && self.next != self.acknowledged) {
                return;
            }
            replies.push(self.data(script, self.next, length as u16));
            self.next = self.next.wrapping_add(length);
        }
    }

    /// Bytes that the server's window takes beyond what is in flight. A window that was taken back, as
    /// it is where the server runs out of buffer, leaves none.
    fn room(&self) -> u32 {
        let window = self.limit.wrapping_sub(self.acknowledged);
        window.saturating_sub(self.next.wrapping_sub(self.acknowledged))
    }

    fn is_window_shut(&self) -> bool {
        self.next != self.first && self.limit == self.acknowledged
    }

    fn syn(&self) -> Reply {
        Reply {
            acknowledgement: 0,
            flags: SYN,
            window: u16::MAX,
            ..self.plain(self.first.wrapping_sub(1))
        }
    }

    fn acknowledge(&self, script: &Script) -> Reply {
        self.data(script, self.next, 0)
    }

    fn close(&self, script: &Script) -> Reply {
        Reply {
            flags: FIN | ACK,
            ..self.data(script, self.next.wrapping_sub(1), 0)
        }
    }

    fn data(&self, script: &Script, sequence: u32, length: u16) -> Reply {
        Reply {
            flags: if length > 0 { PSH | ACK } else { ACK },
            window: script.window,
            offset: sequence.wrapping_sub(self.first),
            length,
            ..self.plain(sequence)
        }
    }

    fn plain(&self, sequence: u32) -> Reply {
        Reply {
            sequence,
            acknowledgement: self.expected,
            flags: ACK,
            window: 0,
            offset: 0,
            length: 0,
            server_time: 0,
        }
    }
}

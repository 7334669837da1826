//! One connection on its way to a state: what has been heard goes in, what is to be sent comes out. No I/O.
//!
//! Numbers, windows and what is sent again are [`Tcp`]'s; here is what the script makes of them.

use super::script::{Farewell, Script, Sends};
use super::segment::{ACK, RST, SEGMENT_BYTES, SYN, Segment};
use super::tcp::{self, Reply, Tcp, Terms, answer_without_state, opening};

/// Times in a row that a SYN is sent again before the connection is given up: five seconds.
const RESENDS_MAX: u8 = 20;
/// The same for a window that is being filled: what it does not take by then it will never take.
const WINDOW_RESENDS: u8 = 2;
/// More than a window ever takes: what is given to fill one.
const WINDOW_BYTES: u32 = 1 << 30;
/// RFC 9293: the most of one segment where a server does not say it.
const UNSAID_SEGMENT_BYTES: u16 = 536;
/// Of a timestamp option, with what pads it.
const TIMESTAMP_BYTES: u16 = 12;

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
    /// A SYN is under way, and was sent again so often.
    Opening(u8),
    /// The handshake is over, as far as the script has it.
    Open,
    /// The server has ended its side, and that was answered.
    Ended,
    /// Nothing is answered any more.
    Silent,
}

/// What a connection has sent and heard: 52 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Connection {
    tcp: Tcp,
    /// Bytes of the server's.
    received: u32,
    /// The most of one segment that the server takes, and by how much its windows are shifted.
    segment_bytes: u16,
    server_scale: u8,
    phase: Phase,
    /// Whether the server's endpoint has come into the state. It does not leave it for what it says later.
    has_arrived: bool,
}

impl Connection {
    /// Opens it: the SYN, whose number is one before that of the first byte.
    pub(crate) fn open(&mut self, first: u32, replies: &mut Vec<Reply>) {
        *self = Self {
            tcp: Tcp::at(first, 0, &Self::default().terms(0)),
            phase: Phase::Opening(0),
            ..Self::default()
        };
        replies.push(opening(first));
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
            Phase::Opening(_) => self.hear_first(script, segment, replies),
            // The end of the handshake was lost, in the accept queue for one, or is not to be.
            Phase::Open | Phase::Ended if segment.has(SYN) && !script.ends_handshake => {
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
        let (is_open, has_ended) = (self.phase == Phase::Open, self.phase == Phase::Ended);
        let is_parted = match script.farewell {
            Farewell::Unexpected => is_open,
            Farewell::Acknowledges => has_ended,
            // The end of our side takes a number.
            Farewell::Closes => has_ended && self.tcp.acknowledged() > script.given_bytes(),
            Farewell::FallsSilent => self.phase == Phase::Silent,
        };
        let is_sent = match script.sends {
            Sends::Bytes(bytes) => self.tcp.acknowledged() >= bytes,
            Sends::Window => self.tcp.is_shut_out() || self.tcp.resends() >= WINDOW_RESENDS,
        };
        is_parted && is_sent && self.received >= script.echo_bytes
    }

    /// Sends what may have been lost again.
    pub(crate) fn resend(&mut self, script: &Script, replies: &mut Vec<Reply>) -> Heard {
        const GIVEN_UP: Heard = Heard::Broken("gets no answer any more");
        let Phase::Opening(resends) = self.phase else {
            let from = replies.len();
            let result = self.tcp.resend(&self.terms(0), replies);
            narrow(script, &mut replies[from..]);
            return result.map_or(GIVEN_UP, |()| Heard::Nothing);
        };
        if resends == RESENDS_MAX {
            return GIVEN_UP;
        }
        self.phase = Phase::Opening(resends + 1);
        replies.push(opening(self.tcp.numbers().0));
        Heard::Nothing
    }

    /// Ends it at once, so that the server's kernel keeps nothing of it.
    pub(crate) fn reset(&mut self, replies: &mut Vec<Reply>) {
        if self.phase != Phase::Unopened {
            replies.push(self.tcp.reset());
        }
        self.phase = Phase::Unopened;
    }

    fn hear_first(
        &mut self,
        script: &Script,
        segment: &Segment<'_>,
        replies: &mut Vec<Reply>,
    ) -> Heard {
        let (first, _) = self.tcp.numbers();
        let is_answer = segment.has(SYN) && segment.has(ACK) && segment.payload.is_empty();
        if !is_answer || segment.acknowledgement != first {
            return Heard::Nothing;
        }
        self.note_terms(segment);
        // The window of a SYN is never scaled.
        let terms = self.terms(segment.window.into());
        self.tcp = Tcp::at(first, segment.sequence.wrapping_add(1), &terms);
        self.phase = Phase::Open;
        if script.ends_handshake {
            let from = replies.len();
            replies.extend(answer_without_state(segment));
            narrow(script, &mut replies[from..]);
            self.tcp.give(script.given_bytes());
            self.answer(script, replies);
        }
        Heard::Nothing
    }

    fn note_terms(&mut self, segment: &Segment<'_>) {
        let options = &segment.options;
        let server_bytes = options.segment_bytes.unwrap_or(UNSAID_SEGMENT_BYTES);
        let timestamp_bytes = match options.timestamps {
            Some(_) => TIMESTAMP_BYTES,
            None => 0,
        };
        let most = server_bytes.min(SEGMENT_BYTES);
        self.segment_bytes = most.saturating_sub(timestamp_bytes).max(1);
        self.server_scale = options.window_scale.unwrap_or(0);
    }

    fn hear_next(
        &mut self,
        script: &Script,
        segment: &Segment<'_>,
        replies: &mut Vec<Reply>,
    ) -> Heard {
        let heard = match self.tcp.hear(&self.terms(0), segment) {
            tcp::Heard::Fresh(bytes) => self.take(script, bytes, segment),
            tcp::Heard::Ended(bytes) => match self.take(script, bytes, segment) {
                Heard::Broken(how) => Heard::Broken(how),
                Heard::Nothing | Heard::Fresh(_) => self.part(script),
            },
            tcp::Heard::Reset => Heard::Broken("was reset by the server"),
            tcp::Heard::Nothing
            | tcp::Heard::Standing
            | tcp::Heard::Repeated
            | tcp::Heard::Early => Heard::Nothing,
        };
        if !matches!(heard, Heard::Broken(_)) {
            self.answer(script, replies);
        }
        heard
    }

    /// Counts what the server says next. Where it says some again in the same segment, the offset is that of
    /// the repetition.
    fn take(&mut self, script: &Script, fresh: &[u8], segment: &Segment<'_>) -> Heard {
        let repeated = (segment.payload.len() - fresh.len()) as u32;
        let Some(offset) = self.received.checked_sub(repeated) else {
            return Heard::Broken("was sent bytes from before the server's first");
        };
        self.received += fresh.len() as u32;
        if self.received > script.echo_bytes {
            return Heard::Broken("was sent bytes that nobody asked for");
        }
        Heard::Fresh(offset)
    }

    /// The server has ended its side.
    fn part(&mut self, script: &Script) -> Heard {
        self.phase = Phase::Ended;
        match script.farewell {
            Farewell::Unexpected => return Heard::Broken("was closed by the server"),
            Farewell::FallsSilent => self.phase = Phase::Silent,
            Farewell::Acknowledges => {}
            Farewell::Closes => self.tcp.close(),
        }
        Heard::Nothing
    }

    fn answer(&mut self, script: &Script, replies: &mut Vec<Reply>) {
        if self.phase == Phase::Silent {
            return;
        }
        let from = replies.len();
        self.tcp.answer(&self.terms(0), replies);
        narrow(script, &mut replies[from..]);
    }

    fn terms(&self, server_window: u32) -> Terms {
        Terms {
            segment_bytes: self.segment_bytes.into(),
            server_scale: self.server_scale,
            server_window,
            // All that is sent lies in one piece.
            message_bytes: WINDOW_BYTES,
        }
    }
}

impl Script {
    /// Bytes that are given to be sent.
    fn given_bytes(&self) -> u32 {
        match self.sends {
            Sends::Bytes(bytes) => bytes,
            Sends::Window => WINDOW_BYTES,
        }
    }
}

/// Says the script's window instead of a whole one.
fn narrow(script: &Script, replies: &mut [Reply]) {
    for reply in replies {
        reply.window = script.window;
    }
}

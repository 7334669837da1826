//! What the client keeps about a connection: 12 bytes.
//!
//! At a million connections every byte here is a megabyte, so three things share a word: how much of an echo
//! has come (24 bits: a message is at most 16 MiB), the upper bits of when its message was sent, and marks.
//! The time of sending has 36 bits of 16 ns, so it is told modulo 18 minutes, far beyond the longest
//! latency that is told apart; a run that waits 10 s without any echo is given up.

use fourtuple_spec::case::bounds::MESSAGE_BYTES;

const RECEIVED_BITS: u32 = 24;
const RECEIVED: u32 = (1 << RECEIVED_BITS) - 1;
const SENT_HIGH_BITS: u32 = 4;
const SENT_HIGH: u32 = ((1 << SENT_HIGH_BITS) - 1) << RECEIVED_BITS;
const IN_FLIGHT: u32 = 1 << 28;
const ARMED: u32 = 1 << 29;
const PROVED: u32 = 1 << 30;
const WARMED: u32 = 1 << 31;

/// 16 ns a tick.
const TICK_BITS: u32 = 4;
const SENT_NS_MASK: u64 = (1 << (32 + SENT_HIGH_BITS + TICK_BITS)) - 1;

const _: () = assert!(*MESSAGE_BYTES.end() <= 1 << RECEIVED_BITS);

/// One connection.
#[derive(Clone, Copy, Default)]
pub(crate) struct Connection {
    /// The message whose echo comes next.
    pub(crate) sequence: u32,
    /// The lower bits of when it was sent.
    sent: u32,
    rest: u32,
}

/// What an echo proved of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// It is the first since the ramp.
    pub(crate) is_first: bool,
    /// It is the first since the warm-up began.
    pub(crate) is_first_warm: bool,
}

impl Connection {
    /// Bytes of the next echo that have come.
    #[inline]
    pub(crate) fn received(&self) -> usize {
        (self.rest & RECEIVED) as usize
    }

    /// Takes note of `bytes` more, which do not complete the echo.
    #[inline]
    pub(crate) fn add_received(&mut self, bytes: usize) {
        debug_assert!(self.received() + bytes <= RECEIVED as usize);
        self.rest += bytes as u32;
    }

    /// Whether its turn lasts: a message is in flight.
    #[inline]
    pub(crate) fn is_in_flight(&self) -> bool {
        self.rest & IN_FLIGHT != 0
    }

    /// A message is sent now.
    #[inline]
    pub(crate) fn begin(&mut self, now_ns: u64) {
        let ticks = now_ns >> TICK_BITS;
        self.sent = ticks as u32;
        let high = ((ticks >> 32) as u32) << RECEIVED_BITS & SENT_HIGH;
        self.rest = self.rest & !SENT_HIGH | high | IN_FLIGHT;
    }

    /// Its turn is over.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.rest &= !IN_FLIGHT;
    }

    /// How long ago the message in flight was sent: up to 15 ns too long.
    #[inline]
    pub(crate) fn latency_ns(&self, now_ns: u64) -> u64 {
        let high = u64::from((self.rest & SENT_HIGH) >> RECEIVED_BITS);
        let sent_ns = (high << 32 | u64::from(self.sent)) << TICK_BITS;
        now_ns.wrapping_sub(sent_ns) & SENT_NS_MASK
    }

    /// The next echo is complete.
    #[inline]
    pub(crate) fn complete(&mut self) -> Proof {
        let proof = Proof {
            is_first: self.rest & PROVED == 0,
            is_first_warm: self.rest & WARMED == 0,
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.rest = self.rest & !RECEIVED | PROVED | WARMED;
        proof
    }

    /// A warm-up begins, in which it has to be proved anew.
    pub(crate) fn cool(&mut self) {
        self.rest &= !WARMED;
    }

    /// Whether the kernel has a receive for it: it never has two.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        self.rest & ARMED != 0
    }

    /// Takes note that it has one, or has none any more.
    #[inline]
    pub(crate) fn set_armed(&mut self, is_armed: bool) {
        let armed = if is_armed { ARMED } else { 0 };
        self.rest = self.rest & !ARMED | armed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_twelve_bytes() {
        assert_eq!(size_of::<Connection>(), 12);
    }

    #[test]
    fn a_latency_survives_every_wrap_of_the_clock() {
        for sent_ns in [1, 15, 16, (1 << 36) - 1, 1 << 36, (1 << 40) - 1, 1 << 50] {
            for latency_ns in [0, 1, 1_000, 68_719_476_736, 600_000_000_000] {
                let mut connection = Connection::default();
                connection.begin(sent_ns);
                let told_ns = connection.latency_ns(sent_ns + latency_ns);
                assert!(
                    (latency_ns..latency_ns + 16).contains(&told_ns),
                    "sent at {sent_ns}: {latency_ns} told as {told_ns}"
                );
            }
        }
    }

    #[test]
    fn what_shares_a_word_does_not_mix() {
        let mut connection = Connection::default();
        connection.set_armed(true);
        connection.begin(u64::MAX);
        connection.add_received((1 << 24) - 2);
        connection.add_received(1);
        assert_eq!(connection.received(), (1 << 24) - 1);
        assert!(connection.is_armed() && connection.is_in_flight());
        let first = connection.complete();
        assert!(first.is_first && first.is_first_warm);
        assert_eq!((connection.sequence, connection.received()), (1, 0));
        connection.cool();
        connection.set_armed(false);
        let second = connection.complete();
        assert!(!second.is_first && second.is_first_warm);
        assert!(!connection.is_armed() && connection.is_in_flight());
        connection.end();
        assert!(!connection.is_in_flight());
    }
}

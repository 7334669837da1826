//! Which connections are busy, for the engine that treats those differently.
//!
//! Time is counted in ticks, that the ring brings, and only while something happens. A connection that
//! is heard twice within two ticks is hot; one that has not been heard for [`TICKS_HOT`] is not. So a
//! connection that speaks once a second never becomes hot, and what turns hot for a single burst is
//! cold again a second later. A clock's hand passes over the hot ones at each tick, a few at a turn.

use fourtuple_ring::Slot;
use std::time::Duration;

/// The length of a tick.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// How many ticks a hot connection stays hot without being heard.
const TICKS_HOT: u16 = 4;

/// When a connection was last heard. Counted modulo 65,536 ticks, which is four hours: a connection
/// that speaks again just then is taken for a busy one once.
#[derive(Clone, Copy, Default)]
pub(crate) struct Heard(u16);

/// The ticks, and the hot connections.
#[derive(Default)]
pub(crate) struct Heat {
    tick: u16,
    is_ticking: bool,
    has_heard: bool,
    /// Ring and slot of each hot connection, and of some that were hot.
    hot: Vec<(u32, u32)>,
    /// How many of them the hand has still to pass.
    ahead: usize,
}

impl Heat {
    /// The mark of a connection that was never heard.
    pub(crate) fn never(&self) -> Heard {
        Heard(self.tick.wrapping_sub(TICKS_HOT))
    }

    /// Whether a connection was heard so short a time ago that hearing it again makes it hot.
    #[inline]
    pub(crate) fn is_recent(&self, heard: Heard) -> bool {
        self.tick.wrapping_sub(heard.0) < 2
    }

    /// Whether a hot connection has not been heard for long.
    pub(crate) fn is_long_ago(&self, heard: Heard) -> bool {
        self.tick.wrapping_sub(heard.0) >= TICKS_HOT
    }

    /// A connection is heard.
    #[inline]
    pub(crate) fn hear(&mut self) -> Heard {
        self.has_heard = true;
        Heard(self.tick)
    }

    /// Puts a connection among the hot ones.
    pub(crate) fn list(&mut self, ring_index: usize, slot: Slot) {
        self.hot.push((ring_index as u32, slot.index()));
    }

    /// Whether a tick is to be asked for: none is under way, and something has happened or may end.
    #[inline]
    pub(crate) fn begins_to_tick(&mut self) -> bool {
        if self.is_ticking || !self.has_heard && self.hot.is_empty() {
            return false;
        }
        self.has_heard = false;
        self.is_ticking = true;
        true
    }

    /// A tick is over, and the hand begins its way.
    pub(crate) fn ticked(&mut self) {
        self.is_ticking = false;
        self.tick = self.tick.wrapping_add(1);
        self.ahead = self.hot.len();
    }

    /// Whether the hand is on its way.
    #[inline]
    pub(crate) fn is_sweeping(&self) -> bool {
        self.ahead > 0
    }

    /// The next hot connection that the hand meets: ring and slot index.
    pub(crate) fn advance(&mut self) -> Option<(usize, u32)> {
        self.ahead = self.ahead.checked_sub(1)?;
        let (ring_index, slot_index) = self.hot[self.ahead];
        Some((ring_index as usize, slot_index))
    }

    /// Takes the one that the hand has just met off the list.
    pub(crate) fn unlist(&mut self) {
        self.hot.swap_remove(self.ahead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heard_twice_is_hot_and_heard_long_ago_is_not() {
        let mut heat = Heat::default();
        assert!(!heat.is_recent(heat.never()), "never heard");
        let heard = heat.hear();
        for ticks in 0..10 {
            assert_eq!(heat.is_recent(heard), ticks < 2);
            assert_eq!(heat.is_long_ago(heard), ticks >= TICKS_HOT);
            heat.ticked();
        }
    }

    #[test]
    fn time_is_counted_only_while_something_happens() {
        let mut heat = Heat::default();
        assert!(!heat.begins_to_tick());
        heat.hear();
        assert!(heat.begins_to_tick());
        assert!(!heat.begins_to_tick(), "one at a time");
        heat.ticked();
        assert!(!heat.begins_to_tick(), "nothing has happened since");
    }
}

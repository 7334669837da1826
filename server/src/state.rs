//! What a ring engine remembers of each connection: two bytes, whatever it is doing, beside what an
//! engine adds of its own.

use fourtuple_ring::{RingSet, Slot};

/// What a connection is doing.
#[derive(Clone, Copy, Default)]
pub(crate) struct State(u16);

impl State {
    /// A receive is in the kernel.
    pub(crate) const RECEIVING: u16 = 1 << 0;
    /// A send is in the kernel.
    pub(crate) const SENDING: u16 = 1 << 1;
    /// Nothing is to be received until the gathering is gone.
    pub(crate) const PAUSED: u16 = 1 << 2;
    /// The peer has closed its side.
    pub(crate) const ENDED: u16 = 1 << 3;
    /// The connection failed: nothing more is sent.
    pub(crate) const BROKEN: u16 = 1 << 4;
    /// Bytes are gathered.
    pub(crate) const GATHERED: u16 = 1 << 5;
    /// The close is in the kernel.
    pub(crate) const CLOSING: u16 = 1 << 6;
    /// It waits for a buffer to receive into.
    pub(crate) const STARVED: u16 = 1 << 7;
    /// A poll is in the kernel.
    pub(crate) const POLLING: u16 = 1 << 8;
    /// The cancelling of its poll is in the kernel.
    pub(crate) const CANCELLING: u16 = 1 << 9;
    /// There may be something to receive.
    pub(crate) const READY: u16 = 1 << 10;
    /// An end or an error is among what there is to receive.
    pub(crate) const HUNG_UP: u16 = 1 << 11;
    /// Busy: its receive stays armed.
    pub(crate) const HOT: u16 = 1 << 12;
    /// Its place is in the list of hot ones, which it may have left, or its predecessor has.
    pub(crate) const LISTED: u16 = 1 << 13;

    #[inline]
    pub(crate) fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }
    #[inline]
    pub(crate) fn is(self, bits: u16) -> bool {
        self.0 == bits
    }
    #[inline]
    pub(crate) fn set(&mut self, bits: u16) {
        self.0 |= bits;
    }
    #[inline]
    pub(crate) fn clear(&mut self, bits: u16) {
        self.0 &= !bits;
    }
    /// Forgets everything but `bits`.
    pub(crate) fn keep(&mut self, bits: u16) {
        self.0 &= bits;
    }
    /// Whether there is nothing more to receive.
    #[inline]
    pub(crate) fn is_over(self) -> bool {
        self.has(Self::ENDED | Self::BROKEN)
    }
}

/// Something for each slot of each ring of a set.
pub(crate) struct PerSlot<T>(Vec<Vec<T>>);

impl<T: Clone + Default> PerSlot<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Sees to it that there is something for the slots of ring `ring_index`.
    pub(crate) fn cover(&mut self, rings: &mut RingSet, ring_index: usize) {
        while self.0.len() <= ring_index {
            let slots = rings.ring(self.0.len()).slots();
            self.0.push(vec![T::default(); slots as usize]);
        }
    }

    #[inline]
    pub(crate) fn at(&mut self, ring_index: usize, slot: Slot) -> &mut T {
        self.at_index(ring_index, slot.index())
    }

    #[inline]
    pub(crate) fn at_index(&mut self, ring_index: usize, slot_index: u32) -> &mut T {
        &mut self.0[ring_index][slot_index as usize]
    }
}

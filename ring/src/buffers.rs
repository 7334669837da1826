//! Provided buffers: the kernel picks one at the moment when data is there.
//!
//! The kernel takes buffers in the order in which they were given, so all of them go through the
//! cache in turn: few and small beats many and large. A stride that is no power of two keeps their
//! first lines out of one cache set.

use crate::memory::Mapping;
use io_uring::types::BufRingEntry;
use std::sync::atomic::{AtomicU16, Ordering};

/// A buffer that the kernel has filled and that is out of the ring until it is given back.
#[must_use = "a lease that is not recycled or sent is a buffer lost to the ring"]
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    pub(crate) buffer: u16,
    pub(crate) bytes: u32,
    pub(crate) has_more: bool,
}

impl Lease {
    /// Bytes received in it; never 0.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Whether the socket held more, an end included, when this was received.
    pub fn has_more(&self) -> bool {
        self.has_more
    }
}

/// The ring of provided buffers of one [`crate::Ring`]: group 0.
pub(crate) struct Buffers {
    entries: Mapping,
    data: Mapping,
    count: u16,
    buffer_bytes: u32,
    stride: usize,
    tail: u16,
    published: u16,
    leased: u16,
    /// Bytes in each leased buffer, so that a send's completion can give the whole lease back.
    held_bytes: Box<[u32]>,
}

/// Keeps neighbours' first lines out of one another's cache sets.
const STRIDE_PADDING: usize = 64;

impl Buffers {
    /// `count` buffers of `buffer_bytes`; `count` must be a power of two, at most 32,768.
    pub(crate) fn new(count: u16, buffer_bytes: u32) -> std::io::Result<Self> {
        assert!(
            count.is_power_of_two() && count <= 1 << 15,
            "checked by Setup"
        );
        let stride = buffer_bytes as usize + STRIDE_PADDING;
        let mut buffers = Self {
            entries: Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?,
            data: Mapping::new(usize::from(count) * stride)?,
            count,
            buffer_bytes,
            stride,
            tail: 0,
            published: 0,
            leased: count,
            held_bytes: vec![0; usize::from(count)].into_boxed_slice(),
        };
        for buffer in 0..count {
            buffers.give(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// Where the kernel finds the entries.
    pub(crate) fn entries_address(&self) -> u64 {
        self.entries.address() as u64
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    /// Buffers that the kernel can still pick from.
    pub(crate) fn free(&self) -> u16 {
        self.count - self.leased
    }

    /// Takes note that the kernel has picked `buffer` and put `bytes` in it.
    pub(crate) fn lease(&mut self, buffer: u16, bytes: u32, has_more: bool) -> Lease {
        assert!(
            buffer < self.count && bytes <= self.buffer_bytes,
            "the kernel's own answer"
        );
        self.leased += 1;
        self.held_bytes[usize::from(buffer)] = bytes;
        Lease {
            buffer,
            bytes,
            has_more,
        }
    }

    /// The lease that was moved into a send, at that send's terminal completion.
    pub(crate) fn return_lease(&self, buffer: u16) -> Lease {
        let bytes = self.held_bytes[usize::from(buffer)];
        Lease {
            buffer,
            bytes,
            has_more: false,
        }
    }

    /// What a lease holds.
    pub(crate) fn bytes(&self, lease: &Lease) -> &[u8] {
        let address = self.address(lease.buffer);
        // SAFETY: the lease is proof that the kernel is done with this buffer and has not been given
        // it again; `Buffers::lease` checked that it lies within the mapping, and a shared borrow of
        // `self` keeps the mapping.
        unsafe { std::slice::from_raw_parts(address, lease.bytes as usize) }
    }

    /// Where a buffer begins.
    pub(crate) fn address(&self, buffer: u16) -> *const u8 {
        debug_assert!(buffer < self.count);
        self.data
            .address()
            .wrapping_add(usize::from(buffer) * self.stride)
    }

    /// Gives a buffer back; the kernel sees it after [`Buffers::publish`].
    #[inline]
    pub(crate) fn recycle(&mut self, lease: Lease) {
        self.give(lease.buffer);
    }

    #[inline]
    fn give(&mut self, buffer: u16) {
        let at = usize::from(self.tail & (self.count - 1));
        let address = self.address(buffer) as u64;
        // SAFETY: `at` is below `count`, the mapping holds `count` entries, and the kernel reads an
        // entry only between head and tail: this one lies beyond the published tail, because at most
        // `count` buffers exist and this one is not in the ring. The tail field, which overlays the
        // first entry's `resv`, is not touched by these setters.
        let entry = unsafe { &mut *self.entries.address().cast::<BufRingEntry>().add(at) };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        self.leased -= 1;
    }

    /// Lets the kernel see what was given back.
    #[inline]
    pub(crate) fn publish(&mut self) {
        if self.published == self.tail {
            return;
        }
        let base = self.entries.address().cast::<BufRingEntry>();
        // SAFETY: `base` is the first entry of a live mapping; the tail is a 16-bit field that only
        // this thread writes, aligned to 2, and shared with the kernel, hence atomic.
        let tail = unsafe { &*BufRingEntry::tail(base).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
        self.published = self.tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buffers_are_distinct_and_within_the_mapping() {
        let mut buffers = Buffers::new(64, 1000).unwrap();
        assert_eq!(buffers.free(), 64);
        let leases: Vec<Lease> = (0..64)
            .map(|buffer| buffers.lease(buffer, 1000, false))
            .collect();
        let mut starts: Vec<usize> = leases
            .iter()
            .map(|lease| buffers.bytes(lease).as_ptr() as usize)
            .collect();
        starts.sort_unstable();
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= 1000));
        assert_eq!(buffers.free(), 0);
        leases.into_iter().for_each(|lease| buffers.recycle(lease));
        assert_eq!(buffers.free(), 64);
    }

    proptest! {
        /// However leases are taken and returned, no buffer is in the ring twice.
        #[test]
        fn no_buffer_is_given_twice(steps in proptest::collection::vec(any::<bool>(), 0..400)) {
            let mut buffers = Buffers::new(8, 64).unwrap();
            let mut in_ring: std::collections::VecDeque<u16> = (0..8).collect();
            let mut out = Vec::new();
            for take in steps {
                if take {
                    if let Some(buffer) = in_ring.pop_front() {
                        out.push(buffers.lease(buffer, 1, false));
                    }
                } else if !out.is_empty() {
                    let lease = out.remove(out.len() / 2);
                    in_ring.push_back(lease.buffer);
                    buffers.recycle(lease);
                }
                buffers.publish();
                prop_assert_eq!(usize::from(buffers.free()), in_ring.len());
                prop_assert_eq!(buffers.free() + out.len() as u16, buffers.count());
            }
        }
    }
}

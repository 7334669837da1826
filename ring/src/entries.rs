//! The queue by which buffers are given to the kernel: entries that both sides see, and their tail.

use io_uring::types::BufRingEntry;
use std::sync::atomic::{AtomicU16, Ordering};

/// Entries of one group of provided buffers.
pub(crate) struct Entries {
    base: *mut BufRingEntry,
    count: u16,
    tail: u16,
    published: u16,
}

impl Entries {
    /// `count` entries, a power of two, in memory that holds them.
    ///
    /// # Safety
    /// The memory is page-aligned, long enough, nobody else's, and outlives this.
    pub(crate) unsafe fn over(memory: *mut u8, count: u16) -> Self {
        let mut entries = Self {
            base: memory.cast(),
            count,
            tail: 0,
            // Not the tail: what an earlier user of the memory has left there is written over.
            published: 1,
        };
        entries.publish();
        entries
    }

    /// Bytes of memory for so many entries.
    pub(crate) fn bytes(count: u16) -> usize {
        usize::from(count) * size_of::<BufRingEntry>()
    }

    /// Where the kernel finds them.
    pub(crate) fn address(&self) -> u64 {
        self.base as u64
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    /// The position of the next entry, counted modulo 65,536.
    pub(crate) fn tail(&self) -> u16 {
        self.tail
    }

    /// Adds an entry; the kernel sees it after [`Entries::publish`]. There must be room for it.
    #[inline]
    pub(crate) fn give(&mut self, address: u64, bytes: u32, buffer: u16) {
        let entry = self.entry(self.tail);
        // SAFETY: `entry` lies within the memory, and the kernel reads and writes an entry only between head
        // and tail: this one lies beyond the published tail, because the caller has given no more buffers than
        // there are entries. The tail field, which overlays the first entry's `resv`, is not touched by these
        // setters.
        let entry = unsafe { &mut *entry };
        entry.set_addr(address);
        entry.set_len(bytes);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// The buffer that was given at a position, and its bytes, which the kernel may have cut.
    pub(crate) fn at(&self, position: u16) -> (u16, u32) {
        let entry = self.entry(position);
        // SAFETY: `entry` lies within the memory. The kernel has completed a request that took this entry, so
        // it writes to it no more; reading the completion came after (acquire).
        let entry = unsafe { &*entry };
        (entry.bid(), entry.len())
    }

    #[inline]
    fn entry(&self, position: u16) -> *mut BufRingEntry {
        let at = usize::from(position & (self.count - 1));
        self.base.wrapping_add(at)
    }

    /// Lets the kernel see what was added.
    #[inline]
    pub(crate) fn publish(&mut self) {
        if self.published == self.tail {
            return;
        }
        // SAFETY: `base` is the first entry of live memory; the tail is a 16-bit field that only
        // this thread writes, aligned to 2, and shared with the kernel, hence atomic.
        let tail = unsafe { &*BufRingEntry::tail(self.base).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
        self.published = self.tail;
    }
}

//! Provided buffers: the kernel picks one at the moment when data is there.
//!
//! The kernel takes buffers in the order in which they were given, so all of them go through the
//! cache in turn: few and small beats many and large. A stride that is no power of two keeps their
//! first lines out of one cache set.
//!
//! How much of a buffer one receive takes is the ring's kind: all of it, a piece of it
//! ([`crate::incremental`]), or several buffers at once ([`crate::bundles`]).

use crate::bundles::Bundles;
use crate::entries::Entries;
use crate::incremental::Incremental;
use crate::memory::Mapping;
use io_uring::cqueue;

/// Memory that the kernel has filled and that is out of the ring until it is given back.
#[must_use = "a lease that is not recycled or sent is a buffer lost to the ring"]
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    /// Where in the buffer it begins.
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
    /// The buffer; of a bundle, the first; of registered memory, the region.
    pub(crate) buffer: u16,
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
    entries: Entries,
    /// Where the entries are.
    _queue: Mapping,
    data: Mapping,
    count: u16,
    buffer_bytes: u32,
    stride: usize,
    /// Buffers that the kernel cannot pick from.
    leased: u16,
    /// Bytes in each leased buffer, so that a send's completion can give the whole lease back.
    held_bytes: Box<[u32]>,
    take: Take,
}

/// How much of a buffer one receive takes.
enum Take {
    Whole,
    Piece(Incremental),
    Several(Bundles),
}

/// The same, to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Whole,
    Incremental,
    Bundled,
}

/// Keeps neighbours' first lines out of one another's cache sets.
pub(crate) const STRIDE_PADDING: usize = 64;

impl Buffers {
    /// `count` buffers of `buffer_bytes`; `count` must be a power of two, at most 32,768, and half of that where
    /// they are bundled.
    pub(crate) fn new(count: u16, buffer_bytes: u32, kind: Kind) -> std::io::Result<Self> {
        assert!(
            count.is_power_of_two() && count <= 1 << 15,
            "checked by Setup"
        );
        let stride = buffer_bytes as usize + STRIDE_PADDING;
        let (take, entries) = match kind {
            Kind::Whole => (Take::Whole, count),
            Kind::Incremental => (Take::Piece(Incremental::new(count)), count),
            Kind::Bundled => (Take::Several(Bundles::new(count)), Bundles::entries(count)),
        };
        let queue = Mapping::new(Entries::bytes(entries))?;
        let mut buffers = Self {
            // SAFETY: the mapping is made for these entries, and is kept beside them.
            entries: unsafe { Entries::over(queue.address(), entries) },
            _queue: queue,
            data: Mapping::new(usize::from(count) * stride)?,
            count,
            buffer_bytes,
            stride,
            leased: count,
            held_bytes: vec![0; usize::from(count)].into_boxed_slice(),
            take,
        };
        for buffer in 0..count {
            buffers.give(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// Where the kernel finds the entries, and how many.
    pub(crate) fn entries(&self) -> (u64, u16) {
        (self.entries.address(), self.entries.count())
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    /// Buffers that the kernel can still pick from.
    #[inline]
    pub(crate) fn free(&self) -> u16 {
        self.count - self.leased
    }

    /// Takes note of what a receive has put into `buffer`, by the flags of its completion; `None` if that is
    /// nothing, and the buffer is in the ring again.
    #[inline]
    pub(crate) fn received(&mut self, buffer: u16, bytes: u32, flags: u32) -> Option<Lease> {
        let has_more = cqueue::sock_nonempty(flags);
        match &mut self.take {
            Take::Whole => {
                let lease = self.lease(buffer, bytes, has_more);
                if bytes == 0 {
                    self.recycle(lease);
                    return None;
                }
                Some(lease)
            }
            Take::Piece(incremental) => {
                // What took nothing has not taken the buffer either.
                if bytes == 0 {
                    return None;
                }
                let is_finished = !cqueue::buffer_more(flags);
                let offset = incremental.take(buffer, bytes, self.buffer_bytes, is_finished);
                self.leased += u16::from(is_finished);
                Some(Lease {
                    offset,
                    bytes,
                    buffer,
                    has_more,
                })
            }
            Take::Several(_) => self.received_bundle(buffer, bytes, has_more),
        }
    }

    /// The buffers that `bytes` fill, from `first` on in the order in which they were given.
    fn received_bundle(&mut self, first: u16, bytes: u32, has_more: bool) -> Option<Lease> {
        if bytes == 0 {
            let lease = self.lease(first, 0, has_more);
            self.recycle(lease);
            return None;
        }
        let Take::Several(bundles) = &mut self.take else {
            unreachable!("called for bundles");
        };
        let held = &mut self.held_bytes;
        self.leased += bundles.take(first, bytes, &self.entries, held);
        Some(Lease {
            offset: 0,
            bytes,
            buffer: first,
            has_more,
        })
    }

    /// Takes note that the kernel has picked `buffer`, put `bytes` in it, and is done with it.
    #[inline]
    fn lease(&mut self, buffer: u16, bytes: u32, has_more: bool) -> Lease {
        assert!(
            buffer < self.count && bytes <= self.buffer_bytes,
            "the kernel's own answer"
        );
        self.leased += 1;
        self.held_bytes[usize::from(buffer)] = bytes;
        if let Take::Several(bundles) = &mut self.take {
            bundles.take_one(buffer);
        }
        Lease {
            offset: 0,
            bytes,
            buffer,
            has_more,
        }
    }

    /// What stands for a lease that is being sent, for [`Buffers::return_lease`].
    pub(crate) fn lend(&mut self, lease: &Lease) -> u32 {
        match &mut self.take {
            Take::Whole | Take::Several(_) => u32::from(lease.buffer),
            Take::Piece(incremental) => incremental.lend(lease),
        }
    }

    /// A lease of a whole buffer that was moved into a send, at that send's terminal completion.
    #[inline]
    pub(crate) fn return_whole(&self, buffer: u16) -> Lease {
        Lease {
            offset: 0,
            bytes: self.held_bytes[usize::from(buffer)],
            buffer,
            has_more: false,
        }
    }

    /// The same of any kind.
    pub(crate) fn return_lease(&mut self, lent: u32) -> Lease {
        match &mut self.take {
            Take::Whole => self.return_whole(lent as u16),
            Take::Piece(incremental) => incremental.return_lease(lent),
            Take::Several(bundles) => Lease {
                offset: 0,
                bytes: bundles.bytes(lent as u16, &self.held_bytes),
                buffer: lent as u16,
                has_more: false,
            },
        }
    }

    /// Bytes of what is being sent.
    pub(crate) fn lent_bytes(&self, lent: u32) -> u32 {
        match &self.take {
            Take::Whole => self.held_bytes[lent as usize],
            Take::Piece(incremental) => incremental.lent_bytes(lent),
            Take::Several(bundles) => bundles.bytes(lent as u16, &self.held_bytes),
        }
    }

    /// What a lease holds, which must be in one piece.
    #[inline]
    pub(crate) fn bytes(&self, lease: &Lease) -> &[u8] {
        assert!(
            self.first_bytes(lease) == lease.bytes,
            "a bundle has pieces"
        );
        // SAFETY: the lease is proof that the kernel is done with this part of the buffer and has not been
        // given it again; `Buffers::received` checked that it lies within the mapping, and a shared borrow of
        // `self` keeps the mapping.
        unsafe { std::slice::from_raw_parts(self.address(lease), lease.bytes as usize) }
    }

    /// The same piece by piece, in order.
    pub(crate) fn pieces<'a>(&'a self, lease: &'a Lease) -> impl Iterator<Item = &'a [u8]> {
        let mut next = Some(Lease {
            bytes: self.first_bytes(lease),
            ..*lease
        });
        std::iter::from_fn(move || {
            let piece = next.take()?;
            next = self.after(&piece);
            // SAFETY: as in `Buffers::bytes`; every buffer of a bundle is leased with its first.
            Some(unsafe { std::slice::from_raw_parts(self.address(&piece), piece.bytes as usize) })
        })
    }

    /// Bytes in the first of a lease's buffers.
    #[inline]
    fn first_bytes(&self, lease: &Lease) -> u32 {
        match self.take {
            Take::Whole | Take::Piece(_) => lease.bytes,
            Take::Several(_) => self.held_bytes[usize::from(lease.buffer)],
        }
    }

    /// The piece of a bundle after another.
    fn after(&self, piece: &Lease) -> Option<Lease> {
        let Take::Several(bundles) = &self.take else {
            return None;
        };
        bundles
            .next(piece.buffer)
            .map(|buffer| self.return_whole(buffer))
    }

    /// What a send has to name where a lease has several pieces; `None` where it has one. It is valid, and
    /// stays where it is, until the lease has been given back.
    pub(crate) fn message(&mut self, lease: &Lease) -> Option<*const libc::msghdr> {
        if self.first_bytes(lease) == lease.bytes {
            return None;
        }
        let (data, stride) = (self.data.address(), self.stride);
        let Take::Several(bundles) = &mut self.take else {
            return None;
        };
        Some(bundles.message(lease.buffer, &self.held_bytes, |buffer| {
            data.wrapping_add(usize::from(buffer) * stride)
        }))
    }

    /// Where a lease begins.
    #[inline]
    pub(crate) fn address(&self, lease: &Lease) -> *const u8 {
        self.buffer_address(lease.buffer)
            .wrapping_add(lease.offset as usize)
    }

    #[inline]
    fn buffer_address(&self, buffer: u16) -> *const u8 {
        debug_assert!(buffer < self.count);
        self.data
            .address()
            .wrapping_add(usize::from(buffer) * self.stride)
    }

    /// Gives a lease back; the kernel sees it after [`Buffers::publish`].
    #[inline]
    pub(crate) fn recycle(&mut self, lease: Lease) {
        match &mut self.take {
            Take::Whole => self.give(lease.buffer),
            Take::Piece(incremental) => {
                if incremental.recycle(lease.buffer) {
                    self.give(lease.buffer);
                }
            }
            Take::Several(_) => self.recycle_bundle(lease),
        }
    }

    fn recycle_bundle(&mut self, lease: Lease) {
        let mut next = Some(lease.buffer);
        while let (Some(buffer), Take::Several(bundles)) = (next, &mut self.take) {
            next = bundles.next(buffer);
            bundles.give(buffer, self.entries.tail());
            self.give(buffer);
        }
    }

    #[inline]
    fn give(&mut self, buffer: u16) {
        let address = self.buffer_address(buffer) as u64;
        self.entries.give(address, self.buffer_bytes, buffer);
        self.leased -= 1;
    }

    /// Lets the kernel see what was given back.
    #[inline]
    pub(crate) fn publish(&mut self) {
        self.entries.publish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The flag of a completion that has a buffer which the kernel goes on filling.
    const BUFFER_MORE: u32 = 1 << 4;

    #[test]
    fn buffers_are_distinct_and_within_the_mapping() {
        let mut buffers = Buffers::new(64, 1000, Kind::Whole).unwrap();
        assert_eq!(buffers.free(), 64);
        let leases: Vec<Lease> = (0..64)
            .map(|buffer| buffers.received(buffer, 1000, 0).unwrap())
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

    /// What the kernel does with an incremental ring: it fills the head's buffer piece by piece.
    fn fill(
        buffers: &mut Buffers,
        in_ring: &mut std::collections::VecDeque<(u16, u32)>,
        wanted: u32,
    ) -> Option<(Lease, u32)> {
        let (buffer, used) = in_ring.front_mut()?;
        let bytes = wanted.min(64 - *used);
        let (buffer, start) = (*buffer, *used);
        *used += bytes;
        let is_finished = *used == 64;
        if is_finished {
            in_ring.pop_front();
        }
        let flags = if is_finished { 0 } else { BUFFER_MORE };
        let lease = buffers.received(buffer, bytes, flags).unwrap();
        Some((lease, start))
    }

    proptest! {
        /// However leases are taken and returned, no buffer is in the ring twice.
        #[test]
        fn no_buffer_is_given_twice(steps in proptest::collection::vec(any::<bool>(), 0..400)) {
            let mut buffers = Buffers::new(8, 64, Kind::Whole).unwrap();
            let mut in_ring: std::collections::VecDeque<u16> = (0..8).collect();
            let mut out = Vec::new();
            for take in steps {
                if take {
                    if let Some(buffer) = in_ring.pop_front() {
                        out.push(buffers.received(buffer, 1, 0).unwrap());
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

        /// A buffer that is filled piece by piece is in the ring again when the kernel has finished it and every
        /// piece is back, and not before; pieces that are out do not overlap.
        #[test]
        fn a_buffer_of_pieces_comes_back_with_its_last(
            steps in proptest::collection::vec((0u8..3, 1u32..80, any::<prop::sample::Index>()), 0..400),
        ) {
            let mut buffers = Buffers::new(4, 64, Kind::Incremental).unwrap();
            let mut in_ring: std::collections::VecDeque<(u16, u32)> = (0..4).map(|b| (b, 0)).collect();
            let mut out: Vec<Lease> = Vec::new();
            let mut lent: Vec<(u32, u16, u32)> = Vec::new();
            for (step, bytes, which) in steps {
                match step {
                    0 => if let Some((lease, start)) = fill(&mut buffers, &mut in_ring, bytes) {
                        prop_assert_eq!(lease.offset, start);
                        out.push(lease);
                    },
                    // Moved into a send, to come back by what stands for it.
                    1 if !out.is_empty() => {
                        let lease = out.swap_remove(which.index(out.len()));
                        lent.push((buffers.lend(&lease), lease.buffer, lease.offset));
                        prop_assert_eq!(buffers.lent_bytes(lent[lent.len() - 1].0), lease.bytes);
                    }
                    1 => {}
                    _ => {
                        let lease = if !lent.is_empty() {
                            let (id, buffer, offset) = lent.swap_remove(which.index(lent.len()));
                            let lease = buffers.return_lease(id);
                            prop_assert_eq!((lease.buffer, lease.offset), (buffer, offset));
                            lease
                        } else if !out.is_empty() {
                            out.swap_remove(which.index(out.len()))
                        } else {
                            continue;
                        };
                        let buffer = lease.buffer;
                        buffers.recycle(lease);
                        let is_filling = in_ring.iter().any(|&(other, _)| other == buffer);
                        let is_held = out.iter().any(|lease| lease.buffer == buffer)
                            || lent.iter().any(|&(_, other, _)| other == buffer);
                        if !is_filling && !is_held {
                            in_ring.push_back((buffer, 0));
                        }
                    }
                }
                prop_assert_eq!(usize::from(buffers.free()), in_ring.len());
                let mut spans: Vec<_> = out.iter().map(|l| (l.buffer, l.offset, l.bytes)).collect();
                spans.sort_unstable();
                let are_apart = spans.windows(2).all(|pair| {
                    pair[0].0 != pair[1].0 || pair[0].1 + pair[0].2 <= pair[1].1
                });
                prop_assert!(are_apart);
            }
        }

        /// A bundle is the buffers from its first on in the order in which they were given, full but for the last.
        #[test]
        fn a_bundle_is_in_the_order_of_the_ring(
            steps in proptest::collection::vec((any::<bool>(), 1u32..300, any::<prop::sample::Index>()), 0..400),
        ) {
            let mut buffers = Buffers::new(8, 64, Kind::Bundled).unwrap();
            let mut in_ring: std::collections::VecDeque<u16> = (0..8).collect();
            let mut out: Vec<(Lease, Vec<u16>)> = Vec::new();
            for (take, bytes, which) in steps {
                if take && !in_ring.is_empty() {
                    let bytes = bytes.min(64 * in_ring.len() as u32);
                    let taken: Vec<u16> = in_ring.drain(..bytes.div_ceil(64) as usize).collect();
                    let lease = buffers.received(taken[0], bytes, 0).unwrap();
                    prop_assert_eq!(lease.bytes, bytes);
                    let lengths: Vec<usize> = buffers.pieces(&lease).map(<[u8]>::len).collect();
                    prop_assert_eq!(lengths.len(), taken.len());
                    prop_assert!(lengths[..lengths.len() - 1].iter().all(|&length| length == 64));
                    prop_assert_eq!(lengths.iter().sum::<usize>(), bytes as usize);
                    for (piece, &buffer) in buffers.pieces(&lease).zip(&taken) {
                        prop_assert_eq!(piece.as_ptr(), buffers.buffer_address(buffer));
                    }
                    out.push((lease, taken));
                } else if !out.is_empty() {
                    let (lease, taken) = out.swap_remove(which.index(out.len()));
                    let lent = buffers.lend(&lease);
                    let lease = if bytes % 2 == 0 { buffers.return_lease(lent) } else { lease };
                    buffers.recycle(lease);
                    in_ring.extend(taken);
                }
                prop_assert_eq!(usize::from(buffers.free()), in_ring.len());
            }
        }
    }
}

//! A registered buffer of each slot's own: the kernel looks its pages up once, and not with each request.
//!
//! Memory is registered by regions, each for the slots of one range, when the first of them receives: what
//! is registered is locked, and counts against RLIMIT_MEMLOCK. A slot has one buffer, so it receives once
//! at a time, and not again before the lease of it is back.

use crate::buffers::{Lease, STRIDE_PADDING};
use crate::event::Received;
use crate::memory::Mapping;
use crate::operations::{file, token};
use crate::ring::{Ring, RingError};
use crate::token::{Operation, Slot};
use io_uring::{IoUring, opcode};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Bytes of a region, about: registered at once.
const REGION_BYTES: usize = 1 << 20;
/// Regions that the kernel takes.
const REGIONS_MAX: usize = 1 << 14;

/// The registered buffers of one [`crate::Ring`].
pub(crate) struct Fixed {
    /// Registered, or not yet.
    regions: Vec<Option<Mapping>>,
    slots_per_region: usize,
    buffer_bytes: u32,
    stride: usize,
    uses: Box<[Use]>,
}

/// What a slot's buffer is used for.
#[derive(Clone, Copy, Default)]
enum Use {
    /// Nothing.
    #[default]
    Free,
    /// The kernel may write to it.
    Receiving,
    /// It is out, or being sent: so many bytes from so far on.
    Leased { offset: u32, bytes: u32 },
}

/// A request's buffer: the region, the address in it, and the bytes.
pub(crate) struct Place {
    pub(crate) region: u16,
    pub(crate) address: *mut u8,
    pub(crate) bytes: u32,
}

impl Fixed {
    /// A buffer of `buffer_bytes` for each of so many slots.
    pub(crate) fn new(slots: u32, buffer_bytes: u32) -> Self {
        let (slots, stride) = (slots as usize, buffer_bytes as usize + STRIDE_PADDING);
        let slots_per_region = (REGION_BYTES / stride)
            .max(slots.div_ceil(REGIONS_MAX))
            .clamp(1, slots);
        let regions = slots.div_ceil(slots_per_region);
        Self {
            regions: (0..regions).map(|_| None).collect(),
            slots_per_region,
            buffer_bytes,
            stride,
            uses: vec![Use::Free; slots].into_boxed_slice(),
        }
    }

    /// Regions, registered or not.
    pub(crate) fn regions(&self) -> u32 {
        self.regions.len() as u32
    }

    /// The region of a slot that still has to be registered: its number and its bytes.
    pub(crate) fn missing(&self, slot_index: u32) -> Option<(u16, usize)> {
        let region = slot_index as usize / self.slots_per_region;
        let bytes = self.slots_per_region * self.stride;
        self.regions[region]
            .is_none()
            .then_some((region as u16, bytes))
    }

    /// Keeps a region that has been registered.
    pub(crate) fn keep(&mut self, region: u16, memory: Mapping) {
        self.regions[usize::from(region)] = Some(memory);
    }

    /// The buffer of a slot, to receive into; `None` while a receive or a lease has it. Its region must be
    /// registered.
    pub(crate) fn receive(&mut self, slot_index: u32) -> Option<Place> {
        let of = &mut self.uses[slot_index as usize];
        if !matches!(of, Use::Free) {
            return None;
        }
        *of = Use::Receiving;
        let (region, offset) = self.place(slot_index);
        Some(Place {
            region,
            address: self.address(region, offset),
            bytes: self.buffer_bytes,
        })
    }

    /// Takes note of how a receive has ended; `None` if it brought nothing.
    pub(crate) fn received(&mut self, slot_index: u32, bytes: u32) -> Option<Lease> {
        let (region, offset) = self.place(slot_index);
        let of = &mut self.uses[slot_index as usize];
        assert!(
            bytes <= self.buffer_bytes && matches!(of, Use::Receiving),
            "the kernel's own answer"
        );
        *of = match bytes {
            0 => Use::Free,
            _ => Use::Leased { offset, bytes },
        };
        (bytes > 0).then_some(Lease {
            offset,
            bytes,
            buffer: region,
            has_more: false,
        })
    }

    /// The buffer of a lease, to send from.
    pub(crate) fn send(&self, lease: &Lease) -> Place {
        Place {
            region: lease.buffer,
            address: self.address(lease.buffer, lease.offset),
            bytes: lease.bytes,
        }
    }

    /// What stands for a lease that is being sent, for [`Fixed::return_lease`]: its slot.
    pub(crate) fn lend(&self, lease: &Lease) -> u32 {
        self.slot_index(lease) as u32
    }

    /// Bytes of what is being sent.
    pub(crate) fn lent_bytes(&self, lent: u32) -> u32 {
        self.return_lease(lent).bytes
    }

    /// The lease that was being sent from a slot's buffer.
    pub(crate) fn return_lease(&self, slot_index: u32) -> Lease {
        let Use::Leased { offset, bytes } = self.uses[slot_index as usize] else {
            unreachable!("it was sent from");
        };
        Lease {
            offset,
            bytes,
            buffer: self.place(slot_index).0,
            has_more: false,
        }
    }

    /// Leaves the first `bytes` of a lease out of it, and some must be left.
    pub(crate) fn skip(&mut self, mut lease: Lease, bytes: u32) -> Lease {
        assert!(bytes < lease.bytes, "some are left");
        lease.offset += bytes;
        lease.bytes -= bytes;
        let slot_index = self.slot_index(&lease);
        self.uses[slot_index] = Use::Leased {
            offset: lease.offset,
            bytes: lease.bytes,
        };
        lease
    }

    /// Takes a lease back: its slot may receive again.
    pub(crate) fn recycle(&mut self, lease: Lease) {
        let slot_index = self.slot_index(&lease);
        self.uses[slot_index] = Use::Free;
    }

    /// What a lease holds.
    pub(crate) fn bytes(&self, lease: &Lease) -> &[u8] {
        let address = self.address(lease.buffer, lease.offset);
        // SAFETY: the lease is proof that the kernel does not write to this buffer: its slot is `Leased`, and
        // receives again only when it is `Free`. It lies within the region, which is never unmapped before
        // `self` is dropped.
        unsafe { std::slice::from_raw_parts(address, lease.bytes as usize) }
    }

    /// The region of a slot, and where in it the slot's buffer begins.
    fn place(&self, slot_index: u32) -> (u16, u32) {
        let slot_index = slot_index as usize;
        let region = slot_index / self.slots_per_region;
        let offset = slot_index % self.slots_per_region * self.stride;
        (region as u16, offset as u32)
    }

    fn slot_index(&self, lease: &Lease) -> usize {
        usize::from(lease.buffer) * self.slots_per_region + lease.offset as usize / self.stride
    }

    fn address(&self, region: u16, offset: u32) -> *mut u8 {
        let region = self.regions[usize::from(region)].as_ref();
        let region = region.expect("registered before its slots are used");
        region.address().wrapping_add(offset as usize)
    }
}

impl Ring {
    /// Receives once into the slot's own buffer, when there is data.
    pub(crate) fn receive_fixed(&mut self, slot: Slot) -> Result<(), RingError> {
        self.reserve(1)?;
        let fixed = self.fixed.as_mut().ok_or(RingError::Misuse(
            "this ring has no buffers to receive into",
        ))?;
        fixed.register(&self.io, slot.index)?;
        let place = fixed.receive(slot.index).ok_or(RingError::Misuse(
            "a slot's buffer takes one receive at a time, and its lease must be back",
        ))?;
        let entry =
            opcode::ReadFixed::new(file(slot), place.address, place.bytes, place.region).build();
        self.push(entry, token(Operation::Receive, slot, 0));
        Ok(())
    }

    /// What a receive brought that no provided buffer has taken.
    pub(crate) fn received_fixed(
        &mut self,
        slot: Slot,
        value: Result<u32, Errno>,
    ) -> Result<Received, Errno> {
        let lease = self.fixed.as_mut().and_then(|fixed| {
            // What failed has left the buffer free.
            fixed.received(slot.index, value.unwrap_or(0))
        });
        value.map(|_| lease.map_or(Received::End, Received::Data))
    }
}

impl Fixed {
    /// Registers the region of a slot, unless it is.
    pub(crate) fn register(&mut self, io: &IoUring, slot_index: u32) -> Result<(), RingError> {
        let Some((region, bytes)) = self.missing(slot_index) else {
            return Ok(());
        };
        let refused = |error: &std::io::Error| match Errno::from_io_error(error) {
            Some(Errno::NOMEM | Errno::PERM) => RingError::Locked {
                limit: getrlimit(Resource::Memlock).current,
            },
            errno => RingError::Register(errno.unwrap_or(Errno::IO)),
        };
        let memory = Mapping::new(bytes).map_err(|error| refused(&error))?;
        let place = libc::iovec {
            iov_base: memory.address().cast(),
            iov_len: bytes,
        };
        let submitter = io.submitter();
        // SAFETY: the mapping is all of the place, and `self` keeps it until the ring's descriptor is closed and
        // nothing is in flight. If the call fails the kernel has let go of it.
        let registered =
            unsafe { submitter.register_buffers_update(u32::from(region), &[place], None) };
        registered.map_err(|error| refused(&error))?;
        self.keep(region, memory);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_regions(slots: u32, buffer_bytes: u32) -> Fixed {
        let mut fixed = Fixed::new(slots, buffer_bytes);
        for slot_index in 0..slots {
            if let Some((region, bytes)) = fixed.missing(slot_index) {
                fixed.keep(region, Mapping::new(bytes).unwrap());
            }
        }
        fixed
    }

    #[test]
    fn every_slot_has_a_buffer_of_its_own() {
        for (slots, buffer_bytes) in [(1, 64), (1000, 2048), (9, 256 * 1024), (70, 17_000)] {
            let mut fixed = with_regions(slots, buffer_bytes);
            let mut starts: Vec<usize> = (0..slots)
                .map(|slot_index| fixed.receive(slot_index).unwrap().address as usize)
                .collect();
            starts.sort_unstable();
            assert!(
                starts
                    .windows(2)
                    .all(|pair| pair[1] - pair[0] >= buffer_bytes as usize)
            );
            for slot_index in 0..slots {
                let lease = fixed.received(slot_index, buffer_bytes).unwrap();
                assert_eq!(fixed.slot_index(&lease), slot_index as usize);
                assert_eq!(fixed.bytes(&lease).len(), buffer_bytes as usize);
            }
        }
    }

    #[test]
    fn a_buffer_has_one_use_at_a_time() {
        let mut fixed = with_regions(600, 2048);
        assert!(fixed.receive(599).is_some());
        assert!(fixed.receive(599).is_none(), "the kernel writes to it");
        let lease = fixed.received(599, 10).unwrap();
        assert!(fixed.receive(599).is_none(), "it is out");
        let lease = fixed.skip(lease, 4);
        assert_eq!(fixed.return_lease(599), lease);
        assert_eq!(lease.bytes(), 6);
        fixed.recycle(lease);
        assert!(fixed.receive(599).is_some());
        assert!(fixed.received(599, 0).is_none());
        assert!(fixed.receive(599).is_some(), "nothing came");
    }

    #[test]
    fn a_table_of_any_size_has_no_more_regions_than_the_kernel_takes() {
        for (slots, buffer_bytes) in [(1 << 20, 64), (1 << 20, 2048), (1 << 20, 256 * 1024)] {
            let fixed = Fixed::new(slots, buffer_bytes);
            assert!(fixed.regions() as usize <= REGIONS_MAX);
            assert!(fixed.missing(slots - 1).unwrap().1 <= 1 << 30);
        }
    }
}

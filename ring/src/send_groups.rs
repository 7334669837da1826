//! Sends that take their buffers from a group of the connection's own (Linux 6.10): a bundle.
//!
//! What a slot is to send is queued in its group as it comes, and one send takes whatever is there, up to 256
//! entries. What comes meanwhile waits for the next. The kernel takes entries in order, and a completion
//! says how many bytes it has sent, so it gives back as many of what was queued, from the front, as those
//! bytes cover.
//!
//! A group is a page (registering asks for page-aligned entries), made when a slot first sends and kept for the
//! slot's later users. A group's number has 16 bits and 0 is that of the receive buffers, so a ring has at
//! most 65,535 slots.

use crate::buffers::{Buffers, Lease};
use crate::entries::Entries;
use crate::event::{Event, Sent, Shot};
use crate::fixed::Fixed;
use crate::memory::Mapping;
use crate::operations::{SEND_FLAGS, file, token};
use crate::ring::{Ring, RingError, sent};
use crate::token::{Operation, Slot};
use io_uring::{IoUring, cqueue, opcode};
use rustix::io::Errno;
use std::collections::VecDeque;

/// The most slots of a ring whose sends are bundles.
pub const SLOTS_MAX: u32 = u16::MAX as u32;
/// Entries of a group: a page of them, and the most that the kernel takes at a time.
const ENTRIES: u16 = 256;
const PAGE_BYTES: usize = 4096;

/// The groups of all slots of a ring.
pub(crate) struct SendGroups {
    /// A page for each slot, of the machine's memory once it is used.
    pages: Mapping,
    groups: Box<[Option<Box<Group>>]>,
}

/// What one slot is to send.
struct Group {
    entries: Entries,
    /// In order; the kernel has the first `given`, which are `given_entries` entries.
    queue: VecDeque<Item>,
    given: usize,
    given_entries: u16,
    queued_bytes: usize,
    /// A send has failed, and which entries the kernel has taken is not known: it sends no more, and is
    /// registered anew for the slot's next user.
    is_spoilt: bool,
}

struct Item {
    memory: Memory,
    bytes: u32,
    /// Entries that it takes.
    pieces: u16,
}

enum Memory {
    Lease(Lease),
    Owned(Vec<u8>),
}

impl SendGroups {
    pub(crate) fn new(slots: u32) -> std::io::Result<Self> {
        assert!(slots <= SLOTS_MAX, "checked by Setup");
        Ok(Self {
            pages: Mapping::new(slots as usize * PAGE_BYTES)?,
            groups: (0..slots).map(|_| None).collect(),
        })
    }

    /// The group of a slot, registered.
    fn group(&mut self, io: &IoUring, slot: Slot) -> Result<&mut Group, RingError> {
        let place = &mut self.groups[slot.index as usize];
        if place.as_ref().is_none_or(|group| group.is_spoilt) {
            let page = self
                .pages
                .address()
                .wrapping_add(slot.index as usize * PAGE_BYTES);
            *place = Some(Box::new(Group::register(io, slot, page, place.is_some())?));
        }
        Ok(place.as_mut().expect("just made"))
    }

    fn made(&mut self, slot: Slot) -> Option<&mut Group> {
        self.groups[slot.index as usize].as_deref_mut()
    }
}

fn group_number(slot: Slot) -> u16 {
    slot.index as u16 + 1
}

impl Group {
    /// Makes a group of the entries in `page`, in place of one that was there.
    fn register(
        io: &IoUring,
        slot: Slot,
        page: *mut u8,
        replaces: bool,
    ) -> Result<Self, RingError> {
        let failed = |error: std::io::Error| {
            RingError::Register(Errno::from_io_error(&error).unwrap_or(Errno::IO))
        };
        let number = group_number(slot);
        if replaces {
            io.submitter().unregister_buf_ring(number).map_err(failed)?;
        }
        // SAFETY: the page is the slot's alone, holds `ENTRIES` entries, and is unmapped after `self`, with the
        // groups. The kernel has let go of the group that was there.
        let entries = unsafe { Entries::over(page, ENTRIES) };
        // SAFETY: the page is aligned and stays mapped until the ring's descriptor is closed and nothing is in
        // flight.
        unsafe {
            io.submitter()
                .register_buf_ring_with_flags(page as u64, ENTRIES, number, 0)
        }
        .map_err(failed)?;
        Ok(Self {
            entries,
            queue: VecDeque::new(),
            given: 0,
            given_entries: 0,
            queued_bytes: 0,
            is_spoilt: false,
        })
    }

    fn push(&mut self, memory: Memory, bytes: u32, pieces: u16) {
        self.queued_bytes += bytes as usize;
        self.queue.push_back(Item {
            memory,
            bytes,
            pieces,
        });
    }

    /// Lets the kernel have as much of the queue as there are entries for.
    fn give(&mut self, buffers: Option<&Buffers>, fixed: Option<&Fixed>) {
        while let Some(item) = self.queue.get(self.given) {
            if self.given_entries + item.pieces > ENTRIES {
                break;
            }
            let entries = &mut self.entries;
            let mut give = |piece: &[u8]| {
                let position = entries.tail();
                entries.give(piece.as_ptr() as u64, piece.len() as u32, position);
            };
            match (&item.memory, buffers, fixed) {
                (Memory::Owned(bytes), ..) => give(bytes),
                (Memory::Lease(lease), Some(buffers), _) => buffers.pieces(lease).for_each(give),
                (Memory::Lease(lease), None, Some(fixed)) => give(fixed.bytes(lease)),
                (Memory::Lease(_), None, None) => unreachable!("a lease comes from buffers"),
            }
            self.given += 1;
            self.given_entries += item.pieces;
        }
        self.entries.publish();
    }

    /// The position of the first entry that the kernel has and has not answered.
    fn head(&self) -> u16 {
        self.entries.tail().wrapping_sub(self.given_entries)
    }

    /// The first item, if `bytes` cover it, which they then do no more.
    fn pop_covered(&mut self, bytes: &mut u32) -> Option<Memory> {
        let covered = |item: &&Item| self.given > 0 && item.bytes <= *bytes;
        self.queue.front().filter(covered)?;
        let item = self.queue.pop_front()?;
        self.given -= 1;
        self.given_entries -= item.pieces;
        self.queued_bytes -= item.bytes as usize;
        *bytes -= item.bytes;
        Some(item.memory)
    }
}

impl Ring {
    /// Queues a lease to be sent by [`Ring::send_queued`]; the ring takes it back by itself.
    pub fn queue_lease(&mut self, slot: Slot, lease: Lease) -> Result<(), RingError> {
        let pieces = match &self.buffers {
            Some(buffers) => buffers.pieces(&lease).count(),
            None => 1,
        };
        if pieces > usize::from(ENTRIES) {
            let mut copy = Vec::with_capacity(lease.bytes());
            self.append(&lease, 0, &mut copy);
            self.recycle(lease);
            return self.queue_owned(slot, copy);
        }
        let bytes = lease.bytes;
        self.queue(slot, Memory::Lease(lease), bytes, pieces as u16)
    }

    /// Queues heap bytes likewise, of which there must be some. At most 4 GiB.
    pub fn queue_owned(&mut self, slot: Slot, bytes: Vec<u8>) -> Result<(), RingError> {
        let length = u32::try_from(bytes.len())
            .map_err(|_| RingError::Misuse("a send takes at most 4 GiB"))?;
        if length == 0 {
            return Err(RingError::Misuse("an entry of a group is not empty"));
        }
        self.queue(slot, Memory::Owned(bytes), length, 1)
    }

    fn queue(
        &mut self,
        slot: Slot,
        memory: Memory,
        bytes: u32,
        pieces: u16,
    ) -> Result<(), RingError> {
        let groups = self.send_groups.as_mut();
        let groups = groups.ok_or(RingError::Misuse("this ring's sends are no bundles"))?;
        let group = groups.group(&self.io, slot)?;
        group.push(memory, bytes, pieces);
        group.give(self.buffers.as_ref(), self.fixed.as_ref());
        Ok(())
    }

    /// Sends what is queued; [`crate::Event::Sent`] says what is left, which may have come since. One at a time on
    /// a slot.
    #[inline]
    pub fn send_queued(&mut self, slot: Slot) -> Result<(), RingError> {
        self.reserve(1)?;
        let entry = opcode::SendBundle::new(file(slot), group_number(slot)).flags(SEND_FLAGS);
        self.push(entry.build(), token(Operation::SendLease, slot, 0));
        Ok(())
    }

    /// Bytes that are queued on a slot and not known to be sent.
    pub fn queued_bytes(&mut self, slot: Slot) -> usize {
        let groups = self.send_groups.as_mut();
        groups
            .and_then(|groups| groups.made(slot))
            .map_or(0, |group| group.queued_bytes)
    }

    /// Throws away what is queued on a slot, after a send that has failed: none may be in flight.
    pub fn drop_queued(&mut self, slot: Slot) {
        let group = self
            .send_groups
            .as_mut()
            .and_then(|groups| groups.made(slot));
        let Some(group) = group else { return };
        group.is_spoilt = true;
        group.queued_bytes = 0;
        for item in std::mem::take(&mut group.queue) {
            if let Memory::Lease(lease) = item.memory {
                self.recycle(lease);
            }
        }
    }

    /// What a completion of [`Ring::send_queued`] means.
    pub(crate) fn queued_sent(
        &mut self,
        slot: Slot,
        value: Result<u32, Errno>,
        flags: u32,
        shot: Shot,
    ) -> Option<Event> {
        let value = value.and_then(|bytes| self.take_covered(slot, bytes, flags));
        if shot == Shot::Armed {
            return None;
        }
        let left_bytes = self.queued_bytes(slot);
        Some(sent(slot, Sent::Queued { left_bytes }, value))
    }

    /// Takes back what so many bytes cover. A send that was cut within an entry, or did not begin with the entry
    /// that was next, has left a gap: nothing that follows may be sent.
    fn take_covered(&mut self, slot: Slot, bytes: u32, flags: u32) -> Result<u32, Errno> {
        let mut left = bytes;
        let group = self.send_groups.as_mut().and_then(|g| g.made(slot));
        let group = group.ok_or(Errno::IO)?;
        group.is_spoilt |= cqueue::buffer_select(flags) != Some(group.head());
        loop {
            let group = self.send_groups.as_mut().and_then(|g| g.made(slot));
            let group = group.filter(|group| !group.is_spoilt).ok_or(Errno::IO)?;
            match group.pop_covered(&mut left) {
                Some(Memory::Lease(lease)) => self.recycle(lease),
                Some(Memory::Owned(_)) => {}
                None if left > 0 => group.is_spoilt = true,
                None => {
                    group.give(self.buffers.as_ref(), self.fixed.as_ref());
                    return Ok(bytes);
                }
            }
        }
    }
}

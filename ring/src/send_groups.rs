//! Sends that take their buffers from a group of the connection's own (Linux 6.10): a bundle.
//!
//! What a slot is to send is queued in its group as it comes, and one send takes what is there when it is made,
//! up to 256 entries. What comes meanwhile waits for the next. The kernel takes entries in order, and says how many
//! bytes it has sent, so a completion gives back as many of what was queued, from the front, as those bytes
//! cover.
//!
//! A send may be cut although nothing has failed (seen on 6.18, where the kernel hands one to a worker thread because
//! attempt after attempt sent a part only), and the kernel has then taken entries out of
//! the group that it has not sent. So a send is given exactly what it is to take, and
//! after one that was cut the group is registered anew, with what is left.
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
use io_uring::{IoUring, opcode};
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
    /// In order.
    queue: VecDeque<Item>,
    queued_bytes: usize,
    /// Bytes, from the front of the queue on, that the send under way has and has not answered.
    sending_bytes: usize,
    /// A send was cut, or has failed: the group has entries that were taken and not sent.
    is_spoilt: bool,
}

struct Item {
    memory: Memory,
    /// Bytes of it that are sent.
    sent_bytes: u32,
    /// Bytes that are left.
    bytes: u32,
    /// Entries that it takes, at most.
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

    /// The group of a slot.
    fn group(&mut self, io: &IoUring, slot: Slot) -> Result<&mut Group, RingError> {
        let place = &mut self.groups[slot.index as usize];
        if place.is_none() {
            let offset = slot.index as usize * PAGE_BYTES;
            let page = self.pages.address().wrapping_add(offset);
            *place = Some(Box::new(Group {
                entries: register(io, slot, page)?,
                queue: VecDeque::new(),
                queued_bytes: 0,
                sending_bytes: 0,
                is_spoilt: false,
            }));
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

/// Registers a slot's group, of the entries in `page`, which are none.
fn register(io: &IoUring, slot: Slot, page: *mut u8) -> Result<Entries, RingError> {
    // SAFETY: the page is the slot's alone, holds `ENTRIES` entries, and is unmapped after the groups' use. Where a
    // group was there before, the kernel has let go of it.
    let entries = unsafe { Entries::over(page, ENTRIES) };
    let (submitter, number) = (io.submitter(), group_number(slot));
    // SAFETY: the page is aligned and stays mapped until the ring's descriptor is closed and nothing is in flight.
    let registered =
        unsafe { submitter.register_buf_ring_with_flags(page as u64, ENTRIES, number, 0) };
    registered.map_err(failed)?;
    Ok(entries)
}

fn failed(error: std::io::Error) -> RingError {
    RingError::Register(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

impl Group {
    /// Registers it anew, without the entries that were not sent.
    fn mend(&mut self, io: &IoUring, slot: Slot) -> Result<(), RingError> {
        let submitter = io.submitter();
        submitter
            .unregister_buf_ring(group_number(slot))
            .map_err(failed)?;
        self.entries = register(io, slot, self.entries.address() as *mut u8)?;
        self.is_spoilt = false;
        Ok(())
    }

    /// Lets the kernel have as much of the queue as there are entries for. It has none of it.
    fn give(&mut self, buffers: Option<&Buffers>, fixed: Option<&Fixed>) {
        let mut room = ENTRIES;
        for item in &self.queue {
            if item.pieces > room {
                break;
            }
            room -= item.pieces;
            self.sending_bytes += item.bytes as usize;
            let (entries, mut skipped) = (&mut self.entries, item.sent_bytes as usize);
            let mut give = |piece: &[u8]| {
                let (before, piece) = piece.split_at(skipped.min(piece.len()));
                skipped -= before.len();
                if !piece.is_empty() {
                    let position = entries.tail();
                    entries.give(piece.as_ptr() as u64, piece.len() as u32, position);
                }
            };
            match (&item.memory, buffers, fixed) {
                (Memory::Owned(bytes), ..) => give(bytes),
                (Memory::Lease(lease), Some(buffers), _) => buffers.pieces(lease).for_each(give),
                (Memory::Lease(lease), None, Some(fixed)) => give(fixed.bytes(lease)),
                (Memory::Lease(_), None, None) => unreachable!("a lease comes from buffers"),
            }
        }
        self.entries.publish();
    }

    /// Takes so many bytes off the front, and what they cover with their end.
    fn pop_covered(&mut self, bytes: &mut u32) -> Option<Memory> {
        let item = self.queue.front_mut().filter(|_| *bytes > 0)?;
        let covered = item.bytes.min(*bytes);
        item.sent_bytes += covered;
        item.bytes -= covered;
        *bytes -= covered;
        self.queued_bytes -= covered as usize;
        let is_sent = item.bytes == 0;
        is_sent.then(|| self.queue.pop_front().map(|item| item.memory))?
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
        group.queued_bytes += bytes as usize;
        group.queue.push_back(Item {
            memory,
            sent_bytes: 0,
            bytes,
            pieces,
        });
        Ok(())
    }

    /// Sends what is queued; [`crate::Event::Sent`] says what is left, which may have come since. One at a time on
    /// a slot.
    #[inline]
    pub fn send_queued(&mut self, slot: Slot) -> Result<(), RingError> {
        self.reserve(1)?;
        let group = self.send_groups.as_mut().and_then(|g| g.made(slot));
        let group = group
            .filter(|group| !group.queue.is_empty() && group.sending_bytes == 0)
            .ok_or(RingError::Misuse(
                "a slot sends what is queued, one send at a time",
            ))?;
        if group.is_spoilt {
            group.mend(&self.io, slot)?;
        }
        group.give(self.buffers.as_ref(), self.fixed.as_ref());
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

    fn pop_covered(&mut self, slot: Slot, bytes: &mut u32) -> Option<Memory> {
        self.send_groups.as_mut()?.made(slot)?.pop_covered(bytes)
    }

    /// What a completion of [`Ring::send_queued`] means.
    pub(crate) fn queued_sent(
        &mut self,
        slot: Slot,
        value: Result<u32, Errno>,
        shot: Shot,
    ) -> Option<Event> {
        let mut left = value.unwrap_or(0);
        let group = self.send_groups.as_mut()?.made(slot)?;
        group.sending_bytes = group.sending_bytes.saturating_sub(left as usize);
        while let Some(memory) = self.pop_covered(slot, &mut left) {
            if let Memory::Lease(lease) = memory {
                self.recycle(lease);
            }
        }
        if shot == Shot::Armed {
            return None;
        }
        let group = self.send_groups.as_mut()?.made(slot)?;
        group.is_spoilt |= group.sending_bytes > 0;
        group.sending_bytes = 0;
        let left_bytes = group.queued_bytes;
        Some(sent(slot, Sent::Queued { left_bytes }, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(page: &Mapping) -> Group {
        Group {
            // SAFETY: the page holds so many entries, and outlives the group in the tests.
            entries: unsafe { Entries::over(page.address(), ENTRIES) },
            queue: VecDeque::new(),
            queued_bytes: 0,
            sending_bytes: 0,
            is_spoilt: false,
        }
    }

    fn push(group: &mut Group, bytes: &[u8]) {
        group.queued_bytes += bytes.len();
        group.queue.push_back(Item {
            memory: Memory::Owned(bytes.to_vec()),
            sent_bytes: 0,
            bytes: bytes.len() as u32,
            pieces: 1,
        });
    }

    /// Bytes that entries name from `position` on.
    fn given(group: &Group, position: u16) -> Vec<usize> {
        (position..group.entries.tail())
            .map(|at| group.entries.at(at).1 as usize)
            .collect()
    }

    #[test]
    fn what_a_send_has_left_is_given_again_from_where_it_stopped() {
        let page = Mapping::new(PAGE_BYTES).unwrap();
        let mut group = group(&page);
        push(&mut group, &[1; 10]);
        push(&mut group, &[2; 20]);
        group.give(None, None);
        assert_eq!((given(&group, 0), group.sending_bytes), (vec![10, 20], 30));
        push(&mut group, &[3; 5]);
        let mut bytes = 13;
        assert!(
            matches!(group.pop_covered(&mut bytes), Some(Memory::Owned(first)) if first == [1; 10])
        );
        assert!(group.pop_covered(&mut bytes).is_none());
        assert_eq!((bytes, group.queued_bytes), (0, 22));
        group.sending_bytes = 0;
        group.give(None, None);
        assert_eq!((given(&group, 2), group.sending_bytes), (vec![17, 5], 22));
        let mut bytes = 22;
        assert!(group.pop_covered(&mut bytes).is_some());
        assert!(group.pop_covered(&mut bytes).is_some());
        assert!(group.pop_covered(&mut bytes).is_none());
        assert_eq!((bytes, group.queued_bytes), (0, 0));
    }

    #[test]
    fn a_send_takes_no_more_than_a_group_has_entries() {
        let page = Mapping::new(PAGE_BYTES).unwrap();
        let mut group = group(&page);
        for _ in 0..300 {
            push(&mut group, b"x");
        }
        group.give(None, None);
        assert_eq!((group.entries.tail(), group.sending_bytes), (ENTRIES, 256));
        let mut bytes = 256;
        while group.pop_covered(&mut bytes).is_some() {}
        group.sending_bytes = 0;
        group.give(None, None);
        assert_eq!((given(&group, 256).len(), group.sending_bytes), (44, 44));
    }
}

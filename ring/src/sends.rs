//! Sending leases other than by one copy of one whole buffer: without a copy, from a piece, from a bundle, from
//! registered memory.
//!
//! A send without a copy (Linux 6.0) completes twice. The first completion says that the bytes are in the
//! socket's queue, so that the next send may follow; the second that nobody reads the memory any more,
//! which is when the peer has acknowledged it. The lease stays the ring's own until then.

use crate::buffers::Lease;
use crate::event::{Event, Sent, Shot};
use crate::operations::{SEND_FLAGS, file, token};
use crate::ring::{Ring, RingError, sent};
use crate::token::{Operation, Slot, Token};
use io_uring::{cqueue, opcode, squeue};
use rustix::io::Errno;

/// What the sends without a copy have answered, where the lease comes back later.
#[derive(Default)]
pub(crate) struct ZeroCopy {
    /// Bytes of each send that was cut short, by what stands for its lease; the event waits for the lease.
    cut: Vec<Option<u32>>,
}

impl ZeroCopy {
    fn cut(&mut self, lent: u32, bytes: u32) {
        let at = lent as usize;
        if at >= self.cut.len() {
            self.cut.resize(at + 1, None);
        }
        self.cut[at] = Some(bytes);
    }

    fn take(&mut self, lent: u32) -> Option<u32> {
        self.cut.get_mut(lent as usize).and_then(Option::take)
    }
}

impl Ring {
    /// Sends a lease where [`Ring::send_lease`] has more to do than usual; room is reserved.
    pub(crate) fn send_lent(&mut self, slot: Slot, lease: Lease) -> Result<(), RingError> {
        if self.send_groups.is_some() {
            self.recycle(lease);
            return Err(RingError::Misuse("this ring's leases are queued"));
        }
        let (entry, lent) = if let Some(fixed) = &self.fixed {
            let place = fixed.send(&lease);
            let file = file(slot);
            let entry = if self.zero_copy.is_some() {
                opcode::SendZc::new(file, place.address, place.bytes)
                    .flags(SEND_FLAGS)
                    .buf_index(Some(place.region))
                    .build()
            } else {
                opcode::WriteFixed::new(file, place.address, place.bytes, place.region).build()
            };
            (entry, fixed.lend(&lease))
        } else {
            let lent = self.buffers().lend(&lease);
            (self.entry_of(slot, &lease), lent)
        };
        self.push(entry, token(Operation::SendLease, slot, lent));
        Ok(())
    }

    fn entry_of(&mut self, slot: Slot, lease: &Lease) -> squeue::Entry {
        let is_copied = self.zero_copy.is_none();
        let buffers = self.buffers();
        if let Some(message) = buffers.message(lease) {
            let flags = SEND_FLAGS as u32;
            return if is_copied {
                let send = opcode::SendMsg::new(file(slot), message);
                send.flags(flags).build()
            } else {
                let send = opcode::SendMsgZc::new(file(slot), message);
                send.flags(flags).build()
            };
        }
        let (address, bytes) = (buffers.address(lease), lease.bytes);
        if is_copied {
            let send = opcode::Send::new(file(slot), address, bytes);
            send.flags(SEND_FLAGS).build()
        } else {
            let send = opcode::SendZc::new(file(slot), address, bytes);
            send.flags(SEND_FLAGS).build()
        }
    }

    /// What a completion of [`Ring::send_lent`] means.
    pub(crate) fn lent_sent(
        &mut self,
        token: Token,
        value: Result<u32, Errno>,
        flags: u32,
        shot: Shot,
    ) -> Option<Event> {
        let (slot, lent) = (token.slot, token.attachment);
        if self.send_groups.is_some() {
            return self.queued_sent(slot, value, shot);
        }
        if cqueue::notif(flags) {
            let cut = self.zero_copy.as_mut().and_then(|sends| sends.take(lent));
            let lease = self.return_lease(lent);
            // Its event has been given, or waits for the rest of the lease to be sent again.
            return match cut {
                None => {
                    self.recycle(lease);
                    None
                }
                Some(bytes) => Some(sent(slot, Sent::Lease(lease), Ok(bytes))),
            };
        }
        if shot == Shot::Ended {
            let lease = self.return_lease(lent);
            return Some(sent(slot, Sent::Lease(lease), value));
        }
        let asked = self.lent_bytes(lent);
        match (value, &mut self.zero_copy) {
            (Ok(bytes), Some(sends)) if bytes < asked => {
                sends.cut(lent, bytes);
                None
            }
            // Not of this ring's doing, so that the lease is still to be sent.
            (Err(Errno::CANCELED), Some(sends)) => {
                sends.cut(lent, 0);
                None
            }
            _ => Some(sent(slot, Sent::Lent, value)),
        }
    }

    /// Sends what a send has left of a lease: all but its first `sent_bytes`.
    pub fn send_rest(
        &mut self,
        slot: Slot,
        lease: Lease,
        sent_bytes: usize,
    ) -> Result<(), RingError> {
        if let Some(fixed) = &mut self.fixed {
            let rest = fixed.skip(lease, sent_bytes as u32);
            return self.send_lease(slot, rest);
        }
        let mut rest = Vec::with_capacity(lease.bytes().saturating_sub(sent_bytes));
        self.append(&lease, sent_bytes, &mut rest);
        self.recycle(lease);
        self.send_owned(slot, rest)
    }

    /// Appends what a lease holds, all but its first `skipped_bytes`, to `bytes`.
    pub fn append(&self, lease: &Lease, skipped_bytes: usize, bytes: &mut Vec<u8>) {
        let Some(buffers) = &self.buffers else {
            bytes.extend_from_slice(&self.bytes(lease)[skipped_bytes..]);
            return;
        };
        let mut skipped = skipped_bytes;
        for piece in buffers.pieces(lease) {
            let from = skipped.min(piece.len());
            bytes.extend_from_slice(&piece[from..]);
            skipped -= from;
        }
    }

    fn return_lease(&mut self, lent: u32) -> Lease {
        match &self.fixed {
            Some(fixed) => fixed.return_lease(lent),
            None => self.buffers().return_lease(lent),
        }
    }
}

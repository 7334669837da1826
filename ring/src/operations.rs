//! The requests that a ring makes, each with the memory that it names.

use crate::buffers::{Buffers, Lease};
use crate::ring::{Ring, RingError};
use crate::token::{ATTACHMENTS_MAX, Operation, Slot, Token};
use io_uring::types::{CancelBuilder, DestinationSlot, Fd, Fixed, Timespec};
use io_uring::{opcode, squeue};
use rustix::io::Errno;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// A socket option switched on. Constant, because the kernel may read it after the request was taken.
pub(crate) static ONE: i32 = 1;

/// Close by a reset. Constant for the same reason.
static LINGER_RESET: libc::linger = libc::linger {
    l_onoff: 1,
    l_linger: 0,
};

/// Of a receive that is made only when there is data to be had.
const RECEIVE_READY_FLAGS: i32 = libc::MSG_DONTWAIT;
/// The attachment of such a receive: the buffers that it takes.
const CLAIM: u32 = 1;
/// What a slot is polled for. Not for room to send: every ACK would wake it.
const POLL_MASK: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;
pub(crate) const HUNG_UP_MASK: u32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;

const RECVSEND_POLL_FIRST: u16 = 1 << 0;
const RECV_MULTISHOT: u16 = 1 << 1;
pub(crate) const RECVSEND_BUNDLE: u16 = 1 << 4;
const BUFFER_GROUP: u16 = 0;
/// No slot: for requests that are about no direct descriptor.
const NO_SLOT: Slot = Slot {
    index: 0,
    generation: 0,
};
pub(crate) const SEND_FLAGS: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// A socket address in the kernel's form.
#[repr(C)]
pub(crate) union Address {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Heap bytes that the kernel reads from, until it is done.
#[derive(Default)]
pub(crate) struct OwnedSends {
    sends: Vec<Option<Vec<u8>>>,
    free: Vec<u32>,
}

impl OwnedSends {
    fn keep(&mut self, bytes: Vec<u8>) -> Option<u32> {
        let at = match self.free.pop() {
            Some(at) => at,
            None if self.sends.len() < ATTACHMENTS_MAX as usize => {
                self.sends.push(None);
                self.sends.len() as u32 - 1
            }
            None => return None,
        };
        self.sends[at as usize] = Some(bytes);
        Some(at)
    }

    /// Takes the bytes back at their terminal completion.
    pub(crate) fn take(&mut self, at: u32) -> Vec<u8> {
        self.free.push(at);
        self.sends[at as usize]
            .take()
            .expect("one completion a send")
    }
}

impl Ring {
    /// Accepts every connection of `listener` into free slots until the table is full, which drops
    /// the connection that finds no slot (`ENFILE`): see [`Ring::accept_once`].
    pub fn accept_multishot(&mut self, listener: BorrowedFd<'_>) -> Result<(), RingError> {
        self.reserve(1)?;
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd()))
            .allocate_file_index(self.has_table)
            .flags(self.accept_flags());
        self.push(entry.build(), accept_token());
        Ok(())
    }

    /// What an accept asks for: a descriptor of the process is not to outlive an `exec`, and one of the table
    /// cannot.
    fn accept_flags(&self) -> i32 {
        if self.has_table {
            0
        } else {
            libc::SOCK_CLOEXEC
        }
    }

    /// Accepts one connection into a free slot.
    pub fn accept_once(&mut self, listener: BorrowedFd<'_>) -> Result<(), RingError> {
        self.reserve(1)?;
        let null = std::ptr::null_mut();
        let entry = opcode::Accept::new(Fd(listener.as_raw_fd()), null, null.cast())
            .file_index(self.has_table.then(DestinationSlot::auto_target))
            .flags(self.accept_flags());
        self.push(entry.build(), accept_token());
        Ok(())
    }

    /// Cancels every accept; each one that was still waiting ends with `ECANCELED`.
    pub fn cancel_accepts(&mut self) -> Result<(), RingError> {
        self.reserve(1)?;
        let cancel = CancelBuilder::user_data(accept_token().pack()).all();
        self.push(
            opcode::AsyncCancel2::new(cancel).build(),
            cancel_token(NO_SLOT),
        );
        Ok(())
    }

    /// Receives into provided buffers: many times if the kernel can, else once ([`crate::Shot`]).
    ///
    /// The first attempt is made when the socket becomes readable, not at once.
    #[inline]
    pub fn receive(&mut self, slot: Slot) -> Result<(), RingError> {
        self.push_receive(slot, self.multishot() | RECVSEND_POLL_FIRST, 0)
    }

    /// The same on a slot that is known to have data: the first attempt is made at once.
    #[inline]
    pub fn receive_now(&mut self, slot: Slot) -> Result<(), RingError> {
        self.push_receive(slot, self.multishot(), 0)
    }

    /// What asks for many receives, where the kernel can, and for bundles, where those are wanted.
    #[inline]
    fn multishot(&self) -> u16 {
        if self.has_receive_multishot {
            RECV_MULTISHOT | self.bundle_flag
        } else {
            self.bundle_flag
        }
    }

    /// Receives what is there, once and without waiting: `EAGAIN` if that is nothing. A request that
    /// cannot wait takes no memory of its own past the call.
    #[inline]
    pub fn receive_ready(&mut self, slot: Slot) -> Result<(), RingError> {
        self.push_receive(slot, 0, RECEIVE_READY_FLAGS)?;
        self.claimed += CLAIM;
        Ok(())
    }

    /// Receives once into a provided buffer, when the socket becomes readable.
    #[inline]
    pub fn receive_once(&mut self, slot: Slot) -> Result<(), RingError> {
        self.push_receive(slot, RECVSEND_POLL_FIRST, 0)
    }

    #[inline]
    fn push_receive(&mut self, slot: Slot, priority: u16, flags: i32) -> Result<(), RingError> {
        if self.buffers.is_none() {
            return self.receive_fixed(slot);
        }
        self.reserve(1)?;
        let entry = opcode::Recv::new(file(slot), std::ptr::null_mut(), 0)
            .ioprio(priority)
            .flags(flags)
            .buf_group(BUFFER_GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        let claim = if flags == RECEIVE_READY_FLAGS {
            CLAIM
        } else {
            0
        };
        self.push(entry, token(Operation::Receive, slot, claim));
        Ok(())
    }

    /// Cancels the receive of a slot; it ends with `ECANCELED`, or with what it had got. Sends go on.
    ///
    /// The kernel walks a table of at most 256 chains for it: for the rare case, not the hot path.
    pub fn cancel_receive(&mut self, slot: Slot) -> Result<(), RingError> {
        self.cancel(Operation::Receive, slot)
    }

    fn cancel(&mut self, operation: Operation, slot: Slot) -> Result<(), RingError> {
        self.reserve(1)?;
        let cancel = CancelBuilder::user_data(token(operation, slot, 0).pack());
        self.push(
            opcode::AsyncCancel2::new(cancel).build(),
            cancel_token(slot),
        );
        Ok(())
    }

    /// Waits for data on a slot, once; answered by [`crate::Event::Ready`].
    ///
    /// It costs the kernel one request (256 B), a third of what a receive that waits takes. What is
    /// there when it is armed counts.
    #[inline]
    pub fn poll_once(&mut self, slot: Slot) -> Result<(), RingError> {
        self.push_poll(slot, false)
    }

    /// The same many times: [`crate::Event::Ready`] whenever something has *come*. What is left in the
    /// socket after one is not told again, so receive until [`Lease::has_more`] denies it.
    #[inline]
    pub fn poll_multishot(&mut self, slot: Slot) -> Result<(), RingError> {
        self.push_poll(slot, true)
    }

    #[inline]
    fn push_poll(&mut self, slot: Slot, is_multishot: bool) -> Result<(), RingError> {
        self.reserve(1)?;
        let entry = opcode::PollAdd::new(file(slot), POLL_MASK).multi(is_multishot);
        self.push(entry.build(), token(Operation::PollSlot, slot, 0));
        Ok(())
    }

    /// Cancels the poll of a slot; it ends with `ECANCELED`, or with what it had found. What it costs is
    /// said at [`Ring::cancel_receive`].
    pub fn cancel_poll(&mut self, slot: Slot) -> Result<(), RingError> {
        self.cancel(Operation::PollSlot, slot)
    }

    /// Answers with [`crate::Event::Elapsed`] once `time` has passed.
    ///
    /// One at a time: the time is kept in one place until the kernel has taken the request.
    pub fn elapse(&mut self, time: Duration, key: u32) -> Result<(), RingError> {
        if key >= ATTACHMENTS_MAX {
            return Err(RingError::Misuse("a key has at most 24 bits"));
        }
        self.reserve(1)?;
        *self.timer = Timespec::from(time);
        let entry = opcode::Timeout::new(&raw const *self.timer);
        self.push(entry.build(), token(Operation::Timer, NO_SLOT, key));
        Ok(())
    }

    /// What a lease holds, which is in one piece.
    ///
    /// # Panics
    /// It may be in several where bundles are received: [`Ring::append`] takes any.
    pub fn bytes(&self, lease: &Lease) -> &[u8] {
        match (&self.buffers, &self.fixed) {
            (Some(buffers), _) => buffers.bytes(lease),
            (None, Some(fixed)) => fixed.bytes(lease),
            (None, None) => unreachable!("a lease comes from buffers"),
        }
    }

    /// Gives a buffer back to the kernel.
    #[inline]
    pub fn recycle(&mut self, lease: Lease) {
        match (&mut self.buffers, &mut self.fixed) {
            (Some(buffers), _) => buffers.recycle(lease),
            (None, Some(fixed)) => fixed.recycle(lease),
            (None, None) => unreachable!("a lease comes from buffers"),
        }
    }

    /// The provided buffers, of a ring that has given a lease of them.
    pub(crate) fn buffers(&mut self) -> &mut Buffers {
        self.buffers.as_mut().expect("a lease comes from buffers")
    }

    /// Bytes of a lease that is being sent.
    pub(crate) fn lent_bytes(&self, lent: u32) -> u32 {
        match (&self.buffers, &self.fixed) {
            (Some(buffers), _) => buffers.lent_bytes(lent),
            (None, Some(fixed)) => fixed.lent_bytes(lent),
            (None, None) => 0,
        }
    }

    /// Buffers that the kernel can pick from, and all that there are: none, where each slot has its own.
    #[inline]
    pub fn buffers_free(&self) -> (u16, u16) {
        self.buffers
            .as_ref()
            .map_or((0, 0), |buffers| (buffers.free(), buffers.count()))
    }

    /// Buffers that would be left if every [`Ring::receive_ready`] under way took one. A batch of those
    /// that is larger would starve its last ones.
    #[inline]
    pub fn buffers_unclaimed(&self) -> u32 {
        u32::from(self.buffers_free().0).saturating_sub(self.claimed)
    }

    /// Sends all of a received buffer; it comes back with [`crate::Event::Sent`].
    #[inline]
    pub fn send_lease(&mut self, slot: Slot, lease: Lease) -> Result<(), RingError> {
        self.reserve(1)?;
        if !self.has_plain_sends {
            return self.send_lent(slot, lease);
        }
        let buffers = self.buffers.as_ref().expect("a lease comes from buffers");
        let address = buffers.address(&lease);
        let entry = opcode::Send::new(file(slot), address, lease.bytes).flags(SEND_FLAGS);
        self.push(
            entry.build(),
            token(Operation::SendLease, slot, u32::from(lease.buffer)),
        );
        Ok(())
    }

    /// Sends heap bytes; they come back with [`crate::Event::Sent`]. At most 4 GiB.
    pub fn send_owned(&mut self, slot: Slot, bytes: Vec<u8>) -> Result<(), RingError> {
        self.reserve(1)?;
        let length = u32::try_from(bytes.len())
            .map_err(|_| RingError::Misuse("a send takes at most 4 GiB"))?;
        let address = bytes.as_ptr();
        let at = self.owned_sends.keep(bytes).ok_or(RingError::Misuse(
            "more than 16,777,216 heap sends in flight",
        ))?;
        let entry = opcode::Send::new(file(slot), address, length).flags(SEND_FLAGS);
        self.push(entry.build(), token(Operation::SendOwned, slot, at));
        Ok(())
    }

    /// Sends a range of the pattern. Answers only if it fails: success shows by what the peer does.
    ///
    /// Two of these in flight on one connection may be sent in either order: see
    /// [`Ring::send_pattern_answered`].
    #[inline]
    pub fn send_pattern(&mut self, slot: Slot, range: Range<usize>) -> Result<(), RingError> {
        let entry = self
            .pattern_send(slot, range)?
            .flags(squeue::Flags::SKIP_SUCCESS);
        self.push_unanswered(entry, token(Operation::SendPattern, slot, 0));
        Ok(())
    }

    /// Sends a range of the pattern; answered by [`crate::Event::Sent`], so that the next one can wait for it.
    #[inline]
    pub fn send_pattern_answered(
        &mut self,
        slot: Slot,
        range: Range<usize>,
    ) -> Result<(), RingError> {
        let entry = self.pattern_send(slot, range)?;
        self.push(entry, token(Operation::SendPatternAnswered, slot, 0));
        Ok(())
    }

    #[inline]
    fn pattern_send(
        &mut self,
        slot: Slot,
        range: Range<usize>,
    ) -> Result<squeue::Entry, RingError> {
        self.reserve(1)?;
        let bytes = self
            .pattern
            .as_ref()
            .and_then(|pattern| pattern.get(range))
            .ok_or(RingError::Misuse("the range lies outside the pattern"))?;
        let send = opcode::Send::new(file(slot), bytes.as_ptr(), bytes.len() as u32);
        Ok(send.flags(SEND_FLAGS).build())
    }

    fn close_entry(&self, slot: Slot) -> squeue::Entry {
        if self.has_table {
            opcode::Close::new(Fixed(slot.index)).build()
        } else {
            opcode::Close::new(file(slot)).build()
        }
    }

    /// Closes a slot. A request that still waits on it keeps the socket open: end those first.
    pub fn close(&mut self, slot: Slot) -> Result<(), RingError> {
        self.reserve(1)?;
        let entry = self.close_entry(slot);
        self.push(entry, token(Operation::Close, slot, 0));
        Ok(())
    }

    /// Closes a slot by a reset: the peer is told at once, and neither side keeps anything (no
    /// TIME_WAIT). Where the ring cannot set socket options (before 6.11) this is a plain close.
    ///
    /// A receive that is armed on it must be ended first, by [`Ring::cancel_receive`].
    pub fn reset(&mut self, slot: Slot) -> Result<(), RingError> {
        self.reserve(2)?;
        if self.has_ring_sockets {
            let value: *const libc::linger = &LINGER_RESET;
            let option = opcode::SetSockOpt::new(
                file(slot),
                libc::SOL_SOCKET as u32,
                libc::SO_LINGER as u32,
                value.cast(),
                size_of::<libc::linger>() as u32,
            );
            // Linked hard: a connection whose option is refused is closed all the same.
            let flags = squeue::Flags::IO_HARDLINK | squeue::Flags::SKIP_SUCCESS;
            self.push_unanswered(
                option.build().flags(flags),
                token(Operation::Linger, slot, 0),
            );
        }
        let entry = self.close_entry(slot);
        self.push(entry, token(Operation::Close, slot, 0));
        Ok(())
    }

    /// Watches a descriptor until it is readable, once; answered by [`crate::Event::Readable`].
    pub fn watch(&mut self, descriptor: BorrowedFd<'_>, key: u32) -> Result<(), RingError> {
        if key >= ATTACHMENTS_MAX {
            return Err(RingError::Misuse("a key has at most 24 bits"));
        }
        self.reserve(1)?;
        let entry = opcode::PollAdd::new(Fd(descriptor.as_raw_fd()), libc::POLLIN as u32);
        self.push(entry.build(), token(Operation::Poll, NO_SLOT, key));
        Ok(())
    }

    /// Watches the event by which the rings of a set signal this one, once; see [`Ring::take_wake`].
    pub(crate) fn watch_for_wake(&mut self, event: BorrowedFd<'_>) -> Result<(), RingError> {
        self.reserve(1)?;
        let entry = opcode::PollAdd::new(Fd(event.as_raw_fd()), libc::POLLIN as u32);
        self.push(entry.build(), token(Operation::Wake, NO_SLOT, 0));
        Ok(())
    }

    /// Puts an open descriptor into a slot.
    pub(crate) fn install(&mut self, slot: Slot, descriptor: RawFd) -> Result<(), Errno> {
        self.io
            .submitter()
            .register_files_update(slot.index, &[descriptor])
            .map(drop)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    /// Keeps an address until the kernel has taken the request that names it.
    pub(crate) fn keep_address(
        &mut self,
        address: SocketAddr,
    ) -> (*const libc::sockaddr, libc::socklen_t) {
        debug_assert!(
            self.addresses.len() < self.addresses.capacity(),
            "must not move"
        );
        let (kept, length) = match address {
            SocketAddr::V4(v4) => {
                let v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: v4.ip().to_bits().to_be(),
                    },
                    sin_zero: [0; 8],
                };
                (Address { v4 }, size_of::<libc::sockaddr_in>())
            }
            SocketAddr::V6(v6) => {
                let v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr {
                        s6_addr: v6.ip().octets(),
                    },
                    sin6_scope_id: v6.scope_id(),
                };
                (Address { v6 }, size_of::<libc::sockaddr_in6>())
            }
        };
        self.addresses.push(kept);
        let pointer: *const Address = self.addresses.last().expect("just pushed");
        (pointer.cast(), length as libc::socklen_t)
    }
}

/// The file of a slot: its place in the table, or the process's descriptor of that number. Which of the two it
/// is, [`Ring::push_entry`] says in the entry's flags.
pub(crate) fn file(slot: Slot) -> Fd {
    Fd(slot.index as i32)
}

pub(crate) fn token(operation: Operation, slot: Slot, attachment: u32) -> Token {
    Token {
        operation,
        slot,
        attachment,
    }
}

fn accept_token() -> Token {
    token(Operation::Accept, NO_SLOT, 0)
}

fn cancel_token(slot: Slot) -> Token {
    token(Operation::Cancel, slot, 0)
}

//! The ring itself: queueing, entering the kernel, and taking completions apart.

use crate::buffers::Buffers;
use crate::connect::{ConnectFailure, ConnectStep, last_errno};
use crate::event::{Event, Readiness, Received, Sent, Shot};
use crate::feature::FeatureGrant;
use crate::fixed::Fixed;
use crate::operations::{Address, HUNG_UP_MASK, OwnedSends};
use crate::plain::PlainDescriptors;
use crate::send_groups::SendGroups;
use crate::sends::ZeroCopy;
use crate::token::{Operation, SLOTS_MAX, Slot, Token};
use io_uring::types::Timespec;
use io_uring::{IoUring, cqueue, squeue};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

const ENTER_GETEVENTS: u32 = 1 << 0;
const ENTER_SQ_WAKEUP: u32 = 1 << 1;
const ENTER_SQ_WAIT: u32 = 1 << 2;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;

/// When a wait for several completions ends in any case, with none.
const GATHERING_END: Duration = Duration::from_secs(3600);

/// One io_uring instance with a table of direct descriptors and, if asked for, provided buffers.
///
/// Belongs to the thread that made it.
pub struct Ring {
    /// Closed before anything below is freed: fields drop in order.
    pub(crate) io: IoUring,
    pub(crate) registered_index: Option<u32>,
    pub(crate) buffers: Option<Buffers>,
    /// Registered buffers, where there are no provided ones.
    pub(crate) fixed: Option<Fixed>,
    /// Leases are sent without a copy.
    pub(crate) zero_copy: Option<ZeroCopy>,
    /// What slots have queued, where sends are bundles.
    pub(crate) send_groups: Option<SendGroups>,
    /// A lease is a whole buffer, and is sent as a copy.
    pub(crate) has_plain_sends: bool,
    /// What asks for several buffers a receive.
    pub(crate) bundle_flag: u16,
    /// Buffers that receives which do not wait will take, if there is data for all of them.
    pub(crate) claimed: u32,
    pub(crate) owned_sends: OwnedSends,
    pub(crate) pattern: Option<Arc<[u8]>>,
    /// Socket addresses of queued requests; the kernel copies them when it takes the request.
    pub(crate) addresses: Vec<Address>,
    /// The time of a queued [`Ring::elapse`]; the kernel copies it likewise.
    pub(crate) timer: Box<Timespec>,
    pub(crate) generations: Box<[u16]>,
    pub(crate) grants: Vec<FeatureGrant>,
    pub(crate) has_receive_multishot: bool,
    pub(crate) has_ring_sockets: bool,
    /// Slots are places in a table of the ring's own; otherwise they are the process's descriptors.
    pub(crate) has_table: bool,
    /// The descriptors that are slots, where there is no table.
    pub(crate) plain: PlainDescriptors,
    /// A kernel thread takes submissions.
    pub(crate) is_polled: bool,
    /// For how long a wait for several completions insists on them, before one is enough.
    pub(crate) gathering_us: u32,
    /// Requests that will answer and have not.
    pub(crate) outstanding: u64,
    /// Whether a request that answers only on failure may still be in the kernel.
    pub(crate) has_unanswered: bool,
    /// Answers that came from a system call and not from the kernel's queue.
    pub(crate) early_events: VecDeque<Event>,
    pub(crate) counters: RingCounters,
    /// Another ring of the set has signalled.
    pub(crate) is_woken: bool,
}

/// What a ring has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCounters {
    /// Calls of `io_uring_enter`.
    pub enters: u64,
    /// Completions taken from the queue.
    pub completions: u64,
    /// Receives that ended for want of a buffer.
    pub no_buffers: u64,
    /// Times that completions were found to have overflowed the queue.
    pub overflows: u64,
    /// Completions for an earlier user of their slot.
    pub stale: u64,
}

impl RingCounters {
    pub(crate) fn add(&mut self, other: Self) {
        self.enters += other.enters;
        self.completions += other.completions;
        self.no_buffers += other.no_buffers;
        self.overflows += other.overflows;
        self.stale += other.stale;
    }

    pub(crate) fn subtract(&mut self, other: Self) {
        self.enters -= other.enters;
        self.completions -= other.completions;
        self.no_buffers -= other.no_buffers;
        self.overflows -= other.overflows;
        self.stale -= other.stale;
    }
}

/// A ring that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The kernel refused to take or give.
    #[error("io_uring_enter failed: {}", crate::errno::name(*.0))]
    Enter(Errno),
    /// The kernel takes no more requests.
    #[error("the submission queue stays full: the kernel takes no request (out of memory?)")]
    Stuck,
    /// Memory could not be registered because it would be locked.
    #[error("registering buffers: ENOMEM: what is registered is locked, and RLIMIT_MEMLOCK is {}: raise it with `ulimit -l`", .limit.map_or("unlimited".to_owned(), |bytes| format!("{bytes} bytes")))]
    Locked {
        /// The limit, in bytes.
        limit: Option<u64>,
    },
    /// Memory could not be registered.
    #[error("io_uring_register: {}", crate::errno::name(*.0))]
    Register(Errno),
    /// The slot, buffer or range is not this ring's.
    #[error("{0}")]
    Misuse(&'static str),
}

/// The most slots that a table may have here: RLIMIT_NOFILE's soft limit, and 2^20.
pub fn table_slots_max() -> u32 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(SLOTS_MAX, |limit| {
        u32::try_from(limit).unwrap_or(SLOTS_MAX).min(SLOTS_MAX)
    })
}

#[repr(C)]
struct GetEventsArgument {
    signal_mask: u64,
    signal_mask_bytes: u32,
    minimum_wait_us: u32,
    timeout: u64,
}

impl Ring {
    /// Which features were asked for, and which were granted.
    pub fn grants(&self) -> &[FeatureGrant] {
        &self.grants
    }

    /// The present user of a place in the table.
    #[inline]
    pub fn slot(&self, index: u32) -> Slot {
        let generation = self.generations[index as usize];
        Slot { index, generation }
    }

    /// What has been counted.
    pub fn counters(&self) -> RingCounters {
        self.counters
    }

    /// Slots of the table.
    pub fn slots(&self) -> u32 {
        self.generations.len() as u32
    }

    /// Requests that will answer and have not.
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// Whether there is something to submit or to take without waiting.
    pub fn has_work(&mut self) -> bool {
        let queue = self.io.submission();
        if !queue.is_empty() || queue.taskrun() || queue.cq_overflow() {
            return true;
        }
        drop(queue);
        self.has_events()
    }

    /// Whether another ring of the set has signalled since the last call.
    #[inline]
    pub(crate) fn take_wake(&mut self) -> bool {
        std::mem::take(&mut self.is_woken)
    }

    /// Whether an event can be taken now.
    pub fn has_events(&mut self) -> bool {
        !self.early_events.is_empty() || !self.io.completion().is_empty()
    }

    /// Submits what is queued, runs what waits to be run, and waits until `want` completions are there.
    ///
    /// Returns early when `timeout` is over, when a signal came, or when completions must be taken
    /// first; none of these is an error.
    pub fn enter(&mut self, want: u32, timeout: Option<Duration>) -> Result<(), RingError> {
        if let Some(buffers) = &mut self.buffers {
            buffers.publish();
        }
        let want = if self.early_events.is_empty() {
            want
        } else {
            0
        };
        let queue = self.io.submission();
        let queued = queue.len() as u32;
        let has_overflowed = queue.cq_overflow();
        drop(queue);
        self.counters.overflows += u64::from(has_overflowed);
        let mut flags = ENTER_GETEVENTS;
        if self.is_polled {
            flags |= self.polling_flags();
            if want == 0 && flags == ENTER_GETEVENTS && !has_overflowed {
                return Ok(());
            }
        }
        self.counters.enters += 1;
        let result = self.enter_raw(queued, want, timeout, flags);
        if self.io.submission().is_empty() {
            self.addresses.clear();
        }
        match result {
            Ok(()) | Err(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN) => Ok(()),
            Err(errno) => Err(RingError::Enter(errno)),
        }
    }

    /// What has to be said to the kernel thread that takes submissions: to wake up, if it sleeps, and to make
    /// room, if it is behind.
    fn polling_flags(&mut self) -> u32 {
        // The thread says that it sleeps and then looks at the queue once more; here it is the other way round,
        // and neither may be seen before the other.
        fence(Ordering::SeqCst);
        let queue = self.io.submission();
        let wakes = if queue.need_wakeup() {
            ENTER_SQ_WAKEUP
        } else {
            0
        };
        let waits = if queue.is_full() { ENTER_SQ_WAIT } else { 0 };
        wakes | waits
    }

    fn enter_raw(
        &self,
        queued: u32,
        want: u32,
        timeout: Option<Duration>,
        flags: u32,
    ) -> Result<(), Errno> {
        let minimum_wait_us = if want > 1 { self.gathering_us } else { 0 };
        // Without an end to the whole wait, the least time would be its end.
        let timeout = timeout.or((minimum_wait_us > 0).then_some(GATHERING_END));
        let time =
            timeout.map(|timeout| [timeout.as_secs() as i64, i64::from(timeout.subsec_nanos())]);
        let argument = (time.is_some() || minimum_wait_us > 0).then(|| GetEventsArgument {
            signal_mask: 0,
            signal_mask_bytes: 0,
            minimum_wait_us,
            timeout: time.as_ref().map_or(0, |time| time.as_ptr() as u64),
        });
        self.enter_with(queued, want, flags, argument.as_ref())
    }

    fn enter_with(
        &self,
        queued: u32,
        want: u32,
        mut flags: u32,
        argument: Option<&GetEventsArgument>,
    ) -> Result<(), Errno> {
        let descriptor = match self.registered_index {
            Some(index) => {
                flags |= ENTER_REGISTERED_RING;
                index as i32
            }
            None => self.io.as_raw_fd(),
        };
        let (pointer, bytes) = match argument {
            Some(argument) => {
                flags |= ENTER_EXT_ARG;
                (
                    std::ptr::from_ref(argument).cast::<libc::c_void>(),
                    size_of::<GetEventsArgument>(),
                )
            }
            None => (std::ptr::null(), 0),
        };
        // SAFETY: the argument and the timespec that it points to live until the call returns, which
        // is as long as the kernel reads them. What the queued requests point to is owned by `self`
        // (buffers, heap sends, pattern, addresses) or is constant, see `operations`.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                descriptor,
                queued,
                want,
                flags,
                pointer,
                bytes,
            )
        };
        if result < 0 {
            Err(last_errno())
        } else {
            Ok(())
        }
    }

    /// Has a wait for several completions insist on them for so long, and be content with one after it: at most
    /// 71 minutes. Says whether the kernel can (Linux 6.12); if not, a wait is as before.
    pub fn gather(&mut self, time: Duration) -> Result<bool, RingError> {
        self.gathering_us = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        // An older kernel takes the time for padding, which has to be 0. Nothing waits: nothing is asked for.
        let argument = GetEventsArgument {
            signal_mask: 0,
            signal_mask_bytes: 0,
            minimum_wait_us: self.gathering_us,
            timeout: 0,
        };
        match self.enter_with(0, 0, ENTER_GETEVENTS, Some(&argument)) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL) => {
                self.gathering_us = 0;
                Ok(false)
            }
            Err(errno) => Err(RingError::Enter(errno)),
        }
    }

    /// Makes room for `count` requests that must be submitted together.
    pub(crate) fn reserve(&mut self, count: usize) -> Result<(), RingError> {
        const ATTEMPTS: u32 = 64;
        for _ in 0..ATTEMPTS {
            let queue = self.io.submission();
            if queue.capacity() - queue.len() >= count {
                return Ok(());
            }
            drop(queue);
            self.enter(0, None)?;
        }
        Err(RingError::Stuck)
    }

    /// Queues a request that will answer; room must have been reserved.
    #[inline]
    pub(crate) fn push(&mut self, entry: squeue::Entry, token: Token) {
        self.outstanding += 1;
        self.push_entry(entry, token);
    }

    /// Queues a request that answers only if it fails; room must have been reserved.
    #[inline]
    pub(crate) fn push_unanswered(&mut self, entry: squeue::Entry, token: Token) {
        self.has_unanswered = true;
        self.push_entry(entry, token);
    }

    #[inline]
    fn push_entry(&mut self, entry: squeue::Entry, token: Token) {
        let entry = entry.user_data(token.pack());
        let entry = if self.has_table && token.operation.is_of_slot() {
            entry.flags(squeue::Flags::FIXED_FILE)
        } else {
            entry
        };
        // SAFETY: every caller in this crate builds entries from memory that the ring owns until the
        // terminal completion, or that the kernel copies when it takes the entry (addresses), or that
        // is constant for the life of the process.
        let pushed = unsafe { self.io.submission().push(&entry) };
        assert!(pushed.is_ok(), "room was reserved");
    }

    /// Starts a new life of a slot: completions for earlier ones are dropped from now on.
    pub(crate) fn begin_slot(&mut self, index: u32) -> Slot {
        let generation = &mut self.generations[index as usize];
        *generation = generation.wrapping_add(1);
        Slot {
            index,
            generation: *generation,
        }
    }

    pub(crate) fn pending_failure(&mut self, slot: Slot, failure: ConnectFailure) {
        let result = Err(failure);
        self.early_events
            .push_back(Event::Connected { slot, result });
    }

    /// The next event that is there without waiting.
    #[inline]
    pub fn pop(&mut self) -> Option<Event> {
        if !self.early_events.is_empty() {
            return self.early_events.pop_front();
        }
        loop {
            let entry = self.io.completion().next()?;
            self.counters.completions += 1;
            if let Some(event) = self.decode(&entry) {
                return Some(event);
            }
        }
    }

    fn decode(&mut self, entry: &cqueue::Entry) -> Option<Event> {
        let token = Token::unpack(entry.user_data())?;
        let shot = if cqueue::more(entry.flags()) {
            Shot::Armed
        } else {
            Shot::Ended
        };
        let is_quiet = matches!(token.operation, Operation::SendPattern | Operation::Linger);
        if !is_quiet && shot == Shot::Ended {
            self.outstanding -= 1;
        }
        let slot = token.slot;
        let is_stale = match token.operation {
            Operation::Accept
            | Operation::Poll
            | Operation::Cancel
            | Operation::Wake
            | Operation::Timer => false,
            _ => self.generations[slot.index as usize] != slot.generation,
        };
        let event = self.event_of(token, entry, shot)?;
        if is_stale {
            self.counters.stale += 1;
            self.reclaim(event);
            return None;
        }
        Some(event)
    }

    /// Takes back what a dropped event holds.
    fn reclaim(&mut self, event: Event) {
        match event {
            Event::Received {
                result: Ok(Received::Data(lease)),
                ..
            }
            | Event::Sent {
                memory: Sent::Lease(lease),
                ..
            } => self.recycle(lease),
            _ => {}
        }
    }

    fn event_of(&mut self, token: Token, entry: &cqueue::Entry, shot: Shot) -> Option<Event> {
        let slot = token.slot;
        let value = result_of(entry.result());
        match token.operation {
            Operation::Receive => {
                self.claimed -= token.attachment;
                Some(self.received(slot, value, entry.flags(), shot))
            }
            Operation::SendLease if !self.has_plain_sends => {
                self.lent_sent(token, value, entry.flags(), shot)
            }
            Operation::SendLease => {
                let buffers = self.buffers.as_ref()?;
                let lease = buffers.return_whole(token.attachment as u16);
                Some(sent(slot, Sent::Lease(lease), value))
            }
            Operation::SendOwned => {
                let bytes = self.owned_sends.take(token.attachment);
                Some(sent(slot, Sent::Owned(bytes), value))
            }
            Operation::SendPattern | Operation::SendPatternAnswered => {
                Some(sent(slot, Sent::Pattern, value))
            }
            Operation::Connect => Some(Self::connected(token, value)),
            Operation::Accept => {
                let result = value.and_then(|index| self.accepted(index));
                Some(Event::Accepted { result, shot })
            }
            Operation::Close => {
                if value.is_ok() {
                    self.plain.closed(slot.index);
                }
                let result = value.map(|_| ());
                Some(Event::Closed { slot, result })
            }
            Operation::Poll => Some(Event::Readable {
                key: token.attachment,
                shot,
            }),
            Operation::PollSlot => {
                let result = value.map(readiness);
                Some(Event::Ready { slot, result, shot })
            }
            Operation::Timer => Some(Event::Elapsed {
                key: token.attachment,
            }),
            Operation::Cancel | Operation::Linger => None,
            Operation::Wake => {
                self.is_woken = true;
                None
            }
        }
    }

    /// The slot of what was accepted. A descriptor beyond the slots that the ring was asked for is closed.
    fn accepted(&mut self, index: u32) -> Result<Slot, Errno> {
        if !self.has_table {
            self.plain.open(index);
            if index >= self.slots() {
                self.plain.close(index);
                return Err(Errno::MFILE);
            }
        }
        Ok(self.begin_slot(index))
    }

    #[inline]
    fn received(&mut self, slot: Slot, value: Result<u32, Errno>, flags: u32, shot: Shot) -> Event {
        let buffer = cqueue::buffer_select(flags);
        let result = match (value, buffer, &mut self.buffers) {
            (Ok(bytes), Some(buffer), Some(buffers)) => {
                let lease = buffers.received(buffer, bytes, flags);
                Ok(lease.map_or(Received::End, Received::Data))
            }
            (Err(errno), Some(buffer), Some(buffers)) => {
                let none = buffers.received(buffer, 0, flags);
                debug_assert!(none.is_none(), "an error brings nothing");
                Err(errno)
            }
            (value, ..) => self.received_fixed(slot, value),
        };
        self.counters.no_buffers += u64::from(result == Err(Errno::NOBUFS));
        Event::Received { slot, result, shot }
    }

    /// One event a chain. A step that is to answer only on failure, and fails, silences the rest of its
    /// chain (`REQ_F_SKIP_LINK_CQES`), the connect included: so either the connect answers, or one step.
    fn connected(token: Token, value: Result<u32, Errno>) -> Event {
        let step = ConnectStep::from_attachment(token.attachment);
        let result = value
            .map(|_| ())
            .map_err(|errno| ConnectFailure { step, errno });
        Event::Connected {
            slot: token.slot,
            result,
        }
    }
}

pub(crate) fn sent(slot: Slot, memory: Sent, value: Result<u32, Errno>) -> Event {
    let result = value.map(|bytes| bytes as usize);
    Event::Sent {
        slot,
        memory,
        result,
    }
}

#[inline]
fn readiness(mask: u32) -> Readiness {
    if mask & HUNG_UP_MASK == 0 {
        Readiness::Data
    } else {
        Readiness::HungUp
    }
}

#[inline]
fn result_of(value: i32) -> Result<u32, Errno> {
    u32::try_from(value).map_err(|_| Errno::from_raw_os_error(value.wrapping_neg()))
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `io` is, which `self` owns and the borrow keeps.
        unsafe { BorrowedFd::borrow_raw(self.io.as_raw_fd()) }
    }
}

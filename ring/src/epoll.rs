//! Waiting in epoll through a ring: the same events, told by a completion instead of a system call's return
//! (`IORING_OP_EPOLL_WAIT`, Linux 6.15).
//!
//! It is there for programs that have an epoll loop and want to move to a ring one piece after the other. A wait
//! is one request: it is queued, `io_uring_enter` submits it and sleeps, and the kernel writes the events into
//! memory of ours. A program that makes other requests too saves the system call of its own that `epoll_wait`
//! was; one that makes none has as many calls as before, and the request on top.

use crate::ring::{Ring, RingCounters, RingError};
use crate::setup::{Setup, SetupError};
use crate::token::{Operation, Slot, Token};
use crate::{Errno, FeatureGrant};
use io_uring::types::Fixed;
use io_uring::{Probe, opcode};
use std::os::fd::{AsRawFd, BorrowedFd};

/// The ring's only slot: the epoll instance.
const EPOLL: Slot = Slot {
    index: 0,
    generation: 0,
};

/// A ring that waits in one epoll instance.
///
/// Belongs to the thread that made it.
pub struct EpollWaiter {
    ring: Ring,
    /// The kernel writes to it while a wait is in flight, and nobody reads it then.
    events: Box<[libc::epoll_event]>,
    is_in_flight: bool,
    /// How many of the events the last wait brought.
    count: usize,
}

/// One event of an epoll instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpollEvent {
    /// What has happened: `EPOLLIN` and the like.
    pub flags: u32,
    /// What the descriptor was registered with.
    pub data: u64,
}

impl EpollWaiter {
    /// A ring that waits in `epoll` for at most `events_max` events at a time. It keeps the instance open for itself.
    ///
    /// # Errors
    /// io_uring is refused, or the kernel is older than 6.15.
    pub fn new(epoll: BorrowedFd<'_>, events_max: usize) -> Result<Self, SetupError> {
        if events_max == 0 || i32::try_from(events_max).is_err() {
            return Err(SetupError::Misuse("a wait brings 1 to 2^31 - 1 events"));
        }
        let mut ring = Setup::new(1).queues(8, 16).build()?;
        let mut probe = Probe::new();
        let probed = ring.io.submitter().register_probe(&mut probe);
        if probed.is_err() || !probe.is_supported(opcode::EpollWait::CODE) {
            return Err(SetupError::TooOld {
                what: "a ring's wait in epoll (IORING_OP_EPOLL_WAIT)",
                since: "6.15",
            });
        }
        ring.install(EPOLL, epoll.as_raw_fd())
            .map_err(|errno| SetupError::Os {
                call: "io_uring_register(files)",
                errno,
            })?;
        Ok(Self {
            ring,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; events_max].into(),
            is_in_flight: false,
            count: 0,
        })
    }

    /// Which features were asked for, and which were granted.
    pub fn grants(&self) -> &[FeatureGrant] {
        self.ring.grants()
    }

    /// What has been counted.
    pub fn counters(&self) -> RingCounters {
        self.ring.counters()
    }

    /// Begins a wait, unless one is in flight, and lets the kernel look at once. The events of the last one are gone.
    ///
    /// # Errors
    /// The ring cannot go on.
    pub fn begin(&mut self) -> Result<(), RingError> {
        self.queue()?;
        self.ring.enter(0, None)
    }

    /// Whether a wait that was begun has ended, or will when [`EpollWaiter::wait`] is called. No system call.
    #[inline]
    pub fn is_ready(&mut self) -> bool {
        self.ring.has_work()
    }

    /// Waits until there are events, beginning a wait unless one is in flight: how many there are.
    ///
    /// Interrupted by a signal it waits on.
    ///
    /// # Errors
    /// The ring cannot go on, or the kernel refuses to wait.
    #[inline]
    pub fn wait(&mut self) -> Result<usize, RingError> {
        self.queue()?;
        loop {
            if let Some(result) = self.take() {
                self.count = result.map_err(RingError::Enter)?;
                return Ok(self.count);
            }
            self.ring.enter(1, None)?;
        }
    }

    /// An event of the last wait; `None` past the last one, and while another wait is in flight.
    #[inline]
    pub fn event(&self, at: usize) -> Option<EpollEvent> {
        if self.is_in_flight || at >= self.count {
            return None;
        }
        let event = self.events[at];
        Some(EpollEvent {
            flags: event.events,
            data: event.u64,
        })
    }

    #[inline]
    fn queue(&mut self) -> Result<(), RingError> {
        if self.is_in_flight {
            return Ok(());
        }
        self.ring.reserve(1)?;
        let events: *mut libc::epoll_event = self.events.as_mut_ptr();
        let entry =
            opcode::EpollWait::new(Fixed(EPOLL.index), events.cast(), self.events.len() as u32);
        // The events are this waiter's until the completion: see `Drop`. To the ring it is a wait for a
        // descriptor like any other, which is how it is cancelled when the ring ends.
        let token = Token {
            operation: Operation::Poll,
            slot: EPOLL,
            attachment: 0,
        };
        self.ring.push(entry.build(), token);
        self.is_in_flight = true;
        self.count = 0;
        Ok(())
    }

    /// Takes the completion, if it is there: with it the events are ours again.
    #[inline]
    fn take(&mut self) -> Option<Result<usize, Errno>> {
        let entry = self.ring.io.completion().next()?;
        self.ring.counters.completions += 1;
        self.ring.outstanding -= 1;
        self.is_in_flight = false;
        let result = entry.result();
        Some(usize::try_from(result).map_err(|_| Errno::from_raw_os_error(-result)))
    }
}

impl Drop for EpollWaiter {
    fn drop(&mut self) {
        if self.is_in_flight && !self.ring.drain() {
            // The kernel may still write to the events: leaking is the safe loss.
            std::mem::forget(std::mem::take(&mut self.events));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{EventfdFlags, epoll, eventfd};
    use std::os::fd::{AsFd, OwnedFd};

    /// An epoll instance that watches `count` events, and a waiter in it; `None` where the kernel has none.
    fn watched(count: u64) -> Option<(OwnedFd, Vec<OwnedFd>, EpollWaiter)> {
        let instance = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let events: Vec<OwnedFd> = (0..count)
            .map(|_| eventfd(0, EventfdFlags::NONBLOCK).unwrap())
            .collect();
        for (at, event) in events.iter().enumerate() {
            let data = epoll::EventData::new_u64(at as u64 | 1 << 63);
            epoll::add(&instance, event, data, epoll::EventFlags::IN).unwrap();
        }
        match EpollWaiter::new(instance.as_fd(), 4) {
            Ok(waiter) => Some((instance, events, waiter)),
            Err(error) => {
                eprintln!("skipped: {error}");
                None
            }
        }
    }

    fn signal(event: &OwnedFd) {
        rustix::io::write(event, &1u64.to_ne_bytes()).unwrap();
    }

    #[test]
    fn events_are_those_of_epoll() {
        let Some((_instance, events, mut waiter)) = watched(3) else {
            return;
        };
        signal(&events[1]);
        assert_eq!(waiter.wait().unwrap(), 1);
        let event = waiter.event(0).unwrap();
        assert_eq!(event.data, 1 | 1 << 63);
        assert_eq!(event.flags, libc::EPOLLIN as u32);
        assert_eq!(waiter.event(1), None);
        // Level-triggered: told again, beside the other one.
        signal(&events[2]);
        assert_eq!(waiter.wait().unwrap(), 2);
    }

    #[test]
    fn no_more_events_than_there_is_room_for() {
        let Some((_instance, events, mut waiter)) = watched(9) else {
            return;
        };
        events.iter().for_each(signal);
        let mut seen: Vec<u64> = Vec::new();
        for _ in 0..3 {
            assert_eq!(waiter.wait().unwrap(), 4);
            seen.extend((0..4).map(|at| waiter.event(at).unwrap().data & 0xff));
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, (0..9).collect::<Vec<u64>>(), "each has its turn");
    }

    #[test]
    fn what_comes_later_ends_a_wait_that_was_begun() {
        let Some((_instance, events, mut waiter)) = watched(1) else {
            return;
        };
        waiter.begin().unwrap();
        assert!(!waiter.is_ready());
        assert_eq!(
            waiter.event(0),
            None,
            "nobody reads what the kernel may write"
        );
        signal(&events[0]);
        assert!(waiter.is_ready(), "known without a system call");
        assert_eq!(waiter.wait().unwrap(), 1);
        assert!(waiter.event(0).is_some());
    }

    #[test]
    fn a_wait_in_flight_ends_with_its_ring() {
        let Some((_instance, events, mut waiter)) = watched(1) else {
            return;
        };
        waiter.begin().unwrap();
        let is_drained = waiter.ring.drain();
        assert!(is_drained);
        assert_eq!(waiter.ring.outstanding(), 0);
        drop(waiter);
        signal(&events[0]);
    }
}

//! Several rings in one thread, because a descriptor table is bounded and connections are not.

use crate::ring::{Ring, RingCounters, RingError};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Rings that one thread serves and waits for together.
///
/// With one ring, waiting is that ring's own. With several, each is entered only when its shared
/// flags say that there is something to do. To sleep, all of them share an eventfd, whose signals are
/// switched off in shared memory while there is work. (Polling the rings' own descriptors does not
/// do: completions that wait to be run in the submitter's own time do not wake a poll, seen on 6.18.)
#[derive(Default)]
pub struct RingSet {
    rings: Vec<Ring>,
    event: Option<OwnedFd>,
}

impl RingSet {
    /// Adds a ring; its index is the count before.
    pub fn push(&mut self, ring: Ring) -> Result<(), RingError> {
        self.rings.push(ring);
        if self.rings.len() < 2 {
            return Ok(());
        }
        if self.event.is_none() {
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            self.event = Some(eventfd(0, flags).map_err(RingError::Enter)?);
            self.signal_from(0)?;
        }
        self.signal_from(self.rings.len() - 1)
    }

    /// Has a ring signal the shared event, once its signals are switched on.
    fn signal_from(&mut self, index: usize) -> Result<(), RingError> {
        let Some(event) = &self.event else {
            return Ok(());
        };
        let ring = &mut self.rings[index];
        ring.io.completion().disable_eventfd();
        let registered = ring.io.submitter().register_eventfd(event.as_raw_fd());
        registered
            .map_err(|error| RingError::Enter(Errno::from_io_error(&error).unwrap_or(Errno::IO)))
    }

    /// How many rings there are.
    pub fn len(&self) -> usize {
        self.rings.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rings.is_empty()
    }

    /// The ring that was added first.
    ///
    /// # Panics
    /// If the set is empty.
    pub fn first(&self) -> &Ring {
        &self.rings[0]
    }

    /// One of them.
    #[inline]
    pub fn ring(&mut self, index: usize) -> &mut Ring {
        &mut self.rings[index]
    }

    /// Submits everything queued, and sleeps until an event can be taken from one of the rings, at
    /// most for `timeout`; waking without one is possible.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<(), RingError> {
        if let [ring] = self.rings.as_mut_slice() {
            return ring.enter(1, timeout);
        }
        if self.turn()? {
            return Ok(());
        }
        self.sleep(timeout)?;
        self.turn().map(drop)
    }

    /// The same, but watches for events for `spin` before it sleeps: whoever brings the next one then
    /// need not wake this thread, which costs the other side a microsecond or more. Says how long it
    /// watched: busy, and of no use.
    pub fn wait_spinning(
        &mut self,
        spin: Duration,
        timeout: Option<Duration>,
    ) -> Result<Duration, RingError> {
        if self.turn()? {
            return Ok(Duration::ZERO);
        }
        let began = Instant::now();
        while began.elapsed() < spin {
            std::hint::spin_loop();
            if self.turn()? {
                return Ok(began.elapsed());
            }
        }
        let watched = if spin.is_zero() {
            spin
        } else {
            began.elapsed()
        };
        self.wait(timeout)?;
        Ok(watched)
    }

    /// Enters each ring that has something to do; true if an event can be taken.
    fn turn(&mut self) -> Result<bool, RingError> {
        let mut has_events = false;
        for ring in &mut self.rings {
            if ring.has_work() {
                ring.enter(0, None)?;
            }
            has_events |= ring.has_events();
        }
        Ok(has_events)
    }

    /// Sleeps until a ring signals. What came before the signals were switched on is looked for after.
    fn sleep(&mut self, timeout: Option<Duration>) -> Result<(), RingError> {
        self.rings
            .iter_mut()
            .for_each(|ring| ring.io.completion().enable_eventfd());
        let has_work = self.rings.iter_mut().any(Ring::has_work);
        let slept = if has_work {
            Ok(())
        } else {
            self.wait_for_event(timeout)
        };
        self.rings
            .iter_mut()
            .for_each(|ring| ring.io.completion().disable_eventfd());
        slept
    }

    fn wait_for_event(&self, timeout: Option<Duration>) -> Result<(), RingError> {
        let Some(event) = &self.event else {
            return Ok(());
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut polled = [PollFd::new(event, PollFlags::IN)];
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(RingError::Enter(errno)),
        }
        // Empty if the time was over; otherwise this makes it so.
        let _ = rustix::io::read(event, &mut [0u8; 8]);
        Ok(())
    }

    /// The counters of all of them, added.
    pub fn counters(&self) -> RingCounters {
        let mut sum = RingCounters::default();
        for counters in self.rings.iter().map(Ring::counters) {
            sum.enters += counters.enters;
            sum.completions += counters.completions;
            sum.no_buffers += counters.no_buffers;
            sum.overflows += counters.overflows;
            sum.stale += counters.stale;
        }
        sum
    }
}

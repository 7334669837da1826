//! Several rings in one thread, because a descriptor table is bounded and connections are not.

use crate::ring::{Ring, RingCounters, RingError};
use rustix::event::Timespec;
use rustix::event::epoll;
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Rings that one thread serves and waits for together.
///
/// With one ring, waiting is that ring's own. With several, each is entered only when its shared
/// flags say that there is something to do, and sleeping is an `epoll_wait` over the rings'
/// descriptors: it costs nothing while there is work.
#[derive(Default)]
pub struct RingSet {
    rings: Vec<Ring>,
    epoll: Option<OwnedFd>,
}

impl RingSet {
    /// Adds a ring; its index is the count before.
    pub fn push(&mut self, ring: Ring) -> Result<(), RingError> {
        self.rings.push(ring);
        if self.rings.len() < 2 {
            return Ok(());
        }
        if self.epoll.is_none() {
            let created = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(RingError::Enter)?;
            self.epoll = Some(created);
            self.watch(0)?;
        }
        self.watch(self.rings.len() - 1)
    }

    fn watch(&self, index: usize) -> Result<(), RingError> {
        let Some(epoll) = &self.epoll else {
            return Ok(());
        };
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(epoll, &self.rings[index], data, epoll::EventFlags::IN).map_err(RingError::Enter)
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

    fn sleep(&self, timeout: Option<Duration>) -> Result<(), RingError> {
        let Some(epoll) = &self.epoll else {
            return Ok(());
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 8];
        match epoll::wait(epoll, &mut events[..], timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(RingError::Enter(errno)),
        }
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

//! Watching for the next event before sleeping: a core kept busy, so that nobody has to be woken.
//!
//! A server holds no clock; this is the exception, because a case asks for microseconds. An engine that
//! is not asked to watch goes to sleep without looking at one.

use crate::{Counters, ServeError};
use rustix::event::Timespec;
use rustix::event::epoll;
use rustix::event::epoll::{Event, EventData, EventFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Events taken by one `epoll_wait`: enough to spread its cost to nothing, few enough (12 KiB) that
/// the array shares the first-level cache with the work itself.
pub(crate) const EVENTS_MAX: usize = 1024;

/// For how long an engine watches.
#[derive(Clone, Copy)]
pub(crate) struct Watch(Duration);

impl Watch {
    /// Watches for so many microseconds; `None` for none.
    pub(crate) fn new(spin_us: u32) -> Option<Self> {
        (spin_us > 0).then(|| Self(Duration::from_micros(u64::from(spin_us))))
    }

    /// Looks again and again, until there is something or the time has passed.
    pub(crate) fn look<T>(self, mut at: impl FnMut() -> Option<T>) -> Option<T> {
        // What is there already is found without a clock.
        if let found @ Some(_) = at() {
            return found;
        }
        let begin = Instant::now();
        while begin.elapsed() < self.0 {
            if let found @ Some(_) = at() {
                return found;
            }
        }
        None
    }
}

/// Room for the events of one `epoll_wait`.
pub(crate) fn room_for_events() -> Box<[Event]> {
    let none = Event {
        flags: EventFlags::empty(),
        data: EventData::new_u64(0),
    };
    vec![none; EVENTS_MAX].into()
}

/// Waits for events: asleep, or watching for a while first if asked to. How many there are.
///
/// One turn is one enter, however often it looked; each look is a system call.
#[inline]
pub(crate) fn wait(
    epoll: &OwnedFd,
    events: &mut [Event],
    watch: Option<Watch>,
    counters: &Counters,
) -> Result<usize, ServeError> {
    let count = match watch {
        None => sleep(epoll, events, counters)?,
        Some(watch) => spin(epoll, events, watch, counters)?,
    };
    counters.enters.add(1);
    counters.completions.add(count as u64);
    Ok(count)
}

#[inline]
fn sleep(epoll: &OwnedFd, events: &mut [Event], counters: &Counters) -> Result<usize, ServeError> {
    loop {
        counters.system_calls.add(1);
        match epoll::wait(epoll, &mut *events, None) {
            Err(Errno::INTR) => {}
            waited => return waited.map_err(|errno| ServeError::refused("epoll_wait", errno)),
        }
    }
}

fn spin(
    epoll: &OwnedFd,
    events: &mut [Event],
    watch: Watch,
    counters: &Counters,
) -> Result<usize, ServeError> {
    const NOW: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let found = watch.look(|| {
        counters.system_calls.add(1);
        match epoll::wait(epoll, &mut *events, Some(&NOW)) {
            Ok(0) | Err(Errno::INTR) => None,
            waited => Some(waited),
        }
    });
    match found {
        Some(waited) => waited.map_err(|errno| ServeError::refused("epoll_wait", errno)),
        None => sleep(epoll, events, counters),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_taken_at_once_and_nothing_is_given_up_on() {
        let watch = Watch::new(1).unwrap();
        assert_eq!(watch.look(|| Some(1)), Some(1));
        assert_eq!(watch.look(|| None::<u32>), None);
        let mut looks = 0;
        let long = Watch::new(1_000_000).unwrap();
        let found = long.look(|| {
            looks += 1;
            (looks == 1000).then_some(looks)
        });
        assert_eq!(found, Some(1000));
        assert!(Watch::new(0).is_none());
    }
}

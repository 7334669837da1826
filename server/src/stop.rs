//! How another thread ends a server: an eventfd, because every engine can wait for a descriptor.

use crate::ServeError;
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Ends a server from another thread.
#[derive(Clone)]
pub struct Stopper {
    event: Arc<OwnedFd>,
}

impl Stopper {
    pub(crate) fn new() -> Result<Self, ServeError> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| ServeError::refused("eventfd", errno))?;
        Ok(Self {
            event: Arc::new(event),
        })
    }

    /// The engine's own descriptor of the event.
    pub(crate) fn duplicate(&self) -> Result<OwnedFd, ServeError> {
        rustix::io::fcntl_dupfd_cloexec(&*self.event, 0)
            .map_err(|errno| ServeError::refused("fcntl(F_DUPFD_CLOEXEC)", errno))
    }

    /// Asks the server to close everything and return. Asking before it serves, again, or after it
    /// has returned does no harm.
    pub fn stop(&self) {
        // Refused only when the count would overflow, and then the event is readable already.
        let _ = rustix::io::write(&*self.event, &1u64.to_ne_bytes());
    }
}

/// Whether `event` says stop. Takes nothing off the event's count, so it keeps saying so.
pub(crate) fn is_asked(event: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    matches!(
        poll(&mut [PollFd::new(event, PollFlags::IN)], Some(&now)),
        Ok(1)
    )
}

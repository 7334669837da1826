//! The epoll engine told of its events by a ring: `IORING_OP_EPOLL_WAIT` (Linux 6.15) in the place of
//! `epoll_wait`, and not one line else. What it takes more or less than `epoll` is the price of that.
//!
//! The ring makes no other request, so a turn is one system call as before, `io_uring_enter`: it submits the
//! next wait and sleeps until that has ended. Asked to watch before it sleeps, it looks at memory that the
//! ring shares with the kernel, where `epoll` has to call `epoll_wait`.

use crate::acceptor::{ring_failed, setup_failed};
use crate::epoll::Sockets;
use crate::watch::{EVENTS_MAX, Watch};
use crate::worker::{Serve, Worker};
use crate::{Counters, ServeError};
use fourtuple_ring::{EpollWaiter, Feature, SetupError};
use fourtuple_spec::record::Grant;
use rustix::event::epoll::EventFlags;
use std::os::fd::AsFd;

struct EpollInRing {
    /// Dropped first: it waits in the epoll instance of `sockets`.
    waiter: EpollWaiter,
    sockets: Sockets,
    watch: Option<Watch>,
    /// Calls of the ring that others have been told of.
    told: u64,
}

/// Prepares the engine.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    let watch = Watch::new(worker.options.factors.spin);
    let sockets = Sockets::new(worker)?;
    let waiter = EpollWaiter::new(sockets.epoll.as_fd(), EVENTS_MAX).map_err(refused)?;
    Ok(Box::new(EpollInRing {
        waiter,
        sockets,
        watch,
        told: 0,
    }))
}

impl Serve for EpollInRing {
    fn granted(&self) -> Vec<Grant> {
        // It receives and makes sockets by plain calls.
        let calls = [Feature::ReceiveMultishot, Feature::RingSockets];
        let grants = self.waiter.grants().iter();
        grants
            .filter(|grant| !calls.contains(&grant.feature))
            .map(|grant| Grant {
                feature: grant.feature.name().to_owned(),
                granted: grant.refused.is_none(),
                reason: grant.refused.clone(),
            })
            .collect()
    }

    fn serve(mut self: Box<Self>) -> Result<(), ServeError> {
        loop {
            let count = self.wait()?;
            for at in 0..count {
                let Some(event) = self.waiter.event(at) else {
                    break;
                };
                let flags = EventFlags::from_bits_retain(event.flags);
                if self.sockets.take(event.data, flags)?.is_break() {
                    return Ok(());
                }
            }
        }
    }
}

impl EpollInRing {
    /// Waits for events: asleep, or watching for a while first if asked to. How many there are.
    #[inline]
    fn wait(&mut self) -> Result<usize, ServeError> {
        if let Some(watch) = self.watch {
            self.waiter.begin().map_err(ring_failed)?;
            watch.look(|| self.waiter.is_ready().then_some(()));
        }
        let count = self.waiter.wait().map_err(ring_failed)?;
        let calls = self.waiter.counters().enters;
        let counters: &Counters = &self.sockets.counters;
        counters.system_calls.add(calls - self.told);
        counters.enters.add(1);
        counters.completions.add(count as u64);
        self.told = calls;
        Ok(count)
    }
}

fn refused(error: SetupError) -> ServeError {
    match error {
        SetupError::TooOld { .. } => ServeError::limited(
            fourtuple_spec::limiter::IO_URING,
            format!("{error}. The engine epoll does without"),
        ),
        error => setup_failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_it_is_told_from_one_without_io_uring() {
        let error = refused(SetupError::TooOld {
            what: "a ring's wait in epoll (IORING_OP_EPOLL_WAIT)",
            since: "6.15",
        });
        assert_eq!(
            error.limiter.as_deref(),
            Some(fourtuple_spec::limiter::IO_URING)
        );
        assert!(
            error.error.contains("6.15") && error.error.contains("epoll does without"),
            "{error}"
        );
        let error = refused(SetupError::Missing);
        assert_eq!(
            error.limiter.as_deref(),
            Some(fourtuple_spec::limiter::IO_URING)
        );
        assert!(!error.error.contains("6.15"), "{error}");
    }
}

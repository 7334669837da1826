//! The end of a ring: nothing that the kernel may still touch is freed.

use crate::connect::last_errno;
use crate::plain::PlainDescriptors;
use crate::ring::Ring;
use crate::setup::RegisteredUpdate;
use rustix::io::Errno;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// How long a dropped ring waits for its requests to end before it leaks what they name.
const DRAIN_TIME: Duration = Duration::from_secs(2);
const UNREGISTER_RING_DESCRIPTORS: u32 = 21;
const REGISTER_SYNC_CANCEL: u32 = 24;
const CANCEL_ANY: u32 = 1 << 2;

/// `struct io_uring_sync_cancel_reg` (6.0).
#[repr(C)]
struct SyncCancel {
    user_data: u64,
    descriptor: i32,
    flags: u32,
    timeout: [i64; 2],
    reserved: [u64; 4],
}

impl Ring {
    /// Cancels everything and takes completions until nothing is in flight; false if time ran out.
    pub(crate) fn drain(&mut self) -> bool {
        let deadline = Instant::now() + DRAIN_TIME;
        if self.enter(0, None).is_err() {
            return false;
        }
        loop {
            let is_cancelled = self.cancel_all();
            while let Some(event) = self.pop() {
                drop(event);
            }
            if self.outstanding == 0 && is_cancelled {
                return true;
            }
            if self.zero_copy.is_some() {
                self.close_slots();
            }
            if Instant::now() >= deadline || self.enter(0, None).is_err() {
                return false;
            }
        }
    }

    /// Closes every slot: what was sent without a copy is read until the peer has it all, which a peer that waits
    /// for the close might not hurry with, and the ring's own end would come after it.
    fn close_slots(&mut self) {
        if self.has_table {
            // Refused from the second time on.
            let _ = self.io.submitter().unregister_files();
        }
        self.plain = PlainDescriptors::default();
    }

    /// Gives back the thread's registration, which would keep the ring alive after its descriptor.
    /// Refused on any other thread than the one that registered, where it does no harm.
    fn unregister(&mut self) {
        let Some(index) = self.registered_index.take() else {
            return;
        };
        let update = RegisteredUpdate {
            offset: index,
            reserved: 0,
            data: 0,
        };
        // SAFETY: `update` is one readable `io_uring_rsrc_update` for the length of the call.
        unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                self.io.as_raw_fd(),
                UNREGISTER_RING_DESCRIPTORS,
                &raw const update,
                1,
            )
        };
    }

    /// Asks for everything to be cancelled; true once the kernel finds nothing that is in flight.
    ///
    /// Made by hand because the `io-uring` crate drops the count that the kernel answers with.
    fn cancel_all(&self) -> bool {
        let cancel = SyncCancel {
            user_data: 0,
            descriptor: -1,
            flags: CANCEL_ANY,
            timeout: [0, 100_000_000],
            reserved: [0; 4],
        };
        // SAFETY: `cancel` is one readable `io_uring_sync_cancel_reg` for the length of the call.
        let cancelled = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                self.io.as_raw_fd(),
                REGISTER_SYNC_CANCEL,
                &raw const cancel,
                1,
            )
        };
        cancelled == 0 || (cancelled < 0 && last_errno() == Errno::NOENT)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.unregister();
        let is_idle = self.outstanding == 0 && !self.has_unanswered;
        if is_idle || self.drain() {
            return;
        }
        // The kernel may still write to the buffers or read from a send: leaking is the safe loss.
        std::mem::forget(self.buffers.take());
        std::mem::forget(self.fixed.take());
        std::mem::forget(self.send_groups.take());
        std::mem::forget(std::mem::take(&mut self.owned_sends));
        std::mem::forget(self.pattern.take());
    }
}

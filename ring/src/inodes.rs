//! Sockets that nobody uses, for the pages that their inodes and directory entries lie in.
//!
//! Those caches are reclaimable, and the kernel keeps their pages in blocks apart from those of other
//! slabs: what prepares the one does not prepare the other. A socket of the Unix family is the cheapest
//! thing that has both.

use crate::ring::table_slots_max;
use io_uring::{IoUring, opcode, types};
use rustix::io::Errno;

/// Sockets asked for at once.
const BATCH: u32 = 256;
/// One in so many stays open: about one in 2 MiB of inodes.
const KEPT_ONE_IN: u32 = 2048;

/// Open sockets in the tables of as many rings as they need. Dropping it closes what is left.
#[derive(Default)]
pub(crate) struct Inodes {
    rings: Vec<IoUring>,
    slots: u32,
    /// How many of the last ring's slots are taken.
    taken: u32,
}

impl Inodes {
    /// Opens so many, or as many as are granted, and says why no more.
    pub(crate) fn take(&mut self, count: u64) -> Result<(), Errno> {
        self.slots = table_slots_max() / BATCH * BATCH;
        if self.slots == 0 {
            return Err(Errno::MFILE);
        }
        for _ in 0..count.div_ceil(u64::from(BATCH)) {
            self.grow()?;
        }
        Ok(())
    }

    /// Closes all but one in so many.
    pub(crate) fn hand_back(&mut self) -> Result<(), Errno> {
        let none = [-1; KEPT_ONE_IN as usize - 1];
        let rings = self.rings.len();
        for (index, ring) in self.rings.iter().enumerate() {
            let taken = if index + 1 == rings {
                self.taken
            } else {
                self.slots
            };
            for first in (0..taken).step_by(KEPT_ONE_IN as usize) {
                let count = (taken - first - 1).min(KEPT_ONE_IN - 1) as usize;
                if count > 0 {
                    let submitter = ring.submitter();
                    submitter
                        .register_files_update(first + 1, &none[..count])
                        .map_err(errno)?;
                }
            }
        }
        Ok(())
    }

    /// One batch more.
    fn grow(&mut self) -> Result<(), Errno> {
        if self.rings.is_empty() || self.taken == self.slots {
            let ring = IoUring::new(BATCH).map_err(errno)?;
            ring.submitter()
                .register_files_sparse(self.slots)
                .map_err(errno)?;
            self.rings.push(ring);
            self.taken = 0;
        }
        let Some(ring) = self.rings.last_mut() else {
            return Err(Errno::MFILE);
        };
        let mut queue = ring.submission();
        for slot in self.taken..self.taken + BATCH {
            let target = types::DestinationSlot::try_from_slot_target(slot).ok();
            let socket =
                opcode::Socket::new(libc::AF_UNIX, libc::SOCK_STREAM, 0).file_index(target);
            // SAFETY: the request names no memory of this process.
            unsafe { queue.push(&socket.build()) }.map_err(|_| Errno::BUSY)?;
        }
        drop(queue);
        ring.submit_and_wait(BATCH as usize).map_err(errno)?;
        let refused = ring.completion().map(|entry| entry.result()).min();
        self.taken += BATCH;
        match refused {
            Some(result @ ..0) => Err(Errno::from_raw_os_error(-result)),
            _ => Ok(()),
        }
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_opened_is_closed_but_for_its_pins() {
        let mut inodes = Inodes::default();
        if let Err(errno) = inodes.take(600) {
            eprintln!("skipped: the kernel grants no sockets ({errno})");
            return;
        }
        let opened: u32 = (inodes.rings.len() as u32 - 1) * inodes.slots + inodes.taken;
        assert_eq!(opened, 768, "whole batches");
        inodes.hand_back().unwrap();
        let updated = inodes.rings[0].submitter().register_files_update(0, &[-1]);
        assert!(updated.is_ok(), "a pin is still there to be taken out");
    }
}

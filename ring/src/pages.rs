//! Pages of the kernel's own, taken for no other reason than that they have been touched.
//!
//! A virtual machine's free memory need not exist: its host backs a page when the guest first touches it,
//! and takes free pages back (free page reporting, ballooning). What opens a million connections then
//! measures the host. Two things are needed to have memory that is there:
//! - Pages of the kernel's own. Slabs are filled from blocks of unmovable pages; what a process has
//!   touched and freed lies in blocks of movable ones, which slabs are given last.
//! - Not to free them whole. A host is offered free blocks of 2 MiB and more, so of every 2 MiB a block
//!   stays taken: what is free between them is too small to be offered.
//!
//! The kernel allocates the memory of a provided-buffer ring itself if asked to
//! (`IOU_PBUF_RING_MMAP`, 6.4), zeroes it, and frees each on its own. Inodes and directory entries, a quarter
//! of what a connection takes, are of another kind: see [`crate::inodes`].

use crate::connect::last_errno;
use crate::inodes::Inodes;
use io_uring::IoUring;
use rustix::io::Errno;

const PBUF_RING_MMAP: u16 = 1;
/// Entries of 16 bytes.
const ENTRIES: u16 = 2048;
/// A block: the size of the largest common slab, so that both come from the same lists.
const BLOCK_BYTES: u64 = ENTRIES as u64 * 16;
/// Blocks of one ring: their names have 16 bits.
const BLOCKS_OF_RING: u64 = u16::MAX as u64;
/// What two endpoints take, about, for the two sockets that stand for their inodes: a kilobyte each of
/// the inode, the directory entry and the file, and somewhat more of the rest of such a socket.
const BYTES_OF_SOCKET: u64 = 4000;
const SOCKET_BYTES: u64 = 2400;
/// One block in so many stays taken: one in 2 MiB.
const KEPT_ONE_IN: u64 = (2 << 20) / BLOCK_BYTES;

/// Memory that the kernel has allocated, and so touched. Dropping it frees what is left.
#[derive(Default)]
pub struct KernelPages {
    rings: Vec<IoUring>,
    blocks: u64,
    inodes: Inodes,
    sockets: u64,
    is_out_of_sockets: bool,
}

impl KernelPages {
    /// Has the kernel allocate about `bytes` more, or as much as it grants.
    ///
    /// They count against RLIMIT_MEMLOCK, and against the memory cgroup while they are held. Nothing
    /// here looks at how much memory there is: take a little at a time.
    ///
    /// # Errors
    /// Why it is less than was asked for. What was taken is held.
    pub fn take(&mut self, bytes: u64) -> Result<(), Errno> {
        // There may be no more than twice fs.file-max of such sockets: then it goes on without.
        let sockets = bytes / BYTES_OF_SOCKET;
        let sockets = match self.is_out_of_sockets || self.inodes.take(sockets).is_err() {
            true => 0,
            false => sockets,
        };
        self.is_out_of_sockets |= sockets == 0;
        self.sockets += sockets;
        let enough = self.blocks + (bytes - sockets * SOCKET_BYTES).div_ceil(BLOCK_BYTES);
        while self.blocks < enough {
            self.grow()?;
        }
        Ok(())
    }

    /// How much was taken.
    pub fn bytes(&self) -> u64 {
        self.blocks * BLOCK_BYTES + self.sockets * SOCKET_BYTES
    }

    /// Frees all but one block in 2 MiB.
    ///
    /// # Errors
    /// The kernel refuses, which it has no reason to.
    pub fn hand_back(&mut self) -> Result<(), Errno> {
        self.inodes.hand_back()?;
        for block in (0..self.blocks).filter(|block| block % KEPT_ONE_IN != 0) {
            let (ring, name) = place(block);
            let submitter = self.rings[ring].submitter();
            submitter.unregister_buf_ring(name).map_err(errno)?;
        }
        Ok(())
    }

    fn grow(&mut self) -> Result<(), Errno> {
        let (ring, name) = place(self.blocks);
        if ring == self.rings.len() {
            self.rings.push(IoUring::new(1).map_err(errno)?);
        }
        let submitter = self.rings[ring].submitter();
        // SAFETY: with PBUF_RING_MMAP the memory is the kernel's own, and the address must be 0. No
        // buffer is ever put into it and it is never mapped, so it names nothing of this process.
        unsafe { submitter.register_buf_ring_with_flags(0, ENTRIES, name, PBUF_RING_MMAP) }
            .map_err(errno)?;
        self.blocks += 1;
        Ok(())
    }
}

/// Which ring has a block, and by which name.
fn place(block: u64) -> (usize, u16) {
    (
        (block / BLOCKS_OF_RING) as usize,
        (block % BLOCKS_OF_RING) as u16,
    )
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or_else(last_errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_handed_back_but_for_its_pins() {
        let mut pages = KernelPages::default();
        for _ in 0..2 {
            if let Err(errno) = pages.take(2 << 20) {
                eprintln!("skipped: the kernel grants no pages ({errno})");
                return;
            }
        }
        assert!(pages.bytes() >= 4 << 20, "{}", pages.bytes());
        pages.hand_back().unwrap();
        assert!(pages.hand_back().is_err(), "they are free already");
    }

    #[test]
    fn every_block_has_a_name_of_its_own() {
        assert_eq!(place(0), (0, 0));
        assert_eq!(place(BLOCKS_OF_RING - 1), (0, u16::MAX - 1));
        assert_eq!(place(BLOCKS_OF_RING), (1, 0));
    }
}

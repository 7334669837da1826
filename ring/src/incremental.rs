//! Buffers that receives take piece by piece (Linux 6.12).
//!
//! The kernel fills the buffer at the ring's head from where it stopped, and says with each piece whether
//! it goes on with that buffer. Where a piece begins it does not say: it is where the one before ended, so
//! pieces have to be taken in the order in which the kernel answered. It answers in the order in which it
//! fills: what a request still has to answer is posted before another's answer is (a fix of 2025, which went
//! to the stable kernels as well).
//!
//! A buffer is given again when the kernel has finished it *and* every piece of it is back: one piece that
//! a slow peer holds keeps all of its buffer.

use crate::buffers::Lease;

/// What is out of each buffer.
pub(crate) struct Incremental {
    uses: Box<[Use]>,
    /// Pieces that are being sent, and which places of them are free.
    lent: Vec<Piece>,
    free: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct Use {
    /// Bytes that the kernel has filled.
    filled: u32,
    /// Pieces that are out.
    pieces: u32,
    /// The kernel goes on with another buffer.
    is_finished: bool,
}

#[derive(Clone, Copy)]
struct Piece {
    offset: u32,
    bytes: u32,
    buffer: u16,
}

impl Incremental {
    pub(crate) fn new(count: u16) -> Self {
        Self {
            uses: vec![Use::default(); usize::from(count)].into_boxed_slice(),
            lent: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Takes note of the next piece of a buffer, and says where in it that begins.
    pub(crate) fn take(
        &mut self,
        buffer: u16,
        bytes: u32,
        buffer_bytes: u32,
        is_finished: bool,
    ) -> u32 {
        let of = &mut self.uses[usize::from(buffer)];
        assert!(
            bytes <= buffer_bytes - of.filled && !of.is_finished,
            "the kernel's own answer"
        );
        let offset = of.filled;
        of.filled += bytes;
        of.pieces += 1;
        of.is_finished = is_finished;
        offset
    }

    /// Takes a piece back; true if its buffer is to be given again.
    pub(crate) fn recycle(&mut self, buffer: u16) -> bool {
        let of = &mut self.uses[usize::from(buffer)];
        of.pieces -= 1;
        if of.pieces > 0 || !of.is_finished {
            return false;
        }
        *of = Use::default();
        true
    }

    /// Remembers a piece while it is being sent.
    pub(crate) fn lend(&mut self, lease: &Lease) -> u32 {
        let piece = Piece {
            offset: lease.offset,
            bytes: lease.bytes,
            buffer: lease.buffer,
        };
        match self.free.pop() {
            Some(at) => {
                self.lent[at as usize] = piece;
                at
            }
            None => {
                self.lent.push(piece);
                self.lent.len() as u32 - 1
            }
        }
    }

    /// The piece that was being sent.
    pub(crate) fn return_lease(&mut self, lent: u32) -> Lease {
        self.free.push(lent);
        let piece = self.lent[lent as usize];
        Lease {
            offset: piece.offset,
            bytes: piece.bytes,
            buffer: piece.buffer,
            has_more: false,
        }
    }

    /// Bytes of a piece that is being sent.
    pub(crate) fn lent_bytes(&self, lent: u32) -> u32 {
        self.lent[lent as usize].bytes
    }
}

//! Packets written in batches: one write each, one system call for all of them.
//!
//! What a datagram socket has `sendmmsg` for, other descriptors have not: a TUN device takes one packet a
//! `write`. Here each packet is a write request of a small ring, and one `io_uring_enter` makes them all. Where
//! the descriptor does not block, each has ended when that call returns.
//!
//! The ring is neither `SINGLE_ISSUER` nor `DEFER_TASKRUN`, nor is its descriptor registered: those tie a ring to
//! one thread, a writer may move to another, and nothing is left to be run later.

use crate::setup::{Setup, SetupError};
use io_uring::types::{CancelBuilder, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long writes that were not made at once may take before they are cancelled, and how long that may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one wait lasts at most, so that deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);
/// A buffer begins on a cache line of its own.
const ALIGNMENT_BYTES: usize = 64;

/// Writes packets to one descriptor, a batch at a time, in the order in which they were put.
///
/// Between calls nothing is in flight: [`PacketWriter::flush`] returns when every write of the batch has ended. So
/// the buffers may be filled again, and dropping a writer waits for nothing.
///
/// Order holds as long as the descriptor takes each packet at once. One that has to wait for room is overtaken
/// by what comes after it in its batch.
pub struct PacketWriter {
    io: IoUring,
    /// One buffer a packet, side by side. The kernel reads from them during `flush` alone.
    buffers: Vec<u8>,
    stride_bytes: usize,
    packet_bytes: usize,
    entries: u32,
    /// Packets of this batch: they are in the first buffers.
    queued: u32,
    /// Why this writer is of no use any more.
    broken: Option<Errno>,
}

impl PacketWriter {
    /// A writer of batches of at most `entries` packets (1 to 4,096) of at most `packet_bytes` each. It keeps the
    /// file open for itself.
    ///
    /// # Errors
    /// io_uring is refused, or there is no memory for it.
    pub fn new(
        descriptor: BorrowedFd<'_>,
        entries: u32,
        packet_bytes: usize,
    ) -> Result<Self, SetupError> {
        if entries == 0 || entries > 4096 || packet_bytes == 0 {
            return Err(SetupError::Misuse(
                "a batch has 1 to 4,096 packets, and they are not empty",
            ));
        }
        let io = build(entries).map_err(|error| explain(&error))?;
        io.submitter()
            .register_files(&[descriptor.as_raw_fd()])
            .map_err(|error| os("io_uring_register(files)", &error))?;
        let stride_bytes = packet_bytes.next_multiple_of(ALIGNMENT_BYTES);
        Ok(Self {
            io,
            buffers: vec![0; stride_bytes * entries as usize],
            stride_bytes,
            packet_bytes,
            entries,
            queued: 0,
            broken: None,
        })
    }

    /// Where the next packet is to be written: as many bytes as a packet may have, with those of an earlier one.
    #[inline]
    pub fn buffer(&mut self) -> &mut [u8] {
        let at = self.queued as usize * self.stride_bytes;
        &mut self.buffers[at..at + self.packet_bytes]
    }

    /// Puts the first `bytes` of [`PacketWriter::buffer`] in the batch, which is flushed if it is full now.
    ///
    /// # Errors
    /// As [`PacketWriter::flush`].
    ///
    /// # Panics
    /// A packet is longer than its buffer.
    #[inline]
    pub fn push(&mut self, bytes: usize) -> Result<(), Errno> {
        if let Some(errno) = self.broken {
            return Err(errno);
        }
        let packet = &self.buffer()[..bytes];
        let write = opcode::Write::new(Fixed(0), packet.as_ptr(), bytes as u32)
            .build()
            .user_data(bytes as u64);
        // SAFETY: the bytes are in `buffers`, which is not touched before this write has ended: `flush` waits for
        // that, what follows in this batch goes into other buffers, and what does not end is leaked.
        let pushed = unsafe { self.io.submission().push(&write) };
        assert!(pushed.is_ok(), "a full batch is flushed at once");
        self.queued += 1;
        if self.queued == self.entries {
            return self.flush();
        }
        Ok(())
    }

    /// Has every packet of the batch written, and waits for those that are not written at once, for seconds at
    /// most.
    ///
    /// # Errors
    /// The first refusal; the other packets of the batch were tried all the same. `ETIMEDOUT` if the descriptor
    /// took no more. A writer whose ring has failed refuses everything from then on.
    pub fn flush(&mut self) -> Result<(), Errno> {
        if let Some(errno) = self.broken {
            return Err(errno);
        }
        if self.queued == 0 {
            return Ok(());
        }
        let mut refused = None;
        // What this refuses (no memory for requests, a signal) stays queued, and is tried again below.
        let _ = self.io.submit();
        let left = std::mem::take(&mut self.queued) - self.reap(&mut refused);
        if left > 0 {
            self.finish(left, &mut refused);
        }
        refused.map_or(Ok(()), Err)
    }

    /// Takes what has ended: how many.
    fn reap(&mut self, refused: &mut Option<Errno>) -> u32 {
        let mut ended = 0;
        for entry in self.io.completion() {
            ended += 1;
            if entry.result() < 0 {
                refused.get_or_insert(Errno::from_raw_os_error(-entry.result()));
            } else if entry.result() as u64 != entry.user_data() {
                refused.get_or_insert(Errno::MSGSIZE);
            }
        }
        ended
    }

    /// Waits for what has not ended at once, then cancels it, then gives the ring up.
    #[cold]
    fn finish(&mut self, left: u32, refused: &mut Option<Errno>) {
        let left = self.wait(left, refused);
        if left == 0 {
            return;
        }
        refused.get_or_insert(Errno::TIMEDOUT);
        let cancelled = self
            .io
            .submitter()
            .register_sync_cancel(Some(Timespec::from(PATIENCE)), CancelBuilder::any());
        if cancelled.is_ok() && self.wait(left, refused) == 0 {
            return;
        }
        // The kernel may still read from the buffers: leaking is the safe loss.
        self.broken = *refused;
        let buffers = vec![0; self.stride_bytes];
        std::mem::forget(std::mem::replace(&mut self.buffers, buffers));
    }

    /// Waits a while for so many to end: how many have not.
    fn wait(&mut self, mut left: u32, refused: &mut Option<Errno>) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        let tick = Timespec::from(TICK);
        while left > 0 && Instant::now() < deadline {
            let until = SubmitArgs::new().timespec(&tick);
            let _ = self.io.submitter().submit_with_args(left as usize, &until);
            left -= self.reap(refused);
        }
        left
    }
}

/// Asks for what makes a call shorter, and does without where the kernel is too old for it.
fn build(entries: u32) -> std::io::Result<IoUring> {
    let mut refused = None;
    for features in (0..=2).rev() {
        let mut builder = IoUring::builder();
        builder.dontfork();
        if features >= 1 {
            builder.setup_submit_all();
        }
        if features >= 2 {
            builder.setup_no_sqarray();
        }
        match builder.build(entries) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = Some(error),
            built => return built,
        }
    }
    Err(refused.unwrap_or_else(|| std::io::ErrorKind::Unsupported.into()))
}

/// Who forbids it and what to do: an ordinary ring is refused for the same reason, and says it.
fn explain(error: &std::io::Error) -> SetupError {
    match Setup::new(1).build() {
        Err(refusal) => refusal,
        Ok(_) => os("io_uring_setup", error),
    }
}

fn os(call: &'static str, error: &std::io::Error) -> SetupError {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    SetupError::Os { call, errno }
}

//! The TUN device: one packet a read, a batch of them a write.
//!
//! Of what was tried (one read or write a packet, multishot reads and single writes by io_uring, NAPI on the
//! device, checksums left to the kernel by the virtio header) the fastest is the plain non-blocking `read` with
//! writes in batches of io_uring. Where that is refused, each packet is a `write`.

use super::fault::{Faults, Path};
use super::segment::PACKET_BYTES_MAX;
use crate::LoadError;
use fourtuple_ring::{Errno, PacketWriter, errno_name};
use fourtuple_spec::record::Grant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Packets of a batch. The server's processor works on the first while the last are written, and their memory
/// stays in the cache.
const BATCH_PACKETS: u32 = 64;
const BATCHED_WRITES: &str = "ghost-batched-writes";

/// The device's end in this process, which whoever made it has set up: non-blocking, an MTU of 1,500,
/// and no header before a packet.
///
/// It may move to another thread.
pub(super) struct Device {
    descriptor: OwnedFd,
    writer: Writer,
    /// What goes wrong on the way, if anything is to.
    path: Option<Box<Path>>,
}

/// How packets are handed to the kernel.
enum Writer {
    /// A batch of them at once.
    Batched(Box<PacketWriter>),
    /// One at a time, from this buffer, and why.
    Plain(Box<[u8; PACKET_BYTES_MAX]>, String),
}

impl Device {
    /// Never fails for want of io_uring.
    pub(super) fn new(descriptor: OwnedFd, faults: Faults) -> Result<Self, LoadError> {
        Ok(Self {
            writer: Writer::new(descriptor.as_fd()),
            descriptor,
            path: faults.path(),
        })
    }

    /// The next packet that the kernel has sent, or `None` if there is none now.
    ///
    /// It knows nothing of the batch: what is in it is not sent by this.
    #[inline]
    pub(super) fn read<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, LoadError> {
        let bytes = match &mut self.path {
            None => read(&self.descriptor, buffer)?,
            Some(path) => read_faulty(&self.descriptor, path, buffer)?,
        };
        Ok(bytes.map(|bytes| &buffer[..bytes]))
    }

    /// Puts a packet in the next batch: `write` fills a buffer of [`PACKET_BYTES_MAX`], in which an earlier packet
    /// still is, and says how long the packet is. A full batch is sent at once.
    #[inline]
    pub(super) fn send(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> Result<(), LoadError> {
        let bytes = write(self.writer.buffer());
        match &mut self.path {
            None => self.writer.push(self.descriptor.as_fd(), bytes),
            Some(path) => {
                path.to_server.put(&self.writer.buffer()[..bytes]);
                self.push_arrived()
            }
        }
    }

    /// Hands the batch to the kernel, which has answered what it answers at once when this returns.
    #[inline]
    pub(super) fn flush(&mut self) -> Result<(), LoadError> {
        if let Some(path) = &mut self.path {
            path.to_server.release_late();
            self.push_arrived()?;
        }
        self.writer.flush()
    }

    /// Sends the batch, then sleeps until a packet waits, `other` is readable, or time is up.
    ///
    /// A packet that was held back, to be overtaken, is held no longer.
    pub(super) fn wait(
        &mut self,
        other: Option<&OwnedFd>,
        timeout: Option<Duration>,
    ) -> Result<(), LoadError> {
        if let Some(path) = &mut self.path {
            path.to_server.release();
            path.from_server.release();
        }
        self.flush()?;
        if self
            .path
            .as_ref()
            .is_some_and(|path| path.from_server.has_arrived())
        {
            return Ok(());
        }
        let watched = [Some(&self.descriptor), other];
        let mut watched: Vec<PollFd<'_>> = watched
            .into_iter()
            .flatten()
            .map(|descriptor| PollFd::new(descriptor, PollFlags::IN))
            .collect();
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(refused("poll", errno)),
        }
    }

    /// Segments lost on purpose, in both directions.
    pub(super) fn lost(&self) -> u64 {
        self.path
            .as_ref()
            .map_or(0, |path| path.to_server.lost() + path.from_server.lost())
    }

    /// Whether packets are written in batches.
    pub(super) fn grants(&self) -> Vec<Grant> {
        let reason = match &self.writer {
            Writer::Batched(_) => None,
            Writer::Plain(_, reason) => Some(reason.clone()),
        };
        vec![Grant {
            feature: BATCHED_WRITES.to_owned(),
            granted: reason.is_none(),
            reason,
        }]
    }

    /// Puts what has come through the faulty path in the batch.
    fn push_arrived(&mut self) -> Result<(), LoadError> {
        while let Some(packet) = self.path.as_mut().and_then(|path| path.to_server.take()) {
            self.writer.buffer()[..packet.len()].copy_from_slice(&packet);
            self.writer.push(self.descriptor.as_fd(), packet.len())?;
        }
        Ok(())
    }
}

impl Writer {
    fn new(descriptor: BorrowedFd<'_>) -> Self {
        match PacketWriter::new(descriptor, BATCH_PACKETS, PACKET_BYTES_MAX) {
            Ok(writer) => Self::Batched(Box::new(writer)),
            Err(error) => Self::Plain(Box::new([0; PACKET_BYTES_MAX]), error.to_string()),
        }
    }

    #[inline]
    fn buffer(&mut self) -> &mut [u8] {
        match self {
            Self::Batched(writer) => writer.buffer(),
            Self::Plain(buffer, _) => &mut buffer[..],
        }
    }

    #[inline]
    fn push(&mut self, descriptor: BorrowedFd<'_>, bytes: usize) -> Result<(), LoadError> {
        let pushed = match self {
            Self::Batched(writer) => writer.push(bytes),
            Self::Plain(buffer, _) => write(descriptor, &buffer[..bytes]),
        };
        pushed.map_err(|errno| refused("write", errno))
    }

    #[inline]
    fn flush(&mut self) -> Result<(), LoadError> {
        match self {
            Self::Batched(writer) => writer.flush().map_err(|errno| refused("write", errno)),
            Self::Plain(..) => Ok(()),
        }
    }
}

#[inline]
fn read(descriptor: &OwnedFd, buffer: &mut [u8]) -> Result<Option<usize>, LoadError> {
    loop {
        match rustix::io::read(descriptor, &mut *buffer) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(refused("read", errno)),
        }
    }
}

fn read_faulty(
    descriptor: &OwnedFd,
    path: &mut Path,
    buffer: &mut [u8],
) -> Result<Option<usize>, LoadError> {
    loop {
        if let Some(packet) = path.from_server.take() {
            buffer[..packet.len()].copy_from_slice(&packet);
            return Ok(Some(packet.len()));
        }
        match read(descriptor, buffer)? {
            Some(bytes) => path.from_server.put(&buffer[..bytes]),
            None => {
                path.from_server.release_late();
                if !path.from_server.has_arrived() {
                    return Ok(None);
                }
            }
        }
    }
}

fn write(descriptor: BorrowedFd<'_>, packet: &[u8]) -> Result<(), Errno> {
    loop {
        match rustix::io::write(descriptor, packet) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn refused(call: &str, errno: Errno) -> LoadError {
    let what = format!("{call} on the ghosts' device: {}", errno_name(errno));
    match errno {
        Errno::NOMEM | Errno::NOBUFS => LoadError::limited(
            fourtuple_spec::limiter::MEMORY,
            format!("{what}; free memory, or hold fewer connections"),
        ),
        Errno::IO => LoadError::new(format!("{what}: the device was taken down")),
        _ => LoadError::new(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    /// A device and the kernel's end of it, both played by sockets that keep packets apart.
    fn device(faults: Faults) -> (Device, OwnedFd) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (here, there) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        (Device::new(here, faults).unwrap(), there)
    }

    fn plain(mut device: Device) -> Device {
        device.writer = Writer::Plain(Box::new([0; PACKET_BYTES_MAX]), "for a test".to_owned());
        device
    }

    fn send(device: &mut Device, packet: &[u8]) {
        device
            .send(|buffer| {
                buffer[..packet.len()].copy_from_slice(packet);
                packet.len()
            })
            .unwrap();
    }

    fn take(end: &OwnedFd) -> Option<Vec<u8>> {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        let bytes = rustix::io::read(end, &mut buffer[..]).ok()?;
        buffer.truncate(bytes);
        Some(buffer)
    }

    #[test]
    fn both_ways_of_writing_send_each_packet_once_and_in_order() {
        for make in [|device| device, plain] {
            let (device, kernel) = device(Faults::default());
            let mut device = make(device);
            for number in 0..100_u32 {
                send(&mut device, &number.to_ne_bytes());
            }
            device.flush().unwrap();
            for number in 0..100_u32 {
                assert_eq!(take(&kernel), Some(number.to_ne_bytes().to_vec()));
            }
            assert_eq!(take(&kernel), None);
            assert_eq!(device.lost(), 0);
        }
    }

    #[test]
    fn a_refused_ring_is_told_with_its_reason() {
        let (device, _kernel) = device(Faults::default());
        let grants = plain(device).grants();
        assert_eq!(grants[0].feature, BATCHED_WRITES);
        assert!(!grants[0].granted);
        assert_eq!(grants[0].reason.as_deref(), Some("for a test"));
    }

    #[test]
    fn what_is_lost_is_counted_in_both_directions() {
        let (mut device, kernel) = device(Faults::losing(200_000));
        let mut buffer = [0; PACKET_BYTES_MAX];
        let (mut sent, mut received) = (0, 0);
        for number in 0..1000_u32 {
            send(&mut device, &number.to_ne_bytes());
            device.flush().unwrap();
            sent += u64::from(take(&kernel).is_some());
            rustix::io::write(&kernel, &number.to_ne_bytes()).unwrap();
            received += u64::from(device.read(&mut buffer).unwrap().is_some());
        }
        assert!(sent < 900 && received < 900, "{sent} and {received} passed");
        assert_eq!(sent + received + device.lost(), 2000);
    }

    #[test]
    fn to_wait_lets_go_what_is_held_back() {
        let (mut device, kernel) = device(Faults::reordering(200_000));
        let mut buffer = [0; PACKET_BYTES_MAX];
        for number in 0..100_u32 {
            send(&mut device, &number.to_ne_bytes());
            device.wait(None, Some(Duration::ZERO)).unwrap();
            assert_eq!(take(&kernel), Some(number.to_ne_bytes().to_vec()));
            rustix::io::write(&kernel, &number.to_ne_bytes()).unwrap();
            if device.read(&mut buffer).unwrap().is_none() {
                // It does not sleep: the packet is there already.
                device.wait(None, None).unwrap();
                let packet = device.read(&mut buffer).unwrap();
                assert_eq!(packet, Some(&number.to_ne_bytes()[..]));
            }
        }
    }
}

//! The TUN device: one packet a read, one packet a write.

use crate::LoadError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The device's end in this process, which whoever made it has set up: non-blocking, an MTU of 1,500,
/// and no header before a packet.
pub(super) struct Device {
    descriptor: OwnedFd,
}

impl Device {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Self { descriptor }
    }

    /// The next packet that the kernel has sent, or `None` if there is none now.
    pub(super) fn read<'b>(&self, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, LoadError> {
        loop {
            match rustix::io::read(&self.descriptor, &mut *buffer) {
                Ok(bytes) => return Ok(Some(&buffer[..bytes])),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(refused("read", errno)),
            }
        }
    }

    /// Hands a packet to the kernel, which has answered it by the time this returns where it answers
    /// at once.
    pub(super) fn write(&self, packet: &[u8]) -> Result<(), LoadError> {
        loop {
            match rustix::io::write(&self.descriptor, packet) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(refused("write", errno)),
            }
        }
    }

    /// Sleeps until a packet waits `other` is readable, or time is up.
    pub(super) fn wait(
        &self,
        other: Option<&OwnedFd>,
        timeout: Option<Duration>,
    ) -> Result<(), LoadError> {
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
}

fn refused(call: &str, errno: Errno) -> LoadError {
    let what = format!("{call} on the ghosts' device: {errno}");
    match errno {
        Errno::NOMEM | Errno::NOBUFS => LoadError::limited(
            "memory",
            format!("{what}; free memory, or hold fewer connections"),
        ),
        _ => LoadError::new(what),
    }
}

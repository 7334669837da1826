//! What a connection could not send at once: kept until the peer reads, and never more than one
//! receive's worth, because nothing more is received meanwhile. That bounds the memory of a peer
//! that never reads, and TCP's own window tells it to stop.

use rustix::io::Errno;
use rustix::net::SendFlags;
use std::os::fd::AsFd;

/// What became of a send.
pub(crate) enum Sent {
    /// All of it is with the kernel.
    All,
    /// The socket is full.
    Rest(Leftover),
    /// The connection is broken: close it.
    Broken,
}

/// The unsent end of a message.
pub(crate) struct Leftover {
    bytes: Box<[u8]>,
    sent: usize,
}

/// Sends `bytes`, and copies to the heap only what the socket did not take.
///
/// A short send is not tried again at once: the socket was full a moment ago.
#[inline]
pub(crate) fn send(connection: impl AsFd, bytes: &[u8]) -> Sent {
    match try_send(&connection, bytes) {
        Ok(sent) if sent == bytes.len() => Sent::All,
        Ok(sent) => Sent::Rest(Leftover::new(&bytes[sent..])),
        Err(_) => Sent::Broken,
    }
}

impl Leftover {
    #[cold]
    fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.into(),
            sent: 0,
        }
    }

    /// Sends on from where it stopped.
    pub(crate) fn flush(mut self, connection: impl AsFd) -> Sent {
        match try_send(&connection, &self.bytes[self.sent..]) {
            Ok(sent) => {
                self.sent += sent;
                if self.sent == self.bytes.len() {
                    Sent::All
                } else {
                    Sent::Rest(self)
                }
            }
            Err(_) => Sent::Broken,
        }
    }
}

/// How many bytes the kernel took: 0 if the socket is full.
#[inline]
fn try_send(connection: impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
    loop {
        match rustix::net::send(&connection, bytes, SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => return Ok(0),
            Err(Errno::INTR) => {}
            sent => return sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_does_not_fit_is_kept_and_arrives_in_order() {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let bytes: Vec<u8> = (0..4_000_000u32).map(|i| (i % 251) as u8).collect();
        let mut sent = send(&near, &bytes);
        assert!(matches!(sent, Sent::Rest(_)), "a socket buffer took 4 MB");
        let mut received = Vec::new();
        let mut chunk = vec![0; 100_000];
        while let Sent::Rest(leftover) = sent {
            let n = far.read(&mut chunk).unwrap();
            received.extend_from_slice(&chunk[..n]);
            sent = leftover.flush(&near);
        }
        assert!(matches!(sent, Sent::All));
        drop(near);
        far.read_to_end(&mut received).unwrap();
        assert!(received == bytes);
    }

    #[test]
    fn a_peer_that_is_gone_breaks_the_send() {
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        assert!(matches!(send(&near, b"x"), Sent::Broken));
    }
}

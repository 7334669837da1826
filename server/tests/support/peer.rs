//! A peer on a plain socket, that sends a pseudo-random stream and compares every byte of its echo.

use super::PATIENCE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketType, sockopt};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Length of the block that every stream repeats: a prime, so that neither a message nor a buffer
/// divides it, and bytes from a wrong place differ.
const BLOCK_BYTES: usize = 1_048_583;

/// The block: splitmix64.
fn block() -> &'static [u8] {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCK.get_or_init(|| {
        let mut state = 1u64;
        let mut bytes = Vec::with_capacity(BLOCK_BYTES + 8);
        while bytes.len() < BLOCK_BYTES {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bytes.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
        }
        bytes.truncate(BLOCK_BYTES);
        bytes
    })
}

/// One end of a connection, with a stream of its own.
pub struct Peer {
    stream: TcpStream,
    /// Where in the block its stream begins.
    start: usize,
    pub sent: usize,
    pub received: usize,
}

impl Peer {
    /// Connects; `seed` tells its stream from the other peers'.
    pub fn connect(address: SocketAddr, seed: usize) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("connect");
        Self::new(stream, seed)
    }

    /// Connects with small socket buffers, so that a stall takes little memory. Not too small: a
    /// send buffer under a few segments, of 64 KiB on loopback, would wait for delayed ACKs.
    pub fn connect_small(address: SocketAddr, seed: usize) -> Self {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket = rustix::net::socket(family, SocketType::STREAM, None).expect("socket");
        sockopt::set_socket_recv_buffer_size(&socket, 32 * 1024).expect("SO_RCVBUF");
        sockopt::set_socket_send_buffer_size(&socket, 256 * 1024).expect("SO_SNDBUF");
        rustix::net::connect(&socket, &address).expect("connect");
        Self::new(TcpStream::from(socket), seed)
    }

    fn new(stream: TcpStream, seed: usize) -> Self {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("SO_RCVTIMEO");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("SO_SNDTIMEO");
        Self {
            stream,
            start: seed.wrapping_mul(7919) % BLOCK_BYTES,
            sent: 0,
            received: 0,
        }
    }

    /// Sends the next `count` bytes of the stream.
    pub fn send(&mut self, count: usize) {
        let end = self.sent + count;
        while self.sent < end {
            let piece = self.stream_at(self.sent, end - self.sent);
            self.stream.write_all(piece).expect("send");
            self.sent += piece.len();
        }
    }

    /// Receives the next `count` bytes of the echo.
    pub fn receive(&mut self, count: usize) {
        let mut buffer = vec![0; count.min(256 * 1024)];
        let end = self.received + count;
        while self.received < end {
            let wanted = buffer.len().min(end - self.received);
            let got = match self.stream.read(&mut buffer[..wanted]) {
                Ok(0) => panic!("the connection ended at byte {} of {end}", self.received),
                Ok(got) => got,
                Err(error) => panic!("receive at byte {} of {end}: {error}", self.received),
            };
            self.compare(&buffer[..got]);
        }
    }

    fn compare(&mut self, mut echo: &[u8]) {
        while !echo.is_empty() {
            let expected = self.stream_at(self.received, echo.len());
            let (head, tail) = echo.split_at(expected.len());
            if head != expected {
                let at = head.iter().zip(expected).position(|(a, b)| a != b);
                panic!(
                    "byte {} of the echo differs",
                    self.received + at.unwrap_or(0)
                );
            }
            self.received += head.len();
            echo = tail;
        }
    }

    /// Sends and receives `count` bytes.
    pub fn echo(&mut self, count: usize) {
        self.send(count);
        self.receive(count);
    }

    /// Sends `count` bytes from another thread while receiving all that is outstanding, which may
    /// be more than the sockets hold; then ends this half if asked to.
    pub fn through(&mut self, count: usize, then_end: bool) {
        let mut sender = Self {
            stream: self.stream.try_clone().expect("dup"),
            ..*self
        };
        self.sent += count;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                sender.send(count);
                if then_end {
                    sender.end();
                }
            });
            self.receive(self.sent - self.received);
        });
    }

    /// Ends this half of the connection.
    pub fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("shutdown");
    }

    /// The server must end its half too, without another byte.
    pub fn expect_end(&mut self) {
        match self.stream.read(&mut [0; 16]) {
            Ok(0) => {}
            Ok(count) => panic!("{count} bytes after the last one"),
            Err(error) => panic!("awaiting the end: {error}"),
        }
    }

    /// The server must have closed, in whatever way.
    pub fn expect_closed(&mut self) {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => self.compare(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("awaiting the close: {error}"),
            }
        }
    }

    /// Closes with a reset.
    pub fn reset(self) {
        sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).expect("SO_LINGER");
    }

    /// Sends without waiting. Whether the socket took anything.
    fn push(&mut self) -> bool {
        let piece = self.stream_at(self.sent, 64 * 1024);
        match self.stream.write(piece) {
            Ok(count) => {
                self.sent += count;
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("send: {error}"),
        }
    }

    /// The stream from `position`, at most `count` bytes: as far as the block goes.
    fn stream_at(&self, position: usize, count: usize) -> &'static [u8] {
        let at = (self.start + position) % BLOCK_BYTES;
        let block = &block()[at..];
        &block[..count.min(block.len())]
    }
}

/// Lets every peer send, and none receive, until none can send any more.
///
/// A server that goes on receiving for a peer that does not read is found out by the bound, far
/// above what the sockets of both ends can hold by themselves.
pub fn stall(peers: &mut [Peer]) {
    const QUIET: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 300_000_000,
    };
    const BYTES_MAX: usize = 256 * 1024 * 1024;
    for peer in &*peers {
        peer.stream.set_nonblocking(true).expect("O_NONBLOCK");
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the peers do not stall");
        for peer in &mut *peers {
            while peer.push() {
                assert!(
                    peer.sent < BYTES_MAX,
                    "the server goes on receiving for a peer that does not read"
                );
            }
        }
        let mut waiting: Vec<PollFd> = peers
            .iter()
            .map(|peer| PollFd::new(&peer.stream, PollFlags::OUT))
            .collect();
        if poll(&mut waiting, Some(&QUIET)).expect("poll") == 0 {
            break;
        }
    }
    for peer in &*peers {
        peer.stream.set_nonblocking(false).expect("O_NONBLOCK");
    }
}

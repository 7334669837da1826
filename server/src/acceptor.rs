//! Accepting into direct descriptors, over as many rings as the connections need.
//!
//! A full table drops the connection that was just accepted (`ENFILE`), and a multishot accept takes
//! all that waits, however little room is left. So it is used while a ring has room for more than
//! can wait in the backlog; near the end of a table it is cancelled, and connections are accepted
//! one by one, never more at a time than there are free slots. Then the next ring's turn comes.

use crate::ServeError;
use crate::listen::BACKLOG;
use fourtuple_ring::{Errno, Ring, RingError, RingSet, Shot, Slot};
use fourtuple_spec::factors::Accept;
use std::net::TcpListener;
use std::os::fd::AsFd;

/// Free slots above which a multishot accept cannot overrun the table: what waits in the backlog,
/// and as much again for what arrives while that is taken.
pub(crate) const MULTISHOT_ROOM: u32 = 2 * BACKLOG;
/// Accepts in flight where they are made one by one: enough to find the next connection waiting.
const ONCE_WINDOW: u32 = 64;

/// How the current ring accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing is armed.
    Idle,
    /// One multishot accept is armed.
    Multishot,
    /// It is being cancelled.
    Cancelling,
    /// So many single accepts are armed.
    Once(u32),
}

/// Accepts connections into the rings of a set.
pub(crate) struct Acceptor {
    listener: TcpListener,
    /// Free slots of each ring. Kept here, because to ask a ring is to warm it up ([`RingSet::ring`]), and
    /// of hundreds all but a few are full and cold.
    room: Vec<u32>,
    current: usize,
    mode: Mode,
    /// Free slots above which one request accepts many: never, where that is not asked for.
    multishot_room: u32,
    make_ring: Box<dyn Fn() -> Result<Ring, ServeError>>,
}

impl Acceptor {
    /// An acceptor that makes rings as they are needed.
    pub(crate) fn new(
        listener: TcpListener,
        accept: Accept,
        make_ring: impl Fn() -> Result<Ring, ServeError> + 'static,
    ) -> Self {
        Self {
            listener,
            room: Vec::new(),
            current: 0,
            mode: Mode::Idle,
            multishot_room: match accept {
                Accept::Multishot => MULTISHOT_ROOM,
                Accept::Oneshot => u32::MAX,
            },
            make_ring: Box::new(make_ring),
        }
    }

    /// Adds a ring to the set.
    pub(crate) fn add_ring(&mut self, rings: &mut RingSet) -> Result<(), ServeError> {
        let ring = (self.make_ring)()?;
        let slots = ring.slots();
        rings.push(ring).map_err(ring_failed)?;
        self.room.push(slots);
        Ok(())
    }

    /// Sees to it that the next connection will be accepted. To be called before each wait.
    #[inline]
    pub(crate) fn advance(&mut self, rings: &mut RingSet) -> Result<(), ServeError> {
        let room = self.room[self.current];
        match self.mode {
            Mode::Multishot if room > self.multishot_room => Ok(()),
            Mode::Cancelling => Ok(()),
            _ => self.rearm(rings, room),
        }
    }

    fn rearm(&mut self, rings: &mut RingSet, room: u32) -> Result<(), ServeError> {
        match self.mode {
            Mode::Multishot => {
                let ring = rings.ring(self.current);
                ring.cancel_accepts().map_err(ring_failed)?;
                self.mode = Mode::Cancelling;
            }
            Mode::Idle if room > self.multishot_room => {
                let ring = rings.ring(self.current);
                ring.accept_multishot(self.listener.as_fd())
                    .map_err(ring_failed)?;
                self.mode = Mode::Multishot;
            }
            Mode::Idle | Mode::Once(0) if room == 0 => self.next_ring(rings)?,
            Mode::Idle => self.arm_once(rings, 0, room)?,
            Mode::Once(armed) => self.arm_once(rings, armed, room)?,
            Mode::Cancelling => {}
        }
        Ok(())
    }

    fn arm_once(&mut self, rings: &mut RingSet, armed: u32, room: u32) -> Result<(), ServeError> {
        let wanted = room.min(ONCE_WINDOW);
        for _ in armed..wanted {
            let ring = rings.ring(self.current);
            ring.accept_once(self.listener.as_fd())
                .map_err(ring_failed)?;
        }
        self.mode = Mode::Once(wanted.max(armed));
        Ok(())
    }

    /// Turns to a ring with room: one where connections have closed, or a new one.
    fn next_ring(&mut self, rings: &mut RingSet) -> Result<(), ServeError> {
        self.current = match self.room.iter().position(|&room| room > 0) {
            Some(index) => index,
            None => {
                self.add_ring(rings)?;
                rings.len() - 1
            }
        };
        self.mode = Mode::Idle;
        self.advance(rings)
    }

    /// Takes note of what an accept answered, and says which slot was taken, if one was.
    pub(crate) fn accepted(
        &mut self,
        ring_index: usize,
        result: Result<Slot, Errno>,
        shot: Shot,
    ) -> Result<Option<Slot>, ServeError> {
        if shot == Shot::Ended {
            self.mode = match self.mode {
                Mode::Once(armed) => Mode::Once(armed - 1),
                _ => Mode::Idle,
            };
        }
        match result {
            Ok(slot) => {
                self.room[ring_index] -= 1;
                Ok(Some(slot))
            }
            // A peer that gave up while it waited, a cancelled accept: nothing is lost.
            Err(Errno::CONNABORTED | Errno::CANCELED | Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(ServeError::refused("accept", errno)),
        }
    }

    /// Takes note that a slot is free again.
    pub(crate) fn closed(&mut self, ring_index: usize) {
        self.room[ring_index] += 1;
    }
}

/// A ring that cannot go on takes its server with it.
pub(crate) fn ring_failed(error: RingError) -> ServeError {
    match &error {
        RingError::Locked { .. } => ServeError::limited("RLIMIT_MEMLOCK", error.to_string()),
        _ => ServeError::new(error.to_string()),
    }
}

/// A ring that could not be set up.
pub(crate) fn setup_failed(error: fourtuple_ring::SetupError) -> ServeError {
    use fourtuple_ring::SetupError;
    let error = match error {
        SetupError::Buffers(error) => return ring_failed(error),
        error => error,
    };
    let text = format!(
        "{error}. The engines epoll, epoll-et, threads, mio, tokio, tokio-multi and spin do without io_uring"
    );
    let limiter = match &error {
        SetupError::Table { .. } | SetupError::Descriptors { .. } => Some("RLIMIT_NOFILE"),
        SetupError::Memory { .. } => Some("memory"),
        SetupError::Disabled(_) | SetupError::Filtered | SetupError::Missing => Some("io_uring"),
        _ => None,
    };
    match limiter {
        Some("io_uring") => ServeError::limited("io_uring", text),
        Some(limiter) => ServeError::limited(limiter, error.to_string()),
        None => ServeError::new(error.to_string()),
    }
}

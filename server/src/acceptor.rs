//! Accepting into direct descriptors, over as many rings as the connections need.
//!
//! A full table drops the connection that was just accepted (`ENFILE`), and a multishot accept takes
//! all that waits, however little room is left. So it is used while a ring has room for more than
//! can wait in the backlog; near the end of a table it is cancelled, and connections are accepted
//! one by one, never more at a time than there are free slots. Then the next ring's turn comes.
//!
//! Where there may be no further ring, one accept stays armed on the full table. The connection that it takes is
//! lost, and says by that (`ENFILE`) that one more was wanted than there are slots: until then the server serves. So
//! does one that comes before the server has heard that a slot of an earlier ring is free again.

use crate::ServeError;
use crate::listen::BACKLOG;
use fourtuple_ring::{Errno, Ring, RingError, RingSet, Shot, Slot};
use fourtuple_spec::factors::Accept;
use fourtuple_spec::limiter;
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
    /// One is armed, of a table without a free slot: all tables are full, and there may be no more of them.
    Full,
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
    /// The most rings.
    rings_max: usize,
    make_ring: Box<dyn Fn() -> Result<Ring, ServeError>>,
}

impl Acceptor {
    /// An acceptor that makes rings as they are needed.
    pub(crate) fn new(
        listener: TcpListener,
        accept: Accept,
        rings_max: Option<u32>,
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
            rings_max: rings_max.map_or(usize::MAX, |most| most as usize),
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
            Mode::Full if self.room.iter().all(|&room| room == 0) => Ok(()),
            _ => self.rearm(rings, room),
        }
    }

    fn rearm(&mut self, rings: &mut RingSet, room: u32) -> Result<(), ServeError> {
        match self.mode {
            // The second where a slot is free again, in whichever ring.
            Mode::Multishot | Mode::Full => {
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
            None if rings.len() < self.rings_max => {
                self.add_ring(rings)?;
                rings.len() - 1
            }
            None => return self.arm_full(rings),
        };
        self.mode = Mode::Idle;
        self.advance(rings)
    }

    /// Waits for the connection that is one too many.
    fn arm_full(&mut self, rings: &mut RingSet) -> Result<(), ServeError> {
        let ring = rings.ring(self.current);
        ring.accept_once(self.listener.as_fd())
            .map_err(ring_failed)?;
        self.mode = Mode::Full;
        Ok(())
    }

    /// Takes note of what an accept answered, and says which slot was taken, if one was.
    pub(crate) fn accepted(
        &mut self,
        ring_index: usize,
        result: Result<Slot, Errno>,
        shot: Shot,
    ) -> Result<Option<Slot>, ServeError> {
        let was_full = match self.mode {
            Mode::Full => true,
            Mode::Cancelling => self.room.len() >= self.rings_max,
            _ => false,
        };
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
            Err(Errno::NFILE) if was_full => Err(self.table_is_full()),
            Err(errno) => Err(ServeError::refused("accept", errno)),
        }
    }

    fn table_is_full(&self) -> ServeError {
        let rings = self.room.len();
        ServeError::limited(
            limiter::DIRECT_TABLE,
            format!(
                "all slots of {rings} rings are taken, no more rings are allowed, and one more connection came: raise \
                 rings_max ({rings}) or slots_per_ring"
            ),
        )
    }

    /// Takes note that a slot is free again.
    pub(crate) fn closed(&mut self, ring_index: usize) {
        self.room[ring_index] += 1;
    }
}

/// A ring that cannot go on takes its server with it.
pub(crate) fn ring_failed(error: RingError) -> ServeError {
    match &error {
        RingError::Locked { .. } => ServeError::limited(limiter::LOCKED_MEMORY, error.to_string()),
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
    let name = match &error {
        SetupError::Table { .. } | SetupError::Descriptors { .. } => Some(limiter::DESCRIPTORS),
        SetupError::Memory { .. } => Some(limiter::MEMORY),
        SetupError::Disabled(_) | SetupError::Filtered | SetupError::Missing => {
            Some(limiter::IO_URING)
        }
        _ => None,
    };
    match name {
        Some(limiter::IO_URING) => ServeError::limited(limiter::IO_URING, text),
        Some(name) => ServeError::limited(name, error.to_string()),
        None => ServeError::new(error.to_string()),
    }
}

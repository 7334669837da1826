//! Churn: each active connection is closed, opened again, echoes one message, and so on: connections a second.
//!
//! The ramp opens every connection, as in any other run, and after the measured span every one is open again.
//! In between a *cycle* replaces one: the old one is closed by a reset, so that nothing of it stays in
//! TIME_WAIT, and a new one is opened in its slot and to the same address, sends one message and waits for
//! its echo. What counts is the verified echo, and its latency is from the beginning of the connect. As many
//! cycles as there are active connections are under way at once. If there are more connections than that,
//! the turn passes round all of them.
//!
//! A slot is used again only when its close has been answered, and by then nothing of its earlier user is in
//! the kernel: a receive is armed for one message and has ended with it, and the echo proves that the send had
//! been taken. A server that closes before it has echoed is an error.
//!
//! Where the ring cannot set socket options (before Linux 6.11) a close is a plain one: the client's ends stay
//! in TIME_WAIT, and once they have taken all ports, that is the limit that the run is told to have met.

use crate::conductor::Conductor;
use crate::members::Members;
use crate::turns::Turns;
use crate::uring::{TICK, UringLoad};
use crate::{LoadError, Warm};
use fourtuple_ring::{Errno, Event, Lease, Received, Shot};
use fourtuple_spec::message::Measured;
use std::time::Duration;

/// Cycles begun before what has come is taken.
const BEGIN_AT_ONCE: u32 = 64;
/// Receives armed again at one turn after buffers ran out.
const REARM_AT_ONCE: usize = 16;
/// Events taken from one ring before the others' turn comes, and that of deadlines.
const EVENTS_AT_ONCE: u32 = 256;
/// Events taken before the clock is read again.
const EVENTS_A_CLOCK: u32 = 16;

/// Cycles under way.
struct Churn<'a> {
    load: &'a mut UringLoad,
    conductor: Conductor,
    turns: Turns,
    /// How far each connection's cycle is, by index.
    steps: Vec<Step>,
    now_ns: u64,
}

/// How far the cycle of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is open, and nothing is under way.
    Idle,
    /// It is being closed.
    Closing,
    /// It is being opened.
    Connecting,
    /// Its message is under way.
    Echoing,
}

impl UringLoad {
    /// Closes and opens connections all along: see [`crate::churn`].
    pub(crate) fn churn(&mut self, warm: &mut dyn FnMut(Warm)) -> Result<Measured, LoadError> {
        (self.connections.iter_mut()).for_each(|connection| connection.cool());
        let members = Members::all(&self.case);
        let turns = Turns::new(members, self.case.active_connections, 1);
        let churn = Churn {
            conductor: Conductor::new(&self.case, members.count(), self.proved),
            steps: vec![Step::Idle; members.count() as usize],
            turns,
            now_ns: 0,
            load: self,
        };
        let conductor = churn.play(warm)?;
        Ok(conductor.measured(self.counters()))
    }
}

impl Churn<'_> {
    /// From the first close to the last echo.
    fn play(mut self, warm: &mut dyn FnMut(Warm)) -> Result<Conductor, LoadError> {
        let spin = Duration::from_micros(u64::from(self.load.case.client_spin_us));
        loop {
            self.begin_some()?;
            let (spin, timeout) = match self.is_beginning() {
                true => (Duration::ZERO, Duration::ZERO),
                false => (spin, TICK),
            };
            let watched = self.load.rings.wait_spinning(spin, Some(timeout))?;
            self.conductor.watched(watched);
            self.take_events()?;
            let load = &*self.load;
            let is_over = (self.conductor).advance(self.now_ns, warm, || load.counters())?;
            if is_over {
                self.load.proved = self.conductor.proved;
                return Ok(self.conductor);
            }
            self.rearm_some()?;
        }
    }

    fn is_beginning(&self) -> bool {
        self.turns.begun < self.turns.active && self.conductor.is_sending()
    }

    fn begin_some(&mut self) -> Result<(), LoadError> {
        for _ in 0..BEGIN_AT_ONCE {
            if !self.is_beginning() {
                break;
            }
            self.turns.begun += 1;
            self.pass_turn()?;
        }
        Ok(())
    }

    /// Begins the cycle of the next connection that has none.
    fn pass_turn(&mut self) -> Result<(), LoadError> {
        for _ in 0..self.turns.members.count() {
            let Some(index) = self.turns.next() else {
                break;
            };
            if self.steps[index as usize] == Step::Idle {
                return self.close(index);
            }
        }
        Ok(())
    }

    /// Begins a cycle.
    fn close(&mut self, index: u32) -> Result<(), LoadError> {
        self.conductor.in_flight += 1;
        self.steps[index as usize] = Step::Closing;
        self.load.reset(index)
    }

    /// The old connection is closed: the new one is opened.
    fn open(&mut self, index: u32) -> Result<(), LoadError> {
        let connection = &mut self.load.connections[index as usize];
        debug_assert!(!connection.is_armed(), "a receive ends with its message");
        self.steps[index as usize] = Step::Connecting;
        connection.begin(self.now_ns);
        self.load.open(index)
    }

    /// The connection is open: its message leaves.
    fn send(&mut self, index: u32) -> Result<(), LoadError> {
        self.steps[index as usize] = Step::Echoing;
        self.arm(index)?;
        let sequence = self.load.connections[index as usize].sequence;
        let range = self.load.pattern.range(index, sequence);
        let (ring, place) = self.load.place(index);
        let ring = self.load.rings.ring(ring);
        let slot = ring.slot(place);
        Ok(ring.send_pattern(slot, range)?)
    }

    fn arm(&mut self, index: u32) -> Result<(), LoadError> {
        self.load.connections[index as usize].set_armed(true);
        let (ring, place) = self.load.place(index);
        let ring = self.load.rings.ring(ring);
        let slot = ring.slot(place);
        Ok(ring.receive_once(slot)?)
    }

    fn take_events(&mut self) -> Result<(), LoadError> {
        let mut since_clock = 0;
        self.now_ns = self.conductor.now_ns();
        for position in 0..self.load.rings.hot_count() {
            let ring_index = self.load.rings.hot(position);
            for _ in 0..EVENTS_AT_ONCE {
                let Some(event) = self.load.rings.ring(ring_index).pop() else {
                    break;
                };
                if since_clock == EVENTS_A_CLOCK {
                    since_clock = 0;
                    self.now_ns = self.conductor.now_ns();
                }
                since_clock += 1;
                self.take(ring_index, event)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, ring_index: usize, event: Event) -> Result<(), LoadError> {
        let first = ring_index as u32 * self.load.slots_per_ring;
        match event {
            // A socket whose close fails is closed all the same.
            Event::Closed { slot, .. } => self.open(first + slot.index()),
            Event::Connected { slot, result } => {
                let index = first + slot.index();
                result.map_err(|failure| LoadError::connect(failure, self.load.target, index))?;
                self.send(index)
            }
            Event::Received { slot, result, shot } => {
                let index = first + slot.index();
                let is_armed = shot == Shot::Armed;
                self.load.connections[index as usize].set_armed(is_armed);
                self.received(ring_index, index, result)
            }
            Event::Sent { slot, result, .. } => {
                let failed = |errno| lost(first + slot.index(), errno);
                result.map(drop).map_err(failed)
            }
            _ => Ok(()),
        }
    }

    fn received(
        &mut self,
        ring_index: usize,
        index: u32,
        result: Result<Received, Errno>,
    ) -> Result<(), LoadError> {
        match result {
            Ok(Received::Data(lease)) => {
                self.verify(ring_index, index, &lease)?;
                self.load.rings.ring(ring_index).recycle(lease);
            }
            Ok(Received::End) => return Err(LoadError::lost(index, "was closed by the server")),
            Err(Errno::NOBUFS) => self.load.to_rearm.push_back(index),
            Err(errno) => return Err(lost(index, errno)),
        }
        Ok(())
    }

    /// Checks received bytes against the one message that was sent.
    fn verify(&mut self, ring_index: usize, index: u32, lease: &Lease) -> Result<(), LoadError> {
        let bytes = self.load.rings.ring(ring_index).bytes(lease);
        let connection = &mut self.load.connections[index as usize];
        let (sequence, received) = (connection.sequence, connection.received());
        let message_bytes = self.load.pattern.message_bytes();
        if self.steps[index as usize] != Step::Echoing || received + bytes.len() > message_bytes {
            return Err(LoadError::unasked(index, sequence));
        }
        (self.load.pattern)
            .check(index, sequence, received, bytes)
            .map_err(LoadError::mismatch)?;
        if received + bytes.len() == message_bytes {
            return self.complete(index);
        }
        connection.add_received(bytes.len());
        self.arm(index)
    }

    /// A cycle is over.
    fn complete(&mut self, index: u32) -> Result<(), LoadError> {
        let connection = &mut self.load.connections[index as usize];
        let latency_ns = connection.latency_ns(self.now_ns);
        let proof = connection.complete();
        connection.end();
        self.conductor.echoed(self.now_ns, latency_ns, proof);
        self.steps[index as usize] = Step::Idle;
        match self.conductor.is_sending() {
            true if self.turns.is_passing => self.pass_turn(),
            true => self.close(index),
            false => Ok(()),
        }
    }

    /// Arms a few of the receives that ended for want of a buffer.
    fn rearm_some(&mut self) -> Result<(), LoadError> {
        for _ in 0..REARM_AT_ONCE.min(self.load.to_rearm.len()) {
            let Some(index) = self.load.to_rearm.pop_front() else {
                break;
            };
            if self.steps[index as usize] == Step::Echoing {
                self.load.rearmed += 1;
                self.arm(index)?;
            }
        }
        Ok(())
    }
}

fn lost(connection_index: u32, errno: Errno) -> LoadError {
    let name = fourtuple_ring::errno_name(errno);
    LoadError::lost(connection_index, &format!("failed with {name}"))
}

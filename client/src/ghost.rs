//! Ghosts: peers that hold no socket. A small TCP of this process speaks for all of them through a TUN
//! device, so that a connection's only end in the kernel is the server's, and its bytes are exact.
//!
//! What a ghost sends follows from the state that the server's endpoint is to come into
//! ([`script`]), what it has sent and heard ([`connection`], without I/O), and how that is written
//! ([`segment`]). The path loses nothing; where the server's accept queue does, it is sent again.
//!
//! It is no full TCP: no congestion control, no reassembly, no estimate of the round trip.

mod backlog;
mod connection;
mod device;
mod script;
mod segment;
#[cfg(test)]
mod tests;

use crate::LoadError;
use crate::ramp::Blocks;
use connection::{Connection, Heard, Reply};
use device::Device;
use fourtuple_spec::message::Ramp;
use fourtuple_spec::payload::Pattern;
use fourtuple_spec::record::ClientCounters;
use fourtuple_spec::{Case, EndpointState};
use rustix::event::{EventfdFlags, eventfd};
use script::Script;
use segment::{Endpoint, Malformed, SYN, Segment, SegmentOptions};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The server's address on the device: the first of 198.18.0.0/15, which RFC 2544 keeps for
/// measurements. Ghosts have the addresses after it.
pub const GHOST_SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Bits of that network's prefix.
pub const GHOST_PREFIX_BITS: u8 = 15;

/// Ghosts of one address, by port.
const ADDRESS_GHOSTS: u32 = 60_000;
const FIRST_PORT: u32 = 1024;
/// Connections that the addresses name: all of the network but its first two and its last.
const GHOSTS_MAX: u64 = ((1 << (32 - GHOST_PREFIX_BITS as u64)) - 3) * ADDRESS_GHOSTS as u64;

/// How long an answer may take before what it answers is sent again. The kernel delays an
/// acknowledgement by 200 ms at most.
const RESEND_TIME: Duration = Duration::from_millis(250);
/// The longest sleep while connections are under way.
const TICK: Duration = Duration::from_millis(20);
/// The same while the server has to accept first, of which the device says nothing.
const ACCEPT_TICK: Duration = Duration::from_millis(1);
/// Connections opened between two looks at the accept queue, and how many may wait there before no more
/// are opened. Together with the window they stay below the least backlog, 4,096.
const LOOK_CONNECTIONS: u32 = 512;
const WAITING_MAX: u32 = 1024;
const PROGRESS: Duration = Duration::from_millis(100);
/// More than a device's MTU.
const BUFFER_BYTES: usize = 2048;

/// The ghosts of one case. They go on answering between the ramp and the drain.
pub(crate) struct GhostLoad {
    at: At,
}

/// Where the ghosts are.
enum At {
    /// Here, before the ramp.
    Ready(Box<Ghosts>),
    /// With a thread that answers the server.
    Lingering(JoinHandle<Result<Ghosts, LoadError>>, Arc<OwnedFd>),
    /// Gone, by an error.
    Gone,
}

impl GhostLoad {
    pub(crate) fn prepare(
        case: &Case,
        target: SocketAddr,
        device: OwnedFd,
    ) -> Result<Self, LoadError> {
        let Some(state) = case.state else {
            return Err(LoadError::new(
                "ghost peers hold the states of the price list, so far: name a state",
            ));
        };
        if u64::from(case.connections) > GHOSTS_MAX {
            return Err(LoadError::new(format!(
                "{} ghosts are asked for, and 198.18.0.0/15 names {GHOSTS_MAX}",
                case.connections
            )));
        }
        let ghosts = Box::new(Ghosts::new(case, state, target.port(), Device::new(device)));
        Ok(Self {
            at: At::Ready(ghosts),
        })
    }

    /// Brings every connection into the state, then leaves a thread that answers the server.
    pub(crate) fn ramp(&mut self, progress: &mut dyn FnMut(u32)) -> Result<Ramp, LoadError> {
        let At::Ready(mut ghosts) = std::mem::replace(&mut self.at, At::Gone) else {
            return Err(LoadError::new("the ghosts have had their ramp"));
        };
        let ramp = match ghosts.ramp(progress) {
            Ok(ramp) => ramp,
            Err(error) => return Err(error.holding(ghosts.there)),
        };
        self.at = linger(*ghosts)?;
        Ok(ramp)
    }

    /// Ends every connection by a reset: nothing outlives the run in the kernel, which would otherwise
    /// close the server's ends towards peers that are not there any more.
    pub(crate) fn drain(self) -> Result<ClientCounters, LoadError> {
        let At::Lingering(thread, stop) = self.at else {
            return Ok(ClientCounters::default());
        };
        // Refused only when the count would overflow, and then the event is readable already.
        let _ = rustix::io::write(&*stop, &1_u64.to_ne_bytes());
        match thread.join() {
            Ok(Ok(mut ghosts)) => ghosts.reset_all().map(|()| ClientCounters::default()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(LoadError::new("the ghosts' thread panicked")),
        }
    }
}

fn linger(mut ghosts: Ghosts) -> Result<At, LoadError> {
    let refused = |what: &str, error: String| LoadError::new(format!("{what}: {error}"));
    let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|errno| refused("eventfd", errno.to_string()))?;
    let stop = Arc::new(stop);
    let asked = Arc::clone(&stop);
    let thread = thread::Builder::new()
        .name("ghosts".to_owned())
        .spawn(move || ghosts.linger(&asked).map(|()| ghosts))
        .map_err(|error| refused("cannot start a thread", error.to_string()))?;
    Ok(At::Lingering(thread, stop))
}

/// All connections, and what they share.
struct Ghosts {
    device: Device,
    script: Script,
    server: Endpoint,
    payload: Payload,
    connections: Vec<Connection>,
    connect_window: u32,
    /// Opened so far, and those of them that are in the state.
    opened: u32,
    there: u32,
    /// With how many opened the accept queue is looked at next.
    looks_next: u32,
    /// Those that are on their way, in the order of the time at which something is sent again.
    under_way: VecDeque<(Instant, u32)>,
    replies: Vec<Reply>,
    packet: Vec<u8>,
}

/// What the ghosts send.
enum Payload {
    /// Messages, whose echoes are checked.
    Messages(Pattern),
    /// Bytes that nobody reads.
    Zeros,
}

static ZEROS: [u8; segment::SEGMENT_BYTES as usize] = [0; segment::SEGMENT_BYTES as usize];

impl Payload {
    fn slice(&self, index: u32, reply: &Reply) -> &[u8] {
        let length = usize::from(reply.length);
        match self {
            Self::Messages(pattern) => {
                let offset = reply.offset as usize;
                let message = pattern.message(index, 0);
                message.get(offset..offset + length).unwrap_or_default()
            }
            Self::Zeros => &ZEROS[..length],
        }
    }

    fn check(&self, index: u32, offset: u32, echo: &[u8]) -> Result<(), LoadError> {
        match self {
            Self::Messages(pattern) => pattern
                .check(index, 0, offset as usize, echo)
                .map_err(|wrong| LoadError::new(format!("the server does not echo: {wrong}"))),
            Self::Zeros => Ok(()),
        }
    }
}

impl Ghosts {
    fn new(case: &Case, state: EndpointState, port: u16, device: Device) -> Self {
        let payload = match state {
            EndpointState::Echoed => Payload::Messages(Pattern::new(case.message_bytes)),
            _ => Payload::Zeros,
        };
        Self {
            device,
            script: Script::of(state, case.message_bytes),
            server: Endpoint {
                address: GHOST_SERVER_ADDRESS,
                port,
            },
            payload,
            connections: vec![Connection::default(); case.connections as usize],
            connect_window: case.connect_window,
            opened: 0,
            looks_next: LOOK_CONNECTIONS,
            there: 0,
            under_way: VecDeque::new(),
            replies: Vec::new(),
            packet: vec![0; segment::PACKET_BYTES_MAX],
        }
    }

    fn ramp(&mut self, progress: &mut dyn FnMut(u32)) -> Result<Ramp, LoadError> {
        let count = self.connections.len() as u32;
        let mut blocks = Blocks::new(count);
        let mut said = Instant::now();
        while self.there < count {
            self.open_some(count)?;
            let before = self.there;
            self.hear_all()?;
            self.resend_late()?;
            if said.elapsed() >= PROGRESS {
                said = Instant::now();
                progress(self.there);
            }
            blocks.reached(self.there);
            if self.there == before {
                let is_held_up = self.opened < count && self.opened == self.there;
                let longest = if is_held_up { ACCEPT_TICK } else { TICK };
                self.device.wait(None, Some(longest))?;
            }
        }
        Ok(blocks.finish(count))
    }

    /// Opens as many as the window takes, and no more while many wait to be accepted.
    fn open_some(&mut self, count: u32) -> Result<(), LoadError> {
        while self.opened < count && self.opened - self.there < self.connect_window {
            if self.opened >= self.looks_next {
                if self.waits_for_accepts() {
                    return Ok(());
                }
                self.looks_next = self.opened + LOOK_CONNECTIONS;
            }
            self.open_next()?;
        }
        Ok(())
    }

    fn waits_for_accepts(&self) -> bool {
        self.script.is_accepted
            && backlog::longest_accept_queue(self.server.port)
                .is_some_and(|waiting| waiting > WAITING_MAX)
    }

    fn open_next(&mut self) -> Result<(), LoadError> {
        let index = self.opened;
        self.opened += 1;
        self.connections[index as usize].open(first_sequence(index), &mut self.replies);
        self.under_way
            .push_back((Instant::now() + RESEND_TIME, index));
        self.send_replies(index)
    }

    /// Takes what the kernel has sent.
    fn hear_all(&mut self) -> Result<(), LoadError> {
        let mut buffer = [0; BUFFER_BYTES];
        while let Some(packet) = self.device.read(&mut buffer)? {
            let segment = match segment::parse(packet) {
                Ok(segment) => segment,
                // The kernel asks for IPv6 routers on every device.
                Err(Malformed::Foreign) => continue,
                Err(error) => {
                    return Err(LoadError::new(format!(
                        "the kernel sent a packet that is no segment: {error}"
                    )));
                }
            };
            if let Some(index) = self.index_of(&segment) {
                self.hear(index, &segment)?;
            }
        }
        Ok(())
    }

    fn index_of(&self, segment: &Segment<'_>) -> Option<u32> {
        let index = ghost_index(segment.destination)?;
        (segment.source == self.server && index < self.opened).then_some(index)
    }

    fn hear(&mut self, index: u32, segment: &Segment<'_>) -> Result<(), LoadError> {
        let connection = &mut self.connections[index as usize];
        match connection.hear(&self.script, segment, &mut self.replies) {
            Heard::Nothing => {}
            Heard::Fresh(offset) => self.payload.check(index, offset, segment.payload)?,
            Heard::Broken(how) => return Err(broken(index, how)),
        }
        self.there += u32::from(connection.arrives(&self.script));
        self.send_replies(index)
    }

    /// Sends again what has had no answer for too long. Those that have arrived leave the queue here.
    fn resend_late(&mut self) -> Result<(), LoadError> {
        let now = Instant::now();
        while let Some(&(due, index)) = self.under_way.front() {
            let connection = &mut self.connections[index as usize];
            if !connection.has_arrived() && due > now {
                return Ok(());
            }
            self.under_way.pop_front();
            if connection.has_arrived() {
                continue;
            }
            if let Heard::Broken(how) = connection.resend(&self.script, &mut self.replies) {
                return Err(broken(index, how));
            }
            if connection.arrives(&self.script) {
                self.there += 1;
            } else {
                self.under_way.push_back((now + RESEND_TIME, index));
            }
            self.send_replies(index)?;
        }
        Ok(())
    }

    /// Answers until asked to stop.
    fn linger(&mut self, stop: &OwnedFd) -> Result<(), LoadError> {
        while !is_asked(stop) {
            self.hear_all()?;
            self.device.wait(Some(stop), None)?;
        }
        Ok(())
    }

    fn reset_all(&mut self) -> Result<(), LoadError> {
        let mut buffer = [0; BUFFER_BYTES];
        for index in 0..self.opened {
            self.connections[index as usize].reset(&mut self.replies);
            self.send_replies(index)?;
            // What comes is of no interest, but the device's queue holds its memory.
            while self.device.read(&mut buffer)?.is_some() {}
        }
        Ok(())
    }

    fn send_replies(&mut self, index: u32) -> Result<(), LoadError> {
        for reply in self.replies.drain(..) {
            let segment = Segment {
                source: ghost_endpoint(index),
                destination: self.server,
                sequence: reply.sequence,
                acknowledgement: reply.acknowledgement,
                flags: reply.flags,
                window: reply.window,
                options: options_of(&reply),
                payload: self.payload.slice(index, &reply),
            };
            let length = segment::build(&segment, &mut self.packet);
            self.device.write(&self.packet[..length])?;
        }
        Ok(())
    }
}

/// What a SYN says, and nothing in any other segment.
fn options_of(reply: &Reply) -> SegmentOptions {
    if reply.flags & SYN == 0 {
        return SegmentOptions::default();
    }
    SegmentOptions {
        segment_bytes: Some(segment::SEGMENT_BYTES),
        window_scale: Some(segment::WINDOW_SCALE),
        ..SegmentOptions::default()
    }
}

/// What a ghost cannot be asked for.
pub(crate) fn echoes_nothing() -> LoadError {
    LoadError::new("ghost peers hold states: they have no rounds, no rate and no latency")
}

/// Whether the event says stop.
fn is_asked(stop: &OwnedFd) -> bool {
    rustix::io::read(stop, &mut [0; 8]).is_ok()
}

fn broken(index: u32, how: &str) -> LoadError {
    LoadError::new(format!(
        "ghost connection {index} {how}: the server died, its queues were full, or a limit of the \
         kernel's (tcp_mem, tcp_max_orphans) ended it"
    ))
}

/// Where a ghost's numbers begin: far from its neighbours', so that a mix-up shows.
fn first_sequence(index: u32) -> u32 {
    index.wrapping_mul(0x9e37_79b9)
}

/// The address and port of ghost `index`.
fn ghost_endpoint(index: u32) -> Endpoint {
    let address = GHOST_SERVER_ADDRESS.to_bits() + 1 + index / ADDRESS_GHOSTS;
    Endpoint {
        address: Ipv4Addr::from_bits(address),
        port: (FIRST_PORT + index % ADDRESS_GHOSTS) as u16,
    }
}

/// The ghost that an address and port belong to, if they are a ghost's.
fn ghost_index(endpoint: Endpoint) -> Option<u32> {
    let group = endpoint
        .address
        .to_bits()
        .checked_sub(GHOST_SERVER_ADDRESS.to_bits() + 1)?;
    let rank = u32::from(endpoint.port).checked_sub(FIRST_PORT)?;
    (rank < ADDRESS_GHOSTS).then_some(())?;
    group.checked_mul(ADDRESS_GHOSTS)?.checked_add(rank)
}

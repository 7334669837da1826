//! The io_uring driver: rings, slots, and the ramp. What it does with open connections is in [`crate::echo`].
//!
//! Connections live in direct descriptors: connection `i` is slot `i % slots` of ring `i / slots`, so
//! the table bounds nothing, and a connection's ring is known without a look-up. The client keeps
//! 16 bytes a connection; everything else about it is the kernel's.

use crate::LoadError;
use fourtuple_ring::{Event, Ring, RingSet, Setup, table_slots_max};
use fourtuple_spec::message::Ramp;
use fourtuple_spec::payload::Pattern;
use fourtuple_spec::record::{ClientCounters, Grant};
use fourtuple_spec::{AddressPlan, Case};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Buffers of a ring. Each is given back as soon as it has been verified, so few are enough, and few
/// stay in the cache.
const BUFFERS: u16 = 256;
/// The same for each of many rings, of which few are busy at a time.
const BUFFERS_OF_MANY: u16 = 64;
/// Rings from which on there are many.
const MANY_RINGS: u32 = 4;
const BUFFER_BYTES_MIN: u32 = 2048;
const BUFFER_BYTES_MAX: u32 = 256 * 1024;
/// Closes in flight while draining.
const CLOSE_WINDOW: u32 = 256;
/// A large set-up is timed in this many blocks, so that a slow end shows.
const BLOCKS: u32 = 10;
/// Below so many connections a block would be too short to time.
const BLOCK_CONNECTIONS_MIN: u32 = 1000;
const PROGRESS: Duration = Duration::from_millis(250);
/// How long a wait lasts at most, so that deadlines are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(500);

/// What the client keeps about a connection: 16 bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Connection {
    /// The message whose echo comes next.
    pub(crate) sequence: u32,
    /// Bytes of it that have come.
    pub(crate) received: u32,
    /// When it was sent; 0 while nothing is in flight.
    pub(crate) sent_ns: u64,
}

/// The io_uring load generator.
pub(crate) struct UringLoad {
    pub(crate) case: Case,
    pub(crate) rings: RingSet,
    pub(crate) slots_per_ring: u32,
    pub(crate) pattern: Pattern,
    pub(crate) connections: Vec<Connection>,
    /// Receives that ended for want of a buffer, by connection.
    pub(crate) to_rearm: VecDeque<u32>,
    pub(crate) rearmed: u64,
    /// Connections, from the first on, that keep a receive armed; none where turns pass.
    pub(crate) armed: u32,
    target: SocketAddr,
    plan: AddressPlan,
}

impl UringLoad {
    pub(crate) fn prepare(case: &Case, target: SocketAddr) -> Result<Self, LoadError> {
        let plan = AddressPlan::new(case.addresses, target, case.group_connections);
        if let Some(capacity) = plan.capacity()
            && case.connections > capacity
        {
            return Err(LoadError::limited(
                "net.ipv4.ip_local_port_range",
                format!(
                    "{} connections to the one address {target} would take more than half of the local \
                     ports ({capacity} is the most that opens without slowing down): ask for fewer, \
                     widen net.ipv4.ip_local_port_range, or aim at an IPv4 loopback or wildcard address",
                    case.connections
                ),
            ));
        }
        let slots = case.slots_per_ring.unwrap_or(u32::MAX);
        let mut load = Self {
            slots_per_ring: slots.min(case.connections).min(table_slots_max()).max(1),
            case: case.clone(),
            rings: RingSet::default(),
            pattern: Pattern::new(case.message_bytes),
            connections: Vec::new(),
            to_rearm: VecDeque::new(),
            rearmed: 0,
            armed: 0,
            target,
            plan,
        };
        load.add_ring()?;
        Ok(load)
    }

    /// What the kernel granted.
    pub(crate) fn granted(&self) -> Vec<Grant> {
        let grants = self.rings.first().grants().iter();
        grants
            .map(|grant| Grant {
                feature: grant.feature.name().to_owned(),
                granted: grant.refused.is_none(),
                reason: grant.refused.clone(),
            })
            .collect()
    }

    fn add_ring(&mut self) -> Result<(), LoadError> {
        let bytes = self
            .case
            .message_bytes
            .clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX);
        let is_one_of_many = self.case.connections / self.slots_per_ring >= MANY_RINGS;
        let buffers = if is_one_of_many {
            BUFFERS_OF_MANY
        } else {
            BUFFERS
        };
        let ring: Ring = Setup::new(self.slots_per_ring)
            .buffers(buffers, bytes)
            .pattern(self.pattern.bytes())
            .build()?;
        self.rings.push(ring)?;
        Ok(())
    }

    /// The ring of a connection, and its place in it.
    #[inline]
    pub(crate) fn place(&self, index: u32) -> (usize, u32) {
        (
            (index / self.slots_per_ring) as usize,
            index % self.slots_per_ring,
        )
    }

    /// Opens every connection, a window of them at a time.
    pub(crate) fn ramp(&mut self, progress: &mut dyn FnMut(u32)) -> Result<Ramp, LoadError> {
        let count = self.case.connections;
        self.connections = vec![Connection::default(); count as usize];
        let mut blocks = Blocks::new(count);
        let (mut next, mut open) = (0, 0);
        let mut told = Instant::now();
        while open < count {
            while next < count && next - open < self.case.connect_window {
                self.open(next).map_err(|error| error.holding(open))?;
                next += 1;
            }
            self.rings.wait(Some(TICK))?;
            open += self.opened().map_err(|error| error.holding(open))?;
            blocks.reached(open);
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                progress(open);
            }
        }
        Ok(blocks.finish(count))
    }

    fn open(&mut self, index: u32) -> Result<(), LoadError> {
        let (ring_index, slot) = self.place(index);
        while self.rings.len() <= ring_index {
            self.add_ring()?;
        }
        let tuple = self.plan.four_tuple(index);
        self.rings
            .ring(ring_index)
            .connect(slot, tuple.source, tuple.destination)?;
        Ok(())
    }

    /// Takes what the connects have answered: how many opened.
    fn opened(&mut self) -> Result<u32, LoadError> {
        let mut opened = 0;
        for position in 0..self.rings.hot_count() {
            let ring_index = self.rings.hot(position);
            while let Some(event) = self.rings.ring(ring_index).pop() {
                let Event::Connected { slot, result } = event else {
                    continue;
                };
                if let Err(failure) = result {
                    let index = ring_index as u32 * self.slots_per_ring + slot.index();
                    return Err(LoadError::connect(failure, self.target, index));
                }
                opened += 1;
            }
        }
        Ok(opened)
    }

    /// Closes every connection by a reset, a window of them at a time: nothing of the run is left for
    /// the kernel to close one by one after the process is gone, which took more than 100 s
    /// for a million.
    pub(crate) fn drain(mut self) -> Result<(), LoadError> {
        let count = self.connections.len() as u32;
        let (mut next, mut closed) = (0, 0);
        while closed < count {
            while next < count && next - closed < CLOSE_WINDOW {
                let (ring_index, place) = self.place(next);
                let ring = self.rings.ring(ring_index);
                let slot = ring.slot(place);
                if next < self.armed {
                    ring.cancel_receive(slot)?;
                }
                ring.reset(slot)?;
                next += 1;
            }
            self.rings.wait(Some(TICK))?;
            for position in 0..self.rings.hot_count() {
                let ring_index = self.rings.hot(position);
                while let Some(event) = self.rings.ring(ring_index).pop() {
                    closed += u32::from(matches!(event, Event::Closed { .. }));
                }
            }
        }
        Ok(())
    }

    /// What has been counted since the rings were made.
    pub(crate) fn counters(&self) -> ClientCounters {
        let counters = self.rings.counters();
        ClientCounters {
            enters: Some(counters.enters),
            completions: Some(counters.completions),
            no_buffers: Some(counters.no_buffers),
            overflows: Some(counters.overflows),
            rearmed: Some(self.rearmed),
            connect_retries: None,
            rings: Some(self.rings.len() as u64),
        }
    }
}

/// Times the ramp, block by block.
pub(crate) struct Blocks {
    began: Instant,
    block_began: Instant,
    block_connections: u32,
    block_ns: Vec<u64>,
}

impl Blocks {
    pub(crate) fn new(count: u32) -> Self {
        let began = Instant::now();
        Self {
            began,
            block_began: began,
            block_connections: (count / BLOCKS).max(BLOCK_CONNECTIONS_MIN),
            block_ns: Vec::new(),
        }
    }

    pub(crate) fn reached(&mut self, open: u32) {
        let full = u64::from(open / self.block_connections);
        if full > self.block_ns.len() as u64 {
            let elapsed = self.block_began.elapsed().as_nanos() as u64;
            self.block_began = Instant::now();
            self.block_ns.push(elapsed);
        }
    }

    pub(crate) fn finish(self, connections_held: u32) -> Ramp {
        Ramp {
            connections_held,
            elapsed_ns: self.began.elapsed().as_nanos() as u64,
            block_ns: self.block_ns,
            block_connections: self.block_connections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_sixteen_bytes() {
        assert_eq!(size_of::<Connection>(), 16);
    }

    #[test]
    fn a_ramp_is_timed_in_full_blocks() {
        let mut blocks = Blocks::new(25_000);
        (1..=25_000).for_each(|open| blocks.reached(open));
        let ramp = blocks.finish(25_000);
        assert_eq!((ramp.block_connections, ramp.block_ns.len()), (2500, 10));
        let ramp = Blocks::new(10).finish(10);
        assert!(ramp.block_ns.is_empty());
    }
}

//! The io_uring driver: rings, slots, and their end. How connections are opened is in [`crate::ramp`],
//! what it does with open ones in [`crate::echo`].
//!
//! Connections live in direct descriptors: connection `i` is slot `i % slots` of ring `i / slots`, so
//! the table bounds nothing, and a connection's ring is known without a look-up. The client keeps
//! 12 bytes a connection and the ring 2; everything else about it is the kernel's.

use crate::LoadError;
use crate::connection::Connection;
use fourtuple_ring::{Event, Ring, RingSet, Setup, table_slots_max};
use fourtuple_spec::payload::Pattern;
use fourtuple_spec::record::{ClientCounters, Grant};
use fourtuple_spec::{AddressPlan, Case};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// Buffers of a ring. Each is given back as soon as it has been verified, so few are enough, and few
/// stay in the cache.
const BUFFERS: u16 = 256;
/// The same for each of many rings, of which few are busy at a time.
const BUFFERS_OF_MANY: u16 = 64;
/// Rings from which on there are many.
const MANY_RINGS: u32 = 4;
/// Queues of each of many rings, submissions and completions: their memory counts against a
/// connection's, and where more is in flight than fits, it is taken in several goes.
const QUEUES_OF_MANY: (u32, u32) = (512, 4096);
/// Where several messages may come at once, a buffer holds so many bytes of them. All buffers go through the
/// caches in turn, so none is larger than what can come at once.
const BUFFER_BYTES: u32 = 2048;
/// Below it, what a buffer costs beside its bytes would be more.
const BUFFER_BYTES_MIN: u32 = 256;
const BUFFER_BYTES_MAX: u32 = 256 * 1024;
/// Closes in flight at once.
const CLOSE_WINDOW: u32 = 256;
/// How long a wait lasts at most, so that deadlines are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(500);

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
    /// Connections that have echoed since the ramp.
    pub(crate) proved: u32,
    pub(crate) target: SocketAddr,
    pub(crate) plan: AddressPlan,
}

impl UringLoad {
    pub(crate) fn prepare(case: &Case, target: SocketAddr) -> Result<Self, LoadError> {
        let plan = AddressPlan::new(case.addresses, target, case.group_connections);
        if let Some(capacity) = plan.capacity()
            && case.connections > capacity
        {
            return Err(LoadError::limited(
                fourtuple_spec::limiter::PORT_RANGE,
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
            proved: 0,
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

    pub(crate) fn add_ring(&mut self) -> Result<(), LoadError> {
        let is_one_of_many = self.case.connections / self.slots_per_ring >= MANY_RINGS;
        let setup = Setup::new(self.slots_per_ring).pattern(self.pattern.bytes());
        let setup = if is_one_of_many {
            let (submissions, completions) = QUEUES_OF_MANY;
            setup
                .queues(submissions, completions)
                .buffers(BUFFERS_OF_MANY, fitted_buffer_bytes(&self.case))
        } else {
            setup.buffers(BUFFERS, fitted_buffer_bytes(&self.case))
        };
        let ring: Ring = setup.build()?;
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

    /// Closes every connection by a reset: nothing of the run is left for the kernel to close one by one
    /// after the process is gone, which took more than 100 s for a million.
    pub(crate) fn drain(mut self) -> Result<ClientCounters, LoadError> {
        let count = self.connections.len() as u32;
        self.close(0..count)?;
        Ok(self.counters())
    }

    /// Closes connections by a reset, a window of them at a time.
    pub(crate) fn close(&mut self, indexes: Range<u32>) -> Result<(), LoadError> {
        let (mut next, mut closing) = (indexes.start, 0);
        while next < indexes.end || closing > 0 {
            while next < indexes.end && closing < CLOSE_WINDOW {
                self.reset(next)?;
                next += 1;
                closing += 1;
            }
            self.rings.wait(Some(TICK))?;
            for position in 0..self.rings.hot_count() {
                let ring_index = self.rings.hot(position);
                while let Some(event) = self.rings.ring(ring_index).pop() {
                    closing -= u32::from(matches!(event, Event::Closed { .. }));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn reset(&mut self, index: u32) -> Result<(), LoadError> {
        let (ring_index, place) = self.place(index);
        let ring = self.rings.ring(ring_index);
        let slot = ring.slot(place);
        let connection = self.connections.get(index as usize);
        if connection.is_some_and(Connection::is_armed) {
            ring.cancel_receive(slot)?;
        }
        Ok(ring.reset(slot)?)
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
            ghosts: None,
        }
    }
}

/// What comes at once on a connection fits one buffer, unless that would be large.
fn fitted_buffer_bytes(case: &Case) -> u32 {
    let in_flight = case.message_bytes.saturating_mul(case.depth);
    let bytes = in_flight.min(BUFFER_BYTES).max(case.message_bytes);
    bytes.clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX)
}

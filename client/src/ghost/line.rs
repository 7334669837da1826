//! The line between the ghosts and the server: segments of this connection or that, each way.

use super::address::{GHOST_SERVER_ADDRESS, ghost_endpoint, ghost_index};
use super::device::Device;
use super::fault::Faults;
use super::segment::{self, Endpoint, Malformed, SYN, Segment, SegmentOptions, Timestamps};
use super::tcp::Reply;
use crate::LoadError;
use fourtuple_spec::record::{ClientCounters, GhostCounters, Grant};
use fourtuple_spec::{Case, TcpOptions};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// More than a device's MTU.
pub(super) const BUFFER_BYTES: usize = 2048;

/// What comes from the server.
pub(super) enum Arrival<'b> {
    /// Nothing, for now.
    Nothing,
    /// A packet for none of the ghosts.
    Foreign,
    /// A segment for the ghost of this index.
    Segment(u32, Segment<'b>),
}

/// The line, and what has gone over it.
pub(super) struct Line {
    device: Device,
    server: Endpoint,
    options: TcpOptions,
    /// They are offered, and the server has not refused them.
    has_timestamps: bool,
    /// The clock of the ghosts' timestamps.
    clock: Instant,
    pub(super) counters: GhostCounters,
}

impl Line {
    pub(super) fn new(case: &Case, port: u16, device: OwnedFd) -> Result<Self, LoadError> {
        Ok(Self {
            device: Device::new(device, Faults::of(case))?,
            server: Endpoint {
                address: GHOST_SERVER_ADDRESS,
                port,
            },
            options: case.tcp_options,
            has_timestamps: case.tcp_options.has_timestamps(),
            clock: Instant::now(),
            counters: GhostCounters::default(),
        })
    }

    /// The port that the server listens on.
    pub(super) fn port(&self) -> u16 {
        self.server.port
    }

    pub(super) fn grants(&self) -> Vec<Grant> {
        self.device.grants()
    }

    /// What has been counted so far.
    pub(super) fn counted(&self) -> ClientCounters {
        ClientCounters {
            ghosts: Some(GhostCounters {
                lost: self.device.lost(),
                ..self.counters.clone()
            }),
            ..ClientCounters::default()
        }
    }

    /// Puts a segment of ghost `index` in the next batch.
    #[inline]
    pub(super) fn send(
        &mut self,
        index: u32,
        reply: &Reply,
        payload: &[u8],
    ) -> Result<(), LoadError> {
        self.counters.sent += 1;
        let segment = Segment {
            source: ghost_endpoint(index),
            destination: self.server,
            sequence: reply.sequence,
            acknowledgement: reply.acknowledgement,
            flags: reply.flags,
            window: reply.window,
            options: self.options_of(reply),
            payload,
        };
        self.device.send(|packet| segment::build(&segment, packet))
    }

    #[inline]
    fn options_of(&self, reply: &Reply) -> SegmentOptions {
        let timestamps = self.has_timestamps.then(|| Timestamps {
            // From 1: a kernel takes 0 for no timestamp.
            value: self.clock.elapsed().as_millis() as u32 + 1,
            echo: reply.server_time,
        });
        if reply.flags & SYN == 0 {
            return SegmentOptions {
                timestamps,
                ..SegmentOptions::default()
            };
        }
        SegmentOptions {
            segment_bytes: Some(segment::SEGMENT_BYTES),
            window_scale: Some(segment::WINDOW_SCALE),
            permits_sack: self.options.has_sack(),
            timestamps,
        }
    }

    /// What comes next.
    #[inline]
    pub(super) fn hear<'b>(
        &mut self,
        buffer: &'b mut [u8; BUFFER_BYTES],
    ) -> Result<Arrival<'b>, LoadError> {
        let Some(packet) = self.device.read(buffer)? else {
            return Ok(Arrival::Nothing);
        };
        let segment = match segment::parse(packet) {
            Ok(segment) => segment,
            // The kernel asks for IPv6 routers on every device.
            Err(Malformed::Foreign) => {
                self.counters.foreign += 1;
                return Ok(Arrival::Foreign);
            }
            Err(error) => {
                return Err(LoadError::new(format!(
                    "the kernel sent a packet that is no segment: {error}"
                )));
            }
        };
        self.counters.received += 1;
        if segment.has(SYN) && segment.options.timestamps.is_none() {
            self.has_timestamps = false;
        }
        match ghost_index(segment.destination) {
            Some(index) if segment.source == self.server => Ok(Arrival::Segment(index, segment)),
            _ => {
                self.counters.foreign += 1;
                Ok(Arrival::Foreign)
            }
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), LoadError> {
        self.device.flush()
    }

    pub(super) fn wait(
        &mut self,
        other: Option<&OwnedFd>,
        timeout: Option<Duration>,
    ) -> Result<(), LoadError> {
        self.device.wait(other, timeout)
    }
}

//! What a ring receives into and how it sends that on, as it is asked for and as the kernel grants it.

use crate::buffers::{Buffers, Kind};
use crate::feature::{Feature, FeatureGrant};
use crate::fixed::Fixed;
use crate::operations::RECVSEND_BUNDLE;
use crate::send_groups::{self, SendGroups};
use crate::sends::ZeroCopy;
use crate::setup::{Setup, SetupError, os};
use io_uring::types::IOU_PBUF_RING_INC;
use io_uring::{IoUring, Probe, opcode};

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receiving {
    buffers: Option<(u16, u32)>,
    kind: Option<Kind>,
    fixed_bytes: Option<u32>,
    is_zero_copy: bool,
    sends_bundles: bool,
}

/// What is there.
#[derive(Default)]
pub(crate) struct Received {
    pub(crate) buffers: Option<Buffers>,
    pub(crate) fixed: Option<Fixed>,
    pub(crate) zero_copy: Option<ZeroCopy>,
    pub(crate) send_groups: Option<SendGroups>,
    pub(crate) bundle_flag: u16,
    kind: Option<Kind>,
}

impl Received {
    /// Whether a lease is a whole buffer that is sent as a copy.
    pub(crate) fn has_plain_sends(&self) -> bool {
        self.kind == Some(Kind::Whole) && self.zero_copy.is_none() && self.send_groups.is_none()
    }
}

impl Receiving {
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let count_max = match self.kind {
            Some(Kind::Bundled) => 1 << 14,
            _ => 1 << 15,
        };
        match self.buffers {
            Some((count, bytes)) if !count.is_power_of_two() || count > count_max || bytes == 0 => {
                Err(SetupError::Misuse(
                    "buffers must be a power of two, at most 32,768, or 16,384 for bundles, and not empty",
                ))
            }
            _ if self.fixed_bytes == Some(0) => Err(SetupError::Misuse("buffers are not empty")),
            _ => Ok(()),
        }
    }
}

impl Setup {
    /// Provided buffers to receive into: a power of two of them, at most 32,768, of so many bytes.
    pub fn buffers(mut self, count: u16, buffer_bytes: u32) -> Self {
        self.receiving.buffers = Some((count, buffer_bytes));
        self
    }

    /// The same, and a receive takes a piece of a buffer: as much as there is data.
    pub fn incremental_buffers(mut self, count: u16, buffer_bytes: u32) -> Self {
        self.receiving.kind = Some(Kind::Incremental);
        self.buffers(count, buffer_bytes)
    }

    /// The same, and a receive may fill several buffers: as many as there is data for. At most 16,384.
    pub fn bundled_buffers(mut self, count: u16, buffer_bytes: u32) -> Self {
        self.receiving.kind = Some(Kind::Bundled);
        self.buffers(count, buffer_bytes)
    }

    /// A registered buffer of so many bytes for each slot, in place of provided ones: a slot receives once, and
    /// not again before the lease is back. Registered memory is locked.
    ///
    /// A send from it is a write, which raises SIGPIPE where the peer is gone: programs in Rust ignore that.
    pub fn fixed_buffers(mut self, buffer_bytes: u32) -> Self {
        self.receiving.fixed_bytes = Some(buffer_bytes);
        self
    }

    /// Leases are sent without a copy. Heap bytes and the pattern are copied all the same.
    ///
    /// What is being sent is locked, and counts against RLIMIT_MEMLOCK: a send that would pass it fails with
    /// `ENOMEM`.
    pub fn zero_copy_sends(mut self) -> Self {
        self.receiving.is_zero_copy = true;
        self
    }

    /// Leases are queued, and a send takes all that are: [`crate::Ring::queue_lease`] in place of
    /// [`crate::Ring::send_lease`]. At most 65,535 slots; a slot that has sent has a page for it.
    pub fn bundled_sends(mut self) -> Self {
        self.receiving.sends_bundles = true;
        self
    }

    /// Makes what is asked for known to the kernel, in a way that it has.
    pub(crate) fn register_buffers(
        &self,
        io: &IoUring,
        probe: &Probe,
        grants: &mut Vec<FeatureGrant>,
    ) -> Result<Received, SetupError> {
        let mut received = Received::default();
        if self.receiving.is_zero_copy {
            let is_there = probe.is_supported(opcode::SendZc::CODE);
            let is_granted = self.grant(grants, Feature::SendZeroCopy, is_there);
            received.zero_copy = is_granted.then(ZeroCopy::default);
        }
        if self.receiving.sends_bundles {
            let is_there = io.params().is_feature_recvsend_bundle();
            if self.grant(grants, Feature::SendBundle, is_there) {
                received.send_groups = Some(self.send_groups()?);
            }
        }
        if let Some(bytes) = self.receiving.fixed_bytes {
            let is_there = probe.is_supported(opcode::ReadFixed::CODE);
            if self.grant(grants, Feature::BuffersFixed, is_there) {
                received.fixed = Some(self.register_fixed(io, bytes)?);
                return Ok(received);
            }
        }
        if let Some((count, buffer_bytes)) = self.receiving.buffers {
            let (buffers, kind) = self.register_provided(io, count, buffer_bytes, grants)?;
            received.buffers = Some(buffers);
            received.kind = Some(kind);
            if kind == Kind::Bundled {
                received.bundle_flag = RECVSEND_BUNDLE;
            }
        }
        Ok(received)
    }

    fn send_groups(&self) -> Result<SendGroups, SetupError> {
        let slots = self.slots();
        if slots > send_groups::SLOTS_MAX {
            return Err(SetupError::Groups { slots });
        }
        SendGroups::new(slots).map_err(|error| os("mmap", &error))
    }

    /// Registers the first of the regions, so that a refusal is known at once.
    fn register_fixed(&self, io: &IoUring, bytes: u32) -> Result<Fixed, SetupError> {
        let mut fixed = Fixed::new(self.slots(), bytes);
        io.submitter()
            .register_buffers_sparse(fixed.regions())
            .map_err(|error| os("io_uring_register(buffers)", &error))?;
        fixed.register(io, 0).map_err(SetupError::Buffers)?;
        Ok(fixed)
    }

    fn register_provided(
        &self,
        io: &IoUring,
        count: u16,
        buffer_bytes: u32,
        grants: &mut Vec<FeatureGrant>,
    ) -> Result<(Buffers, Kind), SetupError> {
        let register = |kind| register_group(io, count, buffer_bytes, kind);
        match self.receiving.kind {
            Some(Kind::Incremental) => {
                let buffers = match self.leaves_out(Feature::BuffersIncremental) {
                    true => None,
                    false => register(Kind::Incremental)?,
                };
                if self.grant(grants, Feature::BuffersIncremental, buffers.is_some()) {
                    return buffers.map(|b| (b, Kind::Incremental)).ok_or(TOO_OLD);
                }
            }
            Some(Kind::Bundled) => {
                let is_there = io.params().is_feature_recvsend_bundle();
                if self.grant(grants, Feature::ReceiveBundle, is_there) {
                    let buffers = register(Kind::Bundled)?;
                    return buffers.map(|b| (b, Kind::Bundled)).ok_or(TOO_OLD);
                }
            }
            _ => {}
        }
        let buffers = register(Kind::Whole)?.ok_or(TOO_OLD)?;
        Ok((buffers, Kind::Whole))
    }
}

const TOO_OLD: SetupError = SetupError::TooOld {
    what: "provided-buffer rings",
    since: "5.19",
};

/// Registers buffers as group 0; `None` if the kernel does not know the kind.
fn register_group(
    io: &IoUring,
    count: u16,
    buffer_bytes: u32,
    kind: Kind,
) -> Result<Option<Buffers>, SetupError> {
    let flags = match kind {
        Kind::Incremental => IOU_PBUF_RING_INC as u16,
        Kind::Whole | Kind::Bundled => 0,
    };
    let buffers = Buffers::new(count, buffer_bytes, kind).map_err(|error| os("mmap", &error))?;
    let (address, entries) = buffers.entries();
    // SAFETY: the entries are page-aligned and as many as said; the ring owns the mapping and drops it after
    // its descriptor, when nothing is in flight.
    let registered = unsafe {
        io.submitter()
            .register_buf_ring_with_flags(address, entries, 0, flags)
    };
    match registered {
        Ok(()) => Ok(Some(buffers)),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(None),
        Err(error) => Err(os("io_uring_register(buffer ring)", &error)),
    }
}

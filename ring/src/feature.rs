//! What a ring asks for beyond the least that it needs, and since when the kernel has it.

/// One feature that a ring can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Keep submitting after a request that fails at once (5.18).
    SubmitAll,
    /// A flag in shared memory says that completions wait to be run (5.19).
    TaskrunFlag,
    /// Only one thread submits (6.0).
    SingleIssuer,
    /// Completions run when the thread asks for them, not when it is interrupted (6.1).
    DeferTaskrun,
    /// Completions run when the thread enters the kernel for whatever reason (5.19).
    CoopTaskrun,
    /// A kernel thread takes submissions (5.11 without privileges).
    SubmissionPolling,
    /// No index array between the submission queue and its entries (6.6).
    NoSqArray,
    /// The ring's own descriptor is registered, so that `io_uring_enter` need not look it up (5.18; at most 16 a thread).
    RegisteredRing,
    /// One receive request, many receives (6.0).
    ReceiveMultishot,
    /// Receives take a buffer piece by piece (6.12).
    BuffersIncremental,
    /// Each slot has a registered buffer of its own (5.19, as it is done here).
    BuffersFixed,
    /// One receive fills several buffers (6.10).
    ReceiveBundle,
    /// Received buffers are sent without a copy (6.0).
    SendZeroCopy,
    /// One send takes several buffers (6.10).
    SendBundle,
    /// Sockets are made, bound and set through the ring, without process descriptors (6.11).
    RingSockets,
}

impl Feature {
    /// Every feature that a ring takes wherever it is to be had.
    pub const ALL: [Self; 8] = [
        Self::SubmitAll,
        Self::TaskrunFlag,
        Self::SingleIssuer,
        Self::DeferTaskrun,
        Self::NoSqArray,
        Self::RegisteredRing,
        Self::ReceiveMultishot,
        Self::RingSockets,
    ];

    /// Its name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::SubmitAll => "submit-all",
            Self::TaskrunFlag => "taskrun-flag",
            Self::SingleIssuer => "single-issuer",
            Self::DeferTaskrun => "defer-taskrun",
            Self::CoopTaskrun => "coop-taskrun",
            Self::SubmissionPolling => "sqpoll",
            Self::NoSqArray => "no-sqarray",
            Self::RegisteredRing => "registered-ring",
            Self::ReceiveMultishot => "recv-multishot",
            Self::BuffersIncremental => "buffers-incremental",
            Self::BuffersFixed => "buffers-fixed",
            Self::ReceiveBundle => "recv-bundle",
            Self::SendZeroCopy => "send-zero-copy",
            Self::SendBundle => "send-bundle",
            Self::RingSockets => "ring-sockets",
        }
    }

    /// The kernel that brought it.
    pub fn since(self) -> &'static str {
        match self {
            Self::SubmissionPolling => "5.11",
            Self::SubmitAll | Self::RegisteredRing => "5.18",
            Self::TaskrunFlag | Self::CoopTaskrun | Self::BuffersFixed => "5.19",
            Self::SingleIssuer | Self::ReceiveMultishot | Self::SendZeroCopy => "6.0",
            Self::DeferTaskrun => "6.1",
            Self::NoSqArray => "6.6",
            Self::ReceiveBundle | Self::SendBundle => "6.10",
            Self::RingSockets => "6.11",
            Self::BuffersIncremental => "6.12",
        }
    }
}

/// Whether a feature was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureGrant {
    /// The feature.
    pub feature: Feature,
    /// Why not, if it was not.
    pub refused: Option<String>,
}

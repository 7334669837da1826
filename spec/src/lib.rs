//! The data model: what a plan asks for, what a case fixes, what a record holds, and the
//! messages by which the command, the server and the client speak.
//!
//! Nothing here opens a file, a socket or a clock, so every part of the program can agree on it.

#[cfg(not(target_os = "linux"))]
compile_error!("fourtuple measures the Linux kernel's TCP and builds on Linux only");

pub mod address;
pub mod case;
pub mod census;
pub mod claim;
pub mod engine;
pub mod environment;
pub mod factors;
pub mod limiter;
pub mod limits;
pub mod message;
pub mod payload;
pub mod plan;
pub mod random;
pub mod record;

pub use address::{AddressPlan, FourTuple};
pub use case::{
    AddressMode, Case, ClientKind, EndpointState, Foreign, HotPlacement, Mode, NetworkChoice, Path,
    Peer, Schedule, TcpOptions,
};
pub use census::Census;
pub use claim::{Trial, TriedClaim, Verdict};
pub use engine::Engine;
pub use environment::Environment;
pub use factors::Factors;
pub use limits::{Limits, Reading};
pub use random::SplitMix64;
pub use record::Record;

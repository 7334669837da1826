//! The load generator.

use fourtuple_spec::Case;
use fourtuple_spec::message::{Measured, Ramp};
use fourtuple_spec::record::Grant;
use std::net::SocketAddr;

/// A load generator for one case. Belongs to the thread that made it.
pub struct Load {}

/// The end of the warm-up.
#[derive(Clone, Copy, Debug)]
pub struct Warm {
    /// How long it took.
    pub warmup_ns: u64,
    /// Connections proved live by a verified echo.
    pub connections_proved: u32,
}

impl Load {
    /// Prepares rings and checks that the case can be run against `target`; opens no connection.
    pub fn prepare(case: &Case, target: SocketAddr) -> Result<Self, LoadError> {
        let _ = (case, target);
        Err(LoadError { error: String::new(), limiter: None, connections_held: None })
    }
    /// What the kernel granted.
    pub fn granted(&self) -> Vec<Grant> {
        Vec::new()
    }
    /// Opens every connection; `progress` hears the count a few times a second.
    pub fn ramp(&mut self, progress: &mut dyn FnMut(u32)) -> Result<Ramp, LoadError> {
        let _ = progress;
        Ok(Ramp::default())
    }
    /// Proves every connection live, warms up, says so, measures. Connections stay open.
    pub fn measure(&mut self, warm: &mut dyn FnMut(Warm)) -> Result<Measured, LoadError> {
        let _ = warm;
        Ok(Measured::default())
    }
    /// Closes every connection.
    pub fn drain(self) -> Result<(), LoadError> {
        Ok(())
    }
}

/// Why the load generator cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct LoadError {
    /// What failed and what to do about it.
    pub error: String,
    /// The limit that was met, by name, if it was one.
    pub limiter: Option<String>,
    /// Connections that were open when it happened, if that is known.
    pub connections_held: Option<u32>,
}

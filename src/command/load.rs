//! `fourtuple load`: the load generator against any echo server.

use crate::cli;
use crate::exit::{Ended, Exit};

/// Loads a server that this program did not start.
pub fn load(arguments: &cli::Load) -> Result<Exit, Ended> {
    let _ = arguments;
    Err(Ended::failed("not yet"))
}

//! The words of `doctor`.

use crate::values;
use clap::Args;
use fourtuple_spec::Engine;
use std::path::PathBuf;

/// How many connections fit, and what stops the next one.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Are so many more possible? Exit status 0 is yes, 1 is no.
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub connections: Option<u32>,
    /// Ask for this process, with its limits, in its control group and its network [default: one started from here].
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Ask for this engine [default: a server in one process that takes a descriptor a connection].
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<Engine>,
    /// Destinations (addresses and ports) that the client connects to.
    #[arg(long, value_name = "N", value_parser = values::count, default_value = "1")]
    pub destinations: u32,
    /// Addresses that the client connects from.
    #[arg(long, value_name = "N", value_parser = values::count, default_value = "1")]
    pub sources: u32,
    /// Where to look for bytes a connection that were measured on this machine.
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results: PathBuf,
    /// Print exactly one object, as JSON, on standard output.
    #[arg(long)]
    pub json: bool,
}

//! Limits that a run sets itself: to run into them on purpose.

use crate::values;
use clap::Args;

/// Limits of a run's own.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Limits of the run's own")]
pub struct Bounds {
    /// The most connections that share source address, destination address and port [default: half of the ports].
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub group_connections: Option<u32>,
    /// The most rings of a server process; a full last one stops the growth [default: as many as it takes].
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub rings_max: Option<u32>,
    /// Server processes, of an engine on process descriptors [default: as many as descriptors require].
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub server_processes: Option<u32>,
    /// RLIMIT_NOFILE of a server process [default: as much as it may have].
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub server_descriptors: Option<u32>,
}

//! The words of `doctor`.

use crate::values;
use clap::{Args, ValueEnum};
use fourtuple_spec::Engine;
use std::path::PathBuf;

/// How many connections fit, and what stops the next one.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Are so many more possible? Exit status 0 is yes, 1 is no.
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub connections: Option<u32>,
    /// Which end of them is on this machine; both is each by itself [default: both].
    #[arg(
        long = "as",
        value_name = "END",
        value_enum,
        default_value = "both",
        hide_default_value = true
    )]
    pub end: DoctorEnd,
    /// Ask for this process, with its limits, in its control group and its network [default: one started from here].
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Ask for a server with this engine [default: epoll, in one process, a descriptor a connection].
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<Engine>,
    /// Addresses and ports that the client connects to: each has a port range of its own [default: 1].
    #[arg(long, value_name = "N", value_parser = values::count, default_value = "1", hide_default_value = true)]
    pub destinations: u32,
    /// Addresses that the client connects from: each has one as well [default: 1].
    #[arg(long, value_name = "N", value_parser = values::count, default_value = "1", hide_default_value = true)]
    pub sources: u32,
    /// Where to look for bytes a connection that were measured on this machine [default: results].
    #[arg(
        long,
        value_name = "DIR",
        default_value = "results",
        hide_default_value = true
    )]
    pub results: PathBuf,
    /// Print exactly one object, as JSON, on standard output.
    #[arg(long)]
    pub json: bool,
}

/// The end of a connection that is on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DoctorEnd {
    /// The server's.
    Server,
    /// The client's.
    Client,
    /// Each by itself.
    Both,
}

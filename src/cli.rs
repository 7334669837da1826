//! The words of the command line. What they mean is decided elsewhere.

// The comments on arguments are what `--help` prints: brackets in them are brackets.
#![allow(rustdoc::broken_intra_doc_links)]

mod bounds;
mod claims;
mod doctor;
mod factors;
mod foreign;
pub mod help;
mod load;
mod words;

use crate::child;
use crate::environment;
use crate::values::{self, Cpus};
pub use bounds::Bounds;
pub use claims::Claims;
use clap::{Args, Parser, Subcommand};
pub use doctor::{Doctor, DoctorEnd};
pub use factors::Factors;
pub use foreign::ForeignServer;
use fourtuple_spec::Engine;
pub use load::{GhostTcp, LoadShape, Offer, RunShape};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
pub use words::Peer;
use words::{Addresses, Client, Network, Placement};

/// Measures what a TCP connection costs on Linux: how many a machine can hold, how many bytes each
/// takes and where they lie, how fast they are served, and which limit stops the growth.
#[derive(Debug, Parser)]
#[command(name = "fourtuple", version, long_version = environment::version(), after_help = help::AFTER_HELP, subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure one case: an engine at a number of connections.
    #[command(after_long_help = help::RUN_HELP)]
    Run(Run),
    /// Hold connections: how many fit, what each takes, and whether all stay live.
    #[command(after_long_help = help::HOLD_HELP)]
    Hold(Hold),
    /// Run a plan: many cases, one after the other, with a report at the end.
    #[command(after_long_help = help::SWEEP_HELP)]
    Sweep(Sweep),
    /// Be an echo server on this machine's network until Ctrl-C.
    #[command(after_long_help = help::SERVE_HELP)]
    Serve(Serve),
    /// Load any echo server, verifying every echo.
    #[command(after_long_help = help::LOAD_HELP)]
    Load(Load),
    /// How many connections fit here, and what stops the next one. Touches nothing.
    #[command(after_long_help = help::DOCTOR_HELP)]
    Doctor(Doctor),
    /// Try a well-known article's claims on this machine: prediction, measurement, verdict.
    #[command(after_long_help = help::CLAIMS_HELP)]
    Claims(Claims),
    /// Draw a sweep's table, charts and report again from its records.
    #[command(after_long_help = help::REPORT_HELP)]
    Report(Report),
    /// Tell two results apart: faster, slower or no difference, with interval and evidence.
    #[command(after_long_help = help::COMPARE_HELP)]
    Compare(Compare),
    /// One of the processes of a run.
    #[command(hide = true, subcommand)]
    Child(child::Role),
}

/// What becomes of the record.
#[derive(Args, Debug)]
pub struct Recording {
    /// Print exactly one record, as JSON, on standard output.
    #[arg(long)]
    pub json: bool,
    /// Append the record to DIR/records.jsonl, and keep the environment that it names in DIR/environment-ID.json.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Begin even if memory is not expected to last.
    #[arg(long)]
    pub force: bool,
}

/// Measure one case.
#[derive(Args, Debug)]
pub struct Run {
    /// The engine that serves.
    #[arg(long, long_help = help::engines(), value_name = "ENGINE", required_unless_present = "server_command")]
    pub engine: Option<Engine>,
    #[command(flatten)]
    pub foreign: ForeignServer,
    #[command(flatten)]
    pub load: LoadShape,
    #[command(flatten)]
    pub shape: RunShape,
    #[command(flatten)]
    pub factors: Factors,
    /// Server threads that share the port, each with a core of --server-cpus [default: 1].
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub workers: Option<u32>,
    /// Connections that take part in the measured span; the others stay open and idle [default: all].
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub hot_connections: Option<u32>,
    /// Where among all connections those lie.
    #[arg(long, value_enum)]
    pub hot_placement: Option<Placement>,
    /// How connections are told apart.
    #[arg(long, value_enum)]
    pub addresses: Option<Addresses>,
    /// Have memory backed by a virtual machine's host before the ramp [default: from 200,000 connections on].
    #[arg(long, value_name = "BOOL")]
    pub prepare_memory: Option<bool>,
    /// Where the traffic flows.
    #[arg(long, value_enum)]
    pub network: Option<Network>,
    /// A setting of the private network, applied before the server listens; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::sysctl)]
    pub sysctl: Vec<(String, String)>,
    /// The server's cores: 0, or 0,1, or 2-4 [default: one on the client's node].
    #[arg(long, value_name = "CORES", value_parser = values::cpus)]
    pub server_cpus: Option<Cpus>,
    #[command(flatten)]
    pub ghost_tcp: GhostTcp,
    #[command(flatten)]
    pub offer: Offer,
    #[command(flatten)]
    pub recording: Recording,
    /// Look first at how quiet the chosen cores are, a second each, and warn.
    #[arg(long)]
    pub quiet_check: bool,
}

/// Hold connections.
#[derive(Args, Debug)]
pub struct Hold {
    /// The engine that serves.
    #[arg(long, long_help = help::engines(), value_name = "ENGINE", required_unless_present = "price_list")]
    pub engine: Option<Engine>,
    /// Connections to open and hold: 100k, 1M.
    #[arg(long, value_name = "N", value_parser = values::count, required_unless_present_any = ["until_full", "price_list"])]
    pub connections: Option<u32>,
    /// Open until memory is nearly used up, and at most --connections.
    #[arg(long)]
    pub until_full: bool,
    /// How long all are held idle between two full rounds [default: 10s].
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub duration: Option<Duration>,
    /// Full rounds before that, each with so many connections active at once: 1k,16k,1M [default: one].
    #[arg(long, value_name = "N,…", value_parser = values::count, value_delimiter = ',')]
    pub rounds: Vec<u32>,
    /// How long connections rest before memory is read [default: 1s].
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub settle: Option<Duration>,
    /// How connections are told apart.
    #[arg(long, value_enum)]
    pub addresses: Option<Addresses>,
    /// Where the traffic flows.
    #[arg(long, value_enum)]
    pub network: Option<Network>,
    /// A setting of the private network, applied before the server listens; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::sysctl)]
    pub sysctl: Vec<(String, String)>,
    /// Have memory backed by a virtual machine's host before the ramp [default: from 200,000 connections on].
    #[arg(long, value_name = "BOOL")]
    pub prepare_memory: Option<bool>,
    /// Slots of one ring's descriptor table [default: as many as limits allow].
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub slots_per_ring: Option<u32>,
    /// The load generator.
    #[arg(long, value_enum)]
    pub client: Option<Client>,
    /// Price each state of one endpoint, by the plan `price-list`.
    #[arg(long, conflicts_with_all = ["engine", "connections", "until_full", "duration", "rounds", "json", "tcp_options", "loss_ppm", "duplicate_ppm", "reorder_ppm"])]
    pub price_list: bool,
    /// With --price-list: fewer connections, to see that it works; not for quoting.
    #[arg(long, requires = "price_list")]
    pub quick: bool,
    #[command(flatten)]
    pub bounds: Bounds,
    #[command(flatten)]
    pub ghost_tcp: GhostTcp,
    #[command(flatten)]
    pub recording: Recording,
}

/// Run a plan.
#[derive(Args, Debug)]
pub struct Sweep {
    /// standard, quick, another built-in plan (see below), or a plan file.
    pub plan: String,
    /// Where records, charts and the report go.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// One repeat, short spans: to see that everything works, not to quote.
    #[arg(long)]
    pub quick: bool,
    /// How long the whole sweep may take: no run is begun that is expected to end later [default: the plan's].
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub budget: Option<Duration>,
    /// Begin runs even if memory is not expected to last.
    #[arg(long)]
    pub force: bool,
    /// Look first at how quiet the chosen cores are, a second each, and warn.
    #[arg(long)]
    pub quiet_check: bool,
}

/// Be an echo server.
#[derive(Args, Debug)]
pub struct Serve {
    /// The engine that serves.
    #[arg(long, long_help = help::engines(), value_name = "ENGINE")]
    pub engine: Engine,
    #[command(flatten)]
    pub factors: Factors,
    /// Where to listen; port 0 lets the kernel pick.
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// The message size to expect; any other works too [default: 64].
    #[arg(long, value_name = "BYTES", value_parser = values::bytes, default_value = "64", hide_default_value = true)]
    pub message_bytes: u32,
    /// The cores to serve on [default: not pinned].
    #[arg(long, value_name = "CORES", value_parser = values::cpus)]
    pub server_cpus: Option<Cpus>,
    /// Print what was counted, as JSON, on standard output.
    #[arg(long)]
    pub json: bool,
}

/// Load any echo server.
#[derive(Args, Debug)]
pub struct Load {
    /// The server: 127.0.0.1:7000, [::1]:7000; for ghosts 198.18.0.1 and its port.
    #[arg(long, value_name = "ADDR:PORT")]
    pub target: SocketAddr,
    #[command(flatten)]
    pub load: LoadShape,
    #[command(flatten)]
    pub ghost_tcp: GhostTcp,
    #[command(flatten)]
    pub offer: Offer,
    #[command(flatten)]
    pub recording: Recording,
}

/// Draw a report again.
#[derive(Args, Debug)]
pub struct Report {
    /// The directories that hold a records.jsonl.
    #[arg(value_name = "DIR", required = true)]
    pub directories: Vec<PathBuf>,
    /// Write what they say into this README too, between its two `measured` markers.
    #[arg(long, value_name = "FILE")]
    pub front: Option<PathBuf>,
}

/// Compare results.
#[derive(Args, Debug)]
pub struct Compare {
    /// A and B: each a directory of results, or DIR:ARM; with --aa any number of them.
    #[arg(value_name = "RESULTS", required = true)]
    pub results: Vec<String>,
    /// How often arms are found to differ from themselves, over every A/A pair.
    #[arg(long, conflicts_with_all = ["arm", "all"])]
    pub aa: bool,
    /// Of two directories, compare this arm alone; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub arm: Vec<String>,
    /// Every number: all percentiles and the set-up rate too.
    #[arg(long)]
    pub all: bool,
    /// Print exactly one object, as JSON, on standard output.
    #[arg(long)]
    pub json: bool,
}

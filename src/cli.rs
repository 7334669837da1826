//! The words of the command line. What they mean is decided elsewhere.

// The comments on arguments are what `--help` prints: brackets in them are brackets.
#![allow(rustdoc::broken_intra_doc_links)]

use crate::child;
use crate::values::{self, Cpus};
use clap::{Args, Parser, Subcommand, ValueEnum};
use fourtuple_spec::Engine;
use fourtuple_spec::case::{AddressMode, ClientKind, HotPlacement, NetworkChoice};
use fourtuple_spec::engine::PROFILES;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const AFTER_HELP: &str = "\
Exit status:
  0    done
  1    the answer is no: too little memory, or a run whose numbers must not be quoted
  2    the words were wrong: a flag, a plan, a core that does not exist
  3    a run failed, or something it needs could not be had
  130  interrupted; what was recorded is kept

Examples:
  fourtuple run --engine uring --connections 10k
  fourtuple sweep standard
  fourtuple sweep my-plan.toml --out results/mine";

/// Measures what a TCP connection costs on Linux: how many a machine can hold, how many bytes each
/// takes and where they lie, how fast they are served, and which limit stops the growth.
#[derive(Debug, Parser)]
#[command(name = "fourtuple", version, after_help = AFTER_HELP, subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure one case: an engine at a number of connections.
    #[command(after_long_help = RUN_HELP)]
    Run(Run),
    /// Hold connections: how many fit, what each takes, and whether all stay live.
    #[command(after_long_help = HOLD_HELP)]
    Hold(Hold),
    /// Run a plan: many cases, one after the other, with a report at the end.
    #[command(after_long_help = SWEEP_HELP)]
    Sweep(Sweep),
    /// Be an echo server on this machine's network until Ctrl-C.
    #[command(after_long_help = SERVE_HELP)]
    Serve(Serve),
    /// Load any echo server, verifying every echo.
    #[command(after_long_help = LOAD_HELP)]
    Load(Load),
    /// Draw a sweep's table, charts and report again from its records.
    #[command(after_long_help = REPORT_HELP)]
    Report(Report),
    /// One of the processes of a run.
    #[command(hide = true, subcommand)]
    Child(child::Role),
}

const RUN_HELP: &str = "\
A fresh server and a fresh client process, each pinned to a core of its own, meet in a private
network namespace: nothing on this machine is changed, and no root is needed. Every connection is
opened, left at rest while memory is read, proved live by a verified echo, and then kept busy for
the measured span.

Examples:
  fourtuple run --engine uring --connections 1M
  fourtuple run --engine epoll --connections 100 --message-bytes 4KiB --depth 8
  fourtuple run --engine tokio --connections 10k --json > record.json
  fourtuple run --engine uring --connections 1k --sysctl net.ipv4.tcp_congestion_control=reno";

const HOLD_HELP: &str = "\
Opens the connections, reads where their memory lies, has every one of them echo once, holds all of
them idle, and has every one echo once more. Growth stops before memory is used up; a shortage that
can be foreseen is refused, and --force tries.

With --until-full connections are opened until memory is nearly used up: how many there are by then is
the answer, and the record names what stopped it.

With --price-list the server's endpoints are held in one state after the other, by a peer that has no
sockets (a TCP of this program's own behind a TUN device), and the table says what each state takes.

Examples:
  fourtuple hold --engine uring --connections 1M
  fourtuple hold --engine uring-poll --until-full
  fourtuple hold --engine uring --connections 1M --rounds 1k,4k,16k,64k,1M --duration 10m
  fourtuple hold --price-list --out results/prices";

const SWEEP_HELP: &str = "\
Records are appended to DIR/records.jsonl as runs finish. An interrupted sweep is resumed by the same
command: cases that have a valid record are not run again. Without --out the directory is
results/<date>-<host>-<plan>.

Examples:
  fourtuple sweep standard            the main job: every engine, 1 to 20,000 connections
  fourtuple sweep standard --quick    the same shape in about a minute, not for quoting
  fourtuple sweep plans/mine.toml --out results/mine";

const SERVE_HELP: &str = "\
Prints the address that it listens on (port 0 lets the kernel pick one), then serves until Ctrl-C,
then prints what it counted. Anyone who can reach the address can use it.

Examples:
  fourtuple serve --engine uring --listen 127.0.0.1:7000
  fourtuple serve --engine epoll --listen [::]:7000";

const LOAD_HELP: &str = "\
Opens the connections, proves each live, and measures, from this machine's network. Nothing is known
of the server but its echoes: its memory and CPU are null in the record. A server that corrupts,
drops, reorders or repeats bytes is found out, with the connection, the message and the byte.

Examples:
  fourtuple load --target 127.0.0.1:7000 --connections 100
  fourtuple load --target [::1]:7000 --connections 1k --message-bytes 512 --duration 10s --json";

const REPORT_HELP: &str = "\
Nothing is measured: the records are the only source, so that a report can be drawn again by a later
version.

With --front, a README's part between the lines `<!-- measured: begin -->` and `<!-- measured: end -->`
is made anew, one section a directory; the rest of the file is left alone.

Examples:
  fourtuple report results/2026-01-31-host-standard
  fourtuple report results/2026-01-31-host-standard results/million --front README.md";

/// What the load is.
#[derive(Args, Debug)]
pub struct LoadShape {
    /// Connections to open and hold: 1000, 10k, 1M.
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub connections: u32,
    /// Bytes of one message: 64, 4KiB, 1MiB [default: 64].
    #[arg(long, value_name = "BYTES", value_parser = values::bytes)]
    pub message_bytes: Option<u32>,
    /// Messages in flight on each active connection [default: 1].
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub depth: Option<u32>,
    /// Connections with messages in flight at once; the turn passes round all [default: 16384, or all if fewer].
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub active_connections: Option<u32>,
    /// Connects in flight while connections are opened [default: 256].
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub connect_window: Option<u32>,
    /// Microseconds that the client watches for echoes before it sleeps; 0 sleeps at once [default: 50].
    #[arg(long, value_name = "MICROSECONDS")]
    pub client_spin_us: Option<u32>,
    /// How long connections rest before memory is read: 200ms [default].
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub settle: Option<Duration>,
    /// The least warm-up; it lasts until every connection is proved live [default: 500ms].
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub warmup: Option<Duration>,
    /// The measured span [default: 2s].
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub duration: Option<Duration>,
    /// Slots of one ring's descriptor table [default: as many as limits allow].
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub slots_per_ring: Option<u32>,
    /// The load generator.
    #[arg(long, value_enum)]
    pub client: Option<Client>,
    /// The client's cores: 1, or 0,1, or 2-4 [default: one that the server does not use].
    #[arg(long, value_name = "CORES", value_parser = values::cpus)]
    pub client_cpus: Option<Cpus>,
}

/// What becomes of the record.
#[derive(Args, Debug)]
pub struct Recording {
    /// Print exactly one record, as JSON, on standard output.
    #[arg(long)]
    pub json: bool,
    /// Append the record to DIR/records.jsonl.
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
    #[arg(long, long_help = engine_help(), value_name = "ENGINE")]
    pub engine: Engine,
    #[command(flatten)]
    pub load: LoadShape,
    /// Who is at the other end of the connections.
    #[arg(long, value_enum, default_value = "kernel")]
    pub peer: Peer,
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
    pub recording: Recording,
}

/// Hold connections.
#[derive(Args, Debug)]
pub struct Hold {
    /// The engine that serves.
    #[arg(long, long_help = engine_help(), value_name = "ENGINE", required_unless_present = "price_list")]
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
    #[arg(long, conflicts_with_all = ["engine", "connections", "until_full", "duration", "rounds", "json"])]
    pub price_list: bool,
    /// With --price-list: fewer connections, to see that it works; not for quoting.
    #[arg(long, requires = "price_list")]
    pub quick: bool,
    #[command(flatten)]
    pub recording: Recording,
}

/// Run a plan.
#[derive(Args, Debug)]
pub struct Sweep {
    /// standard, quick, million, ceiling, price-list, window, hot, idle-hot, or a plan file.
    pub plan: String,
    /// Where records, charts and the report go.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// One repeat, short spans: to see that everything works, not to quote.
    #[arg(long)]
    pub quick: bool,
    /// Begin runs even if memory is not expected to last.
    #[arg(long)]
    pub force: bool,
}

/// Be an echo server.
#[derive(Args, Debug)]
pub struct Serve {
    /// The engine that serves.
    #[arg(long, long_help = engine_help(), value_name = "ENGINE")]
    pub engine: Engine,
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
    /// The server: 127.0.0.1:7000 or [::1]:7000.
    #[arg(long, value_name = "ADDR:PORT")]
    pub target: SocketAddr,
    #[command(flatten)]
    pub load: LoadShape,
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

/// Words for [`ClientKind`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Client {
    /// The io_uring load generator.
    Uring,
    /// Plain recv and send in turn: the floor's half, for few connections.
    Spin,
}

impl From<Client> for ClientKind {
    fn from(client: Client) -> Self {
        match client {
            Client::Uring => Self::Uring,
            Client::Spin => Self::Spin,
        }
    }
}

/// Words for [`fourtuple_spec::Peer`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Peer {
    /// Real sockets of this machine's kernel.
    Kernel,
    /// A user-space TCP without sockets; so far it holds the states of the price list only.
    Ghost,
}

impl From<Peer> for fourtuple_spec::Peer {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Kernel => Self::Kernel,
            Peer::Ghost => Self::Ghost,
        }
    }
}

/// Words for [`AddressMode`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Addresses {
    /// Many destinations 127.0.0.k on one port, no bind on the client (default).
    Destinations,
    /// One server address and port, many client addresses.
    Sources,
}

impl From<Addresses> for AddressMode {
    fn from(addresses: Addresses) -> Self {
        match addresses {
            Addresses::Destinations => Self::Destinations,
            Addresses::Sources => Self::Sources,
        }
    }
}

/// Words for [`HotPlacement`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Placement {
    /// Evenly over all of them (default).
    Spread,
    /// The ones that were opened first.
    First,
}

impl From<Placement> for HotPlacement {
    fn from(placement: Placement) -> Self {
        match placement {
            Placement::Spread => Self::Spread,
            Placement::First => Self::First,
        }
    }
}

/// Words for [`NetworkChoice`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Network {
    /// A network namespace of the run's own (default).
    Private,
    /// The host's network as it is.
    Host,
}

impl From<Network> for NetworkChoice {
    fn from(network: Network) -> Self {
        match network {
            Network::Private => Self::Private,
            Network::Host => Self::Host,
        }
    }
}

fn engine_help() -> String {
    let rows = PROFILES
        .iter()
        .map(|profile| format!("\n  {:<12} {}", profile.name, profile.summary));
    format!("The engine that serves:{}", rows.collect::<String>())
}

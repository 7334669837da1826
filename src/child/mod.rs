//! The processes that the command starts for a run: `fourtuple child server` and `fourtuple child client`.
//!
//! Each reads requests from its standard input and answers on its standard output, as
//! `fourtuple_spec::message` has it. The end of the input means that the parent is gone.

mod census;
mod client;
mod environment;
mod experiment;
mod foreign;
mod limits;
mod pipe;
mod prepare;
mod server;

use crate::exit::Exit;
use crate::limits::raise_descriptors;
use crate::network;
use fourtuple_spec::message::{Failure, Network};
use rustix::process::Signal;
use rustix::thread::CpuSet;
use std::collections::BTreeMap;
use std::io::Write;

/// Which child this process is.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub enum Role {
    /// Serves echoes.
    Server,
    /// Generates load.
    Client,
    /// Has memory backed before a ramp needs it.
    Prepare,
    /// Tries whether a private network is granted, and says why not.
    Probe,
    /// Reads the environment of runs.
    Environment {
        /// That of runs in the host's network.
        #[arg(long)]
        host: bool,
    },
    /// Reads what bounds connections, of a process or of one that is yet to be started, and prints it as JSON.
    Limits {
        /// Of this one, in whose network it is read.
        #[arg(long)]
        pid: Option<u32>,
    },
    /// Counts the sockets of a process's network and prints a census as JSON.
    Census {
        /// The process.
        #[arg(long)]
        pid: u32,
        /// The server's port.
        #[arg(long)]
        port: u16,
    },
    /// Makes an experiment of a claim in a network of its own.
    Experiment,
}

/// Works as a child until told to stop.
pub fn work(role: Role) -> Exit {
    // A parent that is killed cannot say so; the pipe's end says it too, but not to a busy reader.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if !matches!(role, Role::Limits { .. }) {
        raise_descriptors();
    }
    // `ps` and `top` show this; otherwise it would be that of the link by which it was started.
    let _ = rustix::thread::set_name(match role {
        Role::Server => c"ft-server",
        Role::Client => c"ft-client",
        Role::Prepare => c"ft-prepare",
        Role::Probe => c"ft-probe",
        Role::Environment { .. } => c"ft-environment",
        Role::Limits { .. } => c"ft-limits",
        Role::Census { .. } => c"ft-census",
        Role::Experiment => c"ft-experiment",
    });
    // Should memory end after all, it is a run's own processes that have to go, and not somebody else's.
    let _ = std::fs::write(
        "/proc/self/oom_score_adj",
        match role {
            Role::Prepare => "1000",
            _ => "900",
        },
    );
    match role {
        Role::Server => server::work(),
        Role::Client => client::work(),
        Role::Prepare => prepare::work(),
        Role::Probe => probe(),
        Role::Environment { host } => environment::work(host),
        Role::Limits { pid } => limits::work(pid),
        Role::Census { pid, port } => census::work(pid, port),
        Role::Experiment => experiment::work(),
    }
}

/// Enters a private network and exits. Nobody can leave a user namespace again, so trying takes a
/// process of its own.
fn probe() -> Exit {
    match network::enter_network(&Network::Create(BTreeMap::new())) {
        Ok(()) => Exit::Done,
        Err(reason) => {
            let _ = writeln!(std::io::stdout(), "{reason}");
            Exit::Failed
        }
    }
}

/// Enters the network of the case. The process still has one thread.
fn enter(network: &Network) -> Result<(), Failure> {
    network::enter_network(network).map_err(|error| failure(error, None))
}

/// Pins the calling thread, and with it every thread that it will start.
pub fn pin(cpus: &[u32]) -> Result<(), Failure> {
    let is_pinned = match *cpus {
        [] => true,
        [cpu] => core_affinity::set_for_current(core_affinity::CoreId { id: cpu as usize }),
        _ => {
            let mut set = CpuSet::new();
            cpus.iter().for_each(|&cpu| set.set(cpu as usize));
            rustix::thread::sched_setaffinity(None, &set).is_ok()
        }
    };
    if is_pinned {
        return Ok(());
    }
    Err(failure(
        format!("cannot be pinned to cores {cpus:?}: they went away, or a cpuset forbids them"),
        None,
    ))
}

fn failure(error: String, limiter: Option<&str>) -> Failure {
    Failure {
        error,
        limiter: limiter.map(str::to_owned),
        connections_held: None,
    }
}

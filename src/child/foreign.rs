//! A server that is another program: started, watched until it listens, and ended with all that it started.
//!
//! It inherits the network, the cores and the limits of this process. Its processes are in a process id
//! namespace of their own where one is granted: the kernel ends them all when the first of them ends, and that
//! one is killed when this process dies, whatever the reason. Where there is none, what the program leaves
//! behind becomes this process's child, and is killed with it in every end but a violent one of its own.

use super::pipe::{Requests, reply};
use crate::exit::Exit;
use crate::last_words::{LastWords, describe_end};
use crate::raw;
use fourtuple_spec::Case;
use fourtuple_spec::case::Foreign;
use fourtuple_spec::message::{Failure, Network, ServerReply, ServerRequest};
use fourtuple_spec::record::ServerCounters;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process};
use std::fs;
use std::io::PipeWriter;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a program may take to listen: an interpreter or a container's entry point may be slow.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at whether it does.
const LOOK: Duration = Duration::from_millis(10);
/// How long the end of its output is waited for once all of its processes are gone.
const OUTPUT_LIMIT: Duration = Duration::from_millis(100);

/// The state in which `/proc/net/tcp` shows a listener.
const LISTENING: &str = "0A";

/// Has the program serve until told to stop.
pub fn work(case: &Case, network: &Network, listen: SocketAddr, requests: Requests) -> Exit {
    // The end of the input ends this process, in order: killed with its parent, it could not end the program's.
    let _ = rustix::process::set_parent_process_death_signal(None);
    match serve(case, network, listen, requests) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            reply(&ServerReply::Failed(failure));
            Exit::Failed
        }
    }
}

fn serve(
    case: &Case,
    network: &Network,
    listen: SocketAddr,
    requests: Requests,
) -> Result<(), Failure> {
    let foreign = case
        .foreign
        .as_ref()
        .ok_or_else(|| failed("this case names no program".to_owned()))?;
    super::enter(network)?;
    super::pin(&case.server_cpus)?;
    let address =
        with_port(listen).map_err(|error| failed(format!("{listen} has no free port: {error}")))?;
    let mut program = Program::start(foreign, address, requests)?;
    let ready = program.wait_for_listener(address.port());
    if ready.is_ok() {
        reply(&ServerReply::Listening {
            address,
            granted: Vec::new(),
        });
    }
    let served = ready.and_then(|()| program.wait());
    program.end();
    match served {
        _ if program.orders.is_over.load(Ordering::Relaxed) => Ok(()),
        Ok(status) => Err(program.failed(&describe_end(&program.name, status))),
        Err(said) => Err(program.failed(&said)),
    }
}

/// A port that nobody has, if none is named; somebody may take it before the program does.
fn with_port(listen: SocketAddr) -> std::io::Result<SocketAddr> {
    match listen.port() {
        0 => TcpListener::bind(listen)?.local_addr(),
        _ => Ok(listen),
    }
}

/// What the parent wants, as its thread has heard it.
#[derive(Default)]
struct Orders {
    /// The program's process.
    program: OnceLock<Pid>,
    /// The parent is gone or wants an end.
    is_over: AtomicBool,
}

impl Orders {
    /// Answers the parent until it wants an end, then kills the program, which ends every wait for it.
    fn obey(&self, mut requests: Requests) {
        while let Some(request) = requests.next() {
            match request {
                ServerRequest::Count => reply(&ServerReply::Counters(ServerCounters::default())),
                ServerRequest::Stop => break,
                ServerRequest::Start { .. } => {}
            }
        }
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(&program) = self.program.get() {
            let _ = kill_process(program, Signal::KILL);
        }
    }
}

/// The program under way.
struct Program {
    name: String,
    child: Child,
    orders: Arc<Orders>,
    last_words: LastWords,
    hearing: JoinHandle<()>,
}

impl Program {
    fn start(foreign: &Foreign, address: SocketAddr, requests: Requests) -> Result<Self, Failure> {
        let orders = Arc::<Orders>::default();
        let last_words = LastWords::default();
        let no_thread = |error| failed(format!("cannot start a thread: {error}"));
        let (output, input) =
            std::io::pipe().map_err(|error| failed(format!("cannot make a pipe: {error}")))?;
        let words = last_words.clone();
        let hearing = spawn(move || words.hear(output)).map_err(no_thread)?;
        let obeying = Arc::clone(&orders);
        spawn(move || obeying.obey(requests)).map_err(no_thread)?;
        // Whoever loses its parent among the program's processes becomes this one's child.
        let _ = rustix::process::set_child_subreaper(Some(getpid()));
        // From here on this thread can start no other. It outlives the program: when it ended, the program would.
        let _ = raw::unshare_processes();
        let name = format!("the server {}", foreign.label());
        let child = launch(&foreign.command, address, input)
            .map_err(|error| failed(format!("{name} cannot be started: {error}")))?;
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = orders.program.set(pid);
        }
        Ok(Self {
            name,
            child,
            orders,
            last_words,
            hearing,
        })
    }

    /// Waits until somebody in this network listens on the port; otherwise says why nobody does.
    fn wait_for_listener(&mut self, port: u16) -> Result<(), String> {
        let end = Instant::now() + READY_LIMIT;
        while !listens(port) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!(
                    "{} (it has to stay in the foreground)",
                    describe_end(&self.name, status)
                ));
            }
            if self.orders.is_over.load(Ordering::Relaxed) || Instant::now() >= end {
                return Err(format!(
                    "{} did not listen on port {port} within {} s: its command has to name {{port}}",
                    self.name,
                    READY_LIMIT.as_secs()
                ));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<ExitStatus, String> {
        self.child
            .wait()
            .map_err(|error| format!("{} cannot be waited for: {error}", self.name))
    }

    /// Kills and reaps all that the program has started, until there is none left.
    fn end(&mut self) {
        let own = std::process::id();
        let _ = self.child.kill();
        loop {
            for pid in fourtuple_meter::with_descendants(&[own]).split_off(1) {
                if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => thread::sleep(Duration::from_millis(1)),
                Err(_) => break,
            }
        }
        let end = Instant::now() + OUTPUT_LIMIT;
        while !self.hearing.is_finished() && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn failed(&self, said: &str) -> Failure {
        failed(self.last_words.after(said))
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().stack_size(128 * 1024).spawn(work)
}

/// What it says goes into the pipe: this process's own output is the parent's.
fn launch(words: &[String], address: SocketAddr, output: PipeWriter) -> std::io::Result<Child> {
    let words = fill_in(words, address);
    let [program, arguments @ ..] = &words[..] else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    raw::die_with_this_thread(&mut command);
    command.spawn()
}

/// The command with the address in the place of its marks.
fn fill_in(words: &[String], address: SocketAddr) -> Vec<String> {
    let (port, ip) = (address.port().to_string(), address.ip().to_string());
    words
        .iter()
        .map(|word| word.replace("{port}", &port).replace("{address}", &ip))
        .collect()
}

fn listens(port: u16) -> bool {
    ["tcp", "tcp6"]
        .iter()
        .filter_map(|name| fs::read_to_string(format!("/proc/thread-self/net/{name}")).ok())
        .any(|table| has_listener(&table, port))
}

/// `sl local_address rem_address st …`: addresses and ports in hexadecimal.
fn has_listener(table: &str, port: u16) -> bool {
    let port = format!("{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().and_then(|address| address.rsplit(':').next());
        local == Some(port.as_str()) && words.nth(1) == Some(LISTENING)
    })
}

fn failed(error: String) -> Failure {
    super::failure(error, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_in_every_word_is_filled_in() {
        let words = ["my-server", "--listen={address}:{port}", "{port}"].map(str::to_owned);
        let filled = fill_in(&words, "127.0.0.1:7000".parse().unwrap());
        assert_eq!(filled, ["my-server", "--listen=127.0.0.1:7000", "7000"]);
    }

    #[test]
    fn only_a_listener_on_the_port_counts() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
             \x20  0: 00000000:0007 00000000:0000 0A 00000000:00000000\n\
             \x20  1: 0100007F:1F90 0100007F:0007 01 00000000:00000000\n\
             \x20  2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0\n";
        assert!(has_listener(table, 7) && has_listener(table, 80));
        assert!(!has_listener(table, 8080), "connected, not listening");
        assert!(!has_listener(table, 8));
    }

    #[test]
    fn a_listener_of_this_process_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(listens(listener.local_addr().unwrap().port()));
    }
}

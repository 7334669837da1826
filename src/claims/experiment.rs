//! Experiments with plain sockets: which connections are attempted is said here, and done by `fourtuple child
//! experiment` in a network of its own.
//!
//! Connections stay open until the end. Then each of them is proved live by an echo that carries its number, while all
//! others are open; then the kernel is asked for the sockets.

use super::{Court, Halt};
use crate::interrupt::Interrupt;
use crate::last_words::{LastWords, describe_end};
use crate::limits::child_descriptors;
use crate::raw;
use fourtuple_spec::Census;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Descriptors of an experiment's process that are not connections: its standard streams, listeners, what it reads.
const OWN_DESCRIPTORS: u64 = 64;

/// Thousands of connections take a second; only what hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often Ctrl-C is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// What is attempted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Settings of the network.
    pub sysctls: BTreeMap<String, String>,
    /// The ports that are listened on, at every address.
    pub ports: Vec<u16>,
    /// The attempts, one after the other.
    pub attempts: Vec<Attempt>,
}

/// Connections that are opened the same way until so many are open, or one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Where they come from.
    pub source: Source,
    /// Where they go.
    pub destination: SocketAddrV4,
    /// How many at most.
    pub connections_max: u32,
}

/// Who picks a connection's source, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The kernel, in `connect`.
    Kernel,
    /// The kernel, in `bind` to this address and port 0.
    PortAtBind(Ipv4Addr),
    /// `bind` to this address and port 0 with `IP_BIND_ADDRESS_NO_PORT`: the address there, the port in `connect`.
    PortAtConnect(Ipv4Addr),
    /// `bind` to this address and port.
    Given(SocketAddrV4),
    /// The same with `SO_REUSEADDR`, by which several sockets may be bound to them.
    GivenToSeveral(SocketAddrV4),
}

/// What the child answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It was done, whatever came of it.
    Done(Outcome),
    /// It could not be begun: no network is granted, or a port cannot be listened on.
    Refused(String),
    /// It was begun and broke off: an echo failed, a connection is another's.
    Failed(String),
}

/// What came of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Of each attempt.
    pub attempts: Vec<Attempted>,
    /// Connections whose own number came back while all of them were open.
    pub proved: u64,
    /// The sockets of each port, all connections open.
    pub censuses: Vec<Census>,
    /// The first lines of `/proc/net/tcp` then.
    pub lines: Vec<String>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempted {
    /// Connections that were opened.
    pub opened: u64,
    /// What the next one was refused with; `null` if none was.
    pub refusal: Option<Refusal>,
}

/// A system call that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which: `socket`, `bind`, `connect`, `accept`.
    pub step: String,
    /// The name of its errno: `EADDRNOTAVAIL`.
    pub errno: String,
}

impl Attempted {
    /// Whether it ended with this errno of this system call.
    pub fn was_refused(&self, step: &str, errno: &str) -> bool {
        let refusal = self.refusal.as_ref();
        refusal.is_some_and(|refusal| refusal.step == step && refusal.errno == errno)
    }

    /// How it ended: `EADDRNOTAVAIL at connect`.
    pub fn end(&self) -> String {
        match &self.refusal {
            Some(Refusal { step, errno }) => format!("{errno} at {step}"),
            None => "no refusal".to_owned(),
        }
    }
}

impl Outcome {
    /// Connections that were opened, by all attempts.
    pub fn opened(&self) -> u64 {
        self.attempts.iter().map(|attempt| attempt.opened).sum()
    }

    /// Whether every connection that was opened was live while all were.
    pub fn is_proved(&self) -> bool {
        self.proved == self.opened()
    }
}

/// Connections that an experiment may have, because both of their ends are its process's.
pub fn connections_max() -> u64 {
    child_descriptors().saturating_sub(OWN_DESCRIPTORS) / 2
}

/// Does an experiment in a network of its own.
///
/// # Errors
/// [`Halt::NotRun`] where it could not be done here, [`Halt::Broken`] where its process died or hung.
pub fn perform(court: &Court<'_>, request: &Request) -> Result<Outcome, Halt> {
    court.needs_private_network()?;
    let mut process = Process::start(request).map_err(Halt::NotRun)?;
    let text = all_of(
        process.reaped.0.stdout.take(),
        court.interrupt,
        "the experiment",
    )?;
    process.read(&text)
}

/// All that `whose` process prints until it closes its output. Whoever gets no answer should drop it as [`Reaped`].
///
/// # Errors
/// [`Halt::Interrupted`] by Ctrl-C, [`Halt::Broken`] where it takes longer than a minute.
pub fn all_of(
    output: Option<ChildStdout>,
    interrupt: &Interrupt,
    whose: &str,
) -> Result<String, Halt> {
    let (sender, answer) = mpsc::channel();
    spawn(move || {
        let mut text = String::new();
        let read = output.map(|mut output| output.read_to_string(&mut text));
        // Of what cannot be read, the process's end says more.
        let _ = sender.send(match read {
            Some(Ok(_)) => text,
            _ => String::new(),
        });
    })?;
    awaited(&answer, interrupt, PATIENCE, whose)
}

fn awaited(
    answer: &Receiver<String>,
    interrupt: &Interrupt,
    patience: Duration,
    whose: &str,
) -> Result<String, Halt> {
    let latest = Instant::now() + patience;
    loop {
        if interrupt.is_set() {
            return Err(Halt::Interrupted);
        }
        match answer.recv_timeout(LOOK) {
            Ok(text) => return Ok(text),
            Err(RecvTimeoutError::Timeout) if Instant::now() < latest => {}
            Err(RecvTimeoutError::Timeout) => {
                let seconds = patience.as_secs();
                let why = format!("{whose} took more than {seconds} s and was ended");
                return Err(Halt::Broken(why));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let why = format!("what {whose} answered was lost: its reader is gone");
                return Err(Halt::Broken(why));
            }
        }
    }
}

/// A process that is killed and reaped when it is dropped.
pub struct Reaped(pub Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process of an experiment.
struct Process {
    reaped: Reaped,
    last_words: LastWords,
}

impl Process {
    /// Starts this program again. Its input stays open until it is dropped, and its end tells it that nobody waits.
    fn start(request: &Request) -> Result<Self, String> {
        let cannot = |error: std::io::Error| format!("the experiment cannot be started: {error}");
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["child", "experiment"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own process group, so that Ctrl-C at a terminal reaches the parent alone.
            .process_group(0);
        raw::die_with_this_thread(&mut command);
        let mut process = Self {
            reaped: Reaped(command.spawn().map_err(cannot)?),
            last_words: LastWords::default(),
        };
        if let Some(errors) = process.reaped.0.stderr.take() {
            let last_words = process.last_words.clone();
            let hear = move || last_words.hear(errors);
            thread::Builder::new().spawn(hear).map_err(cannot)?;
        }
        let mut line = serde_json::to_vec(request).expect("requests are plain data");
        line.push(b'\n');
        if let Some(input) = &mut process.reaped.0.stdin {
            // One that is gone already is noticed by its end.
            let _ = input.write_all(&line);
        }
        Ok(process)
    }

    fn read(&mut self, text: &str) -> Result<Outcome, Halt> {
        match serde_json::from_str(text) {
            Ok(Reply::Done(outcome)) => Ok(outcome),
            Ok(Reply::Refused(reason)) => Err(Halt::NotRun(reason)),
            Ok(Reply::Failed(reason)) => {
                let why = format!("the experiment broke off: {reason}");
                Err(Halt::Broken(why))
            }
            Err(error) => {
                let _ = self.reaped.0.kill();
                let end = self.reaped.0.wait();
                let said = end.map_or_else(
                    |_| format!("the experiment's answer cannot be read: {error}"),
                    |status| describe_end("the experiment", status),
                );
                Err(Halt::Broken(self.last_words.after(&said)))
            }
        }
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), Halt> {
    let started = thread::Builder::new().spawn(work);
    let cannot = |error| Halt::NotRun(format!("a thread cannot be started: {error}"));
    started.map(drop).map_err(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_says_how_it_ended() {
        let refused = Attempted {
            opened: 3,
            refusal: Some(Refusal {
                step: "bind".to_owned(),
                errno: "EADDRINUSE".to_owned(),
            }),
        };
        assert!(refused.was_refused("bind", "EADDRINUSE"));
        assert!(!refused.was_refused("connect", "EADDRINUSE"));
        assert!(!refused.was_refused("bind", "EADDRNOTAVAIL"));
        assert_eq!(refused.end(), "EADDRINUSE at bind");
        let whole = Attempted {
            opened: 2,
            refusal: None,
        };
        assert!(!whole.was_refused("bind", "EADDRINUSE"));
        assert_eq!(whole.end(), "no refusal");
        let mut outcome = Outcome {
            attempts: vec![refused, whole],
            proved: 5,
            ..Outcome::default()
        };
        assert!(outcome.is_proved() && outcome.opened() == 5);
        outcome.proved = 4;
        assert!(!outcome.is_proved());
    }

    /// A process that only waits, and has said nothing.
    fn idle() -> Process {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        Process {
            reaped: Reaped(command.spawn().unwrap()),
            last_words: LastWords::default(),
        }
    }

    #[test]
    fn what_was_refused_was_not_run_and_what_broke_off_is_broken() {
        let read = |reply: &Reply| idle().read(&serde_json::to_string(reply).unwrap());
        match read(&Reply::Refused("unshare: EPERM".to_owned())) {
            Err(Halt::NotRun(why)) => assert_eq!(why, "unshare: EPERM"),
            other => panic!("{other:?}"),
        }
        match read(&Reply::Failed("an echo failed".to_owned())) {
            Err(Halt::Broken(why)) => assert_eq!(why, "the experiment broke off: an echo failed"),
            other => panic!("{other:?}"),
        }
        assert!(read(&Reply::Done(Outcome::default())).is_ok());
        assert!(matches!(idle().read(""), Err(Halt::Broken(_))));
    }

    #[test]
    fn an_answer_that_does_not_come_is_told_from_one_that_cannot() {
        let wait = |answer: &Receiver<String>| {
            let interrupt = Interrupt::default();
            awaited(answer, &interrupt, Duration::ZERO, "it")
        };
        let (sender, answer) = mpsc::channel();
        match wait(&answer) {
            Err(Halt::Broken(why)) => assert!(why.contains("took more than"), "{why}"),
            other => panic!("{other:?}"),
        }
        sender.send("done".to_owned()).unwrap();
        assert_eq!(wait(&answer).unwrap(), "done");
        drop(sender);
        match wait(&answer) {
            Err(Halt::Broken(why)) => assert!(why.contains("was lost"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

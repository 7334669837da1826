//! One child process: started, spoken to, heard, and reaped whatever happens.

use super::events::{Event, Halt, Who};
use crate::last_words::{LastWords, describe_end};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

/// A child process. Dropping it kills and reaps it.
pub struct Process {
    who: Who,
    child: Child,
    input: Option<ChildStdin>,
    last_words: LastWords,
    status: Option<ExitStatus>,
    grace: Duration,
}

impl Process {
    /// Starts this program again as a child; what it says becomes events.
    pub fn start<Reply: DeserializeOwned>(
        who: Who,
        events: Sender<Event>,
        event: impl Fn(Reply) -> Event + Send + 'static,
    ) -> Result<Self, Halt> {
        let cannot = |error| Halt::failed(format!("{} cannot be started: {error}", who.name()));
        let role = match who {
            Who::Server(_) => "server",
            Who::Client => "client",
            Who::Prepare => "prepare",
        };
        // Its own process group, so that Ctrl-C at a terminal reaches the parent alone.
        let mut child = Command::new("/proc/self/exe")
            .arg0("fourtuple")
            .args(["child", role])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(cannot)?;
        let input = child.stdin.take();
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let process = Self {
            who,
            child,
            input,
            last_words: LastWords::default(),
            status: None,
            grace: Duration::ZERO,
        };
        if let Some(output) = output {
            spawn(move || hear(who, output, &events, event)).map_err(cannot)?;
        }
        if let Some(errors) = errors {
            let last_words = process.last_words.clone();
            spawn(move || last_words.hear(errors)).map_err(cannot)?;
        }
        Ok(process)
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How an error calls it.
    pub fn name(&self) -> &'static str {
        self.who.name()
    }

    /// Whether the process has been stopped by a signal: state `T` in `/proc/PID/stat`.
    pub fn is_stopped(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).is_ok_and(|stat| {
            let state = stat.rsplit(") ").next();
            state.is_some_and(|fields| fields.starts_with('T'))
        })
    }

    /// Tells the child something. A child that is gone is noticed by its end, not here.
    pub fn tell<Request: Serialize>(&mut self, request: &Request) {
        if let Some(input) = &mut self.input {
            let mut line = serde_json::to_string(request).expect("requests are plain data");
            line.push('\n');
            let _ = input.write_all(line.as_bytes());
        }
    }

    /// Waits for the end of a child that has closed its output, and says how it ended.
    pub fn describe_end(&mut self) -> String {
        // A child that lives on with its output closed is of no use, and must not be waited for.
        self.input = None;
        let _ = self.child.kill();
        let Ok(status) = self.child.wait() else {
            return format!("{} is gone", self.who.name());
        };
        self.status = Some(status);
        self.last_words
            .after(&describe_end(self.who.name(), status))
    }

    /// Whether it is known to have ended by SIGKILL.
    pub fn was_killed(&self) -> bool {
        let signal = self.status.and_then(|status| status.signal());
        signal == Some(rustix::process::Signal::KILL.as_raw())
    }

    /// How long it may take to end in order before it is killed: one that has started processes of its own takes
    /// them with it.
    pub fn allow(&mut self, grace: Duration) {
        self.grace = grace;
    }

    /// Kills and reaps.
    pub fn end(&mut self) {
        self.input = None;
        let latest = Instant::now() + self.grace;
        while self.status.is_none() && Instant::now() < latest {
            self.status = self.child.try_wait().ok().flatten();
            thread::sleep(Duration::from_millis(1));
        }
        if self.status.is_none() {
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
        }
    }

    /// Closes the child's input, which asks it to exit.
    pub fn dismiss(&mut self) {
        self.input = None;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new()
        .stack_size(128 * 1024)
        .spawn(work)
        .map(drop)
}

fn hear<Reply: DeserializeOwned>(
    who: Who,
    output: impl Read,
    events: &Sender<Event>,
    event: impl Fn(Reply) -> Event,
) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { break };
        let Ok(reply) = serde_json::from_str(&line) else {
            break;
        };
        if events.send(event(reply)).is_err() {
            return;
        }
    }
    let _ = events.send(Event::Ended(who));
}

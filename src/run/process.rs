//! One child process: started, spoken to, heard, and reaped whatever happens.

use super::events::{Event, Halt, Who};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// How much of a child's standard error is kept for an error message.
const LAST_WORDS_BYTES: usize = 2048;

/// A child process. Dropping it kills and reaps it.
pub struct Process {
    who: Who,
    child: Child,
    input: Option<ChildStdin>,
    last_words: Arc<Mutex<String>>,
    status: Option<ExitStatus>,
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
            last_words: Arc::default(),
            status: None,
        };
        if let Some(output) = output {
            spawn(move || hear(who, output, &events, event)).map_err(cannot)?;
        }
        if let Some(errors) = errors {
            let last_words = Arc::clone(&process.last_words);
            spawn(move || keep_last_words(errors, &last_words)).map_err(cannot)?;
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
        let last_words = self
            .last_words
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        describe(self.who, status, last_words.trim())
    }

    /// Kills and reaps.
    pub fn end(&mut self) {
        self.input = None;
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

fn keep_last_words(mut errors: impl Read, last_words: &Mutex<String>) {
    let mut piece = [0; 1024];
    while let Ok(bytes @ 1..) = errors.read(&mut piece) {
        let mut text = last_words.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(&String::from_utf8_lossy(&piece[..bytes]));
        let excess = text.len().saturating_sub(LAST_WORDS_BYTES);
        let cut = (excess..text.len())
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        text.drain(..cut);
    }
}

fn describe(who: Who, status: ExitStatus, last_words: &str) -> String {
    let name = who.name();
    let how = match (status.signal(), status.code()) {
        (Some(9), _) => {
            format!("{name} was killed by SIGKILL (the OOM killer? `dmesg` would say)")
        }
        (Some(signal), _) => format!("{name} was killed by {}", signal_name(signal)),
        (None, Some(code)) => format!("{name} exited with status {code} before it was told to"),
        (None, None) => format!("{name} is gone"),
    };
    if last_words.is_empty() {
        how
    } else {
        format!("{how}; its last words: {last_words}")
    }
}

fn signal_name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal).map_or_else(
        || format!("signal {signal}"),
        |name| format!("{name} (signal {signal})"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_described_by_its_signal_or_status_and_last_words() {
        let killed = describe(Who::Client, ExitStatus::from_raw(9), "");
        assert!(
            killed.contains("the client was killed by SIGKILL"),
            "{killed}"
        );
        let segfault = describe(Who::Server(0), ExitStatus::from_raw(11), "");
        assert!(segfault.contains("SIGSEGV"), "{segfault}");
        let panicked = describe(Who::Server(0), ExitStatus::from_raw(101 << 8), "oh no");
        assert!(panicked.contains("status 101"), "{panicked}");
        assert!(panicked.ends_with("oh no"), "{panicked}");
    }

    #[test]
    fn only_the_end_of_long_last_words_is_kept() {
        let words = Mutex::default();
        keep_last_words("ü".repeat(4000).as_bytes(), &words);
        let kept = words.into_inner().unwrap();
        assert!(kept.len() <= LAST_WORDS_BYTES && kept.len() > LAST_WORDS_BYTES / 2);
    }
}

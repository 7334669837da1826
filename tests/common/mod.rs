//! What the whole-program tests share: starting the program, and looking at what it left behind.

#![allow(dead_code)] // Each test file uses its own part of this.

pub mod doctor;
pub mod group;
pub mod place;
pub mod wall;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Flags of a run that needs no io_uring and takes half a second.
pub const SMALL_RUN: [&str; 15] = [
    "run",
    "--engine",
    "epoll",
    "--client",
    "spin",
    "--connections",
    "10",
    "--settle",
    "10ms",
    "--warmup",
    "20ms",
    "--duration",
    "100ms",
    "--message-bytes",
    "100",
];

/// The program.
pub fn fourtuple() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fourtuple"));
    command.stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn output<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    fourtuple().args(arguments).output().unwrap()
}

/// Runs it, and expects this exit status; gives back what it said on standard error.
pub fn refused<'a>(status: i32, arguments: impl IntoIterator<Item = &'a str>) -> String {
    let output = output(arguments);
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(status), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}

/// What it said on standard error.
pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one record on standard output.
pub fn record(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), 1, "{text:?}\n{}", errors(output));
    serde_json::from_str(&text).unwrap()
}

/// An empty directory of the test's own.
pub fn directory(name: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// The records of a directory, one JSON value a line.
pub fn records(directory: &Path) -> Vec<Value> {
    let text = fs::read_to_string(directory.join("records.jsonl")).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Sends a signal to a process that this test started, directly or through the program.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits until something is so.
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The children of a run, once its measuring has begun: the server, then the client.
pub fn children_at_work(parent: &Child) -> [u32; 2] {
    wait_until("a server and a client", || {
        let children: Vec<u32> = children(parent.id())
            .into_iter()
            .filter(|&child| is_named(child, "ft-server") || is_named(child, "ft-client"))
            .collect();
        children.try_into().ok()
    })
}

/// Whether a process is there and not merely waiting to be reaped.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or("Z").starts_with('Z'))
}

/// Whether this kernel lets anyone use io_uring.
pub fn has_io_uring() -> bool {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled").is_ok_and(|text| text.trim() == "0")
}

/// Whether a run went as it should: valid, or invalid for nothing but its load, for a machine that is busy with tests
/// may leave the client less time than its server.
pub fn went_well(record: &Value) -> bool {
    let error = record["error"].as_str().unwrap_or_default();
    record["outcome"] == "ok" || fourtuple_spec::record::is_load_rule(error)
}

/// Whether the record's run had a network of its own. It must say why if not.
pub fn was_private(record: &Value) -> bool {
    match record["granted"]["network"].as_str() {
        Some("private") => true,
        Some("host") => {
            assert!(record["granted"]["network_reason"].is_string(), "{record}");
            false
        }
        other => panic!("network: {other:?}"),
    }
}

fn children(parent: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else {
        return Vec::new();
    };
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|text| {
            let pids: Vec<u32> = text.split_whitespace().flat_map(str::parse).collect();
            pids
        })
        .collect()
}

fn is_named(pid: u32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
}

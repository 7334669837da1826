//! Where limits can be lowered without anybody else noticing: a network of the test's own, a process's own limits.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};

/// Names the test that is to go on inside the network that was made for it.
const INSIDE: &str = "FOURTUPLE_TEST_INSIDE";

/// Runs a test in a network of its own: starts this very test again inside one. `name` is the test's.
pub fn in_own_network(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).as_deref() == Some(OsStr::new(name)) {
        return test();
    }
    let Some(unshare) = unshare() else {
        return;
    };
    let itself = std::env::current_exe().unwrap();
    let output = command(&unshare)
        .arg(itself)
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, name)
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    println!("{}", said.concat());
    assert!(output.status.success(), "{}", said.concat());
    assert!(
        said[0].contains("1 passed"),
        "{name} is no test: {}",
        said[0]
    );
}

/// Whether this is the process that a test has started inside a network of its own.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// What makes a network with `lo` up, and then becomes what follows; `None`, and a word about it, if it is refused.
fn unshare() -> Option<Vec<String>> {
    let script = "ip link set lo up && exec \"$@\"";
    let as_whom = if rustix::process::geteuid().is_root() {
        "-n"
    } else {
        "-rn"
    };
    let words = ["unshare", as_whom, "sh", "-c", script, "sh"]
        .map(str::to_owned)
        .to_vec();
    match command(&words).arg("true").output() {
        Ok(output) if output.status.success() => Some(words),
        Ok(output) => {
            println!(
                "skipped: a network of its own: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
            None
        }
        Err(error) => {
            println!("skipped: unshare: {error}");
            None
        }
    }
}

/// The command that such words begin.
pub fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    command
}

/// Sets one of the network's settings, of the network that this process is in.
pub fn set(name: &str, value: &str) {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// What becomes a program that has so many descriptors, and cannot raise them.
pub fn with_descriptors(limit: u32) -> Vec<String> {
    without_inherited(&format!("ulimit -n {limit} && exec \"$@\""))
}

/// What becomes a program that has its standard streams open, and nothing that whoever started the tests left open.
pub fn alone() -> Vec<String> {
    without_inherited("exec \"$@\"")
}

fn without_inherited(script: &str) -> Vec<String> {
    let close = "for fd in /proc/$$/fd/*; do fd=${fd##*/}; [ $fd -gt 2 ] && [ $fd -ne 255 ] && eval \"exec $fd>&-\"; done";
    let script = format!("{close}; {script}");
    // The shell that POSIX describes closes descriptors below 10 alone.
    let shell = if std::path::Path::new("/bin/bash").exists() {
        "bash"
    } else {
        "sh"
    };
    [shell, "-c", &script, shell].map(str::to_owned).to_vec()
}

/// The program, where such words lead to: none of them lead nowhere else.
pub fn fourtuple_in(place: &[String]) -> Command {
    if place.is_empty() {
        return super::fourtuple();
    }
    let mut command = command(place);
    command.arg(env!("CARGO_BIN_EXE_fourtuple"));
    command
}

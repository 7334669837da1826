//! The kernel's sockets, counted from within the network that they are in.
//!
//! Nobody can leave a user namespace again, so that takes a process of its own: `fourtuple child census`.

use super::Halt;
use super::experiment::{Reaped, all_of};
use crate::interrupt::Interrupt;
use crate::raw;
use fourtuple_spec::Census;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};

/// Counts the TCP sockets of the network of process `pid` whose local or remote port is `port`.
///
/// # Errors
/// Why they could not be counted: it was refused, Ctrl-C, or it took longer than a minute.
pub fn take(pid: u32, port: u16, interrupt: &Interrupt) -> Result<Census, String> {
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["child", "census", "--pid", &pid.to_string()])
        .args(["--port", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own process group, so that Ctrl-C at a terminal reaches the parent alone.
        .process_group(0);
    raw::die_with_this_thread(&mut command);
    let started = command.spawn();
    let mut process =
        Reaped(started.map_err(|error| format!("the census cannot be started: {error}"))?);
    let text = all_of(process.0.stdout.take(), interrupt, "the census").map_err(in_words)?;
    let mut errors = String::new();
    if let Some(mut said) = process.0.stderr.take() {
        // What cannot be read is said by its status.
        let _ = said.read_to_string(&mut errors);
    }
    let end = process.0.wait();
    let status = end.map_err(|error| format!("the census's end is unknown: {error}"))?;
    read(status, &text, &errors)
}

fn in_words(halt: Halt) -> String {
    match halt {
        Halt::NotRun(why) | Halt::Broken(why) => why,
        Halt::Interrupted => "the census was interrupted".to_owned(),
        Halt::Failed(ended) => ended.message.unwrap_or_default(),
    }
}

fn read(status: ExitStatus, text: &str, errors: &str) -> Result<Census, String> {
    if !status.success() {
        return Err(match errors.trim() {
            "" => format!("the census failed: {status}"),
            reason => reason.to_owned(),
        });
    }
    serde_json::from_str(text).map_err(|error| format!("the census cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn said(status: i32, stdout: &str, stderr: &str) -> Result<Census, String> {
        read(ExitStatus::from_raw(status), stdout, stderr)
    }

    #[test]
    fn a_census_is_what_was_printed_or_why_there_is_none() {
        let census = Census {
            port: 7,
            ..Census::default()
        };
        let text = serde_json::to_string(&census).unwrap();
        assert_eq!(said(0, &text, ""), Ok(census));
        assert_eq!(said(3 << 8, "", "EPERM\n"), Err("EPERM".to_owned()));
        let silent = said(9, "", "").unwrap_err();
        assert!(silent.contains("signal: 9"), "{silent}");
        assert!(said(0, "{}", "").is_err());
    }
}

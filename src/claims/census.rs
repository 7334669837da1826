//! The kernel's sockets, counted from within the network that they are in.
//!
//! Nobody can leave a user namespace again, so that takes a process of its own: `fourtuple child census`.

use crate::raw;
use fourtuple_spec::Census;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

/// Counts the TCP sockets of the network of process `pid` whose local or remote port is `port`.
///
/// # Errors
/// Why they could not be counted.
pub fn take(pid: u32, port: u16) -> Result<Census, String> {
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["child", "census", "--pid", &pid.to_string()])
        .args(["--port", &port.to_string()])
        .stdin(Stdio::null())
        // Its own process group, so that Ctrl-C at a terminal reaches the parent alone.
        .process_group(0);
    raw::die_with_this_thread(&mut command);
    let output = command
        .output()
        .map_err(|error| format!("the census cannot be started: {error}"))?;
    read(&output)
}

fn read(output: &Output) -> Result<Census, String> {
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(match errors.trim() {
            "" => format!("the census failed: {}", output.status),
            reason => reason.to_owned(),
        });
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("the census cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn said(status: i32, stdout: &str, stderr: &str) -> Result<Census, String> {
        read(&Output {
            status: ExitStatus::from_raw(status),
            stdout: stdout.into(),
            stderr: stderr.into(),
        })
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

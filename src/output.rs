//! Writing to people and to pipes. A reader that went away is no reason to panic.

use crate::exit::Ended;
use std::fmt;
use std::io::{self, Write};

/// Prints to the standard output. Whoever closed it has read enough; any other refusal is an error.
pub fn print(text: impl fmt::Display) -> Result<(), Ended> {
    let mut output = io::stdout().lock();
    match write!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Ended::failed(format!(
            "the standard output cannot be written: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Says a line on the standard error. If nobody hears it, nothing can be done.
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

//! Writing to people and to pipes. A reader that went away is no reason to panic.

use crate::exit::Ended;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IsTerminal, Write};

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

/// Whether to print in colour there: on a terminal, unless NO_COLOR says otherwise, which says nothing where it is empty.
pub fn is_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && !is_switched_off(std::env::var_os("NO_COLOR").as_deref())
}

fn is_switched_off(no_color: Option<&OsStr>) -> bool {
    no_color.is_some_and(|words| !words.is_empty())
}

/// Says a line on the standard error. If nobody hears it, nothing can be done.
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_word_switches_no_colour_off() {
        assert!(!is_switched_off(None));
        assert!(!is_switched_off(Some(OsStr::new(""))));
        assert!(is_switched_off(Some(OsStr::new("1"))));
    }
}

//! What a process said last, and how it ended: for an error message about it.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};

/// How much is kept.
const KEPT_BYTES: usize = 2048;

/// The end of what a process has said so far.
#[derive(Clone, Debug, Default)]
pub struct LastWords(Arc<Mutex<String>>);

impl LastWords {
    /// Reads to the end, keeping the last part.
    pub fn hear(&self, mut output: impl Read) {
        let mut piece = [0; 1024];
        while let Ok(bytes @ 1..) = output.read(&mut piece) {
            let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&String::from_utf8_lossy(&piece[..bytes]));
            let excess = text.len().saturating_sub(KEPT_BYTES);
            let cut = (excess..text.len())
                .find(|&at| text.is_char_boundary(at))
                .unwrap_or(0);
            text.drain(..cut);
        }
    }

    /// `said`, and what was heard after it, if anything was.
    pub fn after(&self, said: &str) -> String {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match text.trim() {
            "" => said.to_owned(),
            words => format!("{said}; its last words: {words}"),
        }
    }
}

/// How a process ended that was not told to.
pub fn describe_end(name: &str, status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(9), _) => {
            format!("{name} was killed by SIGKILL (the OOM killer? `dmesg` would say)")
        }
        (Some(signal), _) => format!("{name} was killed by {}", signal_name(signal)),
        (None, Some(code)) => format!("{name} exited with status {code} before it was told to"),
        (None, None) => format!("{name} is gone"),
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
        let of = |raw| describe_end("the client", ExitStatus::from_raw(raw));
        let killed = of(9);
        assert!(
            killed.contains("the client was killed by SIGKILL"),
            "{killed}"
        );
        assert!(of(11).contains("SIGSEGV"), "{}", of(11));
        let words = LastWords::default();
        assert_eq!(words.after(&of(101 << 8)), of(101 << 8));
        words.hear(&b"oh no\n"[..]);
        let panicked = words.after(&of(101 << 8));
        assert!(panicked.contains("status 101"), "{panicked}");
        assert!(panicked.ends_with("oh no"), "{panicked}");
    }

    #[test]
    fn only_the_end_of_long_last_words_is_kept() {
        let words = LastWords::default();
        words.hear("ü".repeat(4000).as_bytes());
        let kept = words.0.lock().unwrap();
        assert!(kept.len() <= KEPT_BYTES && kept.len() > KEPT_BYTES / 2);
    }
}

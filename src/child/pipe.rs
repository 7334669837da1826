//! JSON lines over the standard streams.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, BufReader, Stdin, Write};

/// The requests of the parent.
pub struct Requests(BufReader<Stdin>);

impl Requests {
    /// Takes over the standard input.
    pub fn new() -> Self {
        Self(BufReader::new(io::stdin()))
    }

    /// Waits for the next request; `None` if the parent is gone or does not speak the language.
    pub fn next<Request: DeserializeOwned>(&mut self) -> Option<Request> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => serde_json::from_str(&line)
                .inspect_err(|error| eprintln!("a request that cannot be read: {error}"))
                .ok(),
        }
    }
}

/// Says one thing to the parent. A parent that is gone ends the process.
pub fn reply<Reply: Serialize>(reply: &Reply) {
    let mut line = serde_json::to_string(reply).expect("replies are plain data");
    line.push('\n');
    let mut output = io::stdout().lock();
    if output
        .write_all(line.as_bytes())
        .and_then(|()| output.flush())
        .is_err()
    {
        std::process::exit(3);
    }
}

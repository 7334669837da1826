//! `/proc/PID/net/tcp` and `tcp6`: payload that lies in socket buffers, unread or unacknowledged.
//!
//! `tx_queue` is what was written and is not acknowledged, `rx_queue` what arrived and was not read.
//! At rest no byte is in both: loopback acknowledges within 40 ms, whether anybody reads or not. While
//! messages are in flight, a byte that has arrived and is not yet acknowledged is counted at both ends,
//! although they share its page: then this is an upper bound.
//!
//! A million sockets are 150 MB of text: it is read line by line, and none of it is kept. The kernel takes
//! 5 to 9 µs a socket to write it (115,000 in 0.6 to 1.3 s on busy cores, 6.18), so it is only asked where
//! it may matter. It walks the sockets of other networks too, where networks share one hash table.

use crate::malformed::Malformed;
use std::io::BufRead;

const FILE: &str = "/proc/net/tcp";

/// `TCP_LISTEN`: what stands under `rx_queue` of a listener is its accept queue, in connections.
const LISTEN: &[u8] = b"0A";

/// A table of sockets that could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The kernel refused.
    #[error("{FILE}: {0}")]
    Read(#[from] std::io::Error),
    /// The text is not what is known.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Bytes of payload in the buffers of all sockets of one table, listeners left out.
pub(crate) fn payload_bytes(mut table: impl BufRead) -> Result<u64, Refused> {
    let mut line = Vec::with_capacity(256);
    let mut bytes: u64 = 0;
    let mut index = 0;
    while table.read_until(b'\n', &mut line)? > 0 {
        let read = match index {
            0 => header(&line),
            _ => socket_bytes(&line),
        };
        let more = read.ok_or_else(|| malformed(index, &line))?;
        bytes = bytes.saturating_add(more);
        line.clear();
        index += 1;
    }
    match index {
        0 => Err(Malformed::missing(FILE, "", "a header").into()),
        _ => Ok(bytes),
    }
}

fn header(line: &[u8]) -> Option<u64> {
    words(line)
        .next()
        .is_some_and(|word| word == b"sl")
        .then_some(0)
}

/// `sl: local:port remote:port state tx_queue:rx_queue …`, all of it hexadecimal but the first.
fn socket_bytes(line: &[u8]) -> Option<u64> {
    let mut words = words(line).skip(3);
    let (state, queues) = (words.next()?, words.next()?);
    let colon = queues.iter().position(|&byte| byte == b':')?;
    let (sent, received) = (
        hexadecimal(&queues[..colon])?,
        hexadecimal(&queues[colon + 1..])?,
    );
    Some(match state {
        LISTEN => 0,
        _ => sent + received,
    })
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// Eight digits at most: the kernel writes 32 bits.
fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if !(1..=8).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0, |number, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(number << 4 | u64::from(digit))
    })
}

fn malformed(index: usize, line: &[u8]) -> Malformed {
    let expected =
        "sl … in the first line, then four words and two hexadecimal numbers with a colon";
    Malformed::new(FILE, index, expected, &String::from_utf8_lossy(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn table(lines: &str) -> Result<u64, Refused> {
        payload_bytes(format!("{HEADER}{lines}").as_bytes())
    }

    #[test]
    fn what_is_unread_and_what_is_unacknowledged_is_added_over_all_sockets() {
        let lines = "   \
   0: 0100007F:1F90 0100007F:8E2C 01 00000000:00001000 00:00000000 00000000     0        0 20 1 0000000000000000 20 4 0 10 -1
   1: 0100007F:8E2C 0100007F:1F90 01 00000A00:00000001 01:00000014 00000000     0        0 21 1 0000000000000000 20 4 0 10 -1
9999999: 00000000000000000000000001000000:1F90 00000000000000000000000001000000:8E2E 08 00000000:00000002 00:00000000 00000000     0        0 22 1 0000000000000000 20 4 0 10 -1
   2: 0100007F:1F90 0100007F:8E30 06 00000000:00000000 03:00001761 00000000     0        0 0 3 0000000000000000
";
        assert_eq!(table(lines).unwrap(), 0x1000 + 0xa00 + 1 + 2);
        assert_eq!(table("").unwrap(), 0);
    }

    #[test]
    fn the_accept_queue_of_a_listener_is_no_payload() {
        let line = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000080 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n";
        assert_eq!(table(line).unwrap(), 0);
    }

    #[test]
    fn a_bad_line_is_named_and_no_table_is_not_an_empty_one() {
        for junk in [
            "1: 2 3 01\n",
            "1: 2 3 01 12\n",
            "1: 2 3 01 g:0\n",
            "1: 2 3 01 123456789:0\n",
            "\n",
        ] {
            let error = table(junk).unwrap_err().to_string();
            assert!(error.contains("line 2"), "{junk:?}: {error}");
        }
        assert!(payload_bytes(&b""[..]).is_err());
        assert!(payload_bytes(&b"1: 2 3 01 00000000:00000001\n"[..]).is_err());
    }
}

//! `/proc/net/sockstat`: what TCP has charged to its sockets.

use crate::malformed::Malformed;

/// Pages charged to all TCP sockets of the machine: the counter is not a namespace's own.
///
/// A *charge*, not pages that exist: see the ledger's notes on `tcp_pages`.
pub(crate) fn tcp_pages_charged(text: &str) -> Result<u64, Malformed> {
    let file = "/proc/net/sockstat";
    for (index, line) in text.lines().enumerate() {
        let Some(rest) = line.strip_prefix("TCP:") else {
            continue;
        };
        let mut words = rest.split_whitespace().skip_while(|word| *word != "mem");
        return words
            .nth(1)
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| Malformed::new(file, index, "mem and a number of pages", line));
    }
    Err(Malformed::missing(
        file,
        text,
        "a line that begins with TCP:",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tcp_line_and_no_other_is_read() {
        let text =
            "sockets: used 17\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 163\nUDP: inuse 0 mem 7\n";
        assert_eq!(tcp_pages_charged(text), Ok(163));
        let error = tcp_pages_charged("sockets: used 17\nTCP: inuse 1 mem\n").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(tcp_pages_charged("UDP: inuse 0 mem 7\n").is_err());
    }
}

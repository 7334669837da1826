//! `/proc/net/sockstat`: what TCP has charged to its sockets, and how many there are.

use crate::malformed::Malformed;

const FILE: &str = "/proc/net/sockstat";

/// Pages charged to all TCP sockets of the machine: the counter is not a namespace's own.
///
/// A *charge*, not pages that exist: see the ledger's notes on `tcp_pages`.
pub(crate) fn tcp_pages_charged(text: &str) -> Result<u64, Malformed> {
    number_after(text, "mem", "mem and a number of pages")
}

/// TCP sockets over IPv4 in the namespace whose file this is; those that no process holds are in it.
pub(crate) fn tcp_sockets(text: &str) -> Result<u64, Malformed> {
    number_after(text, "inuse", "inuse and a number of sockets")
}

/// TCP sockets in TIME_WAIT in that namespace; of the machine before 4.17 or so.
pub(crate) fn tcp_time_wait(text: &str) -> Result<u64, Malformed> {
    number_after(text, "tw", "tw and a number of sockets")
}

/// TCP sockets without a process: of the machine, whose namespace the file may be.
pub(crate) fn tcp_orphans(text: &str) -> Result<u64, Malformed> {
    number_after(text, "orphan", "orphan and a number of sockets")
}

fn number_after(text: &str, name: &str, expected: &'static str) -> Result<u64, Malformed> {
    for (index, line) in text.lines().enumerate() {
        let Some(rest) = line.strip_prefix("TCP:") else {
            continue;
        };
        let mut words = rest.split_whitespace().skip_while(|word| *word != name);
        return words
            .nth(1)
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| Malformed::new(FILE, index, expected, line));
    }
    Err(Malformed::missing(
        FILE,
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
        assert_eq!(tcp_sockets(text), Ok(1));
        let text = "TCP: inuse 1 orphan 5 tw 9 alloc 1 mem 163\n";
        assert_eq!((tcp_orphans(text), tcp_time_wait(text)), (Ok(5), Ok(9)));
        let error = tcp_pages_charged("sockets: used 17\nTCP: inuse 1 mem\n").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(tcp_pages_charged("UDP: inuse 0 mem 7\n").is_err());
    }
}

//! `/proc/PID/net/snmp` and `/proc/PID/net/netstat`: a line of names, then a line of numbers.

/// One counter, such as `RetransSegs` of `Tcp`; `None` if it is not there.
pub(crate) fn counter(text: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut rows = text.lines().filter_map(|line| {
        let (own, rest) = line.split_once(':')?;
        (own == protocol).then_some(rest)
    });
    let names = rows.next()?;
    let numbers = rows.next()?;
    let column = names.split_whitespace().position(|own| own == name)?;
    numbers.split_whitespace().nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_under_its_name() {
        let text = "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm MaxConn RetransSegs\nTcp: 1 -1 42\n";
        assert_eq!(counter(text, "Tcp", "RetransSegs"), Some(42));
        assert_eq!(counter(text, "Tcp", "MaxConn"), None, "-1 is no count");
        assert_eq!(counter(text, "Tcp", "ListenDrops"), None);
        assert_eq!(counter(text, "TcpExt", "RetransSegs"), None);
        assert_eq!(counter("Tcp: RetransSegs\n", "Tcp", "RetransSegs"), None);
    }
}

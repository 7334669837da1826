//! How many ports of a range are in TIME_WAIT towards one destination: those that a next connection there has to do
//! without.
//!
//! A count of all sockets in TIME_WAIT says less: where the server closes first they are its own ends, and ports towards
//! one destination are free towards another.

use crate::sock_diag;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Looks through all sockets in TIME_WAIT of the network that this process is in, and counts those of the destination
/// that has most of them. An error says what the kernel refused.
pub(crate) fn of_one_destination(range: (u16, u16)) -> Result<u64, String> {
    let mut count = Count::new(range);
    sock_diag::in_time_wait(&mut |local, remote| count.add(local, remote))?;
    Ok(count.most())
}

struct Count {
    range: (u16, u16),
    /// By the source's address and the destination.
    ports: HashMap<(IpAddr, SocketAddr), u64>,
}

impl Count {
    fn new(range: (u16, u16)) -> Self {
        Self {
            range,
            ports: HashMap::new(),
        }
    }

    /// A port is not met twice: no two connections have the same four-tuple.
    fn add(&mut self, local: SocketAddr, remote: SocketAddr) {
        let (low, high) = self.range;
        if (low..=high).contains(&local.port()) {
            *self.ports.entry((local.ip(), remote)).or_default() += 1;
        }
    }

    fn most(&self) -> u64 {
        self.ports.values().copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{Shutdown, TcpListener, TcpStream};

    fn count(ends: &[(&str, &str)]) -> u64 {
        let mut count = Count::new((2_000, 2_099));
        for (local, remote) in ends {
            count.add(local.parse().unwrap(), remote.parse().unwrap());
        }
        count.most()
    }

    #[test]
    fn one_destination_counts_and_of_it_ports_of_the_range_alone() {
        assert_eq!(count(&[]), 0);
        let towards_one = [
            ("10.0.0.1:2000", "10.0.0.2:80"),
            ("10.0.0.1:2099", "10.0.0.2:80"),
            ("10.0.0.1:1999", "10.0.0.2:80"),
            ("10.0.0.1:2100", "10.0.0.2:80"),
        ];
        assert_eq!(count(&towards_one), 2);
        let towards_others = [
            ("10.0.0.1:2000", "10.0.0.2:80"),
            ("10.0.0.1:2001", "10.0.0.2:81"),
            ("10.0.0.1:2002", "10.0.0.3:80"),
            ("10.0.0.9:2003", "10.0.0.2:80"),
            ("[::1]:2004", "[::1]:80"),
        ];
        assert_eq!(count(&towards_others), 1);
        // A server's ends: one port of its own, as many destinations as it has clients.
        let of_server = [
            ("10.0.0.2:2000", "10.0.0.1:40000"),
            ("10.0.0.2:2000", "10.0.0.1:40001"),
        ];
        assert_eq!(count(&of_server), 1);
    }

    #[test]
    fn the_kernel_tells_of_those_that_closed_first() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut locals = Vec::new();
        for _ in 0..3 {
            let mut client = TcpStream::connect(address).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            locals.push(client.local_addr().unwrap());
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(server.read(&mut [0]).unwrap(), 0);
            drop(server);
            // The end that the server sent has arrived: the client's socket is in TIME_WAIT.
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
        let mut found = Vec::new();
        sock_diag::in_time_wait(&mut |local, remote| {
            if remote == address {
                found.push(local);
            }
        })
        .unwrap();
        found.sort_unstable();
        locals.sort_unstable();
        assert_eq!(found, locals);
        assert!(of_one_destination((1, u16::MAX)).unwrap() >= 3);
    }
}

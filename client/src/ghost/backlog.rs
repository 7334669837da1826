//! How many connections wait to be accepted, as the kernel has it.
//!
//! Nothing that a ghost hears tells whether its connection was accepted, and ghosts open faster than
//! some servers accept. A SYN that finds the queue full is lost and costs a quarter of a second.

use std::fs::File;
use std::io::Read;

/// Where the thread's own network lists its sockets, those that listen before all others.
const SOCKETS: &str = "/proc/thread-self/net/tcp";
/// Enough for the first rows, of 150 bytes each: one read builds no more of the list than it takes.
const FIRST_ROWS_BYTES: usize = 4096;
const LISTEN: &str = "0A";

/// Connections opened between two looks at the accept queue, and how many may wait there before no more are
/// opened. Together with the window they stay below the least backlog, 4,096.
pub(super) const LOOK_CONNECTIONS: u32 = 512;
const WAITING_MAX: u32 = 1024;

/// The accept queues of the listeners on one port.
pub(super) struct AcceptQueue {
    port: u16,
}

impl AcceptQueue {
    pub(super) fn new(port: u16) -> Self {
        Self { port }
    }

    /// Whether so many connections wait that no more should be opened. No, where that cannot be read.
    pub(super) fn is_long(&self) -> bool {
        longest_accept_queue(self.port).is_some_and(|waiting| waiting > WAITING_MAX)
    }
}

/// The longest accept queue of all listeners on `port`; `None` where it cannot be read.
fn longest_accept_queue(port: u16) -> Option<u32> {
    let mut rows = [0; FIRST_ROWS_BYTES];
    let length = File::open(SOCKETS).ok()?.read(&mut rows).ok()?;
    longest(&String::from_utf8_lossy(&rows[..length]), port)
}

fn longest(table: &str, port: u16) -> Option<u32> {
    let end = format!(":{port:04X}");
    table.lines().filter_map(|row| queue(row, &end)).max()
}

/// Columns: number, local address, remote address, state, tx_queue:rx_queue, of which a listener's
/// second is its accept queue.
fn queue(row: &str, local_end: &str) -> Option<u32> {
    let mut columns = row.split_ascii_whitespace().skip(1);
    let is_local = columns.next()?.ends_with(local_end);
    let is_listener = columns.nth(1)? == LISTEN;
    let (_, waiting) = columns.next()?.split_once(':')?;
    let waiting = u32::from_str_radix(waiting, 16).ok()?;
    (is_local && is_listener).then_some(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n   \
        0: 00000000:0007 00000000:0000 0A 00000000:0000001F 00:00000000 00000000     0        0 1\n   \
        1: 00000000:0007 00000000:0000 0A 00000000:00000020 00:00000000 00000000     0        0 2\n   \
        2: 00000000:0016 00000000:0000 0A 00000000:00000FFF 00:00000000 00000000     0        0 3\n   \
        3: 010012C6:0007 020012C6:0400 01 00000000:00001000 00:00000000 00000000     0        0 4\n   \
        4: 010012C6:0007 0200";

    #[test]
    fn only_listeners_of_the_port_count() {
        assert_eq!(longest(TABLE, 7), Some(0x20));
        assert_eq!(longest(TABLE, 22), Some(0xfff));
        assert_eq!(longest(TABLE, 9), None);
        assert_eq!(longest("", 7), None);
    }

    #[test]
    fn this_kernel_lists_its_listeners() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _waiting = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // A host with many listeners may have this one further down.
        if let Some(waiting) = longest_accept_queue(port) {
            assert_eq!(waiting, 1);
        }
    }
}

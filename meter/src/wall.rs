//! What a run may have met, read once it has stopped: in the network of its processes, and in this control group.

use crate::memory::own_cgroup;
use crate::{cgroup, proc_files, sockstat};
use std::fs::File;
use std::io::{self, Read};

/// Enough for the first rows, of 150 bytes each. One read brings a page of them at most, and the kernel makes no more
/// of the list than is read.
const FIRST_ROWS_BYTES: usize = 64 * 1024;
const LISTEN: &str = "0A";

/// Sockets in TIME_WAIT in the network of a process.
pub fn time_wait(pid: u32) -> Option<u64> {
    let text = proc_files::read(&format!("/proc/{pid}/net/sockstat")).ok()?;
    sockstat::tcp_time_wait(&text).ok()
}

/// Connections that wait to be accepted on an IPv4 port in the network of a process, of all its listeners together;
/// `None` if none is found. The kernel lists listeners before all other sockets, and only the first few hundred are
/// looked at.
pub fn waiting_to_be_accepted(pid: u32, port: u16) -> Option<u64> {
    let mut file = File::open(format!("/proc/{pid}/net/tcp")).ok()?;
    waiting(&listeners(&mut file).ok()?, port)
}

/// Reads rows until one is of no listener, there are no more, or they are enough.
fn listeners(table: &mut impl Read) -> io::Result<String> {
    let mut rows = vec![0; FIRST_ROWS_BYTES];
    let mut length = 0;
    while length < rows.len() && !is_past_listeners(&rows[..length]) {
        match table.read(&mut rows[length..])? {
            0 => break,
            bytes => length += bytes,
        }
    }
    Ok(String::from_utf8_lossy(&rows[..length]).into_owned())
}

/// Whether a whole row, after that of the titles, has another state.
fn is_past_listeners(rows: &[u8]) -> bool {
    let text = String::from_utf8_lossy(rows);
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let state = |row: &str| {
        row.split_ascii_whitespace()
            .nth(3)
            .map(|state| state == LISTEN)
    };
    let is_listener = |row| state(row).unwrap_or(false);
    whole.lines().skip(1).any(|row| !is_listener(row))
}

fn waiting(table: &str, port: u16) -> Option<u64> {
    let end = format!(":{port:04X}");
    let queues = table.lines().filter_map(|row| queue(row, &end));
    queues.fold(None, |sum, queue| Some(sum.unwrap_or(0) + queue))
}

/// Columns: number, local address, remote address, state, tx_queue:rx_queue, of which a listener's second is its
/// accept queue.
fn queue(row: &str, local_end: &str) -> Option<u64> {
    let mut columns = row.split_ascii_whitespace().skip(1);
    let is_local = columns.next()?.ends_with(local_end);
    let is_listener = columns.nth(1)? == LISTEN;
    let (_, waiting) = columns.next()?.split_once(':')?;
    let waiting = u64::from_str_radix(waiting, 16).ok()?;
    (is_local && is_listener).then_some(waiting)
}

/// What has happened for want of memory in the control group of this process, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupShortage {
    /// Processes of the group that were killed, for whatever want of memory.
    pub killed: u64,
    /// How often memory was refused because of a limit of the group or of one that it is in.
    pub refused: u64,
}

impl GroupShortage {
    /// Reads `memory.oom_control` and `memory.failcnt`, or `memory.events`; `None` without a group that can be read.
    pub fn read() -> Option<Self> {
        let (place, directory) = own_cgroup()?;
        let above = cgroup::up_to_mount(&directory, &place.mount_point);
        let read = |directory: &str, file: &str| proc_files::value(&format!("{directory}/{file}"));
        let of = |directory: &str| match place.version {
            cgroup::Version::V1 => read(directory, "memory.failcnt")?.parse().ok(),
            cgroup::Version::V2 => cgroup::stat_line(&read(directory, "memory.events")?, "max"),
        };
        let kills = match place.version {
            cgroup::Version::V1 => "memory.oom_control",
            cgroup::Version::V2 => "memory.events",
        };
        Some(Self {
            killed: cgroup::stat_line(&read(&directory, kills)?, "oom_kill")?,
            refused: above.into_iter().filter_map(of).sum(),
        })
    }

    /// Whether since `before` a process was killed and memory was refused: by the group then, and not by the machine.
    pub fn has_killed_since(&self, before: &Self) -> bool {
        self.killed > before.killed && self.refused > before.refused
    }
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
    fn the_listeners_of_a_port_are_added_up_and_no_connection_is() {
        assert_eq!(waiting(TABLE, 7), Some(0x3f));
        assert_eq!(waiting(TABLE, 22), Some(0xfff));
        assert_eq!(waiting(TABLE, 9), None);
    }

    #[test]
    fn pages_are_read_until_a_row_is_of_no_listener() {
        let page = |state: &str, rows| {
            let row = format!(
                "   0: 00000000:0007 00000000:0000 {state} 00000000:00000001 00:00000000\n"
            );
            row.repeat(rows)
        };
        let title = TABLE.lines().next().unwrap().to_owned() + "\n";
        // Each part is a read of its own, and rows are whole as the kernel hands them on.
        let pages = [title + &page("0A", 20), page("0A", 20), page("01", 20)];
        let never = "it was not to be read".to_owned();
        let [first, second, third] = pages.each_ref().map(|page| page.as_bytes());
        let mut table = first.chain(second).chain(third).chain(never.as_bytes());
        let read = listeners(&mut table).unwrap();
        assert_eq!(waiting(&read, 7), Some(40));
        assert_eq!(read, pages.concat());
        let listeners_alone = listeners(&mut first.chain(second)).unwrap();
        assert_eq!(waiting(&listeners_alone, 7), Some(40));
    }

    #[test]
    fn of_a_process_that_is_gone_nothing_is_known() {
        assert!(time_wait(std::process::id()).is_some());
        assert_eq!(time_wait(u32::MAX), None);
        assert_eq!(waiting_to_be_accepted(u32::MAX, 7), None);
    }

    #[test]
    fn a_kill_without_a_refusal_was_the_machines() {
        let shortage = |killed, refused| GroupShortage { killed, refused };
        assert!(shortage(2, 9).has_killed_since(&shortage(1, 3)));
        assert!(!shortage(2, 3).has_killed_since(&shortage(1, 3)));
        assert!(!shortage(1, 9).has_killed_since(&shortage(1, 3)));
    }
}

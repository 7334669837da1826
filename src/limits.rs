//! Limits of a process that the command itself has to know.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that a process uses for other things than connections: pipes, rings, a listener.
const RESERVED_DESCRIPTORS: u64 = 64;

/// Descriptors that the command itself uses: records, standard streams, what it reads from /proc.
const OWN_DESCRIPTORS: u64 = 32;

/// Descriptors that a child costs the command: two pipes, and two more ends while it is started.
const CHILD_DESCRIPTORS: u64 = 4;

/// Raises this process's soft RLIMIT_NOFILE to the hard one and returns what it is now.
pub fn raise_descriptors() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused only where the hard limit is above fs.nr_open; then what there is has to do.
    let _ = setrlimit(Resource::Nofile, limit);
    soft_descriptors(getrlimit(Resource::Nofile).current)
}

/// Descriptors that a child will have once it has raised its limit.
pub fn child_descriptors() -> u64 {
    soft_descriptors(getrlimit(Resource::Nofile).maximum)
}

fn soft_descriptors(limit: Option<u64>) -> u64 {
    limit.unwrap_or(u64::MAX)
}

/// Child processes that a process with such a limit can hold the ends of.
pub fn children_max(descriptor_limit: u64) -> u64 {
    descriptor_limit.saturating_sub(OWN_DESCRIPTORS) / CHILD_DESCRIPTORS
}

/// Server processes that `connections` need where each takes a descriptor.
///
/// SO_REUSEPORT spreads by hash and not evenly, so a process is filled to 90 % on average.
pub fn shards(connections: u32, descriptor_limit: u64) -> u32 {
    let free = descriptor_limit.saturating_sub(RESERVED_DESCRIPTORS).max(1);
    let each = (free as f64 * 0.9).max(1.0);
    (f64::from(connections) / each).ceil().max(1.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_hold_few_children() {
        assert_eq!(children_max(64), 8);
        assert_eq!(children_max(10), 0);
    }

    #[test]
    fn shards_leave_room_for_an_uneven_hash() {
        assert_eq!(shards(1, 1024), 1);
        assert_eq!(shards(17_942, 20_000), 1);
        assert_eq!(shards(17_943, 20_000), 2);
        assert_eq!(shards(1_000_000, 20_000), 56);
        assert_eq!(shards(10, 64), 10);
        assert_eq!(shards(1_000_000, u64::MAX), 1);
    }
}

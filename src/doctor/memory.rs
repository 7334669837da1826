//! What memory allows: the machine's, the control group's, and TCP's own.

/// What stays free of the machine's memory: this share of it, and no less than the bytes below.
const RESERVE_SHARE: f64 = 0.02;
const RESERVE_BYTES_LEAST: u64 = 256 << 20;

/// What stays free, bytes, of a machine with so much memory: below it the growth of a run is stopped, and what is above
/// it is what the doctor plans with.
pub fn reserve_bytes(memory_bytes: Option<u64>) -> u64 {
    ((memory_bytes.unwrap_or(0) as f64 * RESERVE_SHARE) as u64).max(RESERVE_BYTES_LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_machine_keeps_the_least_and_a_large_one_its_share() {
        assert_eq!(reserve_bytes(None), 256 << 20);
        assert_eq!(reserve_bytes(Some(1 << 30)), 256 << 20);
        assert_eq!(reserve_bytes(Some(100 << 30)), 2 << 30);
    }
}

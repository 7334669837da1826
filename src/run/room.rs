//! Whether memory is expected to hold a case, with the arithmetic.

use fourtuple_spec::{Case, Engine};
use std::fmt;

/// Kernel memory of a pair with its server armed, and the client's 16 bytes and rings. A million pairs
/// took 8,749 B each with both processes on 6.18. A foreign server may be on this machine too, so its
/// end is counted.
const PAIR_BYTES: u64 = 8_800;

/// The share of what is available that a run may plan with.
const SHARE: f64 = 0.95;

/// Memory is not expected to hold a case.
#[derive(Clone, Debug, PartialEq)]
pub struct NotEnoughMemory {
    connections: u32,
    each_bytes: u64,
    available_bytes: u64,
}

impl fmt::Display for NotEnoughMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: f64| bytes / f64::from(1 << 30);
        let usable = self.available_bytes as f64 * SHARE;
        write!(
            f,
            "{} connections × {} B a pair = {:.2} GiB, and {:.2} GiB are available ({:.0} % of it may be used): \
             ask for at most {} connections, or --force it",
            self.connections,
            self.each_bytes,
            gib(f64::from(self.connections) * self.each_bytes as f64),
            gib(self.available_bytes as f64),
            SHARE * 100.0,
            (usable / self.each_bytes as f64) as u64,
        )
    }
}

/// Refuses a case that memory is not expected to hold. Where memory cannot be read, nothing is refused.
pub fn check_room(case: &Case) -> Result<(), NotEnoughMemory> {
    fourtuple_meter::available_bytes().map_or(Ok(()), |available| check(case, available))
}

fn check(case: &Case, available_bytes: u64) -> Result<(), NotEnoughMemory> {
    let each_bytes = PAIR_BYTES + case.engine.map_or(0, user_bytes);
    let needed = u64::from(case.connections) * each_bytes;
    if needed as f64 <= available_bytes as f64 * SHARE {
        return Ok(());
    }
    Err(NotEnoughMemory {
        connections: case.connections,
        each_bytes,
        available_bytes,
    })
}

fn user_bytes(engine: Engine) -> u64 {
    u64::from(engine.profile().user_bytes_per_connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::plan::{CaseDefaults, CaseRequest};

    #[test]
    fn the_refusal_shows_its_arithmetic() {
        let defaults = CaseDefaults::new(vec![0], vec![1]);
        let case = |engine| {
            CaseRequest::new(engine, 1_000_000)
                .resolve(&defaults)
                .unwrap()
        };
        let ten_gib = 10 << 30;
        assert_eq!(check(&case(Engine::Uring), ten_gib), Ok(()));
        let refusal = check(&case(Engine::Tokio), ten_gib)
            .unwrap_err()
            .to_string();
        assert!(
            refusal.contains("1000000 connections × 13800 B a pair = 12.85 GiB, and 10.00 GiB"),
            "{refusal}"
        );
        assert!(refusal.contains("at most 739170 connections"), "{refusal}");
    }
}

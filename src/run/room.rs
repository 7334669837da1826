//! Whether memory is expected to hold a case, with the arithmetic.

use fourtuple_spec::{Case, EndpointState, Engine, Peer};
use std::fmt;

/// Kernel memory of a pair with a foreign server, which may be on this machine too: as much as any
/// engine here takes.
const FOREIGN_PAIR_BYTES: u64 = 8_800;

/// The same of its end alone.
const FOREIGN_ENDPOINT_BYTES: u64 = 4_850;

/// The client's own memory for a connection.
const CLIENT_BYTES: u64 = 16;

/// What ghosts keep of a connection where its last segment does not say all, in an open loop or while a turn
/// passes round: at most.
const GHOST_BYTES: u64 = 8;

/// One endpoint in a state whose buffers are full, at the kernel's default limits and before it grows them.
const FULL_BUFFER_BYTES: u64 = 200_000;

/// One endpoint in any other state.
const ENDPOINT_BYTES: u64 = 5_000;

/// The share of what is available that a run may plan with.
const SHARE: f64 = 0.95;

/// Memory is not expected to hold a case.
#[derive(Clone, Debug, PartialEq)]
pub struct NotEnoughMemory {
    connections: u32,
    /// What a connection consists of here: a pair of endpoints, or the server's alone.
    unit: &'static str,
    each_bytes: u64,
    available_bytes: u64,
}

impl fmt::Display for NotEnoughMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: f64| bytes / f64::from(1 << 30);
        let usable = self.available_bytes as f64 * SHARE;
        write!(
            f,
            "{} connections × {} B {} = {:.2} GiB, and {:.2} GiB are available ({:.0} % of it may be used): \
             ask for at most {} connections, or --force it",
            self.connections,
            self.each_bytes,
            self.unit,
            gib(f64::from(self.connections) * self.each_bytes as f64),
            gib(self.available_bytes as f64),
            SHARE * 100.0,
            (usable / self.each_bytes as f64) as u64,
        )
    }
}

/// What stays free: below it the growth is stopped. 2 % of the machine, and no less than this.
const RESERVE_SHARE: f64 = 0.02;
const RESERVE_BYTES_LEAST: u64 = 256 << 20;

/// How much more than is expected is prepared, as a fraction: the last connections must find some too.
const PREPARED_MORE: u64 = 4;

/// Refuses a case that memory is not expected to hold. Where memory cannot be read, nothing is refused;
/// nor is a case that asks how much it holds.
pub fn check(case: &Case) -> Result<(), NotEnoughMemory> {
    match fourtuple_meter::available_bytes() {
        Some(available) if !case.until_full => check_against(case, available),
        _ => Ok(()),
    }
}

/// Whether growth has to stop here, lest the OOM killer stops it. Where memory cannot be read, never.
pub fn is_nearly_full(memory_bytes: Option<u64>) -> bool {
    is_left_less(reserve_bytes(memory_bytes))
}

/// Whether what was held to prepare so much memory has to be given up: well before that, because the kernel frees
/// it in the background, while ghosts take 400 MB a second. With a thirty-second left instead of an eighth,
/// growth stopped with 1.5 GB still held.
pub fn is_filling(memory_bytes: Option<u64>, prepared_bytes: u64) -> bool {
    is_left_less(reserve_bytes(memory_bytes) + prepared_bytes / 8)
}

fn is_left_less(bytes: u64) -> bool {
    fourtuple_meter::available_bytes().is_some_and(|available| available < bytes)
}

/// How much memory to have backed for a case: what it is expected to take, as far as there is so much.
pub fn to_prepare(case: &Case, memory_bytes: Option<u64>) -> u64 {
    let expected = u64::from(case.connections).saturating_mul(each_bytes(case));
    let expected = expected.saturating_add(expected / PREPARED_MORE);
    let available = fourtuple_meter::available_bytes().unwrap_or(0);
    expected.min(available.saturating_sub(2 * reserve_bytes(memory_bytes)))
}

/// What stays free.
pub fn reserve_bytes(memory_bytes: Option<u64>) -> u64 {
    ((memory_bytes.unwrap_or(0) as f64 * RESERVE_SHARE) as u64).max(RESERVE_BYTES_LEAST)
}

/// What one connection takes, about: to plan with, before anything is measured.
fn each_bytes(case: &Case) -> u64 {
    match (case.state, case.engine) {
        (Some(EndpointState::UnreadFull | EndpointState::SendFull), _) => FULL_BUFFER_BYTES,
        (Some(_), _) => ENDPOINT_BYTES,
        (None, engine) => match case.peer {
            Peer::Kernel => pair_bytes(engine) + CLIENT_BYTES,
            Peer::Ghost => endpoint_bytes(engine) + GHOST_BYTES,
        },
    }
}

fn pair_bytes(engine: Option<Engine>) -> u64 {
    engine.map_or(FOREIGN_PAIR_BYTES, |engine| {
        let profile = engine.profile();
        u64::from(profile.kernel_bytes_per_pair + profile.user_bytes_per_connection)
    })
}

fn endpoint_bytes(engine: Option<Engine>) -> u64 {
    engine.map_or(FOREIGN_ENDPOINT_BYTES, |engine| {
        let profile = engine.profile();
        u64::from(profile.kernel_bytes_per_endpoint + profile.user_bytes_per_connection)
    })
}

fn check_against(case: &Case, available_bytes: u64) -> Result<(), NotEnoughMemory> {
    let each_bytes = each_bytes(case);
    let needed = u64::from(case.connections) * each_bytes;
    if needed as f64 <= available_bytes as f64 * SHARE {
        return Ok(());
    }
    Err(NotEnoughMemory {
        connections: case.connections,
        unit: match case.peer {
            Peer::Kernel => "a pair",
            Peer::Ghost => "an endpoint",
        },
        each_bytes,
        available_bytes,
    })
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
        assert_eq!(check_against(&case(Engine::Uring), ten_gib), Ok(()));
        let refusal = check_against(&case(Engine::Tokio), ten_gib)
            .unwrap_err()
            .to_string();
        assert!(
            refusal.contains("1000000 connections × 13256 B a pair = 12.35 GiB, and 10.00 GiB"),
            "{refusal}"
        );
        assert!(refusal.contains("at most 769504 connections"), "{refusal}");
    }
    #[test]
    fn of_ghosts_five_million_fit_24_gib() {
        let defaults = CaseDefaults::new(vec![0], vec![1]);
        let mut request = CaseRequest::new(Engine::UringPoll, 5_000_000);
        request.peer = Some(Peer::Ghost);
        let case = request.resolve(&defaults).unwrap();
        let available = (23.4 * f64::from(1 << 30)) as u64;
        assert_eq!(check_against(&case, available), Ok(()));
        let refusal = check_against(&case, available / 2).unwrap_err().to_string();
        assert!(
            refusal.contains("5000000 connections × 4228 B an endpoint"),
            "{refusal}"
        );
        let foreign = Case {
            engine: None,
            ..case
        };
        assert_eq!(each_bytes(&foreign), 4_858);
    }
}

//! How many connections were held on one machine, by engine and kind of peer.
//!
//! A run counts if it is valid and proved every connection live. Of a run that grew until something
//! stopped it, that is the answer and its limiter has a name; of any other it is what was asked for, and
//! says nothing about where the end is.

use super::format::memory_bytes;
use super::kind::{Kind, is_ablation, settings_words};
use super::metric;
use fourtuple_spec::engine::Role;
use fourtuple_spec::record::{Host, Outcome};
use fourtuple_spec::{Case, Engine, Peer, Record};

/// Runs that measure a rate have up to so many connections; with more, holding them is an answer too.
const RATES_CONNECTIONS_MAX: u32 = 100_000;

/// The most connections of one engine with one kind of peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Held<'a> {
    /// The engine.
    pub engine: Engine,
    /// Who was at the other end.
    pub peer: Peer,
    /// How many were held, each proved live.
    pub connections: u32,
    /// The run.
    pub record: &'a Record,
}

/// What one machine held.
#[derive(Clone, Debug)]
pub struct HeldHere<'a> {
    /// By engine, the one that held most first; of an engine kernel peers first.
    pub all: Vec<Held<'a>>,
    /// Memory of the machine, bytes.
    pub memory_bytes: Option<u64>,
    /// Whether runs of other machines were left out.
    pub has_others: bool,
}

impl Held<'_> {
    /// What stopped the growth; `None` where nothing did, because it was not asked for more.
    pub fn limiter(&self) -> Option<&str> {
        let is_ceiling = Kind::of(self.record) == Kind::Ceiling;
        let named = self.record.limiter.as_deref();
        is_ceiling.then(|| named.unwrap_or("nothing that has a name"))
    }

    /// What ended it, in words.
    pub fn end(&self) -> String {
        match self.limiter() {
            Some(limiter) => format!("stopped by {limiter}"),
            None => "held, not the limit".to_owned(),
        }
    }

    /// Memory of a connection with everything that was held of it on the machine: the kernel's, and that
    /// of both processes. Bytes.
    pub fn bytes(&self) -> Option<f64> {
        let sides = [metric::server_bytes, metric::client_bytes];
        let user = sides.iter().filter_map(|side| side(self.record));
        Some(metric::kernel_bytes(self.record)? + user.sum::<f64>())
    }

    /// How the engine was set, where not as usual.
    pub fn settings(&self) -> String {
        settings_words(&self.record.case)
    }
}

/// The most that each engine held with each kind of peer, on the machine that held most; `None` of nothing.
pub fn held<'a>(records: &[&'a Record]) -> Option<HeldHere<'a>> {
    let counted: Vec<Held<'a>> = records.iter().filter_map(|run| counted(run)).collect();
    let most = counted.iter().max_by_key(|one| one.connections)?;
    let here = machine(&most.record.host);
    let memory_bytes = most.record.host.memory_bytes;
    let is_here = |one: &Held<'_>| machine(&one.record.host) == here;
    let has_others = !counted.iter().all(is_here);
    let mut all: Vec<Held<'a>> = Vec::new();
    for one in counted.into_iter().filter(is_here) {
        let same = |other: &&mut Held<'_>| (other.engine, other.peer) == (one.engine, one.peer);
        match all.iter_mut().find(same) {
            Some(known) if rank(&one) > rank(known) => *known = one,
            Some(_) => {}
            None => all.push(one),
        }
    }
    let totals = all.clone();
    let of_engine = |engine: Engine| {
        let same = totals.iter().filter(|one| one.engine == engine);
        same.map(|one| one.connections).max()
    };
    all.sort_by_key(|one| {
        let most = std::cmp::Reverse(of_engine(one.engine));
        (most, one.engine, one.peer == Peer::Ghost)
    });
    Some(HeldHere {
        all,
        memory_bytes,
        has_others,
    })
}

/// Of two runs of as many connections the one that was stopped says more.
fn rank(one: &Held<'_>) -> (u32, bool) {
    (one.connections, one.limiter().is_some())
}

/// The floor and the control are no servers that anybody would hold connections with.
fn counted(record: &Record) -> Option<Held<'_>> {
    let case = &record.case;
    let engine = case.engine.filter(|engine| engine.profile().echoes)?;
    let connections = record.setup.connections_held?;
    let is_proved = record.setup.connections_proved == Some(connections);
    let is_server = engine.profile().role != Role::Floor && engine != Engine::Foreign;
    let is_itself = !case.control && case.state.is_none() && !is_ablation(case);
    (is_server && is_itself && was_to_hold(case) && is_proved && record.outcome == Outcome::Ok)
        .then_some(Held {
            engine,
            peer: case.peer,
            connections,
            record,
        })
}

/// Whether holding was what was asked, or so many were held that it says something about holding. A comparison
/// of rates stops where its plan does.
fn was_to_hold(case: &Case) -> bool {
    case.until_full || case.measure_ms == 0 || case.connections > RATES_CONNECTIONS_MAX
}

/// What tells one machine from another: its processor, and how much there is of it.
fn machine(host: &Host) -> (Option<String>, Option<u32>, Option<String>) {
    let memory = host.memory_bytes.map(memory_bytes);
    (host.cpu.clone(), host.cores, memory)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn held_of(records: &[Record]) -> Vec<(Engine, Peer, u32, String)> {
        let all: Vec<&Record> = records.iter().collect();
        let found = held(&all).unwrap();
        let row = |one: &Held<'_>| (one.engine, one.peer, one.connections, one.end());
        found.all.iter().map(row).collect()
    }

    #[test]
    fn a_ceiling_names_its_limiter_and_any_other_run_is_no_limit() {
        let records = vec![
            fixture::held(Engine::Uring, 1_000_000, 0),
            fixture::ceiling(Engine::Uring, 2_400_000),
            fixture::ghost(fixture::ceiling(Engine::UringPoll, 5_400_000)),
            fixture::held(Engine::UringPoll, 1_000_000, 0),
            fixture::record(Engine::Spin, 1_000, 0),
        ];
        let expected = [
            (
                Engine::UringPoll,
                Peer::Kernel,
                1_000_000,
                "held, not the limit",
            ),
            (
                Engine::UringPoll,
                Peer::Ghost,
                5_400_000,
                "stopped by memory",
            ),
            (Engine::Uring, Peer::Kernel, 2_400_000, "stopped by memory"),
        ];
        let expected =
            expected.map(|(engine, peer, count, end)| (engine, peer, count, end.to_owned()));
        assert_eq!(held_of(&records), expected);
    }

    #[test]
    fn what_is_not_proved_or_not_valid_or_not_here_does_not_count() {
        let mut records = vec![fixture::held(Engine::Uring, 100_000, 0)];
        for change in [
            |run: &mut Record| run.setup.connections_proved = Some(199_999),
            |run: &mut Record| run.outcome = Outcome::Invalid,
            |run: &mut Record| run.case.control = true,
        ] {
            let mut run = fixture::held(Engine::Uring, 200_000, 0);
            change(&mut run);
            records.push(run);
        }
        assert_eq!(held_of(&records)[0].2, 100_000);
        let mut elsewhere = fixture::held(Engine::Epoll, 50_000, 0);
        elsewhere.host.memory_bytes = Some(64 << 30);
        records.push(elsewhere);
        assert_eq!(held_of(&records).len(), 1);
        let all: Vec<&Record> = records.iter().collect();
        assert!(held(&all).unwrap().has_others);
    }
}

//! The run of the full form: connections are opened until something stops it, and what that was is the answer.

use super::{Court, Halt};
use crate::doctor::memory::reserve_bytes;
use crate::publish::format::{self, whole};
use fourtuple_spec::plan::CaseRequest;
use fourtuple_spec::record::Outcome;
use fourtuple_spec::{Engine, Peer, Record, Verdict, limiter};

/// As many connections as nothing holds: something else has to end the growth.
const CONNECTIONS_MOST: u32 = 100_000_000;
/// The engine whose ceiling is looked for: of those that serve, an idle connection of it takes least.
pub const ENGINE: Engine = Engine::UringPoll;

/// What became of it.
pub enum Ceiling {
    /// Nobody asked for it.
    Unasked,
    /// It was asked for and could not be begun: why.
    Refused(String),
    /// It was made, and ended in one way or another.
    Met(Box<Record>),
}

/// Looks for it, if that is asked.
pub fn find(court: &Court<'_>) -> Result<Ceiling, Halt> {
    if !court.is_full {
        return Ok(Ceiling::Unasked);
    }
    // A limit on counts that ends it is an answer too, so a run that fails is kept and judged.
    match court.run_into_the_wall(&request()) {
        Ok(record) => Ok(Ceiling::Met(Box::new(record))),
        Err(Halt::NotRun(why)) => Ok(Ceiling::Refused(why)),
        Err(halt) => Err(halt),
    }
}

pub fn request() -> CaseRequest {
    let mut request = CaseRequest::new(ENGINE, CONNECTIONS_MOST);
    request.peer = Some(Peer::Ghost);
    request.until_full = Some(true);
    request.settle_ms = Some(1_000);
    request.measure_ms = Some(0);
    // What is held to keep memory prepared would be missing at the end.
    request.prepare_memory = Some(false);
    request
}

impl Ceiling {
    /// The run, if there was one.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Met(record) => Some(record),
            Self::Unasked | Self::Refused(_) => None,
        }
    }

    /// The verdict. The dearest state takes `spread` times as much as the cheapest.
    pub fn judge(&self, spread: f64) -> (Verdict, String) {
        let spread = whole(spread);
        match self {
            Self::Unasked => (
                Verdict::Incomplete,
                format!(
                    "every state takes memory, so memory ends it where limits on counts are raised; but the state \
                     decides by a factor of {spread} how many that is, and the claim leaves it out. Nothing here was \
                     opened until memory was full: --full does that"
                ),
            ),
            Self::Refused(why) => (
                Verdict::Inconclusive,
                format!(
                    "connections were to be opened until something stops it, and that could not be begun: {why}"
                ),
            ),
            Self::Met(record) => judge_run(record, &spread),
        }
    }

    /// What became of it, in lines.
    pub fn lines(&self) -> Vec<String> {
        let Some(record) = self.record() else {
            return Vec::new();
        };
        let (held, proved) = (held(record), proved(record));
        let stopped = record.limiter.as_deref();
        let mut lines = vec![format!(
            "held {}, proved {}, stopped by {}",
            whole(held.into()),
            whole(proved.into()),
            stopped.unwrap_or("nothing that has a name")
        )];
        lines.extend(record.error.clone());
        lines
    }
}

fn held(record: &Record) -> u32 {
    record.setup.connections_held.unwrap_or(0)
}

fn proved(record: &Record) -> u32 {
    record.setup.connections_proved.unwrap_or(0)
}

fn judge_run(record: &Record, spread: &str) -> (Verdict, String) {
    let held = whole(held(record).into());
    let why = || record.error.as_deref().unwrap_or("no reason is known");
    match record.limiter.as_deref() {
        Some(name @ (limiter::MEMORY | limiter::MEMORY_GROUP)) => judge_full(record, name, spread),
        Some(other) => (
            Verdict::Refuted,
            format!("{other} stopped it at {held} connections, and not memory"),
        ),
        None => (
            Verdict::Inconclusive,
            format!(
                "{held} connections were held, and nothing that has a name stopped it: {}",
                why()
            ),
        ),
    }
}

/// Memory stopped it: whether what was held then was held for sure.
fn judge_full(record: &Record, name: &str, spread: &str) -> (Verdict, String) {
    let (held, proved) = (held(record), proved(record));
    let connections = whole(held.into());
    if record.outcome != Outcome::Ok {
        let error = record.error.as_deref().unwrap_or("no reason is known");
        return (
            Verdict::Inconclusive,
            format!(
                "{name} stopped it at {connections} connections, and the run was no good: {error}"
            ),
        );
    }
    if proved != held || held == 0 {
        return (
            Verdict::Inconclusive,
            format!(
                "{name} stopped it at {connections} connections, of which {} were proved live",
                whole(proved.into())
            ),
        );
    }
    let reserve = format::memory_bytes(reserve_bytes(record.host.memory_bytes));
    (
        Verdict::Confirmed,
        format!(
            "opened until something stopped it, a server held {connections} connections, all of them proved live, and \
             then less than {reserve} of memory was available ({name}), where the run ends itself. How many that is, \
             the state decides by a factor of {spread}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::fixture;
    use fourtuple_spec::plan::CaseDefaults;

    fn met(limiter: Option<&str>, outcome: Outcome) -> Record {
        let mut record = fixture::ceiling(ENGINE, 2_000_000);
        record.limiter = limiter.map(str::to_owned);
        record.outcome = outcome;
        record.error = (outcome != Outcome::Ok).then(|| "it broke off".to_owned());
        record
    }

    fn judged(record: Record) -> (Verdict, String) {
        Ceiling::Met(Box::new(record)).judge(500.0)
    }

    #[test]
    fn what_stopped_it_decides_though_the_run_failed_of_it() {
        for name in ["memory", "memory cgroup"] {
            let (verdict, why) = judged(met(Some(name), Outcome::Ok));
            assert_eq!(verdict, Verdict::Confirmed);
            assert!(why.contains(&format!(
                "was available ({name}), where the run ends itself"
            )));
        }
        let (verdict, why) = judged(met(Some("fs.file-max"), Outcome::Error));
        assert_eq!(verdict, Verdict::Refuted);
        assert!(
            why.starts_with("fs.file-max stopped it at 2,000,000 conn"),
            "{why}"
        );
        let (verdict, why) = judged(met(None, Outcome::Error));
        assert_eq!(verdict, Verdict::Inconclusive);
        assert!(why.ends_with("a name stopped it: it broke off"), "{why}");
    }

    #[test]
    fn memory_confirms_by_a_sound_run_of_proved_connections_alone() {
        for outcome in [Outcome::Error, Outcome::Invalid] {
            let (verdict, why) = judged(met(Some("memory"), outcome));
            assert_eq!(verdict, Verdict::Inconclusive);
            assert!(why.ends_with("the run was no good: it broke off"), "{why}");
        }
        let mut unproved = met(Some("memory"), Outcome::Ok);
        unproved.setup.connections_proved = Some(1_999_999);
        let (verdict, why) = judged(unproved);
        assert_eq!(verdict, Verdict::Inconclusive);
        assert!(
            why.ends_with("of which 1,999,999 were proved live"),
            "{why}"
        );
    }

    #[test]
    fn who_asked_for_it_is_told_why_there_is_none() {
        let (verdict, why) = Ceiling::Refused("no /dev/net/tun".to_owned()).judge(500.0);
        assert_eq!(verdict, Verdict::Inconclusive);
        assert!(
            why.ends_with("could not be begun: no /dev/net/tun"),
            "{why}"
        );
        assert!(!why.contains("--full"));
        assert!(Ceiling::Unasked.judge(500.0).1.contains("--full"));
    }

    #[test]
    fn it_is_a_sound_case() {
        let defaults = CaseDefaults::new(vec![0], vec![1]);
        assert!(request().resolve(&defaults).unwrap().until_full);
    }
}

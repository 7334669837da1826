//! What question a run answers: runs of different kinds never stand in one series.

use super::format::whole;
use super::group::kebab;
use fourtuple_spec::case::Path;
use fourtuple_spec::{Case, Mode, Record, TcpOptions};

/// What was asked of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All of the connections asked for, held, and echoing where there is a measured span.
    Ordinary,
    /// Messages leave by a schedule: latency at that load is the answer, and the rate is what was asked.
    Open,
    /// Only some of the connections take part in the measured span.
    Hot,
    /// The server's endpoints are held in one state: what it costs is the answer.
    Price,
    /// Open until something stops it: how many there are is the answer.
    Ceiling,
    /// An engine with a factor that is not its default: what the factor changes is the answer.
    Factors,
}

impl Kind {
    /// The kind of a record's case.
    pub fn of(record: &Record) -> Self {
        let case = &record.case;
        // First of all, for an ablation never stands in the place of its engine.
        if is_ablation(case) {
            Self::Factors
        } else if case.state.is_some() {
            Self::Price
        } else if case.until_full {
            Self::Ceiling
        } else if case.mode == Mode::Open && case.measures() {
            Self::Open
        } else if case.hot() < case.connections {
            Self::Hot
        } else {
            Self::Ordinary
        }
    }
}

/// Whether a factor of the case is not its default.
pub fn is_ablation(case: &Case) -> bool {
    !case.factors.is_default()
}

/// The records of a kind, in their order.
pub fn of_kind(records: &[Record], kind: Kind) -> Vec<&Record> {
    let all = records.iter();
    all.filter(|record| Kind::of(record) == kind).collect()
}

/// The settings of a case's network in words, empty where they are the namespace's own:
/// `tcp_rmem 1024×3, tcp_wmem 4096 8192 16384`.
pub fn sysctl_words(case: &Case) -> String {
    let words = case.sysctls.iter().map(|(name, value)| {
        let last = name.rsplit('.').next().unwrap_or(name);
        format!("{last} {}", value_words(value))
    });
    words.collect::<Vec<_>>().join(", ")
}

/// What else tells the load of a case from the usual one, in words: the schedule of an open loop, bursts,
/// several workers, the path between the ends, what a ghost's TCP offers, faults. Empty where there is nothing.
pub fn load_words(case: &Case) -> String {
    let mut words = Vec::new();
    if case.mode == Mode::Open {
        words.extend(
            case.rate
                .map(|rate| format!("{}/s offered", whole(f64::from(rate)))),
        );
        words.push(format!("{} schedule", kebab(&case.schedule)));
    }
    words.extend(
        case.burst_pause_us
            .map(|pause_us| format!("bursts {} µs apart", whole(f64::from(pause_us)))),
    );
    if case.workers > 1 {
        words.push(format!("{} workers", case.workers));
    }
    words.push(path_words(case));
    words.retain(|word| !word.is_empty());
    words.join(", ")
}

/// The path between the ends, what a ghost's TCP offers and what happens on the way, in words; empty where
/// all are plain.
pub fn path_words(case: &Case) -> String {
    let mut words = Vec::new();
    words.extend(match case.path {
        Path::Lo => None,
        Path::Veth => Some("a veth pair".to_owned()),
    });
    words.extend(match case.tcp_options {
        TcpOptions::Plain => None,
        TcpOptions::Timestamps => Some("TCP timestamps".to_owned()),
        TcpOptions::Sack => Some("SACK".to_owned()),
        TcpOptions::TimestampsSack => Some("TCP timestamps and SACK".to_owned()),
    });
    let faults = [
        (case.loss_ppm, "lost"),
        (case.duplicate_ppm, "doubled"),
        (case.reorder_ppm, "overtaken"),
    ];
    let faults = faults.iter().filter(|(ppm, _)| *ppm > 0);
    words.extend(faults.map(|(ppm, what)| format!("{} ppm {what}", whole(f64::from(*ppm)))));
    words.join(", ")
}

/// What of a case is set otherwise than usual: its path and its network's settings, in words.
pub fn settings_words(case: &Case) -> String {
    let mut words = vec![path_words(case), sysctl_words(case)];
    words.retain(|word| !word.is_empty());
    words.join(", ")
}

/// The same as it stands behind a name: with a comma before it, or nothing at all.
pub fn settings_after(case: &Case) -> String {
    match settings_words(case).as_str() {
        "" => String::new(),
        words => format!(", {words}"),
    }
}

/// A value; one that is several equal numbers, as the buffers' are, is written once: `4096×3`.
fn value_words(value: &str) -> String {
    let words: Vec<&str> = value.split_whitespace().collect();
    match words[..] {
        [first, _, ..] if words.iter().all(|word| *word == first) => {
            format!("{first}×{}", words.len())
        }
        _ => words.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use fourtuple_spec::factors::Receive;
    use fourtuple_spec::{EndpointState, Engine};

    #[test]
    fn a_run_is_of_the_kind_of_what_was_asked() {
        let mut record = fixture::record(Engine::Uring, 10_000, 0);
        assert_eq!(Kind::of(&record), Kind::Ordinary);
        record.case.hot_connections = Some(10_000);
        assert_eq!(Kind::of(&record), Kind::Ordinary, "a hot set of all is all");
        record.case.hot_connections = Some(9_999);
        assert_eq!(Kind::of(&record), Kind::Hot);
        record.case.until_full = true;
        assert_eq!(Kind::of(&record), Kind::Ceiling);
        record.case.state = Some(EndpointState::Armed);
        assert_eq!(Kind::of(&record), Kind::Price);
        record.case.factors.recv = Receive::Oneshot;
        assert_eq!(Kind::of(&record), Kind::Factors);
    }

    #[test]
    fn what_shapes_the_load_is_in_its_words() {
        let mut case = fixture::record(Engine::Uring, 10, 0).case;
        assert_eq!(load_words(&case), "");
        case.path = Path::Veth;
        case.workers = 2;
        case.burst_pause_us = Some(1_000);
        assert_eq!(
            load_words(&case),
            "bursts 1,000 µs apart, 2 workers, a veth pair"
        );
    }

    #[test]
    fn settings_are_named_without_their_family() {
        let mut record = fixture::record(Engine::Uring, 10, 0);
        assert_eq!(sysctl_words(&record.case), "");
        let value = "1024\t1024\t1024".to_owned();
        record
            .case
            .sysctls
            .insert("net.ipv4.tcp_rmem".to_owned(), value);
        assert_eq!(sysctl_words(&record.case), "tcp_rmem 1024×3");
        let value = "4096\t8192\t16384".to_owned();
        let name = "net.ipv4.tcp_wmem".to_owned();
        record.case.sysctls.insert(name, value);
        let words = sysctl_words(&record.case);
        assert_eq!(words, "tcp_rmem 1024×3, tcp_wmem 4096 8192 16384");
    }
}

//! What question a run answers: runs of different kinds never stand in one series.

use fourtuple_spec::{Case, Record};

/// What was asked of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All of the connections asked for, held, and echoing where there is a measured span.
    Ordinary,
    /// Only some of the connections take part in the measured span.
    Hot,
    /// The server's endpoints are held in one state: what it costs is the answer.
    Price,
    /// Open until something stops it: how many there are is the answer.
    Ceiling,
}

impl Kind {
    /// The kind of a record's case.
    pub fn of(record: &Record) -> Self {
        let case = &record.case;
        if case.state.is_some() {
            Self::Price
        } else if case.until_full {
            Self::Ceiling
        } else if case.hot() < case.connections {
            Self::Hot
        } else {
            Self::Ordinary
        }
    }
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

//! The three loads, and how each is offered at a count.

use crate::publish::format::whole;
use fourtuple_spec::Engine;
use fourtuple_spec::plan::CaseRequest;

/// Messages a second, over all connections.
const FIXED_RATE: u32 = 10_000;
/// Of one message a connection a minute.
const MINUTE_SECONDS: u32 = 60;
/// With fewer, one a minute each is too few for a percentile: of a long span, and of a short one.
const MINUTE_FULL_LEAST: u32 = 10_000;
const MINUTE_LEAST: u32 = 100_000;
/// From so many connections on a run takes gigabytes, and most of a minute.
const LARGE: u32 = 1_000_000;
/// Connections that are active at once in a round: as many as in a closed loop.
const ROUND_CONNECTIONS: u32 = 16_384;

/// Warm-up, and measured span: short and long, milliseconds.
const WARMUP_MS: u64 = 500;
const SPAN_MS: u64 = 2_000;
const SPAN_FULL_MS: u64 = 10_000;
/// A warm-up lasts until every connection that takes part has had a message. In a short run all take part if that is no
/// longer than so many seconds. If it is, as many do as get one in the fewer ones; the others are proved live before, and
/// stay open.
const ALL_SECONDS: u32 = 10;
const PART_SECONDS: u32 = 5;

/// What to know of short runs.
pub const SHORT: [&str; 2] = [
    "a connection takes part once it has had a message in the warm-up. In these short runs an open loop that would take \
     more than 10 s for that has only those take part that get one in 5 s, spread over all, and the others are idle: \
     where it is so, the number of those that take part is given. One a minute each over 1,000,000 has all of them take \
     part, and with --full every load has",
    "with --full a closed loop over 1,000,000 is run too; here the time of a full round stands for it",
];

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Who is answered sends again.
    Closed,
    /// So many messages a second, over however many connections.
    Fixed,
    /// One message a connection a minute.
    Minute,
}

/// All of them, in the order in which they are run and shown.
pub const LOADS: [Load; 3] = [Load::Closed, Load::Fixed, Load::Minute];

impl Load {
    /// What it is called where so many of the connections take part. If not all do, those that do send more often than
    /// the load of a minute says.
    pub fn words(self, taking_part: u32, connections: u32) -> &'static str {
        match self {
            Self::Minute if taking_part < connections => "the rate of one a minute each",
            _ => self.name(),
        }
    }

    /// What it is called where all take part.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed loop",
            Self::Fixed => "10,000 a second",
            Self::Minute => "one a minute each",
        }
    }

    /// Its run at a count; `None` where there is none.
    pub fn request(self, connections: u32, is_full: bool) -> Option<CaseRequest> {
        let mut request = CaseRequest::new(Engine::Uring, connections);
        request.warmup_ms = Some(WARMUP_MS);
        request.measure_ms = Some(if is_full { SPAN_FULL_MS } else { SPAN_MS });
        // How fast they are opened is not what is asked.
        request.prepare_memory = Some(false);
        let rate = match self {
            Self::Closed if connections >= LARGE && !is_full => return None,
            Self::Closed => None,
            Self::Fixed => Some(FIXED_RATE),
            Self::Minute if !is_full && connections < MINUTE_LEAST => return None,
            Self::Minute if connections < MINUTE_FULL_LEAST => return None,
            Self::Minute => Some(connections / MINUTE_SECONDS),
        };
        match rate {
            // One run a count shows how long a round takes.
            None => request.rounds = Some(vec![ROUND_CONNECTIONS]),
            Some(rate) => {
                request.rate = Some(rate);
                request.hot_connections = self.part(connections, rate).filter(|_| !is_full);
                let has_idle = request.hot_connections.is_some();
                request.rounds = has_idle.then(|| vec![ROUND_CONNECTIONS]);
            }
        }
        Some(request)
    }

    /// How many take part in a short run; `None` if all do.
    fn part(self, connections: u32, rate: u32) -> Option<u32> {
        // What the claim is about is run as it says, though its warm-up lasts a minute.
        let is_whole = self == Self::Minute && connections >= LARGE;
        let is_quick = connections.div_ceil(rate) <= ALL_SECONDS;
        (!is_whole && !is_quick).then(|| rate.saturating_mul(PART_SECONDS))
    }
}

/// How many take part, to be put behind the number of connections; empty if all do.
pub fn part_words(taking_part: u32, connections: u32) -> String {
    match taking_part < connections {
        true => format!(" ({} of them taking part)", whole(taking_part.into())),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::plan::CaseDefaults;
    use fourtuple_spec::{Case, Mode};

    fn case(load: Load, connections: u32, is_full: bool) -> Option<Case> {
        let request = load.request(connections, is_full)?;
        Some(
            request
                .resolve(&CaseDefaults::new(vec![0], vec![1]))
                .unwrap(),
        )
    }

    #[test]
    fn a_minute_is_a_sixtieth_of_the_connections_a_second() {
        let million = case(Load::Minute, 1_000_000, false).unwrap();
        assert_eq!((million.mode, million.rate), (Mode::Open, Some(16_666)));
        assert_eq!(million.hot(), 1_000_000);
        assert!(million.rounds.is_empty(), "the warm-up proves all live");
        let large = case(Load::Minute, 100_000, false).unwrap();
        assert_eq!((large.rate, large.hot()), (Some(1_666), 8_330));
        assert!(!large.rounds.is_empty(), "the others are proved live");
        assert_eq!(case(Load::Minute, 10_000, false), None);
        assert!(case(Load::Minute, 10_000, true).is_some());
        assert_eq!(case(Load::Minute, 1_000, true), None);
    }

    #[test]
    fn all_take_part_where_there_is_time_for_them() {
        for connections in [1, 1_000, 10_000, 100_000] {
            let case = case(Load::Fixed, connections, false).unwrap();
            assert_eq!(case.hot(), connections);
            assert!(case.rounds.is_empty());
        }
        let large = case(Load::Fixed, 1_000_000, false).unwrap();
        assert_eq!((large.hot(), large.rounds), (50_000, vec![16_384]));
        for load in LOADS {
            assert_eq!(case(load, 1_000_000, true).unwrap().hot(), 1_000_000);
        }
    }

    #[test]
    fn a_load_of_which_a_part_is_run_is_not_called_the_whole() {
        assert_eq!(Load::Minute.words(100, 100), "one a minute each");
        assert_eq!(Load::Minute.words(5, 100), "the rate of one a minute each");
        assert_eq!(Load::Fixed.words(5, 100), "10,000 a second");
        assert_eq!(
            part_words(50_000, 1_000_000),
            " (50,000 of them taking part)"
        );
        assert_eq!(part_words(100, 100), "");
    }

    #[test]
    fn a_closed_loop_is_preceded_by_a_round() {
        let small = case(Load::Closed, 100, false).unwrap();
        assert_eq!((small.mode, small.rounds), (Mode::Closed, vec![100]));
        assert_eq!(case(Load::Closed, 1_000_000, false), None);
        assert_eq!(
            case(Load::Closed, 1_000_000, true).unwrap().rounds,
            [16_384]
        );
    }
}

//! The three loads, and how each is offered at a count.

use fourtuple_spec::Engine;
use fourtuple_spec::plan::CaseRequest;

/// Messages a second, over all connections.
const FIXED_RATE: u32 = 10_000;
/// Of one message a connection a minute.
const MINUTE_SECONDS: u32 = 60;
/// With fewer, one a minute each is too few for a percentile.
const MINUTE_LEAST: u32 = 10_000;
/// From so many connections on a run takes gigabytes, and most of a minute.
const LARGE: u32 = 1_000_000;
/// Connections that are active at once in a round: as many as in a closed loop.
const ROUND_CONNECTIONS: u32 = 16_384;

/// Warm-up, and measured span: short and long, milliseconds.
const WARMUP_MS: u64 = 500;
const SPAN_MS: u64 = 2_000;
const SPAN_FULL_MS: u64 = 10_000;
/// A warm-up lasts until every connection that takes part has had a message. So in a short run as many take part as get
/// one in so many seconds; the others are proved live before, and stay open.
const PART_SECONDS: u32 = 5;

/// What to know of short runs.
pub const SHORT: [&str; 2] = [
    "a connection takes part once it has had a message in the warm-up; in these short runs those of an open loop take \
     part that get one in 5 s, spread over all, and the others are idle: with --full all take part",
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
    /// What it is called.
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
            Self::Minute if connections < MINUTE_LEAST => return None,
            Self::Minute => Some(connections / MINUTE_SECONDS),
        };
        match rate {
            // One run a count shows how long a round takes.
            None => request.rounds = Some(vec![ROUND_CONNECTIONS]),
            Some(rate) => {
                request.rate = Some(rate);
                let taking_part = rate.saturating_mul(PART_SECONDS);
                request.hot_connections = (!is_full).then_some(taking_part);
                let has_idle = !is_full && taking_part < connections;
                request.rounds = has_idle.then(|| vec![ROUND_CONNECTIONS]);
            }
        }
        Some(request)
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
        let case = case(Load::Minute, 1_000_000, false).unwrap();
        assert_eq!((case.mode, case.rate), (Mode::Open, Some(16_666)));
        assert_eq!(case.hot(), 83_330);
        assert!(!case.rounds.is_empty(), "the others are proved live");
        assert_eq!(self::case(Load::Minute, 1_000, true), None);
    }

    #[test]
    fn all_take_part_where_there_is_time_for_them() {
        for connections in [1, 1_000, 10_000] {
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

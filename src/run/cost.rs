//! What an echo took besides time: differences of counts between the ends of the measured span.

use fourtuple_spec::message::Measured;
use fourtuple_spec::record::{ClientCounters, Cost, Noise, ServerCounters};

/// What both sides counted at the ends of the measured span.
pub struct Span<'a> {
    /// The servers, when it began.
    pub server_before: &'a ServerCounters,
    /// And when it was over.
    pub server_after: &'a ServerCounters,
    /// The time between the two: a busy server says later what it had counted.
    pub server_seconds: f64,
    /// The client, at both.
    pub measured: &'a Measured,
    /// Switches, and the time in which they happened.
    pub noise: &'a Noise,
    /// As long as they were counted.
    pub switches_seconds: Option<f64>,
}

/// With less of the measured span than this between two counts, they are not taken for the span's.
const COUNTED_SHARE_LEAST: f64 = 0.8;

impl Span<'_> {
    /// Echoes of so many seconds of the span, if those are enough of it to speak for all.
    fn echoes(&self, seconds: f64) -> Option<f64> {
        let share = seconds * 1e9 / self.measured.elapsed_ns as f64;
        let is_enough = share.is_finite() && share >= COUNTED_SHARE_LEAST;
        is_enough.then_some(self.measured.echoes as f64 * share)
    }
}

/// The cost of an echo. `traced` is what the kernel counted of the servers' system calls in the warm-up.
pub fn of(span: &Span<'_>, traced: Option<u64>) -> Cost {
    let (before, after) = (span.server_before, span.server_after);
    let server =
        |field: fn(&ServerCounters) -> Option<u64>| difference(field(before), field(after));
    let (before, after) = (&span.measured.counters_before, &span.measured.counters);
    let client =
        |field: fn(&ClientCounters) -> Option<u64>| difference(field(before), field(after));
    let served = span.echoes(span.server_seconds);
    let echoes = Some(span.measured.echoes as f64);
    let switched = span
        .switches_seconds
        .and_then(|seconds| span.echoes(seconds));
    let switches = |voluntary: Option<u64>, involuntary: Option<u64>| {
        ratio(Some(voluntary?.saturating_add(involuntary?)), switched)
    };
    let count = |count: Option<u64>| count.map(|count| count as f64);
    let noise = span.noise;
    Cost {
        server_system_calls_per_echo: ratio(server(|count| count.system_calls), served),
        // The client does nothing else on the path of an echo than enter its rings.
        client_system_calls_per_echo: ratio(client(|count| count.enters), echoes),
        server_system_calls_traced_per_echo: ratio(
            traced,
            count(Some(span.measured.warmup_echoes)),
        ),
        server_switches_per_echo: switches(
            noise.server_voluntary_switches,
            noise.server_involuntary_switches,
        ),
        client_switches_per_echo: switches(
            noise.client_voluntary_switches,
            noise.client_involuntary_switches,
        ),
        server_completions_per_wakeup: ratio(
            server(|count| count.completions),
            count(server(|count| count.enters)),
        ),
        client_completions_per_wakeup: ratio(
            client(|count| count.completions),
            count(client(|count| count.enters)),
        ),
        server_no_buffers: server(|count| count.no_buffers),
        server_overflows: server(|count| count.overflows),
        client_no_buffers: client(|count| count.no_buffers),
        client_overflows: client(|count| count.overflows),
    }
}

fn difference(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    after?.checked_sub(before?)
}

/// `None` if one is unknown or there is nothing to divide by.
fn ratio(part: Option<u64>, whole: Option<f64>) -> Option<f64> {
    let whole = whole.filter(|&whole| whole > 0.0)?;
    Some(part? as f64 / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(system_calls: u64, enters: u64, completions: u64) -> ServerCounters {
        ServerCounters {
            system_calls: Some(system_calls),
            enters: Some(enters),
            completions: Some(completions),
            no_buffers: Some(enters / 10),
            ..ServerCounters::default()
        }
    }

    fn measured() -> Measured {
        let counters = |enters, completions| ClientCounters {
            enters: Some(enters),
            completions: Some(completions),
            overflows: Some(2),
            ..ClientCounters::default()
        };
        Measured {
            echoes: 1_000,
            elapsed_ns: 2_000_000_000,
            warmup_echoes: 200,
            counters_before: counters(50, 80),
            counters: counters(550, 2_080),
            ..Measured::default()
        }
    }

    #[test]
    fn only_what_lies_within_the_span_counts() {
        let noise = Noise {
            server_voluntary_switches: Some(90),
            server_involuntary_switches: Some(10),
            client_voluntary_switches: Some(1),
            ..Noise::default()
        };
        let measured = measured();
        let span = Span {
            server_before: &server(700, 100, 400),
            server_after: &server(3_700, 600, 2_400),
            server_seconds: 2.0,
            measured: &measured,
            noise: &noise,
            switches_seconds: Some(1.6),
        };
        let cost = of(&span, Some(700));
        assert_eq!(cost.server_system_calls_per_echo, Some(3.0));
        assert_eq!(cost.server_system_calls_traced_per_echo, Some(3.5));
        assert_eq!(cost.client_system_calls_per_echo, Some(0.5));
        assert_eq!(cost.server_completions_per_wakeup, Some(4.0));
        assert_eq!(cost.client_completions_per_wakeup, Some(4.0));
        assert_eq!(cost.server_switches_per_echo, Some(0.125));
        assert_eq!(cost.client_switches_per_echo, None, "one kind is unknown");
        assert_eq!(cost.server_no_buffers, Some(50));
        assert_eq!(cost.client_overflows, Some(0));
        assert_eq!(cost.server_overflows, None, "it was never counted");
    }

    #[test]
    fn without_echoes_or_counts_nothing_is_known() {
        let measured = Measured {
            echoes: 0,
            warmup_echoes: 0,
            ..measured()
        };
        let nothing = ServerCounters::default();
        let span = Span {
            server_before: &nothing,
            server_after: &server(1, 1, 1),
            server_seconds: 2.0,
            measured: &measured,
            noise: &Noise::default(),
            switches_seconds: None,
        };
        let cost = of(&span, Some(5));
        assert_eq!(cost.server_system_calls_per_echo, None);
        assert_eq!(cost.server_system_calls_traced_per_echo, None);
        assert_eq!(cost.server_completions_per_wakeup, None);
        assert_eq!(cost.client_system_calls_per_echo, None);
        assert_eq!(cost.client_completions_per_wakeup, Some(4.0));
    }

    #[test]
    fn a_count_that_came_late_is_held_against_fewer_echoes_or_none() {
        let measured = measured();
        let counted = |server_seconds| {
            let span = Span {
                server_before: &server(700, 100, 400),
                server_after: &server(3_700, 600, 2_400),
                server_seconds,
                measured: &measured,
                noise: &Noise::default(),
                switches_seconds: None,
            };
            of(&span, None).server_system_calls_per_echo
        };
        assert_eq!(counted(2.0), Some(3.0));
        assert_eq!(counted(1.6), Some(3.75));
        assert_eq!(counted(1.5), None);
    }
}

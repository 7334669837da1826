//! What an echo took besides time: differences of counts between the ends of the measured span.

use fourtuple_spec::message::Measured;
use fourtuple_spec::record::{ClientCounters, Cost, Noise, ServerCounters};

/// What both sides counted at the ends of the measured span.
pub struct Span<'a> {
    /// The servers, when it began.
    pub server_before: &'a ServerCounters,
    /// And when it was over.
    pub server_after: &'a ServerCounters,
    /// The client, at both.
    pub measured: &'a Measured,
}

/// The cost of an echo. `traced` is what the kernel counted of the servers' system calls in the warm-up.
pub fn of(span: &Span<'_>, noise: &Noise, traced: Option<u64>) -> Cost {
    let (before, after) = (span.server_before, span.server_after);
    let server =
        |field: fn(&ServerCounters) -> Option<u64>| difference(field(before), field(after));
    let (before, after) = (&span.measured.counters_before, &span.measured.counters);
    let client =
        |field: fn(&ClientCounters) -> Option<u64>| difference(field(before), field(after));
    let echoes = span.measured.echoes;
    let switches = |voluntary: Option<u64>, involuntary: Option<u64>| {
        ratio(Some(voluntary?.saturating_add(involuntary?)), Some(echoes))
    };
    Cost {
        server_system_calls_per_echo: ratio(server(|count| count.system_calls), Some(echoes)),
        // The client does nothing else on the path of an echo than enter its rings.
        client_system_calls_per_echo: ratio(client(|count| count.enters), Some(echoes)),
        server_system_calls_traced_per_echo: ratio(traced, Some(span.measured.warmup_echoes)),
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
            server(|count| count.enters),
        ),
        client_completions_per_wakeup: ratio(
            client(|count| count.completions),
            client(|count| count.enters),
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
fn ratio(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    let whole = whole.filter(|&whole| whole > 0)?;
    Some(part? as f64 / whole as f64)
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
            measured: &measured,
        };
        let cost = of(&span, &noise, Some(700));
        assert_eq!(cost.server_system_calls_per_echo, Some(3.0));
        assert_eq!(cost.server_system_calls_traced_per_echo, Some(3.5));
        assert_eq!(cost.client_system_calls_per_echo, Some(0.5));
        assert_eq!(cost.server_completions_per_wakeup, Some(4.0));
        assert_eq!(cost.client_completions_per_wakeup, Some(4.0));
        assert_eq!(cost.server_switches_per_echo, Some(0.1));
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
            measured: &measured,
        };
        let cost = of(&span, &Noise::default(), Some(5));
        assert_eq!(cost.server_system_calls_per_echo, None);
        assert_eq!(cost.server_system_calls_traced_per_echo, None);
        assert_eq!(cost.server_completions_per_wakeup, None);
        assert_eq!(cost.client_system_calls_per_echo, None);
        assert_eq!(cost.client_completions_per_wakeup, Some(4.0));
    }
}

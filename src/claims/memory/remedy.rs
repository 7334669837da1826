//! What small buffers, the folk remedy, change in a price.

use crate::publish::format::{self, range};
use crate::statistics::Interval;
use fourtuple_spec::EndpointState;

/// Less than this share of what a connection takes is nothing.
const NOTHING_SHARE: f64 = 0.01;

/// What they change, in a sentence. `saved` is the price without them less that with them, and `price` that without.
pub fn words(state: EndpointState, price: f64, saved: &Interval) -> String {
    let change = Interval {
        estimate: -saved.estimate,
        low: -saved.high,
        high: -saved.low,
    };
    format!(
        "Small buffers change the {} of {} by {} ({}){}.",
        format::bytes(price),
        state.name(),
        format::bytes(change.estimate),
        range(&change, format::bytes),
        told(price, &change)
    )
}

fn told(price: f64, change: &Interval) -> String {
    let bound = NOTHING_SHARE * price;
    let words = format!("{}, which is 1 % of it", format::bytes(bound));
    if change.low > -bound && change.high < bound {
        return format!(", which is nothing: all of that is within {words}");
    }
    match change.low <= 0.0 && change.high >= 0.0 {
        true => format!(", which cannot be told from nothing: not all of that is within {words}"),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(saved: (f64, f64, f64)) -> String {
        let (low, estimate, high) = saved;
        let saved = Interval {
            estimate,
            low,
            high,
        };
        words(EndpointState::Accepted, 4_000.0, &saved).replace('\u{a0}', " ")
    }

    #[test]
    fn nothing_is_a_whole_interval_within_a_bound_that_was_fixed_before() {
        assert_eq!(
            said((-11.0, 14.0, 39.0)),
            "Small buffers change the 4,000 B of accepted by −14 B (−39 B to 11 B), which is nothing: all of that is \
             within 40 B, which is 1 % of it."
        );
        for saved in [(-11.0, 14.0, 41.0), (-41.0, -14.0, 11.0)] {
            let unsure = said(saved);
            assert!(
                unsure.contains("cannot be told from nothing: not all of that is within 40 B"),
                "{unsure}"
            );
        }
        assert_eq!(
            said((20.0, 40.0, 60.0)),
            "Small buffers change the 4,000 B of accepted by −40 B (−60 B to −20 B)."
        );
    }
}

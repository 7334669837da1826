//! The full rounds of a run that say what a window reaches.

use fourtuple_spec::Record;
use fourtuple_spec::record::Round;

/// The rounds before the hold, but for the first where its window comes again: that one proves every
/// connection live, and is the first to touch each.
pub fn steady(record: &Record) -> Vec<&Round> {
    let mut rounds: Vec<&Round> = record
        .rounds
        .iter()
        .filter(|round| round.phase == "round")
        .collect();
    let window = |round: &Round| round.active_connections;
    if let [first, later @ ..] = &rounds[..]
        && later.iter().any(|round| window(round) == window(first))
    {
        rounds.remove(0);
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use fourtuple_spec::Engine;

    #[test]
    fn the_first_is_left_out_where_its_window_comes_again() {
        let mut record = fixture::held(Engine::Uring, 100_000, 0);
        assert_eq!(
            steady(&record).len(),
            3,
            "the proof after the hold is no window"
        );
        let again = record.rounds[0].clone();
        record.rounds.insert(1, again);
        assert_eq!(steady(&record).len(), 3);
    }
}

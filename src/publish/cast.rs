//! Who stands out on a chart: with many arms on it, ours, the best of the others, and the floor.

use super::group::{Group, Series};
use super::metric;
use super::verdict::{REFERENCE, is_arm};
use crate::statistics;
use fourtuple_spec::engine::Role;

/// Up to so many arms a chart tells all of them apart by colour.
pub const COLOURED_ARMS_MAX: usize = 6;

/// Every arm that serves, and is no control and no floor.
pub fn arms<'a, 'b>(group: &'b Group<'a>) -> Vec<&'b Series<'a>> {
    let all = group.series.iter();
    all.filter(|series| is_arm(series)).collect()
}

/// The arms of a role: subjects, or what they are compared with.
pub fn of_role<'a, 'b>(group: &'b Group<'a>, role: Role) -> Vec<&'b Series<'a>> {
    let mut arms = arms(group);
    arms.retain(|series| series.engine.profile().role == role);
    arms
}

/// Whether a group has so many arms that some of them have to stand back.
pub fn is_crowded(group: &Group<'_>) -> bool {
    arms(group).len() > COLOURED_ARMS_MAX
}

/// Of a crowded group the arms that stand back, so that ours and the best of the others are seen first.
pub fn quiet<'a, 'b>(group: &'b Group<'a>) -> Vec<&'b Series<'a>> {
    if !is_crowded(group) {
        return Vec::new();
    }
    let best = best_baseline(group).map(|best| &best.name);
    let mut quiet = of_role(group, Role::Baseline);
    quiet.retain(|series| Some(&series.name) != best);
    quiet
}

/// The baseline that reaches most over all counts; the reference, where none has a rate.
pub fn best_baseline<'a, 'b>(group: &'b Group<'a>) -> Option<&'b Series<'a>> {
    let baselines = of_role(group, Role::Baseline);
    let best = best(group, &baselines);
    best.or_else(|| baselines.into_iter().find(|one| one.engine == REFERENCE))
}

/// Of these the one with the highest geometric mean of its shares of the best; one that was measured at
/// more counts comes first, for who fails at many connections is not the best for it.
pub fn best<'a, 'b>(group: &Group<'_>, series: &[&'b Series<'a>]) -> Option<&'b Series<'a>> {
    let best = best_rates(group);
    let ranked = series
        .iter()
        .filter_map(|one| Some((*one, standing(&best, one)?)));
    let best = ranked.max_by(|(_, a), (_, b)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    best.map(|(one, _)| one)
}

/// At how many counts a series has a valid rate, and the geometric mean of its shares of the best there.
pub fn standing(best: &[(u32, f64)], series: &Series<'_>) -> Option<(usize, f64)> {
    let share = |(count, best): &(u32, f64)| Some(valid_rate(series, *count)? / best);
    let shares: Vec<f64> = best.iter().filter_map(share).collect();
    Some((shares.len(), statistics::geometric_mean(&shares)?))
}

/// The highest rate of any arm at each count, from valid runs.
pub fn best_rates(group: &Group<'_>) -> Vec<(u32, f64)> {
    let arms = arms(group);
    let best = |count: u32| {
        let rates = arms.iter().filter_map(|one| valid_rate(one, count));
        Some((count, rates.max_by(f64::total_cmp)?))
    };
    group.counts().into_iter().filter_map(best).collect()
}

/// The rate of a series at a count, the geometric mean over valid runs.
pub fn valid_rate(series: &Series<'_>, connections: u32) -> Option<f64> {
    let point = series.point(connections)?;
    let rates: Vec<f64> = point.valid_runs().filter_map(metric::rate).collect();
    statistics::geometric_mean(&rates)
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, fixture_comparison, group::groups};
    use super::*;

    #[test]
    fn few_arms_all_stand_out_and_of_many_ours_and_the_best_other() {
        let few = fixture::sweep(2);
        assert!(quiet(&groups(&few)[0]).is_empty());
        let many = fixture_comparison::comparison(2);
        let groups = groups(&many);
        let mut loud = arms(&groups[0]);
        let quiet: Vec<&str> = quiet(&groups[0]).iter().map(|one| &one.name[..]).collect();
        loud.retain(|series| !quiet.contains(&&series.name[..]));
        let names: Vec<&str> = loud.iter().map(|series| &series.name[..]).collect();
        assert_eq!(names, ["uring", "uring-poll", "uring-hybrid", "epoll-et"]);
    }
}

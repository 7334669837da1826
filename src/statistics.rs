//! The few statistics that a verdict rests on, each checked against a published example or by hand.
//!
//! The unit is the run: a value here is what one fresh pair of processes produced. Rates, times and
//! sizes multiply rather than add, so means and intervals are taken on their logarithms.

use std::f64::consts::PI;

/// The confidence of every interval that this module returns.
pub const CONFIDENCE: f64 = 0.95;

/// The most pairs that [`sign_flip_p_value`] takes: it walks through all 2ⁿ sign patterns.
pub const SIGN_FLIP_PAIRS_MAX: usize = 20;

/// An estimate and the interval around it, in the unit of what was estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate itself.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Half of the width, as a share of the estimate: the larger of the two sides.
    pub fn relative_half_width(&self) -> f64 {
        let below = self.estimate - self.low;
        let above = self.high - self.estimate;
        below.max(above) / self.estimate.abs()
    }
}

/// The median; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The geometric mean; `None` of nothing, or where a value is not positive.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    logarithms(values).map(|logs| mean(&logs).exp())
}

/// Geometric mean with its t-interval on logarithms; `None` below two values or where one is not positive.
pub fn log_interval(values: &[f64]) -> Option<Interval> {
    let interval = t_interval(&logarithms(values)?)?;
    Some(exponential(interval))
}

/// Mean ratio of `a` to `b` over pairs `(a, b)` of one repeat each, with its t-interval.
///
/// Pairing takes out what both arms of a repeat share: the host's speed at that minute.
pub fn paired_ratio(pairs: &[(f64, f64)]) -> Option<Interval> {
    Some(exponential(t_interval(&log_ratios(pairs)?)?))
}

/// The logarithm of each pair's ratio; `None` of nothing, or where a value is not positive.
pub fn log_ratios(pairs: &[(f64, f64)]) -> Option<Vec<f64>> {
    let ratios: Vec<f64> = pairs.iter().map(|(a, b)| a / b).collect();
    logarithms(&ratios)
}

/// Mean with its t-interval; `None` below two values.
pub fn t_interval(values: &[f64]) -> Option<Interval> {
    if values.len() < 2 {
        return None;
    }
    let count = values.len() as f64;
    let estimate = mean(values);
    let squares: f64 = values.iter().map(|value| (value - estimate).powi(2)).sum();
    let standard_error = (squares / (count - 1.0) / count).sqrt();
    let half_width = student_t_quantile((1.0 + CONFIDENCE) / 2.0, count - 1.0) * standard_error;
    Some(Interval {
        estimate,
        low: estimate - half_width,
        high: estimate + half_width,
    })
}

/// Exact two-sided sign-flip test that differences are centred on zero.
///
/// The share of all 2ⁿ sign patterns whose sum is at least as far from zero as the one seen; so the
/// smallest value that n pairs can give is 2¹⁻ⁿ. `None` of nothing, or past [`SIGN_FLIP_PAIRS_MAX`].
pub fn sign_flip_p_value(differences: &[f64]) -> Option<f64> {
    if differences.is_empty() || differences.len() > SIGN_FLIP_PAIRS_MAX {
        return None;
    }
    let seen = differences.iter().sum::<f64>().abs();
    // Sums in another order differ in the last bits; equal sums have to count as equal.
    let tolerance = 1e-9 * differences.iter().map(|value| value.abs()).sum::<f64>();
    let patterns = 1u32 << differences.len();
    let as_far = (0..patterns)
        .filter(|pattern| signed_sum(differences, *pattern).abs() >= seen - tolerance)
        .count();
    Some(as_far as f64 / f64::from(patterns))
}

/// Holm's adjustment of p-values for being several, in the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        let stretched = p_values[index] * (p_values.len() - rank) as f64;
        largest = largest.max(stretched).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

/// Theil–Sen slope of y over x with Sen's interval from Kendall's exact distribution.
///
/// The median of the slopes of all pairs with different x: one wild point in four does not move it.
/// `None` below three points of different x. With fewer than five points the interval is that of the
/// smallest and largest slope and holds with less than [`CONFIDENCE`].
pub fn theil_sen(points: &[(f64, f64)]) -> Option<Interval> {
    let mut slopes = Vec::new();
    for (index, (x, y)) in points.iter().enumerate() {
        for (other_x, other_y) in &points[index + 1..] {
            if other_x != x {
                slopes.push((other_y - y) / (other_x - x));
            }
        }
    }
    if points.len() < 3 || slopes.len() < 3 {
        return None;
    }
    slopes.sort_by(f64::total_cmp);
    let outside = kendall_ranks_outside(points.len()).min((slopes.len() - 1) / 2);
    Some(Interval {
        estimate: median(&slopes)?,
        low: slopes[outside],
        high: slopes[slopes.len() - 1 - outside],
    })
}

/// A straight line through points: [`theil_sen`]'s slope with its interval, and the median of what is
/// left of each y as the value at zero.
pub fn theil_sen_line(points: &[(f64, f64)]) -> Option<(Interval, f64)> {
    let slope = theil_sen(points)?;
    let left: Vec<f64> = points.iter().map(|(x, y)| y - slope.estimate * x).collect();
    Some((slope, median(&left)?))
}

/// How many of the sorted slopes lie outside the interval on each side.
///
/// The number of discordant pairs of n points without a trend has the distribution of inversions of
/// a random permutation; its lower tail is walked until it would exceed half of 1 − confidence.
fn kendall_ranks_outside(count: usize) -> usize {
    let mut shares = vec![1.0];
    for size in 2..=count {
        let mut next = vec![0.0; shares.len() + size - 1];
        for (inversions, share) in shares.iter().enumerate() {
            for added in 0..size {
                next[inversions + added] += share / size as f64;
            }
        }
        shares = next;
    }
    let mut tail = 0.0;
    let within = shares.iter().take_while(|share| {
        tail += **share;
        tail <= (1.0 - CONFIDENCE) / 2.0
    });
    // With r pairs discordant at most in the tail, the (r + 1)th slope bounds the interval: index r.
    within.count().saturating_sub(1)
}

/// The value that Student's t with `degrees` of freedom stays under with this probability (0.5 to 1).
pub fn student_t_quantile(probability: f64, degrees: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1e6);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if student_t_below(middle, degrees) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// Probability that Student's t stays under `t`, which is not negative.
fn student_t_below(t: f64, degrees: f64) -> f64 {
    1.0 - incomplete_beta(degrees / (degrees + t * t), degrees / 2.0, 0.5) / 2.0
}

/// The regularised incomplete beta function by its continued fraction (Lentz's method, DLMF 8.17.22).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let log_front =
        a * x.ln() + b * (1.0 - x).ln() + log_gamma(a + b) - log_gamma(a) - log_gamma(b);
    log_front.exp() / a * beta_fraction(x, a, b)
}

fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    let away_from_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut numerator = 1.0;
    let mut denominator = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut result = denominator;
    for step in 1..300 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = result;
        for term in [even, odd] {
            denominator = 1.0 / away_from_zero(1.0 + term * denominator);
            numerator = away_from_zero(1.0 + term / numerator);
            result *= denominator * numerator;
        }
        if (result / before - 1.0).abs() < 1e-15 {
            break;
        }
    }
    result
}

/// ln Γ for a positive argument: Lanczos' approximation with g = 7, good to about 15 digits.
fn log_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        return (PI / (PI * x).sin()).ln() - log_gamma(1.0 - x);
    }
    let shifted = x - 1.0;
    let base = shifted + 7.5;
    let series = COEFFICIENTS.iter().zip(1..).fold(
        0.999_999_999_999_809_9,
        |sum, (coefficient, index): (&f64, i32)| sum + coefficient / (shifted + f64::from(index)),
    );
    0.5 * (2.0 * PI).ln() + (shifted + 0.5) * base.ln() - base + series.ln()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn logarithms(values: &[f64]) -> Option<Vec<f64>> {
    let is_usable = |value: &f64| value.is_finite() && *value > 0.0;
    (!values.is_empty() && values.iter().all(is_usable))
        .then(|| values.iter().map(|value| value.ln()).collect())
}

fn exponential(interval: Interval) -> Interval {
    Interval {
        estimate: interval.estimate.exp(),
        low: interval.low.exp(),
        high: interval.high.exp(),
    }
}

fn signed_sum(values: &[f64], pattern: u32) -> f64 {
    values.iter().enumerate().fold(0.0, |sum, (index, value)| {
        sum + if pattern >> index & 1 == 1 {
            -value
        } else {
            *value
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Darwin's fifteen pairs of maize plants, cross- less self-fertilised, in eighths of an inch.
    const DARWIN: [f64; 15] = [
        49.0, -67.0, 8.0, 16.0, 6.0, 23.0, 28.0, 41.0, 14.0, 29.0, 56.0, 24.0, 75.0, 60.0, -48.0,
    ];

    fn assert_near(found: f64, expected: f64, tolerance: f64) {
        assert!(
            (found - expected).abs() <= tolerance,
            "{found} is not {expected}"
        );
    }

    #[test]
    fn quantiles_of_t_are_those_of_the_printed_table() {
        for (degrees, expected) in [
            (1.0, 12.706),
            (2.0, 4.303),
            (4.0, 2.776),
            (9.0, 2.262),
            (14.0, 2.145),
            (30.0, 2.042),
            (120.0, 1.980),
        ] {
            assert_near(student_t_quantile(0.975, degrees), expected, 5e-4);
        }
        assert_near(student_t_quantile(0.95, 10.0), 1.812, 5e-4);
        assert_near(student_t_quantile(0.995, 5.0), 4.032, 5e-4);
    }

    #[test]
    fn darwins_maize_gives_the_published_interval_and_fishers_exact_probability() {
        let interval = t_interval(&DARWIN).unwrap();
        assert_near(interval.estimate, 20.933, 1e-3);
        assert_near(interval.low, 0.03, 0.01);
        assert_near(interval.high, 41.84, 0.01);
        // Fisher, The Design of Experiments, §21: 1,726 of the 32,768 sign patterns.
        assert_eq!(sign_flip_p_value(&DARWIN), Some(1_726.0 / 32_768.0));
    }

    #[test]
    fn intervals_on_logarithms_are_those_of_the_logarithms() {
        let values: Vec<f64> = DARWIN.iter().map(|value| (value / 100.0).exp()).collect();
        let interval = log_interval(&values).unwrap();
        assert_near(interval.estimate.ln(), 0.209_33, 1e-5);
        assert_near(interval.high.ln(), 0.418_4, 1e-4);
        let pairs: Vec<(f64, f64)> = values.iter().map(|value| (value * 7.0, 7.0)).collect();
        assert_near(paired_ratio(&pairs).unwrap().low, interval.low, 1e-12);
    }

    #[test]
    fn the_smallest_probability_is_that_of_the_two_extreme_patterns() {
        assert_eq!(sign_flip_p_value(&[0.1, 0.2, 0.3]), Some(0.25));
        assert_eq!(sign_flip_p_value(&[]), None);
        assert_eq!(sign_flip_p_value(&[1.0; SIGN_FLIP_PAIRS_MAX + 1]), None);
    }

    #[test]
    fn theil_sen_gives_the_slope_found_by_hand() {
        // By hand, the ten slopes are −0.15, −0.13, −0.08, −0.07, −0.0575, −0.055, −0.045, −0.033, 0.01, 0.04.
        let points = [
            (1.0, 1.26),
            (2.0, 1.27),
            (3.0, 1.12),
            (4.0, 1.16),
            (5.0, 1.03),
        ];
        let slope = theil_sen(&points).unwrap();
        assert_near(slope.estimate, -0.056_25, 1e-9);
        // With five points only the extreme order has a probability (1/120) under 2.5 %.
        assert_near(slope.low, -0.15, 1e-9);
        assert_near(slope.high, 0.04, 1e-9);
    }

    #[test]
    fn the_tail_of_kendalls_distribution_is_the_printed_one() {
        // n = 10: at most 11 of 45 pairs discordant, S ≥ 23, has 84,592 / 10! = 0.0233; S ≥ 21 has
        // 131,635 / 10! = 0.0363 (permutations by inversions, OEIS A008302).
        assert_eq!(kendall_ranks_outside(10), 11);
        // n = 6: S ≥ 13 has 6 / 720 = 0.0083, S ≥ 11 has 20 / 720 = 0.0278; so one discordant pair.
        assert_eq!(kendall_ranks_outside(6), 1);
    }

    #[test]
    fn a_fixed_cost_and_one_wild_point_do_not_move_the_slope() {
        let mut points: Vec<(f64, f64)> = (1..=7)
            .map(|count| (f64::from(count) * 1e5, f64::from(count) * 7.8e8 + 5e7))
            .collect();
        points[3].1 *= 3.0;
        let (slope, at_zero) = theil_sen_line(&points).unwrap();
        assert_near(slope.estimate, 7_800.0, 1e-6);
        assert_near(at_zero, 5e7, 1e-3);
    }

    #[test]
    fn holm_stretches_in_order_and_never_past_one() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert_near(*found, expected, 1e-12);
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }

    #[test]
    fn what_cannot_be_estimated_is_missing() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(log_interval(&[5.0]), None);
        assert_eq!(geometric_mean(&[1.0, 0.0]), None);
        assert_eq!(theil_sen(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
    }
}

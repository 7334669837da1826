//! From values to positions, and which values an axis names.

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Equal differences are equally far apart.
    Linear,
    /// Equal ratios are equally far apart.
    Log,
}

/// A mapping from values to positions.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    kind: Kind,
    domain: (f64, f64),
    range: (f64, f64),
}

impl Scale {
    /// From zero, or less where a value is negative, to a round number above the largest.
    pub fn linear_from_zero(largest: f64, range: (f64, f64)) -> Self {
        let ticks = linear_ticks(largest);
        let top = ticks.last().copied().unwrap_or(1.0);
        Self {
            kind: Kind::Linear,
            domain: (0.0, top.max(largest)),
            range,
        }
    }

    /// Linear between two values.
    pub fn linear(smallest: f64, largest: f64, range: (f64, f64)) -> Self {
        Self {
            kind: Kind::Linear,
            domain: (smallest, largest.max(smallest + f64::MIN_POSITIVE)),
            range,
        }
    }

    /// Logarithmic between two positive values; a single value stands in the middle of a decade.
    pub fn log(smallest: f64, largest: f64, range: (f64, f64)) -> Self {
        let (smallest, largest) = (
            smallest.max(f64::MIN_POSITIVE),
            largest.max(f64::MIN_POSITIVE),
        );
        let domain = if smallest < largest {
            (smallest, largest)
        } else {
            (smallest / 10f64.sqrt(), smallest * 10f64.sqrt())
        };
        Self {
            kind: Kind::Log,
            domain,
            range,
        }
    }

    /// The position of a value; outside values are held at the edge.
    pub fn position(&self, value: f64) -> f64 {
        let (low, high) = self.domain;
        let share = match self.kind {
            Kind::Linear => (value - low) / (high - low),
            Kind::Log => (value.max(f64::MIN_POSITIVE) / low).ln() / (high / low).ln(),
        };
        self.range.0 + share.clamp(0.0, 1.0) * (self.range.1 - self.range.0)
    }

    /// Where the least value stands.
    pub fn start(&self) -> f64 {
        self.range.0
    }

    /// The largest value.
    pub fn largest(&self) -> f64 {
        self.domain.1
    }
}

/// Round values from zero to the first at or above `largest`: four to seven of them.
pub fn linear_ticks(largest: f64) -> Vec<f64> {
    if !largest.is_finite() || largest <= 0.0 {
        return vec![0.0, 1.0];
    }
    let rough = largest / 5.0;
    let decade = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|factor| factor * decade)
        .into_iter()
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(decade * 10.0);
    let count = (largest / step * 0.999_999).ceil().max(1.0) as u32;
    (0..=count).map(|index| f64::from(index) * step).collect()
}

/// The round values 1, 2 and 5 times a power of ten that hold both ends between them.
pub fn log_bounds(smallest: f64, largest: f64) -> (f64, f64) {
    let low = round_values(smallest / 10.0, largest)
        .filter(|value| *value <= smallest)
        .last();
    let high = round_values(smallest, largest * 10.0).find(|value| *value >= largest);
    (low.unwrap_or(smallest), high.unwrap_or(largest))
}

/// The values that a logarithmic axis names: decades, with 2 and 5 between where there are few.
pub fn log_ticks(smallest: f64, largest: f64) -> Vec<f64> {
    let all: Vec<f64> = round_values(smallest, largest).collect();
    let is_decade = |value: &f64| (value.log10() - value.log10().round()).abs() < 1e-9;
    let decades: Vec<f64> = all.iter().copied().filter(is_decade).collect();
    if decades.len() >= 4 { decades } else { all }
}

/// Which of the measured connection counts can be named without touching: powers of ten come first.
pub fn count_ticks(counts: &[u32], scale: &Scale, gap: f64) -> Vec<u32> {
    let is_decade = |count: u32| f64::from(count).log10().fract().abs() < 1e-9;
    let mut order: Vec<u32> = counts.to_vec();
    // The ends of the axis matter most, then decades, then what still fits.
    let last = counts.last().copied();
    order.sort_by_key(|count| (Some(*count) != last, !is_decade(*count), *count));
    let mut taken: Vec<u32> = Vec::new();
    for count in order {
        let position = scale.position(f64::from(count));
        let is_free = taken
            .iter()
            .all(|other| (scale.position(f64::from(*other)) - position).abs() >= gap);
        if is_free {
            taken.push(count);
        }
    }
    taken.sort_unstable();
    taken
}

fn round_values(smallest: f64, largest: f64) -> impl Iterator<Item = f64> {
    let first = smallest.log10().floor() as i32;
    let last = largest.log10().ceil() as i32;
    let (low, high) = (smallest * 0.999_999, largest * 1.000_001);
    (first..=last)
        .flat_map(|exponent| [1.0, 2.0, 5.0].map(|factor| factor * 10f64.powi(exponent)))
        .filter(move |value| *value >= low && *value <= high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_round_and_reach_past_the_largest() {
        assert_eq!(linear_ticks(158_000.0), [0.0, 50e3, 100e3, 150e3, 200e3]);
        assert_eq!(linear_ticks(100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(linear_ticks(0.0), [0.0, 1.0]);
        assert_eq!(linear_ticks(7_900.0).last(), Some(&8_000.0));
    }

    #[test]
    fn log_axes_name_decades_and_more_where_decades_are_few() {
        assert_eq!(log_bounds(26.0, 8_100.0), (20.0, 10_000.0));
        assert_eq!(log_ticks(20.0, 100_000.0), [100.0, 1e3, 1e4, 1e5]);
        assert_eq!(
            log_ticks(20.0, 1_000.0),
            [20.0, 50.0, 100.0, 200.0, 500.0, 1e3]
        );
    }

    #[test]
    fn a_log_scale_puts_equal_ratios_equally_far_apart() {
        let scale = Scale::log(1.0, 10_000.0, (0.0, 400.0));
        assert!((scale.position(100.0) - 200.0).abs() < 1e-9);
        assert_eq!(scale.position(1e9), 400.0);
        let lone = Scale::log(1_000.0, 1_000.0, (0.0, 400.0));
        assert!((lone.position(1_000.0) - 200.0).abs() < 1e-9);
    }

    #[test]
    fn counts_that_would_touch_are_not_named() {
        let scale = Scale::log(1.0, 5_000_000.0, (0.0, 600.0));
        let counts = [
            1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 2_000_000, 5_000_000,
        ];
        let ticks = count_ticks(&counts, &scale, 50.0);
        assert_eq!(
            ticks,
            [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 5_000_000]
        );
    }
}

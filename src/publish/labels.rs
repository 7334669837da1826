//! Where labels go, so that none lies on another or on a line.

/// An upright rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// Left edge.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Bottom edge.
    pub bottom: f64,
}

impl Area {
    /// The area shared with another, in square units.
    pub fn overlap(&self, other: &Area) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    fn contains(&self, (x, y): (f64, f64)) -> bool {
        x >= self.left && x <= self.right && y >= self.top && y <= self.bottom
    }
}

/// Width of a text at a size, from rough classes of letters: no font is at hand, and browsers differ.
///
/// Meant to be too wide rather than too narrow: it is near DejaVu Sans, the widest of the usual fonts.
pub fn text_width(text: &str, size: f64) -> f64 {
    let em: f64 = text
        .chars()
        .map(|character| match character {
            'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | '|' | '\'' => 0.32,
            ' ' | '\u{a0}' | 'f' | 't' | 'r' | '(' | ')' | '-' | '·' => 0.40,
            'm' | 'w' | 'M' | 'W' | '%' | '…' => 0.95,
            character if character.is_uppercase() || character == '_' => 0.70,
            _ => 0.62,
        })
        .sum();
    em * size
}

/// Positions of labels of one height in a column, each as near to where it wants to be as the others let it.
///
/// Labels that would touch are pooled and centred on the mean of their wishes, so the order of wishes
/// is the order of labels. A column that is too full is squeezed evenly rather than cut.
pub fn spread(wishes: &[f64], height: f64, top: f64, bottom: f64) -> Vec<f64> {
    if wishes.is_empty() {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..wishes.len()).collect();
    order.sort_by(|a, b| wishes[*a].total_cmp(&wishes[*b]));
    let room = bottom - top;
    let height = height.min(room / wishes.len() as f64);
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for index in &order {
        pools.push((
            wishes[*index].clamp(top + height / 2.0, bottom - height / 2.0),
            1,
        ));
        while let [.., (above, above_count), (below, below_count)] = pools[..] {
            let distance = (above_count + below_count) as f64 * height / 2.0;
            if below - above >= distance - 1e-9 {
                break;
            }
            let count = above_count + below_count;
            let sum = above * above_count as f64 + below * below_count as f64;
            let half = count as f64 * height / 2.0;
            let centre = (sum / count as f64).clamp(top + half, (bottom - half).max(top + half));
            pools.truncate(pools.len() - 2);
            pools.push((centre, count));
        }
    }
    let mut positions = vec![0.0; wishes.len()];
    let mut next = order.into_iter();
    for (centre, count) in pools {
        let first = centre - (count as f64 - 1.0) * height / 2.0;
        for (step, index) in next.by_ref().take(count).enumerate() {
            positions[index] = first + step as f64 * height;
        }
    }
    positions
}

/// The place beside `point` for a label of this size that covers least of `lines` and `taken`.
pub fn place(
    point: (f64, f64),
    size: (f64, f64),
    bounds: Area,
    lines: &[Vec<(f64, f64)>],
    taken: &[Area],
) -> Area {
    let mut best: Option<(f64, Area)> = None;
    for (rank, area) in candidates(point, size).into_iter().enumerate() {
        let whole = size.0 * size.1;
        let outside = whole - area.overlap(&bounds);
        let covered: f64 = taken.iter().map(|other| area.overlap(other)).sum();
        let cost =
            outside * 8.0 + covered * 4.0 + 120.0 * crossed(&area, lines) + 15.0 * rank as f64;
        if best.is_none_or(|(lowest, _)| cost < lowest) {
            best = Some((cost, area));
        }
    }
    best.expect("there are always candidates").1
}

/// Right of the point first, as at the end of a line, then above and below it, farther and farther out.
fn candidates((x, y): (f64, f64), (width, height): (f64, f64)) -> Vec<Area> {
    let mut all = Vec::new();
    for distance in [0.0, 14.0, 32.0, 56.0, 90.0] {
        let (above, below) = (y - height - 8.0 - distance, y + 8.0 + distance);
        let lefts = [x + 10.0, x - width / 2.0, x - width - 10.0];
        for left in lefts {
            for top in [y - height / 2.0, above, below] {
                let is_on_the_point = top > above && top < below && left < x && left + width > x;
                if !is_on_the_point {
                    all.push((left, top));
                }
            }
        }
    }
    all.into_iter()
        .map(|(left, top)| Area {
            left,
            top,
            right: left + width,
            bottom: top + height,
        })
        .collect()
}

/// How much of the lines lies in an area, in samples 6 units apart.
fn crossed(area: &Area, lines: &[Vec<(f64, f64)>]) -> f64 {
    let mut inside = 0;
    for line in lines {
        for pair in line.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            let steps = (length / 6.0).ceil().max(1.0) as u32;
            inside += (0..=steps)
                .map(|step| f64::from(step) / f64::from(steps))
                .filter(|share| {
                    let at = |a: f64, b: f64| a + (b - a) * share;
                    area.contains((at(from.0, to.0), at(from.1, to.1)))
                })
                .count();
        }
    }
    inside as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_have_room_stay_where_they_want_to_be() {
        assert_eq!(
            spread(&[100.0, 200.0, 150.0], 20.0, 0.0, 400.0),
            [100.0, 200.0, 150.0]
        );
        assert!(spread(&[], 20.0, 0.0, 400.0).is_empty());
    }

    #[test]
    fn labels_that_touch_are_pushed_apart_in_their_order() {
        let positions = spread(&[101.0, 100.0, 102.0, 390.0, 399.0], 20.0, 0.0, 400.0);
        assert!(positions[1] < positions[0] && positions[0] < positions[2]);
        let mut sorted = positions.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(
            sorted
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= 20.0 - 1e-6),
            "{sorted:?}"
        );
        assert!(sorted[0] >= 10.0 && sorted[4] <= 390.0 + 1e-6);
    }

    #[test]
    fn a_column_that_is_too_full_is_squeezed_evenly() {
        let positions = spread(&[5.0; 10], 20.0, 0.0, 100.0);
        assert!(
            (positions[9] - positions[0] - 90.0).abs() < 1e-6,
            "{positions:?}"
        );
    }

    #[test]
    fn a_label_avoids_lines_and_other_labels() {
        let bounds = Area {
            left: 0.0,
            top: 0.0,
            right: 500.0,
            bottom: 500.0,
        };
        let line = vec![vec![(200.0, 200.0), (500.0, 200.0)]];
        let area = place((200.0, 200.0), (80.0, 30.0), bounds, &line, &[]);
        assert_eq!(crossed(&area, &line), 0.0);
        let second = place((200.0, 200.0), (80.0, 30.0), bounds, &line, &[area]);
        assert_eq!(area.overlap(&second), 0.0);
        assert!(second.left >= 0.0 && second.right <= 500.0);
    }
}

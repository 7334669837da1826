//! How engines stand as one thing about the load changes: the size of messages, or how many are in flight.

use super::factors::is_compared;
use super::field::{Arm, arms, by, load};
use super::format::whole;
use fourtuple_spec::{Case, Mode, Record};

/// What changes along a course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Bytes of one message.
    MessageBytes,
    /// Messages in flight on a connection.
    Depth,
}

/// Fewer values than these are no course.
const VALUES_MIN: usize = 3;

/// Records that differ in one thing about their load.
#[derive(Debug)]
pub struct Course<'a> {
    /// What changes.
    pub along: Along,
    /// The load at one of the values.
    pub case: Case,
    /// The values, ascending, and the arms that ran at each.
    pub stops: Vec<(u32, Vec<Arm<'a>>)>,
    /// All of its records.
    pub records: Vec<&'a Record>,
}

impl Along {
    /// The value of a case.
    pub fn value(self, case: &Case) -> u32 {
        match self {
            Self::MessageBytes => case.message_bytes,
            Self::Depth => case.depth,
        }
    }

    /// A value in words: `4 KiB`, `16 in flight`.
    pub fn words(self, value: u32) -> String {
        match self {
            Self::MessageBytes => size(value),
            Self::Depth => format!("{} in flight", whole(f64::from(value))),
        }
    }

    fn without(self, case: &Case) -> Case {
        let mut case = load(case);
        match self {
            Self::MessageBytes => case.message_bytes = 0,
            Self::Depth => case.depth = 0,
        }
        case
    }
}

impl Course<'_> {
    /// Every arm that ran at some value, in the order of its first.
    pub fn names(&self) -> Vec<(String, bool)> {
        let mut names: Vec<(String, bool)> = Vec::new();
        for arm in self.stops.iter().flat_map(|(_, arms)| arms) {
            let name = (arm.name.clone(), arm.is_control);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What does not change, in words.
    pub fn load_words(&self) -> String {
        let count = whole(f64::from(self.case.connections));
        let rest = match self.along {
            Along::MessageBytes => format!("depth {}", self.case.depth),
            Along::Depth => format!(
                "{}-byte messages",
                whole(f64::from(self.case.message_bytes))
            ),
        };
        let unit = if self.case.connections == 1 {
            "connection"
        } else {
            "connections"
        };
        let shape = super::group::Shape::of(&self.case);
        format!("{count} {unit}, {rest}{}", shape.with_settings())
    }
}

/// A size as people write it: `64 B`, `4 KiB`.
pub fn size(bytes: u32) -> String {
    match bytes {
        0..1_024 => format!("{bytes}\u{a0}B"),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}\u{a0}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1_024) => format!("{}\u{a0}KiB", bytes >> 10),
        _ => format!("{}\u{a0}B", whole(f64::from(bytes))),
    }
}

/// The courses along one thing: the one with most values and arms first.
pub fn courses(records: &[Record], along: Along) -> Vec<Course<'_>> {
    let is_part = |record: &&Record| is_compared(record) && record.case.mode == Mode::Closed;
    let taken: Vec<&Record> = records.iter().filter(is_part).collect();
    let loads = by(&taken, |record| along.without(&record.case)).into_iter();
    let mut courses: Vec<Course<'_>> = loads
        .filter_map(|(_, members)| course(along, members))
        .collect();
    courses.sort_by_key(|one| {
        let arms: usize = one.stops.iter().map(|(_, arms)| arms.len()).sum();
        std::cmp::Reverse((one.stops.len(), arms))
    });
    courses
}

fn course(along: Along, records: Vec<&Record>) -> Option<Course<'_>> {
    let mut stops: Vec<(u32, Vec<Arm<'_>>)> = by(&records, |record| along.value(&record.case))
        .into_iter()
        .map(|(value, members)| (value, arms(&members)))
        .collect();
    stops.sort_by_key(|(value, _)| *value);
    let case = load(&records.first()?.case);
    (stops.len() >= VALUES_MIN).then_some(Course {
        along,
        case,
        stops,
        records,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, fixture_factors as fixtures};
    use super::*;

    #[test]
    fn records_that_differ_in_size_alone_are_one_course() {
        let mut records = fixtures::sizes(2);
        let mut other = records[0].clone();
        other.case.connections = 7;
        records.push(other);
        let courses = courses(&records, Along::MessageBytes);
        assert_eq!(courses.len(), 1);
        let values: Vec<u32> = courses[0].stops.iter().map(|(value, _)| *value).collect();
        assert_eq!(values, fixtures::SIZES);
        assert_eq!(courses[0].names().len(), 7);
        assert_eq!(courses[0].load_words(), "100 connections, depth 1");
        assert!(super::courses(&records, Along::Depth).is_empty());
        assert!(super::courses(&fixture::sweep(1), Along::MessageBytes).is_empty());
    }

    #[test]
    fn sizes_are_written_as_people_write_them() {
        let written = [64, 1_000, 4_096, 65_536, 100_000, 1 << 20].map(size);
        let written = written.map(|text| text.replace('\u{a0}', " "));
        assert_eq!(
            written,
            ["64 B", "1000 B", "4 KiB", "64 KiB", "100,000 B", "1 MiB"]
        );
    }
}

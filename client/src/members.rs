//! Which connections take part: all that are open, or the hot ones among them.

use fourtuple_spec::{Case, HotPlacement};

/// The connections that take part in an exchange. Each has a rank among them, from 0, and its index among all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Members {
    count: u32,
    /// All connections, over which those that take part are spread.
    of: u32,
    is_spread: bool,
}

impl Members {
    /// Every connection.
    pub(crate) fn all(case: &Case) -> Self {
        Self {
            count: case.connections,
            of: case.connections,
            is_spread: false,
        }
    }

    /// Those of the measured span: the ones that [`Case::hot_index`] names.
    pub(crate) fn hot(case: &Case) -> Self {
        let count = case.hot();
        Self {
            count,
            of: case.connections,
            is_spread: count < case.connections && case.hot_placement == HotPlacement::Spread,
        }
    }

    /// No connection.
    pub(crate) fn none() -> Self {
        Self {
            count: 0,
            of: 0,
            is_spread: false,
        }
    }

    /// Whether the connection with this index is one of them.
    pub(crate) fn has(&self, index: u32) -> bool {
        let rank = self.rank(index);
        rank < self.count && self.index(rank) == index
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The index of the `rank`-th.
    #[inline]
    pub(crate) fn index(&self, rank: u32) -> u32 {
        if !self.is_spread {
            return rank;
        }
        // Below `of`, because the rank is below the count.
        (u64::from(rank) * u64::from(self.of) / u64::from(self.count)) as u32
    }

    /// The rank of the one with this index; of another connection, no rank of its own, and possibly the count.
    #[inline]
    pub(crate) fn rank(&self, index: u32) -> u32 {
        if !self.is_spread {
            return index;
        }
        (u64::from(index) * u64::from(self.count)).div_ceil(u64::from(self.of)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::Engine;
    use fourtuple_spec::plan::{CaseDefaults, CaseRequest};

    #[test]
    fn ranks_and_indexes_are_those_of_the_case() {
        let defaults = CaseDefaults::new(vec![0], vec![1]);
        for connections in [1, 7, 1_000, 99_991] {
            for hot in [1, 2, 7, 333, 999, 1_000, 50_000] {
                for placement in [HotPlacement::Spread, HotPlacement::First] {
                    let mut request = CaseRequest::new(Engine::Uring, connections);
                    request.hot_connections = Some(hot);
                    request.hot_placement = Some(placement);
                    let case = request.resolve(&defaults).unwrap();
                    let members = Members::hot(&case);
                    assert_eq!(members.count(), hot.min(connections));
                    for rank in 0..members.count() {
                        let index = members.index(rank);
                        assert_eq!(index, case.hot_index(rank));
                        assert_eq!(members.rank(index), rank);
                    }
                    let among = (0..connections).filter(|&index| members.has(index));
                    assert_eq!(among.count() as u32, members.count());
                }
            }
        }
    }
}

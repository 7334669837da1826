//! `/proc/stat`: what each core did, in ticks of 10 ms.
//!
//! The kernel books a whole tick to whatever runs when it strikes, so a share over 2 s is good to
//! about half a percent and a share over 100 ms to a tenth.

use crate::malformed::Malformed;
use std::collections::BTreeMap;

/// Ticks of one core since the machine began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CoreTicks {
    /// user, nice, system, irq and softirq: the core worked. Guests are within user already.
    pub(crate) worked: u64,
    /// idle and iowait. While a ring waits its core shows iowait: that is not work.
    pub(crate) rested: u64,
    /// The hypervisor ran something else.
    pub(crate) stolen: u64,
}

impl CoreTicks {
    /// What was added since `start`. A part that runs backwards (iowait does) added nothing.
    pub(crate) fn since(self, start: Self) -> Self {
        Self {
            worked: self.worked.saturating_sub(start.worked),
            rested: self.rested.saturating_sub(start.rested),
            stolen: self.stolen.saturating_sub(start.stolen),
        }
    }

    pub(crate) fn total(self) -> u64 {
        self.worked + self.rested + self.stolen
    }
}

/// The cores by number.
pub(crate) fn cores(text: &str) -> Result<BTreeMap<u32, CoreTicks>, Malformed> {
    let file = "/proc/stat";
    let mut cores = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let Some(rest) = line.strip_prefix("cpu") else {
            continue;
        };
        if rest.starts_with(' ') {
            continue;
        }
        let core = core(rest)
            .ok_or_else(|| Malformed::new(file, index, "a core with eight numbers", line))?;
        cores.insert(core.0, core.1);
    }
    match cores.is_empty() {
        true => Err(Malformed::missing(file, text, "a core")),
        false => Ok(cores),
    }
}

/// `N user nice system idle iowait irq softirq steal guest guest_nice`
fn core(text: &str) -> Option<(u32, CoreTicks)> {
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok()?;
    // Kept below 2^56, so that sums of a few cannot overflow.
    let mut numbers = words.map(|word| word.parse::<u64>().ok().filter(|ticks| ticks >> 56 == 0));
    let mut next = || numbers.next()?;
    let (user, nice, system, idle) = (next()?, next()?, next()?, next()?);
    let (iowait, irq, softirq, steal) = (next()?, next()?, next()?, next()?);
    let ticks = CoreTicks {
        worked: user + nice + system + irq + softirq,
        rested: idle + iowait,
        stolen: steal,
    };
    Some((number, ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "cpu  9223 0 4603 180960 695 0 131 363 0 0
cpu0 4311 1 1869 91559 87 2 9 158 0 0
cpu1 4912 0 2734 89400 607 0 121 205 0 0
intr 215820 0 0
";

    #[test]
    fn each_core_is_read_and_iowait_is_rest() {
        let cores = cores(TEXT).unwrap();
        assert_eq!(cores.len(), 2);
        let expected = CoreTicks {
            worked: 4311 + 1 + 1869 + 2 + 9,
            rested: 91_559 + 87,
            stolen: 158,
        };
        assert_eq!(cores[&0], expected);
    }

    #[test]
    fn a_bad_line_is_named() {
        assert_eq!(cores("cpu  1 2\ncpu0 1 2 3\n").unwrap_err().line, 2);
        assert!(cores("intr 5\n").is_err());
        assert!(cores("cpu0 1 2 3 4 5 6 7 18446744073709551615\n").is_err());
    }

    #[test]
    fn what_runs_backwards_added_nothing() {
        let start = CoreTicks {
            worked: 10,
            rested: 50,
            stolen: 1,
        };
        let end = CoreTicks {
            worked: 15,
            rested: 49,
            stolen: 2,
        };
        assert_eq!(
            end.since(start),
            CoreTicks {
                worked: 5,
                rested: 0,
                stolen: 1
            }
        );
    }
}

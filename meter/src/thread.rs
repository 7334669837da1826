//! `/proc/TID/schedstat` and `/proc/TID/status`: what one thread used.
//!
//! `/proc/TID` opens for the id of any thread, although only those of processes are listed.

use crate::malformed::Malformed;

/// CPU time of a thread, nanoseconds.
///
/// For a thread that is running, as of its last tick or switch: up to 10 ms old. Kernels without
/// scheduler statistics print three zeros: that is "unknown", because a thread that can be asked
/// about has run.
pub(crate) fn cpu_ns(schedstat: &str) -> Result<Option<u64>, Malformed> {
    let malformed = || Malformed::new("schedstat", 0, "three numbers", schedstat);
    let mut numbers = schedstat.split_whitespace().map(str::parse::<u64>);
    let mut next = || numbers.next().and_then(Result::ok).ok_or_else(malformed);
    let (run, wait, slices) = (next()?, next()?, next()?);
    Ok((run != 0 || wait != 0 || slices != 0).then_some(run))
}

/// Context switches of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    /// It had nothing to do.
    pub(crate) voluntary: u64,
    /// Somebody else got its core.
    pub(crate) involuntary: u64,
}

pub(crate) fn switches(status: &str) -> Result<Switches, Malformed> {
    let line = |name: &'static str| {
        status
            .lines()
            .find_map(|line| {
                line.strip_prefix(name)?
                    .strip_prefix(':')?
                    .trim()
                    .parse()
                    .ok()
            })
            .ok_or_else(|| Malformed::missing("status", status, name))
    };
    Ok(Switches {
        voluntary: line("voluntary_ctxt_switches")?,
        involuntary: line("nonvoluntary_ctxt_switches")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_time_is_the_first_number_and_all_zeros_are_unknown() {
        assert_eq!(cpu_ns("236072 3808894 2\n"), Ok(Some(236_072)));
        assert_eq!(cpu_ns("0 0 0\n"), Ok(None));
        assert!(cpu_ns("1 2").is_err());
        assert!(cpu_ns("a b c").is_err());
    }

    #[test]
    fn both_kinds_of_switches_are_read() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        let expected = Switches {
            voluntary: 12,
            involuntary: 3,
        };
        assert_eq!(switches(status), Ok(expected));
        assert!(switches("voluntary_ctxt_switches:\t12\n").is_err());
    }
}

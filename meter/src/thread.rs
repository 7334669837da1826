//! `/proc/PID/task/TID/status`: how often one thread gave up its core, or lost it.

use crate::malformed::Malformed;

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

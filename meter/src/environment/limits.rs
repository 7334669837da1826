//! `/proc/PID/limits`: what a process may take.

use std::collections::BTreeMap;

/// Columns: the name is in the first 26 characters, then come the soft limit, the hard one, and often a unit.
const NAME_WIDTH: usize = 26;

/// Soft and hard; `None` is no limit.
pub(crate) type Limits = (Option<u64>, Option<u64>);

/// Limits by name, as `open_files` of `Max open files`.
pub(crate) fn parse(text: &str) -> BTreeMap<String, Limits> {
    text.lines().skip(1).filter_map(line).collect()
}

fn line(line: &str) -> Option<(String, Limits)> {
    let (name, rest) = line.split_at_checked(NAME_WIDTH)?;
    let mut words = rest.split_whitespace();
    let (soft, hard) = (limit(words.next()?)?, limit(words.next()?)?);
    let name = name.trim();
    let name = name.strip_prefix("Max ").unwrap_or(name);
    Some((name.replace(' ', "_"), (soft, hard)))
}

fn limit(word: &str) -> Option<Option<u64>> {
    match word {
        "unlimited" => Some(None),
        number => Some(Some(number.parse().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max stack size            8388608              unlimited            bytes     
Max open files            1024                 524288               files     
Max nice priority         0                    0                    
";

    #[test]
    fn both_limits_of_each_are_read() {
        let limits = parse(LIMITS);
        assert_eq!(limits.len(), 4);
        assert_eq!(limits["cpu_time"], (None, None));
        assert_eq!(limits["stack_size"], (Some(8_388_608), None));
        assert_eq!(limits["open_files"], (Some(1_024), Some(524_288)));
        assert_eq!(limits["nice_priority"], (Some(0), Some(0)));
    }

    #[test]
    fn garbage_has_none() {
        for text in [
            "",
            "Limit\nMax",
            "Limit\nMax open files            many                few",
        ] {
            assert!(parse(text).is_empty(), "{text:?}");
        }
    }
}

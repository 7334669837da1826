//! `/proc/meminfo`, and the same `Name: value kB` lines elsewhere (`smaps_rollup`).

use crate::malformed::Malformed;
use std::collections::BTreeMap;

/// The lines by name, in bytes; lines that are counts (`HugePages_Total`) as they are.
///
/// Lines come and go with kernels (`SecPageTables` and `Balloon` are young, `Hugetlb` and `Zswap`
/// depend on how a kernel was built), so a line is looked up and may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meminfo {
    bytes: BTreeMap<String, u64>,
}

impl Meminfo {
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let parsed = lines("/proc/meminfo", text)?;
        match parsed.contains_key("MemFree") {
            true => Ok(Self { bytes: parsed }),
            false => Err(Malformed::missing("/proc/meminfo", text, "MemFree")),
        }
    }

    /// Bytes of a line; `None` if this kernel has no such line.
    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.bytes.get(name).copied()
    }
}

/// Anonymous memory of one process, bytes: its heap, its stacks, its buffers.
///
/// Not `Private_Dirty`, which has the pages of io_uring rings in it: those are the kernel's, and a
/// part of their own in the ledger.
pub(crate) fn anonymous_bytes(smaps_rollup: &str) -> Result<u64, Malformed> {
    let file = "smaps_rollup";
    // The first line is the address range, not a `Name: value` line.
    let body = smaps_rollup.split_once('\n').map_or("", |(_, rest)| rest);
    let anonymous = lines(file, body)?.get("Anonymous").copied();
    anonymous.ok_or_else(|| Malformed::missing(file, body, "Anonymous"))
}

fn lines(file: &'static str, text: &str) -> Result<BTreeMap<String, u64>, Malformed> {
    let mut parsed = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let malformed = || {
            Malformed::new(
                file,
                index,
                "a name, a colon, a number, and kB or nothing",
                line,
            )
        };
        let (name, rest) = line.split_once(':').ok_or_else(malformed)?;
        let mut words = rest.split_whitespace();
        let number: u64 = words
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or_else(malformed)?;
        let unit = match words.next() {
            Some("kB") => 1024,
            None => 1,
            Some(_) => return Err(malformed()),
        };
        parsed.insert(
            name.to_owned(),
            number.checked_mul(unit).ok_or_else(malformed)?,
        );
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bytes_and_kernels_differ_in_which_they_have() {
        let new = Meminfo::parse(include_str!("../fixtures/meminfo-6.18")).unwrap();
        assert_eq!(new.get("MemFree"), Some(23_661_028 * 1024));
        assert_eq!(new.get("SecPageTables"), Some(0));
        assert_eq!(new.get("HugePages_Total"), Some(0));
        let old = Meminfo::parse(include_str!("../fixtures/meminfo-5.15")).unwrap();
        assert_eq!(old.get("Slab"), Some(301_780 * 1024));
        assert_eq!(old.get("SecPageTables"), None);
        assert_eq!(old.get("Balloon"), None);
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = Meminfo::parse("MemTotal: 5 kB\nMemFree: x kB\n").unwrap_err();
        assert_eq!((error.line, error.found.as_str()), (2, "MemFree: x kB"));
        let error = Meminfo::parse("MemTotal: 5 kB\n").unwrap_err();
        assert_eq!(error.expected, "MemFree");
        assert!(Meminfo::parse("MemFree: 18446744073709551615 kB").is_err());
        assert!(Meminfo::parse("MemFree: 5 MB").is_err());
    }

    #[test]
    fn user_memory_is_what_is_anonymous() {
        let text = include_str!("../fixtures/smaps_rollup-6.18");
        let line = text
            .lines()
            .find(|line| line.starts_with("Anonymous:"))
            .unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert_eq!(anonymous_bytes(text), Ok(kib * 1024));
        assert!(anonymous_bytes("").is_err());
    }
}

//! Text that is not what the kernel is known to write.

/// A line that a parser did not understand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: expected {expected}, found {found:?}")]
pub(crate) struct Malformed {
    /// The file, as people know it.
    pub(crate) file: &'static str,
    /// The line, from 1; one past the last if something is missing.
    pub(crate) line: usize,
    /// What should have been there.
    pub(crate) expected: &'static str,
    /// The line's text, cut short.
    pub(crate) found: String,
}

impl Malformed {
    pub(crate) fn new(
        file: &'static str,
        index: usize,
        expected: &'static str,
        found: &str,
    ) -> Self {
        Self {
            file,
            line: index + 1,
            expected,
            found: found.chars().take(80).collect(),
        }
    }

    /// Something that should be somewhere in the file and is nowhere.
    pub(crate) fn missing(file: &'static str, text: &str, expected: &'static str) -> Self {
        Self::new(file, text.lines().count(), expected, "the end of the file")
    }
}

//! A file's text or why there is none, and what of it became of a value.

use crate::malformed::Malformed;
use crate::proc_files::{self, Unreadable};
use fourtuple_spec::Reading;
use std::str::FromStr;

/// What a file says, or why it cannot be read.
#[derive(Debug)]
pub(super) struct Text {
    path: String,
    content: Result<String, Unreadable>,
}

impl Text {
    pub(super) fn new(path: &str, content: Result<String, Unreadable>) -> Self {
        Self {
            path: path.to_owned(),
            content,
        }
    }

    pub(super) fn read(path: &str) -> Self {
        Self::new(path, proc_files::read(path))
    }

    /// A setting of the kernel, such as `fs.nr_open`.
    pub(super) fn sysctl(name: &str) -> Self {
        Self::read(&format!("/proc/sys/{}", name.replace('.', "/")))
    }

    /// The text, where its absence has no reason to give.
    pub(super) fn content(&self) -> Option<&str> {
        self.content.as_deref().ok()
    }

    pub(super) fn is_missing(&self) -> bool {
        self.content.as_ref().is_err_and(Unreadable::is_missing)
    }

    /// A value of the text. What the parser finds wrong with it follows the file's path.
    pub(super) fn parse<T>(&self, parser: impl FnOnce(&str) -> Result<T, String>) -> Reading<T> {
        self.parse_whole(|text| parser(text).map_err(|wrong| format!("{}: {wrong}", self.path)))
    }

    /// A value of the text, by a parser that names the file itself.
    pub(super) fn parse_lines<T>(
        &self,
        parser: impl FnOnce(&str) -> Result<T, Malformed>,
    ) -> Reading<T> {
        self.parse_whole(|text| parser(text).map_err(|malformed| malformed.to_string()))
    }

    /// The one number that a file holds.
    pub(super) fn number<T: FromStr>(&self) -> Reading<T> {
        self.parse(number)
    }

    fn parse_whole<T>(&self, parser: impl FnOnce(&str) -> Result<T, String>) -> Reading<T> {
        let text = self.content.as_deref().map_err(reason);
        reading(text.and_then(parser))
    }

    #[cfg(test)]
    pub(super) fn of(path: &str, text: &str) -> Self {
        Self::new(path, Ok(text.to_owned()))
    }

    #[cfg(test)]
    pub(super) fn absent(path: &str, kind: std::io::ErrorKind) -> Self {
        Self::new(path, Err(Unreadable::new(path, kind.into())))
    }
}

/// Why a file cannot be read, and what to do about it where something can be done.
pub(super) fn reason(unreadable: &Unreadable) -> String {
    reason_for(unreadable, rustix::process::geteuid().is_root())
}

/// Root, to whom something is forbidden in a container or by a security module, is told nothing that it knows.
fn reason_for(unreadable: &Unreadable, is_root: bool) -> String {
    match unreadable.is_forbidden() && !is_root {
        true => format!("{unreadable}; run as root"),
        false => unreadable.to_string(),
    }
}

/// What was read, or why it could not be.
pub(super) fn reading<T>(result: Result<T, String>) -> Reading<T> {
    result.map_or_else(Reading::Unknown, Reading::Known)
}

/// The same the other way round, for what depends on several files.
pub(super) fn result<T>(reading: Reading<T>) -> Result<T, String> {
    match reading {
        Reading::Known(value) => Ok(value),
        Reading::Unknown(reason) => Err(reason),
    }
}

/// A number and nothing else.
pub(super) fn number<T: FromStr>(text: &str) -> Result<T, String> {
    let text = text.trim();
    text.parse()
        .map_err(|_| format!("expected a number, found {}", quoted(text)))
}

/// So many numbers with blanks between them.
pub(super) fn numbers<T: FromStr, const COUNT: usize>(text: &str) -> Result<[T; COUNT], String> {
    let wrong = || format!("expected {COUNT} numbers, found {}", quoted(text.trim()));
    let words = text.split_whitespace().map(|word| word.parse().ok());
    let numbers: Vec<T> = words.collect::<Option<_>>().ok_or_else(wrong)?;
    numbers.try_into().map_err(|_| wrong())
}

/// What was found, cut short.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn a_reason_names_the_file_and_what_was_wrong() {
        let of = |text: &str| Text::of("/proc/sys/fs/nr_open", text).number::<u64>();
        assert_eq!(of("1048576\n"), Reading::Known(1_048_576));
        for (text, found) in [("", "\"\""), ("-1\n", "\"-1\""), ("1 2", "\"1 2\"")] {
            let expected = format!("/proc/sys/fs/nr_open: expected a number, found {found}");
            assert_eq!(of(text).reason(), Some(expected.as_str()));
        }
        let long = of(&"x".repeat(1_000));
        assert!(long.reason().unwrap().len() < 200, "{long:?}");
    }

    #[test]
    fn what_is_forbidden_says_what_to_do_to_whom_it_helps() {
        let of = |kind: ErrorKind, is_root| {
            reason_for(&Unreadable::new("/proc/7/fd", kind.into()), is_root)
        };
        let forbidden = of(ErrorKind::PermissionDenied, false);
        assert_eq!(forbidden, "/proc/7/fd: permission denied; run as root");
        let forbidden = of(ErrorKind::PermissionDenied, true);
        assert_eq!(forbidden, "/proc/7/fd: permission denied");
        let missing = of(ErrorKind::NotFound, false);
        assert!(!missing.contains("root"), "{missing}");
    }

    #[test]
    fn several_numbers_are_neither_fewer_nor_more() {
        assert_eq!(numbers("32768\t60999\n"), Ok([32_768_u16, 60_999]));
        for text in ["", "1", "1 2 3", "1 x", "1 70000"] {
            let error = numbers::<u16, 2>(text).unwrap_err();
            assert!(error.contains("expected 2 numbers"), "{error}");
        }
    }
}

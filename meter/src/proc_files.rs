//! The one place that opens files. Everything else here works on text.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub(crate) struct Unreadable {
    path: String,
    source: std::io::Error,
}

impl Unreadable {
    pub(crate) fn new(path: &str, source: std::io::Error) -> Self {
        Self {
            path: path.to_owned(),
            source,
        }
    }

    /// Whether there is no such file.
    pub(crate) fn is_missing(&self) -> bool {
        self.source.kind() == ErrorKind::NotFound
    }

    /// Whether this user may not read it.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.source.kind() == ErrorKind::PermissionDenied
    }
}

/// The whole text of a file. What is not UTF-8 (file names in `maps`) is replaced, not refused.
///
/// Sizes of `/proc` files are 0 and their content is made while it is read, so a large buffer also
/// means one moment: the kernel fills a page or more a call.
pub(crate) fn read(path: &str) -> Result<String, Unreadable> {
    let mut bytes = Vec::with_capacity(64 * 1024);
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|source| Unreadable::new(path, source))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// A file that is too long to be held, to be read line by line.
pub(crate) fn open(path: &str) -> Result<BufReader<File>, Unreadable> {
    let file = File::open(path).map_err(|source| Unreadable::new(path, source))?;
    Ok(BufReader::with_capacity(64 * 1024, file))
}

/// The text of a file that holds one value, without the line's end; `None` if it cannot be read.
pub(crate) fn value(path: &str) -> Option<String> {
    let text = read(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Every process that this one can see.
pub(crate) fn process_ids() -> Vec<u32> {
    numbers_in("/proc")
}

/// The threads of a process; none if it is gone.
pub(crate) fn thread_ids(pid: u32) -> Vec<u32> {
    numbers_in(&format!("/proc/{pid}/task"))
}

fn numbers_in(path: &str) -> Vec<u32> {
    let entries = std::fs::read_dir(path).into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// The names in a directory; none if it cannot be read.
pub(crate) fn names_in(path: &str) -> Vec<String> {
    let entries = entries_of(path).into_iter();
    entries.map(|entry| entry.name).collect()
}

/// What is in a directory.
pub(crate) struct Entry {
    /// Its name.
    pub(crate) name: String,
    /// Whether it is a directory itself.
    pub(crate) is_directory: bool,
}

/// What is in a directory, in no order; nothing if it cannot be read.
pub(crate) fn entries_of(path: &str) -> Vec<Entry> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            Some(Entry {
                is_directory: entry.file_type().ok()?.is_dir(),
                name: entry.file_name().into_string().ok()?,
            })
        })
        .collect()
}

/// Open descriptors of the process whose `fd` directory this is.
///
/// Since 6.2 the directory's size is their number, for everybody, and however many there are it takes no time. Before
/// that the size is 0, and they are counted one by one, by who may: the one by which this process lists its own is not
/// one of them.
pub(crate) fn descriptor_count(path: &str, is_own: bool) -> Result<u64, Unreadable> {
    let unreadable = |source| Unreadable::new(path, source);
    match std::fs::metadata(path).map_err(unreadable)?.len() {
        0 => listed_descriptors(path, is_own),
        count => Ok(count),
    }
}

fn listed_descriptors(path: &str, is_own: bool) -> Result<u64, Unreadable> {
    let entries = std::fs::read_dir(path).map_err(|source| Unreadable::new(path, source))?;
    Ok((entries.flatten().count() as u64).saturating_sub(u64::from(is_own)))
}

/// What a link points to, which need not be a path: `user:[4026531837]`.
pub(crate) fn link(path: &str) -> Result<String, Unreadable> {
    let target = std::fs::read_link(path).map_err(|source| Unreadable::new(path, source))?;
    Ok(target.to_string_lossy().into_owned())
}

/// Whether there is something at this path.
pub(crate) fn exists(path: &str) -> bool {
    std::path::Path::new(path).exists()
}

/// Has every core fold its share of the memory counters into the totals. Root only, else without effect.
///
/// A counter of `/proc/meminfo` may lag by up to 125 pages a core and zone, and the kernel folds
/// the shares in by itself only once a second (`vm.stat_interval`).
pub(crate) fn fold_memory_counters() {
    let _ = std::fs::read("/proc/sys/vm/stat_refresh");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// A shell that has run `commands`, and then waits for the end of its input.
    fn descriptors_after(commands: &str) -> (u64, u64) {
        let mut child = Command::new("sh")
            .args(["-c", &format!("{commands} echo; read line")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        output.read_exact(&mut [0]).unwrap();
        let path = format!("/proc/{}/fd", child.id());
        let counts = (
            descriptor_count(&path, false).unwrap(),
            listed_descriptors(&path, false).unwrap(),
        );
        drop(child.stdin.take());
        child.wait().unwrap();
        counts
    }

    #[test]
    fn descriptors_are_counted_exactly_and_alike_in_both_ways() {
        let (few, few_listed) = descriptors_after("");
        let (more, more_listed) = descriptors_after("exec 7</dev/null; exec 9</dev/null;");
        assert_eq!((few, more), (few_listed, more_listed));
        assert_eq!(more, few + 2);
    }

    #[test]
    fn what_is_not_there_is_missing_and_named() {
        let error = read("/proc/no-such-file").unwrap_err();
        assert!(error.is_missing() && !error.is_forbidden());
        assert!(error.to_string().starts_with("/proc/no-such-file: "));
        assert!(link("/proc/no-such-file").is_err());
        assert!(descriptor_count("/proc/no-such-file", false).is_err());
    }
}

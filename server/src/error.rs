//! Why a server cannot go on, and which limit was met.

use crate::Counters;
use fourtuple_ring::errno_name;
use fourtuple_spec::limiter;
use rustix::io::Errno;

/// Why a server cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ServeError {
    /// What failed and what to do about it.
    pub error: String,
    /// The limit that was met, by name, if it was one.
    pub limiter: Option<String>,
    /// Connections that were open when it happened, where an engine that closes them before it ends has counted.
    pub held: Option<u64>,
}

impl ServeError {
    /// A failure that is no limit.
    pub(crate) fn new(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            limiter: None,
            held: None,
        }
    }

    /// A limit that was met, by the name under which the system knows it.
    pub(crate) fn limited(limiter: &str, error: impl Into<String>) -> Self {
        Self {
            limiter: Some(limiter.to_owned()),
            ..Self::new(error)
        }
    }

    /// The same, with the connections that are open by these counts.
    pub(crate) fn holding(self, counters: &Counters) -> Self {
        Self {
            held: counters.open(),
            ..self
        }
    }

    /// What `call` was refused with, and the limit behind it where the errno tells.
    pub(crate) fn refused(call: &str, errno: Errno) -> Self {
        let call = format!("{call}: {}", name(errno));
        match errno {
            Errno::MFILE => Self::limited(limiter::DESCRIPTORS, descriptors_exhausted(&call)),
            Errno::NFILE => Self::limited(
                limiter::FILE_MAX,
                format!("{call}: the machine is out of open files; raise the sysctl fs.file-max"),
            ),
            Errno::NOMEM | Errno::NOBUFS => Self::limited(
                limiter::MEMORY,
                format!("{call}: {errno}; free memory, or hold fewer connections"),
            ),
            Errno::NOSPC => Self::limited(
                limiter::EPOLL_WATCHES,
                format!("{call}: too many watches; raise the sysctl fs.epoll.max_user_watches"),
            ),
            errno => Self::new(format!("{call}: {errno}")),
        }
    }
}

fn name(errno: Errno) -> String {
    match errno {
        Errno::NOSPC => "ENOSPC".to_owned(),
        errno => errno_name(errno),
    }
}

fn descriptors_exhausted(call: &str) -> String {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let soft = limit
        .current
        .map_or("unlimited".to_owned(), |n| n.to_string());
    format!(
        "{call}: this process is out of descriptors, RLIMIT_NOFILE is {soft}; raise it with \
         `ulimit -n`, shard over processes, or use a direct-descriptor engine"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_says_the_errnos_name() {
        let said = |errno| ServeError::refused("accept", errno).error;
        assert!(said(Errno::MFILE).starts_with("accept: EMFILE: "));
        assert!(said(Errno::NFILE).starts_with("accept: ENFILE: "));
        assert!(said(Errno::NOSPC).starts_with("accept: ENOSPC: "));
        assert!(said(Errno::INVAL).starts_with("accept: EINVAL: "));
    }

    #[test]
    fn what_is_held_is_what_is_open_and_unknown_where_nothing_is_counted() {
        let counters = Counters::default();
        let held = || ServeError::new("over").holding(&counters).held;
        assert_eq!(held(), None);
        counters.accepted.keep();
        counters.closed.keep();
        counters.accepted.add(7);
        counters.closed.add(2);
        assert_eq!(held(), Some(5));
    }
}

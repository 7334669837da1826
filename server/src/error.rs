//! Why a server cannot go on, and which limit was met.

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
}

impl ServeError {
    /// A failure that is no limit.
    pub(crate) fn new(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            limiter: None,
        }
    }

    /// A limit that was met, by the name under which the system knows it.
    pub(crate) fn limited(limiter: &str, error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            limiter: Some(limiter.to_owned()),
        }
    }

    /// What `call` was refused with, and the limit behind it where the errno tells.
    pub(crate) fn refused(call: &str, errno: Errno) -> Self {
        match errno {
            Errno::MFILE => Self::limited(limiter::DESCRIPTORS, descriptors_exhausted(call)),
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

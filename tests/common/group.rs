//! A control group of the test's own, with a limit.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// It is removed when it goes out of scope.
pub struct Group {
    directory: PathBuf,
}

impl Group {
    /// A group below that of this process, of a controller of version 1, with `value` in `file`.
    ///
    /// # Errors
    /// Why there is none: another version, or no right to make one.
    pub fn new(controller: &str, name: &str, file: &str, value: u64) -> Result<Self, String> {
        let groups = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let own = groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            rest.strip_prefix(controller)?.strip_prefix(":/")
        });
        let own = own.ok_or(format!("no controller {controller} of version 1"))?;
        let directory = Path::new("/sys/fs/cgroup")
            .join(controller)
            .join(own)
            .join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let group = Self { directory };
        fs::write(group.directory.join(file), value.to_string())
            .map_err(|error| format!("{file}: {error}"))?;
        Ok(group)
    }

    /// What becomes a program inside it.
    pub fn inside(&self) -> Vec<String> {
        let script = format!(
            "echo $$ > {}/cgroup.procs && exec \"$@\"",
            self.directory.display()
        );
        ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec()
    }
}

impl Drop for Group {
    /// The kernel takes a moment to forget those who were in it.
    fn drop(&mut self) {
        for _ in 0..100 {
            if fs::remove_dir(&self.directory).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        eprintln!("{} is left behind", self.directory.display());
    }
}

//! Reading limits: in a process of its own, which may enter another network, and whose limit of descriptors is what
//! this one has.

use fourtuple_spec::{Limits, Reading};
use std::process::{Command, Output, Stdio};

/// Reads what bounds the connections of a process, from within its network; or of one that is yet to be started from
/// here, which would inherit what this process has.
///
/// # Errors
/// A sentence: there is no such process, or the one that reads cannot be started. A value that cannot be read is no
/// error: it has its reason in its place.
pub fn read(pid: Option<u32>) -> Result<Limits, String> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["child", "limits"]);
    if let Some(pid) = pid {
        command.args(["--pid", &pid.to_string()]);
    }
    let output = command.stdin(Stdio::null()).output();
    answer(&output.map_err(|error| format!("limits cannot be read: a process for it: {error}"))?)
}

/// The limits without one of the tasks that there are: whoever reads them counts itself, and is gone when it matters.
pub fn leave_out_a_task(limits: &mut Limits) {
    let fewer = |tasks: &mut Reading<u64>| {
        if let Reading::Known(tasks) = tasks {
            *tasks = tasks.saturating_sub(1);
        }
    };
    fewer(&mut limits.machine.tasks);
    fewer(&mut limits.process.tasks_of_user);
    if let Reading::Known(groups) = &mut limits.group.tasks {
        groups
            .iter_mut()
            .for_each(|group| group.used = group.used.saturating_sub(1));
    }
}

fn answer(output: &Output) -> Result<Limits, String> {
    if output.status.success() {
        return serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("limits cannot be read: the answer is damaged: {error}"));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(match said.trim() {
        "" => format!("limits cannot be read: {}", output.status),
        reason => reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn output(status: i32, stdout: &str, stderr: &str) -> Output {
        Output {
            status: ExitStatus::from_raw(status),
            stdout: stdout.into(),
            stderr: stderr.into(),
        }
    }

    #[test]
    fn an_answer_is_what_was_read() {
        let mut limits = Limits::default();
        limits.machine.nr_open = Reading::Known(1_048_576);
        limits.process.descriptors_soft = Reading::Known(u64::MAX);
        limits.network.ports = Reading::Unknown("no file".to_owned());
        let text = serde_json::to_string(&limits).unwrap();
        assert_eq!(answer(&output(0, &text, "")), Ok(limits));
    }

    #[test]
    fn a_task_less_is_one_less_wherever_it_is_counted() {
        let mut limits = crate::doctor::fixture::limits();
        let group = |used| fourtuple_spec::limits::GroupTasks {
            file: "/g/pids.max".to_owned(),
            limit: 9,
            used,
        };
        limits.group.tasks = Reading::Known(vec![group(5), group(0)]);
        leave_out_a_task(&mut limits);
        assert_eq!(limits.machine.tasks, Reading::Known(199));
        assert_eq!(limits.process.tasks_of_user, Reading::Known(49));
        assert_eq!(limits.group.tasks, Reading::Known(vec![group(4), group(0)]));
    }

    #[test]
    fn what_went_wrong_is_told_in_its_own_words() {
        let failed = 3 << 8;
        let reason = answer(&output(failed, "", "there is no process 7\n")).unwrap_err();
        assert_eq!(reason, "there is no process 7");
        let reason = answer(&output(failed, "", "")).unwrap_err();
        assert!(reason.contains("exit status: 3"), "{reason}");
        let reason = answer(&output(0, "{", "")).unwrap_err();
        assert!(reason.contains("damaged"), "{reason}");
    }
}

//! What `fourtuple child limits` reads of other processes: their limits, their network, or that they are not there.

mod common;

use common::place::{alone, fourtuple_in};
use common::{errors, fourtuple, refused};
use fourtuple_spec::{Limits, Reading};
use std::io::Read;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A shell that has run its commands and waits. It ends with the end of its input.
struct Waiting {
    child: Child,
    input: Option<ChildStdin>,
}

impl Waiting {
    /// `None` if the commands were refused.
    fn after(program: &[&str], commands: &str) -> Option<Self> {
        let (first, others) = program.split_first().unwrap();
        let mut child = Command::new(first)
            .args(others)
            .args(["-c", &format!("{commands} && echo && read line")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let input = child.stdin.take();
        let mut ready = child.stdout.take().unwrap();
        let is_ready = ready.read(&mut [0]).unwrap() == 1;
        let waiting = Self { child, input };
        is_ready.then_some(waiting)
    }

    fn limits(&self) -> Limits {
        limits_of(&["--pid", &self.child.id().to_string()])
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

fn limits_of(arguments: &[&str]) -> Limits {
    let output = fourtuple()
        .args(["child", "limits"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_process_has_its_own_limits_and_one_that_is_yet_to_be_started_has_these() {
    let few = Waiting::after(&["sh"], "ulimit -n 64").unwrap();
    let limits = few.limits();
    assert_eq!(limits.process.pid, Some(few.child.id()));
    assert_eq!(limits.process.name.as_deref(), Some("sh"));
    assert_eq!(limits.process.descriptors_soft, Reading::Known(64));
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let next = limits_of(&[]);
    assert_eq!(
        next.process.descriptors_soft,
        Reading::Known(own.current.unwrap_or(u64::MAX))
    );
    let alone = fourtuple_in(&alone())
        .args(["child", "limits"])
        .output()
        .unwrap();
    let alone: Limits = serde_json::from_slice(&alone.stdout).unwrap();
    assert_eq!(alone.process.descriptors_open, Reading::Known(3));
}

#[test]
fn open_descriptors_are_counted_exactly() {
    let open = |commands| {
        let waiting = Waiting::after(&["sh"], commands).unwrap();
        *waiting.limits().process.descriptors_open.known().unwrap()
    };
    let few = open("true");
    assert_eq!(open("exec 7</dev/null 8</dev/null 9</dev/null"), few + 3);
}

#[test]
fn a_network_is_that_of_the_process_and_the_machine_that_of_all() {
    let set = "echo 2000 2099 >/proc/sys/net/ipv4/ip_local_port_range \
               && echo 2010-2019,5000 >/proc/sys/net/ipv4/ip_local_reserved_ports";
    for unshare in [["unshare", "-n", "sh"], ["unshare", "-rn", "sh"]] {
        // Where namespaces are refused there is no other network to be read.
        let Some(elsewhere) = Waiting::after(&unshare, set) else {
            println!("skipped: a network of its own is refused: {unshare:?}");
            continue;
        };
        let (theirs, own) = (elsewhere.limits(), limits_of(&[]));
        assert_eq!(
            theirs.network.ports,
            Reading::Known((2_000, 2_099)),
            "{unshare:?}"
        );
        assert_eq!(theirs.network.reserved_in_range, Reading::Known(10));
        assert_eq!(theirs.network.sockets, Reading::Known(0));
        assert_ne!(own.network.ports, theirs.network.ports);
        assert_eq!(
            own.machine.tcp_memory_pages,
            theirs.machine.tcp_memory_pages
        );
        let is_first =
            unshare[1] == "-n" && own.process.is_in_first_user_namespace.known() == Some(&true);
        let found = theirs.process.is_in_first_user_namespace.known();
        assert_eq!(found, Some(&is_first), "{unshare:?}");
    }
}

#[test]
fn a_process_that_is_not_there_or_has_ended_is_an_error_in_words() {
    let reason = refused(3, ["child", "limits", "--pid", "4194305"]);
    assert!(
        reason.starts_with("there is no process 4194305"),
        "{reason}"
    );
    let mut ended = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
    let pid = ended.id().to_string();
    common::wait_until("the end of true", || {
        (!common::is_alive(ended.id())).then_some(())
    });
    let reason = refused(3, ["child", "limits", "--pid", &pid]);
    assert_eq!(reason, format!("process {pid} has ended\n"));
    ended.wait().unwrap();
}

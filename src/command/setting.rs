//! What this machine gives every run: cores, a private network or not, and who is asking.

use crate::doctor;
use crate::exit::Ended;
use crate::interrupt::Interrupt;
use crate::network;
use crate::run::{Context, Stage};
use crate::topology::Machine;
use fourtuple_spec::plan::CaseDefaults;
use fourtuple_spec::{Case, Environment, Limits, NetworkChoice};
use std::cell::Cell;
use std::process::{Command, Stdio};

/// What this machine gives.
pub struct Setting {
    /// Its cores.
    pub machine: Machine,
    /// Why it gives no private network, if it does not.
    pub private_refusal: Option<String>,
}

impl Setting {
    /// Reads the machine, and tries whether a private network is granted.
    pub fn read() -> Self {
        Self {
            machine: Machine::read(),
            private_refusal: private_refusal(),
        }
    }

    /// The part of a case that the machine decides.
    pub fn case_defaults(&self) -> CaseDefaults {
        let (server, client) = self.machine.choose();
        CaseDefaults {
            server_cpus: vec![server],
            client_cpus: vec![client],
            is_private_possible: self.private_refusal.is_none(),
            host_port_range: network::host_port_range(),
        }
    }

    /// Refuses a case that cannot be run here whatever happens.
    pub fn check(&self, case: &Case) -> Result<(), Ended> {
        let cores = [
            ("--server-cpus", &case.server_cpus),
            ("--client-cpus", &case.client_cpus),
        ];
        for (flag, cpus) in cores {
            self.machine.check(flag, cpus).map_err(Ended::words)?;
        }
        for name in case.sysctls.keys() {
            network::check_sysctl_name(name).map_err(Ended::words)?;
        }
        if case.network == NetworkChoice::Host
            && let Some(name) = case.sysctls.keys().next()
        {
            return Err(Ended::words(format!(
                "{name} cannot be set on the host's network, which is left as it is: use --network private"
            )));
        }
        Ok(())
    }

    /// The context of the runs of this invocation.
    pub fn context<'a>(
        &self,
        interrupt: &Interrupt,
        environment: &Environment,
        is_forced: bool,
        on_stage: &'a dyn Fn(Stage),
    ) -> Context<'a> {
        let mut host = fourtuple_meter::host();
        host.environment = Some(environment.id());
        Context {
            command: command_line(),
            host,
            machine: self.machine.clone(),
            private_refusal: self.private_refusal.clone(),
            interrupt: interrupt.clone(),
            limits: read_limits(),
            is_forced,
            leftovers: Cell::default(),
            on_stage,
            witness: None,
        }
    }
}

/// What bounds a process that is started from here; nothing is known where it cannot be read.
fn read_limits() -> Limits {
    doctor::read::read(None).unwrap_or_default()
}

/// The command line as a person would type it: where the program lies is this machine's affair.
pub fn command_line() -> Vec<String> {
    let arguments = std::env::args_os().skip(1);
    std::iter::once("fourtuple".to_owned())
        .chain(arguments.map(|argument| argument.to_string_lossy().into_owned()))
        .collect()
}

/// Listens to signals from here on.
pub fn interrupt() -> Result<Interrupt, Ended> {
    Interrupt::install()
        .map_err(|error| Ended::failed(format!("signals cannot be listened to: {error}")))
}

/// Tries in a process of its own, because nobody can leave a user namespace again.
fn private_refusal() -> Option<String> {
    let probe = Command::new("/proc/self/exe")
        .args(["child", "probe"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Err(error) => Some(format!("it could not be tried: {error}")),
    }
}

//! How to raise a limit: the command for now, the line that lasts, and what else there is to know.

use super::inputs::Inputs;
use super::number::count;
use super::{Remedy, Scope};

/// Where settings of the kernel last.
const SYSCTL_FILE: &str = "/etc/sysctl.d/90-connections.conf";

/// The most that a setting of type `int` takes.
pub const INT_MAX: u64 = i32::MAX as u64;

impl Remedy {
    /// No command: only what there is to know.
    pub fn advice(text: impl Into<String>) -> Self {
        Self {
            advice: Some(text.into()),
            ..Self::default()
        }
    }

    /// The same with more to know.
    pub fn and(mut self, text: impl AsRef<str>) -> Self {
        self.advice = Some(match self.advice {
            Some(advice) => format!("{advice}; {}", text.as_ref()),
            None => text.as_ref().to_owned(),
        });
        self
    }
}

/// A setting of the kernel, and how far it is to go.
pub struct Setting<'a> {
    /// Its name: `fs.file-max`.
    pub name: &'a str,
    /// How far it reaches.
    pub scope: Scope,
    /// What it is.
    pub present: u64,
    /// What it would have to be.
    pub needed: u64,
    /// The most that the kernel takes.
    pub most: u64,
}

/// Raises a setting of one number, as far as it goes. What is high enough is not touched.
pub fn raise(inputs: &Inputs, setting: &Setting) -> Remedy {
    let value = setting.needed.min(setting.most);
    if value <= setting.present {
        return Remedy {
            suffices: setting.needed <= setting.present,
            ..Remedy::advice("it is as high as it can be")
        };
    }
    let remedy = set(inputs, setting.name, setting.scope, &value.to_string());
    if setting.needed <= setting.most {
        return remedy;
    }
    let remedy = Remedy {
        suffices: false,
        ..remedy
    };
    remedy.and(format!(
        "it cannot be more than {}, and {} would be needed",
        count(setting.most),
        count(setting.needed)
    ))
}

/// Sets a setting to a value that is enough.
pub fn set(inputs: &Inputs, name: &str, scope: Scope, value: &str) -> Remedy {
    let quoted = match value.contains(' ') {
        true => format!("\"{value}\""),
        false => value.to_owned(),
    };
    let place = match (scope, inputs.limits.process.pid) {
        (Scope::Network, Some(pid)) => format!("nsenter --target {pid} --net "),
        _ => String::new(),
    };
    let remedy = Remedy {
        now: Some(format!("{place}sysctl -w {name}={quoted}")),
        suffices: true,
        lasting: Some(format!("{name} = {value} in {SYSCTL_FILE}")),
        advice: None,
    };
    match scope {
        Scope::Machine if inputs.is_confined() => {
            remedy.and("root of the machine may, outside of this user namespace")
        }
        _ => remedy,
    }
}

/// Where a setting is read.
pub fn setting_file(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}

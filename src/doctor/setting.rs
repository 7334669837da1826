//! The rung of a setting that is one number: most of them.

use super::inputs::{Inputs, allows, known};
use super::number::limit as in_words;
use super::remedy::{Setting, raise, setting_file};
use super::{Allows, Remedy, Rung, Scope, Side};
use fourtuple_spec::Reading;

/// A setting of the machine that bounds connections, however it does.
pub struct Ceiling<'a> {
    /// Its name.
    pub limit: &'static str,
    /// Whose.
    pub side: Side,
    /// How far it reaches.
    pub scope: Scope,
    /// What it is.
    pub value: &'a Reading<u64>,
    /// What of it is used, in words.
    pub used: Option<String>,
    /// How many more connections there is room for, or what is not known of it.
    pub room: Result<u64, String>,
    /// Why it bounds nothing here.
    pub exempt: Option<&'static str>,
    /// What it looks like when it is met.
    pub symptom: &'static str,
    /// What it has to be for so many more connections.
    pub needed: &'a dyn Fn(u64) -> u64,
    /// The most that the kernel takes.
    pub most: u64,
}

impl Ceiling<'_> {
    /// The rung.
    pub fn rung(self, inputs: &Inputs) -> Rung {
        let room = self.value.known().copied().zip(self.room.clone().ok());
        let remedy = room.map(|(present, room)| {
            let setting = Setting {
                name: self.limit,
                scope: Scope::Machine,
                present,
                needed: (self.needed)(inputs.target(room)),
                most: self.most,
            };
            raise(inputs, &setting)
        });
        Rung {
            limit: self.limit,
            side: self.side,
            scope: self.scope,
            value: self.value.known().copied().map(in_words),
            used: self.used,
            allows: match self.exempt {
                Some(why) => Allows::Any(why.to_owned()),
                None => allows(&self.room),
            },
            read_from: setting_file(self.limit),
            symptom: self.symptom,
            remedy: remedy.unwrap_or_default(),
        }
    }
}

/// What bounds something else than connections.
pub struct Aside {
    /// Its name.
    pub limit: &'static str,
    /// Whose.
    pub side: Side,
    /// How far it reaches.
    pub scope: Scope,
    /// What it is, in words, or why that is not known.
    pub value: Result<String, String>,
    /// What it bounds.
    pub bounds: String,
    /// What it looks like when it is met.
    pub symptom: &'static str,
}

impl Aside {
    /// The rung.
    pub fn rung(self) -> Rung {
        Rung {
            limit: self.limit,
            side: self.side,
            scope: self.scope,
            used: None,
            allows: match &self.value {
                Ok(_) => Allows::Other(self.bounds),
                Err(reason) => Allows::Unknown(reason.clone()),
            },
            value: self.value.ok(),
            read_from: setting_file(self.limit),
            symptom: self.symptom,
            remedy: Remedy::default(),
        }
    }
}

/// A number in words, or why it is not known.
pub fn words(value: &Reading<u64>) -> Result<String, String> {
    known(value).map(in_words)
}

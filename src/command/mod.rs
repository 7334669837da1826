//! The verbs of the command line, one file each.

pub mod claims;
pub mod compare;
pub mod doctor;
pub mod hold;
pub mod load;
pub mod report;
pub mod run;
pub mod serve;
pub mod setting;
mod single;
pub mod sweep;

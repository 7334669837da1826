//! Results against results: what differs between two arms, two directories, and an arm and itself.
//!
//! From records alone, and pure: what is read and printed is the command's affair. A difference is told by its
//! interval and judged by how far an arm is from itself; what was not interleaved is said to be so.

mod aa;
mod cells;
mod comparison;
mod differences;
mod directories;
mod engines;
mod grid;
mod json;
mod measure;
mod noise;
mod place;
mod side;
mod terminal;
mod terminal_engines;
mod terminal_self;
mod text;
mod two_arms;
mod unpaired;

pub use aa::self_comparison;
pub use differences::{Differences, differences};
pub use directories::{Choice, directories};
pub use grid::{Paper, Tone};
pub use json::{arms_json, directories_json, self_json};
pub use measure::measures;
pub use side::Side;
pub use terminal::{arms_text, directories_text};
pub use terminal_self::self_text;
pub use text::cases as case_words;
pub use two_arms::two_arms;

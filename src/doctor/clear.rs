//! What would clear the way: one block of commands for all that stands in it, and what no command clears.

use super::{Ladder, Rung};
use fourtuple_spec::limiter;

/// What would clear the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clearing {
    /// Commands, in an order that works: what bounds another limit is raised before it.
    pub commands: Vec<String>,
    /// What they leave, one sentence each.
    pub left: Vec<String>,
}

impl Ladder {
    /// What would clear the way for the connections that are wanted. Nothing where none stand in it, or no number was
    /// asked for.
    pub fn answer_commands(&self) -> Clearing {
        let wanted = self.question.connections.unwrap_or(0);
        let mut obstacles = self.obstacles(wanted);
        obstacles.sort_by_key(|rung| turn(rung));
        let mut clearing = Clearing::default();
        for rung in obstacles {
            let commands = &mut clearing.commands;
            if let Some(command) = &rung.remedy.now
                && !commands.contains(command)
            {
                commands.push(command.clone());
            }
            let left = left(rung);
            clearing
                .left
                .extend(left.filter(|left| !clearing.left.contains(left)));
        }
        clearing
    }
}

/// When a limit's turn comes: fs.nr_open bounds RLIMIT_NOFILE, and what a shell sets for its children comes last.
fn turn(rung: &Rung) -> u32 {
    match rung.limit {
        limiter::NR_OPEN => 0,
        limiter::DESCRIPTORS | limiter::PROCESSES => 2,
        _ => 1,
    }
}

fn left(rung: &Rung) -> Option<String> {
    if rung.remedy.now.is_some() && rung.remedy.suffices {
        return None;
    }
    let advice = rung.remedy.advice.as_deref();
    let advice = advice.unwrap_or("no command raises it");
    Some(format!("{}: {advice}", rung.name()))
}

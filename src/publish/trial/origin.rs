//! When and by which commands claims were tried.

use super::super::format;
use fourtuple_spec::{Trial, TriedClaim};

/// Of one claim: `fourtuple claims`, in backticks, and the day.
pub fn of_one(tried: &TriedClaim) -> String {
    format!("{}, {}", command(&tried.command), day(&tried.tried_at))
}

/// Of all of them: the command and the day where they were tried together; of several commands how many, the last of
/// them, and the first day and the last.
pub fn of_all(trial: &Trial) -> String {
    // The command line may be the same again, on another day.
    let mut commands: Vec<&[String]> = trial.claims.iter().map(|one| &one.command[..]).collect();
    commands.sort_unstable();
    commands.dedup();
    let times = || trial.claims.iter().map(|tried| tried.tried_at.as_str());
    let first = times().min().unwrap_or(&trial.started_at);
    let last = times().max().unwrap_or(&trial.started_at);
    let days = match (day(first), day(last)) {
        (first, last) if first == last => first.to_owned(),
        (first, last) => format!("{first} to {last}"),
    };
    match commands[..] {
        [] => format!("{}, {days}", command(&trial.command)),
        [only] => format!("{}, {days}", command(only)),
        _ => format!(
            "{}, the last {}, {days}",
            format::counted(commands.len(), "command"),
            command(&trial.command)
        ),
    }
}

fn command(words: &[String]) -> String {
    format!("`{}`", words.join(" ").replace(['`', '\n'], " "))
}

/// The day of an RFC 3339 time.
fn day(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn claims_of_one_command_have_its_day() {
        let trial = fixture::trial();
        assert_eq!(of_all(&trial), "`fourtuple claims`, 2026-01-09");
        assert_eq!(of_one(&trial.claims[0]), "`fourtuple claims`, 2026-01-09");
        let mut empty = trial;
        empty.claims.clear();
        assert_eq!(of_all(&empty), "`fourtuple claims`, 2026-01-09");
    }

    #[test]
    fn claims_of_several_commands_have_the_last_and_all_days() {
        let mut trial = fixture::trial();
        trial.claims[1].tried_at = "2026-01-11T00:00:01Z".to_owned();
        let same = of_all(&trial);
        assert_eq!(same, "`fourtuple claims`, 2026-01-09 to 2026-01-11");
        trial.claims[1].command.push("--full".to_owned());
        trial.command.clone_from(&trial.claims[1].command);
        assert_eq!(
            of_all(&trial).replace('\u{a0}', " "),
            "2 commands, the last `fourtuple claims --full`, 2026-01-09 to 2026-01-11"
        );
        assert_eq!(
            of_one(&trial.claims[1]),
            "`fourtuple claims --full`, 2026-01-11"
        );
    }
}

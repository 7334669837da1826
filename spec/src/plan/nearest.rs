//! The known name that a mistyped one was probably meant to be.

/// The name among `names` that is nearest to `given`, or `None` if none is near enough to be worth
/// suggesting: more than a third of the longer word would have to change.
///
/// Swapped neighbours count as one change, because that is how fingers slip; `-` and `_` count as
/// equal, because flags use one and keys the other. Of equally near names the first wins.
pub fn nearest<'a>(given: &str, names: &[&'a str]) -> Option<&'a str> {
    let given = plain(given);
    names
        .iter()
        .map(|name| (strsim::osa_distance(&given, &plain(name)), *name))
        .filter(|(distance, name)| 3 * distance <= given.chars().count().max(name.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn plain(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_finds_none() {
        let names = ["connections", "message_bytes", "depth", "uring", "epoll"];
        for (given, meant) in [
            ("conections", "connections"),
            ("message-byte", "message_bytes"),
            ("detph", "depth"),
            ("Uring", "uring"),
            ("urin", "uring"),
        ] {
            assert_eq!(nearest(given, &names), Some(meant), "{given}");
        }
        for stranger in ["", "x", "latency", "kqueue"] {
            assert_eq!(nearest(stranger, &names), None, "{stranger}");
        }
    }
}
